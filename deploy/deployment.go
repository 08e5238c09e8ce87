package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/moby/moby/api/types/swarm"

	"goblog/deploy/build"
	"goblog/deploy/journal"
	"goblog/deploy/plan"
	"goblog/deploy/prove"
	"goblog/deploy/stack"
	engine "goblog/deploy/swarm"
)

// A deployment is the deploy of one service, from its image to its proof.
type deployment struct {
	*session
	service stack.Service
	id      string // of this deploy: a label of its Spec

	tag     string // lasting tag of an image that was built here
	wanted  plan.Wanted
	held    *journal.Lock
	history journal.History
	running *swarm.Service    // the service that ran at the beginning; nil: none
	current *journal.Snapshot // the same, with everything that is needed to restore it
	planned *plan.Plan
	entry   *journal.Entry // nil until just before the first change
	urls    []string       // where the new version was proven
	tried   bool           // its trial has been made
	back    bool           // it is a rollback, to a version of the history
	all     []string       // the services of the same deploy, this one included
	sent    bool           // it may have changed something
	left    bool           // the engine did not answer: the next deploy has to go back

	returned *swarm.ServiceSpec // what the engine made of the Spec that was sent
}

func (s *session) deployment(service stack.Service) *deployment {
	return &deployment{session: s, service: service, id: fmt.Sprintf("%x-%x", time.Now().UnixNano(), s.info.ID[:min(4, len(s.info.ID))])}
}

// findImage builds the image, or finds the finished image. Tasks name the image by its id, or
// by its digest if a registry has it. With a tag, the engine would ask the registry at each
// start.
func (d *deployment) findImage(ctx context.Context) error {
	builder := d.builder()
	d.wanted = plan.Wanted{Service: d.service, Version: d.env["VERSION"]}
	if d.service.Build == nil {
		return d.findFinished(ctx, builder)
	}
	if d.service.Build.Package != "" {
		if err := builder.Compile(ctx, d.service); err != nil {
			return err
		}
	}
	var err error
	if d.options.plan {
		d.tag, err = builder.Tag(ctx, d.service)
	} else {
		d.tag, err = builder.Image(ctx, d.service)
	}
	if err != nil {
		return err
	}
	image, err := d.engine.Image(ctx, d.tag)
	if err != nil {
		return err
	}
	if image == nil && d.options.plan {
		d.wanted.Image, d.wanted.Probed = d.tag+", still to be built", true
		d.wanted.Platforms = []swarm.Platform{{OS: "linux", Architecture: d.env["GOARCH"]}}
		return nil
	}
	if image == nil {
		return fmt.Errorf("the image %s was built, but this engine does not have it", d.tag)
	}
	d.describe(image)
	d.wanted.Image = image.ID
	registry := d.env["REGISTRY"]
	switch {
	case registry == "":
		return nil
	case d.options.plan:
		d.wanted.Image = cmp.Or(image.DigestOf(registry+"/"+build.Repository(d.service)), d.tag+", still to be pushed")
		return nil
	}
	d.wanted.Image, err = builder.Push(ctx, registry, d.service, d.tag)
	return err
}

// findFinished finds an image that is not built here. Once in each deploy, it asks the
// registry for the digest and the platforms of the name. If no registry knows the image, it
// runs only on this node.
func (d *deployment) findFinished(ctx context.Context, builder *build.Builder) error {
	name := d.service.Image
	d.wanted.Version = name
	image, err := d.engine.Image(ctx, name)
	if err != nil {
		return err
	}
	if image != nil {
		d.describe(image)
		if len(image.Digests) == 0 { // Neither pulled nor pushed: in a registry, somebody else may own the name.
			d.bind(image)
			return nil
		}
	}
	digest, platforms, why := d.engine.Resolve(ctx, name)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if why == nil {
		d.wanted.Image, d.wanted.Platforms = build.Repository(d.service)+"@"+digest, platforms
		return d.findHealthCheck(ctx, builder)
	}
	if image != nil {
		if kept, err := d.keepImage(ctx, image); err != nil || kept {
			return err
		}
	}
	if image == nil {
		if err := builder.Pull(ctx, d.service.Name, name); err != nil {
			return err
		}
		if image, err = d.engine.Image(ctx, name); err == nil && image == nil {
			err = fmt.Errorf("the image %s was pulled, but this engine does not have it", name)
		}
		if err != nil {
			return err
		}
		d.describe(image)
	}
	// With the containerd store, local images have a digest too: it is their id.
	if known := image.DigestOf(build.Repository(d.service)); known != "" && !strings.HasSuffix(known, image.ID) {
		d.wanted.Image = known
		return nil
	}
	d.bind(image)
	return nil
}

