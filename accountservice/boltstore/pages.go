package boltstore

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"

	bolt "go.etcd.io/bbolt"
	"golang.org/x/sys/unix"

	"goblog/accountservice/account"
)

// The layout of a file: pages, each a header and elements of 16 bytes, which say where
// from there their keys and values are. (bbolt, internal/common/page.go and bucket.go)
const (
	headerSize   = 16
	elementSize  = 16
	branchPage   = 0x01
	leafPage     = 0x02
	metaPage     = 0x04
	bucketFlag   = 0x01 // Of an element whose value is a bucket.
	bucketHeader = 16   // The number of a bucket's root page, or 0 where that page follows.
)

var native = binary.NativeEndian

// A page begins with its header. What is on it may go on for more pages.
type page []byte

func (p page) id() uint64    { return native.Uint64(p) }
func (p page) flags() uint16 { return native.Uint16(p[8:]) }
func (p page) count() int    { return int(native.Uint16(p[10:])) }
func (p page) overflow() int { return int(native.Uint32(p[12:])) }

func (p page) element(i int) []byte { return p[headerSize+i*elementSize:][:elementSize] }

// child returns the page that an element of a branch page names.
func (p page) child(i int) uint64 { return native.Uint64(p.element(i)[8:]) }

// key returns the key of an element, of which a leaf has its flags before all else.
func (p page) key(i int) []byte {
	start := headerSize + i*elementSize
	fields := p[start : start+elementSize]
	if p.flags() == leafPage {
		fields = fields[4:]
	}
	start += int(native.Uint32(fields))
	return p[start : start+int(native.Uint32(fields[4:]))]
}

// value returns the value of an element of a leaf.
func (p page) value(i int) []byte {
	e := p.element(i)
	return p[headerSize+i*elementSize+int(native.Uint32(e[4:]))+int(native.Uint32(e[8:])):][:native.Uint32(e[12:])]
}

// search returns the index of a key on a page, or else of the element before which it would
// be. It looks at the element i first, then at ever more distant ones, but never beyond the
// middle of those that are left. Each look is a cache miss or two, so a good i is worth its
// calculation: with a million accounts, a read takes half the time.
func (p page) search(key []byte, i int) (_ int, found bool) {
	low, high := 0, p.count()
	for step := 1; low < high; step *= 2 {
		order := bytes.Compare(p.key(i), key)
		switch {
		case order == 0:
			return i, true
		case order < 0:
			low = i + 1
			i = min(i+step, int(uint(low+high)/2))
		default:
			high = i
			i = max(i-step, int(uint(low+high)/2))
		}
	}
	return low, false
}

// guess returns the index at which a key should be, where the keys on a page are evenly
// spread from low to high.
func (p page) guess(key, low, high int) int {
	n := p.count()
	return max(0, min((key-low)*n/max(high-low, 1), n-1))
}

// decimals returns the number that the first nine digits of a key are after a decimal
// point, in billionths. Keys of digits have the order of these numbers. For all other keys
// it returns a number too, but a useless one.
func decimals(key []byte) int {
	n := 0
	for i := range 9 {
		n *= 10
		if i < len(key) {
			n += int(key[i] - '0')
		}
	}
	return n
}

// fits tells whether all that is on a page is inside of it.
func (p page) fits() bool {
	if len(p) < headerSize+p.count()*elementSize {
		return false
	}
	for i := range p.count() {
		e, end := p.element(i), headerSize+i*elementSize
		if p.flags() == leafPage {
			end += int(native.Uint32(e[12:]))
			e = e[4:]
		}
		if end += int(native.Uint32(e)) + int(native.Uint32(e[4:])); end > len(p) {
			return false
		}
	}
	return true
}

// A mapping is a file as it is read: mapped into memory, and only what is in use of it.
//
// BoltDB reads too, but on a damaged page it panics, and where pages lead back to
// themselves it goes round until memory or stack are used up, which no recover catches.
// Whether some do cannot be known without a look at each page, which would take too long
// at the start. So BoltDB makes, locks and writes files, and the pages are followed here.
type mapping struct {
	data     []byte
	pageSize int
}

// mapFile fails where the file ends before the last page in use: reading past its end
// would be a bus error.
func mapFile(tx *bolt.Tx) (mapping, error) {
	m := mapping{pageSize: tx.DB().Info().PageSize}
	file, err := os.Open(tx.DB().Path())
	if err != nil {
		return m, err
	}
	defer file.Close()
	if info, err := file.Stat(); err != nil {
		return m, err
	} else if info.Size() < tx.Size() {
		return m, fmt.Errorf("%w: it has %d bytes of %d", errDamaged, info.Size(), tx.Size())
	}
	if m.data, err = unix.Mmap(int(file.Fd()), 0, int(tx.Size()), unix.PROT_READ, unix.MAP_SHARED); err != nil {
		return m, fmt.Errorf("map it into memory: %w", err)
	}
	_ = unix.Madvise(m.data, unix.MADV_RANDOM) // Reading ahead would only take memory.
	return m, nil
}

func (m mapping) unmap() { _ = unix.Munmap(m.data) }

// page returns a page of a tree.
func (m mapping) page(id uint64) (page, error) {
	if id < 2 || id >= uint64(len(m.data)/m.pageSize) {
		return nil, fmt.Errorf("%w: there is no page %d", errDamaged, id)
	}
	p := page(m.data[int(id)*m.pageSize:])
	if p.id() != id || p.flags() != leafPage && p.flags() != branchPage {
		return nil, fmt.Errorf("%w: page %d is not part of a tree", errDamaged, id)
	}
	return p, nil
}

