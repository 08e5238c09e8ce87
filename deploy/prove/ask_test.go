package prove

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	. "github.com/smartystreets/goconvey/convey"

	"goblog/deploy/stack"
)

func TestAsk(t *testing.T) {
	for what, one := range map[string]struct {
		status int
		body   string
		verify stack.Verify
		right  bool
		said   string
	}{
		"the wanted status and body":         {204, "", stack.Verify{Status: 204}, true, "204 No Content: "},
		"status 200 where none is named":     {200, "fine", stack.Verify{}, true, "200 OK: fine"},
		"any body where none is named":       {200, "whatever", stack.Verify{Status: 200}, true, "200 OK: whatever"},
		"the wanted body":                    {200, `{"id":"1"}`, stack.Verify{Status: 200, Body: `{"id":"1"}`}, true, `200 OK: {"id":"1"}`},
		"a wanted error":                     {404, "none", stack.Verify{Status: 404}, true, "404 Not Found: none"},
		"another status":                     {500, "broken", stack.Verify{Status: 200}, false, "500 Internal Server Error: broken"},
		"another status of the same kind":    {201, "fine", stack.Verify{Status: 200}, false, "201 Created: fine"},
		"another body":                       {200, "other", stack.Verify{Status: 200, Body: "fine"}, false, "200 OK: other"},
		"more than the wanted body":          {200, "fine\n", stack.Verify{Status: 200, Body: "fine"}, false, "200 OK: fine"},
		"the wanted body, of another status": {503, "fine", stack.Verify{Status: 200, Body: "fine"}, false, "503 Service Unavailable: fine"},
		"several lines":                      {500, "a\n\tb  c\n", stack.Verify{Status: 200}, false, "500 Internal Server Error: a b c"},
		"a long text":                        {500, strings.Repeat("é", 300), stack.Verify{Status: 200}, false, "500 Internal Server Error: " + strings.Repeat("é", 200) + " ..."},
	} {
		Convey(fmt.Sprintf("An answer with %s is %v", what, map[bool]string{true: "right", false: "wrong"}[one.right]), t, func() {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(one.status)
				fmt.Fprint(w, one.body)
			}))
			defer server.Close()
			So(Ask(context.Background(), server.URL, &one.verify), ShouldResemble, Answer{Right: one.right, Said: one.said})
		})
	}

	Convey("A redirect is an answer, and is not followed", t, func() {
		var followed atomic.Bool
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			followed.Store(followed.Load() || r.URL.Path == "/elsewhere")
			http.Redirect(w, r, "/elsewhere", http.StatusFound)
		}))
		defer server.Close()
		So(Ask(context.Background(), server.URL, &stack.Verify{Status: 200}).Right, ShouldBeFalse)
		So(Ask(context.Background(), server.URL, &stack.Verify{Status: 302}).Right, ShouldBeTrue)
		So(followed.Load(), ShouldBeFalse)
	})
	Convey("Where nothing listens, the address is silent", t, func() {
		answer := Ask(context.Background(), "http://"+nobody(t)+"/", &stack.Verify{})
		So(answer.Silent, ShouldBeTrue)
		So(answer.Right, ShouldBeFalse)
		So(answer.Said, ShouldContainSubstring, "refused")
	})
	Convey("Given little patience and a server that takes its time", t, func() {
		defer func(timeout time.Duration) { asking.Timeout = timeout }(asking.Timeout)
		asking.Timeout = 100 * time.Millisecond
		enough := make(chan struct{})
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/half" {
				w.Header().Set("Content-Length", "100")
				fmt.Fprint(w, "half")
				w.(http.Flusher).Flush()
			}
			<-enough
		}))
		defer server.Close()
		defer close(enough)
		Convey("one that says nothing in time is silent", func() {
			answer := Ask(context.Background(), server.URL, &stack.Verify{})
			So(answer.Silent, ShouldBeTrue)
			So(answer.Right, ShouldBeFalse)
		})
		Convey("one that stops in the middle is wrong, but not silent", func() {
			answer := Ask(context.Background(), server.URL+"/half", &stack.Verify{})
			So(answer.Silent, ShouldBeFalse)
			So(answer.Right, ShouldBeFalse)
			So(answer.Said, ShouldStartWith, "200 OK, and then ")
		})
		Convey("an interruption ends the question", func() {
			asking.Timeout = time.Hour
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			So(Ask(ctx, server.URL, &stack.Verify{}).Right, ShouldBeFalse)
		})
	})
	Convey("What is no address is not right", t, func() {
		So(Ask(context.Background(), "http://a b/", &stack.Verify{}).Right, ShouldBeFalse)
	})
	Convey("No question is kept alive for the next: each has to be answered anew", t, func() {
		var mutex sync.Mutex
		from := map[string]bool{}
		server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			mutex.Lock()
			defer mutex.Unlock()
			from[r.RemoteAddr] = true
		}))
		defer server.Close()
		for range 3 {
			So(Ask(context.Background(), server.URL, &stack.Verify{}).Right, ShouldBeTrue)
		}
		So(from, ShouldHaveLength, 3)
	})
}

