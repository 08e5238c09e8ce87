package scaffold

import (
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

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

// directory makes a new directory with a name and with files.
func directory(t *testing.T, name string, files map[string]string) string {
	dir := filepath.Join(t.TempDir(), name)
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for path, text := range files {
		put(filepath.Join(dir, path), text)
	}
	return dir
}

// read returns the files below a directory.
func read(t *testing.T, dir string) map[string]string {
	found := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		name, _ := filepath.Rel(dir, path)
		found[name] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

const program = "package main\n\nfunc main() {}\n"

// services are one service of each kind. The files for each are in testdata.
var services = map[string]struct {
	directory string
	files     map[string]string
	wishes    Wishes
}{
	"go":     {"checkout", map[string]string{"go.mod": "module example.com/shop/v2\n\ngo 1.26\n", "cmd/web/main.go": program, "price/price.go": "package price\n"}, Wishes{}},
	"python": {"hello_py", map[string]string{"Dockerfile": "FROM python:3.13-slim\nCOPY app.py /\nUSER 1000\nEXPOSE 8000\nCMD [\"python3\", \"/app.py\"]\n", "app.py": ""}, Wishes{Path: "/health?full=1"}},
	"image":  {"empty", nil, Wishes{Image: "registry.example:5000/team/web_cache:1.2", Port: "80", Path: "/", Name: "cache"}},
}

func TestFiles(t *testing.T) {
	for kind, one := range services {
		Convey("Given a directory for a service of the kind "+kind, t, func() {
			dir := directory(t, one.directory, one.files)
			service, err := Find(dir, one.wishes)
			So(err, ShouldBeNil)
			files, err := service.Files()
			So(err, ShouldBeNil)
			So(Check(dir, files), ShouldBeNil)
			written, kept, err := Write(dir, files)
			So(err, ShouldBeNil)
			So(kept, ShouldBeEmpty)
			found := read(t, dir)
			for path := range one.files {
				delete(found, path)
			}

			Convey("what is written is what testdata has", func() {
				golden := filepath.Join("testdata", kind)
				if os.Getenv("UPDATE") != "" {
					So(os.RemoveAll(golden), ShouldBeNil)
					for path, text := range found {
						put(filepath.Join(golden, path), text)
					}
				}
				want := read(t, golden)
				So(slices.Sorted(maps.Keys(found)), ShouldResemble, slices.Sorted(maps.Keys(want)))
				for path, text := range want {
					So(found[path], ShouldEqual, text)
				}
				So(slices.Sorted(slices.Values(written)), ShouldResemble, slices.Sorted(maps.Keys(want)))
			})
			Convey("the stack file loads without a warning, and says what was found", func() {
				loaded, err := stack.Load(stack.Options{Files: []string{filepath.Join(dir, "stack.yml")}})
				So(err, ShouldBeNil)
				So(loaded.Warnings, ShouldBeEmpty)
				So(loaded.Services, ShouldHaveLength, 1)
				got := loaded.Services[0]
				So(got.Key, ShouldEqual, service.Name)
				So(got.Deploy.Verify.Path, ShouldEqual, service.Path)
				So(got.Deploy.Verify.Port, ShouldEqual, service.Port)
				So(got.Spec.EndpointSpec.Ports[0].TargetPort, ShouldEqual, service.Port)
				So(got.Build == nil, ShouldEqual, service.Image != "")
				container := got.Spec.TaskTemplate.ContainerSpec
				So(container.ReadOnly, ShouldBeTrue)
				So(container.CapabilityDrop, ShouldResemble, []string{"ALL"})
				if service.Python != "" {
					So(container.Healthcheck.Test, ShouldResemble, []string{"CMD", service.Python, "-c", service.Probe()})
				}
			})
			Convey("scripts can be run, and the other files cannot", func() {
				for _, path := range written {
					info, err := os.Stat(filepath.Join(dir, path))
					So(err, ShouldBeNil)
					So(info.Mode().Perm()&0o111 != 0, ShouldEqual, strings.HasSuffix(path, ".sh"))
				}
			})
			Convey("a second time, nothing is written, and each file is named", func() {
				put(filepath.Join(dir, "stack.yml"), "mine\n")
				again, kept, err := Write(dir, files)
				So(err, ShouldBeNil)
				So(again, ShouldBeEmpty)
				So(kept, ShouldResemble, written)
				So(read(t, dir)["stack.yml"], ShouldEqual, "mine\n")
			})
		})
	}
	Convey("A file where a directory has to be is found before anything is written", t, func() {
		dir := directory(t, "web", map[string]string{"scripts": "mine\n"})
		service, err := Find(dir, Wishes{Image: "web"})
		So(err, ShouldBeNil)
		files, err := service.Files()
		So(err, ShouldBeNil)
		So(Check(dir, files), ShouldBeError, "scripts/copyall.sh cannot be written, as scripts is a file: move that away")
	})
}

func TestFind(t *testing.T) {
	const module, docker = "module example.com/shop\n", "FROM scratch\n"
	for what, one := range map[string]struct {
		files  map[string]string
		wishes Wishes
		want   Service
	}{
		"a module's only program": {map[string]string{"go.mod": module, "main.go": program}, Wishes{},
			Service{Name: "shop", Path: "/", Port: 8080, PortGuessed: true, Context: "image", Package: ".", Confined: true}},
		"the program that is named": {map[string]string{"go.mod": module, "cmd/a/main.go": program, "cmd/b/main.go": program}, Wishes{Package: "cmd/b/", Name: "b", Port: "90", Path: "/b"},
			Service{Name: "b", Path: "/b", Port: 90, Context: "image", Package: "./cmd/b", Confined: true}},
		"no test, tool or foreign module": {map[string]string{"go.mod": module, "cmd/a/main.go": program, "cmd/a/a_test.go": "package main\n", "gen.go": "//go:build ignore\n\n" + program, "testdata/x/main.go": program,
			"vendor/x/main.go": program, "other/go.mod": "module other\n", "other/main.go": program, ".git/main.go": program, "_old/main.go": program, "win/main_windows.go": program}, Wishes{},
			Service{Name: "shop", Path: "/", Port: 8080, PortGuessed: true, Context: "image", Package: "./cmd/a", Confined: true}},
		"a module with a Dockerfile, which builds it": {map[string]string{"go.mod": module, "main.go": program, "Dockerfile": docker + "EXPOSE 81/tcp\n"}, Wishes{},
			Service{Name: "shop", Path: "/", Port: 81, Context: "."}},
		"a module with a Dockerfile for a binary": {map[string]string{"go.mod": module, "main.go": program, "Dockerfile": docker + "USER web\n"}, Wishes{Package: "."},
			Service{Name: "shop", Path: "/", Port: 8080, PortGuessed: true, Context: ".", Package: ".", Confined: true}},
		"what was written before": {map[string]string{"go.mod": module, "main.go": program, "image/Dockerfile": docker + "USER 65532:65532\nEXPOSE 7070\n"}, Wishes{},
			Service{Name: "shop", Path: "/", Port: 7070, Context: "image", Package: ".", Confined: true}},
		"a name in gopkg.in":      {map[string]string{"go.mod": "module gopkg.in/Big_Shop.v3\n", "main.go": program}, Wishes{}, Service{Name: "big-shop", Path: "/", Port: 8080, PortGuessed: true, Context: "image", Package: ".", Confined: true}},
		"the directory's name":    {map[string]string{"Dockerfile": docker}, Wishes{}, Service{Name: "my-web", Path: "/", Port: 8080, PortGuessed: true, Context: "."}},
		"the last stage":          {map[string]string{"Dockerfile": "ARG A=1\nFROM --platform=linux/amd64 golang:1.26 AS build\nEXPOSE 1\nUSER 5\nHEALTHCHECK CMD x\nFROM scratch\nEXPOSE 53/udp 2\nEXPOSE 2\n"}, Wishes{}, Service{Name: "my-web", Path: "/", Port: 2, Context: "."}},
		"the stage it builds on":  {map[string]string{"Dockerfile": "FROM docker.io/library/python:3 AS Base\nEXPOSE 5000\nUSER app\nHEALTHCHECK CMD x\nFROM base\n"}, Wishes{}, Service{Name: "my-web", Path: "/", Port: 5000, Context: ".", Python: "python3", Probed: true, Confined: true}},
		"a user who is root":      {map[string]string{"Dockerfile": "FROM node:24\nUSER 0:0\nEXPOSE $PORT\nHEALTHCHECK NONE\n"}, Wishes{}, Service{Name: "my-web", Path: "/", Port: 8080, PortGuessed: true, Context: "."}},
		"a command of Python":     {map[string]string{"Dockerfile": "FROM scratch\nCMD [\"/opt/bin/python3.13\",\"-m\",\"web\"]\n"}, Wishes{Port: "5"}, Service{Name: "my-web", Path: "/", Port: 5, Context: ".", Python: "/opt/bin/python3.13"}},
		"a shell's line":          {map[string]string{"Dockerfile": "FROM debian\nENTRYPOINT python3 -m web\n"}, Wishes{Port: "5"}, Service{Name: "my-web", Path: "/", Port: 5, Context: ".", Python: "python3"}},
		"the port that was named": {map[string]string{"Dockerfile": docker + "EXPOSE 80\n"}, Wishes{Port: "81"}, Service{Name: "my-web", Path: "/", Port: 81, Context: "."}},
		"a finished image":        {map[string]string{"go.mod": module, "Dockerfile": docker + "EXPOSE 80\n"}, Wishes{Image: "example/hello@sha256:" + strings.Repeat("1", 64)}, Service{Name: "hello", Image: "example/hello@sha256:" + strings.Repeat("1", 64), Path: "/", Port: 8080, PortGuessed: true}},
	} {
		Convey("Found is "+what, t, func() {
			found, err := Find(directory(t, "My Web", one.files), one.wishes)
			So(err, ShouldBeNil)
			So(found, ShouldResemble, one.want)
		})
	}
	for what, one := range map[string]struct {
		files  map[string]string
		wishes Wishes
		want   string
	}{
		"nothing to deploy":           {nil, Wishes{}, "there is neither a go.mod nor a Dockerfile here: go to the directory of the service, or name a finished image with --image"},
		"a library":                   {map[string]string{"go.mod": module, "a.go": "package a\n"}, Wishes{}, "this Go module has no package main, and there is no Dockerfile: there is nothing to deploy"},
		"two programs":                {map[string]string{"go.mod": module, "cmd/a/main.go": program, "cmd/b/main.go": program}, Wishes{}, "this Go module has 2 main packages: choose one with --package: ./cmd/a, ./cmd/b"},
		"a package that is none":      {map[string]string{"go.mod": module, "a.go": "package a\n"}, Wishes{Package: "."}, "--package: . has no package main for linux"},
		"a package elsewhere":         {map[string]string{"go.mod": module}, Wishes{Package: "../x"}, "--package: '../x' is not a directory of this module, as in ./cmd/web"},
		"a package without a module":  {map[string]string{"Dockerfile": docker}, Wishes{Package: "."}, "--package: there is no go.mod here: go to the top of the Go module"},
		"an image and a package":      {nil, Wishes{Image: "web", Package: "."}, "--image and --package: an image is either finished, or built from a package: give only one of them"},
		"an image's name that is bad": {nil, Wishes{Image: "Web"}, "--image: 'Web' is not the name of an image: invalid reference format: repository name (library/Web) must be lowercase"},
		"a port that is none":         {nil, Wishes{Image: "web", Port: "http"}, "--port: 'http' is not a port, from 1 to 65535"},
		"a port that is too high":     {nil, Wishes{Image: "web", Port: "65536"}, "--port: '65536' is not a port, from 1 to 65535"},
		"a path that is none":         {nil, Wishes{Image: "web", Path: "health"}, "--path: 'health' is not a path, as in /health"},
		"a path of two lines":         {nil, Wishes{Image: "web", Path: "/a\nb"}, "--path: '/a\nb' is not a path, as in /health"},
		"a bad name":                  {nil, Wishes{Image: "web", Name: "My Web"}, "--name: 'My Web' is not a name of small letters, digits and -, as in web"},
		"nothing to be named after":   {nil, Wishes{Image: "example/2048"}, "'2048' cannot become the name of the service: choose a name, as in --name web"},
	} {
		Convey("Refused is "+what, t, func() {
			_, err := Find(directory(t, "My Web", one.files), one.wishes)
			So(err, ShouldBeError, one.want)
		})
	}
}