// keepImage keeps the digest and the platforms of the running service, if the engine knows
// this digest under the name. It is for a registry that cannot be asked.
func (d *deployment) keepImage(ctx context.Context, image *engine.Image) (bool, error) {
	if !d.inSwarm() {
		return false, nil
	}
	running, err := d.engine.Service(ctx, d.service.Name)
	if err != nil || running == nil || running.Spec.TaskTemplate.ContainerSpec == nil {
		return false, err
	}
	runs := running.Spec.TaskTemplate.ContainerSpec.Image
	if !slices.Contains(image.Digests, runs) {
		return false, nil
	}
	d.wanted.Image = runs
	if placement := running.Spec.TaskTemplate.Placement; placement != nil && len(placement.Platforms) > 0 {
		d.wanted.Platforms = placement.Platforms
	}
	return true, nil
}

// bind lets the service run only on this node, which has its image.
func (d *deployment) bind(image *engine.Image) {
	d.wanted.Image, d.wanted.Bound = image.ID, true
	d.out.Step("Only this node has %s: %s is bound to it", d.service.Image, d.service.Name)
}

// findHealthCheck finds out whether an image of a registry has a health check. To look, this
// engine must have the image. It cannot get an image that is only for other processors: then
// a task counts as healthy after some time.
func (d *deployment) findHealthCheck(ctx context.Context, builder *build.Builder) error {
	image, err := d.engine.Image(ctx, d.wanted.Image)
	if err == nil && image == nil && d.options.plan {
		d.wanted.Probed = true
		return nil
	}
	if err == nil && image == nil {
		if why := builder.Pull(ctx, d.service.Name, d.wanted.Image); ctx.Err() != nil {
			return ctx.Err()
		} else if why != nil {
			d.out.Warn(fmt.Sprintf("this engine cannot get the image of %s, so its health check is not known: %v", d.service.Name, why))
			return nil
		}
		image, err = d.engine.Image(ctx, d.wanted.Image)
	}
	if err == nil && image != nil {
		d.wanted.Probed, d.wanted.Starts = image.Probed, image.Starts
	}
	return err
}

func (d *deployment) describe(image *engine.Image) {
	d.wanted.Probed, d.wanted.Starts = image.Probed, image.Starts
	d.wanted.Platforms = []swarm.Platform{image.Platform}
}

func (d *deployment) takeLock(ctx context.Context, taker *journal.Taker) error {
	if err := d.freeOldLock(ctx); err != nil {
		return err
	}
	var err error
	d.held, err = taker.Take(ctx, d.service.Name)
	if err == nil && d.held.Dead != nil {
		d.out.Step("The deploy of %s by %s has died: its lock was removed", d.service.Name, d.held.Dead.Holder)
	}
	return err
}

// mine checks, before a change, that this deploy still has its lock. Another deploy may have
// decided that this one is dead.
func (d *deployment) mine(ctx context.Context) error {
	if d.held == nil {
		return nil
	}
	return d.held.Check(ctx)
}

// lost tells whether another process has taken this deploy for dead.
func (d *deployment) lost(ctx context.Context) bool { return errors.Is(d.mine(ctx), journal.ErrLost) }

// orLost is ErrLost if one of these deploys was taken for dead, and otherwise the error. A
// process that slept often fails for another reason first: its call took too long.
func orLost(ctx context.Context, all []*deployment, err error) error {
	if ctx.Err() != nil {
		return err // It was interrupted.
	}
	brief, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if errors.Is(allMine(brief, all), journal.ErrLost) {
		return journal.ErrLost
	}
	return err
}

// guarded gives a context in which nothing is changed after this deploy has lost its lock.
func (d *deployment) guarded(ctx context.Context) context.Context { return engine.Guarded(ctx, d.mine) }

// guardedBy is guarded for several deploys: each must still have its lock.
func guardedBy(ctx context.Context, all []*deployment) context.Context {
	return engine.Guarded(ctx, func(ctx context.Context) error { return allMine(ctx, all) })
}

