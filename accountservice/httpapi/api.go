// Package httpapi serves accounts over HTTP.
package httpapi

import (
	_ "embed"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/mux"
)

// Accounts is where the API reads from.
type Accounts interface {
	// Account returns the JSON of one account, or account.ErrNotFound.
	Account(id string) ([]byte, error)
	// Ping reports whether accounts can be read.
	Ping() error
}

// API answers requests for accounts, for its own health, and for what it is.
type API struct {
	AccessLog bool // Whether each request is logged. It is to be set before the handlers are asked for.

	accounts Accounts
	version  []byte // as JSON
	metrics  *Metrics
	log      *slog.Logger
	draining atomic.Bool

	mu     sync.Mutex
	logged map[string]bool // The causes of failures that are in the log.
}

// maxCauses is how many causes are told apart: a damage may show itself in ever other words.
const maxCauses = 100

// New returns an API of this build that reads from accounts, counts in metrics, and logs to log.
func New(accounts Accounts, build Build, metrics *Metrics, log *slog.Logger) *API {
	return &API{accounts: accounts, version: mustMarshal(build), metrics: metrics, log: log, logged: map[string]bool{}}
}

// logFailure logs the first failure of each cause: what fails once fails for many, and
// often. It returns the cause as the metrics name it, which count them all.
func (a *API) logFailure(message string, err error, about ...any) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	cause := strings.ToValidUTF8(err.Error(), "?") // Metrics take nothing else.
	if !a.logged[cause] {
		if len(a.logged) == maxCauses {
			return "one of many others"
		}
		a.logged[cause] = true
		a.log.Error(message, append(about, "error", err)...)
	}
	return cause
}

// Drain makes /health answer 503 from now on, and every response the last of its
// connection, so that clients and load balancers go elsewhere while requests are
// still being answered.
func (a *API) Drain() {
	a.draining.Store(true)
}

// An endpoint writes one whole response and returns its status.
type endpoint func(http.ResponseWriter, *http.Request) int

// A route is an endpoint and the template of its paths.
type route struct {
	template string
	answer   endpoint
}

func (a *API) routes() []route {
	return []route{
		{"/accounts/{id}", a.account},
		{"/accounts/{id}/", a.withoutSlash},
		{"/health", a.health},
		{"/version", constant(typeJSON, a.version)},
		{"/openapi.yaml", constant(typeYAML, openAPI)},
		{"*", a.noSuchPath}, // For OPTIONS *, which asks for the service as a whole.
	}
}

// Handler returns the public API.
func (a *API) Handler() http.Handler {
	router := mux.NewRouter()
	for _, route := range a.routes() {
		router.MatcherFunc(matcher(route.template)).Handler(a.handle(route.template, a.readOnly(route.answer)))
	}
	router.NotFoundHandler = a.handle("unmatched", a.noSuchPath)
	// The router finds the handler, and that is all it is asked for. Its ServeHTTP would
	// also clean the path, and so answer //accounts/10000 with a redirect that is neither
	// documented nor counted; and copy the request twice, for what nobody asks it.
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var match mux.RouteMatch
		router.Match(r, &match) // There always is one: NotFoundHandler.
		match.Handler.ServeHTTP(w, r)
	})
}

// matcher matches the paths of a template, in which {id} stands for anything but a
// slash. The router would match it by a regular expression, twice, and put the id into
// a map: as much work as all the rest that is done here.
func matcher(template string) mux.MatcherFunc {
	before, after, hasID := strings.Cut(template, "{id}")
	return func(r *http.Request, _ *mux.RouteMatch) bool {
		rest, found := strings.CutPrefix(r.URL.Path, before)
		if !found || !hasID {
			return found && rest == ""
		}
		id, found := strings.CutSuffix(rest, after)
		return found && id != "" && !strings.Contains(id, "/")
	}
}

// handle makes an http.Handler of an endpoint, counted under its route's template.
func (a *API) handle(template string, answer endpoint) http.Handler {
	observe := a.metrics.route(template)
	if a.AccessLog {
		answer = a.withLog(template, answer)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		w.Header()["X-Content-Type-Options"] = nosniff
		if a.draining.Load() {
			w.Header().Set("Connection", "close")
		}
		status := answer(w, r)
		observe(r.Method, status, time.Since(start))
	})
}

