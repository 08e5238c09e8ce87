package journal

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/moby/moby/api/types/swarm"
	. "github.com/smartystreets/goconvey/convey"
)

func nobody(*HeldError) {}

// A still clock never lets time pass: a sleep ends only with the context.
type still struct{}

func (still) Sleep(ctx context.Context, _ time.Duration) error {
	<-ctx.Done()
	return ctx.Err()
}

// A quick clock lets all time pass at once, and sums it up. At each sleep, it may call a
// function.
type quick struct {
	passed time.Duration
	happen func(passed time.Duration)
}

func (q *quick) Sleep(ctx context.Context, d time.Duration) error {
	if d == beatInterval { // The holder's own beat is not of interest here.
		<-ctx.Done()
		return ctx.Err()
	}
	q.passed += d
	if q.happen != nil {
		q.happen(q.passed)
	}
	return ctx.Err()
}

// elsewhere makes a lock of a process on another machine.
func elsewhere(m *memory, service string) string {
	id, err := m.CreateConfig(context.Background(), prefix(service)+"lock", map[string]string{
		labelHolder: "eve on earth", labelSince: "long ago", labelProcess: "another-boot pid:[1] 1 1", labelBeat: "0", labelPhase: "building"}, []byte("eve"))
	So(err, ShouldBeNil)
	return id
}

func TestLock(t *testing.T) {
	ctx := context.Background()
	Convey("Given a lock that this process holds", t, func() {
		m := &memory{}
		lock, err := take(ctx, m, "web", taken, false, nobody, still{})
		So(err, ShouldBeNil)

		Convey("it shows who has it", func() {
			held, err := Held(ctx, m, "web")
			So(err, ShouldBeNil)
			So(held.Error(), ShouldStartWith, "web is being deployed already, by "+Holder()+" since 2")
			So(held.Holder, ShouldContainSubstring, fmt.Sprint("process ", os.Getpid()))
			So(held.Advice(), ShouldContainSubstring, "--wait")
		})
		Convey("another service has its own", func() {
			_, err := take(ctx, m, "web2", taken, false, nobody, still{})
			So(err, ShouldBeNil)
			held, err := Held(ctx, m, "we")
			So(err, ShouldBeNil)
			So(held, ShouldBeNil)
		})
		Convey("it can be taken again once it is free", func() {
			So(lock.Free(ctx), ShouldBeNil)
			held, err := Held(ctx, m, "web")
			So(err, ShouldBeNil)
			So(held, ShouldBeNil)
			_, err = take(ctx, m, "web", taken, false, nobody, still{})
			So(err, ShouldBeNil)
		})
		Convey("while it is there, nothing is lost", func() {
			So(lock.Check(ctx), ShouldBeNil)
			within, done := lock.While(ctx)
			defer done()
			So(within.Err(), ShouldBeNil)
		})
		Convey("once somebody else has taken it, each change is refused, and what goes on ends with that cause", func() {
			within, done := lock.While(ctx)
			defer done()
			So(m.RemoveConfig(ctx, lock.id), ShouldBeNil)
			other, err := take(ctx, m, "web", taken, false, nobody, still{})
			So(err, ShouldBeNil)
			So(lock.Check(ctx), ShouldEqual, ErrLost)
			<-within.Done()
			So(context.Cause(within), ShouldEqual, ErrLost)
			So(lock.Check(ctx), ShouldEqual, ErrLost)
			Convey("and who frees it late does not free somebody else's", func() {
				So(lock.Free(ctx), ShouldBeNil)
				So(other.Check(ctx), ShouldBeNil)
			})
		})
		Convey("an engine that does not answer has lost nothing", func() {
			m.broken = errors.New("no quorum")
			So(lock.Check(ctx), ShouldBeError, "no quorum")
			m.broken = nil
			So(lock.Check(ctx), ShouldBeNil)
		})
		Convey("where it cannot be freed, that is said", func() {
			m.broken = errors.New("no quorum")
			So(lock.Free(ctx), ShouldBeError, "the lock web.deploy.lock is left behind: no quorum; the next deploy notices that nobody holds it")
		})
	})
	Convey("A lock that comes and goes each time that it is asked for is held by nobody who is known", t, func() {
		_, err := take(ctx, vanishing{&memory{}}, "web", taken, false, nobody, still{})
		var held *HeldError
		So(errors.As(err, &held), ShouldBeTrue)
	})
	Convey("Another error of the engine is not taken for somebody else's lock", t, func() {
		_, err := take(ctx, &memory{broken: errors.New("no quorum")}, "web", taken, false, nobody, still{})
		So(err, ShouldBeError, "no quorum")
		_, err = take(ctx, refusing{&memory{}}, "web", taken, false, nobody, still{})
		So(err, ShouldBeError, "too large")
		_, err = Held(ctx, &memory{broken: errors.New("no quorum")}, "web")
		So(err, ShouldBeError, "no quorum")
	})
}

