package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/moby/moby/api/types/mount"

	"goblog/deploy/journal"
	"goblog/deploy/progress"
	engine "goblog/deploy/swarm"
)

// removeTimeout bounds the removal of one service or network.
const removeTimeout = time.Minute

// remove removes services and their history, and then networks, secrets and configs that
// nobody else uses. Images stay, and so do named volumes unless --volumes is given.
func remove(ctx context.Context, o *options, out *progress.Printer) error {
	loaded, services, err := o.services()
	if err != nil {
		return err
	}
	s, err := openManager(ctx, o, out)
	if err != nil {
		return err
	}
	s.file = loaded
	var all, removed []*deployment
	for _, service := range slices.Backward(services) {
		all = append(all, s.deployment(service))
	}
	defer func() { s.release(ctx, all) }() // Only when nothing is left to remove.
	bad, taker := map[string]bool{}, s.taker(all)
	for _, d := range byName(all) {
		if err := d.takeLock(ctx, taker); err != nil {
			if !o.keepGoing || ctx.Err() != nil {
				return s.outcomeOfRemoval(ctx, all, err)
			}
			s.tell(err)
			bad[d.service.Name] = true
		}
	}
	if !o.keepGoing {
		if err := allMine(ctx, all); err != nil {
			return s.outcomeOfRemoval(ctx, all, err)
		}
	}
	networks := map[string]bool{}
	for _, d := range all {
		if bad[d.service.Name] {
			continue
		}
		names, err := s.networksOfOne(ctx, d) // Before the history is removed: it names some of them.
		if err == nil {
			err = d.removeService(ctx)
		}
		if err != nil {
			if !o.keepGoing || ctx.Err() != nil {
				return s.outcomeOfRemoval(ctx, all, err)
			}
			s.tell(orLost(ctx, []*deployment{d}, err))
			bad[d.service.Name] = true
			continue
		}
		removed = append(removed, d)
		for _, name := range names {
			networks[name] = true
		}
	}
	guarded := guardedBy(ctx, removed)
	for _, name := range slices.Sorted(maps.Keys(networks)) {
		if err := s.removeNetwork(guarded, name, removed); err != nil {
			return s.outcomeOfRemoval(ctx, all, err)
		}
	}
	if err := s.tidyContents(guarded, namesOf(removed)); err != nil {
		return s.outcomeOfRemoval(ctx, all, err)
	}
	if o.volumes {
		if err := s.removeVolumes(guarded, removed); err != nil {
			return s.outcomeOfRemoval(ctx, all, err)
		}
	}
	if len(bad) > 0 {
		return failed("these could not be removed, for the reasons above: " + strings.Join(slices.Sorted(maps.Keys(bad)), " "))
	}
	return nil
}

// outcomeOfRemoval says which of the services are still there.
func (s *session) outcomeOfRemoval(ctx context.Context, all []*deployment, err error) *outcome {
	told := outcomeOf(s.orInterrupted(ctx, orLost(ctx, all, err)))
	for _, d := range slices.Backward(all) {
		told.lines = append(told.lines, s.serves(ctx, d.service.Name, nil))
	}
	return told
}

// removeService removes a service and its history. Its lock stays.
func (d *deployment) removeService(ctx context.Context) error {
	ctx = d.guarded(ctx)
	if err := d.read(ctx); err != nil {
		return err
	}
	if d.running == nil {
		d.out.Step("There is no service %s", d.service.Name)
	} else {
		d.out.Step("Removing %s", d.service.Name)
		if err := d.mark(ctx, d.running); err != nil {
			return err
		}
		if err := d.removeWhole(ctx, d.running.ID, killable(d.running.Spec)); err != nil {
			return err
		}
	}
	if err := d.endTrial(ctx); err != nil {
		return err
	}
	return journal.Forget(ctx, d.engine, d.history)
}

