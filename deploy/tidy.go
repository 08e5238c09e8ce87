package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/moby/moby/api/types/swarm"

	"goblog/deploy/journal"
	"goblog/deploy/plan"
	"goblog/deploy/stack"
	engine "goblog/deploy/swarm"
)

// trim takes old entries out of the history.
func (d *deployment) trim(ctx context.Context) {
	ctx = d.guarded(context.WithoutCancel(ctx))
	if d.left || d.mine(ctx) != nil {
		return
	}
	_, current, err := d.now(ctx)
	if err == nil {
		err = journal.Trim(ctx, d.engine, d.history, current)
	}
	if err != nil {
		d.out.Warn(fmt.Sprintf("the history of %s was not trimmed: %v", d.service.Name, err))
	}
}

// now is the running service, from the engine and as a snapshot; nil if there is none.
func (d *deployment) now(ctx context.Context) (*swarm.Service, *journal.Snapshot, error) {
	service, err := d.engine.Service(ctx, d.service.Name)
	if err != nil {
		return nil, nil, err
	}
	names, err := d.networkNames(ctx)
	return service, d.history.Current(service, names), err
}

// needs are the images, secrets and configs that must stay. The running services use them, or
// their previous Specs, or versions that a rollback can go back to. Two stacks may share an
// image or a secret.
type needs struct {
	images   map[string]bool                // by id, by digest, or by tag
	versions map[string]bool                // of all histories: they are tags of built images
	contents map[stack.Kind]map[string]bool // by name
	records  map[string]journal.Record      // by the name of the service
}

// others are the services that somebody else deploys now.
func others(records map[string]journal.Record, mine []string) []string {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(records)) {
		if records[name].Held != nil && !slices.Contains(mine, name) {
			names = append(names, name)
		}
	}
	return names
}

func (n needs) add(spec *swarm.ServiceSpec) {
	if spec == nil || spec.TaskTemplate.ContainerSpec == nil {
		return
	}
	name, digest, _ := strings.Cut(spec.TaskTemplate.ContainerSpec.Image, "@")
	n.images[spec.TaskTemplate.ContainerSpec.Image] = true
	if digest != "" { // NAME:TAG@DIGEST, as docker's own commands write it.
		n.images[name] = true
	}
	for _, one := range spec.TaskTemplate.ContainerSpec.Secrets {
		n.contents[stack.Secret][one.SecretName] = true
	}
	for _, one := range spec.TaskTemplate.ContainerSpec.Configs {
		n.contents[stack.Config][one.ConfigName] = true
	}
}

// needed finds out what must stay.
func (s *session) needed(ctx context.Context) (needs, error) {
	n := needs{map[string]bool{}, map[string]bool{}, map[stack.Kind]map[string]bool{stack.Secret: {}, stack.Config: {}}, nil}
	names, err := s.networkNames(ctx)
	if err != nil {
		return n, err
	}
	services, err := s.engine.Services(ctx)
	if err != nil {
		return n, err
	}
	records, err := journal.All(ctx, s.engine)
	if err != nil {
		return n, err
	}
	running := map[string]*swarm.Service{}
	for i, service := range services {
		running[service.Spec.Name] = &services[i]
		n.add(&service.Spec)
		n.add(service.PreviousSpec)
	}
	n.records = records
	for name, record := range records {
		current, keep := record.History.Current(running[name], names), journal.Length
		if current != nil {
			keep = current.Keep
		}
		for _, version := range record.History.Reachable(current, keep) {
			n.add(&version.Spec)
		}
		for _, entry := range record.History {
			n.versions[entry.After.Version] = true
			if entry.Outcome == journal.Running { // It may have been cut off.
				n.add(&entry.After.Spec)
				if entry.Before != nil {
					n.add(&entry.Before.Spec)
				}
			}
		}
	}
	return n, nil
}

