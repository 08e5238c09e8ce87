package e2e

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	. "github.com/smartystreets/goconvey/convey"

	"goblog/e2e/prober"
)

// Settings of TestChaos: the number of rounds, and the seed of the random numbers.
const (
	chaosRounds = "CHAOS_ROUNDS"
	chaosSeed   = "CHAOS_SEED"
	chaosNodes  = "CHAOS_NODES" // 5, or 1
)

// A fault is one thing that happens in the middle of a deploy.
type fault struct {
	name   string
	strike func(c *chaos)
	lift   func(c *chaos) // repairs the fault; nil: there is nothing to repair
	// spares tells that the fault does not touch running tasks: they must answer all the time.
	spares bool
	// others tells that somebody else changes the service: then the last line of this deploy may
	// be out of date.
	others bool
}

// faults are the faults on one node. moreFaults need several nodes.
var faults = []fault{
	{name: "kill -9", spares: true, strike: func(c *chaos) { c.signal(syscall.SIGKILL) }},
	{name: "SIGSTOP", spares: true, others: true, strike: func(c *chaos) { c.signal(syscall.SIGSTOP) }},
	{name: "SIGINT", spares: true, strike: func(c *chaos) { c.signal(syscall.SIGINT) }},
	{name: "SIGINT and SIGTERM", spares: true, strike: func(c *chaos) { c.signal(syscall.SIGINT); c.signal(syscall.SIGTERM) }},
	{name: "SIGHUP", spares: true, strike: func(c *chaos) { c.signal(syscall.SIGHUP) }},
	{name: "the engine restarts", strike: func(c *chaos) { c.engine("stop", "node1"); c.engine("start", "node1") }},
	{name: "the engine is killed and comes back", strike: func(c *chaos) { c.engine("kill", "node1"); c.engine("start", "node1") }},
	{name: "the engine is killed", strike: func(c *chaos) { c.engine("kill", "node1") }, lift: func(c *chaos) { c.engine("start", "node1") }},
	{name: "its disk is full", strike: func(c *chaos) { c.resize("0") }, lift: func(c *chaos) {
		c.resize("50%")
		if !managerAnswers() { // The engine has left its swarm.
			c.engine("stop", "node1")
			c.engine("start", "node1")
		}
	}},
	{name: "a second deploy", others: true, strike: func(c *chaos) { c.other <- script(c.files("copyall.sh"), c.settings("good.second")...) }},
	{name: "service rm by hand", others: true, strike: func(c *chaos) { run(nil, "docker", "service", "rm", "accountservice") }},
}

var moreFaults = []fault{
	{name: "the leader is killed", strike: func(c *chaos) { c.kill(leader()) }, lift: (*chaos).revive},
	{name: "the manager it talks to is killed", strike: func(c *chaos) { c.kill("node1") }, lift: (*chaos).revive},
	{name: "a worker is killed", strike: func(c *chaos) { c.kill("node5") }, lift: (*chaos).revive},
	{name: "the registry is gone", spares: true, strike: func(c *chaos) { c.closeRegistry("-I") }, lift: func(c *chaos) { c.closeRegistry("-D") }},
}

// chaos is the state of the rounds.
type chaos struct {
	t        *testing.T
	random   *rand.Rand
	nodes    int
	round    int
	passed   int
	pid      int // of the deploy, which is the first of its process group
	killed   string
	other    chan result
	struck   map[string]int
	verdicts map[string]int
}

