package main

import (
	"context"
	"strings"
	"testing"

	"github.com/moby/moby/api/types/swarm"
	. "github.com/smartystreets/goconvey/convey"
)

// with runs a command with a version of the images.
func with(t *testing.T, tag, command string) result {
	t.Setenv("TAG", tag)
	r := deploy(context.Background(), strings.Fields(command)...)
	t.Logf("--- %s: %s: exit %d\n%s%s", tag, command, r.exit, r.stdout, r.stderr)
	return r
}

// must is So for goroutines other than the goroutine of the test.
func must(t *testing.T, actual any, assert Assertion, expected ...any) {
	if said := assert(actual, expected...); said != "" {
		t.Error("inside: " + said)
	}
}

func badImage(tag string) func(swarm.ServiceSpec) bool {
	return func(spec swarm.ServiceSpec) bool { return strings.Contains(spec.TaskTemplate.ContainerSpec.Image, tag) }
}

func TestRobLateUpdate(t *testing.T) {
	Convey("A deploy that wakes with a decided update, after rollback.sh has restored what ran, is refused", t, func() {
		p := pretendSwarm(t)
		So(with(t, "v1", "up web").exit, ShouldEqual, 0)
		var b result
		p.hook("POST", "/update", func() {
			p.robbed("web")
			b = with(t, "v2", "rollback web")
		})
		a := with(t, "v2", "up web --rolling")
		So(b.exit, ShouldEqual, 0)
		So(b.stdout, ShouldContainSubstring, "Restored web")
		So(a.exit, ShouldEqual, exitFailed)
		So(p.image("web"), ShouldContainSubstring, "v1")
	})
}

func TestRobUpdateSentAgain(t *testing.T) {
	Convey("A deploy whose update is refused, as the next one has failed and gone back, does not send it again", t, func() {
		p := pretendSwarm(t)
		p.bad = badImage("v3")
		So(with(t, "v1", "up web").exit, ShouldEqual, 0)
		p.hook("POST", "/services/", func() {
			p.robbed("web")
			must(t, with(t, "v3", "up web --rolling").exit, ShouldEqual, exitFailed)
			must(t, p.image("web"), ShouldContainSubstring, "v1")
		})
		a := with(t, "v2", "up web --rolling")
		So(a.exit, ShouldEqual, exitFailed)
		So(p.image("web"), ShouldContainSubstring, "v1")
	})
}

func TestRobLateUndo(t *testing.T) {
	Convey("A deploy that wakes when it was about to go back leaves what the next one has made", t, func() {
		p := pretendSwarm(t)
		p.bad = badImage("v2")
		So(with(t, "v1", "up web").exit, ShouldEqual, 0)
		var b result
		p.hook("POST", "/services/", func() { // The update to v2: let it pass.
			p.hook("POST", "/services/", func() { // Going back.
				p.robbed("web")
				b = with(t, "v3", "up web --rolling")
				must(t, p.image("web"), ShouldContainSubstring, "v3")
			})
		})
		with(t, "v2", "up web --rolling")
		So(b.exit, ShouldEqual, 0)
		So(p.image("web"), ShouldContainSubstring, "v3")
	})
}

func TestRobLateRemoval(t *testing.T) {
	for _, next := range []string{"up web --rolling", "rollback web"} {
		Convey("A deploy that wakes with a decided removal does not remove what the next command has left: "+next, t, func() {
			p := pretendSwarm(t)
			So(with(t, "v1", "up web").exit, ShouldEqual, 0)
			var b result
			p.hook("DELETE", "/services/", func() {
				p.robbed("web")
				b = with(t, "v3", next)
			})
			with(t, "v2", "up web")
			So(b.exit, ShouldEqual, 0)
			So(p.image("web"), ShouldNotEqual, "none")
		})
	}
}

func TestRobTwoChanges(t *testing.T) {
	Convey("A deploy that wakes when it was about to go back by a removal and a creation makes one change at most", t, func() {
		p := pretendSwarm(t)
		p.bad = badImage("v2")
		So(with(t, "v1", "up web").exit, ShouldEqual, 0)
		var b result
		var before int
		p.hook("DELETE", "/services/", func() { // Of v1.
			p.hook("DELETE", "/services/", func() { // Of v2.
				p.robbed("web")
				b = with(t, "v3", "up web --rolling")
				before = len(p.log)
			})
		})
		with(t, "v2", "up web")
		So(b.exit, ShouldEqual, 0)
		So(len(p.log)-before, ShouldBeLessThanOrEqualTo, 1)
	})
}

