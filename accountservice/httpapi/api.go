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

// Accounts is the storage that the API reads.
type Accounts interface {
	// Account returns the JSON of one account. It fails with account.ErrNotFound if there is
	// none with this id.
	Account(id string) ([]byte, error)
	// Ping fails if accounts cannot be read.
	Ping() error
}

// API answers requests for accounts, for the health and version of the service, and for its
// description.
type API struct {
	AccessLog bool // Whether to log each request. Set it before the handlers are made.

	accounts Accounts
	version  []byte // as JSON
	metrics  *Metrics
	log      *slog.Logger
	draining atomic.Bool

	mu     sync.Mutex
	logged map[string]bool // The causes that the log has already.
}

// maxCauses is the number of causes that are told apart. A damaged file can have many more.
const maxCauses = 100

// New returns an API that reads from accounts, counts in metrics and logs to log.
func New(accounts Accounts, build Build, metrics *Metrics, log *slog.Logger) *API {
	return &API{accounts: accounts, version: mustMarshal(build), metrics: metrics, log: log, logged: map[string]bool{}}
}

// logFailure logs the first failure of each cause, as one cause can make many requests fail.
// It returns the name of the cause for the metrics, which count each failure.
func (a *API) logFailure(message string, err error, about ...any) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	cause := strings.ToValidUTF8(err.Error(), "?") // Metrics take only valid UTF-8.
	if !a.logged[cause] {
		if len(a.logged) == maxCauses {
			return "one of many others"
		}
		a.logged[cause] = true
		a.log.Error(message, append(about, "error", err)...)
	}
	return cause
}

// Drain makes /health answer 503 from now on, and each response end its connection. So
// clients and load balancers go elsewhere, while the API still answers.
func (a *API) Drain() { a.draining.Store(true) }

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
	// The router only finds the handler. Its ServeHTTP would also clean the path, and so
	// answer //accounts/10000 with a redirect that is neither documented nor counted. And it
	// would copy the request twice, for features that nobody uses here.
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var match mux.RouteMatch
		router.Match(r, &match) // It always finds one, at least NotFoundHandler.
		match.Handler.ServeHTTP(w, r)
	})
}

// matcher matches the paths of a template. {id} stands for any text without a slash. The
// router itself would use a regular expression, twice, and put the id into a map. This is as
// much work as the rest of a request.
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

// handle returns an http.Handler for an endpoint. It counts requests by the template.
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

// readOnly lets only GET and HEAD reach an endpoint, and answers all other methods itself.
// net/http omits the body for HEAD.
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

// withLog logs each answer of an endpoint. The log has the route instead of the path, which
// would tell whose account it is.
func (a *API) withLog(template string, answer endpoint) endpoint {
	return func(w http.ResponseWriter, r *http.Request) int {
		start := time.Now()
		counted := &countedWriter{ResponseWriter: w}
		status := answer(counted, r)
		if r.Method == http.MethodHead {
			counted.bytes = 0 // net/http does not send them.
		}
		a.log.Info("Answered", "method", r.Method, "route", template, "status", status,
			"bytes", counted.bytes, "ms", float64(time.Since(start).Microseconds())/1000)
		return status
	}
}

func (a *API) account(w http.ResponseWriter, r *http.Request) int {
	id := strings.TrimPrefix(r.URL.Path, "/accounts/") // The matcher has checked the rest.
	body, err := a.accounts.Account(id)
	if err != nil {
		return a.fail(w, r, err)
	}
	return write(w, http.StatusOK, typeJSON, body)
}

// withoutSlash redirects to the same path without the slash at its end.
func (a *API) withoutSlash(w http.ResponseWriter, r *http.Request) int {
	location, slash := strings.CutSuffix(r.URL.EscapedPath(), "/")
	if !slash { // The slash is encoded, as %2F, so it is part of the id.
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

// constant returns an endpoint that always gives the same answer.
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

// Values of headers. All responses share them, so nobody may change them.
var (
	typeJSON    = []string{"application/json"}
	typeProblem = []string{"application/problem+json"}
	typeYAML    = []string{"application/yaml"} // RFC 9512
	nosniff     = []string{"nosniff"}
	noStore     = []string{"no-store"}
)

//go:embed openapi.yaml
var openAPI []byte

// write sends a whole response and returns its status.
func write(w http.ResponseWriter, status int, contentType []string, body []byte) int {
	w.Header()["Content-Type"] = contentType // Set would allocate a slice for each response.
	// Up to 2 KiB, net/http adds the length itself, which costs less than here.
	if len(body) > 2<<10 {
		w.Header()["Content-Length"] = []string{strconv.Itoa(len(body))}
	}
	w.WriteHeader(status)
	// If this fails, the client is gone, and nobody needs to know.
	_, _ = w.Write(body)
	return status
}
