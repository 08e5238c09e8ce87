package boltstore_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	. "github.com/smartystreets/goconvey/convey"
	bolt "go.etcd.io/bbolt"

	"goblog/accountservice/boltstore"
)

func TestSeeding(t *testing.T) {
	// 10,000 accounts are one batch.
	for _, n := range []int{0, 1, 100, 10_000, 10_001} {
		Convey(fmt.Sprintf("Given a path without a file, when it is opened for %d accounts, exactly these are in it", n), t, func() {
			path := newPath(t)
			_, added := open(path, n)
			So(added, ShouldEqual, n)
			So(path, shouldHoldFakes, n)
			So(fileNames(path), ShouldResemble, []string{"accounts.db"})
		})
	}

	Convey("Given an empty file", t, func() {
		path := newPath(t)
		So(os.WriteFile(path, nil, 0o600), ShouldBeNil)

		Convey("When it is opened, it is seeded", func() {
			_, added := open(path, 100)
			So(added, ShouldEqual, 100)
			So(path, shouldHoldFakes, 100)
		})
	})

	Convey("Given an empty database", t, func() {
		path := newPath(t)
		edit(path, func(_, _ *bolt.Bucket) error { return nil })

		Convey("When it is opened, it is seeded", func() {
			_, added := open(path, 100)
			So(added, ShouldEqual, 100)
			So(path, shouldHoldFakes, 100)
		})
	})
}

func TestKilledWhileMakingTheFile(t *testing.T) {
	// BoltDB makes a file of four pages with one write. A kill may leave only the beginning.
	made := newPath(t)
	db, err := bolt.Open(made, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	for _, size := range []int64{100, pageSize, pageSize + 1, 2 * pageSize, 3 * pageSize, 4 * pageSize} {
		Convey(fmt.Sprintf("Given the first %d bytes of a file that BoltDB makes", size), t, func() {
			file, err := os.ReadFile(made)
			So(err, ShouldBeNil)
			path := newPath(t)
			So(os.WriteFile(path, file[:size], 0o600), ShouldBeNil)

			Convey("When it is opened, it is made again and seeded", func() {
				_, added := open(path, 100)
				So(added, ShouldEqual, 100)
				So(path, shouldHoldFakes, 100)
				So(fileNames(path), ShouldResemble, []string{"accounts.db"})
			})

			Convey("When a process that makes it has locked it, opening waits for that process", func() {
				maker, err := os.OpenFile(path, os.O_RDWR, 0)
				So(err, ShouldBeNil)
				defer maker.Close()
				So(syscall.Flock(int(maker.Fd()), syscall.LOCK_EX), ShouldBeNil)
				_, _, err = boltstore.Open(path, 100, 200*time.Millisecond)
				So(err, ShouldNotBeNil)
				So(err.Error(), ShouldContainSubstring, "another process holds the lock")
				after, err := os.ReadFile(path)
				So(err, ShouldBeNil)
				So(bytes.Equal(after, file[:size]), ShouldBeTrue)
			})
		})
	}
}

func TestStoppedAtItsStart(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 3*patience)
	defer cancel()

	Convey("Given a path, at which processes were stopped again and again within their first milliseconds", t, func() {
		path := newPath(t)
		for i := range 40 {
			cmd := opener(ctx, path, 100)
			So(cmd.Start(), ShouldBeNil)
			time.Sleep(time.Duration(i) * 300 * time.Microsecond) // The test is about this delay.
			_ = cmd.Process.Signal([]os.Signal{syscall.SIGTERM, syscall.SIGKILL}[i%2])
			_ = cmd.Wait()
		}

		Convey("When the file is opened, it is complete, and there is no other file", func() {
			open(path, 100)
			So(path, shouldHoldFakes, 100)
			So(fileNames(path), ShouldResemble, []string{"accounts.db"})
		})
	})
}

