package prove

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/api/types/swarm"
	. "github.com/smartystreets/goconvey/convey"

	"goblog/deploy/journal"
	"goblog/deploy/progress"
	engine "goblog/deploy/swarm"
)

var (
	began = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	hosts = map[string]string{"n1": "node1", "n2": "node2"}
)

// service is a service from a deploy with this label. With a negative number of replicas, it
// is global.
func service(deploy string, replicas int, state swarm.UpdateState) *swarm.Service {
	one := &swarm.Service{ID: "id"}
	one.Spec.Name = "web"
	one.Spec.Labels = map[string]string{journal.LabelDeploy: deploy}
	if n := uint64(replicas); replicas < 0 {
		one.Spec.Mode.Global = &swarm.GlobalService{}
	} else {
		one.Spec.Mode.Replicated = &swarm.ReplicatedService{Replicas: &n}
	}
	if state != "" {
		one.UpdateStatus = &swarm.UpdateStatus{State: state}
	}
	return one
}

// task is a task with the state that the swarm wants and the state that it has.
func task(id string, desired, is swarm.TaskState, upToDate bool) engine.Task {
	one := engine.Task{UpToDate: upToDate}
	one.ID, one.Slot, one.NodeID, one.DesiredState, one.Status.State = id, 1, "n1", desired, is
	return one
}

// fresh is a task of the current Spec. When it has ended, the swarm no longer wants it.
func fresh(id string, is swarm.TaskState) engine.Task {
	desired := swarm.TaskStateRunning
	switch is {
	case swarm.TaskStateFailed, swarm.TaskStateRejected, swarm.TaskStateComplete, swarm.TaskStateShutdown, swarm.TaskStateOrphaned:
		desired = swarm.TaskStateShutdown
	}
	return task(id, desired, is, true)
}

func pending(id, why string) engine.Task {
	one := fresh(id, swarm.TaskStatePending)
	one.Status.Err, one.NodeID = why, ""
	return one
}

func taken(id string) engine.Task {
	one := fresh(id, swarm.TaskStateFailed)
	one.Status.Err = "starting container failed: Bind for 0.0.0.0:80 failed: port is already allocated"
	switch id {
	case "b":
		one.Status.Err = "starting container failed: Address already in use"
	case "c": // In the words of engine 28.
		one.Status.Err = "starting container failed: failed to set up container networking: Address already in use"
	}
	return one
}

func foreign(id string) engine.Task {
	one := fresh(id, swarm.TaskStateFailed)
	one.Status.Err = "starting container failed: listen tcp4 0.0.0.0:80: bind: address already in use"
	return one
}

func all(tasks ...engine.Task) []engine.Task { return tasks }

// A glance is a state of the engine some time after the beginning, and the verdict on it.
type glance struct {
	after   time.Duration
	service *swarm.Service
	tasks   []engine.Task
	want    Verdict
	reason  string
}

var verdicts = map[Verdict]string{Wait: "wait", Well: "well", Bad: "bad"}

