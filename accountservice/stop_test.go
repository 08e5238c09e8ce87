package main

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	. "github.com/smartystreets/goconvey/convey"

	"goblog/accountservice/boltstore"
	"goblog/accountservice/httpapi"
)

func TestDrain(t *testing.T) {
	const drain = 1500 * time.Millisecond

	Convey("Given a service that drains for 1.5 s", t, func() {
		p := serving("-db", newPath(t), "-admin-addr", "127.0.0.1:0", "-drain", drain.String())
		So(mustGet(p.url("/accounts/10000")).Close, ShouldBeFalse)
		asked := time.Now()
		p.signal(syscall.SIGTERM)
		So(eventually(func() bool { return mustGet(p.url("/health")).StatusCode == http.StatusServiceUnavailable }), ShouldBeTrue)

		Convey("When SIGTERM comes, it still answers new clients for this time, then closes the listener and succeeds", func() {
			answered := 0
			var err error
			for err == nil && time.Since(asked) < patience {
				var got answer
				if got, err = get(p.url("/accounts/10000")); err == nil {
					answered++
					So(got.StatusCode, ShouldEqual, http.StatusOK)
					So(got.body, ShouldEqual, person0)
					So(got.Close, ShouldBeTrue)
				}
			}
			So(time.Since(asked), ShouldBeBetween, drain, drain+2*time.Second)
			So(answered, ShouldBeGreaterThan, 1)
			So(p.exit(), ShouldEqual, 0)
			So(time.Since(asked), ShouldBeBetween, drain, drain+2*time.Second)
			So(p.stderr.String(), ShouldBeEmpty)
		})

		Convey("Then /health is DOWN meanwhile, on both listeners", func() {
			for _, url := range []string{p.url("/health"), p.adminURL("/health")} {
				got := mustGet(url)
				So(got.StatusCode, ShouldEqual, http.StatusServiceUnavailable)
				So(got.body, ShouldEqual, `{"status":"DOWN"}`)
				So(got.Close, ShouldBeTrue)
			}
		})
	})
}

func TestStop(t *testing.T) {
	for _, stop := range []struct {
		signal syscall.Signal
		drain  string
	}{
		{syscall.SIGINT, "1h"},
		{syscall.SIGINT, "0s"},
		{syscall.SIGTERM, "0s"},
	} {
		Convey(fmt.Sprintf("Given a service with a drain of %s and an idle client", stop.drain), t, func() {
			p := serving("-db", newPath(t), "-drain", stop.drain)
			client := &http.Client{Transport: new(http.Transport)}
			Reset(client.CloseIdleConnections)
			response, err := client.Get(p.url("/accounts/10000"))
			So(err, ShouldBeNil)
			_, err = io.Copy(io.Discard, response.Body)
			So(err, ShouldBeNil)
			So(response.Body.Close(), ShouldBeNil)

			Convey(fmt.Sprintf("When %v comes, it ends without delay and succeeds", stop.signal), func() {
				asked := time.Now()
				p.signal(stop.signal)
				So(p.exit(), ShouldEqual, 0)
				So(time.Since(asked), ShouldBeLessThan, 3*time.Second)
				So(p.stderr.String(), ShouldBeEmpty)
			})
		})
	}
}

func TestSecondSignal(t *testing.T) {
	for _, second := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		Convey("Given a service that drains", t, func() {
			p := serving("-db", newPath(t), "-drain", "1h")
			p.signal(syscall.SIGTERM)
			So(eventually(func() bool { return mustGet(p.url("/health")).StatusCode == http.StatusServiceUnavailable }), ShouldBeTrue)

			Convey(fmt.Sprintf("When %v comes, it ends at once, and says that the end was not clean", second), func() {
				p.shouldEndAtOnceBy(second)
			})
		})
	}

	Convey("Given a service that waits for a request to finish", t, func() {
		p := serving("-db", newPath(t), "-admin-addr", "127.0.0.1:0")
		p.beginRequest()
		p.signal(syscall.SIGINT)
		So(eventually(p.refuses), ShouldBeTrue)

		Convey("When a second SIGINT comes, it ends at once, and says that the end was not clean", func() {
			p.shouldEndAtOnceBy(syscall.SIGINT)
		})
	})
}

func (p *process) shouldEndAtOnceBy(s syscall.Signal) {
	asked := time.Now()
	p.signal(s)
	So(p.exit(), ShouldEqual, 1)
	So(time.Since(asked), ShouldBeLessThan, 3*time.Second)
	So(p.stderr.String(), shouldBeOneLine, "second signal", s.String())
}