func TestOutlook(t *testing.T) {
	Convey("What the next deploy will do follows from the holder's process, and from the age of its beat", t, func() {
		ended := exec.Command("cat") // It lives until its input ends.
		input, err := ended.StdinPipe()
		So(err, ShouldBeNil)
		So(ended.Start(), ShouldBeNil)
		process := process(ended.Process.Pid)
		So(input.Close(), ShouldBeNil)
		So(ended.Wait(), ShouldBeNil)
		for _, it := range []struct {
			process string
			age     time.Duration
			open    bool
			wanted  string
		}{
			{"another-boot pid:[1] 1 1", 29 * time.Second, true, "ends with an error, or waits with --wait"},
			{"another-boot pid:[1] 1 1", 31 * time.Second, true, "watches it for 30 s, then takes its lock, and restores the version that ran before"},
			{"another-boot pid:[1] 1 1", 31 * time.Second, false, "watches it for 30 s, then takes its lock"},
			{process, time.Second, true, "takes its lock at once, and restores the version that ran before"},
			{process, time.Second, false, "takes its lock at once"},
		} {
			So((&HeldError{process: it.process}).Outlook(it.age, it.open), ShouldEndWith, it.wanted)
		}
	})
}

func TestHolderThatMayBeDead(t *testing.T) {
	ctx := context.Background()
	Convey("Given the lock of a process on another machine", t, func() {
		m := &memory{}
		id := elsewhere(m, "web")
		var told []string
		watching := func(held *HeldError) { told = append(told, held.Holder) }

		Convey("whose beat stands still, it is dead after 30 s, and its lock is taken", func() {
			clock := &quick{}
			lock, err := take(ctx, m, "web", taken, false, watching, clock)
			So(err, ShouldBeNil)
			So(clock.passed, ShouldBeGreaterThanOrEqualTo, deadAfter)
			So(lock.Dead.Holder, ShouldEqual, "eve on earth")
			So(lock.Dead.Phase, ShouldEqual, "building")
			So(told, ShouldResemble, []string{"eve on earth"})
			So(lock.id, ShouldNotEqual, id)
			lock.stop()
		})
		for _, after := range []time.Duration{time.Second, 6 * time.Second, 29 * time.Second, 30 * time.Second} {
			Convey(fmt.Sprintf("whose beat moves after %v, it lives, and nobody robs it", after), func() {
				clock := &quick{happen: func(passed time.Duration) {
					if passed >= after {
						_ = m.LabelConfig(ctx, id, map[string]string{labelBeat: "1"}, nil)
					}
				}}
				_, err := take(ctx, m, "web", taken, false, watching, clock)
				var held *HeldError
				So(errors.As(err, &held), ShouldBeTrue)
				So(held.Holder, ShouldEqual, "eve on earth")
				So(m.configs, ShouldHaveLength, 1)
				So(m.configs[0].ID, ShouldEqual, id)
			})
		}
		Convey("which ends while it is watched, the lock is not forced: it is somebody's or free, as it comes", func() {
			clock := &quick{happen: func(passed time.Duration) {
				if passed == 3*time.Second {
					_ = m.RemoveConfig(ctx, id)
					id = elsewhere(m, "web")
				}
			}}
			_, err := take(ctx, m, "web", taken, false, watching, clock)
			So(err, ShouldHaveSameTypeAs, &HeldError{})
			So(m.configs[0].ID, ShouldEqual, id)
		})
		Convey("whoever wants to wait, waits until it is free", func() {
			n := 0
			clock := &quick{happen: func(passed time.Duration) {
				n++
				if n < 100 {
					_ = m.LabelConfig(ctx, id, map[string]string{labelBeat: fmt.Sprint(n)}, nil)
				} else {
					_ = m.RemoveConfig(ctx, id)
				}
			}}
			lock, err := take(ctx, m, "web", taken, true, watching, clock)
			So(err, ShouldBeNil)
			So(lock.Dead, ShouldBeNil)
			So(told, ShouldHaveLength, 1)
			lock.stop()
		})
		Convey("an interruption ends the watch", func() {
			interrupted, interrupt := context.WithCancel(ctx)
			interrupt()
			_, err := take(interrupted, m, "web", taken, false, watching, RealClock{})
			So(err, ShouldEqual, context.Canceled)
			So(m.configs[0].ID, ShouldEqual, id)
		})
	})
	Convey("A holder of this very machine that has ended is known at once", t, func() {
		m := &memory{}
		id := elsewhere(m, "web")
		child := exec.Command("sleep", "60")
		So(child.Start(), ShouldBeNil)
		So(m.LabelConfig(ctx, id, map[string]string{labelProcess: process(child.Process.Pid)}, nil), ShouldBeNil)
		held, err := Held(ctx, m, "web")
		So(err, ShouldBeNil)
		So(isGone(held.process), ShouldBeFalse)
		So(child.Process.Kill(), ShouldBeNil)
		_ = child.Wait()
		lock, err := take(ctx, m, "web", taken, false, nobody, still{})
		So(err, ShouldBeNil)
		So(lock.Dead.id, ShouldEqual, id)
	})
	for what, was := range map[string]string{"no process": "", "another boot's": "b pid:[1] 1 1", "half a process": "b pid:[1]"} {
		Convey("Of "+what+" nothing is known at once", t, func() { So(isGone(was), ShouldBeFalse) })
	}
	Convey("A process that has the number of one that has ended is another", t, func() {
		self := process(os.Getpid())
		So(isGone(self), ShouldBeFalse)
		So(isGone(self+"0"), ShouldBeTrue)
	})
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("only root can make such a place for a process")
	}
}

