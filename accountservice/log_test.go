package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	. "github.com/smartystreets/goconvey/convey"
)

// pipe returns both ends of a pipe. They are closed at the end of the scenario.
func pipe() (reader, writer *os.File) {
	reader, writer, err := os.Pipe()
	So(err, ShouldBeNil)
	Reset(func() {
		reader.Close()
		writer.Close()
	})
	return reader, writer
}

// fill writes to a pipe until it is full.
func fill(pipe *os.File) {
	for _, size := range []int{1000, 1} { // Large writes first, then single bytes.
		var err error
		for err == nil {
			_ = pipe.SetWriteDeadline(time.Now().Add(50 * time.Millisecond))
			_, err = pipe.Write(bytes.Repeat([]byte("\n"), size))
		}
		So(os.IsTimeout(err), ShouldBeTrue)
	}
}

// startOn runs the service with stdout and stderr on a pipe, and waits until it answers.
func startOn(pipe *os.File, public string, cmd *exec.Cmd) *process {
	cmd.Stdout, cmd.Stderr = pipe, pipe
	p := start(cmd)
	So(eventually(func() bool { _, err := get("http://" + public + "/health"); return err == nil || p.hasEnded() }), ShouldBeTrue)
	So(p.hasEnded(), ShouldBeFalse)
	return p
}

// freeAddr returns an address on which nothing listens.
func freeAddr() string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	So(err, ShouldBeNil)
	So(listener.Close(), ShouldBeNil)
	return listener.Addr().String()
}

// metric returns the value of a metric that has no labels.
func metric(admin, name string) int {
	value, found := metrics(admin)[name]
	So(found, ShouldBeTrue)
	return value
}

// metrics returns all metrics that have no labels.
func metrics(admin string) map[string]int {
	values := map[string]int{}
	for line := range strings.Lines(mustGet("http://" + admin + "/metrics").body) {
		var name string
		var value float64
		if n, _ := fmt.Sscan(line, &name, &value); n == 2 {
			values[name] = int(value)
		}
	}
	return values
}

// damage overwrites the pages of accounts in a file that the service has open.
func damage(path string) {
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	So(err, ShouldBeNil)
	defer file.Close()
	info, err := file.Stat()
	So(err, ShouldBeNil)
	start := 2 * int64(os.Getpagesize()) // The first two pages stay.
	_, err = file.WriteAt(bytes.Repeat([]byte{0x5a}, int(info.Size()-start)), start)
	So(err, ShouldBeNil)
}

func TestLogThatNobodyReads(t *testing.T) {
	Convey("Given a service whose log is a pipe that is full from the start", t, func() {
		reader, writer := pipe()
		fill(writer)
		path := newPath(t)
		public, admin := freeAddr(), freeAddr()
		p := startOn(writer, public, command(nil, "-addr", public, "-admin-addr", admin, "-db", path, "-drain", "300ms"))
		damage(path)

		Convey("When requests fail and are logged, each has its answer at once, and dropped lines are counted", func() {
			for range 20 {
				began := time.Now()
				So(mustGet("http://"+public+"/accounts/10000").StatusCode, ShouldEqual, http.StatusInternalServerError)
				So(mustGet("http://"+public+"/health").StatusCode, ShouldEqual, http.StatusServiceUnavailable)
				So(time.Since(began), ShouldBeLessThan, 2*time.Second)
			}
			// Three lines of the start and one of the failure. The first line is still being written.
			So(eventually(func() bool { return metric(admin, "log_lines_dropped_total") == 4 }), ShouldBeTrue)

			Convey("And when the pipe is read again, one line has the number of dropped lines, and the log continues", func() {
				lines := bufio.NewScanner(reader)
				So(reader.SetReadDeadline(time.Now().Add(patience)), ShouldBeNil)
				said := 0
				for said == 0 && lines.Scan() {
					if strings.Contains(lines.Text(), "Log lines were dropped") {
						_, err := fmt.Sscanf(lines.Text()[strings.Index(lines.Text(), "since_start="):], "since_start=%d", &said)
						So(err, ShouldBeNil)
					}
				}
				So(said, ShouldEqual, 4)
				p.signal(syscall.SIGTERM)
				rest := ""
				for !strings.Contains(rest, "Stopped") && lines.Scan() {
					rest += lines.Text() + "\n"
				}
				So(rest, ShouldContainSubstring, "Stopping accountservice")
				So(rest, ShouldNotContainSubstring, "Log lines were dropped")
				So(p.exit(), ShouldEqual, 0)
			})
		})

		Convey("When SIGTERM comes, it still drains and ends", func() {
			began := time.Now()
			p.signal(syscall.SIGTERM)
			So(p.exit(), ShouldEqual, 0)
			So(time.Since(began), ShouldBeBetween, 300*time.Millisecond, 3*time.Second)
		})

		Convey("When it fails, and cannot write the reason, it still ends", func() {
			p.signal(syscall.SIGTERM)
			_ = p.cmd.Process.Signal(syscall.SIGTERM)
			So(p.endsWithin(3*time.Second), ShouldBeTrue)
		})
	})

	Convey("Given a service whose log has lost its reader", t, func() {
		reader, writer := pipe()
		public, admin := freeAddr(), freeAddr()
		p := startOn(writer, public, command(nil, "-addr", public, "-admin-addr", admin, "-db", newPath(t), "-drain", "300ms"))
		So(reader.Close(), ShouldBeNil)

		Convey("When SIGTERM comes, it continues to answer while it drains, and then ends without a failure", func() {
			began := time.Now()
			p.signal(syscall.SIGTERM)
			So(eventually(func() bool { return mustGet("http://"+public+"/health").StatusCode == http.StatusServiceUnavailable }), ShouldBeTrue)
			So(metric(admin, "log_lines_dropped_total"), ShouldEqual, 1)
			So(p.exit(), ShouldEqual, 0)
			So(time.Since(began), ShouldBeBetween, 300*time.Millisecond, 3*time.Second)
		})
	})
}

