package docs

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	. "github.com/smartystreets/goconvey/convey"
)

// top is the directory of the checkout.
const top = ".."

// pages are all Markdown files of the checkout by path, without files that were built or
// fetched.
func pages(t *testing.T) map[string]page {
	t.Helper()
	found := map[string]page{}
	err := filepath.WalkDir(top, func(path string, entry fs.DirEntry, err error) error {
		switch name := entry.Name(); {
		case err != nil:
			return err
		case entry.IsDir() && (name == "build" || name == "target" || strings.HasPrefix(name, ".") && name != top):
			if path == filepath.Join(top, "deploy", "build") { // This is a package, not a directory of built files.
				return nil
			}
			return fs.SkipDir
		case filepath.Ext(name) == ".md":
			text, err := os.ReadFile(path)
			found[path] = read(string(text))
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestReadme(t *testing.T) {
	Convey("The README has 160 lines at most", t, func() {
		text, err := os.ReadFile(filepath.Join(top, "README.md"))
		So(err, ShouldBeNil)
		So(bytes.Count(text, []byte("\n")), ShouldBeLessThanOrEqualTo, 160)
	})
}

func TestLinks(t *testing.T) {
	all := pages(t)
	Convey("Each relative link, anchor and footnote leads to something that is there", t, func() {
		var broken []string
		for path, page := range all {
			for _, link := range page.links {
				if why := follow(all, path, link); why != "" {
					broken = append(broken, fmt.Sprintf("%s: %s: %s", path, link, why))
				}
			}
			for _, note := range page.notes {
				broken = append(broken, fmt.Sprintf("%s: the footnote %s is used, and not there, or the other way round", path, note))
			}
		}
		So(broken, ShouldBeEmpty)
	})
	Convey("Each page can be reached from the README", t, func() {
		start := filepath.Join(top, "README.md")
		reached := map[string]bool{}
		for todo := []string{start}; len(todo) > 0; todo = todo[1:] {
			if reached[todo[0]] {
				continue
			}
			reached[todo[0]] = true
			for _, link := range all[todo[0]].links {
				if file, _, _ := strings.Cut(link, "#"); file != "" && isRelative(link) {
					todo = append(todo, filepath.Join(filepath.Dir(todo[0]), file))
				}
			}
		}
		var lost []string
		for path := range all {
			if !reached[path] {
				lost = append(lost, path)
			}
		}
		So(lost, ShouldBeEmpty)
	})
}

// follow says why a link is broken, or "".
func follow(all map[string]page, from, link string) string {
	if !isRelative(link) {
		return ""
	}
	file, anchor, _ := strings.Cut(link, "#")
	path := from
	if file != "" {
		path = filepath.Join(filepath.Dir(from), file)
	}
	if strings.HasPrefix(file, "/") {
		return "it starts at the root of the machine"
	}
	if _, err := os.Stat(path); err != nil {
		return err.Error()
	}
	if to, isPage := all[path]; anchor != "" && isPage && !slices.Contains(to.anchors, anchor) {
		return "there is no such heading; there are " + strings.Join(to.anchors, ", ")
	}
	return ""
}

func isRelative(link string) bool {
	return !strings.Contains(link, "://") && !strings.HasPrefix(link, "mailto:")
}

func TestSettings(t *testing.T) {
	Convey("The page of settings has each setting that the deploy program knows, and no other", t, func() {
		text, err := os.ReadFile("settings.md")
		So(err, ShouldBeNil)
		var described, known []string
		for _, match := range regexp.MustCompile("(?m)^\\| `(\\w+)` \\| ").FindAllSubmatch(text, -1) {
			described = append(described, string(match[1]))
		}
		for _, match := range regexp.MustCompile(`(?m)^  (\w+)=`).FindAllStringSubmatch(help(t, filepath.Join(top, "scripts", "deploy.sh"), "up"), -1) {
			known = append(known, match[1])
		}
		So(described, ShouldNotBeEmpty)
		So(described, ShouldResemble, known)
	})
}

func TestCommands(t *testing.T) {
	known := newCommands(t)
	Convey("Each command of a page names what there is: scripts, targets of make, commands and flags of deploy, tests, variables", t, func() {
		var wrong []string
		for path, page := range pages(t) {
			for _, line := range page.commands {
				for _, why := range known.check(line) {
					wrong = append(wrong, fmt.Sprintf("%s: %s: %s", path, line, why))
				}
			}
		}
		So(wrong, ShouldBeEmpty)
	})
	Convey("A command that names something that is not there is found", t, func() {
		for line, want := range map[string]string{
			"./scripts/copyal.sh":                           "there is no script copyal.sh",
			"scripts/copyall.sh --rollin":                   "deploy up has no flag --rollin",
			"VERSIN=2 ./scripts/copyall.sh":                 "nothing reads the variable VERSIN",
			"cd / && deploy upp":                            "there is no deploy upp",
			"deploy status --adopt":                         "deploy status has no flag --adopt",
			"scripts/deploy.sh up --adopted -f stack.yml":   "deploy up has no flag --adopted",
			"./scripts/landscape.sh up --lst":               "deploy up has no flag --lst",
			"deploy up -f examples/nots/stack.yml":          "there is no file examples/nots/stack.yml",
			"make tests":                                    "make has no target tests",
			"CHAOS_ROUNDS=5 make chaos CHAOS_SED=4":         "nothing reads the variable CHAOS_SED",
			"go test -v -run TestChaoss ./e2e":              "./e2e has no test TestChaoss",
			"go test -run 'TestChaos|TestNothing' ./e2e":    "./e2e has no test TestNothing",
			"go test -C deploy -run TestHelpp .":            ". has no test TestHelpp",
			"go test ./e3e":                                 "there is no directory ./e3e",
			"mvn gatling:test -Dusrs=1000":                  "nothing reads the variable usrs",
			"kubectl get pods":                              "this command is not known here",
			"echo 'make tests' | ./scripts/remove.sh --all": "deploy remove has no flag --all",
		} {
			So(known.check(line), ShouldResemble, []string{want})
		}
	})
	Convey("What stands in quotes or behind > is no command", t, func() {
		for _, line := range []string{
			"echo 'one; make it' > examples/notes/greeting.txt",
			"./scripts/rollback.sh hello 3 -f stack.yml --json",
		} {
			So(known.check(line), ShouldBeEmpty)
		}
	})
}
