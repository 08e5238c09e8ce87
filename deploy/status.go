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
	"goblog/deploy/journal"
	"goblog/deploy/progress"
	"goblog/deploy/view"
)

// status shows all services of the swarm, the history of the services that this program
// deployed, and the deploys that run now. It changes nothing.
func status(ctx context.Context, o *options, out *progress.Printer) error {
	if len(o.arguments) > 0 {
		return usage("status takes no argument, but got '%s': it shows all services", o.arguments[0])
	}
	s, err := openManager(ctx, o, out)
	if err != nil {
		return err
	}
	now, err := s.reader().Read(ctx)
	if err != nil {
		return err
	}
	if len(now.Services) == 0 {
		out.Step("No services run in this swarm")
	}
	have, err := s.stock(ctx)
	if err != nil {
		return err
	}
	missing := func(version *journal.Snapshot) error { return s.missing(ctx, version, have) }
	all := now.Statuses(missing)
	for _, one := range all {
		out.Value("service", one)
	}
	out.Text(table(all))
	return nil
}

// reader reads the swarm for people.
func (s *session) reader() view.Reader {
	return view.Reader{Engine: s.engine, Manager: s.env["ManagerIP"]}
}

// table is the text about all services, for people.
func table(all []view.Status) string {
	var text strings.Builder
	columns := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	for i, one := range slices.DeleteFunc(slices.Clone(all), func(one view.Status) bool { return one.Gone }) {
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
			fmt.Fprintf(&text, "\nThere is no service %s; scripts/rollback.sh %[1]s creates again the version that ran last\n", one.Name)
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