func TestSeedingAgain(t *testing.T) {
	const ada = `{"id":"10005","name":"Ada"}`
	const zoe = `{"id":"zoe","name":"Zoe"}`

	Convey("Given a file seeded with 100 accounts", t, func() {
		path := newPath(t)
		store, _, err := boltstore.Open(path, 100, 0)
		So(err, ShouldBeNil)
		So(store.Close(), ShouldBeNil)

		for _, n := range []int{100, 50, 0} {
			Convey(fmt.Sprintf("When it is opened for %d, no byte of it changes", n), func() {
				before, err := os.ReadFile(path)
				So(err, ShouldBeNil)
				_, added := open(path, n)
				So(added, ShouldEqual, 0)
				after, err := os.ReadFile(path)
				So(err, ShouldBeNil)
				So(string(after) == string(before), ShouldBeTrue)
			})
		}

		Convey("When it is opened for 200, only the 100 that are missing are added", func() {
			_, added := open(path, 200)
			So(added, ShouldEqual, 100)
			So(path, shouldHoldFakes, 200)
		})

		Convey("When one account was changed and one was added, and more are wanted, both stay as they are", func() {
			edit(path, func(accounts, _ *bolt.Bucket) error {
				if err := accounts.Put([]byte("zoe"), []byte(zoe)); err != nil {
					return err
				}
				return accounts.Put([]byte("10005"), []byte(ada))
			})
			_, added := open(path, 200)
			So(added, ShouldEqual, 100)
			accounts, _ := contents(path)
			So(accounts, ShouldHaveLength, 201)
			So(accounts["10005"], ShouldEqual, ada)
			So(accounts["zoe"], ShouldEqual, zoe)
		})
	})

	Convey("Given a seeded file in which large values were removed, so that its free pages have old data", t, func() {
		path := newPath(t)
		store, _, err := boltstore.Open(path, 100, 0)
		So(err, ShouldBeNil)
		So(store.Close(), ShouldBeNil)
		large := bytes.Repeat([]byte("x"), 100_000)
		edit(path, func(accounts, _ *bolt.Bucket) error { return accounts.Put([]byte("zoe"), large) })
		for range 4 {
			edit(path, func(accounts, _ *bolt.Bucket) error { return accounts.Put([]byte("zoe"), []byte(zoe)) })
		}

		Convey("When it is opened for 200, the missing ones are added", func() {
			_, added := open(path, 200)
			So(added, ShouldEqual, 100)
		})
	})

	Convey("Given a file whose seeding was interrupted, and in which one account was changed", t, func() {
		path := newPath(t)
		seedWithoutMarker(path, fakes(20))
		edit(path, func(accounts, _ *bolt.Bucket) error { return accounts.Put([]byte("10005"), []byte(ada)) })

		Convey("When it is opened, the missing ones are added, and the changed one stays as it is", func() {
			_, added := open(path, 100)
			So(added, ShouldEqual, 80)
			accounts, marker := contents(path)
			So(accounts, ShouldHaveLength, 100)
			So(accounts["10005"], ShouldEqual, ada)
			So(marker, ShouldEqual, "100")
		})
	})
}

func TestInterruptedSeeding(t *testing.T) {
	const n = 12_000 // Two batches.
	for name, present := range map[string]int{
		"no account":                             0,
		"one account":                            1,
		"part of a batch":                        4_000,
		"a batch":                                10_000,
		"all accounts, but not their number yet": n,
	} {
		Convey("Given a file after an interrupted seeding, with "+name, t, func() {
			path := newPath(t)
			seedWithoutMarker(path, fakes(n)[:present])

			Convey("When it is opened, the rest is added", func() {
				_, added := open(path, n)
				So(added, ShouldEqual, n-present)
				So(path, shouldHoldFakes, n)
			})
		})
	}

	Convey("Given a file with gaps, and an account after them", t, func() {
		path := newPath(t)
		all := fakes(100)
		seedWithoutMarker(path, append(all[10:20:20], all[99]))

		Convey("When it is opened, the gaps are filled", func() {
			_, added := open(path, 100)
			So(added, ShouldEqual, 89)
			So(path, shouldHoldFakes, 100)
		})
	})

	Convey("Given a file whose number of accounts is not a number", t, func() {
		path := newPath(t)
		edit(path, func(_, meta *bolt.Bucket) error { return meta.Put([]byte("seeded"), []byte("lots")) })

		Convey("When it is opened, it is seeded", func() {
			_, added := open(path, 100)
			So(added, ShouldEqual, 100)
			So(path, shouldHoldFakes, 100)
		})
	})
}

