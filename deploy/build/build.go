// Package build makes images. It compiles a Go package, puts it into an image, and pushes the
// image. It builds and pushes with the docker client, which uses the user's builder,
// credentials and proxies.
package build

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	engine "goblog/deploy/swarm"

	"goblog/deploy/stack"
)

// A Builder builds the images of one checkout.
type Builder struct {
	Engine    *engine.Engine
	Root      string // the top of the checkout, below which build/ is
	Version   string // set in the binary
	CPU       string // GOARCH: the processor for which the binary and the image are built
	BaseImage string // the base image of a Dockerfile with ARG BASE_IMAGE
	Say       func(format string, arguments ...any)

	found *base
	work  string   // directory with files that only this process needs: copies of binaries, by service, and contexts
	held  *os.File // the same, locked as long as this process lives
}

// base is the base image of a build.
type base struct{ name, id string }

// A Failure is a build that did not work. No running service was changed.
type Failure struct {
	What   string
	Said   string // the tool's own words
	Advice string
}

func (f *Failure) Error() string { return f.What }

// NoVersion is the version of a directory that has no commit of git.
const NoVersion = "dev"

// Version is the version of the checkout from git describe, or NoVersion.
func Version(root string) string {
	said, err := exec.Command("git", "-C", root, "describe", "--tags", "--always", "--dirty").Output()
	if err != nil {
		return NoVersion
	}
	return strings.TrimSpace(string(said))
}

// Root is the top of the checkout that a directory is in, or that directory itself.
func Root(dir string) string {
	said, err := exec.Command("git", "-C", dir, "rev-parse", "--show-toplevel").Output()
	if top := strings.TrimSpace(string(said)); err == nil && top != "" {
		return top
	}
	return dir
}

// Binary is the path of the compiled binary of a service.
func (b *Builder) Binary(service string) string {
	return filepath.Join(b.Root, "build", service+"-linux-"+b.CPU)
}

// Compile compiles the Go package of a service to a static linux binary. The same source,
// version, commit and Go give the same bytes.
func (b *Builder) Compile(ctx context.Context, service stack.Service) error {
	binary, source := b.Binary(service.Key), service.Build.Package
	b.Say("Compiling %s %s for linux/%s", service.Key, b.Version, b.CPU)
	if _, err := exec.LookPath("go"); err != nil {
		return &Failure{What: "go is not installed", Advice: "install Go: https://go.dev/doc/install"}
	}
	commit := "unknown"
	if said, err := exec.CommandContext(ctx, "git", "-C", b.Root, "rev-parse", "HEAD").Output(); err == nil {
		commit = strings.TrimSpace(string(said))
	}
	if err := b.makeWork(); err != nil {
		return err
	}
	// Other processes may build here at the same time, or may have been suspended while they
	// build. So this process compiles to its own file. That file starts as a copy of the last
	// binary: if nothing has changed, go does not link it again.
	own := b.compiled(service.Key)
	if err := copyFile(binary, own); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	command := exec.CommandContext(ctx, "go", "build", "-C", source, "-trimpath", "-buildvcs=false",
		"-ldflags", "-s -w -X main.version="+b.Version+" -X main.commit="+commit, "-o", own, ".")
	command.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+b.CPU)
	if said, err := command.CombinedOutput(); err != nil {
		os.Remove(binary) // So no later step uses the old binary.
		return failed(ctx, err, "go build of "+source+" failed", said, "fix the faults that the compiler names above")
	}
	last := own + "~"
	if err := copyFile(own, last); err != nil {
		return err
	}
	return os.Rename(last, binary)
}

// compiled is the path of the binary that this process has compiled.
func (b *Builder) compiled(service string) string {
	if b.work == "" {
		return b.Binary(service)
	}
	return filepath.Join(b.work, service)
}

// Close removes the files that only this process needed.
func (b *Builder) Close() {
	if b.work != "" {
		os.RemoveAll(b.work)
		b.held.Close()
		b.work, b.held = "", nil
	}
}

