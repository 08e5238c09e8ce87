package e2e

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	. "github.com/smartystreets/goconvey/convey"
)

// placed are the flags that deploy moody as accountservice, with a deploy section for its
// nodes and replicas.
func placed(t *testing.T, flags, deploy string) string {
	t.Helper()
	over := filepath.Join(t.TempDir(), "over.yml")
	write(t, over, "version: \"3.9\"\nservices:\n  accountservice:\n    deploy: "+deploy+"\n")
	return "copyall.sh " + flags + " -f " + repository("e2e", "testdata", "placed", "stack.yml") + " -f " + over
}

// wordsFor are the engine's own words when a constraint excludes every node.
func wordsFor(t *testing.T, constraint string) string {
	t.Helper()
	docker(t, "service", "create", "--detach", "--name", "nowhere", "--constraint", constraint, registry+"/someprefix/accountservice:one")
	defer docker(t, "service", "rm", "nowhere")
	var words string
	if !eventually(10*time.Second, func() bool {
		words = strings.Trim(docker(t, "service", "ps", "--no-trunc", "--format", "{{.Error}}", "nowhere"), `"`)
		return words != ""
	}) {
		t.Fatal("the engine does not say why it runs a service nowhere")
	}
	return words
}

func TestPlacement(t *testing.T) {
	server := threeNodes(t)
	manager := docker(t, "node", "ls", "--filter", "role=manager", "--format", "{{.Hostname}}")
	address := map[string]string{manager: address["node1"], "node2": address["node2"], "node3": address["node3"]}
	accountsAt := func(node string) string { return "http://" + address[node] + ":6767/accounts/10000" }
	for _, node := range []string{manager, "node2"} {
		docker(t, "node", "update", "--label-add", "tier=front", node)
	}
	const onFront = "placement: {constraints: [node.labels.tier == front]}"
	const one, two = "VERSION=one", "VERSION=two"
	trial := "1" // Later ones do without, to save time.
	up := func(flags, deploy string, environment ...string) result {
		return script(placed(t, flags, deploy), append(environment, "REGISTRY="+registry, "BASE_IMAGE=scratch", "TRIAL_SECONDS="+trial)...)
	}
	tasks := func() string { return docker(t, "service", "ps", "--no-trunc", "--quiet", "accountservice") }
	// refused asserts that a deploy is refused before the trial and before any change.
	refused := func(r result, words string) {
		So(r.stderr, ShouldContainSubstring, words)
		So(r.exit, ShouldEqual, 1)
		So(r.stdout, ShouldNotContainSubstring, "Trying")
		So(r.stderr, ShouldContainSubstring, "accountservice was not touched")
	}
	// provenOn asserts that a deploy has asked these nodes, and no other.
	provenOn := func(r result, nodes ...string) {
		for node := range address {
			says := "accountservice answers: " + accountsAt(node)
			if strings.Contains(strings.Join(nodes, " "), node) {
				So(r.String(), ShouldContainSubstring, says)
				So(get(accountsAt(node)), ShouldEqual, firstAccount)
			} else {
				So(r.String(), ShouldNotContainSubstring, says)
			}
		}
		So(r.exit, ShouldEqual, 0)
		So(runsOn(t, "accountservice", nodes...), ShouldBeTrue)
	}

	// Each test begins with the state that the one before has left.
	Convey("Given three nodes, two of which have a label", t, func() {
		Convey("without a registry, what is built here runs here only: anywhere else it is refused", func() {
			here := func(flags, deploy string) result {
				return script(placed(t, flags, deploy), one, "BASE_IMAGE=scratch")
			}
			refused(here("", "{replicas: 1, "+onFront+"}"), "error: this swarm has 3 nodes, and only this one will have the image of accountservice\n       name a registry that all nodes pull from: REGISTRY=host:port\n")
			So(here("--plan", "{placement: {constraints: [node.hostname == "+manager+"]}}").exit, ShouldEqual, 0)
		})

		Convey("one task for a node with the label is tried on one, and updated start-first to the other", func() {
			first := up("", "{replicas: 1, "+onFront+"}", one)
			So(first.stdout, ShouldContainSubstring, "accountservice-trial.1 on ")
			So(first.stdout, ShouldNotContainSubstring, "on node3")
			old, next := manager, "node2"
			if strings.Contains(first.stdout, "answers: "+accountsAt(next)) {
				old, next = next, old
			}
			provenOn(first, old)
			trial = "0"
			r := up("--rolling", "{replicas: 1, "+onFront+"}", two)
			So(r.stdout, ShouldContainSubstring, "from one to two, start-first\n")
			So(r.stdout, ShouldContainSubstring, "the new task starts on another node: the old address no longer answers")
			So(r.stdout, ShouldContainSubstring, accountsAt(old)+" no longer answers")
			provenOn(r, next)
		})

		Convey("two tasks have no node to spare, so they are updated stop-first", func() {
			r := up("--rolling", "{replicas: 2, "+onFront+"}", one)
			So(r.stdout, ShouldContainSubstring, "(stop-first), as port 6767 is published in host mode and no other node is free for it")
			provenOn(r, manager, "node2")
		})

		Convey("three tasks are refused", func() {
			before := tasks()
			refused(up("--rolling", "{replicas: 3, "+onFront+"}", two), "error: 3 replicas cannot all have port 6767 on 2 nodes in host mode")
			So(tasks(), ShouldEqual, before)
		})

		single := func() bool { return docker(t, "service", "ls", "--format", "{{.Replicas}}") == "1/1" }
		Convey("scaled by hand, the number stays when it is updated, and when it is rolled back", func() {
			docker(t, "service", "scale", "--detach", "accountservice=1")
			So(eventually(30*time.Second, single), ShouldBeTrue)
			r := up("--rolling", "{replicas: 2, "+onFront+"}", two)
			So(r.stdout, ShouldContainSubstring, "The 1 replicas of accountservice stay, because somebody scaled the service by hand")
			So(r.stdout, ShouldContainSubstring, "start-first")
			So(r.String(), ShouldContainSubstring, "==> Deployed accountservice two in ")
			So(r.exit, ShouldEqual, 0)
			back := script("rollback.sh")
			So(back.String(), ShouldContainSubstring, "==> Rolled accountservice back to one")
			So(eventually(10*time.Second, single), ShouldBeTrue) // The old task may still be ending.
		})

		Convey("where no node has the label, it is refused in the engine's words", func() {
			const nowhere = "node.labels.tier == back"
			before := tasks()
			refused(up("", "{placement: {constraints: ["+nowhere+"]}}", two), "error: no node can run accountservice: "+wordsFor(t, nowhere)+"\n")
			So(tasks(), ShouldEqual, before)
		})

		Convey("a service for all nodes replaces it, is proven on each, updated to those with the label, and rolled back", func() {
			r := up("--rolling", "{mode: global}", one)
			So(r.stdout, ShouldContainSubstring, "A service that changes its mode cannot be updated")
			provenOn(r, manager, "node2", "node3")
			r = up("--rolling", "{mode: global, "+onFront+"}", two)
			So(r.stdout, ShouldContainSubstring, "from one to two, stop-first\n")
			So(r.stdout, ShouldContainSubstring, "accountservice on node2: running")
			provenOn(r, manager, "node2")
			So(get(accountsAt("node3")), ShouldNotEqual, firstAccount)
			provenOn(script("rollback.sh"), manager, "node2", "node3")
			So(version(t), ShouldEqual, "one")
		})

		Convey("a drained node is no node, until it is back", func() {
			docker(t, "node", "update", "--availability", "drain", "node3")
			defer docker(t, "node", "update", "--availability", "active", "node3")
			So(runsOn(t, "accountservice", manager, "node2"), ShouldBeTrue)
			const drained = "node.hostname == node3"
			refused(up("", "{mode: global, placement: {constraints: ["+drained+"]}}", one), "error: no node can run accountservice: "+wordsFor(t, drained)+"\n")
			refused(up("", "{replicas: 3}", one), "error: 3 replicas cannot all have port 6767 on 2 nodes in host mode")
			provenOn(up("--rolling", "{mode: global}", two), manager, "node2")
			docker(t, "node", "update", "--availability", "active", "node3")
			So(runsOn(t, "accountservice", manager, "node2", "node3"), ShouldBeTrue)
			So(get(accountsAt("node3")), ShouldEqual, firstAccount)
		})

		Convey("an image for a processor that no node has is refused", func() {
			before := tasks()
			server.push(t, "one", "one")
			server.pushIndex(t, "one", "arm", "arm64")
			refused(script(finished("--rolling"), "IMAGE="+registry+"/moody:arm"), "error: no node can run accountservice: no suitable node (unsupported platform on 3 nodes)\n")
			So(tasks(), ShouldEqual, before)
		})

		Convey("a node with another processor is no node for the image", func() {
			processor := func(node string) string {
				return docker(t, "node", "inspect", "--format", "{{.Description.Platform.Architecture}}", node)
			}
			engineOf(t, "node3", "stop")
			So(run([]string{"E2E_CPU=linux32"}, "./dockerd.sh", "start", "node3").exit, ShouldEqual, 0)
			So(eventually(30*time.Second, func() bool { return processor("node3") != processor(manager) && readyNodes() == 3 }), ShouldBeTrue)

			const there = "node.hostname == node3"
			refused(up("", "{placement: {constraints: ["+there+"]}}", one), "error: no node can run accountservice: "+wordsFor(t, there)+"\n")
			refused(up("", "{replicas: 3}", one), "error: 3 replicas cannot all have port 6767 on 2 nodes in host mode")
			provenOn(up("", "{replicas: 2}", one), manager, "node2")
			So(up("--rolling --plan", "{replicas: 2}", two).stdout, ShouldContainSubstring, "no other node is free for it")

			Convey("and gets no task of a service for all nodes", func() {
				provenOn(up("", "{mode: global}", one, "DEPLOY_TIMEOUT=20"), manager, "node2")
			})
		})
	})
}
