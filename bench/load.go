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
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// load describes the requests to a server.
type load struct {
	connections int
	ids         int // random ids of this number of accounts; 0: always account 10000
	duration    time.Duration
}

// answers is the outcome of a load. Latencies are in milliseconds.
type answers struct {
	Requests  int
	PerSecond float64
	P50, P99  float64
}

// result is the outcome of a load and its cost for the server.
type result struct {
	answers
	cpu  float64 // microseconds per request
	peak float64 // resident memory, MiB
}

// underLoad starts a server, loads it and stops it. The peak is that of the whole process.
func underLoad(ctx context.Context, t target, l load) (result, error) {
	p, _, err := start(ctx, t, true)
	if err != nil {
		return result{}, err
	}
	defer p.stop()
	// One second to warm up: the heap grows, and the pages of the file are mapped.
	if _, err := (load{l.connections, l.ids, time.Second}).run(ctx, p.addr); err != nil {
		return result{}, fmt.Errorf("load on %s: %w", t.name, err)
	}
	before, err := p.cpu()
	if err != nil {
		return result{}, err
	}
	got, err := l.run(ctx, p.addr)
	if err != nil {
		return result{}, fmt.Errorf("load on %s: %w", t.name, err)
	}
	after, err := p.cpu()
	if err != nil {
		return result{}, err
	}
	peak, err := p.memory("VmHWM")
	if err != nil {
		return result{}, err
	}
	return result{got, float64((after - before).Microseconds()) / float64(got.Requests), float64(peak) / (1 << 20)}, nil
}

// generator returns the name of the load generator.
func generator() string {
	if _, err := exec.LookPath("wrk"); err != nil {
		return "the load generator in bench/load.go"
	}
	// wrk -v prints its version and help, and fails.
	return "wrk " + strings.Join(strings.Fields(firstLine("", "wrk", "-v"))[1:2], "")
}

// run makes the load with wrk, or with this program if wrk is not installed.
func (l load) run(ctx context.Context, addr string) (answers, error) {
	if _, err := exec.LookPath("wrk"); err == nil {
		return l.wrk(ctx, addr)
	}
	self, err := os.Executable()
	if err != nil {
		return answers{}, err
	}
	out, err := output(ctx, self, "load", "-addr", addr, "-connections", strconv.Itoa(l.connections),
		"-ids", strconv.Itoa(l.ids), "-duration", l.duration.String())
	if err != nil {
		return answers{}, err
	}
	var got answers
	return got, json.Unmarshal(out, &got)
}

// output runs a command on the client's processor and returns its output.
func output(ctx context.Context, name string, args ...string) ([]byte, error) {
	pinned := pin(exec.Command(name, args...), 1)
	cmd := exec.CommandContext(ctx, pinned.Args[0], pinned.Args[1:]...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", cmd, err, out)
	}
	return out, nil
}

func (l load) wrk(ctx context.Context, addr string) (answers, error) {
	args := []string{"-t1", fmt.Sprintf("-c%d", l.connections), fmt.Sprintf("-d%ds", int(l.duration.Seconds())), "--latency", "--timeout", "10s"}
	if l.ids > 0 {
		script, err := os.CreateTemp("", "bench-*.lua")
		if err != nil {
			return answers{}, err
		}
		defer os.Remove(script.Name())
		fmt.Fprintf(script, "request = function() return wrk.format(nil, \"/accounts/\" .. math.random(10000, %d)) end\n", 9999+l.ids)
		if err := script.Close(); err != nil {
			return answers{}, err
		}
		args = append(args, "-s", script.Name())
	}
	out, err := output(ctx, "wrk", append(args, "http://"+addr+path(10000))...)
	if err != nil {
		return answers{}, err
	}
	return readWrk(string(out))
}