// makeWork makes the directory for the files of this process, once. It also removes such
// directories of processes that were killed: no process holds them any more.
func (b *Builder) makeWork() error {
	if b.work != "" {
		return nil
	}
	builds := filepath.Join(b.Root, "build")
	if err := os.MkdirAll(builds, 0o755); err != nil {
		return err
	}
	left, err := filepath.Glob(filepath.Join(builds, "work.*"))
	if err != nil {
		return err
	}
	for _, dir := range left {
		if file, err := hold(dir); err == nil {
			os.RemoveAll(dir)
			file.Close()
		}
	}
	for range 10 {
		dir, err := os.MkdirTemp(builds, "work.")
		if err != nil {
			return err
		}
		file, err := hold(dir)
		if err == nil {
			if _, err = os.Stat(dir); err == nil {
				b.work, b.held = dir, file
				return nil
			}
			file.Close()
		}
		// Another process was faster than hold, and removed the directory as a leftover.
	}
	return fmt.Errorf("make a directory for this process in %s: other processes remove it again and again", builds)
}

// hold locks a directory until this process ends or the file is closed. It fails if another
// process holds the directory.
func hold(dir string) (*os.File, error) {
	file, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		file.Close()
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	return file, nil
}

// Tag is the permanent tag of the image of a service: REPOSITORY:sha- and 12 digits of the
// hash of all its input. The image need not be built yet. A build without a Go package has
// such a tag only after it is built.
func (b *Builder) Tag(ctx context.Context, service stack.Service) (string, error) {
	if service.Build.Package == "" {
		return Repository(service) + ":build", nil
	}
	on, err := b.baseOf(ctx, service)
	if err != nil {
		return "", err
	}
	sum, err := hash(service, b.compiled(service.Key), filepath.Join(b.Root, "build"), on.name+" "+on.id, b.CPU, b.Version)
	if err != nil {
		return "", fmt.Errorf("read the files for the image of %s: %w", service.Key, err)
	}
	return Repository(service) + ":sha-" + sum, nil
}

// Image builds the image of a service, and returns its permanent tag. If the engine has that
// tag already, its image is used. A build never moves a tag that is in use to another image.
func (b *Builder) Image(ctx context.Context, service stack.Service) (string, error) {
	on, err := b.baseOf(ctx, service)
	if err != nil {
		return "", err
	}
	if service.Build.Package == "" {
		return b.plain(ctx, service, on.name)
	}
	tag, err := b.Tag(ctx, service)
	if err != nil {
		return "", err
	}
	if found, err := b.Engine.Image(ctx, tag); err != nil || found != nil {
		return tag, err
	}
	b.Say("Building image %s", tag)
	contextDir, err := b.context(service)
	if contextDir != "" {
		defer os.RemoveAll(contextDir)
	}
	if err != nil {
		return "", fmt.Errorf("copy the files for the image of %s: %w", service.Key, err)
	}
	return tag, b.dockerBuild(ctx, service, contextDir, tag, on.name, map[string]string{"VERSION": b.Version, "SERVICE": service.Key})
}

// plain builds a context as it is, first under a temporary tag.
func (b *Builder) plain(ctx context.Context, service stack.Service, base string) (string, error) {
	fresh := fmt.Sprintf("%s:build-%d", Repository(service), os.Getpid())
	b.Say("Building image %s", Repository(service))
	if err := b.dockerBuild(ctx, service, service.Build.Context, fresh, base, map[string]string{}); err != nil {
		return "", err
	}
	image, err := b.Engine.Image(ctx, fresh)
	if err == nil && image == nil {
		err = fmt.Errorf("docker build of %s left no image %s", service.Key, fresh)
	}
	if err != nil {
		return "", err
	}
	tag := Repository(service) + ":sha-" + strings.TrimPrefix(image.ID, "sha256:")[:12]
	if err := b.Engine.TagImage(ctx, image.ID, tag); err != nil {
		return "", err
	}
	_, err = b.Engine.RemoveTag(ctx, fresh)
	return tag, err
}

func (b *Builder) dockerBuild(ctx context.Context, service stack.Service, contextDir, tag, base string, arguments map[string]string) error {
	if base != "" {
		arguments["BASE_IMAGE"] = base
	}
	command := []string{"build", "--quiet", "--platform", "linux/" + b.CPU, "--file", service.Build.Dockerfile, "--tag", tag}
	for name, value := range service.Build.Args {
		arguments[name] = value
	}
	for name, value := range arguments {
		command = append(command, "--build-arg", name+"="+value)
	}
	if service.Build.Target != "" {
		command = append(command, "--target", service.Build.Target)
	}
	_, err := b.docker(ctx, "docker build of "+service.Key, "fix the cause that the lines above name, and deploy again", append(command, contextDir)...)
	return err
}

