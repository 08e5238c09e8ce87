// Package boltstore keeps accounts in a BoltDB file: seeded once, then read only.
package boltstore

import (
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
	db       *bolt.DB // It holds the lock.
	mapping  mapping
	accounts bucket
	seeded   int // The first so many fake accounts are there, or the file is damaged.
	original bool
	// failure is the first that was met: a file that is damaged once is so for good.
	failure atomic.Pointer[error]
	closed  atomic.Bool
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
		store, err := openComplete(path, n, max(time.Until(deadline), lockRetry), s.checked)
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
// Unless a file that is not complete was checked before, it reads all of it.
func openComplete(path string, n int, wait time.Duration, checked bool) (*Store, error) {
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
		return s.db.View(func(tx *bolt.Tx) error { return s.examine(tx, n, checked) })
	})
	if err != nil {
		s.mapping.unmap()
		if s.db != nil {
			err = errors.Join(err, s.db.Close())
		}
		return nil, err
	}
	// Not when it is closed: some may still read then.
	runtime.AddCleanup(s, mapping.unmap, s.mapping)
	return s, nil
}

// examine finds out what the file is, and fails unless it can be served as it is.
func (s *Store) examine(tx *bolt.Tx, n int, checked bool) (err error) {
	if s.mapping, err = mapFile(tx); err != nil {
		return err
	}
	survey := newSurvey(s.mapping)
	buckets, err := survey.buckets(tx)
	if err != nil {
		return err
	}
	if s.accounts, s.original = buckets[originalBucket]; s.original && len(buckets) == 1 {
		return s.examineOriginal(survey)
	}
	for name := range buckets {
		if name != accountBucket && name != metaBucket {
			return fmt.Errorf("%w: it has a bucket %.40q", errForeign, name)
		}
	}
	if s.seeded, err = survey.seeded(buckets); err != nil {
		return err
	}
	var ok bool
	if s.accounts, ok = buckets[accountBucket]; !ok && (s.seeded > 0 || s.seeded >= n) {
		return fmt.Errorf("%w: it has no bucket %q", errDamaged, accountBucket)
	}
	if s.seeded >= n {
		return s.readEnds()
	}
	if ok && !checked {
		if err := survey.accounts(s.accounts, s.seeded); err != nil {
			return err
		}
	}
	return errIncomplete
}

// examineOriginal reads the whole file: nothing in it tells how many accounts there should
// be. There are as many as were seeded until the last that is there, and 100 at most.
func (s *Store) examineOriginal(survey survey) error {
	if err := survey.accounts(s.accounts, 0); err != nil {
		return err
	}
	for i := range 100 {
		found, err := s.mapping.find(s.accounts, []byte(account.Fake(i).ID))
		if err != nil {
			return err
		}
		if found != nil {
			s.seeded = i + 1
		}
	}
	return nil
}

// Original tells whether the file is one of the original service.
func (s *Store) Original() bool { return s.original }

// readEnds reads the first and the last fake account, down either side of the tree.
func (s *Store) readEnds() error {
	for _, i := range []int{0, s.seeded - 1} {
		if _, err := s.find(account.Fake(i).ID); err != nil && !errors.Is(err, account.ErrNotFound) {
			return err
		}
	}
	return nil
}

// find returns the JSON of the account with this id, as it is in the file.
func (s *Store) find(id string) ([]byte, error) {
	value, err := s.mapping.find(s.accounts, []byte(id))
	switch {
	case err != nil:
		return nil, err
	case value == nil && account.IsFake(id, s.seeded):
		return nil, errMissing
	case value == nil:
		return nil, account.ErrNotFound
	case !account.Holds(value, id):
		return nil, errNoAccount
	}
	return value, nil
}

// Account returns the JSON of the account with this id, the caller's own copy,
// or account.ErrNotFound. Any other error is a failure of the storage.
func (s *Store) Account(id string) (json []byte, err error) {
	err = s.read(func() error {
		value, err := s.find(id)
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
	return s.read(s.readEnds)
}

// Close closes the file. Reads under way come to their end.
func (s *Store) Close() error {
	s.closed.Store(true)
	return s.db.Close()
}

// read calls access, which reads from the file.
func (s *Store) read(access func() error) error {
	if s.closed.Load() {
		return bolterrors.ErrDatabaseNotOpen
	}
	err := guard(access)
	if errors.Is(err, errDamaged) {
		s.failure.CompareAndSwap(nil, &err)
	}
	runtime.KeepAlive(s) // The mapping goes with it.
	return err
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

// guard turns what damaged pages lead to, a panic or a fault in the memory-mapped
// file, into an error.
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
