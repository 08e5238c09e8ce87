package httpapi_test

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	"goblog/accountservice/account"
	"goblog/accountservice/boltstore"
	"goblog/accountservice/httpapi"
)

// BenchmarkHandler answers one request for a random account each time. It runs router,
// metrics, handler and store, but not net/http's connections.
func BenchmarkHandler(b *testing.B) {
	for _, n := range []int{100, 1_000_000} {
		b.Run(fmt.Sprintf("accounts=%d", n), func(b *testing.B) {
			store, _, err := boltstore.Open(filepath.Join(b.TempDir(), "accounts.db"), n, time.Second)
			if err != nil {
				b.Fatal(err)
			}
			defer store.Close()
			handler := httpapi.New(store, build, httpapi.NewMetrics(build), slog.New(slog.DiscardHandler)).Handler()
			requests := make([]*http.Request, 4096) // Made before, so that only the answers are measured.
			for i := range requests {
				requests[i] = httptest.NewRequest(http.MethodGet, "/accounts/"+account.Fake(rand.N(n)).ID, nil)
			}
			w := &writer{header: http.Header{}}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				clear(w.header) // A new response has none.
				w.status = http.StatusOK
				handler.ServeHTTP(w, requests[i%len(requests)])
				if w.status != http.StatusOK {
					b.Fatalf("%s: status %d", requests[i%len(requests)].URL, w.status)
				}
			}
		})
	}
}

// writer is a response that costs nothing, as it drops its body.
type writer struct {
	header http.Header
	status int
}

func (w *writer) Header() http.Header         { return w.header }
func (w *writer) WriteHeader(status int)      { w.status = status }
func (w *writer) Write(p []byte) (int, error) { return len(p), nil }
