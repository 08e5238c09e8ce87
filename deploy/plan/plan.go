// Package plan compares the wanted service with the running one, and with the Spec that was
// sent last. A plan is a value that can be printed and tested. The package calls no engine.
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
	Nothing Action = "nothing" // the same version runs already
	Create  Action = "create"  // there is no service yet
	Replace Action = "replace" // remove the service and create it again
	Update  Action = "update"  // update the running service, task by task
)

// A Situation has the facts of the swarm that a plan needs.
type Situation struct {
	Node     string            // id of the node that the deploy talks to
	Nodes    []swarm.Node      // all of the swarm
	Others   []swarm.Service   // all services; this one may be among them
	Tasks    []swarm.Task      // of all services
	Networks map[string]string // drivers of the existing networks, by name; networks of the swarm count as overlay
	// StartInterval tells whether the engine knows a start interval of health checks.
	StartInterval bool
}

// Wanted is one service as it should run.
type Wanted struct {
	stack.Service
	Version   string
	Image     string           // as tasks name it: by id or by digest
	Platforms []swarm.Platform // of the image; none: they are not known
	Probed    bool             // the image has a health check
	Starts    bool             // that health check has a start period
	Bound     bool             // only this node has the image
}

// Options are the user's flags for this deploy.
type Options struct {
	Rolling, Force bool
}

// A Plan describes the deploy of one service.
type Plan struct {
	Service string
	Action  Action
	// Sent is the wanted Spec. It names networks by name, and has an update order only if the
	// file has one.
	Sent swarm.ServiceSpec
	// Spec is the Spec for the engine, without network ids and the labels of this deploy.
	Spec swarm.ServiceSpec
	// Lines are the changes.
	Lines []Line
	// Notes and Warnings are sentences for people.
	Notes, Warnings []string
	// Trial is the service for the trial, with one task; nil: no trial.
	Trial *swarm.ServiceSpec
	// Same tells that exactly the same Spec runs already, so it was proven before.
	Same bool
	// Probed tells whether the tasks have a health check.
	Probed bool
}

// Make plans the deploy of one service. current is the running version; nil: none runs. An
// error is a reason why the deploy cannot work here. Nothing has been changed then.
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
			p.Spec.TaskTemplate.ForceUpdate++ // Otherwise the swarm sees no change.
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

// spec is the Spec of the stack file with the parts that depend on the engine: image,
// platforms, and the interval of health checks.
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
				check.StartPeriod = startPeriod // The engine uses the start interval only within the start period.
			}
		} else if check.Interval == 0 || check.Interval > oldInterval {
			check.Interval = oldInterval
		}
	}
	return spec
}

// healthcheck is the health check of the Spec. Values that it leaves open come from the
// image.
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

// changes are two kinds of lines. In the first kind, the wanted Spec differs from the Spec
// that was sent last. In the second kind, the running Spec differs from the one that the
// engine returned then: somebody changed it by hand.
func changes(sent swarm.ServiceSpec, current *journal.Snapshot) []Line {
	will, now := flatten(sent, nil), flatten(current.Spec, current.Networks)
	if current.Sent == nil || current.Returned == nil {
		// It is not known what was sent. If the file leaves a key open, the key has the engine's
		// default, except for keys without a default.
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
		} else { // Somebody has already made the same change by hand.
			lines = slices.Delete(lines, at, at+1)
		}
	}
	slices.SortStableFunc(lines, func(a, b Line) int { return cmp.Compare(a.Key, b.Key) })
	return lines
}

// keepReplicas keeps the number of replicas that somebody scaled by hand, as long as the
// number in the file is the one that was sent last. It does not keep 0 replicas.
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

// number is the number of replicas that a Spec asks for; 1 for a global service.
func number(spec swarm.ServiceSpec) uint64 {
	n, _ := engine.Replicas(spec)
	return n
}

// chooseOrder chooses start-first, if the file names no order and start-first is possible.
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

// whyStopFirst is the reason why a new task cannot run beside the old one, or "".
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

