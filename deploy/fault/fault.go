// Package fault ends the program after a panic in a goroutine as after a panic in main: with
// true words and exit code 1. Go's own exit code is 2, and here this means that nothing was
// changed.
package fault

import (
	"fmt"
	"os"
	"strings"
)

// Exit is the exit code after a panic.
const Exit = 1

// Text says what a panic was.
func Text(fault any) string { return fmt.Sprintf("this program has a fault: %v", fault) }

// Advice says what a panic may have left, and what to do.
var Advice = []string{
	"a change may be only half done: what a deploy or rollback has changed, the next one undoes",
	"see what runs: scripts/status.sh",
}

// Caught is a function for a goroutine. If it panics, the program ends at once: a deploy must
// not go on without its beat. The next command finds the lock and the entry of this one.
func Caught(do func()) func() {
	return func() {
		defer func() {
			if fault := recover(); fault != nil {
				fmt.Fprintln(os.Stderr, "error: "+Text(fault)+"\n       "+strings.Join(Advice, "\n       "))
				os.Exit(Exit)
			}
		}()
		do()
	}
}