// TestChaos causes random faults in the middle of deploys. After each fault, one copyall.sh
// must bring everything back.
func TestChaos(t *testing.T) {
	if !ownEngine {
		t.Skip("only an engine of our own is made to fail")
	}
	rounds, seed, nodes := setting(t, chaosRounds, 0), setting(t, chaosSeed, int(time.Now().UnixNano()%1_000_000)), setting(t, chaosNodes, 1)
	if rounds == 0 {
		t.Skip("make chaos runs it")
	}
	c := &chaos{t: t, random: rand.New(rand.NewPCG(uint64(seed), 0)), nodes: nodes, struck: map[string]int{}, verdicts: map[string]int{}}
	if nodes > 1 {
		manyNodes(t, nodes)
	} else {
		ready(t)
	}
	fmt.Printf("==> chaos: %d rounds on %d nodes; once more: make chaos CHAOS_SEED=%d CHAOS_ROUNDS=%[1]d CHAOS_NODES=%[2]d\n", rounds, nodes, seed)
	for _, version := range []string{"good.first", "good.0m"} { // So a rollback has a version to go back to.
		if r := script(c.files("copyall.sh"), c.settings(version)...); r.exit != 0 {
			t.Fatal(r)
		}
	}
	began := time.Now()
	for c.round = 1; c.round <= rounds; c.round++ {
		kind := pick(c.random, "copyall.sh", "copyall.sh --rolling", "copyall.sh --rolling", "rollback.sh")
		mood := pick(c.random, "good", "good", "good", "dead-at-start", "dies", "wrong", "sick", "crashes")
		who := pick(c.random, "accountservice", "accountservice", "second", "third")
		only := pick(c.random, "", " accountservice")
		what := pick(c.random, c.faults()...)
		after := time.Duration(c.random.Int64N(int64(9 * time.Second)))
		if kind == "rollback.sh" {
			mood, only = "good", " accountservice"
		}
		name := fmt.Sprintf("Round %d: %s%s of a version that is %s (%s); after %.1f s, %s", c.round, kind, only, mood, who, after.Seconds(), what.name)
		Convey(name, t, func() { c.play(kind, only, mood, who, what, after) })
		if t.Failed() {
			break // The next rounds would fail only because of this one.
		}
	}
	var told []string
	for _, one := range c.faults() {
		told = append(told, fmt.Sprintf("%s %d", one.name, c.struck[one.name]))
	}
	fmt.Printf("\nchaos: %d of %d rounds passed, seed %d, %d nodes, %.0f s; %s; exit codes %v\n", c.passed, rounds, seed, nodes, time.Since(began).Seconds(), strings.Join(told, ", "), c.verdicts)
}

// asleep stands for the exit code of a deploy that has not ended.
const asleep = -2

// play is one round: a deploy, a fault in the middle of it, and a deploy that must repair
// everything.
func (c *chaos) play(kind, only, mood, who string, what fault, after time.Duration) {
	probe, err := prober.Start(c.url(6767), firstAccount)
	So(err, ShouldBeNil)
	stop := sync.OnceValue(probe.Stop)
	defer stop()
	before := version(c.t)
	c.other = make(chan result, 1)
	c.struck[what.name]++
	flags := c.files(only)
	if kind == "rollback.sh" {
		flags = only
	}
	out, ended := c.start(kind+flags, append(c.settings(mood+"."+strconv.Itoa(c.round)), "WHO="+who)...)
	passed := c.passed
	defer func() {
		if c.passed == passed {
			c.signal(syscall.SIGKILL) // A round that failed leaves no deploy to the next test.
		}
	}()
	exit, late := asleep, false
	select {
	case <-time.After(after):
	case exit = <-ended:
		late = true // It was over before.
	}
	what.strike(c)
	lift := sync.OnceFunc(func() {
		if what.lift != nil {
			what.lift(c)
		}
	})
	defer lift()
	if !late && what.name != "SIGSTOP" {
		select {
		case exit = <-ended:
		case <-time.After(4 * time.Minute):
			So("the deploy does not end: "+out.String(), ShouldBeEmpty)
		}
	}
	lift()
	if what.name == "a second deploy" {
		second := <-c.other
		So(second.exit, ShouldBeIn, 0, 1)
	}
	So(eventually(60*time.Second, managerAnswers), ShouldBeTrue)
	said := out.String()
	c.verdicts[strconv.Itoa(exit)]++
	fmt.Printf("\n    exit %d: %s\n    ", exit, last(said))

	// The last line is true.
	if claim := regexp.MustCompile(`accountservice (\S+) serves`).FindAllStringSubmatch(last(said), -1); claim != nil && !what.others && !late {
		So(version(c.t)+" serves, after: "+said, ShouldEqual, claim[0][1]+" serves, after: "+said)
		if what.spares {
			So(get(c.url(6767)), ShouldEqual, firstAccount)
		}
	}
	switch exit {
	case 0:
		So(said, ShouldContainSubstring, map[bool]string{true: "==> Rolled accountservice back", false: "==> Deployed "}[kind == "rollback.sh"])
	case 1, 130:
		So(said, ShouldContainSubstring, "error: ")
	default: // Killed, or asleep.
		So(exit, ShouldBeIn, -1, asleep)
	}
	// If nobody began to replace a version, it has answered every request.
	report := stop()
	begun := regexp.MustCompile(`(?m)^==> (Removing|Updating|Creating|Going back to|Restored?) ?accountservice`).MatchString(said)
	if !begun && what.spares && !late {
		So(report.String()+said, ShouldStartWith, "0 of ")
		So(version(c.t), ShouldEqual, before)
	}

	// Then one command repairs everything.
	good := "good." + strconv.Itoa(c.round) + "m"
	mended := script(c.files("copyall.sh"), c.settings(good)...)
	if strings.Contains(mended.stderr, "its engine did not free the port after a crash: restart the engine") && strings.HasPrefix(what.name, "the engine is killed") {
		fmt.Print("\n    the engine still holds the port of a container that is gone: it is restarted, as the deploy says\n    ")
		c.engine("stop", "node1")
		c.engine("start", "node1")
		So(eventually(60*time.Second, managerAnswers), ShouldBeTrue)
		mended = script(c.files("copyall.sh"), c.settings(good)...)
	}
	So(mended.String()+fmt.Sprint("exit ", mended.exit, " after: ", said), ShouldEndWith, "exit 0 after: "+said)
	c.serves(good)
	c.nothingLeft()
	if what.name == "SIGSTOP" && !late {
		c.signal(syscall.SIGCONT)
		select {
		case exit = <-ended:
		case <-time.After(2 * time.Minute):
			So("the deploy that woke up does not end: "+out.String(), ShouldBeEmpty)
		}
		So(fmt.Sprint(exit)+out.String(), ShouldNotStartWith, "-")
		c.serves(good)
	}
	c.passed++
}

