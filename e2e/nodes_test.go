package e2e

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	. "github.com/smartystreets/goconvey/convey"

	"goblog/e2e/prober"
)

// address is the address of each node, by its name. node1 is the engine that the tests talk
// to.
var address = map[string]string{"node1": "192.168.99.100"}

// managers is the number of managers of a larger swarm, so that one of them can be lost.
const managers = 3

// manyNodes makes a swarm of the engine and other nodes, with a registry, until the test
// ends. A swarm of three nodes has one manager. A larger swarm has three.
func manyNodes(t *testing.T, n int) *registryServer {
	t.Helper()
	needRegistry(t)
	t.Setenv("PUBLISH_MODE", "host") // A mesh between network namespaces would need IPVS.
	wipe(t)
	server := startRegistry(t, registry, "")
	t.Cleanup(func() {
		wipe(t)
		run(nil, "docker", "swarm", "leave", "--force")
		if r := run(nil, "./nodes.sh", "down"); r.exit != 0 {
			t.Errorf("nodes.sh down: %s", r)
		}
	})
	if r := run(nil, "./nodes.sh", "up", strconv.Itoa(n)); r.exit != 0 {
		t.Fatalf("nodes.sh up: exit %d: %s", r.exit, r)
	}
	address = map[string]string{"node1": "192.168.99.100"}
	run(nil, "docker", "swarm", "leave", "--force") // The tests before may have killed the manager of their swarm.
	docker(t, "swarm", "init", "--advertise-addr", address["node1"])
	for i := 2; i <= n; i++ {
		role, node := "worker", fmt.Sprint("node", i)
		if n > managers && i <= managers {
			role = "manager"
		}
		token := docker(t, "swarm", "join-token", "--quiet", role)
		if r := run(nil, "docker", "--host", socketOf(node), "swarm", "join", "--token", token, "192.168.99.100:2377"); r.exit != 0 {
			t.Fatalf("%s cannot join the swarm: %s\n%s\n%s", node, r, engineSaid("node1"), engineSaid(node))
		}
		address[node] = fmt.Sprint("192.168.99.10", i)
	}
	if !eventually(20*time.Second, func() bool { return readyNodes() == n }) {
		t.Fatal("the nodes are not ready")
	}
	return server
}

// threeNodes makes a swarm of one manager and two workers.
func threeNodes(t *testing.T) *registryServer {
	t.Helper()
	return manyNodes(t, 3)
}

// engineSaid is the end of an engine's log, without the lines about each single connection.
func engineSaid(node string) string {
	log, _ := os.ReadFile("/run/" + node + "/log") // It is only there to explain a failure.
	said := slices.DeleteFunc(lines(string(log)), func(line string) bool { return strings.Contains(line, "module=grpc") })
	return node + ":\n" + strings.Join(said[max(0, len(said)-30):], "\n")
}

// socketOf is the socket of the engine of another node.
func socketOf(node string) string { return "unix:///run/" + node + "/docker.sock" }

// readyNodes is the number of nodes that are ready for the manager; 0 while it does not
// answer.
func readyNodes() int {
	return strings.Count(run(nil, "docker", "node", "ls", "--format", "{{.Status}}").stdout, "Ready")
}

// accountsAt is the URL of an account on a node's own port.
func accountsAt(node string) string { return "http://" + address[node] + ":6767/accounts/10000" }

// runsOn waits until the tasks of a service run on these nodes, one on each. It reports
// whether that was in time, and prints the tasks if it was not.
func runsOn(t *testing.T, service string, nodes ...string) bool {
	t.Helper()
	slices.Sort(nodes)
	said := ""
	ok := eventually(time.Minute, func() bool {
		var found []string
		said = docker(t, "service", "ps", "--no-trunc", "--format", "{{.Node}} {{.DesiredState}} {{.CurrentState}} {{.Error}}", service)
		for _, line := range lines(said) {
			if node, state, _ := strings.Cut(line, " "); strings.HasPrefix(state, "Running Running") {
				found = append(found, node)
			}
		}
		slices.Sort(found)
		return slices.Equal(found, nodes)
	})
	if !ok {
		t.Logf("%s does not run on %v:\n%s", service, nodes, said)
	}
	return ok
}

