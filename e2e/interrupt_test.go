package e2e

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	. "github.com/smartystreets/goconvey/convey"

	"goblog/e2e/prober"
)

func TestRolling(t *testing.T) {
	Convey("Given version one of a service", t, func() {
		url := deployed(t, "VERSION=one")
		task := containers(t, "accountservice")

		Convey("--rolling of what runs already is no deploy, unless it is forced", func() {
			r := script("copyall.sh --rolling", "VERSION=one")
			So(r.String(), ShouldContainSubstring, "nothing to deploy")
			So(r.exit, ShouldEqual, 0)
			So(containers(t, "accountservice"), ShouldResemble, task)
			forced := script("copyall.sh --rolling --force", "VERSION=one")
			So(forced.exit, ShouldEqual, 0)
			So(containers(t, "accountservice"), ShouldNotResemble, task)
			mustServe(t, url, "one")
			if hostMode() {
				So(forced.stdout, ShouldContainSubstring, "stop-first")
				So(forced.stdout, ShouldContainSubstring, "was silent for")
			}
		})

		Convey("--plan says what would be done, and does nothing", func() {
			r := script("copyall.sh --plan", "VERSION=two", "LIMIT_MEMORY=100m")
			So(r.exit, ShouldEqual, 0)
			So(r.stdout, ShouldContainSubstring, "==> Plan: remove accountservice one, and create accountservice two\n")
			So(r.stdout, ShouldContainSubstring, "    deploy.resources.limits.memory: 128MiB → 100MiB\n")
			So(r.stdout, ShouldContainSubstring, "still to be built")
			So(containers(t, "accountservice"), ShouldResemble, task)
			So(docker(t, "images", "--quiet", "someprefix/accountservice:two"), ShouldBeEmpty)
		})
	})
}

func TestLock(t *testing.T) {
	Convey("Given version one of a service", t, func() {
		url := deployed(t, "VERSION=one")
		task := containers(t, "accountservice")

		Convey("while somebody deploys it, nobody else can, and is told who it is, and how to free the lock", func() {
			create := exec.Command("docker", "config", "create", "--label", "deploy.holder=eve on earth", "accountservice.deploy.lock", "-")
			create.Stdin = strings.NewReader("eve")
			So(create.Run(), ShouldBeNil)
			free := "docker config rm accountservice.deploy.lock"
			for _, command := range []string{"copyall.sh", "copyall.sh --rolling", "rollback.sh", "remove.sh"} {
				r := script(command, "VERSION=two")
				So(r.exit, ShouldEqual, 1)
				So(r.stderr, ShouldContainSubstring, "accountservice is being deployed already, by eve on earth")
				So(r.stderr, ShouldContainSubstring, free)
				So(containers(t, "accountservice"), ShouldResemble, task)
			}
			So(script("status.sh").stdout, ShouldContainSubstring, "is being deployed already, by eve on earth")
			So(run(nil, "bash", "-c", free).exit, ShouldEqual, 0)
		})

		Convey("of two deploys at once, one does and one refuses", func() {
			results := make(chan result, 2)
			for _, version := range []string{"two", "three"} {
				go func() { results <- script("copyall.sh", "VERSION="+version) }()
			}
			a, b := <-results, <-results
			So(a.exit+b.exit, ShouldEqual, 1)
			So(a.stderr+b.stderr, ShouldContainSubstring, "is being deployed already")
			So(get(url), ShouldEqual, firstAccount)
		})
	})
}

func TestInterrupt(t *testing.T) {
	url := deployed(t, "VERSION=good")
	for _, it := range []struct{ step, flags string }{
		{"Compiling", ""}, {"Trying", "--rolling"}, {"Removing", ""}, {"Creating", ""}, {"Updating", "--rolling"},
	} {
		Convey("Ctrl-C at the step that says "+it.step+", of copyall.sh "+it.flags+", leaves what ran before, and says so", t, func() {
			r := interrupted("==> "+it.step, it.flags, "VERSION=new", "TRIAL_SECONDS=2")
			So(r.exit, ShouldEqual, 130)
			if it.step == "Compiling" || it.step == "Trying" {
				So(r.stderr, ShouldContainSubstring, "interrupted; nothing that runs was changed")
				So(lastLine(r), ShouldEqual, "       accountservice was not touched: accountservice good serves at "+url)
			} else {
				So(lastLine(r), ShouldEqual, "error: the deploy of accountservice new was interrupted; version good is back: accountservice good serves at "+url)
			}
			mustServe(t, url, "good")
		})
	}
}

func TestReaderThatGoesAway(t *testing.T) {
	Convey("Given a service", t, func() {
		url := deployed(t, "VERSION=one")
		for version, command := range map[string]string{"two": "set -o pipefail; $0 | head -n 1", "three": "$0 >/dev/full 2>&1"} {
			Convey("a deploy whose output nobody takes any more, as in "+command+", goes on to its end", func() {
				r := run([]string{"VERSION=" + version}, "bash", "-c", command, repository("scripts", "copyall.sh"))
				So(r.exit, ShouldEqual, 0)
				mustServe(t, url, version)
			})
		}
	})
}

// interrupted runs copyall.sh as a terminal does: in a process group of its own. It sends
// that group an interrupt as soon as the script prints one of the words.
func interrupted(words, flags string, environment ...string) result {
	cmd := exec.Command("bash", "-c", `cd / && exec "$0" $1`, repository("scripts", "copyall.sh"), flags)
	cmd.Env = append(os.Environ(), environment...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out := &interruptingWriter{words: strings.Split(words, "|"), interrupt: func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGINT) }}
	var stderr strings.Builder
	cmd.Stdout, cmd.Stderr = out, &stderr
	timer := time.AfterFunc(2*time.Minute, func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
	defer timer.Stop()
	_ = cmd.Run()
	return result{cmd.ProcessState.ExitCode(), out.String(), stderr.String()}
}

type interruptingWriter struct {
	strings.Builder
	words     []string
	interrupt func()
}

func (w *interruptingWriter) Write(p []byte) (int, error) {
	n, err := w.Builder.Write(p)
	for _, word := range w.words {
		if w.interrupt != nil && strings.Contains(w.String(), word) {
			w.interrupt()
			w.interrupt = nil
		}
	}
	return n, err
}

func TestProber(t *testing.T) {
	Convey("Given a running service that is asked on new and on kept-alive connections", t, func() {
		url := deployed(t)
		p, err := prober.Start(url, firstAccount)
		So(err, ShouldBeNil)
		So(eventually(20*time.Second, func() bool { return p.Requests() >= 1000 }), ShouldBeTrue)

		Convey("nothing fails while nothing happens", func() {
			So(p.Stop().Failures, ShouldBeEmpty)
		})

		Convey("a killed task shows as failures with their time and cause", func() {
			docker(t, "kill", "--signal", "KILL", containers(t, "accountservice")[0])
			So(eventually(20*time.Second, func() bool { return get(url) == firstAccount }), ShouldBeTrue)
			report := p.Stop()
			So(report.Failures, ShouldNotBeEmpty)
			So(report.Silence, ShouldBeGreaterThan, 100*time.Millisecond)
			So(report.Failures[0].Cause, ShouldNotBeBlank)
		})
	})
}
