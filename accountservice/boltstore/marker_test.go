package boltstore

import (
	"path/filepath"
	"testing"
	"time"

	. "github.com/smartystreets/goconvey/convey"
)

func TestMarker(t *testing.T) {
	Convey("Given a file that was seeded with 200 accounts", t, func() {
		path := filepath.Join(t.TempDir(), "accounts.db")
		store, _, err := Open(path, 200, time.Second)
		So(err, ShouldBeNil)
		So(store.Close(), ShouldBeNil)

		Convey("When another process seeds it with 100 later, the file still has the number 200", func() {
			s := seeding{path: path, n: 100}
			So(s.run(), ShouldBeNil)
			So(s.added, ShouldEqual, 0)
			store, err := openComplete(path, 200, time.Second, true)
			So(err, ShouldBeNil)
			So(store.Close(), ShouldBeNil)
		})
	})
}
