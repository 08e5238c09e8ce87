package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	. "github.com/smartystreets/goconvey/convey"
)

const (
	// patience is how long a test waits for an event that should come much sooner.
	patience = 20 * time.Second

	person0 = `{"id":"10000","name":"Person_0"}`
)

// binary is the service, built once for all tests.
var binary string

func TestMain(m *testing.M) {
	if crowd := os.Getenv("CROWD"); crowd != "" {
		beCrowd(crowd)
		return
	}
	dir, err := os.MkdirTemp("", "accountservice")
	if err != nil {
		panic(err)
	}
	code := 1
	if err := buildIn(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
	} else {
		// Parallel tests mostly wait, so there may be more of them than processors.
		flag.Parse()
		_ = flag.Set("test.parallel", "16")
		code = m.Run()
	}
	os.RemoveAll(dir)
	os.Exit(code)
}

// buildIn builds the service in dir, with the race detector if the tests have it.
func buildIn(dir string) error {
	binary = filepath.Join(dir, "accountservice")
	flags := []string{"-ldflags", "-X main.version=v1.2.3 -X main.commit=abcdef"}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, setting := range info.Settings {
			if setting.Key == "-race" && setting.Value == "true" {
				flags = append(flags, "-race")
			}
		}
	}
	if err := goBuild(binary, flags...); err != nil {
		return err
	}
	return os.Chmod(dir, 0o755) // One test runs the service as another user.
}

// goBuild builds the service.
func goBuild(to string, flags ...string) error {
	args := append([]string{"build", "-buildvcs=false", "-o", to}, flags...)
	if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, out)
	}
	return nil
}

// process is a running service.
type process struct {
	cmd            *exec.Cmd
	stdout, stderr output
	ended          chan struct{}
}

// command returns a command that runs the service, with only these environment variables.
func command(env []string, args ...string) *exec.Cmd {
	cmd := exec.Command(binary, args...)
	cmd.Env = append([]string{"GORACE=atexit_sleep_ms=0"}, env...)
	return cmd
}

// start runs the command, until the end of the scenario at most. It keeps the output, unless
// the command writes it elsewhere.
func start(cmd *exec.Cmd) *process {
	p := &process{cmd: cmd, ended: make(chan struct{})}
	if cmd.Stdout == nil {
		cmd.Stdout, cmd.Stderr = &p.stdout, &p.stderr
	}
	So(cmd.Start(), ShouldBeNil)
	go func() {
		defer close(p.ended)
		_ = cmd.Wait()
	}()
	Reset(func() {
		_ = cmd.Process.Kill()
		<-p.ended
	})
	return p
}

// serving runs the service with these flags, by default on a free port, and waits until it
// listens.
func serving(args ...string) *process {
	p := start(command(nil, append([]string{"-addr", "127.0.0.1:0"}, args...)...))
	p.awaitListening()
	return p
}

func (p *process) awaitListening() {
	eventually(func() bool { return p.port(publicPort) != "" || p.hasEnded() })
	So(p.stderr.String(), ShouldBeEmpty)
	So(p.hasEnded(), ShouldBeFalse)
	So(p.port(publicPort), ShouldNotBeEmpty)
}

// The beginnings of messages that have a port.
const (
	publicPort = "Starting HTTP service at "
	adminPort  = "Starting admin service at "
)

func (p *process) port(message string) string {
	for _, m := range p.messages() {
		if port, ok := strings.CutPrefix(m, message); ok {
			return port
		}
	}
	return ""
}

func (p *process) url(path string) string {
	return "http://127.0.0.1:" + p.port(publicPort) + path
}

func (p *process) adminURL(path string) string {
	return "http://127.0.0.1:" + p.port(adminPort) + path
}

var textMessage = regexp.MustCompile(`^time=\S+ level=\S+ msg=("(?:[^"\\]|\\.)*"|\S+)`)

// messages returns the messages of the log, in any of its formats.
func (p *process) messages() []string {
	var messages []string
	for line := range strings.Lines(p.stdout.String()) {
		var entry struct{ Msg string }
		if json.Unmarshal([]byte(line), &entry) == nil {
			messages = append(messages, entry.Msg)
		} else if m := textMessage.FindStringSubmatch(line); m != nil {
			message, err := strconv.Unquote(m[1])
			if err != nil {
				message = m[1]
			}
			messages = append(messages, message)
		} else if strings.HasSuffix(line, "\n") {
			messages = append(messages, "not a line of the log: "+line)
		}
	}
	return messages
}

