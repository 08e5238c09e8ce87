// Package plan compares what is wanted with what runs and with what was sent last. It gives
// the actions of a deploy as a value, which can be printed and tested. It touches no engine.
package plan

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/api/types/swarm"

	"goblog/deploy/journal"
	"goblog/deploy/stack"
	engine "goblog/deploy/swarm"
)

// An Action is how a deploy changes the swarm.
type Action string

const (
	Nothing Action = "nothing" // the same runs already
	Create  Action = "create"  // there is no service yet
	Replace Action = "replace" // remove the service and create it anew
	Update  Action = "update"  // update the running service, task by task
)

// A Situation is what a plan has to know of the swarm.
type Situation struct {
	Node     string            // id of the node that the deploy talks to
	Nodes    []swarm.Node      // all of the swarm
	Others   []swarm.Service   // the services, this one may be among them
	Tasks    []swarm.Task      // of all services
	Networks map[string]string // drivers of the networks that there are, by name; those of the swarm count as overlays
	// StartInterval tells whether the engine knows a start interval of health checks.
	StartInterval bool
}

// Wanted is one service as it is to run.
type Wanted struct {
	stack.Service
	Version   string
	Image     string           // as tasks name it: by id or by digest
	Platforms []swarm.Platform // that the image is for; none: nobody knows
	Probed    bool             // the image brings a health check
	Starts    bool             // that health check has a start period
	Bound     bool             // only this node has the image
}

// Options are what the user asked of this deploy.
type Options struct {
	Rolling, Force bool
}

// A Plan is what a deploy of one service does.
type Plan struct {
	Service string
	Action  Action
	// Sent is the wanted Spec: with network names, its update order only where the file has one.
	Sent swarm.ServiceSpec
	// Spec is what goes to the engine, but for network ids and the labels of this deploy.
	Spec swarm.ServiceSpec
	// Lines are the changes.
	Lines []Line
	// Notes and Warnings are sentences for people.
	Notes, Warnings []string
	// Trial is the service of one task that has to prove itself first; nil: none.
	Trial *swarm.ServiceSpec
	// Same tells that the very same runs already, so it was proven before.
	Same bool
	// Probed tells whether a health check says when a task is well.
	Probed bool
}

// Make plans the deploy of one service. current is what runs, nil where nothing does. An
// error is a reason for which the deploy cannot work here; nothing has been touched then.
func Make(wanted Wanted, current *journal.Snapshot, here Situation, options Options) (*Plan, error) {
	p := &Plan{Service: wanted.Name, Sent: wanted.spec(here)}
	p.Probed = probed(p.Sent, wanted.Probed)
	p.Spec = clone(p.Sent)
	p.Action = Create
	if current != nil {
		p.Action = Replace
		if options.Rolling {
			p.Action = Update
		}
		if p.Action == Update && (p.Sent.Mode.Global == nil) != (current.Spec.Mode.Global == nil) {
			p.Action = Replace
			p.Notes = append(p.Notes, "A service that changes its mode cannot be updated, so "+p.Service+" is removed and created again: expect an outage")
		}
		p.keepReplicas(current)
		p.Lines = changes(p.Sent, current)
		p.Same = len(p.Lines) == 0
		if p.Same && options.Rolling && !options.Force {
			p.Action = Nothing
		}
	}
	p.chooseOrder(current, here)
	if p.Action == Update {
		p.Spec.TaskTemplate.ForceUpdate = current.Spec.TaskTemplate.ForceUpdate
		if options.Force && p.Same {
			p.Spec.TaskTemplate.ForceUpdate++ // Else the swarm sees nothing to do.
		}
		if !p.Probed {
			p.Warnings = append(p.Warnings, fmt.Sprintf("%s has no health check, so its rolling update may lose requests: add one to its image or to the stack file", p.Service))
		}
	}
	if p.Action != Nothing {
		if err := check(p, wanted, here); err != nil {
			return nil, err
		}
	}
	if wanted.Deploy.Trial > 0 && !p.Same {
		trial := Trial(p.Sent, p.Probed, here)
		p.Trial = &trial
		for _, one := range trial.TaskTemplate.ContainerSpec.Mounts {
			if writableBind(one) {
				p.Warnings = append(p.Warnings, fmt.Sprintf("the trial of %s may write to the directory %s of the service: if it must not, mount the directory read-only, or set x-deploy.trial to 0s", p.Service, one.Source))
			}
		}
	}
	p.warnOfSocket()
	return p, nil
}

