package main

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"goblog/bench/figures"
)

// The servers whose starts are measured.
const (
	startBare   = "bare server"
	startEmpty  = "no database yet, 100 accounts to seed"
	startSeeded = "seeded database, 100 accounts"
	startMany   = "seeded database, many accounts"
)

type seeding struct {
	accounts  int
	took      time.Duration
	anonymous int // bytes
}

// report has all results, one of each kind for each round.
type report struct {
	options
	bare64, service64, bare1000, service1000, few, many []result
	starts                                              map[string][]float64 // milliseconds
	seedings                                            []seeding
}

func newReport(o options) *report { return &report{options: o, starts: map[string][]float64{}} }

// A figure is one value of a result.
type figure struct {
	name   string
	format string
	of     func(result) float64
}

var measures = []figure{
	{"requests/s", "%.0f", func(r result) float64 { return r.PerSecond }},
	{"server CPU per request, µs", "%.2f", func(r result) float64 { return r.cpu }},
	{"p50, ms", "%.2f", func(r result) float64 { return r.P50 }},
	{"p99, ms", "%.2f", func(r result) float64 { return r.P99 }},
	{"peak memory, MiB", "%.1f", func(r result) float64 { return r.peak }},
}

// markdown returns the report as tables. They have medians, and in brackets the smallest and
// the largest value.
func (r *report) markdown() string {
	var b strings.Builder
	// "accountservice VERSION, commit COMMIT, GO": the version is enough, so the commit goes.
	version := regexp.MustCompile(", commit [^,]*").ReplaceAllString(firstLine("unknown version", r.service, "-version"), "")
	fmt.Fprintf(&b, "%s, %s; %d rounds of %v after a second to warm up, in turn%s.\n",
		figures.Conditions("make bench", version), generator(), r.rounds, r.duration, pinning())
	b.WriteString("Medians, in brackets the least and the most; a ratio is the median of the rounds' own ratios.\n\n")

	compare := func(title, a, b_ string, as, bs []result, ms []figure) {
		fmt.Fprintf(&b, "| %s | %s | %s | ratio |\n|---|---|---|---|\n", title, a, b_)
		for _, m := range ms {
			x, y, ratios := values(as, m), values(bs, m), []float64{}
			for i := range x {
				ratios = append(ratios, y[i]/x[i])
			}
			fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", m.name, spread(m.format, x), spread(m.format, y), spread("%.2f", ratios))
		}
		b.WriteString("\n")
	}
	compare("64 connections", "bare net/http", "accountservice", r.bare64, r.service64, measures)
	compare("1,000 connections", "bare net/http", "accountservice", r.bare1000, r.service1000, measures)
	compare("64 connections, random ids", "100 accounts", thousands(r.options.many)+" accounts", r.few, r.many, measures[:2])

	fmt.Fprintf(&b, "| first answer after the start of the process, %d starts | ms |\n|---|---|\n", r.options.starts)
	for _, name := range []string{startBare, startEmpty, startSeeded, startMany} {
		fmt.Fprintf(&b, "| %s | %s |\n", strings.Replace(name, "many", thousands(r.options.many), 1), spread("%.1f", r.starts[name]))
	}
	b.WriteString("\n| seeding a new database, from the start of the process to the first answer | s | most anonymous memory, MiB |\n|---|---|---|\n")
	for _, s := range r.seedings {
		fmt.Fprintf(&b, "| %s accounts | %.1f | %.0f |\n", thousands(s.accounts), s.took.Seconds(), float64(s.anonymous)/(1<<20))
	}
	return b.String()
}

func values(results []result, m figure) []float64 {
	var v []float64
	for _, r := range results {
		v = append(v, m.of(r))
	}
	return v
}

// spread returns the median of values, and in brackets the smallest and the largest.
func spread(format string, values []float64) string {
	sorted := slices.Sorted(slices.Values(values))
	return fmt.Sprintf(format+" ["+format+" "+format+"]", median(sorted), sorted[0], sorted[len(sorted)-1])
}

func median(sorted []float64) float64 {
	half := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[half]
	}
	return (sorted[half-1] + sorted[half]) / 2
}

// thousands writes 1000000 as 1,000,000.
func thousands(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func pinning() string {
	if canPin() {
		return ", server and client with a processor each"
	}
	return ", server and client not pinned to processors"
}
