package swarm

import (
	"context"
	"fmt"
	"net"

	"github.com/moby/moby/api/types/swarm"
	"github.com/moby/moby/api/types/system"
	"github.com/moby/moby/client"
)

// Info is what the engine says of itself and of its part in a swarm.
func (e *Engine) Info(ctx context.Context) (system.Info, error) {
	// Info of the client loses the error of an engine that is too old; Ping keeps it.
	_, err := e.api.Ping(ctx, client.PingOptions{NegotiateAPIVersion: true})
	var found client.SystemInfoResult
	if err == nil {
		found, err = e.api.Info(ctx, client.InfoOptions{})
	}
	if err != nil {
		return system.Info{}, fmt.Errorf("the docker engine at %s does not answer: %w", e.Host, err)
	}
	return found.Info, nil
}

// APIVersion is the version of the engine's API that this client and the engine share.
// It is known only after the first call.
func (e *Engine) APIVersion() string { return e.api.ClientVersion() }

// InitSwarm makes the engine the manager of a new swarm. advertise is its address for
// other nodes; "" leaves the choice to the engine.
func (e *Engine) InitSwarm(ctx context.Context, advertise string) error {
	_, err := e.api.SwarmInit(ctx, client.SwarmInitOptions{ListenAddr: "0.0.0.0:2377", AdvertiseAddr: advertise})
	return wrap(err, "make the engine the manager of a new swarm")
}

// Nodes returns the nodes of the swarm.
func (e *Engine) Nodes(ctx context.Context) ([]swarm.Node, error) {
	found, err := call(ctx, e, e.api.NodeList, client.NodeListOptions{})
	return found.Items, wrap(err, "list the nodes")
}

// Hosts are the names of nodes, by id.
func Hosts(nodes []swarm.Node) map[string]string {
	hosts := map[string]string{}
	for _, node := range nodes {
		hosts[node.ID] = node.Description.Hostname
	}
	return hosts
}

// NodeAddress is the address of a node. After a change of the leader, the status of a node
// may say 0.0.0.0. Then the address that other managers know is right.
func NodeAddress(node swarm.Node) string {
	address := node.Status.Addr
	if (address == "" || address == "0.0.0.0") && node.ManagerStatus != nil {
		if host, _, err := net.SplitHostPort(node.ManagerStatus.Addr); err == nil {
			return host
		}
	}
	return address
}

// Usable tells whether a node can be given tasks.
func Usable(node swarm.Node) bool {
	return node.Status.State == swarm.NodeStateReady && node.Spec.Availability == swarm.NodeAvailabilityActive
}
