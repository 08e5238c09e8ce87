// Package boltstore keeps accounts in a BoltDB file: seeded once, then read only.
package boltstore

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"runtime"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"goblog/accountservice/account"
)

const (
	// accountBucket maps an account's id to its JSON.
	accountBucket = "accounts"
	// metaBucket holds seededKey: how many accounts are known to be there, as decimal text.
	metaBucket = "meta"
	seededKey  = "seeded"
	// originalBucket is the only one in a file of the service that this one is modelled on,
	// and maps ids to JSON, too. (callistaenterprise/goblog, accountservice/dbclient/boltclient.go)
	originalBucket = "AccountBucket"
)

// Store is an open, complete database. It is safe for concurrent use, and any
// number of processes may have the same file open.
type Store struct {
	db      *bolt.DB
	readers readers
	bucket  []byte // Of the accounts.
	seeded  int    // The first so many fake accounts are there, or the file is damaged.
	// failure is the first that was met: a file that is damaged once is so for good.
	failure atomic.Pointer[error]
	// broken is set once a transaction could not even begin. BoltDB may have left its
	// locks held then, and nothing must wait for them.
	broken atomic.Bool
}

// Open returns a store with at least n fake accounts, creating and seeding the
// file at path where that is still to be done, and how many accounts it wrote.
// What is in the file already is never overwritten. A file of the original service
// is served as it is, whatever n.
//
// The file is locked for writing while it is seeded and shared afterwards. Open
// waits up to wait for another process that holds the lock. A file that is damaged,
// or neither of this service nor of the original, is left as it was.
func Open(path string, n int, wait time.Duration) (*Store, int, error) {
	s := seeding{path: path, n: n}
	for deadline := time.Now().Add(wait); ; {
		store, err := openComplete(path, n, max(time.Until(deadline), lockRetry))
		if err == nil {
			return store, s.added, nil
		}
		if errors.Is(err, errIncomplete) {
			// The lock for writing is asked for only briefly: a sibling that was faster
			// seeds, then shares the file for good, and the next look finds it complete.
			err = s.run()
		}
		switch {
		case errors.Is(err, bolterrors.ErrTimeout) && time.Now().Before(deadline):
		case err != nil:
			return nil, 0, explain(path, wait, !s.written, err)
		}
	}
}

// lockRetry is long enough for one try at a lock: BoltDB tries every 50 ms.
const lockRetry = 60 * time.Millisecond

// errIncomplete says that a file is missing, empty, or holds fewer accounts than wanted.
var errIncomplete = errors.New("the database is not completely seeded")

// openComplete opens a completely seeded file read-only, or returns errIncomplete.
func openComplete(path string, n int, wait time.Duration) (*Store, error) {
	empty, err := isEmpty(path)
	if err != nil {
		return nil, err
	}
	if empty { // BoltDB would try to initialise it even when it is opened read-only.
		return nil, errIncomplete
	}
	s := new(Store)
	err = guard(func() (err error) {
		s.db, err = bolt.Open(path, 0, &bolt.Options{ReadOnly: true, Timeout: wait, NoStatistics: true})
		if err != nil {
			return err
		}
		return s.db.View(func(tx *bolt.Tx) error { return s.examine(tx, n) })
	})
	if err != nil && s.db != nil {
		return nil, errors.Join(err, s.db.Close())
	}
	return s, err
}

// examine finds out what the file is, and fails unless it can be served as it is.
func (s *Store) examine(tx *bolt.Tx, n int) error {
	survey, err := newSurvey(tx, false)
	if err != nil {
		return err
	}
	defer survey.close()
	buckets, err := survey.buckets()
	if err != nil {
		return err
	}
	if _, ok := buckets[originalBucket]; ok && len(buckets) == 1 {
		return s.examineOriginal(tx)
	}
	for name, root := range buckets {
		if name != accountBucket && name != metaBucket {
			return fmt.Errorf("%w: it has a bucket %.40q", errForeign, name)
		}
		if err := survey.tree(root, noLeaf); err != nil {
			return err
		}
	}
	s.bucket = []byte(accountBucket)
	if s.seeded, err = seeded(tx); err != nil {
		return err
	}
	if s.seeded < n {
		return errIncomplete
	}
	accounts := tx.Bucket(s.bucket)
	if accounts == nil {
		return fmt.Errorf("%w: it has no bucket %q", errDamaged, accountBucket)
	}
	return s.readEnds(accounts.Cursor())
}

// examineOriginal reads the whole file: nothing in it tells how many accounts there should
// be. There are as many as were seeded until the last that is there, and 100 at most.
func (s *Store) examineOriginal(tx *bolt.Tx) error {
	s.bucket = []byte(originalBucket)
	if err := readAll(tx, originalBucket); err != nil {
		return err
	}
	for i := range 100 {
		if tx.Bucket(s.bucket).Get([]byte(account.Fake(i).ID)) != nil {
			s.seeded = i + 1
		}
	}
	return nil
}

