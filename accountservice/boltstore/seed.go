package boltstore

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
	"golang.org/x/sys/unix"

	"goblog/accountservice/account"
)

// batchSize is the number of accounts in one transaction. A smaller one would sync the disk
// more often. A larger one would take more memory.
const batchSize = 10_000

// A seeding fills the file at path up to n accounts.
type seeding struct {
	path    string
	n       int
	checked bool // The content was read. It is sound, and of this service.
	written bool // The file was open for writing, so it may have changed.
	added   int  // The number of accounts that were written.
}

// run seeds. It fails with bolterrors.ErrTimeout if another process holds the lock. Each
// batch is one transaction. The last one also writes the number of seeded accounts. A file
// without this number was interrupted, and the next start completes it.
//
// The file is made at its final path. A temporary file would stay there after a kill. And
// only a hard link can put it in place without replacing the file of a faster process. Some
// file systems have no hard links.
func (s *seeding) run() error {
	empty, err := isEmpty(s.path)
	if err != nil {
		return err
	}
	if empty {
		err = truncate(s.path)
	} else if !s.checked {
		err = check(s.path)
		s.checked = err == nil
	}
	if err != nil {
		return err
	}
	return guard(func() error {
		db, err := bolt.Open(s.path, 0o600, &bolt.Options{Timeout: lockRetry, NoStatistics: true})
		if errors.Is(err, bolterrors.ErrTimeout) {
			return err
		}
		s.written = true
		if err != nil {
			return err
		}
		return errors.Join(s.fill(db), db.Close())
	})
}

// isEmpty reports whether there is no data at path: no file, an empty one, or a file that
// BoltDB has begun to make and not used yet. It fails if path is not a regular file.
func isEmpty(path string) (bool, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return true, nil
	case err != nil:
		return false, err
	case !info.Mode().IsRegular():
		return false, fmt.Errorf("not a file: it is a %s", kindOf(info.Mode()))
	case info.Size() == 0:
		return true, nil
	case info.Size() > 4*int64(os.Getpagesize()): // BoltDB makes a file of four pages.
		return false, nil
	}
	file, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer file.Close()
	unused, err := isNew(file)
	if err == nil && !unused && info.Size() < 2*int64(os.Getpagesize()) {
		err = fmt.Errorf("%w: it has %d bytes, less than any BoltDB file", errDamaged, info.Size())
	}
	return unused, err
}

// isNew reports whether file was never written to since BoltDB made it. Then its first page
// has the number of the first transaction, 0. (bbolt, internal/common/meta.go)
func isNew(file io.ReaderAt) (bool, error) {
	var head [72]byte
	if _, err := file.ReadAt(head[:], 0); err == io.EOF {
		return false, nil
	} else if err != nil {
		return false, err
	}
	p, magic, transaction := page(head[:]), native.Uint32(head[16:]), native.Uint64(head[64:])
	return p.id() == 0 && p.flags() == metaPage && magic == 0xED0CDAED && transaction == 0, nil
}

// truncate empties a file that is not completely made, so that BoltDB can open it.
func truncate(path string) error {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	defer file.Close()
	switch err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); {
	case errors.Is(err, unix.EWOULDBLOCK):
		time.Sleep(lockRetry) // Flock has no time limit for its wait. BoltDB polls too.
		return bolterrors.ErrTimeout
	case err != nil:
		return err
	}
	// The process that had the lock until now may have completed the file.
	if unused, err := isNew(file); err != nil || !unused {
		return err
	}
	return file.Truncate(0)
}

// check lets BoltDB check the file at path, and fails if the file is damaged.
//
// BoltDB checks in a goroutine of its own, in which guard catches no fault. So all pages must
// have been read before: by openComplete, and by bolt.Open the list of free pages.
func check(path string) error {
	return guard(func() error {
		db, err := bolt.Open(path, 0, &bolt.Options{ReadOnly: true, Timeout: lockRetry, PreLoadFreelist: true})
		if err != nil {
			return err
		}
		defer db.Close()
		return db.View(func(tx *bolt.Tx) error {
			var err error
			for found := range tx.Check(bolt.WithKVStringer(startOf{})) {
				if err == nil { // One error is enough. BoltDB waits until all are received.
					err = fmt.Errorf("%w: %.200q", errDamaged, found)
				}
			}
			return err
		})
	})
}

// startOf shows only the start of a key: the end may lie outside of the file.
type startOf struct{}

func (startOf) KeyToString(key []byte) string     { return fmt.Sprintf("%.20q", key) }
func (startOf) ValueToString(value []byte) string { return fmt.Sprintf("%.20q", value) }

// fill writes the missing accounts in the byte order of their keys, and then the number of
// accounts.
func (s *seeding) fill(db *bolt.DB) error {
	batch := make([]account.Account, 0, min(s.n, batchSize))
	write := func(tx *bolt.Tx) error {
		b, err := tx.CreateBucketIfNotExists([]byte(accountBucket))
		if err != nil {
			return err
		}
		b.FillPercent = 1 // Keys come in order, so pages need no space for later ones.
		last, _ := b.Cursor().Last()
		last = bytes.Clone(last) // BoltDB maps a file again when it grows.
		for _, a := range batch {
			key := []byte(a.ID)
			if bytes.Compare(key, last) <= 0 && b.Get(key) != nil {
				continue
			}
			value, err := json.Marshal(a)
			if err != nil {
				return err
			}
			if err := b.Put(key, value); err != nil {
				return err
			}
			s.added++
		}
		return nil
	}
	for a := range account.Fakes(s.n) {
		if len(batch) == batchSize {
			if err := db.Update(write); err != nil {
				return err
			}
			batch = batch[:0]
		}
		batch = append(batch, a)
	}
	return db.Update(func(tx *bolt.Tx) error {
		if err := write(tx); err != nil {
			return err
		}
		meta, err := tx.CreateBucketIfNotExists([]byte(metaBucket))
		if err != nil {
			return err
		}
		before := parseSeeded(meta.Get([]byte(seededKey))) // Another process may have seeded more before.
		return meta.Put([]byte(seededKey), strconv.AppendInt(nil, int64(max(s.n, before)), 10))
	})
}

// parseSeeded returns the number in the value of seededKey, or -1 if there is none.
func parseSeeded(value []byte) int {
	n, err := strconv.Atoi(string(value))
	if err != nil {
		return -1
	}
	return n
}
