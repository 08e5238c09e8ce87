package main

import (
	"os"
	"runtime"
	"runtime/debug"
)

const ballastSize = 16 << 20

// ballast counts as memory in use, but takes none: nothing ever writes to it.
//
//lint:ignore U1000 nothing reads it
var ballast []byte

// tuneGC makes the garbage collector run when there is garbage of 26 % of the memory in
// use, ballast included. With few connections, the collector runs as rarely as with Go's
// default, GOGC=100. With 1,000 connections it runs more often. This saves the memory that
// the metrics library takes. A lower GOGC without ballast saves as much there, but costs
// 3 % more CPU per request with 64 connections.
//
// tuneGC must run first. The runtime clears memory that was used before, and a ballast that
// is cleared takes memory. The first collection should wait for 4 MiB of garbage besides
// the ballast. It starts at 95 % of the smallest heap goal, which is GOGC * 4 MiB / 100.
// With 540 this is 20.5 MiB. (runtime/mgcpacer.go) Then a cleanup sets 26. Until it has
// run, for some milliseconds, the next goal is 110 MiB.
func tuneGC() {
	if os.Getenv("GOGC") != "" {
		return // The setting of the user counts.
	}
	debug.SetGCPercent(540)
	ballast = make([]byte, ballastSize)
	firstGarbage := new([4]*byte)
	runtime.AddCleanup(firstGarbage, func(percent int) { debug.SetGCPercent(percent) }, 26)
}
