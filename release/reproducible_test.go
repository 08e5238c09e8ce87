package release

import (
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	. "github.com/smartystreets/goconvey/convey"
	"go.yaml.in/yaml/v4"
)

// A build says how the release compiles a program.
type build struct {
	Dir     string
	Env     []string
	Flags   []string
	LDFlags string
}

// builds are the builds in the configuration of the release.
func builds() ([]build, error) {
	text, err := os.ReadFile("../.goreleaser.yml")
	if err != nil {
		return nil, err
	}
	var configuration struct{ Builds []build }
	err = yaml.Unmarshal(text, &configuration)
	return configuration.Builds, err
}

// compiled is the hash of a program that is compiled from a folder, with a separate cache.
func (b build) compiled(folder string) (string, error) {
	binary := filepath.Join(folder, "binary")
	arguments := append([]string{"build", "-o", binary}, b.Flags...)
	arguments = append(arguments, "-ldflags", strings.NewReplacer("{{ .Version }}", "1.2.3", "{{ .FullCommit }}", "abcdef").Replace(b.LDFlags), ".")
	command := exec.Command("go", arguments...)
	command.Dir = filepath.Join(folder, b.Dir)
	command.Env = append(os.Environ(), "GOCACHE="+filepath.Join(folder, "cache"), "GOFLAGS=", "GOOS=linux", "GOARCH=amd64")
	command.Env = append(command.Env, b.Env...)
	if said, err := command.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%s in %s: %w\n%s", command, command.Dir, err, said)
	}
	content, err := os.ReadFile(binary)
	return fmt.Sprintf("%x", sha256.Sum256(content)), err
}

// copySource copies the source of the programs.
func copySource(to string) error {
	for _, from := range []string{"accountservice", "deploy"} {
		if err := os.CopyFS(filepath.Join(to, from), os.DirFS(filepath.Join("..", from))); err != nil {
			return err
		}
	}
	for _, from := range []string{"go.mod", "go.sum"} {
		text, err := os.ReadFile(filepath.Join("..", from))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(to, from), text, 0o644); err != nil {
			return err
		}
	}
	return nil
}

func TestSameBytes(t *testing.T) {
	Convey("The programs of a release are the same bytes from two folders with two caches, one of them in a checkout of git", t, func() {
		all, err := builds()
		So(err, ShouldBeNil)
		So(all, ShouldHaveLength, 2)
		first, second := t.TempDir(), filepath.Join(t.TempDir(), "another", "folder")
		So(copySource(first), ShouldBeNil)
		So(copySource(second), ShouldBeNil)
		for _, arguments := range [][]string{{"init", "--quiet"}, {"add", "accountservice/main.go"}, {"-c", "user.name=a", "-c", "user.email=a@example.com", "commit", "--quiet", "--message", "a"}} {
			_, err := output(exec.Command("git", slices.Concat([]string{"-C", second}, arguments)...))
			So(err, ShouldBeNil)
		}
		for _, one := range all {
			a, err := one.compiled(first)
			So(err, ShouldBeNil)
			b, err := one.compiled(second)
			So(err, ShouldBeNil)
			So(one.Dir+" "+a, ShouldEqual, one.Dir+" "+b)
		}
	})
}
