package swarm

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/moby/moby/client"
	. "github.com/smartystreets/goconvey/convey"
)

// trying makes calls, one after the other, to an engine that fails until the given time has
// passed. It returns the time that each call took. The time is the time of a test's bubble.
func trying(ctx context.Context, e *Engine, until time.Duration, calls int) ([]time.Duration, []error) {
	var took []time.Duration
	var errs []error
	began := time.Now()
	for range calls {
		start := time.Now()
		_, err := call(ctx, e, func(context.Context, int) (int, error) {
			if time.Since(began) < until {
				return 0, io.EOF
			}
			return 0, nil
		}, 0)
		took, errs = append(took, time.Since(start)), append(errs, err)
	}
	return took, errs
}

func TestAway(t *testing.T) {
	for what, it := range map[string]struct {
		ctx   func() (context.Context, context.CancelFunc)
		until time.Duration
		least time.Duration // that all calls take together
		most  time.Duration
		fails bool // the last of them
		said  int  // how often that the engine is away
	}{
		"Before the first change, an engine that is away ends a call": {func() (context.Context, context.CancelFunc) {
			return context.WithCancel(context.Background())
		}, time.Second, 0, time.Millisecond, true, 0},
		"After it, the engine is waited for, which is said once": {func() (context.Context, context.CancelFunc) {
			return context.WithCancel(Patient(context.Background()))
		}, 40 * time.Second, 40 * time.Second, 41 * time.Second, false, 1},
		"Calls without a deadline wait for a minute, all of them together": {func() (context.Context, context.CancelFunc) {
			return context.WithCancel(Patient(context.Background()))
		}, time.Hour, longest, longest + 10*time.Second, true, 1},
		"A deadline bounds the wait, a short one": {func() (context.Context, context.CancelFunc) {
			return context.WithTimeout(Patient(context.Background()), 5*time.Second)
		}, time.Hour, 5 * time.Second, 6 * time.Second, true, 1},
		"and one that is longer than a minute": {func() (context.Context, context.CancelFunc) {
			return context.WithTimeout(Patient(context.Background()), 5*time.Minute)
		}, 4 * time.Minute, 4 * time.Minute, 4*time.Minute + time.Second, false, 1},
	} {
		Convey(what, t, func() {
			var took []time.Duration
			var errs []error
			said := 0
			synctest.Test(t, func(*testing.T) {
				ctx, cancel := it.ctx()
				defer cancel()
				took, errs = trying(ctx, &Engine{api: &client.Client{}, Waiting: func(error) { said++ }}, it.until, 4)
			})
			var sum time.Duration
			for _, one := range took {
				sum += one
			}
			So(sum, ShouldBeBetweenOrEqual, it.least, it.most)
			So(errs[3] != nil, ShouldEqual, it.fails)
			So(said, ShouldEqual, it.said)
		})
	}
	Convey("An engine that was there in between is waited for anew", t, func() {
		e := &Engine{api: &client.Client{}}
		synctest.Test(t, func(*testing.T) {
			ctx := Patient(context.Background())
			for range 3 {
				took, errs := trying(ctx, e, 40*time.Second, 1)
				if errs[0] != nil || took[0] < 40*time.Second {
					t.Errorf("after %v: %v", took[0], errs[0])
				}
			}
		})
		So(e.away.Load(), ShouldBeNil)
	})
	Convey("A call without a deadline is not repeated for ever where other calls are answered in between, such as a beat", t, func() {
		e := &Engine{api: &client.Client{}}
		var took time.Duration
		synctest.Test(t, func(*testing.T) {
			began := time.Now()
			ctx := Patient(context.Background())
			_, err := call(ctx, e, func(context.Context, int) (int, error) {
				if time.Since(began) < time.Hour {
					trying(ctx, e, 0, 1)
					return 0, io.EOF
				}
				return 0, nil
			}, 0)
			if took = time.Since(began); err == nil {
				t.Error("no error after ", took)
			}
		})
		So(took, ShouldBeBetweenOrEqual, longest, longest+10*time.Second)
	})
	Convey("What will not pass by itself is not waited for", t, func() {
		_, err := call(Patient(context.Background()), &Engine{api: &client.Client{}}, func(context.Context, int) (int, error) { return 0, errors.New("no such thing") }, 0)
		So(err, ShouldBeError, "no such thing")
	})
}