// allMine is mine for several deploys.
func allMine(ctx context.Context, all []*deployment) error {
	for _, d := range all {
		if err := d.mine(ctx); err != nil {
			return err
		}
	}
	return nil
}

// say tells others what this deploy does now.
func (d *deployment) say(phase string) {
	if d.held != nil {
		d.held.Say(phase)
	}
}

// read reads the running service and its history.
func (d *deployment) read(ctx context.Context) error {
	if !d.inSwarm() {
		return nil
	}
	var err error
	if d.running, err = d.engine.Service(ctx, d.service.Name); err != nil {
		return err
	}
	if d.history, err = journal.Read(ctx, d.engine, d.service.Name); err != nil {
		return err
	}
	names, err := d.networkNames(ctx)
	if err != nil {
		return err
	}
	d.current = d.history.Current(d.running, names)
	if d.running == nil || d.current.Entry != 0 {
		return nil
	}
	found := foundEntry(d.current, d.history.Next(), d.adopt)
	if found == nil {
		return failed(fmt.Sprintf("a service %s runs, and this program did not deploy it", d.service.Name),
			"take it over, so that a rollback can restore it: deploy up --adopt; or remove it yourself: docker service rm "+d.service.Name)
	}
	d.history = append(d.history, found)
	d.current = &found.After
	return nil
}

// makePlan compares the wanted service with the running one, prints the plan, and checks that
// the change can be undone.
func (d *deployment) makePlan(ctx context.Context, here plan.Situation) error {
	var err error
	leaves := d.leaves()
	if d.planned, err = plan.Make(d.wanted, d.current, here, plan.Options{Rolling: d.rolling && !leaves, Force: d.force || leaves}); err != nil {
		return err
	}
	d.sayPlan()
	if d.options.plan || d.current == nil || d.planned.Action == plan.Nothing {
		return nil
	}
	have, err := d.stock(ctx)
	if err != nil {
		return err
	}
	if why := d.missing(ctx, d.current, have); why != nil && !d.noUndo {
		return failed(fmt.Sprintf("the version that runs now could not be restored after a failure: %s", why), "deploy in spite of that: --no-undo")
	}
	return nil
}

func (d *deployment) sayPlan() {
	p, version := d.planned, d.version()
	switch p.Action {
	case plan.Nothing:
		d.out.Step("%s %s runs already: nothing to deploy (--force deploys it again)", p.Service, d.current.Version)
	case plan.Create:
		d.out.Step("Plan: create %s", version)
	case plan.Replace:
		d.out.Step("Plan: remove %s %s, and create %s", p.Service, d.current.Version, version)
	case plan.Update:
		d.out.Step("Plan: update %s from %s to %s, %s", p.Service, d.current.Version, d.wanted.Version, p.Spec.UpdateConfig.Order)
	}
	for _, line := range p.Lines {
		d.out.Detail("%s", line.Text(d.showValues))
	}
	if p.Same && p.Action != plan.Nothing {
		d.out.Detail("exactly this version runs already: no trial needed")
	}
	for _, note := range p.Notes {
		d.out.Detail("%s", note)
	}
	for _, warning := range p.Warnings {
		d.out.Warn(warning)
	}
}

// version names the wanted version for people.
func (d *deployment) version() string { return d.service.Name + " " + d.wanted.Version }

func (d *deployment) uses(network string) bool {
	return slices.ContainsFunc(d.service.Spec.TaskTemplate.Networks, func(one swarm.NetworkAttachmentConfig) bool { return one.Target == network })
}

