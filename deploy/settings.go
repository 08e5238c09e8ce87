package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/docker/cli/pkg/kvfile"

	"goblog/deploy/build"
)

// A setting is an environment variable; an empty one counts as unset.
type setting struct{ name, fallback, meaning string }

// Settings of the stack files, which use each of them as ${NAME:-default}.
var fileSettings = []setting{
	{"IMAGE_PREFIX", "someprefix", "first part of the image's name"},
	{"VERSION", "", "version of the binary, and tag of the image; default from git describe"},
	{"NETWORK", "my_network", "overlay network of the services"},
	{"REPLICAS", "1", "number of tasks that run the service"},
	{"PORT", "6767", "published port"},
	{"TARGET_PORT", "6767", "port that the service listens on in its container"},
	{"LIMIT_MEMORY", "128m", "memory limit of a task"},
	{"LIMIT_CPU", "", "CPU limit of a task, as in 0.5; default none"},
	{"VERIFY_PATH", "/accounts/10000", "path that must answer with status 200"},
	{"TRIAL_SECONDS", "3", "seconds that the trial must stay healthy; 0: no trial"},
	{"DEPLOY_TIMEOUT", "60", "seconds from the first change to the proven answer; going back gets the same time, or 40 s if that is more"},
	{"QUOTES_IMAGE", "eriklupander/quotes-service", "image of the quotes-service"},
	{"VISUALIZER_IMAGE", "dockersamples/visualizer", "image of the visualizer"},
	{"VISUALIZER_PORT", "8080", "published port of the visualizer's page"},
	{"DVIZZ_IMAGE", "eriklupander/dvizz", "image of dvizz"},
	{"DVIZZ_PORT", "6969", "published port of the page of dvizz"},
	{"DOCKER_SOCK", "/var/run/docker.sock", "socket of the manager's engine, for the visualizers"},
}

// Settings of this program.
var ownSettings = []setting{
	{"STACK_FILE", "stack.yml", "stack file to read if there is no -f"},
	{"STACK", "", "prefix of all names, as for docker stack deploy: so staging and production can run at the same time"},
	{"ManagerIP", "", "address that reaches the swarm; default from the docker context or the engine"},
	{"ADVERTISE_ADDR", "", "address of the manager of a new swarm; default the engine's choice"},
	{"BASE_IMAGE", "iron/base", "base image of a Dockerfile with ARG BASE_IMAGE; scratch if the engine cannot get it"},
	{"GOARCH", "amd64", "processor for which the binary and the image are built"},
	{"REGISTRY", "", "host:port of a registry that all nodes pull from; needed on several nodes"},
	{"PUBLISH_MODE", "", "ingress: every node answers; host: only nodes that run a task answer; default as the file says"},
	{"SERVICE_ENV", "", "more environment variables for the service that is built, if there is exactly one: NAME=value ..."},
	{"VERIFY_BODY", "", "body that the answer of this service must have; default as the file says"},
}

// retired are old settings, with the place in the stack file that has replaced them.
var retired = map[string]string{
	"SERVICE":     "the service's key below services:",
	"PACKAGE":     "x-deploy.package",
	"DOCKERFILE":  "build.dockerfile",
	"DATA_VOLUME": "volumes",
	"TMPFS_SIZE":  "volumes, at tmpfs.size",
}

// Shapes of the values that neither the stack file's loader nor the engine checks.
var shapes = []struct{ name, pattern, wanted string }{
	{"IMAGE_PREFIX", `^[a-z0-9]([a-z0-9._/:-]*[a-z0-9])?$`, "the first part of an image name, as in someprefix"},
	{"VERSION", `^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$`, "an image tag: letters, digits, dots, dashes and underscores"},
	{"NETWORK", `^[A-Za-z0-9][A-Za-z0-9_.-]*$`, "the name of a network"},
	{"REPLICAS", `^[1-9][0-9]{0,3}$`, "a number from 1 to 9999"},
	{"TRIAL_SECONDS", `^[0-9]{1,3}$`, "a number of seconds"},
	{"DEPLOY_TIMEOUT", `^[1-9][0-9]{0,4}$`, "a number of seconds"},
	{"LIMIT_MEMORY", `^[1-9][0-9]*[bkmg]?$`, "a size, as in 128m"},
	{"LIMIT_CPU", `^[0-9]+(\.[0-9]+)?$`, "a number, as in 0.5"},
	{"VERIFY_PATH", `^/\S*$`, "a path, as in /accounts/10000"},
	{"DOCKER_SOCK", `^/[^,:\s]+$`, "a path, as in /var/run/docker.sock"},
	{"ManagerIP", `^[A-Za-z0-9.:-]+$`, "an address or a host name, without port"},
	{"ADVERTISE_ADDR", `^[A-Za-z0-9_.:-]+$`, "an address or a network interface"},
	{"BASE_IMAGE", `^[a-z0-9][A-Za-z0-9._/:@-]*$`, "the name of an image"},
	{"GOARCH", `^[a-z0-9]+$`, "a processor that Go knows, as in amd64 or arm64"},
	{"REGISTRY", `^[A-Za-z0-9.-]+(:[0-9]+)?$`, "host:port"},
	{"STACK", `^[A-Za-z0-9]([A-Za-z0-9_-]*[A-Za-z0-9])?$`, "a name of letters, digits, - and _"},
	{"PUBLISH_MODE", `^(ingress|host)$`, "ingress or host"},
	{"SERVICE_ENV", `^\s*([A-Za-z_][A-Za-z0-9_]*=\S*\s*)+$`, "NAME=value NAME=value ..."},
}

