package main

import (
	"bufio"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	. "github.com/smartystreets/goconvey/convey"
)

// lazyPair returns the server's end of a connection, and its client's.
func lazyPair() (*lazyConn, net.Conn) {
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	So(err, ShouldBeNil)
	defer tcp.Close()
	client := dial(tcp.Addr().String())
	accepted, err := tcp.Accept()
	So(err, ShouldBeNil)
	conn := &lazyConn{Conn: accepted}
	// Whatever happens to the deadlines, no test waits for ever.
	late := time.AfterFunc(patience, func() { conn.Close() })
	Reset(func() {
		late.Stop()
		conn.Close()
	})
	return conn, client
}

func TestDeadlines(t *testing.T) {
	// Nothing here needs to be fast: what is late is a minute late, or never comes.
	const soon, later, late = 50 * time.Millisecond, 150 * time.Millisecond, 10 * time.Second
	lots := make([]byte, 64<<20) // More than both ends keep.

	Convey("Given a connection whose client says nothing and reads nothing", t, func() {
		conn, client := lazyPair()
		read := func() (int, error) { return conn.Read(make([]byte, 100)) }
		write := func() (int, error) { return conn.Write(lots) }
		// timesOut expects that try ends with a timeout, so long after began, or a bit later.
		timesOut := func(try func() (int, error), began time.Time, after time.Duration) {
			_, err := try()
			So(errors.Is(err, os.ErrDeadlineExceeded), ShouldBeTrue)
			So(time.Since(began), ShouldBeBetween, after-time.Millisecond, after+late)
		}

		for name, direction := range map[string]struct {
			until func(time.Time) error
			try   func() (int, error)
		}{
			"read":                        {conn.SetReadDeadline, read},
			"write":                       {conn.SetWriteDeadline, write},
			"read, with one for either,":  {conn.SetDeadline, read},
			"write, with one for either,": {conn.SetDeadline, write},
		} {
			until := func(d time.Duration) time.Time {
				now := time.Now()
				So(direction.until(now.Add(d)), ShouldBeNil)
				return now
			}

			Convey("To "+name+" ends at the deadline", func() {
				timesOut(direction.try, until(soon), soon)

				Convey("And at once when it is tried again", func() {
					timesOut(direction.try, time.Now(), 0)
				})
				Convey("And later where a later deadline is set", func() {
					timesOut(direction.try, until(later), later)
				})
			})
			Convey("To "+name+" heeds a deadline that is set later than the first, and one that is set earlier", func() {
				until(soon)
				timesOut(direction.try, until(later), later)
				until(time.Minute)
				timesOut(direction.try, until(soon), soon)
			})
		}

		Convey("When a read knew of a late deadline, the next heeds an earlier one", func() {
			So(conn.SetReadDeadline(time.Now().Add(time.Minute)), ShouldBeNil)
			_, err := io.WriteString(client, "early")
			So(err, ShouldBeNil)
			_, err = read()
			So(err, ShouldBeNil)
			began := time.Now()
			So(conn.SetReadDeadline(began.Add(soon)), ShouldBeNil)
			timesOut(read, began, soon)
		})

		Convey("When a deadline that is known to the runtime is taken off, what comes after it is read all the same", func() {
			began := time.Now()
			So(conn.SetReadDeadline(began.Add(soon)), ShouldBeNil)
			timesOut(read, began, soon)
			So(conn.SetReadDeadline(time.Time{}), ShouldBeNil)
			_, err := io.WriteString(client, "late")
			So(err, ShouldBeNil)
			got := make([]byte, 100)
			n, err := conn.Read(got)
			So(err, ShouldBeNil)
			So(string(got[:n]), ShouldEqual, "late")
		})

		Convey("When the deadline moves on while a long answer waits to be read, all of it arrives, once", func() {
			text := strings.Repeat("0123456789", 2_000_000)
			So(conn.SetWriteDeadline(time.Now().Add(soon)), ShouldBeNil)
			conn.heed(&conn.write, conn.Conn.SetWriteDeadline) // The runtime knows this one.
			So(conn.SetWriteDeadline(time.Now().Add(patience)), ShouldBeNil)
			written := make(chan error, 1)
			go func() {
				n, err := io.WriteString(conn, text)
				if n != len(text) {
					err = errors.Join(err, io.ErrShortWrite)
				}
				conn.Close()
				written <- err
			}()
			time.Sleep(2 * soon) // Time is what this is about.
			got, err := io.ReadAll(client)
			So(err, ShouldBeNil)
			So(<-written, ShouldBeNil)
			So(string(got) == text, ShouldBeTrue)
		})
	})
}

