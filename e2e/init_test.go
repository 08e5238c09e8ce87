package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	. "github.com/smartystreets/goconvey/convey"
)

// goProgram answers on port 8080.
const goProgram = `package main

import (
	"fmt"
	"log"
	"net/http"
)

func main() {
	http.HandleFunc("/{$}", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "tea time") })
	log.Fatal(http.ListenAndServe(":8080", nil))
}
`

// pythonProgram counts up to three, on port 8000.
const pythonProgram = `import http.server


class Counter(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        known = self.path == "/count?to=3"
        self.send_response(200 if known else 404)
        self.end_headers()
        self.wfile.write(b"1 2 3" if known else b"")


http.server.ThreadingHTTPServer(("", 8000), Counter).serve_forever()
`

// packPython puts this machine's Python into python.tar, with everything that it loads,
// because a base image cannot be pulled. It prints the path of the interpreter.
const packPython = `import glob, os, re, subprocess, sys, sysconfig, tarfile

program = os.path.realpath(sys.executable)
library = sysconfig.get_path("stdlib")
loaded = {program}
for binary in [program, *glob.glob(library + "/lib-dynload/*.so")]:
    loaded.update(re.findall(r"/\S+", subprocess.run(["ldd", binary], capture_output=True, text=True, check=True).stdout))


def needed(entry):
    name = os.path.basename(entry.name)
    return None if name in ("test", "site-packages", "dist-packages") or name.startswith("config-") else entry


with tarfile.open("python.tar", "w", dereference=True) as tar:
    for path in sorted(loaded):
        tar.add(path)
    tar.add(library, filter=needed)
print(program)
`

// A stranger is a service that is not from this project, in its own directory.
type stranger struct {
	dir, path string // path: where programs are found
}

