package plan

import (
	"fmt"
	"slices"
	"strings"

	"github.com/docker/go-units"
	"github.com/moby/moby/api/types/swarm"

	"goblog/deploy/stack"
)

// An Obstacle is a reason why a deploy cannot work here. Nothing has been changed.
type Obstacle struct {
	Problem, Advice string
}

func (o *Obstacle) Error() string { return o.Problem }

// check finds problems that a trial does not find, or finds late. No node may run the service,
// or a port is taken. There may be more replicas than can run. Other nodes may not get the
// image. No node may have room for the reservations.
func check(p *Plan, wanted Wanted, here Situation) error {
	for _, one := range p.Spec.TaskTemplate.Networks {
		if driver := here.Networks[one.Target]; driver != "" && driver != "overlay" && !stack.Predefined(one.Target) {
			return &Obstacle{fmt.Sprintf("network %s exists, but its driver is %s, not overlay", one.Target, driver),
				fmt.Sprintf("choose another name, with NETWORK or in the stack file, or remove it: docker network rm %s", one.Target)}
		}
	}
	if len(here.Nodes) == 0 {
		return nil // There is no swarm yet, so everything is free.
	}
	fitting := fit(p.Spec, here.Nodes)
	nodes := fitting.nodes
	down := ""
	if found := Down(p.Spec, here.Nodes); len(found) > 0 {
		down = "; " + AreDown(found)
	}
	if len(nodes) == 0 {
		return &Obstacle{fmt.Sprintf("no node can run %s: no suitable node (%s)", p.Service, fitting.why),
			"change deploy.placement in the stack file, or look at the nodes: docker node ls"}
	}
	if p.Spec.EndpointSpec != nil {
		for _, port := range p.Spec.EndpointSpec.Ports {
			if other := whoPublishes(port, p, here); other != "" {
				return &Obstacle{fmt.Sprintf("port %d is published by service %s", port.PublishedPort, other),
					fmt.Sprintf("choose another port, by its setting or in the stack file, or remove that service: docker service rm %s", other)}
			}
		}
	}
	if ports := hostPorts(p.Spec); len(ports) > 0 && p.Spec.Mode.Replicated != nil && number(p.Spec) > uint64(len(nodes)) {
		return &Obstacle{fmt.Sprintf("%d replicas cannot all have port %d on %d nodes in host mode%s", number(p.Spec), ports[0].PublishedPort, len(nodes), down),
			"ask for fewer, add nodes, or use PUBLISH_MODE=ingress"}
	}
	if most := maxReplicas(p.Spec) * uint64(len(nodes)); most > 0 && number(p.Spec) > most {
		return &Obstacle{fmt.Sprintf("%d replicas of %s cannot run on %d nodes with %d on each at most%s", number(p.Spec), p.Service, len(nodes), maxReplicas(p.Spec), down),
			"ask for fewer, add nodes, or change deploy.placement.max_replicas_per_node"}
	}
	// This includes nodes that are down or drained: they come back.
	if isID(wanted.Image) && slices.ContainsFunc(here.Nodes, func(node swarm.Node) bool { return node.ID != here.Node && placed(p.Spec, node) && suits(p.Spec, node) }) {
		return &Obstacle{fmt.Sprintf("this swarm has %d nodes, and only this one will have the image of %s", len(here.Nodes), p.Service),
			"name a registry that all nodes pull from: REGISTRY=host:port"}
	}
	tasks := number(p.Spec)
	if p.Spec.Mode.Global != nil {
		tasks = uint64(len(nodes))
	}
	if most := room(p.Spec, here, p.Service); most < tasks {
		return &Obstacle{fmt.Sprintf("the nodes have room for %d of the %d tasks of %s, each of which reserves %s%s", most, tasks, p.Service, reserved(p.Spec), down),
			"ask for less in deploy.resources.reservations, or add a node"}
	}
	return nil
}

// maxReplicas is how many replicas of a Spec may run on one node; 0: any number.
func maxReplicas(spec swarm.ServiceSpec) uint64 {
	if spec.TaskTemplate.Placement == nil || spec.Mode.Replicated == nil {
		return 0
	}
	return spec.TaskTemplate.Placement.MaxReplicas
}

// whoPublishes is the name of another service that publishes a port, or "". In host mode, two
// services may publish the same port on different nodes.
func whoPublishes(port swarm.PortConfig, p *Plan, here Situation) string {
	for _, other := range here.Others {
		if other.Spec.Name == p.Service || port.PublishedPort == 0 {
			continue
		}
		for _, taken := range other.Endpoint.Ports {
			if taken.PublishedPort != port.PublishedPort || taken.Protocol != port.Protocol {
				continue
			}
			const host = swarm.PortConfigPublishModeHost
			meets := slices.ContainsFunc(here.Nodes, func(node swarm.Node) bool { return placed(p.Spec, node) && placed(other.Spec, node) })
			if port.PublishMode != host || taken.PublishMode != host || meets {
				return other.Spec.Name
			}
		}
	}
	return ""
}

// reserved names the reservations of a task, for people.
func reserved(spec swarm.ServiceSpec) string {
	var parts []string
	if memory := spec.TaskTemplate.Resources.Reservations.MemoryBytes; memory > 0 {
		parts = append(parts, units.BytesSize(float64(memory))+" of memory")
	}
	if cpus := spec.TaskTemplate.Resources.Reservations.NanoCPUs; cpus > 0 {
		parts = append(parts, fmt.Sprintf("%g processors", float64(cpus)/1e9))
	}
	return strings.Join(parts, " and ")
}

// isID tells whether an image is named by its id. Then only nodes that have the image can run
// it.
func isID(image string) bool { return strings.HasPrefix(image, "sha256:") }

func onNode(id string) string { return "node.id==" + id }
