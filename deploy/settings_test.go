package main

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	. "github.com/smartystreets/goconvey/convey"
)

// variables are the variables of the project's own stack files, with their defaults.
func variables(t *testing.T) map[string]string {
	found := map[string]string{}
	for _, file := range []string{"../stack.yml", "../landscape.yml"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			code, _, _ := strings.Cut(line, " # ")
			if strings.HasPrefix(strings.TrimSpace(line), "#") {
				continue
			}
			for _, match := range regexp.MustCompile(`\$\{([A-Z_]+):-([^}]*)\}`).FindAllStringSubmatch(code, -1) {
				found[match[1]] = match[2]
			}
		}
	}
	return found
}

func TestHelp(t *testing.T) {
	inFiles := variables(t)
	for _, arguments := range [][]string{
		{"-h"}, {"--help"}, {"help"}, {"up", "--help"}, {"up", "-h"}, {"build", "--help"}, {"rollback", "--help"}, {"status", "--help"}, {"view", "--help"}, {"remove", "--help"}, {"init", "--help"}, {"up", "web", "--help"},
	} {
		Convey(strings.Join(arguments, " ")+" says what there is, lists each setting as it is, and needs no engine", t, func() {
			stage(t)
			t.Setenv("STACK_FILE", "../stack.yml")
			t.Setenv("REPLICAS", "7")
			r := deploy(context.Background(), arguments...)
			So(r.exit, ShouldEqual, exitDone)
			So(r.stderr, ShouldBeBlank)
			So(r.stdout, ShouldStartWith, "usage: deploy ")
			So(r.stdout, ShouldContainSubstring, "Exit codes: 0 done; 1 failed; 2 ")
			for _, name := range []string{"ManagerIP", "ADVERTISE_ADDR", "BASE_IMAGE", "GOARCH", "REGISTRY", "PUBLISH_MODE", "SERVICE_ENV", "VERIFY_BODY", "STACK_FILE"} {
				So(r.stdout, ShouldContainSubstring, "\n  "+name+"=")
			}
			for name := range inFiles {
				So(r.stdout, ShouldContainSubstring, "\n  "+name+"=")
			}
			So(r.stdout, ShouldContainSubstring, "\n  REPLICAS=7 ")
			So(strings.Count(r.stdout, "\n"), ShouldBeLessThanOrEqualTo, 50) // One screen.
		})
	}
	Convey("The help of the program names each command, and that of a command its flags", t, func() {
		stage(t)
		all := deploy(context.Background(), "--help").stdout
		for _, name := range []string{"up", "build", "rollback", "status", "remove", "init"} {
			So(all, ShouldContainSubstring, "\n  "+name+" ")
		}
		up := deploy(context.Background(), "up", "--help").stdout
		for _, name := range []string{"rolling", "force", "plan", "no-undo", "keep-going", "show-values", "adopt", "env-file FILE"} {
			So(up, ShouldContainSubstring, "\n  --"+name)
		}
		So(deploy(context.Background(), "build", "--help").stdout, ShouldContainSubstring, "\n  --binary")
		So(deploy(context.Background(), "remove", "--help").stdout, ShouldContainSubstring, "\n  --keep-going")
	})
	Convey("Each setting of the stack files is a variable there, and has the default that help says", t, func() {
		for _, one := range fileSettings {
			fallback, known := inFiles[one.name]
			So(one.name+map[bool]string{false: " is in no file"}[known], ShouldEqual, one.name)
			switch one.name {
			case "VERSION", "LIMIT_CPU": // The file has a value that stands for none.
			default:
				So(one.name+"="+one.fallback, ShouldEqual, one.name+"="+fallback)
			}
		}
		So(len(fileSettings), ShouldEqual, len(inFiles))
	})
	Convey("An empty variable counts as unset", t, func() {
		stage(t)
		t.Setenv("STACK_FILE", "../stack.yml")
		said := deploy(context.Background(), "--help").stdout
		for _, one := range append(append([]setting{}, fileSettings...), ownSettings...) {
			if one.name != "VERSION" && one.name != "STACK_FILE" { // git knows the first; the second is set.
				So(said, ShouldContainSubstring, "\n  "+one.name+"="+one.fallback+" ")
			}
		}
	})
	Convey("The help lists only the settings that the stack files use, with the defaults of these files", t, func() {
		dir := stage(t)
		put(t, filepath.Join(dir, "stack.yml"), "services: {web: {image: web, ports: ['${PORT:-8080}:80']}} # ${NAME:-default}\n")
		put(t, filepath.Join(dir, "other.yml"), "services: {other: {image: other, deploy: {replicas: \"${REPLICAS-2}\"}}}\n")
		said := deploy(context.Background(), "up", "--help").stdout
		So(said, ShouldContainSubstring, "\n  REPLICAS=2  ")
		So(said, ShouldContainSubstring, "\n  PORT=8080  ")
		for _, name := range []string{"QUOTES_IMAGE", "VERIFY_PATH", "NAME", "VERSION"} {
			So(said, ShouldNotContainSubstring, "\n  "+name+"=")
		}
	})
	Convey("Without a stack file, the help lists only the settings of the program", t, func() {
		So(os.Remove(filepath.Join(stage(t), "stack.yml")), ShouldBeNil)
		said := deploy(context.Background(), "--help").stdout
		So(said, ShouldNotContainSubstring, "Settings of the stack files")
		So(said, ShouldContainSubstring, "\nSettings of this program:\n  STACK_FILE=")
	})
	Convey("Where git knows nothing, the version is dev", t, func() {
		dir := stage(t)
		put(t, filepath.Join(dir, "stack.yml"), "services: {web: {image: \"web:${VERSION:-latest}\"}}\n")
		t.Chdir(dir)
		So(deploy(context.Background(), "--help").stdout, ShouldContainSubstring, "\n  VERSION=dev ")
	})
}

