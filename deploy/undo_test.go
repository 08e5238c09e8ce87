package main

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/api/types/swarm"
	. "github.com/smartystreets/goconvey/convey"

	"goblog/deploy/journal"
	engine "goblog/deploy/swarm"
)

// blocked makes a swarm whose second node dies in an update of web to v2. Then an update back
// to v1 makes no progress while a task waits for that node. It returns the numbers of replicas
// that the Spec has asked for since. With beside, the task that waits shares its slot with one
// of v2, as with start-first.
func blocked(t *testing.T, beside bool) (p *pretend, asked func() []uint64) {
	p = pretendSwarm(t)
	p.registry = true
	webOn(t, "[]", "    deploy: {replicas: 2}\n    x-deploy: {trial: 0s, timeout: 30s}\n")
	task := func(one *swarm.Service, slot int, id string, state swarm.TaskState) swarm.Task {
		made := swarm.Task{ID: id + one.Spec.TaskTemplate.ContainerSpec.Image, ServiceID: one.ID, NodeID: "n1", Slot: slot, DesiredState: swarm.TaskStateRunning}
		made.Status.State = state
		if state == swarm.TaskStatePending {
			made.NodeID, made.Status.Err = "", "no suitable node (1 node not available for new tasks)"
		}
		return made
	}
	placed := true // all tasks have a node, or wait for the node that is down
	v2 := func(spec swarm.ServiceSpec) bool { return strings.Contains(spec.Labels[journal.LabelVersion], "v2") }
	var replicas []uint64
	p.tasks = func(one *swarm.Service, upToDate bool) (tasks []swarm.Task) {
		want, _ := engine.Replicas(one.Spec)
		switch {
		case v2(one.Spec):
			p.dead, placed = true, false
			return []swarm.Task{task(one, 1, "a", swarm.TaskStateFailed), task(one, 2, "b", swarm.TaskStateRunning)}
		case !p.dead:
			return []swarm.Task{task(one, 1, "a", swarm.TaskStateRunning), task(one, 2, "b", swarm.TaskStateRunning)}
		}
		if len(replicas) == 0 || replicas[len(replicas)-1] != want {
			replicas = append(replicas, want)
		}
		placed = placed || want == 1
		switch { // The task of slot 2 is of v2 until the update goes on.
		case placed:
			tasks = append(tasks, task(one, 1, "c", swarm.TaskStateRunning))
		case !upToDate:
			tasks = append(tasks, task(one, 1, "old", swarm.TaskStateRunning))
			if beside {
				tasks = append(tasks, task(one, 2, "older", swarm.TaskStateRunning))
			}
		}
		for slot := 2; slot <= int(want); slot++ {
			tasks = append(tasks, task(one, slot, fmt.Sprint("d", slot), swarm.TaskStatePending))
		}
		return tasks
	}
	So(with(t, "v1", "up web").exit, ShouldEqual, 0) // Both nodes live.
	return p, func() []uint64 { p.Lock(); defer p.Unlock(); return replicas }
}

// cutOff makes a rollback take the lock of web at the next update, which is sent afterwards.
// byHand is done before the rollback.
func (p *pretend) cutOff(t *testing.T, byHand ...func()) chan result {
	ended := make(chan result, 1)
	p.hook("POST", "/update", func() {
		for _, do := range byHand {
			do()
		}
		p.robbed("web")
		ended <- with(t, "v2", "rollback web")
	})
	return ended
}

// atPlaced runs a function just before the Spec leaves out the task that waits.
func (p *pretend) atPlaced(do func()) {
	p.hook("POST", "/update", func() { // v2
		p.hook("POST", "/update", func() { // v1 again
			p.hook("POST", "/update", do)
		})
	})
}

// afterwards runs a function after the next look at the tasks, before the next at the service.
func (p *pretend) afterwards(do func()) {
	p.hook("GET", "/tasks", func() { p.hook("GET", "/services/", do) })
}

// gone removes a service by hand.
func (p *pretend) gone(service string) {
	p.Lock()
	defer p.Unlock()
	delete(p.services, p.service(service).ID)
}

// full asserts that web asks for all of its tasks.
func (p *pretend) full() {
	p.Lock()
	defer p.Unlock()
	replicas, _ := engine.Replicas(p.service("web").Spec)
	So(replicas, ShouldEqual, 2)
	So(p.service("web").Spec.Labels, ShouldNotContainKey, journal.LabelPlaced)
}

