package build

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"goblog/deploy/stack"
)

// context copies the context of a build to a new directory. It adds the binary as service,
// and rootfs with an empty /data that every user may write to.
func (b *Builder) context(service stack.Service) (string, error) {
	dir, err := os.MkdirTemp(cmp.Or(b.work, filepath.Join(b.Root, "build")), "image.") // Every docker client may read here.
	if err != nil {
		return "", err
	}
	err = eachFile(service.Build.Context, filepath.Join(b.Root, "build"), func(path string, entry fs.DirEntry) error {
		from, to := filepath.Join(service.Build.Context, path), filepath.Join(dir, path)
		switch {
		case entry.IsDir():
			return os.MkdirAll(to, 0o755)
		case entry.Type()&fs.ModeSymlink != 0:
			target, err := os.Readlink(from)
			if err != nil {
				return err
			}
			return os.Symlink(target, to)
		}
		return copyFile(from, to)
	})
	if err != nil {
		return dir, err
	}
	if err := copyFile(b.compiled(service.Key), filepath.Join(dir, "service")); err != nil {
		return dir, err
	}
	data := filepath.Join(dir, "rootfs", "data")
	if err := os.MkdirAll(data, 0o755); err != nil {
		return dir, err
	}
	// The umask must not change these modes: the service's user runs the binary and writes to
	// the directory.
	if err := os.Chmod(filepath.Join(dir, "rootfs"), 0o755); err != nil {
		return dir, err
	}
	if err := os.Chmod(data, 0o777|os.ModeSticky); err != nil {
		return dir, err
	}
	return dir, os.Chmod(filepath.Join(dir, "service"), 0o755)
}

// eachFile calls visit for the directories, files and symbolic links of a context, in order,
// with their paths in the context. It leaves out the directory of git and the directory of
// earlier builds.
func eachFile(context, builds string, visit func(path string, entry fs.DirEntry) error) error {
	return fs.WalkDir(os.DirFS(context), ".", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (entry.Name() == ".git" || filepath.Join(context, path) == builds):
			return fs.SkipDir
		case entry.IsDir() || entry.Type().IsRegular() || entry.Type()&fs.ModeSymlink != 0:
			return visit(path, entry)
		}
		return nil
	})
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	status, err := in.Stat()
	if err != nil {
		return err
	}
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, status.Mode().Perm())
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		out.Close()
		return err
	}
	return out.Close()
}

// hash is 12 hex digits of the hash of all input of an image. The id of an image is no
// measure of its content: it changes with the builder's cache and with time stamps.
func hash(service stack.Service, binary, builds string, more ...string) (string, error) {
	sum := sha256.New()
	for _, text := range append(more, service.Key, service.Build.Target) {
		fmt.Fprintf(sum, "%q\n", text)
	}
	for _, name := range slices.Sorted(maps.Keys(service.Build.Args)) {
		fmt.Fprintf(sum, "%q=%q\n", name, service.Build.Args[name])
	}
	add := func(name, path string) error {
		file, err := os.Open(path)
		if err != nil {
			return err
		}
		defer file.Close()
		status, err := file.Stat()
		if err != nil {
			return err
		}
		fmt.Fprintf(sum, "%q %o %d\n", name, status.Mode().Perm()&0o111, status.Size())
		_, err = io.Copy(sum, file)
		return err
	}
	if err := add("service", binary); err != nil {
		return "", err
	}
	if err := add("Dockerfile", service.Build.Dockerfile); err != nil {
		return "", err
	}
	err := eachFile(service.Build.Context, builds, func(path string, entry fs.DirEntry) error {
		switch {
		case entry.IsDir():
			return nil
		case entry.Type()&fs.ModeSymlink != 0:
			target, err := os.Readlink(filepath.Join(service.Build.Context, path))
			fmt.Fprintf(sum, "%q -> %q\n", path, target)
			return err
		}
		return add(path, filepath.Join(service.Build.Context, path))
	})
	return fmt.Sprintf("%x", sum.Sum(nil))[:12], err
}
