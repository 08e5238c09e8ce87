package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/api/types/swarm"
	. "github.com/smartystreets/goconvey/convey"

	"goblog/deploy/progress"
	"goblog/deploy/stack"
	engine "goblog/deploy/swarm"
)

// late lets a deploy of v2 wait at its first call that matches. It counts as dead, and the
// next command runs. At the nth call of the next command that matches, the late call arrives
// first; arrived tells when it has had its effect. late returns both results, the result of
// the late deploy first.
func (p *pretend) late(t *testing.T, command, method, part string, next func() result, nextMethod, nextPart string, nth int, arrived func(ended <-chan result)) (result, result) {
	goOn, first, second := make(chan bool), make(chan result, 1), make(chan result, 1)
	ended := make(chan result, 1)
	p.hook(method, part, func() {
		p.robbed("web")
		var count func()
		count = func() {
			if nth--; nth > 0 {
				p.hook(nextMethod, nextPart, count)
				return
			}
			close(goOn)
			arrived(ended)
		}
		p.hook(nextMethod, nextPart, count)
		go func() { second <- next() }()
		select {
		case <-goOn:
		case <-time.After(20 * time.Second):
			t.Error("the next command did not come so far")
		}
	})
	go func() {
		r := with(t, "v2", command)
		ended <- r
		first <- r
	}()
	return <-first, <-second
}

func TestLateUpdateAfterItsUndo(t *testing.T) {
	Convey("An update that was given up, and arrives after the deploy has gone back, changes nothing", t, func() {
		p := pretendSwarm(t)
		webAlone(t, "0s", "2s")
		So(with(t, "v1", "up web").exit, ShouldEqual, 0)
		p.hook("POST", "/services/", func() {
			p.Lock()
			p.keep = true // This call, and each further try of it ...
			p.Unlock()
			p.hook("GET", "/networks", func() { // ... until the deploy goes back.
				p.Lock()
				p.keep = false
				p.Unlock()
			})
		})
		a := with(t, "v2", "up web --rolling")
		So(a.exit, ShouldEqual, exitFailed)
		So(p.kept, ShouldNotBeEmpty)
		p.deliver()
		So(p.image("web"), ShouldContainSubstring, "v1")
	})
}

func TestLateUpdateBeforeItsFence(t *testing.T) {
	Convey("An update that arrives just before the next command restores what ran is undone by it", t, func() {
		p := pretendSwarm(t)
		So(with(t, "v1", "up web").exit, ShouldEqual, 0)
		a, b := p.late(t, "up web --rolling", "POST", "/services/", func() result { return with(t, "v2", "rollback web") },
			"POST", "/services/", 1, func(<-chan result) { p.becomes(t, "web", "v2") })
		So(b.exit, ShouldEqual, 0)
		So(a.exit, ShouldEqual, exitFailed)
		So(p.image("web"), ShouldContainSubstring, "v1")
		So(p.outcomes("web"), ShouldEqual, "1 done, 2 failed")
	})
}

func TestLateNoteOfSuccess(t *testing.T) {
	Convey("A deploy that wakes after its proof, while the next command restores what ran, does not note that it has worked", t, func() {
		p := pretendSwarm(t)
		So(with(t, "v1", "up web").exit, ShouldEqual, 0)
		a, b := p.late(t, "up web --rolling", "POST", "/configs/cfg", func() result { return with(t, "v2", "rollback web") },
			"POST", "/services/", 1, func(ended <-chan result) { <-ended })
		So(b.exit, ShouldEqual, 0)
		So(a.exit, ShouldEqual, exitFailed)
		So(p.image("web"), ShouldContainSubstring, "v1")
		So(p.outcomes("web"), ShouldEqual, "1 done, 2 failed")
	})
}

func TestLateCreation(t *testing.T) {
	for _, it := range []struct {
		what, next, nextTag, runs string
		nth                       int
	}{
		{"where the next command restores what ran", "rollback web", "v2", "v1", 1},
		{"in the moment in which the next deploy has removed the service", "up web", "v3", "v3", 2},
	} {
		Convey("A creation that arrives "+it.what+" is replaced by it", t, func() {
			p := pretendSwarm(t)
			So(with(t, "v1", "up web").exit, ShouldEqual, 0)
			a, b := p.late(t, "up web", "POST", "/services/create", func() result { return with(t, it.nextTag, it.next) },
				"POST", "/services/create", it.nth, func(<-chan result) { p.becomes(t, "web", "v2") })
			So(b.exit, ShouldEqual, 0)
			So(a.exit, ShouldEqual, exitFailed)
			So(p.image("web"), ShouldContainSubstring, it.runs)
		})
	}
}

