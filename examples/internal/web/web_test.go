package web_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	. "github.com/smartystreets/goconvey/convey"

	"goblog/examples/internal/web"
	"goblog/examples/internal/webtest"
)

// serve returns a program that serves a handler.
func serve(addr string, handler http.HandlerFunc, drain time.Duration) webtest.Run {
	return func(ctx context.Context, _ []string, _ func(string) string, stdout io.Writer) error {
		return web.Serve(ctx, addr, handler, drain, stdout)
	}
}

func TestServe(t *testing.T) {
	Convey("Given a service with a running request", t, func() {
		entered, release := make(chan struct{}), make(chan struct{})
		service := webtest.Start(serve("127.0.0.1:0", func(w http.ResponseWriter, _ *http.Request) {
			close(entered)
			<-release
			web.Health(w, nil)
		}, 0), nil)
		answers := make(chan webtest.Answer, 1)
		go func() {
			answer, _ := webtest.Ask(http.MethodGet, service.URL, "")
			answers <- answer
		}()
		webtest.Wait(entered)

		Convey("When SIGTERM comes, it takes no more connections, but finishes the request", func() {
			So(syscall.Kill(os.Getpid(), syscall.SIGTERM), ShouldBeNil)
			So(eventually(func() bool { return refuses(service.URL) }), ShouldBeTrue)
			close(release)
			So(webtest.Wait(answers).Body, ShouldEqual, "ok\n")
			So(service.Stop(), ShouldBeNil)
		})
	})

	Convey("Given a service that drains", t, func() {
		const drain = time.Second
		service := webtest.Start(serve("127.0.0.1:0", web.Health, drain), nil)
		client := &http.Client{Transport: &http.Transport{}} // It keeps its connection.
		Reset(client.CloseIdleConnections)
		closes := func() bool {
			response, err := client.Get(service.URL)
			So(err, ShouldBeNil)
			_, err = io.Copy(io.Discard, response.Body)
			So(err, ShouldBeNil)
			So(response.Body.Close(), ShouldBeNil)
			return response.Close
		}
		So(closes(), ShouldBeFalse)

		Convey("When it stops, it still serves for this time, and closes its connections", func() {
			began := time.Now()
			ended := make(chan error, 1)
			go func() { ended <- service.Stop() }()
			So(eventually(closes), ShouldBeTrue)
			So(closes(), ShouldBeTrue)
			So(webtest.Wait(ended), ShouldBeNil)
			So(time.Since(began), ShouldBeGreaterThanOrEqualTo, drain)
			So(refuses(service.URL), ShouldBeTrue)
		})
	})

	Convey("Given a port that is taken", t, func() {
		taken, err := net.Listen("tcp", "127.0.0.1:0")
		So(err, ShouldBeNil)
		Reset(func() { taken.Close() })

		Convey("When a service listens there, it fails and says so", func() {
			addr := taken.Addr().String()
			err := web.Serve(context.Background(), addr, http.NotFoundHandler(), 0, io.Discard)
			So(err, ShouldNotBeNil)
			So(err.Error(), ShouldEqual, "listen tcp "+addr+": bind: address already in use: stop the program that uses the address, or set another")
		})
	})
}

func TestProbe(t *testing.T) {
	Convey("Given a service that is healthy at one path only", t, func() {
		mux := http.NewServeMux()
		mux.HandleFunc("/health", web.Health)
		server := httptest.NewServer(mux)
		Reset(server.Close)
		addr := server.Listener.Addr().String()
		_, port, err := net.SplitHostPort(addr)
		So(err, ShouldBeNil)
		probe := []string{"probe"}

		Convey("Then a probe of this path succeeds, by any form of the address", func() {
			for _, name := range []string{addr, ":" + port, "0.0.0.0:" + port} {
				So(web.Command(probe, name, "/health"), ShouldBeNil)
			}
		})

		Convey("Then a probe of another path fails with the status of its answer", func() {
			err := web.Command(probe, addr, "/other")
			So(err, ShouldNotBeNil)
			So(err.Error(), ShouldEqual, "probe "+addr+": /other answers 404 Not Found")
		})

		Convey("When the service has ended, a probe says so", func() {
			server.Close()
			err := web.Command(probe, addr, "/health")
			So(err, ShouldNotBeNil)
			So(err.Error(), ShouldStartWith, "probe "+addr+": ")
			So(err.Error(), ShouldEndWith, "connection refused")
		})

		Convey("Then any other command fails", func() {
			for _, args := range [][]string{{"prob"}, {"probe", "twice"}} {
				err := web.Command(args, addr, "/health")
				So(err, ShouldNotBeNil)
				So(err.Error(), ShouldContainSubstring, args[0])
				So(err.Error(), ShouldContainSubstring, "give none to serve")
			}
		})
	})

	Convey("Given a listener that never answers", t, func() {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		So(err, ShouldBeNil)
		Reset(func() { listener.Close() })

		Convey("Then a probe gives up after a second", func() {
			began := time.Now()
			So(web.Command([]string{"probe"}, listener.Addr().String(), "/health"), ShouldNotBeNil)
			So(time.Since(began), ShouldBeBetween, 900*time.Millisecond, 5*time.Second)
		})
	})
}

// refuses reports whether nothing listens at a URL.
func refuses(url string) bool {
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err == nil {
		conn.Close()
	}
	return err != nil
}

// eventually polls until the condition holds, and returns false if it never does.
func eventually(condition func() bool) bool {
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(2 * time.Millisecond) {
		if condition() {
			return true
		}
	}
	return false
}
