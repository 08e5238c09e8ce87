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

// The layout of a file. Each page has a header and elements of 16 bytes. An element has the
// sizes of its key and value, and their distance from the element's start.
// (bbolt, internal/common/page.go and bucket.go)
const (
	headerSize   = 16
	elementSize  = 16
	branchPage   = 0x01
	leafPage     = 0x02
	metaPage     = 0x04
	bucketFlag   = 0x01 // The flag of an element whose value is a bucket.
	bucketHeader = 16   // It has the number of the bucket's root page. If this is 0, the page follows.
)

var native = binary.NativeEndian

// A page begins with its header. A large page continues in the next pages: its overflow.
type page []byte

func (p page) id() uint64    { return native.Uint64(p) }
func (p page) flags() uint16 { return native.Uint16(p[8:]) }
func (p page) count() int    { return int(native.Uint16(p[10:])) }
func (p page) overflow() int { return int(native.Uint32(p[12:])) }

func (p page) element(i int) []byte { return p[headerSize+i*elementSize:][:elementSize] }

// child returns the number of the page that element i of a branch page names.
func (p page) child(i int) uint64 { return native.Uint64(p.element(i)[8:]) }

// key returns the key of element i. In a leaf, an element begins with its flags.
func (p page) key(i int) []byte {
	start := headerSize + i*elementSize
	fields := p[start : start+elementSize]
	if p.flags() == leafPage {
		fields = fields[4:]
	}
	start += int(native.Uint32(fields))
	return p[start : start+int(native.Uint32(fields[4:]))]
}

// value returns the value of element i of a leaf.
func (p page) value(i int) []byte {
	e := p.element(i)
	return p[headerSize+i*elementSize+int(native.Uint32(e[4:]))+int(native.Uint32(e[8:])):][:native.Uint32(e[12:])]
}

// search returns the index of a key on a page. If it is not found, the index is that of the
// first larger key. The search begins at element i. It goes on in growing steps, but never
// past the middle of the elements that are left. Each element costs a cache miss or two, so
// a good i is worth its calculation: BenchmarkAccount takes 0.44 µs for one of a million
// accounts. It takes 0.77 µs with a search that begins in the middle.
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

// guess returns the likely index of a key. It assumes that the keys of the page are spread
// evenly from low to high. All three numbers come from decimals.
func (p page) guess(key, low, high int) int {
	n := p.count()
	return max(0, min((key-low)*n/max(high-low, 1), n-1))
}

// decimals reads the first nine digits of a key as a decimal fraction, in billionths: "25"
// is 0.25, so 250,000,000. These numbers have the order of the keys. The number of a key
// that has other characters is of no use, but does no harm.
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

// fits fails if a key or a value lies outside of the page.
func (p page) fits() error {
	fits := len(p) >= headerSize+p.count()*elementSize
	for i := 0; fits && i < p.count(); i++ {
		e, end := p.element(i), headerSize+i*elementSize
		if p.flags() == leafPage {
			end += int(native.Uint32(e[12:]))
			e = e[4:]
		}
		fits = end+int(native.Uint32(e))+int(native.Uint32(e[4:])) <= len(p)
	}
	if !fits {
		return fmt.Errorf("%w: page %d ends before its content", errDamaged, p.id())
	}
	return nil
}

// A mapping is the used part of a file, mapped into memory.
//
// BoltDB can read too, but on a damaged page it panics. If pages form a circle, it follows
// them until memory or stack are used up, and no recover catches that. To find circles, the
// start would have to read each page, which takes too long. So BoltDB only makes, locks and
// writes files, and this package reads them.
type mapping struct {
	data     []byte
	pageSize int
}

// mapFile maps the file of tx. It fails if the file ends before its last used page: a read
// beyond the end would be a bus error.
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
		return m, fmt.Errorf("%w: it has only %d of %d bytes", errDamaged, info.Size(), tx.Size())
	}
	if m.data, err = unix.Mmap(int(file.Fd()), 0, int(tx.Size()), unix.PROT_READ, unix.MAP_SHARED); err != nil {
		return m, fmt.Errorf("map it into memory: %w", err)
	}
	_ = unix.Madvise(m.data, unix.MADV_RANDOM) // To read ahead would only take memory.
	return m, nil
}

