package progress

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/term"
)

// A screen is a terminal whose last lines move. A nil screen is no terminal: there are no
// moving lines and no colours.
type screen struct {
	out   io.Writer
	width func() int
	color bool
	tasks []Task
	drawn int // number of moving lines on the terminal now
}

// Codes of ECMA-48, "Control Functions for Coded Character Sets".
const (
	bold   = "1"
	red    = "31"
	green  = "32"
	yellow = "33"
	// up moves the cursor to the first of some lines above, and erases from there.
	up = "\x1b[%dF\x1b[J"
)

// New returns a printer for the output of the program. On a terminal, each task has a moving
// line. With NO_COLOR (see no-color.org), there are no colours.
func New(out, err *os.File) *Printer {
	p := &Printer{Out: out, Err: err}
	if term.IsTerminal(int(out.Fd())) && os.Getenv("TERM") != "dumb" {
		p.screen = &screen{out: out, color: os.Getenv("NO_COLOR") == "", width: func() int {
			width, _, err := term.GetSize(int(out.Fd()))
			if err != nil || width <= 0 {
				return 80
			}
			return width
		}}
	}
	return p
}

// paint colours a word.
func (s *screen) paint(code, text string) string {
	if s == nil || !s.color {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

// clear erases the moving lines, to make room for others.
func (s *screen) clear() {
	if s != nil {
		io.WriteString(s.out, s.erased())
	}
}

// draw writes the moving lines again.
func (s *screen) draw() {
	if s != nil {
		io.WriteString(s.out, s.lines())
	}
}

// show draws the moving lines again, in one write: with several writes, a terminal would
// flicker. Tasks that have failed have a fixed line already.
func (s *screen) show(tasks []Task) {
	if s == nil {
		return
	}
	s.tasks = slices.DeleteFunc(slices.Clone(tasks), func(task Task) bool { return task.Over })
	erased := s.erased()
	io.WriteString(s.out, erased+s.lines())
}

func (s *screen) erased() string {
	if s.drawn == 0 {
		return ""
	}
	lines := s.drawn
	s.drawn = 0
	return fmt.Sprintf(up, lines)
}

// lines are the moving lines. Each is cut to the width of the terminal. A line that wraps
// would take two lines, and then the cursor would not go up far enough.
func (s *screen) lines() string {
	longest := 0
	for _, task := range s.tasks {
		longest = max(longest, utf8.RuneCountInString(task.String()))
	}
	var text strings.Builder
	for _, task := range s.tasks {
		name := fmt.Sprintf("    %-*s  ", longest, task)
		state, seconds := fmt.Sprintf("%-9s", task.State), fmt.Sprintf("%5.1f s", task.Seconds)
		said := ""
		if task.Error != "" {
			said = "  " + task.Error
		}
		color := yellow
		if task.State == "running" {
			color = green
		}
		room := s.width() - 1 - utf8.RuneCountInString(name+state+seconds)
		if room < 0 {
			text.WriteString(cut(name+state+seconds, s.width()-1) + "\n")
		} else {
			text.WriteString(name + s.paint(color, state) + seconds + cut(said, room) + "\n")
		}
		s.drawn++
	}
	return text.String()
}

// leave leaves the moving lines where they are, and moves them no more.
func (s *screen) leave() {
	if s != nil {
		s.tasks, s.drawn = nil, 0
	}
}

// cut shortens a text to room characters.
func cut(text string, room int) string {
	runes := []rune(text)
	if len(runes) <= room {
		return text
	}
	if room < 1 {
		return ""
	}
	return string(runes[:room-1]) + "…"
}
