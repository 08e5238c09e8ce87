package plan

import (
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/api/types/swarm"
	. "github.com/smartystreets/goconvey/convey"

	"goblog/deploy/journal"
)

// rich is a service with everything that a trial changes.
func rich(w *Wanted) {
	three, s := uint64(3), &w.Spec
	s.Mode.Replicated.Replicas = &three
	s.TaskTemplate.Placement = &swarm.Placement{Constraints: []string{"node.role==manager"}, MaxReplicas: 3}
	s.TaskTemplate.Resources.Reservations = &swarm.Resources{MemoryBytes: 1 << 20}
	s.TaskTemplate.LogDriver = &swarm.Driver{Name: "syslog"}
	s.EndpointSpec.Mode = swarm.ResolutionModeDNSRR
	inside := s.TaskTemplate.ContainerSpec
	inside.User, inside.ReadOnly, inside.CapabilityDrop = "1000", true, []string{"ALL"}
	inside.Secrets = []*swarm.SecretReference{{SecretName: "key"}}
	inside.Configs = []*swarm.ConfigReference{{ConfigName: "conf"}}
	inside.Mounts = append(inside.Mounts,
		mount.Mount{Type: mount.TypeVolume, Source: "data", Target: "/data"},
		mount.Mount{Type: mount.TypeVolume, Source: "shared", Target: "/shared", ReadOnly: true, VolumeOptions: &mount.VolumeOptions{
			DriverConfig: &mount.Driver{Name: "local", Options: map[string]string{"type": "none", "o": "bind", "device": "/srv"}}}},
		mount.Mount{Type: mount.TypeBind, Source: "/conf", Target: "/conf"})
}

func TestTrialIsTheService(t *testing.T) {
	Convey("Given the trial of a service with all that a trial changes", t, func() {
		p, err := Make(wanted(rich), nil, alone, Options{})
		So(err, ShouldBeNil)
		trial, sent := *p.Trial, p.Sent
		task, inside := trial.TaskTemplate, trial.TaskTemplate.ContainerSpec

		for what, field := range map[string]struct{ got, want any }{
			"its name tells whose it is":               {trial.Name, "web-trial"},
			"it bears no label of the service's own":   {trial.Labels, map[string]string{LabelTrial: "web", journal.LabelDeploy: ""}},
			"it is one task":                           {trial.Mode, swarm.ServiceMode{Replicated: &swarm.ReplicatedService{Replicas: count(1)}}},
			"which is not started anew":                {*task.RestartPolicy, swarm.RestartPolicy{Condition: swarm.RestartPolicyConditionNone}},
			"nobody reaches it by a port":              {len(trial.EndpointSpec.Ports), 0},
			"nor by an alias":                          {task.Networks, []swarm.NetworkAttachmentConfig{{Target: "net"}}},
			"its name is found as the service's is":    {trial.EndpointSpec.Mode, swarm.ResolutionModeDNSRR},
			"it has the service's limits":              {task.Resources.Limits, sent.TaskTemplate.Resources.Limits},
			"and reserves nothing":                     {task.Resources.Reservations, (*swarm.Resources)(nil)},
			"another task on its node is no hindrance": {task.Placement.MaxReplicas, uint64(0)},
			"it is where the service may be":           {task.Placement.Constraints, []string{"node.role==manager", "node.id==n1"}},
			"and for the service's processor":          {task.Placement.Platforms, []swarm.Platform{{OS: "linux", Architecture: "amd64"}}},
			"it is probed often":                       {inside.Healthcheck.Interval, 200 * time.Millisecond},
			"from the start on":                        {inside.Healthcheck.StartInterval, 200 * time.Millisecond},
			"by the service's command":                 {inside.Healthcheck.Test, []string{"CMD", "/web", "check"}},
			"it is ended soon":                         {*inside.StopGracePeriod, time.Second},
			"as the service need not be":               {*sent.TaskTemplate.ContainerSpec.StopGracePeriod, 20 * time.Second},
			"it has the service's image":               {inside.Image, imageV1},
			"environment":                              {inside.Env, sent.TaskTemplate.ContainerSpec.Env},
			"command":                                  {inside.Args, sent.TaskTemplate.ContainerSpec.Args},
			"user":                                     {inside.User, "1000"},
			"confinement":                              {inside.CapabilityDrop, []string{"ALL"}},
			"read-only root":                           {inside.ReadOnly, true},
			"secrets":                                  {inside.Secrets, sent.TaskTemplate.ContainerSpec.Secrets},
			"configs":                                  {inside.Configs, sent.TaskTemplate.ContainerSpec.Configs},
			"logging":                                  {task.LogDriver, sent.TaskTemplate.LogDriver},
			"and tmpfs":                                {inside.Mounts[0], sent.TaskTemplate.ContainerSpec.Mounts[0]},
			"a named volume is an anonymous one":       {inside.Mounts[1], mount.Mount{Type: mount.TypeVolume, Target: "/data"}},
			"one that is only read, too":               {inside.Mounts[2].Source, ""},
			"a directory of the node is the service's": {inside.Mounts[3], mount.Mount{Type: mount.TypeBind, Source: "/conf", Target: "/conf"}},
			"no update is made of it":                  {trial.UpdateConfig, (*swarm.UpdateConfig)(nil)},
		} {
			Convey(what, func() { So(field.got, ShouldResemble, field.want) })
		}
		Convey("an anonymous volume does not lead to the named one's data", func() {
			options := inside.Mounts[2].VolumeOptions
			So(options == nil || options.DriverConfig == nil || len(options.DriverConfig.Options) == 0, ShouldBeTrue)
		})
	})
}

