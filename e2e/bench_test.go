package e2e

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"goblog/bench/figures"
	"goblog/e2e/prober"
)

// rounds is how often each way is measured. The ways take turns.
const rounds = 5

// A way is one way to deploy accountservice, or to look at it.
type way struct {
	name   string
	before func(b *testing.B, round int) // not measured
	run    func(round int) result
	silent bool   // its silence is measured, by a prober of its own
	after  func() // not measured
	// answers tells that the measurement ends when the address answers, and not when the command
	// returns.
	answers bool

	seconds, silence []time.Duration
}

// BenchmarkDeploy measures the time of deploys on an engine of one node, with a host-mode
// port. It also measures commands by hand and docker stack deploy.
func BenchmarkDeploy(b *testing.B) {
	address := "http://192.168.99.100:6767/accounts/10000"
	overlay := filepath.Join(b.TempDir(), "host.yml")
	if err := os.WriteFile(overlay, []byte(`version: "3.9"
services:
  accountservice:
    ports: [{target: 6767, published: 6767, mode: host}]
    deploy: {endpoint_mode: dnsrr}
`), 0o600); err != nil {
		b.Fatal(err)
	}
	plain := func(int) result { return script("copyall.sh") }
	image := func() string { return docker(b, "images", "--quiet", "--no-trunc", "someprefix/accountservice:latest") }
	clean := func(b *testing.B, _ int) { // Also wait until the engine has forgotten a removed network.
		wipe(b)
		if !eventually(30*time.Second, func() bool { return run(nil, "docker", "network", "inspect", "my_network").exit != 0 }) {
			b.Error("the network is not gone")
		}
	}
	deployed := func(b *testing.B, _ int) {
		if r := script("copyall.sh --rolling"); r.exit != 0 {
			b.Fatalf("copyall.sh: %s", r)
		}
	}
	ways := []*way{
		{name: "`copyall.sh`, nothing changed", before: deployed, run: plain, silent: true},
		{name: "`service rm`, `rm -f` and `service create` by hand, until it answers", before: deployed, silent: true, answers: true, run: func(int) result {
			return run(nil, "sh", "-c", `docker service rm accountservice && docker rm --force $(docker ps --quiet --filter label=com.docker.swarm.service.name=accountservice) &&
				docker service create --quiet --detach --no-resolve-image --name accountservice --network my_network --publish mode=host,target=6767,published=6767 --endpoint-mode dnsrr \
				--read-only --cap-drop ALL --mount type=tmpfs,destination=/data,tmpfs-size=67108864,tmpfs-mode=1777 `+image())
		}},
		{name: "`copyall.sh`, another version, with a trial of 1 s", before: func(b *testing.B, round int) { wipe(b); deployed(b, round) }, silent: true, run: func(round int) result {
			return script("copyall.sh", fmt.Sprintf("VERSION=bench-%d-%d", os.Getpid(), round))
		}},
		{name: "`copyall.sh --rolling`, another environment (stop-first, with a drain)", before: deployed, silent: true, run: func(round int) result {
			return script("copyall.sh --rolling", fmt.Sprintf("SERVICE_ENV=ROUND=%d", round))
		}},
		{name: "`copyall.sh --plan`", before: deployed, run: func(int) result { return script("copyall.sh --plan") }},
		{name: "`status.sh`, four services", before: func(b *testing.B, round int) {
			deployed(b, round)
			for n := range 3 {
				run(nil, "docker", "service", "create", "--quiet", "--detach", "--no-resolve-image", "--name", fmt.Sprint("other", n), "--mount", "type=tmpfs,destination=/data", image())
			}
		}, run: func(int) result { return script("status.sh") }},
		{name: "`docker stack deploy`, first, until it answers", before: clean, answers: true, run: func(int) result {
			return run([]string{"VERSION=latest"}, "docker", "stack", "deploy", "--resolve-image", "never", "-c", repository("stack.yml"), "-c", overlay, "x")
		}, after: func() { run(nil, "docker", "stack", "rm", "x") }},
		{name: "`copyall.sh`, first", before: clean, run: plain},
	}
	deployed(b, 0)
	defer wipe(b)
	for round := range rounds {
		for _, one := range ways {
			one.before(b, round)
			one.measure(b, address, round)
		}
	}
	var report strings.Builder
	fmt.Fprintf(&report, "%s; one node with a host-mode port, each command in turn, %d rounds. The image takes %s.\n",
		figures.Conditions("make bench-deploy", "accountservice "+version(b), runtime.Version(),
			docker(b, "version", "--format", "docker engine {{.Server.Version}}, client {{.Client.Version}}")),
		rounds, docker(b, "images", "--format", "{{.Size}}", "someprefix/accountservice:latest"))
	fmt.Fprintf(&report, "\n| what | seconds, median [min max] | longest silence, median [min max] |\n|---|---|---|\n")
	for _, one := range ways {
		silence := "not measured"
		if one.silent {
			silence = spread(one.silence)
		}
		fmt.Fprintf(&report, "| %s | %s | %s |\n", one.name, spread(one.seconds), silence)
	}
	show(b, "bench-deploy", report.String())
}

// BenchmarkLoad runs the load test of 1,000 and of 200 users on an engine of one node, each
// after a deploy of its own: after a load, the service gives memory back slowly.
func BenchmarkLoad(b *testing.B) {
	for _, tool := range []string{"javac", "mvn", "gnuplot"} {
		installed(b, tool)
	}
	for _, users := range []string{"1000", "200"} {
		wipe(b)
		deployed(b)
		r := script("loadtest.sh " + users + " 30")
		if r.exit != 0 {
			b.Fatalf("loadtest.sh: exit %d: %s", r.exit, r)
		}
		summary, err := os.ReadFile(filepath.Join(leftBy(r), "summary.md"))
		if err != nil {
			b.Fatal(err)
		}
		show(b, "bench-load-"+users, string(summary))
		if page := os.Getenv("FIGURES"); page != "" && users == "1000" {
			chart, err := os.ReadFile(filepath.Join(leftBy(r), "footprint.svg"))
			if err == nil {
				err = os.WriteFile(filepath.Join(filepath.Dir(page), "footprint.svg"), chart, 0o644)
			}
			if err != nil {
				b.Fatal(err)
			}
		}
	}
}

// show prints a report, and puts it into the page that FIGURES names.
func show(b *testing.B, name, report string) {
	fmt.Print("\n", report)
	if page := os.Getenv("FIGURES"); page != "" {
		if err := figures.Show(page, name, report); err != nil {
			b.Fatal(err)
		}
	}
}

// measure measures one round of one way.
func (w *way) measure(b *testing.B, address string, round int) {
	probe, err := prober.Start(address, firstAccount)
	if err != nil {
		b.Fatal(err)
	}
	began := time.Now()
	r := w.run(round)
	if w.answers && !eventually(time.Minute, func() bool { return get(address) == firstAccount }) {
		b.Errorf("%s: nothing answers", w.name)
	}
	w.seconds = append(w.seconds, time.Since(began))
	w.silence = append(w.silence, probe.Stop().Silence)
	if r.exit != 0 {
		b.Errorf("%s: exit %d: %s", w.name, r.exit, r)
	}
	if w.after != nil {
		w.after()
	}
}

// spread is the median, the minimum and the maximum, in seconds.
func spread(all []time.Duration) string {
	sorted := slices.SortedFunc(slices.Values(all), cmp.Compare)
	return fmt.Sprintf("%.1f [%.1f %.1f]", sorted[len(sorted)/2].Seconds(), sorted[0].Seconds(), sorted[len(sorted)-1].Seconds())
}
