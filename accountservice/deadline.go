package main

import (
	"net"
	"time"
)

// writeSlack is how much earlier than at http.Server's WriteTimeout a client that does
// not read may be cut off.
const writeSlack = time.Second

// lazyListener accepts connections whose deadline for writing is seldom moved. net/http
// sets it anew for each response and takes it off again, and each time the runtime has
// to rearrange its timers, which takes longer than to read an account.
type lazyListener struct{ *net.TCPListener }

func (l lazyListener) Accept() (net.Conn, error) {
	conn, err := l.AcceptTCP()
	if err != nil {
		return nil, err
	}
	return &lazyConn{TCPConn: conn}, nil
}

type lazyConn struct {
	*net.TCPConn
	writeDeadline time.Time
}

// SetWriteDeadline leaves the deadline where it is unless the new one is later by
// writeSlack or more. One that has passed does no harm between two responses. Only the
// goroutine that serves the connection calls this, so it needs no lock.
func (c *lazyConn) SetWriteDeadline(t time.Time) error {
	if t.Sub(c.writeDeadline) < writeSlack { // Also where t is zero: take it off.
		return nil
	}
	c.writeDeadline = t
	return c.TCPConn.SetWriteDeadline(t)
}
