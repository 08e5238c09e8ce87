package boltstore

import (
	"encoding/binary"
	"fmt"
	"os"

	bolt "go.etcd.io/bbolt"
)

// The layout of a file: pages, each a header and elements of 16 bytes, which say where in
// the page their keys and values are. (bbolt, internal/common/page.go and bucket.go)
const (
	headerSize   = 16
	elementSize  = 16
	branchPage   = 0x01
	leafPage     = 0x02
	metaPage     = 0x04
	bucketHeader = 16 // Before the page of a bucket that is inside another page.
	bucketFlag   = 0x01
)

var native = binary.NativeEndian

// A page is its header and all that follows, overflow pages too.
type page []byte

func (p page) id() uint64       { return native.Uint64(p) }
func (p page) flags() uint16    { return native.Uint16(p[8:]) }
func (p page) count() int       { return int(native.Uint16(p[10:])) }
func (p page) overflow() uint64 { return uint64(native.Uint32(p[12:])) }

// element returns the four or, in a branch page, three fields of an element.
func (p page) element(i int) []byte { return p[headerSize+i*elementSize:][:elementSize] }

// child returns the page that an element of a branch page names.
func (p page) child(i int) uint64 { return native.Uint64(p.element(i)[8:]) }

// leafElement returns the flags, the key and the value of an element of a leaf page.
func (p page) leafElement(i int) (flags uint32, key, value []byte) {
	e := p.element(i)
	from := p[headerSize+i*elementSize+int(native.Uint32(e[4:])):]
	keySize, valueSize := int(native.Uint32(e[8:])), int(native.Uint32(e[12:]))
	return native.Uint32(e), from[:keySize], from[keySize:][:valueSize]
}

// fits tells whether all elements, their keys and their values are inside the page.
func (p page) fits() bool {
	if headerSize+p.count()*elementSize > len(p) {
		return false
	}
	for i := range p.count() {
		e, size := p.element(i), 0
		if p.flags() == branchPage {
			size = int(native.Uint32(e)) + int(native.Uint32(e[4:]))
		} else {
			size = int(native.Uint32(e[4:])) + int(native.Uint32(e[8:])) + int(native.Uint32(e[12:]))
		}
		if headerSize+i*elementSize+size > len(p) {
			return false
		}
	}
	return true
}

// A survey finds out how the pages of a file hang together, without BoltDB. On a damaged
// page BoltDB panics, which can be caught. But where pages lead back to themselves it
// goes round until memory or stack are used up, and no recover catches that.
type survey struct {
	file     *os.File
	pageSize int64
	root     uint64 // The page that lists the buckets.
	// named tells of each page whether another one names it. A page that two name is
	// part of a cycle, or shared.
	named []bool
	// whole is set where every page is to be read, and must be sound. Otherwise these are
	// the branch pages, of which 1,000,000 accounts have 83, and some leaves.
	whole  bool
	leaves int // How many more leaves may be read.
	buffer page
}

// fewLeaves take less time to read than can be measured.
const fewLeaves = 100

