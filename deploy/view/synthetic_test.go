package view

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/api/types/swarm"

	"goblog/deploy/journal"
	"goblog/deploy/prove"
)

// A synthetic swarm stands in for an engine: it can be of any size, and change at will.
type synthetic struct {
	sync.Mutex
	now     *Swarm
	away    error // what each call says while the engine is lost
	calls   int
	changed func()
}

func (s *synthetic) Read(context.Context) (*Swarm, error) {
	s.Lock()
	defer s.Unlock()
	s.calls++
	if s.away != nil {
		return nil, s.away
	}
	now := *s.now
	now.Nodes, now.Services, now.Tasks, now.Records = slices.Clone(now.Nodes), slices.Clone(now.Services), slices.Clone(now.Tasks), maps.Clone(now.Records)
	return &now, nil
}

func (s *synthetic) AllTasks(context.Context) ([]swarm.Task, error) {
	s.Lock()
	defer s.Unlock()
	s.calls++
	return slices.Clone(s.now.Tasks), s.away
}

func (s *synthetic) Changes(ctx context.Context, changed func()) error {
	s.Lock()
	s.changed = changed
	s.Unlock()
	<-ctx.Done()
	return ctx.Err()
}

// change changes the swarm. With events, the engine sends an event.
func (s *synthetic) change(events bool, change func(*Swarm)) {
	s.Lock()
	change(s.now)
	changed := s.changed
	s.Unlock()
	if events && changed != nil {
		changed()
	}
}

// lose makes the engine go away with an error. With an empty text, the engine comes back.
func (s *synthetic) lose(words string) {
	s.Lock()
	defer s.Unlock()
	s.away = nil
	if words != "" {
		s.away = errors.New(words)
	}
}

func (s *synthetic) asked() int {
	s.Lock()
	defer s.Unlock()
	return s.calls
}

// began is the start time of everything in a synthetic swarm.
var began = time.Now().Add(-3 * time.Hour)

// nodes adds nodes, a leader and two managers first.
func (s *Swarm) nodes(count int) *Swarm {
	for i := range count {
		node := swarm.Node{ID: fmt.Sprintf("n%d", i+1)}
		node.Spec.Role, node.Spec.Availability, node.Status.State = swarm.NodeRoleWorker, swarm.NodeAvailabilityActive, swarm.NodeStateReady
		if i < 3 {
			node.Spec.Role, node.ManagerStatus = swarm.NodeRoleManager, &swarm.ManagerStatus{Leader: i == 0}
		}
		node.Description.Hostname = fmt.Sprintf("node%d", i+1)
		node.Description.Engine.EngineVersion = "28.5.2"
		node.Description.Resources = swarm.Resources{NanoCPUs: 4e9, MemoryBytes: 8 << 30}
		s.Nodes = append(s.Nodes, node)
	}
	return s
}

// service adds a service with its tasks, one after the other on the nodes.
func (s *Swarm) service(name, version string, replicas int, networks []string, ports ...uint32) *swarm.Service {
	wanted := uint64(replicas)
	one := swarm.Service{ID: "id-" + name}
	one.Spec.Name, one.Spec.Labels = name, map[string]string{journal.LabelVersion: version}
	one.Spec.Mode.Replicated = &swarm.ReplicatedService{Replicas: &wanted}
	one.Spec.TaskTemplate.ContainerSpec = &swarm.ContainerSpec{Image: "example/" + name + ":" + version}
	for _, name := range networks {
		one.Spec.TaskTemplate.Networks = append(one.Spec.TaskTemplate.Networks, swarm.NetworkAttachmentConfig{Target: "id-" + name})
		s.Networks["id-"+name] = network.Summary{Network: network.Network{ID: "id-" + name, Name: name, Scope: "swarm"}}
	}
	one.Spec.EndpointSpec = &swarm.EndpointSpec{}
	for _, port := range ports {
		one.Spec.EndpointSpec.Ports = append(one.Spec.EndpointSpec.Ports, swarm.PortConfig{PublishedPort: port, TargetPort: port, PublishMode: "ingress", Protocol: network.TCP})
	}
	s.Services = append(s.Services, one)
	slices.SortFunc(s.Services, func(a, b swarm.Service) int { return cmpNames(a, b) })
	for i := range replicas {
		s.task(one, i+1, s.Nodes[len(s.Tasks)%len(s.Nodes)].ID, swarm.TaskStateRunning)
	}
	return &one
}

func cmpNames(a, b swarm.Service) int {
	if a.Spec.Name < b.Spec.Name {
		return -1
	}
	return 1
}

