package plan

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/moby/moby/api/types/swarm"

	engine "goblog/deploy/swarm"
)

// A fitting tells which nodes may run tasks of a Spec.
type fitting struct {
	nodes []swarm.Node
	why   string // how many nodes may not, and why, in the engine's words
}

// A reason is why some nodes may not run tasks.
type reason struct {
	nodes      int
	one, other string // in words, of one node and of several
}

// fit chooses the nodes that may run tasks of a Spec, by availability, constraints and platform.
func fit(spec swarm.ServiceSpec, nodes []swarm.Node) fitting {
	var found fitting
	var inactive, unplaced, foreign int
	for _, node := range nodes {
		switch {
		case !engine.Usable(node):
			inactive++
		case !placed(spec, node):
			unplaced++
		case !suits(spec, node):
			foreign++
		default:
			found.nodes = append(found.nodes, node)
		}
	}
	counts := []reason{
		{unplaced, "scheduling constraints not satisfied on 1 node", "scheduling constraints not satisfied on %d nodes"},
		{foreign, "unsupported platform on 1 node", "unsupported platform on %d nodes"},
		{inactive, "1 node not available for new tasks", "%d nodes not available for new tasks"},
	}
	slices.SortStableFunc(counts, func(a, b reason) int { return b.nodes - a.nodes }) // As the engine does.
	var reasons []string
	for _, one := range counts {
		if one.nodes == 1 {
			reasons = append(reasons, one.one)
		} else if one.nodes > 1 {
			reasons = append(reasons, fmt.Sprintf(one.other, one.nodes))
		}
	}
	found.why = strings.Join(reasons, "; ")
	return found
}

// placed tells whether a node meets the constraints of a Spec.
func placed(spec swarm.ServiceSpec, node swarm.Node) bool {
	placement := spec.TaskTemplate.Placement
	return placement == nil || !slices.ContainsFunc(placement.Constraints, func(one string) bool { return !meets(node, one) })
}

// suits tells whether a node has a platform that the image of a Spec is for.
func suits(spec swarm.ServiceSpec, node swarm.Node) bool {
	placement := spec.TaskTemplate.Placement
	return placement == nil || len(placement.Platforms) == 0 || slices.ContainsFunc(placement.Platforms, func(one swarm.Platform) bool { return runs(node, one) })
}

// Nodes are those that may run tasks of a Spec.
func Nodes(spec swarm.ServiceSpec, nodes []swarm.Node) []swarm.Node { return fit(spec, nodes).nodes }

// Down are the nodes that are down and would run tasks of a Spec. The swarm counts a node as
// down after three missed heartbeats, so a node that has just died is not among them.
func Down(spec swarm.ServiceSpec, nodes []swarm.Node) []swarm.Node {
	return slices.DeleteFunc(slices.Clone(nodes), func(node swarm.Node) bool {
		active := node.Spec.Availability == swarm.NodeAvailabilityActive
		return node.Status.State != swarm.NodeStateDown || !active || !placed(spec, node) || !suits(spec, node)
	})
}

// AreDown says in words that nodes are down.
func AreDown(nodes []swarm.Node) string {
	var names []string
	for _, node := range nodes {
		names = append(names, node.Description.Hostname)
	}
	slices.Sort(names)
	if len(names) == 1 {
		return names[0] + " is down"
	}
	return strings.Join(names, " and ") + " are down"
}

// room is the number of tasks of a Spec that the nodes still have room for, by the
// reservations of all tasks. Tasks of the service except count as gone. A Spec without
// reservations always has room.
func room(spec swarm.ServiceSpec, here Situation, except string) uint64 {
	resources := spec.TaskTemplate.Resources
	if resources == nil || resources.Reservations == nil || resources.Reservations.MemoryBytes <= 0 && resources.Reservations.NanoCPUs <= 0 {
		return math.MaxUint64
	}
	id := ""
	for _, service := range here.Others {
		if service.Spec.Name == except {
			id = service.ID
		}
	}
	free := map[string]swarm.Resources{}
	for _, node := range here.Nodes {
		free[node.ID] = node.Description.Resources
	}
	for _, task := range here.Tasks {
		taken := task.Spec.Resources // Until the task has ended.
		if taken == nil || taken.Reservations == nil || engine.Ended(task) || id != "" && task.ServiceID == id {
			continue
		}
		left := free[task.NodeID]
		left.MemoryBytes -= taken.Reservations.MemoryBytes
		left.NanoCPUs -= taken.Reservations.NanoCPUs
		free[task.NodeID] = left
	}
	var tasks int64
	for _, node := range fit(spec, here.Nodes).nodes {
		fitting := int64(math.MaxInt32)
		if spec.Mode.Global != nil || len(hostPorts(spec)) > 0 {
			fitting = 1
		} else if most := maxReplicas(spec); most > 0 {
			fitting = int64(most)
		}
		if wanted := resources.Reservations.MemoryBytes; wanted > 0 {
			fitting = min(fitting, free[node.ID].MemoryBytes/wanted)
		}
		if wanted := resources.Reservations.NanoCPUs; wanted > 0 {
			fitting = min(fitting, free[node.ID].NanoCPUs/wanted)
		}
		tasks += max(0, fitting)
	}
	return uint64(tasks)
}

// meets tells whether a node meets a constraint. It is true for an unknown constraint: the
// engine decides then. Source of the keys: moby/swarmkit, manager/constraint/constraint.go.
func meets(node swarm.Node, constraint string) bool {
	key, wanted, equal := strings.Cut(constraint, "==")
	if !equal {
		key, wanted, _ = strings.Cut(constraint, "!=")
	}
	key, wanted = strings.TrimSpace(key), strings.TrimSpace(wanted)
	var is string
	switch lower := strings.ToLower(key); {
	case lower == "node.id":
		is = node.ID
	case lower == "node.hostname":
		is = node.Description.Hostname
	case lower == "node.role":
		is = string(node.Spec.Role)
	case lower == "node.platform.os":
		is = node.Description.Platform.OS
	case lower == "node.platform.arch":
		is = node.Description.Platform.Architecture
	case strings.HasPrefix(lower, "node.labels."):
		is = node.Spec.Labels[key[len("node.labels."):]]
	case strings.HasPrefix(lower, "engine.labels."):
		is = node.Description.Engine.Labels[key[len("engine.labels."):]]
	default:
		return true
	}
	return strings.EqualFold(is, wanted) == equal
}

// runs tells whether a node can run an image of a platform. Nodes name their processor as
// uname does, images as Go does.
func runs(node swarm.Node, platform swarm.Platform) bool {
	cpu := map[string]string{"x86_64": "amd64", "aarch64": "arm64"} // The engine treats only these names as equal.
	goes := func(wanted, is string) bool {
		if known := cpu[wanted]; known != "" {
			wanted = known
		}
		if known := cpu[is]; known != "" {
			is = known
		}
		return wanted == "" || is == "" || wanted == is
	}
	return goes(platform.OS, node.Description.Platform.OS) && goes(platform.Architecture, node.Description.Platform.Architecture)
}
