// Command bench compares the service with a bare net/http server, in one run on one machine,
// and writes Markdown tables. It reads /proc, so it needs Linux.
package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"goblog/bench/figures"
)

// options has the values of flags. The defaults take about five minutes.
type options struct {
	service  string
	bare     string
	rounds   int
	duration time.Duration
	many     int
	seed     string
	starts   int
	out      string
	into     string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, 15*time.Minute)
	defer cancel()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) > 0 && args[0] == "load" { // bench runs itself for this, pinned to a processor.
		return loadCommand(ctx, args[1:])
	}
	var o options
	profile := ""
	fs := flag.NewFlagSet("bench", flag.ContinueOnError)
	fs.StringVar(&o.service, "service", "", "`binary` of the service")
	fs.StringVar(&o.bare, "bare", "", "`binary` of the bare server")
	fs.IntVar(&o.rounds, "rounds", 10, "`number` of rounds")
	fs.DurationVar(&o.duration, "duration", 3*time.Second, "how `long` each load lasts, in whole seconds")
	fs.IntVar(&o.many, "many", 1_000_000, "`number` of accounts to compare with 100")
	fs.StringVar(&o.seed, "seed", "1000000,10000000", "`numbers` of accounts whose seeding is timed")
	fs.IntVar(&o.starts, "starts", 20, "`number` of starts until the first answer")
	fs.StringVar(&o.out, "out", "build/bench.md", "`file` for the result")
	fs.StringVar(&o.into, "into", "", "`file` whose part between two marks the result replaces")
	fs.StringVar(&profile, "profile", "", "do not measure, but write a CPU profile of the service under load to `file`")
	if err := fs.Parse(args); err != nil {
		return err
	}
	if profile != "" {
		return writeProfile(ctx, o, profile)
	}
	report, err := measure(ctx, o)
	if err != nil {
		return err
	}
	fmt.Print("\n", report)
	if err := os.WriteFile(o.out, []byte(report), 0o644); err != nil {
		return err
	}
	if o.into == "" {
		return nil
	}
	return figures.Show(o.into, "bench", report)
}

// serviceOn returns the service with a database and an admin address.
func (o options) serviceOn(db string, accounts int, admin string) target {
	return target{name: fmt.Sprintf("the service with %d accounts", accounts), accounts: accounts, command: func(addr string) *exec.Cmd {
		// The settings of the image, without its drain.
		return exec.Command(o.service, "-addr", addr, "-db", db, "-accounts", strconv.Itoa(accounts), "-admin-addr", admin)
	}}
}

// measure does all rounds and returns the report.
func measure(ctx context.Context, o options) (string, error) {
	dir, err := os.MkdirTemp("build", "bench-") // On disk. A /tmp may be in memory.
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	few, many := filepath.Join(dir, "few.db"), filepath.Join(dir, "many.db")
	service := func(db string, accounts int) target { return o.serviceOn(db, accounts, "127.0.0.1:0") }
	bare := target{name: "the bare server", command: func(addr string) *exec.Cmd { return exec.Command(o.bare, addr) }}
	ours, big := service(few, 100), service(many, o.many)

	if err := sameAnswer(ctx, bare, ours); err != nil {
		return "", err
	}
	r := newReport(o)
	for _, n := range strings.Split(o.seed, ",") {
		accounts, err := strconv.Atoi(n)
		if err != nil {
			return "", fmt.Errorf("-seed %s: %w", o.seed, err)
		}
		say("Seeding %d accounts", accounts)
		took, anonymous, err := seed(ctx, service(filepath.Join(dir, "seed.db"), accounts))
		if err != nil {
			return "", err
		}
		r.seedings = append(r.seedings, seeding{accounts, took, anonymous})
		if err := os.Remove(filepath.Join(dir, "seed.db")); err != nil {
			return "", err
		}
	}
	if _, _, err := seed(ctx, big); err != nil { // The later starts need a seeded database.
		return "", err
	}

	say("Starting each server %d times", o.starts)
	for i := range o.starts {
		for name, t := range map[string]target{
			startBare:   bare,
			startEmpty:  service(filepath.Join(dir, fmt.Sprintf("start-%d.db", i)), 100),
			startSeeded: ours,
			startMany:   big,
		} {
			p, took, err := start(ctx, t, false)
			if err != nil {
				return "", err
			}
			p.stop()
			r.starts[name] = append(r.starts[name], milliseconds(took))
		}
	}

	loads := []struct {
		into *[]result
		t    target
		load load
	}{
		{&r.bare64, bare, load{connections: 64}},
		{&r.service64, ours, load{connections: 64}},
		{&r.bare1000, bare, load{connections: 1000}},
		{&r.service1000, ours, load{connections: 1000}},
		{&r.few, ours, load{connections: 64, ids: 100}},
		{&r.many, big, load{connections: 64, ids: o.many}},
	}
	for round := range o.rounds {
		say("Round %d of %d", round+1, o.rounds)
		for i := range loads {
			l := loads[i^(round%2)] // In the next round, the order of a pair is reversed.
			l.load.duration = o.duration
			got, err := underLoad(ctx, l.t, l.load)
			if err != nil {
				return "", err
			}
			*l.into = append(*l.into, got)
		}
	}
	return r.markdown(), nil
}

func say(format string, args ...any) { fmt.Printf("==> "+format+"\n", args...) }

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// firstLine returns the first line that a command prints, or else fallback.
func firstLine(fallback, name string, args ...string) string {
	out, _ := exec.Command(name, args...).CombinedOutput()
	line, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	return cmp.Or(line, fallback)
}
