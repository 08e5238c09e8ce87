package httpapi_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"

	. "github.com/smartystreets/goconvey/convey"

	"goblog/accountservice/httpapi"
)

const (
	person0 = `{"id":"10000","name":"Person_0"}`

	noSuchAccount = "There is no account with this id."
	nothingHere   = "There is nothing at this path."
	onlyReading   = "This path answers GET, HEAD and OPTIONS only."
	unreadable    = "The account could not be read."
)

// longAccounts stands for a database with long accounts of another program.
type longAccounts struct{}

func (longAccounts) Account(string) ([]byte, error) { return bytes.Repeat([]byte("x"), 10_000), nil }
func (longAccounts) Ping() error                    { return nil }

func TestLongAccount(t *testing.T) {
	Convey("The answer with a long account also has its length", t, func() {
		server := httptest.NewServer(httpapi.New(longAccounts{}, build, httpapi.NewMetrics(build), slog.New(slog.DiscardHandler)).Handler())
		Reset(server.Close)
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			So(send(method, server.URL+"/accounts/10000").Header.Get("Content-Length"), ShouldEqual, "10000")
		}
	})
}

func TestAccount(t *testing.T) {
	Convey("Given a service of 100 accounts", t, func() {
		s := start(t)

		Convey("When an account is requested, the answer is one JSON object, without a line feed", func() {
			for id, want := range map[string]string{
				"10000":         person0,
				"10099":         `{"id":"10099","name":"Person_99"}`,
				"10000?x=1&y=/": person0,
				"%310000":       person0,
			} {
				got := get(s.public.URL + "/accounts/" + id)
				So(got.StatusCode, ShouldEqual, http.StatusOK)
				So(got.body, ShouldEqual, want)
				So(got.Header.Get("Content-Type"), ShouldEqual, "application/json")
				So(got.Header.Get("Content-Length"), ShouldEqual, strconv.Itoa(len(want)))
				So(got.Close, ShouldBeFalse)
			}
		})

		Convey("When the request is HEAD, the headers are the same, and there is no body", func() {
			got := send(http.MethodHead, s.public.URL+"/accounts/10000")
			So(got.StatusCode, ShouldEqual, http.StatusOK)
			So(got.body, ShouldBeEmpty)
			So(got.Header.Get("Content-Type"), ShouldEqual, "application/json")
			So(got.Header.Get("Content-Length"), ShouldEqual, strconv.Itoa(len(person0)))
		})

		Convey("When the path has a slash at its end, the answer is a permanent redirect to the path without it, and keeps the query", func() {
			for path, want := range map[string]string{
				"/accounts/10000/":           "/accounts/10000",
				"/accounts/10000/?x=1&y=%2F": "/accounts/10000?x=1&y=%2F",
				"/accounts/nobody/":          "/accounts/nobody",
				"/accounts/a%20b/":           "/accounts/a%20b",
			} {
				for _, method := range []string{http.MethodGet, http.MethodHead} {
					got := send(method, s.public.URL+path)
					So(got.StatusCode, ShouldEqual, http.StatusMovedPermanently)
					So(got.Header.Get("Location"), ShouldEqual, want)
					So(got.body, ShouldBeEmpty)
				}
			}
		})

		Convey("When a client follows that redirect, it gets the account", func() {
			got, err := http.Get(s.public.URL + "/accounts/10000/")
			So(err, ShouldBeNil)
			defer got.Body.Close()
			So(got.StatusCode, ShouldEqual, http.StatusOK)
			So(got.Request.URL.Path, ShouldEqual, "/accounts/10000")
		})
	})
}

func TestErrors(t *testing.T) {
	Convey("Given a service of 100 accounts", t, func() {
		s := start(t)

		for _, path := range []string{"/accounts/10100", "/accounts/nobody", "/accounts/1000", "/accounts/10000x", "/accounts/%00", "/accounts/seeded"} {
			Convey("When no account has the id in "+path+", the account is not found", func() {
				So(get(s.public.URL+path), shouldBeProblem, http.StatusNotFound, noSuchAccount)
			})
		}

		for _, path := range []string{
			"/", "/accounts", "/accounts/", "/accounts//", "//accounts/10000", "/accounts//10000", "/accounts/a/b",
			"/accounts/a%2Fb", "/accounts/10000%2F", "/accounts/10000%2F?x=1", "/accounts/../health", "/Accounts/10000", "/health/",
			"/metrics", "/debug/pprof/", "/debug/pprof/heap", "/favicon.ico",
		} {
			Convey("When the path is "+path+", the path is not found", func() {
				So(get(s.public.URL+path), shouldBeProblem, http.StatusNotFound, nothingHere)
			})
		}

		for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, "BREW"} {
			for _, path := range []string{"/accounts/10000", "/accounts/nobody", "/accounts/10000/", "/health", "/version", "/openapi.yaml"} {
				Convey(fmt.Sprintf("When the request is %s %s, the method is not allowed, and the answer lists the allowed ones", method, path), func() {
					got := send(method, s.public.URL+path)
					So(got, shouldBeProblem, http.StatusMethodNotAllowed, onlyReading)
					So(got.Header.Get("Allow"), ShouldEqual, "GET, HEAD, OPTIONS")
				})
			}
		}

		Convey("When a HEAD request is for a missing account, the headers are those of the problem", func() {
			url := s.public.URL + "/accounts/nobody"
			got, full := send(http.MethodHead, url), get(url)
			So(got.StatusCode, ShouldEqual, http.StatusNotFound)
			So(got.body, ShouldBeEmpty)
			So(got.Header.Get("Content-Type"), ShouldEqual, full.Header.Get("Content-Type"))
			So(got.Header.Get("Content-Length"), ShouldEqual, strconv.Itoa(len(full.body)))
		})

		Convey("When the storage fails, the client does not learn the cause, but the log has it", func() {
			So(s.store.Close(), ShouldBeNil)
			So(get(s.public.URL+"/accounts/10000"), shouldBeProblem, http.StatusInternalServerError, unreadable)
			So(s.log.lines(), ShouldHaveLength, 1)
			So(s.log.lines()[0], ShouldContainSubstring, "level=ERROR")
			So(s.log.lines()[0], ShouldContainSubstring, "path=/accounts/10000")
			So(s.log.lines()[0], ShouldContainSubstring, "not open")
		})

		Convey("When only clients make mistakes, the log stays empty", func() {
			for _, path := range []string{"/accounts/10000", "/accounts/nobody", "/nothing", "/health"} {
				get(s.public.URL + path)
				send(http.MethodPost, s.public.URL+path)
			}
			So(s.log.lines(), ShouldResemble, []string{""})
		})
	})
}