// try runs the trial, if there is one, and removes it.
func (d *deployment) try(ctx context.Context) error {
	if d.planned.Trial == nil || d.planned.Action == plan.Nothing || d.tried {
		return nil
	}
	d.tried = true
	ctx = d.guarded(ctx)
	beside := ""
	if d.current != nil {
		beside = " beside the running version"
	}
	d.out.Step("Trying %s as one task%s", d.version(), beside)
	if !d.planned.Probed {
		d.out.Detail("%s has no health check, so the trial only shows that the task runs", d.service.Name)
	}
	d.say("trying the new version")
	began := time.Now()
	spec, err := d.sendable(ctx, *d.planned.Trial)
	if err != nil {
		return err
	}
	spec.Labels[journal.LabelDeploy] = d.id
	// This call is not interrupted: then it would be unknown whether the trial exists.
	id, err := d.engine.Create(context.WithoutCancel(ctx), spec, journal.LabelDeploy)
	if engine.IsTaken(err) { // It may be the trial of a deploy that lost its lock, whose call came late.
		if err = d.endTrial(ctx); err == nil {
			id, err = d.engine.Create(context.WithoutCancel(ctx), spec, journal.LabelDeploy)
		}
	}
	if engine.IsTaken(err) {
		return failed(fmt.Sprintf("a service %s runs, and the trial needs this name", spec.Name), "rename it, or set x-deploy.trial to 0s")
	}
	if errors.Is(err, engine.ErrAway) { // It may be there all the same.
		d.tidyTrial(ctx, err)
	}
	if err != nil {
		return err
	}
	within, cancel := context.WithTimeout(ctx, d.service.Deploy.Timeout)
	defer cancel()
	_, err = d.await(within, prove.Goal{Service: spec.Name, Deploy: d.id, Failures: 1, Settled: d.service.Deploy.Trial, NoRoom: true}, nil)
	d.tidyTrial(ctx, d.removeAtOnce(context.WithoutCancel(ctx), id, true))
	var failure *prove.Failure
	if errors.As(err, &failure) {
		d.out.Explain("The trial of "+d.version()+" failed: "+failure.Reason, failure.Lines...)
		return failed("the trial of " + d.version() + " failed")
	}
	if err == nil {
		d.out.Detail("the trial passed, in %.1f s", time.Since(began).Seconds())
	}
	return err
}

// trialPatience is for how long an engine that is away is waited for, to remove a trial: a
// leader's election takes 10.5 s.
const trialPatience = 15 * time.Second

// tidyTrial says where the trial stays behind, by the error of its creation or removal.
// Where the engine was away, it removes it once more: else it would run until the next deploy.
func (d *deployment) tidyTrial(ctx context.Context, err error) {
	if errors.Is(err, engine.ErrAway) {
		within, cancel := context.WithTimeout(engine.Patient(context.WithoutCancel(ctx)), trialPatience)
		defer cancel()
		err = d.endTrial(within)
	}
	if err != nil {
		d.out.Warn(fmt.Sprintf("the trial %s may be left behind: %v; the next deploy removes it", plan.TrialOf(d.service.Name), err))
	}
}

// endTrial removes the trial that an earlier deploy left behind.
func (d *deployment) endTrial(ctx context.Context) error {
	left, err := d.engine.Service(ctx, plan.TrialOf(d.service.Name))
	if err != nil || left == nil || left.Spec.Labels[plan.LabelTrial] == "" {
		return err
	}
	return d.removeAtOnce(d.guarded(ctx), left.ID, true)
}

// sendable is a planned Spec with the ids of networks, secrets and configs.
func (d *deployment) sendable(ctx context.Context, spec swarm.ServiceSpec) (swarm.ServiceSpec, error) {
	ids, err := d.ids(ctx)
	if err != nil {
		return spec, err
	}
	return plan.Restore(&journal.Snapshot{Spec: spec}, ids)
}

// A new version counts as working when each task was started at least lived ago, and has been
// healthy for settled. Some tasks end a moment after their first successful health check.
const (
	lived   = 1500 * time.Millisecond
	settled = 800 * time.Millisecond
)

// change stores the running version, changes the swarm, and proves that the new version
// works. If this fails, it restores the old version. Its error is an outcome.
func (d *deployment) change(ctx context.Context) error {
	if d.planned.Action == plan.Nothing {
		return d.verify(ctx)
	}
	if ctx.Err() != nil {
		return d.untouched(ctx, []*deployment{d}, ctx.Err())
	}
	if err := d.unchanged(ctx); err != nil {
		return d.untouched(ctx, []*deployment{d}, err)
	}
	spec, err := d.sendable(ctx, d.planned.Spec)
	if err != nil {
		return d.untouched(ctx, []*deployment{d}, err)
	}
	after := journal.Snapshot{
		Version: d.wanted.Version, Spec: spec, Sent: &d.planned.Sent, Verify: d.service.Deploy.Verify,
		Trial: d.service.Deploy.Trial, Timeout: d.service.Deploy.Timeout, Keep: d.service.Deploy.Keep,
	}
	goal := prove.Goal{Failures: 3, Settled: settled, Lived: lived}
	switch {
	case !d.planned.Probed:
		goal.Settled = max(lived, d.service.Deploy.Trial) // Without a health check, only time shows it.
	case d.planned.Same:
		goal.Settled, goal.Lived = 0, 0
	}
	return d.deploy(ctx, after, d.planned.Action, goal)
}

