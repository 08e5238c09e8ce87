// Package view reads the swarm for people: for the status command, and for a page in the
// browser that follows the swarm. It changes nothing, and shows no value of a secret, a
// config or an environment variable.
package view

import (
	"context"
	"slices"

	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/api/types/swarm"
	"github.com/moby/moby/api/types/system"

	"goblog/deploy/journal"
	"goblog/deploy/prove"
	engine "goblog/deploy/swarm"
)

// A Swarm is the state of the engine and the journal at one moment.
type Swarm struct {
	Host      string // where the engine listens
	Info      system.Info
	Addresses prove.Addresses
	Nodes     []swarm.Node
	Services  []swarm.Service // by name
	Tasks     []swarm.Task    // also tasks that have ended
	Networks  map[string]network.Summary
	Records   map[string]journal.Record // by service
}

// A Reader reads the swarm of an engine.
type Reader struct {
	*engine.Engine
	Manager string // see prove.Find
}

// Read reads the whole state.
func (r Reader) Read(ctx context.Context) (*Swarm, error) {
	now := &Swarm{Host: r.Host}
	var err error
	if now.Info, err = r.Info(ctx); err != nil {
		return nil, err
	}
	if now.Nodes, err = r.Nodes(ctx); err != nil {
		return nil, err
	}
	if now.Services, err = r.Services(ctx); err != nil {
		return nil, err
	}
	if now.Networks, err = r.Networks(ctx); err != nil {
		return nil, err
	}
	if now.Records, err = journal.All(ctx, r.Engine); err != nil {
		return nil, err
	}
	now.Addresses = prove.Find(r.Manager, r.RemoteHost(), now.Info, now.Nodes)
	now.Tasks, err = r.AllTasks(ctx)
	return now, err
}

// TasksOf are the tasks of a service, the youngest first.
func (s *Swarm) TasksOf(service string) []engine.Task {
	var tasks []engine.Task
	for _, task := range s.Tasks {
		if task.ServiceID == service {
			tasks = append(tasks, engine.Task{Task: task})
		}
	}
	slices.SortFunc(tasks, func(a, b engine.Task) int { return b.CreatedAt.Compare(a.CreatedAt) })
	return tasks
}
