package journal

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/moby/moby/api/types/swarm"

	"goblog/deploy/stack"
)

// A memory stores configs as a swarm does. The real store is in package swarm, and is tested
// on real engines.
type memory struct {
	configs []swarm.Config
	made    int
	broken  error // what each call says
}

var errTaken = errors.New("that name is taken")

func taken(err error) bool { return errors.Is(err, errTaken) }

func (m *memory) Configs(_ context.Context, prefix string) ([]swarm.Config, error) {
	var found []swarm.Config
	for _, config := range slices.Backward(m.configs) { // No caller may depend on the order.
		if strings.HasPrefix(config.Spec.Name, prefix) {
			found = append(found, config)
		}
	}
	return found, m.broken
}

func (m *memory) CreateConfig(_ context.Context, name string, labels map[string]string, data []byte) (string, error) {
	if m.broken != nil {
		return "", m.broken
	}
	for _, config := range m.configs {
		if config.Spec.Name == name {
			return "", fmt.Errorf("create config %s: %w", name, errTaken)
		}
	}
	m.made++
	config := swarm.Config{ID: fmt.Sprint("id-", m.made)}
	config.Spec = swarm.ConfigSpec{Annotations: swarm.Annotations{Name: name, Labels: labels}, Data: data}
	m.configs = append(m.configs, config)
	return config.ID, nil
}

func (m *memory) LabelConfig(_ context.Context, id string, labels map[string]string, only func(map[string]string) bool) error {
	for i, config := range m.configs {
		if config.ID == id {
			if only != nil && !only(config.Spec.Labels) {
				return nil
			}
			changed := maps.Clone(config.Spec.Labels) // Somebody may be reading.
			maps.Copy(changed, labels)
			m.configs[i].Spec.Labels = changed
			return m.broken
		}
	}
	return errors.New("there is no config " + id)
}

func (m *memory) RemoveConfig(_ context.Context, id string) error {
	m.configs = slices.DeleteFunc(m.configs, func(config swarm.Config) bool { return config.ID == id })
	return m.broken
}

// take takes the lock of one service.
func take(ctx context.Context, engine Engine, service string, taken func(error) bool, wait bool, watching func(*HeldError), clock Clock) (*Lock, error) {
	taker := &Taker{Engine: engine, Services: []string{service}, IsTaken: taken, Wait: wait, Watching: watching, Clock: clock}
	return taker.Take(ctx, service)
}

// names are the names of the configs.
func (m *memory) names() []string {
	var names []string
	for _, config := range m.configs {
		names = append(names, config.Spec.Name)
	}
	return names
}

// sent is the Spec of a version as a deploy sends it: image and version have one name.
func sent(version string, n int) swarm.ServiceSpec {
	two := uint64(2)
	return swarm.ServiceSpec{
		Annotations: swarm.Annotations{Name: "web", Labels: map[string]string{
			LabelDeploy: fmt.Sprint("d", n), LabelEntry: fmt.Sprint(n), LabelVersion: version}},
		TaskTemplate: swarm.TaskSpec{
			ContainerSpec: &swarm.ContainerSpec{Image: version},
			Networks:      []swarm.NetworkAttachmentConfig{{Target: "net-1"}},
		},
		Mode: swarm.ServiceMode{Replicated: &swarm.ReplicatedService{Replicas: &two}},
	}
}

// made is a Spec as the engine stores it: it fills in defaults.
func made(spec swarm.ServiceSpec) swarm.ServiceSpec {
	task := *spec.TaskTemplate.ContainerSpec
	task.Isolation = "default"
	spec.TaskTemplate.ContainerSpec = &task
	spec.TaskTemplate.Runtime = swarm.RuntimeContainer
	return spec
}

// A past is a service and its history, deploy by deploy, as the program writes it.
type past struct {
	history History
	service *swarm.Service // nil: there is none
}

var netNames = map[string]string{"net-1": "net"}

func (p *past) now() *Snapshot { return p.history.Current(p.service, netNames) }

// ends is a deploy of a version that ends with this outcome. If it fails, the version that
// ran before is restored.
func (p *past) ends(version, outcome string) *past {
	n := p.history.Next()
	asked := sent(version, n)
	p.goes(Snapshot{Version: version, Spec: asked, Sent: &asked, Networks: netNames,
		Made:   map[string]stack.NetworkSpec{"net": {Driver: "overlay", Labels: map[string]string{"of": version}}},
		Verify: &stack.Verify{Path: "/" + version}, Trial: time.Second, Timeout: time.Minute, Keep: 3}, outcome)
	return p
}

func (p *past) goes(after Snapshot, outcome string) {
	n := p.history.Next()
	after.Entry = n
	entry := &Entry{N: n, Outcome: outcome, Before: p.now(), After: after}
	if outcome != Failed {
		p.service = &swarm.Service{Spec: made(after.Spec)}
		returned := made(after.Spec)
		entry.After.Returned = &returned
	}
	p.history = append(p.history, entry)
}

// deploys are deploys that work.
func (p *past) deploys(versions ...string) *past {
	for _, version := range versions {
		p.ends(version, Done)
	}
	return p
}

// back is a rollback to an entry, or to the version that the last deploy replaced.
func (p *past) back(to int) *past {
	version := p.history.Previous(p.now())
	if to > 0 {
		version = p.history.Version(to)
	}
	after := *version
	n := p.history.Next()
	after.Spec.Labels = maps.Clone(version.Spec.Labels)
	maps.Copy(after.Spec.Labels, map[string]string{LabelDeploy: fmt.Sprint("d", n), LabelEntry: fmt.Sprint(n), LabelVersion: version.Version})
	p.goes(after, Done)
	return p
}

// byHand is a change that somebody makes without a deploy.
func (p *past) byHand(change func(*swarm.ServiceSpec)) *past {
	spec := p.service.Spec
	inside := *spec.TaskTemplate.ContainerSpec
	spec.TaskTemplate.ContainerSpec = &inside
	spec.TaskTemplate.Networks = slices.Clone(spec.TaskTemplate.Networks)
	change(&spec)
	p.service = &swarm.Service{Spec: spec}
	return p
}

// scripted is a service that older scripts deployed, over version zero.
func scripted(version string) *past {
	spec := made(sent(version, 0))
	spec.Labels = map[string]string{"copyall.arguments": "--network net", "copyall.version": version}
	before := Snapshot{Version: "v0", Spec: made(sent("v0", 0)), Networks: netNames}
	after := Snapshot{Entry: 1, Version: version, Spec: spec, Networks: netNames, Timeout: time.Minute}
	return &past{History{{N: 1, Outcome: Found, Before: &before, After: after}}, &swarm.Service{Spec: spec}}
}

// trimmed is the past without its oldest entries.
func (p *past) trimmed(count int) *past {
	p.history = p.history[count:]
	return p
}
