// Package scaffold writes the files with which a service is deployed: a stack file, scripts, a
// workflow for GitHub, and a Dockerfile for a Go service that has none.
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

// A Service is all that the files say of the service.
type Service struct {
	Name  string
	Port  int    // that the service listens on; it is published under the same number
	Path  string // that answers with status 200
	Image string // a finished image; empty: the image is built
	// Context is the directory that the image is built from, with the Dockerfile in it.
	Context string
	// Package is the Go package that is compiled into the context; empty: the Dockerfile does
	// all that is to be done.
	Package string
	// Probed tells that the image has a health check.
	Probed bool
	// Python is the interpreter that the image starts, which can ask for the service's health.
	Python string
	// Confined tells that the image names a user who is not root.
	Confined bool
	// PortGuessed tells that nothing says which port the service listens on.
	PortGuessed bool
}

//go:embed templates
var templates embed.FS

// Where each template goes. That of a script is the same for all services, but for the name.
var places = []struct{ template, path string }{
	{"stack.yml", "stack.yml"},
	{"Dockerfile", ""},
	{"copyall.sh", "scripts/copyall.sh"},
	{"rollback.sh", "scripts/rollback.sh"},
	{"status.sh", "scripts/status.sh"},
	{"remove.sh", "scripts/remove.sh"},
	{"deploy.yml", ".github/workflows/deploy.yml"},
}

// A File is one to be written. Its path is relative to the service's directory.
type File struct {
	Path string
	Text []byte
}

// Files are those of a service, in the order in which a reader wants them.
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

// inYAML writes a text as a value of a stack file, in which $ begins a variable.
func inYAML(text string) (string, error) {
	value, err := yaml.Marshal(strings.ReplaceAll(text, "$", "$$"))
	return strings.TrimSpace(string(value)), err
}

// inJSON writes a text in double quotes, as JSON and YAML have it.
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

// Kind says what the image is made of.
func (s Service) Kind() string {
	switch {
	case s.Image != "":
		return "the finished image " + s.Image
	case s.Package != "":
		return "the Go package " + s.Package
	}
	return "built by its Dockerfile"
}

// Write writes files below a directory, and tells which it has written. A file that is there
// already stays as it is, and is told too.
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