// shouldBeProblem succeeds for an answer with this status, and a body of RFC 9457 with exactly
// this detail.
func shouldBeProblem(actual any, expected ...any) string {
	got, status, detail := actual.(answer), expected[0].(int), expected[1].(string)
	want := map[string]any{"title": http.StatusText(status), "status": float64(status), "detail": detail}
	var body map[string]any
	if err := json.Unmarshal([]byte(got.body), &body); err != nil {
		return fmt.Sprintf("Expected a problem, got %s with body %q: %v", got.Status, got.body, err)
	}
	for _, failure := range []string{
		ShouldEqual(got.StatusCode, status),
		ShouldEqual(got.Header.Get("Content-Type"), "application/problem+json"),
		ShouldEqual(got.Header.Get("Content-Length"), strconv.Itoa(len(got.body))),
		ShouldResemble(body, want),
	} {
		if failure != "" {
			return failure
		}
	}
	return ""
}

func TestHealth(t *testing.T) {
	const up, down = `{"status":"UP"}`, `{"status":"DOWN"}`

	Convey("Given a service", t, func() {
		s := start(t)
		urls := []string{s.public.URL + "/health", s.admin.URL + "/health"}

		Convey("When the database can be read, it is up, on both listeners", func() {
			for _, url := range urls {
				So(get(url), shouldBeHealth, http.StatusOK, up)
			}
		})

		Convey("When the request is HEAD, the headers are the same, and there is no body", func() {
			for _, url := range urls {
				got := send(http.MethodHead, url)
				So(got.StatusCode, ShouldEqual, http.StatusOK)
				So(got.body, ShouldBeEmpty)
				So(got.Header.Get("Content-Length"), ShouldEqual, strconv.Itoa(len(up)))
			}
		})

		Convey("When the database cannot be read, it is down, and the log has the cause", func() {
			So(s.store.Close(), ShouldBeNil)
			for _, url := range urls {
				So(get(url), shouldBeHealth, http.StatusServiceUnavailable, down)
			}
			So(s.log.lines(), ShouldHaveLength, 1)
			So(s.log.lines()[0], ShouldContainSubstring, "not open")
		})

		Convey("When it is draining, it is down, on both listeners", func() {
			s.api.Drain()
			for _, url := range urls {
				So(get(url), shouldBeHealth, http.StatusServiceUnavailable, down)
			}
		})
	})
}

func shouldBeHealth(actual any, expected ...any) string {
	got, status, body := actual.(answer), expected[0], expected[1]
	for _, failure := range []string{
		ShouldEqual(got.StatusCode, status),
		ShouldEqual(got.Header.Get("Content-Type"), "application/json"),
		ShouldEqual(got.body, body),
	} {
		if failure != "" {
			return failure
		}
	}
	return ""
}

func TestDraining(t *testing.T) {
	requests := []struct {
		method, path string
		status       int
	}{
		{http.MethodGet, "/accounts/10000", http.StatusOK},
		{http.MethodHead, "/accounts/10000", http.StatusOK},
		{http.MethodGet, "/accounts/10000/", http.StatusMovedPermanently},
		{http.MethodGet, "/accounts/nobody", http.StatusNotFound},
		{http.MethodGet, "/nothing", http.StatusNotFound},
		{http.MethodPost, "/accounts/10000", http.StatusMethodNotAllowed},
		{http.MethodPost, "/health", http.StatusMethodNotAllowed},
	}

	Convey("Given a service", t, func() {
		s := start(t)

		Convey("When it is not draining, it keeps connections", func() {
			for _, r := range requests {
				So(send(r.method, s.public.URL+r.path).Close, ShouldBeFalse)
			}
			So(get(s.public.URL+"/health").Close, ShouldBeFalse)
		})

		Convey("When it is draining, it still answers, and closes each connection", func() {
			s.api.Drain()
			for _, r := range requests {
				got := send(r.method, s.public.URL+r.path)
				So(got.StatusCode, ShouldEqual, r.status)
				So(got.Close, ShouldBeTrue)
			}
			So(get(s.public.URL+"/health").Close, ShouldBeTrue)
		})
	})
}
