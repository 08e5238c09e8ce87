// Package progress tells people how a deploy goes on: a line an event. A deploy goes on
// where nobody reads any more what it says, so errors of writing are ignored.
package progress

import (
	"fmt"
	"io"
	"strings"
)

// A Printer writes what is told.
type Printer struct {
	Out, Err io.Writer
}

// Step begins a step: it says what is done now.
func (p *Printer) Step(format string, arguments ...any) {
	fmt.Fprintf(p.Out, "==> "+format+"\n", arguments...)
}

// Detail says more of the step.
func (p *Printer) Detail(format string, arguments ...any) {
	fmt.Fprintf(p.Out, "    "+format+"\n", arguments...)
}

// Warn says what may surprise.
func (p *Printer) Warn(text string) {
	fmt.Fprintf(p.Err, "==> Warning: %s\n", text)
}

// Explain says why something failed: a line of its own, and more below it.
func (p *Printer) Explain(heading string, lines ...string) {
	fmt.Fprintf(p.Err, "==> %s\n", heading)
	for _, line := range lines {
		fmt.Fprintf(p.Err, "    %s\n", line)
	}
}

// Fail says what went wrong, and below it, in the tool's words and ours, more of that and
// what to do.
func (p *Printer) Fail(problem string, lines ...string) {
	fmt.Fprintf(p.Err, "error: %s\n", problem)
	for _, line := range lines {
		for part := range strings.SplitSeq(line, "\n") {
			if part != "" {
				fmt.Fprintf(p.Err, "       %s\n", part)
			}
		}
	}
}
