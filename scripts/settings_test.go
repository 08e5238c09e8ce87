package scripts

import (
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	. "github.com/smartystreets/goconvey/convey"
)

// steps returns the scripts that are run, by name.
func steps() []string {
	all, _ := filepath.Glob("*.sh")
	return slices.DeleteFunc(all, func(name string) bool { return name == "lib.sh" || name == "settings.sh" })
}

// settingsTable returns name and default of every setting.
func settingsTable(t *testing.T) [][2]string {
	out, err := exec.Command("bash", "-c", "source ./settings.sh && settings_table").Output()
	if err != nil {
		t.Fatal(err)
	}
	var table [][2]string
	for line := range strings.Lines(string(out)) {
		row := strings.Fields(line)
		table = append(table, [2]string{row[0], strings.TrimPrefix(row[1], "-")})
	}
	return table
}

func TestHelp(t *testing.T) {
	table := settingsTable(t)
	for _, script := range steps() {
		Convey("--help of "+script+" says what it does, lists every setting, and calls no docker", t, func() {
			r := newStage().runWith(script, []string{"--help"})
			So(r.exit, ShouldEqual, 0)
			what, settings, _ := strings.Cut(r.stdout, "\nSettings, as they are now")
			So(what, ShouldStartWith, script)
			for _, row := range table {
				So(settings, ShouldContainSubstring, "\n  "+row[0]+"=")
			}
			So(strings.Count(settings, "\n  "), ShouldEqual, 2*len(table))
			So(r.call("docker"), ShouldBeEmpty)
		})
	}
}

func TestSettings(t *testing.T) {
	Convey("Given a checkout of which git says that it is v1-3-gc0ffee", t, func() {
		s := newStage()
		s.answer("git -C "+s.root+" describe *", "v1-3-gc0ffee")
		table := settingsTable(t)
		var empty []string
		for _, row := range table {
			empty = append(empty, row[0]+"=")
		}

		Convey("an empty variable counts as unset", func() {
			help := s.runWith("copyall.sh", []string{"--help"}, empty...).stdout
			for _, row := range table {
				want := row[1]
				switch row[0] {
				case "DOCKERFILE":
					want = "dockerfiles/accountservice.Dockerfile"
				case "VERSION":
					want = "v1-3-gc0ffee"
				case "VERIFY_BODY":
					want = firstAccount
				}
				So(help, ShouldContainSubstring, "\n  "+row[0]+"="+want+"\n")
			}
		})

		Convey("where git knows nothing, the version is dev", func() {
			s.refuse("git -C *", "fatal: not a git repository")
			So(s.runWith("copyall.sh", []string{"--help"}, empty...).stdout, ShouldContainSubstring, "\n  VERSION=dev\n")
		})

		Convey("another path to verify may have any body, and another service has a Dockerfile of its own", func() {
			help := s.runWith("copyall.sh", []string{"-h"}, "VERIFY_PATH=/health", "SERVICE=quotes").stdout
			So(help, ShouldContainSubstring, "\n  VERIFY_PATH=/health\n")
			So(help, ShouldContainSubstring, "\n  VERIFY_BODY=\n")
			So(help, ShouldContainSubstring, "\n  DOCKERFILE=dockerfiles/quotes.Dockerfile\n")
		})

		Convey("values at the edge of what is allowed are taken", func() {
			r := s.run("network.sh", "SERVICE="+strings.Repeat("a", 51), "IMAGE_PREFIX=registry.example/some_prefix", "VERSION=v1.0-beta_2",
				"REPLICAS=9999", "PORT=65535", "TARGET_PORT=1", "ManagerIP=2001:db8::1", "ADVERTISE_ADDR=eth0:2377", "DATA_VOLUME=accounts.v2",
				"TMPFS_SIZE=1", "LIMIT_MEMORY=1g", "LIMIT_CPU=0.5", "SERVICE_ENV=A= _b1=a=b  C=$*", "VERIFY_PATH=/", "TRIAL_SECONDS=0", "REGISTRY=registry.example:5000", "DEPLOY_TIMEOUT=99999",
				"QUOTES_IMAGE=registry.example:5000/a_b/quotes:v1@sha256:1", "VISUALIZER_IMAGE=viz", "VISUALIZER_PORT=65535", "DVIZZ_IMAGE=sha256:1", "DVIZZ_PORT=1",
				"DOCKER_SOCK=/run/user/1000/docker.sock")
			r.passes()
		})
	})
}

