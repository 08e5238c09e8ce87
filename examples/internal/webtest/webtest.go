// Package webtest runs the example services in tests, on real listeners.
package webtest

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/smartystreets/goconvey/convey"
)

// Patience is how long a test waits for an event that should come much sooner.
const Patience = 20 * time.Second

// A Run is the run function of a program.
type Run func(ctx context.Context, args []string, getenv func(string) string, stdout io.Writer) error

// A Service is a running program.
type Service struct {
	URL    string
	cancel context.CancelFunc
	ended  chan error
}

// Start runs a program with only these environment variables. It waits until the program
// listens, and stops it at the end of the scenario.
func Start(run Run, env map[string]string) *Service {
	ctx, cancel := context.WithCancel(context.Background())
	s := &Service{cancel: cancel, ended: make(chan error, 1)}
	stdout, writer := io.Pipe()
	go func() {
		err := run(ctx, nil, func(name string) string { return env[name] }, writer)
		s.ended <- err
		writer.CloseWithError(err)
	}()
	convey.Reset(cancel)
	s.URL = URL(stdout)
	return s
}

// URL returns the URL of a service. It reads the line with its address from stdout.
func URL(stdout io.Reader) string {
	lines := bufio.NewReader(stdout)
	line, err := lines.ReadString('\n')
	convey.So(err, convey.ShouldBeNil)
	addr, listens := strings.CutPrefix(strings.TrimSpace(line), "Listening on ")
	convey.So(listens, convey.ShouldBeTrue)
	go func() { _, _ = io.Copy(io.Discard, lines) }() // So that the service can write more.
	return "http://" + addr
}

// Stop stops the service, and returns the error of its run function.
func (s *Service) Stop() error {
	s.cancel()
	return Wait(s.ended)
}

// Wait returns the next value of a channel, which must come within Patience.
func Wait[T any](from <-chan T) T {
	select {
	case got := <-from:
		return got
	case <-time.After(Patience):
		convey.So("nothing came", convey.ShouldEqual, "something came")
		panic("unreachable") // convey.So has ended the scenario.
	}
}

// An Answer is a response whose body has been read.
type Answer struct {
	*http.Response
	Body string
}

// Ask sends a request on a new connection. The form of a header is "NAME: value".
func Ask(method, url, body string, headers ...string) (Answer, error) {
	request, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		return Answer{}, err
	}
	for _, header := range headers {
		name, value, _ := strings.Cut(header, ": ")
		request.Header.Add(name, value)
	}
	transport := &http.Transport{DisableKeepAlives: true, ResponseHeaderTimeout: Patience}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return Answer{}, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return Answer{response, string(text)}, err
}

// MustAsk is Ask for a request that must have an answer.
func MustAsk(method, url, body string, headers ...string) Answer {
	answer, err := Ask(method, url, body, headers...)
	convey.So(err, convey.ShouldBeNil)
	return answer
}

// Get sends a GET request, which must have an answer.
func Get(url string) Answer { return MustAsk(http.MethodGet, url, "") }
