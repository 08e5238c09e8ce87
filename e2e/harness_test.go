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
)

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

// script runs one of the project's scripts, from a directory that is not the project's.
func script(name string, environment ...string) result {
	return run(environment, "bash", "-c", `cd / && exec "$0"`, repository("scripts", name))
}

// docker returns what a docker command prints, and fails the test if it fails.
func docker(t *testing.T, arguments ...string) string {
	t.Helper()
	r := run(nil, "docker", arguments...)
	if r.exit != 0 {
		t.Fatalf("docker %s: exit %d\n%s", strings.Join(arguments, " "), r.exit, r)
	}
	return strings.TrimSpace(r.stdout)
}

// deployed deploys accountservice, removes it when the test ends, and returns its URL.
func deployed(t *testing.T, environment ...string) string {
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

// wipe removes every service and its containers, and the network.
func wipe(t *testing.T) {
	if run(nil, "docker", "node", "ls").exit != 0 {
		return // Not a swarm yet.
	}
	for _, name := range lines(docker(t, "service", "ls", "--format", "{{.Name}}")) {
		if name != "accountservice" {
			docker(t, "service", "rm", name)
			eventually(30*time.Second, func() bool { return len(containers(t, name)) == 0 })
		}
	}
	if r := script("remove.sh"); r.exit != 0 {
		t.Errorf("remove.sh: exit %d\n%s", r.exit, r)
	}
}

// get returns the body of a 200 answer, or what came instead. Nothing is kept alive.
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

// modernEngine tells whether the engine is that of modern.sh, with whichever image store.
func modernEngine() bool {
	return strings.HasPrefix(os.Getenv(engineName), "modern")
}

// faultOfTheScripts tells whether this engine brings out a known fault of the scripts. A
// part of a test that would fail of it leaves itself out, and is named at the end.
func faultOfTheScripts(t *testing.T, fault string) bool {
	t.Helper()
	if os.Getenv(engineName) != "modern" {
		return false
	}
	notRun("a part of "+t.Name()+" on the engine \"modern\"", "the scripts have a fault there: "+fault)
	return true
}

// containers returns the ids of a service's running containers on the engine.
func containers(t *testing.T, service string) []string {
	t.Helper()
	return lines(docker(t, "ps", "--quiet", "--no-trunc", "--filter", "label=com.docker.swarm.service.name="+service))
}