// tidy removes images, secrets and configs that no version needs any more, whether the deploy
// worked or not. If something cannot be removed, it only warns.
func (s *session) tidy(ctx context.Context, all []*deployment) {
	names := namesOf(all)
	ctx = guardedBy(context.WithoutCancel(ctx), all)
	for _, d := range all {
		if d.left || d.mine(ctx) != nil {
			return // The engine is away, or somebody else deploys now.
		}
	}
	if err := s.tidyContents(ctx, names); err != nil {
		s.out.Warn(fmt.Sprintf("old secrets and configs were not tidied away: %v", err))
	}
	for _, d := range all {
		if d.tag == "" || d.planned.Action == plan.Nothing {
			continue
		}
		if err := d.tidyImages(ctx, names); err != nil {
			s.out.Warn(fmt.Sprintf("old images of %s were not tidied away: %v", d.service.Name, err))
		}
	}
}

// tidyContents removes secrets and configs from files that no version needs any more. While
// another command deploys, it keeps them all: two stack files may have the same one.
func (s *session) tidyContents(ctx context.Context, mine []string) error {
	ctx = context.WithoutCancel(ctx)
	// They are listed first, so the list has nothing that another deploy makes later.
	contents, err := s.engine.Contents(ctx)
	contents = slices.DeleteFunc(contents, func(one engine.Content) bool { return !one.Made })
	if err != nil || len(contents) == 0 {
		return err
	}
	needed, err := s.needed(ctx)
	if err != nil {
		return err
	}
	for _, one := range contents {
		if needed.contents[one.Kind][one.Name] {
			continue
		}
		// Again: this process may have been asleep, and somebody else may have begun a deploy.
		if needed, err = s.needed(ctx); err != nil {
			return err
		}
		busy := others(needed.records, mine)
		switch {
		case needed.contents[one.Kind][one.Name]:
			continue
		case len(busy) > 0:
			s.out.Detail("%s %s stays, as services are being deployed that may need it: %s", one.Kind, one.Name, strings.Join(busy, ", "))
			continue
		}
		if err := s.engine.RemoveContent(ctx, one); err != nil {
			return err
		}
		s.out.Detail("removed %s %s, which no rollback needs any more", one.Kind, one.Name)
	}
	return nil
}

// tidyImages removes the tags of images that no version needs. It removes only tags that
// builds gave: sha-..., latest, and the versions of the histories. Other tags belong to
// somebody else.
func (d *deployment) tidyImages(ctx context.Context, mine []string) error {
	needed, err := d.needed(ctx)
	if err != nil {
		return err
	}
	if len(others(needed.records, mine)) > 0 {
		return nil // That may be another stack of the same file: its image is built, but does not run yet.
	}
	repository, _, _ := strings.Cut(d.tag, ":sha-")
	images, err := d.engine.ImagesOf(ctx, repository)
	if registry := d.env["REGISTRY"]; err == nil && registry != "" {
		var pushed map[string][]string
		pushed, err = d.engine.ImagesOf(ctx, registry+"/"+repository)
		for id, tags := range pushed {
			images[id] = append(images[id], tags...)
		}
	}
	if err != nil {
		return err
	}
	for id, tags := range images {
		found, err := d.engine.Image(ctx, id)
		if err != nil || found == nil {
			return err
		}
		names := slices.Concat([]string{id}, found.Digests, tags)
		used := func(name string) bool { return needed.images[name] }
		if slices.ContainsFunc(names, used) {
			continue
		}
		tags = slices.DeleteFunc(tags, func(tag string) bool {
			_, name, _ := strings.Cut(tag[strings.LastIndex(tag, "/")+1:], ":")
			return !strings.HasPrefix(name, "sha-") && name != "latest" && name != d.wanted.Version && !needed.versions[name]
		})
		if len(tags) == 0 {
			continue
		}
		// Again, as for secrets and configs.
		if needed, err = d.needed(ctx); err != nil || len(others(needed.records, mine)) > 0 {
			return err
		}
		if slices.ContainsFunc(names, used) {
			continue
		}
		var removed []string
		for _, tag := range tags {
			gone, err := d.engine.RemoveTag(ctx, tag)
			if err != nil {
				return err
			}
			if gone {
				removed = append(removed, tag)
			}
		}
		if len(removed) > 0 {
			d.out.Detail("removed the old image %s", strings.Join(removed, " "))
		}
	}
	return nil
}
