package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	. "github.com/smartystreets/goconvey/convey"
)

func TestLargeHeader(t *testing.T) {
	Convey("Given a service", t, func() {
		p := serving("-db", newPath(t), "-admin-addr", "127.0.0.1:0")
		urls := []string{p.url("/health"), p.adminURL("/health")}

		// net/http allows 4 KiB more than its limit.
		for size, want := range map[int]int{
			15 << 10: http.StatusOK,
			21 << 10: http.StatusRequestHeaderFieldsTooLarge,
		} {
			Convey(fmt.Sprintf("When a client sends a header of %d bytes, the answer is %s", size, http.StatusText(want)), func() {
				for _, url := range urls {
					request, err := http.NewRequest(http.MethodGet, url, nil)
					So(err, ShouldBeNil)
					request.Header.Set("X-Large", strings.Repeat("x", size))
					response, err := http.DefaultTransport.RoundTrip(request)
					So(err, ShouldBeNil)
					So(response.Body.Close(), ShouldBeNil)
					So(response.StatusCode, ShouldEqual, want)
				}
			})
		}
	})
}

// A slowClient begins a request and never ends it.
type slowClient struct {
	name        string
	says        string
	then        string // again and again
	least, most time.Duration
}

func TestSlowClients(t *testing.T) {
	t.Parallel()
	const begun = "GET /health HTTP/1.1\r\nHost: test\r\n"
	clients := []slowClient{
		{"says nothing", "", "", 4 * time.Second, 8 * time.Second},
		{"sends half of a header", begun, "", 4 * time.Second, 8 * time.Second},
		{"sends a header bit by bit", begun + "X-Slow: ", "x", 4 * time.Second, 8 * time.Second},
		{"sends half of a body", begun + "Content-Length: 9\r\n\r\nfirst", "", 9 * time.Second, 13 * time.Second},
	}

	Convey("Given a service", t, func() {
		p := serving("-db", newPath(t), "-admin-addr", "127.0.0.1:0")

		Convey("When clients are slow, on both ports, each is cut off: after 5 s in its header, after 10 s in its body", func() {
			outcomes := make(chan string)
			for _, client := range clients {
				for _, port := range []string{p.port(publicPort), p.port(adminPort)} {
					conn := dial("127.0.0.1:" + port)
					go func() { outcomes <- client.outcome(conn) }()
				}
			}
			for range 2 * len(clients) {
				So(<-outcomes, ShouldEndWith, "cut off in time")
			}
		})
	})
}

// outcome waits until the server closes the connection.
func (c slowClient) outcome(conn net.Conn) string {
	began := time.Now()
	_, _ = io.WriteString(conn, c.says)
	go func() {
		for c.then != "" {
			if _, err := io.WriteString(conn, c.then); err != nil {
				return
			}
			time.Sleep(100 * time.Millisecond)
		}
	}()
	_, err := io.Copy(io.Discard, conn)
	switch took := time.Since(began); {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Sprintf("A client that %s was not cut off", c.name)
	case took < c.least || took > c.most:
		return fmt.Sprintf("A client that %s was cut off after %v", c.name, took)
	}
	return fmt.Sprintf("A client that %s was cut off in time", c.name)
}

func TestClientThatDoesNotRead(t *testing.T) {
	t.Parallel()
	Convey("Given a service", t, func() {
		p := serving("-db", newPath(t), "-admin-addr", "127.0.0.1:0")
		conn := dial("127.0.0.1:" + p.port(publicPort))

		Convey("When a client sends requests and never reads, it is cut off 10 s after the service read its last request", func() {
			// The service writes until the buffers are full, which takes long on a slow machine.
			// The client may notice the end much later: it would have to read all answers first.
			requests := []byte(strings.Repeat("GET /accounts/10000 HTTP/1.1\r\nHost: test\r\n\r\n", 1000))
			began := time.Now()
			go func() {
				for err := error(nil); err == nil; _, err = conn.Write(requests) {
				}
			}()
			So(eventually(func() bool { return p.metric("http_connections_open") == 1 }), ShouldBeTrue)
			So(eventually(func() bool { return p.metric("http_connections_open") == 0 }), ShouldBeTrue)
			So(time.Since(began), ShouldBeBetween, 9900*time.Millisecond, 25*time.Second)
		})

		Convey("When a client sends a request after a longer pause, it is answered", func() {
			answers := bufio.NewReader(conn)
			for pause := range 2 {
				time.Sleep(time.Duration(pause) * 10500 * time.Millisecond) // The test is about this delay.
				_, err := io.WriteString(conn, "GET /health HTTP/1.1\r\nHost: test\r\n\r\n")
				So(err, ShouldBeNil)
				readOK(answers)
			}
		})
	})
}
