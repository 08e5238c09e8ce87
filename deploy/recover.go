package main

import (
	"context"
	"errors"
	"slices"

	"github.com/moby/moby/api/types/swarm"

	"goblog/deploy/journal"
	engine "goblog/deploy/swarm"
)

// recover restores the version that ran before a deploy that was cut off, and tells whether
// there was one. The history shows such a deploy: its entry never ended, and nobody holds the
// lock any more.
func (d *deployment) recover(ctx context.Context) (bool, error) {
	if err := d.endTrial(ctx); err != nil {
		return false, err
	}
	history, err := journal.Read(ctx, d.engine, d.service.Name)
	if err != nil {
		return false, err
	}
	cut := history.CutOff()
	if cut == nil {
		return false, nil
	}
	ctx = engine.Patient(d.guarded(context.WithoutCancel(ctx)))
	if open, err := journal.Claim(ctx, d.engine, cut, d.id); err != nil || !open { // It has just ended.
		return false, err
	}
	d.out.Step("The deploy of %s %s by %s, begun at %s, was cut off", d.service.Name, cut.After.Version, cut.By, cut.At.Local().Format("2006-01-02 15:04:05"))
	for _, name := range cut.With {
		if name != d.service.Name && !slices.Contains(d.all, name) && d.stillOpen(ctx, name) {
			d.out.Detail("this deploy also had the service %s: if it was changed, the next deploy or rollback of %[1]s restores it", name)
		}
	}
	d.say("restoring what a deploy that was cut off has changed")
	now, err := d.engine.Service(ctx, d.service.Name)
	if err != nil {
		return false, err
	}
	old := &deployment{
		session: d.session, service: d.service, id: cut.After.Spec.Labels[journal.LabelDeploy], held: d.held,
		history: history, running: now, current: cut.Before, entry: cut,
	}
	if now != nil && !old.unproven(now) && (cut.Before == nil || !madeBy(now, cut.Before)) {
		d.out.Detail("somebody has created another service of that name since then: it is not changed")
		return false, journal.End(ctx, d.engine, cut, journal.Failed, nil)
	}
	// A deploy stores its entry beside that of the version before. So this one came after a removal.
	if now == nil && cut.Before != nil && len(history) == 1 {
		d.out.Detail("somebody has removed the service and its history since then: nothing is restored")
		return false, journal.End(ctx, d.engine, cut, journal.Failed, nil)
	}
	d.changed[d.service.Name] = true
	told, err := old.putBack(ctx)
	// The entry does not change, so the next deploy tries again.
	switch {
	case errors.Is(err, journal.ErrLost):
		return false, err
	case errors.Is(err, errSilent):
		return false, failed("a deploy was cut off, and the version before it could not be restored: "+told, "check with docker node ls whether the engine answers, and try again")
	case err != nil && !d.noUndo:
		return false, failed("a deploy was cut off, and the version before it could not be restored: "+told, "fix the cause, or deploy without restoring that version: --no-undo")
	}
	old.out.Detail("%s", told)
	return true, old.end(ctx, journal.Failed)
}

// stillOpen tells whether the last deploy of another service has not ended. If its history cannot
// be read, it may be open.
func (s *session) stillOpen(ctx context.Context, service string) bool {
	history, err := journal.Read(ctx, s.engine, service)
	return err != nil || history.CutOff() != nil
}

// madeBy tells whether the deploy of a version made a service.
func madeBy(service *swarm.Service, version *journal.Snapshot) bool {
	label := service.Spec.Labels[journal.LabelDeploy]
	if label == "" { // No deploy made it: then all of it must be the same.
		return version.Runs(service)
	}
	return label == version.Spec.Labels[journal.LabelDeploy]
}