// serves asserts that all three services are of a version, and answer: accountservice on each
// node, and the others on one.
func (c *chaos) serves(wanted string) {
	for i, service := range []string{"accountservice", "second", "third"} {
		So(service+" "+docker(c.t, "service", "inspect", "--format", `{{index .Spec.Labels "deploy.version"}}`, service), ShouldEqual, service+" "+wanted)
		answering := 0
		for _, host := range address {
			if get(fmt.Sprintf("http://%s:%d/accounts/10000", host, 6767+i)) == firstAccount {
				answering++
			}
		}
		So(fmt.Sprint(service, " answers on ", answering), ShouldEqual, fmt.Sprint(service, " answers on ", map[bool]int{true: c.nodes, false: 1}[i == 0]))
	}
}

// nothingLeft asserts that only the services, their history, and the parts that these need
// are left.
func (c *chaos) nothingLeft() {
	services := lines(docker(c.t, "service", "ls", "--format", "{{.Name}}"))
	slices.Sort(services)
	So(services, ShouldResemble, []string{"accountservice", "second", "third"})
	entries := map[string]int{}
	for _, name := range lines(docker(c.t, "config", "ls", "--format", "{{.Name}}")) {
		service, _, _ := strings.Cut(name, ".deploy.")
		So(name, ShouldNotEndWith, ".lock")
		entries[service]++
	}
	for service, n := range entries {
		So(services, ShouldContain, service)
		So(n, ShouldBeLessThanOrEqualTo, 10)
		lasting := 0
		for _, tag := range lines(docker(c.t, "images", "--format", "{{.Tag}}", "someprefix/"+service)) {
			if strings.HasPrefix(tag, "sha-") {
				lasting++
			}
		}
		So(fmt.Sprint(service, " ", lasting), ShouldBeIn, service+" 1", service+" 2", service+" 3", service+" 4")
	}
	So(docker(c.t, "volume", "ls", "--quiet", "--filter", "dangling=true"), ShouldBeEmpty)
	So(lines(docker(c.t, "network", "ls", "--filter", "driver=overlay", "--format", "{{.Name}}")), ShouldHaveLength, 2) // One of them is ingress.
	So(eventually(10*time.Second, func() bool { return abandoned() == "" }), ShouldBeTrue)
}

// abandoned is a directory of a build that no process holds any more, or "". Other processes
// may be building in this checkout too.
func abandoned() string {
	found, _ := filepath.Glob(repository("build", "work.*"))
	for _, dir := range found {
		file, err := os.Open(dir)
		if err != nil {
			continue // It has just gone.
		}
		err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		file.Close()
		if err == nil {
			return dir
		}
	}
	return ""
}