// A slowLog needs some time for each line.
type slowLog struct {
	perLine time.Duration
	lines   int
}

func (s *slowLog) Write(line []byte) (int, error) {
	time.Sleep(s.perLine)
	s.lines++
	return len(line), nil
}

func TestManyLogLines(t *testing.T) {
	// The clock of synctest moves only while all goroutines wait, so a busy machine is no problem.
	for perLine, late := range map[time.Duration]bool{
		0:                              false,
		logPatience - time.Millisecond: false,
		logPatience + time.Millisecond: true,
	} {
		Convey(fmt.Sprintf("Given a log whose reader needs %v for a line", perLine), t, func() {
			Convey("When many lines come at once, lines are dropped only if one write takes too long", func() {
				const lines = 10_000
				read := &slowLog{perLine: perLine}
				dropped := 0
				synctest.Test(t, func(*testing.T) {
					log := newLogWriter(read, func(int) {})
					for range lines {
						_, _ = log.Write(bytes.Repeat([]byte("x"), 100))
					}
					time.Sleep(2 * lines * logPatience)
					dropped = log.Dropped()
					log.close()
				})
				So(read.lines+dropped, ShouldEqual, lines)
				So(dropped > 0, ShouldEqual, late)
			})
		})
	}

	Convey("Given a log that nobody reads", t, func() {
		reader, writer := io.Pipe()
		log := newLogWriter(writer, func(int) {})
		Reset(func() { reader.Close() })

		Convey("When 4 MiB of lines come at once, no more than 2 MiB wait", func() {
			for range 64 {
				_, _ = log.Write(make([]byte, 64<<10))
			}
			So(log.Dropped(), ShouldBeBetweenOrEqual, 31, 64) // One is being written.
		})
	})
}

func TestAccessLog(t *testing.T) {
	requests := []struct {
		method, path, route string
		status, bytes       int
	}{
		{"GET", "/accounts/10000", "/accounts/{id}", 200, 32},
		{"HEAD", "/accounts/10000", "/accounts/{id}", 200, 0},
		{"GET", "/accounts/nobody", "/accounts/{id}", 404, 79},
		{"OPTIONS", "/health", "/health", 204, 0},
		{"BREW", "/nothing", "unmatched", 404, 76},
	}
	lines := map[string]string{
		"text": "time=T level=INFO msg=Answered method=%s route=%s status=%d bytes=%d ms=N",
		"json": `{"time":"T","level":"INFO","msg":"Answered","method":"%s","route":"%s","status":%d,"bytes":%d,"ms":N}`,
	}
	moment, duration := regexp.MustCompile(`(time=|"time":")[^ "]+`), regexp.MustCompile(`(ms=|"ms":)[0-9.]+`)

	for format, line := range lines {
		for _, on := range []bool{true, false} {
			Convey(fmt.Sprintf("Given a service with -log-format=%s and -access-log=%t", format, on), t, func() {
				p := serving("-db", newPath(t), "-log-format", format, fmt.Sprintf("-access-log=%t", on))

				Convey("When requests are answered, the log has one line for each, or none", func() {
					start := strings.Count(p.stdout.String(), "\n")
					want := []string{}
					conn := dial("127.0.0.1:" + p.port(publicPort))
					for _, r := range requests {
						_, err := fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: test\r\n\r\n", r.method, r.path)
						So(err, ShouldBeNil)
						if on {
							want = append(want, fmt.Sprintf(line, r.method, r.route, r.status, r.bytes))
						}
					}
					So(conn.(*net.TCPConn).CloseWrite(), ShouldBeNil)
					_, err := io.Copy(io.Discard, conn) // The connection ends after the last answer.
					So(err, ShouldBeNil)
					p.signal(syscall.SIGTERM)
					So(p.exit(), ShouldEqual, 0)
					got := duration.ReplaceAllString(moment.ReplaceAllString(p.stdout.String(), "${1}T"), "${1}N")
					all := strings.Split(strings.TrimSpace(got), "\n")
					So(all[start:len(all)-2], ShouldResemble, want) // The last two lines are about the end of the service.
				})
			})
		}
	}
}
