package boltstore_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	. "github.com/smartystreets/goconvey/convey"
	bolt "go.etcd.io/bbolt"

	"goblog/accountservice/account"
	"goblog/accountservice/boltstore"
)

// damagedAccounts is the number of accounts in the damaged files. It makes a branch page.
const damagedAccounts = 3000

// garbage fills a page with random bytes, the same in each run.
func garbage(page []byte) {
	_, _ = rand.NewChaCha8([32]byte{}).Read(page)
}

// The layout of a page: a header and elements. (bbolt, internal/common/page.go)
const (
	headerSize    = 16
	elementCount  = 10 // in the header, 2 bytes
	overflowCount = 12 // in the header, 4 bytes

	elementSize     = 16 // in a leaf and in a branch page
	leafKeyOffset   = 4  // in a leaf's element, 4 bytes like all of these
	leafKeySize     = 8
	leafValueSize   = 12
	branchKeyOffset = 0 // in a branch's element
	branchKeySize   = 4
)

var pageSize = int64(os.Getpagesize())

// A damage changes the file at path.
type damage func(t *testing.T, path string)

// onPage returns a damage to a used page of this type.
func onPage(pageType string, change func(page []byte)) damage {
	return func(t *testing.T, path string) {
		pages := pagesByType(t, path)[pageType]
		start := pages[len(pages)/2] * pageSize
		rewrite(t, path, func(file []byte) []byte {
			change(file[start : start+pageSize])
			return file
		})
	}
}

