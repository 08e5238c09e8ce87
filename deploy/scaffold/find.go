package scaffold

import (
	"cmp"
	"errors"
	"fmt"
	gobuild "go/build"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/distribution/reference"
	"github.com/google/shlex"

	"goblog/deploy/build"
)

// Wishes are the values that a person gives for a service. Find finds the empty ones.
type Wishes struct {
	Name, Port, Path, Image, Package string
}

const (
	usualPort = 8080
	imageDir  = "image" // has the Dockerfile of a Go service, and only files for the image
)

var (
	nameShape    = regexp.MustCompile(`^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$`)
	pathShape    = regexp.MustCompile(`^/[!-~]*$`) // of printable ASCII, as it stands in a request
	notInName    = regexp.MustCompile(`[^a-z0-9]+`)
	majorVersion = regexp.MustCompile(`[/.]v[0-9]+$`)
	python       = regexp.MustCompile(`^python[0-9.]*$`)
	moduleLine   = regexp.MustCompile(`(?m)^module\s+"?([^\s"]+)`)
)

// Find finds the values for the files of the service in a directory. The person can fix each
// error.
func Find(dir string, wishes Wishes) (Service, error) {
	s := Service{Image: wishes.Image, Path: cmp.Or(wishes.Path, "/")}
	if !pathShape.MatchString(s.Path) {
		return s, fmt.Errorf("--path: '%s' is not a path, as in /health", s.Path)
	}
	if wishes.Port != "" {
		var err error
		if s.Port, err = strconv.Atoi(wishes.Port); err != nil || s.Port < 1 || s.Port > 65535 {
			return s, fmt.Errorf("--port: '%s' is not a port, from 1 to 65535", wishes.Port)
		}
	}
	found, err := s.look(dir, wishes.Package)
	if err != nil {
		return s, err
	}
	if s.Port == 0 {
		s.Port, s.PortGuessed = usualPort, true
	}
	if s.Name = cmp.Or(wishes.Name, nameFrom(found)); !nameShape.MatchString(s.Name) {
		if wishes.Name == "" {
			return s, fmt.Errorf("'%s' cannot become the name of the service: choose a name, as in --name web", found)
		}
		return s, fmt.Errorf("--name: '%s' is not a name of small letters, digits and -, as in web", s.Name)
	}
	return s, nil
}

// look finds out how the image is made, and reads the Dockerfile. It returns the name that
// the name of the service is made from.
func (s *Service) look(dir, wanted string) (string, error) {
	if s.Image != "" {
		named, err := reference.ParseNormalizedNamed(s.Image)
		if err != nil {
			return "", fmt.Errorf("--image: '%s' is not the name of an image: %w", s.Image, err)
		}
		if wanted != "" {
			return "", errors.New("--image and --package: an image is either finished, or built from a package: give only one of them")
		}
		return path.Base(reference.Path(named)), nil
	}
	absolute, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	name := filepath.Base(absolute)
	module, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	isModule := err == nil
	if match := moduleLine.FindSubmatch(module); match != nil {
		name = path.Base(majorVersion.ReplaceAllString(string(match[1]), ""))
	}
	s.Context = "."
	_, err = os.Stat(filepath.Join(dir, "Dockerfile"))
	switch hasDockerfile := err == nil; {
	case wanted != "" && !isModule:
		return "", errors.New("--package: there is no go.mod here: go to the top of the Go module")
	case !hasDockerfile && !isModule:
		return "", errors.New("there is neither a go.mod nor a Dockerfile here: go to the directory of the service, or name a finished image with --image")
	case !hasDockerfile:
		s.Context = imageDir
	}
	if wanted != "" || s.Context == imageDir {
		if s.Package, err = mainPackage(dir, wanted); err != nil {
			return "", err
		}
	}
	return name, s.read(filepath.Join(dir, s.Context, "Dockerfile"))
}

// nameFrom makes the name of a service from another name.
func nameFrom(found string) string {
	return strings.Trim(notInName.ReplaceAllString(strings.ToLower(found), "-"), "-")
}

