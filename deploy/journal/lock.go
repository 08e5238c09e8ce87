package journal

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/moby/moby/api/types/swarm"
)

// Labels of a lock's config.
const (
	labelHolder  = "deploy.holder"
	labelSince   = "deploy.since"
	labelProcess = "deploy.process"
	labelPhase   = "deploy.phase"
	labelBeat    = "deploy.beat"
	labelTaker   = "deploy.taker" // who has taken the holder for dead, and is about to remove the lock
)

// A holder that lives moves its beat every beatInterval. It is dead once somebody has seen the
// beat stand still for deadAfter: longer than the election of a leader, which takes 10.5 s.
const (
	beatInterval = 5 * time.Second
	beatTimeout  = 11 * time.Second // two calls, which each may take as long as any other of a deploy
	lookInterval = time.Second
	deadAfter    = 30 * time.Second
)

// A Clock lets time pass: the machine's, or that of a test. No clock of two machines is ever
// compared.
type Clock interface {
	Sleep(ctx context.Context, d time.Duration) error
}

// RealClock is the machine's.
type RealClock struct{}

// Sleep waits, or returns the error of a context that ends.
func (RealClock) Sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// A Lock lets one deploy of a service run at a time. Its holder shows that it lives by a beat.
type Lock struct {
	engine Engine
	name   string
	id     string
	// Dead is the holder that the lock was taken from, as it had died; nil: nobody.
	Dead *HeldError

	phase atomic.Pointer[string]
	told  *string // the phase that the last beat told
	wake  atomic.Pointer[context.CancelFunc]
	lost  context.Context // ends when somebody else has taken the lock
	lose  context.CancelFunc
	stop  context.CancelFunc
	beats sync.WaitGroup
}

// A HeldError says who holds the lock.
type HeldError struct {
	Service, Holder, Since, Phase string
	Beat                          time.Time // when it moved last, by the swarm's clock
	process, beat, id             string
}

func (e *HeldError) Error() string {
	text := fmt.Sprintf("%s is being deployed already, by %s since %s", e.Service, e.Holder, e.Since)
	if e.Phase != "" {
		text += ": " + e.Phase
	}
	return text
}

// Advice is what can be done about it.
func (e *HeldError) Advice() string {
	return "deploy again when it has ended, or wait for it: --wait"
}

// Outlook is what the next deploy or rollback will do about a holder whose beat is of an age,
// by the swarm's clock. It is a guess: only who watches the beat decides.
func (e *HeldError) Outlook(age time.Duration) string {
	switch {
	case isGone(e.process):
		return "its process has ended: the next deploy or rollback takes its lock at once, and restores the version that ran before"
	case age > deadAfter:
		return fmt.Sprintf("it seems to have died: the next deploy or rollback watches it for %d s, then takes its lock, and restores the version that ran before", int(deadAfter.Seconds()))
	}
	return "the next deploy or rollback ends with an error, or waits with --wait"
}

// ErrLost tells that somebody else has taken the lock, as this process seemed to be dead.
var ErrLost = errors.New("another deploy decided that this one was dead, and took its lock")

// A Taker takes the locks of some services, one after the other.
type Taker struct {
	Engine   Engine
	Services []string              // all whose locks it takes: those that are held are watched at once
	IsTaken  func(error) bool      // recognises the error of a name that is taken
	Wait     bool                  // for holders that live
	Watching func(held *HeldError) // is called once for each holder
	Clock    Clock
	dead     map[string]string // the beats of holders that were watched and are dead, by the ids of their locks
}

// Take takes the lock of a service. The swarm creates a config of a name only once, so one of
// several takers wins. Where somebody else holds it, Take watches whether that one lives: then
// it fails with a HeldError, or with Wait it goes on until the lock is free. The lock of one
// that has died is removed.
func (t *Taker) Take(ctx context.Context, service string) (*Lock, error) {
	lock := &Lock{engine: t.Engine, name: prefix(service) + "lock"}
	labels := map[string]string{
		labelHolder: Holder(), labelSince: time.Now().Format("2006-01-02 15:04:05 -0700"),
		labelProcess: process(os.Getpid()), labelBeat: "0",
	}
	seen := ""
	for gone := 0; ; {
		var err error
		if lock.id, err = t.Engine.CreateConfig(ctx, lock.name, labels, []byte(Holder())); err == nil {
			lock.beat(t.Clock)
			return lock, nil
		}
		if !t.IsTaken(err) {
			return nil, err
		}
		held, err := Held(ctx, t.Engine, service)
		switch {
		case err != nil:
			return nil, err
		case held == nil: // It has just been freed.
			if gone++; gone > 3 {
				return nil, &HeldError{Service: service, Holder: "deploys that come and go", Since: "just now"}
			}
			continue
		}
		gone = 0
		if held.id != seen {
			t.Watching(held)
			seen = held.id
		}
		dead, err := t.isDead(ctx, held)
		if err == nil && dead {
			dead, err = t.remove(ctx, held)
		}
		switch {
		case err != nil:
			return nil, err
		case dead:
			lock.Dead = held
		case !t.Wait:
			return nil, held
		default:
			if err := t.Clock.Sleep(ctx, lookInterval); err != nil {
				return nil, err
			}
		}
	}
}

