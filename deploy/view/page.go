package view

import (
	"cmp"
	"reflect"
	"slices"
	"time"

	"github.com/moby/moby/api/types/swarm"

	"goblog/deploy/journal"
	"goblog/deploy/plan"
)

// A Page is all that the browser is told.
type Page struct {
	Engine   string    `json:"engine"`
	Nodes    []Node    `json:"nodes"`
	Services []Service `json:"services"`
	Tasks    []Task    `json:"tasks"`
	Networks []string  `json:"networks"` // those that services are on
}

// A Node is one node of the swarm.
type Node struct {
	ID           string `json:"id"`
	Name         string `json:"name"`
	Role         string `json:"role"` // leader, manager or worker
	Availability string `json:"availability"`
	State        string `json:"state"`
	Message      string `json:"message,omitempty"`
	Engine       string `json:"engine"`
	Memory       int64  `json:"memory"` // bytes
	CPUs         int64  `json:"cpus"`   // billionths
}

// A Service is one service, its history included.
type Service struct {
	Status
	Image    string   `json:"image,omitempty"`
	Networks []string `json:"networks,omitempty"`
	Update   string   `json:"update,omitempty"` // how the swarm's own update of it stands
	Deploy   *Deploy  `json:"deploy,omitempty"`
}

// A Deploy is one that runs now.
type Deploy struct {
	Holder  string `json:"holder"`
	Since   string `json:"since"`
	Phase   string `json:"phase,omitempty"`
	Outlook string `json:"outlook"` // what the next deploy will do about it
}

// A Task is a task that lives, or the last one of a place where none does.
type Task struct {
	ID       string    `json:"id"`
	Service  string    `json:"service"`
	Slot     int       `json:"slot,omitempty"`
	Node     string    `json:"node,omitempty"` // id; none while the task has no place
	State    string    `json:"state"`
	Kind     string    `json:"kind"` // good, busy or bad
	Version  string    `json:"version"`
	Since    time.Time `json:"since"`
	Restarts int       `json:"restarts,omitempty"` // failures before it, as far as the swarm remembers
	Error    string    `json:"error,omitempty"`    // the last in its place
}

// Page is what the browser is told of the swarm.
func (s *Swarm) Page() Page {
	page := Page{Engine: s.Host, Nodes: []Node{}, Services: []Service{}, Tasks: []Task{}, Networks: []string{}}
	down := map[string]bool{}
	for _, node := range s.Nodes {
		one := Node{
			ID: node.ID, Name: cmp.Or(node.Description.Hostname, node.ID), Role: string(node.Spec.Role), Availability: string(node.Spec.Availability),
			State: string(node.Status.State), Message: node.Status.Message, Engine: node.Description.Engine.EngineVersion,
			Memory: node.Description.Resources.MemoryBytes, CPUs: node.Description.Resources.NanoCPUs,
		}
		if node.ManagerStatus != nil && node.ManagerStatus.Leader {
			one.Role = "leader"
		}
		down[node.ID] = node.Status.State != swarm.NodeStateReady
		page.Nodes = append(page.Nodes, one)
	}
	names := s.NetworkNames()
	byName := map[string]swarm.Service{}
	for _, service := range s.Services {
		byName[service.Spec.Name] = service
	}
	for _, status := range s.Statuses(func(*journal.Snapshot) error { return nil }) {
		service, record := byName[status.Name], s.Records[status.Name]
		one := Service{Status: status}
		one.Deploying = "" // In Deploy, without the age that changes all the time.
		if held := record.Held; held != nil {
			one.Deploy = &Deploy{Holder: held.Holder, Since: held.Since, Phase: held.Phase}
			if now, err := time.Parse(time.RFC3339Nano, s.Info.SystemTime); err == nil {
				one.Deploy.Outlook = held.Outlook(now.Sub(held.Beat))
			}
		}
		if container := service.Spec.TaskTemplate.ContainerSpec; container != nil {
			one.Image = plan.ShortID(container.Image)
		}
		if service.UpdateStatus != nil && service.UpdateStatus.State != swarm.UpdateStateCompleted {
			one.Update = string(service.UpdateStatus.State)
		}
		for _, network := range service.Spec.TaskTemplate.Networks {
			name := cmp.Or(names[network.Target], network.Target)
			one.Networks = append(one.Networks, name)
			if !slices.Contains(page.Networks, name) {
				page.Networks = append(page.Networks, name)
			}
		}
		page.Services = append(page.Services, one)
		if !one.Gone {
			page.Tasks = append(page.Tasks, s.tasks(service, record.History, down)...)
		}
	}
	slices.Sort(page.Networks)
	return page
}

