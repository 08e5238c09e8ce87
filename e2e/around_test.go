package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	. "github.com/smartystreets/goconvey/convey"
)

func TestFullDisk(t *testing.T) {
	if !ownEngine {
		t.Skip("a small file system is mounted only beside an engine of our own")
	}
	Convey("Given a service, and a file system that is full", t, func() {
		url := deployed(t, "VERSION=good")
		task := containers(t, "accountservice")
		// A separate checkout: its builds go to its own build directory.
		checkout := t.TempDir()
		So(run(nil, "sh", "-c", `cp -r "$0"/accountservice "$0"/dockerfiles "$0"/go.mod "$0"/go.sum "$0"/stack.yml "$1"`, repository(), checkout).exit, ShouldEqual, 0)
		builds := filepath.Join(checkout, "build")
		So(os.Mkdir(builds, 0o755), ShouldBeNil)
		mounted := func(size string) {
			So(run(nil, "mount", "-t", "tmpfs", "-o", "size="+size, "tmpfs", builds).exit, ShouldEqual, 0)
		}
		Reset(func() { run(nil, "umount", builds) })

		for what, size := range map[string]string{"the compiler": "1m", "the copy of what goes into the image": "20m"} {
			Convey("a deploy in which "+what+" finds no room touches nothing, and says so in the tool's words", func() {
				mounted(size)
				r := script("copyall.sh -f "+filepath.Join(checkout, "stack.yml"), "VERSION=new")
				So(r.stderr, ShouldContainSubstring, "no space left on device")
				So(r.exit, ShouldEqual, 1)
				So(lastLine(r), ShouldEqual, "       accountservice was not touched: accountservice good serves at "+url)
				So(containers(t, "accountservice"), ShouldResemble, task)
			})
		}
	})
}

func TestRegistryThatRefuses(t *testing.T) {
	Convey("Given a service, and a registry that takes nothing", t, func() {
		url := deployed(t, "VERSION=good")
		task := containers(t, "accountservice")
		Convey("a deploy through it touches nothing, and says so in docker's words", func() {
			r := script("copyall.sh", "VERSION=new", "REGISTRY=192.168.99.100:5999")
			So(r.stderr, ShouldContainSubstring, "error: docker push to 192.168.99.100:5999 failed")
			So(r.stderr, ShouldContainSubstring, "connection refused")
			So(r.stderr, ShouldContainSubstring, "log in with docker login")
			So(r.exit, ShouldEqual, 1)
			So(lastLine(r), ShouldEqual, "       accountservice was not touched: accountservice good serves at "+url)
			So(containers(t, "accountservice"), ShouldResemble, task)
		})
	})
}

func TestRemovedInBetween(t *testing.T) {
	Convey("Given a service that is being deployed", t, func() {
		url := deployed(t, "VERSION=good")
		Convey("remove.sh is refused, and the deploy goes on to its end", func() {
			r, removal := during("==> Updating", "copyall.sh --rolling", func() result { return script("remove.sh") }, "VERSION=new")
			So(removal.exit, ShouldEqual, 1)
			So(removal.stderr, ShouldContainSubstring, "accountservice is being deployed already")
			So(r.String(), ShouldContainSubstring, "==> Deployed accountservice new in ")
			So(r.exit, ShouldEqual, 0)
			mustServe(t, url, "new")
		})
		for step, flags := range map[string]string{"==> Updating": "--rolling", "==> Creating": ""} {
			Convey("somebody who removes it at the step that says "+step+" is named, and what ran before comes back", func() {
				r, _ := during(step, "copyall.sh "+flags, func() result {
					eventually(10*time.Second, func() bool {
						return strings.TrimSpace(run(nil, "docker", "service", "inspect", "--format", `{{index .Spec.Labels "deploy.version"}}`, "accountservice").stdout) == "new"
					})
					return run(nil, "docker", "service", "rm", "accountservice")
				}, "VERSION=new")
				So(r.stderr, ShouldContainSubstring, "somebody removed service accountservice meanwhile")
				So(lastLine(r), ShouldEqual, "error: the deploy of accountservice new failed; version good is back: accountservice good serves at "+url)
				So(r.exit, ShouldEqual, 1)
				mustServe(t, url, "good")
			})
		}
	})
}

