package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	. "github.com/smartystreets/goconvey/convey"
)

// messagePage is the page for people. The tables of all messages follow messageMark. The text
// before it is written by hand.
const (
	messagePage = "../docs/troubleshooting.md"
	messageMark = "<!-- messages: made from the code by UPDATE=1 go test -C deploy -run TestMessageTable . -->\n"
)

// sources are the places that messages come from. makers are the functions and types that
// make an error of a message, with the places of problem and advice among their arguments or
// fields. If the place of advice is -1, the message is one text. A package may also be a
// single file.
var sources = []struct {
	title, intro string
	packages     []string
	makers       map[string][2]int
	words        int // the least number of words in a message: a shorter text is a part of a message
}{
	{"Exit code 2: the command, a setting or the stack file", "Nothing was changed. For a fault in a stack file, the message begins with the file and the key.",
		[]string{".", "stack", "plan", "scaffold/find.go"}, map[string][2]int{"usage": {0, -1}, "w.fault": {1, -1}, "stack:fmt.Errorf": {0, -1}, "stack:errors.New": {0, -1}, "scaffold/find.go:fmt.Errorf": {0, -1}, "scaffold/find.go:errors.New": {0, -1}}, 2},
	{"Exit code 1: why a deploy, a rollback or a removal ended", "The last line says which version serves now.",
		[]string{".", "plan", "build", "journal", "scaffold/scaffold.go"}, map[string][2]int{"scaffold/scaffold.go:fmt.Errorf": {0, -1}, "failed": {0, 1}, "Obstacle": {0, 1}, "Failure": {0, 2}, "build:failed": {2, 4}, "build:b.docker": {1, 2}, ".:fmt.Errorf": {0, -1}, "build:fmt.Errorf": {0, -1}, "journal:fmt.Errorf": {0, -1}, "plan:fmt.Errorf": {0, -1}}, 2},
	{"Exit code 130: interrupted", "The cause is Ctrl-C, SIGTERM, or a terminal that was closed.",
		[]string{"main.go", "up.go"}, map[string][2]int{"outcome": {0, -1}, "fmt.Fprintln": {1, -1}}, 1},
	{"What was undone, and what serves now", "These are parts of the last line, when a deploy or a rollback changed something and then failed (exit code 1) or was interrupted (130).",
		[]string{"undo.go", "serves.go"}, map[string][2]int{"fmt.Sprintf": {0, -1}}, 1},
	{"Warnings", "The command goes on.",
		[]string{".", "stack", "plan"}, map[string][2]int{"Warn": {0, -1}, "warn": {0, -1}}, 2},
	{"Calls to the engine", "The engine's own words follow each of them.",
		[]string{"swarm"}, map[string][2]int{"wrap": {1, -1}, "fmt.Errorf": {0, -1}}, 2},
	{"What the proof of a deploy says", "Below each, the deploy prints the task's error, its exit code, its health checks and its last log lines.",
		[]string{"prove"}, map[string][2]int{"fmt.Sprintf": {0, -1}}, 3},
}

var word = regexp.MustCompile(`[A-Za-z]{2,}`)

var verb = regexp.MustCompile(`%(\[\d\])?[+#]?[-0-9.]*[a-zA-Z]`)

// textOf is the text of an expression, with … for the parts that are known only at run time.
func textOf(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.BasicLit:
		text, err := strconv.Unquote(e.Value)
		if err != nil {
			return "…"
		}
		return verb.ReplaceAllString(text, "…")
	case *ast.BinaryExpr:
		return textOf(e.X) + textOf(e.Y)
	case *ast.CallExpr:
		if nameOf(e.Fun) == "fmt.Sprintf" && len(e.Args) > 0 {
			return textOf(e.Args[0])
		}
	case *ast.Ident:
		if e.Obj != nil && e.Obj.Kind == ast.Con { // A constant of the same file.
			return textOf(e.Obj.Decl.(*ast.ValueSpec).Values[0])
		}
	}
	return "…"
}

