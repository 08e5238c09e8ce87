package e2e

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	. "github.com/smartystreets/goconvey/convey"
)

// ready makes the engine a manager if it is not one. When the test ends, ready removes
// everything that the test left in the swarm.
func ready(t *testing.T) {
	t.Helper()
	if run(nil, "docker", "node", "ls").exit != 0 {
		docker(t, "swarm", "init")
	}
	wipeAll(t)
	t.Cleanup(func() { wipeAll(t) })
}

// wipeAll calls wipe, and also removes all secrets and networks of the swarm, and the volumes
// of these tests.
func wipeAll(t *testing.T) {
	t.Helper()
	for _, name := range lines(docker(t, "service", "ls", "--format", "{{.Name}}")) {
		docker(t, "service", "rm", name)
		for _, container := range containers(t, name) {
			run(nil, "docker", "kill", container)
		}
	}
	// If a network is removed while a container is on it, the engine keeps its part of the
	// network.
	gone := func() bool {
		return docker(t, "ps", "--all", "--quiet", "--filter", "label=com.docker.swarm.service.id") == ""
	}
	if !eventually(20*time.Second, gone) {
		t.Error("containers are left")
	}
	wipe(t)
	for _, secret := range lines(docker(t, "secret", "ls", "--quiet")) {
		docker(t, "secret", "rm", secret)
	}
	for kind, list := range map[string][]string{
		"network": {"--filter", "driver=overlay", "--format", "{{.Name}}"},
		"volume":  {"--filter", "name=contents-data", "--filter", "name=several-diary", "--quiet"},
	} {
		for _, name := range lines(docker(t, append([]string{kind, "ls"}, list...)...)) {
			var r result
			if name != "ingress" && !eventually(30*time.Second, func() bool {
				r = run(nil, "docker", kind, "rm", name)
				return r.exit == 0
			}) {
				t.Errorf("%s %s cannot be removed: %s", kind, name, r)
			}
		}
	}
}

// stackFile is a flag that names a stack file of testdata.
func stackFile(elements ...string) string {
	return " -f " + repository(append([]string{"e2e", "testdata"}, elements...)...)
}

// written is the path of a new file.
func written(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// createSecret makes a secret as somebody does by hand.
func createSecret(t *testing.T, name, content string) {
	t.Helper()
	docker(t, "secret", "create", name, written(t, name, content))
}

// inContainer is the output of the witness in the container of a service: mode, owner and
// content of each path.
func inContainer(t *testing.T, service string, paths ...string) []string {
	t.Helper()
	found := containers(t, service)
	if len(found) != 1 {
		return []string{fmt.Sprintf("%d tasks of %s run here", len(found), service)}
	}
	return lines(run(nil, "docker", append([]string{"exec", found[0], "/witness", "show"}, paths...)...).String())
}

// inSwarm is the whole content of the swarm: any change is visible in it.
func inSwarm(t *testing.T) []string {
	t.Helper()
	var found []string
	for _, kind := range []string{"service", "config", "secret", "network"} {
		for _, id := range lines(docker(t, kind, "ls", "--quiet")) {
			found = append(found, kind+" "+id)
		}
	}
	for _, name := range lines(docker(t, "service", "ls", "--format", "{{.Name}}")) {
		found = append(found, docker(t, "service", "inspect", "--format", "{{.ID}} {{.Version.Index}}", name))
		found = append(found, containers(t, name)...)
	}
	slices.Sort(found)
	return found
}

// secretsNamed are the names of the secrets that begin with a prefix.
func secretsNamed(t *testing.T, prefix string) []string {
	t.Helper()
	names := lines(docker(t, "secret", "ls", "--filter", "name="+prefix, "--format", "{{.Name}}"))
	slices.Sort(names)
	return names
}

// fieldsOf are the fields of a service's Spec, each as "PATH = VALUE". Networks have their
// names. The ids of secrets and configs, and the values that each deploy sets, are left out.
func fieldsOf(t *testing.T, service string) []string {
	t.Helper()
	var spec any
	if err := json.Unmarshal([]byte(docker(t, "service", "inspect", "--format", "{{json .Spec}}", service)), &spec); err != nil {
		t.Fatal(err)
	}
	names := map[string]string{}
	for _, line := range lines(docker(t, "network", "ls", "--no-trunc", "--format", "{{.ID}} {{.Name}}")) {
		id, name, _ := strings.Cut(line, " ")
		names[id] = name
	}
	fields := map[string]string{}
	flatten("", spec, names, fields)
	var list []string
	for _, path := range slices.Sorted(maps.Keys(fields)) {
		if !anew.MatchString(path) {
			list = append(list, path+" = "+fields[path])
		}
	}
	return list
}

// without are the items of a list that another list does not have.
func without(list, other []string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(item string) bool { return slices.Contains(other, item) })
}