// unchanged checks that nobody has changed the service since it was read. Otherwise that
// change would be lost. If a dead deploy was about to remove it, it may be gone by now.
func (d *deployment) unchanged(ctx context.Context) error {
	now, err := d.engine.Service(ctx, d.service.Name)
	switch {
	case err != nil:
		return err
	case now == nil && d.leaves():
		return nil
	case (now == nil) != (d.running == nil):
		return failed(fmt.Sprintf("somebody created or removed %s meanwhile", d.service.Name), "look at it, and deploy again")
	case now != nil && (now.ID != d.running.ID || !reflect.DeepEqual(now.Spec, d.running.Spec)):
		return failed(fmt.Sprintf("somebody changed %s meanwhile", d.service.Name), "look at it, and deploy again")
	}
	return nil
}

// startAgain is the advice for an engine that does not answer.
const startAgain = "start the engine again, or point DOCKER_HOST or the docker context to another manager of the swarm"

// deploy brings a snapshot to the swarm by an action. It stores the entry in the history,
// makes the change and proves it. If this fails, it restores the old version. Its error is an
// outcome.
func (d *deployment) deploy(ctx context.Context, after journal.Snapshot, action plan.Action, goal prove.Goal) error {
	if err := d.begin(ctx, &after); err != nil {
		return d.untouched(ctx, []*deployment{d}, err)
	}
	if ctx.Err() != nil { // Nothing is changed yet.
		err := d.untouched(ctx, []*deployment{d}, ctx.Err())
		if noted := d.end(context.WithoutCancel(ctx), journal.Failed); noted != nil {
			d.out.Warn(noted.Error())
		}
		return err
	}
	ctx = engine.Patient(ctx) // From here on, an engine that is away does not end the deploy: it waits.
	if d.held != nil {
		var done context.CancelFunc
		ctx, done = d.held.While(ctx)
		defer done()
	}
	listening := d.listen(ctx)
	within, cancel := context.WithTimeout(ctx, after.Timeout)
	defer cancel()
	goal.Service, goal.Deploy = d.service.Name, d.id
	err := d.send(within, after.Spec, action, &goal)
	if err == nil {
		d.say("proving the new version")
		d.urls, err = d.await(within, goal, after.Verify)
	}
	if err != nil {
		err = d.undo(ctx, err)
	}
	d.saySilence(listening)
	return err
}

// done notes that the version was proven. If this cannot be stored, the next deploy restores
// the old version. So this deploy must not be called a success.
func (d *deployment) done(ctx context.Context) error {
	if d.entry == nil {
		return nil
	}
	ctx = engine.Patient(context.WithoutCancel(ctx))
	err := d.end(ctx, journal.Done)
	switch {
	case errors.Is(err, journal.ErrLost):
		return failed(fmt.Sprintf("%s %s was proven, but %v", d.service.Name, d.entry.After.Version, err), d.serves(ctx, d.service.Name, d.verifyNow()), "see what it does: scripts/status.sh")
	case err != nil:
		d.left = true
		return failed(fmt.Sprintf("%s %s was proven, but that could not be stored in its history: %v; unless it was stored all the same, the next deploy or rollback restores the version that ran before", d.service.Name, d.entry.After.Version, err), startAgain)
	}
	return nil
}

// begin stores the entry before the first change, and puts the labels of this deploy on the
// Spec.
func (d *deployment) begin(ctx context.Context, after *journal.Snapshot) error {
	ctx = d.guarded(ctx)
	if err := d.endLate(ctx); err != nil {
		return err
	}
	for _, entry := range d.history {
		if entry.New() {
			if err := journal.Begin(context.WithoutCancel(ctx), d.engine, d.service.Name, entry); err != nil {
				return err
			}
		}
	}
	after.Spec.Labels[journal.LabelDeploy] = d.id
	after.Spec.Labels[journal.LabelVersion] = after.Version
	names, err := d.networkNames(ctx)
	if err != nil {
		return err
	}
	after.Networks = map[string]string{}
	for _, network := range after.Spec.TaskTemplate.Networks {
		after.Networks[network.Target] = cmp.Or(names[network.Target], network.Target)
	}
	if d.file != nil {
		after.Made = map[string]stack.NetworkSpec{}
		for _, network := range d.file.Networks {
			if !network.External && d.uses(network.Name) {
				after.Made[network.Name] = network.Spec
			}
		}
	}
	err = d.store(ctx, after)
	if engine.IsTaken(err) { // By a deploy that lost its lock, whose call came late.
		if d.history, err = journal.Read(ctx, d.engine, d.service.Name); err == nil {
			err = d.endLate(ctx)
		}
		if err == nil {
			err = d.store(ctx, after)
		}
	}
	return err
}

