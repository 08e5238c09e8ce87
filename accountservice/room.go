package main

import (
	"container/list"
	"errors"
	"math"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

const (
	// linger is how long an idle connection keeps what net/http has for it. It is as long
	// as headerTimeout, so that a connection's deadline tells since when it waits.
	linger = headerTimeout
	// grace is what a client has to go on with its request, however full the room is.
	grace = 200 * time.Millisecond
	// farewell is for how long a client that is closed for room may still say something.
	farewell = 200 * time.Millisecond
)

// A room holds a server's connections, and never more than there is memory for. net/http
// has a goroutine with 16 KiB and more for each that it serves. So it serves those that
// speak, while new ones and idle ones wait here, where each takes a goroutine that reads
// one byte, with a stack of 2 KiB.
//
// Where a connection is one too many, it is the one that counts least that goes: first
// one that owes a request or its end, then the one that is idle for longest.
type room struct {
	most       int // connections
	mostServed int // of them by net/http
	server     *http.Server

	mu          sync.Mutex
	closed      bool
	mute        list.List // of *lazyConn that have said nothing yet, the longest first
	idle        list.List // of *lazyConn between two requests, the longest first
	served      list.List // of *lazyConn that net/http has
	leaving     int       // of those served, which were asked to make room and have not yet
	closedForIt int       // connections, so that there was room for others
}

// newRoom returns a room for so many connections, or with 0 for as many as are safe.
func newRoom(most int) *room {
	if most == 0 {
		most = min(byMemory(), byDescriptors())
	}
	return &room{most: most, mostServed: max(most/8, 64)}
}

// byMemory returns how many connections the memory bears that the process may have. A
// cgroup sets the limit, else the machine does. A waiting connection takes 6 KiB with
// what the kernel has for it, a served one up to 40 KiB with a large header: as one in
// eight is served, this is 11 KiB each, and what garbage there is on top.
func byMemory() int {
	limit, err := memlimit.ApplyFallback(memlimit.FromCgroup, memlimit.FromSystem)()
	if err != nil {
		return 1 << 20 // Nobody knows.
	}
	const forAllElse, forEach = 16 << 20, 14 << 10
	return int(max(min(limit, 1<<40), forAllElse+64*forEach)-forAllElse) / forEach
}

// byDescriptors returns how many connections the process may have descriptors for, with
// some left for all else that it opens.
func byDescriptors() int {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 1 << 20
	}
	return int(max(min(limit.Cur, 1<<20), 32+16) - 32)
}

// serve serves on the connections that listener accepts.
func (r *room) serve(server *http.Server, listener *net.TCPListener) error {
	r.server = server
	server.ConnState = r.note
	server.IdleTimeout = linger
	return server.Serve(roomListener{listener, r})
}

// roomListener takes connections into a room. None comes out of it: net/http gets them
// when they say something.
type roomListener struct {
	*net.TCPListener
	room *room
}

func (l roomListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.AcceptTCP()
		if err != nil {
			return nil, err
		}
		l.room.wait(&lazyConn{Conn: conn}, &l.room.mute, headerTimeout)
	}
}

// Close closes the listener, and the connections that wait, as net/http does with idle ones.
func (l roomListener) Close() error {
	err := l.TCPListener.Close()
	l.room.mu.Lock()
	defer l.room.mu.Unlock()
	l.room.closed = true
	for _, waiting := range []*list.List{&l.room.mute, &l.room.idle} {
		for e := waiting.Front(); e != nil; e = e.Next() {
			_ = e.Value.(*lazyConn).Conn.Close() // It fails only where it is closed.
		}
	}
	return err
}

