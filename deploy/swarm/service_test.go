package swarm

import (
	"context"
	"net/http"
	"testing"

	. "github.com/smartystreets/goconvey/convey"
)

func TestTasksOfARemovedService(t *testing.T) {
	for what, answered := range map[string]int{"before its tasks are listed": 0, "while its tasks are listed": 1} {
		Convey("A service that somebody removes "+what+" has no tasks, and that is no error", t, func() {
			asked := 0
			e := pretending(t, func(w http.ResponseWriter, _ *http.Request) {
				if asked++; asked > answered {
					w.WriteHeader(http.StatusNotFound)
				}
				_, _ = w.Write([]byte(`[{"ID": "one"}]`))
			})
			tasks, err := e.Tasks(context.Background(), "shop")
			So(err, ShouldBeNil)
			So(tasks, ShouldBeEmpty)
		})
	}
}
