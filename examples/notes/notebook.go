package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
)

// A notebook is the file of the notes. One process at a time may write to it.
type notebook struct {
	mu   sync.Mutex // add may cut the file, so no other note may follow meanwhile.
	file *os.File
}

// openNotebook opens the file in a directory, and creates it if it is missing.
func openNotebook(dir string) (*notebook, error) {
	file, err := os.OpenFile(filepath.Join(dir, "notes.txt"), os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, unusable(dir, err)
	}
	book := &notebook{file: file}
	if err := errors.Join(book.endLine(), syncDir(dir)); err != nil {
		return nil, errors.Join(unusable(dir, err), file.Close())
	}
	return book, nil
}

func unusable(dir string, err error) error {
	return fmt.Errorf("keep notes: %w: mount a volume at %s that user %d may write to", err, dir, os.Getuid())
}

// endLine ends the last line of the file. After a power failure, this may be half a line. The
// next note needs a line of its own.
func (b *notebook) endLine() error {
	size, err := b.size()
	if err != nil || size == 0 {
		return err
	}
	last := make([]byte, 1)
	if _, err := b.file.ReadAt(last, size-1); err != nil || last[0] == '\n' {
		return err
	}
	return b.add("")
}

// add stores a note. When it returns, the note is on the disk.
func (b *notebook) add(note string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	before, err := b.size()
	if err != nil {
		return err
	}
	_, err = b.file.WriteString(note + "\n")
	if err == nil {
		err = b.file.Sync()
	}
	if err != nil { // On a full disk, half of the note may be written.
		return errors.Join(err, b.file.Truncate(before))
	}
	return nil
}

// read returns all notes that are stored at this time.
func (b *notebook) read() (io.ReadSeeker, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	size, err := b.size()
	return io.NewSectionReader(b.file, 0, size), err
}

func (b *notebook) size() (int64, error) {
	info, err := b.file.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// syncDir writes the names in a directory to the disk. File.Sync only writes the content.
func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