// spec is the stack file's Spec with what only the engine's side knows: image, platform,
// and how often it may be probed.
func (w Wanted) spec(here Situation) swarm.ServiceSpec {
	spec := clone(w.Spec)
	spec.TaskTemplate.ContainerSpec.Image = w.Image
	if w.Bound {
		placement(&spec).Constraints = append(placement(&spec).Constraints, onNode(here.Node))
	}
	if len(w.Platforms) > 0 {
		placement(&spec).Platforms = w.Platforms
	}
	if w.Deploy.StartInterval > 0 && probed(spec, w.Probed) {
		check := healthcheck(&spec)
		if here.StartInterval {
			check.StartInterval = w.Deploy.StartInterval
			if check.StartPeriod == 0 && !w.Starts {
				check.StartPeriod = startPeriod // The engine uses the start interval within it only.
			}
		} else if check.Interval == 0 || check.Interval > oldInterval {
			check.Interval = oldInterval
		}
	}
	return spec
}

// healthcheck is the Spec's own; what it leaves open is as the image says.
func healthcheck(spec *swarm.ServiceSpec) *container.HealthConfig {
	if spec.TaskTemplate.ContainerSpec.Healthcheck == nil {
		spec.TaskTemplate.ContainerSpec.Healthcheck = &container.HealthConfig{}
	}
	return spec.TaskTemplate.ContainerSpec.Healthcheck
}

func placement(spec *swarm.ServiceSpec) *swarm.Placement {
	if spec.TaskTemplate.Placement == nil {
		spec.TaskTemplate.Placement = &swarm.Placement{}
	}
	return spec.TaskTemplate.Placement
}

// changes are two kinds of lines. In some, what is wanted differs from what was sent last.
// In the others, what runs differs from what the engine made of that: somebody changed it
// by hand.
func changes(sent swarm.ServiceSpec, current *journal.Snapshot) []Line {
	will, now := flatten(sent, nil), flatten(current.Spec, current.Networks)
	if current.Sent == nil || current.Returned == nil {
		// Nobody knows what was sent. A key that the file leaves open has the engine's default,
		// but for those that have none.
		return slices.DeleteFunc(compare(now, will), func(line Line) bool {
			return line.Will == "" && !slices.ContainsFunc([]string{environment, "volumes.", "secrets.", "configs.", "networks.", "ports."}, func(prefix string) bool { return strings.HasPrefix(line.Key, prefix) })
		})
	}
	lines := compare(flatten(*current.Sent, nil), will, replicas)
	if file, runs := number(sent), number(current.Spec); sent.Mode.Replicated != nil && file != runs && (runs == 0 || file != number(*current.Sent)) {
		lines = append(lines, Line{Key: replicas, Was: fmt.Sprint(runs), Will: fmt.Sprint(file)})
	}
	returned := flatten(*current.Returned, current.Networks)
	for _, hand := range compare(returned, now, replicas) {
		at := slices.IndexFunc(lines, func(line Line) bool { return line.Key == hand.Key })
		if at < 0 {
			lines = append(lines, Line{Key: hand.Key, Was: hand.Will, Will: hand.Was, ByHand: true})
		} else if lines[at].Was = hand.Will; lines[at].Was != lines[at].Will {
			lines[at].ByHand = true
		} else { // Somebody did by hand what the file asks for now.
			lines = slices.Delete(lines, at, at+1)
		}
	}
	slices.SortStableFunc(lines, func(a, b Line) int { return cmp.Compare(a.Key, b.Key) })
	return lines
}

// keepReplicas leaves the number of replicas as somebody scaled it by hand, while the
// file's number is the one that was sent last. None at all is no number to keep.
func (p *Plan) keepReplicas(current *journal.Snapshot) {
	if p.Sent.Mode.Replicated == nil || current.Spec.Mode.Replicated == nil {
		return
	}
	file, now := number(p.Sent), number(current.Spec)
	switch {
	case now == file:
	case current.Sent == nil || current.Sent.Mode.Replicated == nil || number(*current.Sent) != file || now == 0:
		p.Notes = append(p.Notes, fmt.Sprintf("This changes the replicas of %s from %d to %d", p.Service, now, file))
	default:
		p.Spec.Mode.Replicated.Replicas = &now
		p.Notes = append(p.Notes, fmt.Sprintf("The %d replicas of %s stay, because somebody scaled the service by hand", now, p.Service))
	}
}

