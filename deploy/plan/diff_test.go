package plan

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/api/types/swarm"
	. "github.com/smartystreets/goconvey/convey"

	"goblog/deploy/journal"
)

func TestChangesAreNamedInTheWordsOfTheStackFile(t *testing.T) {
	for what, one := range map[string]struct {
		change func(*Wanted)
		want   []string
	}{
		"a changed variable of the environment": {spec(inside(func(s *swarm.ContainerSpec) { s.Env[0] = "COLOR=blue" })), []string{"environment.COLOR: changed"}},
		"a new variable":                        {spec(inside(func(s *swarm.ContainerSpec) { s.Env = append(s.Env, "MORE=1") })), []string{"environment.MORE: added"}},
		"a removed variable":                    {spec(inside(func(s *swarm.ContainerSpec) { s.Env = s.Env[:1] })), []string{"environment.KEY: removed"}},
		"a variable that is set to nothing":     {spec(inside(func(s *swarm.ContainerSpec) { s.Env[0] = "COLOR=" })), []string{"environment.COLOR: changed"}},
		"a new variable that is set to nothing": {spec(inside(func(s *swarm.ContainerSpec) { s.Env = append(s.Env, "MORE=") })), []string{"environment.MORE: added"}},
		"variables in another order":            {spec(inside(func(s *swarm.ContainerSpec) { s.Env = []string{s.Env[1], s.Env[0]} })), nil},
		"a memory limit":                        {spec(func(s *swarm.ServiceSpec) { s.TaskTemplate.Resources.Limits = &swarm.Limit{MemoryBytes: 256 << 20} }), []string{"deploy.resources.limits.memory: 128MiB → 256MiB"}},
		"a limit of processors":                 {spec(func(s *swarm.ServiceSpec) { s.TaskTemplate.Resources.Limits.NanoCPUs = 5e8 }), []string{"deploy.resources.limits.cpus: 0.5 (new)"}},
		"one more network": {spec(func(s *swarm.ServiceSpec) {
			s.TaskTemplate.Networks = append(s.TaskTemplate.Networks, swarm.NetworkAttachmentConfig{Target: "other"})
		}), []string{"networks.other"}},
		"a network less": {spec(func(s *swarm.ServiceSpec) { s.TaskTemplate.Networks = nil }), []string{"networks.net", "(removed)"}},
		"an alias":       {spec(func(s *swarm.ServiceSpec) { s.TaskTemplate.Networks[0].Aliases = []string{"www", "web2"} }), []string{"networks.net", "web2"}},
		"a mount":        {mounts(mount.Mount{Type: mount.TypeBind, Source: "/srv", Target: "/srv", ReadOnly: true}), []string{"volumes./srv", "volumes./tmp", "64MiB (removed)"}},
		"the mode of a tmpfs": {spec(inside(func(s *swarm.ContainerSpec) {
			s.Mounts[0].TmpfsOptions = &mount.TmpfsOptions{SizeBytes: 64 << 20, Mode: 0o700}
		})), []string{"volumes./tmp", "01777 → 0700"}},
		"a label of the tasks": {spec(inside(func(s *swarm.ContainerSpec) { s.Labels = map[string]string{"team": "b"} })), []string{"labels.team: a → b"}},
		"a label with a capital": {spec(inside(func(s *swarm.ContainerSpec) { s.Labels = map[string]string{"team": "a", "Zone": "b"} })),
			[]string{"labels.Zone: b (new)"}},
		"a label of the service":       {spec(func(s *swarm.ServiceSpec) { s.Labels = map[string]string{"tier": "back"} }), []string{"deploy.labels.tier: front → back"}},
		"a published port":             {spec(func(s *swarm.ServiceSpec) { s.EndpointSpec.Ports[0].PublishedPort = 9090 }), []string{"ports.80/tcp", "8080 → 9090"}},
		"the mode of a port":           {hostMode, []string{"ports.80/tcp", "ingress → host"}},
		"the image":                    {func(w *Wanted) { w.Image = imageV2 }, []string{"image: sha256:111111111111 → sha256:222222222222"}},
		"the number of replicas":       {tasks(3), []string{"deploy.replicas: 1 → 3"}},
		"the interval of health check": {spec(inside(func(s *swarm.ContainerSpec) { s.Healthcheck.Interval = 7 * time.Second })), []string{"healthcheck.", "5s → 7s"}},
		"the health check's command": {spec(inside(func(s *swarm.ContainerSpec) { s.Healthcheck.Test = []string{"CMD", "/web", "probe"} })),
			[]string{"healthcheck.", "/web check", "/web probe"}},
		"the command":      {spec(inside(func(s *swarm.ContainerSpec) { s.Args = []string{"serve"} })), []string{"command: ", "--fast", " → "}},
		"the entrypoint":   {spec(inside(func(s *swarm.ContainerSpec) { s.Command = []string{"/bin/init"} })), []string{"entrypoint: ", "/bin/init", "(new)"}},
		"the grace period": {spec(inside(func(s *swarm.ContainerSpec) { grace := time.Minute; s.StopGracePeriod = &grace })), []string{"stop_grace_period: 20s → 1m0s"}},
		"the user":         {spec(inside(func(s *swarm.ContainerSpec) { s.User = "1000" })), []string{"user: 1000 (new)"}},
		"a read-only root": {spec(inside(func(s *swarm.ContainerSpec) { s.ReadOnly = true })), []string{"read_only: true (new)"}},
		"a capability":     {spec(inside(func(s *swarm.ContainerSpec) { s.CapabilityDrop = []string{"ALL"} })), []string{"cap_drop.ALL"}},
		"a sysctl":         {spec(inside(func(s *swarm.ContainerSpec) { s.Sysctls = map[string]string{"net.core.somaxconn": "1024"} })), []string{"sysctls.net.core.somaxconn: 1024 (new)"}},
		"an ulimit": {spec(inside(func(s *swarm.ContainerSpec) {
			s.Ulimits = []*container.Ulimit{{Name: "nofile", Soft: 1024, Hard: 2048}}
		})), []string{"ulimits.nofile", "1024 (new)", "2048 (new)"}},
		"a constraint": {spec(func(s *swarm.ServiceSpec) {
			s.TaskTemplate.Placement = &swarm.Placement{Constraints: []string{"node.role==manager"}}
		}), []string{"deploy.placement.constraints.node.role==manager"}},
		"a restart's delay": {spec(func(s *swarm.ServiceSpec) {
			none := time.Duration(0)
			s.TaskTemplate.RestartPolicy = &swarm.RestartPolicy{Delay: &none}
		}), []string{"deploy.restart_policy.delay: 1s → 0s"}},
		"logging": {spec(func(s *swarm.ServiceSpec) {
			s.TaskTemplate.LogDriver = &swarm.Driver{Name: "syslog", Options: map[string]string{"tag": "web"}}
		}), []string{"logging.driver: syslog (new)", "logging.options.tag: web (new)"}},
		"an empty reservation": {spec(func(s *swarm.ServiceSpec) { s.TaskTemplate.Resources.Reservations = &swarm.Resources{} }), nil},
		"the order of updates": {spec(func(s *swarm.ServiceSpec) { s.UpdateConfig.Order = swarm.UpdateOrderStopFirst }), nil},
		"nothing":              {func(*Wanted) {}, nil},
	} {
		Convey("When "+what+" changes, the plan has a line for that and no other", t, func() {
			p, err := Make(wanted(one.change), deployed(wanted(), alone), alone, Options{Rolling: true})
			So(err, ShouldBeNil)
			said := texts(p.Lines, false)
			So(p.Same, ShouldEqual, len(one.want) == 0)
			So(len(said) == 0, ShouldEqual, len(one.want) == 0)
			for _, part := range one.want {
				So(strings.Join(said, "\n"), ShouldContainSubstring, part)
			}
			if len(one.want) == 1 {
				So(said[0], ShouldStartWith, one.want[0])
			}
		})
	}
}

