// Package scaffold writes the files that are needed to deploy a service: a stack file,
// scripts, a workflow for GitHub, and a Dockerfile for a Go service that has none.
package scaffold

import (
	"bytes"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"text/template"

	"go.yaml.in/yaml/v3"
)

// A Service has all values of a service that the files need.
type Service struct {
	Name  string
	Port  int    // the port that the service listens on; the published port has the same number
	Path  string // the path that answers with status 200
	Image string // a finished image; empty: the image is built
	// Context is the directory that the image is built from, with the Dockerfile in it.
	Context string
	// Package is the Go package that is compiled into the context; empty: the Dockerfile builds
	// everything.
	Package string
	// Probed tells that the image has a health check.
	Probed bool
	// Python is the interpreter that the image starts. The health check can use it.
	Python string
	// Confined tells that the image names a user who is not root.
	Confined bool
	// PortGuessed tells that the port is a guess: neither the user nor a file names it.
	PortGuessed bool
}

//go:embed templates
var templates embed.FS

// The path of each template's file. The scripts differ only in the name of the service.
var places = []struct{ template, path string }{
	{"stack.yml", "stack.yml"},
	{"Dockerfile", ""},
	{"copyall.sh", "scripts/copyall.sh"},
	{"rollback.sh", "scripts/rollback.sh"},
	{"status.sh", "scripts/status.sh"},
	{"remove.sh", "scripts/remove.sh"},
	{"deploy.yml", ".github/workflows/deploy.yml"},
}

// A File is a file to write. Its path is relative to the directory of the service.
type File struct {
	Path string
	Text []byte
}

// Files are the files of a service, in a good order for a reader.
func (s Service) Files() ([]File, error) {
	parsed, err := template.New("").Delims("[[", "]]").Funcs(template.FuncMap{"yaml": inYAML, "json": inJSON}).ParseFS(templates, "templates/*")
	if err != nil {
		return nil, fmt.Errorf("read the templates: %w", err)
	}
	var files []File
	for _, place := range places {
		path := place.path
		if place.template == "Dockerfile" {
			if s.Package == "" {
				continue
			}
			path = filepath.Join(s.Context, "Dockerfile")
		}
		var text bytes.Buffer
		if err := parsed.ExecuteTemplate(&text, place.template, s); err != nil {
			return nil, fmt.Errorf("fill in %s: %w", path, err)
		}
		files = append(files, File{path, text.Bytes()})
	}
	return files, nil
}

// inYAML writes a text as a value of a stack file. There, $ begins a variable, so it is
// doubled.
func inYAML(text string) (string, error) {
	value, err := yaml.Marshal(strings.ReplaceAll(text, "$", "$$"))
	return strings.TrimSpace(string(value)), err
}

// inJSON writes a text in double quotes, as in JSON and YAML.
func inJSON(text string) (string, error) {
	var value bytes.Buffer
	encoder := json.NewEncoder(&value)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(strings.ReplaceAll(text, "$", "$$"))
	return strings.TrimSpace(value.String()), err
}

// Probe is the Python program that asks for the service's health.
func (s Service) Probe() string {
	return fmt.Sprintf("import urllib.request; urllib.request.urlopen('http://127.0.0.1:%d%s', timeout=5)", s.Port, strings.ReplaceAll(s.Path, "'", "%27"))
}

// Kind says how the image is made.
func (s Service) Kind() string {
	switch {
	case s.Image != "":
		return "the finished image " + s.Image
	case s.Package != "":
		return "the Go package " + s.Package
	}
	return "built by its Dockerfile"
}

// Write writes files below a directory. It returns the files that it has written, and the
// files that existed already and are not changed.
func Write(dir string, files []File) (written, kept []string, err error) {
	for _, file := range files {
		path := filepath.Join(dir, file.Path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return written, kept, fmt.Errorf("make a directory for %s: %w", file.Path, err)
		}
		mode := os.FileMode(0o644)
		if strings.HasSuffix(path, ".sh") {
			mode = 0o755
		}
		out, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
		if errors.Is(err, fs.ErrExist) {
			kept = append(kept, file.Path)
			continue
		}
		if err == nil {
			_, err = out.Write(file.Text)
			err = errors.Join(err, out.Close())
		}
		if err != nil {
			return written, kept, fmt.Errorf("write %s: %w", file.Path, err)
		}
		written = append(written, file.Path)
	}
	return written, kept, nil
}
