package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/api/types/swarm"

	"goblog/deploy/journal"
	"goblog/deploy/plan"
	"goblog/deploy/prove"
	"goblog/deploy/stack"
	engine "goblog/deploy/swarm"
)

// undo says why a change failed, restores the version that ran before, and returns the
// outcome. An interruption is undone like a failure.
func (d *deployment) undo(ctx context.Context, cause error) error {
	what := fmt.Sprintf("the deploy of %s %s", d.service.Name, d.entry.After.Version)
	if d.back {
		what = fmt.Sprintf("the rollback of %s to %s", d.service.Name, d.entry.After.Version)
	}
	firm := context.WithoutCancel(ctx)
	within, cancel := context.WithTimeout(firm, d.timeToGoBack())
	defer cancel()
	if errors.Is(cause, journal.ErrLost) || errors.Is(context.Cause(ctx), journal.ErrLost) || d.lost(within) {
		if !d.sent { // Nothing was changed, so the entry must not ask for a recovery.
			_ = journal.End(firm, d.engine, d.entry, journal.Failed, nil)
		}
		return failed(what+" was stopped: "+journal.ErrLost.Error(), d.serves(firm, d.service.Name, d.verifyNow()), "see what it does: scripts/status.sh")
	}
	d.say("going back")
	interrupted := ctx.Err() != nil
	switch {
	case interrupted:
	case errors.Is(cause, context.DeadlineExceeded):
		d.out.Explain("time is up: the swarm does not answer")
	default:
		d.explain(cause)
	}
	told := d.putBackOrLeave(within)
	if d.lost(within) {
		return failed(what+" was stopped: "+journal.ErrLost.Error(), d.serves(firm, d.service.Name, d.verifyNow()), "see what it does: scripts/status.sh")
	}
	var lines []string
	if d.left {
		lines = []string{startAgain}
	}
	if interrupted {
		return &outcome{exit: exitInterrupted, problem: fmt.Sprintf("%s was interrupted; %s", what, told), lines: lines}
	}
	return &outcome{exit: exitFailed, problem: fmt.Sprintf("%s failed; %s", what, told), lines: lines}
}

// putBackOrLeave restores the version that ran before, notes that the deploy has failed, and
// says which version serves. If the engine does not answer, it notes nothing: then the next
// deploy or rollback restores the version that ran before.
func (d *deployment) putBackOrLeave(ctx context.Context) string {
	told, err := d.putBack(ctx)
	if errors.Is(err, errSilent) {
		d.left = true
		return told
	}
	if err := d.end(context.WithoutCancel(ctx), journal.Failed); err != nil && !errors.Is(err, journal.ErrLost) {
		d.out.Warn(fmt.Sprintf("the history of %s does not know how this ended, so the next deploy or rollback restores the version that ran before: %v", d.service.Name, err))
	}
	return told
}

// explain says why something failed. For a failed proof, it prints the evidence.
func (d *deployment) explain(err error) {
	var failure *prove.Failure
	if errors.As(err, &failure) {
		d.out.Explain(failure.Reason, failure.Lines...)
	} else {
		d.out.Explain(err.Error())
	}
}

// goBack undoes a change that had worked, because another service of the same deploy failed.
func (d *deployment) goBack(ctx context.Context) string {
	if d.entry == nil {
		return ""
	}
	firm, told := context.WithoutCancel(ctx), ""
	if !d.lost(firm) {
		told = d.service.Name + " went back as well: " + d.putBackOrLeave(engine.Patient(firm))
	}
	if d.lost(firm) {
		told = fmt.Sprintf("%s did not go back: %v; %s", d.service.Name, journal.ErrLost, d.serves(firm, d.service.Name, d.verifyNow()))
	}
	return told
}

// stuck is how long an update that goes back may make no progress. The old task may have to
// drain first.
const stuck = 8 * time.Second

// errNotBack means that the version that ran before could not be restored, or does not work.
var errNotBack = errors.New("the version that ran before is not back")

// errSilent means that going back failed because the engine did not answer.
var errSilent = errors.New("the engine does not answer")

