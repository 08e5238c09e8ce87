package e2e

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	. "github.com/smartystreets/goconvey/convey"
)

// changeByHand updates accountservice by hand, and waits until the change runs.
func changeByHand(t *testing.T, url string) {
	t.Helper()
	before := containers(t, "accountservice")
	docker(t, "service", "update", "--detach", "--env-add", "A=1", "--limit-memory", "200m", "accountservice")
	if !eventually(60*time.Second, func() bool {
		now := containers(t, "accountservice")
		return len(now) == 1 && now[0] != before[0] && get(url) == firstAccount &&
			docker(t, "service", "inspect", "--format", "{{.UpdateStatus.State}}", "accountservice") == "completed"
	}) {
		t.Fatal("the change by hand does not get through")
	}
}

// mustBeChanged asserts that accountservice runs with the changes of changeByHand.
func mustBeChanged(t *testing.T) {
	t.Helper()
	container := containers(t, "accountservice")[0]
	So(docker(t, "inspect", "--format", "{{.Config.Env}} {{.HostConfig.Memory}}", container), ShouldContainSubstring, "A=1")
	So(docker(t, "inspect", "--format", "{{.HostConfig.Memory}}", container), ShouldEqual, "209715200")
}

// specOf is the Spec of accountservice, without the parts that each deploy sets: its labels,
// and the ids of networks.
func specOf(t *testing.T) string {
	t.Helper()
	text := docker(t, "service", "inspect", "--format", "{{json .Spec}}", "accountservice")
	text = regexp.MustCompile(`"deploy\.[a-z]+":"[^"]*",?`).ReplaceAllString(text, "")
	text = regexp.MustCompile(`"Target":"[a-z0-9]{25}"`).ReplaceAllString(text, `"Target":"network"`)
	var tree map[string]any
	if err := json.Unmarshal([]byte(text), &tree); err != nil {
		t.Fatal(err)
	}
	sorted, err := json.MarshalIndent(tree, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(sorted)
}

func TestUndo(t *testing.T) {
	Convey("Given version one, changed by hand, when a deploy of version two fails", t, func() {
		url := deployed(t, "VERSION=one")
		changeByHand(t, url)
		before := specOf(t)
		task := containers(t, "accountservice")

		Convey("version one is back as it was, proven by its own path at its own port", func() {
			for _, it := range []struct {
				flags    string
				settings []string
			}{
				{"", []string{"VERIFY_PATH=/v2"}},
				{"--rolling", []string{"NETWORK=other_network", "PORT=7676", "VERIFY_BODY=nothing"}},
			} {
				r := script("copyall.sh "+it.flags, append(it.settings, "VERSION=two")...)
				So(lastLine(r), ShouldEqual, "error: the deploy of accountservice two failed; version one is back: accountservice one serves at "+url)
				So(r.exit, ShouldEqual, 1)
				So(containers(t, "accountservice"), ShouldNotResemble, task)
				So(specOf(t), ShouldEqual, before)
				mustBeChanged(t)
				mustServe(t, url, "one")
			}
		})
	})
}

func TestRollback(t *testing.T) {
	Convey("Given three versions deployed in turn, the first changed by hand", t, func() {
		url := deployed(t, "VERSION=one", "SERVICE_ENV=GREETING=hello")
		changeByHand(t, url)
		first := specOf(t)
		two := script("copyall.sh --rolling", "VERSION=two", "PORT=7676", "VERIFY_PATH=/accounts/10001", "LIMIT_MEMORY=100m")
		So(two.String(), ShouldContainSubstring, "==> Updating accountservice to two")
		So(two.exit, ShouldEqual, 0)
		second, at := specOf(t), answeringURL(two)
		So(at, ShouldEndWith, ":7676/accounts/10001")

		Convey("the plan names what changes, and what it overwrites of the change by hand", func() {
			for _, line := range []string{
				"    environment.A: removed, which overwrites a change made by hand\n",
				"    environment.GREETING: removed\n",
				"    deploy.resources.limits.memory: 200MiB → 100MiB, which overwrites a change made by hand\n",
				"    ports.6767/tcp.PublishedPort: 6767 → 7676\n",
			} {
				So(two.stdout, ShouldContainSubstring, line)
			}
			So(two.String(), ShouldNotContainSubstring, "hello") // It may be a secret.

			// rollback.sh needs none of the settings.
			So(os.Getenv("PORT"), ShouldBeEmpty)
			back := script("rollback.sh")
			So(back.String(), ShouldContainSubstring, "==> Rolled accountservice back to one: accountservice one serves at "+url)
			So(back.exit, ShouldEqual, 0)
			So(specOf(t), ShouldEqual, first)
			mustBeChanged(t)
			mustServe(t, url, "one")

			forth := script("rollback.sh")
			So(forth.String(), ShouldContainSubstring, "==> Rolled accountservice back to two: accountservice two serves at "+at)
			So(specOf(t), ShouldEqual, second)

			So(script("copyall.sh", "VERSION=three").exit, ShouldEqual, 0)
			third := specOf(t)
			for _, it := range []struct{ n, want string }{{"1", first}, {"2", second}, {"5", third}} { // 5 runs now.
				r := script("rollback.sh " + it.n)
				So(r.stderr, ShouldBeEmpty)
				So(r.exit, ShouldEqual, 0)
				So(specOf(t), ShouldEqual, it.want)
			}

			for _, wrong := range []string{"77", "nothing", "1 2"} {
				r := script("rollback.sh " + wrong)
				So(r.exit, ShouldBeIn, 1, 2)
			}
			So(strings.Count(script("status.sh").stdout, " done "), ShouldBeLessThanOrEqualTo, 10)
		})
	})
}

func TestRemovedByHand(t *testing.T) {
	Convey("Given a service with a history, which somebody has removed by hand", t, func() {
		url := deployed(t, "VERSION=one")
		So(script("copyall.sh", "VERSION=two").exit, ShouldEqual, 0)
		docker(t, "service", "rm", "accountservice")

		Convey("status.sh says so, and rollback.sh creates again what ran last, or what is asked for", func() {
			So(script("status.sh").stdout, ShouldContainSubstring, "There is no service accountservice; scripts/rollback.sh accountservice creates again the version that ran last")
			back := script("rollback.sh")
			So(back.String(), ShouldContainSubstring, "==> Rolled accountservice back to two: accountservice two serves at "+url)
			So(back.exit, ShouldEqual, 0)
			mustServe(t, url, "two")

			// Scaled to 0, it has no tasks, neither for a proof nor for a rollback.
			docker(t, "service", "scale", "--detach", "accountservice=0")
			So(script("copyall.sh", "VERSION=three").exit, ShouldEqual, 0)
			mustServe(t, url, "three")
			So(script("rollback.sh").exit, ShouldEqual, 0)
			mustServe(t, url, "two")
		})
	})
}

func TestReplicas(t *testing.T) {
	Convey("Given a service that was scaled by hand to 3", t, func() {
		t.Cleanup(func() { wipe(t) })
		quiet := " -f " + repository("e2e/testdata/quiet/stack.yml")
		So(script("copyall.sh"+quiet, "VERSION=one").exit, ShouldEqual, 0)
		docker(t, "service", "scale", "--detach", "accountservice=3")
		replicas := func() string {
			return docker(t, "service", "inspect", "--format", "{{.Spec.Mode.Replicated.Replicas}}", "accountservice")
		}
		So(eventually(60*time.Second, func() bool { return len(containers(t, "accountservice")) == 3 }), ShouldBeTrue)

		Convey("a rolling deploy and its rollback leave the number alone, and another number in the deploy wins", func() {
			two := script("copyall.sh --rolling"+quiet, "VERSION=two")
			So(two.String(), ShouldContainSubstring, "The 3 replicas of accountservice stay")
			So(two.exit, ShouldEqual, 0)
			So(replicas(), ShouldEqual, "3")
			So(script("rollback.sh").exit, ShouldEqual, 0)
			So(replicas(), ShouldEqual, "3")
			So(len(containers(t, "accountservice")), ShouldBeGreaterThanOrEqualTo, 3)

			other := script("copyall.sh --rolling"+quiet, "VERSION=three", "REPLICAS=2")
			So(other.String(), ShouldContainSubstring, "This changes the replicas of accountservice from 3 to 2")
			So(other.exit, ShouldEqual, 0)
			So(replicas(), ShouldEqual, "2")
		})
	})
}
