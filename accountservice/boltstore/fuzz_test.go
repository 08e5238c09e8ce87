package boltstore_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"goblog/accountservice/account"
	"goblog/accountservice/boltstore"
)

// A script damages a file. Each step does one of these to a page, with two numbers.
const (
	flipBit = iota
	setByte
	setCount      // of the page's elements
	setFlags      // among them the type of the page
	setOverflow   // the number of pages after it
	setChild      // the page that an element of a branch page names
	swapPages     // each keeps its old number
	swapAndNumber // each with its new number, so that the header of the page is right
	copyAndNumber
	clearPage
	cut
	damageCount
)

const stepSize = 7 // One byte for the kind, two for the page, two for each number.

func step(what byte, page, a, b uint16) []byte {
	s := binary.LittleEndian.AppendUint16([]byte{what}, page)
	return binary.LittleEndian.AppendUint16(binary.LittleEndian.AppendUint16(s, a), b)
}

// run damages a file by the steps of a script.
func run(script, file []byte) []byte {
	size := int(pageSize)
	for ; len(script) >= stepSize && len(file) >= size; script = script[stepSize:] {
		pages := len(file) / size
		at := func(n uint16) []byte { return file[int(n)%pages*size:][:size] }
		number := func(n uint16) { binary.LittleEndian.PutUint64(at(n), uint64(int(n)%pages)) }
		n, a, b := binary.LittleEndian.Uint16(script[1:]), binary.LittleEndian.Uint16(script[3:]), binary.LittleEndian.Uint16(script[5:])
		page := at(n)
		switch script[0] % damageCount {
		case flipBit:
			page[int(a)%size] ^= 1 << (b % 8)
		case setByte:
			page[int(a)%size] = byte(b)
		case setCount:
			binary.LittleEndian.PutUint16(page[elementCount:], a)
		case setFlags:
			binary.LittleEndian.PutUint16(page[8:], a)
		case setOverflow:
			binary.LittleEndian.PutUint32(page[overflowCount:], uint32(a))
		case setChild:
			element := page[headerSize+int(a)%(size/elementSize-1)*elementSize:]
			binary.LittleEndian.PutUint64(element[8:], uint64(int(b)%pages))
		case swapPages, swapAndNumber:
			before := bytes.Clone(page)
			copy(page, at(a))
			copy(at(a), before)
			if script[0]%damageCount == swapAndNumber {
				number(n)
				number(a)
			}
		case copyAndNumber:
			copy(page, at(a))
			number(n)
		case clearPage:
			clear(page)
		case cut:
			file = file[:int(n)%pages*size+int(a)%size]
		}
	}
	return file
}

// FuzzDamage opens files of all kinds that were damaged in a few places:
//
//	go test -run '^$' -fuzz FuzzDamage -fuzztime 10m ./accountservice/boltstore
func FuzzDamage(f *testing.F) {
	bases := fuzzBases(f)
	for base := range bases {
		for n := range uint16(12) {
			f.Add(byte(base), step(flipBit, n, 10, n))
			f.Add(byte(base), step(setChild, n, 1, n))
			f.Add(byte(base), step(setChild, n, 2, 3))
			f.Add(byte(base), step(setCount, n, 3, 0))
			f.Add(byte(base), step(swapPages, n, n+1, 0))
			f.Add(byte(base), step(swapAndNumber, n, n+1, 0))
			f.Add(byte(base), step(copyAndNumber, n, n+1, 0))
			f.Add(byte(base), step(cut, n, 16, 0))
		}
	}
	f.Fuzz(func(t *testing.T, base byte, script []byte) {
		if len(script) > 8*stepSize {
			return // With much damage, few parts of the code are reached.
		}
		b := bases[int(base)%len(bases)]
		defer time.AfterFunc(patience, func() { panic("the store hangs") }).Stop()
		path := filepath.Join(t.TempDir(), "accounts.db")
		before := run(script, bytes.Clone(b.file))
		if err := os.WriteFile(path, before, 0o600); err != nil {
			t.Fatal(err)
		}
		// If a panic in BoltDB leaves the file locked, a wait for the lock would never succeed.
		store, _, err := boltstore.Open(path, b.accounts, 0)
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("More than one line: %v", err)
			}
			if after, err := os.ReadFile(path); err != nil || !bytes.Equal(after, before) {
				t.Errorf("The file was changed: %v", err)
			}
			return
		}
		for a := range account.Fakes(b.accounts) {
			checkAnswer(t, store, a.ID, b.unknown)
		}
		if _, err := store.Account("nobody"); err == nil {
			t.Error("There is an account nobody")
		}
		_ = store.Ping()
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
}

// checkAnswer reads a seeded account. It must be right, or a failure of the storage.
func checkAnswer(t *testing.T, store *boltstore.Store, id string, unknown bool) {
	got, err := store.Account(id)
	var a account.Account
	switch {
	case errors.Is(err, account.ErrNotFound) && !unknown:
		t.Fatalf("Account %s is not found, but it was seeded", id)
	case err != nil:
	case json.Unmarshal(got, &a) != nil || a.ID != id:
		t.Fatalf("Account %s reads as %.200q", id, got)
	}
}

// A fuzzBase is a sound file, and the number of accounts to open it with.
type fuzzBase struct {
	file     []byte
	accounts int
	unknown  bool // The file does not say how many accounts it should have.
}

func fuzzBases(f *testing.F) []fuzzBase {
	var bases []fuzzBase
	add := func(accounts int, make func(path string) error) {
		path := filepath.Join(f.TempDir(), fmt.Sprint(len(bases)))
		if err := make(path); err != nil {
			f.Fatal(err)
		}
		file, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		bases = append(bases, fuzzBase{file: file, accounts: accounts})
	}
	seeded := func(accounts int) func(path string) error {
		return func(path string) error {
			store, _, err := boltstore.Open(path, accounts, patience)
			return errors.Join(err, store.Close())
		}
	}
	in := func(bucket string, accounts int) func(path string) error {
		return func(path string) error {
			db, err := bolt.Open(path, 0o600, nil)
			if err != nil {
				return err
			}
			return errors.Join(db.Update(func(tx *bolt.Tx) error {
				b, err := tx.CreateBucket([]byte(bucket))
				for a := range account.Fakes(accounts) {
					err = errors.Join(err, b.Put([]byte(a.ID), encode(a)))
				}
				return err
			}), db.Close())
		}
	}
	add(3000, seeded(3000))
	add(15_000, seeded(15_000)) // Two levels of branch pages.
	add(100, seeded(100))
	add(3000, in("accounts", 3000)) // Not completed yet.
	add(3000, seeded(2000))
	add(100, in("AccountBucket", 100)) // The original's.
	bases[len(bases)-1].unknown = true
	return bases
}
