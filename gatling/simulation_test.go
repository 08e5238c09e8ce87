// Package gatling tests the simulation with the handler of the service.
package gatling

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	. "github.com/smartystreets/goconvey/convey"

	"goblog/accountservice/boltstore"
	"goblog/accountservice/httpapi"
)

func TestMain(m *testing.M) {
	for _, tool := range []string{"javac", "mvn"} {
		if _, err := exec.LookPath(tool); err == nil {
			continue
		}
		if os.Getenv("E2E") == "required" {
			fmt.Println("gatling: FAILED: E2E=required, but", tool, "is not installed")
			os.Exit(1)
		}
		fmt.Printf("not run: the simulation of users, because %s is not installed\n", tool)
		return
	}
	os.Exit(m.Run())
}

// service is the handler with a real store. It keeps the requested paths in order.
type service struct {
	*httptest.Server
	mutex       sync.Mutex
	paths       []string
	connections int
}

// start serves n accounts until the end of the scenario. Each request first goes to before,
// which returns true if it has answered.
func start(t *testing.T, n int, before func(http.ResponseWriter, *http.Request) bool) *service {
	store, _, err := boltstore.Open(filepath.Join(t.TempDir(), "accounts.db"), n, time.Second)
	So(err, ShouldBeNil)
	build := httpapi.Build{Version: "v1", Commit: "c0ffee", GoVersion: "go1"}
	api := httpapi.New(store, build, httpapi.NewMetrics(build), slog.New(slog.DiscardHandler)).Handler()
	s := &service{}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mutex.Lock()
		s.paths = append(s.paths, r.Method+" "+r.URL.Path)
		s.mutex.Unlock()
		if !before(w, r) {
			api.ServeHTTP(w, r)
		}
	}))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			s.mutex.Lock()
			s.connections++
			s.mutex.Unlock()
		}
	}
	s.Server.Start()
	Reset(func() {
		s.Close()
		So(store.Close(), ShouldBeNil)
	})
	return s
}

func nothingBefore(http.ResponseWriter, *http.Request) bool { return false }

// A run is the outcome of a simulation. seconds has the lines of seconds.csv, without the first.
type run struct {
	exit    int
	output  string
	seconds [][3]int
	reports []string
}

// simulate runs the simulation with parameters, for two minutes at most. The limit of the
// response times is high, because other tests may run at the same time.
func simulate(t *testing.T, parameters ...string) run {
	dir := t.TempDir()
	seconds := filepath.Join(dir, "seconds.csv")
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "mvn", append([]string{"--batch-mode", "--quiet", "gatling:test", "-Dp99=5000",
		"-Dgatling.resultsFolder=" + dir, "-DsecondsFile=" + seconds}, parameters...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // So that Maven's child processes end too.
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	output, err := cmd.CombinedOutput()
	So(ctx.Err(), ShouldBeNil)
	So(cmd.ProcessState, ShouldNotBeNil)
	r := run{exit: cmd.ProcessState.ExitCode(), output: string(output)}
	if err == nil {
		So(r.exit, ShouldEqual, 0)
	}
	r.reports, _ = filepath.Glob(filepath.Join(dir, "*", "index.html"))
	if file, err := os.ReadFile(seconds); err == nil && len(file) > 0 {
		lines := strings.Split(strings.TrimSpace(string(file)), "\n")
		So(lines[0], ShouldEqual, "time,requests,failures")
		for _, line := range lines[1:] {
			var second [3]int
			_, err := fmt.Sscanf(line, "%d,%d,%d", &second[0], &second[1], &second[2])
			So(err, ShouldBeNil)
			r.seconds = append(r.seconds, second)
		}
	}
	return r
}

// counted returns the requests and the failures in seconds.csv.
func (r run) counted() (requests, failures int) {
	for _, second := range r.seconds {
		requests += second[1]
		failures += second[2]
	}
	return requests, failures
}

func TestSimulation(t *testing.T) {
	Convey("Given a service with 100 accounts, a small simulation", t, func() {
		s := start(t, 100, nothingBefore)
		began := time.Now()
		r := simulate(t, "-Dusers=150", "-Dduration=6", "-DbaseUrl="+s.URL+"/")

		// It succeeds.
		So(r.output, ShouldContainSubstring, "count of failed events is less than or equal to 0.0 : true")
		So(r.exit, ShouldEqual, 0)
		So(r.reports, ShouldHaveLength, 1)

		// It requests all accounts in order, and then again from the first.
		So(len(s.paths), ShouldBeGreaterThan, 100)
		var want []string
		for i := range s.paths {
			want = append(want, "GET /accounts/"+strconv.Itoa(10000+i%100))
		}
		slices.Sort(want) // Two requests at the same time may come in any order.
		slices.Sort(s.paths)
		So(s.paths, ShouldResemble, want)

		// Users keep their connection, and pause for a second after each request.
		So(s.connections, ShouldBeLessThanOrEqualTo, 150+1) // One more tests that the service is there.
		So(len(s.paths), ShouldBeLessThanOrEqualTo, 150*6)

		// It counts the requests of each second.
		So(r.seconds, ShouldHaveLength, 6)
		requests, failures := r.counted()
		So(requests, ShouldEqual, len(s.paths))
		So(failures, ShouldEqual, 0)
		So(r.seconds[0][0], ShouldBeGreaterThanOrEqualTo, int(began.Unix()))
		So(r.seconds[5][0], ShouldEqual, r.seconds[0][0]+5)
		So(r.seconds[0][1], ShouldBeLessThan, r.seconds[5][1]) // Users arrive during all six seconds.
	})

	Convey("Requests that get a 404 fail the build, but there is a report", t, func() {
		s := start(t, 1, nothingBefore)
		r := simulate(t, "-Dusers=20", "-Dduration=4", "-DbaseUrl="+s.URL)
		So(r.exit, ShouldNotEqual, 0)
		So(r.output, ShouldContainSubstring, "count of failed events is less than or equal to 0.0 : false")
		requests, failures := r.counted()
		So(requests, ShouldEqual, len(s.paths))
		So(failures, ShouldEqual, requests-1)
		So(r.reports, ShouldHaveLength, 1)
	})

	Convey("An answer with the body of another account is a failure, and -Dfailures sets how many are allowed", t, func() {
		s := start(t, 100, func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path != "/accounts/10003" {
				return false
			}
			io.WriteString(w, `{"id":"10003","name":"Person_4"}`)
			return true
		})
		r := simulate(t, "-Dusers=10", "-Dduration=4", "-Dfailures=1", "-DbaseUrl="+s.URL)
		So(r.output, ShouldContainSubstring, "count of failed events is less than or equal to 1.0 : true (actual : 1.0)")
		So(r.exit, ShouldEqual, 0)
		_, failures := r.counted()
		So(failures, ShouldEqual, 1)
	})

	Convey("Slow answers fail the build", t, func() {
		s := start(t, 100, func(http.ResponseWriter, *http.Request) bool {
			time.Sleep(120 * time.Millisecond)
			return false
		})
		r := simulate(t, "-Dusers=10", "-Dduration=3", "-Dp99=100", "-DbaseUrl="+s.URL)
		So(r.exit, ShouldNotEqual, 0)
		So(r.output, ShouldContainSubstring, "99th percentile of response time is less than or equal to 100.0 : false")
		_, failures := r.counted()
		So(failures, ShouldEqual, 0)
	})
}