// notBack says what is known after going back has failed: the version that serves, if the
// engine answers.
func (d *deployment) notBack(ctx context.Context, what string) (string, error) {
	silent := d.engine.Silent()
	brief, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if _, err := d.engine.Service(brief, d.service.Name); err != nil {
		next := "removes what this deploy has created"
		if d.current != nil {
			next = "restores version " + d.current.Version
		}
		return fmt.Sprintf("the version that serves now is not known, because the engine does not answer: %v; the next deploy or rollback %s", err, next), errSilent
	}
	if d.lost(brief) {
		return journal.ErrLost.Error(), journal.ErrLost
	}
	told := what + ": " + d.serves(ctx, d.service.Name, d.verifyNow())
	if silent {
		return told, errSilent // The engine came back too late.
	}
	return told, errNotBack
}

// leastUndo is the shortest time for going back. The election of a new leader takes 10.5 s.
// Then the new leader needs 15 s to notice that a node is down.
const leastUndo = 40 * time.Second

// timeToGoBack is the time limit for going back: the longest of the timeouts of both versions
// and leastUndo.
func (d *deployment) timeToGoBack() time.Duration {
	timeout := max(d.entry.After.Timeout, leastUndo)
	if d.current != nil {
		timeout = max(d.current.Timeout, timeout)
	}
	return timeout
}

// putBack restores the version that ran before, proves it, and says which version serves now.
// It has its own deadline.
func (d *deployment) putBack(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(d.guarded(ctx), d.timeToGoBack())
	defer cancel()
	now, err := d.engine.Service(ctx, d.service.Name)
	if err != nil {
		return d.notBack(ctx, fmt.Sprintf("going back failed as well: %v", err))
	}
	ours := d.unproven(now)
	if d.current == nil {
		return d.takeAway(ctx, now, ours)
	}
	if now != nil && !ours && (d.running == nil || now.ID != d.running.ID) {
		return "the service of that name that exists now belongs to somebody else, and was not changed", nil
	}
	d.out.Step("Going back to %s %s", d.service.Name, d.current.Version)
	spec, err := d.restorable(ctx, d.current)
	if err == nil && d.updates(now, spec) && same(now, spec) {
		// The Spec stays the same, so no task is restarted. But the update makes any late update,
		// of this deploy or of a dead deploy, fail. An update that came before it is overwritten.
		spec = now.Spec
	}
	if err == nil {
		err = d.restore(ctx, now, spec)
	}
	if err == nil {
		err = d.proveBack(ctx, now, spec)
	}
	if err != nil {
		d.explain(err)
		return d.notBack(ctx, fmt.Sprintf("version %s does not do what it should, either", d.current.Version))
	}
	return fmt.Sprintf("version %s is back: %s", d.current.Version, d.serves(ctx, d.service.Name, d.current.Verify)), nil
}

// proveBack proves that a restored Spec works. A swarm can block itself. For example, a task
// that waits for its restart has the host-mode port that the old task needs. Or an update
// makes no progress because its next task waits for a node that is down. If an update is only
// slow, proveBack waits: its tasks may serve already.
func (d *deployment) proveBack(ctx context.Context, now *swarm.Service, spec swarm.ServiceSpec) error {
	goal := prove.Goal{Service: d.service.Name, Deploy: spec.Labels[journal.LabelDeploy], Failures: 3, Living: true}
	if !d.updates(now, spec) { // The service was created again.
		_, err := d.await(ctx, goal, d.current.Verify)
		return err
	}
	goal.Stuck = stuck
	_, err := d.await(ctx, goal, d.current.Verify)
	// A task of a global service has its node from the start: the scheduler does not forget it.
	if lacksNode(err) || err == nil && same(now, spec) && spec.Mode.Global == nil {
		err = d.goAround(ctx, goal, now, spec, err)
	}
	var failure *prove.Failure
	if !errors.As(err, &failure) || failure.Healthy || failure.Late {
		return err
	}
	d.out.Step("There is no progress: creating %s %s again", d.service.Name, d.current.Version)
	latest, err := d.engine.Service(ctx, d.service.Name)
	if err != nil {
		return err
	}
	if latest != nil && latest.ID != now.ID {
		return fmt.Errorf("somebody created service %s meanwhile", d.service.Name)
	}
	if latest != nil {
		if err := d.removeMine(ctx, latest); err != nil {
			return err
		}
	}
	if err := d.create(ctx, spec); err != nil {
		return err
	}
	goal.Stuck = 0
	_, err = d.await(ctx, goal, d.current.Verify)
	return err
}

