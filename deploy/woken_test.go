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

func TestRobDoneAfterARemoval(t *testing.T) {
	Convey("A deploy that wakes after its proof, when somebody has removed the service and its history, says that it was taken for dead", t, func() {
		p := pretendSwarm(t)
		So(with(t, "v1", "up web").exit, ShouldEqual, 0)
		p.hook("POST", "/configs/cfg", func() { // The note of success.
			p.robbed("web")
			must(t, with(t, "v2", "remove web").exit, ShouldEqual, 0)
		})
		a := with(t, "v2", "up web --rolling")
		So(a.exit, ShouldEqual, exitFailed)
		So(p.image("web"), ShouldEqual, "none")
		So(a.stderr, ShouldContainSubstring, "another deploy decided that this one was dead")
		So(a.stderr, ShouldNotContainSubstring, "restores the version that ran before")
	})
}

func TestRobTheOtherGoingBack(t *testing.T) {
	Convey("Where a deploy of two services is taken for dead while the first goes back as well, that one is not said to be at fault", t, func() {
		p := pretendSwarm(t)
		p.bad = badImage("web-v2")
		So(with(t, "v1", "up").exit, ShouldEqual, 0)
		n := 0
		var count func()
		count = func() {
			if n++; n < 4 { // shop v2, web v2, web v1 again; then shop v1 again.
				p.hook("POST", "/services/", count)
				return
			}
			p.robbed("shop", "web")
			must(t, with(t, "v3", "up shop --rolling").exit, ShouldEqual, 0)
		}
		p.hook("POST", "/services/", count)
		a := with(t, "v2", "up --rolling")
		So(a.exit, ShouldEqual, exitFailed)
		So(p.image("shop"), ShouldContainSubstring, "v3")
		So(a.stderr, ShouldNotContainSubstring, "does not do what it should")
	})
}

func TestRobARecovery(t *testing.T) {
	Convey("A command that is itself taken for dead, while it restores what a dead one has changed, says so", t, func() {
		p := pretendSwarm(t)
		So(with(t, "v1", "up web").exit, ShouldEqual, 0)
		var b, c result
		p.hook("POST", "/services/", func() { // v2.
			p.hook("POST", "/services/", func() { // v1 again.
				p.robbed("web")
				c = with(t, "v4", "up web --rolling")
			})
			p.robbed("web")
			b = with(t, "v3", "up web --rolling")
		})
		with(t, "v2", "up web --rolling")
		So(c.exit, ShouldEqual, 0)
		So(p.image("web"), ShouldContainSubstring, "v4")
		So(b.exit, ShouldEqual, exitFailed)
		So(b.stderr, ShouldContainSubstring, "another deploy decided that this one was dead")
		So(b.stderr, ShouldNotContainSubstring, "does not do what it should")
	})
}

func TestTrialOverALostCall(t *testing.T) {
	Convey("Given a deploy with a trial, and an engine that is away for a moment", t, func() {
		p := pretendSwarm(t)
		webAlone(t, "1s", "30s")
		So(with(t, "v1", "up web").exit, ShouldEqual, 0)
		Convey("just when the trial is to be removed, no trial is left behind", func() {
			p.hook("DELETE", "/services/", p.lose)
			So(with(t, "v2", "up web --rolling").exit, ShouldEqual, 0)
			So(p.image("web"), ShouldContainSubstring, "v2")
			So(p.image("web-trial"), ShouldEqual, "none")
		})
		Convey("just when it was to tell that the trial is created, no trial is left behind", func() {
			p.hook("POST", "/services/create", func() {
				p.make("svc9", "web-trial", "example/web:v2", map[string]string{"deploy.trial": "yes"})
				p.lose()
			})
			So(with(t, "v2", "up web --rolling").exit, ShouldEqual, exitFailed)
			So(p.image("web"), ShouldContainSubstring, "v1")
			So(p.image("web-trial"), ShouldEqual, "none")
		})
	})
}

func TestRobOneOfTwoBeforeTheFirstChange(t *testing.T) {
	for _, it := range []struct{ command, method, part, lost, other string }{
		{"up --rolling", "GET", "/networks", "web", "shop"},  // it has both locks, and deploys shop first
		{"remove", "POST", "/configs/create", "shop", "web"}, // it is about to take the lock of web, and removes that first
	} {
		Convey("A command for two services that is taken for dead in one of them, before its first change, changes neither: "+it.command, t, func() {
			p := pretendSwarm(t)
			So(with(t, "v1", "up").exit, ShouldEqual, 0)
			before := 0
			p.hook("POST", "/configs/create", func() { // The lock of shop.
				p.hook(it.method, it.part, func() {
					p.robbed(it.lost)
					must(t, with(t, "v3", "up --rolling "+it.lost).exit, ShouldEqual, 0)
					before = len(p.log)
				})
			})
			a := with(t, "v2", it.command)
			So(a.exit, ShouldEqual, exitFailed)
			So(a.stderr, ShouldContainSubstring, "another deploy decided that this one was dead")
			So(p.log[before:], ShouldBeEmpty)
			So(p.image(it.other), ShouldContainSubstring, "v1")
		})
	}
}
