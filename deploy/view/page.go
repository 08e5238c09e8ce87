package view

import (
	"cmp"
	"reflect"
	"slices"
	"strconv"
	"time"

	"github.com/moby/moby/api/types/swarm"

	"goblog/deploy/journal"
	"goblog/deploy/plan"
	engine "goblog/deploy/swarm"
)

// A Page is everything that the browser gets.
type Page struct {
	Engine   string   `json:"engine"`
	Nodes    []Node   `json:"nodes"`
	Services []Status `json:"services"`
	Tasks    []Task   `json:"tasks"`
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

// A Task is a living task. If a place has none, it is the last task of that place.
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

// Page is the state of the swarm for the browser.
func (s *Swarm) Page() Page {
	page := Page{Engine: s.Host, Nodes: []Node{}, Tasks: []Task{}}
	// Whether a version can be restored is not checked here: that would ask registries.
	// status.sh does it.
	page.Services = append([]Status{}, s.Statuses(func(*journal.Snapshot) error { return nil })...)
	for i := range page.Services {
		page.Services[i].Deploying = "" // It has an age, which changes all the time.
	}
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
	for _, service := range s.Services {
		page.Tasks = append(page.Tasks, s.tasks(service, down)...)
	}
	return page
}

// tasks are the tasks of a service that the page shows.
func (s *Swarm) tasks(service swarm.Service, down map[string]bool) []Task {
	var shown []Task
	places := map[string][]swarm.Task{} // the youngest first
	for _, task := range s.TasksOf(service.ID) {
		at := strconv.Itoa(task.Slot)
		if task.Slot == 0 { // One of a global service.
			at = task.NodeID
		}
		places[at] = append(places[at], task.Task)
	}
	living := func(task swarm.Task) bool { return !engine.Ended(task) }
	for _, tasks := range places {
		for i, task := range tasks {
			if !living(task) && (i > 0 || !engine.Stays(task) || slices.ContainsFunc(tasks, living)) {
				continue
			}
			one := Task{ID: task.ID, Service: service.Spec.Name, Slot: task.Slot, Node: task.NodeID, Version: version(task, service, s.Records[service.Spec.Name].History), Since: task.Status.Timestamp}
			one.State, one.Kind = stateOf(task, down[task.NodeID])
			for _, before := range tasks[i:] {
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

// stateOf is the state of a task in one word, and whether it is good. In Swarm, a task with a
// health check is running only when it is healthy.
func stateOf(task swarm.Task, lost bool) (state, kind string) {
	container := task.Spec.ContainerSpec
	switch is := task.Status.State; {
	case engine.Ended(task):
		return string(is), "bad"
	case lost:
		return "node is down", "bad"
	case !engine.Stays(task):
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

// version is the version of the Spec that a task was made from. It looks for exactly the same
// Spec. If there is none, it takes a Spec with the same image.
func version(task swarm.Task, service swarm.Service, history journal.History) string {
	own := task.Spec.ContainerSpec
	if own == nil {
		return ""
	}
	specs := []*swarm.ServiceSpec{&service.Spec, service.PreviousSpec}
	for _, entry := range slices.Backward(history) {
		specs = append(specs, &entry.After.Spec)
	}
	found := ""
	for _, spec := range specs {
		if spec == nil || spec.TaskTemplate.ContainerSpec == nil || spec.TaskTemplate.ContainerSpec.Image != own.Image {
			continue
		}
		name := journal.VersionOf(*spec)
		if name != "" && spec.TaskTemplate.ForceUpdate == task.Spec.ForceUpdate && reflect.DeepEqual(spec.TaskTemplate.ContainerSpec, own) {
			return name
		}
		found = cmp.Or(found, name)
	}
	return cmp.Or(found, plan.ShortID(own.Image))
}
