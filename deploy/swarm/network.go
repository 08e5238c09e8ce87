package swarm

import (
	"context"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"
)

// Networks returns the networks that this engine knows, by id.
func (e *Engine) Networks(ctx context.Context) (map[string]network.Summary, error) {
	found, err := e.api.NetworkList(ctx, client.NetworkListOptions{})
	networks := map[string]network.Summary{}
	for _, one := range found.Items {
		networks[one.ID] = one
	}
	return networks, wrap(err, "list the networks")
}

// CreateNetwork creates a network of the swarm.
func (e *Engine) CreateNetwork(ctx context.Context, name string, options client.NetworkCreateOptions) error {
	options.Scope = "swarm"
	_, err := e.api.NetworkCreate(ctx, name, options)
	return wrap(err, "create network %s", name)
}

// RemoveNetwork removes a network. One that is gone already is no error; one that a task
// still uses is an error that InUse recognises.
func (e *Engine) RemoveNetwork(ctx context.Context, name string) error {
	_, err := e.api.NetworkRemove(ctx, name, client.NetworkRemoveOptions{})
	if errdefs.IsNotFound(err) {
		return nil
	}
	return wrap(err, "remove network %s", name)
}