// TestHiddenProcess runs itself as another user, where proc hides the processes of others.
func TestHiddenProcess(t *testing.T) {
	if was := os.Getenv("HIDDEN_PROCESS"); was != "" {
		_, err := os.Stat("/proc/" + strings.Fields(was)[2])
		fmt.Printf("hidden: %v, own: %v, gone: %v\n", err != nil, process(os.Getpid()) != "", isGone(was))
		os.Exit(0)
	}
	needRoot(t)
	ask := func(was string) string {
		binary, err := os.Executable()
		So(err, ShouldBeNil)
		file, err := os.Open(binary) // The directory that it is in is closed to others.
		So(err, ShouldBeNil)
		defer file.Close()
		other := exec.Command("unshare", "--mount", "sh", "-c", `
			mount -t proc -o hidepid=2 proc /proc &&
			exec setpriv --reuid=65534 --regid=65534 --clear-groups /proc/self/fd/3 -test.run='^TestHiddenProcess$'`)
		other.Env = append(os.Environ(), "HIDDEN_PROCESS="+was)
		other.ExtraFiles = []*os.File{file}
		said, err := other.CombinedOutput()
		So(string(said), ShouldStartWith, "hidden: ")
		So(err, ShouldBeNil)
		return string(said)
	}
	Convey("A process of another user that cannot be seen is not taken for one that has ended", t, func() {
		So(ask(process(os.Getpid())), ShouldEqual, "hidden: true, own: true, gone: false\n")
		ended := exec.Command("true")
		So(ended.Run(), ShouldBeNil)
		fields := strings.Fields(process(os.Getpid()))
		fields[2] = strconv.Itoa(ended.Process.Pid)
		So(ask(strings.Join(fields, " ")), ShouldEqual, "hidden: true, own: true, gone: true\n")
	})
}

