package httpapi

import (
	"encoding/json"
	"errors"
	"net/http"

	"goblog/accountservice/account"
)

var (
	errNoSuchPath       = errors.New("no such path")
	errMethodNotAllowed = errors.New("method not allowed")
)

// problem is the body of every error response, as RFC 9457 has it. Its type is
// left out, which means about:blank: the title is that of the status.
type problem struct {
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
}

// fail is the one place that turns an error into a status. It writes the response
// and returns the status. What is inside the service stays inside: the cause of a
// failure goes to the log only.
func (a *API) fail(w http.ResponseWriter, r *http.Request, err error) int {
	var status int
	var detail string
	switch {
	case errors.Is(err, account.ErrNotFound):
		status, detail = http.StatusNotFound, "There is no account with this id."
	case errors.Is(err, errNoSuchPath):
		status, detail = http.StatusNotFound, "There is nothing at this path."
	case errors.Is(err, errMethodNotAllowed):
		w.Header().Set("Allow", "GET, HEAD")
		status, detail = http.StatusMethodNotAllowed, "This path answers GET and HEAD only."
	default:
		a.metrics.failures.WithLabelValues(a.logFailure("Request failed", err, "method", r.Method, "path", r.URL.Path)).Inc()
		status, detail = http.StatusInternalServerError, "The account could not be read."
	}
	body, err := json.Marshal(problem{http.StatusText(status), status, detail})
	if err != nil {
		panic(err) // Two strings and a number can always be encoded.
	}
	return write(w, status, typeProblem, body)
}
