// Command front is a reverse proxy: it passes requests on to the service hello. It loses no
// request while the swarm replaces the tasks of hello.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"slices"
	"syscall"
	"time"

	"goblog/examples/internal/web"
)

const (
	// drain is how long front serves after SIGTERM. The mesh may still send requests meanwhile.
	drain = 2 * time.Second
	// pause is the time before a second try. The swarm needs a moment to forget an ended task.
	pause = 250 * time.Millisecond
)

var version, commit = "dev", "unknown" // The builder sets them with -ldflags -X.

func main() { web.Main("front", run) }

// run serves, or runs the command in args.
func run(ctx context.Context, args []string, getenv func(string) string, stdout io.Writer) error {
	addr := cmp.Or(getenv("FRONT_ADDR"), ":8080")
	if len(args) > 0 {
		return web.Command(args, addr, "/-/health")
	}
	upstream, err := url.Parse(cmp.Or(getenv("UPSTREAM"), "http://hello:8000"))
	if err != nil || upstream.Scheme != "http" || upstream.Host == "" {
		return fmt.Errorf("pass requests on to UPSTREAM: %q is not an address: set one such as http://hello:8000", getenv("UPSTREAM"))
	}
	return web.Serve(ctx, addr, handler(upstream), drain, stdout)
}

// handler answers requests for front itself, below /-/, and passes on all others unchanged.
func handler(upstream *url.URL) http.Handler {
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(upstream)
			r.SetXForwarded()
		},
		Transport: &retry{&http.Transport{
			// Each request gets a new connection, to the current address of hello. A kept
			// connection would never reach new tasks, and would break when its task ends.
			DisableKeepAlives: true,
			// An ended task does not even refuse connections. In 2 s, TCP can repeat a lost packet.
			DialContext:           (&net.Dialer{Timeout: 2 * time.Second}).DialContext,
			ResponseHeaderTimeout: 10 * time.Second,
			DisableCompression:    true, // The client and hello choose the compression.
		}},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			fmt.Fprintf(os.Stderr, "front: pass on %s %s to %s: %v\n", r.Method, r.URL.EscapedPath(), upstream, err)
			http.Error(w, "The service behind this proxy does not answer. Try again in a moment. The log of the proxy says why.", http.StatusBadGateway)
		},
	}
	info := web.Version("front", version, commit)
	// No ServeMux, because it would change the paths of requests for hello.
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/-/health": // Only of front. If it needed hello, the swarm would kill front when hello fails.
			web.Health(w, r)
		case "/-/version":
			info(w, r)
		default:
			proxy.ServeHTTP(w, r)
		}
	})
}

// retry sends a request a second time if a task ended before it answered.
type retry struct{ http.RoundTripper }

// idempotent are the methods for which a second request changes nothing. (RFC 9110, 9.2.2)
var idempotent = []string{http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, http.MethodPut, http.MethodDelete}

func (t *retry) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := t.RoundTripper.RoundTrip(r)
	// A body cannot be sent again, because it was read.
	if err == nil || !gone(err) || r.Body != nil || !slices.Contains(idempotent, r.Method) {
		return response, err
	}
	select {
	case <-r.Context().Done():
		return nil, err
	case <-time.After(pause):
		return t.RoundTripper.RoundTrip(r)
	}
}

// gone reports whether there was no connection, or one that ended without an answer. A task
// that is too slow is not gone.
func gone(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial" || errors.Is(err, io.EOF) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}
