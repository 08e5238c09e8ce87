// Package progress prints the progress of a deploy. In a log, each event is a line. On a
// terminal, each task has one moving line. For programs, each line is a JSON object. A deploy
// continues when nobody reads its output any more, so errors of writing are ignored.
package progress

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
)

// A Printer prints for people or for programs.
type Printer struct {
	Out, Err io.Writer
	JSON     bool // everything goes to Out, as one JSON object on each line
	screen   *screen
}

// A Task is the state of one task at a moment.
type Task struct {
	Name    string  `json:"task"` // SERVICE.SLOT
	Node    string  `json:"node,omitempty"`
	State   string  `json:"state"`           // in the swarm's words
	Seconds float64 `json:"seconds"`         // since the change; for a running task, until it ran
	Error   string  `json:"error,omitempty"` // in the engine's words
	// New tells that the task runs, or has failed, since the last look.
	New bool `json:"-"`
	// Over tells that the task has failed.
	Over bool `json:"-"`
}

func (t Task) String() string {
	text := t.Name
	if t.Node != "" {
		text += " on " + t.Node
	}
	return text
}

// A record is a line of JSON.
type record struct {
	Time time.Time `json:"time"`
	// Kind is step, detail, warning, explanation, error, task, answer, end, or that of a value.
	Kind  string   `json:"kind"`
	Text  string   `json:"text,omitempty"`
	Lines []string `json:"lines,omitempty"`
	*Task
	Service string `json:"service,omitempty"`
	URL     string `json:"url,omitempty"`
	Exit    *int   `json:"exit,omitempty"`
	Value   any    `json:"value,omitempty"`
}

// write writes a record as JSON. Without JSON, it clears the moving lines, writes by plain,
// and draws the moving lines again.
func (p *Printer) write(one record, plain func()) {
	if p.JSON {
		one.Time = time.Now().UTC()
		text, err := json.Marshal(one)
		if err == nil {
			fmt.Fprintf(p.Out, "%s\n", text)
		}
		return
	}
	p.screen.clear()
	plain()
	p.screen.draw()
}

// Step begins a step, and says what happens now.
func (p *Printer) Step(format string, arguments ...any) {
	text := fmt.Sprintf(format, arguments...)
	p.write(record{Kind: "step", Text: text}, func() { fmt.Fprintf(p.Out, "%s %s\n", p.screen.paint(bold, "==>"), text) })
}

// Detail says more about the step.
func (p *Printer) Detail(format string, arguments ...any) {
	text := fmt.Sprintf(format, arguments...)
	p.write(record{Kind: "detail", Text: text}, func() { fmt.Fprintf(p.Out, "    %s\n", text) })
}

// Warn prints a warning.
func (p *Printer) Warn(text string) {
	p.write(record{Kind: "warning", Text: text}, func() { fmt.Fprintf(p.Err, "%s %s\n", p.screen.paint(yellow, "==> Warning:"), text) })
}

// Explain says why something failed: one line, and more lines below it.
func (p *Printer) Explain(heading string, lines ...string) {
	p.write(record{Kind: "explanation", Text: heading, Lines: lines}, func() {
		fmt.Fprintf(p.Err, "%s %s\n", p.screen.paint(red, "==>"), heading)
		for _, line := range lines {
			fmt.Fprintf(p.Err, "    %s\n", line)
		}
	})
}

// Fail prints an error. The lines below it have the words of the tool that failed, and say
// what to do.
func (p *Printer) Fail(problem string, lines ...string) {
	var parts []string
	for _, line := range lines {
		for part := range strings.SplitSeq(line, "\n") {
			if part != "" {
				parts = append(parts, part)
			}
		}
	}
	p.write(record{Kind: "error", Text: problem, Lines: parts}, func() {
		fmt.Fprintf(p.Err, "%s %s\n", p.screen.paint(red, "error:"), problem)
		for _, part := range parts {
			fmt.Fprintf(p.Err, "       %s\n", part)
		}
	})
}

// Tasks prints the state of the tasks that a deploy waits for.
func (p *Printer) Tasks(tasks []Task) {
	for _, task := range tasks {
		if !task.New || p.screen != nil && !p.JSON && !task.Over {
			continue
		}
		p.write(record{Kind: "task", Task: &task}, func() {
			text := fmt.Sprintf("%s: %s, after %.1f s", task, task.State, task.Seconds)
			if task.Error != "" {
				text += ": " + task.Error
			}
			fmt.Fprintf(p.Out, "    %s\n", text)
		})
	}
	if !p.JSON {
		p.screen.show(tasks)
	}
}

// Rest ends a wait for tasks: their lines do not move any more.
func (p *Printer) Rest() { p.screen.leave() }

// Answers tells that a URL gives the right answer.
func (p *Printer) Answers(service, url string) {
	p.write(record{Kind: "answer", Service: service, URL: url}, func() { fmt.Fprintf(p.Out, "    %s answers: %s\n", service, url) })
}

// Value prints a value for programs. People get it as text.
func (p *Printer) Value(kind string, value any) {
	if p.JSON {
		p.write(record{Kind: kind, Value: value}, nil)
	}
}

// Text writes text for people as it is.
func (p *Printer) Text(text string) {
	if !p.JSON {
		fmt.Fprint(p.Out, text)
	}
}

// End tells programs the exit code.
func (p *Printer) End(exit int) {
	if p.JSON {
		p.write(record{Kind: "end", Exit: &exit}, nil)
	}
}
