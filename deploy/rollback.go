package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"goblog/deploy/journal"
	"goblog/deploy/plan"
	"goblog/deploy/progress"
	"goblog/deploy/prove"
	"goblog/deploy/stack"
)

// rollback goes back to a version of the history. It takes all of it from the swarm:
// nothing is read from the environment or interpolated.
func rollback(ctx context.Context, o *options, out *progress.Printer) error {
	name, n, err := o.target()
	if err != nil {
		return err
	}
	s, err := open(ctx, o, out)
	if err == nil {
		err = s.needManager(false)
	}
	if err != nil {
		return err
	}
	d := s.deployment(stack.Service{Name: name})
	all := []*deployment{d}
	defer func() { s.release(ctx, all) }()
	if err := s.lock(ctx, all); err != nil {
		return s.untouched(ctx, all, err)
	}
	if err := d.read(ctx); err != nil {
		return s.untouched(ctx, all, err)
	}
	if d.running == nil {
		return failed("there is no service "+name+" to roll back", "deploy it: scripts/copyall.sh")
	}
	version, err := d.versionToGoBackTo(n)
	if err != nil {
		return s.untouched(ctx, all, err)
	}
	if err := d.engine.Missing(ctx, version.Image()); err != nil {
		return s.untouched(ctx, all, failed(fmt.Sprintf("%s cannot go back to version %s: %v", name, version.Version, err), "check out that version, and deploy it: scripts/copyall.sh"))
	}
	if err := d.rollBackTo(ctx, version); err != nil {
		return err
	}
	at := ""
	if len(d.urls) > 0 {
		at = "; it serves at " + strings.Join(d.urls, " ")
	}
	out.Step("Rolled %s back to %s%s", name, version.Version, at)
	return nil
}

// target are the service and the entry that the arguments name; 0: what the last deploy replaced.
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
		return "", 0, usage("want one service and one number at most, not '%s'", strings.Join(o.arguments, " "))
	}
	if len(names) == 1 {
		return names[0], n, nil
	}
	known, err := stack.Names(o.files)
	if err != nil {
		return "", 0, &usageError{err.Error()}
	}
	if len(known) != 1 {
		return "", 0, usage("say which service to roll back: %s", strings.Join(known, ", "))
	}
	return known[0], n, nil
}

func (d *deployment) versionToGoBackTo(n int) (*journal.Snapshot, error) {
	name := d.service.Name
	if n == 0 {
		if previous := d.history.Previous(d.current); previous != nil {
			return previous, nil
		}
		return nil, failed(fmt.Sprintf("%s %s replaced nothing, so there is nothing to go back to", name, d.current.Version), "check out the version you want, and deploy it: scripts/copyall.sh")
	}
	if n == d.current.Entry {
		return nil, failed(fmt.Sprintf("entry %d of %s, version %s, is what runs", n, name, d.current.Version))
	}
	version := d.history.Version(n)
	if version == nil {
		var numbers []string
		for _, entry := range d.history {
			if entry.N != d.current.Entry && d.history.Version(entry.N) != nil {
				numbers = append(numbers, strconv.Itoa(entry.N))
			}
		}
		return nil, failed(fmt.Sprintf("the history of %s has no version %d that can be gone back to", name, n), "those there are: "+strings.Join(numbers, " "))
	}
	return version, nil
}

// rollBackTo updates the service to a version that ran before, and proves it by that
// version's own verify.
func (d *deployment) rollBackTo(ctx context.Context, version *journal.Snapshot) error {
	spec, err := d.restorable(ctx, version)
	if err != nil {
		return d.untouched(ctx, []*deployment{d}, err)
	}
	plan.KeepReplicas(&spec, version, d.current)
	if spec.Labels == nil {
		spec.Labels = map[string]string{}
	}
	d.out.Step("Plan: roll %s back from %s to %s", d.service.Name, d.current.Version, version.Version)
	d.planned = &plan.Plan{Service: d.service.Name, Action: plan.Update, Lines: plan.Changes(version, d.current)}
	for _, line := range d.planned.Lines {
		d.out.Detail("%s", line.Text(d.showValues))
	}
	if d.current.Spec.TaskTemplate.ForceUpdate >= spec.TaskTemplate.ForceUpdate && len(d.planned.Lines) == 0 {
		spec.TaskTemplate.ForceUpdate = d.current.Spec.TaskTemplate.ForceUpdate + 1
	}
	after := *version
	after.Spec = spec
	d.service.Deploy = stack.Deploy{Verify: after.Verify, Trial: after.Trial, Timeout: after.Timeout}
	return d.deploy(ctx, after, plan.Update, prove.Goal{Settled: 0})
}
