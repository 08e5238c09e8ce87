package main

import (
	"errors"
	"net"
	"net/http"
	"os"
	"time"
)

// lazyListener accepts connections on which net/http's server does less for each
// request. It is for handlers that answer at once: the context of a request does not end
// when its client goes away. The server's ConnState must be noteState.
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

// lazyConn needs no lock: only the goroutine that serves the connection changes it, and
// while that works on a request the one that reads ahead looks at handling at most.
type lazyConn struct {
	net.Conn
	handling    bool // A request is here and its answer is not complete.
	read, write deadline
}

// noteState follows what a server does with a lazyConn.
func noteState(conn net.Conn, state http.ConnState) {
	conn.(*lazyConn).handling = state == http.StateActive
}

// Read reads as any connection does, but for one byte while a request is handled:
// that is how net/http would learn that the client went away. It starts a goroutine for
// it, and calls it back when the response is complete, which costs 4 % of a request.
func (c *lazyConn) Read(p []byte) (int, error) {
	if c.handling && len(p) == 1 {
		return 0, nil
	}
	c.read.heed()
	for {
		n, err := c.Conn.Read(p)
		if !c.read.early(err) {
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
		if !c.write.early(err) {
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
// runtime to know of each costs 5 % of a request, more than to read an account. So it
// learns of one that comes before the one it knows; one that is later it learns of when
// the other has passed.
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

// early tells whether err came of the armed deadline only. The wanted one is armed then,
// and what failed can be done again.
func (d *deadline) early(err error) bool {
	if !errors.Is(err, os.ErrDeadlineExceeded) || !d.wanted.IsZero() && !time.Now().Before(d.wanted) {
		return false
	}
	d.armed = d.wanted
	return d.arm(d.armed) == nil
}