func TestThreeNodes(t *testing.T) {
	threeNodes(t)

	Convey("Given a swarm of three nodes", t, func() {
		Convey("a deploy without a registry is refused before anything is tried or changed", func() {
			r := script("copyall.sh")
			So(r.exit, ShouldEqual, 1)
			So(r.stderr, ShouldContainSubstring, "REGISTRY=host:port")
			So(r.stdout, ShouldNotContainSubstring, "Trying")
			So(docker(t, "service", "ls", "--quiet"), ShouldBeEmpty)
		})

		Convey("with one, three replicas run the same bytes on three nodes, and each node answers; the one here can be measured", func() {
			defer wipe(t)
			settings := []string{"REGISTRY=" + registry, "REPLICAS=3", "SERVICE_ENV=ACCOUNTSERVICE_DRAIN=0s"} // Otherwise each task would drain, one after the other.
			r := script("copyall.sh", append(settings, "VERSION=one")...)
			So(r.String(), ShouldContainSubstring, "==> Deployed accountservice one in ")
			So(r.exit, ShouldEqual, 0)
			for node := range address {
				So(r.stdout, ShouldContainSubstring, accountsAt(node))
				So(get(accountsAt(node)), ShouldEqual, firstAccount)
			}
			So(image(t), ShouldStartWith, registry+"/someprefix/accountservice@sha256:")
			So(script("loadtest.sh", withoutFigures(t)).stdout, ShouldContainSubstring, "Measuring accountservice at "+strings.TrimSuffix(accountsAt("node1"), "/accounts/10000")+":")

			Convey("and --rolling updates them one by one, to a version that rollback.sh takes back", func() {
				r := script("copyall.sh --rolling", append(settings, "VERSION=two")...)
				So(r.String(), ShouldContainSubstring, "stop-first")
				So(r.exit, ShouldEqual, 0)
				So(version(t), ShouldEqual, "two")
				So(docker(t, "service", "ls", "--format", "{{.Replicas}}"), ShouldEqual, "3/3")
				back := script("rollback.sh")
				So(back.String(), ShouldContainSubstring, "back to one")
				So(back.exit, ShouldEqual, 0)
				So(docker(t, "service", "ls", "--format", "{{.Replicas}}"), ShouldEqual, "3/3")
			})
		})

		Convey("with one replica, a version that never becomes healthy is rolled back and costs no request", func() {
			defer wipe(t)
			first := script("copyall.sh", "REGISTRY="+registry, "VERSION=good")
			So(first.exit, ShouldEqual, 0)
			p, err := prober.Start(answeringURL(first), firstAccount)
			So(err, ShouldBeNil)
			r := script(moody("--rolling"), "VERSION=sick", "REGISTRY="+registry)
			So(eventually(time.Minute, func() bool { return !drains(t) }), ShouldBeTrue)
			report := p.Stop()
			So(r.stdout, ShouldContainSubstring, "start-first")
			So(lastLine(r), ShouldContainSubstring, "version good is back: accountservice good serves at ")
			So(r.String(), ShouldContainSubstring, "moody")
			So(r.exit, ShouldEqual, 1)
			So(report.String(), ShouldStartWith, "0 of ")
			So(report.Requests, ShouldBeGreaterThan, 1000)
		})
	})
}

