package build

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	. "github.com/smartystreets/goconvey/convey"

	"goblog/deploy/stack"
)

// put writes a file, and makes its directories.
func put(path, text string) {
	err := os.MkdirAll(filepath.Dir(path), 0o755)
	if err == nil {
		err = os.WriteFile(path, []byte(text), 0o644)
	}
	if err != nil {
		panic(err)
	}
}

// checkout is a builder of a fresh directory, which is no checkout of git. Its service has a
// package, a Dockerfile, a context and a binary.
func checkout(t *testing.T) (*Builder, stack.Service, *[]string) {
	root := t.TempDir()
	t.Setenv("GIT_CEILING_DIRECTORIES", filepath.Dir(root))
	var said []string
	b := &Builder{Root: root, Version: "v1", CPU: runtime.GOARCH, BaseImage: "scratch", Say: func(format string, arguments ...any) {
		said = append(said, fmt.Sprintf(format, arguments...))
	}}
	service := stack.Service{Key: "web", Image: "example/web:v1", Build: &stack.Build{
		Context: filepath.Join(root, "docker"), Dockerfile: filepath.Join(root, "web.Dockerfile"), Package: filepath.Join(root, "web"), Args: map[string]string{"A": "1"},
	}}
	put(service.Build.Dockerfile, "FROM scratch\n")
	put(filepath.Join(root, "docker", "conf", "web.conf"), "color=red\n")
	put(filepath.Join(root, "web", "go.mod"), "module example\n\ngo 1.26\n")
	put(filepath.Join(root, "web", "main.go"), "package main\n\nvar version, commit string\n\nfunc main() { println(version, commit) }\n")
	put(b.Binary("web"), "binary")
	return b, service, &said
}

func TestRepository(t *testing.T) {
	for image, want := range map[string]string{
		"web": "web", "web:v1": "web", "example/web": "example/web", "example/web:v1": "example/web",
		"registry.example:5000/web": "registry.example:5000/web", "registry.example:5000/team/web:v1": "registry.example:5000/team/web",
		"example/web@sha256:" + strings.Repeat("1", 64):    "example/web",
		"example/web:v1@sha256:" + strings.Repeat("1", 64): "example/web",
	} {
		Convey("The repository of the image "+image+" is "+want, t, func() {
			So(Repository(stack.Service{Image: image}), ShouldEqual, want)
		})
	}
}

func TestVersion(t *testing.T) {
	Convey("Where git knows nothing, the version is dev", t, func() {
		b, _, _ := checkout(t)
		So(Version(b.Root), ShouldEqual, "dev")
	})
}

func TestHash(t *testing.T) {
	Convey("Given a service with all that goes into its image", t, func() {
		b, service, _ := checkout(t)
		conf := filepath.Join(service.Build.Context, "conf", "web.conf")
		sum := func(more ...string) string {
			got, err := hash(service, b.Binary("web"), filepath.Join(b.Root, "build"), more...)
			So(err, ShouldBeNil)
			return got
		}
		was := sum("base", "amd64")
		So(was, ShouldHaveLength, 12)
		So(strings.Trim(was, "0123456789abcdef"), ShouldBeBlank)

		for what, change := range map[string]func(){
			"nothing":                        func() {},
			"the time of a file":             func() { So(os.Chtimes(conf, time.Unix(1, 0), time.Unix(1, 0)), ShouldBeNil) },
			"who may read a file":            func() { So(os.Chmod(conf, 0o600), ShouldBeNil) },
			"git's own directory":            func() { put(filepath.Join(service.Build.Context, ".git", "HEAD"), "main\n") },
			"a file beside the context":      func() { put(filepath.Join(b.Root, "README"), "more\n") },
			"a binary for another processor": func() { put(filepath.Join(b.Root, "build", "web-linux-other"), "other") },
		} {
			Convey("it is the same after a change of "+what, func() {
				change()
				So(sum("base", "amd64"), ShouldEqual, was)
			})
		}
		for what, change := range map[string]func(){
			"the binary":          func() { put(b.Binary("web"), "another") },
			"the Dockerfile":      func() { put(service.Build.Dockerfile, "FROM scratch\nUSER 1\n") },
			"a file's content":    func() { put(conf, "color=blue\n") },
			"a file's name":       func() { So(os.Rename(conf, conf+"2"), ShouldBeNil) },
			"who may run a file":  func() { So(os.Chmod(conf, 0o755), ShouldBeNil) },
			"one more file":       func() { put(conf+"2", "") },
			"one file less":       func() { So(os.Remove(conf), ShouldBeNil) },
			"where one file ends": func() { put(conf, "color="); put(conf+"2", "red\n") },
			"a build argument":    func() { service.Build.Args = map[string]string{"A": "2"} },
			"one more argument":   func() { service.Build.Args = map[string]string{"A": "1", "B": ""} },
			"the target":          func() { service.Build.Target = "final" },
			"the service's name":  func() { service.Key = "shop" },
		} {
			Convey("it is another one after a change of "+what, func() {
				binary := b.Binary("web")
				change()
				got, err := hash(service, binary, filepath.Join(b.Root, "build"), "base", "amd64")
				So(err, ShouldBeNil)
				So(got, ShouldNotEqual, was)
			})
		}
		Convey("it is another one for another base image or processor", func() {
			So(sum("other base", "amd64"), ShouldNotEqual, was)
			So(sum("base", "arm64"), ShouldNotEqual, was)
			So(sum("base amd64", ""), ShouldNotEqual, was)
		})
		for what, path := range map[string]string{"binary": b.Binary("web"), "Dockerfile": service.Build.Dockerfile, "context": service.Build.Context} {
			Convey("a "+what+" that is not there is an error", func() {
				So(os.RemoveAll(path), ShouldBeNil)
				_, err := hash(service, b.Binary("web"), filepath.Join(b.Root, "build"))
				So(errors.Is(err, os.ErrNotExist), ShouldBeTrue)
			})
		}
		Convey("where the whole checkout is the context, what earlier builds left there does not matter", func() {
			service.Build.Context = b.Root
			was := sum()
			put(filepath.Join(b.Root, "build", "shop-linux-amd64"), "another service")
			So(sum(), ShouldEqual, was)
		})
	})
}