func TestRobLateDone(t *testing.T) {
	Convey("A deploy that wakes after its proof, when the next command has gone back from its version, has failed", t, func() {
		p := pretendSwarm(t)
		So(with(t, "v1", "up web").exit, ShouldEqual, 0)
		p.hook("POST", "/configs/cfg", func() {
			p.robbed("web")
			must(t, with(t, "v2", "rollback web").exit, ShouldEqual, 0)
			must(t, p.image("web"), ShouldContainSubstring, "v1")
			must(t, p.outcomes("web"), ShouldEqual, "1 done, 2 failed")
		})
		a := with(t, "v2", "up web --rolling")
		So(p.image("web"), ShouldContainSubstring, "v1")
		So(p.outcomes("web"), ShouldEqual, "1 done, 2 failed")
		So(a.exit, ShouldEqual, exitFailed)
	})
}

func TestRobRemove(t *testing.T) {
	Convey("A removal that wakes after the next deploy removes nothing of it", t, func() {
		p := pretendSwarm(t)
		So(with(t, "v1", "up web").exit, ShouldEqual, 0)
		p.hook("POST", "/configs/create", func() { // Its lock.
			p.hook("GET", "/services/web", func() {
				p.robbed("web")
				must(t, with(t, "v2", "up web --rolling").exit, ShouldEqual, 0)
			})
		})
		a := with(t, "v2", "remove web")
		So(p.image("web"), ShouldContainSubstring, "v2")
		So(p.outcomes("web"), ShouldEqual, "1 done, 2 done")
		So(a.exit, ShouldEqual, exitFailed)
	})
}

func TestRobKilledWhileAnotherGoesBack(t *testing.T) {
	Convey("Where a deploy of two services is killed while the first of them goes back as well, the next command restores it", t, func() {
		p := pretendSwarm(t)
		p.bad = func(spec swarm.ServiceSpec) bool {
			return strings.Contains(spec.TaskTemplate.ContainerSpec.Image, "web-v2")
		}
		So(with(t, "v1", "up").exit, ShouldEqual, 0)
		var b result
		image := ""
		nth := 0
		var count func()
		count = func() {
			if nth++; nth < 4 { // shop v2, web v2, web v1 again; then shop v1 again.
				p.hook("POST", "/services/create", count)
				return
			}
			must(t, p.image("shop"), ShouldEqual, "none")
			p.robbed("shop", "web") // It is dead.
			b = with(t, "v2", "rollback shop")
			image = p.image("shop")
		}
		p.hook("POST", "/services/create", count)
		with(t, "v2", "up")
		So(nth, ShouldEqual, 4)
		So(b.exit, ShouldEqual, 0)
		So(image, ShouldContainSubstring, "v1")
		So(b.stdout, ShouldContainSubstring, "was cut off")
	})
}

func TestRobSecondLockHeld(t *testing.T) {
	Convey("Where a deploy of two services died with the first one removed, it is restored though somebody holds the second", t, func() {
		p := pretendSwarm(t)
		So(with(t, "v1", "up").exit, ShouldEqual, 0)
		var b result
		image := ""
		p.hook("POST", "/services/create", func() { // shop was removed.
			p.robbed("shop", "web")
			leave := p.lives("web")
			b = with(t, "v2", "up")
			image = p.image("shop")
			leave()
		})
		with(t, "v2", "up")
		So(b.stderr, ShouldContainSubstring, "web is being deployed already, by eve on earth")
		So(image, ShouldContainSubstring, "v1")
	})
}

func TestRobHandMade(t *testing.T) {
	Convey("A service that somebody makes by hand, where a deploy over an adopted one died, is left alone", t, func() {
		p := pretendSwarm(t)
		p.make("svc0", "web", "hand:v0", nil)
		image := ""
		p.hook("POST", "/services/create", func() {
			p.robbed("web")
			p.make("svc9", "web", "hand:v9", nil)
			p.Lock()
			p.services["svc9"].Spec.Mode = swarm.ServiceMode{Global: &swarm.GlobalService{}}
			p.Unlock()
			with(t, "v1", "rollback web")
			image = p.image("web")
		})
		with(t, "v1", "up web --adopt")
		So(image, ShouldEqual, "hand:v9")
	})
}