// during runs a script, and something else as soon as the script prints some words.
func during(words, command string, meanwhile func() result, environment ...string) (result, result) {
	other := make(chan result, 1)
	line := scriptLine(command)
	cmd := exec.Command(line[0], line[1:]...)
	cmd.Env = append(os.Environ(), environment...)
	out := &interruptingWriter{words: []string{words}, interrupt: func() {
		go func() { other <- meanwhile() }()
	}}
	var stderr strings.Builder
	cmd.Stdout, cmd.Stderr = out, &stderr
	_ = cmd.Run() // Its exit code is checked.
	r := result{cmd.ProcessState.ExitCode(), out.String(), stderr.String()}
	select {
	case done := <-other:
		return r, done
	case <-time.After(time.Minute):
		return r, result{-1, "", "the other command did not end"}
	}
}

func TestWhatIsLeft(t *testing.T) {
	Convey("After ten deploys in a row, three of which fail, only what can be gone back to is left", t, func() {
		defer wipe(t)
		dir := t.TempDir()
		So(os.WriteFile(filepath.Join(dir, "more.yml"), []byte(`version: "3.9"
services:
  accountservice:
    secrets: [token]
    configs: [site]
    volumes: [{type: volume, target: /scratch}, {type: volume, source: kept-e2e, target: /kept}]
    deploy: {update_config: {order: stop-first}}
secrets: {token: {file: "`+dir+`/token"}}
configs: {site: {file: "`+dir+`/site"}}
volumes: {kept-e2e: {}}
`), 0o600), ShouldBeNil)
		volumes := lines(docker(t, "volume", "ls", "--quiet"))
		for n, mood := range []string{"good", "good", "dead-at-start", "good", "crashes", "good", "good", "wrong", "good", "good"} {
			for _, file := range []string{"token", "site"} {
				So(os.WriteFile(filepath.Join(dir, file), []byte(fmt.Sprint(file, n)), 0o600), ShouldBeNil)
			}
			flags := ""
			if n%2 == 1 {
				flags = "--rolling"
			}
			r := script(moody(flags)+" -f "+filepath.Join(dir, "more.yml"), fmt.Sprintf("VERSION=%s.%d", mood, n))
			So(fmt.Sprint(n, " ", mood, " ", r.exit), ShouldEqual, fmt.Sprint(n, " ", mood, " ", map[bool]int{true: 0, false: 1}[mood == "good"]))
		}
		So(version(t), ShouldEqual, "good.9")
		// The three before are good.8, good.6 and good.5.
		names := func(kind string) string {
			var all []string
			for _, line := range lines(docker(t, kind, "ls", "--format", "{{.Name}}")) {
				if !strings.Contains(line, ".deploy.") {
					all = append(all, line)
				}
			}
			return fmt.Sprint(kind, " ", len(all))
		}
		So(names("secret"), ShouldEqual, "secret 4")
		So(names("config"), ShouldEqual, "config 4")
		tags := lines(docker(t, "images", "--format", "{{.Tag}}", "someprefix/accountservice"))
		var lasting []string
		for _, tag := range tags {
			if strings.HasPrefix(tag, "sha-") {
				lasting = append(lasting, tag)
			}
		}
		So(lasting, ShouldHaveLength, 4)
		So(docker(t, "service", "ls", "--format", "{{.Name}}"), ShouldEqual, "accountservice")
		So(eventually(30*time.Second, func() bool { return len(lines(docker(t, "ps", "--all", "--quiet"))) <= 1+5 }), ShouldBeTrue) // The swarm keeps some ended tasks.
		for _, volume := range lines(docker(t, "volume", "ls", "--quiet", "--filter", "dangling=true")) {
			So(append(volumes, "kept-e2e"), ShouldContain, volume)
		}
		So(script("remove.sh -f "+repository("stack.yml")+" -f "+filepath.Join(dir, "more.yml")).exit, ShouldEqual, 0)
		So(names("secret")+names("config"), ShouldEqual, "secret 0config 0")
		So(lines(docker(t, "volume", "ls", "--quiet")), ShouldResemble, append(volumes, "kept-e2e"))
		docker(t, "volume", "rm", "kept-e2e")
	})
}