func nameOf(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return nameOf(e.X) + "." + e.Sel.Name
	case *ast.StarExpr:
		return nameOf(e.X)
	}
	return ""
}

// fields gives the arguments of a call or the fields of a value by their places.
func fields(list []ast.Expr) []ast.Expr {
	var values []ast.Expr
	for _, one := range list {
		if pair, named := one.(*ast.KeyValueExpr); named {
			for len(values) < 3 {
				values = append(values, nil)
			}
			if at, known := map[string]int{"What": 0, "Problem": 0, "problem": 0, "Said": 1, "Advice": 2}[nameOf(pair.Key)]; known {
				values[at] = pair.Value
			}
			continue
		}
		values = append(values, one)
	}
	return values
}

// messages are the rows of one table, sorted.
func messages(t *testing.T, packages []string, makers map[string][2]int, least int) []string {
	rows := map[string]bool{}
	for _, dir := range packages {
		pattern := filepath.Join(dir, "*.go")
		if strings.HasSuffix(dir, ".go") {
			pattern = dir
		}
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(parsed, func(node ast.Node) bool {
				var name string
				var values []ast.Expr
				switch node := node.(type) {
				case *ast.CallExpr:
					name, values = nameOf(node.Fun), fields(node.Args)
				case *ast.CompositeLit:
					name, values = nameOf(node.Type), fields(node.Elts)
				}
				if name == "append" && len(values) == 2 && strings.HasSuffix(nameOf(values[0]), "arnings") {
					name, values = "warn", values[1:]
				}
				places, known := makers[dir+":"+name]
				if !known {
					places, known = makers[name]
				}
				if last := name[strings.LastIndex(name, ".")+1:]; !known && strings.EqualFold(last, "warn") {
					places, known = makers[last] // Whoever says it.
				}
				if !known || len(values) <= places[0] || values[places[0]] == nil {
					return true
				}
				problem, advice := textOf(values[places[0]]), ""
				if places[1] >= 0 && len(values) > places[1] && values[places[1]] != nil {
					advice = textOf(values[places[1]])
				} else if before, after, found := strings.Cut(problem, "; "); found {
					problem, advice = before, after
				}
				if len(word.FindAllString(problem, -1)) >= least && !strings.HasPrefix(problem, "(") {
					rows[fmt.Sprintf("| %s | %s |", cell(problem), cell(advice))] = true
				}
				return true
			})
		}
	}
	var sorted []string
	for row := range rows {
		sorted = append(sorted, row)
	}
	slices.Sort(sorted)
	return sorted
}

// cell turns a text into a cell of a table.
func cell(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	return strings.NewReplacer("|", `\|`, "<", "&lt;", "*", `\*`, "_", `\_`).Replace(text)
}

func TestMessageTable(t *testing.T) {
	page, err := os.ReadFile(messagePage)
	if err != nil {
		t.Fatal(err)
	}
	byHand, is, marked := strings.Cut(string(page), messageMark)
	if !marked {
		t.Fatal(messagePage, "has no line", messageMark)
	}
	var text strings.Builder
	for _, one := range sources {
		fmt.Fprintf(&text, "\n## %s\n\n%s\n\n| message | what to do |\n|---|---|\n%s\n", one.title, one.intro, strings.Join(messages(t, one.packages, one.makers, one.words), "\n"))
	}
	if os.Getenv("UPDATE") != "" {
		is = text.String()
		if err := os.WriteFile(messagePage, []byte(byHand+messageMark+is), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	Convey("docs/troubleshooting.md has each message that the program can print, as it is", t, func() {
		without := func(from, of string) []string {
			return slices.DeleteFunc(strings.Split(from, "\n"), func(line string) bool { return slices.Contains(strings.Split(of, "\n"), line) })
		}
		So(without(text.String(), is), ShouldBeEmpty) // These messages are missing on the page.
		So(without(is, text.String()), ShouldBeEmpty) // These are on the page, but no longer in the code.
	})
}
