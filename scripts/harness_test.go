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
// manager of a swarm of one node, on which the service runs the image built last. Nobody
// else holds a lock: what is not here fails.
var healthy = [][2]string{
	{"git rev-parse HEAD", "c0ffee"},
	{"uname -s", "Linux"},
	{"id -un", "ann"},
	{"hostname*", "host1"},
	{"date +%Y-%m-%d %H:%M:%S %z", "2024-05-17 12:00:00 +0000"},
	{"date +%s.%N", "1000.5"},
	{"go build *", ""},
	{"curl *", firstAccount + "\n200"},
	{"docker version --format {{.Server.Version}}", "25.0.0"},
	{"docker version --format {{.Client.APIVersion}}", "1.44"},
	{"docker context inspect --format {{.Endpoints.docker.Host}}", "unix:///var/run/docker.sock"},
	{"docker info --format {{.OperatingSystem}}", "Debian GNU/Linux 12"},
	{swarmState, "active true node1 192.0.2.1"},
	{activeNodes, "Ready Active"},
	{"docker node ls --quiet", "node1"},
	{"docker node ls --format {{.ID}} {{.Status}}", "node1 Ready"},
	{"docker node ps * node1", ""},
	{"docker network inspect --format {{.Driver}} my_network", "overlay"},
	{"docker network inspect --format {{.ID}} my_network", "net1"},
	{"docker network rm my_network", ""},
	{"docker image inspect someprefix/accountservice:v1", "[]"},
	{"docker image inspect --format {{.Id}} someprefix/accountservice:v1", "sha256:new"},
	{`docker image inspect --format {{index .Config.Labels "copyall.sha256"}} someprefix/accountservice:v1`, imageSha256},
	{"docker image inspect iron/base", "[]"},
	{"docker image inspect --format {{.Id}} iron/base", "sha256:base"},
	{"docker image inspect --format {{.Id}} sha256:new", "sha256:new"},
	{"docker image inspect --format {{.Id}} sha256:old", "sha256:old"},
	{"docker image inspect sha256:old", "[]"},
	{"docker images --quiet --no-trunc --filter label=copyall.service=accountservice", "sha256:new\nsha256:old"},
	{"docker rmi *", ""},
	{"docker build *", "sha256:new"},
	{"docker run *", "trial"},
	{"docker logs *", "Starting accountservice"},
	{"docker inspect --format {{.State.Status}} *", "running healthy"},
	{"docker inspect --format {{.NodeID}} task1", "node1"},
	{"docker inspect --format {{with .Status.ContainerStatus}}*", ""},
	{`docker service inspect --format {{index .Spec.Labels "copyall.image"}} accountservice`, "sha256:new"},
	{"docker ps --all --quiet --filter ancestor=*", ""},
	{"docker rm *", ""},
	{"docker ps --all --quiet --filter label=com.docker.swarm.service.name=accountservice", "container1"},
	{"docker kill container1", ""},
	{"docker config create *", "config1"},
	{"docker config ls --quiet --filter label=copyall.holder=*", "config1"},
	{"docker config rm accountservice.deploy-lock", ""},
	{"docker service ls --quiet", "service1"},
	{"docker service inspect accountservice", "[]"},
	{serviceID, "service1"},
	{"docker service inspect --format {{.Spec.Mode.*}} accountservice", "1"},
	{serviceImage, "sha256:new"},
	{remembered, newService},
	{updateState, "completed"},
	{published, "ingress 6767"},
	{servicePorts, "accountservice :6767/tcp:"},
	{serviceNetworks, "accountservice net1 "},
	{taskStates, "Running sha256:new Running 1 second ago task1"},
	{anyRuns, "Running 1 second ago"},
	{taskErrors, "sha256:new task1 accountservice.1 on host1: Running 1 second ago "},
	{"docker service ps * --quiet accountservice", "task1"},
	{"docker service rm accountservice", ""},
	{"docker service create *", "service2"},
	{"docker service update *", "accountservice"},
}

