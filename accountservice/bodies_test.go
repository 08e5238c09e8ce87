package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	. "github.com/smartystreets/goconvey/convey"
)

func TestTransferEncoding(t *testing.T) {
	Convey("Given a service", t, func() {
		p := serving("-db", newPath(t), "-admin-addr", "127.0.0.1:0")

		for _, length := range []string{"", "Content-Length: 5\r\n"} {
			for _, path := range []string{"/accounts/10000", "/nothing", "/health", "/metrics"} {
				Convey(fmt.Sprintf("When a request for %s has a Transfer-Encoding and %q, the service answers it and closes the connection", path, length), func() {
					port := p.port(publicPort)
					if path == "/metrics" {
						port = p.port(adminPort)
					}
					conn := dial("127.0.0.1:" + port)
					_, err := io.WriteString(conn, "GET "+path+" HTTP/1.1\r\nHost: test\r\n"+length+"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"+
						"GET /smuggled HTTP/1.1\r\nHost: test\r\n\r\n")
					So(err, ShouldBeNil)
					answers := bufio.NewReader(conn)
					response, err := http.ReadResponse(answers, nil)
					So(err, ShouldBeNil)
					So(response.Close, ShouldBeTrue)
					So(response.StatusCode, ShouldBeIn, http.StatusOK, http.StatusNotFound)
					_, err = io.Copy(io.Discard, response.Body)
					So(err, ShouldBeNil)
					// A second answer would be for something that is no request.
					rest, _ := io.ReadAll(answers)
					So(string(rest), ShouldBeEmpty)
				})
			}
		}
	})
}

func TestBodiesRaceWithNothing(t *testing.T) {
	const get = "GET /accounts/10000 HTTP/1.1\r\nHost: test\r\n"
	body := strings.Repeat("x", 70_000)
	Convey("Given a service", t, func() {
		p := serving("-db", newPath(t))
		addr := "127.0.0.1:" + p.port(publicPort)

		Convey("When many clients send bodies of all kinds, there is no data race", func() {
			var clients sync.WaitGroup
			for _, request := range []string{
				get + "Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
				get + "Connection: close\r\nContent-Length: 70000\r\n\r\n" + body,
				get + "Expect: 100-continue\r\nContent-Length: 5\r\n\r\nhello",
				get + "Content-Length: 70000\r\n\r\n" + body + get + "\r\n",
				get + "Content-Length: 5\r\n\r\nhello" + get + "\r\n" + get + "Connection: close\r\n\r\n",
				get + "\r\n" + get + "\r\n",
			} {
				for range 4 {
					clients.Go(func() {
						for began := time.Now(); time.Since(began) < time.Second; {
							exchange(addr, request)
						}
					})
				}
			}
			clients.Wait()
			p.signal(syscall.SIGTERM)
			So(p.exit(), ShouldEqual, 0)
			So(p.stderr.String(), ShouldBeEmpty)
			So(strings.Join(p.messages(), "\n"), ShouldNotContainSubstring, "panic")
		})
	})
}

// exchange sends all requests of a connection. It reads until the connection ends, or for a
// little longer than an answer takes.
func exchange(addr, requests string) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(50 * time.Millisecond))
	_, _ = io.WriteString(conn, requests)
	_, _ = io.Copy(io.Discard, conn)
}
