package main

import (
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/api/types/swarm"
	. "github.com/smartystreets/goconvey/convey"
)

// taken makes the state after another command has taken the lock of a service, but has not
// read the history yet: it waits for the lock of another service of its file.
func (p *pretend) taken(service string) {
	p.robbed(service)
	p.holds(service)
}

func TestRobLateFailedNote(t *testing.T) {
	Convey("A deploy that loses its lock while it goes back does not note how it ended, so the next one restores what ran", t, func() {
		p := pretendSwarm(t)
		p.bad = func(spec swarm.ServiceSpec) bool {
			return !strings.Contains(spec.TaskTemplate.ContainerSpec.Image, "v1")
		}
		So(with(t, "v1", "up web").exit, ShouldEqual, 0)
		p.hook("POST", "/services/", func() { // The update to v2, which is bad.
			p.hook("GET", "/networks", func() { p.taken("web") }) // The deploy goes back, and has not changed anything yet.
		})
		a := with(t, "v2", "up web --rolling")
		So(a.exit, ShouldEqual, exitFailed)
		So(p.image("web"), ShouldContainSubstring, "v2") // It was right to leave the service to the next command...
		told := p.outcomes("web")
		p.robbed("web")
		with(t, "v3", "up web --rolling")
		So(p.image("web"), ShouldContainSubstring, "v1") // v3 is bad too.
		So(told, ShouldEqual, "1 done, 2 running")       // ... which has to be told.
	})
}

func TestRobLateTrial(t *testing.T) {
	Convey("A deploy that wakes before its trial leaves that of the next one alone", t, func() {
		p := pretendSwarm(t)
		webAlone(t, "3s", "30s")
		So(with(t, "v1", "up web").exit, ShouldEqual, 0)
		ended := make(chan result)
		p.hook("GET", "/services/web-trial", func() {
			p.robbed("web")
			go func() { ended <- with(t, "v3", "up web --rolling") }()
			for p.image("web-trial") == "none" {
				time.Sleep(10 * time.Millisecond)
			}
			time.Sleep(500 * time.Millisecond)
		})
		with(t, "v2", "up web --rolling")
		b := <-ended
		So(b.exit, ShouldEqual, 0)
		So(p.image("web"), ShouldContainSubstring, "v3")
	})
}

func TestRobUnlabelled(t *testing.T) {
	Convey("A service that somebody makes by hand, at the moment in which a deploy over an adopted one goes back, is not taken for it", t, func() {
		p := pretendSwarm(t)
		p.bad = badImage("v2")
		p.make("svc0", "web", "hand:v0", nil)
		p.hook("POST", "/services/create", func() { // v2, which is bad.
			p.hook("POST", "/services/create", func() { p.make("svc9", "web", "stranger:v9", nil) }) // v0 again.
		})
		a := with(t, "v2", "up web --adopt")
		So(p.image("web"), ShouldEqual, "stranger:v9")
		So(a.stderr, ShouldNotContainSubstring, "is back")
	})
}

func TestRobLateEntry(t *testing.T) {
	Convey("A deploy that wakes before it stores its entry leaves nothing to restore, where somebody has removed the service", t, func() {
		p := pretendSwarm(t)
		So(with(t, "v1", "up web").exit, ShouldEqual, 0)
		p.hook("POST", "/configs/create", func() { // Its lock.
			p.hook("POST", "/configs/create", func() {
				p.robbed("web")
				must(t, with(t, "v2", "remove web").exit, ShouldEqual, 0)
			})
		})
		So(with(t, "v2", "up web").exit, ShouldEqual, exitFailed)
		left := p.outcomes("web")
		next := with(t, "v3", "up web")
		So(next.stdout, ShouldNotContainSubstring, "Going back to web example/web:v1")
		So(left, ShouldEqual, "2 failed")
	})
}

func TestRobKilledRemove(t *testing.T) {
	Convey("Where a deploy was killed, and then a removal within the history, the next deploy works", t, func() {
		p := pretendSwarm(t)
		So(with(t, "v1", "up web").exit, ShouldEqual, 0)
		var next result
		p.hook("POST", "/services/create", func() {
			p.robbed("web")
			p.hook("DELETE", "/configs/", func() { // Entry 1.
				p.hook("DELETE", "/configs/", func() { // Entry 2.
					p.robbed("web")
					next = with(t, "v3", "up web")
				})
			})
			with(t, "v2", "remove web")
		})
		with(t, "v2", "up web")
		So(next.exit, ShouldEqual, 0)
	})
}
