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
	table := tabwriter.NewWriter(out.Out, 0, 0, 2, ' ', 0)
	if len(services) > 0 {
		fmt.Fprintln(table, "SERVICE\tVERSION\tWANTED\tRUNNING\tNODES\tAGE\tURL")
	}
	var more []string
	for _, service := range services {
		tasks, err := s.engine.Tasks(ctx, service.ID)
		if err != nil {
			return err
		}
		record := records[service.Spec.Name]
		delete(records, service.Spec.Name)
		current := record.History.Current(&service, names)
		fmt.Fprintln(table, strings.Join(row(service, tasks, hosts, addresses), "\t"))
		more = append(more, lastError(service.Spec.Name, tasks)...)
		more = append(more, s.told(ctx, service.Spec.Name, record, current, have)...)
	}
	table.Flush()
	for _, name := range slices.Sorted(maps.Keys(records)) { // Somebody deploys or has deployed them, and they are not there.
		more = append(more, "", fmt.Sprintf("There is no service %s; scripts/rollback.sh %[1]s creates again what ran last", name))
		more = append(more, s.told(ctx, name, records[name], nil, have)...)
	}
	for _, line := range more {
		fmt.Fprintln(out.Out, line)
	}
	return nil
}

// row is a service's line of the table.
func row(service swarm.Service, tasks []engine.Task, hosts map[string]string, at prove.Addresses) []string {
	wanted := "all"
	if mode := service.Spec.Mode.Replicated; mode != nil && mode.Replicas != nil {
		wanted = strconv.FormatUint(*mode.Replicas, 10)
	}
	var nodes []string
	running, age := 0, "-"
	for _, task := range tasks {
		if task.DesiredState != swarm.TaskStateRunning || task.Status.State != swarm.TaskStateRunning {
			continue
		}
		running++
		age = units.HumanDuration(time.Since(task.Status.Timestamp))
		if host := hosts[task.NodeID]; !slices.Contains(nodes, host) {
			nodes = append(nodes, host)
		}
	}
	slices.Sort(nodes)
	labels := service.Spec.Labels
	return []string{
		service.Spec.Name, cmp.Or(labels[journal.LabelVersion], labels[labelOldVersion], "-"), wanted, strconv.Itoa(running),
		cmp.Or(strings.Join(nodes, ","), "-"), age, cmp.Or(strings.Join(prove.Published(service.Spec, tasks, at), " "), "-"),
	}
}

// lastError is the last error of a service's tasks, which come the youngest first.
func lastError(name string, tasks []engine.Task) []string {
	for _, task := range tasks {
		if task.Status.Err != "" {
			return []string{fmt.Sprintf("%s: last error: %s", name, task.Status.Err)}
		}
	}
	return nil
}

// told is what the swarm keeps of a service: who deploys it now, and its history. current
// is nil where it does not run.
func (s *session) told(ctx context.Context, name string, record journal.Record, current *journal.Snapshot, have stock) []string {
	var lines []string
	history := record.History
	if record.Held != nil {
		lines = append(lines, record.Held.Error())
	}
	if len(history) == 0 {
		return lines
	}
	lines = append(lines, "", "History of "+name+":")
	can := map[int]bool{}
	running, keep := 0, journal.Length
	if current != nil {
		running, keep = current.Entry, current.Keep
	}
	for _, version := range history.Reachable(current, keep) {
		can[version.Entry] = true
	}
	for _, entry := range slices.Backward(history) {
		mark := ""
		switch {
		case entry.N == running:
			mark = "runs now"
		case can[entry.N]:
			mark = "can be gone back to"
			if err := s.missing(ctx, history.Version(entry.N), have); err != nil {
				mark = "cannot be gone back to: " + err.Error()
			}
		}
		lines = append(lines, strings.TrimRight(fmt.Sprintf("  %3d  %-8s %-27s %s  %s  %s", entry.N, entry.Outcome, entry.After.Version,
			entry.At.Local().Format("2006-01-02 15:04"), entry.By, mark), " "))
	}
	return lines
}
