package boltstore_test

import (
	"sync"
	"sync/atomic"
	"testing"

	. "github.com/smartystreets/goconvey/convey"
	bolt "go.etcd.io/bbolt"

	"goblog/accountservice/account"
	"goblog/accountservice/boltstore"
)

func TestReadingAtOnce(t *testing.T) {
	Convey("Given a store with many readers at once, each of its own accounts", t, func() {
		const readers, accounts = 16, 3000
		path := newPath(t)
		store, _, err := boltstore.Open(path, accounts, patience)
		So(err, ShouldBeNil)
		var wrong atomic.Value
		var well, reading sync.WaitGroup
		well.Add(readers)
		for first := range readers {
			reading.Go(func() {
				for i := first; ; i += readers {
					if i == first+100*readers {
						well.Done()
					}
					a := account.Fake(i % accounts)
					got, err := store.Account(a.ID)
					if err != nil {
						break // The store is closed.
					}
					if string(got) != string(encode(a)) {
						wrong.Store(a.ID + " reads as " + string(got))
					}
				}
			})
		}
		So(within(patience, well.Wait), ShouldBeTrue)

		Convey("When it is closed meanwhile, all reads until then are right, and a writer can lock the file", func() {
			So(within(patience, func() { err = store.Close() }), ShouldBeTrue)
			So(err, ShouldBeNil)
			So(within(patience, reading.Wait), ShouldBeTrue)
			So(wrong.Load(), ShouldBeNil)
			_, err := store.Account("10000")
			So(err, ShouldNotBeNil)
			So(store.Ping(), ShouldNotBeNil)
			writer, err := bolt.Open(path, 0o600, &bolt.Options{Timeout: patience})
			So(err, ShouldBeNil)
			So(writer.Close(), ShouldBeNil)
		})
	})
}
