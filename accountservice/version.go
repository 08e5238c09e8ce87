package main

import (
	"cmp"
	"fmt"
	"runtime"
	"runtime/debug"
)

// version and commit are set by scripts/build.sh with -ldflags -X. A plain go build
// leaves them empty, and what the go command recorded stands in.
var version, commit string

// build tells which build this is.
type build struct {
	version, commit, goVersion string
}

func thisBuild() build {
	b := build{version, commit, runtime.Version()}
	if info, ok := debug.ReadBuildInfo(); ok {
		b.version = cmp.Or(b.version, info.Main.Version)
		for _, setting := range info.Settings {
			if setting.Key == "vcs.revision" {
				b.commit = cmp.Or(b.commit, setting.Value)
			}
		}
	}
	b.version = cmp.Or(b.version, "(devel)")
	b.commit = cmp.Or(b.commit, "unknown")
	return b
}

func (b build) String() string {
	return fmt.Sprintf("accountservice %s, commit %s, %s", b.version, b.commit, b.goVersion)
}
