package boltstore_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	. "github.com/smartystreets/goconvey/convey"

	"goblog/accountservice/boltstore"
)

// runOrSkip runs a command. If the command fails, it skips the test.
func runOrSkip(t *testing.T, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		t.Skipf("%s does not work here: %v: %s", name, err, out)
	}
	return strings.TrimSpace(string(out))
}

// mounted returns a new directory with a file system of its own, until the test ends.
func mounted(t *testing.T, mount ...string) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can mount file systems")
	}
	dir := filepath.Join(t.TempDir(), "mnt")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	runOrSkip(t, mount[0], append(mount[1:], dir)...)
	t.Cleanup(func() {
		var out []byte
		if !eventually(func() (unmounted bool) {
			runtime.GC() // A closed store releases its file when it is collected.
			var err error
			out, err = exec.Command("umount", dir).CombinedOutput()
			return err == nil
		}) {
			t.Errorf("umount: %s", out)
		}
	})
	return dir
}

func TestFileSystemWithoutLinks(t *testing.T) {
	const n = 11_000
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	image := filepath.Join(t.TempDir(), "image")
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(image, 16<<20); err != nil {
		t.Fatal(err)
	}
	runOrSkip(t, "mkfs.exfat", image)
	loop := runOrSkip(t, "losetup", "--find", "--show", image)
	t.Cleanup(func() { _ = exec.Command("losetup", "--detach", loop).Run() })
	dir := mounted(t, "mount.exfat-fuse", loop)
	path := filepath.Join(dir, "accounts.db")

	Convey("Given a file system without hard links", t, func() {
		file := filepath.Join(dir, "file")
		So(os.WriteFile(file, nil, 0o600), ShouldBeNil)
		So(os.Link(file, file+"2"), ShouldNotBeNil)
		So(os.Remove(file), ShouldBeNil)
		Reset(func() { So(os.RemoveAll(path), ShouldBeNil) })

		Convey("When a new file is opened there, this seeds it", func() {
			store, added, err := boltstore.Open(path, 100, patience)
			So(err, ShouldBeNil)
			So(store.Close(), ShouldBeNil)
			So(added, ShouldEqual, 100)
			So(path, shouldHoldFakes, 100)
			So(fileNames(path), ShouldResemble, []string{"accounts.db"})
		})

		Convey("When more accounts are wanted than fit, this fails and says what to do", func() {
			_, _, err := boltstore.Open(path, 1_000_000, time.Second)
			So(err, ShouldNotBeNil)
			So(err.Error(), shouldBeOneLineNaming, path, "no space left on device", "free space")
		})

		Convey("When three processes open it at once, all succeed, and each account is added once", func() {
			holders := []*holder{startHolder(ctx, path, n), startHolder(ctx, path, n), startHolder(ctx, path, n)}
			added := 0
			for _, h := range holders {
				added += h.added()
			}
			So(added, ShouldEqual, n)
			for _, h := range holders {
				h.close()
			}
			So(path, shouldHoldFakes, n)
			So(fileNames(path), ShouldResemble, []string{"accounts.db"})
		})
	})
}

func TestFullDisk(t *testing.T) {
	for size, fits := range map[string]int{
		"4k":  0, // Not even an empty database fits.
		"40k": 100,
		"2m":  1000,
	} {
		dir := mounted(t, "mount", "-t", "tmpfs", "-o", "size="+size, "none")
		path := filepath.Join(dir, "accounts.db")

		Convey("Given a disk of "+size, t, func() {
			Convey("When more accounts are wanted than fit, this fails and says what to do", func() {
				_, _, err := boltstore.Open(path, 100_000, time.Second)
				So(err, ShouldNotBeNil)
				So(err.Error(), shouldBeOneLineNaming, path, "no space left on device", "free space")

				Convey("And then fewer accounts can be opened in the same file", func() {
					if fits == 0 {
						return
					}
					store, _, err := boltstore.Open(path, fits, time.Second)
					So(err, ShouldBeNil)
					Reset(func() { So(store.Close(), ShouldBeNil) })
					for _, a := range fakes(fits) {
						_, err := store.Account(a.ID)
						So(err, ShouldBeNil)
					}
					So(fileNames(path), ShouldResemble, []string{"accounts.db"})
				})
			})
		})
	}
}
