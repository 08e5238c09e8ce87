// Package prober sends requests to a URL again and again, on new connections and on
// kept-alive ones. It checks every response and retries nothing, so each request that a
// client would have lost is visible.
package prober

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"
)

const (
	// workers is the number of connections of each kind.
	workers = 2
	// pause is how long each waits between two requests.
	pause = 4 * time.Millisecond
	// patience is how long one request may take.
	patience = 2 * time.Second
)

// A Failure is one request that got no answer, or a wrong one.
type Failure struct {
	At        time.Time
	KeptAlive bool // It was not the first request of its connection.
	Cause     string
}

// A Report is the result of a probe.
type Report struct {
	Requests int
	Failures []Failure
	// Silence is the longest time without a right answer to any worker.
	Silence time.Duration
}

// String has the figures, and the time and cause of the first failures.
func (r Report) String() string {
	s := fmt.Sprintf("%d of %d requests failed, longest silence %v", len(r.Failures), r.Requests, r.Silence.Round(time.Millisecond))
	for _, f := range r.Failures[:min(5, len(r.Failures))] {
		s += fmt.Sprintf("\n  %s kept-alive=%t %s", f.At.Format("15:04:05.000"), f.KeptAlive, f.Cause)
	}
	return s
}

// A Prober is a running probe.
type Prober struct {
	address, path, want string

	stop    chan struct{}
	workers sync.WaitGroup

	mu         sync.Mutex
	report     Report
	lastAnswer time.Time
}

// Start begins to ask rawURL, each time for status 200 and the body want.
func Start(rawURL, want string) (*Prober, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, err
	}
	p := &Prober{address: u.Host, path: u.Path, want: want, stop: make(chan struct{}), lastAnswer: time.Now()}
	for range workers {
		p.workers.Go(func() { p.ask(false) })
		p.workers.Go(func() { p.ask(true) })
	}
	return p, nil
}

// Requests returns how many requests have been made so far.
func (p *Prober) Requests() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.report.Requests
}

// Stop waits for the running requests and returns the report.
func (p *Prober) Stop() Report {
	close(p.stop)
	p.workers.Wait()
	p.report.Silence = max(p.report.Silence, time.Since(p.lastAnswer))
	return p.report
}

// ask makes one request after another. It handles connections itself, because http.Transport
// would repeat a GET when its kept-alive connection ends.
func (p *Prober) ask(keepAlive bool) {
	var c *connection
	for {
		reused := c != nil
		err := error(nil)
		if c == nil {
			c, err = dial(p.address)
		}
		closing := false
		if err == nil {
			closing, err = c.get(p.address, p.path, p.want, keepAlive)
		}
		p.count(reused, err)
		if c != nil && (err != nil || closing) {
			c.Close()
			c = nil
		}
		select {
		case <-p.stop:
			if c != nil {
				c.Close()
			}
			return
		case <-time.After(pause):
		}
	}
}

func (p *Prober) count(keptAlive bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.report.Requests++
	if err != nil {
		p.report.Failures = append(p.report.Failures, Failure{time.Now(), keptAlive, err.Error()})
		return
	}
	p.report.Silence = max(p.report.Silence, time.Since(p.lastAnswer))
	p.lastAnswer = time.Now()
}

type connection struct {
	net.Conn
	reader *bufio.Reader
}

func dial(address string) (*connection, error) {
	c, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		return nil, err
	}
	return &connection{c, bufio.NewReader(c)}, nil
}

// get makes one request and reports whether the connection must be closed after it.
func (c *connection) get(host, path, want string, keepAlive bool) (closing bool, err error) {
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return true, err
	}
	header := "Connection: close\r\n"
	if keepAlive {
		header = ""
	}
	if _, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: %s\r\n%s\r\n", path, host, header); err != nil {
		return true, err
	}
	response, err := http.ReadResponse(c.reader, nil)
	if err != nil {
		return true, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return true, err
	}
	if response.StatusCode != http.StatusOK || string(body) != want {
		return true, fmt.Errorf("%s: %.100q", response.Status, body)
	}
	return response.Close, nil
}