// start starts a script of the project in its own process group. The exit code comes when the
// script has ended.
func (c *chaos) start(command string, environment ...string) (*lockedBuffer, <-chan int) {
	name, flags, _ := strings.Cut(command, " ")
	cmd := exec.Command("bash", "-c", `cd / && exec "$0" `+flags, repository("scripts", name))
	cmd.Env = append(os.Environ(), environment...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out := &lockedBuffer{}
	cmd.Stdout, cmd.Stderr = out, out
	So(cmd.Start(), ShouldBeNil)
	c.pid = cmd.Process.Pid
	ended := make(chan int, 1)
	go func() {
		_ = cmd.Wait() // Its exit code is checked.
		ended <- cmd.ProcessState.ExitCode()
	}()
	return out, ended
}

// A lockedBuffer can be read while a command writes to it.
type lockedBuffer struct {
	sync.Mutex
	text strings.Builder
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.Lock()
	defer b.Unlock()
	return b.text.Write(p)
}

func (b *lockedBuffer) String() string {
	b.Lock()
	defer b.Unlock()
	return b.text.String()
}

// signal sends a signal to the deploy, unless the deploy has ended.
func (c *chaos) signal(signal syscall.Signal) { _ = syscall.Kill(-c.pid, signal) }

func (c *chaos) engine(command, node string) { engineOf(c.t, node, command) }

func (c *chaos) kill(node string) {
	c.killed = node
	c.engine("kill", node)
}

// revive starts the killed engine, and waits until the swarm has all its nodes again.
func (c *chaos) revive() {
	c.engine("start", c.killed)
	So(eventually(90*time.Second, func() bool { return readyNodes() == c.nodes }), ShouldBeTrue)
}

// resize changes the size of the engines' file system. 0 is the size that is in use, so the
// disk is full. The engines write all the time, and the kernel refuses a size that has become
// too small: then it is asked again.
func (c *chaos) resize(size string) {
	So(eventually(10*time.Second, func() bool {
		wanted := size
		if size == "0" {
			var status syscall.Statfs_t
			So(syscall.Statfs("/run", &status), ShouldBeNil)
			wanted = strconv.FormatInt(int64(status.Blocks-status.Bfree)*int64(status.Bsize), 10)
		}
		return run(nil, "mount", "-o", "remount,size="+wanted, "/run").exit == 0
	}), ShouldBeTrue)
}

// closeRegistry adds a rule that refuses connections to the registry, or deletes it.
func (c *chaos) closeRegistry(action string) {
	So(run(nil, "iptables", action, "INPUT", "-p", "tcp", "--dport", "5000", "-j", "REJECT", "--reject-with", "tcp-reset").exit, ShouldEqual, 0)
}

// managerAnswers tells whether the engine takes commands for its swarm.
func managerAnswers() bool { return run(nil, "timeout", "5", "docker", "node", "ls").exit == 0 }

// leader is the name of the node that leads the swarm.
func leader() string {
	for _, line := range lines(run(nil, "docker", "node", "ls", "--format", "{{.Hostname}} {{.ManagerStatus}}").stdout) {
		if name, status, _ := strings.Cut(line, " "); status == "Leader" && address[name] != "" {
			return name
		}
	}
	return "node1" // Its host name is the machine's.
}

func (c *chaos) faults() []fault {
	if c.nodes > 1 {
		return append(slices.Clone(faults), moreFaults...)
	}
	return faults
}

// files is a command with the stack files of the three services.
func (c *chaos) files(command string) string {
	return command + " -f " + repository("stack.yml") + stackFile("chaos", "stack.yml")
}

func (c *chaos) settings(version string) []string {
	if c.nodes > 1 {
		return []string{"VERSION=" + version, "REGISTRY=" + registry, "REPLICAS=" + strconv.Itoa(c.nodes)}
	}
	return []string{"VERSION=" + version, "DEPLOY_TIMEOUT=30"}
}

// url is that of an account on a port of the engine's own node.
func (c *chaos) url(port int) string {
	return fmt.Sprintf("http://%s:%d/accounts/10000", address["node1"], port)
}

func pick[T any](random *rand.Rand, all ...T) T { return all[random.IntN(len(all))] }

// setting is a number from a setting of the test, or its default.
func setting(t *testing.T, name string, unset int) int {
	t.Helper()
	n, err := strconv.Atoi(cmp.Or(os.Getenv(name), strconv.Itoa(unset)))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// last is the last line of a command's output, with the lines that belong to it.
func last(said string) string {
	all := lines(said)
	for i := len(all) - 1; i >= 0; i-- {
		if !strings.HasPrefix(all[i], " ") {
			return strings.Join(all[i:], "\n")
		}
	}
	return said
}
