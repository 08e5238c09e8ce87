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
	// metaBucket has only seededKey: the number of seeded accounts, as decimal text.
	metaBucket = "meta"
	seededKey  = "seeded"
	// originalBucket is the only bucket in a file of the original service, the model for
	// this one. It also maps ids to JSON.
	// (callistaenterprise/goblog, accountservice/dbclient/boltclient.go)
	originalBucket = "AccountBucket"
)

// Store is an open, complete database. It is safe for concurrent use. Several processes may
// have the same file open.
type Store struct {
	db       *bolt.DB // It holds the lock.
	mapping  mapping
	accounts bucket
	seeded   int // The number of fake accounts that must be there. If one is missing, the file is damaged.
	original bool
	// failure is the first damage that was found. A damaged file stays damaged.
	failure atomic.Pointer[error]
	closed  atomic.Bool
}

// Open opens the file at path, which then has at least n fake accounts. If it is missing or
// incomplete, Open creates and seeds it, and never overwrites an account. Open returns the
// store and the number of accounts that it wrote. A file of the original service is opened
// as it is, for any n.
//
// During seeding, Open holds the file's lock for writing, and then a shared lock. If another
// process holds the lock, Open waits for the duration wait at most. Open fails if the file is
// damaged or of another program, and does not change such a file.
func Open(path string, n int, wait time.Duration) (*Store, int, error) {
	s := seeding{path: path, n: n}
	for deadline := time.Now().Add(wait); ; {
		store, err := openComplete(path, n, max(time.Until(deadline), lockRetry), s.checked)
		if err == nil {
			return store, s.added, nil
		}
		if errors.Is(err, errIncomplete) {
			// run tries only briefly to get the lock for writing. A faster process may hold
			// it to seed, and then shares the file. The next try finds the file complete.
			err = s.run()
		}
		switch {
		case errors.Is(err, bolterrors.ErrTimeout) && time.Now().Before(deadline):
		case err != nil:
			return nil, 0, explain(path, wait, !s.written, err)
		}
	}
}

// lockRetry is long enough for one try to get a lock: BoltDB tries every 50 ms.
const lockRetry = 60 * time.Millisecond

// errIncomplete means that a file is missing, is empty, or has fewer accounts than wanted.
var errIncomplete = errors.New("the database is not completely seeded")

// openComplete opens a complete file read-only. It fails with errIncomplete if the file must
// be seeded first. Then it has read the whole file and found no damage, unless checked says
// that this was done before.
func openComplete(path string, n int, wait time.Duration, checked bool) (*Store, error) {
	empty, err := isEmpty(path)
	if err != nil {
		return nil, err
	}
	if empty { // BoltDB would try to write to it, even if opened read-only.
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
	// Close does not unmap, because some goroutines may still read then.
	runtime.AddCleanup(s, mapping.unmap, s.mapping)
	return s, nil
}

// examine finds out what kind of file this is. It fails if the file cannot be served as it
// is, with errIncomplete if it must be seeded first.
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

// examineOriginal reads the whole file of an original service. The file does not say how
// many accounts were seeded: 100, or fewer if the seeding was interrupted. So all up to the
// last fake account that is there count as seeded.
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

// Original reports whether the file is one of the original service.
func (s *Store) Original() bool { return s.original }

// readEnds reads the first and the last fake account. A missing one is damage.
func (s *Store) readEnds() error {
	for _, i := range []int{0, s.seeded - 1} {
		if _, err := s.find(account.Fake(i).ID); err != nil && !errors.Is(err, account.ErrNotFound) {
			return err
		}
	}
	return nil
}

// find returns the JSON of the account with this id, a part of the mapping.
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

// Account returns a copy of the JSON of the account with this id. It fails with
// account.ErrNotFound if there is no such account. Any other error is a failure of the
// storage.
func (s *Store) Account(id string) (json []byte, err error) {
	err = s.read(func() error {
		value, err := s.find(id)
		json = append(json, value...)
		return err
	})
	return json, err
}

// Ping fails if the database cannot be read, or if any earlier read found damage.
func (s *Store) Ping() error {
	if failure := s.failure.Load(); failure != nil {
		return *failure
	}
	return s.read(s.readEnds)
}

// Close closes the file. Reads that have begun still succeed. Later ones fail.
func (s *Store) Close() error {
	s.closed.Store(true)
	return s.db.Close()
}

// read calls access, which reads from the file, and remembers the first damage.
func (s *Store) read(access func() error) error {
	if s.closed.Load() {
		return bolterrors.ErrDatabaseNotOpen
	}
	err := guard(access)
	if errors.Is(err, errDamaged) {
		s.remember(err)
	}
	runtime.KeepAlive(s) // While s is there, so is the mapping.
	return err
}

// remember is a function of its own, because &err in read would allocate for each read.
func (s *Store) remember(failure error) { s.failure.CompareAndSwap(nil, &failure) }

var (
	// errDamaged is wrapped by each error about a damaged file.
	errDamaged = errors.New("the file is damaged")
	// These two name no account, so that all accounts have one cause in log and metrics.
	errMissing   = fmt.Errorf("%w: accounts that were seeded are missing", errDamaged)
	errNoAccount = fmt.Errorf("%w: the value of an id is not its account", errDamaged)
	// errForeign means that a file is of another program.
	errForeign = errors.New("the file is not one of this service")
)

// kindOf returns a name for the kind of a file that is not regular.
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

// guard calls access. If access panics, or faults in the mapped file, as it does on damaged
// pages, guard returns an error.
func guard(access func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		r := recover()
		if _, ok := r.(runtime.Error); ok { // Its text is about this program, not about the file.
			err = fmt.Errorf("%w: a page is cut off or has invalid content", errDamaged)
		} else if r != nil {
			err = fmt.Errorf("%w: %v", errDamaged, r)
		}
	}()
	return access()
}

// explain adds to err the path of the file and what to do next. untouched means that the file
// was open only for reading.
func explain(path string, waited time.Duration, untouched bool, err error) error {
	advice := "choose another path with -db"
	// The text of a PathError would repeat the path.
	if cause := new(fs.PathError); errors.As(err, &cause) {
		err = cause.Err
	}
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		err = fmt.Errorf("another process holds the lock, even after a wait of %v", waited)
		advice = "stop that process or " + advice
	case errors.Is(err, fs.ErrPermission):
		advice = "give this user access or " + advice
	case errors.Is(err, fs.ErrNotExist):
		advice = "create the directory or " + advice
	case strings.Contains(err.Error(), syscall.ENOSPC.Error()): // BoltDB returns only the text of this error.
		advice = "free space on the disk, or seed fewer accounts with -accounts"
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
