package docs

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	. "github.com/smartystreets/goconvey/convey"
)

// A page has the parts of a Markdown file that the tests check.
type page struct {
	links    []string
	anchors  []string // as GitHub makes them of the headings
	commands []string // the lines of sh blocks, and code in the text that is a command
	notes    []string // footnotes that are used, and not defined, or the other way round
}

var (
	linkForm    = regexp.MustCompile(`\]\(<?([^)\s>]+)|(?:href|src|srcset)="([^"]+)"|^\[[^\]^]+\]: (\S+)`)
	headingForm = regexp.MustCompile(`^#{1,6} +(.*)`)
	fenceForm   = regexp.MustCompile("^ *(```+)")
	codeForm    = regexp.MustCompile("`([^`]+)`")
	noteForm    = regexp.MustCompile(`\[\^([^\]]+)\](:?)`)
	commandForm = regexp.MustCompile(`^([A-Z0-9_]+=\S+ )*(make|deploy|go test|(\./)?scripts/\S+\.sh)( |$)`)
)

// read finds links, anchors and commands.
func read(text string) page {
	var p page
	seen := map[string]int{}
	used, defined := map[string]bool{}, map[string]bool{}
	fence := ""
	for _, block := range Blocks(text) {
		for _, command := range block {
			p.commands = append(p.commands, command.Line)
		}
	}
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		if match := fenceForm.FindStringSubmatch(line); match != nil && (fence == "" || strings.HasPrefix(match[1], fence)) {
			if fence == "" {
				fence = match[1]
			} else {
				fence = ""
			}
			continue
		}
		if fence != "" {
			continue
		}
		for _, match := range codeForm.FindAllStringSubmatch(line, -1) {
			if commandForm.MatchString(match[1]) {
				p.commands = append(p.commands, match[1])
			}
		}
		for _, match := range linkForm.FindAllStringSubmatch(codeForm.ReplaceAllString(line, "code"), -1) {
			p.links = append(p.links, match[1]+match[2]+match[3])
		}
		for _, match := range noteForm.FindAllStringSubmatch(line, -1) {
			used[match[1]] = used[match[1]] || match[2] == ""
			defined[match[1]] = defined[match[1]] || match[2] == ":"
		}
		if match := headingForm.FindStringSubmatch(line); match != nil {
			anchor := anchorOf(match[1])
			if seen[anchor]++; seen[anchor] > 1 {
				anchor = fmt.Sprintf("%s-%d", anchor, seen[anchor]-1)
			}
			p.anchors = append(p.anchors, anchor)
		}
	}
	for _, note := range slices.Sorted(maps.Keys(used)) {
		if !used[note] || !defined[note] {
			p.notes = append(p.notes, note)
		}
	}
	return p
}

// anchorOf is the anchor that GitHub makes of a heading.
func anchorOf(heading string) string {
	heading = regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`).ReplaceAllString(heading, "$1")
	return strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
			return unicode.ToLower(r)
		}
		return -1
	}, heading)
}

func TestPages(t *testing.T) {
	Convey("Links, anchors, footnotes and commands of a page are found, and nothing in code is a link", t, func() {
		p := read("# A page: `code`, and [a link](there.md)\n" +
			"See [one](one.md#a) and [two](<two.md> \"title\"), not `[three](three.md)`.\n" +
			"<img src=\"four.png\"><a href=\"five.md\">\n" +
			"[six]: six.md\nSaid [^note], [^none].\n\n[^note]: A note.\n[^lost]: Another.\n" +
			"## Again\n## Again\n" +
			"Run `make test`, or `VERSION=2 deploy up`; `make` files are `deploy/stack`.\n" +
			"```sh\n# no heading\nmake run \\\n  X=1\n```\n```yaml\n[a](b.md)\n```\n")
		So(p.links, ShouldResemble, []string{"there.md", "one.md#a", "two.md", "four.png", "five.md", "six.md"})
		So(p.anchors, ShouldResemble, []string{"a-page-code-and-a-link", "again", "again-1"})
		So(p.notes, ShouldResemble, []string{"lost", "none"})
		So(p.commands, ShouldResemble, []string{"make run   X=1", "make test", "VERSION=2 deploy up", "make"})
	})
	Convey("What a reader is told about a command is no part of it, and a # in a word is", t, func() {
		blocks := Blocks("```sh\nmake test   # long\n\ncurl http://127.0.0.1/#a\n  # none\n```\n1. One:\n   ```sh\n   cd a\n   ```\n```yaml\nx: 1\n```\n")
		So(blocks, ShouldResemble, [][]Command{{{"make test", "long"}, {"curl http://127.0.0.1/#a", ""}}, {{"cd a", ""}}})
	})
}
