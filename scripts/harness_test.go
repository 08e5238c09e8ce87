// Package scripts tests the scripts with fakes of the commands that reach beyond them.
package scripts

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	. "github.com/smartystreets/goconvey/convey"
)

// healthy is what the fakes answer unless a test says otherwise: docker speaks for the
// manager of a swarm of one node, on which the service runs the image built last.
var healthy = [][2]string{
	{"git rev-parse HEAD", "c0ffee"},
	{"uname -s", "Linux"},
	{"go build *", ""},
	{"curl *", firstAccount + "\n200"},
	{"docker version --format {{.Server.Version}}", "25.0.0"},
	{"docker version --format {{.Client.APIVersion}}", "1.44"},
	{"docker context inspect --format {{.Endpoints.docker.Host}}", "unix:///var/run/docker.sock"},
	{"docker info --format {{.OperatingSystem}}", "Debian GNU/Linux 12"},
	{"docker info --format {{.Swarm.LocalNodeState}}", "active"},
	{"docker info --format {{.Swarm.ControlAvailable}}", "true"},
	{"docker info --format {{.Swarm.NodeAddr}}", "192.0.2.1"},
	{"docker info --format {{.Swarm.NodeID}}", "node1"},
	{"docker node ls --format {{.Status}} {{.Availability}}", "Ready Active"},
	{"docker node ls --format {{.ID}} {{.Status}}", "node1 Ready"},
	{"docker node ps * node1", ""},
	{"docker network inspect --format {{.Driver}} my_network", "overlay"},
	{"docker network inspect --format {{.ID}} my_network", "net1"},
	{"docker network rm my_network", ""},
	{"docker image inspect --format {{.Id}} someprefix/accountservice:v1", "sha256:new"},
	{"docker image inspect iron/base", "[]"},
	{"docker images --quiet --no-trunc --filter label=copyall.service=accountservice", "sha256:new\nsha256:old"},
	{"docker rmi *", ""},
	{"docker build *", "sha256:new"},
	{"docker run *", "trial"},
	{"docker logs *", "Starting accountservice"},
	{"docker inspect --format {{.State.Status}} *", "running healthy"},
	{"docker inspect --format {{.NodeID}} task1", "node1"},
	{"docker inspect --format {{with .Status.ContainerStatus}}*", ""},
	{"docker rm *", ""},
	{"docker ps --all --quiet --filter label=com.docker.swarm.service.name=accountservice", "container1"},
	{"docker kill container1", ""},
	{"docker service ls --quiet", "service1"},
	{"docker service inspect accountservice", "[]"},
	{"docker service inspect --format {{.ID}} accountservice", "service1"},
	{"docker service inspect --format {{.Spec.Mode.*}} accountservice", "1"},
	{"docker service inspect --format {{.Spec.TaskTemplate.ContainerSpec.Image}} accountservice", "sha256:new"},
	{`docker service inspect --format {{index * "copyall.version"}} accountservice`, "v1"},
	{`docker service inspect --format {{index * "copyall.previous-image"}} accountservice`, "sha256:old"},
	{`docker service inspect --format {{index * "copyall.previous-version"}} accountservice`, "v0"},
	{servicePorts, "accountservice :6767/tcp:"},
	{serviceNetworks, "accountservice net1 "},
	{taskStates, "Running sha256:new Running 1 second ago"},
	{taskErrors, "accountservice.1 on host1: Running 1 second ago "},
	{"docker service ps * --quiet accountservice", "task1"},
	{"docker service rm accountservice", ""},
	{"docker service create *", "service2"},
}

// The patterns of calls that several tests answer in their own way.
const (
	swarmState      = "docker info --format {{.Swarm.LocalNodeState}}"
	anyService      = "docker service inspect *"
	servicePorts    = "docker service inspect --format * {{range .Endpoint.Ports}}*"
	serviceNetworks = "docker service inspect --format * {{range .Spec.TaskTemplate.Networks}}*"
	taskStates      = "docker service ps --no-trunc --format {{.DesiredState}} {{.Image}} {{.CurrentState}} accountservice"
	taskErrors      = "docker service ps --no-trunc --format * {{.Error}} accountservice"
	runningTasks    = "docker service ps --no-trunc --filter desired-state=running --quiet accountservice"
	exitCode        = "docker inspect --format *exit code*"
	trialHealth     = "docker inspect --format {{.State.Status}} *"

	firstAccount = `{"id":"10000","name":"Person_0"}`
)

// shared returns a directory with what all tests use and none changes. The scripts in
// it are copies: nothing is built in the checkout, and reading them here makes go test
// notice when one changes.
var shared = sync.OnceValue(func() string {
	dir, err := os.MkdirTemp("", "scripts-test-")
	must(err)
	must(os.CopyFS(filepath.Join(dir, "scripts"), os.DirFS(".")))
	must(os.Mkdir(filepath.Join(dir, "tools"), 0o755))
	for _, tool := range []string{"bash", "cat", "chmod", "cp", "date", "dirname", "grep", "mkdir", "mktemp", "mv", "rm", "sed", "sleep", "sort", "tail", "xargs"} {
		path, err := exec.LookPath(tool)
		must(err)
		must(os.Symlink(path, filepath.Join(dir, "tools", tool)))
	}
	must(os.Mkdir(filepath.Join(dir, "healthy"), 0o755))
	for i, pair := range healthy {
		write(filepath.Join(dir, "healthy", fmt.Sprintf("%03d", i)), answerFile(pair[0], "0", pair[1]))
	}
	return dir
})

