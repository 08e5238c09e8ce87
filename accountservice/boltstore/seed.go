package boltstore

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	bolt "go.etcd.io/bbolt"

	"goblog/accountservice/account"
)

// batchSize is the number of accounts written in one transaction: large enough
// that syncing the disk costs little, small enough that memory stays bounded.
const batchSize = 10_000

// seed brings the file at path to n accounts and returns how many it wrote. Each
// batch is one transaction and the count of seeded accounts belongs to the last,
// so an interrupted seeding is seen as such, and repeated without a trace. A file that
// is there already is checked unless checked says that it was, which seed sets.
func seed(path string, n int, checked *bool) (added int, err error) {
	if err := create(path, checked); err != nil {
		return 0, err
	}
	err = guard(func() error {
		db, err := bolt.Open(path, 0o600, &bolt.Options{Timeout: lockRetry, NoStatistics: true})
		if err != nil {
			return err
		}
		added, err = fill(db, n)
		return errors.Join(err, db.Close())
	})
	return added, err
}

// create puts an empty database at path where there is none. It is written under
// a name of its own first, as BoltDB could not open one that was half written.
func create(path string, checked *bool) error {
	info, err := os.Stat(path)
	switch {
	case err == nil && *checked:
		return nil
	case err == nil && info.Size() > 0:
		err := check(path)
		*checked = err == nil
		return err
	case err == nil:
		return nil // BoltDB initialises an empty file.
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	file, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(file.Name())
	if err := file.Close(); err != nil {
		return err
	}
	db, err := bolt.Open(file.Name(), 0o600, nil)
	if err != nil {
		return err
	}
	if err := db.Close(); err != nil {
		return err
	}
	// Unlike a rename, a link never replaces the file of a sibling that was faster.
	if err := os.Link(file.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

// check reads the whole file before anything is written to it, and fails where it is damaged.
func check(path string) error {
	return guard(func() error {
		// Check works in a goroutine of its own, where guard catches no fault: whatever
		// could fault there is met here before, the list of free pages first.
		db, err := bolt.Open(path, 0, &bolt.Options{ReadOnly: true, Timeout: lockRetry, PreLoadFreelist: true})
		if err != nil {
			return err
		}
		defer db.Close()
		return db.View(func(tx *bolt.Tx) error {
			if err := checkSize(tx); err != nil {
				return err
			}
			if err := readAll(tx); err != nil {
				return err
			}
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

// readAll reads every byte in use: the headers of the pages, then the accounts, each
// of which must also be found by its key.
func readAll(tx *bolt.Tx) error {
	pages := int(tx.Size()) / tx.DB().Info().PageSize
	for id := 0; id < pages; id++ {
		page, err := tx.Page(id)
		if err != nil {
			return err
		}
		if page.Type == "free" {
			continue // What it holds means nothing any more.
		}
		if id+page.OverflowCount >= pages {
			return fmt.Errorf("%w: page %d goes on for %d pages", errDamaged, id, page.OverflowCount)
		}
		id += page.OverflowCount
	}
	return tx.ForEach(func(_ []byte, b *bolt.Bucket) error {
		return b.ForEach(func(key, value []byte) error {
			crc32.ChecksumIEEE(value) // A fault, if there is one, comes here.
			crc32.ChecksumIEEE(key)
			if found := b.Get(key); !bytes.Equal(found, value) {
				return fmt.Errorf("%w: key %.20q is not where it should be", errDamaged, key)
			}
			return nil
		})
	})
}

// startOf tells keys by their first bytes: where one ends may be part of the damage.
type startOf struct{}

func (startOf) KeyToString(key []byte) string     { return fmt.Sprintf("%.20q", key) }
func (startOf) ValueToString(value []byte) string { return fmt.Sprintf("%.20q", value) }

// fill writes the accounts that are missing, in the byte order of their keys, and
// then their number.
func fill(db *bolt.DB, n int) (added int, err error) {
	batch := make([]account.Account, 0, min(n, batchSize))
	write := func(tx *bolt.Tx) error {
		b, err := tx.CreateBucketIfNotExists(accountBucket)
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
			added++
		}
		return nil
	}
	for a := range account.Fakes(n) {
		if len(batch) == batchSize {
			if err := db.Update(write); err != nil {
				return added, err
			}
			batch = batch[:0]
		}
		batch = append(batch, a)
	}
	return added, db.Update(func(tx *bolt.Tx) error {
		if err := write(tx); err != nil {
			return err
		}
		meta, err := tx.CreateBucketIfNotExists(metaBucket)
		if err != nil {
			return err
		}
		// A sibling that wants more may have been faster.
		return meta.Put(seededKey, strconv.AppendInt(nil, int64(max(n, seeded(tx))), 10))
	})
}

// seeded returns how many accounts are known to be there, -1 where none ever were.
func seeded(tx *bolt.Tx) int {
	meta := tx.Bucket(metaBucket)
	if meta == nil {
		return -1
	}
	n, err := strconv.Atoi(string(meta.Get(seededKey)))
	if err != nil {
		return -1
	}
	return n
}
