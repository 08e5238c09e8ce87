package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// target is a server to measure.
type target struct {
	name     string
	accounts int
	command  func(addr string) *exec.Cmd
}

// process is a running server.
type process struct {
	cmd   *exec.Cmd
	addr  string
	ended chan struct{}
}

// canPin reports whether server and client can have a processor each.
func canPin() bool {
	_, err := exec.LookPath("taskset")
	return err == nil && runtime.NumCPU() > 1
}

// pin returns the command bound to one processor, if canPin.
func pin(cmd *exec.Cmd, processor int) *exec.Cmd {
	if !canPin() {
		return cmd
	}
	return exec.Command("taskset", append([]string{"-c", strconv.Itoa(processor)}, cmd.Args...)...)
}

// start starts a server and waits for its first answer. It returns the time from the start of
// the process to this answer. A pinned server has a processor for itself.
func start(ctx context.Context, t target, pinned bool) (*process, time.Duration, error) {
	p, began, err := launch(t, pinned)
	if err != nil {
		return nil, 0, err
	}
	took, err := p.firstAnswer(ctx, t, began)
	if err != nil {
		p.stop()
		return nil, 0, err
	}
	return p, took, nil
}

func launch(t target, pinned bool) (*process, time.Time, error) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, time.Time{}, err
	}
	p := &process{addr: free.Addr().String(), ended: make(chan struct{})}
	if err := free.Close(); err != nil {
		return nil, time.Time{}, err
	}
	p.cmd = t.command(p.addr)
	if pinned {
		p.cmd = pin(p.cmd, 0)
		p.cmd.Env = append(os.Environ(), "GOMAXPROCS=1")
	}
	p.cmd.Stderr = os.Stderr
	began := time.Now()
	if err := p.cmd.Start(); err != nil {
		return nil, began, err
	}
	go func() {
		_ = p.cmd.Wait()
		close(p.ended)
	}()
	return p, began, nil
}

// stop kills the server and waits for its end.
func (p *process) stop() {
	_ = p.cmd.Process.Kill() // It fails only if the process has ended.
	<-p.ended
}

// firstAnswer repeats a request until there is an answer.
func (p *process) firstAnswer(ctx context.Context, t target, began time.Time) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	for {
		if _, err := ask(p.addr); err == nil {
			return time.Since(began), nil
		}
		select {
		case <-p.ended:
			return 0, fmt.Errorf("%s: %s ended before it answered", t.name, p.cmd)
		case <-ctx.Done():
			return 0, fmt.Errorf("%s: %s does not answer: %w", t.name, p.cmd, ctx.Err())
		case <-time.After(100 * time.Microsecond):
		}
	}
}

// ask returns the answer to a request for account 10000, without its date.
func ask(addr string) (string, error) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return "", err
	}
	if _, err := io.WriteString(conn, "GET "+path(10000)+" HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n"); err != nil {
		return "", err
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return "", err
	}
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return "", err
	}
	response.Header.Del("Date")
	return fmt.Sprintf("%s %v %s", response.Status, response.Header, body), nil
}

func path(id int) string { return "/accounts/" + strconv.Itoa(id) }

// sameAnswer fails if two servers give different answers. Then a comparison means nothing.
func sameAnswer(ctx context.Context, a, b target) error {
	var answers []string
	for _, t := range []target{a, b} {
		p, _, err := start(ctx, t, false)
		if err != nil {
			return err
		}
		answer, err := ask(p.addr)
		p.stop()
		if err != nil {
			return err
		}
		answers = append(answers, answer)
	}
	if answers[0] != answers[1] {
		return fmt.Errorf("compare %s and %s: their answers are different:\n%s\n%s", a.name, b.name, answers[0], answers[1])
	}
	return nil
}

// seed starts a server without a database. It returns the time to its first answer, and the
// largest anonymous memory until then, in bytes.
func seed(ctx context.Context, t target) (time.Duration, int, error) {
	p, began, err := launch(t, false)
	if err != nil {
		return 0, 0, err
	}
	defer p.stop()
	most, done := 0, make(chan struct{})
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			if n, err := p.memory("RssAnon"); err == nil {
				most = max(most, n)
			}
			select {
			case <-done:
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
	}()
	took, err := p.firstAnswer(ctx, t, began)
	close(done)
	<-stopped
	return took, most, err
}

// memory returns a field of /proc/PID/status, in bytes. (man 5 proc_pid_status)
func (p *process) memory(field string) (int, error) {
	file := fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid)
	status, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, field+":"); ok {
			n, err := strconv.Atoi(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB")))
			return n << 10, err
		}
	}
	return 0, fmt.Errorf("%s has no field %s", file, field)
}

// cpu returns the CPU time of all threads of the process. The scheduler counts it: it is the
// first number of /proc/PID/task/TID/schedstat, in nanoseconds.
// (Linux, Documentation/scheduler/sched-stats.rst)
func (p *process) cpu() (time.Duration, error) {
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", p.cmd.Process.Pid))
	if err == nil && len(files) == 0 {
		err = errors.New("this kernel has no /proc/PID/task/TID/schedstat")
	}
	var sum time.Duration
	for _, file := range files {
		text, e := os.ReadFile(file)
		if e != nil {
			return 0, e
		}
		first, _, _ := strings.Cut(string(text), " ")
		n, e := strconv.ParseInt(first, 10, 64)
		if e != nil {
			return 0, e
		}
		sum += time.Duration(n)
	}
	return sum, err
}
