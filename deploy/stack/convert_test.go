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

// besides are the files that testdata/full.yml names.
var besides = map[string]string{
	"web.Dockerfile": "FROM scratch\n", "cmd/main.go": "package main\n", "web.env": "FROM_FILE=yes\nPLAIN=hidden\n",
	"secrets/token.txt": "the token", "secrets/key.pem": "the key", "site.conf": "the site",
}

// full loads a file that has each key.
func full(t *testing.T) (*Stack, string) {
	source, err := os.ReadFile("testdata/full.yml")
	if err != nil {
		t.Fatal(err)
	}
	file := write(t, "stack.yml", string(source))
	options := Options{Files: []string{file}, Env: map[string]string{"HOME": "/home/me", "FROM_ENV": "set", "VERSION": "", "REPLICAS": "3"}}
	beside(t, besides)(&options)
	loaded, err := Load(options)
	if err != nil {
		t.Fatal(err)
	}
	return loaded, filepath.Dir(file)
}

// fullWeb is the wanted result for the first service of that file.
func fullWeb(dir string) Service {
	second, minute, halfSecond, grace, yes, three := time.Second, time.Minute, 500*time.Millisecond, 90*time.Second, true, uint64(3)
	return Service{
		Key: "web", Name: "web", After: []string{"zebra"}, Image: "registry.example:5000/team/web:v1",
		Build: &Build{Context: dir + "/app", Dockerfile: dir + "/web.Dockerfile", Target: "final",
			Args: map[string]string{"COLOR": "red", "FROM_ENV": "set"}, Package: dir + "/cmd"},
		Spec: swarm.ServiceSpec{
			Annotations: swarm.Annotations{Name: "web", Labels: map[string]string{"tier": "front"}},
			TaskTemplate: swarm.TaskSpec{
				ContainerSpec: &swarm.ContainerSpec{
					Labels:   map[string]string{"com.example.a": "b", "com.example.empty": ""},
					Command:  []string{"/bin/init", "--"},
					Args:     []string{"serve", "--fast", "two words"},
					Hostname: "{{.Node.Hostname}}",
					Env:      []string{"FROM_ENV=set", "FROM_FILE=yes", "PLAIN=a=b", "UNSET"},
					Dir:      "/srv", User: "1000:1000", StopSignal: "SIGQUIT", TTY: true, OpenStdin: true, ReadOnly: true,
					Mounts: []mount.Mount{
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
					},
					StopGracePeriod: &grace,
					Healthcheck:     &container.HealthConfig{Test: []string{"CMD", "/web", "check"}, Interval: 5 * second, Timeout: 2 * second, Retries: 4, StartPeriod: 10 * second},
					Hosts:           []string{"192.0.2.1 db", "2001:db8::1 six"},
					DNSConfig:       &swarm.DNSConfig{Nameservers: []netip.Addr{netip.MustParseAddr("192.0.2.53"), netip.MustParseAddr("2001:db8::53")}, Search: []string{"example.com"}},
					Secrets: []*swarm.SecretReference{
						{SecretName: "authority-2026", File: &swarm.SecretReferenceFileTarget{Name: "authority", UID: "0", GID: "0", Mode: 0o444}},
						{SecretName: "web-key-1ac60d217958", File: &swarm.SecretReferenceFileTarget{Name: "tls/key.pem", UID: "1000", GID: "1001", Mode: 0o400}},
						{SecretName: "token-d94772fd76a9", File: &swarm.SecretReferenceFileTarget{Name: "token", UID: "0", GID: "0", Mode: 0o444}},
					},
					Configs: []*swarm.ConfigReference{
						{ConfigName: "site-fddbecfb275b", File: &swarm.ConfigReferenceFileTarget{Name: "/etc/site.conf", UID: "33", GID: "34", Mode: 0o440}},
						{ConfigName: "shared-site", File: &swarm.ConfigReferenceFileTarget{Name: "shared", UID: "0", GID: "0", Mode: 0o444}},
					},
					Isolation:     "process",
					Init:          &yes,
					Sysctls:       map[string]string{"net.core.somaxconn": "1024"},
					CapabilityAdd: []string{"CAP_NET_BIND_SERVICE"}, CapabilityDrop: []string{"ALL"},
					Ulimits: []*container.Ulimit{{Name: "nofile", Soft: 1024, Hard: 2048}, {Name: "nproc", Soft: 65535, Hard: 65535}},
				},
				Resources: &swarm.ResourceRequirements{
					Limits: &swarm.Limit{NanoCPUs: 5e8, MemoryBytes: 64 << 20, Pids: 100},
					Reservations: &swarm.Resources{NanoCPUs: 25e7, MemoryBytes: 32 << 20,
						GenericResources: []swarm.GenericResource{{DiscreteResourceSpec: &swarm.DiscreteGenericResource{Kind: "gpu", Value: 2}}}},
				},
				RestartPolicy: &swarm.RestartPolicy{Condition: "on-failure", Delay: &halfSecond, MaxAttempts: &three, Window: &minute},
				Placement: &swarm.Placement{
					Constraints: []string{"node.role == manager", "node.labels.zone!=a"}, MaxReplicas: 1,
					Preferences: []swarm.PlacementPreference{{Spread: &swarm.SpreadOver{SpreadDescriptor: "node.labels.zone"}}},
				},
				Networks: []swarm.NetworkAttachmentConfig{
					{Target: "new"}, {Target: "older"},
					{Target: "public", Aliases: []string{"www", "web.local"}, DriverOpts: map[string]string{"com.example.mac": "02:42:ac:11:00:02", "mtu": "1300"}},
				},
				LogDriver: &swarm.Driver{Name: "syslog", Options: map[string]string{"tag": "web", "max-file": "3"}},
			},
			Mode:           swarm.ServiceMode{Replicated: &swarm.ReplicatedService{Replicas: &three}},
			UpdateConfig:   &swarm.UpdateConfig{Parallelism: 2, Delay: second, FailureAction: "pause", Monitor: 5 * second, MaxFailureRatio: 0.25, Order: "stop-first"},
			RollbackConfig: &swarm.UpdateConfig{Delay: second, FailureAction: "continue", Monitor: 2 * second, MaxFailureRatio: 1, Order: "start-first"},
			EndpointSpec: &swarm.EndpointSpec{Mode: swarm.ResolutionModeVIP, Ports: []swarm.PortConfig{
				{Protocol: "udp", TargetPort: 80, PublishedPort: 8080, PublishMode: "host"},
				{Protocol: "tcp", TargetPort: 443, PublishedPort: 8443, PublishMode: "ingress"},
			}},
		},
		Deploy: Deploy{
			Verify:        &Verify{Path: "/ready", Port: 8443, Status: 204, Body: "fine"},
			StartInterval: 200 * time.Millisecond, Trial: 7 * second, Timeout: grace, Keep: 5,
		},
	}
}