// endLate ends an open entry that another deploy has stored since this one has the lock. That
// deploy has changed nothing, and may be dead. If its entry stayed open, it would seem to be cut
// off for ever.
func (d *deployment) endLate(ctx context.Context) error {
	late := d.history.CutOff()
	if late == nil {
		return nil
	}
	late.Outcome = journal.Failed
	return journal.End(ctx, d.engine, late, journal.Failed, nil)
}

// store stores the entry of this deploy under the next number.
func (d *deployment) store(ctx context.Context, after *journal.Snapshot) error {
	after.Entry = d.history.Next()
	after.Spec.Labels[journal.LabelEntry] = strconv.Itoa(after.Entry)
	entry := &journal.Entry{N: after.Entry, Outcome: journal.Running, By: journal.Who(), At: time.Now(), Before: d.current, After: *after, With: d.all}
	for _, line := range d.planned.Lines {
		entry.Lines = append(entry.Lines, line.Text(false))
	}
	if err := journal.Begin(context.WithoutCancel(ctx), d.engine, d.service.Name, entry); err != nil {
		return err
	}
	d.entry, d.history = entry, append(d.history, entry)
	return nil
}

// send changes the service: from here on, there is something to undo. A call that has begun
// is not interrupted, because then it would be unknown whether it had an effect.
func (d *deployment) send(ctx context.Context, spec swarm.ServiceSpec, action plan.Action, goal *prove.Goal) error {
	ctx, cancel := context.WithTimeout(d.guarded(context.WithoutCancel(ctx)), d.entry.After.Timeout)
	defer cancel()
	d.say("changing the service")
	if err := d.mine(ctx); err != nil {
		return err
	}
	d.sent, d.changed[d.service.Name] = true, true
	switch action {
	case plan.Update:
		known, err := d.tasksNow(ctx, d.running.ID)
		if err != nil {
			return err
		}
		goal.Known, goal.Rolling, goal.Failures = known, true, 1
		order := swarm.UpdateOrder(swarm.UpdateOrderStopFirst) // The engine's default, for a service of somebody else that names no order.
		if spec.UpdateConfig != nil {
			order = cmp.Or(spec.UpdateConfig.Order, order)
		}
		d.out.Step("Updating %s to %s, one task at a time, %s", d.service.Name, d.entry.After.Version, order)
		if err := d.engine.Update(ctx, d.running, spec, journal.LabelDeploy, false); err != nil {
			return err
		}
		return d.readReturned(ctx)
	case plan.Replace:
		d.out.Step("Removing %s %s", d.service.Name, d.current.Version)
		if err := d.removeMine(ctx, d.running); err != nil {
			return err
		}
	}
	d.out.Step("Creating %s %s", d.service.Name, d.entry.After.Version)
	if err := d.create(ctx, spec); err != nil {
		return err
	}
	return d.readReturned(ctx)
}

// create creates the service. If the late call of a dead deploy has created one in the
// meantime, it removes that one first: the version of that deploy, or the one it restored.
func (d *deployment) create(ctx context.Context, spec swarm.ServiceSpec) error {
	_, err := d.engine.Create(ctx, spec, journal.LabelDeploy)
	if !engine.IsTaken(err) {
		return err
	}
	there, failure := d.engine.Service(ctx, d.service.Name)
	before := there != nil && d.current != nil && madeBy(there, d.current)
	if failure != nil || !before && !d.unproven(there) {
		return errors.Join(err, failure)
	}
	if err := d.removeMine(ctx, there); err != nil {
		return err
	}
	_, err = d.engine.Create(ctx, spec, journal.LabelDeploy)
	return err
}

