package view

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/moby/moby/api/types/swarm"

	"goblog/deploy/fault"
)

// A Source is a swarm that can be followed. A Reader is a Source.
type Source interface {
	Read(ctx context.Context) (*Swarm, error)
	AllTasks(ctx context.Context) ([]swarm.Task, error)
	// Changes calls changed for each event, until the engine sends no more events.
	Changes(ctx context.Context, changed func()) error
}

const (
	pollInterval = 400 * time.Millisecond // of tasks, which have no events
	readInterval = 5 * time.Second        // of everything else, if an event was missed
	readTimeout  = 5 * time.Second        // an engine that gives no answer for longer is lost
	coalesce     = 50 * time.Millisecond  // events come in groups
)

// A poller follows the swarm for all open pages, and only while a page is open.
type poller struct {
	source Source

	mutex    sync.Mutex
	watchers map[chan string]bool
	last     string // the last message
	stop     context.CancelFunc
}

// watch returns the messages for one browser, beginning with the current state. A slow
// browser misses messages in between. The caller must call done at the end.
func (p *poller) watch() (messages <-chan string, done func()) {
	one := make(chan string, 1)
	p.mutex.Lock()
	defer p.mutex.Unlock()
	if len(p.watchers) == 0 {
		ctx, stop := context.WithCancel(context.Background())
		p.watchers, p.last, p.stop = map[chan string]bool{}, "", stop
		go fault.Caught(func() { p.run(ctx) })()
	} else if p.last != "" {
		one <- p.last
	}
	p.watchers[one] = true
	return one, func() {
		p.mutex.Lock()
		defer p.mutex.Unlock()
		if delete(p.watchers, one); len(p.watchers) == 0 {
			p.stop()
		}
	}
}

// tell sends a message, if it differs from the last one. ctx is the context of the run that
// sends it.
func (p *poller) tell(ctx context.Context, event string, value any) {
	text, err := json.Marshal(value)
	message := fmt.Sprintf("event: %s\ndata: %s\n\n", event, text)
	p.mutex.Lock()
	defer p.mutex.Unlock()
	if err != nil || ctx.Err() != nil || message == p.last {
		return
	}
	p.last = message
	for one := range p.watchers {
		select {
		case <-one:
		default:
		}
		one <- message
	}
}

// run follows the swarm until no page is open any more.
func (p *poller) run(ctx context.Context) {
	changed := make(chan struct{}, 1)
	go fault.Caught(func() { p.follow(ctx, changed) })()
	var now *Swarm
	var read time.Time // when everything was read
	for ctx.Err() == nil {
		began := time.Now()
		within, cancel := context.WithTimeout(ctx, readTimeout)
		var err error
		if now == nil || began.Sub(read) > readInterval {
			read = began
			now, err = p.source.Read(within)
		} else {
			now.Tasks, err = p.source.AllTasks(within)
		}
		cancel()
		if err != nil {
			now = nil
			p.tell(ctx, "lost", err.Error())
		} else {
			p.tell(ctx, "page", now.Page())
		}
		select {
		case <-ctx.Done():
		case <-changed:
			read = time.Time{}
			time.Sleep(coalesce)
		case <-time.After(max(pollInterval, 4*time.Since(began))): // Also in a large swarm, this must not keep the engine busy.
		}
	}
}

// follow signals events. Changes without an event are found by reading.
func (p *poller) follow(ctx context.Context, changed chan<- struct{}) {
	signal := func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	}
	for ctx.Err() == nil {
		p.source.Changes(ctx, signal)
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
}
