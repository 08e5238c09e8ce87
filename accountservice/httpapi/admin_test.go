package httpapi_test

import (
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	. "github.com/smartystreets/goconvey/convey"
)

// metrics returns the lines of /metrics that start with prefix, without the prefix, in order.
func (s *service) metrics(prefix string) []string {
	got := get(s.admin.URL + "/metrics")
	So(got.StatusCode, ShouldEqual, http.StatusOK)
	found := []string{}
	for line := range strings.Lines(got.body) {
		if rest, ok := strings.CutPrefix(line, prefix); ok {
			found = append(found, strings.TrimSpace(rest))
		}
	}
	slices.Sort(found)
	return found
}

func TestMetrics(t *testing.T) {
	Convey("Given a service", t, func() {
		s := start(t)

		Convey("When there was no request yet, there are no counts", func() {
			So(s.metrics("http_"), ShouldBeEmpty)
		})

		Convey("When accounts, missing accounts and other paths are requested with different methods", func() {
			for _, request := range []string{
				"GET /accounts/10000", "GET /accounts/10001?secret=1", "HEAD /accounts/10002",
				"GET /accounts/nobody", "GET /accounts/10000/", "POST /accounts/10000", "DELETE /accounts/10000", "BREW /accounts/10003",
				"GET /health", "BREW /health", "GET /", "GET /nothing/10004", "GET //accounts/10000", "HEAD /accounts/a%2Fb", "BREW /metrics",
			} {
				method, path, _ := strings.Cut(request, " ")
				send(method, s.public.URL+path)
			}
			get(s.admin.URL + "/health")
			want := []string{
				`{method="GET",route="/accounts/{id}",status="2xx"} 2`,
				`{method="GET",route="/accounts/{id}",status="4xx"} 1`,
				`{method="GET",route="/accounts/{id}/",status="3xx"} 1`,
				`{method="GET",route="/health",status="2xx"} 2`,
				`{method="GET",route="unmatched",status="4xx"} 3`,
				`{method="HEAD",route="/accounts/{id}",status="2xx"} 1`,
				`{method="HEAD",route="unmatched",status="4xx"} 1`,
				`{method="other",route="/accounts/{id}",status="4xx"} 3`,
				`{method="other",route="/health",status="4xx"} 1`,
				`{method="other",route="unmatched",status="4xx"} 1`,
			}

			Convey("Then each request is counted by template, method and class only", func() {
				// A request is counted when its answer has been sent.
				So(eventually(func() bool { return slices.Equal(s.metrics("http_requests_total"), want) }), ShouldBeTrue)
				So(s.metrics("http_requests_total"), ShouldResemble, want)
				So(s.metrics("http_request_duration_seconds_count"), ShouldResemble, want)
			})
		})

		Convey("When the storage fails, this is counted as a failure of the server", func() {
			So(s.store.Close(), ShouldBeNil)
			get(s.public.URL + "/accounts/10000")
			get(s.public.URL + "/health")
			want := []string{
				`{method="GET",route="/accounts/{id}",status="5xx"} 1`,
				`{method="GET",route="/health",status="5xx"} 1`,
			}
			So(eventually(func() bool { return slices.Equal(s.metrics("http_requests_total"), want) }), ShouldBeTrue)
		})

		Convey("When many clients ask at once, all requests are counted", func() {
			var clients sync.WaitGroup
			for range 8 {
				clients.Go(func() {
					for range 25 {
						if response, err := http.Get(s.public.URL + "/accounts/10000"); err == nil {
							response.Body.Close()
						}
					}
				})
			}
			clients.Wait()
			want := []string{`{method="GET",route="/accounts/{id}",status="2xx"} 200`}
			So(eventually(func() bool { return slices.Equal(s.metrics("http_requests_total"), want) }), ShouldBeTrue)
		})

		Convey("Then durations are in seconds: a request takes more than 0 and less than 1", func() {
			get(s.public.URL + "/accounts/10000")
			const labels = `{method="GET",route="/accounts/{id}",status="2xx"`
			So(eventually(func() bool { return len(s.metrics("http_requests_total")) == 1 }), ShouldBeTrue)
			So(s.metrics("http_request_duration_seconds_bucket"+labels), ShouldContain, `,le="1"} 1`)
			So(s.metrics("http_request_duration_seconds_sum"+labels+"} "), ShouldNotResemble, []string{"0"})
		})

		Convey("Then there are metrics of the build, the Go runtime and the process", func() {
			So(s.metrics("accountservice_build_info"), ShouldResemble, []string{`{commit="abcdef",goversion="go1.0",version="v1.2.3"} 1`})
			So(s.metrics("go_goroutines "), ShouldHaveLength, 1)
			So(s.metrics("process_"), ShouldNotBeEmpty)
		})
	})
}

func TestAdmin(t *testing.T) {
	Convey("Given the admin listener of a service", t, func() {
		s := start(t)

		Convey("Then it has the index of profiles, and each profile", func() {
			index := get(s.admin.URL + "/debug/pprof/")
			So(index.StatusCode, ShouldEqual, http.StatusOK)
			So(index.body, ShouldContainSubstring, "goroutine")
			for _, profile := range []string{"goroutine?debug=1", "heap", "allocs", "block", "mutex", "threadcreate", "cmdline", "symbol", "profile?seconds=1", "trace?seconds=0.01"} {
				So(get(s.admin.URL+"/debug/pprof/"+profile).StatusCode, ShouldEqual, http.StatusOK)
			}
		})

		Convey("Then its answers forbid browsers to guess their type, and health may not be cached", func() {
			for _, path := range []string{"/health", "/metrics", "/debug/pprof/", "/debug/pprof", "/nothing"} {
				So(get(s.admin.URL+path).Header.Get("X-Content-Type-Options"), ShouldEqual, "nosniff")
			}
			So(get(s.admin.URL+"/health").Header.Get("Cache-Control"), ShouldEqual, "no-store")
		})

		Convey("Then it has no accounts", func() {
			So(get(s.admin.URL+"/accounts/10000").StatusCode, ShouldEqual, http.StatusNotFound)
		})
	})
}
