// Package e2e deploys to a real docker engine. It starts its own engine in its own
// namespaces, or uses the engine that E2E_DOCKER_HOST names. It may remove all services
// there. It never touches the engine that DOCKER_HOST or the docker context names.
//
// E2E_ENGINE chooses the engine to start. local, the default, is this machine's dockerd.
// modern is the dockerd of Debian testing with the containerd image store. modern-classic is
// the same with the classic image store.
package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	givenEngine = "E2E_DOCKER_HOST"
	engineName  = "E2E_ENGINE"
	insideMark  = "E2E_INSIDE" // Set for the tests that run beside their own engine.
	cgroupName  = "E2E_CGROUP"
)

// ownEngine tells whether the tests run in the namespaces of an engine that they started.
var ownEngine = os.Getenv(insideMark) != ""

func TestMain(m *testing.M) {
	unsetSettings()
	switch {
	case ownEngine:
		os.Exit(m.Run())
	case os.Getenv(givenEngine) != "":
		os.Setenv("DOCKER_HOST", os.Getenv(givenEngine))
		os.Unsetenv("DOCKER_CONTEXT")
		os.Exit(m.Run())
	}
	if os.Getenv(engineName) == "" {
		os.Setenv(engineName, "local")
	}
	engine := os.Getenv(engineName)
	if !slices.Contains([]string{"local", "modern", "modern-classic"}, engine) {
		fmt.Printf("e2e: FAILED: %s is %q, not local, modern or modern-classic\n", engineName, engine)
		os.Exit(1)
	}
	missing := whatAnEngineLacks(engine)
	switch {
	case missing == "":
		os.Exit(runBesideEngine())
	case os.Getenv("E2E") == "required":
		fmt.Printf("e2e: FAILED: E2E=required, but there is no engine %q to test with: %s\n", engine, missing)
		os.Exit(1)
	default:
		notRun(fmt.Sprintf("every test of e2e on the engine %q", engine), missing+" ("+givenEngine+" names another engine, which may be wiped)")
	}
}

// notRun says, in a line that make test repeats at its end, what was not tested and why.
func notRun(what, why string) {
	fmt.Printf("\nnot run: %s, as %s\n", what, why)
}

// unsetSettings builds the deploy program, and unsets its settings for the tests. Two
// settings of the caller stay: PUBLISH_MODE and BASE_IMAGE. Trials are short.
func unsetSettings() {
	help, err := exec.Command("../scripts/deploy.sh", "--help").CombinedOutput()
	if err != nil {
		fmt.Printf("e2e: scripts/deploy.sh --help: %v\n%s", err, help)
		os.Exit(1)
	}
	for _, setting := range regexp.MustCompile(`(?m)^  (\w+)=`).FindAllStringSubmatch(string(help), -1) {
		if setting[1] != "PUBLISH_MODE" && setting[1] != "BASE_IMAGE" {
			os.Unsetenv(setting[1])
		}
	}
	os.Setenv("TRIAL_SECONDS", "1")
}

// whatAnEngineLacks returns what is missing for starting an engine, or "". It fetches the
// modern engine, unless it has been fetched before.
func whatAnEngineLacks(engine string) string {
	if runtime.GOOS != "linux" {
		return "an engine of our own needs Linux"
	}
	if os.Geteuid() != 0 {
		return "an engine of our own needs root"
	}
	tools := []string{"setpriv", "unshare", "ip", "iptables", "curl"}
	if engine == "local" {
		tools = append(tools, "dockerd", "docker")
	}
	_, err := os.Stat("../build/modern")
	fetch := engine != "local" && err != nil
	if fetch {
		tools = append(tools, "debootstrap")
	}
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err != nil {
			return tool + " is not installed"
		}
	}
	if fetch {
		build := exec.Command("./modern.sh", "build")
		build.Stdout, build.Stderr = os.Stdout, os.Stderr
		if build.Run() != nil {
			return "the modern engine could not be fetched"
		}
	}
	return ""
}

// hasIPVS tells whether the kernel has IPVS, built in or as a module. The routing mesh needs
// it.
func hasIPVS() bool {
	_, err := os.Stat("/proc/net/ip_vs")
	return err == nil || exec.Command("modprobe", "--quiet", "ip_vs").Run() == nil
}

