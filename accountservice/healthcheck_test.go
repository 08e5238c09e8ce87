package main

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"

	. "github.com/smartystreets/goconvey/convey"
)

func TestHealthcheck(t *testing.T) {
	Convey("Given a service that runs", t, func() {
		p := serving("-db", newPath(t), "-drain", "1h")
		port := p.port(publicPort)

		Convey("When its health is checked, by any form of its address, the check succeeds and prints nothing", func() {
			for _, cmd := range []struct {
				env  []string
				args []string
			}{
				{args: []string{"-addr", "127.0.0.1:" + port}},
				{args: []string{"-addr", ":" + port}},
				{args: []string{"-addr", "0.0.0.0:" + port}},
				{env: []string{"ACCOUNTSERVICE_ADDR=:" + port}},
				{env: []string{"ACCOUNTSERVICE_ADDR=:" + port, "HTTP_PROXY=http://127.0.0.1:1", "http_proxy=http://127.0.0.1:1"}},
			} {
				got := finish(command(cmd.env, append([]string{"healthcheck"}, cmd.args...)...))
				So(got, ShouldResemble, result{took: got.took})
			}
		})

		Convey("When it drains, the check fails and says why", func() {
			p.signal(syscall.SIGTERM)
			So(eventually(func() bool { return mustGet(p.url("/health")).StatusCode == http.StatusServiceUnavailable }), ShouldBeTrue)
			got := finish(command(nil, "healthcheck", "-addr", ":"+port))
			So(got.code, ShouldEqual, 1)
			So(got.stdout, ShouldBeEmpty)
			So(got.stderr, shouldBeOneLine, "healthcheck", ":"+port, "503", "DOWN")
		})
	})

	Convey("Given a port where nothing listens", t, func() {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		So(err, ShouldBeNil)
		So(listener.Close(), ShouldBeNil)

		Convey("When its health is checked, the check fails and says why", func() {
			got := finish(command(nil, "healthcheck", "-addr", listener.Addr().String()))
			So(got.code, ShouldEqual, 1)
			So(got.stderr, shouldBeOneLine, "healthcheck", listener.Addr().String(), "refused")
		})
	})

	Convey("Given another program that answers", t, func() {
		other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusTeapot)
			fmt.Fprintf(w, "<html>\n%s\n</html>\n", strings.Repeat("short and stout\n", 1000))
		}))
		Reset(other.Close)

		Convey("When its health is checked, the check fails and says why in one line", func() {
			addr := other.Listener.Addr().String()
			got := finish(command(nil, "healthcheck", "-addr", addr))
			So(got.code, ShouldEqual, 1)
			So(got.stderr, shouldBeOneLine, "healthcheck", addr, "418")
		})
	})

	Convey("Given a listener that never answers", t, func() {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		So(err, ShouldBeNil)
		Reset(func() { listener.Close() })
		addr := listener.Addr().String()

		Convey("When its health is checked, the check fails within a second and says why", func() {
			quickest := time.Hour
			for range 3 { // The machine may be too busy to start a process in time.
				got := finish(command(nil, "healthcheck", "-addr", addr))
				So(got.code, ShouldEqual, 1)
				So(got.stderr, shouldBeOneLine, "healthcheck", addr, "deadline")
				if quickest = min(quickest, got.took); quickest < time.Second {
					break
				}
			}
			So(quickest, ShouldBeLessThan, time.Second)
		})
	})
}
