package view

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	. "github.com/smartystreets/goconvey/convey"

	"github.com/moby/moby/api/types/swarm"
)

// ask asks the page's server, and returns status, header and body.
func ask(t *testing.T, method, url string, change func(*http.Request)) (int, http.Header, string) {
	t.Helper()
	request, err := http.NewRequest(method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(request)
	}
	client := http.Client{Timeout: 10 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, response.Header, string(body)
}

// follow returns the events of a page, as "EVENT DATA", until the test ends or stop is
// called.
func follow(t *testing.T, url string) (told <-chan string, stop func()) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	t.Cleanup(stop)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"events", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	events := make(chan string, 100)
	go func() {
		defer close(events)
		defer response.Body.Close()
		lines := bufio.NewScanner(response.Body)
		lines.Buffer(nil, 10<<20)
		event := ""
		for lines.Scan() {
			if name, is := strings.CutPrefix(lines.Text(), "event: "); is {
				event = name
			} else if data, is := strings.CutPrefix(lines.Text(), "data: "); is {
				events <- event + " " + data
			}
		}
	}()
	return events, stop
}

// next is the next event; "" if none comes in time.
func next(told <-chan string, within time.Duration) string {
	select {
	case one := <-told:
		return one
	case <-time.After(within):
		return ""
	}
}

func TestServer(t *testing.T) {
	Convey("Given the page on an address that only this machine reaches", t, func() {
		url := served(t, &synthetic{now: shop()})
		Convey("it serves its three files, and nothing else", func() {
			for path, kind := range map[string]string{"": "text/html", "page.css": "text/css", "page.js": "text/javascript"} {
				status, header, body := ask(t, "GET", url+path, nil)
				So(status, ShouldEqual, 200)
				So(header.Get("Content-Type"), ShouldEqual, kind+"; charset=utf-8")
				So(body, ShouldNotBeBlank)
				status, _, body = ask(t, "HEAD", url+path, nil)
				So(status, ShouldEqual, 200)
				So(body, ShouldBeBlank)
			}
			for _, path := range []string{"page.go", "synthetic_test.go", "../serve.go", "token.html"} {
				status, _, _ := ask(t, "GET", url+path, nil)
				So(status, ShouldEqual, 404)
			}
		})
		Convey("no other method than GET and HEAD is taken", func() {
			for _, method := range []string{"POST", "PUT", "DELETE", "PATCH", "OPTIONS", "CONNECT", "TRACE"} {
				for _, path := range []string{"", "events"} {
					status, header, _ := ask(t, method, url+path, nil)
					So(status, ShouldEqual, 405)
					So(header.Get("Allow"), ShouldEqual, "GET, HEAD")
				}
			}
		})
		Convey("each answer lets the browser load from here only, and nobody frame or keep it", func() {
			for _, path := range []string{"", "page.js", "nothing"} {
				_, header, _ := ask(t, "GET", url+path, nil)
				So(header.Get("Content-Security-Policy"), ShouldStartWith, "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'")
				So(header.Get("Content-Security-Policy"), ShouldNotContainSubstring, "unsafe")
				So(header.Get("Content-Security-Policy"), ShouldContainSubstring, "frame-ancestors 'none'")
				So(header.Get("X-Content-Type-Options"), ShouldEqual, "nosniff")
				So(header.Get("Cache-Control"), ShouldEqual, "no-store")
			}
		})
		Convey("the files have no script or style within, and name no other host", func() {
			for _, path := range []string{"", "page.css", "page.js"} {
				_, _, body := ask(t, "GET", url+path, nil)
				for _, never := range []string{"<style", " style=", "onclick=\"", "javascript:", "innerHTML", "insertAdjacentHTML", "document.write", "eval(", "https://"} {
					So(body, ShouldNotContainSubstring, never)
				}
			}
		})
		Convey("another Host than this machine is refused: a name that somebody points here", func() {
			for host, want := range map[string]int{
				"127.0.0.1:6790": 200, "localhost:6790": 200, "LOCALHOST": 200, "[::1]:6790": 200, "127.0.0.1:1": 200, // ssh -L may give it another port.
				"evil.example": 421, "evil.example:6790": 421, "127.0.0.1.evil.example": 421, "localhost.evil.example": 421, "192.0.2.7": 421, "0.0.0.0:6790": 421, "127.0.0.1:6790@evil.example": 421,
			} {
				for _, path := range []string{"", "events"} {
					if path == "events" && want == 200 {
						continue
					}
					status, _, _ := ask(t, "GET", url+path, func(r *http.Request) { r.Host = host })
					So(host+" "+http.StatusText(status), ShouldEqual, host+" "+http.StatusText(want))
				}
			}
		})
		Convey("another page's requests are refused", func() {
			for origin, want := range map[string]int{"": 200, strings.TrimSuffix(url, "/"): 200, "http://evil.example": 403, "null": 403, "http://127.0.0.1:1": 403} {
				status, header, _ := ask(t, "GET", url, func(r *http.Request) {
					if origin != "" {
						r.Header.Set("Origin", origin)
					}
				})
				So(origin+" "+http.StatusText(status), ShouldEqual, origin+" "+http.StatusText(want))
				So(header.Get("Access-Control-Allow-Origin"), ShouldBeBlank)
			}
		})
	})
}