// removeWhole removes a service, and waits until its tasks and its containers on this engine
// are gone, so that a network can be removed. It kills containers if they may be killed. The
// engine itself must remove them, or else it keeps its part of the network for ever. The
// engine may forget a container that it created but never started, so removeWhole removes
// such a container.
func (s *session) removeWhole(ctx context.Context, id string, kill bool) error {
	ctx, cancel := context.WithTimeout(ctx, removeTimeout)
	defer cancel()
	if err := s.engine.Remove(ctx, id); err != nil {
		return err
	}
	began := time.Now()
	for {
		containers, err := s.engine.Containers(ctx, id)
		if err != nil {
			return err
		}
		gone, err := s.gone(ctx, id)
		if err != nil || gone && len(containers) == 0 {
			return err
		}
		forgotten := gone && time.Since(began) > 10*time.Second
		for _, container := range containers {
			if forgotten {
				err = errors.Join(err, s.engine.RemoveContainer(ctx, container))
			} else if kill {
				err = errors.Join(err, s.engine.KillContainer(ctx, container))
			}
		}
		if err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("a service is removed, but tasks of it are still there: %w; look at the nodes that run them: docker node ls", ctx.Err())
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// networksOfOne are the networks that the files name for a service, and the networks that
// earlier deploys made for it under other settings.
func (s *session) networksOfOne(ctx context.Context, d *deployment) ([]string, error) {
	networks, err := s.engine.Networks(ctx)
	if err != nil {
		return nil, err
	}
	history, err := journal.Read(ctx, s.engine, d.service.Name)
	if err != nil {
		return nil, err
	}
	made := map[string]bool{}
	for _, network := range networks {
		made[network.Name] = made[network.Name] || network.Labels[engine.LabelMade] != ""
	}
	names := map[string]bool{}
	for _, network := range s.file.Networks {
		if !network.External && d.uses(network.Name) {
			names[network.Name] = true
		}
	}
	for _, entry := range history {
		for _, name := range entry.After.Networks {
			if made[name] {
				names[name] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(names)), nil
}

// removeVolumes removes the named volumes of services on this engine. This engine cannot
// remove the volumes of other nodes.
func (s *session) removeVolumes(ctx context.Context, services []*deployment) error {
	for _, d := range services {
		for _, one := range d.service.Spec.TaskTemplate.ContainerSpec.Mounts {
			if one.Type != mount.TypeVolume || !slices.Contains(s.file.Volumes, one.Source) {
				continue
			}
			if busy, err := s.deployedNow(ctx, services); err != nil {
				return err
			} else if len(busy) > 0 {
				s.sayStays("Volume "+one.Source, busy)
				continue
			}
			removed, err := s.engine.RemoveVolume(ctx, one.Source)
			if err != nil {
				return err
			}
			if removed {
				s.out.Step("Removed volume %s and its data", one.Source)
			} else {
				s.out.Step("This node has no volume %s", one.Source)
			}
			nodes, err := s.engine.Nodes(ctx)
			if err != nil {
				return err
			}
			if len(nodes) > 1 {
				s.out.Detail("other nodes may have a volume of that name with their own data; remove it on each node: docker volume rm %s", one.Source)
			}
		}
	}
	return nil
}

// deployedNow are the services that somebody else deploys now. Such a service may be removed
// for a moment, and still need a network or a volume that seems unused.
func (s *session) deployedNow(ctx context.Context, mine []*deployment) ([]string, error) {
	records, err := journal.All(ctx, s.engine)
	return others(records, namesOf(mine)), err
}

// sayStays says that a network or a volume is not removed, because busy services may need it.
func (s *session) sayStays(what string, busy []string) {
	s.out.Step("%s stays, as a deploy that runs now may need it: %s; remove it again when that deploy has ended", what, strings.Join(busy, ", "))
}

// removeNetwork removes a network of this name that no service uses any more.
func (s *session) removeNetwork(ctx context.Context, name string, mine []*deployment) error {
	networks, err := s.engine.Networks(ctx)
	if err != nil {
		return err
	}
	var id, driver, scope string
	for _, one := range networks {
		if one.Name == name && (id == "" || one.Scope == "swarm") {
			id, driver, scope = one.ID, one.Driver, one.Scope
		}
	}
	switch {
	case id == "":
		s.out.Step("There is no network %s", name)
		return nil
	case scope != "swarm":
		s.out.Step("Network %s stays: it is of driver %s, and was not made by a deploy", name, driver)
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, removeTimeout)
	defer cancel()
	for first := true; ; first = false { // The network is in use until the swarm knows that the last task has ended.
		// Locks are read before services: if a deploy ends in between, its service is there.
		busy, err := s.deployedNow(ctx, mine)
		if err != nil {
			return err
		}
		services, err := s.engine.Services(ctx)
		if err != nil {
			return err
		}
		var users []string
		for _, service := range services {
			for _, attached := range service.Spec.TaskTemplate.Networks {
				if attached.Target == id {
					users = append(users, service.Spec.Name)
				}
			}
		}
		switch {
		case len(users) > 0:
			s.out.Step("Network %s stays, as other services use it: %s", name, strings.Join(users, ", "))
			return nil
		case len(busy) > 0:
			s.sayStays("Network "+name, busy)
			return nil
		case first:
			s.out.Step("Removing network %s", name)
		}
		err = s.engine.RemoveNetwork(ctx, id)
		if err == nil || ctx.Err() != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(200 * time.Millisecond):
		}
	}
}