// readOnly lets GET and HEAD through; net/http leaves out the body of a HEAD.
func (a *API) readOnly(answer endpoint) endpoint {
	return func(w http.ResponseWriter, r *http.Request) int {
		if r.Method == http.MethodGet || r.Method == http.MethodHead {
			return answer(w, r)
		}
		w.Header().Set("Allow", "GET, HEAD, OPTIONS")
		if r.Method == http.MethodOptions {
			w.WriteHeader(http.StatusNoContent)
			return http.StatusNoContent
		}
		return a.fail(w, r, errMethodNotAllowed)
	}
}

// countedWriter counts the bytes of a response's body.
type countedWriter struct {
	http.ResponseWriter
	bytes int
}

func (w *countedWriter) Write(p []byte) (int, error) {
	n, err := w.ResponseWriter.Write(p)
	w.bytes += n
	return n, err
}

// withLog logs each answer of an endpoint, with its route, as a path tells whose account it is.
func (a *API) withLog(template string, answer endpoint) endpoint {
	return func(w http.ResponseWriter, r *http.Request) int {
		start := time.Now()
		counted := &countedWriter{ResponseWriter: w}
		status := answer(counted, r)
		if r.Method == http.MethodHead {
			counted.bytes = 0 // net/http took them, and sends none.
		}
		a.log.Info("Answered", "method", r.Method, "route", template, "status", status,
			"bytes", counted.bytes, "ms", float64(time.Since(start).Microseconds())/1000)
		return status
	}
}

func (a *API) account(w http.ResponseWriter, r *http.Request) int {
	id := strings.TrimPrefix(r.URL.Path, "/accounts/") // The matcher saw to the rest.
	body, err := a.accounts.Account(id)
	if err != nil {
		return a.fail(w, r, err)
	}
	return write(w, http.StatusOK, typeJSON, body)
}

// withoutSlash redirects to the same path without the slash at its end.
func (a *API) withoutSlash(w http.ResponseWriter, r *http.Request) int {
	location, slash := strings.CutSuffix(r.URL.EscapedPath(), "/")
	if !slash { // It is an encoded one, %2F, and so part of the id.
		return a.fail(w, r, errNoSuchPath)
	}
	if r.URL.RawQuery != "" {
		location += "?" + r.URL.RawQuery
	}
	w.Header().Set("Location", location)
	w.WriteHeader(http.StatusMovedPermanently)
	return http.StatusMovedPermanently
}

func (a *API) noSuchPath(w http.ResponseWriter, r *http.Request) int {
	return a.fail(w, r, errNoSuchPath)
}

// constant always gives the same answer.
func constant(contentType []string, body []byte) endpoint {
	return func(w http.ResponseWriter, _ *http.Request) int { return write(w, http.StatusOK, contentType, body) }
}

func (a *API) health(w http.ResponseWriter, r *http.Request) int {
	w.Header()["Cache-Control"] = noStore
	if a.draining.Load() {
		return write(w, http.StatusServiceUnavailable, typeJSON, []byte(`{"status":"DOWN"}`))
	}
	if err := a.accounts.Ping(); err != nil {
		a.logFailure("The database cannot be read", err)
		return write(w, http.StatusServiceUnavailable, typeJSON, []byte(`{"status":"DOWN"}`))
	}
	return write(w, http.StatusOK, typeJSON, []byte(`{"status":"UP"}`))
}

// Values of headers, shared by all responses: nobody changes them.
var (
	typeJSON    = []string{"application/json"}
	typeProblem = []string{"application/problem+json"}
	typeYAML    = []string{"application/yaml"} // RFC 9512
	nosniff     = []string{"nosniff"}
	noStore     = []string{"no-store"}
)

// openAPI describes the API.
//
//go:embed openapi.yaml
var openAPI []byte

// write sends a whole response and returns its status.
func write(w http.ResponseWriter, status int, contentType []string, body []byte) int {
	w.Header()["Content-Type"] = contentType // Set would make such a slice for each response.
	// Up to 2 KiB net/http adds the length, for less than it takes here.
	if len(body) > 2<<10 {
		w.Header()["Content-Length"] = []string{strconv.Itoa(len(body))}
	}
	w.WriteHeader(status)
	// A failed write means that the client went away: nobody is left to be told.
	_, _ = w.Write(body)
	return status
}