// unproven tells whether a deploy of the history made this service and did not prove it. This
// can be this deploy, or a deploy that lost its lock and whose call came late.
func (d *deployment) unproven(service *swarm.Service) bool {
	return service != nil && slices.ContainsFunc(d.history, func(entry *journal.Entry) bool {
		made := entry.After.Spec.Labels[journal.LabelDeploy]
		return (entry.Outcome == journal.Failed || entry.Outcome == journal.Running) && made != "" && service.Spec.Labels[journal.LabelDeploy] == made
	})
}

// readReturned reads the Spec as the engine has stored it, before anybody else changes it.
func (d *deployment) readReturned(ctx context.Context) error {
	now, err := d.engine.Service(ctx, d.service.Name)
	if now != nil && now.Spec.Labels[journal.LabelDeploy] == d.id {
		d.returned = &now.Spec
	}
	return err
}

// end notes how the deploy ended, and the Spec as the engine has stored it.
func (d *deployment) end(ctx context.Context, outcome string) error {
	var returned *swarm.ServiceSpec
	if outcome == journal.Done {
		returned = d.returned
		if d.entry.After.Returned != nil {
			returned = d.entry.After.Returned // A rollback: so changes made by hand are still recognised.
		}
	}
	if err := journal.End(d.guarded(ctx), d.engine, d.entry, outcome, returned); err != nil {
		if d.lost(ctx) { // A removal has taken the entry away, perhaps.
			return journal.ErrLost
		}
		return err
	}
	d.entry.Outcome = outcome
	d.trim(ctx)
	return nil
}

// verify proves that the running version works.
func (d *deployment) verify(ctx context.Context) error {
	within, cancel := context.WithTimeout(ctx, d.service.Deploy.Timeout)
	defer cancel()
	goal := prove.Goal{Service: d.service.Name, Deploy: d.running.Spec.Labels[journal.LabelDeploy], Failures: 3}
	var err error
	if goal.Known, err = d.tasksNow(ctx, d.running.ID); err == nil {
		_, err = d.await(within, goal, d.service.Deploy.Verify)
	}
	if err != nil {
		var failure *prove.Failure
		if errors.As(err, &failure) {
			d.out.Explain(failure.Reason, failure.Lines...)
		}
		return d.untouched(ctx, []*deployment{d}, failed(fmt.Sprintf("%s %s runs already, but does not do what it should", d.service.Name, d.current.Version), "deploy it again: --force"))
	}
	return nil
}

// listen begins to measure for how long the running version does not answer.
func (d *deployment) listen(ctx context.Context) *prove.Silence {
	if d.running == nil || d.current.Verify == nil {
		return nil
	}
	tasks, err := d.engine.Tasks(ctx, d.running.ID)
	if err != nil {
		return nil
	}
	addresses, _, err := d.where(ctx)
	if urls := prove.URLs(d.running.Spec, tasks, d.current.Verify, addresses); err == nil && len(urls) > 0 {
		return prove.Listen(context.WithoutCancel(ctx), urls[0], d.current.Verify)
	}
	return nil
}

func (d *deployment) saySilence(listening *prove.Silence) {
	if listening == nil {
		return
	}
	longest := listening.Longest()
	switch {
	case len(d.urls) > 0 && !slices.Contains(d.urls, listening.URL):
		d.out.Detail("%s no longer answers: no task runs there any more", listening.URL)
	case longest == 0:
		d.out.Detail("%s answered all the time", listening.URL)
	default:
		d.out.Detail("%s was silent for %.1f s", listening.URL, longest.Seconds())
	}
}

// moveTags gives the tags of the version and latest to the image that was built.
func (d *deployment) moveTags(ctx context.Context) {
	if d.planned.Action == plan.Nothing || d.tag == "" {
		return
	}
	for _, name := range []string{d.wanted.Version, "latest"} {
		if err := d.engine.TagImage(d.guarded(context.WithoutCancel(ctx)), d.tag, build.Repository(d.service)+":"+name); err != nil {
			d.out.Warn(err.Error())
		}
	}
}

// conclude says that a deploy is done, and which version serves.
func (d *deployment) conclude(ctx context.Context) {
	serves := d.serves(ctx, d.service.Name, d.service.Deploy.Verify)
	if d.planned.Action == plan.Nothing {
		d.out.Step("Nothing to deploy: %s", serves)
		return
	}
	d.out.Step("Deployed %s in %.1f s: %s", d.version(), time.Since(d.began).Seconds(), serves)
}
