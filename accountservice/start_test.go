package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	. "github.com/smartystreets/goconvey/convey"
	bolt "go.etcd.io/bbolt"
)

func TestStart(t *testing.T) {
	Convey("When the service is started with only an address and a path", t, func() {
		p := serving("-db", newPath(t))

		Convey("Then it logs three messages, and answers", func() {
			So(p.messages(), ShouldResemble, []string{
				"Starting accountservice",
				"Seeded 100 fake accounts...",
				"Starting HTTP service at " + p.port(publicPort),
			})
			got := mustGet(p.url("/accounts/10099"))
			So(got.StatusCode, ShouldEqual, http.StatusOK)
			So(got.body, ShouldEqual, `{"id":"10099","name":"Person_99"}`)
			So(mustGet(p.url("/accounts/10100")).StatusCode, ShouldEqual, http.StatusNotFound)
		})

		Convey("Then it logs no requests, and logs that it stops", func() {
			for _, path := range []string{"/accounts/10000", "/accounts/nobody", "/nothing", "/health"} {
				mustGet(p.url(path))
			}
			So(p.messages(), ShouldHaveLength, 3)
			p.signal(syscall.SIGTERM)
			So(p.exit(), ShouldEqual, 0)
			So(p.messages()[3:], ShouldResemble, []string{"Stopping accountservice", "Stopped accountservice"})
			So(p.stderr.String(), ShouldBeEmpty)
		})
	})

	Convey("When the service is started with -log-format json", t, func() {
		p := serving("-db", newPath(t), "-log-format", "json")

		Convey("Then it logs the same messages, each as a JSON object", func() {
			for line := range strings.Lines(p.stdout.String()) {
				var entry map[string]any
				So(json.Unmarshal([]byte(line), &entry), ShouldBeNil)
				So(entry["level"], ShouldEqual, "INFO")
				So(entry["time"], ShouldNotBeEmpty)
			}
			So(p.messages(), ShouldResemble, []string{
				"Starting accountservice",
				"Seeded 100 fake accounts...",
				"Starting HTTP service at " + p.port(publicPort),
			})
		})
	})

	Convey("When the service is started with an admin address", t, func() {
		p := serving("-db", newPath(t), "-admin-addr", "127.0.0.1:0", "-accounts", "5")

		Convey("Then metrics, profiles and health are at this address, and not on the public port", func() {
			So(p.messages(), ShouldResemble, []string{
				"Starting accountservice",
				"Seeded 5 fake accounts...",
				"Starting admin service at " + p.port(adminPort),
				"Starting HTTP service at " + p.port(publicPort),
			})
			metrics := mustGet(p.adminURL("/metrics"))
			So(metrics.StatusCode, ShouldEqual, http.StatusOK)
			So(metrics.body, ShouldContainSubstring, `accountservice_build_info{commit="abcdef",goversion="go1.`)
			So(mustGet(p.adminURL("/debug/pprof/")).StatusCode, ShouldEqual, http.StatusOK)
			So(mustGet(p.adminURL("/health")).body, ShouldEqual, `{"status":"UP"}`)
			for _, path := range []string{"/metrics", "/debug/pprof/"} {
				So(mustGet(p.url(path)).StatusCode, ShouldEqual, http.StatusNotFound)
			}
		})
	})

	Convey("When the service is started with environment variables only", t, func() {
		path := newPath(t)
		p := start(command([]string{
			"ACCOUNTSERVICE_ADDR=127.0.0.1:0",
			"ACCOUNTSERVICE_ADMIN_ADDR=127.0.0.1:0",
			"ACCOUNTSERVICE_DB=" + path,
			"ACCOUNTSERVICE_ACCOUNTS=7",
			"ACCOUNTSERVICE_DRAIN=20ms",
			"ACCOUNTSERVICE_LOG_FORMAT=json",
		}))
		p.awaitListening()

		Convey("Then it has these settings", func() {
			So(p.messages()[1], ShouldEqual, "Seeded 7 fake accounts...")
			So(p.port(adminPort), ShouldNotBeEmpty)
			_, err := os.Stat(path)
			So(err, ShouldBeNil)
			p.signal(syscall.SIGTERM)
			So(p.exit(), ShouldEqual, 0)
			So(p.stdout.String(), ShouldContainSubstring, fmt.Sprintf(`"drain":%d`, 20*time.Millisecond))
		})
	})
}

