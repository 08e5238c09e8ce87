package main

import (
	"os"
	"runtime/debug"
)

// ballast counts as memory in use but takes none, as nobody touches it.
var ballast []byte

// tuneGC sets when the garbage collector runs: when garbage has grown to a quarter of
// what is in use, ballast included. That is to say, at 4 to 5 MiB of garbage where there
// are few connections, seldom enough to cost little; and at 1,000 connections at 7 MiB,
// where Go's default, GOGC=100, would let 11 MiB pile up. What the library for metrics
// needs at all times is made up for by that.
func tuneGC() {
	if os.Getenv("GOGC") != "" {
		return // Whoever runs this knows better.
	}
	ballast = make([]byte, 16<<20)
	debug.SetGCPercent(26)
}
