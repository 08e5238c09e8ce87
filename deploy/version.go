package main

import (
	"cmp"
	"context"
	"fmt"
	"runtime"
	"runtime/debug"

	"goblog/deploy/progress"
)

// version and commit are set with -ldflags -X in a release. After a plain go build they are
// empty: then the build information of the go command is used.
var version, commit string

// A program names a build of this program, in the same form as /version of the service.
type program struct {
	Version   string `json:"version"`
	Commit    string `json:"commit"`
	GoVersion string `json:"goVersion"`
}

func thisProgram() program {
	this := program{Version: version, Commit: commit, GoVersion: runtime.Version()}
	if info, ok := debug.ReadBuildInfo(); ok {
		this.Version = cmp.Or(this.Version, info.Main.Version)
		for _, setting := range info.Settings {
			if setting.Key == "vcs.revision" {
				this.Commit = cmp.Or(this.Commit, setting.Value)
			}
		}
	}
	this.Version = cmp.Or(this.Version, "(devel)")
	this.Commit = cmp.Or(this.Commit, "unknown")
	return this
}

// sayVersion tells the version of this program. It asks no engine, and reads no stack file.
func sayVersion(_ context.Context, o *options, out *progress.Printer) error {
	if len(o.arguments) > 0 {
		return usage("version takes no argument, but got '%s'", o.arguments[0])
	}
	this := thisProgram()
	out.Value("version", this)
	out.Text(fmt.Sprintf("deploy %s, commit %s, %s\n", this.Version, this.Commit, this.GoVersion))
	return nil
}
