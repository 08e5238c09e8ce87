package swarm

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"net/netip"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"

	"goblog/deploy/stack"
)

// Networks returns the networks that this engine knows, by id.
func (e *Engine) Networks(ctx context.Context) (map[string]network.Summary, error) {
	found, err := call(ctx, e, e.api.NetworkList, client.NetworkListOptions{})
	networks := map[string]network.Summary{}
	for _, one := range found.Items {
		networks[one.ID] = one
	}
	return networks, wrap(err, "list the networks")
}

// NetworkNames are the names of networks, by id.
func NetworkNames(networks map[string]network.Summary) map[string]string {
	names := map[string]string{}
	for id, one := range networks {
		names[id] = one.Name
	}
	return names
}

// LabelMade is on the networks that a deploy has made.
const LabelMade = "deploy.made"

// CreateNetwork creates a network of the swarm. If the swarm has a network of that name
// already, that is no error: an earlier try of the same call may have created it.
func (e *Engine) CreateNetwork(ctx context.Context, name string, spec stack.NetworkSpec) error {
	options := client.NetworkCreateOptions{
		Scope: "swarm", Driver: cmp.Or(spec.Driver, "overlay"), Options: spec.DriverOpts,
		Labels: map[string]string{LabelMade: "yes"}, Internal: spec.Internal, Attachable: spec.Attachable,
	}
	maps.Copy(options.Labels, spec.Labels)
	if spec.IPAMDriver != "" || len(spec.Subnets) > 0 {
		options.IPAM = &network.IPAM{Driver: spec.IPAMDriver}
		for _, text := range spec.Subnets {
			subnet, err := netip.ParsePrefix(text)
			if err != nil {
				return wrap(err, "create network %s", name)
			}
			options.IPAM.Config = append(options.IPAM.Config, network.IPAMConfig{Subnet: subnet})
		}
	}
	_, err := changeOn(ctx, e, e.api.NetworkCreate, name, options)
	if errdefs.IsConflict(err) {
		networks, failure := e.Networks(ctx)
		for _, one := range networks {
			if one.Name == name && one.Scope == options.Scope {
				return nil
			}
		}
		err = errors.Join(err, failure)
	}
	return wrap(err, "create network %s", name)
}

// RemoveNetwork removes a network. If it is gone already, that is no error. If a task still
// uses it, that is an error.
func (e *Engine) RemoveNetwork(ctx context.Context, name string) error {
	_, err := changeOn(ctx, e, e.api.NetworkRemove, name, client.NetworkRemoveOptions{})
	if errdefs.IsNotFound(err) {
		return nil
	}
	return wrap(err, "remove network %s", name)
}