func TestTrialsOfOtherServices(t *testing.T) {
	image := func(w *Wanted) {
		w.Probed = true
		w.Spec.TaskTemplate.ContainerSpec.Healthcheck = nil
	}
	trialOf := func(here Situation, changes ...func(*Wanted)) swarm.ServiceSpec {
		p, err := Make(wanted(changes...), nil, here, Options{})
		So(err, ShouldBeNil)
		return *p.Trial
	}
	Convey("The trial of a global service is one task, too", t, func() {
		So(*trialOf(alone, global).Mode.Replicated.Replicas, ShouldEqual, 1)
		So(trialOf(alone, global).Mode.Global, ShouldBeNil)
	})
	Convey("The image's own check is probed often, and is still the image's", t, func() {
		So(*trialOf(alone, image).TaskTemplate.ContainerSpec.Healthcheck, ShouldResemble, container.HealthConfig{Interval: 200 * time.Millisecond, StartInterval: 200 * time.Millisecond, StartPeriod: 10 * time.Second})
	})
	Convey("An older engine is not told of a start interval", t, func() {
		here := alone
		here.StartInterval = false
		So(*trialOf(here, image).TaskTemplate.ContainerSpec.Healthcheck, ShouldResemble, container.HealthConfig{Interval: 200 * time.Millisecond})
	})
	Convey("A service without a health check gets none", t, func() {
		So(trialOf(alone, spec(inside(func(s *swarm.ContainerSpec) { s.Healthcheck = nil }))).TaskTemplate.ContainerSpec.Healthcheck, ShouldBeNil)
	})
	Convey("An image that every node can pull may be tried anywhere", t, func() {
		So(trialOf(swarmOf(node("n1"), node("n2")), byDigest).TaskTemplate.Placement.Constraints, ShouldBeEmpty)
	})
	Convey("A service that is bound to this node already is bound to it once", t, func() {
		So(trialOf(alone, func(w *Wanted) { w.Bound = true }).TaskTemplate.Placement.Constraints, ShouldResemble, []string{"node.id==n1"})
	})
	Convey("A service without ports, networks and resources can be tried", t, func() {
		trial := trialOf(alone, spec(func(s *swarm.ServiceSpec) {
			s.EndpointSpec, s.TaskTemplate.Networks, s.TaskTemplate.Resources, s.Labels = nil, nil, nil, nil
		}))
		So(trial.EndpointSpec, ShouldBeNil)
		So(trial.TaskTemplate.Resources, ShouldBeNil)
	})
}

func TestPlansShareNothingWithWhatTheyAreMadeOf(t *testing.T) {
	Convey("Given a service, its plan and its trial", t, func() {
		w := wanted(rich)
		w.Bound = true
		w.Spec.TaskTemplate.Placement.Constraints = append(make([]string, 0, 8), "node.role==manager") // With spare capacity, two appends could write to the same array.
		file := copyOf(w.Spec)
		current := deployed(wanted(), alone, func(s *swarm.ServiceSpec) { s.Mode.Replicated.Replicas = count(3) })
		ran, returned := copyOf(current.Spec), copyOf(*current.Returned)
		p, err := Make(w, current, alone, Options{Rolling: true})
		So(err, ShouldBeNil)

		Convey("the stack file's Spec is as it was", func() { So(copyOf(w.Spec), ShouldResemble, file) })
		Convey("what runs is as it was", func() {
			So(copyOf(current.Spec), ShouldResemble, ran)
			So(copyOf(*current.Returned), ShouldResemble, returned)
		})
		sent, spec, trial := copyOf(p.Sent), copyOf(p.Spec), copyOf(*p.Trial)
		spoil := func(s *swarm.ServiceSpec) {
			if s.Labels != nil {
				s.Labels["spoilt"] = "yes"
			}
			s.TaskTemplate.ContainerSpec.Image = "spoilt"
			s.TaskTemplate.ContainerSpec.Healthcheck.Interval = time.Hour
			for i := range s.TaskTemplate.ContainerSpec.Mounts {
				s.TaskTemplate.ContainerSpec.Mounts[i].Source = "spoilt"
			}
			s.TaskTemplate.Networks[0].Target = "spoilt"
			s.TaskTemplate.Placement.Constraints[0] = "spoilt"
			s.TaskTemplate.Placement.MaxReplicas = 99
			*s.Mode.Replicated = swarm.ReplicatedService{}
			if s.UpdateConfig != nil {
				s.UpdateConfig.Order = "spoilt"
			}
			for i := range s.EndpointSpec.Ports {
				s.EndpointSpec.Ports[i].PublishedPort = 1
			}
		}
		Convey("a change of the trial is none of the others", func() {
			spoil(p.Trial)
			So(copyOf(p.Sent), ShouldResemble, sent)
			So(copyOf(p.Spec), ShouldResemble, spec)
		})
		Convey("a change of the Spec is none of the others", func() {
			spoil(&p.Spec)
			So(copyOf(p.Sent), ShouldResemble, sent)
			So(copyOf(*p.Trial), ShouldResemble, trial)
			So(copyOf(w.Spec), ShouldResemble, file)
		})
		Convey("a change of what is sent is none of the others", func() {
			spoil(&p.Sent)
			So(copyOf(p.Spec), ShouldResemble, spec)
			So(copyOf(*p.Trial), ShouldResemble, trial)
			So(copyOf(w.Spec), ShouldResemble, file)
		})
	})
}
