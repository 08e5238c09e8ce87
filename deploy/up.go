package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"goblog/deploy/journal"
	"goblog/deploy/plan"
	"goblog/deploy/progress"
	"goblog/deploy/stack"
	engine "goblog/deploy/swarm"
)

// up deploys services of the stack files. Steps that can fail without a change come first. If
// a later step fails, the change is undone.
func up(ctx context.Context, o *options, out *progress.Printer) error {
	loaded, services, err := o.services()
	if err != nil {
		return err
	}
	for _, warning := range loaded.Warnings {
		out.Warn(warning)
	}
	s, err := open(ctx, o, out)
	if err != nil {
		return err
	}
	s.file = loaded
	defer s.builder().Close()
	if err := s.needManager(true); err != nil {
		return err
	}
	if o.keepGoing {
		return s.deployEach(ctx, services)
	}
	return s.deploy(ctx, services)
}

// services are the services of the stack files that the arguments name. Without arguments,
// these are all.
func (o *options) services() (*stack.Stack, []stack.Service, error) {
	loaded, err := o.load()
	if err != nil {
		return nil, nil, err
	}
	services, err := loaded.Select(o.arguments)
	if err != nil {
		return nil, nil, &usageError{err.Error()}
	}
	return loaded, services, nil
}

// deployEach deploys one service after the other. If one fails, it continues with the next.
func (s *session) deployEach(ctx context.Context, services []stack.Service) error {
	var bad []string
	for i, service := range services {
		err := s.deploy(ctx, []stack.Service{service})
		if ctx.Err() != nil { // Ctrl-C ends the whole command.
			if err == nil && i+1 < len(services) {
				err = &outcome{exit: exitInterrupted, problem: fmt.Sprintf("interrupted; %s is deployed, and the services after it were not touched", service.Name)}
			}
			return err
		}
		if err != nil {
			s.tell(err)
			bad = append(bad, service.Name)
		}
	}
	if len(bad) > 0 {
		return failed("failed, for the reasons above: "+strings.Join(bad, " "), "fix the causes, and deploy these services alone; the other services are deployed")
	}
	return nil
}

// deploy deploys services as one deploy: if one fails, the services that were changed before
// it are restored too.
func (s *session) deploy(ctx context.Context, services []stack.Service) (err error) {
	var all []*deployment
	for _, service := range services {
		all = append(all, s.deployment(service))
	}
	for _, d := range all {
		d.all = namesOf(all)
	}
	defer func() { s.release(ctx, all) }()
	prepare := []func(context.Context, []*deployment) error{s.build, s.makeManager, s.lock}
	if s.inSwarm() {
		prepare = []func(context.Context, []*deployment) error{s.lockAndRecover, s.build}
	}
	if s.plan {
		prepare = []func(context.Context, []*deployment) error{s.build}
	}
	for _, step := range append(prepare, s.planAll) {
		if err := step(ctx, all); err != nil {
			return s.untouched(ctx, all, err)
		}
	}
	if s.plan {
		return nil
	}
	err = s.carryOut(ctx, all)
	for _, d := range all {
		if err == nil {
			d.moveTags(ctx)
		}
	}
	s.tidy(ctx, all)
	for _, d := range all {
		if err == nil {
			d.conclude(ctx)
		}
	}
	return err
}

func namesOf(all []*deployment) []string {
	var names []string
	for _, d := range all {
		names = append(names, d.service.Name)
	}
	return names
}

// carryOut does what the plans say.
func (s *session) carryOut(ctx context.Context, all []*deployment) error {
	guarded := guardedBy(ctx, all)
	if err := s.makeContents(guarded, namesOf(all)); err != nil {
		return s.untouched(ctx, all, err)
	}
	if _, err := s.networkIDs(guarded, s.networksOf(all)); err != nil {
		return s.untouched(ctx, all, err)
	}
	return s.changeAll(ctx, all)
}

// changeAll tries and changes one service after the other. All trials come before the first
// change, except those of services that depend on a change.
func (s *session) changeAll(ctx context.Context, all []*deployment) error {
	for _, d := range all {
		if waits(d, all) {
			continue
		}
		if err := d.try(ctx); err != nil {
			return s.untouched(ctx, all, err)
		}
	}
	for i, d := range all {
		err := d.try(ctx)
		if err == nil {
			err = allMine(ctx, all) // Without the others, this one would only have to go back.
		}
		if err != nil {
			err = s.untouched(ctx, all[i:], err)
		} else if err = d.change(ctx); err == nil {
			continue
		}
		return s.goBackAll(ctx, all[:i], outcomeOf(err))
	}
	for i, d := range all { // Only now: the deploy of several services succeeds or fails as a whole.
		if err := d.done(ctx); err != nil {
			return s.goBackAll(ctx, all[i+1:], outcomeOf(err))
		}
	}
	return nil
}

// goBackAll undoes changes that had worked, because another service of the same deploy
// failed.
func (s *session) goBackAll(ctx context.Context, changed []*deployment, told *outcome) *outcome {
	for _, d := range slices.Backward(changed) {
		if line := d.goBack(ctx); line != "" {
			told.lines = append(told.lines, line)
		}
	}
	return told
}

// waits tells whether a service depends on a service that this deploy changes. Its trial may
// need the new version of that service, so it comes after that change.
func waits(d *deployment, all []*deployment) bool {
	return slices.ContainsFunc(all, func(other *deployment) bool {
		return slices.Contains(d.service.After, other.service.Key) && (other.planned.Action != plan.Nothing || waits(other, all))
	})
}

