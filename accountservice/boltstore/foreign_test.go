package boltstore_test

import (
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	. "github.com/smartystreets/goconvey/convey"
	bolt "go.etcd.io/bbolt"

	"goblog/accountservice/account"
	"goblog/accountservice/boltstore"
)

// contentOf makes a BoltDB file of buckets with keys and values. The value [] makes a bucket
// inside the bucket.
func contentOf(path string, buckets map[string]map[string]string) {
	db, err := bolt.Open(path, 0o600, nil)
	So(err, ShouldBeNil)
	So(db.Update(func(tx *bolt.Tx) error {
		for name, content := range buckets {
			b, err := tx.CreateBucketIfNotExists([]byte(name))
			for key, value := range content {
				if value == "[]" {
					_, e := b.CreateBucket([]byte(key))
					err = errors.Join(err, e)
				} else {
					err = errors.Join(err, b.Put([]byte(key), []byte(value)))
				}
			}
			if err != nil {
				return err
			}
		}
		return nil
	}), ShouldBeNil)
	So(db.Close(), ShouldBeNil)
}

// seededValues returns the keys and values that seeding writes.
func seededValues(n int) map[string]string {
	values := map[string]string{}
	for a := range account.Fakes(n) {
		values[a.ID] = string(encode(a))
	}
	return values
}

func changed(values map[string]string, key, value string) map[string]string {
	values[key] = value
	return values
}

func TestForeignFile(t *testing.T) {
	type buckets = map[string]map[string]string
	marked := map[string]string{"seeded": "100"}
	for what, content := range map[string]buckets{
		"a bucket of another program":                           {"users": {"10000": "secret"}},
		"a value in the bucket of accounts that is no account":  {"accounts": {"alice": "secret"}},
		"JSON in the bucket of accounts that is no account":     {"accounts": {"10000": `{"id":"10000","owner":"Bob","balance":12}`}},
		"an account under the id of another":                    {"accounts": {"10000": `{"id":"4711","name":"Bob"}`}},
		"one value among the accounts that is no account":       {"accounts": changed(seededValues(100), "10050x", "secret")},
		"a bucket among the accounts":                           {"accounts": changed(seededValues(100), "10050x", "[]")},
		"another bucket beside the accounts":                    {"accounts": seededValues(100), "meta": marked, "users": {"a": "b"}},
		"accounts of the original service beside ours":          {"accounts": seededValues(100), "meta": marked, "AccountBucket": seededValues(100)},
		"another key beside the number of accounts":             {"accounts": seededValues(100), "meta": {"seeded": "100", "owner": "Bob"}},
		"a number of accounts, and a value that is no account":  {"accounts": {"alice": "secret"}, "meta": marked},
		"a bucket where the number of accounts should be":       {"accounts": seededValues(100), "meta": {"seeded": "[]"}},
		"a number of accounts, but no bucket of accounts":       {"meta": marked},
		"the original's bucket with a value that is no account": {"AccountBucket": {"10000": "secret"}},
		"the original's bucket, and one more bucket":            {"AccountBucket": seededValues(100), "users": {"a": "b"}},
	} {
		for _, n := range []int{0, 100, 200} {
			Convey("Given a file with "+what, t, func() {
				path := newPath(t)
				contentOf(path, content)
				before, err := os.ReadFile(path)
				So(err, ShouldBeNil)

				Convey("When it is opened, this fails and says so, and the file is unchanged", func() {
					_, _, err := boltstore.Open(path, n, time.Second)
					So(err, ShouldNotBeNil)
					So(err.Error(), shouldBeOneLineNaming, path, "it was left as it is: move it away")
					So(err.Error(), ShouldNotContainSubstring, "secret")
					after, err := os.ReadFile(path)
					So(err, ShouldBeNil)
					So(string(after) == string(before), ShouldBeTrue)
				})
			})
		}
	}
}

func TestFileOfTheOriginal(t *testing.T) {
	Convey("Given a file of the original service, in which one name was changed", t, func() {
		path := newPath(t)
		contentOf(path, map[string]map[string]string{
			"AccountBucket": changed(seededValues(100), "10042", `{"id":"10042","name":"Ada"}`),
		})
		before, err := os.ReadFile(path)
		So(err, ShouldBeNil)

		for _, n := range []int{0, 100, 200} {
			Convey(fmt.Sprintf("When it is opened for %d accounts, it is served as it is", n), func() {
				store, added := open(path, n)
				So(added, ShouldEqual, 0)
				So(store.Original(), ShouldBeTrue)
				So(store.Ping(), ShouldBeNil)
				for id, want := range map[string]string{
					"10000": `{"id":"10000","name":"Person_0"}`,
					"10042": `{"id":"10042","name":"Ada"}`,
					"10099": `{"id":"10099","name":"Person_99"}`,
				} {
					got, err := store.Account(id)
					So(err, ShouldBeNil)
					So(string(got), ShouldEqual, want)
				}
				_, err := store.Account("10100")
				So(errors.Is(err, account.ErrNotFound), ShouldBeTrue)
				after, err := os.ReadFile(path)
				So(err, ShouldBeNil)
				So(string(after) == string(before), ShouldBeTrue)
			})
		}
	})

	Convey("Given a file of the original service with only 37 accounts, the others are not found", t, func() {
		path := newPath(t)
		contentOf(path, map[string]map[string]string{"AccountBucket": seededValues(37)})
		store, _ := open(path, 100)
		_, err := store.Account("10036")
		So(err, ShouldBeNil)
		_, err = store.Account("10037")
		So(errors.Is(err, account.ErrNotFound), ShouldBeTrue)
	})

	Convey("A file of this service is not recognized as one of the original service", t, func() {
		store, _ := open(newPath(t), 100)
		So(store.Original(), ShouldBeFalse)
	})
}
