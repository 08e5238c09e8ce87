package main

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
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
	conn, err := lazyListener{tcp.(*net.TCPListener)}.Accept()
	So(err, ShouldBeNil)
	// Whatever happens to the deadlines, no test waits for ever.
	late := time.AfterFunc(patience, func() { conn.Close() })
	Reset(func() {
		late.Stop()
		conn.Close()
	})
	return conn.(*lazyConn), client
}

// timeout does what may time out, and returns after how long it did.
func timeout(try func() (int, error)) time.Duration {
	began := time.Now()
	_, err := try()
	So(errors.Is(err, os.ErrDeadlineExceeded), ShouldBeTrue)
	return time.Since(began)
}

func TestDeadlines(t *testing.T) {
	const soon, later, slack = 50 * time.Millisecond, 150 * time.Millisecond, 100 * time.Millisecond

	Convey("Given a connection whose client says nothing and reads nothing", t, func() {
		conn, client := lazyPair()
		lots := make([]byte, 64<<20) // More than both ends keep.
		for name, direction := range map[string]struct {
			until func(time.Time) error
			try   func() (int, error)
		}{
			"read":   {conn.SetReadDeadline, func() (int, error) { return conn.Read(make([]byte, 100)) }},
			"write":  {conn.SetWriteDeadline, func() (int, error) { return conn.Write(lots) }},
			"either": {conn.SetDeadline, func() (int, error) { return conn.Read(make([]byte, 100)) }},
		} {
			until := func(d time.Duration) { So(direction.until(time.Now().Add(d)), ShouldBeNil) }

			Convey("To "+name+" ends at the deadline", func() {
				until(soon)
				So(timeout(direction.try), ShouldBeBetween, soon-slack, soon+slack)

				Convey("And at once when it is tried again", func() {
					So(timeout(direction.try), ShouldBeLessThan, slack)
				})
				Convey("And later where a later deadline is set", func() {
					until(later)
					So(timeout(direction.try), ShouldBeBetween, later-soon/2, later+slack)
				})
			})
			Convey("To "+name+" heeds a deadline that is set later than the first, and one that is set earlier", func() {
				until(soon)
				until(later)
				So(timeout(direction.try), ShouldBeBetween, later-soon/2, later+slack)
				until(time.Minute)
				until(soon)
				So(timeout(direction.try), ShouldBeLessThan, soon+slack)
			})
		}

		Convey("When a read knew of a late deadline, the next heeds an earlier one", func() {
			So(conn.SetReadDeadline(time.Now().Add(time.Minute)), ShouldBeNil)
			_, err := io.WriteString(client, "early")
			So(err, ShouldBeNil)
			_, err = conn.Read(make([]byte, 100))
			So(err, ShouldBeNil)
			So(conn.SetReadDeadline(time.Now().Add(soon)), ShouldBeNil)
			So(timeout(func() (int, error) { return conn.Read(make([]byte, 100)) }), ShouldBeLessThan, soon+slack)
		})

		Convey("When a deadline that is known to the runtime is taken off, what comes after it is read all the same", func() {
			So(conn.SetReadDeadline(time.Now().Add(soon)), ShouldBeNil)
			So(timeout(func() (int, error) { return conn.Read(make([]byte, 100)) }), ShouldBeLessThan, soon+slack)
			So(conn.SetReadDeadline(time.Time{}), ShouldBeNil)
			_, err := io.WriteString(client, "late")
			So(err, ShouldBeNil)
			got := make([]byte, 100)
			n, err := conn.Read(got)
			So(err, ShouldBeNil)
			So(string(got[:n]), ShouldEqual, "late")
		})

		Convey("When the deadline moves on while a long answer is read slowly, all of it arrives, once", func() {
			text := strings.Repeat("0123456789", 2_000_000)
			So(conn.SetWriteDeadline(time.Now().Add(soon)), ShouldBeNil)
			conn.write.heed() // The runtime knows this one.
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
			noteState(conn, http.StateActive)
			n, err := conn.Read(one)
			So(err, ShouldBeNil)
			So(n, ShouldEqual, 0)

			noteState(conn, http.StateIdle)
			n, err = conn.Read(one)
			So(err, ShouldBeNil)
			So(string(one[:n]), ShouldEqual, "n")
		})
	})
}

func TestHeaderInPieces(t *testing.T) {
	Convey("Given a service, and a header that is longer than the 4 KiB that net/http reads at once", t, func() {
		p := serving("-db", newPath(t))
		conn := dial("127.0.0.1:" + p.port(publicPort))
		header := "GET /health HTTP/1.1\r\nHost: test\r\nX-Long: " + strings.Repeat("x", 6000) + "\r\n\r\n"
		line := strings.Index(header, "X-Long")

		Convey("When it comes in such pieces that net/http asks for one byte, it is answered", func() {
			// A buffer that holds all but one byte of a line is asked to be filled.
			for _, piece := range []string{header[:line], header[line : line+4095], header[line+4095:]} {
				_, err := io.WriteString(conn, piece)
				So(err, ShouldBeNil)
				time.Sleep(50 * time.Millisecond) // Or they would be read as one.
			}
			response, err := http.ReadResponse(bufio.NewReader(conn), nil)
			So(err, ShouldBeNil)
			So(response.StatusCode, ShouldEqual, http.StatusOK)
		})
	})
}