func TestSecretsAndConfigsAreNamedByTheirPlace(t *testing.T) {
	owner := func(uid, gid string) func(*swarm.SecretReferenceFileTarget) {
		return func(f *swarm.SecretReferenceFileTarget) { f.UID, f.GID = uid, gid }
	}
	mode := func(mode os.FileMode) func(*swarm.SecretReferenceFileTarget) {
		return func(f *swarm.SecretReferenceFileTarget) { f.Mode = mode }
	}
	token := secret("token-aaa", "token")
	for what, one := range map[string]struct {
		was, will func(*Wanted)
		want      []string
	}{
		"the same secret":               {secrets(token), secrets(token), nil},
		"a new secret":                  {secrets(), secrets(token), []string{"secrets.token: token-aaa (new)"}},
		"a secret less":                 {secrets(token), secrets(), []string{"secrets.token: token-aaa (removed)"}},
		"a secret of another content":   {secrets(token), secrets(secret("token-bbb", "token")), []string{"secrets.token: token-aaa → token-bbb"}},
		"a secret at another place":     {secrets(token), secrets(secret("token-aaa", "tls/key.pem")), []string{"secrets.tls/key.pem: token-aaa (new)", "secrets.token: token-aaa (removed)"}},
		"one more place of it":          {secrets(token), secrets(secret("token-aaa", "copy"), token), []string{"secrets.copy: token-aaa (new)"}},
		"secrets in another order":      {secrets(token, secret("b", "b")), secrets(secret("b", "b"), token), nil},
		"one of two secrets":            {secrets(secret("b-1", "b"), token), secrets(secret("b-2", "b"), token), []string{"secrets.b: b-1 → b-2"}},
		"two secrets that change place": {secrets(secret("x", "a"), secret("y", "b")), secrets(secret("y", "a"), secret("x", "b")), []string{"secrets.a: x → y", "secrets.b: y → x"}},
		"a secret's mode":               {secrets(secret("t", "t", mode(0o400))), secrets(secret("t", "t", mode(0o440))), []string{"secrets.t.mode: 0400 → 0440"}},
		"a secret's usual mode":         {secrets(token), secrets(secret("token-aaa", "token", mode(0o400))), []string{"secrets.token.mode: 0400 (new)"}},
		"a secret's mode to none":       {secrets(token), secrets(secret("token-aaa", "token", mode(0))), []string{"secrets.token.mode: 0 (new)"}},
		"a secret's owner":              {secrets(secret("t", "t", owner("1", "0"))), secrets(secret("t", "t", owner("2", "0"))), []string{"secrets.t.uid: 1 → 2"}},
		"a secret's group":              {secrets(token), secrets(secret("token-aaa", "token", owner("0", "7"))), []string{"secrets.token.gid: 7 (new)"}},
		"a secret's usual owner":        {secrets(secret("t", "t", owner("1", "2"))), secrets(secret("t", "t")), []string{"secrets.t.gid: 2 (removed)", "secrets.t.uid: 1 (removed)"}},

		"the same config":                     {configs(config("site-aaa", "site")), configs(config("site-aaa", "site")), nil},
		"a new config":                        {configs(), configs(config("site-aaa", "/etc/site.conf")), []string{"configs./etc/site.conf: site-aaa (new)"}},
		"a config of another content":         {configs(config("site-aaa", "site")), configs(config("site-bbb", "site")), []string{"configs.site: site-aaa → site-bbb"}},
		"a config less":                       {configs(config("site-aaa", "site")), configs(), []string{"configs.site: site-aaa (removed)"}},
		"a secret instead of the same config": {configs(config("token-aaa", "token")), secrets(token), []string{"configs.token: token-aaa (removed)", "secrets.token: token-aaa (new)"}},
	} {
		Convey("When a deploy changes "+what+", the plan says: "+strings.Join(one.want, ", "), t, func() {
			p, err := Make(wanted(one.will), deployed(wanted(one.was), alone), alone, Options{Rolling: true})
			So(err, ShouldBeNil)
			So(texts(p.Lines, false), ShouldResemble, one.want)
			So(p.Same, ShouldEqual, len(one.want) == 0)
			So(p.Action == Nothing, ShouldEqual, len(one.want) == 0)
		})
	}

	Convey("The ids of secrets and configs do not count: the same ones may have been made anew", t, func() {
		current := deployed(wanted(secrets(token), configs(config("site", "site"))), alone)
		So(current.Spec.TaskTemplate.ContainerSpec.Secrets[0].SecretID, ShouldEqual, "id-of-token-aaa")
		version := *current
		version.Spec = copyOf(current.Spec)
		version.Spec.TaskTemplate.ContainerSpec.Secrets[0].SecretID = "another-id"
		version.Spec.TaskTemplate.ContainerSpec.Configs[0].ConfigID = "another-id"
		So(Changes(&version, current), ShouldBeEmpty)
		version.Spec.TaskTemplate.ContainerSpec.Configs[0].ConfigName = "site-2"
		So(texts(Changes(&version, current), false), ShouldResemble, []string{"configs.site: site → site-2"})
	})
	Convey("A secret that somebody changed by hand is overwritten, and the plan says so", t, func() {
		byHand := inside(func(s *swarm.ContainerSpec) { s.Secrets[0].SecretName, s.Secrets[0].SecretID = "other", "id-of-other" })
		p, err := Make(wanted(secrets(token)), deployed(wanted(secrets(token)), alone, byHand), alone, Options{})
		So(err, ShouldBeNil)
		So(texts(p.Lines, false), ShouldResemble, []string{"secrets.token: other → token-aaa, which overwrites a change made by hand"})
	})
}