// anew are the paths of the values that each deploy sets.
var anew = regexp.MustCompile(`^Labels\.deploy\.|\.(SecretID|ConfigID)$|\.ForceUpdate$`)

// flatten collects the fields of a tree by path. The key of an item in a list is its name or
// target, if it has one.
func flatten(path string, value any, names, fields map[string]string) {
	switch value := value.(type) {
	case map[string]any:
		if len(value) == 0 {
			fields[path] = "{}"
		}
		for key, below := range value {
			flatten(strings.TrimPrefix(path+"."+key, "."), below, names, fields)
		}
	case []any:
		for i, item := range value {
			id := fmt.Sprint(i)
			if mapping, isMapping := item.(map[string]any); isMapping {
				file, _ := mapping["File"].(map[string]any)
				name := cmp.Or(file["Name"], mapping["Target"], mapping["Name"], mapping["TargetPort"])
				if name != nil {
					id = fmt.Sprint(name)
				}
				id = cmp.Or(names[id], id)
			} else if name, _, isVariable := strings.Cut(fmt.Sprint(item), "="); isVariable && strings.HasSuffix(path, ".Env") {
				id = name
			}
			flatten(path+"."+id, item, names, fields)
		}
	case float64:
		fields[path] = fmt.Sprintf("%.12g", value)
	default:
		text := fmt.Sprint(value)
		fields[path] = cmp.Or(names[text], text)
	}
}

// kept is the data and the labels of all history entries and locks in the swarm.
func kept(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	for _, line := range lines(docker(t, "config", "ls", "--format", "{{.ID}} {{.Name}}")) {
		id, name, _ := strings.Cut(line, " ")
		if !strings.Contains(name, ".deploy.") {
			continue
		}
		var spec struct {
			Labels map[string]string
			Data   []byte
		}
		if err := json.Unmarshal([]byte(docker(t, "config", "inspect", "--format", "{{json .Spec}}", id)), &spec); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(&all, name, spec.Labels, string(spec.Data))
	}
	return all.String()
}

const (
	firstKey  = "hunter2, the first key"
	secondKey = "correct horse, the second key"
	thirdKey  = "swordfish, the third key"
	lastKey   = "open sesame, the last key"
	firstSite = "The first site, of {{.Service.Name}}"
	otherSite = "The other site, of {{.Service.Name}}"
	givenKey  = "a key that somebody gave by hand"
)

