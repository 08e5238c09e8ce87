package boltstore_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	. "github.com/smartystreets/goconvey/convey"
	bolt "go.etcd.io/bbolt"

	"goblog/accountservice/account"
	"goblog/accountservice/boltstore"
)

// patience is how long a test waits for an event that should come much sooner.
const patience = 20 * time.Second

// These environment variables make this test binary open a store.
const (
	openerPath     = "OPENER_PATH"
	openerAccounts = "OPENER_ACCOUNTS"
)

// TestMain lets this test binary open a store as a process of its own. The process prints the
// number of accounts that it added, and keeps the store open until its stdin ends.
func TestMain(m *testing.M) {
	path := os.Getenv(openerPath)
	if path == "" {
		os.Exit(m.Run())
	}
	n, err := strconv.Atoi(os.Getenv(openerAccounts))
	if err != nil {
		panic(err)
	}
	store, added, err := boltstore.Open(path, n, 10*time.Second)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(added)
	_, _ = io.Copy(io.Discard, os.Stdin)
	if err := store.Close(); err != nil {
		panic(err)
	}
}

// opener returns a command that opens the store at path as a process of its own.
func opener(ctx context.Context, path string, n int) *exec.Cmd {
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), openerPath+"="+path, openerAccounts+"="+strconv.Itoa(n),
		"GORACE=atexit_sleep_ms=0") // Otherwise the race detector delays each exit by a second.
	return cmd
}

// holder is a process that has a store open until it is told to close it.
type holder struct {
	cmd    *exec.Cmd
	stdin  io.Closer
	stdout *bufio.Reader
	stderr strings.Builder
}

func startHolder(ctx context.Context, path string, n int) *holder {
	h := &holder{cmd: opener(ctx, path, n)}
	stdin, err := h.cmd.StdinPipe()
	So(err, ShouldBeNil)
	stdout, err := h.cmd.StdoutPipe()
	So(err, ShouldBeNil)
	h.stdin, h.stdout, h.cmd.Stderr = stdin, bufio.NewReader(stdout), &h.stderr
	So(h.cmd.Start(), ShouldBeNil)
	return h
}

// added waits until the store is open, and returns the number of accounts that were added.
func (h *holder) added() int {
	line, err := h.stdout.ReadString('\n')
	So(err, ShouldBeNil)
	n, err := strconv.Atoi(strings.TrimSpace(line))
	So(err, ShouldBeNil)
	return n
}

// close makes the process close its store and end.
func (h *holder) close() {
	So(h.stdin.Close(), ShouldBeNil)
	err := h.cmd.Wait()
	So(h.stderr.String(), ShouldBeEmpty)
	So(err, ShouldBeNil)
}

// eventually polls until the condition holds, and returns false if it never does.
func eventually(condition func() bool) bool {
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if condition() {
			return true
		}
	}
	return false
}

// within runs f, and reports whether it returned in time.
func within(d time.Duration, f func()) bool {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	select {
	case <-done:
		return true
	case <-time.After(d):
		return false
	}
}

func newPath(t *testing.T) string {
	return filepath.Join(t.TempDir(), "accounts.db")
}

// open opens a store, which must succeed, and closes it at the end of the scenario.
func open(path string, n int) (store *boltstore.Store, added int) {
	var err error
	So(within(2*patience, func() { store, added, err = boltstore.Open(path, n, patience) }), ShouldBeTrue)
	So(err, ShouldBeNil)
	Reset(func() { So(store.Close(), ShouldBeNil) })
	return store, added
}

// edit changes a database without boltstore.
func edit(path string, change func(accounts, meta *bolt.Bucket) error) {
	db, err := bolt.Open(path, 0o600, &bolt.Options{Timeout: patience})
	So(err, ShouldBeNil)
	So(db.Update(func(tx *bolt.Tx) error {
		accounts, err := tx.CreateBucketIfNotExists([]byte("accounts"))
		if err != nil {
			return err
		}
		meta, err := tx.CreateBucketIfNotExists([]byte("meta"))
		if err != nil {
			return err
		}
		return change(accounts, meta)
	}), ShouldBeNil)
	So(db.Close(), ShouldBeNil)
}

// seedWithoutMarker makes a database as after an interrupted seeding: it has some accounts,
// but not their number.
func seedWithoutMarker(path string, accounts []account.Account) {
	edit(path, func(b, _ *bolt.Bucket) error {
		for _, a := range accounts {
			if err := b.Put([]byte(a.ID), encode(a)); err != nil {
				return err
			}
		}
		return nil
	})
}

func encode(a account.Account) []byte {
	text, err := json.Marshal(a)
	if err != nil {
		panic(err)
	}
	return text
}

// contents returns all accounts of the file, and the number that a complete seeding writes.
func contents(path string) (accounts map[string]string, marker string) {
	accounts = map[string]string{}
	db, err := bolt.Open(path, 0, &bolt.Options{ReadOnly: true, Timeout: patience})
	So(err, ShouldBeNil)
	So(db.View(func(tx *bolt.Tx) error {
		if b := tx.Bucket([]byte("meta")); b != nil {
			marker = string(b.Get([]byte("seeded")))
		}
		b := tx.Bucket([]byte("accounts"))
		if b == nil {
			return nil
		}
		return b.ForEach(func(k, v []byte) error {
			accounts[string(k)] = string(v)
			return nil
		})
	}), ShouldBeNil)
	So(db.Close(), ShouldBeNil)
	return accounts, marker
}

// shouldHoldFakes succeeds if the file at path has exactly the first n fake accounts.
func shouldHoldFakes(actual any, expected ...any) string {
	path, n := actual.(string), expected[0].(int)
	accounts, marker := contents(path)
	if len(accounts) != n || marker != strconv.Itoa(n) {
		return fmt.Sprintf("Expected %d accounts in %s, but there are %d, and their number is %q", n, path, len(accounts), marker)
	}
	for a := range account.Fakes(n) {
		if got := accounts[a.ID]; got != string(encode(a)) {
			return fmt.Sprintf("Expected account %s in %s as %s, but it is %q", a.ID, path, encode(a), got)
		}
	}
	return ""
}

// fileNames returns the names in the directory of path.
func fileNames(path string) []string {
	entries, err := os.ReadDir(filepath.Dir(path))
	So(err, ShouldBeNil)
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}

func fakes(n int) []account.Account {
	return slices.Collect(account.Fakes(n))
}
