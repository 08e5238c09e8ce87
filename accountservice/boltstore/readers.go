package boltstore

import (
	"sync"

	bolt "go.etcd.io/bbolt"
)

// A reader is a transaction for reading, and a cursor in it. One goroutine at a time
// may use it.
type reader struct {
	tx       *bolt.Tx
	accounts *bolt.Cursor
}

// end closes the transaction. It touches no page of the file.
func (r *reader) end() {
	_ = r.tx.Rollback() // It fails only where the transaction has ended already.
}

// readers keeps the readers that are not in use. To open and close a transaction costs
// more than to read from it, and a file that is open read-only changes for nobody: a
// transaction that stays open there keeps no writer waiting and sees nothing stale.
// There are as many as ever were in use at once.
type readers struct {
	mu     sync.Mutex
	idle   []*reader
	closed bool
}

// take returns an idle reader, or nil.
func (rs *readers) take() *reader {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	last := len(rs.idle) - 1
	if last < 0 {
		return nil
	}
	r := rs.idle[last]
	rs.idle = rs.idle[:last]
	return r
}

// put takes a reader back.
func (rs *readers) put(r *reader) {
	rs.mu.Lock()
	closed := rs.closed
	if !closed {
		rs.idle = append(rs.idle, r)
	}
	rs.mu.Unlock()
	if closed {
		r.end() // It may wait for BoltDB's Close, which waits for all readers: others must get by.
	}
}

// close ends the idle readers; those in use end when they are put back.
func (rs *readers) close() {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	rs.closed = true
	for _, r := range rs.idle {
		r.end()
	}
	rs.idle = nil
}