// isDead watches a holder until its beat moves, or has not moved for so long that it is dead.
// One that was a process of this very machine is known at once.
func (t *Taker) isDead(ctx context.Context, held *HeldError) (bool, error) {
	if isGone(held.process) || t.dead[held.id] == held.beat && held.beat != "" {
		return true, nil
	}
	still, err := t.beats(ctx, held.Service)
	if err != nil {
		return false, err
	}
	// Looks are counted, not time: who was suspended in between has not looked.
	for range deadAfter / lookInterval {
		if err := t.Clock.Sleep(ctx, lookInterval); err != nil {
			return false, err
		}
		now, err := t.beats(ctx, held.Service)
		if err != nil {
			return false, err
		}
		if beat, there := now[held.id]; !there || beat != held.beat {
			return false, nil
		}
		maps.DeleteFunc(still, func(id, beat string) bool { return now[id] != beat })
	}
	t.dead = still
	return true, nil
}

// beats are those of all locks that are held, by the ids of the locks.
func (t *Taker) beats(ctx context.Context, service string) (map[string]string, error) {
	names := t.Services
	if !slices.Contains(names, service) {
		names = append(slices.Clone(names), service)
	}
	all, errs := make([]*HeldError, len(names)), make([]error, len(names))
	var asked sync.WaitGroup
	for i, name := range names { // At once: over a slow link, one after the other takes too long.
		asked.Go(func() { all[i], errs[i] = Held(ctx, t.Engine, name) })
	}
	asked.Wait()
	beats := map[string]string{}
	for _, held := range all {
		if held != nil {
			beats[held.id] = held.beat
		}
	}
	return beats, errors.Join(errs...)
}

// remove removes the lock of a holder that is dead, and tells whether it still was: this taker
// may have been suspended after its last look. So it marks the lock first, which cannot be
// done to one whose beat has moved. It removes the lock by its id: a holder that wakes up
// later finds it gone, and never takes another's for its own.
func (t *Taker) remove(ctx context.Context, held *HeldError) (bool, error) {
	dead := false
	err := t.Engine.LabelConfig(ctx, held.id, map[string]string{labelTaker: Holder()}, func(now map[string]string) bool {
		dead = now[labelBeat] == held.beat
		return dead
	})
	if err != nil {
		now, failure := Held(ctx, t.Engine, held.Service)
		if failure == nil && (now == nil || now.id != held.id) {
			return true, nil // Somebody else has removed it.
		}
		return false, err
	}
	if !dead {
		return false, nil
	}
	return true, t.Engine.RemoveConfig(ctx, held.id)
}

// beat moves the beat until the lock is freed, or lost.
func (l *Lock) beat(clock Clock) {
	ctx, stop := context.WithCancel(context.Background())
	l.stop = stop
	l.lost, l.lose = context.WithCancel(context.Background())
	l.beats.Go(func() {
		for n, next := 1, beatInterval; l.pause(ctx, clock, next) == nil; n++ {
			next = beatInterval
			if err := l.move(ctx, n); errors.Is(err, ErrLost) {
				return
			} else if err != nil {
				next = lookInterval // Whoever watches takes a long silence for death.
			}
		}
	})
}

// pause waits for the next beat. What the holder has to say is not waited with.
func (l *Lock) pause(ctx context.Context, clock Clock, next time.Duration) error {
	within, wake := context.WithCancel(ctx)
	defer wake()
	l.wake.Store(&wake)
	if l.phase.Load() != l.told {
		return ctx.Err()
	}
	err := clock.Sleep(within, next)
	if within.Err() != nil {
		return ctx.Err()
	}
	return err
}

// move moves the beat once, or finds out that the lock is lost. A network that is lost tells
// nobody, so it gives up in time for the next try.
func (l *Lock) move(ctx context.Context, n int) error {
	ctx, cancel := context.WithTimeout(ctx, beatTimeout)
	defer cancel()
	labels := map[string]string{labelBeat: strconv.Itoa(n)}
	if l.told = l.phase.Load(); l.told != nil {
		labels[labelPhase] = *l.told
	}
	taken := false
	err := l.engine.LabelConfig(ctx, l.id, labels, func(now map[string]string) bool {
		taken = now[labelTaker] != ""
		return !taken
	})
	if err == nil && !taken {
		return nil
	}
	if there, failure := l.there(ctx); failure == nil && !there {
		l.lose()
		return ErrLost
	}
	return err
}

