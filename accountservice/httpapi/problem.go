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

// problem is the body of each error response, of RFC 9457. It has no type, which means
// about:blank: the title is the text of the status.
type problem struct {
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
}

// fail writes the response for an error, and returns its status. Clients never learn the
// cause of a failure. It goes only to the log and the metrics.
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

// mustMarshal returns the JSON of a struct of strings and numbers, which never fails.
func mustMarshal(value any) []byte {
	body, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	return body
}