func TestNoDifferenceIsLost(t *testing.T) {
	two := func(first, second swarm.PortConfig) func(*Wanted) {
		return spec(func(s *swarm.ServiceSpec) { s.EndpointSpec.Ports = []swarm.PortConfig{first, second} })
	}
	drop := func(names ...string) func(*Wanted) {
		return spec(inside(func(s *swarm.ContainerSpec) { s.CapabilityDrop = names }))
	}
	udp := port(8080, "ingress")
	udp.Protocol = network.UDP
	for what, one := range map[string]struct{ was, will func(*Wanted) }{
		"a second address of the same port behind the first":    {func(*Wanted) {}, two(port(8080, "ingress"), port(8081, "ingress"))},
		"a second address of the same port in front of the old": {func(*Wanted) {}, two(port(8079, "ingress"), port(8080, "ingress"))},
		"the same port of another protocol":                     {func(*Wanted) {}, two(port(8080, "ingress"), udp)},
		"one more place of the same secret":                     {secrets(secret("key", "b")), secrets(secret("key", "a"), secret("key", "b"))},
		"where an argument ends": {
			spec(inside(func(s *swarm.ContainerSpec) { s.Args = []string{"a b"} })), spec(inside(func(s *swarm.ContainerSpec) { s.Args = []string{"a", "b"} }))},
		"an empty argument": {
			spec(inside(func(s *swarm.ContainerSpec) { s.Args = []string{"a"} })), spec(inside(func(s *swarm.ContainerSpec) { s.Args = []string{"a", ""} }))},
		"a byte more of memory": {
			func(*Wanted) {}, spec(func(s *swarm.ServiceSpec) { s.TaskTemplate.Resources.Limits = &swarm.Limit{MemoryBytes: 128<<20 + 1} })},
		"a variable that is set to nothing instead of not at all": {
			spec(inside(func(s *swarm.ContainerSpec) { s.Env = []string{"A"} })), spec(inside(func(s *swarm.ContainerSpec) { s.Env = []string{"A="} }))},
		"no grace period instead of the engine's": {
			spec(inside(func(s *swarm.ContainerSpec) { s.StopGracePeriod = nil })), spec(inside(func(s *swarm.ContainerSpec) { none := time.Duration(0); s.StopGracePeriod = &none }))},
		"one task a node instead of one": {
			spec(func(s *swarm.ServiceSpec) { s.Mode.Replicated.Replicas = nil }), global},
		"one capability more":               {drop("NET_RAW"), drop("NET_RAW", "SETUID")},
		"the driver's options in a network": {func(*Wanted) {}, spec(func(s *swarm.ServiceSpec) { s.TaskTemplate.Networks[0].DriverOpts = map[string]string{"mtu": "1300"} })},
		"the isolation":                     {func(*Wanted) {}, spec(inside(func(s *swarm.ContainerSpec) { s.Isolation = "process" }))},
		"a label that is called File":       {func(*Wanted) {}, spec(inside(func(s *swarm.ContainerSpec) { s.Labels = map[string]string{"team": "a", "File": "b"} }))},
	} {
		Convey("A deploy that changes "+what+" is one that changes something", t, func() {
			p, err := Make(wanted(one.will), deployed(wanted(one.was), alone), alone, Options{})
			So(err, ShouldBeNil)
			So(p.Lines, ShouldNotBeEmpty)
			So(p.Same, ShouldBeFalse)
		})
	}
}

