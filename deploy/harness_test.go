package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"

	"goblog/deploy/progress"
)

// nowhere is the address of an engine that does not exist.
const nowhere = "unix:///nonexistent.sock"

// A result is the exit code and the output of a run of the program.
type result struct {
	exit           int
	stdout, stderr string
}

// deploy runs the program.
func deploy(ctx context.Context, arguments ...string) result {
	var out, err bytes.Buffer
	exit := run(ctx, arguments, &progress.Printer{Out: &out, Err: &err})
	return result{exit, out.String(), err.String()}
}

// names are the names of all settings, old and new.
func names() []string {
	var all []string
	for _, one := range append(append([]setting{}, fileSettings...), ownSettings...) {
		all = append(all, one.name)
	}
	for name := range retired {
		all = append(all, name)
	}
	return all
}

// stage is a directory with a stack file of two services. It is no checkout of git. No
// setting is set in its environment, and there is no engine.
func stage(t *testing.T) string {
	dir := t.TempDir()
	for _, name := range names() {
		t.Setenv(name, "")
	}
	t.Setenv("GIT_CEILING_DIRECTORIES", filepath.Dir(dir))
	t.Setenv("DOCKER_HOST", nowhere)
	t.Setenv("DOCKER_CONTEXT", "")
	t.Setenv("DOCKER_CONFIG", dir)
	t.Setenv("STACK_FILE", filepath.Join(dir, "stack.yml"))
	put(t, filepath.Join(dir, "stack.yml"), `version: "3.9"
services:
  web:
    image: example/web
    networks: []
    ports: ["${PORT:-6767}:80"]
  shop:
    image: ${IMAGE:-example/shop}
    networks: []
`)
	return dir
}

func put(t *testing.T, path, text string) {
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
