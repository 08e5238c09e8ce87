package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/moby/moby/api/types/swarm"
	"github.com/moby/moby/api/types/system"

	"goblog/deploy/build"
	"goblog/deploy/journal"
	"goblog/deploy/plan"
	"goblog/deploy/progress"
	"goblog/deploy/prove"
	"goblog/deploy/stack"
	engine "goblog/deploy/swarm"
)

// A session has what the steps of one command share: the engine, the state of its swarm, and
// the printer.
type session struct {
	*options
	out    *progress.Printer
	engine *engine.Engine
	info   system.Info
	began  time.Time
	built  *build.Builder
	made   []string // what this command has created and does not remove, in words
	// changed are the services that this command has changed or restored, by name.
	changed map[string]bool
	file    *stack.Stack // the loaded stack files; nil if the command does not read them
}

// open connects to the engine, which may be in no swarm yet.
func open(ctx context.Context, o *options, out *progress.Printer) (*session, error) {
	connected, err := engine.Connect()
	if err != nil {
		return nil, failed(err.Error(), "nothing was changed")
	}
	s := &session{options: o, out: out, engine: connected, began: time.Now(), changed: map[string]bool{}}
	connected.Waiting = func(err error) { out.Warn(fmt.Sprintf("the engine is away, waiting for it: %v", err)) }
	if s.info, err = connected.Info(ctx); err != nil {
		return nil, s.orInterrupted(ctx, failed(err.Error(), whatToDo(err), "nothing was changed"))
	}
	if version := connected.APIVersion(); !atLeast(version, 41) {
		return nil, failed(fmt.Sprintf("the docker engine at %s is too old: its API is %s, and 1.41 is needed", connected.Host, version), "update it to docker 20.10 or newer", "nothing was changed")
	}
	return s, nil
}

// whatToDo is the advice for an engine that does not answer. It depends on the words of
// docker's client or of ssh.
func whatToDo(err error) string {
	switch text := err.Error(); {
	case strings.Contains(text, "permission denied"):
		return "this user may not open the engine's socket: use sudo, or join the group docker"
	case strings.Contains(text, "Host key verification failed"):
		return "connect by ssh once, and check the key that it shows; this program never asks"
	case strings.Contains(text, "API version"):
		return "update the engine to docker 20.10 or newer"
	}
	return "start the engine, or point DOCKER_HOST or the docker context to another one"
}

// openManager connects to an engine that takes commands for a swarm.
func openManager(ctx context.Context, o *options, out *progress.Printer) (*session, error) {
	s, err := open(ctx, o, out)
	if err == nil {
		err = s.needManager(false)
	}
	return s, err
}

// orInterrupted is the error of a step before the first change.
func (s *session) orInterrupted(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Canceled
	}
	return err
}

func (s *session) inSwarm() bool { return s.info.Swarm.LocalNodeState == swarm.LocalNodeStateActive }

// needManager checks that the engine is a manager of a swarm, or with orNone that it is not
// in a swarm and can become one.
func (s *session) needManager(orNone bool) error {
	switch state := s.info.Swarm.LocalNodeState; {
	case slices.Contains(s.info.SecurityOptions, "name=rootless"):
		return failed("this engine runs rootless, so it cannot have the overlay networks of a swarm", "point DOCKER_HOST or the docker context to an engine that runs as root", "nothing was changed")
	case state == swarm.LocalNodeStateInactive && orNone:
		return nil
	case state == swarm.LocalNodeStateInactive:
		return failed("this engine is not in a swarm, so nothing is deployed", "scripts/copyall.sh makes it the manager of a new swarm, and deploys")
	case state != swarm.LocalNodeStateActive:
		return failed(fmt.Sprintf("this engine's part in its swarm is %s", state), "docker info says more; a locked swarm needs docker swarm unlock", "nothing was changed")
	case !s.info.Swarm.ControlAvailable:
		return failed("this engine is a worker of its swarm, not a manager", "point DOCKER_HOST or the docker context to a manager", "nothing was changed")
	}
	return nil
}

// makeSwarm makes the engine the manager of a new swarm.
func (s *session) makeSwarm(ctx context.Context) error {
	s.out.Step("Making this engine the manager of a new swarm")
	if err := s.engine.InitSwarm(ctx, s.env["ADVERTISE_ADDR"]); err != nil {
		// If the engine cannot choose between several addresses, its error names them.
		return s.orInterrupted(ctx, failed(err.Error(), "choose the address at which other nodes reach this node: ADVERTISE_ADDR=...", "nothing was changed"))
	}
	s.made = append(s.made, "this engine is the manager of a swarm now")
	var err error
	if s.info, err = s.engine.Info(ctx); err != nil {
		return err
	}
	s.out.Detail("its manager is at %s", s.info.Swarm.NodeAddr)
	return nil
}

func (s *session) builder() *build.Builder {
	if s.built == nil {
		s.built = &build.Builder{
			Engine: s.engine, Root: s.root, Version: s.env["VERSION"], CPU: s.env["GOARCH"], BaseImage: s.env["BASE_IMAGE"], Say: s.out.Step,
		}
	}
	return s.built
}

// situation collects the facts of the swarm that a plan needs.
func (s *session) situation(ctx context.Context) (plan.Situation, error) {
	here := plan.Situation{Node: s.info.Swarm.NodeID, Networks: map[string]string{}, StartInterval: atLeast(s.engine.APIVersion(), 44)}
	networks, err := s.engine.Networks(ctx)
	if err != nil {
		return here, err
	}
	for _, network := range networks {
		if network.Scope == "swarm" { // Then a local network of the same name does not matter.
			here.Networks[network.Name] = "overlay"
		} else if here.Networks[network.Name] == "" {
			here.Networks[network.Name] = network.Driver
		}
	}
	if !s.inSwarm() {
		return here, nil
	}
	if here.Nodes, err = s.engine.Nodes(ctx); err == nil {
		here.Others, err = s.engine.Services(ctx)
	}
	if err == nil {
		here.Tasks, err = s.engine.AllTasks(ctx)
	}
	return here, err
}

