package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	. "github.com/smartystreets/goconvey/convey"
)

func TestInitSaysWhatIsNext(t *testing.T) {
	const guess, noCommit = "port 8080 is a guess", "no git commit yet, so each version is called dev"
	Convey("Given the directory of a service in Go, outside of git", t, func() {
		dir := stage(t)
		So(os.Remove(filepath.Join(dir, "stack.yml")), ShouldBeNil)
		put(t, filepath.Join(dir, "go.mod"), "module example.com/shop\n")
		put(t, filepath.Join(dir, "main.go"), "package main\n\nfunc main() {}\n")
		t.Chdir(dir)

		Convey("deploy init says that the port is a guess, and that the version comes from git", func() {
			r := deploy(context.Background(), "init")
			So(r.exit, ShouldEqual, exitDone)
			So(r.stdout, ShouldContainSubstring, guess)
			So(r.stdout, ShouldContainSubstring, noCommit)
		})
		Convey("with a port and a commit, it says neither", func() {
			for _, arguments := range [][]string{{"init", "--quiet"}, {"-c", "user.name=me", "-c", "user.email=me@example.com", "commit", "--quiet", "--allow-empty", "--message", "Begin"}} {
				So(exec.Command("git", arguments...).Run(), ShouldBeNil)
			}
			r := deploy(context.Background(), "init", "--port", "8080")
			So(r.exit, ShouldEqual, exitDone)
			So(r.stdout, ShouldNotContainSubstring, guess)
			So(r.stdout, ShouldNotContainSubstring, noCommit)
			So(r.stdout, ShouldContainSubstring, "==> Next:")
		})
	})
}