func TestValuesOfTheEnvironmentAreShownOnDemandOnly(t *testing.T) {
	for _, one := range []struct{ was, will, secret, shown string }{
		{"", "new-value", "environment.KEY: added", "environment.KEY: new-value (new)"},
		{"old-value", "", "environment.KEY: removed", "environment.KEY: old-value (removed)"},
		{"old-value", "new-value", "environment.KEY: changed", "environment.KEY: old-value → new-value"},
	} {
		Convey("A variable that changes from '"+one.was+"' to '"+one.will+"' shows its values on demand only", t, func() {
			line := Line{Key: "environment.KEY", Was: one.was, Will: one.will}
			So(line.Text(false), ShouldEqual, one.secret)
			So(line.Text(true), ShouldEqual, one.shown)
			line.ByHand = true
			So(line.Text(false), ShouldEqual, one.secret+", which overwrites a change made by hand")
		})
	}
	Convey("No line of a plan has the value of a variable", t, func() {
		change := spec(inside(func(s *swarm.ContainerSpec) { s.Env = []string{"KEY=other-secret", "TOKEN=third-secret"} }))
		p, err := Make(wanted(change), deployed(wanted(), alone), alone, Options{})
		So(err, ShouldBeNil)
		So(texts(p.Lines, false), ShouldResemble, []string{"environment.COLOR: removed", "environment.KEY: changed", "environment.TOKEN: added"})
		So(texts(p.Lines, true), ShouldContain, "environment.KEY: secret → other-secret")
	})
}

