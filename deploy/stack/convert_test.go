package stack

import (
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/api/types/swarm"
	. "github.com/smartystreets/goconvey/convey"
)

// full loads a file that has each key.
func full(t *testing.T) (*Stack, string) {
	source, err := os.ReadFile("testdata/full.yml")
	if err != nil {
		t.Fatal(err)
	}
	file := write(t, "stack.yml", string(source))
	dir := filepath.Dir(file)
	put(t, filepath.Join(dir, "web.Dockerfile"), "FROM scratch\n")
	put(t, filepath.Join(dir, "cmd", "main.go"), "package main\n")
	loaded, err := Load(Options{Files: []string{file}, Env: map[string]string{"HOME": "/home/me", "FROM_ENV": "set", "VERSION": "", "REPLICAS": "3"}})
	So(err, ShouldBeNil)
	return loaded, dir
}

func TestCarriedKeys(t *testing.T) {
	Convey("Given a file with each key that is carried over", t, func() {
		loaded, dir := full(t)
		So(loaded.Warnings, ShouldResemble, []string{dir + "/stack.yml: services.web.x-other is not carried over: it is an extension that is not known here"})
		So(loaded.Services, ShouldHaveLength, 2)

		Convey("the service that others depend on comes first", func() {
			So(loaded.Services[0].Name, ShouldEqual, "zebra")
			So(loaded.Services[1].Name, ShouldEqual, "web")
		})

		web := loaded.Services[1]
		task := web.Spec.TaskTemplate
		inside := task.ContainerSpec
		second, minute, halfSecond, grace, yes := time.Second, time.Minute, 500*time.Millisecond, 90*time.Second, true
		three := uint64(3)
		for _, field := range []struct {
			name      string
			got, want any
		}{
			{"name", web.Spec.Name, "web"},
			{"image", web.Image, "registry.example:5000/team/web:v1"},
			{"image of the Spec", inside.Image, ""},
			{"build", *web.Build, Build{Context: dir + "/app", Dockerfile: dir + "/web.Dockerfile", Target: "final",
				Args: map[string]string{"COLOR": "red", "FROM_ENV": "set"}, Package: dir + "/cmd"}},
			{"command", inside.Args, []string{"serve", "--fast", "two words"}},
			{"entrypoint", inside.Command, []string{"/bin/init", "--"}},
			{"environment", inside.Env, []string{"FROM_ENV=set", "PLAIN=a=b", "UNSET"}},
			{"ports", web.Spec.EndpointSpec.Ports, []swarm.PortConfig{
				{Protocol: "udp", TargetPort: 80, PublishedPort: 8080, PublishMode: "host"},
				{Protocol: "tcp", TargetPort: 443, PublishedPort: 8443, PublishMode: "ingress"},
			}},
			{"deploy.endpoint_mode", web.Spec.EndpointSpec.Mode, swarm.ResolutionModeVIP},
			{"networks", task.Networks, []swarm.NetworkAttachmentConfig{
				{Target: "new"}, {Target: "older"}, {Target: "public", Aliases: []string{"www", "web.local"}},
			}},
			{"volumes", inside.Mounts, []mount.Mount{
				{Type: "volume", Source: "data", Target: "/data", VolumeOptions: &mount.VolumeOptions{NoCopy: true}},
				{Type: "volume", Source: "shared-data", Target: "/shared", ReadOnly: true, VolumeOptions: &mount.VolumeOptions{
					Labels:       map[string]string{"a": "b"},
					DriverConfig: &mount.Driver{Name: "nfs", Options: map[string]string{"server": "nas"}},
				}},
				{Type: "volume", Source: "there", Target: "/elsewhere", Consistency: "cached"},
				{Type: "volume", Target: "/anonymous"},
				{Type: "bind", Source: dir + "/conf", Target: "/conf", BindOptions: &mount.BindOptions{Propagation: "rslave"}},
				{Type: "bind", Source: "/home/me/socket", Target: "/socket", ReadOnly: true, BindOptions: &mount.BindOptions{Propagation: "rshared"}},
				{Type: "tmpfs", Target: "/scratch", TmpfsOptions: &mount.TmpfsOptions{SizeBytes: 1 << 20, Mode: 0o1777}},
				{Type: "tmpfs", Target: "/run", ReadOnly: true, TmpfsOptions: &mount.TmpfsOptions{SizeBytes: 64 << 20, Mode: 0o700}},
				{Type: "tmpfs", Target: "/tmp"},
			}},
			{"healthcheck", *inside.Healthcheck, container.HealthConfig{
				Test: []string{"CMD", "/web", "check"}, Interval: 5 * second, Timeout: 2 * second, Retries: 4, StartPeriod: 10 * second,
			}},
			{"deploy.replicas", web.Spec.Mode, swarm.ServiceMode{Replicated: &swarm.ReplicatedService{Replicas: &three}}},
			{"deploy.labels", web.Spec.Labels, map[string]string{"tier": "front"}},
			{"deploy.resources.limits", *task.Resources.Limits, swarm.Limit{NanoCPUs: 5e8, MemoryBytes: 64 << 20, Pids: 100}},
			{"deploy.resources.reservations", *task.Resources.Reservations, swarm.Resources{NanoCPUs: 25e7, MemoryBytes: 32 << 20,
				GenericResources: []swarm.GenericResource{{DiscreteResourceSpec: &swarm.DiscreteGenericResource{Kind: "gpu", Value: 2}}}}},
			{"deploy.restart_policy", *task.RestartPolicy, swarm.RestartPolicy{Condition: "on-failure", Delay: &halfSecond, MaxAttempts: &three, Window: &minute}},
			{"deploy.update_config", *web.Spec.UpdateConfig, swarm.UpdateConfig{
				Parallelism: 2, Delay: second, FailureAction: "pause", Monitor: 5 * second, MaxFailureRatio: 0.25, Order: "stop-first",
			}},
			{"deploy.rollback_config", *web.Spec.RollbackConfig, swarm.UpdateConfig{
				Delay: second, FailureAction: "continue", Monitor: 2 * second, MaxFailureRatio: 1, Order: "start-first",
			}},
			{"deploy.placement", *task.Placement, swarm.Placement{
				Constraints: []string{"node.role == manager", "node.labels.zone!=a"}, MaxReplicas: 1,
				Preferences: []swarm.PlacementPreference{{Spread: &swarm.SpreadOver{SpreadDescriptor: "node.labels.zone"}}},
			}},
			{"labels", inside.Labels, map[string]string{"com.example.a": "b", "com.example.empty": ""}},
			{"user", inside.User, "1000:1000"},
			{"working_dir", inside.Dir, "/srv"},
			{"read_only", inside.ReadOnly, true},
			{"cap_add", inside.CapabilityAdd, []string{"CAP_NET_BIND_SERVICE"}},
			{"cap_drop", inside.CapabilityDrop, []string{"ALL"}},
			{"init", inside.Init, &yes},
			{"ulimits", inside.Ulimits, []*container.Ulimit{{Name: "nofile", Soft: 1024, Hard: 2048}, {Name: "nproc", Soft: 65535, Hard: 65535}}},
			{"sysctls", inside.Sysctls, map[string]string{"net.core.somaxconn": "1024"}},
			{"stop_signal", inside.StopSignal, "SIGQUIT"},
			{"stop_grace_period", *inside.StopGracePeriod, grace},
			{"hostname", inside.Hostname, "{{.Node.Hostname}}"},
			{"dns", *inside.DNSConfig, swarm.DNSConfig{Nameservers: []netip.Addr{netip.MustParseAddr("192.0.2.53"), netip.MustParseAddr("2001:db8::53")}, Search: []string{"example.com"}}},
			{"extra_hosts", inside.Hosts, []string{"192.0.2.1 db", "2001:db8::1 six"}},
			{"logging", *task.LogDriver, swarm.Driver{Name: "syslog", Options: map[string]string{"tag": "web", "max-file": "3"}}},
			{"stdin_open", inside.OpenStdin, true},
			{"tty", inside.TTY, true},
			{"x-deploy", web.Deploy, Deploy{
				Verify:        &Verify{Path: "/ready", Port: 8443, Status: 204, Body: "fine"},
				StartInterval: 200 * time.Millisecond, Trial: 7 * second, Timeout: grace, Keep: 5,
			}},
			{"networks of the stack", loaded.Networks, []Network{
				{Name: "new", External: true}, {Name: "older", External: true},
				{Name: "public", Spec: NetworkSpec{Driver: "macvlan", DriverOpts: map[string]string{"parent": "eth0", "mtu": "1400"},
					Labels: map[string]string{"a": "b"}, Internal: true, Attachable: true}},
			}},
		} {
			Convey(field.name+" is as the file says", func() { So(field.got, ShouldResemble, field.want) })
		}

		zebra := loaded.Services[0]
		for _, field := range []struct {
			name      string
			got, want any
		}{
			{"no build", zebra.Build, (*Build)(nil)},
			{"a command as a list", zebra.Spec.TaskTemplate.ContainerSpec.Args, []string{"run"}},
			{"an environment as a mapping", zebra.Spec.TaskTemplate.ContainerSpec.Env, []string{"A=1", "B", "C=", "D=1.5"}},
			{"hosts as a mapping", zebra.Spec.TaskTemplate.ContainerSpec.Hosts, []string{"192.0.2.1 db"}},
			{"a test as one text", zebra.Spec.TaskTemplate.ContainerSpec.Healthcheck.Test, []string{"CMD-SHELL", "curl localhost"}},
			{"global", zebra.Spec.Mode, swarm.ServiceMode{Global: &swarm.GlobalService{}}},
			{"no network", zebra.Spec.TaskTemplate.Networks, []swarm.NetworkAttachmentConfig(nil)},
			{"an update that rolls back, in the order that the plan chooses", *zebra.Spec.UpdateConfig, swarm.UpdateConfig{Parallelism: 1, FailureAction: "rollback"}},
			{"defaults of x-deploy", zebra.Deploy, Deploy{Trial: 3 * time.Second, Timeout: time.Minute, Keep: 3}},
		} {
			Convey("the other service has "+field.name, func() { So(field.got, ShouldResemble, field.want) })
		}
	})

	Convey("That file has each key that is carried over", t, func() {
		source, err := os.ReadFile("testdata/full.yml")
		So(err, ShouldBeNil)
		parsed, err := parse(source)
		So(err, ShouldBeNil)
		So(slices.DeleteFunc(absent("", parsed, stackFile), func(path string) bool { return strings.HasSuffix(path, "verify.url") }), ShouldBeEmpty)
	})
}

