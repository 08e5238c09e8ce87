package plan

import (
	"slices"
	"time"

	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/api/types/swarm"

	"goblog/deploy/journal"
)

const (
	trialInterval = 200 * time.Millisecond
	// oldInterval is how often an engine without start interval probes: each probe starts
	// a process, and this one does not end with the start.
	oldInterval = time.Second
	// startPeriod is for health checks with a start interval that name no period for it.
	startPeriod = 10 * time.Second
	// LabelTrial marks the service of a trial, so that one that was cut off can be tidied away.
	LabelTrial = "deploy.trial"
)

// TrialOf is the name of the service that tries a version of a service.
func TrialOf(service string) string { return service + "-trial" }

// Trial is the service that tries a Spec: the very same, as one task that is not started
// anew, reached by nobody, with empty volumes of its own, and probed often.
func Trial(spec swarm.ServiceSpec, probed bool, here Situation) swarm.ServiceSpec {
	service := spec.Name
	spec = clone(spec)
	spec.Name = TrialOf(service)
	spec.Labels = map[string]string{LabelTrial: service, journal.LabelDeploy: spec.Labels[journal.LabelDeploy]}
	one := uint64(1)
	spec.Mode = swarm.ServiceMode{Replicated: &swarm.ReplicatedService{Replicas: &one}}
	spec.UpdateConfig, spec.RollbackConfig = nil, nil
	if spec.EndpointSpec != nil {
		spec.EndpointSpec.Ports = nil
	}

	task := &spec.TaskTemplate
	soon := time.Second
	task.ContainerSpec.StopGracePeriod = &soon // It has nothing that outlives it.
	task.RestartPolicy = &swarm.RestartPolicy{Condition: swarm.RestartPolicyConditionNone}
	for i := range task.Networks {
		task.Networks[i].Aliases = nil
	}
	if task.Resources != nil {
		task.Resources = &swarm.ResourceRequirements{Limits: task.Resources.Limits}
	}
	placement(&spec).MaxReplicas = 0
	// An image that no registry has is on this node only.
	if isID(task.ContainerSpec.Image) && here.Node != "" && !slices.Contains(task.Placement.Constraints, onNode(here.Node)) {
		task.Placement.Constraints = append(task.Placement.Constraints, onNode(here.Node))
	}
	for i, one := range task.ContainerSpec.Mounts {
		if one.Type == mount.TypeVolume {
			task.ContainerSpec.Mounts[i].Source = ""
			task.ContainerSpec.Mounts[i].VolumeOptions = nil // A driver's options may lead to the service's own data.
		}
	}
	if probed {
		check := healthcheck(&spec)
		check.Interval = trialInterval
		if here.StartInterval {
			check.StartInterval = trialInterval // Else it probes each 5 s while it starts.
		}
	}
	return spec
}