func TestStartAgain(t *testing.T) {
	Convey("Given a file that a service has seeded, before it was killed", t, func() {
		path := newPath(t)
		first := serving("-db", path)
		So(first.cmd.Process.Kill(), ShouldBeNil)
		first.exit()

		Convey("When the service is started again, it adds nothing, and answers", func() {
			p := serving("-db", path)
			So(p.messages()[1], ShouldEqual, "Seeded 100 fake accounts...")
			So(p.stdout.String(), ShouldContainSubstring, "added=0")
			So(mustGet(p.url("/accounts/10000")).body, ShouldEqual, person0)
		})
	})
}

func TestTwoServicesOfOneFile(t *testing.T) {
	Convey("Given two services that were started at once with the same new file", t, func() {
		path := newPath(t)
		args := []string{"-addr", "127.0.0.1:0", "-db", path, "-accounts", "20000"}
		services := []*process{start(command(nil, args...)), start(command(nil, args...))}
		for _, p := range services {
			p.awaitListening()
		}

		Convey("When both are asked at once, both answer", func() {
			const each = 50
			answers := make(chan string, 2*each)
			var clients sync.WaitGroup
			for _, p := range services {
				url := p.url("/accounts/29999")
				clients.Go(func() {
					for range each {
						got, err := get(url)
						answers <- fmt.Sprint(got.body, err)
					}
				})
			}
			clients.Wait()
			close(answers)
			for got := range answers {
				So(got, ShouldEqual, `{"id":"29999","name":"Person_19999"}<nil>`)
			}
		})

		Convey("When one is killed, the other still answers", func() {
			So(services[0].cmd.Process.Kill(), ShouldBeNil)
			services[0].exit()
			So(mustGet(services[1].url("/accounts/10000")).body, ShouldEqual, person0)
		})
	})
}

func TestPortTaken(t *testing.T) {
	for _, flag := range []string{"-addr", "-admin-addr"} {
		Convey("Given a port that is taken", t, func() {
			taken, err := net.Listen("tcp", "127.0.0.1:0")
			So(err, ShouldBeNil)
			Reset(func() { taken.Close() })
			addr := taken.Addr().String()

			Convey("When the service is started with this port as "+flag+", one line says so, and it ends", func() {
				got := finish(command(nil, "-addr", "127.0.0.1:0", "-db", newPath(t), flag, addr))
				So(got.stderr, shouldBeOneLine, addr, "taken", flag)
				So(got.code, ShouldEqual, 1)
				So(got.stdout, ShouldNotContainSubstring, publicPort)
			})
		})
	}

	Convey("When the service is started with an address of another machine, one line says so, and it ends", t, func() {
		got := finish(command(nil, "-db", newPath(t), "-addr", "192.0.2.1:6767"))
		So(got.stderr, shouldBeOneLine, "192.0.2.1:6767", "-addr")
		So(got.code, ShouldEqual, 1)
	})
}

