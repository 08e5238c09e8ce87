package main

import (
	"context"
	"encoding/json"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	. "github.com/smartystreets/goconvey/convey"
)

func TestVersion(t *testing.T) {
	Convey("A released program names its version, its commit and its Go version", t, func() {
		released := filepath.Join(t.TempDir(), "deploy")
		built, err := exec.Command("go", "build", "-buildvcs=false", "-ldflags", "-X main.version=v1.2.3 -X main.commit=abcdef", "-o", released, ".").CombinedOutput()
		So(string(built), ShouldBeBlank)
		So(err, ShouldBeNil)
		said, err := exec.Command(released, "version").CombinedOutput()
		So(err, ShouldBeNil)
		So(string(said), ShouldEqual, "deploy v1.2.3, commit abcdef, "+runtime.Version()+"\n")

		Convey("And names the same to programs", func() {
			said, err := exec.Command(released, "version", "--json").Output()
			So(err, ShouldBeNil)
			first, _, _ := strings.Cut(string(said), "\n")
			var line struct {
				Kind  string
				Value map[string]string
			}
			So(json.Unmarshal([]byte(first), &line), ShouldBeNil)
			So(line.Kind, ShouldEqual, "version")
			So(line.Value, ShouldResemble, map[string]string{"version": "v1.2.3", "commit": "abcdef", "goVersion": runtime.Version()})
		})
	})
	Convey("A program that was built plainly names all three as well, without a stack file and without an engine", t, func() {
		stage(t)
		t.Chdir(t.TempDir())
		r := deploy(context.Background(), "version")
		So(r.exit, ShouldEqual, exitDone)
		So(r.stderr, ShouldBeBlank)
		this := thisProgram()
		So(this.Version, ShouldNotBeBlank)
		So(this.Commit, ShouldNotBeBlank)
		So(r.stdout, ShouldEqual, "deploy "+this.Version+", commit "+this.Commit+", "+runtime.Version()+"\n")
	})
	Convey("The help lists the command, and asks for no file where it takes none", t, func() {
		stage(t)
		So(deploy(context.Background(), "--help").stdout, ShouldContainSubstring, "\n  version ")
		own := deploy(context.Background(), "version", "--help").stdout
		So(own, ShouldStartWith, "usage: deploy version [FLAGS] \n")
		So(own, ShouldNotContainSubstring, "-f FILE")
		So(deploy(context.Background(), "status", "--help").stdout, ShouldStartWith, "usage: deploy status [-f FILE]... [FLAGS] \n")
	})
}
