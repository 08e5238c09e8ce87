package e2e

import (
	"os/exec"
	"strings"
	"testing"
	"time"

	. "github.com/smartystreets/goconvey/convey"
)

// byScripts creates accountservice as the shell scripts before this program did: with their
// labels, and with a lock that they left behind.
func byScripts(t *testing.T) (url, current, previous string) {
	t.Helper()
	t.Cleanup(func() { wipe(t) })
	r := script("copyall.sh", "VERSION=older")
	if r.exit != 0 {
		t.Fatal(r)
	}
	previous = image(t)
	built := script("deploy.sh build", "VERSION=old")
	if built.exit != 0 {
		t.Fatal(built)
	}
	current = docker(t, "image", "inspect", "--format", "{{.Id}}", lines(built.stdout)[len(lines(built.stdout))-1])
	So(script("remove.sh").exit, ShouldEqual, 0)

	docker(t, "network", "create", "--driver", "overlay", "my_network")
	arguments := []string{"service", "create", "--detach", "--no-resolve-image", "--name", "accountservice", "--network", "my_network",
		"--read-only", "--cap-drop", "ALL", "--mount", "type=tmpfs,destination=/data,tmpfs-mode=1777", "--health-interval", "1s",
		"--label", "copyall.arguments=--network my_network", "--label", "copyall.image=" + current, "--label", "copyall.version=old",
		"--label", "copyall.previous-image=" + previous, "--label", "copyall.previous-version=older"}
	if hostMode() {
		arguments = append(arguments, "--endpoint-mode", "dnsrr", "--publish", "mode=host,published=6767,target=6767", "--update-order", "stop-first")
	} else {
		arguments = append(arguments, "--publish", "published=6767,target=6767", "--update-order", "start-first")
	}
	docker(t, append(arguments, current)...)
	lock := exec.Command("docker", "config", "create", "--label", "copyall.holder=eve on earth, process 1", "accountservice.deploy-lock", "-")
	lock.Stdin = strings.NewReader("eve")
	if err := lock.Run(); err != nil {
		t.Fatal(err)
	}
	url = answeringURL(r)
	if !eventually(60*time.Second, func() bool { return get(url) == firstAccount }) {
		t.Fatal("the service of the scripts does not answer")
	}
	return url, current, previous
}

func TestServiceOfTheScripts(t *testing.T) {
	Convey("Given a service that older scripts deployed, with a lock that they left behind", t, func() {
		url, current, previous := byScripts(t)

		Convey("it is deployed over, and rolled back to, as if the program had made it", func() {
			r := script("copyall.sh --rolling", "VERSION=new")
			So(r.String(), ShouldContainSubstring, "lock that a script of an older version left behind: eve on earth, process 1")
			So(r.exit, ShouldEqual, 0)
			mustServe(t, url, "new")
			So(docker(t, "config", "ls", "--quiet", "--filter", "name=accountservice.deploy-lock"), ShouldBeEmpty)
			back := script("rollback.sh")
			So(back.String(), ShouldContainSubstring, "==> Rolled accountservice back to old")
			So(back.exit, ShouldEqual, 0)
			So(image(t), ShouldEqual, current)
			So(get(url), ShouldEqual, firstAccount)
		})

		Convey("it is put back when a deploy over it fails", func() {
			r := script(moody(""), "VERSION=wrong")
			So(r.exit, ShouldEqual, 1)
			So(lastLine(r), ShouldContainSubstring, "version old is back: accountservice old serves")
			So(image(t), ShouldEqual, current)
			So(get(url), ShouldEqual, firstAccount)

			// The version that it replaced is still known.
			back := script("rollback.sh")
			So(back.String(), ShouldContainSubstring, "==> Rolled accountservice back to older")
			So(back.exit, ShouldEqual, 0)
			So(image(t), ShouldEqual, previous)
			So(get(url), ShouldEqual, firstAccount)
		})
	})
}

func TestServiceOfSomebodyElse(t *testing.T) {
	Convey("Given a service of that name that somebody else made", t, func() {
		defer wipe(t)
		built := script("deploy.sh build")
		So(built.exit, ShouldEqual, 0)
		docker(t, "service", "create", "--detach", "--no-resolve-image", "--endpoint-mode", "dnsrr", "--name", "accountservice",
			docker(t, "image", "inspect", "--format", "{{.Id}}", lines(built.stdout)[len(lines(built.stdout))-1]))
		task := docker(t, "service", "ps", "--quiet", "accountservice")

		Convey("neither a deploy nor a rollback nor a removal touches it", func() {
			for _, command := range []string{"copyall.sh", "copyall.sh --rolling", "rollback.sh", "remove.sh"} {
				r := script(command)
				So(r.exit, ShouldEqual, 1)
				So(r.stderr, ShouldContainSubstring, "a service accountservice runs, and this program did not deploy it")
				So(docker(t, "service", "ps", "--quiet", "accountservice"), ShouldEqual, task)
			}
		})
	})
}