// number is how many replicas a Spec asks for; 1 for a global service.
func number(spec swarm.ServiceSpec) uint64 {
	n, _ := engine.Replicas(spec)
	return n
}

// chooseOrder has the new task start first, where the file does not choose and it can be.
func (p *Plan) chooseOrder(current *journal.Snapshot, here Situation) {
	update := p.Spec.UpdateConfig
	if update == nil {
		update = &swarm.UpdateConfig{Parallelism: 1, FailureAction: swarm.UpdateFailureActionRollback}
		p.Spec.UpdateConfig = update
	}
	if update.Order == "" {
		update.Order = swarm.UpdateOrderStartFirst
		if why := p.whyStopFirst(current, here); why != "" {
			update.Order = swarm.UpdateOrderStopFirst
			if p.Action == Update {
				p.Notes = append(p.Notes, fmt.Sprintf("The old task of %s stops before the new one starts (stop-first), as %s: expect an outage", p.Service, why))
			}
		} else if p.Action == Update && len(hostPorts(p.Spec)) > 0 {
			p.Notes = append(p.Notes, "With a host-mode port, the new task starts on another node: the old address no longer answers")
		}
	}
	if p.Spec.RollbackConfig == nil {
		p.Spec.RollbackConfig = &swarm.UpdateConfig{Parallelism: update.Parallelism, Monitor: update.Monitor, FailureAction: swarm.UpdateFailureActionPause}
	}
	if p.Spec.RollbackConfig.Order == "" {
		p.Spec.RollbackConfig.Order = update.Order
	}
}

// whyStopFirst is the reason for which a new task cannot run beside the old one, or "".
func (p *Plan) whyStopFirst(current *journal.Snapshot, here Situation) string {
	tasks := number(p.Spec)
	if current != nil {
		tasks = max(tasks, number(current.Spec)) // The old tasks have the port until it is their turn.
	}
	nodes := len(fit(p.Spec, here.Nodes).nodes)
	if ports := hostPorts(p.Spec); len(ports) > 0 && (p.Spec.Mode.Global != nil || tasks >= uint64(nodes)) {
		return fmt.Sprintf("port %d is published in host mode and no other node is free for it", ports[0].PublishedPort)
	}
	if current != nil && number(p.Spec) > 0 && room(p.Spec, here, "") == 0 {
		return "no node has room for one more task, which reserves " + reserved(p.Spec)
	}
	for _, one := range p.Spec.TaskTemplate.ContainerSpec.Mounts {
		if one.Type == mount.TypeVolume && one.Source != "" && !one.ReadOnly {
			return fmt.Sprintf("two tasks might write at the same time to the volume at %s", one.Target)
		}
		if writableBind(one) {
			return fmt.Sprintf("two tasks might write at the same time to the directory %s", one.Source)
		}
	}
	return ""
}

// writableBind tells whether tasks write to something of their node that outlives them. A
// socket has no data.
func writableBind(one mount.Mount) bool {
	return one.Type == mount.TypeBind && !one.ReadOnly && !strings.HasSuffix(one.Source, ".sock")
}

func hostPorts(spec swarm.ServiceSpec) []swarm.PortConfig {
	if spec.EndpointSpec == nil {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(spec.EndpointSpec.Ports), func(port swarm.PortConfig) bool {
		return port.PublishMode != swarm.PortConfigPublishModeHost || port.PublishedPort == 0 // The engine finds a free one.
	})
}

// probed tells whether tasks of a Spec have a health check: its own or its image's.
func probed(spec swarm.ServiceSpec, byImage bool) bool {
	check := spec.TaskTemplate.ContainerSpec.Healthcheck
	if check == nil || len(check.Test) == 0 {
		return byImage
	}
	return check.Test[0] != "NONE"
}

// warnOfSocket says what it means that a service has the engine's socket. Read-only or
// not: who can write to the socket can do anything there.
func (p *Plan) warnOfSocket() {
	for _, one := range p.Spec.TaskTemplate.ContainerSpec.Mounts {
		if one.Type != mount.TypeBind || one.Target != "/var/run/docker.sock" {
			continue
		}
		whose := "anybody who controls it"
		if p.Spec.EndpointSpec != nil && len(p.Spec.EndpointSpec.Ports) > 0 {
			whose = fmt.Sprintf("anybody who reaches port %d", p.Spec.EndpointSpec.Ports[0].PublishedPort)
		}
		p.Warnings = append(p.Warnings, fmt.Sprintf("%s has the docker socket: %s sees the whole swarm, and may be root on the manager, even if the socket is mounted read-only", p.Service, whose))
	}
}

