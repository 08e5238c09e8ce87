package journal

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/moby/moby/api/types/swarm"
)

// An Engine keeps configs; see package swarm.
type Engine interface {
	Configs(ctx context.Context, prefix string) ([]swarm.Config, error)
	CreateConfig(ctx context.Context, name string, labels map[string]string, data []byte) (string, error)
	LabelConfig(ctx context.Context, id string, labels map[string]string, only func(labels map[string]string) bool) error
	RemoveConfig(ctx context.Context, id string) error
}

// Length is how many entries the history of a service has at most.
const Length = 10

// Read returns the history of a service.
func Read(ctx context.Context, engine Engine, service string) (History, error) {
	configs, err := engine.Configs(ctx, prefix(service))
	if err != nil {
		return nil, err
	}
	return history(configs)
}

func history(configs []swarm.Config) (History, error) {
	var history History
	for _, config := range configs {
		if config.Spec.Labels[labelN] == "" {
			continue // The lock.
		}
		entry, err := decode(config)
		if err != nil {
			return nil, err
		}
		history = append(history, entry)
	}
	slices.SortFunc(history, func(a, b *Entry) int { return a.N - b.N })
	return history, nil
}

// A Record is what the swarm stores about a service: its history, and who deploys it now.
type Record struct {
	History History
	Held    *HeldError // nil: nobody deploys it
}

// All returns the records of all services that have a history or a lock, by name.
func All(ctx context.Context, engine interface {
	Configs(ctx context.Context, prefix string) ([]swarm.Config, error)
}) (map[string]Record, error) {
	configs, err := engine.Configs(ctx, "")
	if err != nil {
		return nil, err
	}
	byService := map[string][]swarm.Config{}
	for _, config := range configs {
		name, _, found := strings.Cut(config.Spec.Name, ".deploy.")
		if found && (config.Spec.Labels[labelN] != "" || config.Spec.Labels[labelHolder] != "") {
			byService[name] = append(byService[name], config)
		}
	}
	records := map[string]Record{}
	for name, configs := range byService {
		var record Record
		if record.History, err = history(configs); err != nil {
			return nil, err
		}
		for _, config := range configs {
			if config.Spec.Labels[labelHolder] != "" {
				record.Held = heldBy(name, config)
			}
		}
		records[name] = record
	}
	return records, nil
}

// Begin stores an entry before the first change.
func Begin(ctx context.Context, engine Engine, service string, entry *Entry) error {
	labels, text, err := entry.encode()
	if err == nil {
		entry.config, err = engine.CreateConfig(ctx, fmt.Sprint(prefix(service), entry.N), labels, text)
	}
	if err != nil {
		return fmt.Errorf("store the running version before the change: %w", err)
	}
	return nil
}

// Claim takes over an entry whose deploy is dead. If that deploy is still about to note how
// it ended, its note will fail. Claim is false if the deploy has ended.
func Claim(ctx context.Context, engine Engine, entry *Entry, by string) (bool, error) {
	open := false
	err := engine.LabelConfig(ctx, entry.config, map[string]string{labelClaim: by}, func(now map[string]string) bool {
		open = now[labelOutcome] == Running
		return open
	})
	entry.claim = by
	return open, err
}

// End notes how the deploy of an entry ended, and the Spec as the engine has stored it.
// ErrLost means that another deploy has claimed the entry.
func End(ctx context.Context, engine Engine, entry *Entry, outcome string, returned *swarm.ServiceSpec) error {
	labels := map[string]string{labelOutcome: outcome}
	if returned != nil {
		text, err := json.Marshal(returned)
		if err != nil {
			return err
		}
		labels[labelReturned] = string(text)
	}
	lost := false
	err := engine.LabelConfig(ctx, entry.config, labels, func(now map[string]string) bool {
		lost = now[labelClaim] != entry.claim
		return !lost
	})
	if lost {
		return ErrLost
	}
	return err
}

// Trim removes the oldest entries until Length are left. It keeps the running version and the
// versions that a rollback can go back to.
func Trim(ctx context.Context, engine Engine, history History, current *Snapshot) error {
	needed := map[int]bool{}
	if current != nil {
		needed[current.Entry] = true
		for _, version := range history.Reachable(current, current.Keep) {
			needed[version.Entry] = true
		}
	}
	left := len(history)
	for _, entry := range history {
		if left <= Length || needed[entry.N] {
			continue
		}
		if err := engine.RemoveConfig(ctx, entry.config); err != nil {
			return err
		}
		left--
	}
	return nil
}

// Forget removes the whole history, the youngest entry first. So if it is cut off, the
// entries that are left have ended, and there is nothing to restore.
func Forget(ctx context.Context, engine Engine, history History) error {
	for _, entry := range slices.Backward(history) {
		if err := engine.RemoveConfig(ctx, entry.config); err != nil {
			return err
		}
	}
	return nil
}
