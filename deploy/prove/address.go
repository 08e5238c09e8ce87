package prove

import (
	"fmt"
	"net"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/api/types/swarm"
	"github.com/moby/moby/api/types/system"

	"goblog/deploy/stack"
	engine "goblog/deploy/swarm"
)

// Addresses are the addresses of nodes, as seen from this machine.
type Addresses struct {
	// Manager is the address of the node that the deploy talks to.
	Manager string
	// Node is that node's id.
	Node string
	// Nodes has the addresses of all nodes, by id.
	Nodes map[string]string
}

// Find finds the addresses. manager is the user's own choice, or "". remote is the host in
// the engine's address, or "" for a local engine.
func Find(manager, remote string, info system.Info, nodes []swarm.Node) Addresses {
	found := Addresses{Node: info.Swarm.NodeID, Nodes: map[string]string{}}
	switch {
	case manager != "":
		found.Manager = manager
	case remote != "":
		found.Manager = remote
	case runtime.GOOS == "darwin" || strings.Contains(info.OperatingSystem, "Docker Desktop"):
		found.Manager = "127.0.0.1" // The engine is in a virtual machine, whose ports are at this address.
	default:
		found.Manager = info.Swarm.NodeAddr
	}
	for _, node := range nodes {
		found.Nodes[node.ID] = engine.NodeAddress(node)
		for _, peer := range info.Swarm.RemoteManagers {
			if host, _, err := net.SplitHostPort(peer.Addr); err == nil && peer.NodeID == node.ID && (found.Nodes[node.ID] == "" || found.Nodes[node.ID] == "0.0.0.0") {
				found.Nodes[node.ID] = host
			}
		}
	}
	return found
}

// URLs are the URLs that must answer. Through the routing mesh, this is one URL at the
// manager; in host mode, one at each node that runs a task. If verify is nil, there are none.
func URLs(spec swarm.ServiceSpec, tasks []engine.Task, verify *stack.Verify, at Addresses) []string {
	switch {
	case verify == nil:
		return nil
	case verify.URL != "":
		return []string{verify.URL}
	}
	return addresses(spec, tasks, verify.Port, verify.Path, at)
}

// Published are the addresses of a service's ports, for people. Only TCP ports get http as
// their scheme.
func Published(spec swarm.ServiceSpec, tasks []engine.Task, at Addresses) []string {
	var urls []string
	if spec.EndpointSpec != nil {
		for _, port := range spec.EndpointSpec.Ports {
			for _, one := range addresses(spec, tasks, port.PublishedPort, "", at) {
				if port.Protocol != "" && port.Protocol != network.TCP {
					one = strings.Replace(one, "http", string(port.Protocol), 1)
				}
				urls = append(urls, one)
			}
		}
	}
	return urls
}

func addresses(spec swarm.ServiceSpec, tasks []engine.Task, port uint32, path string, at Addresses) []string {
	host := spec.EndpointSpec != nil && slices.ContainsFunc(spec.EndpointSpec.Ports, func(one swarm.PortConfig) bool {
		return one.PublishedPort == port && one.PublishMode == swarm.PortConfigPublishModeHost
	})
	if !host {
		return []string{url(at.Manager, port, path)}
	}
	var urls []string
	for _, task := range tasks {
		if !engine.Runs(task.Task) {
			continue
		}
		address := at.Nodes[task.NodeID]
		if task.NodeID == at.Node {
			address = at.Manager
		}
		if one := url(address, port, path); !slices.Contains(urls, one) {
			urls = append(urls, one)
		}
	}
	slices.Sort(urls)
	return urls
}

func url(address string, port uint32, path string) string {
	return fmt.Sprintf("http://%s%s", net.JoinHostPort(address, strconv.Itoa(int(port))), path)
}
