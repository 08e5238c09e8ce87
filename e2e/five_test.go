package e2e

import (
	"fmt"
	"os"
	"testing"
	"time"

	. "github.com/smartystreets/goconvey/convey"
)

// fiveNodes is a setting of TestFiveNodes. With all, each node dies in each phase of a
// deploy, which takes 20 minutes. Otherwise, only one case of each kind is tested.
const fiveNodes = "FIVE_NODES"

// A death is the death of a node's engine, as soon as a deploy prints a step.
type death struct {
	who, step string
	brief     bool // it is tried in any case
}

var deaths = []death{
	{"the manager that is asked", "==> Removing", true}, // It is the leader too.
	{"the manager that is asked", "==> Trying", true},
	{"the leader", "==> Removing", true},
	{"a worker", "==> Updating", true},

	{"the manager that is asked", "==> Creating", false},
	{"the manager that is asked", "==> Updating", false},
	{"the leader", "==> Trying", false},
	{"the leader", "==> Creating", false},
	{"the leader", "==> Updating", false},
	{"a worker", "==> Trying", false},
	{"a worker", "==> Removing", false},
	{"a worker", "==> Creating", false},
}

func TestFiveNodes(t *testing.T) {
	manyNodes(t, 5)
	settings := func(version string) []string {
		return []string{"VERSION=" + version, "REGISTRY=" + registry, "REPLICAS=5", "SERVICE_ENV=ACCOUNTSERVICE_DRAIN=0s"}
	}
	// Going back gets the timeout of the version that it goes back to.
	if r := script("copyall.sh", append(settings("good"), "DEPLOY_TIMEOUT=30")...); r.exit != 0 {
		t.Fatal(r)
	}
	host1 := docker(t, "info", "--format", "{{.Name}}")
	for i, it := range deaths {
		if !it.brief && os.Getenv(fiveNodes) != "all" {
			continue
		}
		Convey("Given a task on each of five nodes, when "+it.who+" dies at the step that says "+it.step, t, func() {
			before, next, mended := version(t), fmt.Sprint("next", i), fmt.Sprint("mended", i)
			node := map[string]string{"a worker": "node5", "the leader": "", "the manager that is asked": "node1"}[it.who]
			if node == "" {
				node = anotherLeader(t)
			}
			dead := false
			defer func() {
				if dead {
					engineOf(t, node, "start")
				}
			}()
			led := leader()
			flags, more := "", []string(nil)
			if it.step == "==> Updating" {
				flags = " --rolling"
			}
			if node == "node1" {
				more = []string{"DEPLOY_TIMEOUT=20"} // The deploy waits for all of this time in vain.
			}
			began := time.Now()
			r, killed := during(it.step, "copyall.sh"+flags, func() result {
				return run(nil, "./dockerd.sh", "kill", node)
			}, append(settings(next), more...)...)
			took := time.Since(began)
			fmt.Printf("\nfive nodes: %s dies at %s: exit code %d after %.0f s:\n%s\n%s\n", it.who, it.step, r.exit, took.Seconds(), r.stdout, r.stderr)
			So(killed.exit, ShouldEqual, 0)
			dead = true
			So(took, ShouldBeLessThan, 3*time.Minute)

			switch {
			case node == "node1":
				So(r.exit, ShouldEqual, 1)
				if it.step == "==> Trying" {
					So(r.stderr, ShouldContainSubstring, "wait until docker node ls answers, and run this again, or use another manager of the swarm\n")
					So(lastLine(r), ShouldStartWith, "       accountservice was not touched: the version that serves now is not known: ")
					othersAnswer(node)
				} else {
					So(r.stderr, ShouldContainSubstring, "; the version that serves now is not known, because the engine does not answer: ")
					So(r.stderr, ShouldContainSubstring, "; the next deploy or rollback restores version "+before+"\n")
					So(lastLine(r), ShouldEqual, "       start the engine again, or point DOCKER_HOST or the docker context to another manager of the swarm")
				}
			case r.exit == 0: // It was done before the swarm found the node down.
				So(r.stdout, ShouldContainSubstring, ": accountservice "+next+" serves at ")
				So(version(t), ShouldEqual, next)
				othersAnswer(node)
			default:
				So(r.exit, ShouldEqual, 1)
				So(r.stderr, ShouldContainSubstring, "; "+node+" is down\n")
				So(lastLine(r), ShouldContainSubstring, ": accountservice "+before+" serves at ")
				So(lastLine(r), ShouldEndWith, ", with 4 of 5 tasks, as "+node+" is down")
				So(r.stderr, ShouldNotContainSubstring, "does not do what it should")
				So(version(t), ShouldEqual, before)
				othersAnswer(node)
			}
			if it.step == "==> Updating" { // The update goes back task by task: the service is never removed from all nodes at once.
				So(r.stdout, ShouldNotContainSubstring, "There is no progress: creating ")
			}
			if it.who == "a worker" {
				again := script("copyall.sh", settings(next)...)
				So(again.exit, ShouldEqual, 1)
				So(again.stderr, ShouldContainSubstring, "error: 5 replicas cannot all have port 6767 on 4 nodes in host mode; "+node+" is down\n")
				othersAnswer(node)
			}

			if node == "node1" && it.step == "==> Removing" { // Nothing serves, and the user cannot wait for that engine.
				restored := script("rollback.sh", "DOCKER_HOST="+socketOf("node2"))
				So(restored.String(), ShouldContainSubstring, "==> Restored accountservice: accountservice "+before+" serves at ")
				So(restored.stdout, ShouldEndWith, " is down\n")
				So(restored.exit, ShouldEqual, 0)
				othersAnswer(node)
			}

			dead = false
			engineOf(t, node, "start")
			So(eventually(90*time.Second, func() bool { return readyNodes() == 5 }), ShouldBeTrue)
			if node != "node1" { // The task that waited starts without another deploy.
				So(runsOn(t, "accountservice", host1, "node2", "node3", "node4", "node5"), ShouldBeTrue)
			}
			if node == "node1" && led == node && took > 20*time.Second { // The new leader does not know its own address.
				So(docker(t, "node", "inspect", "--format", "{{.Status.Addr}}", leader()), ShouldEqual, "0.0.0.0")
			}
			mend := script("copyall.sh", settings(mended)...)
			So(mend.String(), ShouldContainSubstring, "==> Deployed accountservice "+mended+" in ")
			So(mend.exit, ShouldEqual, 0)
			for one := range address {
				So(mend.stdout, ShouldContainSubstring, "accountservice answers: "+accountsAt(one)+"\n")
				So(get(accountsAt(one)), ShouldEqual, firstAccount)
			}
			mustServe(t, accountsAt("node1"), mended)
		})
	}
}

// othersAnswer asserts that accountservice answers on each node except one.
func othersAnswer(dead string) {
	for node := range address {
		if node != dead {
			So(node+": "+get(accountsAt(node)), ShouldEqual, node+": "+firstAccount)
		}
	}
}

// anotherLeader makes another manager the leader, not the engine of the tests, and returns
// its name.
func anotherLeader(t *testing.T) string {
	t.Helper()
	if leader() == "node1" {
		engineOf(t, "node1", "stop")
		engineOf(t, "node1", "start")
	}
	So(eventually(time.Minute, func() bool {
		return readyNodes() == len(address) && leader() != "node1" && get(accountsAt("node1")) == firstAccount
	}), ShouldBeTrue)
	return leader()
}
