package httpapi_test

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	. "github.com/smartystreets/goconvey/convey"

	"goblog/accountservice/boltstore"
	"goblog/accountservice/httpapi"
)

var build = httpapi.Build{Version: "v1.2.3", Commit: "abcdef", GoVersion: "go1.0"}

// service is the API over a real store, behind real listeners.
type service struct {
	api           *httpapi.API
	store         *boltstore.Store
	public, admin *httptest.Server
	log           *logBuffer
}

// start serves 100 accounts until the end of the scenario.
func start(t *testing.T) *service {
	store, _, err := boltstore.Open(filepath.Join(t.TempDir(), "accounts.db"), 100, time.Second)
	So(err, ShouldBeNil)
	s := &service{store: store, log: new(logBuffer)}
	s.api = httpapi.New(store, build, httpapi.NewMetrics(build), slog.New(slog.NewTextHandler(s.log, nil)))
	s.public = httptest.NewServer(s.api.Handler())
	s.admin = httptest.NewServer(s.api.AdminHandler())
	Reset(func() {
		s.public.Close()
		s.admin.Close()
		So(store.Close(), ShouldBeNil)
	})
	return s
}

// answer is a response whose body has been read.
type answer struct {
	*http.Response
	body string
}

func get(url string) answer { return send(http.MethodGet, url) }

// send makes a request, and follows no redirect.
func send(method, url string) answer {
	request, err := http.NewRequest(method, url, nil)
	So(err, ShouldBeNil)
	response, err := http.DefaultTransport.RoundTrip(request)
	So(err, ShouldBeNil)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	So(err, ShouldBeNil)
	return answer{response, string(body)}
}

// eventually polls until the condition holds, and returns false if it never does.
func eventually(condition func() bool) bool {
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if condition() {
			return true
		}
	}
	return false
}

// logBuffer is a log that can be read while it is written to.
type logBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *logBuffer) lines() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return strings.Split(strings.TrimSpace(b.text.String()), "\n")
}
