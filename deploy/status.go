package main

import (
	"cmp"
	"context"
	"fmt"
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
	s, err := open(ctx, o, out)
	if err == nil {
		err = s.needManager(false)
	}
	if err != nil {
		return err
	}
	services, err := s.engine.Services(ctx)
	if err != nil {
		return err
	}
	if len(services) == 0 {
		out.Step("No services run in this swarm")
		return nil
	}
	names, err := s.networkNames(ctx)
	if err != nil {
		return err
	}
	addresses, hosts, err := s.where(ctx)
	if err != nil {
		return err
	}
	table := tabwriter.NewWriter(out.Out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "SERVICE\tVERSION\tWANTED\tRUNNING\tNODES\tAGE\tURL")
	var more []string
	for _, service := range services {
		tasks, err := s.engine.Tasks(ctx, service.ID)
		if err != nil {
			return err
		}
		history, err := journal.Read(ctx, s.engine, service.Spec.Name)
		if err != nil {
			return err
		}
		current := history.Current(&service, names)
		fmt.Fprintln(table, strings.Join(row(service, tasks, hosts, addresses), "\t"))
		more = append(more, s.moreOf(ctx, service, tasks, history, current)...)
	}
	table.Flush()
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

// moreOf is what follows below the table: the last error, the lock and the history.
func (s *session) moreOf(ctx context.Context, service swarm.Service, tasks []engine.Task, history journal.History, current *journal.Snapshot) []string {
	name := service.Spec.Name
	var lines []string
	for _, task := range tasks { // The youngest first.
		if task.Status.Err != "" {
			lines = append(lines, fmt.Sprintf("%s: last error: %s", name, task.Status.Err))
			break
		}
	}
	if held, err := journal.Held(ctx, s.engine, name); err == nil && held != nil {
		lines = append(lines, held.Error())
	}
	if len(history) == 0 {
		return lines
	}
	lines = append(lines, "", "History of "+name+":")
	can := map[int]bool{}
	for _, version := range history.Reachable(current, current.Keep) {
		can[version.Entry] = true
	}
	for _, entry := range slices.Backward(history) {
		mark := ""
		switch {
		case entry.N == current.Entry:
			mark = "runs now"
		case can[entry.N]:
			mark = "can be gone back to"
			if err := s.engine.Missing(ctx, entry.After.Image()); err != nil {
				mark = "its image is gone"
			}
		}
		lines = append(lines, strings.TrimRight(fmt.Sprintf("  %3d  %-8s %-27s %s  %s  %s", entry.N, entry.Outcome, entry.After.Version,
			entry.At.Local().Format("2006-01-02 15:04"), entry.By, mark), " "))
	}
	return lines
}