// lacksNode tells whether a proof failed because a task waits for a node that is down.
func lacksNode(err error) bool {
	var failure *prove.Failure
	return errors.As(err, &failure) && failure.Down && !failure.Late
}

// goAround takes the tasks that have no node out of the Spec, until the others are back, and
// then asks for all of them again. An update ends by this that waits for a node that is down.
// And the last tasks start when the node comes back. Without it, they may wait for ever: if a
// service is updated and a waiting task stays as it is, the scheduler forgets that task.
// Source: noSuitableNode in swarmkit's manager/scheduler/scheduler.go.
func (d *deployment) goAround(ctx context.Context, goal prove.Goal, now *swarm.Service, spec swarm.ServiceSpec, err error) error {
	placed, less, sent := spec, false, false
	for err == nil && !sent || lacksNode(err) {
		tasks, failed := d.engine.Tasks(ctx, now.ID)
		if failed != nil {
			err = failed
			break
		}
		if placed, less = plan.Placed(placed, tasks); !less {
			break
		}
		d.out.Step("A task waits for a node that is down: going on without it")
		sent = true
		if err = d.overwrite(ctx, now.ID, placed); err == nil {
			_, err = d.await(ctx, goal, d.current.Verify)
		}
	}
	if !sent {
		return err
	}
	// This changes no task that runs, so it needs no proof. The service must not stay smaller, even
	// if time is up, or if this process was stopped for some time.
	d.out.Step("Asking for all tasks again")
	if failed := d.overwrite(context.WithoutCancel(ctx), now.ID, spec); failed != nil {
		return failed
	}
	return err
}

// takeAway removes the service that a first deploy has created, and no service of somebody
// else.
func (d *deployment) takeAway(ctx context.Context, now *swarm.Service, ours bool) (string, error) {
	switch {
	case now == nil:
		return "nothing of it is left", nil
	case !ours:
		return "the service of that name that exists now belongs to somebody else, and was not changed", nil
	}
	d.out.Step("Removing %s again: nothing ran before", d.service.Name)
	if err := d.removeAtOnce(ctx, now.ID, killable(now.Spec)); err != nil {
		return d.notBack(ctx, fmt.Sprintf("removing it failed as well: %v", err))
	}
	return "nothing of it is left", nil
}

// restorable is the Spec of a version that ran before, with the current ids of networks,
// secrets and configs. If a network is gone, it is created again as it was.
func (d *deployment) restorable(ctx context.Context, version *journal.Snapshot) (swarm.ServiceSpec, error) {
	var wanted []stack.Network
	for _, network := range version.Spec.TaskTemplate.Networks {
		name := cmp.Or(version.Networks[network.Target], network.Target)
		spec, made := version.Made[name]
		wanted = append(wanted, stack.Network{Name: name, Spec: spec, External: version.Made != nil && !made})
	}
	if _, err := d.networkIDs(ctx, wanted); err != nil {
		return version.Spec, err
	}
	ids, err := d.ids(ctx)
	if err != nil {
		return version.Spec, err
	}
	return plan.Restore(version, ids)
}

// restore restores a Spec. If the service still exists, it does so by an update, which keeps
// the credentials of the registry.
func (d *deployment) restore(ctx context.Context, now *swarm.Service, spec swarm.ServiceSpec) error {
	if now != nil && !d.updates(now, spec) { // The service was created again, or has another mode.
		if err := d.removeMine(ctx, now); err != nil {
			return err
		}
		now = nil
	}
	if now == nil {
		return d.create(ctx, spec)
	}
	return d.engine.Update(ctx, now, spec, journal.LabelDeploy, true)
}

// same tells whether a service has a Spec that was never replaced, or that is back.
func same(now *swarm.Service, spec swarm.ServiceSpec) bool {
	return now.Spec.Labels[journal.LabelDeploy] == spec.Labels[journal.LabelDeploy] && now.Spec.Labels[journal.LabelPlaced] == ""
}

