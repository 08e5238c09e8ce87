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

	"goblog/deploy/fault"
)

// Labels of a lock's config.
const (
	labelHolder  = "deploy.holder"
	labelSince   = "deploy.since"
	labelProcess = "deploy.process"
	labelPhase   = "deploy.phase"
	labelBeat    = "deploy.beat"
	labelTaker   = "deploy.taker" // the process that has decided that the holder is dead, and is about to remove the lock
)

// A living holder changes its beat every beatInterval. It counts as dead when another process
// has seen no new beat for deadAfter. This is longer than the election of a leader, which
// takes 10.5 s.
const (
	beatInterval = 5 * time.Second
	beatTimeout  = 11 * time.Second // two calls, which each may take as long as any other of a deploy
	shortTimeout = 5 * time.Second  // for every second try after a failed one: see beat
	lookInterval = time.Second
	deadAfter    = 30 * time.Second
)

// A Clock lets time pass: it is the clock of the machine or of a test. Clocks of two machines
// are never compared.
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

// A Lock lets one deploy of a service run at a time. Its holder shows by a beat that it is
// alive.
type Lock struct {
	engine Engine
	name   string
	id     string
	// Dead is the dead holder that the lock was taken from; nil: none.
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

// Advice says what to do when somebody else holds the lock.
func (e *HeldError) Advice() string {
	return "deploy again when it has ended, or wait for it: --wait"
}

// Outlook says what the next deploy or rollback will do about a holder with a beat of this
// age, by the swarm's clock. It is a guess: only a process that watches the beat decides. open
// tells whether the service's last entry has not ended. Otherwise there is nothing to restore:
// the holder removes the service, for example.
func (e *HeldError) Outlook(age time.Duration, open bool) string {
	restores := ""
	if open {
		restores = ", and restores the version that ran before"
	}
	switch {
	case isGone(e.process):
		return "its process has ended: the next deploy or rollback takes its lock at once" + restores
	case age > deadAfter:
		return fmt.Sprintf("it seems to have died: the next deploy or rollback watches it for %d s, then takes its lock%s", int(deadAfter.Seconds()), restores)
	}
	return "the next deploy or rollback ends with an error, or waits with --wait"
}

// ErrLost means that somebody else has taken the lock, because this process seemed to be
// dead.
var ErrLost = errors.New("another deploy decided that this one was dead, and took its lock")

// A Taker takes the locks of some services, one after the other.
type Taker struct {
	Engine   Engine
	Services []string              // the services whose locks it takes: all held locks are watched at the same time
	IsTaken  func(error) bool      // recognises the error of a name that is taken
	Wait     bool                  // for holders that live
	Watching func(held *HeldError) // is called once for each holder
	Clock    Clock
	dead     map[string]string // the beats of holders that were watched and are dead, by the ids of their locks
}

// Take takes the lock of a service. The swarm creates a config of a name only once, so one of
// several takers wins. If somebody else holds the lock, Take watches whether that holder is
// alive. If it is, Take fails with a HeldError, or with Wait it continues until the lock is
// free. If the holder is dead, Take removes its lock.
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

// isDead watches a holder until its beat changes, or until it has not changed for so long
// that the holder counts as dead. If the holder was a process of this machine, isDead knows
// at once.
func (t *Taker) isDead(ctx context.Context, held *HeldError) (bool, error) {
	if isGone(held.process) || t.dead[held.id] == held.beat && held.beat != "" {
		return true, nil
	}
	still, err := t.beats(ctx, held.Service)
	if err != nil {
		return false, err
	}
	// Looks are counted, not time: a process that was suspended in between has not looked.
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

// beats are the beats of all held locks, by the ids of the locks.
func (t *Taker) beats(ctx context.Context, service string) (map[string]string, error) {
	names := t.Services
	if !slices.Contains(names, service) {
		names = append(slices.Clone(names), service)
	}
	all, errs := make([]*HeldError, len(names)), make([]error, len(names))
	var asked sync.WaitGroup
	for i, name := range names { // At the same time: over a slow link, one after the other takes too long.
		asked.Go(fault.Caught(func() { all[i], errs[i] = Held(ctx, t.Engine, name) }))
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

// remove removes the lock of a dead holder, and tells whether the holder was still dead: this
// taker may have been suspended after its last look. So it marks the lock first, and the mark
// fails if the beat has changed. It removes the lock by its id: a holder that wakes up later
// sees that its lock is gone, and never mistakes another lock for its own.
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

// beat changes the beat again and again, until the lock is freed or lost.
func (l *Lock) beat(clock Clock) {
	ctx, stop := context.WithCancel(context.Background())
	l.stop = stop
	l.lost, l.lose = context.WithCancel(context.Background())
	l.beats.Go(fault.Caught(func() {
		next, within := beatInterval, beatTimeout
		for n := 1; l.pause(ctx, clock, next) == nil; n++ {
			err := l.move(ctx, n, within)
			switch {
			case errors.Is(err, ErrLost):
				return
			case err == nil:
				next, within = beatInterval, beatTimeout
			default:
				// To other processes, a long silence means that the holder is dead. On a lost
				// network, a connection waits longer from try to try, so every second try is
				// short, and the next one uses a new connection.
				next, within = lookInterval, beatTimeout+shortTimeout-within
			}
		}
	}))
}

// pause waits for the next beat. A new phase does not wait.
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

// move changes the beat once, or finds out that the lock is lost. A lost network gives no
// error, so move gives up in time for the next try.
func (l *Lock) move(ctx context.Context, n int, within time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, within)
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

// there tells whether the lock is still this one.
func (l *Lock) there(ctx context.Context) (bool, error) {
	found, err := l.engine.Configs(ctx, l.name)
	return slices.ContainsFunc(found, func(one swarm.Config) bool { return one.ID == l.id && one.Spec.Labels[labelTaker] == "" }), err
}

// Check checks, before a change, that the lock is still this one. Otherwise its error is
// ErrLost.
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

// Say tells others what the holder does now, with an immediate beat.
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

// Free frees the lock by its id, so it never frees the lock of somebody else.
func (l *Lock) Free(ctx context.Context) error {
	l.stop()
	l.beats.Wait()
	if err := l.engine.RemoveConfig(ctx, l.id); err != nil {
		return fmt.Errorf("the lock %s is left behind: %w; the next deploy notices that nobody holds it", l.name, err)
	}
	return nil
}

// process identifies a running process of this machine by the boot, the pid namespace, the
// time namespace, the pid and the start time, from proc(5). It is "" if there is no /proc, or
// if /proc belongs to another namespace.
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

// start tells when a process began, "" if this cannot be read, and whether it is a zombie: it
// has ended, but nobody has read its exit code yet.
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

// isGone tells whether a process of this boot and this pid namespace has ended. With the
// mount option hidepid, /proc hides the processes of other users, but a signal still finds
// them.
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