func TestEnvFiles(t *testing.T) {
	Convey("Settings may stand in files, of which a later one counts, and the environment counts more", t, func() {
		dir := stage(t)
		put(t, filepath.Join(dir, "a.env"), "# of all\nPORT=1001\nREPLICAS=2\nNETWORK=a\n\nSTACK=staging\n")
		put(t, filepath.Join(dir, "b.env"), "PORT=1002\n")
		t.Setenv("REPLICAS", "5")
		o, err := parse(commands[0], []string{"--env-file", filepath.Join(dir, "a.env"), "--env-file", filepath.Join(dir, "b.env")})
		So(err, ShouldBeNil)
		for name, want := range map[string]string{"PORT": "1002", "REPLICAS": "5", "NETWORK": "a", "STACK": "staging", "BASE_IMAGE": "iron/base"} {
			So(name+"="+o.env[name], ShouldEqual, name+"="+want)
		}
	})
	for what, text := range map[string]string{"a name with a space": "MY NAME=x\n", "no name": "=x\n", "a wrong setting": "REPLICAS=many\n"} {
		Convey("A file with "+what+" is refused with exit code 2", t, func() {
			dir := stage(t)
			put(t, filepath.Join(dir, "bad.env"), text)
			r := deploy(context.Background(), "up", "--env-file", filepath.Join(dir, "bad.env"))
			So(r.exit, ShouldEqual, exitUsage)
		})
	}
	Convey("A file that is not there is refused by its name", t, func() {
		stage(t)
		r := deploy(context.Background(), "up", "--env-file", "nowhere.env")
		So(r.exit, ShouldEqual, exitUsage)
		So(r.stderr, ShouldContainSubstring, "nowhere.env")
	})
}

