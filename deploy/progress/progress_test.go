package progress

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	. "github.com/smartystreets/goconvey/convey"
)

// told lets a printer print a short deploy.
func told(p *Printer) {
	p.Step("Creating %s", "web")
	p.Tasks([]Task{{Name: "web.1", Node: "n1", State: "starting", Seconds: 0.4}})
	p.Warn("beware")
	p.Tasks([]Task{{Name: "web.1", Node: "n1", State: "failed", Seconds: 0.9, Error: "exit (3)", New: true, Over: true}, {Name: "web.1", State: "pending", Seconds: 0.9}})
	p.Tasks([]Task{{Name: "web.1", Node: "n1", State: "running", Seconds: 1.2, New: true}})
	p.Rest()
	p.Answers("web", "http://192.0.2.1:80/")
	p.Explain("It failed", "because")
	p.Fail("no", "a\n\nb", "c")
	p.End(1)
}

func TestLog(t *testing.T) {
	Convey("A log has a line an event", t, func() {
		var out, err bytes.Buffer
		told(&Printer{Out: &out, Err: &err})
		So(out.String(), ShouldEqual, "==> Creating web\n    web.1 on n1: failed, after 0.9 s: exit (3)\n    web.1 on n1: running, after 1.2 s\n    web answers: http://192.0.2.1:80/\n")
		So(err.String(), ShouldEqual, "==> Warning: beware\n==> It failed\n    because\nerror: no\n       a\n       b\n       c\n")
	})
}

func TestJSON(t *testing.T) {
	Convey("Programs get an object a line, all of it in one place, and the exit code at the end", t, func() {
		var out, err bytes.Buffer
		p := &Printer{Out: &out, Err: &err, JSON: true}
		told(p)
		p.Text("for people only")
		So(err.String(), ShouldBeEmpty)
		var kinds []string
		var last map[string]any
		for line := range strings.Lines(out.String()) {
			last = map[string]any{}
			So(json.Unmarshal([]byte(line), &last), ShouldBeNil)
			So(last["time"], ShouldNotBeEmpty)
			kinds = append(kinds, last["kind"].(string))
		}
		So(strings.Join(kinds, " "), ShouldEqual, "step warning task task answer explanation error end")
		So(last["exit"], ShouldEqual, 1)
		So(out.String(), ShouldContainSubstring, `"task":"web.1","node":"n1","state":"failed","seconds":0.9,"error":"exit (3)"`)
		So(out.String(), ShouldContainSubstring, `"service":"web","url":"http://192.0.2.1:80/"`)
		So(out.String(), ShouldContainSubstring, `"text":"no","lines":["a","b","c"]`)
	})
}

// A display is a terminal that knows the two codes that are used: up and erase, and colours.
type display struct {
	lines []string
	raw   string
}

func (d *display) Write(text []byte) (int, error) {
	d.raw += string(text)
	rest := string(text)
	for rest != "" {
		if after, found := strings.CutPrefix(rest, "\x1b["); found {
			code, end, _ := strings.Cut(after, "F\x1b[J")
			lines := int(code[0] - '0')
			d.lines = d.lines[:len(d.lines)-lines]
			rest = end
			continue
		}
		line, after, whole := strings.Cut(rest, "\n")
		if !whole {
			panic("half a line")
		}
		d.lines, rest = append(d.lines, line), after
	}
	return len(text), nil
}

func TestTerminal(t *testing.T) {
	on := func(width int) (*Printer, *display) {
		d := &display{}
		return &Printer{Out: d, Err: d, screen: &screen{out: d, width: func() int { return width }}}, d
	}
	Convey("On a terminal, a task has one line that moves, and stays when the wait ends", t, func() {
		p, d := on(80)
		p.Step("Creating web")
		p.Tasks([]Task{{Name: "web.1", Node: "n1", State: "starting", Seconds: 0.4}, {Name: "web.2", State: "pending", Seconds: 0.4, Error: "no room"}})
		So(d.lines, ShouldResemble, []string{"==> Creating web", "    web.1 on n1  starting   0.4 s", "    web.2        pending    0.4 s  no room"})
		p.Tasks([]Task{{Name: "web.1", Node: "n1", State: "running", Seconds: 1.2, New: true}, {Name: "web.2", Node: "n2", State: "starting", Seconds: 1.2}})
		So(d.lines, ShouldResemble, []string{"==> Creating web", "    web.1 on n1  running    1.2 s", "    web.2 on n2  starting   1.2 s"})
		p.Rest()
		p.Answers("web", "http://192.0.2.1/")
		So(d.lines, ShouldResemble, []string{"==> Creating web", "    web.1 on n1  running    1.2 s", "    web.2 on n2  starting   1.2 s", "    web answers: http://192.0.2.1/"})
	})
	Convey("What else is told stands above the moving lines, and a failed task for good", t, func() {
		p, d := on(80)
		p.Tasks([]Task{{Name: "web.1", State: "starting"}})
		p.Warn("beware")
		So(d.lines, ShouldResemble, []string{"==> Warning: beware", "    web.1  starting   0.0 s"})
		p.Tasks([]Task{{Name: "web.1", State: "failed", Seconds: 0.9, Error: "exit (3)", New: true, Over: true}, {Name: "web.1", State: "ready", Seconds: 0.9}})
		So(d.lines, ShouldResemble, []string{"==> Warning: beware", "    web.1: failed, after 0.9 s: exit (3)", "    web.1  ready      0.9 s"})
	})
	for _, width := range []int{1, 10, 20, 40} {
		Convey("On a narrow terminal no moving line wraps", t, func() {
			p, d := on(width)
			p.Tasks([]Task{{Name: "web.1", Node: "a-node-of-a-long-name", State: "pending", Error: strings.Repeat("no suitable node ", 10)}})
			So(len([]rune(d.lines[0])), ShouldBeLessThan, max(width, 2))
			p.Tasks(nil)
			So(d.lines, ShouldBeEmpty)
		})
	}
	Convey("Colours come only where they are wanted", t, func() {
		var plain, colored bytes.Buffer
		So((&screen{}).paint(red, "x"), ShouldEqual, "x")
		So((*screen)(nil).paint(red, "x"), ShouldEqual, "x")
		So((&screen{color: true}).paint(red, "x"), ShouldEqual, "\x1b[31mx\x1b[0m")
		p := &Printer{Out: &plain, Err: &colored, screen: &screen{out: &plain, color: true, width: func() int { return 80 }}}
		p.Tasks([]Task{{Name: "web.1", State: "running", Seconds: 1}})
		So(plain.String(), ShouldEqual, "    web.1  \x1b[32mrunning  \x1b[0m  1.0 s\n")
	})
}
