package main

import (
	"cmp"
	"runtime"
	"runtime/debug"

	"goblog/accountservice/httpapi"
)

// The deploy program sets version and commit with -ldflags -X. A plain go build leaves them
// empty. Then the values that the go command recorded are used.
var version, commit string

func thisBuild() httpapi.Build {
	b := httpapi.Build{Version: version, Commit: commit, GoVersion: runtime.Version()}
	if info, ok := debug.ReadBuildInfo(); ok {
		b.Version = cmp.Or(b.Version, info.Main.Version)
		for _, setting := range info.Settings {
			if setting.Key == "vcs.revision" {
				b.Commit = cmp.Or(b.Commit, setting.Value)
			}
		}
	}
	b.Version = cmp.Or(b.Version, "(devel)")
	b.Commit = cmp.Or(b.Commit, "unknown")
	return b
}