// pagesByType returns the numbers of the pages of each type: "meta", "branch", "leaf",
// "freelist" and "free".
func pagesByType(t *testing.T, path string) map[string][]int64 {
	t.Helper()
	pages := map[string][]int64{}
	db, err := bolt.Open(path, 0, &bolt.Options{ReadOnly: true, Timeout: patience, PreLoadFreelist: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	err = db.View(func(tx *bolt.Tx) error {
		for i := 0; ; i++ {
			page, err := tx.Page(i)
			if err != nil || page == nil {
				return err
			}
			pages[page.Type] = append(pages[page.Type], int64(i))
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return pages
}

// beyondTheFile makes a field of the fourth element far too large.
func beyondTheFile(field int) func(page []byte) {
	return func(page []byte) {
		binary.LittleEndian.PutUint32(page[headerSize+3*elementSize+field:], 0x7fff0000)
	}
}

func rewrite(t *testing.T, path string, change func(file []byte) []byte) {
	t.Helper()
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, change(file), 0o600); err != nil {
		t.Fatal(err)
	}
}

func cutTo(size int64) damage {
	return func(t *testing.T, path string) {
		if err := os.Truncate(path, size); err != nil {
			t.Fatal(err)
		}
	}
}

func replacedBy(content string) damage {
	return func(t *testing.T, path string) {
		rewrite(t, path, func([]byte) []byte { return []byte(content) })
	}
}

// damages are all kinds of damage. To open a complete file, the service reads only a few
// pages. So a deeper damage shows only in an incomplete file.
var damages = []struct {
	what   string
	deeper bool
	do     damage
}{
	{"it became text", false, replacedBy(strings.Repeat("This is not a database.\n", 5000))},
	{"it became a few bytes of text", false, replacedBy("hello\n")},
	{"it became zeros", false, replacedBy(string(make([]byte, 1<<16)))},
	{"it was cut in the first page", false, cutTo(pageSize / 2)},
	{"it was cut after the first page", false, cutTo(pageSize)},
	{"it was cut after the meta pages", false, cutTo(2 * pageSize)},
	{"it was cut in the middle", false, cutTo(20*pageSize + 100)},
	{"its last page was cut off", false, func(t *testing.T, path string) {
		last := slices.Max(slices.Concat(slices.Collect(maps.Values(pagesByType(t, path)))...))
		cutTo(last*pageSize)(t, path)
	}},
	{"both meta pages became garbage", false, func(t *testing.T, path string) {
		rewrite(t, path, func(file []byte) []byte {
			garbage(file[:2*pageSize])
			return file
		})
	}},
	{"a leaf page became garbage", true, onPage("leaf", garbage)},
	{"a leaf page became garbage after its header", true, onPage("leaf", func(page []byte) { garbage(page[headerSize:]) })},
	{"a leaf page became zeros", true, onPage("leaf", func(page []byte) { clear(page) })},
	{"a leaf page became zeros after its header", true, onPage("leaf", func(page []byte) { clear(page[headerSize:]) })},
	{"a branch page became garbage", true, onPage("branch", garbage)},
	{"a branch page lost its elements", true, onPage("branch", func(page []byte) {
		binary.LittleEndian.PutUint16(page[elementCount:], 0)
	})},
	{"the list of free pages became garbage", true, onPage("freelist", garbage)},
	{"a key in a leaf page got a place far outside the file", true, onPage("leaf", beyondTheFile(leafKeyOffset))},
	{"a key in a leaf page got a size larger than the file", true, onPage("leaf", beyondTheFile(leafKeySize))},
	{"a value got a size larger than the file", true, onPage("leaf", beyondTheFile(leafValueSize))},
	{"a key in a branch page got a place far outside the file", true, onPage("branch", beyondTheFile(branchKeyOffset))},
	{"a key in a branch page got a size larger than the file", true, onPage("branch", beyondTheFile(branchKeySize))},
	{"a page got an overflow of two billion pages", true, onPage("leaf", func(page []byte) {
		binary.LittleEndian.PutUint32(page[overflowCount:], 0x7fffffff)
	})},
}

func TestDamagedFile(t *testing.T) {
	for _, damage := range damages {
		for kind, makeFile := range map[string]func(path string){
			"complete":   seedCompletely,
			"incomplete": func(path string) { seedWithoutMarker(path, fakes(damagedAccounts)) },
		} {
			if damage.deeper && kind == "complete" {
				continue
			}
			Convey("Given a file that was "+kind+" until "+damage.what, t, func() {
				path := newPath(t)
				makeFile(path)
				damage.do(t, path)
				before, err := os.ReadFile(path)
				So(err, ShouldBeNil)

				Convey("When it is opened, this fails soon, with one line that names the file, and the file is unchanged", func() {
					So(openingError(path, damagedAccounts), shouldBeOneLineNaming, path, "it was left as it is")
					after, err := os.ReadFile(path)
					So(err, ShouldBeNil)
					So(bytes.Equal(after, before), ShouldBeTrue)
					So(fileNames(path), ShouldResemble, []string{"accounts.db"})
				})
			})
		}
	}
}

func seedCompletely(path string) { seedCompletelyWith(path, damagedAccounts) }

func seedCompletelyWith(path string, n int) {
	store, _, err := boltstore.Open(path, n, patience)
	So(err, ShouldBeNil)
	So(store.Close(), ShouldBeNil)
}

// openingError opens a file that must fail to open, and returns the error text. It uses a
// process of its own, because a crash or an endless loop would end this one.
func openingError(path string, accounts int) string {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	var stderr strings.Builder
	cmd := opener(ctx, path, accounts)
	cmd.Stderr = &stderr
	err := cmd.Run()
	So(ctx.Err(), ShouldBeNil)
	So(err, ShouldHaveSameTypeAs, &exec.ExitError{})
	So(cmd.ProcessState.ExitCode(), ShouldEqual, 1)
	return stderr.String()
}

func shouldBeOneLineNaming(actual any, expected ...any) string {
	text := actual.(string)
	line, rest, _ := strings.Cut(text, "\n")
	for _, words := range expected {
		if rest != "" || !strings.Contains(line, words.(string)) || len(line) > 1000 {
			return fmt.Sprintf("Expected one line with %q, got %d lines, %d bytes: %.300s", words, strings.Count(text, "\n"), len(text), text)
		}
	}
	return ""
}

func TestDamagedPageOfACompleteFile(t *testing.T) {
	Convey("Given a complete file with garbage in a leaf page in the middle", t, func() {
		path := newPath(t)
		seedCompletely(path)
		onPage("leaf", garbage)(t, path)

		Convey("When all accounts are read, those of the page are failures, not missing accounts, and all others can be read", func() {
			store, _ := open(path, damagedAccounts)
			failed := 0
			for _, a := range fakes(damagedAccounts) {
				got, err := store.Account(a.ID)
				if err != nil {
					failed++
					So(errors.Is(err, account.ErrNotFound), ShouldBeFalse)
				} else {
					So(string(got), ShouldEqual, string(encode(a)))
				}
			}
			So(failed, ShouldBeBetween, 0, damagedAccounts/10)
		})
	})
}

func TestFileCutWhileOpen(t *testing.T) {
	for _, size := range []int64{0, 1, pageSize, 2 * pageSize, 20*pageSize + 100} {
		Convey(fmt.Sprintf("Given an open store whose file was cut to %d bytes", size), t, func() {
			path := newPath(t)
			store, _, err := boltstore.Open(path, damagedAccounts, patience)
			So(err, ShouldBeNil)
			So(os.Truncate(path, size), ShouldBeNil)

			Convey("Then each read and ping fails, and the store can be closed", func() {
				var errs []error
				var closed error
				So(within(2*time.Second, func() {
					for range 2 {
						_, err := store.Account("10000")
						errs = append(errs, store.Ping(), err)
					}
					closed = store.Close()
				}), ShouldBeTrue)
				So(slices.Contains(errs, nil), ShouldBeFalse)
				So(closed, ShouldBeNil)
			})
		})
	}
}

// causesOfFailure reads all seeded accounts. Each must be right, or a failure of the storage.
// It returns the number of different causes.
func causesOfFailure(store *boltstore.Store, accounts int) int {
	causes, wrong := map[string]bool{}, ""
	So(within(patience, func() {
		for a := range account.Fakes(accounts) {
			got, err := store.Account(a.ID)
			switch {
			case errors.Is(err, account.ErrNotFound), err == nil && string(got) != string(encode(a)):
				wrong = fmt.Sprintf("%s reads as %q, %v", a.ID, got, err)
			case err != nil:
				causes[err.Error()] = true
			}
		}
	}), ShouldBeTrue)
	So(wrong, ShouldBeEmpty)
	return len(causes)
}

// A tree has the numbers of the pages of a file.
type tree struct {
	list, root   int64   // The page that lists the buckets, and the root of the accounts.
	branches     []int64 // Without the root.
	first, inner int64   // A leaf that is the first of a branch page, and one that is not.
}

// treeOf finds the pages of a file.
func treeOf(t *testing.T, path string) tree {
	t.Helper()
	var tr tree
	db, err := bolt.Open(path, 0, &bolt.Options{ReadOnly: true, Timeout: patience})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	err = db.View(func(tx *bolt.Tx) error {
		tr.list = int64(tx.Cursor().Bucket().Root())
		tr.root = int64(tx.Bucket([]byte("accounts")).Root())
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range pagesByType(t, path)["branch"] {
		if page != tr.root {
			tr.branches = append(tr.branches, page)
		}
	}
	lowest := append([]int64{tr.root}, tr.branches...)
	rewrite(t, path, func(file []byte) []byte {
		page := file[lowest[len(lowest)-1]*pageSize:]
		tr.first = int64(binary.LittleEndian.Uint64(page[headerSize+8:]))
		tr.inner = int64(binary.LittleEndian.Uint64(page[headerSize+3*elementSize+8:]))
		return file
	})
	return tr
}

// naming makes a page a branch page, of which one element names another page.
func naming(t *testing.T, path string, page int64, element int, named int64) {
	rewrite(t, path, func(file []byte) []byte {
		start := file[page*pageSize:]
		start[8] = 1 // A branch page.
		binary.LittleEndian.PutUint64(start[headerSize+element*elementSize+8:], uint64(named))
		return file
	})
}

// shouldFailNaming expects that a file cannot be opened, with one line that has these words,
// and that the file is unchanged.
func shouldFailNaming(path string, accounts int, words string) {
	before, err := os.ReadFile(path)
	So(err, ShouldBeNil)
	So(openingError(path, accounts), shouldBeOneLineNaming, path, words, "it was left as it is")
	after, err := os.ReadFile(path)
	So(err, ShouldBeNil)
	So(bytes.Equal(after, before), ShouldBeTrue)
}

func TestPagesInACircle(t *testing.T) {
	const twoLevels, threeLevels = damagedAccounts, 15_000
	circles := []struct {
		what   string
		levels int  // The number of accounts, which makes this many levels.
		first  bool // Whether it is found at the start: in the list of buckets, or on the path to the first account.
		do     func(t *testing.T, path string, tr tree) (named int64)
	}{
		{"the root names itself", twoLevels, false, func(t *testing.T, path string, tr tree) int64 {
			naming(t, path, tr.root, 1, tr.root)
			return tr.root
		}},
		{"the root names the list of buckets", twoLevels, true, func(t *testing.T, path string, tr tree) int64 {
			naming(t, path, tr.root, 0, tr.list)
			return tr.list
		}},
		{"a branch page names itself first", threeLevels, true, func(t *testing.T, path string, tr tree) int64 {
			naming(t, path, tr.branches[0], 0, tr.branches[0])
			return tr.branches[0]
		}},
		{"a branch page names itself somewhere", threeLevels, false, func(t *testing.T, path string, tr tree) int64 {
			naming(t, path, tr.branches[1], 7, tr.branches[1])
			return tr.branches[1]
		}},
		{"a branch page names the root", threeLevels, false, func(t *testing.T, path string, tr tree) int64 {
			naming(t, path, tr.branches[0], 9, tr.root)
			return tr.root
		}},
		{"a branch page names the list of buckets", threeLevels, false, func(t *testing.T, path string, tr tree) int64 {
			naming(t, path, tr.branches[0], 3, tr.list)
			return tr.list
		}},
		{"two branch pages name each other", threeLevels, false, func(t *testing.T, path string, tr tree) int64 {
			naming(t, path, tr.branches[0], 3, tr.branches[1])
			naming(t, path, tr.branches[1], 3, tr.branches[0])
			return tr.branches[1]
		}},
		{"a leaf became a branch page that names itself", twoLevels, false, func(t *testing.T, path string, tr tree) int64 {
			naming(t, path, tr.inner, 0, tr.inner)
			return tr.inner
		}},
		{"the list of buckets became a branch page that names itself", twoLevels, true, func(t *testing.T, path string, tr tree) int64 {
			naming(t, path, tr.list, 0, tr.list)
			return tr.list
		}},
		{"the list of buckets says that it is the root of the accounts", twoLevels, true, func(t *testing.T, path string, tr tree) int64 {
			rewrite(t, path, func(file []byte) []byte {
				list := file[tr.list*pageSize:][:pageSize]
				start := bytes.Index(list, []byte("accounts")) + len("accounts")
				binary.LittleEndian.PutUint64(list[start:], uint64(tr.list))
				return file
			})
			return tr.list
		}},
		{"almost all that the root names is one page", twoLevels, false, func(t *testing.T, path string, tr tree) int64 {
			for i := range 40 {
				naming(t, path, tr.root, i, tr.first)
			}
			return tr.first
		}},
	}
	for _, circle := range circles {
		Convey("Given an incomplete file in which "+circle.what, t, func() {
			path := newPath(t)
			seedWithoutMarker(path, fakes(circle.levels))
			named := circle.do(t, path, treeOf(t, path))

			Convey("When it is opened, this fails soon, with one line that names the page, and the file is unchanged", func() {
				shouldFailNaming(path, circle.levels, fmt.Sprintf("page %d", named))
			})
		})

		Convey("Given a complete file in which "+circle.what, t, func() {
			path := newPath(t)
			seedCompletelyWith(path, circle.levels)
			named := circle.do(t, path, treeOf(t, path))

			if circle.first {
				Convey("When it is opened, this fails soon, with one line, and the file is unchanged", func() {
					shouldFailNaming(path, circle.levels, "damaged")
				})
				return
			}
			Convey("When all accounts are read, each is right or a failure of the storage, and Ping fails from then on", func() {
				store, _ := open(path, circle.levels)
				So(causesOfFailure(store, circle.levels), ShouldBeBetween, 0, 5)
				So(store.Ping(), ShouldNotBeNil)
				So(named, ShouldBeGreaterThan, 1)
			})
		})
	}

	Convey("Given a file of few accounts, whose page inside the list of buckets became a branch page", t, func() {
		path := newPath(t)
		seedCompletelyWith(path, 5)
		tr := treeOf(t, path)
		rewrite(t, path, func(file []byte) []byte {
			list := file[tr.list*pageSize:][:pageSize]
			inside := list[bytes.Index(list, []byte("accounts"))+len("accounts")+16:]
			inside[8] = 1
			binary.LittleEndian.PutUint64(inside[headerSize+8:], 0) // It names itself.
			return file
		})

		Convey("When it is opened, this fails soon, with one line that names the page", func() {
			So(openingError(path, 5), shouldBeOneLineNaming, path, fmt.Sprintf("page %d", tr.list))
		})
	})
}

func TestMissingAccounts(t *testing.T) {
	losses := map[string]damage{
		"leaf that ends too early":    onPage("leaf", func(page []byte) { binary.LittleEndian.PutUint16(page[elementCount:], 3) }),
		"leaf without elements":       onPage("leaf", func(page []byte) { binary.LittleEndian.PutUint16(page[elementCount:], 0) }),
		"leaf with too many elements": onPage("leaf", func(page []byte) { binary.LittleEndian.PutUint16(page[elementCount:], 0x7fff) }),
		"leaf with values of other accounts": onPage("leaf", func(page []byte) {
			for i := range 30 {
				copy(page[headerSize+i*elementSize+leafValueSize:], page[headerSize+(i+1)*elementSize+leafValueSize:][:4])
				page[headerSize+i*elementSize+leafValueSize]++
			}
		}),
		"branch page with its keys mixed up": onPage("branch", func(page []byte) {
			copy(page[headerSize+9*elementSize:], page[headerSize+2*elementSize:][:4])
		}),
	}
	for what, damage := range losses {
		Convey("Given a complete file with a "+what, t, func() {
			path := newPath(t)
			seedCompletely(path)
			damage(t, path)
			store, added := open(path, damagedAccounts)
			So(added, ShouldEqual, 0)
			So(store.Ping(), ShouldBeNil)

			Convey("When all accounts are read, each is right or a failure of the storage, and Ping fails from then on", func() {
				So(causesOfFailure(store, damagedAccounts), ShouldBeBetween, 0, 40) // Causes, not accounts.
				So(store.Ping(), ShouldNotBeNil)

				Convey("And when more accounts are wanted, the file stays unchanged, because lost accounts may have had other names", func() {
					before, err := os.ReadFile(path)
					So(err, ShouldBeNil)
					_, _, err = boltstore.Open(path, damagedAccounts+1000, time.Second)
					So(err, ShouldNotBeNil)
					So(err.Error(), ShouldContainSubstring, "it was left as it is")
					after, err := os.ReadFile(path)
					So(err, ShouldBeNil)
					So(bytes.Equal(after, before), ShouldBeTrue)
				})

				Convey("And ids that were never seeded are still not found", func() {
					for _, id := range []string{"9999", "13000", "nobody"} {
						_, err := store.Account(id)
						So(errors.Is(err, account.ErrNotFound), ShouldBeTrue)
					}
				})
			})
		})
	}
}

func TestFileCutWhileSeeding(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 3*patience)
	defer cancel()

	Convey("Given a process that seeds a file, while another program cuts the file", t, func() {
		path := newPath(t)
		h := startHolder(ctx, path, 2_000_000)
		So(eventually(func() bool { return lastTransaction(path) >= 3 }), ShouldBeTrue)
		So(os.Truncate(path, pageSize), ShouldBeNil)

		Convey("Then it fails with one line, and does not say that the file is unchanged", func() {
			_ = h.cmd.Wait()
			So(ctx.Err(), ShouldBeNil)
			So(h.cmd.ProcessState.ExitCode(), ShouldEqual, 1)
			So(h.stderr.String(), shouldBeOneLineNaming, path, "damaged", "move it away")
			So(h.stderr.String(), ShouldNotContainSubstring, "left as it is")
		})
	})
}
