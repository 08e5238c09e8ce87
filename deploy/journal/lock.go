package journal

import (
	"context"
	"errors"
	"fmt"
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
)

// A holder that lives moves its beat every beatInterval. It is dead once somebody has seen the
// beat stand still for deadAfter: longer than the election of a leader, which takes 10.5 s.
const (
	beatInterval = 5 * time.Second
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
		return "its process has ended, so the next deploy or rollback takes its place at once, and restores what ran before"
	case age > deadAfter:
		return fmt.Sprintf("it seems to have died: the next deploy or rollback watches it for %d s, and then takes its place, and restores what ran before", int(deadAfter.Seconds()))
	}
	return "the next deploy or rollback is refused, or waits for it: --wait"
}

// ErrLost tells that somebody else has taken the lock, as this process seemed to be dead.
var ErrLost = errors.New("another deploy took this one for dead, and goes on in its place")

// Take takes the lock of a service. The swarm creates a config of a name only once, so one of
// several takers wins. Where somebody else holds it, Take watches whether that one lives: then
// it fails with a HeldError, or with wait it goes on until the lock is free. The lock of one
// that has died is removed. watching is called once for each holder.
func Take(ctx context.Context, engine Engine, service string, taken func(error) bool, wait bool, watching func(*HeldError), clock Clock) (*Lock, error) {
	lock := &Lock{engine: engine, name: prefix(service) + "lock"}
	labels := map[string]string{labelHolder: Holder(), labelSince: time.Now().Format("2006-01-02 15:04:05 -0700"), labelProcess: process(os.Getpid()), labelBeat: "0"}
	seen := ""
	for gone := 0; ; {
		var err error
		if lock.id, err = engine.CreateConfig(ctx, lock.name, labels, []byte(Holder())); err == nil {
			lock.beat(clock)
			return lock, nil
		}
		if !taken(err) {
			return nil, err
		}
		held, err := Held(ctx, engine, service)
		if err != nil {
			return nil, err
		}
		if held == nil {
			if gone++; gone > 3 {
				return nil, &HeldError{Service: service, Holder: "deploys that come and go", Since: "just now"}
			}
			continue // It has just been freed.
		}
		if held.id != seen {
			watching(held)
			seen = held.id
		}
		dead, err := isDead(ctx, engine, held, clock)
		switch {
		case err != nil:
			return nil, err
		case dead: // By its id: a holder that wakes up later finds it gone, and never takes another's for its own.
			if err := engine.RemoveConfig(ctx, held.id); err != nil {
				return nil, err
			}
			lock.Dead = held
		case !wait:
			return nil, held
		default:
			if err := clock.Sleep(ctx, lookInterval); err != nil {
				return nil, err
			}
		}
	}
}

// isDead watches a holder until its beat moves, or has not moved for so long that it is dead.
// One that was a process of this very machine is known at once.
func isDead(ctx context.Context, engine Engine, held *HeldError, clock Clock) (bool, error) {
	if isGone(held.process) {
		return true, nil
	}
	// Looks are counted, not time: who was suspended in between has not looked.
	for range deadAfter / lookInterval {
		if err := clock.Sleep(ctx, lookInterval); err != nil {
			return false, err
		}
		now, err := Held(ctx, engine, held.Service)
		if err != nil {
			return false, err
		}
		if now == nil || now.id != held.id || now.beat != held.beat {
			return false, nil
		}
	}
	return true, nil
}

// beat moves the beat until the lock is freed, or lost.
func (l *Lock) beat(clock Clock) {
	ctx, stop := context.WithCancel(context.Background())
	l.stop = stop
	l.lost, l.lose = context.WithCancel(context.Background())
	l.beats.Go(func() {
		for n, next := 1, beatInterval; clock.Sleep(ctx, next) == nil; n++ {
			next = beatInterval
			if err := l.move(ctx, n); errors.Is(err, ErrLost) {
				return
			} else if err != nil {
				next = lookInterval // Whoever watches takes a long silence for death.
			}
		}
	})
}

// move moves the beat once, or finds out that the lock is lost. A network that is lost tells
// nobody, so it gives up in time for the next try.
func (l *Lock) move(ctx context.Context, n int) error {
	ctx, cancel := context.WithTimeout(ctx, beatInterval)
	defer cancel()
	labels := map[string]string{labelBeat: strconv.Itoa(n)}
	if phase := l.phase.Load(); phase != nil {
		labels[labelPhase] = *phase
	}
	err := l.engine.LabelConfig(ctx, l.id, labels)
	if err == nil {
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
	return slices.ContainsFunc(found, func(one swarm.Config) bool { return one.ID == l.id }), err
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

// Say tells others, with the next beat, what the holder does now.
func (l *Lock) Say(phase string) { l.phase.Store(&phase) }

// Held returns who holds the lock of a service, or nil.
func Held(ctx context.Context, engine Engine, service string) (*HeldError, error) {
	held, err := engine.Configs(ctx, prefix(service)+"lock")
	if err != nil || len(held) == 0 {
		return nil, err
	}
	return heldBy(service, held[0]), nil
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
		return fmt.Errorf("the lock %s is left behind: %w; the next deploy finds out that nobody holds it", l.name, err)
	}
	return nil
}

// process identifies a process of this machine, as long as it runs: by the boot, the pid
// namespace, the pid, and when it began, from proc(5). "" where there is no such proc.
func process(pid int) string {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	space, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return ""
	}
	began, ended := start(pid)
	if began == "" || ended {
		return ""
	}
	return fmt.Sprintf("%s %s %d %s", strings.TrimSpace(string(boot)), space, pid, began)
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