func TestBeat(t *testing.T) {
	ctx := context.Background()
	Convey("Given a holder", t, func() {
		m := &locked{memory: &memory{}}
		steps := make(chan chan struct{})
		lock, err := take(ctx, m, "web", taken, false, nobody, stepping(steps))
		So(err, ShouldBeNil)
		step := func() { // One interval passes, and the work after it is done.
			done := make(chan struct{})
			steps <- done
			steps <- make(chan struct{})
		}
		beat := func() string {
			held, err := Held(ctx, m, "web")
			So(err, ShouldBeNil)
			return held.beat + " " + held.Phase
		}
		Convey("its beat moves, and tells what it does", func() {
			So(beat(), ShouldEqual, "0 ")
			lock.Say("building")
			step()
			first := beat()
			So(first, ShouldEndWith, " building")
			step()
			So(beat(), ShouldNotEqual, first)
			So(lock.Free(ctx), ShouldBeNil)
		})
		Convey("what it does is told at once, not with the beat of the next interval", func() {
			quiet := &locked{memory: &memory{}}
			other, err := take(ctx, quiet, "web", taken, false, nobody, still{})
			So(err, ShouldBeNil)
			for _, phase := range []string{"building", "planning", "trying"} {
				other.Say(phase)
				told := func() bool {
					held, err := Held(ctx, quiet, "web")
					return err == nil && held.Phase == phase
				}
				for deadline := time.Now().Add(5 * time.Second); !told() && time.Now().Before(deadline); time.Sleep(time.Millisecond) {
				}
				So(told(), ShouldBeTrue)
			}
			So(other.Free(ctx), ShouldBeNil)
			So(lock.Free(ctx), ShouldBeNil)
		})
		Convey("a beat that the swarm did not take is followed by the next one after a second, not after five", func() {
			intervals := make(chan time.Duration)
			broken := &locked{memory: &memory{}}
			late, err := take(ctx, broken, "web", taken, false, nobody, telling(intervals))
			So(err, ShouldBeNil)
			broken.breaks(errors.New("i/o timeout"))
			So(<-intervals, ShouldEqual, 5*time.Second)
			So(<-intervals, ShouldEqual, time.Second)
			broken.breaks(nil) // Perhaps while the second beat fails.
			So(<-intervals, ShouldBeIn, time.Second, 5*time.Second)
			So(<-intervals, ShouldEqual, 5*time.Second)
			So(late.Free(ctx), ShouldBeNil)
			So(lock.Free(ctx), ShouldBeNil)
		})
		Convey("it finds out by itself that its lock was taken", func() {
			within, done := lock.While(ctx)
			defer done()
			So(m.RemoveConfig(ctx, lock.id), ShouldBeNil)
			steps <- make(chan struct{})
			<-within.Done()
			So(context.Cause(within), ShouldEqual, ErrLost)
		})
	})
}

// A stepping clock lets an interval pass each time that it is told so.
type stepping chan chan struct{}

func (s stepping) Sleep(ctx context.Context, _ time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-s:
		return nil
	}
}

// A telling clock lets an interval pass when somebody receives its length.
type telling chan time.Duration

func (t telling) Sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case t <- d:
		return nil
	}
}

type config = swarm.Config

// A locked memory may be used by several at once.
type locked struct {
	*memory
	sync.Mutex
}

func (l *locked) LabelConfig(ctx context.Context, id string, labels map[string]string, only func(map[string]string) bool) error {
	l.Lock()
	defer l.Unlock()
	if !slices.ContainsFunc(l.configs, func(one config) bool { return one.ID == id }) {
		return errors.New("no such config")
	}
	return l.memory.LabelConfig(ctx, id, labels, only)
}

// breaks makes each call fail with this error; nil repairs it.
func (l *locked) breaks(err error) {
	l.Lock()
	defer l.Unlock()
	l.broken = err
}

func (l *locked) RemoveConfig(ctx context.Context, id string) error {
	l.Lock()
	defer l.Unlock()
	return l.memory.RemoveConfig(ctx, id)
}

func (l *locked) Configs(ctx context.Context, prefix string) ([]config, error) {
	l.Lock()
	defer l.Unlock()
	found, err := l.memory.Configs(ctx, prefix)
	for i := range found {
		found[i].Spec.Labels = maps.Clone(found[i].Spec.Labels)
	}
	return found, err
}

// refusing is an engine that stores nothing.
type refusing struct{ *memory }

func (refusing) CreateConfig(context.Context, string, map[string]string, []byte) (string, error) {
	return "", errors.New("too large")
}

// vanishing is an engine on which a lock disappears between the try and the look.
type vanishing struct{ *memory }

func (vanishing) CreateConfig(context.Context, string, map[string]string, []byte) (string, error) {
	return "", errTaken
}
