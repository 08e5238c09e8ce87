package main

import (
	"container/list"
	"errors"
	"math"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"syscall"
	"time"
)

// lazyConn is a connection that saves net/http's server some work for each request.
// BenchmarkConn shows how much. It suits handlers that answer at once and read no body: the
// context of a request does not end when its client goes away.
//
// One goroutine serves the connection. The fields that are atomic are also used by the
// goroutine in which net/http reads ahead, and by a room that is full.
type lazyConn struct {
	net.Conn // Not *net.TCPConn: its ReadFrom would write without these deadlines.

	state       atomic.Int32 // An http.ConnState, or parking.
	leave       atomic.Int32 // 0, or how it must make room.
	read, write deadline

	tail     [4]byte // The last bytes that were read.
	early    [1]byte // A byte that was read before net/http had the connection.
	hasEarly bool

	list *list.List // The list of the room that has it, or nil.
	at   *list.Element
}

// parking is one more state than those of net/http. The server has closed the connection, but
// it stays open and goes back to its room.
const parking = int32(http.StateClosed) + 1

// How a connection may be asked to make room.
const (
	leaveServer = iota + 1 // Go back to the room when it is idle.
	leaveIdle              // Close when it is idle.
	leaveNow               // Close at once.
)

// idle reports whether the connection waits for its next request, or for the rest of its
// header.
func (c *lazyConn) idle() bool { return c.state.Load() == int32(http.StateIdle) }

// Read reads like any connection, with one exception: during a request, and after the last
// request, a read of one byte returns 0 bytes at once. In a goroutine of its own, net/http
// reads one byte to notice when the client goes away. This goroutine need not wait, nor be
// woken after the response. That saves 4 % of a request. net/http also reads one byte when a
// body has a trailer of 4 KiB. Then the connection is closed after the answer.
func (c *lazyConn) Read(p []byte) (int, error) {
	if len(p) == 1 && c.state.Load() != int32(http.StateNew) && !c.idle() {
		return 0, nil
	}
	if c.hasEarly {
		c.hasEarly = false
		return copy(p, c.early[:]), nil
	}
	c.heed(&c.read, c.Conn.SetReadDeadline)
	for {
		n, err := c.Conn.Read(p)
		if !c.rearm(&c.read, err, c.Conn.SetReadDeadline) {
			// The last bytes were the end of a header, so net/http holds no part of the next
			// request that would be lost.
			if err == nil {
				last := min(n, len(c.tail))
				copy(c.tail[:], c.tail[last:])
				copy(c.tail[len(c.tail)-last:], p[n-last:n])
			} else if c.idle() && errors.Is(err, os.ErrDeadlineExceeded) && c.leave.Load() <= leaveServer && string(c.tail[:]) == "\r\n\r\n" {
				c.state.Store(parking)
			}
			return n, err
		}
	}
}

func (c *lazyConn) Write(p []byte) (int, error) {
	c.heed(&c.write, c.Conn.SetWriteDeadline)
	written := 0
	for {
		n, err := c.Conn.Write(p[written:])
		written += n
		if !c.rearm(&c.write, err, c.Conn.SetWriteDeadline) {
			return written, err
		}
	}
}

// CloseWrite lets net/http end its own direction first, for an orderly close.
func (c *lazyConn) CloseWrite() error { return c.Conn.(*net.TCPConn).CloseWrite() }

// Close closes the connection, unless it goes back to its room.
func (c *lazyConn) Close() error {
	if c.state.Load() == parking {
		return nil
	}
	return c.Conn.Close()
}

func (c *lazyConn) SetReadDeadline(t time.Time) error {
	c.read.want(t)
	return nil
}

func (c *lazyConn) SetWriteDeadline(t time.Time) error {
	c.write.want(t)
	return nil
}

func (c *lazyConn) SetDeadline(t time.Time) error {
	c.read.want(t)
	c.write.want(t)
	return nil
}

// net/http sets a deadline several times in each request, and hardly any deadline ever
// passes. To tell the runtime each time costs 10 % of a request, more than to read an
// account. So the runtime is told at once only of a deadline that is earlier than the one
// it knows. It is told of a later one, or of none, when the one it knows has passed.
type deadline struct {
	wanted atomic.Int64 // set by net/http, in ns after epoch; zero: none
	armed  int64        // known to the runtime, in ns after epoch; zero: none
}

// Deadlines count from epoch. They are numbers, because a time.Time would need a lock.
var epoch = time.Now()

func (d *deadline) want(t time.Time) {
	wanted := int64(0)
	if !t.IsZero() {
		wanted = int64(t.Sub(epoch))
	}
	d.wanted.Store(wanted)
}

// heed arms the wanted deadline if it is earlier than the armed one.
func (c *lazyConn) heed(d *deadline, arm func(time.Time) error) {
	if wanted := d.wanted.Load(); wanted != 0 && (d.armed == 0 || wanted < d.armed) {
		_ = c.arm(d, arm) // It fails only if the connection is closed. Then the next call fails too.
	}
}

// rearm arms the wanted deadline if err is from an earlier one. Then it returns true, and
// the caller must repeat the call that failed.
func (c *lazyConn) rearm(d *deadline, err error, arm func(time.Time) error) bool {
	if !errors.Is(err, os.ErrDeadlineExceeded) || c.leaves() {
		return false
	}
	if wanted := d.wanted.Load(); wanted != 0 && int64(time.Since(epoch)) >= wanted {
		return false
	}
	return c.arm(d, arm) == nil
}

func (c *lazyConn) arm(d *deadline, arm func(time.Time) error) error {
	var until time.Time
	if d.armed = d.wanted.Load(); d.armed != 0 {
		until = epoch.Add(time.Duration(d.armed))
	}
	err := arm(until)
	if c.leaves() { // ask may have come first, and arm has replaced its deadline.
		err = arm(longAgo)
	}
	return err
}

// longAgo is a deadline that ends a waiting read or write at once.
var longAgo = time.Unix(1, 0)

// ask makes a connection leave. Its waiting read ends at once, and with leaveNow its waiting
// write too.
func (c *lazyConn) ask(leave int32) {
	c.leave.Store(leave)
	// These fail only if the connection is closed, and so has left.
	_ = c.Conn.SetReadDeadline(longAgo)
	if leave == leaveNow {
		_ = c.Conn.SetWriteDeadline(longAgo)
	}
}

// leaves reports whether the connection was asked to leave, and must do so now.
func (c *lazyConn) leaves() bool {
	leave := c.leave.Load()
	return leave == leaveNow || leave != 0 && c.idle()
}

// hasSpoken reports whether the client has sent data that nobody has read yet.
func (c *lazyConn) hasSpoken() bool {
	raw, err := c.Conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		return false // It is closed.
	}
	n := 0
	_ = raw.Control(func(fd uintptr) {
		n, _, _ = syscall.Recvfrom(int(fd), make([]byte, 1), syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
	})
	return n > 0
}

// waitsSince returns when the connection began to wait for its client, or to answer, in ns
// after epoch. It knows this from the deadline that net/http set at that time.
func (c *lazyConn) waitsSince() int64 {
	if write := c.write.wanted.Load(); write != 0 {
		return write - int64(writeTimeout)
	}
	if read := c.read.wanted.Load(); read != 0 {
		return read - int64(headerTimeout)
	}
	return math.MaxInt64 // It waits for nothing at this moment.
}