func TestLateEntry(t *testing.T) {
	for _, it := range []struct{ what, outcome, method, part string }{
		{"when it is about to store its own", "failed", "POST", "/configs/create"},
		{"the same, by a deploy that was then killed", "running", "POST", "/configs/create"},
		{"when it makes its plan, by a deploy that was then killed", "running", "GET", "/tasks"},
	} {
		Convey("An entry that a dead deploy has stored in the last moment does not fail the next one, and does not stay open: "+it.what, t, func() {
			p := pretendSwarm(t)
			So(with(t, "v1", "up web").exit, ShouldEqual, 0)
			p.hook("POST", "/configs/create", func() { // The lock.
				p.hook(it.method, it.part, func() {
					p.config("web.deploy.2", map[string]string{"deploy.entry": "2", "deploy.outcome": it.outcome})
				})
			})
			So(with(t, "v2", "up web --rolling").exit, ShouldEqual, 0)
			So(p.outcomes("web"), ShouldEqual, "1 done, 2 failed, 3 done")
			So(with(t, "v2", "status").stdout, ShouldNotContainSubstring, "was cut off")
		})
	}
}

func TestLateEntryAfterARemoval(t *testing.T) {
	for command, exit := range map[string]int{"up web": exitDone, "rollback web": exitFailed, "remove web": exitDone} {
		Convey("The entry of a killed deploy that arrives after the removal of the service restores nothing of it: "+command, t, func() {
			p := pretendSwarm(t)
			So(with(t, "v1", "up web").exit, ShouldEqual, 0)
			late := &swarm.Config{}
			p.hook("POST", "/services/", func() { // The update to v2.
				p.Lock()
				for _, one := range p.configs {
					if one.Spec.Name == "web.deploy.2" {
						*late = *one
					}
				}
				p.Unlock()
				p.robbed("web")
				must(t, with(t, "v2", "remove web").exit, ShouldEqual, 0)
			})
			with(t, "v2", "up web --rolling")
			p.Lock()
			p.configs[late.ID] = late
			p.Unlock()
			So(p.outcomes("web"), ShouldEqual, "2 running")
			next := with(t, "v3", command)
			So(next.exit, ShouldEqual, exit)
			So(next.stdout, ShouldNotContainSubstring, "Going back")
			So(p.outcomes("web"), ShouldNotContainSubstring, "running")
		})
	}
}

func TestDeadTrial(t *testing.T) {
	trial := map[string]string{"deploy.trial": "yes"}
	for _, command := range []string{"up web", "rollback web", "remove web"} {
		Convey("The trial of a dead deploy is removed by the next command, though it makes none: "+command, t, func() {
			p := pretendSwarm(t)
			So(with(t, "v1", "up web").exit, ShouldEqual, 0)
			So(with(t, "v2", "up web").exit, ShouldEqual, 0)
			p.make("svc9", "web-trial", "example/web:v3", trial)
			So(with(t, "v2", command).exit, ShouldEqual, 0)
			So(p.image("web-trial"), ShouldEqual, "none")
		})
	}
	Convey("One that arrives just before the next deploy's trial is replaced by it", t, func() {
		p := pretendSwarm(t)
		webAlone(t, "1s", "30s")
		p.hook("POST", "/services/create", func() { p.make("svc9", "web-trial", "example/web:v3", trial) })
		So(with(t, "v1", "up web").exit, ShouldEqual, 0)
		So(p.image("web"), ShouldContainSubstring, "v1")
		So(p.image("web-trial"), ShouldEqual, "none")
	})
	Convey("A service of somebody else with the trial's name is left alone, and named", t, func() {
		p := pretendSwarm(t)
		webAlone(t, "1s", "30s")
		p.make("svc9", "web-trial", "example/other:v3", nil)
		r := with(t, "v1", "up web")
		So(r.exit, ShouldEqual, exitFailed)
		So(r.stderr, ShouldContainSubstring, "a service web-trial runs, and the trial needs this name")
		So(p.image("web-trial"), ShouldContainSubstring, "other")
	})
}

