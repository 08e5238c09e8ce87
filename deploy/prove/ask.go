package prove

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"goblog/deploy/fault"
	"goblog/deploy/stack"
)

// Connections are not kept alive, and no proxy is used: the answer must come from the service
// itself.
var asking = &http.Client{
	Timeout:       2 * time.Second,
	Transport:     &http.Transport{DisableKeepAlives: true},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// An Answer is the answer of a URL.
type Answer struct {
	Right  bool
	Silent bool   // there was no answer at all
	Said   string // for people
}

// Ask asks a URL once, and tells whether the answer is the one that verify wants.
func Ask(ctx context.Context, url string, verify *stack.Verify) Answer {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return Answer{Said: err.Error()}
	}
	response, err := asking.Do(request)
	if err != nil {
		return Answer{Silent: true, Said: err.Error()}
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		return Answer{Said: fmt.Sprintf("%s, and then %v", response.Status, err)}
	}
	text := string(body)
	right := response.StatusCode == cmp.Or(verify.Status, http.StatusOK) && (verify.Body == "" || text == verify.Body)
	return Answer{Right: right, Said: fmt.Sprintf("%s: %s", response.Status, shorten(text))}
}

// shorten makes one line of a text, of 200 characters at most.
func shorten(text string) string {
	runes := []rune(strings.Join(strings.Fields(text), " "))
	if len(runes) > 200 {
		return string(runes[:200]) + " ..."
	}
	return string(runes)
}

// A Silence measures for how long a URL does not answer while a deploy goes on.
type Silence struct {
	URL     string
	stop    context.CancelFunc
	done    sync.WaitGroup
	longest time.Duration
}

// Listen begins to ask a URL ten times a second.
func Listen(ctx context.Context, url string, verify *stack.Verify) *Silence {
	ctx, stop := context.WithCancel(ctx)
	s := &Silence{URL: url, stop: stop}
	s.done.Go(fault.Caught(func() {
		last, silent := time.Now(), false
		for ctx.Err() == nil {
			right := Ask(ctx, url, verify).Right
			now := time.Now()
			if !right && ctx.Err() != nil {
				return // The request was cancelled, so this is no failure of the service.
			}
			if silent || !right {
				s.longest = max(s.longest, now.Sub(last))
			}
			if silent = !right; right {
				last = now
			}
			select {
			case <-ctx.Done():
			case <-time.After(100 * time.Millisecond):
			}
		}
	}))
	return s
}

// Longest ends the measurement. It returns the longest time between two right answers with a
// failure between them; 0 if there was no failure.
func (s *Silence) Longest() time.Duration {
	s.stop()
	s.done.Wait()
	return s.longest
}
