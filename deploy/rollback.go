package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/moby/moby/api/types/swarm"

	"goblog/deploy/journal"
	"goblog/deploy/plan"
	"goblog/deploy/progress"
	"goblog/deploy/prove"
	"goblog/deploy/stack"
)

// rollback goes back to a version of the history. It takes the whole version from the swarm,
// and reads no values from the environment.
func rollback(ctx context.Context, o *options, out *progress.Printer) error {
	name, n, err := o.target()
	if err != nil {
		return err
	}
	s, err := openManager(ctx, o, out)
	if err != nil {
		return err
	}
	d := s.deployment(stack.Service{Name: name})
	all := []*deployment{d}
	defer func() { s.release(ctx, all) }()
	if err := s.lock(ctx, all); err != nil {
		return s.untouched(ctx, all, err)
	}
	restored, err := d.recover(ctx)
	if err != nil {
		return s.untouched(ctx, all, err)
	}
	if err := d.read(ctx); err != nil {
		return s.untouched(ctx, all, err)
	}
	if restored && n == 0 { // This is what the rollback was asked for.
		out.Step("Restored %s: %s", name, d.serves(context.WithoutCancel(ctx), name, d.verifyNow()))
		return nil
	}
	if d.running == nil && d.history.Last() == nil {
		return failed("there is no service "+name+" to roll back", "deploy it: scripts/copyall.sh")
	}
	version, err := d.versionToGoBackTo(n)
	if err != nil {
		return s.untouched(ctx, all, err)
	}
	have, err := s.stock(ctx)
	if err == nil {
		err = s.missing(ctx, version, have)
	}
	if err != nil {
		return s.untouched(ctx, all, failed(fmt.Sprintf("%s cannot go back to version %s: %v", name, version.Version, err), "check out that version, and deploy it: scripts/copyall.sh"))
	}
	if err := d.rollBackTo(ctx, version); err != nil {
		return err
	}
	out.Step("Rolled %s back to %s: %s", name, version.Version, d.serves(context.WithoutCancel(ctx), name, version.Verify))
	return nil
}

// target returns the service and the entry that the arguments name. Entry 0 is the version
// that the last deploy replaced.
func (o *options) target() (string, int, error) {
	var names []string
	n := 0
	for _, argument := range o.arguments {
		if number, err := strconv.Atoi(argument); err == nil && number > 0 && n == 0 {
			n = number
		} else {
			names = append(names, argument)
		}
	}
	if len(names) > 1 {
		return "", 0, usage("give one service and one number at most, not '%s'", strings.Join(o.arguments, " "))
	}
	known, err := stack.Names(o.files)
	switch {
	case len(names) == 1 && !slices.Contains(known, names[0]):
		return names[0], n, nil // Its name in the swarm; the file may be gone.
	case len(names) == 1:
		return stack.NameIn(o.env["STACK"], names[0]), n, nil
	case err != nil:
		return "", 0, &usageError{err.Error()}
	case len(known) != 1:
		return "", 0, usage("say which service to roll back: %s", strings.Join(known, ", "))
	}
	return stack.NameIn(o.env["STACK"], known[0]), n, nil
}

func (d *deployment) versionToGoBackTo(n int) (*journal.Snapshot, error) {
	name := d.service.Name
	if d.current == nil && n == 0 {
		return d.history.Last(), nil // Somebody has removed it.
	}
	if n == 0 {
		if previous := d.history.Previous(d.current); previous != nil {
			return previous, nil
		}
		return nil, failed(fmt.Sprintf("%s %s replaced nothing, so there is nothing to go back to", name, d.current.Version), "check out the version you want, and deploy it: scripts/copyall.sh")
	}
	if d.current != nil && n == d.current.Entry {
		return nil, failed(fmt.Sprintf("entry %d of %s, version %s, runs already", n, name, d.current.Version))
	}
	version := d.history.Version(n)
	if version == nil {
		var numbers []string
		for _, entry := range d.history {
			if (d.current == nil || entry.N != d.current.Entry) && d.history.Version(entry.N) != nil {
				numbers = append(numbers, strconv.Itoa(entry.N))
			}
		}
		return nil, failed(fmt.Sprintf("the history of %s has no version %d to go back to", name, n), "these entries have one: "+cmp.Or(strings.Join(numbers, " "), "none"))
	}
	return version, nil
}

// leastTimeout is the shortest timeout of a rollback, whatever the deploy of that version
// had. The running tasks drain, and the swarm monitors the update for some time.
const leastTimeout = time.Minute

// rollBackTo updates the service to a version that ran before, and proves it with the verify
// of that version.
func (d *deployment) rollBackTo(ctx context.Context, version *journal.Snapshot) error {
	spec, err := d.restorable(d.guarded(ctx), version)
	if err != nil {
		return d.untouched(ctx, []*deployment{d}, err)
	}
	d.planRollback(&spec, version)
	after := *version
	after.Spec = spec
	after.Timeout = max(version.Timeout, leastTimeout)
	d.back = true
	d.service.Deploy = stack.Deploy{Verify: after.Verify, Trial: after.Trial, Timeout: after.Timeout}
	if err := d.deploy(ctx, after, d.planned.Action, prove.Goal{Failures: 3}); err != nil {
		return err
	}
	return d.done(ctx)
}

// planRollback says what a rollback changes, and chooses the action: an update, if that is
// possible.
func (d *deployment) planRollback(spec *swarm.ServiceSpec, version *journal.Snapshot) {
	d.planned = &plan.Plan{Service: d.service.Name, Action: plan.Create}
	if d.current == nil {
		d.out.Step("Plan: create %s %s again, as somebody has removed it", d.service.Name, version.Version)
		return
	}
	plan.KeepReplicas(spec, version, d.current)
	d.out.Step("Plan: roll %s back from %s to %s", d.service.Name, d.current.Version, version.Version)
	d.planned.Action, d.planned.Lines = plan.Update, plan.Changes(version, d.current)
	if d.leaves() {
		d.planned.Action = plan.Replace
	}
	if (spec.Mode.Global == nil) != (d.current.Spec.Mode.Global == nil) {
		d.planned.Action = plan.Replace
		d.out.Detail("A service that changes its mode cannot be updated, so it is removed and created again: expect an outage")
	}
	for _, line := range d.planned.Lines {
		d.out.Detail("%s", line.Text(d.showValues))
	}
	if len(d.planned.Lines) == 0 {
		spec.TaskTemplate.ForceUpdate = max(spec.TaskTemplate.ForceUpdate, d.current.Spec.TaskTemplate.ForceUpdate+1)
	}
}
