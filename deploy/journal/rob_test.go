package journal

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/moby/moby/api/types/swarm"
	. "github.com/smartystreets/goconvey/convey"
)

// A slow engine answers each call after some time. A write that is given up has no effect.
type slow struct {
	*locked
	read, write time.Duration
}

func (s slow) wait(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

func (s slow) Configs(ctx context.Context, prefix string) ([]config, error) {
	if err := s.wait(ctx, s.read); err != nil {
		return nil, err
	}
	return s.locked.Configs(ctx, prefix)
}

func (s slow) LabelConfig(ctx context.Context, id string, labels map[string]string, only func(map[string]string) bool) error {
	if err := s.wait(ctx, s.read); err != nil { // It is read first.
		return err
	}
	if err := s.wait(ctx, s.write); err != nil {
		return err
	}
	return s.locked.LabelConfig(ctx, id, labels, only)
}

func TestRobSlowEngine(t *testing.T) {
	for _, it := range []struct{ read, write time.Duration }{
		{3 * time.Second, 3 * time.Second}, {10 * time.Millisecond, 7 * time.Second}, {4900 * time.Millisecond, 4900 * time.Millisecond},
	} {
		Convey(fmt.Sprintf("On an engine whose reads take %v, and writes %v, a living holder is not robbed", it.read, it.write), t, func() {
			var err error
			// Here, the beat uses the clock of the machine, so the test runs in a bubble with its own
			// time.
			synctest.Test(t, func(*testing.T) {
				m := slow{&locked{memory: &memory{}}, it.read, it.write}
				lock, _ := take(context.Background(), m, "web", taken, false, nobody, RealClock{})
				m.Lock()
				_ = m.memory.LabelConfig(context.Background(), lock.id, map[string]string{labelProcess: "another-boot pid:[1] 1 1"}, nil)
				m.Unlock()
				var other *Lock
				other, err = take(context.Background(), m, "web", taken, false, nobody, RealClock{})
				if other != nil {
					_ = other.Free(context.Background())
				}
				_ = lock.Free(context.Background())
			})
			So(err, ShouldHaveSameTypeAs, &HeldError{})
		})
	}
}

func TestRobSlowLink(t *testing.T) {
	Convey("Over a slow link, the dead holders of ten services are found out in little more than 30 s", t, func() {
		var services []string
		var took time.Duration
		var err error
		m := slow{&locked{memory: &memory{}}, 300 * time.Millisecond, 300 * time.Millisecond}
		for n := range 10 {
			services = append(services, fmt.Sprint("web", n))
			elsewhere(m.memory, services[n])
		}
		synctest.Test(t, func(*testing.T) {
			taker := &Taker{Engine: m, Services: services, IsTaken: taken, Watching: nobody, Clock: RealClock{}}
			began := time.Now()
			var lock *Lock
			if lock, err = taker.Take(context.Background(), "web0"); err == nil {
				took = time.Since(began)
				_ = lock.Free(context.Background())
			}
		})
		So(err, ShouldBeNil)
		So(took, ShouldBeLessThan, 42*time.Second)
	})
}

// TestRobTimeNamespace runs itself in another time namespace: /proc shows start times by the
// clock of the reader's namespace.
func TestRobTimeNamespace(t *testing.T) {
	if os.Getenv("ROB_PROCESS") != "" {
		fmt.Println("mine:", process(os.Getpid()))
		_, _ = io.Copy(io.Discard, os.Stdin) // Until the test has seen enough.
		os.Exit(0)
	}
	needRoot(t)
	Convey("A living process in another time namespace, and the same pid namespace, is not taken for gone", t, func() {
		binary, err := os.Executable()
		So(err, ShouldBeNil)
		child := exec.Command("unshare", "--time", "--boottime", "1000", "--fork", binary, "-test.run=^TestRobTimeNamespace$")
		child.Env = append(os.Environ(), "ROB_PROCESS=1")
		out, err := child.StdoutPipe()
		So(err, ShouldBeNil)
		in, err := child.StdinPipe()
		So(err, ShouldBeNil)
		So(child.Start(), ShouldBeNil)
		defer func() {
			in.Close()
			_ = child.Wait()
		}()
		said, err := bufio.NewReader(out).ReadString('\n')
		So(err, ShouldBeNil)
		was := strings.TrimPrefix(said, "mine: ")
		So(strings.Fields(was), ShouldHaveLength, 4)
		So(isGone(was), ShouldBeFalse)
	})
}

// TestRobForeignProc runs itself in a pid namespace with the /proc of another namespace:
// there, /proc/PID is another process.
func TestRobForeignProc(t *testing.T) {
	if os.Getenv("ROB_PROC") != "" {
		fmt.Printf("mine: %q\n", process(os.Getpid()))
		os.Exit(0)
	}
	needRoot(t)
	Convey("Where proc is another pid namespace's, a process is not named by a stranger's start time", t, func() {
		binary, err := os.Executable()
		So(err, ShouldBeNil)
		child := exec.Command("unshare", "--pid", "--fork", binary, "-test.run=^TestRobForeignProc$")
		child.Env = append(os.Environ(), "ROB_PROC=1")
		said, err := child.CombinedOutput()
		So(err, ShouldBeNil)
		So(string(said), ShouldEqual, "mine: \"\"\n")
	})
}

func TestRobPrefix(t *testing.T) {
	Convey("A config whose name only begins as the lock's is none", t, func() {
		m := &memory{}
		_, err := m.CreateConfig(context.Background(), "web.deploy.lock.bak", map[string]string{}, []byte("mine"))
		So(err, ShouldBeNil)
		held, err := Held(context.Background(), m, "web")
		So(err, ShouldBeNil)
		So(held, ShouldBeNil)
		elsewhere(m, "web")
		m.configs[0], m.configs[1] = m.configs[1], m.configs[0]
		lock, err := take(context.Background(), m, "web", taken, false, nobody, &quick{})
		So(err, ShouldBeNil)
		defer lock.stop()
		So(m.names(), ShouldContain, "web.deploy.lock.bak")
	})
}

// asleep calls a function between the last look and the next write.
type asleep struct {
	*memory
	wake func()
}

func (a *asleep) LabelConfig(ctx context.Context, id string, labels map[string]string, only func(map[string]string) bool) error {
	if wake := a.wake; wake != nil {
		a.wake = nil
		wake()
	}
	return a.memory.LabelConfig(ctx, id, labels, only)
}

func TestRobAfterTheLastLook(t *testing.T) {
	Convey("A watcher that slept for an hour after its last look does not rob a holder whose beat moved in that hour", t, func() {
		m := &asleep{memory: &memory{}}
		id := elsewhere(m.memory, "web")
		m.wake = func() {
			for n := range 720 {
				_ = m.LabelConfig(context.Background(), id, map[string]string{labelBeat: fmt.Sprint(n + 1)}, nil)
			}
		}
		_, err := take(context.Background(), m, "web", taken, false, nobody, &quick{})
		So(err, ShouldHaveSameTypeAs, &HeldError{})
		So(m.configs[0].ID, ShouldEqual, id)
	})
}

func TestRobSeveralLocks(t *testing.T) {
	services := []string{"a", "b", "c"}
	for _, it := range []struct {
		what  string
		lives bool // c's holder, which shows it while all are watched
	}{{"Three locks of deploys that are dead are all taken within 30 s", false}, {"Of three locks, the one whose beat moved is not taken with the others", true}} {
		Convey(it.what, t, func() {
			m := &memory{}
			last := ""
			for _, service := range services {
				last = elsewhere(m, service)
			}
			looks := 0
			clock := &quick{happen: func(time.Duration) {
				if looks++; it.lives {
					_ = m.LabelConfig(context.Background(), last, map[string]string{labelBeat: fmt.Sprint(looks)}, nil)
				}
			}}
			taker := &Taker{Engine: m, Services: services, IsTaken: taken, Watching: nobody, Clock: clock}
			for _, service := range services {
				lock, err := taker.Take(context.Background(), service)
				if service == "c" && it.lives {
					So(err, ShouldHaveSameTypeAs, &HeldError{})
					continue
				}
				So(err, ShouldBeNil)
				lock.stop()
			}
			So(clock.passed, ShouldBeLessThan, 35*time.Second)
		})
	}
}

// freed frees the lock for a moment at each tenth creation. Then it is taken again at once.
type freed struct {
	*memory
	n     int
	tried bool
}

func (f *freed) CreateConfig(ctx context.Context, name string, labels map[string]string, data []byte) (string, error) {
	f.tried = true
	return f.memory.CreateConfig(ctx, name, labels, data)
}

func (f *freed) Configs(ctx context.Context, prefix string) ([]swarm.Config, error) {
	found, err := f.memory.Configs(ctx, prefix)
	tried := f.tried
	if f.tried = false; !tried {
		return found, err
	}
	if f.n++; f.n%10 == 0 { // Just now somebody frees it; the next one takes it.
		return nil, err
	}
	return found, err
}

func TestRobWaits(t *testing.T) {
	Convey("Who waits, waits while others deploy one after the other", t, func() {
		m := &freed{memory: &memory{}}
		id := elsewhere(m.memory, "web")
		n := 0
		clock := &quick{happen: func(time.Duration) {
			if n++; n < 2000 {
				_ = m.LabelConfig(context.Background(), id, map[string]string{labelBeat: fmt.Sprint(n)}, nil)
			} else {
				_ = m.RemoveConfig(context.Background(), id)
			}
		}}
		lock, err := take(context.Background(), m, "web", taken, true, nobody, clock)
		So(err, ShouldBeNil)
		lock.stop()
	})
}

func TestRobAfterTheMark(t *testing.T) {
	Convey("A holder that wakes after its lock was marked gives way, though the lock is not removed yet", t, func() {
		var check error
		var lost bool
		beat := ""
		synctest.Test(t, func(*testing.T) {
			m := &locked{memory: &memory{}}
			lock, _ := take(context.Background(), m, "web", taken, false, nobody, RealClock{})
			_ = m.LabelConfig(context.Background(), lock.id, map[string]string{labelTaker: "eve on earth"}, nil)
			time.Sleep(3 * beatInterval)
			lost = lock.lost.Err() != nil // The beat has found it out by itself.
			found, _ := m.Configs(context.Background(), "")
			beat = found[0].Spec.Labels[labelBeat]
			check = lock.Check(context.Background())
			_ = lock.Free(context.Background())
		})
		So(lost, ShouldBeTrue)
		So(beat, ShouldEqual, "0")
		So(check, ShouldEqual, ErrLost)
	})
}