func TestUpdateThatWaitsForANode(t *testing.T) {
	Convey("Given an update back that waits for a node that is down", t, func() {
		p, asked := blocked(t, false)

		Convey("it goes on without the tasks that wait, and then asks for all tasks again", func() {
			r := with(t, "v2", "up web --rolling")
			So(r.exit, ShouldEqual, exitFailed)
			So(r.stdout, ShouldContainSubstring, "==> A task waits for a node that is down: going on without it\n")
			So(r.stdout, ShouldContainSubstring, "==> Asking for all tasks again\n")
			So(r.stdout, ShouldNotContainSubstring, "There is no progress")
			So(r.stderr, ShouldEndWith, "version example/web:v1 is back: web example/web:v1 serves: its tasks run, with 1 of 2 tasks, as node2 is down\n")
			So(asked(), ShouldResemble, []uint64{2, 1, 2})
			p.full()
		})

		Convey("and that was cut off meanwhile, the next command asks for all tasks again", func() {
			var ended chan result
			p.atPlaced(func() { ended = p.cutOff(t) })
			r := with(t, "v2", "up web --rolling")
			So(r.exit, ShouldEqual, exitFailed)
			So(r.stderr, ShouldContainSubstring, journal.ErrLost.Error())
			next := <-ended
			So(next.exit, ShouldEqual, 0)
			So(next.stdout, ShouldEndWith, "==> Restored web: web example/web:v1 serves: its tasks run, with 1 of 2 tasks, as node2 is down\n")
			So(asked(), ShouldResemble, []uint64{2, 1, 2})
			p.full()
		})

		Convey("a service that somebody removes meanwhile is put back", func() {
			p.atPlaced(func() { p.afterwards(func() { p.gone("web") }) })
			r := with(t, "v2", "up web --rolling")
			So(r.exit, ShouldEqual, exitFailed)
			So(r.stderr, ShouldContainSubstring, "version example/web:v1 is back")
			p.full()
		})

		Convey("a service that somebody makes meanwhile is left alone", func() {
			p.atPlaced(func() {
				p.afterwards(func() {
					p.gone("web")
					p.make("svc9", "web", "stranger:v9", nil)
				})
			})
			r := with(t, "v2", "up web --rolling")
			So(r.exit, ShouldEqual, exitFailed)
			So(r.stderr, ShouldContainSubstring, "somebody created service web meanwhile")
			So(p.image("web"), ShouldEqual, "stranger:v9")
		})

		Convey("a deploy that was stopped for some time, before it asks for all tasks again, asks for them then", func() {
			p.atPlaced(func() {
				p.afterwards(func() {
					stop := fmt.Sprintf("{ sleep 1; kill -STOP %d; sleep 12; kill -CONT %[1]d; } >/dev/null 2>&1 &", os.Getpid())
					must(t, exec.Command("sh", "-c", stop).Run(), ShouldBeNil)
					time.Sleep(2 * time.Second)
				})
			})
			r := with(t, "v2", "up web --rolling")
			So(r.exit, ShouldEqual, exitFailed)
			So(r.stderr, ShouldContainSubstring, "version example/web:v1 is back")
			p.full()
		})
	})
	Convey("An update back whose task waits beside one of the other version does not end the others", t, func() {
		p, asked := blocked(t, true)
		r := with(t, "v2", "up web --rolling")
		So(r.exit, ShouldEqual, exitFailed)
		So(r.stdout, ShouldNotContainSubstring, "There is no progress")
		So(r.stderr, ShouldContainSubstring, "version example/web:v1 is back")
		So(asked(), ShouldResemble, []uint64{2, 1, 2})
		p.full()
	})
	Convey("Where a node is down, a deploy that was cut off before its first change leaves no task that waits for ever, and the number of replicas as it is", t, func() {
		p, asked := blocked(t, false)
		p.dead = true
		ended := p.cutOff(t, func() {
			three := uint64(3)
			p.Lock()
			defer p.Unlock()
			p.service("web").Spec.Mode.Replicated.Replicas = &three
		})
		So(with(t, "v2", "up web --rolling").exit, ShouldEqual, exitFailed)
		next := <-ended
		So(next.exit, ShouldEqual, 0)
		So(next.stdout, ShouldEndWith, "==> Restored web: web example/web:v1 serves: its tasks run, with 1 of 3 tasks, as node2 is down\n")
		So(asked(), ShouldResemble, []uint64{2, 3, 1, 3}) // Two before the deploy was cut off.
	})
	Convey("The tasks of a global service never lack a node, so one that is restored is updated once", t, func() {
		p := pretendSwarm(t)
		p.registry = true
		webOn(t, "[]", "    deploy: {mode: global}\n    x-deploy: {trial: 0s, timeout: 30s}\n")
		So(with(t, "v1", "up web").exit, ShouldEqual, 0)
		p.log = nil
		ended := p.cutOff(t)
		So(with(t, "v2", "up web --rolling").exit, ShouldEqual, exitFailed)
		next := <-ended
		So(next.exit, ShouldEqual, 0)
		So(next.stdout, ShouldNotContainSubstring, "waits for a node")
		So(p.log, ShouldHaveLength, 1)
	})
}
