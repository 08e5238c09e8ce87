// Command front is a reverse proxy: it passes requests on to the service hello. It goes on
// without a lost request while the swarm replaces the tasks of hello.
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
	// drain is how long front goes on after SIGTERM: until then, the mesh may still send requests.
	drain = 2 * time.Second
	// pause is before the second try. The swarm takes a moment to forget a task that ended.
	pause = 250 * time.Millisecond
)

var version, commit = "dev", "unknown" // The builder sets them with -ldflags -X.

func main() { web.Main("front", run) }

// run does what args ask for: it serves, or probes.
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

// handler answers what is asked of front itself, below /-/, and passes on the rest as it is.
func handler(upstream *url.URL) http.Handler {
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(upstream)
			r.SetXForwarded()
		},
		Transport: &retry{&http.Transport{
			// A connection for each request, and so a look at the name for each. A connection
			// that is kept would miss new tasks, and break when its task ends.
			DisableKeepAlives: true,
			// A task that is gone does not even refuse. The time is enough to repeat a lost packet.
			DialContext:           (&net.Dialer{Timeout: 2 * time.Second}).DialContext,
			ResponseHeaderTimeout: 10 * time.Second,
			DisableCompression:    true, // The client and hello agree on one.
		}},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			fmt.Fprintf(os.Stderr, "front: pass on %s %s to %s: %v\n", r.Method, r.URL.EscapedPath(), upstream, err)
			http.Error(w, "The service behind this proxy does not answer. Try again in a moment; the log of the proxy says why.", http.StatusBadGateway)
		},
	}
	info := web.Version("front", version, commit)
	// No ServeMux: that would clean the paths that are for hello.
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/-/health": // Its own. Were hello's part of it, the swarm would kill front for it.
			web.Health(w, r)
		case "/-/version":
			info(w, r)
		default:
			proxy.ServeHTTP(w, r)
		}
	})
}

// retry tries once more where a task went away before it answered.
type retry struct{ http.RoundTripper }

// idempotent are the methods whose second request changes nothing more. (RFC 9110, 9.2.2)
var idempotent = []string{http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, http.MethodPut, http.MethodDelete}

func (t *retry) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := t.RoundTripper.RoundTrip(r)
	// A body has been read, and is not there a second time.
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

// gone tells whether there was no connection, or one that ended without an answer. A task
// that takes too long is not gone.
func gone(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial" || errors.Is(err, io.EOF) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}