// The patterns of calls that several tests answer in their own way.
const (
	swarmState      = "docker info --format {{.Swarm.LocalNodeState}} *"
	activeNodes     = "docker node ls --format {{.Status}} {{.Availability}}"
	anyService      = "docker service inspect *"
	serviceID       = "docker service inspect --format {{.ID}} accountservice"
	serviceImage    = "docker service inspect --format {{.Spec.TaskTemplate.ContainerSpec.Image}} accountservice"
	remembered      = "docker service inspect --format {{.ID}} {{.Spec.*copyall.arguments* accountservice"
	updateState     = "docker service inspect --format {{with .UpdateStatus}}* accountservice"
	published       = "docker service inspect --format {{range .Spec.EndpointSpec.Ports}}* accountservice"
	servicePorts    = "docker service inspect --format * {{range .Endpoint.Ports}}*"
	serviceNetworks = "docker service inspect --format * {{range .Spec.TaskTemplate.Networks}}*"
	taskStates      = "docker service ps --no-trunc --format {{.DesiredState}} {{.Image}} {{.CurrentState}} {{.ID}} accountservice"
	anyRuns         = "docker service ps --filter desired-state=running --format {{.CurrentState}} accountservice"
	taskErrors      = "docker service ps --no-trunc --format {{.Image}} {{.ID}} * {{.Error}} accountservice"
	runningTasks    = "docker service ps --no-trunc --filter desired-state=running --quiet accountservice"
	exitCode        = "docker inspect --format *exit code*"
	trialHealth     = "docker inspect --format {{.State.Status}} *"

	repoDigests = "docker image inspect --format {{range .RepoDigests}}* someprefix/accountservice:v1"
	lockHolder  = "docker config inspect --format * accountservice.deploy-lock"

	firstAccount = `{"id":"10000","name":"Person_0"}`
	digest       = "registry.example:5000/someprefix/accountservice@sha256:1"
	imageSha256  = "5ha-of-image" // The label that image.sh gives to an image.
)

// What the scripts create the service with: in ingress mode, with an engine that knows a
// start interval.
const serviceArguments = `--cap-drop ALL
--health-interval 5s
--health-start-interval 200ms
--health-start-period 10s
--limit-memory 128m
--log-driver json-file
--log-opt max-file=3
--log-opt max-size=10m
--mount type=tmpfs,destination=/data,tmpfs-size=64m,tmpfs-mode=1777
--network my_network
--publish mode=ingress,published=6767,target=6767
--read-only
--restart-delay 500ms
--stop-grace-period 20s
--update-failure-action rollback
--update-monitor 5s
--update-parallelism 1`

// What is read of a service: id, image and replicas; then, from labels, image, version
// and sha256 of its deploy, the same three of the one before, and the arguments; then an end.
const (
	foreignService = "service1\nother/accounts:latest\n1\n\n\n\n\n\n\n\nend" // Not of these scripts.
	oldService     = "service1\nsha256:old\n1\nsha256:old\nv0\n5ha-v0\nsha256:older\nv0.9\n5ha-v0.9\n" + serviceArguments + "\nend"
	newService     = "service2\nsha256:new\n1\nsha256:new\nv1\n5ha-v1\nsha256:old\nv0\n5ha-v0\n" + serviceArguments + "\nend"
)