// mainPackage is the wanted package of a module. If none is wanted, it is the only main
// package. Its path begins with ./, or is a dot.
func mainPackage(dir, wanted string) (string, error) {
	linux := gobuild.Default
	linux.GOOS, linux.CgoEnabled = "linux", false
	isMain := func(path string) bool {
		found, err := linux.ImportDir(path, 0)
		return err == nil && found.Name == "main"
	}
	if wanted != "" {
		if !filepath.IsLocal(wanted) {
			return "", fmt.Errorf("--package: '%s' is not a directory of this module, as in ./cmd/web", wanted)
		}
		if !isMain(filepath.Join(dir, wanted)) {
			return "", fmt.Errorf("--package: %s has no package main for linux", wanted)
		}
		return dotted(wanted), nil
	}
	var programs []string
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.IsDir() {
			return err
		}
		if path != dir {
			_, err := os.Stat(filepath.Join(path, "go.mod"))
			if name := entry.Name(); err == nil || strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") || slices.Contains([]string{"vendor", "testdata", "node_modules"}, name) {
				return fs.SkipDir
			}
		}
		if isMain(path) {
			within, err := filepath.Rel(dir, path)
			if err != nil {
				return err
			}
			programs = append(programs, dotted(within))
		}
		return nil
	})
	switch {
	case err != nil:
		return "", fmt.Errorf("look for a main package: %w", err)
	case len(programs) == 0:
		return "", errors.New("this Go module has no package main, and there is no Dockerfile: there is nothing to deploy")
	case len(programs) > 1:
		return "", fmt.Errorf("this Go module has %d main packages: choose one with --package: %s", len(programs), strings.Join(programs, ", "))
	}
	return programs[0], nil
}

// dotted is a directory below this one, as Go names it.
func dotted(dir string) string {
	if dir = filepath.ToSlash(filepath.Clean(dir)); dir != "." {
		dir = "./" + dir
	}
	return dir
}

// read reads facts about the image from a Dockerfile: from its last stage, and from the
// stages and the base image of that stage. If there is no Dockerfile, the program writes one,
// which has a user.
func (s *Service) read(dockerfile string) error {
	instructions, err := build.ReadDockerfile(dockerfile)
	if errors.Is(err, fs.ErrNotExist) {
		s.Confined = true
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the Dockerfile: %w", err)
	}
	stages := map[string]Service{} // the facts of each stage, by its name
	name, port := "", s.Port
	for _, one := range instructions {
		words := strings.Fields(one.Arguments)
		if len(words) == 0 {
			continue
		}
		switch one.Name {
		case "FROM":
			words = slices.DeleteFunc(words, func(word string) bool { return strings.HasPrefix(word, "--") })
			if len(words) == 0 {
				continue
			}
			stage, known := stages[strings.ToLower(words[0])]
			if !known {
				stage = Service{}
				if image, _, _ := strings.Cut(path.Base(words[0]), ":"); image == "python" {
					stage.Python = "python3"
				}
			}
			s.Port, s.Python, s.Probed, s.Confined = stage.Port, stage.Python, stage.Probed, stage.Confined
			name = ""
			if len(words) == 3 {
				name = strings.ToLower(words[2])
			}
		case "EXPOSE":
			number, protocol, _ := strings.Cut(words[0], "/")
			if at, err := strconv.Atoi(number); s.Port == 0 && err == nil && protocol != "udp" {
				s.Port = at
			}
		case "USER":
			user, _, _ := strings.Cut(words[0], ":")
			s.Confined = user != "root" && user != "0"
		case "HEALTHCHECK":
			s.Probed = !strings.EqualFold(words[0], "NONE")
		case "CMD", "ENTRYPOINT":
			if program := firstWord(one.Arguments); python.MatchString(path.Base(program)) {
				s.Python = program
			}
		}
		stages[name] = *s
	}
	s.Port = cmp.Or(port, s.Port)
	return nil
}

// firstWord is the program of a CMD, which is a list in JSON or a line for a shell.
func firstWord(command string) string {
	words, err := shlex.Split(strings.NewReplacer("[", " ", "]", " ", `",`, `" `).Replace(command))
	if err != nil || len(words) == 0 {
		return ""
	}
	return words[0]
}

// Check finds files that cannot be written below a directory, before any file is written.
func Check(dir string, files []File) error {
	for _, file := range files {
		for path := filepath.Dir(file.Path); path != "."; path = filepath.Dir(path) {
			if info, err := os.Stat(filepath.Join(dir, path)); err == nil && !info.IsDir() {
				return fmt.Errorf("%s cannot be written, as %s is a file: move that away", file.Path, path)
			}
		}
	}
	return nil
}