// IDs are the ids by which a Spec refers to what has a name in the swarm, by that name.
type IDs struct {
	Networks map[string]string
	Contents map[stack.Kind]map[string]string // of secrets and of configs
}

// Restore is the Spec of a version, with networks, secrets and configs as they are now. It
// takes all the rest from the snapshot. An error names a secret or a config that is gone.
func Restore(version *journal.Snapshot, ids IDs) (swarm.ServiceSpec, error) {
	spec := clone(version.Spec)
	for i, network := range spec.TaskTemplate.Networks {
		name := cmp.Or(version.Networks[network.Target], network.Target)
		spec.TaskTemplate.Networks[i].Target = cmp.Or(ids.Networks[name], network.Target)
	}
	inside := spec.TaskTemplate.ContainerSpec
	for i, one := range inside.Secrets {
		named := *one
		if named.SecretID = ids.Contents[stack.Secret][one.SecretName]; named.SecretID == "" {
			return spec, gone(stack.Secret, one.SecretName)
		}
		inside.Secrets[i] = &named
	}
	for i, one := range inside.Configs {
		named := *one
		if named.ConfigID = ids.Contents[stack.Config][one.ConfigName]; named.ConfigID == "" {
			return spec, gone(stack.Config, one.ConfigName)
		}
		inside.Configs[i] = &named
	}
	return spec, nil
}

func gone(kind stack.Kind, name string) error {
	return fmt.Errorf("the swarm has no %s %s", kind, name)
}

// KeepReplicas sets the replicas of a version that is gone back to. Where both versions were
// sent with the same number, the number to which somebody scaled the current one stays. A
// version that was scaled to none gets the current number.
func KeepReplicas(spec *swarm.ServiceSpec, version, current *journal.Snapshot) {
	if spec.Mode.Replicated == nil || version.Sent == nil || current.Sent == nil {
		return
	}
	sent, now := number(*current.Sent), number(current.Spec)
	if now != 0 && (number(version.Spec) == 0 || number(*version.Sent) == sent && now != sent) {
		spec.Mode.Replicated.Replicas = &now
	}
}

// Changes are the lines in which a version differs from what runs.
func Changes(version, current *journal.Snapshot) []Line {
	return compare(flatten(current.Spec, current.Networks), flatten(version.Spec, version.Networks))
}

// clone copies what is changed here; the rest is shared.
func clone(spec swarm.ServiceSpec) swarm.ServiceSpec {
	spec.Labels = maps.Clone(spec.Labels)
	inside := *spec.TaskTemplate.ContainerSpec
	inside.Mounts, inside.Secrets, inside.Configs = slices.Clone(inside.Mounts), slices.Clone(inside.Secrets), slices.Clone(inside.Configs)
	if inside.Healthcheck != nil {
		check := *inside.Healthcheck
		inside.Healthcheck = &check
	}
	spec.TaskTemplate.ContainerSpec = &inside
	spec.TaskTemplate.Networks = slices.Clone(spec.TaskTemplate.Networks)
	if spec.TaskTemplate.Placement != nil {
		placement := *spec.TaskTemplate.Placement
		placement.Constraints = slices.Clone(placement.Constraints)
		spec.TaskTemplate.Placement = &placement
	}
	if spec.UpdateConfig != nil {
		update := *spec.UpdateConfig
		spec.UpdateConfig = &update
	}
	if spec.RollbackConfig != nil {
		rollback := *spec.RollbackConfig
		spec.RollbackConfig = &rollback
	}
	if spec.EndpointSpec != nil {
		endpoint := *spec.EndpointSpec
		endpoint.Ports = slices.Clone(endpoint.Ports)
		spec.EndpointSpec = &endpoint
	}
	if spec.Mode.Replicated != nil {
		replicated := *spec.Mode.Replicated
		spec.Mode.Replicated = &replicated
	}
	return spec
}

// WithImage is a copy of a Spec that runs another image.
func WithImage(spec swarm.ServiceSpec, image string) swarm.ServiceSpec {
	spec = clone(spec)
	spec.TaskTemplate.ContainerSpec.Image = image
	return spec
}