func TestNowhereElse(t *testing.T) {
	Convey("Requests of Gatling itself to public servers go to a port of this machine", t, func() {
		s := start(t, 100, nothingBefore)
		nowhere, err := net.Listen("tcp", "127.0.0.1:0")
		So(err, ShouldBeNil)
		Reset(func() { nowhere.Close() })
		asked := make(chan struct{}, 1)
		go func() {
			for {
				conn, err := nowhere.Accept()
				if err != nil {
					return
				}
				conn.Close()
				select {
				case asked <- struct{}{}:
				default:
				}
			}
		}()
		_, port, err := net.SplitHostPort(nowhere.Addr().String())
		So(err, ShouldBeNil)
		So(os.RemoveAll("target/.java"), ShouldBeNil) // Gatling may have stored an answer there.
		r := simulate(t, "-Dusers=1", "-Dduration=1", "-DbaseUrl="+s.URL, "-Dnowhere="+port)
		if r.exit != 0 {
			t.Log(r.output)
		}
		So(r.exit, ShouldEqual, 0)
		So(asked, ShouldHaveLength, 1)
	})
}

func TestParameters(t *testing.T) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	free.Close()

	for parameter, line := range map[string]string{
		"users=0":                                "error: users='0': want a number from 1 to 99999",
		"duration=half":                          "error: duration='half': want a number from 1 to 99999",
		"secondsFile=nowhere/seconds.csv":        "error: secondsFile='nowhere/seconds.csv': want a file that can be written",
		"baseUrl=http://127.0.0.1:65536":         "error: baseUrl='http://127.0.0.1:65536': want http://host:port",
		"baseUrl=http://:6767":                   "error: baseUrl='http://:6767': want http://host:port",
		"baseUrl=http://" + free.Addr().String(): "error: nothing can be reached at http://" + free.Addr().String() + ": Connection refused; deploy the service, or set -DbaseUrl",
	} {
		Convey(parameter+" is refused with one line, before any user starts", t, func() {
			s := start(t, 100, nothingBefore)
			r := simulate(t, "-DbaseUrl="+s.URL, "-D"+parameter)
			So(r.exit, ShouldNotEqual, 0)
			var errors []string
			for line := range strings.Lines(r.output) {
				if !strings.Contains(line, "ERROR") { // These lines are from Maven: the build failed.
					errors = append(errors, strings.Trim(line, "\x1b[0m\n"))
				}
			}
			So(slices.DeleteFunc(errors, func(line string) bool { return line == "" }), ShouldResemble, []string{line})
			So(s.connections, ShouldEqual, 0)
			So(r.seconds, ShouldBeEmpty)
		})
	}
}
