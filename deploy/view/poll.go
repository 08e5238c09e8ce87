package view

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/moby/moby/api/types/swarm"
)

// A Source is a swarm that can be followed; a Reader is one.
type Source interface {
	Read(ctx context.Context) (*Swarm, error)
	AllTasks(ctx context.Context) ([]swarm.Task, error)
	// Changes calls changed for what has events, until the engine tells no more.
	Changes(ctx context.Context, changed func()) error
}

const (
	pollInterval = 400 * time.Millisecond // of tasks, which have no events
	readInterval = 5 * time.Second        // of all else, should an event be missed
	readTimeout  = 5 * time.Second        // an engine that is silent for longer is lost
	coalesce     = 50 * time.Millisecond  // events come in bunches
)

// A poller follows the swarm for all who look, and only while somebody does.
type poller struct {
	source Source

	mutex    sync.Mutex
	watchers map[chan string]bool
	last     string // what was told last
	stop     context.CancelFunc
}

// watch gives the messages for the browser, the present one first. Who is slow misses those in
// between. done is to be called in the end.
func (p *poller) watch() (messages <-chan string, done func()) {
	one := make(chan string, 1)
	p.mutex.Lock()
	defer p.mutex.Unlock()
	if len(p.watchers) == 0 {
		ctx, stop := context.WithCancel(context.Background())
		p.watchers, p.last, p.stop = map[chan string]bool{}, "", stop
		go p.run(ctx)
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

// tell sends what differs from what was told last. ctx is that of the run that tells.
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

// run follows the swarm until nobody looks any more.
func (p *poller) run(ctx context.Context) {
	changed := make(chan struct{}, 1)
	go p.follow(ctx, changed)
	var now *Swarm
	var read time.Time // when all of it was read
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
		case <-time.After(max(pollInterval, 4*time.Since(began))): // A large swarm is no reason to keep its engine busy.
		}
	}
}

// follow tells of events. What happens while the engine does not tell any is found by reading.
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