func TestLostLockOfOneOfTwo(t *testing.T) {
	Convey("Where a deploy of two services is taken for dead in one of them after its proof, it goes back with the other one", t, func() {
		p := pretendSwarm(t)
		So(with(t, "v1", "up").exit, ShouldEqual, 0)
		p.hook("POST", "/configs/cfg", func() { // That shop was proven.
			p.robbed("shop")
			must(t, with(t, "v2", "rollback shop").exit, ShouldEqual, 0)
		})
		So(with(t, "v2", "up --rolling").exit, ShouldEqual, exitFailed)
		So(p.image("shop"), ShouldContainSubstring, "v1")
		So(p.image("web"), ShouldContainSubstring, "v1")
		So(p.outcomes("shop"), ShouldEqual, "1 done, 2 failed")
		So(p.outcomes("web"), ShouldEqual, "1 done, 2 failed")
	})
}

func TestRemoveTakesAllLocksFirst(t *testing.T) {
	Convey("Where somebody deploys one of two services, their removal touches neither", t, func() {
		p := pretendSwarm(t)
		So(with(t, "v1", "up").exit, ShouldEqual, 0)
		defer p.lives("shop")()
		more := false // locks than the first by name: who holds those waits for nobody
		p.hook("POST", "/configs/create", func() { p.hook("POST", "/configs/create", func() { more = true }) })
		r := with(t, "v1", "remove")
		So(more, ShouldBeFalse)
		So(r.exit, ShouldEqual, exitFailed)
		So(r.stderr, ShouldContainSubstring, "shop is being deployed already, by eve on earth")
		So(p.image("web"), ShouldContainSubstring, "v1")
		Convey("but with --keep-going, the other one is removed", func() {
			r := with(t, "v1", "remove --keep-going")
			So(r.exit, ShouldEqual, exitFailed)
			So(p.image("web"), ShouldEqual, "none")
			So(p.image("shop"), ShouldContainSubstring, "v1")
		})
	})
}

func TestRemoveWatchesAllLocks(t *testing.T) {
	Convey("A removal of several services watches all their locks at the same time: if all holders are dead, it waits for 30 s once", t, func() {
		p := pretendSwarm(t)
		So(with(t, "v1", "up").exit, ShouldEqual, 0)
		p.holds("shop")
		p.holds("web")
		var asked sync.Map
		both := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asked.Store(r.FormValue("filters"), true)
			p.ServeHTTP(w, r)
		}))
		defer both.Close()
		t.Setenv("DOCKER_HOST", "tcp://"+both.Listener.Addr().String())
		ctx, cancel := context.WithTimeout(context.Background(), 2500*time.Millisecond)
		defer cancel()
		deploy(ctx, "remove")
		for _, service := range []string{"shop", "web"} {
			_, watched := asked.Load(`{"name":{"` + service + `.deploy.lock":true}}`)
			So(watched, ShouldBeTrue)
		}
	})
}

func TestRemoveBesideADeploy(t *testing.T) {
	Convey("Given a service that shares a network with one that is just being replaced", t, func() {
		p := pretendSwarm(t)
		webOn(t, "[shared]", onShared)
		p.networks["net1"] = network.Summary{Network: network.Network{ID: "net1", Name: "shared", Scope: "swarm", Driver: "overlay", Labels: map[string]string{engine.LabelMade: "yes"}}}
		So(with(t, "v1", "up web").exit, ShouldEqual, 0)
		p.holds("other")
		Convey("its removal leaves the network, and says so", func() {
			r := with(t, "v1", "remove web")
			So(r.exit, ShouldEqual, 0)
			So(p.image("web"), ShouldEqual, "none")
			So(p.networks, ShouldHaveLength, 1)
			So(r.stdout, ShouldContainSubstring, "Network shared stays, as a deploy that runs now may need it: other")
			Convey("and once that has ended, it can be removed", func() {
				p.robbed("other")
				So(with(t, "v1", "remove web").exit, ShouldEqual, 0)
				So(p.networks, ShouldBeEmpty)
			})
		})
	})
}

