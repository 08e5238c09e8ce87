package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	. "github.com/smartystreets/goconvey/convey"
)

// dockerClients are the paths of this machine's docker clients, Debian's own first. With a
// modern engine, it is only the client that fits this engine.
func dockerClients(t *testing.T) []string {
	t.Helper()
	found := slices.DeleteFunc([]string{"/usr/bin/docker", "/usr/local/bin/docker"}, func(path string) bool {
		_, err := os.Stat(path)
		return err != nil
	})
	if !modernEngine() && len(found) > 0 {
		return found
	}
	fitting, err := exec.LookPath("docker")
	if err != nil {
		t.Fatal(err)
	}
	return []string{fitting}
}

// differences are the fields in which a service of this program differs from the service that
// docker stack deploy makes from the same file. All except reason are regular expressions; ""
// means that the field does not exist.
var differences = []struct{ field, ours, docker, reason string }{
	{`\.ContainerSpec\.Image$`, `^sha256:[0-9a-f]{64}$`, `^someprefix/[a-z]+:\w+$`, "a tag would be looked up at each start of a task"},
	{`\.Placement\.Platforms\.0\.(OS|Architecture)$`, `^(linux|\w+64)$`, "", "the image's own; docker asks a registry for it, or does not know"},
	{`\.Placement\.Constraints\.\d$`, `^node\.id==\w{25}$`, "", "no other node has the image"},
	{`\.Mounts\./(data|scratch)\.TmpfsOptions\.Mode$`, `^(1023|1016)$`, "", "docker drops it"},
	{`\.Secrets\.key\.SecretName$`, `^x_key-[0-9a-f]{12}$`, `^x_key$`, "a changed file is to roll"},
	{`\.Configs\./etc/site\.conf\.ConfigName$`, `^x_site-[0-9a-f]{12}$`, `^x_site$`, "a changed file is to roll"},
	{`^UpdateConfig\.FailureAction$`, `^rollback$`, `^pause$`, "the engine goes back by itself, should the program die"},
	{`^(Update|Rollback)Config\.Order$`, `^start-first$`, `^stop-first$`, "the file says none, and the new task can start first"},
	{`\.Healthcheck\.Interval$`, `^1000000000$`, "", "x-deploy.start_interval, on an engine that has none"},
	{`\.Healthcheck\.StartInterval$`, `^200000000$`, "", "x-deploy.start_interval"},
	{`^EndpointSpec\.Mode$`, `^dnsrr$`, `^vip$`, "PUBLISH_MODE=host"},
	{`^EndpointSpec\.Ports\.\d+\.PublishMode$`, `^host$`, `^ingress$`, "PUBLISH_MODE=host"},
	{`\.ContainerSpec\.Privileges\.`, "", `^(false|<nil>)$`, "docker sends empty ones"},
	{`^TaskTemplate\.Placement$`, "", `^{}$`, "docker sends an empty one"},
}

// unexplained are the fields of two services that differ without a known reason.
func unexplained(ours, theirs []string) []string {
	values := map[string][2]string{}
	for i, fields := range [][]string{ours, theirs} {
		for _, field := range fields {
			path, value, _ := strings.Cut(field, " = ")
			pair := values[path]
			pair[i] = value
			values[path] = pair
		}
	}
	fits := func(pattern, value string) bool {
		return (pattern == "") == (value == "") && regexp.MustCompile(pattern).MatchString(value)
	}
	var found []string
	for path, pair := range values {
		known := slices.ContainsFunc(differences, func(one struct{ field, ours, docker, reason string }) bool {
			return regexp.MustCompile(one.field).MatchString(path) && fits(one.ours, pair[0]) && fits(one.docker, pair[1])
		})
		if pair[0] != pair[1] && !known {
			found = append(found, fmt.Sprintf("%s: ours %q, docker's %q", path, pair[0], pair[1]))
		}
	}
	return found
}

func TestStandard(t *testing.T) {
	ready(t)
	docker(t, "network", "create", "--driver", "overlay", "contents_outside")
	createSecret(t, "contents_given", givenKey)
	settings := append(standins(t), "STACK=x", "BASE_IMAGE=scratch", "VERSION=one", "TRIAL_SECONDS=0",
		"KEY_FILE="+written(t, "key", firstKey), "SITE_FILE="+written(t, "site", firstSite))
	for file, services := range map[string][]string{
		"stack.yml":                       {"x_accountservice"},
		"landscape.yml":                   {"x_quotes-service", "x_viz"},
		"e2e/testdata/contents/stack.yml": {"x_witness"},
	} {
		Convey("Each docker client takes "+file+", and makes of it the services that this program makes, but for what has a reason", t, func() {
			r := script("deploy.sh up "+strings.Join(services, " ")+" -f "+repository(file), settings...)
			So(r.exit, ShouldEqual, 0)
			ours := map[string][]string{}
			for _, service := range services {
				ours[service] = fieldsOf(t, service)
			}
			for _, client := range dockerClients(t) {
				docker(t, append([]string{"service", "rm"}, services...)...) // The networks stay: they are in use for some time.
				// Here, no registry can be asked for the images.
				r := run(settings, client, "stack", "deploy", "--resolve-image", "never", "-c", repository(file), "x")
				if r.exit != 0 {
					So(client+": "+r.String(), ShouldBeEmpty)
				}
				for _, service := range services {
					So(unexplained(ours[service], fieldsOf(t, service)), ShouldBeEmpty)
				}
			}
		})
	}
}
