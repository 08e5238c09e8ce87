package main

import (
	encoding "encoding/binary"
	"fmt"
	"net/http"
	"os"
	"syscall"
	"testing"

	. "github.com/smartystreets/goconvey/convey"
	bolt "go.etcd.io/bbolt"
)

// loseLeaf changes the count of a leaf in the middle of the accounts to three.
func loseLeaf(path string) {
	file, err := os.ReadFile(path)
	So(err, ShouldBeNil)
	size := os.Getpagesize()
	var leaves []int
	for start := 2 * size; start+size <= len(file); start += size {
		number, flags, count := encoding.LittleEndian.Uint64(file[start:]), file[start+8], encoding.LittleEndian.Uint16(file[start+10:])
		if number == uint64(start/size) && flags == 2 && count > 3 {
			leaves = append(leaves, start)
		}
	}
	So(len(leaves), ShouldBeGreaterThan, 10)
	encoding.LittleEndian.PutUint16(file[leaves[len(leaves)/2]+10:], 3)
	So(os.WriteFile(path, file, 0o600), ShouldBeNil)
}

func TestMissingAccounts(t *testing.T) {
	Convey("Given a service with a file in which some accounts are lost", t, func() {
		path := newPath(t)
		first := serving("-db", path, "-accounts", "3000")
		first.signal(syscall.SIGTERM)
		So(first.exit(), ShouldEqual, 0)
		loseLeaf(path)
		p := serving("-db", path, "-accounts", "3000", "-admin-addr", "127.0.0.1:0")
		So(mustGet(p.url("/health")).StatusCode, ShouldEqual, http.StatusOK)

		Convey("When each account is asked for twice, missing ones are failures, the log has one line, and the service is down", func() {
			before, lost := len(p.messages()), 0
			for range 2 {
				for i := range 3000 {
					got := mustGet(p.url(fmt.Sprint("/accounts/", 10000+i)))
					if got.StatusCode == http.StatusOK {
						continue
					}
					lost++
					So(got.StatusCode, ShouldEqual, http.StatusInternalServerError)
				}
			}
			So(lost, ShouldBeGreaterThan, 50)
			So(p.messages()[before:], ShouldResemble, []string{"Request failed"})
			So(p.stdout.String(), ShouldContainSubstring, "accounts that were seeded are missing")
			for _, url := range []string{p.url("/health"), p.adminURL("/health")} {
				got := mustGet(url)
				So(got.StatusCode, ShouldEqual, http.StatusServiceUnavailable)
				So(got.body, ShouldEqual, `{"status":"DOWN"}`)
			}
			So(p.messages()[before:], ShouldHaveLength, 1)
			So(mustGet(p.adminURL("/metrics")).body, ShouldContainSubstring,
				fmt.Sprintf("\naccount_read_failures_total{cause=\"the file is damaged: accounts that were seeded are missing\"} %d\n", lost))

			Convey("And an account that was never seeded is still not found", func() {
				So(mustGet(p.url("/accounts/13000")).StatusCode, ShouldEqual, http.StatusNotFound)
				So(mustGet(p.url("/accounts/nobody")).StatusCode, ShouldEqual, http.StatusNotFound)
			})
		})
	})
}

// filled makes a BoltDB file with one value in one bucket.
func filled(path, bucket, value string) {
	db, err := bolt.Open(path, 0o600, nil)
	So(err, ShouldBeNil)
	So(db.Update(func(tx *bolt.Tx) error {
		b, err := tx.CreateBucket([]byte(bucket))
		if err != nil {
			return err
		}
		return b.Put([]byte("10000"), []byte(value))
	}), ShouldBeNil)
	So(db.Close(), ShouldBeNil)
}

func TestFilesOfOthers(t *testing.T) {
	const ada = `{"id":"10000","name":"Ada"}`

	Convey("When the service is started with a file of the original, it says so, and serves its names", t, func() {
		path := newPath(t)
		filled(path, "AccountBucket", ada)
		p := serving("-db", path)
		So(p.messages()[1], ShouldEqual, "Serving a file of the original service as it is: nothing is seeded")
		So(mustGet(p.url("/accounts/10000")).body, ShouldEqual, ada)
		So(mustGet(p.url("/accounts/10001")).StatusCode, ShouldEqual, http.StatusNotFound)
		So(mustGet(p.url("/health")).StatusCode, ShouldEqual, http.StatusOK)
	})

	for bucket, value := range map[string]string{"users": ada, "accounts": "secret"} {
		Convey("When the service is started with a file of another program, one line says so, and it ends: "+bucket, t, func() {
			path := newPath(t)
			filled(path, bucket, value)
			got := finish(command(nil, "-addr", "127.0.0.1:0", "-db", path))
			So(got.stderr, shouldBeOneLine, path, "not one of this service", bucket, "left as it is", "-db")
			So(got.code, ShouldEqual, 1)
		})
	}
}
