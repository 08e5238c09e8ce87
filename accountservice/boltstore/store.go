// Package boltstore keeps accounts in a BoltDB file: seeded once, then read only.
package boltstore

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime/debug"
	"sync/atomic"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"goblog/accountservice/account"
)

var (
	// accountBucket maps an account's id to its JSON.
	accountBucket = []byte("accounts")
	// metaBucket holds seededKey: how many accounts are known to be there, as decimal text.
	metaBucket = []byte("meta")
	seededKey  = []byte("seeded")
)

// Store is an open, complete database. It is safe for concurrent use, and any
// number of processes may have the same file open.
type Store struct {
	db      *bolt.DB
	readers readers
	// broken is set once a transaction could not even begin. BoltDB may have left its
	// locks held then, and nothing must wait for them.
	broken atomic.Bool
}

// Open returns a store with at least n fake accounts, creating and seeding the
// file at path where that is still to be done, and how many accounts it wrote.
// What is in the file already is never overwritten.
//
// The file is locked for writing while it is seeded and shared afterwards. Open
// waits up to wait for another process that holds the lock. A file that is not a
// sound BoltDB database is left as it was.
func Open(path string, n int, wait time.Duration) (*Store, int, error) {
	added, checked := 0, false
	for deadline := time.Now().Add(wait); ; {
		db, err := openComplete(path, n, max(time.Until(deadline), lockRetry))
		if err == nil {
			return &Store{db: db}, added, nil
		}
		if !errors.Is(err, errIncomplete) {
			return nil, 0, explain(path, wait, err)
		}
		// The lock for writing is asked for only briefly: a sibling that was faster
		// seeds, then shares the file for good, and the next look finds it complete.
		switch added, err = seed(path, n, &checked); {
		case errors.Is(err, bolterrors.ErrTimeout) && time.Now().Before(deadline):
		case err != nil:
			return nil, 0, explain(path, wait, err)
		}
	}
}

// lockRetry is long enough for one try at a lock: BoltDB tries every 50 ms.
const lockRetry = 60 * time.Millisecond

// errIncomplete says that a file is missing, empty, or holds fewer accounts than wanted.
var errIncomplete = errors.New("the database is not completely seeded")

// openComplete opens a completely seeded file read-only, or returns errIncomplete.
func openComplete(path string, n int, wait time.Duration) (*bolt.DB, error) {
	// BoltDB tries to initialise an empty file even when opened read-only.
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) || err == nil && info.Size() == 0:
		return nil, errIncomplete
	case err == nil && info.IsDir():
		return nil, syscall.EISDIR
	}
	var db *bolt.DB
	err = guard(func() (err error) {
		db, err = bolt.Open(path, 0, &bolt.Options{ReadOnly: true, Timeout: wait, NoStatistics: true})
		if err != nil {
			return err
		}
		return db.View(func(tx *bolt.Tx) error {
			if err := checkSize(tx); err != nil {
				return err
			}
			if seeded(tx) < n {
				return errIncomplete
			}
			return checkBucket(tx)
		})
	})
	if err != nil && db != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, err
}

// checkSize fails where the file ends before the last page that is in use:
// reading past its end would be a bus error.
func checkSize(tx *bolt.Tx) error {
	info, err := os.Stat(tx.DB().Path())
	if err == nil && info.Size() < tx.Size() {
		err = fmt.Errorf("%w: it has %d bytes of %d", errDamaged, info.Size(), tx.Size())
	}
	return err
}

// checkBucket fails where the accounts are missing, or cannot be read at either end.
func checkBucket(tx *bolt.Tx) error {
	b := tx.Bucket(accountBucket)
	if b == nil {
		return fmt.Errorf("%w: it has no bucket %q", errDamaged, accountBucket)
	}
	readEnds(b.Cursor())
	return nil
}

// readEnds reads the first and the last account: the root, and a path down either side of the tree.
func readEnds(accounts *bolt.Cursor) {
	accounts.First()
	accounts.Last()
}

// Account returns the JSON of the account with this id, the caller's own copy,
// or account.ErrNotFound. Any other error is a failure of the storage.
func (s *Store) Account(id string) (json []byte, err error) {
	err = s.view(func(accounts *bolt.Cursor) error {
		wanted := []byte(id)
		key, value := accounts.Seek(wanted) // The first key from wanted on.
		if !bytes.Equal(key, wanted) || value == nil {
			return account.ErrNotFound
		}
		// A value is valid only inside its transaction.
		json = append(json, value...)
		return nil
	})
	return json, err
}

// Ping reports whether the database can be read.
func (s *Store) Ping() error {
	return s.view(func(accounts *bolt.Cursor) error {
		readEnds(accounts)
		return nil
	})
}

// Close waits for the reads under way and closes the file.
func (s *Store) Close() error {
	if s.broken.Load() {
		return nil
	}
	s.readers.close()
	return s.db.Close()
}

// view calls read with a cursor that nobody else uses meanwhile.
func (s *Store) view(read func(accounts *bolt.Cursor) error) error {
	if s.broken.Load() {
		return errBroken
	}
	r := s.readers.take()
	if r == nil {
		var err error
		if r, err = s.begin(); err != nil {
			return err
		}
	}
	err := guard(func() error { return read(r.accounts) })
	if errors.Is(err, errDamaged) {
		r.end() // Whatever state the cursor is in, nobody meets it.
	} else {
		s.readers.put(r)
	}
	return err
}

// begin opens a transaction for reading.
func (s *Store) begin() (*reader, error) {
	var r *reader
	err := guard(func() error {
		tx, err := s.db.Begin(false)
		if err != nil {
			return err
		}
		r = &reader{tx: tx}
		r.accounts = tx.Bucket(accountBucket).Cursor()
		return nil
	})
	switch {
	case r == nil:
		s.broken.Store(true)
	case err != nil:
		r.end()
	}
	return r, err
}

// errBroken stands for the failure that was reported first.
var errBroken = errors.New("the database failed before and is not read any more")

// errDamaged is the kind of every error that a damaged file shows up as.
var errDamaged = errors.New("the file is damaged")

// guard turns what BoltDB does on damaged pages, a panic or a fault in the
// memory-mapped file, into an error.
func guard(access func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: %v", errDamaged, r)
		}
	}()
	return access()
}

// explain says what was tried on which file, why it failed and what to do next.
func explain(path string, waited time.Duration, err error) error {
	advice := "choose another path with -db"
	// What is left out is the name of a temporary file beside it, or says path again.
	if cause := new(fs.PathError); errors.As(err, &cause) {
		err = cause.Err
	}
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		err = fmt.Errorf("another process holds the lock, still after %v", waited)
		advice = "stop that process or " + advice
	case errors.Is(err, fs.ErrPermission):
		advice = "give this user access or " + advice
	case errors.Is(err, fs.ErrNotExist):
		advice = "create the directory or " + advice
	case errors.Is(err, syscall.ENOSPC):
		advice = "make room, or seed fewer with -accounts"
	case errors.Is(err, bolterrors.ErrInvalid), errors.Is(err, bolterrors.ErrVersionMismatch), errors.Is(err, bolterrors.ErrChecksum):
		err = fmt.Errorf("not a BoltDB file, or a damaged one (%w); it was left as it is", err)
		advice = "move it away or " + advice
	case errors.Is(err, errDamaged):
		err = fmt.Errorf("%w; it was left as it is", err)
		advice = "move it away or " + advice
	}
	return fmt.Errorf("open database %s: %w: %s", path, err, advice)
}
