package main

import (
	"bytes"
	"io"
	"log/slog"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

const (
	// logPatience is how long a log line may wait for the write of an earlier line.
	logPatience = 100 * time.Millisecond
	// maxLogSize is the largest size of all waiting lines together, in bytes.
	maxLogSize = 2 << 20
)

// A logWriter writes log lines without delay for its callers, even if the log is a pipe
// that nobody reads. A goroutine writes the lines, and drops those that have waited too
// long. It cannot cancel a write that has begun, so this one line may arrive late.
type logWriter struct {
	to   io.Writer
	done chan struct{} // closed after the last write

	mu      sync.Mutex
	changed sync.Cond // tells of changes of waiting and closed
	waiting []logLine
	size    int       // of the waiting lines, in bytes
	writing time.Time // when the current write began; zero: there is none
	closed  bool
	dropped int
}

type logLine struct {
	text  []byte
	since time.Time
}

// newLogWriter returns a logWriter that writes to w. When lines were dropped, it calls tell
// after the next write that succeeds, with the number of all lines dropped so far.
func newLogWriter(w io.Writer, tell func(dropped int)) *logWriter {
	l := &logWriter{to: w, done: make(chan struct{})}
	l.changed.L = &l.mu
	go l.writeAll(tell)
	return l
}

// startLog returns a logger that writes to stdout, and its logWriter, which the caller must
// close. It makes the process ignore SIGPIPE: when the reader of stdout goes away, writes
// fail, and the process continues.
func (c *config) startLog(stdout io.Writer) (*slog.Logger, *logWriter) {
	signal.Ignore(syscall.SIGPIPE)
	var log *slog.Logger
	w := newLogWriter(stdout, func(dropped int) {
		log.Warn("Log lines were dropped, because nobody read them in time", "since_start", dropped)
	})
	// No line is written before log is set, so the function above finds it set.
	log = slog.New(slog.NewTextHandler(w, nil))
	if c.logFormat == "json" {
		log = slog.New(slog.NewJSONHandler(w, nil))
	}
	return log, w
}

// Write takes one line and returns at once. It never fails.
func (l *logWriter) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dropLate()
	if l.closed || l.size+len(line) > maxLogSize {
		l.dropped++
		return len(line), nil
	}
	l.waiting = append(l.waiting, logLine{bytes.Clone(line), time.Now()})
	l.size += len(line)
	l.changed.Signal()
	return len(line), nil
}

// Dropped returns the number of lines dropped so far.
func (l *logWriter) Dropped() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dropLate()
	return l.dropped
}

// close waits until all lines are written, for logPatience at most.
func (l *logWriter) close() {
	l.mu.Lock()
	l.closed = true
	l.changed.Signal()
	l.mu.Unlock()
	select {
	case <-l.done:
	case <-time.After(logPatience):
	}
}

// dropLate drops lines that have waited too long for a slow write. Its callers hold the lock.
func (l *logWriter) dropLate() {
	if l.writing.IsZero() || time.Since(l.writing) <= logPatience {
		return // No write is slow. Lines may wait for a processor, on a busy machine.
	}
	for len(l.waiting) > 0 && time.Since(l.waiting[0].since) > logPatience {
		l.take()
		l.dropped++
	}
}

// take removes the first waiting line and returns it. Its callers hold the lock.
func (l *logWriter) take() []byte {
	line := l.waiting[0].text
	l.waiting = l.waiting[1:]
	l.size -= len(line)
	return line
}

// next waits for a line and returns it. ok is false when the log is closed and empty.
func (l *logWriter) next() (line []byte, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dropLate()
	l.writing = time.Time{}
	for len(l.waiting) == 0 {
		if l.closed {
			return nil, false
		}
		l.changed.Wait()
	}
	l.writing = time.Now()
	return l.take(), true
}

func (l *logWriter) writeAll(tell func(dropped int)) {
	defer close(l.done)
	told := 0
	for line, ok := l.next(); ok; line, ok = l.next() {
		if _, err := l.to.Write(line); err != nil {
			l.mu.Lock()
			l.dropped++
			l.mu.Unlock()
		} else if dropped := l.Dropped(); dropped > told {
			told = dropped
			tell(dropped)
		}
	}
}