func (p *process) signal(s syscall.Signal) {
	So(p.cmd.Process.Signal(s), ShouldBeNil)
}

func (p *process) endsWithin(d time.Duration) bool {
	select {
	case <-p.ended:
		return true
	case <-time.After(d):
		return false
	}
}

func (p *process) hasEnded() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

// exit waits until the process has ended and returns its exit code.
func (p *process) exit() int {
	So(p.endsWithin(patience), ShouldBeTrue)
	return p.cmd.ProcessState.ExitCode()
}

// result is the outcome of a command.
type result struct {
	code           int
	stdout, stderr string
	took           time.Duration
}

// finish runs a command that ends by itself.
func finish(cmd *exec.Cmd) result {
	began := time.Now()
	p := start(cmd)
	code := p.exit()
	return result{code, p.stdout.String(), p.stderr.String(), time.Since(began)}
}

// shouldBeOneLine succeeds for one line on stderr that has all of the given words, and no
// internals of the program, such as a stack trace.
func shouldBeOneLine(actual any, words ...any) string {
	text := actual.(string)
	line, rest, ended := strings.Cut(text, "\n")
	if !ended || rest != "" || !strings.HasPrefix(line, "accountservice: ") {
		return fmt.Sprintf("Expected one line that starts with the program's name, got %q", text)
	}
	for _, word := range words {
		if !strings.Contains(line, word.(string)) {
			return fmt.Sprintf("Expected %q in %q", word, line)
		}
	}
	for _, word := range []string{"panic", "goroutine", ".go:", "runtime error"} {
		if strings.Contains(line, word) {
			return fmt.Sprintf("Expected no %q in %q", word, line)
		}
	}
	return ""
}

// output can be read while it is written to.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// answer is a response whose body has been read.
type answer struct {
	*http.Response
	body string
}

// get sends a request on a new connection.
func get(url string) (answer, error) {
	transport := &http.Transport{ResponseHeaderTimeout: patience}
	defer transport.CloseIdleConnections()
	response, err := (&http.Client{Transport: transport}).Get(url)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return answer{response, string(body)}, err
}

// mustGet is get for a request that must have an answer.
func mustGet(url string) answer {
	got, err := get(url)
	So(err, ShouldBeNil)
	return got
}

// dial connects to the public port, until the end of the scenario.
func (p *process) dial() net.Conn {
	return dial("127.0.0.1:" + p.port(publicPort))
}

func dial(addr string) net.Conn {
	conn, err := net.Dial("tcp", addr)
	So(err, ShouldBeNil)
	So(conn.SetDeadline(time.Now().Add(patience)), ShouldBeNil)
	Reset(func() { conn.Close() })
	return conn
}

// readOK reads one whole answer, which must be a 200.
func readOK(answers *bufio.Reader) {
	response, err := http.ReadResponse(answers, nil)
	So(err, ShouldBeNil)
	So(response.StatusCode, ShouldEqual, http.StatusOK)
	_, err = io.Copy(io.Discard, response.Body)
	So(err, ShouldBeNil)
}

// refuses reports whether the public port is closed.
func (p *process) refuses() bool {
	conn, err := net.Dial("tcp", "127.0.0.1:"+p.port(publicPort))
	if err == nil {
		conn.Close()
	}
	return errors.Is(err, syscall.ECONNREFUSED)
}

// eventually polls until the condition holds, and returns false if it never does.
func eventually(condition func() bool) bool {
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(2 * time.Millisecond) {
		if condition() {
			return true
		}
	}
	return false
}

func newPath(t *testing.T) string {
	return filepath.Join(t.TempDir(), "accounts.db")
}

func TestRun(t *testing.T) {
	Convey("Given a service that runs in this process", t, func() {
		ctx, cancel := context.WithCancel(context.Background())
		p := &process{ended: make(chan struct{})}
		done := make(chan error, 1)
		path := newPath(t)
		go func() {
			done <- run(ctx, []string{"-addr", "127.0.0.1:0", "-drain", "1h", "-db", path}, func(string) string { return "" }, &p.stdout)
		}()
		Reset(cancel)
		p.awaitListening()
		So(mustGet(p.url("/accounts/10000")).body, ShouldEqual, person0)

		Convey("When its context ends, it stops without a drain and without an error", func() {
			cancel()
			select {
			case err := <-done:
				So(err, ShouldBeNil)
			case <-time.After(patience):
				So("run", ShouldEqual, "done")
			}
			So(p.refuses(), ShouldBeTrue)
		})
	})
}
