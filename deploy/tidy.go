package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/moby/moby/api/types/swarm"

	"goblog/deploy/journal"
)

// trim takes old entries out of the history.
func (d *deployment) trim(ctx context.Context) {
	ctx = context.WithoutCancel(ctx)
	_, current, err := d.now(ctx)
	if err == nil {
		err = journal.Trim(ctx, d.engine, d.history, current)
	}
	if err != nil {
		d.out.Warn(fmt.Sprintf("the history of %s was not trimmed: %v", d.service.Name, err))
	}
}

// now is what runs now, from the engine and as a snapshot; nil where nothing does.
func (d *deployment) now(ctx context.Context) (*swarm.Service, *journal.Snapshot, error) {
	service, err := d.engine.Service(ctx, d.service.Name)
	if err != nil {
		return nil, nil, err
	}
	names, err := d.networkNames(ctx)
	return service, d.history.Current(service, names), err
}

// tidy removes images that neither the service nor a version that can be gone back to
// needs. What cannot be removed is said, and does not matter.
func (d *deployment) tidy(ctx context.Context) {
	if d.tag == "" {
		return
	}
	if err := d.tidyImages(ctx); err != nil {
		d.out.Warn(fmt.Sprintf("%s runs and answers; only old images were not tidied away: %v", d.service.Name, err))
	}
}

// tidyImages takes away the names of images that nobody needs. Only names that builds of
// this service gave are looked at.
func (d *deployment) tidyImages(ctx context.Context) error {
	now, current, err := d.now(ctx)
	if err != nil || now == nil {
		return err
	}
	needed := []string{now.Spec.TaskTemplate.ContainerSpec.Image}
	if now.PreviousSpec != nil {
		needed = append(needed, now.PreviousSpec.TaskTemplate.ContainerSpec.Image)
	}
	for _, version := range d.history.Reachable(current, d.service.Deploy.Keep) {
		needed = append(needed, version.Image())
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
		if slices.Contains(needed, id) || slices.ContainsFunc(found.Digests, func(digest string) bool { return slices.Contains(needed, digest) }) {
			continue
		}
		for _, tag := range tags {
			if err := d.engine.RemoveTag(ctx, tag); err != nil {
				return err
			}
		}
		d.out.Detail("removed the old image %s", strings.Join(tags, " "))
	}
	return nil
}
