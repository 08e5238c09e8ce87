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
			r := script("copyall.sh --plan", "VERSION=planned", "LIMIT_MEMORY=100m")
			So(r.exit, ShouldEqual, 0)
			So(r.stdout, ShouldContainSubstring, "==> Plan: remove accountservice one, and create accountservice planned\n")
			So(r.stdout, ShouldContainSubstring, "    deploy.resources.limits.memory: 128MiB → 100MiB\n")
			So(r.stdout, ShouldContainSubstring, "still to be built")
			So(containers(t, "accountservice"), ShouldResemble, task)
			So(docker(t, "images", "--quiet", "someprefix/accountservice:planned"), ShouldBeEmpty)
		})
	})
}

func TestLock(t *testing.T) {
	Convey("Given version one of a service", t, func() {
		url := deployed(t, "VERSION=one")
		task := containers(t, "accountservice")

		Convey("while somebody deploys it, nobody else can, and is told who it is and what that one does", func() {
			var refused []result
			r, status := during("==> Trying", "copyall.sh", func() result {
				for _, command := range []string{"copyall.sh --rolling", "rollback.sh", "remove.sh"} {
					refused = append(refused, script(command, "VERSION=three"))
				}
				return script("status.sh")
			}, "VERSION=two", "TRIAL_SECONDS=40")
			for _, one := range refused {
				So(one.exit, ShouldEqual, 1)
				So(one.stderr, ShouldContainSubstring, "accountservice is being deployed already, by ")
				So(one.stderr, ShouldContainSubstring, "--wait")
			}
			So(refused[2].stderr, ShouldContainSubstring, ": trying the new version") // A beat has published this by now.
			So(status.stdout, ShouldContainSubstring, ": trying the new version; its last sign of life is ")
			So(r.exit, ShouldEqual, 0)
			mustServe(t, url, "two")
		})

		Convey("one that waits deploys when the other has ended", func() {
			r, waiting := during("==> Trying", "copyall.sh", func() result { return script("copyall.sh --wait", "VERSION=three") }, "VERSION=two")
			So(r.exit, ShouldEqual, 0)
			So(waiting.stdout, ShouldContainSubstring, "is being deployed already, by ")
			So(waiting.exit, ShouldEqual, 0)
			mustServe(t, url, "three")
		})

		Convey("somebody elsewhere who has died is found out, and the deploy goes on without a manual step", func() {
			create := exec.Command("docker", "config", "create", "--label", "deploy.holder=eve on earth", "--label", "deploy.beat=7", "accountservice.deploy.lock", "-")
			create.Stdin = strings.NewReader("eve")
			So(create.Run(), ShouldBeNil)
			So(containers(t, "accountservice"), ShouldResemble, task)
			status := script("status.sh").stdout
			So(status, ShouldContainSubstring, "is being deployed already, by eve on earth")
			So(status, ShouldContainSubstring, "its last sign of life is ")
			So(status, ShouldContainSubstring, "the next deploy or rollback ends with an error")
			began := time.Now()
			r := script("copyall.sh --rolling", "VERSION=one")
			So(time.Since(began), ShouldBeBetween, 30*time.Second, 50*time.Second)
			So(r.stdout, ShouldContainSubstring, "==> The deploy of accountservice by eve on earth has died: its lock was removed")
			So(r.exit, ShouldEqual, 0)
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

func TestDeployThatIsKilled(t *testing.T) {
	url := deployed(t, "VERSION=good")
	for _, it := range []struct{ step, flags, next, says string }{
		{"==> Trying", "", "copyall.sh", "==> Deployed accountservice next in "},
		{"==> Removing", "", "copyall.sh", "==> Deployed accountservice next in "},
		{"==> Creating", "", "rollback.sh", "==> Restored accountservice: accountservice good serves at "},
		{"==> Updating", "--rolling", "copyall.sh --rolling", "==> Deployed accountservice next in "},
		{"==> Updating", "--rolling", "rollback.sh", "==> Restored accountservice: accountservice good serves at "},
	} {
		Convey("Given version one, when a deploy "+it.flags+" is killed at the step that says "+it.step+", "+it.next+" restores it at once", t, func() {
			So(script("copyall.sh", "VERSION=good").exit, ShouldEqual, 0)
			killed := signalled(it.step, it.flags, syscall.SIGKILL, "VERSION=new")
			So(killed.exit, ShouldEqual, -1)
			if it.step != "==> Trying" {
				status := script("status.sh").stdout
				So(status, ShouldContainSubstring, " running  new ")
				So(status, ShouldContainSubstring, "is being deployed already, by ")
				So(status, ShouldContainSubstring, "takes its lock at once, and restores the version that ran before")
			}
			began := time.Now()
			r := script(it.next, "VERSION=next")
			So(r.stdout, ShouldContainSubstring, "has died: its lock was removed")
			So(r.stdout, ShouldContainSubstring, it.says)
			if it.step != "==> Trying" {
				So(r.stdout, ShouldContainSubstring, "==> The deploy of accountservice new by ")
				So(r.stdout, ShouldContainSubstring, "    version good is back: accountservice good serves at "+url)
			}
			So(r.exit, ShouldEqual, 0)
			So(time.Since(began), ShouldBeLessThan, 60*time.Second)
			mustServe(t, url, map[bool]string{true: "good", false: "next"}[it.next == "rollback.sh"])
		})
	}
	Convey("A first deploy that is killed leaves nothing behind that the next one cannot do with", t, func() {
		wipe(t)
		So(signalled("==> Creating accountservice", "", syscall.SIGKILL, "VERSION=new").exit, ShouldEqual, -1)
		r := script("copyall.sh", "VERSION=next")
		So(r.stdout, ShouldContainSubstring, "==> The deploy of accountservice new by ")
		So(r.exit, ShouldEqual, 0)
		mustServe(t, url, "next")
	})
	Convey("Ctrl-C while the next deploy restores what ran does not end with words that nothing was changed", t, func() {
		So(script("copyall.sh", "VERSION=good").exit, ShouldEqual, 0)
		So(signalled("==> Creating", "", syscall.SIGKILL, "VERSION=new").exit, ShouldEqual, -1)
		r := interrupted("==> Going back", "", "VERSION=next")
		So(r.exit, ShouldEqual, 130)
		So(r.stderr, ShouldContainSubstring, "error: interrupted\n")
		So(lastLine(r), ShouldEqual, "       accountservice good serves at "+url)
		mustServe(t, url, "good")
	})
	Convey("A second Ctrl-C leaves at once, and the next command restores what ran", t, func() {
		So(script("copyall.sh", "VERSION=good").exit, ShouldEqual, 0)
		left := handled("==> Creating", "", func(pid int) { // Two signals of the same kind might arrive as one.
			_ = syscall.Kill(-pid, syscall.SIGINT)
			_ = syscall.Kill(-pid, syscall.SIGTERM)
		}, "VERSION=new")
		So(left.exit, ShouldEqual, 130)
		So(left.stderr, ShouldContainSubstring, "error: interrupted twice: the program ends at once")
		r := script("rollback.sh")
		So(r.exit, ShouldEqual, 0)
		So(get(url), ShouldEqual, firstAccount)
	})
}

func TestDeployThatSleeps(t *testing.T) {
	Convey("Given a deploy that is suspended in the middle of its change", t, func() {
		url := deployed(t, "VERSION=good")
		asleep := make(chan int, 1)
		woken := make(chan result, 1)
		go func() { woken <- suspended("==> Creating", asleep, "VERSION=new") }()
		pid := <-asleep
		Convey("the next one takes it for dead after 30 s, and it ends as soon as it wakes up, without another change", func() {
			r := script("copyall.sh", "VERSION=next")
			So(r.stdout, ShouldContainSubstring, "has died: its lock was removed")
			So(r.exit, ShouldEqual, 0)
			So(syscall.Kill(-pid, syscall.SIGCONT), ShouldBeNil)
			late := <-woken
			So(late.exit, ShouldEqual, 1)
			So(late.stderr, ShouldContainSubstring, "another deploy decided that this one was dead")
			mustServe(t, url, "next")
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

// interrupted runs copyall.sh in its own process group, as a terminal does. It sends an
// interrupt to that group as soon as the script prints one of the words.
func interrupted(words, flags string, environment ...string) result {
	return signalled(words, flags, syscall.SIGINT, environment...)
}

// signalled is interrupted with any signal.
func signalled(words, flags string, signal syscall.Signal, environment ...string) result {
	return handled(words, flags, func(pid int) { _ = syscall.Kill(-pid, signal) }, environment...)
}

// suspended suspends the script, and sends its pid.
func suspended(words string, asleep chan<- int, environment ...string) result {
	return handled(words, "", func(pid int) {
		_ = syscall.Kill(-pid, syscall.SIGSTOP)
		asleep <- pid
	}, environment...)
}

// handled calls a function as soon as the script prints one of the words.
func handled(words, flags string, handle func(pid int), environment ...string) result {
	cmd := exec.Command("bash", "-c", `cd / && exec "$0" $1`, repository("scripts", "copyall.sh"), flags)
	cmd.Env = append(os.Environ(), environment...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out := &interruptingWriter{words: strings.Split(words, "|"), interrupt: func() { handle(cmd.Process.Pid) }}
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
