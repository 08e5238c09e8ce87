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

// moody has the script build a service that is well in its trial only; the version is its mood.
func moody(version string) []string {
	return []string{"PACKAGE=./e2e/testdata/moody", "VERSION=" + version}
}

// copyall runs copyall.sh with flags.
func copyall(flags string, environment ...string) result {
	return run(environment, "bash", "-c", `cd / && exec "$0" $1`, repository("scripts", "copyall.sh"), flags)
}

// label returns one of the labels that a deploy leaves on accountservice.
func label(t *testing.T, name string) string {
	t.Helper()
	return docker(t, "service", "inspect", "--format", `{{index .Spec.Labels "copyall.`+name+`"}}`, "accountservice")
}

// mustServe asserts that a version of accountservice runs and answers, and that the lock is free.
func mustServe(t *testing.T, url, version string) {
	t.Helper()
	So(get(url), ShouldEqual, firstAccount)
	So(label(t, "version"), ShouldEqual, version)
	So(label(t, "image"), ShouldEqual, docker(t, "service", "inspect", "--format", "{{.Spec.TaskTemplate.ContainerSpec.Image}}", "accountservice"))
	So(docker(t, "config", "ls", "--quiet"), ShouldBeEmpty)
}

func TestRolling(t *testing.T) {
	Convey("Given version one of a service", t, func() {
		url := deployed(t, "VERSION=one")
		task := containers(t, "accountservice")

		Convey("--rolling puts version two in its place, and rollback.sh goes back and forth between them", func() {
			r := copyall("--rolling", "VERSION=two")
			So(r.String(), ShouldContainSubstring, "==> Updating accountservice from one to two")
			So(r.exit, ShouldEqual, 0)
			if hostMode() {
				So(r.stdout, ShouldContainSubstring, "stop-first")
				So(r.stdout, ShouldContainSubstring, "was silent for")
			}
			mustServe(t, url, "two")
			So(label(t, "previous-version"), ShouldEqual, "one")
			for _, version := range []string{"one", "two"} {
				back := script("rollback.sh")
				So(back.String(), ShouldContainSubstring, "back to "+version)
				So(back.exit, ShouldEqual, 0)
				mustServe(t, url, version)
			}
		})

		Convey("--rolling of what runs already is no deploy, unless it is forced", func() {
			r := copyall("--rolling", "VERSION=one")
			So(r.String(), ShouldContainSubstring, "nothing to deploy")
			So(r.exit, ShouldEqual, 0)
			So(containers(t, "accountservice"), ShouldResemble, task)
			forced := copyall("--rolling --force", "VERSION=one")
			So(forced.exit, ShouldEqual, 0)
			So(containers(t, "accountservice"), ShouldNotResemble, task)
			mustServe(t, url, "one")
		})

		Convey("--rolling with other settings refuses, names them, and touches nothing", func() {
			r := copyall("--rolling", "VERSION=two", "LIMIT_MEMORY=100m")
			So(r.exit, ShouldEqual, 1)
			So(r.stderr, ShouldContainSubstring, "now:    --limit-memory 128m")
			So(r.stderr, ShouldContainSubstring, "wanted: --limit-memory 100m")
			So(r.stderr, ShouldContainSubstring, "without --rolling")
			So(containers(t, "accountservice"), ShouldResemble, task)
		})

		Convey("status.sh shows it on one screen", func() {
			r := script("status.sh")
			So(r.exit, ShouldEqual, 0)
			So(r.stdout, ShouldContainSubstring, "accountservice")
			So(strings.Fields(lines(r.stdout)[1])[:5], ShouldResemble, []string{"accountservice", "one", "1", "1", "1"})
			So(r.stdout, ShouldContainSubstring, strings.TrimSuffix(url, "/accounts/10000"))
		})

		Convey("while somebody deploys it, another deploy refuses, and shows who, and how to free the lock", func() {
			create := exec.Command("docker", "config", "create", "--label", "copyall.holder=eve on earth", "accountservice.deploy-lock", "-")
			create.Stdin = strings.NewReader("eve")
			So(create.Run(), ShouldBeNil)
			r := copyall("", "VERSION=two")
			So(r.exit, ShouldEqual, 1)
			So(r.stderr, ShouldContainSubstring, "eve on earth")
			free := "docker config rm accountservice.deploy-lock"
			So(r.stderr, ShouldContainSubstring, free)
			So(containers(t, "accountservice"), ShouldResemble, task)
			So(run(nil, "bash", "-c", free).exit, ShouldEqual, 0)
		})

		Convey("of two deploys at once, one does and one refuses", func() {
			results := make(chan result, 2)
			for _, version := range []string{"two", "three"} {
				go func() { results <- copyall("", "VERSION="+version) }()
			}
			a, b := <-results, <-results
			So(a.exit+b.exit, ShouldEqual, 1)
			So(a.stderr+b.stderr, ShouldContainSubstring, "is being deployed already")
			So(get(url), ShouldEqual, firstAccount)
		})
	})
}