// checkSettings refuses values that cannot work, before anything is changed.
func checkSettings(env map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(retired)) {
		if env[name] != "" {
			return usage("%s is not a setting any more: edit %s in the stack file instead", name, retired[name])
		}
	}
	for _, shape := range shapes {
		if value := env[shape.name]; value != "" && !regexp.MustCompile(shape.pattern).MatchString(value) {
			return usage("%s='%s': want %s", shape.name, hidden(shape.name, value), shape.wanted)
		}
	}
	return nil
}

// hidden is the value of a setting for people. Environment variables may hold secrets, so
// their values are not shown.
func hidden(name, value string) string {
	if name == "SERVICE_ENV" && value != "" {
		return "(not shown)"
	}
	return value
}

// readEnvFiles reads the variables of files as docker run --env-file does. If a name comes
// twice, the last value counts.
func readEnvFiles(files []string) (map[string]string, error) {
	given := map[string]string{}
	for _, file := range files {
		pairs, err := kvfile.Parse(file, nil)
		if err != nil {
			return nil, usage("--env-file %s: %v", file, err)
		}
		for _, pair := range pairs {
			name, value, _ := strings.Cut(pair, "=")
			given[name] = value
		}
	}
	return given, nil
}

// environment has the variables of the files, overridden by the environment of the process.
// It adds the defaults of this program's settings.
func environment(root string, given map[string]string) map[string]string {
	env := maps.Clone(given)
	if env == nil {
		env = map[string]string{}
	}
	for _, pair := range os.Environ() {
		if name, value, _ := strings.Cut(pair, "="); value != "" {
			env[name] = value // An empty one counts as unset.
		}
	}
	if env["VERSION"] == "" {
		env["VERSION"] = build.Version(root)
	}
	for _, own := range ownSettings {
		env[own.name] = cmp.Or(env[own.name], own.fallback)
	}
	return env
}

// settingsOf lists those of fileSettings that the stack file and the files beside it use. The
// defaults are those of the files.
func settingsOf(stackFile string) []setting {
	defaults := map[string]string{}
	paths, _ := filepath.Glob(filepath.Join(filepath.Dir(stackFile), "[^.]*.yml")) // The pattern is right.
	for _, path := range paths {
		text, _ := os.ReadFile(path) // A file that cannot be read has no settings to list.
		for _, found := range regexp.MustCompile(`\$\{(\w+)(?::?-([^}]*))?\}`).FindAllSubmatch(text, -1) {
			defaults[string(found[1])] = string(found[2])
		}
	}
	var used []setting
	for _, one := range fileSettings {
		fallback, ok := defaults[one.name]
		if !ok {
			continue
		}
		if one.fallback != "" { // Otherwise the file has a value that stands for none.
			one.fallback = fallback
		}
		used = append(used, one)
	}
	return used
}

// printSettings lists the settings as they are now.
func printSettings(out io.Writer, env map[string]string) {
	for _, table := range []struct {
		title    string
		settings []setting
	}{{"Settings of the stack files here, as they are now; each is an environment variable", settingsOf(env["STACK_FILE"])}, {"Settings of this program", ownSettings}} {
		if len(table.settings) == 0 {
			continue
		}
		fmt.Fprintf(out, "\n%s:\n", table.title)
		columns := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
		for _, one := range table.settings {
			fmt.Fprintf(columns, "  %s=%s\t%s\n", one.name, hidden(one.name, cmp.Or(env[one.name], one.fallback)), one.meaning)
		}
		columns.Flush()
	}
}