func TestContents(t *testing.T) {
	ready(t)
	docker(t, "network", "create", "--driver", "overlay", "contents_outside")
	createSecret(t, "contents_given", givenKey)
	createSecret(t, "contents_given_anew", givenKey+", anew")
	var said []string // by the program
	deploy := func(command, key, site string, more ...string) result {
		settings := []string{"BASE_IMAGE=scratch", "VERSION=one", "KEY_FILE=" + written(t, "key", key), "SITE_FILE=" + written(t, "site", site)}
		r := script("deploy.sh "+command, append(settings, more...)...)
		said = append(said, r.String())
		return r
	}
	file, other, anew := stackFile("contents", "stack.yml"), stackFile("contents", "other.yml"), []string{"GIVEN=contents_given_anew", "SAYS=fine"}
	inspect := func(format string) string {
		return docker(t, "inspect", "--format", format, containers(t, "witness")[0])
	}
	var one, two string // names of the first two keys in the swarm

	Convey("A service has all that its file says, to the last field, and its container has it, too", t, func() {
		r := deploy("up"+file, firstKey, firstSite, "TRIAL_SECONDS=0")
		So(r.stderr, ShouldBeEmpty)
		So(r.exit, ShouldEqual, 0)
		image := docker(t, "image", "inspect", "--format", "{{.Id}}", "someprefix/witness:latest")
		expected := lines(strings.ReplaceAll(read(t, "testdata/contents/spec.txt"), "IMAGE", image))
		found := lines(regexp.MustCompile(`(?m)-[0-9a-f]{12}$`).ReplaceAllString(strings.Join(fieldsOf(t, "witness"), "\n"), "-HASH"))
		So(without(expected, found), ShouldBeEmpty)
		So(without(found, expected), ShouldBeEmpty)

		keys := secretsNamed(t, "key-")
		So(keys, ShouldHaveLength, 1)
		one = keys[0]
		So(inContainer(t, "witness", "/run/secrets/key", "/run/secrets/given-by-hand", "/etc/site.conf", "/scratch", "/data"), ShouldResemble, []string{
			"/run/secrets/key 0400 65532:65532 " + firstKey,
			"/run/secrets/given-by-hand 0444 0:0 " + givenKey,
			"/etc/site.conf 0440 0:65532 The first site, of witness",
			"/scratch 01770 0:0",
			"/data 01777 65532:65532",
		})
		So(inspect(`{{range .HostConfig.Ulimits}}{{.Name}} {{.Soft}} {{.Hard}}, {{end}}`), ShouldEqual, "nofile 1024 2048, nproc 4096 4096,")
		So(inspect(`{{range $name, $_ := .NetworkSettings.Networks}}{{$name}} {{end}}`), ShouldEqual, "contents_front contents_inside contents_outside")
		So(inspect(`{{.Config.Hostname}}`), ShouldEndWith, "-witness")
		So(docker(t, "network", "inspect", "--format", "{{.Attachable}} {{.Internal}} {{(index .IPAM.Config 0).Subnet}} {{.Labels.team}}", "contents_front"), ShouldEqual, "true false 10.77.1.0/24 web")
		So(docker(t, "network", "inspect", "--format", "{{.Attachable}} {{.Internal}}", "contents_inside"), ShouldEqual, "false true")
	})

	Convey("Changed files of a secret and of a config roll, with all that changes beside them; the plan names each, and values only on demand", t, func() {
		before := inSwarm(t)
		shown := deploy("up --rolling --plan --show-values"+file+other, secondKey, otherSite, anew...)
		So(shown.exit, ShouldEqual, 0)
		So(shown.stdout, ShouldContainSubstring, "    environment.COLOUR: deep-blue (new)\n")
		So(shown.stdout, ShouldContainSubstring, "    environment.SAYS: well → fine\n")
		So(inSwarm(t), ShouldResemble, before)

		r := deploy("up --rolling"+file+other, secondKey, otherSite, anew...)
		So(r.stderr, ShouldBeEmpty)
		So(r.exit, ShouldEqual, 0)
		keys := secretsNamed(t, "key-")
		So(keys, ShouldHaveLength, 2) // A rollback can go back to the first.
		So(keys, ShouldContain, one)
		two = without(keys, []string{one})[0]
		for _, line := range []string{
			"secrets.key: " + one + " → " + two + "\n", "secrets.given-by-hand: contents_given → contents_given_anew\n", "configs./etc/site.conf: site-",
			"environment.COLOUR: added\n", "environment.SAYS: changed\n", "deploy.resources.limits.memory: 64MiB → 96MiB\n",
			"networks.contents_other.Target: contents_other (new)\n", "volumes./more.Type: tmpfs (new)\n", "labels.team: web → mobile\n",
		} {
			So(r.stdout, ShouldContainSubstring, "\n    "+line)
		}
		So(r.String(), ShouldNotContainSubstring, "deep-blue")
		So(r.stdout, ShouldContainSubstring, "==> Updating witness to ")
		So(inspect("{{.Config.Env}}"), ShouldContainSubstring, "COLOUR=deep-blue")
		So(inspect("{{.HostConfig.Memory}} {{.Config.Labels.team}}"), ShouldEqual, "100663296 mobile")
		So(inspect("{{range $name, $_ := .NetworkSettings.Networks}}{{$name}} {{end}}"), ShouldContainSubstring, "contents_other")
		So(inContainer(t, "witness", "/run/secrets/key", "/run/secrets/given-by-hand", "/etc/site.conf", "/more"), ShouldResemble, []string{
			"/run/secrets/key 0400 65532:65532 " + secondKey,
			"/run/secrets/given-by-hand 0444 0:0 " + givenKey + ", anew",
			"/etc/site.conf 0440 0:65532 The other site, of witness",
			"/more 01777 0:0",
		})
	})

	Convey("A rollback brings the old ones back, and those that no version needs then which can be gone back to are removed", t, func() {
		back := deploy("rollback witness", "", "")
		So(back.stderr, ShouldBeEmpty)
		So(back.exit, ShouldEqual, 0)
		So(inContainer(t, "witness", "/run/secrets/key", "/run/secrets/given-by-hand", "/etc/site.conf"), ShouldResemble, []string{
			"/run/secrets/key 0400 65532:65532 " + firstKey,
			"/run/secrets/given-by-hand 0444 0:0 " + givenKey,
			"/etc/site.conf 0440 0:65532 The first site, of witness",
		})
		So(secretsNamed(t, "key-"), ShouldHaveLength, 2)

		r := deploy("up"+file+other, thirdKey, firstSite, append(anew, "TRIAL_SECONDS=0")...)
		So(r.exit, ShouldEqual, 0)
		keys := secretsNamed(t, "key-")
		So(keys, ShouldHaveLength, 2)
		So(keys, ShouldContain, one) // keep is 1, and this one was replaced last.
		So(keys, ShouldNotContain, two)
		So(lines(docker(t, "config", "ls", "--filter", "name=site-", "--format", "{{.Name}}")), ShouldHaveLength, 1)
		So(secretsNamed(t, "contents_given"), ShouldResemble, []string{"contents_given", "contents_given_anew"}) // The deploy did not make it.
	})

	Convey("A version whose secret somebody has removed cannot be gone back to: the secret is named, and nothing is changed", t, func() {
		So(script("status.sh").stdout, ShouldContainSubstring, "  a rollback can go back to it\n")
		docker(t, "secret", "rm", "contents_given")
		before := inSwarm(t)
		for _, command := range []string{"rollback witness", "rollback witness 1"} {
			r := deploy(command, "", "")
			So(r.stderr, ShouldContainSubstring, "the swarm has no secret contents_given\n")
			So(r.exit, ShouldEqual, 1)
			So(inSwarm(t), ShouldResemble, before)
		}
		status := script("status.sh").stdout
		So(status, ShouldContainSubstring, "a rollback cannot go back to it: the swarm has no secret contents_given\n")
		So(status, ShouldNotContainSubstring, "  a rollback can go back to it")
	})

	Convey("An image that needs what the file lacks fails its trial, in its own words; what runs is untouched, and nothing is left", t, func() {
		before := inSwarm(t)
		r := deploy("up"+file+stackFile("contents", "lacking.yml"), lastKey, otherSite, "GIVEN=contents_given_anew")
		So(r.stderr, ShouldContainSubstring, "witness cannot do without a file: open /run/secrets/password: no such file or directory")
		So(r.stderr, ShouldContainSubstring, "exit code 5")
		So(lastLine(r), ShouldStartWith, "       witness was not touched: witness one serves at http://")
		So(r.exit, ShouldEqual, 1)
		So(inSwarm(t), ShouldResemble, before)
	})

	Convey("What cannot be in a file is refused with its key, and nothing is touched", t, func() {
		before := inSwarm(t)
		for _, it := range []struct{ says, key, setting string }{
			{"services: {witness: {imag: nothing}}", "services.witness.imag: ", ""},
			{"services: {witness: {read_only: perhaps}}", "services.witness.read_only: ", ""},
			{"services: {witness: {deploy: {mode: replicated, replicas: many}}}", "services.witness.deploy.replicas: ", ""},
			{"services: {witness: {ports: [{target: 8000, published: 99999}]}}", "services.witness.ports: published port 99999 ", ""},
			{"services: {witness: {ports: [{target: 8000, mode: hst}]}}", "services.witness.ports.mode: ", ""},
			{"services: {other: {user: nobody}}", "services.other.image: there is none", ""},
			{"services: {witness: {x-deploy: {verfy: {path: /}}}}", "services.witness.x-deploy.verfy: ", ""},
			{"services: {witness: {secrets: [unheard-of]}}", "services.witness.secrets: unheard-of ", ""},
			{"services: {witness: {user: root}}", "secrets.key.file: /nowhere/key ", "KEY_FILE=/nowhere/key"},
			{"services: {witness: {user: root}}", "the variable KEY_FILE is not set: it names the file of the key", "KEY_FILE="},
		} {
			over := written(t, "over.yml", "version: '3.9'\n"+it.says+"\n")
			r := deploy("up"+file+" -f "+over, lastKey, otherSite, "GIVEN=contents_given_anew", it.setting)
			So(r.stderr, ShouldContainSubstring, it.key)
			if it.setting == "" {
				So(r.stderr, ShouldContainSubstring, over+": ")
			} else {
				So(r.stderr, ShouldContainSubstring, "contents/stack.yml")
			}
			So(r.stdout, ShouldBeEmpty)
			So(r.exit, ShouldEqual, 2)
		}
		So(inSwarm(t), ShouldResemble, before)
	})

	Convey("The content of no secret and of no config stands in what was said, or in the history", t, func() {
		all := strings.Join(said, "\n") + script("status.sh").String() + kept(t)
		So(all, ShouldContainSubstring, one) // The name is there.
		for _, content := range []string{firstKey, secondKey, thirdKey, lastKey, firstSite, otherSite, givenKey} {
			So(all, ShouldNotContainSubstring, content)
			So(all, ShouldNotContainSubstring, strings.TrimRight(base64.StdEncoding.EncodeToString([]byte(content)), "="))
		}
	})
}