// fetchGatling lets Maven fetch the libraries of the load test, if there is a Maven. Several runs
// of these tests may start at the same time, and in one directory only one Maven can work.
func fetchGatling() error {
	_, noMaven := exec.LookPath("mvn")
	_, noCompiler := exec.LookPath("javac")
	if noMaven != nil || noCompiler != nil {
		return nil
	}
	pom, err := os.Open("../gatling/pom.xml")
	if err != nil {
		return err
	}
	defer pom.Close() // This also frees the lock.
	if err := syscall.Flock(int(pom.Fd()), syscall.LOCK_EX); err != nil {
		return fmt.Errorf("lock %s: %w", pom.Name(), err)
	}
	fetch := exec.Command("mvn", "--batch-mode", "--quiet", "--file", pom.Name(), "gatling:test", "-Dgatling.skip")
	if out, err := fetch.CombinedOutput(); err != nil {
		return fmt.Errorf("%v: %w\n%s", fetch, err, out)
	}
	return nil
}

// runBesideEngine runs this test binary once more, inside, and returns its exit code.
func runBesideEngine() int {
	// Inside, there is no network to fetch Go modules and Java libraries.
	if out, err := exec.Command("go", "mod", "download").CombinedOutput(); err != nil {
		fmt.Printf("e2e: go mod download: %v\n%s", err, out)
		return 1
	}
	if err := fetchGatling(); err != nil {
		fmt.Println("e2e:", err)
		return 1
	}
	if os.Getenv("PUBLISH_MODE") == "" && !hasIPVS() {
		fmt.Println("==> e2e: this kernel has no IPVS: testing with PUBLISH_MODE=host")
		os.Setenv("PUBLISH_MODE", "host")
	}
	cgroup := "e2e-" + strconv.Itoa(os.Getpid())
	defer removeCgroups(cgroup)

	arguments := []string{"--pdeathsig", "KILL", "unshare", "--net", "--mount", "--pid", "--mount-proc", "--fork", "--kill-child", "./engine.sh"}
	inside := exec.Command("setpriv", append(arguments, os.Args...)...)
	inside.Env = append(os.Environ(), insideMark+"=1", cgroupName+"=/"+cgroup)
	inside.Stdout, inside.Stderr = os.Stdout, os.Stderr
	// When this process ends in any way, unshare is killed, and with it its child and the
	// namespaces. The death signal depends on the thread that starts unshare.
	runtime.LockOSThread()
	inside.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := inside.Start(); err != nil {
		fmt.Println("e2e: start unshare:", err)
		return 1
	}
	// A signal to the go command or to make ends only these, and not this process.
	parent := os.Getppid()
	go func() {
		for os.Getppid() == parent {
			time.Sleep(200 * time.Millisecond)
		}
		inside.Process.Kill()
	}()
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-interrupted
		inside.Process.Kill()
	}()
	inside.Wait()
	if code := inside.ProcessState.ExitCode(); code >= 0 {
		return code
	}
	return 1
}

// removeCgroups removes the engine's control groups. A control group can be removed only when
// its last process has ended. After the engine was killed, this takes a moment.
func removeCgroups(name string) {
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		found := cgroups(name)
		for i := len(found) - 1; i >= 0; i-- { // The deepest first.
			os.Remove(found[i])
		}
		if len(cgroups(name)) == 0 || time.Now().After(deadline) {
			return
		}
	}
}

// cgroups returns the directories of the engine's control groups, each before its
// subdirectories.
func cgroups(name string) []string {
	var found []string
	for _, pattern := range []string{"/sys/fs/cgroup/" + name, "/sys/fs/cgroup/*/" + name} {
		roots, _ := filepath.Glob(pattern)
		for _, root := range roots {
			filepath.WalkDir(root, func(path string, entry os.DirEntry, err error) error {
				if err == nil && entry.IsDir() {
					found = append(found, path)
				}
				return nil
			})
		}
	}
	return found
}

// repository returns the path of a file of the project.
func repository(elements ...string) string {
	here, err := os.Getwd()
	if err != nil {
		panic(err)
	}
	return filepath.Join(append([]string{filepath.Dir(here)}, elements...)...)
}

// lines splits output into its lines, without empty ones.
func lines(output string) []string {
	return strings.FieldsFunc(output, func(r rune) bool { return r == '\n' })
}