// fullZebra is the wanted result for the second service. It has the forms of keys that the
// first one does not have.
func fullZebra() Service {
	return Service{
		Key: "zebra", Name: "zebra", Image: "example/zebra@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
		Spec: swarm.ServiceSpec{
			Annotations: swarm.Annotations{Name: "zebra"},
			TaskTemplate: swarm.TaskSpec{ContainerSpec: &swarm.ContainerSpec{
				Args: []string{"run"}, Env: []string{"A=1", "B", "C=", "D=1.5"}, Hosts: []string{"192.0.2.1 db"},
				Healthcheck: &container.HealthConfig{Test: []string{"CMD-SHELL", "curl localhost"}},
			}, RestartPolicy: &swarm.RestartPolicy{Condition: "any"}},
			Mode:         swarm.ServiceMode{Global: &swarm.GlobalService{}},
			UpdateConfig: &swarm.UpdateConfig{Parallelism: 1, FailureAction: "rollback"},
			EndpointSpec: &swarm.EndpointSpec{},
		},
		Deploy: Deploy{Trial: 3 * time.Second, Timeout: time.Minute, Keep: 3},
	}
}

func TestCarriedKeys(t *testing.T) {
	loaded, dir := full(t)
	Convey("Given a file with each key that is carried over", t, func() {
		Convey("the service that others depend on comes first", func() {
			So(loaded.Services, ShouldHaveLength, 2)
			So(loaded.Services[0].Name, ShouldEqual, "zebra")
			So(loaded.Services[1].Name, ShouldEqual, "web")
		})
		Convey("a warning names what is not", func() {
			So(loaded.Warnings, ShouldResemble, []string{
				dir + "/stack.yml: services.web.x-other is not carried over: it is an extension that is not known here",
				dir + "/stack.yml: services.zebra is on no network, so no other service reaches it: name a network in networks, or write networks: [] if you want this",
			})
		})
		for _, one := range append(fields("web", loaded.Services[1], fullWeb(dir)), fields("zebra", loaded.Services[0], fullZebra())...) {
			Convey(one.name+" is as the file says", func() { So(one.got, ShouldResemble, one.want) })
		}
		for _, one := range []field{
			{"networks", loaded.Networks, []Network{
				{Name: "new", External: true}, {Name: "older", External: true},
				{Name: "public", Spec: NetworkSpec{Driver: "macvlan", DriverOpts: map[string]string{"parent": "eth0", "mtu": "1400"},
					Labels: map[string]string{"a": "b"}, Internal: true, Attachable: true, IPAMDriver: "custom", Subnets: []string{"10.11.0.0/24", "fd00:11::/64"}}},
			}},
			{"volumes", loaded.Volumes, []string{"data", "shared-data"}},
			{"secrets and configs", loaded.Contents, []Content{
				{Kind: Secret, Name: "authority-2026", External: true, Services: []string{"web"}},
				{Kind: Secret, Name: "web-key-1ac60d217958", Services: []string{"web"}, Labels: map[string]string{"team": "front"}, Template: "golang", Data: []byte("the key")},
				{Kind: Secret, Name: "token-d94772fd76a9", Services: []string{"web"}, Data: []byte("the token")},
				{Kind: Config, Name: "shared-site", External: true, Services: []string{"web"}},
				{Kind: Config, Name: "site-fddbecfb275b", Services: []string{"web"}, Labels: map[string]string{"team": "front"}, Template: "golang", Data: []byte("the site")},
			}},
		} {
			Convey("the "+one.name+" of the stack are as the file says", func() { So(one.got, ShouldResemble, one.want) })
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

// absent lists the carried keys that a file does not have.
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
		if inner.refused || inner.ignored {
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

func TestAddressesOfNetworks(t *testing.T) {
	for _, one := range []struct {
		ipam string
		want NetworkSpec
	}{
		{"{}", NetworkSpec{Driver: "overlay"}},
		{"{driver: custom}", NetworkSpec{Driver: "overlay", IPAMDriver: "custom"}},
		{"{config: [{subnet: 10.11.0.0/24}]}", NetworkSpec{Driver: "overlay", Subnets: []string{"10.11.0.0/24"}}},
		{"{config: [{subnet: '${SUBNET:-10.12.0.0/16}'}, {subnet: 'fd00::/64'}]}", NetworkSpec{Driver: "overlay", Subnets: []string{"10.12.0.0/16", "fd00::/64"}}},
	} {
		Convey("A network may have ipam: "+one.ipam, t, func() {
			loaded, err := loadText(t, web("networks: [net]")+"networks: {net: {ipam: "+one.ipam+"}}\n")
			So(err, ShouldBeNil)
			So(loaded.Networks, ShouldResemble, []Network{{Name: "net", Spec: one.want}})
		})
	}
}

func TestIsolation(t *testing.T) {
	for _, isolation := range []container.Isolation{"default", "process", "hyperv", ""} {
		Convey("A service may have the isolation '"+string(isolation)+"'", t, func() {
			loaded, err := loadText(t, web("isolation: '"+string(isolation)+"'"))
			So(err, ShouldBeNil)
			So(loaded.Services[0].Spec.TaskTemplate.ContainerSpec.Isolation, ShouldEqual, isolation)
		})
	}
}

func TestDriverOptionsOfAServiceInANetwork(t *testing.T) {
	Convey("A service has options of its own in each of its networks", t, func() {
		loaded, err := loadText(t, strings.Replace(web("networks: {a: {driver_opts: {x: 1, y: 'z'}}, b: {aliases: [w]}, c: }"), "3.9", "3.13", 1)+"networks: {a: {driver_opts: {q: r}}, b: , c: }\n")
		So(err, ShouldBeNil)
		So(loaded.Services[0].Spec.TaskTemplate.Networks, ShouldResemble, []swarm.NetworkAttachmentConfig{
			{Target: "a", DriverOpts: map[string]string{"x": "1", "y": "z"}}, {Target: "b", Aliases: []string{"w"}}, {Target: "c"},
		})
		So(loaded.Networks[0].Spec.DriverOpts, ShouldResemble, map[string]string{"q": "r"})
	})
}

func TestPortsOfSeveralServices(t *testing.T) {
	two := func(first, second string) string {
		return "services: {a: {image: a, networks: [], ports: [" + first + "]}, b: {image: b, networks: [], ports: [" + second + "]}}"
	}
	for _, one := range []struct{ first, second, mode, want string }{
		{"'80:1'", "'80:2'", "", "services.b.ports: services.a publishes port 80/tcp, too"},
		{"'80:1', '81:1'", "'82:2', '81:2'", "", "services.b.ports: services.a publishes port 81/tcp, too"},
		{"'53:1/udp'", "'53:1/udp'", "", "services.b.ports: services.a publishes port 53/udp, too"},
		{"{target: 1, published: 80, mode: host}", "'80:2'", "ingress", "services.b.ports: services.a publishes port 80/tcp, too"},
		{"'80:1'", "'81:1'", "", ""},
		{"'80:1'", "'80:1/udp'", "", ""},
		{"1", "1", "", ""},
		{"{target: 1, published: 80, mode: host}", "{target: 1, published: 80, mode: host}", "", ""},
		{"'80:1'", "'80:2'", "host", ""},
	} {
		Convey("With PUBLISH_MODE="+one.mode+", two services may "+map[bool]string{true: "", false: "not "}[one.want == ""]+"publish "+one.first+" and "+one.second, t, func() {
			_, err := loadText(t, two(one.first, one.second), with(Settings{PublishMode: one.mode}))
			if one.want == "" {
				So(err, ShouldBeNil)
			} else {
				So(err, ShouldBeError, "stack.yml: "+one.want)
			}
		})
	}
}
