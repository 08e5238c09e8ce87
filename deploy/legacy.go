package main

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/moby/moby/api/types/swarm"

	"goblog/deploy/journal"
	"goblog/deploy/plan"
)

// More labels of services that shell scripts deployed; see journal.LabelScripts.
const (
	labelOldPreviousImage   = "copyall.previous-image"
	labelOldPreviousVersion = "copyall.previous-version"
)

// foundEntry is the entry for a service that the old scripts deployed, with the version that
// it replaced. It is nil for a service that somebody else made, unless it is adopted. Its
// check was never stored, so healthy tasks are enough. If a deploy made the service but its
// entry is gone, the service is taken over too: somebody removed its history, or its creation
// arrived after that.
func foundEntry(current *journal.Snapshot, n int, adopt bool) *journal.Entry {
	labels := current.Spec.Labels
	by := "scripts of an older version"
	switch {
	case labels[journal.LabelScripts] != "":
	case labels[journal.LabelDeploy] != "" && current.Image() != "":
		by = "a deploy whose entry is gone"
		if own, err := strconv.Atoi(labels[journal.LabelEntry]); err == nil {
			n = max(n, own)
		}
	case adopt && current.Image() != "":
		by = "somebody else"
	default:
		return nil
	}
	entry := &journal.Entry{N: n, Outcome: journal.Found, By: by, At: time.Now(), After: *current}
	image, _, _ := strings.Cut(current.Image(), "@")
	entry.After.Entry, entry.After.Version, entry.After.Timeout, entry.After.Trial = n, cmp.Or(labels[journal.LabelScriptsVersion], plan.ShortID(image)), time.Minute, 3*time.Second
	entry.After.Keep = 3
	if image := labels[labelOldPreviousImage]; image != "" {
		before := entry.After
		before.Entry, before.Version = 0, labels[labelOldPreviousVersion]
		before.Spec = plan.WithImage(current.Spec, image)
		before.Spec.Labels[journal.LabelScriptsVersion] = before.Version
		entry.Before = &before
	}
	return entry
}

// freeOldLock removes the lock that an old script left behind: no such script runs any more.
func (d *deployment) freeOldLock(ctx context.Context) error {
	name := d.service.Name + ".deploy-lock"
	left, err := d.engine.Configs(ctx, name)
	left = slices.DeleteFunc(left, func(one swarm.Config) bool { return one.Spec.Name != name })
	if err != nil || len(left) == 0 {
		return err
	}
	d.out.Step("Removing the lock that a script of an older version left behind: %s", left[0].Spec.Labels["copyall.holder"])
	return d.engine.RemoveConfig(ctx, left[0].ID)
}