// task adds a task of a service.
func (s *Swarm) task(of swarm.Service, slot int, node string, state swarm.TaskState) *swarm.Task {
	task := swarm.Task{ID: fmt.Sprintf("task%d", len(s.Tasks)+1), ServiceID: of.ID, Slot: slot, NodeID: node, Spec: of.Spec.TaskTemplate, DesiredState: swarm.TaskStateRunning}
	task.CreatedAt = began.Add(time.Duration(len(s.Tasks)) * time.Second)
	task.Status = swarm.TaskStatus{State: state, Timestamp: task.CreatedAt}
	s.Tasks = append(s.Tasks, task)
	return &s.Tasks[len(s.Tasks)-1]
}

// deploys adds an entry to the history of a service.
func (s *Swarm) deploys(service, version, outcome string, ago time.Duration, lines ...string) {
	record := s.Records[service]
	entry := &journal.Entry{N: record.History.Next(), Outcome: outcome, By: "eva on laptop", At: time.Now().Add(-ago), Lines: lines, After: journal.Snapshot{Version: version, Keep: 3}}
	entry.After.Entry = entry.N
	entry.After.Spec.Name = service
	entry.After.Spec.TaskTemplate.ContainerSpec = &swarm.ContainerSpec{Image: "example/" + service + ":" + version}
	record.History = append(record.History, entry)
	s.Records[service] = record
	for i := range s.Services {
		if s.Services[i].Spec.Name == service && outcome == journal.Done {
			s.Services[i].Spec.Labels[journal.LabelEntry] = fmt.Sprint(entry.N)
		}
	}
}

func empty() *Swarm {
	now := &Swarm{Host: "unix:///var/run/docker.sock", Networks: map[string]network.Summary{}, Records: map[string]journal.Record{}, Addresses: prove.Addresses{Manager: "192.0.2.1"}}
	now.Info.SystemTime = time.Now().UTC().Format(time.RFC3339Nano)
	return now
}

// shop is an ordinary swarm: five nodes, and some of them have problems.
func shop() *Swarm {
	now := empty().nodes(5)
	now.service("accountservice", "v2.4.1", 3, []string{"my_network"}, 6767)
	now.service("quotes-service", "1.7", 2, []string{"my_network"})
	now.service("gateway", "2026.11", 2, []string{"my_network", "edge"}, 80, 443)
	now.service("orders", "v12", 4, []string{"my_network", "storage"})
	now.service("postgres", "17.2", 1, []string{"storage"})
	now.service("redis", "8.0", 1, []string{"storage"})
	now.service("viz", "latest", 1, nil, 8080)
	now.service("dvizz", "latest", 1, []string{"my_network"}, 6969)
	for i := range now.Services {
		one := &now.Services[i]
		if one.Spec.Name == "accountservice" || one.Spec.Name == "gateway" {
			one.Spec.TaskTemplate.ContainerSpec.Healthcheck = healthcheck
			for j := range now.Tasks {
				if now.Tasks[j].ServiceID == one.ID {
					now.Tasks[j].Spec = one.Spec.TaskTemplate
				}
			}
		}
	}
	now.deploys("accountservice", "v2.4.0", journal.Done, 50*time.Hour, "image: sha256:8d2f0c1b44aa → sha256:1f9a7be0c3d2")
	now.deploys("accountservice", "v2.4.1", journal.Done, 3*time.Hour, "image: sha256:1f9a7be0c3d2 → sha256:77ab01d9e5f4", "environment.LOG_LEVEL: changed", "deploy.resources.limits.memory: 128 MiB → 192 MiB")
	now.deploys("orders", "v11", journal.Done, 27*time.Hour, "image: sha256:aa10c2d4e6f8 → sha256:bb21d3e5f7a9", "deploy.replicas: 2 → 4")
	now.deploys("orders", "v12", journal.Done, 26*time.Hour, "image: sha256:bb21d3e5f7a9 → sha256:cc32e4f6a8b0")
	now.deploys("gateway", "2026.10", journal.Done, 40*24*time.Hour, "ports.443: 443 → 443 in mode ingress (new)")
	now.deploys("gateway", "2026.12-rc1", journal.Failed, 20*time.Minute, "image: sha256:d00dfeed1234 → sha256:0ddba11c0ffe", "healthcheck.interval: 5s → 2s")
	return now
}

// many is the largest swarm that the page must show smoothly.
func many() *Swarm {
	now := empty().nodes(20)
	for i := range 25 {
		now.service(fmt.Sprintf("service-%02d", i+1), fmt.Sprintf("v%d", i+3), 20, []string{fmt.Sprintf("network-%d", i%4)}, uint32(9000+i))
	}
	return now
}
