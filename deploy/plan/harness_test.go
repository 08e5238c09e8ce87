package plan

import (
	"encoding/json"
	"maps"
	"strings"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/api/types/swarm"

	"goblog/deploy/journal"
	"goblog/deploy/stack"
)

const (
	imageV1 = "sha256:1111111111111111111111111111111111111111111111111111111111111111"
	imageV2 = "sha256:2222222222222222222222222222222222222222222222222222222222222222"
	digest  = "registry.example:5000/web@sha256:3333"
	netID   = "id-of-net"
)

// wanted is a service from a stack file and a build, with changes.
func wanted(changes ...func(*Wanted)) Wanted {
	second, grace := time.Second, 20*time.Second
	w := Wanted{
		Service: stack.Service{
			Name: "web", Image: "example/web:v1",
			Spec: swarm.ServiceSpec{
				Annotations: swarm.Annotations{Name: "web", Labels: map[string]string{"tier": "front"}},
				Mode:        swarm.ServiceMode{Replicated: &swarm.ReplicatedService{Replicas: count(1)}},
				TaskTemplate: swarm.TaskSpec{
					ContainerSpec: &swarm.ContainerSpec{
						Args: []string{"serve", "--fast"}, Env: []string{"COLOR=red", "KEY=secret"}, Labels: map[string]string{"team": "a"},
						Healthcheck:     &container.HealthConfig{Test: []string{"CMD", "/web", "check"}, Interval: 5 * time.Second},
						StopGracePeriod: &grace,
						Mounts:          []mount.Mount{{Type: mount.TypeTmpfs, Target: "/tmp", TmpfsOptions: &mount.TmpfsOptions{SizeBytes: 64 << 20, Mode: 0o1777}}},
					},
					Resources:     &swarm.ResourceRequirements{Limits: &swarm.Limit{MemoryBytes: 128 << 20}},
					RestartPolicy: &swarm.RestartPolicy{Delay: &second},
					Networks:      []swarm.NetworkAttachmentConfig{{Target: "net", Aliases: []string{"www"}}},
				},
				UpdateConfig: &swarm.UpdateConfig{Parallelism: 1, FailureAction: swarm.UpdateFailureActionRollback},
				EndpointSpec: &swarm.EndpointSpec{Ports: []swarm.PortConfig{port(8080, "ingress")}},
			},
			Deploy: stack.Deploy{Trial: 3 * time.Second, Timeout: time.Minute, StartInterval: 200 * time.Millisecond},
		},
		Version: "v1", Image: imageV1, Platforms: []swarm.Platform{{OS: "linux", Architecture: "amd64"}},
	}
	for _, change := range changes {
		change(&w)
	}
	return w
}

func count(n uint64) *uint64 { return &n }

func port(published uint32, mode swarm.PortConfigPublishMode) swarm.PortConfig {
	return swarm.PortConfig{Protocol: network.TCP, TargetPort: 80, PublishedPort: published, PublishMode: mode}
}

// spec is a change of the wanted Spec.
func spec(change func(*swarm.ServiceSpec)) func(*Wanted) {
	return func(w *Wanted) { change(&w.Spec) }
}

// inside is a change of the Spec that containers are made of.
func inside(change func(*swarm.ContainerSpec)) func(*swarm.ServiceSpec) {
	return func(s *swarm.ServiceSpec) { change(s.TaskTemplate.ContainerSpec) }
}

func hostMode(w *Wanted) { w.Spec.EndpointSpec.Ports[0].PublishMode = swarm.PortConfigPublishModeHost }

func tasks(n uint64) func(*Wanted) { return func(w *Wanted) { w.Spec.Mode.Replicated.Replicas = &n } }

func global(w *Wanted) { w.Spec.Mode = swarm.ServiceMode{Global: &swarm.GlobalService{}} }

func mounts(all ...mount.Mount) func(*Wanted) {
	return func(w *Wanted) { w.Spec.TaskTemplate.ContainerSpec.Mounts = all }
}

// secret is a secret at a target in the container. The changes may set its mode and owner.
func secret(name, target string, changes ...func(*swarm.SecretReferenceFileTarget)) *swarm.SecretReference {
	one := &swarm.SecretReference{SecretName: name, File: &swarm.SecretReferenceFileTarget{Name: target, UID: "0", GID: "0", Mode: 0o444}}
	for _, change := range changes {
		change(one.File)
	}
	return one
}

func config(name, target string) *swarm.ConfigReference {
	return &swarm.ConfigReference{ConfigName: name, File: &swarm.ConfigReferenceFileTarget{Name: target, UID: "0", GID: "0", Mode: 0o444}}
}

func secrets(all ...*swarm.SecretReference) func(*Wanted) {
	return spec(inside(func(s *swarm.ContainerSpec) { s.Secrets = all }))
}

func configs(all ...*swarm.ConfigReference) func(*Wanted) {
	return spec(inside(func(s *swarm.ContainerSpec) { s.Configs = all }))
}

func byDigest(w *Wanted) { w.Image = digest }

