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

// lazyPair returns both ends of a connection, the server's and the client's.
func lazyPair() (*lazyConn, net.Conn) {
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	So(err, ShouldBeNil)
	defer tcp.Close()
	client := dial(tcp.Addr().String())
	accepted, err := tcp.Accept()
	So(err, ShouldBeNil)
	conn := &lazyConn{Conn: accepted}
	// No test waits for ever, even if a deadline never passes.
	late := time.AfterFunc(patience, func() { conn.Close() })
	Reset(func() {
		late.Stop()
		conn.Close()
	})
	return conn, client
}

func TestDeadlines(t *testing.T) {
	// The bounds are wide: a wrong deadline passes a minute late, or never.
	const soon, later, late = 50 * time.Millisecond, 150 * time.Millisecond, 10 * time.Second
	lots := make([]byte, 64<<20) // More than the buffers of both ends hold.

	Convey("Given a connection whose client sends nothing and reads nothing", t, func() {
		conn, client := lazyPair()
		read := func() (int, error) { return conn.Read(make([]byte, 100)) }
		write := func() (int, error) { return conn.Write(lots) }
		// timesOut expects that try fails with a timeout, at the time after, or a little later.
		timesOut := func(try func() (int, error), began time.Time, after time.Duration) {
			_, err := try()
			So(errors.Is(err, os.ErrDeadlineExceeded), ShouldBeTrue)
			So(time.Since(began), ShouldBeBetween, after-time.Millisecond, after+late)
		}

		for name, direction := range map[string]struct {
			until func(time.Time) error
			try   func() (int, error)
		}{
			"read":                     {conn.SetReadDeadline, read},
			"write":                    {conn.SetWriteDeadline, write},
			"read, with SetDeadline,":  {conn.SetDeadline, read},
			"write, with SetDeadline,": {conn.SetDeadline, write},
		} {
			until := func(d time.Duration) time.Time {
				now := time.Now()
				So(direction.until(now.Add(d)), ShouldBeNil)
				return now
			}

			Convey("A "+name+" ends at the deadline", func() {
				timesOut(direction.try, until(soon), soon)

				Convey("And ends at once when it is tried again", func() {
					timesOut(direction.try, time.Now(), 0)
				})
				Convey("And ends later when a later deadline is set", func() {
					timesOut(direction.try, until(later), later)
				})
			})
			Convey("A "+name+" ends at a deadline that was moved later, and at one that was moved earlier", func() {
				until(soon)
				timesOut(direction.try, until(later), later)
				until(time.Minute)
				timesOut(direction.try, until(soon), soon)
			})
		}

		Convey("When a read had a late deadline, and the next one has an earlier one, it ends at that", func() {
			So(conn.SetReadDeadline(time.Now().Add(time.Minute)), ShouldBeNil)
			_, err := io.WriteString(client, "early")
			So(err, ShouldBeNil)
			_, err = read()
			So(err, ShouldBeNil)
			began := time.Now()
			So(conn.SetReadDeadline(began.Add(soon)), ShouldBeNil)
			timesOut(read, began, soon)
		})

		Convey("When a deadline has passed and is removed, later data can be read", func() {
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

		Convey("When the deadline moves on while a long answer is being sent, all of it arrives, once", func() {
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
			time.Sleep(2 * soon) // The test is about this delay.
			got, err := io.ReadAll(client)
			So(err, ShouldBeNil)
			So(<-written, ShouldBeNil)
			So(string(got) == text, ShouldBeTrue)
		})
	})
}

func TestReadingAhead(t *testing.T) {
	Convey("Given a connection with unread data", t, func() {
		conn, client := lazyPair()
		_, err := io.WriteString(client, "next")
		So(err, ShouldBeNil)
		one := make([]byte, 1)

		Convey("When one byte is read, it arrives", func() {
			n, err := conn.Read(one)
			So(err, ShouldBeNil)
			So(string(one[:n]), ShouldEqual, "n")
		})

		Convey("When one byte is read during a request, none arrives, and it can be read afterwards", func() {
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
	Convey("Given a connection after its first answer, and a header of more than the 4 KiB that net/http reads at once", t, func() {
		p := serving("-db", newPath(t))
		conn := dial("127.0.0.1:" + p.port(publicPort))
		answers := bufio.NewReader(conn)
		isAnswered := func(pieces ...string) {
			for _, piece := range pieces {
				_, err := io.WriteString(conn, piece)
				So(err, ShouldBeNil)
				time.Sleep(50 * time.Millisecond) // Otherwise the pieces may be read as one.
			}
			readOK(answers)
		}
		const begin = "GET /health HTTP/1.1\r\nHost: test\r\n"
		isAnswered(begin + "\r\n")

		Convey("When it comes in pieces that make net/http read one byte, it is answered", func() {
			// When only the last byte of a line is missing, net/http reads one byte into its buffer.
			line := "X-Long: " + strings.Repeat("x", 6000) + "\r\n"
			isAnswered(begin, line[:4095], line[4095:]+"\r\n")
		})
	})
}

// BenchmarkConn answers requests on many connections at once, with an empty answer: on plain
// connections of net/http, and on lazy ones. The time is that of one request, including its
// client.
func BenchmarkConn(b *testing.B) {
	// With more processors, the scheduler moves server and client between them. In one process
	// this costs more than the difference that is measured.
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
					if _, err := conn.Read(answer); err != nil { // It arrives in one piece.
						b.Error(err)
						return
					}
				}
			})
		})
	}
}
