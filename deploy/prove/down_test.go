package prove

import (
	"fmt"
	"testing"
	"time"

	"github.com/moby/moby/api/types/swarm"
	. "github.com/smartystreets/goconvey/convey"

	engine "goblog/deploy/swarm"
)

func TestNodesThatAreDown(t *testing.T) {
	const (
		running  = swarm.TaskStateRunning
		starting = swarm.TaskStateStarting
		second   = time.Second
	)
	homeless := pending("p", "no suitable node (host-mode port already in use on 1 node; 1 node not available for new tasks)")
	ends := func(node string) engine.Task {
		one := task("old", swarm.TaskStateShutdown, running, false)
		one.NodeID = node
		return one
	}
	here, away := []swarm.Node(nil), []swarm.Node{{ID: "n2", Description: swarm.NodeDescription{Hostname: "node2"}}}
	deploy, undo := Goal{Failures: 3}, Goal{Failures: 3, Living: true}
	trial := Goal{Failures: 1, NoRoom: true}
	two := service("me", 2, "")

	type glance struct {
		after time.Duration
		down  []swarm.Node
		tasks []engine.Task
		want  Verdict
	}
	for what, one := range map[string]struct {
		goal   Goal
		looks  []glance
		reason string
	}{
		"a deploy waits for a node that is down, but not for long": {deploy, []glance{
			{0, away, all(fresh("a", running), homeless), Wait},
			{9 * second, away, all(fresh("a", running), homeless), Wait},
			{10 * second, away, all(fresh("a", running), homeless), Bad},
		}, "1 of 2 tasks of web run; web.1 is pending: no suitable node (host-mode port already in use on 1 node; 1 node not available for new tasks); node2 is down"},
		"a deploy goes on where the node is back in time": {deploy, []glance{
			{0, away, all(fresh("a", running), homeless), Wait},
			{9 * second, here, all(fresh("a", running), homeless), Wait},
			{11 * second, away, all(fresh("a", running), homeless), Wait},
			{20 * second, here, all(fresh("a", running), fresh("b", running)), Well},
		}, ""},
		"a task that ends on a living node may make room": {deploy, []glance{
			{0, away, all(fresh("a", running), homeless, ends("n1")), Wait},
			{time.Minute, away, all(fresh("a", running), homeless, ends("n1")), Wait},
		}, ""},
		"a task that will never be heard to end makes none": {deploy, []glance{
			{0, away, all(fresh("a", running), homeless, ends("n2")), Wait},
			{10 * second, away, all(fresh("a", running), homeless, ends("n2")), Bad},
		}, "node2 is down"},
		"a task that starts is waited for": {deploy, []glance{
			{0, away, all(fresh("a", starting), homeless), Wait},
			{time.Minute, away, all(fresh("a", starting), homeless), Wait},
		}, ""},
		"what goes back is back when it runs on the living nodes": {undo, []glance{
			{0, away, all(fresh("a", running), homeless), Wait},
			{2 * second, away, all(fresh("a", running), homeless), Wait},
			{3 * second, away, all(fresh("a", running), homeless), Well},
		}, ""},
		"what goes back is not back where a task of the other version runs": {undo, []glance{
			{0, away, all(task("n", running, running, false), homeless), Wait},
			{9 * second, away, all(task("n", running, running, false), homeless), Wait},
			{10 * second, away, all(task("n", running, running, false), homeless), Bad},
		}, "node2 is down"},
		"what goes back is not back where nothing runs": {undo, []glance{
			{0, away, all(homeless, homeless), Wait},
			{10 * second, away, all(homeless, homeless), Bad},
		}, "0 of 2 tasks of web run"},
		"a trial on the node that is down ends with it": {trial, []glance{
			{0, away, all(ends("n2")), Wait},
			{10 * second, away, all(ends("n2")), Bad},
		}, "0 of 2 tasks of web run; node2 is down"},
	} {
		Convey("Where a node is down, "+what, t, func() {
			one.goal.Service, one.goal.Deploy = "web", "me"
			watch := NewWatch(one.goal, began)
			for i, look := range one.looks {
				watch.Down = look.down
				verdict := watch.Look(two, look.tasks, hosts, began.Add(look.after))
				So(fmt.Sprintf("look %d: %s", i, verdicts[verdict]), ShouldEqual, fmt.Sprintf("look %d: %s", i, verdicts[look.want]))
			}
			So(watch.Reason, ShouldContainSubstring, one.reason)
		})
	}

	Convey("Tasks lack a node where one finds none, or where the swarm wants none to run", t, func() {
		So(Lack(all(fresh("a", running), homeless)), ShouldBeTrue)
		So(Lack(all(ends("n2"))), ShouldBeTrue)
		So(Lack(all(fresh("a", running), ends("n2"))), ShouldBeFalse)
		So(Lack(all(pending("p", ""))), ShouldBeFalse)
	})
}