// absent lists the carried keys that a file has not.
func absent(path string, value any, from key) []string {
	var missing []string
	// All mappings at this path.
	list, isList := value.([]any)
	if !isList {
		list = []any{value}
	}
	at := func(name string) (found []any) {
		for _, one := range list {
			if mapping, _ := one.(map[string]any); mapping[name] != nil {
				if inner, isList := mapping[name].([]any); isList {
					found = append(found, inner...)
				} else {
					found = append(found, mapping[name])
				}
			}
		}
		return found
	}
	if from.each != nil && from.each.within != nil {
		var all []any
		for _, one := range list {
			if mapping, isMapping := one.(map[string]any); isMapping {
				all = slices.AppendSeq(all, maps.Values(mapping))
			}
		}
		return absent(path+".*", all, *from.each)
	}
	for name, inner := range from.within {
		if inner.later || inner.ignored {
			continue
		}
		if within := at(name); len(within) > 0 {
			missing = append(missing, absent(path+"."+name, within, inner)...)
		} else {
			missing = append(missing, path+"."+name)
		}
	}
	return missing
}

func TestHealthcheckForms(t *testing.T) {
	for _, form := range []struct {
		given string
		want  container.HealthConfig
	}{
		{`healthcheck: {disable: true}`, container.HealthConfig{Test: []string{"NONE"}}},
		{`healthcheck: {test: ["NONE"]}`, container.HealthConfig{Test: []string{"NONE"}}},
		{`healthcheck: {test: ["CMD-SHELL", "a && b"]}`, container.HealthConfig{Test: []string{"CMD-SHELL", "a && b"}}},
		{`healthcheck: {interval: 3s}`, container.HealthConfig{Interval: 3 * time.Second}},
	} {
		Convey(form.given+" is carried over", t, func() {
			loaded, err := loadText(t, web(form.given))
			So(err, ShouldBeNil)
			So(*loaded.Services[0].Spec.TaskTemplate.ContainerSpec.Healthcheck, ShouldResemble, form.want)
		})
	}
	Convey("A start interval under the standard key is x-deploy's, where x-deploy has none", t, func() {
		file := strings.Replace(web(`healthcheck: {test: x, start_interval: 300ms}`), "3.9", "3.12", 1)
		loaded, err := loadText(t, file)
		So(err, ShouldBeNil)
		So(loaded.Services[0].Deploy.StartInterval, ShouldEqual, 300*time.Millisecond)
	})
}

func TestPortsWithoutANumber(t *testing.T) {
	Convey("A port without a published number gets one from the engine", t, func() {
		loaded, err := loadText(t, web(`ports: [80, {target: 81}]`))
		So(err, ShouldBeNil)
		So(loaded.Services[0].Spec.EndpointSpec.Ports, ShouldResemble, []swarm.PortConfig{
			{Protocol: "tcp", TargetPort: 80, PublishMode: "ingress"}, {Protocol: "tcp", TargetPort: 81, PublishMode: "ingress"},
		})
	})
}