// strange makes a stranger from files. Its PATH has the deploy program. Without Go, the PATH
// has only the commands that the program and its scripts need.
func strange(t *testing.T, name string, withGo bool, files map[string]string) stranger {
	t.Helper()
	s := stranger{filepath.Join(t.TempDir(), name), t.TempDir()}
	if err := os.Mkdir(s.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for path, text := range files {
		write(t, filepath.Join(s.dir, path), text)
		if err := os.Chmod(filepath.Join(s.dir, path), 0o644); err != nil { // The user of the image must be able to read it.
			t.Fatal(err)
		}
	}
	programs := map[string]string{"deploy": repository("build", "deploy")}
	for _, program := range []string{"bash", "dirname", "docker", "env", "git"} {
		programs[program] = installed(t, program)
	}
	for program, at := range programs {
		if err := os.Symlink(at, filepath.Join(s.path, program)); err != nil {
			t.Fatal(err)
		}
	}
	if withGo {
		s.path += ":" + os.Getenv("PATH")
	}
	return s
}

// run runs a command line in the stranger's directory.
func (s stranger) run(line string, environment ...string) result {
	bash, err := exec.LookPath("bash")
	So(err, ShouldBeNil)
	return run(append(environment, "PATH="+s.path, "BASE_IMAGE="), bash, "-c", `cd "$0" && exec `+line, s.dir)
}

// confined asserts that the only task of a service has no right that it does not need.
func confined(t *testing.T, service string) {
	t.Helper()
	running := containers(t, service)
	So(running, ShouldHaveLength, 1)
	So(docker(t, "inspect", "--format", "{{.HostConfig.ReadonlyRootfs}} {{.HostConfig.CapDrop}} {{.HostConfig.CapAdd}}", running[0]), ShouldEqual, "true [ALL] []")
}

func TestInit(t *testing.T) {
	for _, one := range []struct {
		kind, name, flags, answer, page string
		withGo                          bool
		user, health                    string
		make                            func(t *testing.T, s stranger)
		files                           map[string]string
	}{
		{kind: "a Go module", name: "clock", withGo: true, answer: "tea time", page: ":8080/", user: "65532:65532",
			files: map[string]string{"go.mod": "module example.com/tea/clock\n\ngo 1.26\n", "cmd/clock/main.go": goProgram}},
		{kind: "a Python service with a Dockerfile", name: "counter", flags: "--path '/count?to=3'", answer: "1 2 3", page: ":8000/count?to=3", user: "1000:1000", health: "healthy",
			files: map[string]string{"app.py": pythonProgram, ".dockerignore": "*\n!app.py\n!python.tar\n"},
			make: func(t *testing.T, s stranger) {
				pack := exec.Command(installed(t, "python3"), "-c", packPython)
				pack.Dir, pack.Stderr = s.dir, os.Stderr
				program, err := pack.Output()
				if err != nil {
					t.Fatal(err)
				}
				write(t, filepath.Join(s.dir, "Dockerfile"), "FROM scratch\nADD python.tar /\nCOPY app.py /\nUSER 1000:1000\nEXPOSE 8000\nCMD [\""+strings.TrimSpace(string(program))+"\", \"/app.py\"]\n")
			}},
		{kind: "a finished image", name: "teapot", flags: "--image example/teapot:1 --port 8080 --path /", answer: "tea time", page: ":8080/",
			make: func(t *testing.T, s stranger) {
				dir := t.TempDir()
				write(t, dir+"/main.go", goProgram)
				write(t, dir+"/Dockerfile", "FROM scratch\nCOPY teapot /\nCMD [\"/teapot\"]\n")
				for _, command := range []*exec.Cmd{exec.Command("go", "build", "-o", "teapot", "main.go"), exec.Command("docker", "build", "--quiet", "--tag", "example/teapot:1", ".")} {
					command.Dir, command.Env = dir, append(os.Environ(), "CGO_ENABLED=0")
					if out, err := command.CombinedOutput(); err != nil {
						t.Fatalf("%s: %v\n%s", command, err, out)
					}
				}
			}},
	} {
		wipe(t)
		t.Cleanup(func() { wipe(t) })
		s := strange(t, one.name, one.withGo, one.files)
		if one.make != nil {
			one.make(t, s)
		}
		Convey("Given "+one.kind+" that knows nothing of this project", t, func() {
			made := s.run("deploy init " + one.flags)
			So(made.stderr, ShouldBeBlank)
			So(made.stdout, ShouldContainSubstring, "==> Written for "+one.name+", ")
			So(made.exit, ShouldEqual, 0)

			Convey("deploy init writes what it takes to deploy it, with the rights that it needs, to update it, to go back and to remove it", func() {
				first := s.run("scripts/copyall.sh", "VERSION=one")
				So(first.String(), ShouldContainSubstring, "==> Deployed "+one.name+" ")
				So(first.stderr, ShouldBeBlank)
				So(first.exit, ShouldEqual, 0)
				So(first.stdout, ShouldNotContainSubstring, "iron/base")
				url := answeringURL(first)
				So(url, ShouldEndWith, one.page)
				So(get(url), ShouldEqual, one.answer)
				confined(t, one.name)
				container := containers(t, one.name)[0]
				So(docker(t, "inspect", "--format", "{{.Config.User}}", container), ShouldEqual, one.user)
				So(docker(t, "inspect", "--format", "{{with .State.Health}}{{.Status}}{{end}}", container), ShouldEqual, one.health)

				So(s.run("scripts/status.sh").stdout, ShouldContainSubstring, one.name+" ")
				second := s.run("scripts/copyall.sh --rolling", "VERSION=two", "LIMIT_MEMORY=200m")
				So(second.String(), ShouldContainSubstring, "==> Deployed "+one.name+" ")
				So(second.exit, ShouldEqual, 0)
				So(get(url), ShouldEqual, one.answer)
				So(s.run("scripts/rollback.sh").String(), ShouldContainSubstring, "==> Rolled "+one.name+" back to ")
				So(get(url), ShouldEqual, one.answer)
				So(s.run("scripts/remove.sh").exit, ShouldEqual, 0)
				So(docker(t, "service", "ls", "--quiet"), ShouldBeBlank)

				write(t, filepath.Join(s.dir, "stack.yml"), "mine\n")
				again := s.run("deploy init " + one.flags)
				So(again.stdout, ShouldStartWith, "==> These files exist already, and are not changed:\n    stack.yml\n")
				So(again.exit, ShouldEqual, 0)
				So(read(t, filepath.Join(s.dir, "stack.yml")), ShouldEqual, "mine\n")
			})
		})
	}
}
