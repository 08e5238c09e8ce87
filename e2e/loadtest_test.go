package e2e

import (
	"encoding/csv"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	. "github.com/smartystreets/goconvey/convey"
)

// loadtest runs loadtest.sh, and also returns the directory with its results.
func loadtest(arguments string, environment ...string) (result, string) {
	r := script("loadtest.sh "+arguments, environment...)
	left := leftBy(r)
	if left == "" {
		So(r.String(), ShouldContainSubstring, "All of it is in ")
	}
	return r, left
}

// leftBy is the directory with what loadtest.sh left, or "" where it says none.
func leftBy(r result) string {
	found := regexp.MustCompile(`All of it is in (build/loadtest/\S+);`).FindStringSubmatch(r.stdout)
	if found == nil {
		return ""
	}
	return repository(found[1])
}

// pathWithout returns a PATH with all commands except one.
func pathWithout(t *testing.T, command string) string {
	dir := t.TempDir()
	for _, from := range filepath.SplitList(os.Getenv("PATH")) {
		commands, _ := filepath.Glob(filepath.Join(from, "*"))
		for _, path := range commands {
			if filepath.Base(path) != command {
				os.Symlink(path, filepath.Join(dir, filepath.Base(path))) // The first command of a name counts: its link exists already.
			}
		}
	}
	return dir
}

// pathWith returns a PATH that begins with these commands. Each is a line of shell.
func pathWith(t *testing.T, path string, commands map[string]string) string {
	dir := t.TempDir()
	for name, line := range commands {
		So(os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+line+"\n"), 0o755), ShouldBeNil)
	}
	return dir + ":" + path
}

// withoutFigures sets a PATH on which Maven does nothing, docker stats gives no figures, and
// sleep is short.
func withoutFigures(t *testing.T) string {
	docker, err := exec.LookPath("docker")
	So(err, ShouldBeNil)
	sleep, err := exec.LookPath("sleep")
	So(err, ShouldBeNil)
	return "PATH=" + pathWith(t, os.Getenv("PATH"), map[string]string{
		"mvn": "exit 0", "javac": "exit 0", "sleep": "exec " + sleep + " 0.05",
		"docker": `if [ "$1" != stats ]; then exec ` + docker + ` "$@"; fi; echo "no figures" >&2; exec ` + sleep + " 60",
	})
}

func readFile(elements ...string) string {
	content, err := os.ReadFile(filepath.Join(elements...))
	So(err, ShouldBeNil)
	return string(content)
}

// readCSV returns the rows after the first, which must be the header.
func readCSV(header string, elements ...string) [][]string {
	rows, err := csv.NewReader(strings.NewReader(readFile(elements...))).ReadAll()
	So(err, ShouldBeNil)
	So(strings.Join(rows[0], ","), ShouldEqual, header)
	return rows[1:]
}

func number(text string) float64 {
	value, err := strconv.ParseFloat(strings.ReplaceAll(text, ",", ""), 64)
	So(err, ShouldBeNil)
	return value
}

func TestLoadThatCannotBe(t *testing.T) {
	Convey("loadtest.sh refuses arguments that make no sense", t, func() {
		for arguments, says := range map[string]string{
			`"" 60`:  "USERS='': want a number from 1 to 99999",
			"0":      "USERS='0': want a number from 1 to 99999",
			"many":   "USERS='many': want a number from 1 to 99999",
			"100000": "USERS='100000': want a number from 1 to 99999",
			"10 0":   "SECONDS='0': want a number from 1 to 99999",
			"10 1m":  "SECONDS='1m': want a number from 1 to 99999",
			"10 3 x": "unknown argument 'x'",
			"10 -x":  "SECONDS='-x': want a number from 1 to 99999",
		} {
			r := script("loadtest.sh " + arguments)
			So(r.stderr, ShouldStartWith, "error: "+says+"\n")
			So(r.exit, ShouldEqual, 2)
		}
	})

	Convey("without javac or mvn it says what to install", t, func() {
		for command, cure := range map[string]string{"javac": "install a JDK", "mvn": "install Maven"} {
			other := map[string]string{"javac": "mvn", "mvn": "javac"}[command]
			r := script("loadtest.sh", "PATH="+pathWith(t, pathWithout(t, command), map[string]string{other: "exit 0"}))
			So(r.stderr, ShouldStartWith, "error: "+command+" is not installed\n       "+cure)
			So(r.exit, ShouldEqual, 1)
		}
	})

	Convey("a service that is not there is missed", t, func() {
		wipe(t)
		r := script("loadtest.sh", withoutFigures(t))
		So(r.stderr, ShouldContainSubstring, "error: there is no service accountservice to measure\n       deploy it: scripts/copyall.sh\n")
		So(r.exit, ShouldEqual, 1)
	})

	url := deployed(t)

	Convey("a simulation that does not compile is found before anything is measured", t, func() {
		r := script("loadtest.sh", "PATH="+pathWith(t, os.Getenv("PATH"), map[string]string{"javac": "exit 0", "mvn": "echo '[ERROR] cannot find symbol'; exit 1"}))
		So(r.stdout, ShouldContainSubstring, "[ERROR] cannot find symbol\n")
		So(r.stderr, ShouldContainSubstring, "error: the simulation cannot be compiled\n")
		So(r.exit, ShouldEqual, 1)
		So(r.stdout, ShouldNotContainSubstring, "Measuring")
	})

	Convey("an engine that gives no figures is not waited for without end", t, func() {
		r := script("loadtest.sh", withoutFigures(t))
		So(r.stdout, ShouldEndWith, "==> Measuring accountservice at "+strings.TrimSuffix(url, "/accounts/10000")+": at rest first, 30 samples, one a second\n")
		So(r.stderr, ShouldContainSubstring, "error: docker stats gives too few figures:\n       no figures\n       try it: docker stats "+containers(t, "accountservice")[0][:12])
		So(r.exit, ShouldEqual, 1)
	})

	Convey("a service without a task is not measured", t, func() {
		docker(t, "service", "scale", "--detach", "accountservice=0")
		So(eventually(30*time.Second, func() bool { return len(containers(t, "accountservice")) == 0 }), ShouldBeTrue)
		r := script("loadtest.sh", withoutFigures(t))
		So(r.stderr, ShouldStartWith, "error: accountservice has no running task\n")
		So(r.exit, ShouldEqual, 1)
	})

	Convey("a service without a public port cannot be measured", t, func() {
		So(script("copyall.sh -f "+repository("e2e/testdata/quiet/stack.yml")).String(), ShouldContainSubstring, "==> Deployed accountservice")
		r := script("loadtest.sh", withoutFigures(t))
		So(r.stderr, ShouldContainSubstring, "error: accountservice publishes no port\n")
		So(r.exit, ShouldEqual, 1)
		So(r.stdout, ShouldBeEmpty)
	})
}

