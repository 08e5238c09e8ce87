package stack

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// write puts a file into a new directory, beside a directory app with a Dockerfile. It
// returns the path of the file.
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

// loadText reads one file with this text. It removes directories from the messages.
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

// inStack gives all names the prefix of a stack.
func inStack(name string) func(*Options) { return with(Settings{Stack: name}) }

// beside puts files beside the stack file.
func beside(t *testing.T, files map[string]string) func(*Options) {
	return func(o *Options) {
		for name, text := range files {
			put(t, filepath.Join(filepath.Dir(o.Files[0]), name), text)
		}
	}
}

// forBoth calls a function for secrets and for configs, with their word in a file and their
// kind. Both are written in the same way.
func forBoth(f func(word string, kind Kind)) {
	f("secrets", Secret)
	f("configs", Config)
}

// using is a file with one service that has secrets or configs, and their declarations.
func using(word, references, declared string) string {
	return web(word+": "+references) + word + ": " + declared + "\n"
}

// place names a secret or a config and its place in a container.
func place(name, target, uid, gid string, mode os.FileMode) string {
	return fmt.Sprintf("%s at %s, of %s:%s, %#o", name, target, uid, gid, mode)
}

// places are the places of a service's secrets or configs.
func places(service Service, kind Kind) []string {
	var all []string
	inside := service.Spec.TaskTemplate.ContainerSpec
	for _, one := range inside.Secrets {
		if kind == Secret {
			all = append(all, place(one.SecretName, one.File.Name, one.File.UID, one.File.GID, one.File.Mode))
		}
	}
	for _, one := range inside.Configs {
		if kind == Config {
			all = append(all, place(one.ConfigName, one.File.Name, one.File.UID, one.File.GID, one.File.Mode))
		}
	}
	return all
}

// A field is a field of a value, with its value and the wanted value.
type field struct {
	name      string
	got, want any
}

// fields splits two values of one type into their fields, down to fields that are no structs.
func fields(name string, got, want any) []field {
	g, w := reflect.ValueOf(got), reflect.ValueOf(want)
	if g.Kind() == reflect.Pointer && !g.IsNil() && !w.IsNil() {
		return fields(name, g.Elem().Interface(), w.Elem().Interface())
	}
	if g.Kind() != reflect.Struct {
		return []field{{name, got, want}}
	}
	var all []field
	for i := range g.NumField() {
		all = append(all, fields(name+"."+g.Type().Field(i).Name, g.Field(i).Interface(), w.Field(i).Interface())...)
	}
	return all
}
