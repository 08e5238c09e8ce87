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
	// logPatience is how long a line of the log may wait while another is being written.
	logPatience = 100 * time.Millisecond
	// maxLogSize bounds the memory that waiting lines take, in bytes.
	maxLogSize = 2 << 20
)

// A logWriter writes lines to where they are perhaps read late or never, as a full pipe.
// No caller waits: a goroutine writes, and drops what has waited too long. The one line
// that is being written cannot be taken back: it arrives late.
type logWriter struct {
	to   io.Writer
	done chan struct{} // closed when all is written

	mu      sync.Mutex
	changed sync.Cond // of waiting and closed
	waiting []logLine
	size    int       // of the lines that wait
	writing time.Time // when the write under way began; zero: there is none
	closed  bool
	dropped int
}

type logLine struct {
	text  []byte
	since time.Time
}

// newLogWriter returns a writer to w. It calls tell when lines flow again, with how many
// were dropped so far.
func newLogWriter(w io.Writer, tell func(dropped int)) *logWriter {
	l := &logWriter{to: w, done: make(chan struct{})}
	l.changed.L = &l.mu
	go l.writeAll(tell)
	return l
}

// startLog returns the log that serving writes to stdout, and its writer, to be closed.
// A reader that goes away is from now on a failed write, and not the end of the process.
func (c *config) startLog(stdout io.Writer) (*slog.Logger, *logWriter) {
	signal.Ignore(syscall.SIGPIPE)
	var log *slog.Logger
	w := newLogWriter(stdout, func(dropped int) {
		log.Warn("Log lines were dropped, as nobody read them in time", "since_start", dropped)
	})
	log = c.logger(w) // Before its first line, and so before it can tell anything.
	return log, w
}

// Write takes one line. It never fails.
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

// Dropped returns how many lines were dropped until now.
func (l *logWriter) Dropped() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dropLate()
	return l.dropped
}

// close waits until all lines are written, or have had their time.
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

// dropLate drops the lines that a write has kept waiting too long. Its callers hold the lock.
func (l *logWriter) dropLate() {
	if l.writing.IsZero() || time.Since(l.writing) <= logPatience {
		return // They may wait for a processor, which is nobody's fault.
	}
	for len(l.waiting) > 0 && time.Since(l.waiting[0].since) > logPatience {
		l.take()
		l.dropped++
	}
}

// take takes the first line that waits. Its callers hold the lock.
func (l *logWriter) take() []byte {
	line := l.waiting[0].text
	l.waiting = l.waiting[1:]
	l.size -= len(line)
	return line
}

// next waits for a line. There is none any more where ok is false.
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
