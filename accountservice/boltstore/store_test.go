package boltstore_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	. "github.com/smartystreets/goconvey/convey"
	bolt "go.etcd.io/bbolt"

	"goblog/accountservice/account"
	"goblog/accountservice/boltstore"
)

func TestManyAccounts(t *testing.T) {
	ids := map[string]func(i int) string{
		"the ids that are seeded": func(i int) string { return account.Fake(i).ID },
		"ids of all lengths":      func(i int) string { return strings.Repeat("7", i%300) + strconv.Itoa(i) },
		"ids of all characters":   func(i int) string { return string([]rune{rune(i % 1000), 'x', rune(i / 1000)}) },
		"ids of a few kinds":      func(i int) string { return strconv.Itoa(i*i*i%1000) + strings.Repeat("0", 12) + strconv.Itoa(i) },
	}
	for kind, id := range ids {
		Convey("Given many accounts with "+kind, t, func() {
			const n = 10_000
			path, all := newPath(t), seededValues(100)
			for i := range n {
				all[id(i)] = string(encode(account.Account{ID: id(i), Name: "Somebody"}))
			}
			contentOf(path, map[string]map[string]string{"accounts": all, "meta": {"seeded": "100"}})
			store, _ := open(path, 100)

			Convey("Then each is found, and no id before or after one of them", func() {
				wrong := []string{}
				for id, want := range all {
					if got, err := store.Account(id); err != nil || string(got) != want {
						wrong = append(wrong, id)
					}
					for _, other := range []string{id + "\x00", id + "~", id[:len(id)-1] + "/", id[:len(id)-1]} {
						if _, isThere := all[other]; isThere {
							continue
						}
						if _, err := store.Account(other); !errors.Is(err, account.ErrNotFound) {
							wrong = append(wrong, other)
						}
					}
				}
				So(wrong, ShouldBeEmpty)
			})
		})
	}
}

func TestReading(t *testing.T) {
	Convey("Given a store of 100 accounts", t, func() {
		store, _ := open(newPath(t), 100)

		Convey("Then the value of an account is its JSON, exactly", func() {
			for id, want := range map[string]string{
				"10000": `{"id":"10000","name":"Person_0"}`,
				"10042": `{"id":"10042","name":"Person_42"}`,
				"10099": `{"id":"10099","name":"Person_99"}`,
			} {
				got, err := store.Account(id)
				So(err, ShouldBeNil)
				So(string(got), ShouldEqual, want)
			}
		})

		Convey("Then an id without an account is not found", func() {
			for _, id := range []string{"", "0", "1000", "9999", "10100", "100000", "Person_0", "seeded", "accounts", strings.Repeat("1", 100_000)} {
				got, err := store.Account(id)
				So(errors.Is(err, account.ErrNotFound), ShouldBeTrue)
				So(got, ShouldBeNil)
			}
		})

		Convey("Then it can be pinged", func() {
			So(store.Ping(), ShouldBeNil)
		})

		Convey("When a reader changes its copy", func() {
			got, err := store.Account("10000")
			So(err, ShouldBeNil)
			clear(got)

			Convey("Then the next reader gets the account unchanged", func() {
				again, err := store.Account("10000")
				So(err, ShouldBeNil)
				So(string(again), ShouldEqual, `{"id":"10000","name":"Person_0"}`)
			})
		})

		Convey("When it is closed", func() {
			got, err := store.Account("10000")
			So(err, ShouldBeNil)
			So(store.Close(), ShouldBeNil)

			Convey("Then an account that was read before stays intact", func() {
				So(string(got), ShouldEqual, `{"id":"10000","name":"Person_0"}`)
			})
			Convey("Then reads and pings fail, but not with ErrNotFound", func() {
				_, err := store.Account("10000")
				So(err, ShouldNotBeNil)
				So(errors.Is(err, account.ErrNotFound), ShouldBeFalse)
				So(store.Ping(), ShouldNotBeNil)
			})
		})
	})
}