func TestChangesMadeByHand(t *testing.T) {
	addEnv := inside(func(s *swarm.ContainerSpec) { s.Env = append(s.Env, "A=1") })
	memory := func(megabytes int64) func(*swarm.ServiceSpec) {
		return func(s *swarm.ServiceSpec) {
			s.TaskTemplate.Resources.Limits = &swarm.Limit{MemoryBytes: megabytes << 20}
		}
	}
	for what, one := range map[string]struct {
		byHand func(*swarm.ServiceSpec)
		file   func(*Wanted)
		want   []string
	}{
		"a variable was added": {addEnv, func(*Wanted) {}, []string{"environment.A: removed, which overwrites a change made by hand"}},
		"a limit was changed":  {memory(200), func(*Wanted) {}, []string{"deploy.resources.limits.memory: 200MiB → 128MiB, which overwrites a change made by hand"}},
		"a network was added": {func(s *swarm.ServiceSpec) {
			s.TaskTemplate.Networks = append(s.TaskTemplate.Networks, swarm.NetworkAttachmentConfig{Target: "id-of-other"})
		}, func(*Wanted) {}, []string{"networks.other.target: other (removed), which overwrites a change made by hand"}},
		"the image was changed":                   {inside(func(s *swarm.ContainerSpec) { s.Image = imageV2 }), func(*Wanted) {}, []string{"image: sha256:222222222222 → sha256:111111111111, which overwrites a change made by hand"}},
		"the file changes it to another value":    {memory(200), spec(memory(300)), []string{"deploy.resources.limits.memory: 200MiB → 300MiB, which overwrites a change made by hand"}},
		"the file asks for the same now":          {memory(200), spec(memory(200)), nil},
		"the file asks for the same variable now": {addEnv, spec(addEnv), nil},
		"the file changes something else":         {memory(200), spec(addEnv), []string{"deploy.resources.limits.memory: 200MiB → 128MiB, which overwrites a change made by hand", "environment.A: added"}},
		"a variable was removed that the file empties": {inside(func(s *swarm.ContainerSpec) { s.Env = s.Env[1:] }),
			spec(inside(func(s *swarm.ContainerSpec) { s.Env[0] = "COLOR=" })), []string{"environment.COLOR: added, which overwrites a change made by hand"}},
		"an update was forced":  {func(s *swarm.ServiceSpec) { s.TaskTemplate.ForceUpdate = 7 }, func(*Wanted) {}, nil},
		"the order was changed": {func(s *swarm.ServiceSpec) { s.UpdateConfig.Order = swarm.UpdateOrderStopFirst }, func(*Wanted) {}, nil},
		"it was scaled":         {func(s *swarm.ServiceSpec) { s.Mode.Replicated.Replicas = count(3) }, func(*Wanted) {}, nil},
		"it was scaled, and the file asks for the same now": {func(s *swarm.ServiceSpec) { s.Mode.Replicated.Replicas = count(3) }, tasks(3), nil},
		"it was scaled, and the file asks for another number": {func(s *swarm.ServiceSpec) { s.Mode.Replicated.Replicas = count(3) }, tasks(2),
			[]string{"deploy.replicas: 3 → 2"}},
		"another deploy's labels": {func(s *swarm.ServiceSpec) {
			s.Labels[journal.LabelDeploy], s.Labels[journal.LabelEntry], s.Labels[journal.LabelVersion] = "d9", "9", "v9"
		}, func(*Wanted) {}, nil},
	} {
		Convey("By hand: "+what, t, func() {
			p, err := Make(wanted(one.file), deployed(wanted(), alone, one.byHand), alone, Options{Rolling: true})
			So(err, ShouldBeNil)
			said := texts(p.Lines, false)
			So(said, ShouldHaveLength, len(one.want))
			for i, line := range one.want {
				So(strings.ToLower(said[i]), ShouldStartWith, strings.ToLower(line))
			}
			if len(one.want) == 0 {
				So(p.Action, ShouldEqual, Nothing)
			} else {
				So(p.Action, ShouldEqual, Update)
			}
		})
	}
}