func TestRequestInFlight(t *testing.T) {
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		Convey("Given a service with a running request", t, func() {
			p := serving("-db", newPath(t), "-admin-addr", "127.0.0.1:0")
			conn := p.beginRequest()

			Convey(fmt.Sprintf("When %v comes, it takes no more clients, but finishes the request, and succeeds", signal), func() {
				p.signal(signal)
				So(eventually(p.refuses), ShouldBeTrue)
				So(p.hasEnded(), ShouldBeFalse)
				_, err := io.WriteString(conn, "half")
				So(err, ShouldBeNil)
				response, err := http.ReadResponse(bufio.NewReader(conn), nil)
				So(err, ShouldBeNil)
				defer response.Body.Close()
				body, err := io.ReadAll(response.Body)
				So(err, ShouldBeNil)
				So(response.StatusCode, ShouldEqual, http.StatusOK)
				So(string(body), ShouldEqual, person0)
				So(p.exit(), ShouldEqual, 0)
				So(p.stderr.String(), ShouldBeEmpty)
			})
		})
	}
}

// beginRequest sends a request without the last four bytes of its body, and returns when the
// service has begun to handle it. net/http sends the answer when it has read the rest.
func (p *process) beginRequest() net.Conn {
	conn := p.dial()
	_, err := io.WriteString(conn, "GET /accounts/10000 HTTP/1.1\r\nHost: test\r\nContent-Length: 9\r\n\r\nfirst")
	So(err, ShouldBeNil)
	So(eventually(func() bool {
		return strings.Contains(mustGet(p.adminURL("/metrics")).body, `http_requests_total{method="GET",route="/accounts/{id}",status="2xx"} 1`)
	}), ShouldBeTrue)
	return conn
}

// stoppable is an HTTP server whose requests last until release is closed.
type stoppable struct {
	server    *http.Server
	api       *httpapi.API
	url       string
	release   chan struct{}
	responses chan string
	signals   chan os.Signal
}

// startRequest starts the server, and returns when a request has begun.
func startRequest(t *testing.T) *stoppable {
	store, _, err := boltstore.Open(newPath(t), 1, patience)
	So(err, ShouldBeNil)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	So(err, ShouldBeNil)
	log := slog.New(slog.DiscardHandler)
	entered := make(chan struct{})
	s := &stoppable{
		api:       httpapi.New(store, httpapi.Build{}, httpapi.NewMetrics(httpapi.Build{}), log),
		url:       "http://" + listener.Addr().String(),
		release:   make(chan struct{}),
		responses: make(chan string, 1),
		signals:   make(chan os.Signal, 1),
	}
	s.server = newServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(entered)
		<-s.release
		_, _ = io.WriteString(w, "done")
	}), log)
	go func() { _ = s.server.Serve(listener) }()
	go func() {
		got, err := get(s.url)
		s.responses <- fmt.Sprint(got.body, err)
	}()
	<-entered
	Reset(func() {
		s.server.Close()
		So(store.Close(), ShouldBeNil)
	})
	return s
}

// shutDown begins to shut down, and returns a channel for the outcome.
func (s *stoppable) shutDown(drain time.Duration) <-chan error {
	done := make(chan error, 1)
	go func() { done <- shutDown(s.server, s.api, drain, s.signals) }()
	return done
}

func TestShutDown(t *testing.T) {
	Convey("Given a server with a request that takes long", t, func() {
		s := startRequest(t)

		Convey("When it is shut down, this waits until the request is finished", func() {
			done := s.shutDown(0)
			So(eventually(func() bool { _, err := get(s.url); return err != nil }), ShouldBeTrue)
			select {
			case <-done:
				So("shutDown", ShouldEqual, "waiting")
			default:
			}
			close(s.release)
			So(<-s.responses, ShouldEqual, "done<nil>")
			So(<-done, ShouldBeNil)
		})

		Convey("When a signal comes while it is shut down, this ends at once", func() {
			done := s.shutDown(time.Hour)
			s.signals <- syscall.SIGTERM
			err := <-done
			So(err, ShouldNotBeNil)
			So(err.Error(), ShouldContainSubstring, "second signal")
			close(s.release)
		})
	})
}

func TestShutDownOfAnEndlessRequest(t *testing.T) {
	t.Parallel()
	Convey("Given a server with a request that never ends", t, func() {
		s := startRequest(t)
		Reset(func() { close(s.release) })

		Convey("When it is shut down, this waits ten seconds after the drain, and is no failure", func() {
			const drain = 500 * time.Millisecond
			asked := time.Now()
			done := s.shutDown(drain)
			select {
			case err := <-done:
				So(err, ShouldBeNil)
			case <-time.After(patience):
				So("shutDown", ShouldEqual, "done")
			}
			So(time.Since(asked), ShouldBeBetween, drain+9*time.Second, drain+13*time.Second)
		})
	})
}
