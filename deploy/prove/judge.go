// Package prove finds out whether a deploy worked: whether its tasks run, and whether each
// address answers as it should. If not, it finds out why.
package prove

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/moby/moby/api/types/swarm"

	"goblog/deploy/journal"
	"goblog/deploy/plan"
	"goblog/deploy/progress"
	engine "goblog/deploy/swarm"
)

// A Goal says when a service counts as deployed.
type Goal struct {
	Service string
	// Deploy is the label that the Spec must have. If an update fails, the engine itself
	// restores the older Spec, whose tasks run well.
	Deploy string
	// Failures is the number of failed tasks that ends the wait. A rolling update ends with the
	// first failed task. A service that is created gets several tries.
	Failures int
	// Rolling waits until the engine says that the update is complete.
	Rolling bool
	// Settled is how long each task must have run. With a health check, the time starts when the
	// task is healthy.
	Settled time.Duration
	// Lived is how long ago each task must have been started, healthy or not yet.
	Lived time.Duration
	// NoRoom gives up if no node can run a task. Otherwise the wait continues, because a port
	// may become free.
	NoRoom bool
	// Stuck gives up if no task has made progress for this time; 0: never.
	Stuck time.Duration
	// Living means that it is enough when the living nodes run their tasks. A task that waits
	// for a node that is down starts when that node comes back.
	Living bool
	// Known are the tasks from before the change, by id.
	Known map[string]bool
}

// A Verdict is the result of a look at the tasks.
type Verdict int

const (
	Wait Verdict = iota // the goal may still be reached
	Well                // the tasks run as they should
	Bad                 // the goal will not be reached
)

// A Watch remembers the results of a series of looks, because the swarm soon forgets old
// tasks.
type Watch struct {
	goal    Goal
	began   time.Time
	started map[string]time.Time   // when a task was first seen starting, or running already
	running map[string]time.Time   // when a task was first seen running
	failed  map[string]engine.Task // those that failed since
	excused map[string]bool        // those that failed, but do not count
	noRoom  time.Time              // since when no node can run a task
	idle    time.Time              // since when no task makes progress
	lost    time.Time              // since when progress is possible only on a node that is down

	// Down are the nodes that are down and would run tasks. The caller sets them before a look,
	// if Lack says that tasks lack a node.
	Down []swarm.Node
	// Tasks are the tasks that the wait is for, and the tasks that have failed since the last
	// look.
	Tasks []progress.Task
	// Reason says what is still missing, or what has failed.
	Reason string
	// Failed is the task that failed last; nil: none has failed.
	Failed *engine.Task
}

// NewWatch begins a series of looks.
func NewWatch(goal Goal, now time.Time) *Watch {
	return &Watch{goal: goal, began: now, started: map[string]time.Time{}, running: map[string]time.Time{}, failed: map[string]engine.Task{}, excused: map[string]bool{}}
}

// Look judges the current state. service is nil if it is gone.
func (w *Watch) Look(service *swarm.Service, tasks []engine.Task, hosts map[string]string, now time.Time) Verdict {
	w.Tasks, w.Reason = nil, ""
	if service == nil {
		w.Reason = fmt.Sprintf("somebody removed service %s meanwhile", w.goal.Service)
		return Bad
	}
	mine := service.Spec.Labels[journal.LabelDeploy] == w.goal.Deploy
	for _, task := range tasks {
		w.note(task, hosts, mine, now)
	}
	slices.SortStableFunc(w.Tasks, func(a, b progress.Task) int {
		return cmp.Or(cmp.Compare(len(a.Name), len(b.Name)), cmp.Compare(a.String(), b.String()))
	})
	state := swarm.UpdateState("")
	if service.UpdateStatus != nil {
		state = service.UpdateStatus.State
	}
	switch {
	case !mine && gaveUp(state):
		w.Reason = fmt.Sprintf("the swarm has stopped the update (%s)", state)
		return Bad
	case !mine:
		w.Reason = fmt.Sprintf("somebody else changed service %s meanwhile", w.goal.Service)
		return Bad
	case w.goal.Rolling && (state == swarm.UpdateStatePaused || gaveUp(state)):
		w.Reason = fmt.Sprintf("the swarm has stopped the update (%s)", state)
		return Bad
	case len(w.failed) >= w.goal.Failures:
		w.Reason = fmt.Sprintf("a task of %s failed", w.goal.Service)
		if len(w.failed) > 1 {
			w.Reason = fmt.Sprintf("%d tasks of %s failed", len(w.failed), w.goal.Service)
		}
		return Bad
	}
	return w.count(service, tasks, hosts, state, now)
}

