package e2e

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	. "github.com/smartystreets/goconvey/convey"
)

// installed is the path of a program that a test needs. If the program is missing, it skips
// the test, or with E2E=required fails it.
func installed(t testing.TB, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	switch {
	case err == nil:
	case os.Getenv("E2E") == "required":
		t.Fatal(program, "is not installed, but E2E=required")
	default:
		t.Skip(program, "is not installed")
	}
	return path
}

// A result is how a command ended.
type result struct {
	exit           int
	stdout, stderr string
}

func (r result) String() string {
	return r.stdout + r.stderr
}

// run runs a command with more environment variables, for six minutes at most.
func run(environment []string, name string, arguments ...string) result {
	ctx, cancel := context.WithTimeout(context.Background(), 6*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, arguments...)
	cmd.Env = append(os.Environ(), environment...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	// A script's children end with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	err := cmd.Run()
	r := result{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
	if ctx.Err() != nil || cmd.ProcessState == nil {
		r.stderr += "\n" + name + ": " + err.Error()
	}
	return r
}

// scriptFrom is a variable of a script's environment: a command that runs the script, such as
// nsenter in another network namespace. Without it, a script runs beside the engine.
const scriptFrom = "E2E_FROM"

// script runs one of the project's scripts, with flags, from a directory that is not the
// project's.
func script(command string, environment ...string) result {
	line := scriptLine(command)
	return run(environment, line[0], line[1:]...)
}

// scriptLine is the command line of a script.
func scriptLine(command string) []string {
	name, flags, _ := strings.Cut(command, " ")
	return []string{"bash", "-c", `cd / && exec $` + scriptFrom + ` "$0" ` + flags, repository("scripts", name)}
}

// docker returns what a docker command prints, and fails the test if it fails.
func docker(t testing.TB, arguments ...string) string {
	t.Helper()
	r := run(nil, "docker", arguments...)
	if r.exit != 0 {
		t.Fatalf("docker %s: exit %d\n%s", strings.Join(arguments, " "), r.exit, r)
	}
	return strings.TrimSpace(r.stdout)
}

// deployed deploys accountservice, removes it when the test ends, and returns its URL.
func deployed(t testing.TB, environment ...string) string {
	t.Helper()
	t.Cleanup(func() { wipe(t) })
	r := script("copyall.sh", environment...)
	if r.exit != 0 {
		t.Fatalf("copyall.sh: exit %d\n%s", r.exit, r)
	}
	return answeringURL(r)
}

// answeringURL is the URL that a deploy says it has proven.
func answeringURL(r result) string {
	found := regexp.MustCompile(`answers: (http://\S+)`).FindStringSubmatch(r.stdout)
	if found == nil {
		return "http://nothing.invalid/"
	}
	return found[1]
}

// wipe removes every service with its containers, every config, and the network.
func wipe(t testing.TB) {
	t.Helper()
	if run(nil, "docker", "node", "ls").exit != 0 {
		return // Not a swarm yet.
	}
	for _, name := range lines(docker(t, "service", "ls", "--format", "{{.Name}}")) {
		docker(t, "service", "rm", name)
		for _, container := range containers(t, name) {
			run(nil, "docker", "kill", container)
		}
		if !eventually(30*time.Second, func() bool { return len(containers(t, name)) == 0 }) {
			t.Errorf("containers of %s are left", name)
		}
	}
	for _, config := range lines(docker(t, "config", "ls", "--quiet")) {
		docker(t, "config", "rm", config)
	}
	for _, network := range []string{"my_network", "other_network"} {
		if !eventually(30*time.Second, func() bool {
			return run(nil, "docker", "network", "inspect", network).exit != 0 || run(nil, "docker", "network", "rm", network).exit == 0
		}) {
			t.Errorf("network %s cannot be removed", network)
		}
	}
}

// get returns the body of an answer with status 200, or the other answer or error. The
// connection is not kept alive.
func get(url string) string {
	client := http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Get(url)
	if err != nil {
		return err.Error()
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return err.Error()
	}
	if response.StatusCode != http.StatusOK {
		return response.Status
	}
	return string(body)
}

// eventually polls until the condition holds, and reports whether it did in time.
func eventually(limit time.Duration, condition func() bool) bool {
	for deadline := time.Now().Add(limit); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		if condition() {
			return true
		}
	}
	return condition()
}

// hostMode tells whether services publish their ports on their tasks' nodes.
func hostMode() bool {
	return os.Getenv("PUBLISH_MODE") == "host"
}

// modernEngine tells whether the engine is the one of modern.sh, with either image store.
func modernEngine() bool {
	return strings.HasPrefix(os.Getenv(engineName), "modern")
}

// containers returns the ids of a service's running containers on the engine.
func containers(t testing.TB, service string) []string {
	t.Helper()
	return lines(docker(t, "ps", "--quiet", "--no-trunc", "--filter", "label=com.docker.swarm.service.name="+service))
}

// moody are the flags that deploy moody as accountservice. Its version is its mood.
func moody(flags string) string {
	return "copyall.sh " + flags + " -f " + repository("stack.yml") + " -f " + repository("e2e", "testdata", "moody", "stack.yml")
}

// version is the version of the running accountservice.
func version(t testing.TB) string {
	t.Helper()
	return docker(t, "service", "inspect", "--format", `{{index .Spec.Labels "deploy.version"}}`, "accountservice")
}

// image is the image of the running accountservice, as its Spec names it.
func image(t *testing.T) string {
	t.Helper()
	return docker(t, "service", "inspect", "--format", "{{.Spec.TaskTemplate.ContainerSpec.Image}}", "accountservice")
}

// mustServe asserts that a version of accountservice runs and answers, and that no lock and
// no trial is left.
func mustServe(t *testing.T, url, wanted string) {
	t.Helper()
	So(get(url), ShouldEqual, firstAccount)
	So(version(t), ShouldEqual, wanted)
	So(docker(t, "config", "ls", "--quiet", "--filter", "name=accountservice.deploy.lock"), ShouldBeEmpty)
	So(docker(t, "service", "ls", "--quiet", "--filter", "name=accountservice-trial"), ShouldBeEmpty)
}

// lastLine is the last line of a command on stderr.
func lastLine(r result) string {
	all := lines(r.stderr)
	if len(all) == 0 {
		return ""
	}
	return all[len(all)-1]
}

// comesBack kills the container of accountservice, and tells whether it answers again
// within 10 seconds, from the same image.
func comesBack(t *testing.T, url string) bool {
	t.Helper()
	before, killed := image(t), containers(t, "accountservice")[0]
	docker(t, "rm", "--force", killed)
	return eventually(10*time.Second, func() bool {
		now := containers(t, "accountservice")
		return len(now) == 1 && now[0] != killed && get(url) == firstAccount
	}) && docker(t, "inspect", "--format", "{{.Image}}", containers(t, "accountservice")[0]) == before
}