// Original tells whether the file is one of the original service.
func (s *Store) Original() bool { return string(s.bucket) == originalBucket }

// readEnds reads the first and the last fake account, down either side of the tree.
func (s *Store) readEnds(accounts *bolt.Cursor) error {
	for _, i := range []int{0, s.seeded - 1} {
		if _, err := s.find(accounts, account.Fake(i).ID); err != nil && s.seeded > 0 {
			return err
		}
	}
	return nil
}

// find returns the JSON of the account with this id. It is valid only inside its transaction.
func (s *Store) find(accounts *bolt.Cursor, id string) ([]byte, error) {
	wanted := []byte(id)
	key, value := accounts.Seek(wanted) // The first key from wanted on.
	switch {
	case key != nil && bytes.Equal(key, wanted):
		if !account.Holds(value, id) {
			return nil, errNoAccount
		}
		return value, nil
	case account.IsFake(id, s.seeded):
		return nil, errMissing
	default:
		return nil, account.ErrNotFound
	}
}

// Account returns the JSON of the account with this id, the caller's own copy,
// or account.ErrNotFound. Any other error is a failure of the storage.
func (s *Store) Account(id string) (json []byte, err error) {
	err = s.view(func(accounts *bolt.Cursor) error {
		value, err := s.find(accounts, id)
		json = append(json, value...)
		return err
	})
	return json, err
}

// Ping reports whether the database can be read, and could be until now.
func (s *Store) Ping() error {
	if failure := s.failure.Load(); failure != nil {
		return *failure
	}
	return s.view(s.readEnds)
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
		return *s.failure.Load()
	}
	r := s.readers.take()
	if r == nil {
		var err error
		if r, err = s.begin(); err != nil {
			return s.failed(err)
		}
	}
	err := guard(func() error { return read(r.accounts) })
	if errors.Is(err, errDamaged) {
		r.end() // Whatever state the cursor is in, nobody meets it.
		return s.failed(err)
	}
	s.readers.put(r)
	return err
}

// failed remembers the first failure of the storage.
func (s *Store) failed(err error) error {
	s.failure.CompareAndSwap(nil, &err)
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
		r.accounts = tx.Bucket(s.bucket).Cursor()
		return nil
	})
	switch {
	case r == nil:
		_ = s.failed(err)
		s.broken.Store(true)
	case err != nil:
		r.end()
	}
	return r, err
}

var (
	// errDamaged is the kind of every error that a damaged file shows up as.
	errDamaged = errors.New("the file is damaged")
	// These two name no account: they have one cause, however many accounts there are.
	errMissing   = fmt.Errorf("%w: accounts that were seeded are missing", errDamaged)
	errNoAccount = fmt.Errorf("%w: what is stored for an id is not its account", errDamaged)
	// errNotAFile says that a path leads to what cannot be a database.
	errNotAFile = errors.New("not a file")
	// errForeign says that a file is somebody else's.
	errForeign = errors.New("the file is not one of this service")
)

// kindOf names what is not a regular file.
func kindOf(mode fs.FileMode) string {
	switch {
	case mode.IsDir():
		return "directory"
	case mode&fs.ModeNamedPipe != 0:
		return "named pipe (FIFO)"
	case mode&fs.ModeSocket != 0:
		return "socket"
	case mode&fs.ModeDevice != 0:
		return "device"
	}
	return "special file"
}

// guard turns what BoltDB does on damaged pages, a panic or a fault in the
// memory-mapped file, into an error.
func guard(access func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		r := recover()
		if _, ok := r.(runtime.Error); ok { // It names a place in this program, if any.
			err = fmt.Errorf("%w: a page is cut off, or makes no sense", errDamaged)
		} else if r != nil {
			err = fmt.Errorf("%w: %v", errDamaged, r)
		}
	}()
	return access()
}

// explain says what was tried on which file, why it failed and what to do next.
// Untouched says that the file was open for nothing but reading.
func explain(path string, waited time.Duration, untouched bool, err error) error {
	advice := "choose another path with -db"
	// What is left out says path again.
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
	case strings.Contains(err.Error(), syscall.ENOSPC.Error()): // BoltDB passes on only its words.
		advice = "make room, or seed fewer with -accounts"
	case errors.Is(err, bolterrors.ErrInvalid), errors.Is(err, bolterrors.ErrVersionMismatch), errors.Is(err, bolterrors.ErrChecksum):
		err = fmt.Errorf("not a BoltDB file, or a damaged one (%w)", err)
		fallthrough
	case errors.Is(err, errDamaged), errors.Is(err, errForeign):
		if untouched {
			err = fmt.Errorf("%w; it was left as it is", err)
		}
		advice = "move it away or " + advice
	}
	return fmt.Errorf("open database %s: %w: %s", path, err, advice)
}
