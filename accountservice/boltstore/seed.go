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

// batchSize is the number of accounts written in one transaction: large enough
// that syncing the disk costs little, small enough that memory stays bounded.
const batchSize = 10_000

// A seeding brings the file at path to n accounts.
type seeding struct {
	path    string
	n       int
	checked bool // What was in the file is sound, and of this service.
	written bool // The file was open for writing, so it may have changed.
	added   int  // So many accounts were written.
}

// run seeds, or fails with bolterrors.ErrTimeout where another process holds the lock.
// Each batch is one transaction and the count of seeded accounts belongs to the last,
// so an interrupted seeding is seen as such, and repeated without a trace.
//
// The file is made in its place. One that is made beside it and then moved there would
// be left over by who is killed, and it takes a link to move it without ever replacing
// the file of a sibling that was faster, which some file systems do not have.
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

// isEmpty tells whether there is nothing to lose at path: no file, an empty one, or one that
// BoltDB has not quite made, or made and not used yet. It fails where no file can be.
func isEmpty(path string) (bool, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return true, nil
	case err != nil:
		return false, err
	case !info.Mode().IsRegular():
		return false, fmt.Errorf("%w: it is a %s", errNotAFile, kindOf(info.Mode()))
	case info.Size() == 0:
		return true, nil
	case info.Size() > 4*int64(os.Getpagesize()): // So much BoltDB writes to make a file.
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

// isNew tells whether the first page is that of a file in which nothing was ever written:
// the header of the first transaction there, number 0. (bbolt, internal/common/meta.go)
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

// truncate makes a file that is not quite made an empty one, which BoltDB can open.
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
		time.Sleep(lockRetry) // A lock cannot be waited for within a time: BoltDB looks again and again, too.
		return bolterrors.ErrTimeout
	case err != nil:
		return err
	}
	// A sibling that had the lock until now may have gone on.
	if unused, err := isNew(file); err != nil || !unused {
		return err
	}
	return file.Truncate(0)
}

// check fails where the file at path is damaged in a way that BoltDB can tell.
//
// BoltDB checks in a goroutine of its own, where guard catches no fault: whatever could
// fault there was met by openComplete. The list of free pages is read first.
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
				if err == nil { // One tells enough; the others must be taken all the same.
					err = fmt.Errorf("%w: %.200q", errDamaged, found)
				}
			}
			return err
		})
	})
}

// startOf tells keys by their first bytes: where one ends may be part of the damage.
type startOf struct{}

func (startOf) KeyToString(key []byte) string     { return fmt.Sprintf("%.20q", key) }
func (startOf) ValueToString(value []byte) string { return fmt.Sprintf("%.20q", value) }

// fill writes the accounts that are missing, in the byte order of their keys, and
// then their number.
func (s *seeding) fill(db *bolt.DB) error {
	batch := make([]account.Account, 0, min(s.n, batchSize))
	write := func(tx *bolt.Tx) error {
		b, err := tx.CreateBucketIfNotExists([]byte(accountBucket))
		if err != nil {
			return err
		}
		b.FillPercent = 1 // Keys come in order and stay: a page needs no room for later ones.
		last, _ := b.Cursor().Last()
		last = bytes.Clone(last) // The file may be mapped anew as it grows.
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
		before := parseSeeded(meta.Get([]byte(seededKey))) // A sibling that wants more may have been faster.
		return meta.Put([]byte(seededKey), strconv.AppendInt(nil, int64(max(s.n, before)), 10))
	})
}

// parseSeeded reads the value of seededKey, -1 where it is none.
func parseSeeded(value []byte) int {
	n, err := strconv.Atoi(string(value))
	if err != nil {
		return -1
	}
	return n
}