func TestBadDatabase(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte(strings.Repeat("This is not a database.\n", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	for what, path := range map[string]string{
		"not a database":         file,
		"a directory":            dir,
		"in a missing directory": filepath.Join(dir, "missing", "accounts.db"),
		"below a file":           filepath.Join(file, "accounts.db"),
	} {
		Convey("When the service is started with a path that is "+what+", one line says so, and it ends and changes nothing", t, func() {
			before, err := os.ReadFile(file)
			So(err, ShouldBeNil)
			got := finish(command(nil, "-addr", "127.0.0.1:0", "-db", path))
			So(got.stderr, shouldBeOneLine, path, "-db")
			So(got.code, ShouldEqual, 1)
			after, err := os.ReadFile(file)
			So(err, ShouldBeNil)
			So(string(after) == string(before), ShouldBeTrue)
			entries, err := os.ReadDir(dir)
			So(err, ShouldBeNil)
			So(entries, ShouldHaveLength, 1)
		})
	}
}

func TestForbiddenDatabase(t *testing.T) {
	// Root may do everything. If root runs the tests, the service must run as another user.
	var nobody *syscall.SysProcAttr
	if os.Geteuid() == 0 {
		nobody = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}
	version := command(nil, "-version")
	version.SysProcAttr = nobody
	if err := version.Run(); err != nil {
		t.Skip("a user who is not root cannot run the service here:", err)
	}

	Convey("Given a seeded file and its directory, and the service may write to neither", t, func() {
		dir := t.TempDir()
		seeded := filepath.Join(dir, "accounts.db")
		p := serving("-db", seeded)
		p.signal(syscall.SIGTERM)
		So(p.exit(), ShouldEqual, 0)
		secret := filepath.Join(dir, "secret.db")
		So(os.WriteFile(secret, nil, 0o000), ShouldBeNil)
		So(os.Chmod(seeded, 0o444), ShouldBeNil)
		So(os.Chmod(filepath.Dir(dir), 0o755), ShouldBeNil)
		So(os.Chmod(dir, 0o555), ShouldBeNil)
		Reset(func() { So(os.Chmod(dir, 0o755), ShouldBeNil) })

		for what, args := range map[string][]string{
			"a file that it must make":            {"-db", filepath.Join(dir, "new.db")},
			"a file that it may not read":         {"-db", secret},
			"more accounts than are in that file": {"-db", seeded, "-accounts", "200"},
		} {
			Convey("When it is started with "+what+", one line says so, and it ends", func() {
				cmd := command(nil, append([]string{"-addr", "127.0.0.1:0"}, args...)...)
				cmd.SysProcAttr = nobody
				got := finish(cmd)
				So(got.stderr, shouldBeOneLine, args[1], "permission denied", "access")
				So(got.code, ShouldEqual, 1)
			})
		}

		Convey("When it is started with the seeded file, it answers", func() {
			cmd := command(nil, "-addr", "127.0.0.1:0", "-db", seeded)
			cmd.SysProcAttr = nobody
			p := start(cmd)
			p.awaitListening()
			So(mustGet(p.url("/accounts/10000")).body, ShouldEqual, person0)
		})
	})
}

func TestLockedDatabase(t *testing.T) {
	t.Parallel()
	Convey("Given a file that another process has locked for writing", t, func() {
		path := newPath(t)
		writer, err := bolt.Open(path, 0o600, nil)
		So(err, ShouldBeNil)
		Reset(func() { writer.Close() })

		Convey("When the service is started, it waits ten seconds, then one line says so, and it ends", func() {
			got := finish(command(nil, "-addr", "127.0.0.1:0", "-db", path))
			So(got.stderr, shouldBeOneLine, path, "lock", "10s")
			So(got.code, ShouldEqual, 1)
			So(got.took, ShouldBeBetween, 9*time.Second, 14*time.Second)
		})
	})
}

func TestLockReleased(t *testing.T) {
	Convey("Given a service that waits for a file that another process has locked", t, func() {
		path := newPath(t)
		writer, err := bolt.Open(path, 0o600, nil)
		So(err, ShouldBeNil)
		Reset(func() { writer.Close() })
		p := start(command(nil, "-addr", "127.0.0.1:0", "-db", path))
		So(eventually(func() bool { return len(p.messages()) == 1 }), ShouldBeTrue)

		Convey("When the lock is released later, it starts", func() {
			So(p.endsWithin(300*time.Millisecond), ShouldBeFalse)
			So(writer.Close(), ShouldBeNil)
			p.awaitListening()
			So(mustGet(p.url("/accounts/10000")).body, ShouldEqual, person0)
		})

		Convey("When two signals come instead, it ends at once", func() {
			p.signal(syscall.SIGINT)
			_ = p.cmd.Process.Signal(syscall.SIGINT) // The first may have been enough.
			So(p.endsWithin(3*time.Second), ShouldBeTrue)
		})
	})
}