// readWrk reads the report that wrk prints.
func readWrk(text string) (answers, error) {
	if strings.Contains(text, "Non-2xx") || strings.Contains(text, "Socket errors") {
		return answers{}, fmt.Errorf("some requests failed:\n%s", text)
	}
	field := func(pattern string) string {
		if found := regexp.MustCompile(pattern).FindStringSubmatch(text); found != nil {
			return found[1]
		}
		return ""
	}
	requests, e1 := strconv.Atoi(field(`(\d+) requests in`))
	perSecond, e2 := strconv.ParseFloat(field(`Requests/sec:\s+(\S+)`), 64)
	p50, e3 := time.ParseDuration(field(`(?m)^\s+50%\s+(\S+)`))
	p99, e4 := time.ParseDuration(field(`(?m)^\s+99%\s+(\S+)`))
	if err := errors.Join(e1, e2, e3, e4); err != nil {
		return answers{}, fmt.Errorf("read the report of wrk: %w\n%s", err, text)
	}
	return answers{requests, perSecond, milliseconds(p50), milliseconds(p99)}, nil
}

// loadCommand makes a load and prints its outcome as JSON.
func loadCommand(ctx context.Context, args []string) error {
	var l load
	fs := flag.NewFlagSet("bench load", flag.ContinueOnError)
	addr := fs.String("addr", "", "`host:port` of the server")
	fs.IntVar(&l.connections, "connections", 64, "`number` of connections")
	fs.IntVar(&l.ids, "ids", 0, "`number` of accounts to choose from; 0: always the first")
	fs.DurationVar(&l.duration, "duration", time.Second, "how `long` the load lasts")
	if err := fs.Parse(args); err != nil {
		return err
	}
	got, err := l.generate(ctx, *addr)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(got)
}

// generate sends requests on all connections at once, each after the answer to the one before.
func (l load) generate(ctx context.Context, addr string) (answers, error) {
	ctx, cancel := context.WithTimeout(ctx, l.duration)
	defer cancel()
	began := time.Now()
	took := make([][]time.Duration, l.connections)
	errs := make([]error, l.connections)
	var clients sync.WaitGroup
	for i := range l.connections {
		clients.Go(func() { took[i], errs[i] = l.client(ctx, addr) })
	}
	clients.Wait()
	seconds := time.Since(began).Seconds()
	all := slices.Concat(took...)
	if err := errors.Join(errs...); err != nil {
		return answers{}, err
	}
	if len(all) == 0 {
		return answers{}, fmt.Errorf("%s gave no answer in %v", addr, l.duration)
	}
	slices.Sort(all)
	at := func(share float64) float64 { return milliseconds(all[int(share*float64(len(all)-1))]) }
	return answers{len(all), float64(len(all)) / seconds, at(.5), at(.99)}, nil
}

// client sends requests on one connection until ctx ends. It returns the time of each answer.
func (l load) client(ctx context.Context, addr string) ([]time.Duration, error) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	var took []time.Duration
	in := bufio.NewReader(conn)
	for ctx.Err() == nil {
		id := 10000
		if l.ids > 0 {
			id += rand.N(l.ids)
		}
		began := time.Now()
		if err := conn.SetDeadline(began.Add(10 * time.Second)); err != nil {
			return nil, err
		}
		if _, err := io.WriteString(conn, "GET "+path(id)+" HTTP/1.1\r\nHost: bench\r\n\r\n"); err != nil {
			return nil, err
		}
		if err := readAnswer(in); err != nil {
			return nil, fmt.Errorf("GET %s: %w", path(id), err)
		}
		took = append(took, time.Since(began))
	}
	return took, nil
}

// readAnswer reads one answer, which must be a 200 with a length. It does no more, because a
// client that is slower than the server would measure itself.
func readAnswer(in *bufio.Reader) error {
	length := -1
	for first := true; ; first = false {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return err
		}
		line = bytes.TrimRight(line, "\r\n")
		switch value, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); {
		case first && !bytes.HasPrefix(line, []byte("HTTP/1.1 200 ")):
			return fmt.Errorf("the answer is %s, not %d", line, http.StatusOK)
		case ok:
			if length, err = strconv.Atoi(string(value)); err != nil {
				return err
			}
		case len(line) == 0 && length < 0:
			return errors.New("the answer has no Content-Length")
		case len(line) == 0:
			_, err := in.Discard(length)
			return err
		}
	}
}
