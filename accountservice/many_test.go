package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	. "github.com/smartystreets/goconvey/convey"
)

// crowd is many clients of one kind, in processes of their own.
type crowd struct {
	From    string // the address from which they connect
	Addr    string
	Says    string        // what each client sends first
	Asks    time.Duration // the time between requests of a client; 0: it sends no more
	Goes    time.Duration // the longest time until a client closes and connects again; 0: it stays
	Clients int
	Rate    int // new clients a second
}

// outcome is the outcome of a crowd.
type outcome struct {
	Connected, Answered atomic.Int64
	Closed              atomic.Int64 // by the service, between two answers
	Broken              atomic.Int64 // in any other way
}

const askForAccount = "GET /accounts/10000 HTTP/1.1\r\nHost: test\r\n\r\n"

// half is most of a request with a header of 15 KiB.
var half = "GET /accounts/10000 HTTP/1.1\r\nHost: test\r\nX-Large: " + strings.Repeat("x", 15<<10)

var kinds = map[string]crowd{
	"ask, and then keep their connection": {Says: askForAccount, Asks: time.Minute},
	"say nothing":                         {},
	"send half of a large header":         {Says: half},
	"send half of a body":                 {Says: "GET /accounts/10000 HTTP/1.1\r\nHost: test\r\nContent-Length: 9\r\n\r\nhalf"},
}

// beCrowd is the main function of a crowd. Each line of stdin is an address, to which clients
// connect from then on. When stdin ends, it prints the outcome.
func beCrowd(description string) {
	var c crowd
	if err := json.Unmarshal([]byte(description), &c); err != nil {
		panic(err)
	}
	var got outcome
	var addr atomic.Value
	addr.Store(c.Addr)
	go func() {
		for i := range c.Clients {
			go c.client(i, &addr, &got)
			if i%20 == 19 {
				time.Sleep(20 * time.Second / time.Duration(c.Rate))
			}
		}
	}()
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		addr.Store(lines.Text())
	}
	fmt.Printf("%d %d %d %d\n", got.Connected.Load(), got.Answered.Load(), got.Closed.Load(), got.Broken.Load())
}

// errGone means that a client has closed its connection itself.
var errGone = errors.New("gone")

// client uses a connection until the service or the client closes it. A client that asks or
// goes then connects again.
func (c crowd) client(i int, addr *atomic.Value, got *outcome) {
	from := net.ParseIP(c.From).To4()
	if runtime.GOOS == "linux" {
		from[2] = byte(i % 50) // An address has 28,000 ports, and a used port is blocked for a minute.
	}
	for again := true; again; again = c.Asks > 0 || c.Goes > 0 {
		conn, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: from}}).Dial("tcp", addr.Load().(string))
		if err != nil {
			fmt.Fprintln(os.Stderr, "A client cannot connect:", err)
			got.Broken.Add(1)
			return
		}
		got.Connected.Add(1)
		switch err := c.talk(conn, got); {
		case errors.Is(err, errGone):
		case errors.Is(err, io.EOF):
			got.Closed.Add(1)
		default:
			fmt.Fprintln(os.Stderr, "A client was cut off:", err)
			got.Broken.Add(1)
		}
		conn.Close()
	}
}

func (c crowd) talk(conn net.Conn, got *outcome) error {
	// After an orderly close by the service, a write may fail. Only the reads matter.
	_, _ = io.WriteString(conn, c.Says)
	if c.Asks == 0 && c.Goes == 0 {
		// Some clients get an error response before the end.
		_, err := io.Copy(io.Discard, struct{ io.Reader }{conn})
		return cmp.Or(err, io.EOF)
	}
	answers := bufio.NewReaderSize(conn, 512)
	for {
		if _, err := answers.Peek(1); err != nil {
			return err
		}
		response, err := http.ReadResponse(answers, nil)
		if err != nil {
			return fmt.Errorf("half of an answer: %v", err)
		}
		if _, err := io.Copy(io.Discard, response.Body); err != nil || response.StatusCode != http.StatusOK {
			return fmt.Errorf("half of an answer, with status %d: %v", response.StatusCode, err)
		}
		got.Answered.Add(1)
		if c.Goes > 0 {
			time.Sleep(rand.N(c.Goes))
			return errGone
		}
		time.Sleep(c.Asks)
		_, _ = io.WriteString(conn, c.Says)
	}
}

