package main

import (
	"os"
	"runtime"
	"runtime/debug"
)

// ballast counts as memory in use but takes none, as nobody touches it.
var ballast []byte

// tuneGC sets when the garbage collector runs: when garbage has grown to a quarter of
// what is in use, ballast included. That is to say, at 4 to 5 MiB of garbage where there
// are few connections, seldom enough to cost little; and at 1,000 connections at 7 MiB,
// where Go's default, GOGC=100, would let 11 MiB pile up. That makes up for what the
// library for metrics needs at all times.
//
// It waits for the first collection. A service that is idle needs none for minutes, and
// the ballast would bring one about at once, for which the runtime takes half a MiB.
func tuneGC() {
	if os.Getenv("GOGC") != "" {
		return // Whoever runs this knows better.
	}
	firstGarbage := new([4]*byte)
	runtime.AddCleanup(firstGarbage, func(size int) {
		ballast = make([]byte, size)
		debug.SetGCPercent(26)
	}, 16<<20)
}