func TestContext(t *testing.T) {
	Convey("Given a service that is built, and a umask that lets nobody else read", t, func() {
		b, service, _ := checkout(t)
		script := filepath.Join(service.Build.Context, "run.sh")
		put(script, "#!/bin/sh\n")
		So(os.Chmod(script, 0o755), ShouldBeNil)
		put(filepath.Join(service.Build.Context, ".git", "HEAD"), "main\n")
		umask := syscall.Umask(0o077)
		Reset(func() { syscall.Umask(umask) })

		files := func(dir string) []string {
			var all []string
			So(filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
				if name, _ := filepath.Rel(dir, path); err == nil && name != "." {
					all = append(all, name)
				}
				return err
			}), ShouldBeNil)
			return all
		}
		mode := func(path string) os.FileMode {
			status, err := os.Lstat(path)
			So(err, ShouldBeNil)
			return status.Mode()
		}
		Convey("the context is copied, with the binary and an empty root, but without git's directory", func() {
			dir, err := b.context(service)
			So(err, ShouldBeNil)
			So(files(dir), ShouldResemble, []string{"conf", "conf/web.conf", "rootfs", "rootfs/data", "run.sh", "service"})
			So(mode(filepath.Join(dir, "service")).Perm(), ShouldEqual, os.FileMode(0o755))
			So(mode(filepath.Join(dir, "rootfs")).Perm(), ShouldEqual, os.FileMode(0o755))
			So(mode(filepath.Join(dir, "rootfs", "data"))&(os.ModePerm|os.ModeSticky), ShouldEqual, 0o777|os.ModeSticky)
			So(mode(filepath.Join(dir, "run.sh")).Perm()&0o100, ShouldEqual, os.FileMode(0o100))
			text, err := os.ReadFile(filepath.Join(dir, "service"))
			So(err, ShouldBeNil)
			So(string(text), ShouldEqual, "binary")
			Convey("and the user's own stays as it was", func() {
				So(slices.Contains(files(service.Build.Context), "service"), ShouldBeFalse)
			})
		})
		Convey("two of them do not meet", func() {
			first, err := b.context(service)
			So(err, ShouldBeNil)
			second, err := b.context(service)
			So(err, ShouldBeNil)
			So(first, ShouldNotEqual, second)
		})
		Convey("a symbolic link is carried over, too", func() {
			So(os.Symlink("web.conf", filepath.Join(service.Build.Context, "conf", "link")), ShouldBeNil)
			dir, err := b.context(service)
			So(err, ShouldBeNil)
			So(files(dir), ShouldContain, "conf/link")
		})
		Convey("the whole checkout can be the context", func() {
			service.Build.Context = b.Root
			dir, err := b.context(service)
			So(err, ShouldBeNil)
			So(files(dir), ShouldContain, "web/main.go")
			So(files(dir), ShouldNotContain, "build/"+filepath.Base(dir))
		})
		Convey("a binary that is not there is an error, and what was begun is named, to be removed", func() {
			So(os.Remove(b.Binary("web")), ShouldBeNil)
			dir, err := b.context(service)
			So(errors.Is(err, os.ErrNotExist), ShouldBeTrue)
			So(dir, ShouldNotBeBlank)
		})
	})
}