// atLeast tells whether an API version is 1.MINOR or newer.
func atLeast(version string, minor int) bool {
	_, after, _ := strings.Cut(version, ".")
	n, err := strconv.Atoi(after)
	return err == nil && n >= minor
}

// networkNames are the names of all networks, by id.
func (s *session) networkNames(ctx context.Context) (map[string]string, error) {
	networks, err := s.engine.Networks(ctx)
	return engine.NetworkNames(networks), err
}

// ids are the ids of the networks, secrets and configs of the swarm, by name.
func (s *session) ids(ctx context.Context) (plan.IDs, error) {
	ids := plan.IDs{Contents: map[stack.Kind]map[string]string{stack.Secret: {}, stack.Config: {}}}
	var err error
	if ids.Networks, err = s.networkIDs(ctx, nil); err != nil {
		return ids, err
	}
	contents, err := s.engine.Contents(ctx)
	for _, one := range contents {
		ids.Contents[one.Kind][one.Name] = one.ID
	}
	return ids, err
}

// A stock has the nodes and ids of the swarm that versions of services may need.
type stock struct {
	nodes []swarm.Node
	ids   plan.IDs
}

func (s *session) stock(ctx context.Context) (stock, error) {
	var have stock
	var err error
	if have.nodes, err = s.engine.Nodes(ctx); err == nil {
		have.ids, err = s.ids(ctx)
	}
	return have, err
}

// missing is an error if something that a version needs is gone: its image, a secret, a
// config or an external network.
func (s *session) missing(ctx context.Context, version *journal.Snapshot, have stock) error {
	elsewhere := slices.ContainsFunc(plan.Nodes(version.Spec, have.nodes), func(node swarm.Node) bool { return node.ID != s.info.Swarm.NodeID })
	if err := s.engine.Missing(ctx, version.Image(), elsewhere); err != nil {
		return err
	}
	for _, attached := range version.Spec.TaskTemplate.Networks {
		name := cmp.Or(version.Networks[attached.Target], attached.Target)
		if _, made := version.Made[name]; version.Made != nil && !made && have.ids.Networks[name] == "" && !stack.Predefined(name) {
			return fmt.Errorf("there is no network %s, which is external", name)
		}
	}
	_, err := plan.Restore(version, have.ids)
	return err
}

// makeContents stores the secrets and configs of services that the swarm does not have yet.
func (s *session) makeContents(ctx context.Context, services []string) error {
	ids, err := s.ids(ctx)
	if err != nil {
		return err
	}
	for _, one := range s.file.Contents {
		used := slices.ContainsFunc(one.Services, func(name string) bool { return slices.Contains(services, name) })
		switch {
		case !used || ids.Contents[one.Kind][one.Name] != "":
			continue
		case one.External:
			return failed(fmt.Sprintf("the swarm has no %s %s, which the stack file says is external", one.Kind, one.Name), fmt.Sprintf("create it: docker %s create %s FILE", one.Kind, one.Name))
		}
		s.out.Step("Creating %s %s", one.Kind, one.Name)
		if err := s.engine.CreateContent(ctx, one); err != nil {
			return err
		}
	}
	return nil
}

// networkIDs returns the ids of the swarm's networks, by name. It creates the wanted networks
// that are missing.
func (s *session) networkIDs(ctx context.Context, wanted []stack.Network) (map[string]string, error) {
	networks, err := s.engine.Networks(ctx)
	if err != nil {
		return nil, err
	}
	ids := map[string]string{}
	for id, network := range networks {
		if network.Scope == "swarm" {
			ids[network.Name] = id
		}
	}
	created := false
	for _, one := range wanted {
		if ids[one.Name] != "" || stack.Predefined(one.Name) {
			continue
		}
		if one.External {
			return nil, failed(fmt.Sprintf("there is no network %s, which the stack file says is external", one.Name), "create it: docker network create --driver overlay "+one.Name)
		}
		s.out.Step("Creating network %s", one.Name)
		if err := s.engine.CreateNetwork(ctx, one.Name, one.Spec); err != nil {
			return nil, err
		}
		s.made = append(s.made, "network "+one.Name+" was created")
		created = true
	}
	if created {
		return s.networkIDs(ctx, wanted)
	}
	return ids, nil
}

// where finds the addresses of the nodes and their host names.
func (s *session) where(ctx context.Context) (prove.Addresses, map[string]string, error) {
	nodes, err := s.engine.Nodes(ctx)
	return prove.Find(s.env["ManagerIP"], s.engine.RemoteHost(), s.info, nodes), engine.Hosts(nodes), err
}

// await waits until a service has reached a goal, and returns the URLs that answer.
func (s *session) await(ctx context.Context, goal prove.Goal, verify *stack.Verify) ([]string, error) {
	addresses, hosts, err := s.where(ctx)
	if err != nil {
		return nil, err
	}
	return prove.Await(ctx, s.engine, goal, verify, addresses, hosts, s.out)
}

// tasksNow are the ids of the current tasks of a service, to recognise them later.
func (s *session) tasksNow(ctx context.Context, service string) (map[string]bool, error) {
	known := map[string]bool{}
	tasks, err := s.engine.Tasks(ctx, service)
	for _, task := range tasks {
		known[task.ID] = true
	}
	return known, err
}

// verifyNow is the check of the running version; nil if it is not known.
func (d *deployment) verifyNow() *stack.Verify {
	if d.current == nil {
		return nil
	}
	return d.current.Verify
}
