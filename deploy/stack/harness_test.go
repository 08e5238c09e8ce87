package stack

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// write puts a file into a fresh directory beside a directory app with a Dockerfile, and
// gives its path.
func write(t *testing.T, name, text string) string {
	dir := t.TempDir()
	put(t, filepath.Join(dir, "app", "Dockerfile"), "FROM scratch\n")
	put(t, filepath.Join(dir, name), text)
	return filepath.Join(dir, name)
}

func put(t *testing.T, path, text string) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// loadText reads one file with this text. Directories are taken out of the messages.
func loadText(t *testing.T, text string, change ...func(*Options)) (*Stack, error) {
	options := Options{Files: []string{write(t, "stack.yml", text)}, Env: map[string]string{"HOME": "/home/me"}}
	for _, f := range change {
		f(&options)
	}
	return loadWith(options)
}

func loadWith(options Options) (*Stack, error) {
	loaded, err := Load(options)
	dir := filepath.Dir(options.Files[0]) + "/"
	if err != nil {
		return nil, message(strings.ReplaceAll(err.Error(), dir, ""))
	}
	for i, warning := range loaded.Warnings {
		loaded.Warnings[i] = strings.ReplaceAll(warning, dir, "")
	}
	return loaded, nil
}

type message string

func (m message) Error() string { return string(m) }

// web is a file with one service, with these lines among its keys.
func web(lines ...string) string {
	return "version: \"3.9\"\nservices:\n  web:\n    image: example/web\n    " + strings.Join(lines, "\n    ") + "\n"
}

// environ sets a variable.
func environ(name, value string) func(*Options) {
	return func(o *Options) { o.Env[name] = value }
}

// with applies the program's own settings.
func with(settings Settings) func(*Options) {
	return func(o *Options) { o.Settings = settings }
}
