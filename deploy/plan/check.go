package plan

import (
	"fmt"
	"strings"

	"github.com/docker/go-units"
	"github.com/moby/moby/api/types/swarm"
)

// An Obstacle is a reason for which a deploy cannot work here. Nothing has been touched.
type Obstacle struct {
	Problem, Advice string
}

func (o *Obstacle) Error() string { return o.Problem }

// check finds out what a trial cannot: ports that are taken, more host-mode replicas than
// nodes, an image that other nodes cannot have, reservations that no node can meet.
func check(p *Plan, wanted Wanted, here Situation) error {
	for _, one := range p.Spec.TaskTemplate.Networks {
		if driver := here.Networks[one.Target]; driver != "" && driver != "overlay" {
			return &Obstacle{fmt.Sprintf("network %s is there, but is of driver %s, not overlay", one.Target, driver),
				fmt.Sprintf("choose another name, with NETWORK or in the stack file, or remove it: docker network rm %s", one.Target)}
		}
	}
	if len(here.Nodes) == 0 {
		return nil // There is no swarm yet: all is free.
	}
	nodes := usable(here.Nodes)
	if p.Spec.EndpointSpec != nil {
		for _, port := range p.Spec.EndpointSpec.Ports {
			if other := whoPublishes(port, p.Service, here.Others); other != "" {
				return &Obstacle{fmt.Sprintf("port %d is published by service %s", port.PublishedPort, other),
					fmt.Sprintf("choose another port, by its setting or in the stack file, or remove that service: docker service rm %s", other)}
			}
		}
	}
	if ports := hostPorts(p.Spec); len(ports) > 0 && p.Spec.Mode.Replicated != nil && number(p.Spec) > uint64(len(nodes)) {
		return &Obstacle{fmt.Sprintf("%d replicas cannot all have port %d on %d nodes in host mode", number(p.Spec), ports[0].PublishedPort, len(nodes)),
			"ask for fewer, add nodes, or use PUBLISH_MODE=ingress"}
	}
	if isID(wanted.Image) && len(here.Nodes) > 1 && !boundTo(p.Spec, here.Node) {
		return &Obstacle{fmt.Sprintf("this swarm has %d nodes, and only this one will have the image of %s", len(here.Nodes), p.Service),
			"name a registry that all nodes pull from: REGISTRY=host:port"}
	}
	if resources := p.Spec.TaskTemplate.Resources; resources != nil && resources.Reservations != nil {
		if why := unmet(*resources.Reservations, nodes); why != "" {
			return &Obstacle{fmt.Sprintf("no node can give %s %s", p.Service, why), "ask for less in deploy.resources.reservations, or add a larger node"}
		}
	}
	return nil
}

// whoPublishes is the name of another service that publishes a port, or "".
func whoPublishes(port swarm.PortConfig, service string, others []swarm.Service) string {
	for _, other := range others {
		if other.Spec.Name == service || port.PublishedPort == 0 {
			continue
		}
		for _, taken := range other.Endpoint.Ports {
			if taken.PublishedPort == port.PublishedPort && taken.Protocol == port.Protocol {
				return other.Spec.Name
			}
		}
	}
	return ""
}

// unmet says which reservation is larger than any node, or "".
func unmet(wanted swarm.Resources, nodes []swarm.Node) string {
	var cpus, memory int64
	for _, node := range nodes {
		cpus = max(cpus, node.Description.Resources.NanoCPUs)
		memory = max(memory, node.Description.Resources.MemoryBytes)
	}
	if wanted.MemoryBytes > memory {
		return fmt.Sprintf("the %s of memory that it reserves; the largest has %s", units.BytesSize(float64(wanted.MemoryBytes)), units.BytesSize(float64(memory)))
	}
	if wanted.NanoCPUs > cpus {
		return fmt.Sprintf("the %g processors that it reserves; the largest has %g", float64(wanted.NanoCPUs)/1e9, float64(cpus)/1e9)
	}
	return ""
}

// isID tells an image that is named by its id, so that only nodes that have it can run it.
func isID(image string) bool { return strings.HasPrefix(image, "sha256:") }

func onNode(id string) string { return "node.id==" + id }

func boundTo(spec swarm.ServiceSpec, node string) bool {
	if spec.TaskTemplate.Placement == nil {
		return false
	}
	for _, constraint := range spec.TaskTemplate.Placement.Constraints {
		if strings.ReplaceAll(constraint, " ", "") == onNode(node) {
			return true
		}
	}
	return false
}