func TestReservations(t *testing.T) {
	Convey("Given a service that reserves more than half of the node's memory", t, func() {
		defer wipe(t)
		var total uint64
		_, err := fmt.Sscan(docker(t, "info", "--format", "{{.MemTotal}}"), &total)
		So(err, ShouldBeNil)
		dir := t.TempDir()
		file := filepath.Join(dir, "more.yml")
		So(os.WriteFile(file, []byte(fmt.Sprintf("version: \"3.9\"\nservices:\n  accountservice:\n    deploy: {resources: {reservations: {memory: \"%d\"}}}\n", total/100*60)), 0o600), ShouldBeNil)
		quiet := " -f " + repository("e2e", "testdata", "quiet", "stack.yml") + " -f " + file
		So(script("copyall.sh"+quiet, "VERSION=one").exit, ShouldEqual, 0)

		Convey("its trial reserves nothing, and a rolling update stops the old task first, which the plan says", func() {
			r := script("copyall.sh --rolling"+quiet, "VERSION=two")
			So(r.stdout, ShouldContainSubstring, "(stop-first), as no node has room for one more task, which reserves")
			So(r.stdout, ShouldContainSubstring, "the trial passed")
			So(r.exit, ShouldEqual, 0)
			So(version(t), ShouldEqual, "two")
		})
		Convey("two tasks of it are refused before anything is tried", func() {
			r := script("copyall.sh --rolling"+quiet, "VERSION=two", "REPLICAS=2")
			So(r.stderr, ShouldContainSubstring, "the nodes have room for 1 of the 2 tasks of accountservice")
			So(r.stdout, ShouldNotContainSubstring, "Trying")
			So(r.exit, ShouldEqual, 1)
			So(version(t), ShouldEqual, "one")
		})
	})
}

func TestUnreachablePort(t *testing.T) {
	if !ownEngine {
		t.Skip("a port is closed only in a network namespace of our own")
	}
	Convey("Given a service, and a firewall on its new port", t, func() {
		url := deployed(t, "VERSION=good")
		rule := []string{"INPUT", "-p", "tcp", "--dport", "7979", "-j", "DROP"}
		So(run(nil, "iptables", append([]string{"-I"}, rule...)...).exit, ShouldEqual, 0)
		So(run(nil, "iptables", append([]string{"-t", "mangle", "-I", "PREROUTING"}, rule[1:]...)...).exit, ShouldEqual, 0)
		So(run(nil, "iptables", append([]string{"-t", "mangle", "-I", "OUTPUT"}, rule[1:]...)...).exit, ShouldEqual, 0)
		Reset(func() {
			run(nil, "iptables", append([]string{"-D"}, rule...)...)
			run(nil, "iptables", append([]string{"-t", "mangle", "-D", "PREROUTING"}, rule[1:]...)...)
			run(nil, "iptables", append([]string{"-t", "mangle", "-D", "OUTPUT"}, rule[1:]...)...)
		})

		Convey("a deploy that cannot reach it is undone, and told apart from a wrong answer, with the address and what to set", func() {
			r := script("copyall.sh", "VERSION=new", "PORT=7979", "DEPLOY_TIMEOUT=15")
			So(r.stderr, ShouldContainSubstring, "The tasks of accountservice run, but ")
			So(r.stderr, ShouldContainSubstring, ":7979/accounts/10000 does not answer from here: ")
			So(r.stderr, ShouldContainSubstring, "A firewall")
			So(lastLine(r), ShouldEqual, "error: the deploy of accountservice new failed; version good is back: accountservice good serves at "+url)
			So(r.exit, ShouldEqual, 1)
			mustServe(t, url, "good")
		})
	})
}