// overwrite gives a service a Spec, whatever others have changed since.
func (d *deployment) overwrite(ctx context.Context, id string, spec swarm.ServiceSpec) error {
	now, err := d.engine.Service(ctx, id)
	if err != nil {
		return err
	}
	if now == nil {
		return &prove.Failure{Reason: fmt.Sprintf("somebody removed service %s meanwhile", spec.Name)}
	}
	return d.engine.Update(ctx, now, spec, journal.LabelPlaced, true)
}

// updates tells whether a service can go back by an update: it is the same service as before,
// with the same mode.
func (d *deployment) updates(now *swarm.Service, spec swarm.ServiceSpec) bool {
	return d.running != nil && now != nil && now.ID == d.running.ID && !leaves(now) && (now.Spec.Mode.Global == nil) == (spec.Mode.Global == nil)
}

// removeMine removes a service, unless somebody else has changed it since it was read.
func (d *deployment) removeMine(ctx context.Context, service *swarm.Service) error {
	if err := d.mark(ctx, service); err != nil {
		return err
	}
	return d.removeAtOnce(ctx, service.ID, killable(service.Spec))
}

// mark marks a service that this deploy is about to remove. A removal names no version of the
// service, but this update does, so it comes first. If another deploy takes the lock in
// between, it sees the mark and creates the service again, with another id. A service that is
// gone needs no mark: the removal by a dead deploy may arrive at this moment.
func (d *deployment) mark(ctx context.Context, service *swarm.Service) error {
	marked := plan.WithLabel(service.Spec, journal.LabelLeaves, d.id)
	err := d.engine.Update(ctx, service, marked, journal.LabelLeaves, false)
	if err != nil {
		if now, failure := d.engine.Service(ctx, service.ID); failure == nil && now == nil {
			return nil
		}
	}
	return err
}

// leaves tells whether somebody was about to remove a service.
func leaves(service *swarm.Service) bool {
	return service.Spec.Labels[journal.LabelLeaves] != ""
}

// leaves tells whether a deploy was about to remove the running service: its removal may
// still arrive.
func (d *deployment) leaves() bool { return d.running != nil && leaves(d.running) }

// killable tells whether tasks may be killed without a grace period: they have no data that
// stays after them.
func killable(spec swarm.ServiceSpec) bool {
	for _, one := range spec.TaskTemplate.ContainerSpec.Mounts {
		if one.Type == mount.TypeBind || one.Type == mount.TypeVolume && one.Source != "" {
			return false
		}
	}
	return true
}

// removeAtOnce removes a service, and does not wait for its running requests. It kills its
// containers on this engine, if they may be killed. If other nodes or the engine have to end
// tasks, it waits until the swarm has no task of the service any more.
func (d *session) removeAtOnce(ctx context.Context, id string, kill bool) error {
	if _, bounded := ctx.Deadline(); !bounded {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, removeTimeout)
		defer cancel()
	}
	if err := d.engine.Remove(ctx, id); err != nil {
		return err
	}
	alone := false
	if kill {
		containers, err := d.engine.Containers(ctx, id)
		for _, container := range containers {
			err = errors.Join(err, d.engine.RemoveContainer(ctx, container))
		}
		if err != nil {
			return err
		}
		nodes, err := d.engine.Nodes(ctx)
		if err != nil {
			return err
		}
		alone = len(nodes) == 1
	}
	for !alone {
		gone, err := d.gone(ctx, id)
		if err != nil || gone {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("a service is removed, but tasks of it are still there: %w; look at the nodes that run them: docker node ls", ctx.Err())
		case <-time.After(100 * time.Millisecond):
		}
	}
	return nil
}

// gone tells whether all tasks of a removed service are gone. Tasks on nodes that are down do
// not count. A node in an unknown state counts: for a while, a new leader knows the state of no
// node.
func (d *session) gone(ctx context.Context, id string) (bool, error) {
	nodes, err := d.engine.Nodes(ctx)
	if err != nil {
		return false, err
	}
	lives := map[string]bool{}
	for _, node := range nodes {
		lives[node.ID] = node.Status.State == swarm.NodeStateReady || node.Status.State == swarm.NodeStateUnknown
	}
	tasks, err := d.engine.AllTasks(ctx)
	for _, task := range tasks {
		if task.ServiceID == id && lives[task.NodeID] {
			return false, err
		}
	}
	return true, err
}
