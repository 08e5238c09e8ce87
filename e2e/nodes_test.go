package e2e

import (
	"os/exec"
	"strings"
	"testing"
	"time"

	. "github.com/smartystreets/goconvey/convey"

	"goblog/e2e/prober"
)

const registry = "192.168.99.100:5000"

// threeNodes makes a swarm of the engine and two more, until the test ends.
func threeNodes(t *testing.T) {
	t.Helper()
	wipe(t)
	t.Cleanup(func() {
		wipe(t)
		run(nil, "docker", "swarm", "leave", "--force")
		if r := run(nil, "./nodes.sh", "down"); r.exit != 0 {
			t.Errorf("nodes.sh down: %s", r)
		}
	})
	for _, r := range []result{run(nil, "./nodes.sh", "up"), script("swarm.sh")} {
		if r.exit != 0 {
			t.Fatalf("exit %d: %s", r.exit, r)
		}
	}
	token := docker(t, "swarm", "join-token", "--quiet", "worker")
	for _, node := range []string{"node2", "node3"} {
		docker(t, "--host", "unix:///run/"+node+"/docker.sock", "swarm", "join", "--token", token, "192.168.99.100:2377")
	}
	if !eventually(10*time.Second, func() bool { return strings.Count(docker(t, "node", "ls", "--format", "{{.Status}}"), "Ready") == 3 }) {
		t.Fatal("the nodes are not ready")
	}
}

func TestThreeNodes(t *testing.T) {
	if !ownEngine {
		t.Skip("more nodes can be had only beside an engine of our own")
	}
	if _, err := exec.LookPath("docker-registry"); err != nil {
		t.Skip("docker-registry is not installed")
	}
	t.Setenv("PUBLISH_MODE", "host") // A mesh between network namespaces would need IPVS.
	threeNodes(t)

	Convey("Given a swarm of three nodes", t, func() {
		Convey("a deploy without a registry is refused before anything is built", func() {
			r := copyall("")
			So(r.exit, ShouldEqual, 1)
			So(r.stderr, ShouldContainSubstring, "REGISTRY=host:port")
			So(r.stdout, ShouldNotContainSubstring, "Building")
		})

		Convey("with one, three replicas run the same bytes on three nodes, and each node answers", func() {
			defer wipe(t)
			r := copyall("", "REGISTRY="+registry, "REPLICAS=3", "VERSION=one")
			So(r.String(), ShouldContainSubstring, "Deployed accountservice one")
			So(r.exit, ShouldEqual, 0)
			for _, address := range []string{"192.168.99.100", "192.168.99.102", "192.168.99.103"} {
				So(r.stdout, ShouldContainSubstring, "http://"+address+":6767/accounts/10000")
				So(get("http://"+address+":6767/accounts/10000"), ShouldEqual, firstAccount)
			}
			So(label(t, "image"), ShouldStartWith, registry+"/someprefix/accountservice@sha256:")

			Convey("and --rolling updates them one by one, to a version that rollback.sh takes back", func() {
				r := copyall("--rolling", "REGISTRY="+registry, "VERSION=two")
				So(r.String(), ShouldContainSubstring, "stop-first")
				So(r.exit, ShouldEqual, 0)
				So(label(t, "version"), ShouldEqual, "two")
				So(docker(t, "service", "ls", "--format", "{{.Replicas}}"), ShouldEqual, "3/3")
				back := script("rollback.sh", "REGISTRY="+registry)
				So(back.String(), ShouldContainSubstring, "back to one")
				So(back.exit, ShouldEqual, 0)
			})
		})

		Convey("with one replica, a version that never becomes healthy is rolled back and costs no request", func() {
			defer wipe(t)
			first := copyall("", "REGISTRY="+registry, "VERSION=good")
			So(first.exit, ShouldEqual, 0)
			p, err := prober.Start(answeringURL(first), firstAccount)
			So(err, ShouldBeNil)
			r := copyall("--rolling", append(moody("sick"), "REGISTRY="+registry)...)
			report := p.Stop()
			So(r.stdout, ShouldContainSubstring, "start-first")
			So(r.stderr, ShouldContainSubstring, "version good serves again")
			So(r.String(), ShouldContainSubstring, "moody")
			So(r.exit, ShouldEqual, 1)
			So(report.String(), ShouldStartWith, "0 of ")
			So(report.Requests, ShouldBeGreaterThan, 1000)
		})
	})
}
