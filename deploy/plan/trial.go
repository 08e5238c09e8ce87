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
	// oldInterval is the interval of health checks for an engine without start interval. Each
	// health check starts a process, and this interval does not end after the start of the task,
	// so it must not be too short.
	oldInterval = time.Second
	// startPeriod is for health checks with a start interval that name no period for it.
	startPeriod = 10 * time.Second
	// LabelTrial marks the service of a trial, so that a later deploy can remove it if the
	// deploy was cut off.
	LabelTrial = "deploy.trial"
)

// TrialOf is the name of the service that tries a version of a service.
func TrialOf(service string) string { return service + "-trial" }

// Trial is the service that tries a Spec. It is the same Spec as one task that is never
// restarted. It has no published ports and no aliases, its own empty volumes, and frequent
// health checks.
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
	task.ContainerSpec.StopGracePeriod = &soon // It has no data that stays after it.
	task.RestartPolicy = &swarm.RestartPolicy{Condition: swarm.RestartPolicyConditionNone}
	for i := range task.Networks {
		task.Networks[i].Aliases = nil
	}
	if task.Resources != nil {
		task.Resources = &swarm.ResourceRequirements{Limits: task.Resources.Limits}
	}
	placement(&spec).MaxReplicas = 0
	// Only this node has an image that is named by its id.
	if isID(task.ContainerSpec.Image) && here.Node != "" && !slices.Contains(task.Placement.Constraints, onNode(here.Node)) {
		task.Placement.Constraints = append(task.Placement.Constraints, onNode(here.Node))
	}
	for i, one := range task.ContainerSpec.Mounts {
		if one.Type == mount.TypeVolume {
			task.ContainerSpec.Mounts[i].Source = ""
			task.ContainerSpec.Mounts[i].VolumeOptions = nil // The options of a driver may point to the data of the service.
		}
	}
	if probed {
		check := healthcheck(&spec)
		check.Interval = trialInterval
		if here.StartInterval {
			check.StartInterval = trialInterval // Otherwise the engine checks only every 5 s during the start.
		}
	}
	return spec
}
