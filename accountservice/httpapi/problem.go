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
		status, detail = http.StatusMethodNotAllowed, "This path answers GET, HEAD and OPTIONS only."
	default:
		a.metrics.failures.WithLabelValues(a.logFailure("Request failed", err, "method", r.Method, "path", r.URL.Path)).Inc()
		status, detail = http.StatusInternalServerError, "The account could not be read."
	}
	w.Header()["Cache-Control"] = noStore
	return write(w, status, typeProblem, mustMarshal(problem{http.StatusText(status), status, detail}))
}

// mustMarshal encodes what is made of strings and numbers, which can always be encoded.
func mustMarshal(value any) []byte {
	body, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	return body
}
