package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"goblog/deploy/journal"
	"goblog/deploy/plan"
	"goblog/deploy/prove"
	"goblog/deploy/stack"
	engine "goblog/deploy/swarm"
)

// serves says in a sentence which version serves now, for the last line. It asks the swarm
// and the service at this moment.
func (s *session) serves(ctx context.Context, service string, verify *stack.Verify) string {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	found, err := s.engine.Service(ctx, service)
	if err != nil {
		return fmt.Sprintf("the version that serves now is not known: %v", err)
	}
	if found == nil {
		return fmt.Sprintf("there is no service %s", service)
	}
	tasks, err := s.engine.Tasks(ctx, found.ID)
	if err != nil {
		return fmt.Sprintf("the version that serves now is not known: %v", err)
	}
	running := engine.Running(tasks)
	name := strings.TrimSpace(service + " " + journal.VersionOf(found.Spec))
	replicas, _ := engine.Replicas(found.Spec)
	if replicas == 0 {
		return fmt.Sprintf("%s is scaled to 0 replicas", name)
	}
	if running == 0 {
		return fmt.Sprintf("no task of %s runs", name)
	}
	addresses, _, err := s.where(ctx)
	if err != nil {
		return fmt.Sprintf("the version that serves now is not known: %v", err)
	}
	fewer := ""
	if uint64(running) < replicas {
		nodes, err := s.engine.Nodes(ctx)
		if err != nil {
			return fmt.Sprintf("the version that serves now is not known: %v", err)
		}
		fewer = fmt.Sprintf(", with %d of %d tasks", running, replicas)
		if down := plan.Down(found.Spec, nodes); len(down) > 0 {
			fewer += ", as " + plan.AreDown(down)
		}
	}
	urls := prove.URLs(found.Spec, tasks, verify, addresses)
	for _, url := range urls {
		if answer := prove.Ask(ctx, url, verify); !answer.Right {
			return fmt.Sprintf("%s runs, but %s does not answer as it should: %s", name, url, answer.Said)
		}
	}
	if len(urls) == 0 {
		return fmt.Sprintf("%s serves: its tasks run%s", name, fewer)
	}
	return fmt.Sprintf("%s serves at %s%s", name, strings.Join(urls, " "), fewer)
}