// gaveUp tells whether the engine itself goes back, or went back.
func gaveUp(state swarm.UpdateState) bool {
	return state == swarm.UpdateStateRollbackStarted || state == swarm.UpdateStateRollbackCompleted || state == swarm.UpdateStateRollbackPaused
}

// lostPatience is how long to wait for a node that is down: perhaps its engine is only
// restarting. livingPatience is the same if it is enough that the other nodes run their
// tasks.
const (
	lostPatience   = 10 * time.Second
	livingPatience = 5 * time.Second
)

// leavePatience is how long another container may be in the way. A new leader forgets the
// tasks of a removed service. But their containers end only when each node has heard from the
// new leader. Until then, they keep their ports and addresses.
const leavePatience = 30 * time.Second

// portTaken is the engine's error if it believes that a container has the port.
const portTaken = "port is already allocated"

// inTheWay tells whether a task failed because another container has its port, or its address
// on a network. If another process has the port, the error has other words, "address already
// in use", and waiting does not help.
func inTheWay(err string) bool {
	return strings.Contains(err, portTaken) || strings.HasSuffix(err, ": Address already in use")
}

// afterFailure is how long a task must run if another task has failed before.
const afterFailure = 5 * time.Second

// settled tells whether a task has run for long enough to count as working.
func (w *Watch) settled(task string, now time.Time) bool {
	switch {
	case w.goal.Known[task]:
		return true
	case len(w.failed) > 0:
		return now.Sub(w.running[task]) >= max(afterFailure, w.goal.Settled)
	}
	return now.Sub(w.running[task]) >= w.goal.Settled && now.Sub(w.started[task]) >= w.goal.Lived
}

// note remembers the news about a task.
func (w *Watch) note(task engine.Task, hosts map[string]string, mine bool, now time.Time) {
	if w.goal.Known[task.ID] || (mine && !task.UpToDate) {
		return
	}
	told := progress.Task{
		Name: taskName(task, w.goal.Service), Node: hosts[task.NodeID], State: string(task.Status.State),
		Seconds: now.Sub(w.began).Seconds(), Error: task.Status.Err,
	}
	wanted := engine.Stays(task.Task)
	if inTheWay(task.Status.Err) && (w.excused[task.ID] || now.Sub(w.began) < leavePatience) {
		w.excused[task.ID] = true
		return
	}
	if state := task.Status.State; (state == swarm.TaskStateStarting || state == swarm.TaskStateRunning) && w.started[task.ID].IsZero() {
		w.started[task.ID] = now
	}
	switch task.Status.State {
	case swarm.TaskStateRunning:
		if w.running[task.ID].IsZero() {
			w.running[task.ID] = now
			told.New = wanted // The swarm still shows the tasks of a dead node as running.
		}
		told.Seconds = w.running[task.ID].Sub(w.began).Seconds()
	case swarm.TaskStateRejected:
		// Engine 28 itself may cancel the preparation of a task, to begin it again.
		if strings.Contains(task.Status.Err, "context canceled") {
			return
		}
		fallthrough
	case swarm.TaskStateFailed, swarm.TaskStateComplete, swarm.TaskStateOrphaned:
		if _, known := w.failed[task.ID]; !known {
			w.failed[task.ID] = task
			w.Failed = &task
			told.New = true
		}
		told.Over, wanted = true, told.New
	}
	if wanted || told.New {
		w.Tasks = append(w.Tasks, told)
	}
}

