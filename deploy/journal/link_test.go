package journal

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	. "github.com/smartystreets/goconvey/convey"
)

// A cut link loses all between two moments. A call that fails is followed by a new connection:
// its packets are sent again after 1, 3 and 7 s, as TCP does, and then ssh shakes hands.
type cut struct {
	*locked
	began    time.Time
	from, to time.Duration
	broken   bool
}

func (c *cut) connect(ctx context.Context) error {
	if now := time.Since(c.began); !c.broken && (now < c.from || now > c.to) {
		return nil
	} else if !c.broken {
		c.broken = true
		<-ctx.Done()
		return ctx.Err()
	}
	for _, wait := range []time.Duration{0, time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second} {
		if err := (RealClock{}).Sleep(ctx, wait); err != nil {
			return err
		}
		if now := time.Since(c.began); now < c.from || now > c.to {
			c.broken = false
			return RealClock{}.Sleep(ctx, 1500*time.Millisecond)
		}
	}
	<-ctx.Done()
	return ctx.Err()
}

func (c *cut) LabelConfig(ctx context.Context, id string, labels map[string]string, only func(map[string]string) bool) error {
	if err := c.connect(ctx); err != nil {
		return err
	}
	return c.locked.LabelConfig(ctx, id, labels, only)
}

func TestRobCutLink(t *testing.T) {
	Convey("A holder that loses the network for 20 s, at whichever moment, is not robbed by one that watches it all the time", t, func() {
		var robbed []time.Duration
		for from := time.Duration(0); from < 8*time.Second; from += 100 * time.Millisecond {
			synctest.Test(t, func(*testing.T) {
				m := &locked{memory: &memory{}}
				lock, _ := take(context.Background(), &cut{m, time.Now(), from, from + 20*time.Second, false}, "web", taken, false, nobody, RealClock{})
				m.Lock()
				_ = m.memory.LabelConfig(context.Background(), lock.id, map[string]string{labelProcess: "another-boot pid:[1] 1 1"}, nil)
				m.Unlock()
				for range 5 { // Whoever watches may begin in each second.
					if other, _ := take(context.Background(), m, "web", taken, false, nobody, RealClock{}); other != nil {
						robbed = append(robbed, from)
						_ = other.Free(context.Background())
						break
					}
				}
				_ = lock.Free(context.Background())
			})
		}
		So(robbed, ShouldBeEmpty)
	})
}