func TestUsageErrors(t *testing.T) {
	for _, setting := range []struct{ name, value string }{
		{"SERVICE", "Accounts"}, {"SERVICE", "-accounts"}, {"SERVICE", strings.Repeat("a", 64)}, {"SERVICE", "a/b"},
		{"IMAGE_PREFIX", "Some"}, {"IMAGE_PREFIX", "some/"}, {"VERSION", "v1 beta"}, {"VERSION", "v1+dirty"}, {"VERSION", strings.Repeat("v", 129)},
		{"GOARCH", "AMD64"}, {"GOARCH", "linux/amd64"}, {"NETWORK", "my network"}, {"NETWORK", "-net"},
		{"REPLICAS", "0"}, {"REPLICAS", "10000"}, {"REPLICAS", "two"}, {"REPLICAS", "-1"},
		{"PORT", "0"}, {"PORT", "65536"}, {"PORT", "abc"}, {"PORT", "06767"}, {"PORT", "6767/udp"}, {"TARGET_PORT", "65536"}, {"TARGET_PORT", "0"},
		{"PUBLISH_MODE", "mesh"}, {"PUBLISH_MODE", "hosts"}, {"ManagerIP", "http://192.0.2.1"}, {"ManagerIP", "[::1]"}, {"ADVERTISE_ADDR", "eth0 eth1"},
		{"DATA_VOLUME", "/var/lib/accounts"}, {"DATA_VOLUME", "a,readonly"}, {"TMPFS_SIZE", "64MiB"}, {"TMPFS_SIZE", "0"},
		{"LIMIT_MEMORY", "0"}, {"LIMIT_MEMORY", "1.5g"}, {"LIMIT_CPU", "half"}, {"LIMIT_CPU", ".5"}, {"LIMIT_CPU", "-1"},
		{"SERVICE_ENV", "DEBUG"}, {"SERVICE_ENV", "A=1 2B=2"}, {"SERVICE_ENV", "=1"},
		{"VERIFY_PATH", "accounts/10000"}, {"VERIFY_PATH", "/a b"}, {"TRIAL_SECONDS", "1000"}, {"TRIAL_SECONDS", "-1"},
		{"REGISTRY", "registry:port"}, {"REGISTRY", "https://registry.example"}, {"DEPLOY_TIMEOUT", "0"}, {"DEPLOY_TIMEOUT", "1m"}, {"DEPLOY_TIMEOUT", "100000"},
		{"QUOTES_IMAGE", "--quiet"}, {"VISUALIZER_IMAGE", "viz latest"}, {"VISUALIZER_PORT", "0"}, {"DVIZZ_IMAGE", "https://registry.example/dvizz!"}, {"DVIZZ_PORT", "65536"},
		{"DOCKER_SOCK", "docker.sock"}, {"DOCKER_SOCK", "/run/docker.sock,readonly"},
	} {
		Convey(setting.name+"="+setting.value+" is refused before docker is called", t, func() {
			r := newStage().run("copyall.sh", setting.name+"="+setting.value)
			So(r.exit, ShouldEqual, 2)
			So(r.stderr, ShouldContainSubstring, "error: "+setting.name+"='"+setting.value+"': want ")
			So(r.stderr, ShouldContainSubstring, "copyall.sh --help")
			So(r.call(""), ShouldBeEmpty)
		})
	}
	for _, script := range steps() {
		Convey(script+" refuses an argument that it does not know", t, func() {
			r := newStage().runWith(script, []string{"--nonsense"})
			So(r.exit, ShouldEqual, 2)
			So(r.stderr, ShouldContainSubstring, "unknown argument '--nonsense'")
			So(r.call(""), ShouldBeEmpty)
		})
	}
}