func TestNodesThatFail(t *testing.T) {
	threeNodes(t)
	manager := docker(t, "node", "ls", "--filter", "role=manager", "--format", "{{.Hostname}}")
	docker(t, "node", "update", "--availability", "drain", "node3")
	deploy := script("copyall.sh", "REGISTRY="+registry, "REPLICAS=2")
	docker(t, "node", "update", "--availability", "active", "node3")

	Convey("Given a task on the manager, one on node2, and none on node3", t, func() {
		So(deploy.exit, ShouldEqual, 0)

		// Each test begins with the state that the one before has left.
		for _, it := range []struct {
			what, node, other string
			happens, ends     func()
		}{
			{"a drained node", "node2", "node3",
				func() { docker(t, "node", "update", "--availability", "drain", "node2") },
				func() { docker(t, "node", "update", "--availability", "active", "node2") }},
			{"a killed engine", "node3", "node2",
				func() { engineOf(t, "node3", "kill") },
				func() { engineOf(t, "node3", "start") }},
			{"a cut network cable", "node2", "node3",
				func() { So(run(nil, "ip", "link", "set", "node2", "down").exit, ShouldEqual, 0) },
				func() { So(run(nil, "ip", "link", "set", "node2", "up").exit, ShouldEqual, 0) }},
		} {
			Convey(it.what+" loses its task to another, while the manager's answers all the time, and comes back", func() {
				So(runsOn(t, "accountservice", manager, it.node), ShouldBeTrue)
				p, err := prober.Start(accountsAt("node1"), firstAccount)
				So(err, ShouldBeNil)
				start := time.Now()
				it.happens()
				moved := eventually(90*time.Second, func() bool { return get(accountsAt(it.other)) == firstAccount })
				took := time.Since(start)
				it.ends()
				back := eventually(60*time.Second, func() bool { return readyNodes() == 3 && get(accountsAt(it.node)) != firstAccount })
				report := p.Stop()
				fmt.Printf("\nnodes: %s: its task answered elsewhere after %.1f s; on the manager, %v\n", it.what, took.Seconds(), report)
				So(moved, ShouldBeTrue)
				So(back, ShouldBeTrue)
				So(report.Failures, ShouldBeEmpty)
				So(report.Requests, ShouldBeGreaterThan, 1000)
				So(runsOn(t, "accountservice", manager, it.other), ShouldBeTrue)
			})
		}

		Convey("a node that came back takes a task again", func() {
			docker(t, "service", "scale", "--detach", "accountservice=3")
			for node := range address {
				So(eventually(30*time.Second, func() bool { return get(accountsAt(node)) == firstAccount }), ShouldBeTrue)
			}
			So(runsOn(t, "accountservice", manager, "node2", "node3"), ShouldBeTrue)
		})

		Convey("a load test says where tasks run when none runs on the manager", func() {
			docker(t, "node", "update", "--availability", "drain", manager)
			defer docker(t, "node", "update", "--availability", "active", manager)
			So(runsOn(t, "accountservice", "node2", "node3"), ShouldBeTrue)
			r := script("loadtest.sh", withoutFigures(t))
			So(r.stderr, ShouldContainSubstring, "error: no task of accountservice runs on this engine, only on: node2 node3\n")
			So(r.stderr, ShouldContainSubstring, "point DOCKER_HOST")
		})
	})
}