// there tells whether the lock is this one still.
func (l *Lock) there(ctx context.Context) (bool, error) {
	found, err := l.engine.Configs(ctx, l.name)
	return slices.ContainsFunc(found, func(one swarm.Config) bool { return one.ID == l.id && one.Spec.Labels[labelTaker] == "" }), err
}

// Check makes sure, before a change, that the lock is this one still: else its error is ErrLost.
func (l *Lock) Check(ctx context.Context) error {
	if l.lost.Err() != nil {
		return ErrLost
	}
	there, err := l.there(ctx)
	if err == nil && !there {
		l.lose()
		return ErrLost
	}
	return err
}

// While gives a context that ends with its parent, or with the cause ErrLost when somebody else
// has taken the lock.
func (l *Lock) While(parent context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(parent)
	stop := context.AfterFunc(l.lost, func() { cancel(ErrLost) })
	return ctx, func() {
		stop()
		cancel(nil)
	}
}

// Say tells others what the holder does now, by a beat that comes at once.
func (l *Lock) Say(phase string) {
	l.phase.Store(&phase)
	if wake := l.wake.Load(); wake != nil {
		(*wake)()
	}
}

// Held returns who holds the lock of a service, or nil.
func Held(ctx context.Context, engine Engine, service string) (*HeldError, error) {
	name := prefix(service) + "lock"
	held, err := engine.Configs(ctx, name)
	for _, one := range held {
		if err == nil && one.Spec.Name == name {
			return heldBy(service, one), nil
		}
	}
	return nil, err
}

func heldBy(service string, lock swarm.Config) *HeldError {
	labels := lock.Spec.Labels
	return &HeldError{service, labels[labelHolder], labels[labelSince], labels[labelPhase], lock.UpdatedAt, labels[labelProcess], labels[labelBeat], lock.ID}
}

// Free gives the lock back: by its id, so that it never frees somebody else's.
func (l *Lock) Free(ctx context.Context) error {
	l.stop()
	l.beats.Wait()
	if err := l.engine.RemoveConfig(ctx, l.id); err != nil {
		return fmt.Errorf("the lock %s is left behind: %w; the next deploy notices that nobody holds it", l.name, err)
	}
	return nil
}

// process identifies a process of this machine, as long as it runs: by the boot, the pid
// namespace and that of time, the pid, and when it began, from proc(5). "" where there is no
// such proc, or one of another namespace.
func process(pid int) string {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	space, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return ""
	}
	clock, _ := os.Readlink("/proc/self/ns/time") // Old kernels have none.
	self, err := os.Readlink("/proc/self")
	began, ended := start(pid)
	if err != nil || self != strconv.Itoa(os.Getpid()) || began == "" || ended {
		return ""
	}
	return fmt.Sprintf("%s %s,%s %d %s", strings.TrimSpace(string(boot)), space, clock, pid, began)
}

// start tells when a process began, "" where this cannot be read, and whether it is a zombie:
// it has ended, and nobody has asked for its exit code yet.
func start(pid int) (began string, ended bool) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", false
	}
	// The command's name is in brackets and may have any character. The start time is field 22.
	_, after, _ := strings.Cut(string(stat[strings.LastIndex(string(stat), ")"):]), " ")
	fields := strings.Fields(after)
	if len(fields) < 20 {
		return "", false
	}
	return fields[19], fields[0] == "Z"
}

// isGone tells whether a process was one of this very boot and pid namespace, and has ended.
// A proc that hides the processes of other users tells nothing of them (hidepid); a signal does.
func isGone(was string) bool {
	self := strings.Fields(process(os.Getpid()))
	fields := strings.Fields(was)
	if len(self) != 4 || len(fields) != 4 || fields[0] != self[0] || fields[1] != self[1] {
		return false
	}
	pid, err := strconv.Atoi(fields[2])
	if err != nil {
		return false
	}
	if errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
		return true
	}
	began, ended := start(pid)
	return ended || began != "" && began != fields[3]
}

// Holder names this process for other people.
func Holder() string {
	return fmt.Sprintf("%s, process %d", Who(), os.Getpid())
}

// Who is the user and the host of this process.
func Who() string {
	name := "somebody"
	if current, err := user.Current(); err == nil {
		name = current.Username
	}
	host, err := os.Hostname()
	if err != nil {
		host = "an unknown host"
	}
	return strings.TrimSpace(name) + " on " + host
}
