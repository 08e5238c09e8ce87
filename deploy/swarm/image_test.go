package swarm

import (
	"context"
	"net/http"
	"testing"

	. "github.com/smartystreets/goconvey/convey"
)

func TestRemoveTag(t *testing.T) {
	for what, it := range map[string]struct {
		status  int
		removed bool
		fails   bool
	}{
		"removes it":                       {http.StatusOK, true, false},
		"has a container that uses it":     {http.StatusConflict, false, false},
		"has no such tag any more":         {http.StatusNotFound, false, false},
		"fails in another way, it says so": {http.StatusForbidden, false, true},
	} {
		Convey("Where the engine is asked to remove a tag, and "+what, t, func() {
			e := pretending(t, func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(it.status)
				_, _ = w.Write([]byte("[]"))
			})
			removed, err := e.RemoveTag(context.Background(), "shop:sha-1")
			So(removed, ShouldEqual, it.removed)
			So(err != nil, ShouldEqual, it.fails)
		})
	}
}