// writableBind tells whether tasks can write to a directory of their node, whose data stays
// after them. A socket has no data.
func writableBind(one mount.Mount) bool {
	return one.Type == mount.TypeBind && !one.ReadOnly && !strings.HasSuffix(one.Source, ".sock")
}

func hostPorts(spec swarm.ServiceSpec) []swarm.PortConfig {
	if spec.EndpointSpec == nil {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(spec.EndpointSpec.Ports), func(port swarm.PortConfig) bool {
		return port.PublishMode != swarm.PortConfigPublishModeHost || port.PublishedPort == 0 // The engine chooses a free port.
	})
}

// probed tells whether tasks of a Spec have a health check, from the Spec or from the image.
func probed(spec swarm.ServiceSpec, byImage bool) bool {
	check := spec.TaskTemplate.ContainerSpec.Healthcheck
	if check == nil || len(check.Test) == 0 {
		return byImage
	}
	return check.Test[0] != "NONE"
}

// warnOfSocket warns if a service has the engine's socket. A read-only mount does not help:
// the service can still send any command through the socket.
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

// IDs are the ids of networks, secrets and configs, by name. A Spec refers to them by id.
type IDs struct {
	Networks map[string]string
	Contents map[stack.Kind]map[string]string // of secrets and of configs
}

// Restore is the Spec of a version, with the current ids of networks, secrets and configs. It
// takes all else from the snapshot. An error names a secret or a config that is gone.
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

// KeepReplicas sets the replicas for a rollback. If both versions were sent with the same
// number, and somebody has scaled the current version by hand, that number stays. A version
// that was scaled to 0 gets the current number.
func KeepReplicas(spec *swarm.ServiceSpec, version, current *journal.Snapshot) {
	if spec.Mode.Replicated == nil || version.Sent == nil || current.Sent == nil {
		return
	}
	sent, now := number(*current.Sent), number(current.Spec)
	if now != 0 && (number(version.Spec) == 0 || number(*version.Sent) == sent && now != sent) {
		spec.Mode.Replicated.Replicas = &now
	}
}

// Changes are the differences between a version and the running version.
func Changes(version, current *journal.Snapshot) []Line {
	return compare(flatten(current.Spec, current.Networks), flatten(version.Spec, version.Networks))
}

// clone copies the parts that this package changes. All else is shared. The copy takes labels,
// even if the original has none.
func clone(spec swarm.ServiceSpec) swarm.ServiceSpec {
	labels := map[string]string{}
	maps.Copy(labels, spec.Labels)
	spec.Labels = labels
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

// WithLabel is a copy of a Spec with one more label.
func WithLabel(spec swarm.ServiceSpec, name, value string) swarm.ServiceSpec {
	spec = clone(spec)
	spec.Labels[name] = value
	return spec
}

// Placed is a Spec with only as many replicas as have a node. An update makes no progress as
// long as a task waits for a node. With start-first, it may wait beside the old task of its
// slot: that slot is left out too, and makes room for the others. A global service has no
// number of replicas: its Spec only gets a label, which makes the swarm begin the update again,
// without the nodes that are down. It is false if that would change nothing, or leave no task.
func Placed(spec swarm.ServiceSpec, tasks []engine.Task) (swarm.ServiceSpec, bool) {
	slots := map[int]bool{} // Whether all tasks of the slot have a node.
	for _, task := range tasks {
		if engine.Stays(task.Task) {
			other, known := slots[task.Slot]
			slots[task.Slot] = task.NodeID != "" && (other || !known)
		}
	}
	maps.DeleteFunc(slots, func(_ int, placed bool) bool { return !placed })
	have := uint64(len(slots))
	replicas, replicated := engine.Replicas(spec)
	if have == 0 || replicated && have >= replicas || !replicated && spec.Labels[journal.LabelPlaced] != "" {
		return spec, false
	}
	less := WithLabel(spec, journal.LabelPlaced, "yes")
	if replicated {
		less.Mode.Replicated.Replicas = &have
	}
	return less, true
}