func TestReadingAhead(t *testing.T) {
	Convey("Given a connection whose client has sent more than was read", t, func() {
		conn, client := lazyPair()
		_, err := io.WriteString(client, "next")
		So(err, ShouldBeNil)
		one := make([]byte, 1)

		Convey("When one byte is read, it comes", func() {
			n, err := conn.Read(one)
			So(err, ShouldBeNil)
			So(string(one[:n]), ShouldEqual, "n")
		})

		Convey("When one byte is read while a request is handled, none comes, and it is there afterwards", func() {
			newRoom(1).note(conn, http.StateActive)
			n, err := conn.Read(one)
			So(err, ShouldBeNil)
			So(n, ShouldEqual, 0)

			newRoom(1).note(conn, http.StateIdle)
			n, err = conn.Read(one)
			So(err, ShouldBeNil)
			So(string(one[:n]), ShouldEqual, "n")
		})
	})
}

func TestHeaderInPieces(t *testing.T) {
	Convey("Given a connection that has had an answer, and a header that is longer than the 4 KiB that net/http reads at once", t, func() {
		p := serving("-db", newPath(t))
		conn := dial("127.0.0.1:" + p.port(publicPort))
		answers := bufio.NewReader(conn)
		isAnswered := func(pieces ...string) {
			for _, piece := range pieces {
				_, err := io.WriteString(conn, piece)
				So(err, ShouldBeNil)
				time.Sleep(50 * time.Millisecond) // Or they might be read as one, which proves nothing.
			}
			readOK(answers)
		}
		const begin = "GET /health HTTP/1.1\r\nHost: test\r\n"
		isAnswered(begin + "\r\n")

		Convey("When it comes in such pieces that net/http asks for one byte, it is answered", func() {
			// A buffer that holds all but one byte of a line is asked to be filled.
			line := "X-Long: " + strings.Repeat("x", 6000) + "\r\n"
			isAnswered(begin, line[:4095], line[4095:]+"\r\n")
		})
	})
}

// BenchmarkConn answers requests on many connections at once with an empty answer: on
// those that net/http makes itself, and on lazy ones. The time is what a request costs,
// its client included.
func BenchmarkConn(b *testing.B) {
	// On more processors the scheduler moves server and client between them, which here,
	// where both are one process, costs more than what is compared.
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	for _, kind := range []string{"plain", "lazy"} {
		b.Run(kind, func(b *testing.B) {
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			server := newServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), slog.Default())
			server.WriteTimeout = 10 * time.Second
			if kind == "lazy" {
				go func() { _ = newRoom(0).serve(server, listener.(*net.TCPListener)) }()
			} else {
				go func() { _ = server.Serve(listener) }()
			}
			defer server.Close()

			b.SetParallelism(64)
			b.ReportAllocs()
			b.RunParallel(func(more *testing.PB) {
				conn, err := net.Dial("tcp", listener.Addr().String())
				if err != nil {
					b.Error(err)
					return
				}
				defer conn.Close()
				answer := make([]byte, 1000)
				for more.Next() {
					if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: bench\r\n\r\n"); err != nil {
						b.Error(err)
						return
					}
					if _, err := conn.Read(answer); err != nil { // It comes in one piece.
						b.Error(err)
						return
					}
				}
			})
		})
	}
}