// baseOf is the base image for a service. It is empty if the Dockerfile has no ARG
// BASE_IMAGE.
func (b *Builder) baseOf(ctx context.Context, service stack.Service) (*base, error) {
	taken, err := takesBase(service.Build.Dockerfile)
	if err != nil {
		return nil, fmt.Errorf("read the Dockerfile of %s: %w", service.Key, err)
	}
	if !taken {
		return &base{}, nil
	}
	return b.base(ctx)
}

// base finds the base image, once. If the engine cannot get the wanted one, it is scratch.
func (b *Builder) base(ctx context.Context) (*base, error) {
	if b.found != nil {
		return b.found, nil
	}
	if b.BaseImage == "scratch" {
		b.found = &base{"scratch", ""}
		return b.found, nil
	}
	image, err := b.Engine.Image(ctx, b.BaseImage)
	if err != nil {
		return nil, err
	}
	if image == nil {
		if _, err := b.docker(ctx, "docker pull of "+b.BaseImage, "", "pull", "--quiet", b.BaseImage); err != nil {
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			if errors.Is(err, engine.ErrAway) {
				return nil, err
			}
			b.Say("%s cannot be pulled: using scratch, which is enough for a static binary (BASE_IMAGE=scratch avoids this attempt)", b.BaseImage)
			b.found = &base{"scratch", ""}
			return b.found, nil
		}
		if image, err = b.Engine.Image(ctx, b.BaseImage); err != nil || image == nil {
			return nil, errors.Join(err, fmt.Errorf("%s was pulled, but is not there", b.BaseImage))
		}
	}
	b.found = &base{b.BaseImage, image.ID}
	return b.found, nil
}

// Push pushes an image of this engine to a registry under two tags. It returns the digest in
// the registry: by this name, every node runs the same bytes.
func (b *Builder) Push(ctx context.Context, registry string, service stack.Service, tag string) (string, error) {
	_, sha, _ := strings.Cut(tag[strings.LastIndex(tag, "/")+1:], ":")
	repository := registry + "/" + Repository(service)
	for _, name := range []string{sha, b.Version} {
		remote := repository + ":" + name
		b.Say("Pushing %s", remote)
		if err := b.Engine.TagImage(ctx, tag, remote); err != nil {
			return "", err
		}
		if _, err := b.docker(ctx, "docker push to "+registry, "log in with docker login, or check whether the engine may use that registry", "push", "--quiet", remote); err != nil {
			return "", err
		}
	}
	image, err := b.Engine.Image(ctx, repository+":"+sha)
	if err != nil {
		return "", err
	}
	if image != nil && image.DigestOf(repository) != "" {
		return image.DigestOf(repository), nil
	}
	return "", fmt.Errorf("%s was pushed, but the engine does not know its digest", repository)
}

// Pull fetches a finished image of a service that the engine does not have.
func (b *Builder) Pull(ctx context.Context, service, image string) error {
	b.Say("Pulling %s", image)
	_, err := b.docker(ctx, "docker pull of "+image+", the image of "+service+",", "name another image, by its setting or in the stack file; an image that only this engine has is enough", "pull", "--quiet", image)
	return err
}

// Repository is the name of a service's image without tag and digest.
func Repository(service stack.Service) string {
	name, _, _ := strings.Cut(service.Image, "@")
	if i := strings.LastIndex(name, ":"); i > strings.LastIndex(name, "/") {
		return name[:i]
	}
	return name
}

// docker runs the docker client, and returns its output. The client has no deadline: if the
// network is lost, it may wait for ever. So it ends when the engine has not answered for too
// long.
func (b *Builder) docker(ctx context.Context, what, advice string, arguments ...string) (string, error) {
	if _, err := exec.LookPath("docker"); err != nil {
		return "", &Failure{What: "docker is not installed", Advice: "install docker: https://docs.docker.com/engine/install/"}
	}
	answered, done := b.Engine.WhileAnswering(ctx)
	defer done()
	command := exec.CommandContext(answered, "docker", arguments...)
	command.WaitDelay = time.Second // A plugin of the client may run on after the client has ended.
	said, err := command.CombinedOutput()
	switch {
	case err == nil:
		return string(bytes.TrimSpace(said)), nil
	case ctx.Err() == nil && answered.Err() != nil:
		return "", fmt.Errorf("%s was given up: %w", what, context.Cause(answered))
	}
	return "", failed(ctx, err, what+" failed", said, advice)
}

// failed is the error of a tool that failed, unless it was interrupted.
func failed(ctx context.Context, err error, what string, said []byte, advice string) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	words := string(bytes.TrimSpace(said))
	if words == "" {
		words = err.Error()
	}
	return &Failure{What: what, Said: words, Advice: advice}
}