// newSurvey fails where the file ends before the last page that is in use: reading past
// its end would be a bus error.
func newSurvey(tx *bolt.Tx, whole bool) (*survey, error) {
	file, err := os.Open(tx.DB().Path())
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil && info.Size() < tx.Size() {
		err = fmt.Errorf("%w: it has %d bytes of %d", errDamaged, info.Size(), tx.Size())
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	pageSize := int64(tx.DB().Info().PageSize)
	return &survey{
		file:     file,
		pageSize: pageSize,
		root:     uint64(tx.Cursor().Bucket().Root()),
		named:    make([]bool, tx.Size()/pageSize),
		whole:    whole,
		leaves:   fewLeaves,
	}, nil
}

func (s *survey) close() { s.file.Close() }

// buckets returns the root page of each bucket, 0 for one that is inside the list of buckets.
func (s *survey) buckets() (map[string]uint64, error) {
	roots := map[string]uint64{}
	err := s.tree(s.root, func(list page) error {
		if !list.fits() {
			return fmt.Errorf("%w: page %d ends before what is on it", errDamaged, list.id())
		}
		for i := range list.count() {
			flags, name, value := list.leafElement(i)
			if flags != bucketFlag || len(value) < bucketHeader {
				return fmt.Errorf("%w: page %d lists what is not a bucket: %.40q", errDamaged, list.id(), name)
			}
			root, inside := native.Uint64(value), page(value[bucketHeader:])
			if root == 0 && (len(inside) < headerSize || inside.flags() != leafPage || !inside.fits()) {
				return fmt.Errorf("%w: page %d lists a bucket that has no page: %.40q", errDamaged, list.id(), name)
			}
			roots[string(name)] = root
		}
		return nil
	})
	return roots, err
}

// tree goes through the pages under a root and hands each leaf that it reads to leaf.
func (s *survey) tree(root uint64, leaf func(page) error) error {
	if root == 0 {
		return nil // The bucket is inside the list of buckets, which has been read.
	}
	if err := s.name(root, 0); err != nil {
		return err
	}
	for pages := []uint64{root}; len(pages) > 0; {
		id := pages[0]
		pages = pages[1:]
		p, err := s.read(id)
		if err != nil {
			return err
		}
		switch {
		case p.id() == id && p.flags() == leafPage:
			if err := leaf(p); err != nil {
				return err
			}
		case p.id() == id && p.flags() == branchPage && p.fits():
			if pages, err = s.children(p, pages); err != nil {
				return err
			}
		case s.whole || id == root || p.id() == id:
			return fmt.Errorf("%w: page %d is not part of a tree", errDamaged, id)
		default:
			// Those who ask for what was on it are told so by BoltDB, and the others are served.
		}
	}
	return nil
}

// noLeaf takes leaves as they are.
func noLeaf(page) error { return nil }

// accountsOnly fails where not all of a leaf can be read, or it has buckets in the bucket.
func accountsOnly(leaf page) error {
	if !leaf.fits() {
		return fmt.Errorf("%w: page %d ends before what is on it", errDamaged, leaf.id())
	}
	for i := range leaf.count() {
		if flags, key, _ := leaf.leafElement(i); flags != 0 {
			return fmt.Errorf("%w: page %d has a bucket among the accounts, %.40q", errForeign, leaf.id(), key)
		}
	}
	return nil
}

// children adds those of a branch page that are to be read. All of them are leaves where
// the first is: then reading a few will do.
func (s *survey) children(branch page, pages []uint64) ([]uint64, error) {
	var first [headerSize]byte
	for i := range branch.count() {
		id := branch.child(i)
		if err := s.name(id, branch.id()); err != nil {
			return nil, err
		}
		if i == 0 {
			if _, err := s.file.ReadAt(first[:], int64(id)*s.pageSize); err != nil {
				return nil, err
			}
		}
		if !s.whole && page(first[:]).flags() == leafPage {
			if s.leaves == 0 {
				continue
			}
			s.leaves--
		}
		pages = append(pages, id)
	}
	return pages, nil
}

// name fails where a page is named for the second time, or is not one at all. By is the
// page that names it, 0 for the list of buckets.
func (s *survey) name(id, by uint64) error {
	switch {
	case id < 2 || id >= uint64(len(s.named)):
		return fmt.Errorf("%w: page %d names page %d, which there is not", errDamaged, by, id)
	case s.named[id]:
		return fmt.Errorf("%w: page %d names page %d, and so does another page or itself", errDamaged, by, id)
	}
	s.named[id] = true
	return nil
}

// read returns a page, with the pages that it goes on for. It is valid until the next one is read.
func (s *survey) read(id uint64) (page, error) {
	size := s.pageSize
	for {
		if int64(len(s.buffer)) < size {
			s.buffer = make(page, size)
		}
		p := s.buffer[:size]
		if _, err := s.file.ReadAt(p, int64(id)*s.pageSize); err != nil {
			return nil, err
		}
		more := p.overflow()
		if size > s.pageSize || more == 0 || p.id() != id {
			return p, nil
		}
		if id+more >= uint64(len(s.named)) {
			return nil, fmt.Errorf("%w: page %d goes on for %d pages", errDamaged, id, more)
		}
		for i := range more {
			if err := s.name(id+1+i, id); err != nil {
				return nil, err
			}
		}
		size += int64(more) * s.pageSize
	}
}