// node is a manager that can be given tasks, with changes.
func node(id string, changes ...func(*swarm.Node)) swarm.Node {
	one := swarm.Node{
		ID: id, Spec: swarm.NodeSpec{Role: swarm.NodeRoleManager, Availability: swarm.NodeAvailabilityActive}, Status: swarm.NodeStatus{State: swarm.NodeStateReady},
		Description: swarm.NodeDescription{
			Hostname: id, Platform: swarm.Platform{OS: "linux", Architecture: "x86_64"},
			Resources: swarm.Resources{NanoCPUs: 2e9, MemoryBytes: 4 << 30},
		},
	}
	for _, change := range changes {
		change(&one)
	}
	return one
}

func worker(n *swarm.Node) { n.Spec.Role = swarm.NodeRoleWorker }

func down(n *swarm.Node) { n.Status.State = swarm.NodeStateDown }

// labelled gives a node labels, as NAME=VALUE.
func labelled(labels ...string) func(*swarm.Node) {
	return func(n *swarm.Node) {
		n.Spec.Labels = map[string]string{}
		for _, label := range labels {
			name, value, _ := strings.Cut(label, "=")
			n.Spec.Labels[name] = value
		}
	}
}

// cpu is the processor of a node, in the node's own words.
func cpu(architecture string) func(*swarm.Node) {
	return func(n *swarm.Node) { n.Description.Platform.Architecture = architecture }
}

// on lets a service run only on nodes that meet these constraints.
func on(constraints ...string) func(*Wanted) {
	return func(w *Wanted) { placement(&w.Spec).Constraints = constraints }
}

// ids are those of nodes.
func ids(nodes []swarm.Node) string {
	var all []string
	for _, one := range nodes {
		all = append(all, one.ID)
	}
	return strings.Join(all, " ")
}

func drained(id string) swarm.Node {
	one := node(id)
	one.Spec.Availability = swarm.NodeAvailabilityDrain
	return one
}

// swarmOf is a swarm of nodes. The deploy talks to the first one.
func swarmOf(nodes ...swarm.Node) Situation {
	return Situation{Node: nodes[0].ID, Nodes: nodes, Networks: map[string]string{"net": "overlay", "mine": "bridge", "host": "host"}, StartInterval: true}
}

var alone = swarmOf(node("n1"))

// copyOf is a Spec that shares nothing with the original.
func copyOf(spec swarm.ServiceSpec) swarm.ServiceSpec {
	text, err := json.Marshal(spec)
	var fresh swarm.ServiceSpec
	if err == nil {
		err = json.Unmarshal(text, &fresh)
	}
	if err != nil {
		panic(err)
	}
	return fresh
}

// made is a Spec as the engine stores it: it fills in defaults, and adds the ids of networks,
// secrets and configs.
func made(sent swarm.ServiceSpec) swarm.ServiceSpec {
	spec := copyOf(sent)
	task := &spec.TaskTemplate
	task.ContainerSpec.Isolation = "default"
	task.ContainerSpec.DNSConfig = &swarm.DNSConfig{}
	task.Runtime = swarm.RuntimeContainer
	if task.RestartPolicy != nil {
		task.RestartPolicy.Condition = swarm.RestartPolicyConditionAny
		task.RestartPolicy.MaxAttempts = count(0)
	}
	if task.Resources != nil {
		task.Resources.Reservations = &swarm.Resources{}
	}
	for i := range task.Networks {
		task.Networks[i].Target = "id-of-" + task.Networks[i].Target
	}
	for _, one := range task.ContainerSpec.Secrets {
		one.SecretID = "id-of-" + one.SecretName
	}
	for _, one := range task.ContainerSpec.Configs {
		one.ConfigID = "id-of-" + one.ConfigName
	}
	spec.UpdateConfig.Monitor = 5 * time.Second
	spec.RollbackConfig.FailureAction = swarm.UpdateFailureActionPause
	spec.RollbackConfig.Monitor = 5 * time.Second
	spec.EndpointSpec.Mode = swarm.ResolutionModeVIP
	return spec
}

// deployed is the running version after a deploy of a service, with later changes by hand.
func deployed(w Wanted, here Situation, byHand ...func(*swarm.ServiceSpec)) *journal.Snapshot {
	p, err := Make(w, nil, here, Options{})
	if err != nil {
		panic(err)
	}
	spec := made(p.Spec)
	maps.Copy(spec.Labels, map[string]string{journal.LabelDeploy: "d1", journal.LabelEntry: "1", journal.LabelVersion: w.Version})
	returned := copyOf(spec)
	for _, change := range byHand {
		change(&spec)
	}
	names := map[string]string{netID: "net", "id-of-other": "other"}
	return &journal.Snapshot{Entry: 1, Version: w.Version, Spec: spec, Sent: &p.Sent, Returned: &returned, Networks: names}
}

// texts are the lines of a plan, for people.
func texts(lines []Line, showValues bool) []string {
	var all []string
	for _, line := range lines {
		all = append(all, line.Text(showValues))
	}
	return all
}