// count tells whether as many tasks run as are wanted, and none of another Spec.
func (w *Watch) count(service *swarm.Service, tasks []engine.Task, hosts map[string]string, state swarm.UpdateState, now time.Time) Verdict {
	var wanted, running, settled, others, homeless int
	var moving, changing bool
	var waiting *engine.Task
	for i, task := range tasks {
		if !engine.Stays(task.Task) { // One that ends may leave its port to another.
			dead := slices.ContainsFunc(w.Down, func(node swarm.Node) bool { return node.ID == task.NodeID })
			changing = changing || !engine.Ended(task.Task) && !dead
			continue
		}
		if !task.UpToDate {
			others++
			continue
		}
		// A global service also has a task for a node with another processor. That task never runs.
		if service.Spec.Mode.Global != nil && task.Status.State == swarm.TaskStatePending && strings.Contains(task.Status.Err, "unsupported platform") {
			continue
		}
		wanted++
		switch task.Status.State {
		case swarm.TaskStateAssigned, swarm.TaskStateAccepted, swarm.TaskStatePreparing, swarm.TaskStateStarting:
			moving, changing = true, true
		case swarm.TaskStateRunning:
			moving = true
		case swarm.TaskStatePending:
			if task.Status.Err != "" {
				homeless++
			}
		}
		if task.Status.State != swarm.TaskStateRunning {
			waiting = &tasks[i]
			continue
		}
		running++
		if w.settled(task.ID, now) {
			settled++
		}
	}
	if replicas, replicated := engine.Replicas(service.Spec); replicated {
		wanted = int(replicas)
	}
	w.Reason = fmt.Sprintf("%d of %d tasks of %s run", running, wanted, w.goal.Service)
	if waiting != nil {
		w.Reason += fmt.Sprintf("; %s is %s%s", TaskName(*waiting, w.goal.Service, hosts), waiting.Status.State, prefixed(": ", waiting.Status.Err))
	}
	if len(w.Down) > 0 {
		w.Reason += "; " + plan.AreDown(w.Down)
	}
	if len(w.Down) == 0 || changing {
		w.lost = time.Time{}
	} else if w.lost.IsZero() {
		w.lost = now
	} else if waited := now.Sub(w.lost); w.goal.Living && waited >= livingPatience || waited >= lostPatience {
		if w.goal.Living && others == 0 && running > 0 && running == settled && running+homeless >= wanted {
			w.Reason = ""
			return Well
		}
		return Bad
	}
	if waiting == nil || waiting.Status.State != swarm.TaskStatePending || waiting.Status.Err == "" {
		w.noRoom = time.Time{}
	} else if w.noRoom.IsZero() {
		w.noRoom = now
	} else if w.goal.NoRoom && now.Sub(w.noRoom) >= 2*time.Second {
		return Bad
	}
	if moving {
		w.idle = time.Time{}
	} else if w.idle.IsZero() {
		w.idle = now
	} else if w.goal.Stuck > 0 && wanted > 0 && now.Sub(w.idle) >= w.goal.Stuck {
		return Bad
	}
	switch {
	case running < wanted || wanted == 0 && service.Spec.Mode.Global != nil:
		return Wait
	case others > 0:
		w.Reason = fmt.Sprintf("%d tasks of %s still have another version", others, w.goal.Service)
		return Wait
	case settled < running:
		w.Reason = fmt.Sprintf("%s has just started", w.goal.Service)
		return Wait
	case w.goal.Rolling && state != swarm.UpdateStateCompleted && (state != "" || now.Sub(w.began) < 2*time.Second):
		// An update that replaces no task has no state.
		w.Reason = fmt.Sprintf("the update of %s is not complete", w.goal.Service)
		return Wait
	}
	w.Reason = ""
	return Well
}

// Lack tells whether tasks lack a node: a task finds no node, or the swarm wants no task to
// run.
func Lack(tasks []engine.Task) bool {
	left := slices.DeleteFunc(slices.Clone(tasks), func(task engine.Task) bool { return !engine.Stays(task.Task) })
	return len(left) == 0 || slices.ContainsFunc(left, func(task engine.Task) bool {
		return task.Status.State == swarm.TaskStatePending && task.Status.Err != ""
	})
}

// TaskName names a task for people.
func TaskName(task engine.Task, service string, hosts map[string]string) string {
	return progress.Task{Name: taskName(task, service), Node: hosts[task.NodeID]}.String()
}

func taskName(task engine.Task, service string) string {
	if task.Slot == 0 { // One of a global service.
		return service
	}
	return fmt.Sprintf("%s.%d", service, task.Slot)
}

func prefixed(prefix, text string) string {
	if text == "" {
		return ""
	}
	return prefix + text
}
