package swarm

import (
	"context"
	"errors"
	"io"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/client"

	"goblog/deploy/fault"
)

// An engine may go away in the middle of a deploy and come back: it restarts, or the swarm
// has lost its leader and chooses another. Before the first change, this ends a deploy. After
// the first change, the deploy waits for the engine.

type patience struct{}

// Patient gives a context in which calls are repeated while the engine is away, until the
// context ends. Each of these calls may have had an effect although it failed.
func Patient(ctx context.Context) context.Context { return context.WithValue(ctx, patience{}, true) }

type guard struct{}

// Guarded gives a context in which each try of each change first asks may. A deploy that was
// asleep, or waited for the engine, may have lost its lock in the meantime.
func Guarded(ctx context.Context, may func(context.Context) error) context.Context {
	return context.WithValue(ctx, guard{}, may)
}

// patient tells whether a call is to be repeated.
func patient(ctx context.Context, err error) bool {
	return ctx.Value(patience{}) != nil && ctx.Err() == nil && isAway(err)
}

// away are the words of errors that pass by themselves and have no error class. A manager
// that restarts says the first of them until it has joined its swarm again.
var away = []string{
	"This node is not a swarm manager", "The swarm does not have a leader", "swarm does not have a leader", "connection refused", "connection reset",
	"no such file or directory", "context deadline exceeded", "Client.Timeout exceeded", "rpc error: code = Unavailable", "rpc error: code = DeadlineExceeded", "i/o timeout",
	"has exited with ", // ssh, in the middle of an answer
}

// isAway tells whether an error may pass by itself.
func isAway(err error) bool {
	switch {
	case err == nil, errors.Is(err, context.Canceled), errdefs.IsNotFound(err):
		return false
	case client.IsErrConnectionFailed(err), errdefs.IsUnavailable(err), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return true
	}
	for _, words := range away {
		if strings.Contains(err.Error(), words) {
			return true
		}
	}
	return false
}

// pause is the time between two tries while the engine is away.
const pause = 200 * time.Millisecond

// tryTimeout bounds each try of a call that is repeated. A lost network gives no error: a
// call on an old connection would wait until its deadline.
const tryTimeout = 5 * time.Second

// try bounds a try of a call, if the call is repeated.
func try(ctx context.Context) (context.Context, context.CancelFunc) {
	if ctx.Value(patience{}) == nil {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, tryTimeout)
}

// call makes a call that may have its effect twice. In a patient context, it repeats the
// call.
func call[Options, Result any](ctx context.Context, e *Engine, do func(context.Context, Options) (Result, error), options Options) (Result, error) {
	return repeat(ctx, e, func() (Result, error) { return once(ctx, do, options) })
}

// change is call for a change: each try asks the context's guard first.
func change[Options, Result any](ctx context.Context, e *Engine, do func(context.Context, Options) (Result, error), options Options) (Result, error) {
	return repeat(ctx, e, func() (Result, error) { return changeOnce(ctx, do, options) })
}

func repeat[Result any](ctx context.Context, e *Engine, try func() (Result, error)) (Result, error) {
	for began := time.Now(); ; {
		result, err := try()
		if !e.again(ctx, err, began) {
			return result, err
		}
	}
}

// once makes one try of a call.
func once[Options, Result any](ctx context.Context, do func(context.Context, Options) (Result, error), options Options) (Result, error) {
	ctx, cancel := try(ctx)
	defer cancel()
	return do(ctx, options)
}

// changeOnce makes one try of a change.
func changeOnce[Options, Result any](ctx context.Context, do func(context.Context, Options) (Result, error), options Options) (Result, error) {
	if may, guarded := ctx.Value(guard{}).(func(context.Context) error); guarded {
		if err := may(ctx); err != nil {
			var none Result
			return none, err
		}
	}
	return once(ctx, do, options)
}

// callOn is call for methods that take an id.
func callOn[Options, Result any](ctx context.Context, e *Engine, do func(context.Context, string, Options) (Result, error), id string, options Options) (Result, error) {
	return call(ctx, e, on(do, id), options)
}

// changeOn is change for methods that take an id.
func changeOn[Options, Result any](ctx context.Context, e *Engine, do func(context.Context, string, Options) (Result, error), id string, options Options) (Result, error) {
	return change(ctx, e, on(do, id), options)
}

func on[Options, Result any](do func(context.Context, string, Options) (Result, error), id string) func(context.Context, Options) (Result, error) {
	return func(ctx context.Context, options Options) (Result, error) { return do(ctx, id, options) }
}

// lost is how long an engine may give no answer while another program talks to it.
const lost = 30 * time.Second

// WhileAnswering gives a context that ends with its parent, or with a cause when the engine
// has not answered for too long.
func (e *Engine) WhileAnswering(parent context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(parent)
	go fault.Caught(func() {
		for heard := time.Now(); ; {
			select {
			case <-ctx.Done():
				return
			case <-time.After(tryTimeout):
			}
			asked, done := context.WithTimeout(ctx, tryTimeout)
			_, err := e.api.Ping(asked, client.PingOptions{})
			done()
			if !isAway(err) {
				heard = time.Now()
			} else if time.Since(heard) > lost {
				cancel(wrap(err, "the docker engine at %s does not answer any more", e.Host))
			}
		}
	})()
	return ctx, func() { cancel(nil) }
}

// Silent tells whether a call waits for the engine and has no answer yet.
func (e *Engine) Silent() bool { return e.away.Load() != nil }

// longest is how long all calls without a deadline wait for an engine together. The last
// calls of a deploy must not each wait for so long. A single call also waits no longer than
// that, even if the engine answers other calls in between.
const longest = time.Minute

// again pauses, and tells whether a call that began at this time is to be repeated. Even if
// many calls wait, it says only once that the engine is away.
func (e *Engine) again(ctx context.Context, err error, began time.Time) bool {
	if isAway(err) {
		e.api.Close() // Idle connections may be as dead as this one.
	}
	if !patient(ctx, err) {
		if err == nil || ctx.Err() == nil && !isAway(err) { // An error is an answer, too.
			e.away.Store(nil)
		}
		return false
	}
	now := time.Now()
	if e.away.CompareAndSwap(nil, &now) && e.Waiting != nil {
		e.Waiting(err)
	}
	since := e.away.Load()
	if time.Since(began) > longest || since != nil && time.Since(*since) > longest {
		if _, bounded := ctx.Deadline(); !bounded {
			return false
		}
	}
	select {
	case <-ctx.Done():
		return false
	case <-time.After(pause):
		return true
	}
}
