package boltstore

import (
	"sync"
	"sync/atomic"

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
	first  atomic.Pointer[reader] // One of the idle ones, which is had without the lock.
	closed atomic.Bool
	mu     sync.Mutex
	idle   []*reader
}

// take returns an idle reader, or nil.
func (rs *readers) take() *reader {
	if r := rs.first.Swap(nil); r != nil {
		return r
	}
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
	if !rs.first.CompareAndSwap(nil, r) {
		rs.mu.Lock()
		rs.idle = append(rs.idle, r)
		rs.mu.Unlock()
	}
	if rs.closed.Load() {
		rs.end() // It came back too late for close.
	}
}

// close ends the idle readers; those in use end when they are put back.
func (rs *readers) close() {
	rs.closed.Store(true)
	rs.end()
}

// end ends the idle readers. It may wait for BoltDB's Close, which waits for all readers,
// so it does not hold the lock meanwhile.
func (rs *readers) end() {
	for r := rs.take(); r != nil; r = rs.take() {
		r.end()
	}
}
