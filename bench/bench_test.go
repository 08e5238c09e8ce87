package main

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	. "github.com/smartystreets/goconvey/convey"
)

// build compiles a package of this project into dir.
func build(t *testing.T, dir, name, pkg string) string {
	t.Helper()
	binary := filepath.Join(dir, name)
	if out, err := exec.Command("go", "build", "-buildvcs=false", "-pgo=off", "-o", binary, pkg).CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return binary
}

func TestBench(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("this program reads /proc, which only Linux has")
	}
	dir := t.TempDir()
	bench, bare := build(t, dir, "bench", "."), build(t, dir, "bare", "./bare")
	service := build(t, dir, "service", "../accountservice")
	if err := os.Mkdir(filepath.Join(dir, "build"), 0o755); err != nil {
		t.Fatal(err)
	}
	page := filepath.Join(dir, "figures.md")
	run := func(env []string, args ...string) (string, error) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, bench, append([]string{"-service", service, "-bare", bare, "-rounds", "1", "-duration", "1s",
			"-many", "200", "-seed", "100,2000", "-starts", "2", "-into", page}, args...)...)
		cmd.Dir, cmd.Env = dir, env
		out, err := cmd.CombinedOutput()
		return string(out), err
	}

	for what, env := range map[string][]string{
		"the tools of this machine": os.Environ(),
		"no wrk and no other tools": {"PATH="},
	} {
		Convey("When it measures for a short time with "+what, t, func() {
			So(os.WriteFile(page, []byte("before\n<!-- bench: begin -->\nold\n<!-- bench: end -->\nafter\n"), 0o600), ShouldBeNil)
			out, err := run(env)
			So(out, ShouldContainSubstring, "Round 1 of 1")
			So(err, ShouldBeNil)

			Convey("Then the file and the page have all figures, and no other file is left", func() {
				report, err := os.ReadFile(filepath.Join(dir, "build", "bench.md"))
				So(err, ShouldBeNil)
				for _, row := range []string{
					`requests/s`, `server CPU per request, µs`, `p50, ms`, `p99, ms`, `peak memory, MiB`,
					`no database yet, 100 accounts to seed`, `seeded database, 200 accounts`, `2,000 accounts`,
				} {
					So(string(report), shouldMatch, `(?m)^\| `+regexp.QuoteMeta(row)+` \| \d+(\.\d+)?`)
				}
				So(string(report), ShouldNotContainSubstring, "NaN")
				text, err := os.ReadFile(page)
				So(err, ShouldBeNil)
				So(string(text), ShouldEqual, "before\n<!-- bench: begin -->\n"+string(report)+"<!-- bench: end -->\nafter\n")
				left, err := os.ReadDir(filepath.Join(dir, "build"))
				So(err, ShouldBeNil)
				So(left, ShouldHaveLength, 1)
			})
		})
	}

	Convey("When it profiles, it writes a profile of the service", t, func() {
		file := filepath.Join(dir, "cpu.pgo")
		out, err := run(os.Environ(), "-profile", file)
		So(out, ShouldContainSubstring, "Profiling")
		So(err, ShouldBeNil)
		profile, err := os.ReadFile(file)
		So(err, ShouldBeNil)
		So(bytes.HasPrefix(profile, []byte{0x1f, 0x8b}), ShouldBeTrue) // gzip, as pprof writes it
	})

	Convey("When the servers give different answers, it does not compare them", t, func() {
		empty := target{name: "the service without accounts", command: func(addr string) *exec.Cmd {
			return exec.Command(service, "-addr", addr, "-db", filepath.Join(dir, "empty.db"), "-accounts", "0")
		}}
		plain := target{name: "the bare server", command: func(addr string) *exec.Cmd { return exec.Command(bare, addr) }}
		err := sameAnswer(t.Context(), plain, empty)
		So(err, ShouldNotBeNil)
		So(err.Error(), ShouldContainSubstring, "200 OK")
		So(err.Error(), ShouldContainSubstring, "404 Not Found")
	})

	Convey("When a server does not start, it says so and ends", t, func() {
		out, err := run(os.Environ(), "-bare", "/bin/false")
		So(err, ShouldNotBeNil)
		So(out, ShouldContainSubstring, "/bin/false")
		So(out, ShouldContainSubstring, "ended before it answered")
	})
}

func shouldMatch(actual any, expected ...any) string {
	if regexp.MustCompile(expected[0].(string)).MatchString(actual.(string)) {
		return ""
	}
	return "Expected a match of " + expected[0].(string) + " in:\n" + actual.(string)
}

func TestLoadThatFails(t *testing.T) {
	Convey("Given a server that answers with 404", t, func() {
		server := httptest.NewServer(http.NotFoundHandler())
		Reset(server.Close)

		Convey("When it is loaded, the result is an error, not a figure", func() {
			_, err := load{connections: 2, duration: time.Second}.generate(context.Background(), strings.TrimPrefix(server.URL, "http://"))
			So(err, ShouldNotBeNil)
			So(err.Error(), ShouldContainSubstring, "404")
		})
	})

	Convey("Given a report of wrk with failures", t, func() {
		_, err := readWrk("  50% 1.00ms\n  99% 2.00ms\n  10 requests in 1.00s\n  Non-2xx or 3xx responses: 3\nRequests/sec: 10.0\n")

		Convey("Then it is an error, not a figure", func() {
			So(err, ShouldNotBeNil)
			So(err.Error(), ShouldContainSubstring, "Non-2xx or 3xx responses: 3")
		})
	})
}
