package view

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/moby/moby/api/types/swarm"

	"goblog/deploy/journal"
	"goblog/deploy/plan"
	"goblog/deploy/prove"
	engine "goblog/deploy/swarm"
)

// A Status is everything that is shown about one service.
type Status struct {
	Name      string     `json:"name"`
	Gone      bool       `json:"gone,omitempty"` // the service does not exist, but it has a history or a lock
	Version   string     `json:"version,omitempty"`
	Wanted    *uint64    `json:"wanted,omitempty"` // replicas; none for a global service
	Running   int        `json:"running"`
	Nodes     []string   `json:"nodes,omitempty"`
	Since     *time.Time `json:"since,omitempty"` // when the youngest task began to run
	URLs      []string   `json:"urls,omitempty"`
	LastError string     `json:"last_error,omitempty"`
	Image     string     `json:"image,omitempty"`
	Networks  []string   `json:"networks,omitempty"`
	Update    string     `json:"update,omitempty"`    // state of the swarm's own update, until it is completed
	Deploying string     `json:"deploying,omitempty"` // who deploys it now, in words
	Deploy    *Deploy    `json:"deploy,omitempty"`    // the same
	History   []Entry    `json:"history,omitempty"`   // the youngest first
}

// A Deploy is a deploy that runs now.
type Deploy struct {
	Holder  string `json:"holder"`
	Since   string `json:"since"`
	Phase   string `json:"phase,omitempty"`
	Outlook string `json:"outlook,omitempty"` // what the next deploy will do about this one
}

// An Entry is a line of a service's history.
type Entry struct {
	N       int       `json:"entry"`
	Outcome string    `json:"outcome"`
	Version string    `json:"version"`
	At      time.Time `json:"at"`
	By      string    `json:"by"`
	Mark    string    `json:"mark,omitempty"`  // it runs now, a rollback can go back to it, or why not
	Lines   []string  `json:"lines,omitempty"` // what it changed
}

// Statuses are the statuses of all services, and of services that are gone but have a history
// or a lock. missing says why a version could not be restored.
func (s *Swarm) Statuses(missing func(*journal.Snapshot) error) []Status {
	var all []Status
	records, names, hosts := maps.Clone(s.Records), engine.NetworkNames(s.Networks), engine.Hosts(s.Nodes)
	for _, service := range s.Services {
		one := StatusOf(service, s.TasksOf(service.ID), hosts, s.Addresses)
		for _, network := range service.Spec.TaskTemplate.Networks {
			one.Networks = append(one.Networks, cmp.Or(names[network.Target], network.Target))
		}
		record := records[one.Name]
		delete(records, one.Name)
		one.record(record, record.History.Current(&service, names), s.Info.SystemTime, missing)
		all = append(all, one)
	}
	for _, name := range slices.Sorted(maps.Keys(records)) { // Somebody deploys or has deployed these services, but they do not exist.
		one := Status{Name: name, Gone: true}
		one.record(records[name], nil, s.Info.SystemTime, missing)
		all = append(all, one)
	}
	return all
}

// StatusOf is the status of a service, from its tasks. The youngest task is first.
func StatusOf(service swarm.Service, tasks []engine.Task, hosts map[string]string, at prove.Addresses) Status {
	one := Status{Name: service.Spec.Name, Version: journal.VersionOf(service.Spec), URLs: prove.Published(service.Spec, tasks, at)}
	if replicas, replicated := engine.Replicas(service.Spec); replicated {
		one.Wanted = &replicas
	}
	if container := service.Spec.TaskTemplate.ContainerSpec; container != nil {
		one.Image = plan.ShortID(container.Image)
	}
	if service.UpdateStatus != nil && service.UpdateStatus.State != swarm.UpdateStateCompleted {
		one.Update = string(service.UpdateStatus.State)
	}
	for _, task := range tasks {
		one.LastError = cmp.Or(one.LastError, task.Status.Err)
		if !engine.Runs(task.Task) {
			continue
		}
		one.Running++
		if one.Since == nil {
			one.Since = &task.Status.Timestamp
		}
		if host := hosts[task.NodeID]; !slices.Contains(one.Nodes, host) {
			one.Nodes = append(one.Nodes, host)
		}
	}
	slices.Sort(one.Nodes)
	return one
}

// record adds the record of a service: who deploys it now, and its history. now is the time
// of the swarm. current is nil if the service does not run.
func (one *Status) record(record journal.Record, current *journal.Snapshot, now string, missing func(*journal.Snapshot) error) {
	if held := record.Held; held != nil {
		one.Deploying, one.Deploy = held.Error(), &Deploy{Holder: held.Holder, Since: held.Since, Phase: held.Phase}
		if now, err := time.Parse(time.RFC3339Nano, now); err == nil { // Both times are the engine's.
			age := now.Sub(held.Beat)
			one.Deploy.Outlook = held.Outlook(age, record.History.CutOff() != nil)
			one.Deploying += fmt.Sprintf("; its last sign of life is %d s old; %s", int(age.Seconds()), one.Deploy.Outlook)
		}
	}
	can := map[int]bool{}
	running, keep := 0, journal.Length
	if current != nil {
		running, keep = current.Entry, current.Keep
	}
	for _, version := range record.History.Reachable(current, keep) {
		can[version.Entry] = true
	}
	for _, entry := range slices.Backward(record.History) {
		line := Entry{N: entry.N, Outcome: entry.Outcome, Version: entry.After.Version, At: entry.At, By: entry.By}
		for _, text := range entry.Lines {
			line.Lines = append(line.Lines, withoutValue(text))
		}
		switch {
		case entry.Outcome == journal.Running && record.Held == nil:
			line.Mark = "was cut off: the next deploy or rollback restores the version that ran before"
		case entry.N == running:
			line.Mark = "runs now"
		case can[entry.N]:
			line.Mark = "a rollback can go back to it"
			if err := missing(record.History.Version(entry.N)); err != nil {
				line.Mark = "a rollback cannot go back to it: " + err.Error()
			}
		}
		one.History = append(one.History, line)
	}
}

// valueless matches the words of a plan for a variable whose value it does not show.
var valueless = regexp.MustCompile(`^(added|changed|removed)(, which overwrites a change made by hand)?$`)

// withoutValue hides the value of a variable, also if another program has written the entry.
func withoutValue(line string) string {
	if key, said, found := strings.Cut(line, ": "); found && strings.HasPrefix(line, "environment.") && !valueless.MatchString(said) {
		return key + ": changed"
	}
	return line
}