// note follows what net/http does with a connection.
func (r *room) note(conn net.Conn, state http.ConnState) {
	c := conn.(*lazyConn)
	if state != http.StateClosed {
		c.state.Store(int32(state))
		return
	}
	if c.state.Swap(int32(state)) == parking {
		r.wait(c, &r.idle, idleTimeout-linger)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.put(c, nil)
	r.hasLeft(c)
	if c.leave.Load() != 0 {
		r.closedForIt++
	}
}

// hasLeft notes that a connection does as it was asked, if it was. Its callers hold the lock.
func (r *room) hasLeft(c *lazyConn) {
	if c.leave.Load() >= leaveIdle {
		r.leaving--
	}
}

// put moves a connection to another list, or with nil out of the room. Its callers hold
// the lock.
func (r *room) put(c *lazyConn, list *list.List) {
	if c.list != nil {
		c.list.Remove(c.at)
	}
	if c.list = list; list != nil {
		c.at = list.PushBack(c)
	}
}

// wait keeps a connection in the room until its client says something. Whoever says
// nothing for so long is gone.
func (r *room) wait(c *lazyConn, list *list.List, long time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.hasLeft(c)
	c.leave.Store(0)
	c.read.want(time.Now().Add(long))
	_ = c.arm(&c.read, c.Conn.SetReadDeadline) // It fails only where the connection is closed.
	if r.closed {
		r.put(c, nil)
		_ = c.Conn.Close()
		return
	}
	if c.list == nil {
		// There may be more than one too many: at times, none of them waits.
		for tooMany := r.len() - r.leaving - r.most; tooMany >= 0; tooMany-- {
			r.makeRoom()
		}
	}
	r.put(c, list)
	go r.await(c)
}

// await waits for the first byte of a request, and lets net/http serve the connection.
func (r *room) await(c *lazyConn) {
	n, _ := c.Conn.Read(c.early[:])
	r.mu.Lock()
	sentAway := c.list == nil
	if n == 0 || sentAway {
		r.put(c, nil)
		r.mu.Unlock()
		if sentAway && n > 0 {
			// To close while something is unread tells the client of a failure. It has
			// been told of the end already.
			for rest := make([]byte, 512); n > 0; n, _ = c.Conn.Read(rest) {
			}
		}
		_ = c.Conn.Close()
		return
	}
	if r.served.Len() >= r.mostServed {
		_ = r.makeRoomToServe(leaveServer) // All who are served may just go on: then there is one more.
	}
	c.read.want(time.Now().Add(headerTimeout)) // As net/http will: from now on it owes the rest.
	r.put(c, &r.served)
	r.mu.Unlock()
	c.hasEarly = true
	once := &onceListener{conn: c}
	if err := r.server.Serve(once); errors.Is(err, http.ErrServerClosed) && once.conn != nil {
		r.note(c, http.StateClosed)
		_ = c.Conn.Close()
	}
}

// onceListener gives net/http one connection.
type onceListener struct{ conn *lazyConn }

func (l *onceListener) Accept() (net.Conn, error) {
	if l.conn == nil {
		return nil, net.ErrClosed
	}
	conn := l.conn
	l.conn = nil
	return conn, nil
}

func (l *onceListener) Close() error   { return nil }
func (l *onceListener) Addr() net.Addr { return nil }

// len returns how many connections there are. Its callers hold the lock.
func (r *room) len() int { return r.mute.Len() + r.idle.Len() + r.served.Len() }

// makeRoom closes a connection, so that there is room for another one: one that is mute
// for long, else the one that is idle for longest, else one that net/http has in vain,
// else any that is mute. Its callers hold the lock.
func (r *room) makeRoom() {
	c := silent(&r.mute)
	if c == nil || c.waitsSince() > int64(time.Since(epoch)-grace) {
		if idle := silent(&r.idle); idle != nil {
			c = idle
		} else if r.makeRoomToServe(leaveIdle) || c == nil {
			return
		}
	}
	r.put(c, nil)
	r.closedForIt++
	// What the client may be sending just now shall not make a failure of the end.
	_ = c.CloseWrite()
	_ = c.Conn.SetReadDeadline(time.Now().Add(farewell))
}

// silent returns the first connection in a list whose client has not said anything that
// waits to be read.
func silent(waiting *list.List) *lazyConn {
	for e := waiting.Front(); e != nil; e = e.Next() {
		if c := e.Value.(*lazyConn); !c.hasSpoken() {
			return c
		}
	}
	return nil
}

// makeRoomToServe asks the connection that net/http has in vain for longest to leave: one
// whose client does not go on, else one that is idle. It reports whether there is one.
// Its callers hold the lock.
func (r *room) makeRoomToServe(leave int32) bool {
	var idle, stuck *lazyConn
	idleSince, stuckSince := int64(math.MaxInt64), int64(time.Since(epoch)-grace)
	for e := r.served.Front(); e != nil; e = e.Next() {
		c := e.Value.(*lazyConn)
		since := c.waitsSince()
		switch {
		case c.leave.Load() != 0:
		case c.idle() && since < idleSince:
			idle, idleSince = c, since
		case !c.idle() && since < stuckSince:
			stuck, stuckSince = c, since
		}
	}
	switch {
	case stuck != nil:
		stuck.ask(leaveNow)
		r.leaving++
	case idle != nil:
		idle.ask(leave)
		if leave >= leaveIdle {
			r.leaving++
		}
	}
	return stuck != nil || idle != nil
}

// Open returns how many connections there are.
func (r *room) Open() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.len()
}

// Idle returns how many connections are between two requests.
func (r *room) Idle() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	idle := r.idle.Len()
	for e := r.served.Front(); e != nil; e = e.Next() {
		if e.Value.(*lazyConn).idle() {
			idle++
		}
	}
	return idle
}

// ClosedForRoom returns how many connections were closed so that there was room for others.
func (r *room) ClosedForRoom() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.closedForIt
}
