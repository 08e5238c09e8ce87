package main

import (
	"os"
	"runtime"
	"runtime/debug"
)

// ballast counts as memory in use but takes none, as nobody touches it.
//
//lint:ignore U1000 to be there is all that it does
var ballast []byte

// tuneGC sets when the garbage collector runs: when garbage has grown to a quarter of
// what is in use, ballast included. With few connections that is later than with Go's
// default, GOGC=100, and so costs less; with 1,000 it is earlier, and makes up for what
// the library for metrics needs at all times. A lower GOGC alone saves as much memory
// there, but costs 3 % more CPU per request at 64 connections.
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
