package main

import (
	"errors"
	"net"
	"net/http"
	"os"
	"time"
)

// serveLazily serves on connections on which net/http's server does less for each
// request. It is for handlers that answer at once and need no body: the context of a
// request does not end when its client goes away. BenchmarkConn shows what it saves.
func serveLazily(server *http.Server, listener *net.TCPListener) error {
	server.ConnState = noteState
	return server.Serve(lazyListener{listener})
}

// lazyListener accepts lazyConns.
type lazyListener struct{ *net.TCPListener }

func (l lazyListener) Accept() (net.Conn, error) {
	conn, err := l.AcceptTCP()
	if err != nil {
		return nil, err
	}
	return &lazyConn{
		Conn:  conn,
		read:  deadline{arm: conn.SetReadDeadline},
		write: deadline{arm: conn.SetWriteDeadline},
	}, nil
}

// lazyConn needs no lock: once it is accepted only the goroutine that serves it changes
// it, and while that works on a request the one that reads ahead looks at handling at most.
type lazyConn struct {
	net.Conn // Not *net.TCPConn, whose ReadFrom would write past these deadlines.

	handling    bool // A request is here and its answer is not complete.
	read, write deadline
}

// noteState follows what a server does with a lazyConn.
func noteState(conn net.Conn, state http.ConnState) {
	conn.(*lazyConn).handling = state == http.StateActive
}

// Read reads as any connection does, but no single byte while a request is handled. For
// one byte net/http asks from a goroutine of its own, to learn whether the client goes
// away. That it need not wait there, and be woken when the response is complete, saves
// 4 % of a request. Where a body's trailer of 4 KiB makes net/http ask for one byte as
// well, the connection is closed after the answer.
func (c *lazyConn) Read(p []byte) (int, error) {
	if c.handling && len(p) == 1 {
		return 0, nil
	}
	c.read.heed()
	for {
		n, err := c.Conn.Read(p)
		if !c.read.rearm(err) {
			return n, err
		}
	}
}

func (c *lazyConn) Write(p []byte) (int, error) {
	c.write.heed()
	written := 0
	for {
		n, err := c.Conn.Write(p[written:])
		written += n
		if !c.write.rearm(err) {
			return written, err
		}
	}
}

// CloseWrite is what net/http looks for to close a connection in order.
func (c *lazyConn) CloseWrite() error { return c.Conn.(*net.TCPConn).CloseWrite() }

func (c *lazyConn) SetReadDeadline(t time.Time) error {
	c.read.wanted = t
	return nil
}

func (c *lazyConn) SetWriteDeadline(t time.Time) error {
	c.write.wanted = t
	return nil
}

func (c *lazyConn) SetDeadline(t time.Time) error {
	c.read.wanted, c.write.wanted = t, t
	return nil
}

// A deadline is set for each request, several times, and hardly ever comes. For the
// runtime to know of each costs 10 % of a request, more than to read an account. So it
// learns of one that comes before the one it knows. That it was moved on or taken off it
// learns when the one that it knows has passed.
type deadline struct {
	wanted time.Time // as net/http set it; zero: none
	armed  time.Time // as the runtime knows it; zero: none
	arm    func(time.Time) error
}

// heed arms the wanted deadline where it comes before the armed one.
func (d *deadline) heed() {
	if !d.wanted.IsZero() && (d.armed.IsZero() || d.wanted.Before(d.armed)) {
		d.armed = d.wanted
		_ = d.arm(d.armed) // It fails only where the connection is closed, as will what comes next.
	}
}

// rearm arms the wanted deadline where err came of an earlier one. It reports whether it
// did so, and what failed is to be tried again.
func (d *deadline) rearm(err error) bool {
	if !errors.Is(err, os.ErrDeadlineExceeded) || !d.wanted.IsZero() && !time.Now().Before(d.wanted) {
		return false
	}
	d.armed = d.wanted
	return d.arm(d.armed) == nil
}