func TestToken(t *testing.T) {
	Convey("Given the page on an address that others reach", t, func() {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		So(err, ShouldBeNil)
		ctx, stop := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() {
			ended <- (&Server{Source: &synthetic{now: shop()}, Host: "swarm.example", Token: "abc"}).Serve(ctx, listener)
		}()
		Reset(func() {
			stop()
			So(<-ended, ShouldBeNil)
		})
		url := "http://" + listener.Addr().String() + "/"
		Convey("nothing is shown without the token, which is asked for", func() {
			for _, path := range []string{"", "events", "page.js", "?token=", "?token=abd", "events?token=x"} {
				status, _, body := ask(t, "GET", url+path, nil)
				So(status, ShouldEqual, 401)
				So(body, ShouldContainSubstring, `name="token"`)
				So(body, ShouldNotContainSubstring, "gateway")
			}
			status, _, _ := ask(t, "GET", url, func(r *http.Request) { r.Header.Set("Cookie", "deploy-view=abd") })
			So(status, ShouldEqual, 401)
		})
		Convey("the token in the URL becomes a cookie that scripts do not see, and leaves the URL", func() {
			status, header, _ := ask(t, "GET", url+"?token=abc", nil)
			So(status, ShouldEqual, 303)
			So(header.Get("Location"), ShouldEqual, "/")
			So(header.Get("Set-Cookie"), ShouldEqual, "deploy-view=abc; Path=/; HttpOnly; SameSite=Lax")
			status, _, body := ask(t, "GET", url, func(r *http.Request) { r.Header.Set("Cookie", "deploy-view=abc") })
			So(status, ShouldEqual, 200)
			So(body, ShouldContainSubstring, "<title>Swarm</title>")
		})
		Convey("it answers under its own name and under any address, but under no other name", func() {
			for host, want := range map[string]int{"swarm.example:80": 401, "192.0.2.7": 401, "[2001:db8::1]:80": 401, "evil.example": 421} {
				status, _, _ := ask(t, "GET", url, func(r *http.Request) { r.Host = host })
				So(host+" "+http.StatusText(status), ShouldEqual, host+" "+http.StatusText(want))
			}
		})
	})
}

func TestEvents(t *testing.T) {
	const second = time.Second
	Convey("Given somebody who looks", t, func() {
		source := &synthetic{now: shop()}
		url := served(t, source)
		told, stop := follow(t, url)
		So(next(told, 5*second), ShouldStartWith, `page {"engine":"unix:///var/run/docker.sock"`)
		Convey("a service that changes is told within a second, by an event", func() {
			source.change(true, func(now *Swarm) { now.Services[0].Spec.Labels = map[string]string{"deploy.version": "v99"} })
			So(next(told, second), ShouldContainSubstring, `"version":"v99"`)
		})
		Convey("a task that changes is told within a second, without one", func() {
			source.change(false, func(now *Swarm) {
				now.Tasks[0].Status.State, now.Tasks[0].Status.Err = swarm.TaskStateFailed, "exit (3)"
			})
			So(next(told, second), ShouldContainSubstring, `"error":"exit (3)"`)
		})
		Convey("a change of which no event tells is found all the same", func() {
			source.change(false, func(now *Swarm) { now.Nodes[1].Spec.Availability = "drain" })
			So(next(told, 2*readInterval), ShouldContainSubstring, `"availability":"drain"`)
		})
		Convey("nothing is told while nothing changes", func() {
			before := source.asked()
			So(next(told, 1500*time.Millisecond), ShouldBeBlank)
			So(source.asked(), ShouldBeGreaterThan, before) // The swarm was read again.
		})
		Convey("an engine that is lost is told, with its words, and so is its return", func() {
			source.lose("dial unix /var/run/docker.sock: connection refused")
			So(next(told, 2*second), ShouldEqual, `lost "dial unix /var/run/docker.sock: connection refused"`)
			source.lose("")
			So(next(told, 2*second), ShouldStartWith, "page ")
		})
		Convey("nine more get the present state at once, and cost the engine nothing", func() {
			alone := source.asked()
			time.Sleep(3 * second) // The measurement needs this time.
			alone = source.asked() - alone
			var others []<-chan string
			for range 9 {
				other, _ := follow(t, url)
				So(next(other, second), ShouldStartWith, "page ")
				others = append(others, other)
			}
			together := source.asked()
			time.Sleep(3 * second)
			together = source.asked() - together
			So(together, ShouldBeLessThanOrEqualTo, alone+2)
			source.change(true, func(now *Swarm) { now.Services[0].Spec.Labels = map[string]string{"deploy.version": "v99"} })
			for _, other := range append(others, told) {
				So(next(other, second), ShouldContainSubstring, `"version":"v99"`)
			}
		})
		Convey("once the last has gone, the engine is left alone; who comes then gets what is now", func() {
			stop()
			quiet := func() bool {
				before := source.asked()
				time.Sleep(3 * pollInterval)
				return source.asked() == before
			}
			So(slices.ContainsFunc(make([]int, 10), func(int) bool { return quiet() }), ShouldBeTrue)
			source.change(false, func(now *Swarm) { now.Services[0].Spec.Labels = map[string]string{"deploy.version": "v99"} })
			again, _ := follow(t, url)
			So(next(again, 2*second), ShouldContainSubstring, `"version":"v99"`)
		})
	})
}
