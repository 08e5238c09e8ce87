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

// lazyConn is a connection on which net/http's server does less for each request. It is
// for handlers that answer at once and need no body: the context of a request does not
// end when its client goes away. BenchmarkConn shows what it saves.
//
// What is atomic is also looked at by others than the goroutine that serves the
// connection: by the one with which net/http reads ahead, and by a room that is full.
type lazyConn struct {
	net.Conn // Not *net.TCPConn, whose ReadFrom would write past these deadlines.

	state       atomic.Int32 // What happens with it, an http.ConnState or parking.
	leave       atomic.Int32 // What it is asked to do, to make room.
	read, write deadline

	tail     [4]byte // What was read last.
	early    [1]byte // What was read before net/http had the connection.
	hasEarly bool

	list *list.List // The list of its room that it is in, at element.
	at   *list.Element
}

// parking is a state besides those of net/http: the server has let go of the connection,
// and what it takes to be the end of it is none.
const parking = int32(http.StateClosed) + 1

// What a connection may be asked to do.
const (
	leaveServer = iota + 1 // When it is idle: it may wait in its room.
	leaveIdle              // When it is idle.
	leaveNow
)

// idle tells whether the connection waits for its next request, or for the rest of its header.
func (c *lazyConn) idle() bool { return c.state.Load() == int32(http.StateIdle) }

// Read reads as any connection does, but no single byte while a request is handled, nor
// after that of the last one. For one byte net/http asks from a goroutine of its own, to
// learn whether the client goes away. That it need not wait there, and be woken when the
// response is complete, saves 4 % of a request. Where a body's trailer of 4 KiB makes
// net/http ask for one byte as well, the connection is closed after the answer.
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
			// After the end of a header, net/http has nothing that would be lost with it.
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

// CloseWrite is what net/http looks for to close a connection in order.
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

// A deadline is set for each request, several times, and hardly ever comes. For the
// runtime to know of each costs 10 % of a request, more than to read an account. So it
// learns of one that comes before the one it knows. That it was moved on or taken off it
// learns when the one that it knows has passed.
type deadline struct {
	wanted atomic.Int64 // as net/http set it, after epoch; zero: none
	armed  int64        // as the runtime knows it, after epoch; zero: none
}

// epoch is what deadlines count from: a number needs no lock, as a time.Time would.
var epoch = time.Now()

func (d *deadline) want(t time.Time) {
	wanted := int64(0)
	if !t.IsZero() {
		wanted = int64(t.Sub(epoch))
	}
	d.wanted.Store(wanted)
}

// heed arms the wanted deadline where it comes before the armed one.
func (c *lazyConn) heed(d *deadline, arm func(time.Time) error) {
	if wanted := d.wanted.Load(); wanted != 0 && (d.armed == 0 || wanted < d.armed) {
		_ = c.arm(d, arm) // It fails only where the connection is closed, as will what comes next.
	}
}

// rearm arms the wanted deadline where err came of an earlier one. It reports whether it
// did so, and what failed is to be tried again.
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
	if c.leaves() { // It may have been asked to just before, and this have undone it.
		err = arm(longAgo)
	}
	return err
}

// longAgo is the deadline that ends at once what waits for it.
var longAgo = time.Unix(1, 0)

// ask makes a connection leave: what it waits for ends at once.
func (c *lazyConn) ask(leave int32) {
	c.leave.Store(leave)
	// They fail only where the connection is closed, and so has left.
	_ = c.Conn.SetReadDeadline(longAgo)
	if leave == leaveNow {
		_ = c.Conn.SetWriteDeadline(longAgo)
	}
}

// leaves tells whether the connection is to do now what it was asked to.
func (c *lazyConn) leaves() bool {
	leave := c.leave.Load()
	return leave == leaveNow || leave != 0 && c.idle()
}

// hasSpoken tells whether something that the client has sent waits to be read.
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

// waitsSince tells when the connection began to wait for its client, or to answer,
// after epoch: net/http has set a deadline then.
func (c *lazyConn) waitsSince() int64 {
	if write := c.write.wanted.Load(); write != 0 {
		return write - int64(writeTimeout)
	}
	if read := c.read.wanted.Load(); read != 0 {
		return read - int64(headerTimeout)
	}
	return math.MaxInt64 // It is between the two.
}