func TestWrongSettings(t *testing.T) {
	for _, setting := range []struct{ name, value string }{
		{"IMAGE_PREFIX", "Some"}, {"IMAGE_PREFIX", "some/"}, {"VERSION", "v1 beta"}, {"STACK", "my stack"}, {"STACK", "-x"}, {"VERSION", "v1+dirty"}, {"VERSION", strings.Repeat("v", 129)},
		{"GOARCH", "AMD64"}, {"GOARCH", "linux/amd64"}, {"NETWORK", "my network"}, {"NETWORK", "-net"},
		{"REPLICAS", "0"}, {"REPLICAS", "10000"}, {"REPLICAS", "two"}, {"REPLICAS", "-1"},
		{"PUBLISH_MODE", "mesh"}, {"PUBLISH_MODE", "hosts"}, {"ManagerIP", "http://192.0.2.1"}, {"ManagerIP", "[::1]"}, {"ADVERTISE_ADDR", "eth0 eth1"},
		{"BASE_IMAGE", "--quiet"}, {"BASE_IMAGE", "iron base"},
		{"LIMIT_MEMORY", "0"}, {"LIMIT_MEMORY", "1.5g"}, {"LIMIT_CPU", "half"}, {"LIMIT_CPU", ".5"}, {"LIMIT_CPU", "-1"},
		{"SERVICE_ENV", "DEBUG"}, {"SERVICE_ENV", "A=1 2B=2"}, {"SERVICE_ENV", "=1"},
		{"VERIFY_PATH", "accounts/10000"}, {"VERIFY_PATH", "/a b"}, {"TRIAL_SECONDS", "1000"}, {"TRIAL_SECONDS", "-1"},
		{"REGISTRY", "registry:port"}, {"REGISTRY", "https://registry.example"}, {"DEPLOY_TIMEOUT", "0"}, {"DEPLOY_TIMEOUT", "1m"}, {"DEPLOY_TIMEOUT", "100000"},
		{"DOCKER_SOCK", "docker.sock"}, {"DOCKER_SOCK", "/run/docker.sock,readonly"}, {"DOCKER_SOCK", "/run/docker.sock:ro"},
	} {
		Convey(setting.name+"="+setting.value+" is refused by name before an engine is asked", t, func() {
			stage(t)
			t.Setenv(setting.name, setting.value)
			r := deploy(context.Background(), "up")
			So(r.exit, ShouldEqual, exitUsage)
			if setting.name == "SERVICE_ENV" { // It may hold secrets.
				So(r.stderr, ShouldStartWith, "error: SERVICE_ENV='(not shown)': want ")
			} else {
				So(r.stderr, ShouldStartWith, "error: "+setting.name+"='"+setting.value+"': want ")
			}
			So(r.stderr, ShouldContainSubstring, "--help")
			So(r.stdout, ShouldBeBlank)
		})
	}
	// The stack file's reader checks these, and names their place in the file.
	for _, setting := range []struct{ name, value, place string }{
		{"PORT", "0", "stack.yml: services.accountservice.ports: published port"}, {"PORT", "65536", "stack.yml: services.accountservice.ports: published port"},
		{"PORT", "abc", "stack.yml: services.accountservice.ports: published port"}, {"PORT", "6767/udp", "stack.yml: services.accountservice.ports: published port"},
		{"TARGET_PORT", "0", "stack.yml: services.accountservice.ports: target port"}, {"TARGET_PORT", "65536", "stack.yml: services.accountservice.ports: target port"},
		{"QUOTES_IMAGE", "--quiet", "services.quotes-service.image"}, {"VISUALIZER_IMAGE", "viz latest", "services.viz.image"}, {"VISUALIZER_PORT", "0", "services.viz.ports: published port"},
		{"DVIZZ_IMAGE", "https://registry.example/dvizz!", "services.dvizz.image"}, {"DVIZZ_PORT", "65536", "services.dvizz.ports: published port"},
	} {
		Convey(setting.name+"="+setting.value+" is refused by its place in the file before an engine is asked", t, func() {
			stage(t)
			t.Setenv(setting.name, setting.value)
			r := deploy(context.Background(), "up", "-f", "../stack.yml", "-f", "../landscape.yml")
			So(r.exit, ShouldEqual, exitUsage)
			So(r.stderr, ShouldContainSubstring, setting.place)
			So(r.stderr, ShouldContainSubstring, setting.value)
			So(r.stdout, ShouldBeBlank)
		})
	}
	Convey("Values at the edge of what is allowed are taken", t, func() {
		stage(t)
		for name, value := range map[string]string{
			"IMAGE_PREFIX": "registry.example/some_prefix", "VERSION": "v1.0-beta_2", "REPLICAS": "9999", "PORT": "65535", "TARGET_PORT": "1", "ManagerIP": "2001:db8::1",
			"ADVERTISE_ADDR": "eth0:2377", "LIMIT_MEMORY": "1g", "LIMIT_CPU": "0.5", "SERVICE_ENV": "A= _b1=a=b  C=$*", "VERIFY_PATH": "/", "TRIAL_SECONDS": "0",
			"REGISTRY": "registry.example:5000", "DEPLOY_TIMEOUT": "99999", "QUOTES_IMAGE": "registry.example:5000/a_b/quotes:v1@sha256:" + strings.Repeat("1", 64), "VISUALIZER_IMAGE": "viz",
			"VISUALIZER_PORT": "65534", "DVIZZ_IMAGE": "dvizz:v2", "DVIZZ_PORT": "1", "DOCKER_SOCK": "/run/user/1000/docker.sock", "PUBLISH_MODE": "host", "BASE_IMAGE": "scratch", "GOARCH": "arm64",
		} {
			t.Setenv(name, value)
		}
		r := deploy(context.Background(), "up", "-f", "../stack.yml", "-f", "../landscape.yml")
		So(r.stderr, ShouldContainSubstring, nowhere)
		So(r.exit, ShouldEqual, exitFailed)
	})
	for name, place := range map[string]string{
		"SERVICE": "the service's key below services:", "PACKAGE": "x-deploy.package", "DOCKERFILE": "build.dockerfile", "DATA_VOLUME": "volumes", "TMPFS_SIZE": "volumes, at tmpfs.size",
	} {
		Convey("The setting "+name+" of before is refused with the line of the file that it is now", t, func() {
			stage(t)
			t.Setenv(name, "anything")
			for _, command := range []string{"up", "build", "rollback", "status", "remove", "init"} {
				r := deploy(context.Background(), command)
				So(r.exit, ShouldEqual, exitUsage)
				So(r.stderr, ShouldStartWith, "error: "+name+" is not a setting any more: edit "+place+" in the stack file instead\n")
			}
		})
	}
	Convey("SERVICE_ENV without a service that is built is refused by name", t, func() {
		stage(t)
		t.Setenv("SERVICE_ENV", "A=1")
		r := deploy(context.Background(), "up")
		So(r.exit, ShouldEqual, exitUsage)
		So(r.stderr, ShouldContainSubstring, "SERVICE_ENV")
	})
	Convey("STACK_FILE names the file where no flag does", t, func() {
		dir := stage(t)
		t.Setenv("STACK_FILE", filepath.Join(dir, "other.yml"))
		r := deploy(context.Background(), "up")
		So(r.exit, ShouldEqual, exitUsage)
		So(r.stderr, ShouldContainSubstring, "other.yml")
		So(deploy(context.Background(), "up", "-f", filepath.Join(dir, "stack.yml")).exit, ShouldEqual, exitFailed)
	})
}
