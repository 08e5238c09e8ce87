package e2e

import (
	"strings"
	"testing"
	"time"

	. "github.com/smartystreets/goconvey/convey"
)

func TestEngineThatRestarts(t *testing.T) {
	if !ownEngine {
		t.Skip("only an engine of our own is restarted")
	}
	url := deployed(t, "VERSION=good")
	for step, flags := range map[string]string{"==> Removing": "", "==> Creating": "", "==> Updating": "--rolling"} {
		Convey("When the engine restarts at the step that says "+step+", the deploy waits for it, and its exit code and last line are true", t, func() {
			before := version(t)
			next := map[string]string{"good": "new", "new": "good"}[before]
			r, restarted := during(step, "copyall.sh "+flags, func() result {
				return run(nil, "sh", "-c", "./dockerd.sh stop node1 && ./dockerd.sh start node1")
			}, "VERSION="+next)
			So(restarted.exit, ShouldEqual, 0)
			if r.exit == 0 {
				So(r.stdout, ShouldEndWith, ": accountservice "+next+" serves at "+url+"\n")
			} else {
				So(r.exit, ShouldEqual, 1)
				So(lastLine(r), ShouldEndWith, "; version "+before+" is back: accountservice "+before+" serves at "+url)
				next = before
			}
			So(strings.Contains(r.stderr, "the engine is away, and is waited for"), ShouldBeTrue)
			So(eventually(30*time.Second, func() bool { return get(url) == firstAccount }), ShouldBeTrue)
			mustServe(t, url, next)
		})
	}
}