func TestCompile(t *testing.T) {
	ctx := context.Background()
	Convey("Given the package of a service", t, func() {
		b, service, said := checkout(t)
		binary := b.Binary("web")
		So(os.Remove(binary), ShouldBeNil)
		left := func() []string {
			b.Close()
			found, err := filepath.Glob(filepath.Join(b.Root, "build", "*"))
			So(err, ShouldBeNil)
			return found
		}
		Convey("what a process that was killed has left is removed, and what another one needs stays", func() {
			builds := filepath.Join(b.Root, "build")
			killed, alive := filepath.Join(builds, "work.killed"), filepath.Join(builds, "work.alive")
			for _, dir := range []string{killed, alive} {
				So(os.MkdirAll(filepath.Join(dir, "image.1"), 0o700), ShouldBeNil)
			}
			held, err := hold(alive)
			So(err, ShouldBeNil)
			defer held.Close()
			So(b.Compile(ctx, service), ShouldBeNil)
			So(left(), ShouldResemble, []string{binary, alive})
		})
		Convey("it is compiled to a binary that knows its version, and to the same bytes each time", func() {
			So(b.Compile(ctx, service), ShouldBeNil)
			So(*said, ShouldResemble, []string{"Compiling web v1 for linux/" + runtime.GOARCH})
			So(left(), ShouldResemble, []string{binary})
			first, err := os.ReadFile(binary)
			So(err, ShouldBeNil)
			if runtime.GOOS == "linux" {
				out, err := exec.Command(binary).CombinedOutput()
				So(err, ShouldBeNil)
				So(string(out), ShouldEqual, "v1 unknown\n")
			}
			So(b.Compile(ctx, service), ShouldBeNil)
			second, err := os.ReadFile(binary)
			So(err, ShouldBeNil)
			So(string(second) == string(first), ShouldBeTrue)
			Convey("and in whichever directory", func() {
				other, service, _ := checkout(t)
				So(os.Remove(other.Binary("web")), ShouldBeNil)
				So(other.Compile(ctx, service), ShouldBeNil)
				elsewhere, err := os.ReadFile(other.Binary("web"))
				So(err, ShouldBeNil)
				So(string(elsewhere) == string(first), ShouldBeTrue)
			})
		})
		Convey("another process that compiles in the same checkout neither waits nor changes what this one has", func() {
			So(b.Compile(ctx, service), ShouldBeNil)
			mine, err := os.ReadFile(b.compiled("web"))
			So(err, ShouldBeNil)
			other := &Builder{Root: b.Root, Version: "v2", CPU: b.CPU, Say: b.Say}
			defer other.Close()
			So(other.Compile(ctx, service), ShouldBeNil)
			last, err := os.ReadFile(binary)
			So(err, ShouldBeNil)
			now, err := os.ReadFile(b.compiled("web"))
			So(err, ShouldBeNil)
			So(string(now) == string(mine), ShouldBeTrue)
			So(string(last) == string(mine), ShouldBeFalse)
		})
		Convey("one that does not compile is a failure in the compiler's words, and leaves nothing stale to ship", func() {
			put(filepath.Join(service.Build.Package, "main.go"), "package main\n\nfunc main() { nonsense() }\n")
			err := b.Compile(ctx, service)
			var failure *Failure
			So(errors.As(err, &failure), ShouldBeTrue)
			So(failure.Error(), ShouldEqual, "go build of "+service.Build.Package+" failed")
			So(failure.Said, ShouldContainSubstring, "undefined: nonsense")
			So(failure.Advice, ShouldNotBeBlank)
			So(left(), ShouldBeEmpty)
		})
		Convey("an interruption is no failure of the compiler", func() {
			ctx, cancel := context.WithCancel(ctx)
			cancel()
			So(errors.Is(b.Compile(ctx, service), context.Canceled), ShouldBeTrue)
		})
		Convey("without Go it is said what is missing", func() {
			t.Setenv("PATH", b.Root)
			err := b.Compile(ctx, service)
			So(err, ShouldBeError, "go is not installed")
		})
	})
}

func TestToolsThatFail(t *testing.T) {
	Convey("Given a docker that fails", t, func() {
		b, service, said := checkout(t)
		docker := filepath.Join(b.Root, "bin", "docker")
		t.Setenv("PATH", filepath.Dir(docker))
		Convey("its words are the failure's", func() {
			put(docker, "#!/bin/sh\necho \"no such image: $*\" >&2\nexit 1\n")
			So(os.Chmod(docker, 0o755), ShouldBeNil)
			err := b.Pull(context.Background(), service.Key, service.Image)
			var failure *Failure
			So(errors.As(err, &failure), ShouldBeTrue)
			So(failure.What, ShouldEqual, "docker pull of example/web:v1, the image of web, failed")
			So(failure.Said, ShouldEqual, "no such image: pull --quiet example/web:v1")
			So(*said, ShouldResemble, []string{"Pulling example/web:v1"})
		})
		Convey("where it says nothing, its exit code is told", func() {
			put(docker, "#!/bin/sh\nexit 3\n")
			So(os.Chmod(docker, 0o755), ShouldBeNil)
			var failure *Failure
			So(errors.As(b.Pull(context.Background(), service.Key, service.Image), &failure), ShouldBeTrue)
			So(failure.Said, ShouldEqual, "exit status 3")
		})
		Convey("where there is none, it is said what is missing", func() {
			So(b.Pull(context.Background(), service.Key, service.Image), ShouldBeError, "docker is not installed")
		})
	})
}
