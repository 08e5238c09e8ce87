// Package swarm talks to the engine and its swarm. No other package calls the engine's API.
// Each method tries one thing. An error says what was tried, on what, and why it failed, in
// the engine's words.
package swarm

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"time"

	"github.com/distribution/reference"
	"github.com/docker/cli/cli/config"
	"github.com/docker/cli/cli/config/configfile"
	"github.com/docker/cli/cli/connhelper"
	dockercontext "github.com/docker/cli/cli/context/docker"
	"github.com/docker/cli/cli/context/store"
	"github.com/moby/moby/api/pkg/authconfig"
	"github.com/moby/moby/api/types/registry"
	"github.com/moby/moby/client"
)

// callTimeout bounds each call. A swarm without a leader answers only after the election
// of a new one, which takes 10.5 s.
const callTimeout = 20 * time.Second

// An Engine is the docker engine that the user's docker client talks to.
type Engine struct {
	// Host is where the engine listens, as in unix:///var/run/docker.sock.
	Host string
	// Waiting is called when a call begins to wait for an engine that is away; nil: nothing is
	// called.
	Waiting func(error)
	remote  string                    // see RemoteHost
	away    atomic.Pointer[time.Time] // since when the engine is away; nil: it is there
	api     *client.Client
	config  *configfile.ConfigFile
	silent  map[string]error // registries that could not be asked, by host
}

// Connect finds the engine as the docker client does: by DOCKER_HOST, by DOCKER_CONTEXT,
// or by the current context of the client's configuration. It does not call the engine.
func Connect() (*Engine, error) {
	file, err := config.Load(config.Dir())
	if err != nil {
		return nil, fmt.Errorf("read the docker client's configuration: %w", err)
	}
	host, options, err := endpoint(file)
	if err != nil {
		return nil, err
	}
	api, err := client.New(append(options, client.WithTimeout(callTimeout), client.WithUserAgent("accountservice-deploy"))...)
	if err != nil {
		return nil, fmt.Errorf("the engine's address %s cannot be used: %w", host, err)
	}
	return &Engine{Host: host, remote: remoteHost(host), api: api, config: file, silent: map[string]error{}}, nil
}

// endpoint is the engine's address, and how to reach it.
func endpoint(file *configfile.ConfigFile) (string, []client.Opt, error) {
	host, name := os.Getenv("DOCKER_HOST"), os.Getenv("DOCKER_CONTEXT")
	if name == "" {
		name = file.CurrentContext
	}
	switch {
	case host != "":
		if strings.HasPrefix(host, "ssh://") {
			options, err := overSSH(host)
			return host, options, err
		}
		return host, []client.Opt{client.FromEnv}, nil
	case name == "" || name == "default":
		return client.DefaultDockerHost, []client.Opt{client.FromEnv}, nil
	}
	contexts := store.New(config.ContextStoreDir(), store.NewConfig(
		func() any { return &map[string]any{} },
		store.EndpointTypeGetter(dockercontext.DockerEndpoint, func() any { return &dockercontext.EndpointMeta{} }),
	))
	metadata, err := contexts.GetMetadata(name)
	if err != nil {
		return "", nil, fmt.Errorf("the docker context %s cannot be read: %w", name, err)
	}
	meta, err := dockercontext.EndpointFromContext(metadata)
	if err != nil {
		return "", nil, fmt.Errorf("the docker context %s names no engine: %w", name, err)
	}
	if strings.HasPrefix(meta.Host, "ssh://") {
		options, err := overSSH(meta.Host)
		return meta.Host, options, err
	}
	withTLS, err := dockercontext.WithTLSData(contexts, name, meta)
	if err != nil {
		return "", nil, fmt.Errorf("the certificates of docker context %s cannot be read: %w", name, err)
	}
	options, err := withTLS.ClientOpts()
	if err != nil {
		return "", nil, fmt.Errorf("the docker context %s cannot be used: %w", name, err)
	}
	return meta.Host, options, nil
}

// overSSH reaches the engine through ssh. ssh must not ask any question: perhaps nobody is
// there to answer.
func overSSH(host string) ([]client.Opt, error) {
	helper, err := connhelper.GetConnectionHelperWithSSHOpts(host, []string{"-o", "BatchMode=yes"})
	if err != nil {
		return nil, fmt.Errorf("the engine's address %s cannot be used: %w", host, err)
	}
	return []client.Opt{client.WithHost(helper.Host), client.WithDialContext(helper.Dialer)}, nil
}

// RemoteHost is the host name or address in the engine's address, without brackets. It is ""
// if the engine listens on a local socket. Over ssh, it is the host that ssh connects to.
func (e *Engine) RemoteHost() string { return e.remote }

func remoteHost(engine string) string {
	parsed, err := url.Parse(engine)
	if err != nil {
		return ""
	}
	switch parsed.Scheme {
	case "ssh":
		return sshHost(parsed.Hostname())
	case "tcp", "http", "https":
		return parsed.Hostname()
	}
	return ""
}

// sshHost is the host that ssh connects to for a name. The name may be only in the user's ssh
// configuration, which only ssh can read.
func sshHost(name string) string {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	said, err := exec.CommandContext(ctx, "ssh", "-G", "--", name).Output()
	if err != nil {
		return name // If ssh is missing, the connection will say so.
	}
	for line := range strings.Lines(string(said)) {
		if host, found := strings.CutPrefix(line, "hostname "); found {
			return strings.TrimSpace(host)
		}
	}
	return name
}

// credentials are the credentials of the user's docker client for the registry of an image,
// encoded for the engine; "" if there are none.
func (e *Engine) credentials(image string) string {
	named, err := reference.ParseNormalizedNamed(image)
	if err != nil {
		return ""
	}
	host := reference.Domain(named)
	if host == "docker.io" {
		host = "https://index.docker.io/v1/" // The name under which docker login keeps Docker Hub.
	}
	found, err := e.config.GetAuthConfig(host)
	if err != nil || (found.Username == "" && found.IdentityToken == "" && found.RegistryToken == "") {
		return ""
	}
	encoded, err := authconfig.Encode(registry.AuthConfig{
		Username: found.Username, Password: found.Password, Auth: found.Auth,
		ServerAddress: found.ServerAddress, IdentityToken: found.IdentityToken, RegistryToken: found.RegistryToken,
	})
	if err != nil {
		return ""
	}
	return encoded
}

// ErrAway marks the error of an engine that is away: the error may pass by itself.
var ErrAway = errors.New("the engine is away")

type awayError struct{ error }

func (e awayError) Is(target error) bool { return target == ErrAway }
func (e awayError) Unwrap() error        { return e.error }

// wrap adds to an error what was tried. Callers can still recognise an interruption and
// ErrAway.
func wrap(err error, format string, arguments ...any) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, context.Canceled) {
		return fmt.Errorf(format+": %w", append(arguments, context.Canceled)...)
	}
	if isAway(err) {
		err = awayError{err}
	}
	return fmt.Errorf(format+": %w", append(arguments, err)...)
}