// shared returns a directory with what all tests use and none changes. The scripts in
// it are copies: nothing is built in the checkout, and reading them here makes go test
// notice when one changes.
var shared = sync.OnceValue(func() string {
	dir, err := os.MkdirTemp("", "scripts-test-")
	must(err)
	must(os.CopyFS(filepath.Join(dir, "scripts"), os.DirFS(".")))
	must(os.Mkdir(filepath.Join(dir, "tools"), 0o755))
	for _, tool := range []string{"awk", "bash", "cat", "chmod", "cp", "date", "diff", "dirname", "grep", "mkdir", "mktemp", "mv", "paste", "rm", "sed",
		"sha256sum", "sleep", "sort", "tail", "xargs"} {
		path, err := exec.LookPath(tool)
		must(err)
		must(os.Symlink(path, filepath.Join(dir, "tools", tool)))
	}
	must(os.Mkdir(filepath.Join(dir, "healthy"), 0o755))
	for i, pair := range healthy {
		write(filepath.Join(dir, "healthy", fmt.Sprintf("%03d", i)), pair[0]+"\n0\n"+pair[1]+"\n")
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

// inDeploy has a step find the lock taken, as it does in a deploy.
const inDeploy = "holder=ann"

// A stage is a checkout with the scripts, run with nothing on PATH but fakes and the
// tools that the scripts may use.
type stage struct {
	root    string
	answers []string // The newest first.
}

func newStage() *stage {
	// It stays until the last test is over, as does a call that outlives its script.
	root, err := os.MkdirTemp(shared(), "stage-")
	must(err)
	s := &stage{root: root}
	for _, dir := range []string{"answers", "bin", "build", "dockerfiles", "tmp"} {
		must(os.Mkdir(s.path(dir), 0o755))
	}
	must(os.Symlink(filepath.Join(shared(), "scripts"), s.path("scripts")))
	write(s.path("dockerfiles/accountservice.Dockerfile"), "")
	for _, command := range []string{"curl", "docker", "git", "go", "hostname", "id", "uname"} {
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

// answer says what the calls that fit a pattern print; it goes before older answers.
func (s *stage) answer(pattern, output string) { s.put(pattern, "0", output) }

// failing has three tasks of the new version fail while a script looks on, once.
func (s *stage) failing() {
	s.once(taskStates, strings.Join([]string{"Running sha256:new Starting 1 second ago task4", failedTask("task3"), failedTask("task2"), failedTask("task1")}, "\n"))
	s.once(taskStates, "Running sha256:new Starting 1 second ago task1")
}

// failedTask is a task of the new version that has failed.
func failedTask(id string) string { return "Shutdown sha256:new Failed 1 second ago " + id }

// once is an answer to one call only.
func (s *stage) once(pattern, output string) { s.put(pattern, "0 once", output) }

// refuse makes the calls that fit a pattern fail with a message.
func (s *stage) refuse(pattern, message string) { s.put(pattern, "1", message) }

func (s *stage) put(pattern, code, output string) {
	s.answers = slices.Insert(s.answers, 0, pattern+"\n"+code+"\n"+output+"\n")
}

// interrupt is an answer to one call during which somebody presses Ctrl-C.
func (s *stage) interrupt(pattern, output string) { s.put(pattern, "0 once interrupt", output) }

// before is the service that a deploy finds. It looks once, under its lock, and sees its
// own work after that.
func (s *stage) before(service string) {
	s.answer(remembered, newService)
	s.once(remembered, service)
}

// missing has a deploy find no service.
func (s *stage) missing() {
	s.answer(remembered, newService)
	s.put(remembered, "1 once", "Error: no such service")
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
		"FAKE=" + s.root, "HEALTHY=" + filepath.Join(shared(), "healthy"), "VERSION=v1", "TRIAL_SECONDS=0", inDeploy}, environment...)
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	// A script's children end with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second // A step that is shielded from signals lives on.
	must(cmd.Start())
	write(s.path("group"), fmt.Sprint(cmd.Process.Pid))
	_ = cmd.Wait()                           // Its exit code is part of the result.
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
	reading = regexp.MustCompile(`^(docker (version|info|inspect|ps|logs|images|(config|context|image|network|node|service) (inspect|logs|ls|ps)) |(curl|date|git|hostname|id|sleep|uname) |$)`)
	verb    = regexp.MustCompile(`^(docker (config|image|network|service|swarm) \S+|\S+ \S+)`)
	pid     = regexp.MustCompile(`(-trial-|, process )\d+`)
)

// changes returns the calls that change something: all that are not known to only read.
func (r result) changes() []string {
	var changes []string
	for _, call := range r.calls {
		if !reading.MatchString(call) {
			changes = append(changes, pid.ReplaceAllString(call, "${1}PID"))
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
			found = append(found, pid.ReplaceAllString(call, "${1}PID"))
		}
	}
	return strings.Join(found, "\n")
}

// edit replaces in a command line what the pairs say, each of which must be there, if
// need be more than once.
func edit(line string, oldNew ...string) string {
	for i := 0; i < len(oldNew); i += 2 {
		if !strings.Contains(line, oldNew[i]) {
			panic("nothing to edit: " + oldNew[i])
		}
		line = strings.ReplaceAll(line, oldNew[i], oldNew[i+1])
	}
	return line
}