func (m mapping) unmap() { _ = unix.Munmap(m.data) }

// page returns the branch or leaf page with this number.
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

// A bucket is the root of a tree. The tree of a small bucket is one page inside the list of
// buckets. Then root is 0.
type bucket struct {
	root   uint64
	inside page
}

// maxDepth is far more than the depth of the largest tree.
const maxDepth = 32

// find returns the value of a key, or nil if the key is not there.
func (m mapping) find(b bucket, key []byte) ([]byte, error) {
	p, next := b.inside, b.root
	number, low, high := decimals(key), 0, 1_000_000_000 // The keys of p are from low to high.
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

// A survey reads all pages of trees, and fails on a page that is damaged.
type survey struct {
	mapping
	named []bool // Whether a page was named. If it is named twice, it is shared or part of a circle.
}

func newSurvey(m mapping) survey { return survey{m, make([]bool, len(m.data)/m.pageSize)} }

// each calls do with each key and value of a bucket. It fails on an element with other flags.
func (s survey) each(b bucket, flags uint32, do func(key, value []byte) error) error {
	leaf := func(p page) error {
		if err := p.fits(); err != nil {
			return err
		}
		for i := range p.count() {
			if native.Uint32(p.element(i)) != flags {
				return fmt.Errorf("%w: page %d has an unexpected kind of element, with the key %.40q", errForeign, p.id(), p.key(i))
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
		if err := p.fits(); err != nil {
			return err
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

// name records that the page by names the page id. It fails if id was named before, or if
// there is no page id.
func (s survey) name(id, by uint64) error {
	if id >= uint64(len(s.named)) {
		return fmt.Errorf("%w: page %d names page %d, which does not exist", errDamaged, by, id)
	}
	if s.named[id] {
		return fmt.Errorf("%w: page %d names page %d, which is named twice", errDamaged, by, id)
	}
	s.named[id] = true
	return nil
}

// buckets returns the buckets of the file by their names.
func (s survey) buckets(tx *bolt.Tx) (map[string]bucket, error) {
	buckets := map[string]bucket{}
	list := bucket{root: uint64(tx.Cursor().Bucket().Root())}
	err := s.each(list, bucketFlag, func(name, value []byte) error {
		var b bucket
		if len(value) >= bucketHeader {
			b = bucket{native.Uint64(value), page(value[bucketHeader:])}
		}
		if b.root == 0 && (len(b.inside) < headerSize || b.inside.flags() != leafPage) {
			return fmt.Errorf("%w: page %d lists a bucket without a page, %.40q", errDamaged, list.root, name)
		}
		buckets[string(name)] = b
		return nil
	})
	return buckets, err
}

// seeded returns the number of accounts that were seeded, or -1 if no seeding was completed.
func (s survey) seeded(buckets map[string]bucket) (int, error) {
	n := -1
	meta, ok := buckets[metaBucket]
	if !ok {
		return n, nil
	}
	err := s.each(meta, 0, func(key, value []byte) error {
		if string(key) != seededKey {
			return fmt.Errorf("%w: its bucket %q has the key %.40q", errForeign, metaBucket, key)
		}
		n = parseSeeded(value)
		return nil
	})
	return n, err
}

// accounts reads all of a bucket. It fails if a value is not an account, or if find does not
// find a key. It also fails if one of the first n fake accounts is missing.
func (s survey) accounts(b bucket, n int) error {
	missing := n
	err := s.each(b, 0, func(key, value []byte) error {
		if !account.Holds(value, string(key)) {
			return fmt.Errorf("%w: its bucket of accounts has a key whose value is no account, %.20q", errForeign, key)
		}
		if found, err := s.find(b, key); err != nil || !bytes.Equal(found, value) {
			return fmt.Errorf("%w: key %.20q is at a wrong place", errDamaged, key)
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
