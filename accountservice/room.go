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
	// linger is how long net/http keeps an idle connection. Then it goes back to the room.
	// It equals headerTimeout, because waitsSince subtracts that from any read deadline.
	linger = headerTimeout
	// grace is how long a client may pause in a request, even if the room is full.
	grace = 200 * time.Millisecond
	// farewell is how long a client may still send data after its connection was closed for
	// room. The room reads the data and drops it.
	farewell = 200 * time.Millisecond
)

// A room holds the connections of a server, and never more of them than fit into memory.
// For each connection, net/http takes a goroutine with 16 KiB or more. So net/http serves
// only connections with requests. New and idle connections wait in the room, each with a
// goroutine that reads one byte and has a stack of 2 KiB.
//
// When there is one connection too many, the room closes the least important one. This is
// a connection whose client has not finished its request, or not begun its first. If there
// is none, it is the one that has been idle for longest.
type room struct {
	most       int // The limit of connections.
	mostServed int // The limit of those that net/http has.
	server     *http.Server

	mu          sync.Mutex
	closed      bool
	mute        list.List // Each *lazyConn before its first byte, the oldest first.
	idle        list.List // Each *lazyConn between two requests, the longest idle first.
	served      list.List // Each *lazyConn that net/http has.
	leaving     int       // Number of served ones that were asked to close and have not yet.
	closedForIt int       // Number of connections that were closed to make room.
}

// newRoom returns a room with a limit of most connections. With 0, memory and descriptors
// set the limit.
func newRoom(most int) *room {
	if most == 0 {
		most = min(byMemory(), byDescriptors())
	}
	return &room{most: most, mostServed: max(most/8, 64)}
}

// byMemory returns how many connections fit into the memory that the process may use. The
// cgroup sets the limit of memory, or else the machine does. A waiting connection takes
// 6 KiB, including the kernel's part. A served one takes up to 40 KiB, with a large header.
// One in eight is served, so the mean is 11 KiB. With garbage it is 14 KiB.
func byMemory() int {
	limit, err := memlimit.ApplyFallback(memlimit.FromCgroup, memlimit.FromSystem)()
	if err != nil {
		return 1 << 20 // The limit is not known.
	}
	const forAllElse, forEach = 16 << 20, 14 << 10
	return int(max(min(limit, 1<<40), forAllElse+64*forEach)-forAllElse) / forEach
}

// byDescriptors returns how many connections the limit of file descriptors allows. It
// leaves 32 descriptors for other files.
func byDescriptors() int {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 1 << 20
	}
	return int(max(min(limit.Cur, 1<<20), 32+16) - 32)
}

// serve lets server serve the connections that listener accepts, and returns its error.
func (r *room) serve(server *http.Server, listener *net.TCPListener) error {
	r.server = server
	server.ConnState = r.note
	server.IdleTimeout = linger
	return server.Serve(roomListener{listener, r})
}

// roomListener accepts connections into a room. Accept never returns one of them: net/http
// gets a connection from the room, when its client speaks.
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

// Close closes the listener and the waiting connections, as net/http does with idle ones.
func (l roomListener) Close() error {
	err := l.TCPListener.Close()
	l.room.mu.Lock()
	defer l.room.mu.Unlock()
	l.room.closed = true
	for _, waiting := range []*list.List{&l.room.mute, &l.room.idle} {
		for e := waiting.Front(); e != nil; e = e.Next() {
			_ = e.Value.(*lazyConn).Conn.Close() // It fails only if it is closed.
		}
	}
	return err
}

// note gets each new state of a connection from net/http.
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

// hasLeft stops counting a connection as leaving, if it was. Its callers hold the lock.
func (r *room) hasLeft(c *lazyConn) {
	if c.leave.Load() >= leaveIdle {
		r.leaving--
	}
}

// put moves a connection to another list, or with nil out of the room. Its callers hold the
// lock.
func (r *room) put(c *lazyConn, list *list.List) {
	if c.list != nil {
		c.list.Remove(c.at)
	}
	if c.list = list; list != nil {
		c.at = list.PushBack(c)
	}
}

// wait keeps a connection in a list of the room until its client speaks. If the client is
// silent for the duration long, the connection is closed.
func (r *room) wait(c *lazyConn, list *list.List, long time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.hasLeft(c)
	c.leave.Store(0)
	c.read.want(time.Now().Add(long))
	_ = c.arm(&c.read, c.Conn.SetReadDeadline) // It fails only if the connection is closed.
	if r.closed {
		r.put(c, nil)
		_ = c.Conn.Close()
		return
	}
	if c.list == nil {
		// There may be more than one too many, because makeRoom may find none to close.
		for tooMany := r.len() - r.leaving - r.most; tooMany >= 0; tooMany-- {
			r.makeRoom()
		}
	}
	r.put(c, list)
	go r.await(c)
}

// await waits for the first byte of a request. Then it lets net/http serve the connection.
func (r *room) await(c *lazyConn) {
	n, _ := c.Conn.Read(c.early[:])
	r.mu.Lock()
	sentAway := c.list == nil
	if n == 0 || sentAway {
		r.put(c, nil)
		r.mu.Unlock()
		if sentAway && n > 0 {
			// To close a connection with unread data is an error for the client. But it
			// should see an orderly end, so the data is read first.
			for rest := make([]byte, 512); n > 0; n, _ = c.Conn.Read(rest) {
			}
		}
		_ = c.Conn.Close()
		return
	}
	if r.served.Len() >= r.mostServed {
		_ = r.makeRoomToServe(leaveServer) // If none can leave, net/http serves one more.
	}
	c.read.want(time.Now().Add(headerTimeout)) // As net/http will, for the rest of the header.
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

// len returns the number of connections. Its callers hold the lock.
func (r *room) len() int { return r.mute.Len() + r.idle.Len() + r.served.Len() }

// makeRoom closes the first of these that it finds: the oldest mute connection, if it is
// older than grace; the longest idle one; a stuck or idle one that net/http has; the oldest
// mute one. Its callers hold the lock.
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
	// The client may be sending data at this moment. await reads it, for an orderly end.
	_ = c.CloseWrite()
	_ = c.Conn.SetReadDeadline(time.Now().Add(farewell))
}

// silent returns the first connection in a list that has no unread data, or nil.
func silent(waiting *list.List) *lazyConn {
	for e := waiting.Front(); e != nil; e = e.Next() {
		if c := e.Value.(*lazyConn); !c.hasSpoken() {
			return c
		}
	}
	return nil
}

// makeRoomToServe asks one connection that net/http has to leave: the one whose request has
// been stuck for longest, or else the one that has been idle for longest. It reports
// whether there is one. Its callers hold the lock.
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

// Open returns the number of connections.
func (r *room) Open() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.len()
}

// Idle returns the number of connections between two requests.
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

// ClosedForRoom returns the number of connections that were closed to make room.
func (r *room) ClosedForRoom() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.closedForIt
}