func TestLateRemoval(t *testing.T) {
	for _, it := range []struct{ next, runs string }{{"up web", "v3"}, {"rollback web", "v1"}, {"remove web", "none"}} {
		Convey("A removal that arrives in the moment in which the next command was to remove the same service is no obstacle to it: "+it.next, t, func() {
			p := pretendSwarm(t)
			So(with(t, "v1", "up web").exit, ShouldEqual, 0)
			a, b := p.late(t, "up web", "DELETE", "/services/", func() result { return with(t, "v3", it.next) },
				"POST", "/services/", 1, func(<-chan result) { p.becomes(t, "web", "none") })
			So(b.exit, ShouldEqual, 0)
			So(a.exit, ShouldEqual, exitFailed)
			So(p.image("web"), ShouldContainSubstring, it.runs)
		})
	}
}

func TestLateCreationOfWhatRan(t *testing.T) {
	Convey("What ran before, which a dead deploy puts back in the moment in which the next deploy has removed it, is replaced by that one", t, func() {
		p := pretendSwarm(t)
		p.bad = badImage("v2")
		So(with(t, "v1", "up web").exit, ShouldEqual, 0)
		goOn, next := make(chan bool), make(chan result, 1)
		hook := func(do func()) { p.hook("POST", "/services/create", do) }
		hook(func() { // v2, which is bad.
			hook(func() { // v1 again, which is late.
				p.robbed("web")
				hook(func() { // v1 again, by the next deploy.
					hook(func() { // v3.
						close(goOn)
						p.becomes(t, "web", "v1")
					})
				})
				go func() { next <- with(t, "v3", "up web") }()
				select {
				case <-goOn:
				case <-time.After(20 * time.Second):
					t.Error("the next deploy did not come so far")
				}
			})
		})
		a := with(t, "v2", "up web")
		So((<-next).exit, ShouldEqual, 0)
		So(a.exit, ShouldEqual, exitFailed)
		So(p.image("web"), ShouldContainSubstring, "v3")
	})
}

func TestTidyingBesideADeploy(t *testing.T) {
	Convey("Given two stack files with the same configs from files", t, func() {
		p := pretendSwarm(t)
		dir := filepath.Dir(os.Getenv("STACK_FILE"))
		put(t, filepath.Join(dir, "settings"), "blue")
		put(t, filepath.Join(dir, "words"), "hello")
		service := func(name, more string) string {
			return "  " + name + ":\n    image: example/" + name + ":${TAG}\n    networks: []\n    x-deploy: {trial: 0s, timeout: 30s}\n" + more
		}
		head, both, tail := "version: \"3.9\"\nservices:\n", "    configs: [settings, words]\n", "configs:\n  settings: {file: ./settings}\n  words: {file: ./words}\n"
		one := filepath.Join(dir, "one.yml")
		put(t, one, head+service("web", both)+tail)
		put(t, os.Getenv("STACK_FILE"), head+service("db", "")+service("shop", both+"    depends_on: [db]\n")+tail)
		So(with(t, "v1", "up -f "+one).exit, ShouldEqual, 0)
		Convey("configs that a removal does not need any more stay, while a deploy of the other file is about to use them", func() {
			p.hook("POST", "/services/create", func() { // db; shop comes later.
				must(t, with(t, "v1", "remove -f "+one).exit, ShouldEqual, 0)
			})
			So(with(t, "v1", "up").exit, ShouldEqual, 0)
		})
		Convey("also where this deploy has begun while the removal was asleep, between two of them", func() {
			begun, asleep, next := make(chan bool), make(chan bool), make(chan result, 1)
			p.hook("DELETE", "/services/", func() { // web
				p.hook("DELETE", "/configs/", func() { // Entry 1.
					p.hook("DELETE", "/configs/", func() { // The first of the two.
						p.hook("GET", "/configs", func() {
							p.hook("POST", "/services/create", func() { // db; shop comes later.
								close(begun)
								<-asleep
							})
							go func() { next <- with(t, "v1", "up") }()
							<-begun
						})
					})
				})
			})
			So(with(t, "v1", "remove -f "+one).exit, ShouldEqual, 0)
			close(asleep)
			So((<-next).exit, ShouldEqual, 0)
		})
	})
}