func TestBadVersion(t *testing.T) {
	Convey("Given a good version of a service", t, func() {
		url := deployed(t, "VERSION=good")
		task := containers(t, "accountservice")

		for version, words := range map[string]string{
			"dead-at-start": "moody does not want to live",
			"sick-soon":     "moody is not healthy",
		} {
			Convey("version "+version+" fails its trial, which touches nothing", func() {
				r := copyall("--rolling", moody(version)...)
				So(r.stderr, ShouldContainSubstring, words)
				So(r.stderr, ShouldContainSubstring, "fails its trial")
				So(r.exit, ShouldEqual, 1)
				So(containers(t, "accountservice"), ShouldResemble, task)
				mustServe(t, url, "good")
			})
		}

		for _, flags := range []string{"", "--rolling"} {
			for version, words := range map[string]string{
				"dies":  "moody has had enough",
				"sick":  "moody is not healthy",
				"wrong": "moody says no",
			} {
				if version == "dies" && flags == "" {
					continue // It dies after it was proven: only a rolling update watches for longer.
				}
				Convey("version "+version+" fails in the swarm only: copyall.sh "+flags+" explains it and goes back", func() {
					r := copyall(flags, append(moody(version), "DEPLOY_TIMEOUT=45")...)
					So(r.String(), ShouldContainSubstring, words)
					So(r.stderr, ShouldContainSubstring, "version good serves again")
					So(r.exit, ShouldEqual, 1)
					mustServe(t, url, "good")
				})
			}
		}
	})

}

func TestBadFirstVersion(t *testing.T) {
	Convey("Given nothing, a first deploy that fails leaves nothing", t, func() {
		defer wipe(t)
		r := copyall("", append(moody("wrong"), "DEPLOY_TIMEOUT=15")...)
		So(r.stderr, ShouldContainSubstring, "moody says no")
		So(r.stderr, ShouldContainSubstring, "nothing of it is left")
		So(r.exit, ShouldEqual, 1)
		So(docker(t, "service", "ls", "--quiet"), ShouldBeEmpty)
	})
}

func TestInterrupt(t *testing.T) {
	Convey("Given a running service", t, func() {
		url := deployed(t, "VERSION=good")

		for _, flags := range []string{"", "--rolling"} {
			for _, step := range []string{"Building image", "Trying", "Removing accountservice|Updating accountservice", "Waiting for"} {
				Convey("Ctrl-C at the step that says "+step+", of copyall.sh "+flags+", leaves it answering, and says what runs", func() {
					r := interrupted(t, step, flags, "VERSION=new")
					So(r.exit, ShouldNotEqual, 0)
					So(eventually(5*time.Second, func() bool { return get(url) == firstAccount }), ShouldBeTrue)
					if strings.HasPrefix(step, "Building") || strings.HasPrefix(step, "Trying") {
						So(r.stderr, ShouldContainSubstring, "nothing was changed")
						mustServe(t, url, "good")
					} else {
						So(r.String(), ShouldContainSubstring, "Deployed accountservice new all the same")
						mustServe(t, url, "new")
					}
					So(docker(t, "ps", "--all", "--quiet", "--filter", "name=accountservice-trial"), ShouldBeEmpty)
				})
			}
		}
	})
}

// interrupted runs copyall.sh as a terminal does, in a process group of its own, and
// sends that an interrupt as soon as the script prints one of the words.
func interrupted(t *testing.T, words, flags string, environment ...string) result {
	t.Helper()
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