func TestWhatTheEngineAddsIsNoChange(t *testing.T) {
	Convey("A Spec as the engine returns it differs in many fields from what was sent", t, func() {
		current := deployed(wanted(), alone)
		So(compare(flatten(*current.Sent, nil), flatten(current.Spec, current.Networks)), ShouldNotBeEmpty)
		Convey("and none of them is a change", func() {
			p, err := Make(wanted(), current, alone, Options{})
			So(err, ShouldBeNil)
			So(p.Lines, ShouldBeEmpty)
			So(p.Same, ShouldBeTrue)
		})
		Convey("nor where nobody knows what was sent", func() {
			current.Sent, current.Returned = nil, nil
			p, err := Make(wanted(), current, alone, Options{})
			So(err, ShouldBeNil)
			So(p.Lines, ShouldBeEmpty)
		})
		Convey("what the file takes away is found also where nobody knows what was sent, if the engine has no default for it", func() {
			current.Sent, current.Returned = nil, nil
			current.Spec = copyOf(current.Spec)
			current.Spec.TaskTemplate.ContainerSpec.Env = append(current.Spec.TaskTemplate.ContainerSpec.Env, "OLD=1")
			current.Spec.TaskTemplate.ContainerSpec.User = "1000" // As the image says, for all that is known.
			for what, take := range map[string]func(*swarm.ContainerSpec){
				"volumes./old.": func(s *swarm.ContainerSpec) {
					s.Mounts = append(s.Mounts, mount.Mount{Type: mount.TypeTmpfs, Target: "/old"})
				},
				"secrets.old: old ": func(s *swarm.ContainerSpec) { s.Secrets = append(s.Secrets, secret("old", "old")) },
				"configs.old: old ": func(s *swarm.ContainerSpec) { s.Configs = append(s.Configs, config("old", "old")) },
			} {
				one := *current
				one.Spec = copyOf(current.Spec)
				take(one.Spec.TaskTemplate.ContainerSpec)
				p, err := Make(wanted(), &one, alone, Options{})
				So(err, ShouldBeNil)
				said := strings.Join(texts(p.Lines, false), "\n")
				So(said, ShouldContainSubstring, "environment.OLD: removed")
				So(said, ShouldContainSubstring, what)
				So(said, ShouldNotContainSubstring, "user")
			}
			current.Spec.TaskTemplate.Networks = append(current.Spec.TaskTemplate.Networks, swarm.NetworkAttachmentConfig{Target: "id-of-other"})
			current.Spec.EndpointSpec.Ports = append(current.Spec.EndpointSpec.Ports, swarm.PortConfig{Protocol: "udp", TargetPort: 53, PublishedPort: 53, PublishMode: "ingress"})
			p, err := Make(wanted(), current, alone, Options{})
			So(err, ShouldBeNil)
			said := strings.Join(texts(p.Lines, false), "\n")
			So(said, ShouldContainSubstring, "networks.other.Target: other (removed)")
			So(said, ShouldContainSubstring, "ports.53/udp.")
		})
		Convey("a change is found also where nobody knows what was sent", func() {
			current.Sent, current.Returned = nil, nil
			p, err := Make(wanted(func(w *Wanted) { w.Image = imageV2 }), current, alone, Options{})
			So(err, ShouldBeNil)
			So(texts(p.Lines, false), ShouldResemble, []string{"image: sha256:111111111111 → sha256:222222222222"})
		})
		Convey("nor a network that was made anew, under another id", func() {
			current.Spec.TaskTemplate.Networks[0].Target = "another-id"
			current.Networks["another-id"] = "net"
			p, err := Make(wanted(), current, alone, Options{})
			So(err, ShouldBeNil)
			So(p.Lines, ShouldBeEmpty)
		})
	})
}