func TestLook(t *testing.T) {
	const (
		running  = swarm.TaskStateRunning
		starting = swarm.TaskStateStarting
		failed   = swarm.TaskStateFailed
		shutdown = swarm.TaskStateShutdown
		complete = swarm.TaskStateComplete
		ready    = swarm.TaskStateReady
	)
	mine, rolling := service("me", 1, ""), func(state swarm.UpdateState) *swarm.Service { return service("me", 1, state) }
	plain := Goal{Failures: 3}
	update := Goal{Failures: 1, Rolling: true, Known: map[string]bool{"old": true, "older": true}}
	settled := Goal{Failures: 3, Settled: 3 * time.Second}
	trial := Goal{Failures: 1, NoRoom: true}
	oldRuns, oldEnds := task("old", running, running, false), task("old", shutdown, running, false)
	second := time.Second

	for what, one := range map[string]struct {
		goal  Goal
		looks []glance
	}{
		"a service whose one task gets to run works": {plain, []glance{
			{0, mine, nil, Wait, "0 of 1 tasks of web run"},
			{second, mine, all(fresh("a", starting)), Wait, "0 of 1 tasks of web run; web.1 on node1 is starting"},
			{2 * second, mine, all(fresh("a", running)), Well, ""},
		}},
		"a service of which only some tasks run is waited for": {plain, []glance{
			{0, service("me", 3, ""), all(fresh("a", running), fresh("b", running), fresh("c", starting)), Wait, "2 of 3 tasks of web run"},
			{second, service("me", 3, ""), all(fresh("a", running), fresh("b", running)), Wait, "2 of 3 tasks of web run"},
			{2 * second, service("me", 3, ""), all(fresh("a", running), fresh("b", running), fresh("c", running)), Well, ""},
		}},
		"a service that wants no task works without any": {plain, []glance{{0, service("me", 0, ""), nil, Well, ""}}},
		"a service without tasks is waited for, however long": {plain, []glance{
			{0, mine, nil, Wait, "0 of 1 tasks"}, {time.Hour, mine, nil, Wait, "0 of 1 tasks"},
		}},
		"a service that says nothing of replicas wants one task": {plain, []glance{
			{0, func() *swarm.Service {
				s := service("me", 1, "")
				s.Spec.Mode.Replicated.Replicas = nil
				return s
			}(), nil, Wait, "0 of 1 tasks"},
		}},
		"a service that somebody removed does not come": {plain, []glance{
			{0, mine, nil, Wait, ""}, {second, nil, nil, Bad, "somebody removed service web meanwhile"},
		}},
		"a service that somebody else changed does not come, though it runs": {plain, []glance{
			{0, service("them", 1, ""), all(fresh("a", running)), Bad, "somebody else changed service web meanwhile"},
		}},
		"a service that somebody else updates does not come": {update, []glance{
			{0, rolling("updating"), all(oldRuns), Wait, ""},
			{second, service("them", 1, "updating"), all(fresh("a", running)), Bad, "somebody else changed service web meanwhile"},
		}},
		"an update that the swarm has rolled back by itself fails, though all up-to-date tasks run": {update, []glance{
			{0, rolling("updating"), all(oldRuns, fresh("a", starting)), Wait, ""},
			{second, service("them", 1, "rollback_completed"), all(task("old", running, running, true), task("a", shutdown, failed, false)), Bad, "the swarm has stopped the update (rollback_completed)"},
		}},
		"an update that was rolled back between two looks fails, though no task is seen to have failed": {update, []glance{
			{0, rolling("updating"), all(oldRuns), Wait, ""},
			{second, service("them", 1, "rollback_completed"), all(task("old", running, running, true)), Bad, "the swarm has stopped the update (rollback_completed)"},
		}},
		"an update that the swarm begins to roll back fails": {update, []glance{
			{0, service("them", 1, "rollback_started"), all(oldRuns), Bad, "the swarm has stopped the update (rollback_started)"},
		}},
		"an update that the swarm cannot roll back fails": {update, []glance{
			{0, service("them", 1, "rollback_paused"), all(oldRuns), Bad, "the swarm has stopped the update (rollback_paused)"},
		}},
		"an update that the swarm says is rolled back is no success, whatever the label": {update, []glance{
			{0, rolling("rollback_completed"), all(fresh("a", running)), Bad, "the swarm has stopped the update (rollback_completed)"},
		}},
		"going back to what the swarm has put back by itself works": {plain, []glance{
			{0, rolling("rollback_started"), all(fresh("old", starting)), Wait, ""},
			{second, rolling("rollback_completed"), all(fresh("old", running), task("a", shutdown, failed, false)), Well, ""},
		}},
		"an update that the swarm pauses fails": {update, []glance{
			{0, rolling("paused"), all(oldRuns, fresh("a", starting)), Bad, "the swarm has stopped the update (paused)"},
		}},
		"an update works once the swarm says that it is complete": {update, []glance{
			{0, rolling("updating"), all(oldRuns, fresh("a", starting)), Wait, ""},
			{5 * second, rolling("updating"), all(oldEnds, fresh("a", running)), Wait, "the update of web is not complete"},
			{6 * second, rolling("completed"), all(oldEnds, fresh("a", running)), Well, ""},
		}},
		"an update that replaces no task has no state, and works soon": {update, []glance{
			{0, mine, all(task("old", running, running, true)), Wait, "the update of web is not complete"},
			{2 * second, mine, all(task("old", running, running, true)), Well, ""},
		}},
		"the first task that fails ends an update": {update, []glance{
			{0, rolling("updating"), all(oldRuns, fresh("a", starting)), Wait, ""},
			{second, rolling("updating"), all(oldRuns, fresh("a", failed)), Bad, "a task of web failed"},
		}},
		"one failed task is seen even when another runs already": {update, []glance{
			{0, rolling("completed"), all(oldEnds, fresh("a", failed), fresh("b", running)), Bad, "a task of web failed"},
		}},
		"a task that ends in order counts as failed": {update, []glance{
			{0, rolling("updating"), all(oldRuns, fresh("a", complete)), Bad, "a task of web failed"},
		}},
		"a task that is rejected counts as failed": {update, []glance{
			{0, rolling("updating"), all(oldRuns, fresh("a", swarm.TaskStateRejected)), Bad, "a task of web failed"},
		}},
		"a task whose node is lost counts as failed": {update, []glance{
			{0, rolling("updating"), all(oldRuns, fresh("a", swarm.TaskStateOrphaned)), Bad, "a task of web failed"},
		}},
		"tasks that failed before the change do not count": {update, []glance{
			{0, rolling("updating"), all(oldRuns, task("older", shutdown, failed, false), fresh("a", starting)), Wait, ""},
			{second, rolling("completed"), all(task("older", shutdown, failed, true), fresh("a", running)), Well, ""},
		}},
		"an old task that fails in an update does not count": {update, []glance{
			{0, rolling("updating"), all(task("old", shutdown, failed, false), fresh("a", starting)), Wait, ""},
		}},
		"a task of the old Spec that fails meanwhile does not count, though nobody knew it": {update, []glance{
			{0, rolling("updating"), all(task("unknown", shutdown, failed, false), fresh("a", starting)), Wait, ""},
		}},
		"an old task that was stopped does not count": {update, []glance{
			{0, rolling("completed"), all(task("old", shutdown, shutdown, false), fresh("a", running)), Well, ""},
		}},
		"a new task that was stopped in order does not count": {plain, []glance{
			{0, mine, all(fresh("a", shutdown), fresh("b", running)), Well, ""},
		}},
		"a service created anew gets a second try and a third": {plain, []glance{
			{0, mine, all(fresh("a", failed)), Wait, ""},
			{second, mine, all(fresh("b", failed), fresh("a", failed)), Wait, ""},
			{2 * second, mine, all(fresh("c", complete), fresh("b", failed), fresh("a", failed)), Bad, "3 tasks of web failed"},
		}},
		"where a task has failed, the next one is believed once it has run for 5 s": {plain, []glance{
			{0, mine, all(fresh("a", failed), fresh("b", starting)), Wait, ""},
			{second, mine, all(fresh("a", failed), fresh("b", running)), Wait, "web has just started"},
			{5900 * time.Millisecond, mine, all(fresh("a", failed), fresh("b", running)), Wait, "web has just started"},
			{6 * second, mine, all(fresh("a", failed), fresh("b", running)), Well, ""},
		}},
		"failed tasks that the swarm has forgotten still count": {plain, []glance{
			{0, mine, all(fresh("a", failed)), Wait, ""}, {second, mine, all(fresh("b", failed)), Wait, ""},
			{2 * second, mine, all(fresh("c", failed)), Bad, "3 tasks of web failed"},
		}},
		"the same failed task counts once": {plain, []glance{
			{0, mine, all(fresh("a", failed)), Wait, ""}, {second, mine, all(fresh("a", failed)), Wait, ""},
			{2 * second, mine, all(fresh("a", failed)), Wait, ""}, {3 * second, mine, all(fresh("a", failed)), Wait, ""},
		}},
		"tasks of another version that are still wanted are waited for": {plain, []glance{
			{0, mine, all(oldRuns, fresh("a", running)), Wait, "1 tasks of web still have another version"},
			{second, mine, all(oldEnds, fresh("a", running)), Well, ""},
		}},
		"a task of another version that gets ready is waited for": {plain, []glance{
			{0, mine, all(task("old", ready, ready, false), fresh("a", running)), Wait, "still have another version"},
		}},
		"a task that the swarm wants to stop does not count as running": {plain, []glance{
			{0, mine, all(task("a", shutdown, running, true)), Wait, "0 of 1 tasks"},
		}},
		"a task is believed once it has run for long enough": {settled, []glance{
			{0, mine, all(fresh("a", running)), Wait, "web has just started"},
			{2900 * time.Millisecond, mine, all(fresh("a", running)), Wait, "web has just started"},
			{3 * second, mine, all(fresh("a", running)), Well, ""},
		}},
		"where no task gets anywhere for too long, going back is given up": {Goal{Failures: 3, Stuck: 8 * time.Second}, []glance{
			{0, mine, all(fresh("a", ready)), Wait, ""}, {7 * second, mine, all(fresh("a", ready)), Wait, ""},
			{8 * second, mine, all(fresh("a", ready)), Bad, "0 of 1 tasks of web run"},
		}},
		"one that gets somewhere is waited for all the same": {Goal{Failures: 3, Stuck: 8 * time.Second}, []glance{
			{0, mine, all(fresh("a", ready)), Wait, ""}, {7 * second, mine, all(fresh("a", starting)), Wait, ""},
			{30 * second, mine, all(fresh("a", starting)), Wait, ""}, {31 * second, mine, all(fresh("a", running)), Well, ""},
		}},
		"the time that a task must run begins with its health, not with its start": {settled, []glance{
			{0, mine, all(fresh("a", starting)), Wait, ""}, {3 * second, mine, all(fresh("a", running)), Wait, "web has just started"},
			{5900 * time.Millisecond, mine, all(fresh("a", running)), Wait, ""}, {6 * second, mine, all(fresh("a", running)), Well, ""},
		}},
		"where a task must have lived for long enough, its start counts, and its health has a time of its own": {Goal{Failures: 3, Settled: second, Lived: 3 * second}, []glance{
			{0, mine, all(fresh("a", starting)), Wait, ""}, {second, mine, all(fresh("a", running)), Wait, "web has just started"},
			{2900 * time.Millisecond, mine, all(fresh("a", running)), Wait, "web has just started"}, {3 * second, mine, all(fresh("a", running)), Well, ""},
		}},
		"one that was healthy late has lived long enough, but must stay healthy for its time": {Goal{Failures: 3, Settled: second, Lived: 3 * second}, []glance{
			{0, mine, all(fresh("a", starting)), Wait, ""}, {9 * second, mine, all(fresh("a", running)), Wait, "web has just started"},
			{9900 * time.Millisecond, mine, all(fresh("a", running)), Wait, ""}, {10 * second, mine, all(fresh("a", running)), Well, ""},
		}},
		"one that was first seen running has lived since then": {Goal{Failures: 3, Lived: 3 * second}, []glance{
			{0, mine, all(fresh("a", running)), Wait, "web has just started"}, {3 * second, mine, all(fresh("a", running)), Well, ""},
		}},
		"the time that a task must run is each task's own": {settled, []glance{
			{0, mine, all(fresh("a", running)), Wait, ""},
			{2 * second, mine, all(fresh("a", failed), fresh("b", running)), Wait, "web has just started"},
			{4 * second, mine, all(fresh("a", failed), fresh("b", running)), Wait, "web has just started"},
		}},
		"each of several tasks must have run for long enough": {settled, []glance{
			{0, service("me", 2, ""), all(fresh("a", running), fresh("b", starting)), Wait, ""},
			{2 * second, service("me", 2, ""), all(fresh("a", running), fresh("b", failed), fresh("c", running)), Wait, ""},
			{3 * second, service("me", 2, ""), all(fresh("a", running), fresh("b", failed), fresh("c", running)), Wait, "web has just started"},
			{time.Minute, service("me", 2, ""), all(fresh("a", running), fresh("b", failed), fresh("c", running)), Well, ""},
		}},
		"a task that ran before need not run for long": {Goal{Failures: 3, Settled: time.Hour, Known: map[string]bool{"old": true}}, []glance{
			{0, mine, all(fresh("old", running)), Well, ""},
		}},
		"one task a node is enough for a global service": {plain, []glance{
			{0, service("me", -1, ""), nil, Wait, "0 of 0 tasks"},
			{second, service("me", -1, ""), all(fresh("a", running), fresh("b", starting)), Wait, "1 of 2 tasks"},
			{2 * second, service("me", -1, ""), all(fresh("a", running), fresh("b", running)), Well, ""},
		}},
		"a global service gives no failed task another chance in an update": {update, []glance{
			{0, service("me", -1, "updating"), all(fresh("a", running), fresh("b", failed)), Bad, "a task of web failed"},
		}},
		"a trial for which no node has room soon ends": {trial, []glance{
			{0, mine, all(pending("a", "no suitable node (1 node not available)")), Wait, "web.1 is pending: no suitable node (1 node not available)"},
			{second, mine, all(pending("a", "no suitable node (1 node not available)")), Wait, ""},
			{2 * second, mine, all(pending("a", "no suitable node (1 node not available)")), Bad, "web.1 is pending: no suitable node (1 node not available)"},
		}},
		"a trial that gets room in time goes on": {trial, []glance{
			{0, mine, all(pending("a", "no suitable node")), Wait, ""},
			{1900 * time.Millisecond, mine, all(fresh("a", starting)), Wait, ""},
			{2 * second, mine, all(pending("b", "no suitable node")), Wait, ""},
			{3900 * time.Millisecond, mine, all(pending("b", "no suitable node")), Wait, ""},
			{4 * second, mine, all(pending("b", "no suitable node")), Bad, ""},
		}},
		"a trial that is just about to be given to a node is waited for": {trial, []glance{
			{0, mine, all(pending("a", "")), Wait, ""}, {time.Minute, mine, all(pending("a", "")), Wait, ""},
		}},
		"a container that is about to leave its port to the task is waited for": {plain, []glance{
			{0, mine, all(taken("a")), Wait, ""},
			{29 * second, mine, all(taken("a"), taken("b"), taken("c"), fresh("d", starting)), Wait, ""},
			{31 * second, mine, all(taken("b"), taken("c"), fresh("d", running)), Well, ""},
		}},
		"a port that nobody leaves is a failure": {plain, []glance{
			{0, mine, all(taken("a"), taken("b"), taken("c")), Wait, ""},
			{30 * second, mine, all(taken("b"), taken("c"), taken("d"), taken("e")), Wait, ""},
			{31 * second, mine, all(taken("d"), taken("e"), taken("f")), Bad, "3 tasks of web failed"},
		}},
		"a port that another process has is a failure at once": {plain, []glance{
			{0, mine, all(foreign("a"), foreign("b"), foreign("c")), Bad, "3 tasks of web failed"},
		}},
		"a service waits for room, as a port may get free": {plain, []glance{
			{0, mine, all(pending("a", "no suitable node (host-mode port already in use)")), Wait, ""},
			{time.Minute, mine, all(pending("a", "no suitable node (host-mode port already in use)")), Wait, "host-mode port already in use"},
			{2 * time.Minute, mine, all(fresh("a", running)), Well, ""},
		}},
	} {
		Convey("It is seen that "+what, t, func() {
			goal := one.goal
			goal.Service, goal.Deploy = "web", "me"
			watch := NewWatch(goal, began)
			for i, look := range one.looks {
				verdict := watch.Look(look.service, look.tasks, hosts, began.Add(look.after))
				So(fmt.Sprintf("look %d: %s", i, verdicts[verdict]), ShouldEqual, fmt.Sprintf("look %d: %s", i, verdicts[look.want]))
				So(watch.Reason, ShouldContainSubstring, look.reason)
				if verdict == Well {
					So(watch.Reason, ShouldBeBlank)
				} else {
					So(watch.Reason, ShouldNotBeBlank)
				}
			}
		})
	}
}