func TestTidyingImagesBesideADeploy(t *testing.T) {
	Convey("Given an old image of a service", t, func() {
		p := pretendSwarm(t)
		p.images = []string{"example/web:sha-old"}
		s, err := open(context.Background(), &options{}, progress.New(os.Stdout, os.Stderr))
		So(err, ShouldBeNil)
		web := s.deployment(stack.Service{Name: "web"})
		web.tag = "example/web:sha-new"
		Convey("it is removed if nobody deploys", func() {
			So(web.tidyImages(context.Background(), []string{"web"}), ShouldBeNil)
			So(p.images, ShouldBeEmpty)
		})
		Convey("it stays if somebody has begun another deploy while this process was asleep", func() {
			p.hook("GET", "/images/", func() { p.holds("shop") })
			So(web.tidyImages(context.Background(), []string{"web"}), ShouldBeNil)
			So(p.images, ShouldResemble, []string{"example/web:sha-old"})
		})
		Convey("it stays if another deploy of it has begun and ended meanwhile, and uses it", func() {
			p.hook("GET", "/images/", func() { p.make("svc", "other", "example/web:sha-old", nil) })
			So(web.tidyImages(context.Background(), []string{"web"}), ShouldBeNil)
			So(p.images, ShouldResemble, []string{"example/web:sha-old"})
		})
	})
}

// marked makes the state that a removal leaves if it ends between its mark and its call.
func (p *pretend) marked(service string) {
	p.Lock()
	defer p.Unlock()
	p.service(service).Spec.Labels["deploy.leaves"] = "dead"
}

func TestMarkOfADeadRemoval(t *testing.T) {
	Convey("Given a service that a dead removal has marked", t, func() {
		p := pretendSwarm(t)
		So(with(t, "v1", "up web").exit, ShouldEqual, 0)
		p.marked("web")
		Convey("a failed deploy restores the version that ran before without the mark, so the next rolling deploy is an update", func() {
			p.bad = badImage("v2")
			So(with(t, "v2", "up web --rolling").exit, ShouldEqual, exitFailed)
			So(p.image("web"), ShouldContainSubstring, "v1")
			So(with(t, "v3", "up web --rolling").stdout, ShouldContainSubstring, "Plan: update web")
		})
		Convey("so does a rollback to that version", func() {
			So(with(t, "v2", "up web").exit, ShouldEqual, 0)
			So(with(t, "v2", "rollback web").exit, ShouldEqual, 0)
			So(with(t, "v3", "up web --rolling").stdout, ShouldContainSubstring, "Plan: update web")
		})
		Convey("and its removal may arrive at any moment of the next deploy", func() {
			p.hook("GET", "/tasks", func() { // The deploy reads the swarm, ...
				p.hook("GET", "/services/web", func() { // ... then the service, ...
					p.hook("GET", "/networks", func() { // ... and then makes its plan.
						p.Lock()
						defer p.Unlock()
						clear(p.services)
					})
				})
			})
			So(with(t, "v2", "up web --rolling").exit, ShouldEqual, 0)
			So(p.image("web"), ShouldContainSubstring, "v2")
		})
	})
}

func TestRobTheVolumesOfARemoval(t *testing.T) {
	Convey("A removal with its volumes that is taken for dead leaves them to the next deploy", t, func() {
		p := pretendSwarm(t)
		webOn(t, "[]", `    volumes: ["data:/data"]
    x-deploy: {trial: 0s, timeout: 30s}
volumes:
  data: {}
`)
		So(with(t, "v1", "up").exit, ShouldEqual, 0)
		removals := 0
		for _, it := range []struct {
			lost     bool
			removals int
		}{{true, 0}, {false, 1}} {
			p.hook("GET", "/secrets", func() { // The service and its history are removed.
				p.hook("DELETE", "/volumes/data", func() { removals++ })
				if it.lost {
					p.robbed("web")
					p.holds("web")
				}
			})
			a := with(t, "v1", "remove --volumes")
			So(a.exit == exitDone, ShouldEqual, !it.lost)
			So(removals, ShouldEqual, it.removals)
			p.robbed("web")
		}
	})
}

