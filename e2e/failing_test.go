package e2e

import (
	"testing"

	. "github.com/smartystreets/goconvey/convey"
)

func TestFailingTrial(t *testing.T) {
	url := deployed(t, "VERSION=good")
	for _, it := range []struct{ mood, flags, words string }{
		{"dead-at-start", "", "moody does not want to live"},
		{"dies-soon", "--rolling", "moody has had enough"},
		{"hangs", "", "health check: exit code 1: moody is not healthy"},
	} {
		Convey("A version that "+it.mood+" fails its trial, which shows why and touches nothing, by copyall.sh "+it.flags, t, func() {
			task := containers(t, "accountservice")
			r := script(moody(it.flags), "VERSION="+it.mood, "TRIAL_SECONDS=3")
			So(r.stderr, ShouldContainSubstring, "The trial of accountservice "+it.mood+" failed")
			So(r.stderr, ShouldContainSubstring, it.words)
			So(lastLine(r), ShouldEqual, "       accountservice was not touched: accountservice good serves at "+url)
			So(r.exit, ShouldEqual, 1)
			So(containers(t, "accountservice"), ShouldResemble, task)
			mustServe(t, url, "good")
		})
	}
}

func TestFailingService(t *testing.T) {
	url := deployed(t, "VERSION=good")
	for _, it := range []struct {
		mood, flags string
		words       []string
	}{
		{"crashes", "--rolling", []string{"moody crashes", "non-zero exit (3)"}}, // The engine itself restores the old version.
		{"dies", "", []string{"moody has had enough", "non-zero exit (4)"}},
		{"dies", "--rolling", []string{"moody has had enough", "non-zero exit (4)"}},
		// It ends with exit code 0 and without an error.
		{"sick", "", []string{"3 tasks of accountservice failed", "unhealthy; health check: exit code 1: moody is not healthy"}},
		{"sick", "--rolling", []string{"unhealthy; health check: exit code 1: moody is not healthy"}},
		{"wrong", "", []string{"moody says no", `Wanted was status 200 and the body {"id":"10000"`}},
		{"error", "--rolling", []string{"500 Internal Server Error: " + firstAccount}},
		{"greedy", "", []string{"it was killed because it used more memory than it may (its limit is 128 MiB)"}},
	} {
		Convey("A version that passes its trial and is "+it.mood+" in service is explained and undone, by copyall.sh "+it.flags, t, func() {
			r := script(moody(it.flags), "VERSION="+it.mood)
			for _, words := range it.words {
				So(r.stderr, ShouldContainSubstring, words)
			}
			So(r.stderr, ShouldNotContainSubstring, "somebody else") // The engine's rollback does not count as a change by somebody else.
			So(lastLine(r), ShouldEqual, "error: the deploy of accountservice "+it.mood+" failed; version good is back: accountservice good serves at "+url)
			So(r.exit, ShouldEqual, 1)
			mustServe(t, url, "good")
			So(script("status.sh").stdout, ShouldContainSubstring, " failed   "+it.mood+" ")
		})
	}
}

func TestFailingFirstVersion(t *testing.T) {
	Convey("Given nothing, a first deploy that fails leaves nothing that runs", t, func() {
		defer wipe(t)
		r := script(moody(""), "VERSION=wrong")
		So(r.stderr, ShouldContainSubstring, "moody says no")
		So(lastLine(r), ShouldEqual, "error: the deploy of accountservice wrong failed; nothing of it is left")
		So(r.exit, ShouldEqual, 1)
		So(docker(t, "service", "ls", "--quiet"), ShouldBeEmpty)

		back := script("rollback.sh")
		So(back.stderr, ShouldContainSubstring, "there is no service accountservice to roll back")
		So(back.exit, ShouldEqual, 1)
	})
}