func TestSeveralStoresOfOneFile(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()

	Convey("Given a seeded file that is open in this process", t, func() {
		path := newPath(t)
		one, _ := open(path, 100)

		Convey("When it is opened again, by this process and by another one", func() {
			two, added := open(path, 100)
			So(added, ShouldEqual, 0)
			other := startHolder(ctx, path, 100)
			So(other.added(), ShouldEqual, 0)

			Convey("Then all can read at the same time", func() {
				for _, store := range []*boltstore.Store{one, two} {
					got, err := store.Account("10099")
					So(err, ShouldBeNil)
					So(string(got), ShouldEqual, `{"id":"10099","name":"Person_99"}`)
				}
				other.close()
			})
		})
	})
}

func TestLockedFile(t *testing.T) {
	const wait = 300 * time.Millisecond

	Convey("Given a seeded file that a writer has locked", t, func() {
		path := newPath(t)
		seeded, _, err := boltstore.Open(path, 100, 0)
		So(err, ShouldBeNil)
		So(seeded.Close(), ShouldBeNil)
		writer, err := bolt.Open(path, 0o600, nil)
		So(err, ShouldBeNil)
		Reset(func() { So(writer.Close(), ShouldBeNil) })

		Convey("When a store is opened, it waits until the lock is released", func() {
			var store *boltstore.Store
			var err error
			opened := make(chan struct{})
			go func() {
				store, _, err = boltstore.Open(path, 100, patience)
				close(opened)
			}()
			So(within(wait, func() { <-opened }), ShouldBeFalse)
			So(writer.Close(), ShouldBeNil)
			So(within(patience/2, func() { <-opened }), ShouldBeTrue)
			So(err, ShouldBeNil)
			So(store.Ping(), ShouldBeNil)
			So(store.Close(), ShouldBeNil)
		})

		Convey("When the lock is not released in time, this fails and names the file and the lock", func() {
			shouldFailOnLock(path, 100, wait)
		})
	})

	Convey("Given a seeded file that a reader has open", t, func() {
		path := newPath(t)
		open(path, 100)

		Convey("When more accounts are wanted, which needs the lock, this fails in time and names it", func() {
			shouldFailOnLock(path, 200, wait)
		})
	})
}

func shouldFailOnLock(path string, n int, wait time.Duration) {
	start := time.Now()
	var err error
	So(within(patience, func() { _, _, err = boltstore.Open(path, n, wait) }), ShouldBeTrue)
	So(err, ShouldNotBeNil)
	So(err.Error(), ShouldContainSubstring, path)
	So(err.Error(), ShouldContainSubstring, "lock")
	// BoltDB tries every 50 ms, and gives up after its last try before the end.
	So(time.Since(start), ShouldBeBetween, wait-100*time.Millisecond, wait+3*time.Second)
}

func TestImpossiblePath(t *testing.T) {
	dir := t.TempDir()
	file, fifo, socket := filepath.Join(dir, "file"), filepath.Join(dir, "fifo"), filepath.Join(dir, "socket")
	if err := os.WriteFile(file, []byte("a file, not a directory"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	for path, what := range map[string]string{
		filepath.Join(dir, "missing", "accounts.db"): "no such file or directory",
		filepath.Join(file, "accounts.db"):           "not a directory",
		dir:                                          "it is a directory",
		fifo:                                         "it is a named pipe (FIFO)",
		socket:                                       "it is a socket",
		"/dev/null":                                  "it is a device",
		"/dev/full":                                  "it is a device",
	} {
		Convey("When the path "+path+" is opened, this fails at once, says what the path is, and makes no file", t, func() {
			var err error
			So(within(patience, func() { _, _, err = boltstore.Open(path, 100, time.Second) }), ShouldBeTrue)
			So(err, ShouldNotBeNil)
			So(err.Error(), shouldBeOneLineNaming, path+": ", what, "-db")
			So(fileNames(file), ShouldResemble, []string{"fifo", "file", "socket"})
		})
	}
}