// nobody is an address without a listener.
func nobody(t *testing.T) string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// A door is an address at which a service can come and go.
type door struct {
	address string
	status  atomic.Int64
	served  chan struct{} // has one for each right answer
	refused chan struct{} // and one for each wrong one
	server  *http.Server
}

func (d *door) open(t *testing.T) {
	listener, err := net.Listen("tcp", d.address)
	if err != nil {
		t.Fatal(err)
	}
	d.address = listener.Addr().String()
	d.server = &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		status := int(d.status.Load())
		w.WriteHeader(status)
		if status == http.StatusOK {
			d.served <- struct{}{}
		} else {
			d.refused <- struct{}{}
		}
	})}
	go d.server.Serve(listener)
}

// answers waits for some right answers.
func (d *door) answers(t *testing.T, count int) { d.await(t, d.served, count) }

// refusals waits for some wrong ones.
func (d *door) refusals(t *testing.T, count int) { d.await(t, d.refused, count) }

func (d *door) await(t *testing.T, said chan struct{}, count int) {
	for range count {
		select {
		case <-said:
		case <-time.After(10 * time.Second):
			t.Fatal("nobody asks")
		}
	}
}

func newDoor(t *testing.T) *door {
	d := &door{address: "127.0.0.1:0", served: make(chan struct{}, 1000), refused: make(chan struct{}, 1000)}
	d.status.Store(http.StatusOK)
	d.open(t)
	return d
}

func TestSilence(t *testing.T) {
	Convey("Given a service that is listened to", t, func() {
		d := newDoor(t)
		defer func() { d.server.Close() }()
		listening := Listen(context.Background(), "http://"+d.address+"/", &stack.Verify{Status: 200})
		d.answers(t, 2)

		Convey("one that answers all the time was never silent", func() {
			d.answers(t, 3)
			So(listening.Longest(), ShouldEqual, 0)
			So(listening.URL, ShouldEqual, "http://"+d.address+"/")
		})
		Convey("one that goes away and comes back was silent in between, and that time is measured", func() {
			d.server.Close()
			gone := time.Now()
			time.Sleep(300 * time.Millisecond) // The length of this is what is measured.
			for len(d.served) > 0 {
				<-d.served
			}
			d.open(t)
			d.answers(t, 2)
			longest := listening.Longest()
			So(longest, ShouldBeGreaterThan, 200*time.Millisecond)
			So(longest, ShouldBeLessThanOrEqualTo, time.Since(gone)+300*time.Millisecond)
			Convey("and asking again gives the same", func() { So(listening.Longest(), ShouldEqual, longest) })
		})
		Convey("one that answers wrongly is as good as silent", func() {
			d.status.Store(http.StatusServiceUnavailable)
			d.refusals(t, 4) // There is a tenth of a second between two.
			d.status.Store(http.StatusOK)
			for len(d.served) > 0 {
				<-d.served
			}
			d.answers(t, 2)
			So(listening.Longest(), ShouldBeGreaterThan, 200*time.Millisecond)
		})
		Convey("one that does not come back was silent to the end", func() {
			d.server.Close()
			time.Sleep(500 * time.Millisecond) // The length of this is what is measured.
			So(listening.Longest(), ShouldBeGreaterThan, 200*time.Millisecond)
		})
	})
	Convey("What is listened to for no time was not silent", t, func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		So(Listen(ctx, "http://"+nobody(t)+"/", &stack.Verify{}).Longest(), ShouldEqual, 0)
	})
}