// build makes or finds the image of each service.
func (s *session) build(ctx context.Context, all []*deployment) error {
	for _, d := range all {
		d.say("building the image")
		if err := d.findImage(ctx); err != nil {
			return err
		}
	}
	return nil
}

// makeManager makes a swarm if the engine is not in one.
func (s *session) makeManager(ctx context.Context, _ []*deployment) error {
	return s.makeSwarm(ctx)
}

// lock takes the lock of each service.
func (s *session) lock(ctx context.Context, all []*deployment) error {
	return s.lockEach(ctx, all, func(*deployment) error { return nil })
}

// lockAndRecover takes the lock of each service. It restores a service at once if a deploy of
// it was cut off: the service may be down, and the next lock may be held for a long time.
func (s *session) lockAndRecover(ctx context.Context, all []*deployment) error {
	return s.lockEach(ctx, all, func(d *deployment) error {
		_, err := d.recover(ctx)
		return err
	})
}

func byName(all []*deployment) []*deployment {
	return slices.SortedFunc(slices.Values(all), func(a, b *deployment) int { return strings.Compare(a.service.Name, b.service.Name) })
}

// lockEach takes the locks in the order of names, so that two deploys never wait for each
// other.
func (s *session) lockEach(ctx context.Context, all []*deployment, then func(*deployment) error) error {
	taker := s.taker(all)
	for _, d := range byName(all) {
		if err := d.takeLock(ctx, taker); err != nil {
			return err
		}
		if err := then(d); err != nil {
			return err
		}
	}
	return nil
}

// taker takes the locks of these services.
func (s *session) taker(all []*deployment) *journal.Taker {
	return &journal.Taker{
		Engine: s.engine, IsTaken: engine.IsTaken, Wait: s.wait, Clock: journal.RealClock{}, Services: namesOf(all),
		Watching: func(held *journal.HeldError) {
			s.out.Step("%s", held.Error())
			s.out.Detail("checking whether that deploy is still alive")
		},
	}
}

// release frees the locks, also after an error.
func (s *session) release(ctx context.Context, all []*deployment) {
	ctx = context.WithoutCancel(ctx)
	for _, d := range all {
		if d.held == nil {
			continue
		}
		if d.entry != nil && !d.left {
			ctx = engine.Patient(ctx)
		}
		if err := d.held.Free(ctx); err != nil {
			s.out.Warn(err.Error())
		}
	}
}

// planAll reads the running services, plans each service, and prints the plan.
func (s *session) planAll(ctx context.Context, all []*deployment) error {
	here, err := s.situation(ctx)
	if err != nil {
		return err
	}
	for _, d := range all {
		d.say("planning")
		if err := d.read(ctx); err != nil {
			return err
		}
		if err := d.makePlan(ctx, here); err != nil {
			return err
		}
	}
	return nil
}

// networksOf are the networks that the services of a deploy are on.
func (s *session) networksOf(all []*deployment) []stack.Network {
	return slices.DeleteFunc(slices.Clone(s.file.Networks), func(network stack.Network) bool {
		return !slices.ContainsFunc(all, func(d *deployment) bool { return d.uses(network.Name) })
	})
}

// untouched is the error of a step before the first change of these services. Its last lines
// say which version serves. A service may have been restored before, after a deploy of it was
// cut off.
func (s *session) untouched(ctx context.Context, all []*deployment, err error) error {
	if ctx.Err() != nil {
		err = context.Canceled
		if len(s.changed) == 0 {
			err = &outcome{exit: exitInterrupted, problem: "interrupted; nothing that runs was changed"}
		}
	}
	told := outcomeOf(orLost(ctx, all, err))
	told.lines = append(told.lines, s.made...)
	firm := context.WithoutCancel(ctx)
	for _, d := range all {
		if d.running == nil {
			_ = d.read(firm) // This read failed before, or did not happen yet. The first error is printed.
		}
		switch {
		case s.changed[d.service.Name]:
			told.lines = append(told.lines, s.serves(ctx, d.service.Name, d.verifyNow()))
		case d.running != nil:
			told.lines = append(told.lines, d.service.Name+" was not touched: "+s.serves(ctx, d.service.Name, d.verifyNow()))
		default:
			told.lines = append(told.lines, d.service.Name+" was not touched")
		}
	}
	return told
}

// tell prints an error in the middle of a command.
func (s *session) tell(err error) {
	told := outcomeOf(err)
	s.out.Fail(told.problem, told.lines...)
}

// buildOnly compiles, and builds the images, without looking at the swarm.
func buildOnly(ctx context.Context, o *options, out *progress.Printer) error {
	_, services, err := o.services()
	if err != nil {
		return err
	}
	services = slices.DeleteFunc(services, func(service stack.Service) bool { return service.Build == nil })
	s := &session{options: o, out: out}
	if !o.binary {
		if s, err = open(ctx, o, out); err != nil {
			return err
		}
	}
	builder := s.builder()
	defer builder.Close()
	for _, service := range services {
		if service.Build.Package != "" {
			if err := builder.Compile(ctx, service); err != nil {
				return err
			}
		}
		if o.binary {
			continue
		}
		tag, err := builder.Image(ctx, service)
		if err != nil {
			return err
		}
		out.Text(tag + "\n")
		out.Value("image", tag)
	}
	return nil
}