// come starts a crowd in two processes. It returns two functions: turn makes clients connect
// to another address from then on, and end ends the crowd and returns its outcome.
func (c crowd) come(addr string) (turn func(addr string), end func() (connected, answered, closed, broken int)) {
	var outs [2]output
	var inputs [2]io.WriteCloser
	var cmds [2]*exec.Cmd
	for i := range cmds {
		half := c
		half.From, half.Addr, half.Clients, half.Rate = fmt.Sprintf("127.0.0.%d", 2+i), addr, c.Clients/2, c.Rate/2
		if runtime.GOOS != "linux" {
			half.From = "127.0.0.1"
		}
		description, err := json.Marshal(half)
		So(err, ShouldBeNil)
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "CROWD="+string(description))
		cmd.Stdout, cmd.Stderr = &outs[i], os.Stderr
		stdin, err := cmd.StdinPipe()
		So(err, ShouldBeNil)
		So(cmd.Start(), ShouldBeNil)
		Reset(func() { _ = cmd.Process.Kill() })
		cmds[i], inputs[i] = cmd, stdin
	}
	turn = func(addr string) {
		for _, input := range inputs {
			_, err := fmt.Fprintln(input, addr)
			So(err, ShouldBeNil)
		}
	}
	return turn, func() (connected, answered, closed, broken int) {
		for i, cmd := range cmds {
			inputs[i].Close()
			So(cmd.Wait(), ShouldBeNil)
			var a, b, c, d int
			_, err := fmt.Sscan(outs[i].String(), &a, &b, &c, &d)
			So(err, ShouldBeNil)
			connected, answered, closed, broken = connected+a, answered+b, closed+c, broken+d
		}
		return
	}
}

// statusOf sends a request, reads the whole answer and returns its status.
func statusOf(client *http.Client, url string) (int, error) {
	response, err := client.Get(url)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	_, err = io.Copy(io.Discard, response.Body)
	return response.StatusCode, err
}

