package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/docker/go-units"
	"github.com/moby/moby/api/types/swarm"

	"goblog/deploy/journal"
	"goblog/deploy/progress"
	"goblog/deploy/prove"
	engine "goblog/deploy/swarm"
)

// status shows all services of the swarm, the history of those that this program
// deployed, and who deploys now. It changes nothing.
func status(ctx context.Context, o *options, out *progress.Printer) error {
	if len(o.arguments) > 0 {
		return usage("status takes no argument, so not '%s' either: it shows all services", o.arguments[0])
	}
	s, err := openManager(ctx, o, out)
	if err != nil {
		return err
	}
	services, err := s.engine.Services(ctx)
	if err != nil {
		return err
	}
	records, err := journal.All(ctx, s.engine)
	if err != nil {
		return err
	}
	if len(services) == 0 {
		out.Step("No services run in this swarm")
	}
	names, err := s.networkNames(ctx)
	if err != nil {
		return err
	}
	addresses, hosts, err := s.where(ctx)
	if err != nil {
		return err
	}
	have, err := s.stock(ctx)
	if err != nil {
		return err
	}
	var all []serviceStatus
	for _, service := range services {
		tasks, err := s.engine.Tasks(ctx, service.ID)
		if err != nil {
			return err
		}
		record := records[service.Spec.Name]
		delete(records, service.Spec.Name)
		one := statusOf(service, tasks, hosts, addresses)
		s.addRecord(ctx, &one, record, record.History.Current(&service, names), have)
		all = append(all, one)
	}
	for _, name := range slices.Sorted(maps.Keys(records)) { // Somebody deploys or has deployed them, and they are not there.
		one := serviceStatus{Name: name, Gone: true}
		s.addRecord(ctx, &one, records[name], nil, have)
		all = append(all, one)
	}
	for _, one := range all {
		out.Value("service", one)
	}
	out.Text(table(all))
	return nil
}

// A serviceStatus is all that is told of one service.
type serviceStatus struct {
	Name      string        `json:"name"`
	Gone      bool          `json:"gone,omitempty"` // there is no such service, but a history or a lock
	Version   string        `json:"version,omitempty"`
	Wanted    *uint64       `json:"wanted,omitempty"` // replicas; none for a global service
	Running   int           `json:"running"`
	Nodes     []string      `json:"nodes,omitempty"`
	Since     *time.Time    `json:"since,omitempty"` // when the youngest task began to run
	URLs      []string      `json:"urls,omitempty"`
	LastError string        `json:"last_error,omitempty"`
	Deploying string        `json:"deploying,omitempty"` // who does so now
	History   []entryStatus `json:"history,omitempty"`   // the youngest first
}

// An entryStatus is a line of a service's history.
type entryStatus struct {
	N       int       `json:"entry"`
	Outcome string    `json:"outcome"`
	Version string    `json:"version"`
	At      time.Time `json:"at"`
	By      string    `json:"by"`
	Mark    string    `json:"mark,omitempty"` // runs now, can be gone back to, or why it cannot
}

// statusOf is what the swarm's tasks say of a service. They come the youngest first.
func statusOf(service swarm.Service, tasks []engine.Task, hosts map[string]string, at prove.Addresses) serviceStatus {
	labels := service.Spec.Labels
	one := serviceStatus{Name: service.Spec.Name, Version: cmp.Or(labels[journal.LabelVersion], labels[labelOldVersion]), URLs: prove.Published(service.Spec, tasks, at)}
	if replicas, replicated := engine.Replicas(service.Spec); replicated {
		one.Wanted = &replicas
	}
	for _, task := range tasks {
		one.LastError = cmp.Or(one.LastError, task.Status.Err)
		if task.DesiredState != swarm.TaskStateRunning || task.Status.State != swarm.TaskStateRunning {
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

// addRecord adds what the swarm keeps of a service: who deploys it now, and its history.
// current is nil where it does not run.
func (s *session) addRecord(ctx context.Context, one *serviceStatus, record journal.Record, current *journal.Snapshot, have stock) {
	if record.Held != nil {
		one.Deploying = record.Held.Error()
		if now, err := time.Parse(time.RFC3339Nano, s.info.SystemTime); err == nil { // Both times are the engine's.
			age := now.Sub(record.Held.Beat)
			one.Deploying += fmt.Sprintf("; its last sign of life is %d s old; %s", int(age.Seconds()), record.Held.Outlook(age))
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
		line := entryStatus{N: entry.N, Outcome: entry.Outcome, Version: entry.After.Version, At: entry.At, By: entry.By}
		switch {
		case entry.Outcome == journal.Running && record.Held == nil:
			line.Mark = "was cut off: the next deploy or rollback restores what ran before"
		case entry.N == running:
			line.Mark = "runs now"
		case can[entry.N]:
			line.Mark = "can be gone back to"
			if err := s.missing(ctx, record.History.Version(entry.N), have); err != nil {
				line.Mark = "cannot be gone back to: " + err.Error()
			}
		}
		one.History = append(one.History, line)
	}
}

// table is what people are told of all services.
func table(all []serviceStatus) string {
	var text strings.Builder
	columns := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	for i, one := range slices.DeleteFunc(slices.Clone(all), func(one serviceStatus) bool { return one.Gone }) {
		if i == 0 {
			fmt.Fprintln(columns, "SERVICE\tVERSION\tWANTED\tRUNNING\tNODES\tAGE\tURL")
		}
		wanted, age := "all", "-"
		if one.Wanted != nil {
			wanted = strconv.FormatUint(*one.Wanted, 10)
		}
		if one.Since != nil {
			age = units.HumanDuration(time.Since(*one.Since))
		}
		fmt.Fprintln(columns, strings.Join([]string{
			one.Name, cmp.Or(one.Version, "-"), wanted, strconv.Itoa(one.Running), cmp.Or(strings.Join(one.Nodes, ","), "-"), age, cmp.Or(strings.Join(one.URLs, " "), "-"),
		}, "\t"))
	}
	columns.Flush()
	for _, one := range all {
		if one.Gone {
			fmt.Fprintf(&text, "\nThere is no service %s; scripts/rollback.sh %[1]s creates again what ran last\n", one.Name)
		}
		if one.LastError != "" {
			fmt.Fprintf(&text, "%s: last error: %s\n", one.Name, one.LastError)
		}
		if one.Deploying != "" {
			fmt.Fprintln(&text, one.Deploying)
		}
		if len(one.History) > 0 {
			fmt.Fprintf(&text, "\nHistory of %s:\n", one.Name)
		}
		for _, entry := range one.History {
			line := fmt.Sprintf("  %3d  %-8s %-27s %s  %s  %s", entry.N, entry.Outcome, entry.Version, entry.At.Local().Format("2006-01-02 15:04"), entry.By, entry.Mark)
			fmt.Fprintln(&text, strings.TrimRight(line, " "))
		}
	}
	return text.String()
}