// ended are the states from which a task never comes back.
var ended = []swarm.TaskState{swarm.TaskStateComplete, swarm.TaskStateShutdown, swarm.TaskStateFailed, swarm.TaskStateRejected, swarm.TaskStateRemove, swarm.TaskStateOrphaned}

// tasks are those of a service that are worth a look.
func (s *Swarm) tasks(service swarm.Service, history journal.History, down map[string]bool) []Task {
	type place struct {
		slot int
		node string
	}
	var shown []Task
	places := map[place][]swarm.Task{} // the youngest first
	var order []place
	for _, task := range s.TasksOf(service.ID) {
		at := place{slot: task.Slot}
		if task.Slot == 0 { // One of a global service.
			at.node = task.NodeID
		}
		if places[at] == nil {
			order = append(order, at)
		}
		places[at] = append(places[at], task.Task)
	}
	for _, at := range order {
		living := func(task swarm.Task) bool { return !slices.Contains(ended, task.Status.State) }
		for i, task := range places[at] {
			wanted := task.DesiredState == swarm.TaskStateRunning || task.DesiredState == swarm.TaskStateReady
			if !living(task) && (i > 0 || !wanted || slices.ContainsFunc(places[at], living)) {
				continue
			}
			one := Task{ID: task.ID, Service: service.Spec.Name, Slot: task.Slot, Node: task.NodeID, Version: version(task, service, history), Since: task.Status.Timestamp}
			one.State, one.Kind = stateOf(task, down[task.NodeID])
			for _, before := range places[at][i:] {
				one.Error = cmp.Or(one.Error, before.Status.Err)
				if before.ID != task.ID && (before.Status.State == swarm.TaskStateFailed || before.Status.State == swarm.TaskStateRejected) {
					one.Restarts++
				}
			}
			shown = append(shown, one)
		}
	}
	slices.SortFunc(shown, func(a, b Task) int { return cmp.Or(a.Slot-b.Slot, a.Since.Compare(b.Since), cmp.Compare(a.ID, b.ID)) })
	return shown
}

// stateOf is a task's state in a word, and whether it is as it should be. Swarm calls a task
// with a health check running only once it is healthy.
func stateOf(task swarm.Task, lost bool) (state, kind string) {
	container := task.Spec.ContainerSpec
	switch is := task.Status.State; {
	case slices.Contains(ended, is):
		return string(is), "bad"
	case lost:
		return "node is down", "bad"
	case task.DesiredState != swarm.TaskStateRunning && task.DesiredState != swarm.TaskStateReady:
		return "stopping", "busy"
	case is == swarm.TaskStatePending && task.Status.Err != "":
		return "no place", "bad"
	case is != swarm.TaskStateRunning:
		return string(is), "busy"
	case container != nil && container.Healthcheck != nil && !slices.Equal(container.Healthcheck.Test, []string{"NONE"}):
		return "healthy", "good"
	}
	return "running", "good"
}

// version is that of a task: of the Spec that it was made from, as far as one is known.
func version(task swarm.Task, service swarm.Service, history journal.History) string {
	specs := []swarm.ServiceSpec{service.Spec}
	if service.PreviousSpec != nil {
		specs = append(specs, *service.PreviousSpec)
	}
	for _, entry := range slices.Backward(history) {
		for _, one := range []*journal.Snapshot{&entry.After, entry.Before} {
			if one != nil {
				specs = append(specs, one.Spec)
			}
		}
	}
	own := task.Spec.ContainerSpec
	if own == nil {
		return ""
	}
	for _, same := range []func(a, b swarm.TaskSpec) bool{
		func(a, b swarm.TaskSpec) bool {
			return a.ForceUpdate == b.ForceUpdate && reflect.DeepEqual(a.ContainerSpec, b.ContainerSpec)
		},
		func(a, b swarm.TaskSpec) bool { return a.ContainerSpec.Image == b.ContainerSpec.Image },
	} {
		for _, spec := range specs {
			if spec.TaskTemplate.ContainerSpec != nil && same(task.Spec, spec.TaskTemplate) {
				if name := cmp.Or(spec.Labels[journal.LabelVersion], spec.Labels[journal.LabelScriptsVersion]); name != "" {
					return name
				}
			}
		}
	}
	return plan.ShortID(own.Image)
}