func TestKilledWhileSeeding(t *testing.T) {
	const n = 50_000 // Five batches, each one transaction.
	ctx, cancel := context.WithTimeout(context.Background(), 3*patience)
	defer cancel()

	// killWhen lets a process seed the file, and kills it when the condition holds.
	killWhen := func(path string, condition func() bool) {
		cmd := opener(ctx, path, n)
		So(cmd.Start(), ShouldBeNil)
		reached := eventually(condition)
		So(cmd.Process.Kill(), ShouldBeNil)
		_ = cmd.Wait()
		So(reached, ShouldBeTrue)
	}

	Convey("Given a process that was killed during its seeding", t, func() {
		path := newPath(t)

		for _, moment := range []struct {
			name    string
			reached func() bool
		}{
			{"when there is any file", func() bool { return len(fileNames(path)) > 0 }},
			{"when there is a database", func() bool { return lastTransaction(path) > 0 }},
			{"after the first batch", func() bool { return lastTransaction(path) >= 2 }},
			{"near the end", func() bool { return lastTransaction(path) >= 5 }},
		} {
			Convey(moment.name, func() {
				So(killedHalfWay(path, func() { killWhen(path, moment.reached) }), ShouldBeTrue)

				Convey("When the file is opened, the rest is added", func() {
					before := 0
					if lastTransaction(path) > 0 {
						accounts, _ := contents(path)
						before = len(accounts)
					}
					_, added := open(path, n)
					So(added, ShouldEqual, n-before)
					So(path, shouldHoldFakes, n)
				})
			})
		}

		Convey("again and again", func() {
			So(killedHalfWay(path, func() {
				for range 3 {
					last := lastTransaction(path)
					killWhen(path, func() bool { return lastTransaction(path) >= last+2 })
				}
			}), ShouldBeTrue)

			Convey("When the file is opened, it is completed", func() {
				open(path, n)
				So(path, shouldHoldFakes, n)
			})
		})
	})
}

// killedHalfWay runs kill until it leaves an incomplete file. On a busy machine, the seeding
// may end before the kill.
func killedHalfWay(path string, kill func()) bool {
	for range 5 {
		kill()
		if lastTransaction(path) == 0 {
			return true
		}
		if _, marker := contents(path); marker == "" {
			return true
		}
		So(os.Remove(path), ShouldBeNil)
		leftovers, err := filepath.Glob(path + ".*")
		So(err, ShouldBeNil)
		for _, name := range leftovers {
			So(os.Remove(name), ShouldBeNil)
		}
	}
	return false
}

// lastTransaction returns the number of the last transaction in a file that another process
// writes. It is at byte 64 of one of the two meta pages. If there is no database, it is 0.
func lastTransaction(path string) uint64 {
	file, err := os.Open(path)
	if err != nil {
		return 0
	}
	defer file.Close()
	last := uint64(0)
	for page := range int64(2) {
		var id [8]byte
		if _, err := file.ReadAt(id[:], page*int64(os.Getpagesize())+64); err != nil {
			return 0
		}
		last = max(last, binary.LittleEndian.Uint64(id[:]))
	}
	return last
}

func TestSeedingAtTheSameTime(t *testing.T) {
	const n = 11_000
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()

	for name, prepare := range map[string]func(path string){
		"a path without a file": func(string) {},
		"an empty file":         func(path string) { So(os.WriteFile(path, nil, 0o600), ShouldBeNil) },
		"a file whose seeding was interrupted": func(path string) {
			seedWithoutMarker(path, fakes(n)[:n/2])
		},
	} {
		Convey("Given "+name, t, func() {
			path := newPath(t)
			prepare(path)
			missing := n
			if info, err := os.Stat(path); err == nil && info.Size() > 0 {
				accounts, _ := contents(path)
				missing -= len(accounts)
			}

			Convey("When three processes open it at once, all succeed, and each account is added once", func() {
				holders := []*holder{startHolder(ctx, path, n), startHolder(ctx, path, n), startHolder(ctx, path, n)}
				added := 0
				for _, h := range holders {
					added += h.added()
				}
				So(added, ShouldEqual, missing)
				for _, h := range holders {
					h.close()
				}
				So(path, shouldHoldFakes, n)
				So(fileNames(path), ShouldResemble, []string{"accounts.db"})
			})

			Convey("When eight goroutines open it at once, all succeed, and each account is added once", func() {
				type result struct {
					store *boltstore.Store
					added int
					err   error
				}
				results := make(chan result)
				for range 8 {
					go func() {
						store, added, err := boltstore.Open(path, n, patience)
						results <- result{store, added, err}
					}()
				}
				added := 0
				for range 8 {
					r := <-results
					So(r.err, ShouldBeNil)
					added += r.added
					defer func() { So(r.store.Close(), ShouldBeNil) }()
				}
				So(added, ShouldEqual, missing)
				So(path, shouldHoldFakes, n)
			})
		})
	}
}
