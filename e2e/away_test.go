package e2e

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	. "github.com/smartystreets/goconvey/convey"
)

func TestEngineThatRestarts(t *testing.T) {
	if !ownEngine {
		t.Skip("only an engine of our own is restarted")
	}
	url := deployed(t, "VERSION=good")
	for step, flags := range map[string]string{"==> Removing": "", "==> Creating": "", "==> Updating": "--rolling"} {
		Convey("When the engine restarts at the step that says "+step+", the deploy waits for it, and its exit code and last line are true", t, func() {
			before := version(t)
			next := map[string]string{"good": "new", "new": "good"}[before]
			r, restarted := during(step, "copyall.sh "+flags, func() result {
				return run(nil, "sh", "-c", "./dockerd.sh stop node1 && ./dockerd.sh start node1")
			}, "VERSION="+next)
			So(restarted.exit, ShouldEqual, 0)
			if r.exit == 0 {
				So(r.stdout, ShouldEndWith, ": accountservice "+next+" serves at "+url+"\n")
			} else {
				So(r.exit, ShouldEqual, 1)
				So(lastLine(r), ShouldEndWith, "; version "+before+" is back: accountservice "+before+" serves at "+url)
				next = before
			}
			So(strings.Contains(r.stderr, "the engine is away, waiting for it"), ShouldBeTrue)
			So(eventually(30*time.Second, func() bool { return get(url) == firstAccount }), ShouldBeTrue)
			mustServe(t, url, next)
		})
	}
}

// loseAt is a proxy between a deploy and the engine. From the first call with these words in
// its body, it cuts off every call. It returns its address for DOCKER_HOST.
func loseAt(t *testing.T, words string) string {
	var lost atomic.Bool
	engine := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.Out.URL.Scheme, r.Out.URL.Host = "http", "engine" },
		Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", "/var/run/docker.sock")
		}},
		FlushInterval: -1,
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/update") {
			body, err := io.ReadAll(r.Body)
			if err != nil || bytes.Contains(body, []byte(words)) {
				lost.Store(true)
			}
			r.Body = io.NopCloser(bytes.NewReader(body))
		}
		if lost.Load() {
			panic(http.ErrAbortHandler)
		}
		engine.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return "tcp://" + server.Listener.Addr().String()
}

func TestEngineThatIsLostAfterTheProof(t *testing.T) {
	url := deployed(t, "VERSION=good")
	Convey("Where it cannot be stored that a version was proven, the deploy has failed, and the next command restores what ran before, as was said", t, func() {
		r := script("copyall.sh", "VERSION=new", "DOCKER_HOST="+loseAt(t, `"deploy.outcome":"done"`))
		So(r.stdout, ShouldContainSubstring, " accountservice answers: http://")
		So(r.stderr, ShouldContainSubstring, "error: accountservice new was proven, but that could not be stored in its history: ")
		So(r.stderr, ShouldContainSubstring, "; unless it was stored all the same, the next deploy or rollback restores the version that ran before\n")
		So(lastLine(r), ShouldContainSubstring, " start the engine again, or point DOCKER_HOST ")
		So(r.exit, ShouldEqual, 1)
		So(version(t), ShouldEqual, "new")
		back := script("rollback.sh")
		So(back.stdout, ShouldEndWith, "==> Restored accountservice: accountservice good serves at "+url+"\n")
		So(back.exit, ShouldEqual, 0)
		mustServe(t, url, "good")
	})
}
