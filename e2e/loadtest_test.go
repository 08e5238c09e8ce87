package e2e

import (
	"encoding/csv"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	. "github.com/smartystreets/goconvey/convey"
)

// loadtest runs loadtest.sh, and returns also the directory with what it left.
func loadtest(environment []string, users, duration string) (result, string) {
	r := run(environment, "bash", "-c", `cd / && exec "$0" "$@"`, repository("scripts", "loadtest.sh"), users, duration)
	found := regexp.MustCompile(`All of it is in (build/loadtest/\S+);`).FindStringSubmatch(r.stdout)
	So(r.String(), ShouldContainSubstring, "All of it is in ")
	So(found, ShouldHaveLength, 2)
	return r, repository(found[1])
}

// pathWithout returns a PATH to all commands but one.
func pathWithout(t *testing.T, command string) string {
	dir := t.TempDir()
	for _, from := range filepath.SplitList(os.Getenv("PATH")) {
		commands, _ := filepath.Glob(filepath.Join(from, "*"))
		for _, path := range commands {
			if filepath.Base(path) != command {
				os.Symlink(path, filepath.Join(dir, filepath.Base(path))) // The first of a name is there already.
			}
		}
	}
	return dir
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

func TestLoad(t *testing.T) {
	for _, tool := range []string{"javac", "mvn", "gnuplot"} {
		if _, err := exec.LookPath(tool); err != nil {
			if os.Getenv("E2E") == "required" {
				t.Fatal(tool, "is not installed, but E2E=required")
			}
			t.Skip(tool, "is not installed")
		}
	}

	Convey("loadtest.sh measures a deployed service, and leaves tables, samples and a chart", t, func() {
		deployed(t)
		task := docker(t, "ps", "--format", "{{.Names}}", "--filter", "label=com.docker.swarm.service.name=accountservice")
		r, dir := loadtest(nil, "50", "12")
		defer os.RemoveAll(dir)
		summary := readFile(dir, "summary.md")
		So(r.stdout, ShouldContainSubstring, summary)
		So(r.stdout, ShouldContainSubstring, "    20 of 30 samples\n")
		So(r.exit, ShouldEqual, 0)

		// At rest and under load: figures that a process of this kind can have.
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
		So(number(this[5]), ShouldBeGreaterThanOrEqualTo, number(this[4])) // The slowest of all is not faster than p99.
		So(number(this[7]), ShouldBeBetween, 10.0, 51.0)

		// Three curves.
		So(strings.Count(readFile(dir, "footprint.svg"), `id="gnuplot_plot_1`), ShouldEqual, 3)
		reports, _ := filepath.Glob(filepath.Join(dir, "gatling", "*", "index.html"))
		So(reports, ShouldHaveLength, 1)
	})

	Convey("Where requests fail, and there is no gnuplot, loadtest.sh says so, and leaves its summary all the same", t, func() {
		deployed(t, "SERVICE_ENV=ACCOUNTSERVICE_ACCOUNTS=5")
		r, dir := loadtest([]string{"PATH=" + pathWithout(t, "gnuplot")}, "10", "3")
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