// news are the new facts of a look.
func news(watch *Watch) []string {
	var out bytes.Buffer
	(&progress.Printer{Out: &out}).Tasks(watch.Tasks)
	return strings.FieldsFunc(strings.ReplaceAll(out.String(), "    ", ""), func(c rune) bool { return c == '\n' })
}

func TestEvents(t *testing.T) {
	Convey("Given a watch of a service", t, func() {
		watch := NewWatch(Goal{Service: "web", Deploy: "me", Failures: 3, Known: map[string]bool{"old": true}}, began)
		mine := service("me", 1, "")

		Convey("each task is told once when it runs, and once when it fails", func() {
			broken := fresh("a", swarm.TaskStateFailed)
			broken.Status.Err = "task: non-zero exit (3)"
			watch.Look(mine, all(fresh("a", swarm.TaskStateRunning), task("old", swarm.TaskStateShutdown, swarm.TaskStateFailed, true)), hosts, began.Add(1200*time.Millisecond))
			So(news(watch), ShouldResemble, []string{"web.1 on node1: running, after 1.2 s"})
			So(watch.Failed, ShouldBeNil)
			watch.Look(mine, all(fresh("a", swarm.TaskStateRunning)), hosts, began.Add(2*time.Second))
			So(news(watch), ShouldBeEmpty)
			watch.Look(mine, all(broken), hosts, began.Add(3*time.Second))
			So(news(watch), ShouldResemble, []string{"web.1 on node1: failed, after 3.0 s: task: non-zero exit (3)"})
			So(watch.Failed.ID, ShouldEqual, "a")
			watch.Look(mine, all(broken), hosts, began.Add(4*time.Second))
			So(news(watch), ShouldBeEmpty)
		})
		Convey("a task that the swarm no longer wants is not told, though it is known as running, as on a node that has died", func() {
			watch.Look(mine, all(task("a", swarm.TaskStateShutdown, swarm.TaskStateRunning, true), pending("b", "no suitable node")), hosts, began)
			So(news(watch), ShouldBeEmpty)
		})
		Convey("the task that failed last is the one to explain, also after an automatic rollback", func() {
			watch.Look(mine, all(fresh("a", swarm.TaskStateFailed)), hosts, began)
			watch.Look(mine, all(fresh("b", swarm.TaskStateComplete), fresh("a", swarm.TaskStateFailed)), hosts, began)
			So(watch.Failed.ID, ShouldEqual, "b")
			watch.Look(service("them", 1, "rollback_completed"), all(task("c", swarm.TaskStateShutdown, swarm.TaskStateFailed, false)), hosts, began)
			So(watch.Failed.ID, ShouldEqual, "c")
		})
	})
	for what, one := range map[string]struct {
		task engine.Task
		want string
	}{
		"its slot and its host":         {fresh("a", swarm.TaskStateRunning), "web.1 on node1"},
		"its slot where no node has it": {pending("a", ""), "web.1"},
		"its host in a global service": {func() engine.Task {
			one := fresh("a", swarm.TaskStateRunning)
			one.Slot, one.NodeID = 0, "n2"
			return one
		}(), "web on node2"},
		"its slot where its node is gone": {func() engine.Task { one := fresh("a", swarm.TaskStateRunning); one.NodeID = "n9"; return one }(), "web.1"},
	} {
		Convey("A task is named by "+what, t, func() { So(TaskName(one.task, "web", hosts), ShouldEqual, one.want) })
	}
}

func TestTaskThatTheEngineGivesUpItself(t *testing.T) {
	Convey("A task whose preparation the engine has cancelled is no failure: another is on its way", t, func() {
		watch := NewWatch(Goal{Service: "web", Deploy: "me", Failures: 1}, began)
		cancelled := fresh("a", swarm.TaskStateRejected)
		cancelled.Status.Err = "Canceled: context canceled"
		So(watch.Look(service("me", 1, ""), all(cancelled), hosts, began), ShouldEqual, Wait)
		So(watch.Failed, ShouldBeNil)
		refused := fresh("b", swarm.TaskStateRejected)
		refused.Status.Err = "No such image"
		So(watch.Look(service("me", 1, ""), all(refused, cancelled), hosts, began), ShouldEqual, Bad)
	})
}