func TestLoad(t *testing.T) {
	for _, tool := range []string{"javac", "mvn", "gnuplot"} {
		installed(t, tool)
	}

	Convey("loadtest.sh measures a deployed service, and leaves tables, samples and a chart", t, func() {
		deployed(t)
		task := docker(t, "ps", "--format", "{{.Names}}", "--filter", "label=com.docker.swarm.service.name=accountservice")
		r, dir := loadtest("50 12")
		defer os.RemoveAll(dir)
		summary := readFile(dir, "summary.md")
		So(r.stdout, ShouldContainSubstring, summary)
		So(summary, ShouldStartWith, "Measured on "+time.Now().Format(time.DateOnly)+" ")
		So(summary, ShouldContainSubstring, ": accountservice "+version(t)+", "+runtime.Version()+", docker engine ")
		So(r.stdout, ShouldContainSubstring, "    20 of 30 samples\n")
		So(r.exit, ShouldEqual, 0)

		// At rest and under load: the figures are plausible for such a process.
		rows := regexp.MustCompile(`(?m)^\| `+regexp.QuoteMeta(task)+` \| (?:[\d.]+ %, )?([\d.]+) % \| ([\d.]+) MiB of 128 \|$`).FindAllStringSubmatch(summary, -1)
		So(rows, ShouldHaveLength, 2)
		idle, peak := number(rows[0][2]), number(rows[1][2])
		So(idle, ShouldBeBetween, 1.0, 20.0)
		So(peak, ShouldBeBetween, idle, 60.0)

		// Each second is in both files.
		seconds := readCSV("time,requests,failures", dir, "seconds.csv")
		So(seconds, ShouldHaveLength, 12)
		requests := 0.0
		for _, second := range seconds {
			requests += number(second[1])
			So(second[2], ShouldEqual, "0")
		}
		times := map[string]bool{}
		for _, sample := range readCSV("time,container,cpu_percent,memory_mib,limit_mib", dir, "stats.csv") {
			times[sample[0]] = true
			So(sample[1], ShouldEqual, task)
			So(number(sample[3]), ShouldBeBetween, 1.0, 60.0)
			So(sample[4], ShouldEqual, "128")
		}
		So(len(times), ShouldBeGreaterThan, 30+6)
		sampled := slices.ContainsFunc(seconds, func(second []string) bool { return times[second[0]] })
		So(sampled, ShouldBeTrue)

		// Gatling has counted the same requests as the simulation.
		this := regexp.MustCompile(`(?m)^\| this run \| (\d+) \| (\d+) \| (\d+) \| (\d+) \| (\d+) \| ([\d,]+) \| 0 \| (\d+) \|$`).FindStringSubmatch(summary)
		So(this, ShouldNotBeNil)
		So(number(this[6]), ShouldEqual, requests)
		So(number(this[5]), ShouldBeGreaterThanOrEqualTo, number(this[4])) // The maximum is not below p99.
		So(number(this[7]), ShouldBeBetween, 10.0, 51.0)

		// Three curves.
		So(strings.Count(readFile(dir, "footprint.svg"), `id="gnuplot_plot_1`), ShouldEqual, 3)
		reports, _ := filepath.Glob(filepath.Join(dir, "gatling", "*", "index.html"))
		So(reports, ShouldHaveLength, 1)
	})

	if modernEngine() {
		return // What follows is the script's alone, and shown on the other engine.
	}

	Convey("Where requests fail, and there is no gnuplot, loadtest.sh says so, and leaves its summary all the same", t, func() {
		deployed(t, "SERVICE_ENV=ACCOUNTSERVICE_ACCOUNTS=5")
		r, dir := loadtest("10 3", "PATH="+pathWithout(t, "gnuplot"))
		defer os.RemoveAll(dir)
		So(r.exit, ShouldEqual, 1)
		So(r.stderr, ShouldContainSubstring, "error: the load test failed:\n       Global: count of failed events is less than or equal to 0.0 : false")
		failures := 0.0
		for _, second := range readCSV("time,requests,failures", dir, "seconds.csv") {
			failures += number(second[2])
		}
		So(failures, ShouldBeGreaterThan, 0)
		So(r.stdout, ShouldContainSubstring, "==> gnuplot is not installed")
		So(readFile(dir, "summary.md"), ShouldContainSubstring, " | "+strconv.Itoa(int(failures))+" | ")
	})
}