func TestMain(m *testing.M) {
	code := m.Run()
	must(os.RemoveAll(shared()))
	os.Exit(code)
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func write(path, content string) { must(os.WriteFile(path, []byte(content), 0o644)) }

// A stage is a checkout with the scripts, run with nothing on PATH but fakes and the
// tools that the scripts may use.
type stage struct {
	root    string
	answers []string // The newest first.
}

func newStage(t *testing.T) *stage {
	s := &stage{root: t.TempDir()}
	for _, dir := range []string{"answers", "bin", "build", "dockerfiles", "tmp"} {
		must(os.Mkdir(s.path(dir), 0o755))
	}
	must(os.Symlink(filepath.Join(shared(), "scripts"), s.path("scripts")))
	write(s.path("dockerfiles/accountservice.Dockerfile"), "")
	for _, command := range []string{"curl", "docker", "git", "go", "uname"} {
		s.fake(command)
	}
	return s
}

func (s *stage) path(name string) string { return filepath.Join(s.root, name) }

// fake puts the fake in the place of a command.
func (s *stage) fake(command string) {
	must(os.Symlink(filepath.Join(shared(), "scripts/testdata/fake"), s.path("bin/"+command)))
}

// remove takes a fake away.
func (s *stage) remove(command string) { must(os.Remove(s.path("bin/" + command))) }

// answer says what the calls that fit a pattern print; it goes before older ones.
func (s *stage) answer(pattern, output string) { s.put(pattern, "0", output) }

// once is an answer to one call only.
func (s *stage) once(pattern, output string) { s.put(pattern, "0 once", output) }

// refuse makes the calls that fit a pattern fail with a message.
func (s *stage) refuse(pattern, message string) { s.put(pattern, "1", message) }

func (s *stage) put(pattern, code, output string) {
	s.answers = slices.Insert(s.answers, 0, answerFile(pattern, code, output))
}

// answerFile returns an answer as testdata/fake reads it.
func answerFile(pattern, code, output string) string {
	if output != "" {
		output += "\n"
	}
	return pattern + "\n" + code + "\n" + output
}

// outOfTime makes the clock jump past any deadline once it was read four times: for
// the start of the clock, and before each of at least two attempts.
func (s *stage) outOfTime() {
	s.fake("date")
	s.answer("date +%s", "5000")
	for range 4 {
		s.once("date +%s", "1000")
	}
	s.fake("sleep")
	s.answer("sleep *", "")
}

// A result is how a script ended, and the calls of fakes that it made.
type result struct {
	exit           int
	stdout, stderr string
	calls          []string
}

// run runs a script, from a directory that is not the project's, for 20 s at most.
func (s *stage) run(script string, environment ...string) result {
	return s.runWith(script, nil, environment...)
}

func (s *stage) runWith(script string, arguments []string, environment ...string) result {
	for i, answer := range s.answers {
		write(s.path(fmt.Sprintf("answers/%03d", i)), answer)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, s.path("scripts/"+script), arguments...)
	cmd.Dir = "/"
	cmd.Env = append([]string{"PATH=" + s.path("bin") + ":" + filepath.Join(shared(), "tools"), "TMPDIR=" + s.path("tmp"),
		"FAKE=" + s.root, "HEALTHY=" + filepath.Join(shared(), "healthy"), "VERSION=v1", "DEPLOY_TIMEOUT=10"}, environment...)
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	// A script's children end with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	err := cmd.Run()
	if cmd.ProcessState == nil {
		panic(err)
	}
	calls, _ := os.ReadFile(s.path("calls")) // There is none where nothing was called.
	return result{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String(), strings.Split(strings.TrimSuffix(string(calls), "\n"), "\n")}
}

// passes asserts that a script ended well, without a word on stderr.
func (r result) passes() result {
	So(r.stderr, ShouldBeEmpty)
	So(r.exit, ShouldEqual, 0)
	return r
}

// fails asserts that a script failed with these words.
func (r result) fails(words ...string) result {
	So(r.exit, ShouldEqual, 1)
	for _, word := range words {
		So(r.stderr, ShouldContainSubstring, word)
	}
	return r
}

var (
	reading  = regexp.MustCompile(`^(docker (version|info|inspect|ps|logs|images|(context|image|network|node|service) (inspect|logs|ls|ps)) |(curl|date|git|sleep|uname) |$)`)
	verb     = regexp.MustCompile(`^(docker (image|network|service|swarm) \S+|\S+ \S+)`)
	trialPid = regexp.MustCompile(`-trial-\d+`)
)

// changes returns the calls that change something: all that are not known to only read.
func (r result) changes() []string {
	var changes []string
	for _, call := range r.calls {
		if !reading.MatchString(call) {
			changes = append(changes, trialPid.ReplaceAllString(call, "-trial-PID"))
		}
	}
	return changes
}

// verbs returns what kinds of changes were made, in order.
func (r result) verbs() []string {
	var verbs []string
	for _, change := range r.changes() {
		verbs = append(verbs, verb.FindString(change))
	}
	return verbs
}

// call returns the call that starts with the prefix; if there are several, a line each.
func (r result) call(prefix string) string {
	var found []string
	for _, call := range r.calls {
		if strings.HasPrefix(call, prefix) {
			found = append(found, trialPid.ReplaceAllString(call, "-trial-PID"))
		}
	}
	return strings.Join(found, "\n")
}

// edit replaces in a command line what the pairs say, each of which must be there.
func edit(line string, oldNew ...string) string {
	for i := 0; i < len(oldNew); i += 2 {
		if !strings.Contains(line, oldNew[i]) {
			panic("nothing to edit: " + oldNew[i])
		}
		line = strings.Replace(line, oldNew[i], oldNew[i+1], 1)
	}
	return line
}