// patrol asks for an account and for the health until stop is closed, on new connections and
// on one that it keeps. It returns the number of requests, the time of the slowest, and the
// first failure.
func patrol(addr string, stop <-chan struct{}) (asked int, longest time.Duration, failure error) {
	kept := &http.Client{Transport: &http.Transport{ResponseHeaderTimeout: patience}}
	defer kept.CloseIdleConnections()
	for {
		for _, path := range []string{"/accounts/10000", "/health"} {
			for _, ask := range []func(string) (int, error){
				func(url string) (int, error) {
					got, err := get(url)
					if err != nil {
						return 0, err
					}
					return got.StatusCode, nil
				},
				func(url string) (int, error) { return statusOf(kept, url) },
			} {
				began := time.Now()
				status, err := ask("http://" + addr + path)
				longest = max(longest, time.Since(began))
				asked++
				if err != nil || status != http.StatusOK {
					return asked, longest, fmt.Errorf("GET %s: status %d, %v", path, status, err)
				}
			}
		}
		select {
		case <-stop:
			return asked, longest, nil
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// shouldBear expects that a service survives a crowd, and answers all other clients in time.
func (p *process) shouldBear(c crowd, most int, watch time.Duration) {
	addr := "127.0.0.1:" + p.port(publicPort)
	stop := make(chan struct{})
	var asked int
	var longest time.Duration
	var failure error
	var patrols sync.WaitGroup
	patrols.Go(func() { asked, longest, failure = patrol(addr, stop) })
	_, end := c.come(addr)
	most64 := 0
	open := 0
	for began := time.Now(); time.Since(began) < watch && !p.hasEnded(); time.Sleep(50 * time.Millisecond) {
		open = p.metric("http_connections_open")
		most64 = max(most64, open)
	}
	close(stop)
	patrols.Wait()
	So(p.hasEnded(), ShouldBeFalse)
	idle, closedForRoom, resident := p.metric("http_connections_idle"), p.metric("http_connections_closed_for_room_total"), p.metric("process_resident_memory_bytes")
	connected, answered, closed, broken := end()
	fmt.Printf("\n%d connected, %d answered, %d closed, %d broken; open %d, at most %d, idle %d, closed for room %d; %d MiB; %d asked, in %v at most\n",
		connected, answered, closed, broken, open, most64, idle, closedForRoom, resident>>20, asked, longest)
	So(failure, ShouldBeNil)
	So(longest, ShouldBeLessThan, time.Second)
	So(connected, ShouldBeGreaterThanOrEqualTo, c.Clients)
	So(broken, ShouldEqual, 0)
	So(most64, ShouldBeLessThanOrEqualTo, most)
	So(closedForRoom, ShouldBeGreaterThan, 0)
	if c.Asks > 0 {
		So(answered, ShouldBeGreaterThanOrEqualTo, c.Clients)
	}
}

func (p *process) metric(name string) int { return metric("127.0.0.1:"+p.port(adminPort), name) }

func TestCrowd(t *testing.T) {
	for name, kind := range kinds {
		Convey("Given a service for 200 clients", t, func() {
			p := serving("-db", newPath(t), "-admin-addr", "127.0.0.1:0", "-max-connections", "200")

			Convey("When 600 clients come that "+name+", some are closed for room, and all others are answered", func() {
				// A client has half a second until 200 others have come. A busy machine needs this time.
				kind.Clients, kind.Rate = 600, 400
				if kind.Asks > 0 {
					kind.Asks = 500 * time.Millisecond
				}
				p.shouldBear(kind, 200+50, 3*time.Second)
			})
		})
	}
}

// TestManyClients takes minutes. Run it with make many.
func TestManyClients(t *testing.T) {
	clients, _ := strconv.Atoi(os.Getenv("MANY_CLIENTS"))
	if clients == 0 {
		t.Skip("20,000 clients take minutes: run make many")
	}
	lean := filepath.Join(t.TempDir(), "accountservice")
	if err := goBuild(lean); err != nil { // Without the race detector, which needs much memory.
		t.Fatal(err)
	}
	for name, kind := range kinds {
		Convey("Given a service with 128 MiB", t, func() {
			cmd := exec.Command(lean, "-addr", "127.0.0.1:0", "-admin-addr", "127.0.0.1:0", "-db", newPath(t))
			p := start(limitMemory(t, 128<<20, cmd))
			p.awaitListening()

			Convey(fmt.Sprintf("When %d clients come that %s, it survives, and answers all others", clients, name), func() {
				fmt.Printf("\n%s: ", name)
				kind.Clients, kind.Rate = clients, 4000
				p.shouldBear(kind, 8192+500, time.Duration(clients)*time.Second/4000+20*time.Second)
			})
		})
	}
}

// limitMemory returns the command in a cgroup of its own, with a memory limit in bytes.
func limitMemory(t *testing.T, bytes int, cmd *exec.Cmd) *exec.Cmd {
	if runtime.GOOS != "linux" || os.Geteuid() != 0 {
		t.Skip("only root on Linux can make a cgroup")
	}
	root, limit := "/sys/fs/cgroup/memory", "memory.limit_in_bytes"
	if _, err := os.Stat(root); err != nil {
		root, limit = "/sys/fs/cgroup", "memory.max"
	}
	dir, err := os.MkdirTemp(root, "accountservice-test-")
	if err != nil {
		t.Skip("a cgroup cannot be made on this machine: ", err)
	}
	t.Cleanup(func() { _ = syscall.Rmdir(dir) })
	if err := os.WriteFile(filepath.Join(dir, limit), []byte(strconv.Itoa(bytes)), 0o644); err != nil {
		t.Skip("a cgroup cannot be limited on this machine: ", err)
	}
	args := append([]string{"-c", `echo $$ > "$0"/cgroup.procs; exec "$@"`, dir}, cmd.Args...)
	return exec.Command("sh", args...)
}
