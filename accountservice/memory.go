package main

import (
	"os"
	"runtime"
	"runtime/debug"
)

const ballastSize = 16 << 20

// ballast counts as memory in use but takes none, as nobody touches it.
//
//lint:ignore U1000 to be there is all that it does
var ballast []byte

// tuneGC sets when the garbage collector runs: when garbage has grown to a quarter of
// what is in use, ballast included. With few connections that is as seldom as with Go's
// default, GOGC=100; with 1,000 it is more often, and makes up for what the library for
// metrics needs at all times. A lower GOGC alone saves as much memory there, but costs
// 3 % more CPU per request at 64 connections.
//
// It must come first: only memory that was never in use need not be cleared, and so
// touched. The first collection has to wait for 4 MiB of garbage on top of the ballast.
// It starts at 95 % of the heap's minimum, which is GOGC * 4 MiB / 100: 540 makes that
// 20.6 MiB. (runtime/mgcpacer.go) For the milliseconds until the cleanup has run after
// it, the next one's goal is 110 MiB.
func tuneGC() {
	if os.Getenv("GOGC") != "" {
		return // Whoever runs this knows better.
	}
	debug.SetGCPercent(540)
	ballast = make([]byte, ballastSize)
	firstGarbage := new([4]*byte)
	runtime.AddCleanup(firstGarbage, func(percent int) { debug.SetGCPercent(percent) }, 26)
}
