package docs

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	. "github.com/smartystreets/goconvey/convey"
)

// notRun are the commands that are not run here, by how they begin, and why.
var notRun = []struct{ begin, why string }{
	{"make run", "it takes a port of this machine: TestReadme in e2e runs it, on a network of its own"},
	{"curl http://127.0.0.1:6767/", "it asks what make run has started"},
	{"./scripts/", "it needs an engine: TestReadme in e2e runs those of the README"},
	{"curl http://192.0.2.1:", "it asks a service on an engine"},
	{"make deploy", "it needs an engine"},
	{"docker service", "it needs an engine"},
	{"make loadtest", "it needs an engine"},
	{"mvn gatling:test", "it asks a service for half a minute"},
	{"make test", "it takes long, and runs this test"},
	{"make lint", "it takes a minute, and make test runs it"},
	{"make chaos", "it takes half an hour"},
	{"go test -v -timeout 40m -run TestFiveNodes ", "it needs an engine"},
	{"go test -v -run 'TestNodesThatFail|", "it needs an engine"},
	{"go test -run '^$' -fuzz ", "it does not end by itself"},
	{"go test -C deploy ./stack ./prove ./journal .", "it takes minutes, and make test runs it"},
	{"sha256sum -c --ignore-missing checksums.txt", "it checks what a release has"},
	{"tar -xzf deploy_", "it takes a file of a release"},
	{"systemctl disable", "it changes this machine"},
	{"ssh -L", "it needs another machine"},
}

// whyNotRun is the place of a command in the list, or -1.
func whyNotRun(line string) int {
	line = regexp.MustCompile(`^([A-Za-z0-9_]+=\S+ )+`).ReplaceAllString(line, "")
	return slices.IndexFunc(notRun, func(one struct{ begin, why string }) bool { return strings.HasPrefix(line, one.begin) })
}

func TestCommandsThatRun(t *testing.T) {
	around := t.TempDir()
	checkout, service, bin := filepath.Join(around, "checkout"), filepath.Join(around, "my-service"), filepath.Join(around, "bin")
	if err := CopyTo(checkout, top); err != nil {
		t.Fatal(err)
	}
	used := map[int]bool{}
	paths, err := filepath.Glob("*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range append(paths, filepath.Join(top, "README.md")) {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var lines []string
		for _, block := range Blocks(string(text)) {
			for _, command := range block {
				if at := whyNotRun(command.Line); at >= 0 {
					used[at] = true
				} else {
					lines = append(lines, strings.ReplaceAll(command.Line, "/usr/local/bin/", bin+"/"))
				}
			}
		}
		if len(lines) == 0 {
			continue
		}
		Convey("Given a fresh checkout, and beside it the directory of a service in Go", t, func() {
			So(os.RemoveAll(service), ShouldBeNil)
			So(os.MkdirAll(service, 0o755), ShouldBeNil)
			So(os.WriteFile(filepath.Join(service, "go.mod"), []byte("module example.com/me/my-service\n\ngo 1.26\n"), 0o644), ShouldBeNil)
			So(os.WriteFile(filepath.Join(service, "main.go"), []byte("package main\n\nfunc main() {}\n"), 0o644), ShouldBeNil)

			Convey(fmt.Sprintf("each of the %d commands of %s that are run here works, in the order of the page", len(lines), path), func() {
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
				defer cancel()
				session := exec.CommandContext(ctx, "bash", "-c", "set -ex\n"+strings.Join(lines, "\n"))
				session.WaitDelay = 10 * time.Second // For what a command that was stopped has started.
				session.Dir, session.Env = checkout, append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"))
				said, err := session.CombinedOutput()
				if err != nil {
					So(string(said), ShouldBeBlank)
				}
				So(err, ShouldBeNil)
			})
		})
	}
	Convey("Each entry of the list of commands that are not run is of a page", t, func() {
		var unused []string
		for at, one := range notRun {
			if !used[at] {
				unused = append(unused, one.begin)
			}
		}
		So(unused, ShouldBeEmpty)
	})
}