func TestRobTheNetworkOfARollback(t *testing.T) {
	Convey("A rollback that is taken for dead does not create the network of the version that it goes back to", t, func() {
		p := pretendSwarm(t)
		webOn(t, "[shared]", onShared)
		So(with(t, "v1", "up").exit, ShouldEqual, 0)
		So(with(t, "v2", "up").exit, ShouldEqual, 0)
		for _, lost := range []bool{true, false} {
			clear(p.networks)
			p.hook("GET", "/secrets", func() { // It checks that nothing of the version is gone.
				if lost {
					p.robbed("web")
					p.holds("web")
				}
			})
			a := with(t, "v2", "rollback web")
			So(a.exit == exitDone, ShouldEqual, !lost)
			So(p.networks, ShouldHaveLength, map[bool]int{true: 0, false: 1}[lost])
			p.robbed("web")
		}
	})
}

func TestWordsAfterARestoration(t *testing.T) {
	for _, command := range []string{"rollback web", "up web"} {
		Convey("A command that is interrupted while it restores a service does not say that nothing was changed: "+command, t, func() {
			p := pretendSwarm(t)
			So(with(t, "v1", "up web").exit, ShouldEqual, 0)
			var next result
			p.hook("POST", "/services/create", func() {
				p.robbed("web")
				ctx, cancel := context.WithCancel(context.Background())
				p.hook("POST", "/services/create", cancel)
				next = deploy(ctx, strings.Fields(command)...)
			})
			with(t, "v2", "up web")
			So(next.exit, ShouldEqual, exitInterrupted)
			So(next.stdout, ShouldContainSubstring, "Going back to web example/web:v1")
			So(next.stderr, ShouldStartWith, "error: interrupted\n       web example/web:v1 serves")
		})
	}
	Convey("Nor does a deploy of one service after the other that is interrupted in the second", t, func() {
		p := pretendSwarm(t)
		So(with(t, "v1", "up").exit, ShouldEqual, 0)
		ctx, cancel := context.WithCancel(context.Background())
		p.hook("POST", "/services/", func() { p.hook("POST", "/configs/create", cancel) }) // shop is updated; then the lock of web is taken.
		t.Setenv("TAG", "v2")
		r := deploy(ctx, strings.Fields("up --keep-going --rolling")...)
		So(r.exit, ShouldEqual, exitInterrupted)
		So(p.image("shop"), ShouldContainSubstring, "v2")
		So(r.stderr, ShouldStartWith, "error: interrupted\n       web was not touched: web example/web:v1 serves")
	})
}

func TestErrorOfASleeper(t *testing.T) {
	for _, it := range []struct{ command, method, part string }{
		{"remove web", "DELETE", "/services/"}, {"remove web --keep-going", "DELETE", "/services/"}, {"up web", "GET", "/tasks"}, {"rollback web", "GET", "/secrets"},
	} {
		Convey("Where a call fails because its process slept, and the lock is lost, the engine is not said to be away: "+it.command, t, func() {
			p := pretendSwarm(t)
			So(with(t, "v1", "up web").exit, ShouldEqual, 0)
			So(with(t, "v2", "up web").exit, ShouldEqual, 0)
			p.hook("POST", "/configs/create", func() { // The lock.
				p.hook(it.method, it.part, func() {
					p.taken("web")
					p.lose()
				})
			})
			r := with(t, "v3", it.command)
			So(r.exit, ShouldEqual, exitFailed)
			So(r.stderr, ShouldStartWith, "error: another deploy decided that this one was dead, and took its lock")
			So(r.stderr, ShouldNotContainSubstring, "the engine restarts")
		})
	}
}

func TestWordsAboutBothServices(t *testing.T) {
	Convey("A deploy of two services that is interrupted in the second says which versions of both serve", t, func() {
		p := pretendSwarm(t)
		So(with(t, "v1", "up").exit, ShouldEqual, 0)
		ctx, cancel := context.WithCancel(context.Background())
		p.hook("POST", "/services/", func() { p.hook("POST", "/services/", cancel) }) // shop is updated, then web.
		t.Setenv("TAG", "v2")
		r := deploy(ctx, strings.Fields("up --rolling")...)
		So(r.exit, ShouldEqual, exitInterrupted)
		So(r.stderr, ShouldStartWith, "error: the deploy of web example/web:v2 was interrupted; version example/web:v1 is back: web example/web:v1 serves")
		So(r.stderr, ShouldContainSubstring, "shop went back as well: version example/shop:v1 is back")
	})
}
