// Package release tests the parts of a release: the same source must give the same bytes, and
// all compiled modules must have their licences in it.
package release

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	. "github.com/smartystreets/goconvey/convey"
)

// licenceFiles matches the usual names of licence files in Go modules.
var licenceFiles = []string{"LICENSE*", "LICENCE*", "COPYING*", "NOTICE*", "PATENTS*"}

// A file with terms, and the modules that it is for.
type terms struct {
	text string
	of   []string
}

// output is the output of a command. If the command fails, the error has its words.
func output(command *exec.Cmd) (string, error) {
	var stderr bytes.Buffer
	command.Stderr = &stderr
	said, err := command.Output()
	if err != nil {
		err = fmt.Errorf("%s: %w\n%s", command, err, stderr.String())
	}
	return strings.TrimSpace(string(said)), err
}

// compiledIn finds the packages of other modules that go into a program on any of these
// systems: by the directory of each, its module and the directory of that.
func compiledIn(program string, systems ...string) (map[string]string, error) {
	found := map[string]string{}
	for _, system := range systems {
		for _, cpu := range []string{"amd64", "arm64"} {
			command := exec.Command("go", "list", "-deps", "-f", "{{if .Module}}{{if not .Module.Main}}{{.Dir}}\t{{.Module.Path}} {{.Module.Version}}\t{{.Module.Dir}}{{end}}{{end}}", ".")
			command.Dir = filepath.Join("..", program)
			command.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+system, "GOARCH="+cpu)
			said, err := output(command)
			if err != nil {
				return nil, err
			}
			for line := range strings.Lines(said) {
				dir, module, _ := strings.Cut(strings.TrimSpace(line), "\t")
				found[dir] = module
			}
		}
	}
	return found, nil
}

// licences is the text of THIRD_PARTY.txt. Terms that several modules share are in it only
// once.
func licences(program string, systems ...string) (string, error) {
	packages, err := compiledIn(program, systems...)
	if err != nil {
		return "", err
	}
	goroot, err := output(exec.Command("go", "env", "GOROOT"))
	if err != nil {
		return "", err
	}
	var all []*terms
	seen := map[string]bool{}
	add := func(name, dir string) (int, error) {
		count := 0
		for _, pattern := range licenceFiles {
			paths, err := filepath.Glob(filepath.Join(dir, pattern))
			if err != nil {
				return 0, err
			}
			for _, path := range paths {
				count++
				if seen[path] {
					continue
				}
				seen[path] = true
				text, err := os.ReadFile(path)
				if err != nil {
					return 0, err
				}
				one := strings.TrimSpace(strings.ReplaceAll(string(text), "\r\n", "\n"))
				where := name + ", " + filepath.Base(path)
				if i := slices.IndexFunc(all, func(other *terms) bool { return other.text == one }); i >= 0 {
					all[i].of = append(all[i].of, where)
				} else {
					all = append(all, &terms{one, []string{where}})
				}
			}
		}
		return count, nil
	}
	for _, own := range []struct{ name, dir string }{{program, ".."}, {"Go, its runtime and its packages", goroot}} {
		if n, err := add(own.name, own.dir); err != nil || n == 0 {
			return "", fmt.Errorf("%s has no licence in %s (%v)", own.name, own.dir, err)
		}
	}
	for _, dir := range slices.Sorted(maps.Keys(packages)) {
		module, root, _ := strings.Cut(packages[dir], "\t")
		for {
			n, err := add(module+strings.TrimPrefix(dir, root), dir)
			if err != nil {
				return "", err
			}
			if dir == root {
				if n == 0 {
					return "", fmt.Errorf("%s has no licence in %s: look for its terms, and add their file's name here", module, dir)
				}
				break
			}
			dir = filepath.Dir(dir)
		}
	}
	line := strings.Repeat("=", 80)
	var text strings.Builder
	fmt.Fprintf(&text, "The licences of %s and of all that is compiled into it.\n", program)
	for _, one := range all {
		fmt.Fprintf(&text, "\n%s\n%s\n%s\n\n%s\n", line, strings.Join(one.of, "\n"), line, one.text)
	}
	return text.String(), nil
}

func TestLicences(t *testing.T) {
	for program, one := range map[string]struct {
		file    string
		systems []string
	}{
		"accountservice": {"../dockerfiles/THIRD_PARTY.txt", []string{"linux"}}, // This file goes into the image.
		"deploy":         {"../deploy/THIRD_PARTY.txt", []string{"linux", "darwin"}},
	} {
		Convey(one.file+" has the licences of all that is compiled into "+program+"; UPDATE=1 writes it", t, func() {
			want, err := licences(program, one.systems...)
			So(err, ShouldBeNil)
			if os.Getenv("UPDATE") != "" {
				So(os.WriteFile(one.file, []byte(want), 0o644), ShouldBeNil)
			}
			is, err := os.ReadFile(one.file)
			So(err, ShouldBeNil)
			So(string(is) == want, ShouldBeTrue) // Where not: UPDATE=1 go test ./release
		})
	}
}