func TestLandscapeOnThreeNodes(t *testing.T) {
	threeNodes(t)
	// Every node can pull the quotes-service. Only this engine has the visualizers.
	quotes := standin(t, "8080")
	docker(t, "tag", quotes, registry+"/quotes")
	docker(t, "push", registry+"/quotes")
	docker(t, "rmi", registry+"/quotes")
	up := script("landscape.sh up", append(standins(t), "QUOTES_IMAGE="+registry+"/quotes", "REGISTRY="+registry, "REPLICAS=3", "TRIAL_SECONDS=0")...)

	Convey("Given the landscape on three nodes", t, func() {
		So(up.String(), ShouldContainSubstring, "==> The landscape is up\n")
		manager := docker(t, "node", "ls", "--filter", "role=manager", "--format", "{{.Hostname}}")
		managerPage := "node " + docker(t, "info", "--format", "{{.Swarm.NodeID}}")
		allAnswer := func() bool {
			for node := range address {
				if get(accountsAt(node)) != firstAccount {
					return false
				}
			}
			return strings.Contains(get(pageOf("viz", up)), managerPage) && strings.Contains(get(pageOf("dvizz", up)), managerPage) && readyNodes() == 3
		}

		Convey("accountservice is on each node, and the visualizers are on the manager", func() {
			So(runsOn(t, "accountservice", manager, "node2", "node3"), ShouldBeTrue)
			So(runsOn(t, "viz", manager), ShouldBeTrue)
			So(runsOn(t, "dvizz", manager), ShouldBeTrue)
			So(allAnswer(), ShouldBeTrue)
		})

		Convey("an image that was pulled runs by its digest, on any node", func() {
			So(up.stdout, ShouldContainSubstring, "==> Pulling "+registry+"/quotes@sha256:")
			So(docker(t, "service", "inspect", "--format", "{{.Spec.TaskTemplate.ContainerSpec.Image}} {{.Spec.TaskTemplate.Placement.Constraints}}", "quotes-service"),
				ShouldStartWith, registry+"/quotes@sha256:")
			docker(t, "service", "scale", "--detach", "quotes-service=3")
			So(runsOn(t, "quotes-service", manager, "node2", "node3"), ShouldBeTrue)
		})

		Convey("the name of a service leads from each node to its tasks on all of them", func() {
			for _, host := range []string{"unix:///var/run/docker.sock", socketOf("node2"), socketOf("node3")} {
				task := docker(t, "--host", host, "ps", "--quiet", "--filter", "label=com.docker.swarm.service.name=quotes-service")
				inside := func(url string) string {
					return run(nil, "docker", "--host", host, "exec", task, "/standin", "get", url).String()
				}
				So(inside("http://accountservice:6767/accounts/10000"), ShouldEqual, firstAccount)
				quotes := map[string]bool{}
				So(eventually(20*time.Second, func() bool {
					quotes[inside("http://quotes-service:8080/api/quote")] = true
					return len(quotes) == 3
				}), ShouldBeTrue)
			}
		})

		Convey("a restart of the manager loses nothing, and the workers answer all the time", func() {
			before := docker(t, "service", "ls", "--format", "{{.ID}} {{.Name}} {{.Replicas}} {{.Image}}")
			networkID := docker(t, "network", "inspect", "--format", "{{.ID}}", "my_network")
			p, err := prober.Start(accountsAt("node2"), firstAccount)
			So(err, ShouldBeNil)
			start := time.Now()
			engineOf(t, "node1", "stop")
			engineOf(t, "node1", "start")
			back := eventually(90*time.Second, func() bool { return allAnswer() })
			took := time.Since(start)
			report := p.Stop()
			fmt.Printf("\nnodes: manager restart: all answered again after %.1f s; on a worker, %v\n", took.Seconds(), report)
			So(back, ShouldBeTrue)
			So(report.Failures, ShouldBeEmpty)
			So(report.Requests, ShouldBeGreaterThan, 1000)
			So(docker(t, "network", "inspect", "--format", "{{.ID}}", "my_network"), ShouldEqual, networkID)
			So(eventually(30*time.Second, func() bool {
				return docker(t, "service", "ls", "--format", "{{.ID}} {{.Name}} {{.Replicas}} {{.Image}}") == before
			}), ShouldBeTrue)
		})

		Convey("landscape.sh down leaves nothing", func() {
			r := script("landscape.sh down")
			So(r.String(), ShouldContainSubstring, "==> The landscape is down\n")
			So(docker(t, "service", "ls", "--quiet"), ShouldBeEmpty)
			So(docker(t, "network", "ls", "--format", "{{.Name}}"), ShouldNotContainSubstring, "my_network")
		})
	})
}
