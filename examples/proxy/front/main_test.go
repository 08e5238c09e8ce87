package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	. "github.com/smartystreets/goconvey/convey"

	"goblog/examples/internal/webtest"
)

// start runs front on a free port, with the URL of an upstream.
func start(upstream string) *webtest.Service {
	return webtest.Start(run, map[string]string{"FRONT_ADDR": "127.0.0.1:0", "UPSTREAM": upstream})
}

func TestFront(t *testing.T) {
	version, commit = "v1.2.3", "abcdef"

	Convey("Given front, and a service that repeats each request in its answer", t, func() {
		upstream := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			w.WriteHeader(http.StatusTeapot)
			fmt.Fprintf(w, "%s %s %s for %s", r.Method, r.URL.RequestURI(), body, strings.Join(r.Header.Values("X-Forwarded-For"), "+"))
		}))
		Reset(upstream.Close)
		var connections atomic.Int32
		upstream.Config.ConnState = func(_ net.Conn, state http.ConnState) {
			if state == http.StateNew {
				connections.Add(1)
			}
		}
		upstream.Start()
		front := start(upstream.URL)

		Convey("Then requests and answers pass through as they are, with the client's address", func() {
			for path, want := range map[string]string{"/": "/", "/a//b/../c?d=e%2Ff": "/a//b/../c?d=e%2Ff"} {
				got := webtest.MustAsk(http.MethodPost, front.URL+path, "text")
				So(got.StatusCode, ShouldEqual, http.StatusTeapot)
				So(got.Body, ShouldEqual, "POST "+want+" text for 127.0.0.1")
			}
		})

		Convey("Then a header X-Forwarded-For of the client does not count", func() {
			got := webtest.MustAsk(http.MethodGet, front.URL+"/", "", "X-Forwarded-For: 192.0.2.1")
			So(got.Body, ShouldEqual, "GET /  for 127.0.0.1")
		})

		Convey("Then each request has a connection of its own, so it can reach another task", func() {
			for range 3 {
				webtest.Get(front.URL + "/")
			}
			So(connections.Load(), ShouldEqual, 3)
		})

		Convey("Then health, version and probe are about front itself", func() {
			So(webtest.Get(front.URL+"/-/health").Body, ShouldEqual, "ok\n")
			So(webtest.Get(front.URL+"/-/version").Body, ShouldEqual, "front v1.2.3, commit abcdef\n")
			env := map[string]string{"FRONT_ADDR": strings.TrimPrefix(front.URL, "http://")}
			So(run(t.Context(), []string{"probe"}, func(name string) string { return env[name] }, nil), ShouldBeNil)
		})
	})

	Convey("Given front, and a service that does not exist", t, func() {
		for _, url := range []string{"http://127.0.0.1:1", "http://nobody.invalid:8000"} {
			front := start(url)

			Convey("Then it says so, and is healthy itself: "+url, func() {
				for _, method := range []string{http.MethodGet, http.MethodPost} {
					got := webtest.MustAsk(method, front.URL+"/", "")
					So(got.StatusCode, ShouldEqual, http.StatusBadGateway)
					So(got.Body, ShouldEqual, "The service behind this proxy does not answer. Try again in a moment. The log of the proxy says why.\n")
				}
				So(webtest.Get(front.URL+"/-/health").StatusCode, ShouldEqual, http.StatusOK)
			})
		}
	})

	Convey("When the upstream is not an HTTP address, front does not start, and says so", t, func() {
		for _, upstream := range []string{"hello:8000", "https://hello", "http://", "http://a b"} {
			env := map[string]string{"FRONT_ADDR": "127.0.0.1:0", "UPSTREAM": upstream}
			stopped, cancel := context.WithCancel(t.Context())
			cancel() // If it starts, it ends at once.
			err := run(stopped, nil, func(name string) string { return env[name] }, io.Discard)
			So(err, ShouldNotBeNil)
			So(err.Error(), ShouldContainSubstring, fmt.Sprintf("UPSTREAM: %q", upstream))
		}
	})
}

func TestTaskThatGoes(t *testing.T) {
	for _, going := range []struct {
		how string
		end func(*net.TCPConn)
	}{
		{"closes", func(conn *net.TCPConn) { conn.Close() }},
		{"resets", func(conn *net.TCPConn) { _ = conn.SetLinger(0); conn.Close() }},
	} {
		Convey("Given front, and a service that "+going.how+" every first of two connections", t, func() {
			var requests atomic.Int32
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			So(err, ShouldBeNil)
			server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if requests.Add(1)%2 == 1 {
					conn, _, _ := w.(http.Hijacker).Hijack()
					going.end(conn.(*net.TCPConn))
				}
			})}
			go func() { _ = server.Serve(listener) }()
			Reset(func() { server.Close() })
			front := start("http://" + listener.Addr().String())

			for _, one := range []struct {
				method, body     string
				status, requests int
			}{
				{http.MethodGet, "", http.StatusOK, 2},
				{http.MethodDelete, "", http.StatusOK, 2},
				{http.MethodPost, "", http.StatusBadGateway, 1},
				{http.MethodPut, "text", http.StatusBadGateway, 1},
			} {
				Convey(fmt.Sprintf("When a %s comes with the body %q, it is tried %d times", one.method, one.body, one.requests), func() {
					So(webtest.MustAsk(one.method, front.URL+"/", one.body).StatusCode, ShouldEqual, one.status)
					So(requests.Load(), ShouldEqual, one.requests)
				})
			}
		})
	}
}

func TestUpstreamReplaced(t *testing.T) {
	Convey("Given front, a service, and clients that ask again and again", t, func() {
		// serve starts the next version of the service, on the same port.
		serve := func(addr string, version int) (*http.Server, string) {
			listener, err := net.Listen("tcp", addr)
			So(err, ShouldBeNil)
			server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, version) })}
			go func() { _ = server.Serve(listener) }()
			return server, listener.Addr().String()
		}
		server, addr := serve("127.0.0.1:0", 0)
		front := start("http://" + addr)

		var clients sync.WaitGroup
		var answers atomic.Int32
		done := make(chan struct{})
		failures := make(chan error, 8)
		for range cap(failures) {
			clients.Go(func() {
				for {
					select {
					case <-done:
						return
					default:
					}
					got, err := webtest.Ask(http.MethodGet, front.URL+"/", "")
					if err == nil && got.StatusCode != http.StatusOK {
						err = errors.New(got.Status)
					}
					if err != nil {
						failures <- err
						return
					}
					answers.Add(1)
				}
			})
		}

		Convey("When it is replaced again and again, no request fails", func() {
			const versions = 5
			for version := range versions {
				time.Sleep(2 * pause) // A second try must come before the next replacement.
				So(server.Shutdown(t.Context()), ShouldBeNil)
				time.Sleep(20 * time.Millisecond) // Meanwhile, nothing listens.
				server, _ = serve(addr, version+1)
			}
			So(webtest.Get(front.URL+"/").Body, ShouldEqual, fmt.Sprint(versions))
			close(done)
			clients.Wait()
			close(failures)
			So(<-failures, ShouldBeNil)
			So(answers.Load(), ShouldBeGreaterThan, versions*cap(failures))
			So(server.Close(), ShouldBeNil)
		})
	})
}