func TestRobMarksDoneAsFailed(t *testing.T) {
	Convey("A deploy of two services that is taken for dead in its second leaves the history of the first to others", t, func() {
		p := pretendSwarm(t)
		So(with(t, "v1", "up").exit, ShouldEqual, 0)
		n := 0
		var count func()
		count = func() {
			if n++; n < 2 {
				p.hook("POST", "/services/", count)
				return
			}
			p.robbed("shop", "web")
			must(t, with(t, "v3", "up --rolling").exit, ShouldEqual, 0)
			must(t, p.outcomes("shop"), ShouldEqual, "1 done, 2 failed, 3 done")
		}
		p.hook("POST", "/services/", count)
		with(t, "v2", "up --rolling")
		So(p.image("shop"), ShouldContainSubstring, "v3")
		So(p.image("web"), ShouldContainSubstring, "v3")
		So(p.outcomes("shop"), ShouldEqual, "1 done, 2 failed, 3 done")
	})
}

func TestRobCutOffUpdate(t *testing.T) {
	Convey("An update that is sent again, as the network was lost, is not sent after the next command has restored what ran", t, func() {
		p := pretendSwarm(t)
		So(with(t, "v1", "up web").exit, ShouldEqual, 0)
		p.hook("POST", "/services/", func() {
			p.robbed("web")
			must(t, with(t, "v2", "rollback web").exit, ShouldEqual, 0)
			p.lose()
		})
		a := with(t, "v2", "up web --rolling")
		So(a.exit, ShouldEqual, exitFailed)
		So(p.image("web"), ShouldContainSubstring, "v1")
	})
}

func TestRobCutOffCreate(t *testing.T) {
	Convey("A creation that is sent again, as the network was lost, is not sent after somebody has removed the service", t, func() {
		p := pretendSwarm(t)
		So(with(t, "v1", "up web").exit, ShouldEqual, 0)
		p.hook("POST", "/services/create", func() {
			p.robbed("web")
			must(t, with(t, "v2", "remove web").exit, ShouldEqual, 0)
			p.lose()
		})
		a := with(t, "v2", "up web")
		next := with(t, "v3", "up web")
		So(p.image("web"), ShouldNotContainSubstring, "v2")
		So(next.exit, ShouldEqual, 0)
		So(a.exit, ShouldEqual, exitFailed)
	})
}

func TestRobHalfOfTwo(t *testing.T) {
	Convey("Where a deploy of two services died in its second, who restores that one learns of the first", t, func() {
		p := pretendSwarm(t)
		So(with(t, "v1", "up").exit, ShouldEqual, 0)
		var b result
		shop := ""
		p.hook("POST", "/services/create", func() {
			p.hook("POST", "/services/create", func() {
				p.robbed("shop", "web")
				b = with(t, "v2", "rollback web")
				shop = p.image("shop")
			})
		})
		with(t, "v2", "up")
		So(b.exit, ShouldEqual, 0)
		So(shop, ShouldContainSubstring, "v2")
		So(b.stdout, ShouldContainSubstring, "this deploy also had the service shop: if it was changed, the next deploy or rollback of shop restores it")
		So(p.outcomes("shop"), ShouldEqual, "1 done, 2 running")
		So(with(t, "v2", "rollback shop").stdout, ShouldContainSubstring, "Restored shop")
		So(p.image("shop"), ShouldContainSubstring, "v1")
	})
	Convey("but not after the first was restored: then another rollback of it would go back too far", t, func() {
		p := pretendSwarm(t)
		So(with(t, "v1", "up").exit, ShouldEqual, 0)
		var b result
		p.hook("POST", "/services/create", func() {
			p.hook("POST", "/services/create", func() {
				p.robbed("shop", "web")
				must(t, with(t, "v2", "rollback shop").exit, ShouldEqual, 0)
				b = with(t, "v2", "rollback web")
			})
		})
		with(t, "v2", "up")
		So(b.stdout, ShouldContainSubstring, "Restored web")
		So(b.stdout, ShouldNotContainSubstring, "this deploy also had the service")
	})
}