// A bucket is the root of a tree. Few accounts have no pages of their own, but one inside
// the list of buckets.
type bucket struct {
	root   uint64
	inside page
}

// maxDepth is far more than what any number of accounts needs.
const maxDepth = 32

// find returns the value of a key, nil where it is not there.
func (m mapping) find(b bucket, key []byte) ([]byte, error) {
	p, next := b.inside, b.root
	number, low, high := decimals(key), 0, 1_000_000_000 // All that is on p is from low to high.
	for range maxDepth {
		if next != 0 {
			var err error
			if p, err = m.page(next); err != nil {
				return nil, err
			}
		}
		i, found := p.search(key, p.guess(number, low, high))
		switch {
		case p.flags() == leafPage && found:
			return p.value(i), nil
		case p.flags() == leafPage:
			return nil, nil
		case !found && i > 0:
			i--
		}
		next, low = p.child(i), decimals(p.key(i))
		if i+1 < p.count() {
			high = decimals(p.key(i + 1))
		}
	}
	return nil, fmt.Errorf("%w: page %d is part of a circle", errDamaged, p.id())
}

// A survey reads pages one by one, and fails where one is not sound.
type survey struct {
	mapping
	named []bool // The pages that others have named: where two name one, it is shared, or part of a circle.
}

func newSurvey(m mapping) survey { return survey{m, make([]bool, len(m.data)/m.pageSize)} }

// each calls do with each key and value of a bucket. All must have these flags.
func (s survey) each(b bucket, flags uint32, do func(key, value []byte) error) error {
	leaf := func(p page) error {
		if !p.fits() {
			return fmt.Errorf("%w: page %d ends before what is on it", errDamaged, p.id())
		}
		for i := range p.count() {
			if native.Uint32(p.element(i)) != flags {
				return fmt.Errorf("%w: page %d has what does not belong there, %.40q", errForeign, p.id(), p.key(i))
			}
			if err := do(p.key(i), p.value(i)); err != nil {
				return err
			}
		}
		return nil
	}
	if b.root == 0 {
		return leaf(b.inside)
	}
	if err := s.name(b.root, b.root); err != nil {
		return err
	}
	for ids := []uint64{b.root}; len(ids) > 0; ids = ids[1:] {
		p, err := s.page(ids[0])
		if err != nil {
			return err
		}
		more := p.overflow()
		for i := range more {
			if err := s.name(p.id()+uint64(i)+1, p.id()); err != nil {
				return err
			}
		}
		p = p[:(1+more)*s.pageSize]
		if p.flags() == leafPage {
			if err := leaf(p); err != nil {
				return err
			}
			continue
		}
		if !p.fits() {
			return fmt.Errorf("%w: page %d ends before what is on it", errDamaged, p.id())
		}
		for i := range p.count() {
			if err := s.name(p.child(i), p.id()); err != nil {
				return err
			}
			ids = append(ids, p.child(i))
		}
	}
	return nil
}

// name fails where a page is named for the second time, or is not there.
func (s survey) name(id, by uint64) error {
	if id >= uint64(len(s.named)) {
		return fmt.Errorf("%w: page %d names page %d, which is not there", errDamaged, by, id)
	}
	if s.named[id] {
		return fmt.Errorf("%w: page %d names page %d, which is named elsewhere, too", errDamaged, by, id)
	}
	s.named[id] = true
	return nil
}

// buckets returns the buckets of the file.
func (s survey) buckets(tx *bolt.Tx) (map[string]bucket, error) {
	buckets := map[string]bucket{}
	list := bucket{root: uint64(tx.Cursor().Bucket().Root())}
	err := s.each(list, bucketFlag, func(name, value []byte) error {
		var b bucket
		if len(value) >= bucketHeader {
			b = bucket{native.Uint64(value), page(value[bucketHeader:])}
		}
		if b.root == 0 && (len(b.inside) < headerSize || b.inside.flags() != leafPage) {
			return fmt.Errorf("%w: page %d lists a bucket that has no page, %.40q", errDamaged, list.root, name)
		}
		buckets[string(name)] = b
		return nil
	})
	return buckets, err
}

// seeded returns how many accounts are known to be there, -1 where none ever were.
func (s survey) seeded(buckets map[string]bucket) (int, error) {
	n := -1
	meta, ok := buckets[metaBucket]
	if !ok {
		return n, nil
	}
	err := s.each(meta, 0, func(key, value []byte) error {
		if string(key) != seededKey {
			return fmt.Errorf("%w: its bucket %q has a key %.40q", errForeign, metaBucket, key)
		}
		n = parseSeeded(value)
		return nil
	})
	return n, err
}

// accounts fails where anything in a bucket is not an account, or is not found by its key,
// or where one of the first n fake accounts is missing.
func (s survey) accounts(b bucket, n int) error {
	missing := n
	err := s.each(b, 0, func(key, value []byte) error {
		if !account.Holds(value, string(key)) {
			return fmt.Errorf("%w: its bucket of accounts has what is none, at key %.20q", errForeign, key)
		}
		if found, err := s.find(b, key); err != nil || !bytes.Equal(found, value) {
			return fmt.Errorf("%w: key %.20q is not where it should be", errDamaged, key)
		}
		if account.IsFake(string(key), n) {
			missing--
		}
		return nil
	})
	if err == nil && missing > 0 {
		err = errMissing
	}
	return err
}
