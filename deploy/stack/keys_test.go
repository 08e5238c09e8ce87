package stack

import (
	"strings"
	"testing"

	. "github.com/smartystreets/goconvey/convey"
)

func TestKeysNotCarried(t *testing.T) {
	for key, hint := range map[string]string{
		"container_name: a":                "; use the service's name, or aliases of its networks",
		"links: [a]":                       "; use networks, on which services reach each other by name",
		"external_links: [a]":              "; use networks, on which services reach each other by name",
		"expose: [80]":                     "; use networks, on which services reach each other at any port",
		"network_mode: host":               "; use networks",
		"privileged: true":                 "; use cap_add",
		"shm_size: 64m":                    "; use a tmpfs volume at /dev/shm",
		"domainname: a":                    "; use hostname",
		"cgroup_parent: a":                 "",
		"cgroupns_mode: a":                 "",
		"devices: [/dev/null]":             "",
		"ipc: host":                        "",
		`mac_address: "02:42:ac:11:00:02"`: "",
		"pid: host":                        "",
		`security_opt: ["a:b"]`:            "",
		"userns_mode: host":                "",
	} {
		Convey(key+" is a warning, as docker stack deploy ignores it too", t, func() {
			loaded, err := loadText(t, web(key))
			So(err, ShouldBeNil)
			name, _, _ := strings.Cut(key, ":")
			So(loaded.Warnings, ShouldResemble, []string{"stack.yml: services.web." + name + " is not carried over: docker stack deploy ignores it as well" + hint})
		})
	}

	for key, name := range map[string]string{
		"credential_spec: {file: a}":                      "credential_spec",
		"oom_score_adj: 3":                                "oom_score_adj",
		"build: {context: app, labels: {a: b}}":           "build.labels",
		"build: {context: app, network: a}":               "build.network",
		"build: {context: app, shm_size: 3}":              "build.shm_size",
		"build: {context: app, extra_hosts: [a]}":         "build.extra_hosts",
		"volumes: [{type: image, image: {subpath: a}}]":   "volumes.image",
		"volumes: [{type: cluster, cluster: {}}]":         "volumes.cluster",
		"volumes: [{type: volume, volume: {subpath: a}}]": "volumes.volume.subpath",
	} {
		Convey(key+" is an error by name", t, func() {
			_, err := loadText(t, web(key))
			So(err, ShouldBeError, "stack.yml: services.web."+name+" is not carried over: this program does not know it")
		})
	}

	for key, name := range map[string]string{
		"secrets: {a: {driver: vault}}":                "secrets.a.driver",
		"secrets: {a: {file: a, driver_opts: {b: c}}}": "secrets.a.driver_opts",
		"configs: {a: {driver: vault}}":                "configs.a.driver",
		"configs: {a: {file: a, driver_opts: {b: c}}}": "configs.a.driver_opts",
		"volumes: {a: {x-cluster-spec: {group: a}}}":   "volumes.a.x-cluster-spec",
	} {
		Convey(key+" at top level is an error by name", t, func() {
			_, err := loadText(t, web()+key+"\n")
			So(err, ShouldBeError, "stack.yml: "+name+" is not carried over: this program does not know it")
		})
	}

	Convey("All faults of a file are told at once", t, func() {
		_, err := loadText(t, web("oom_score_adj: 3", "imge: b", "credential_spec: {file: a}"))
		So(err, ShouldBeError, "stack.yml: services.web.credential_spec is not carried over: this program does not know it\n"+
			"stack.yml: services.web.imge: a stack file does not know this key\n"+
			"stack.yml: services.web.oom_score_adj is not carried over: this program does not know it")
	})
}

func TestWarnings(t *testing.T) {
	for _, one := range []struct{ file, want string }{
		{web(`ports: ["127.0.0.1:80:80"]`), `stack.yml: services.web.ports: the address in "127.0.0.1:80:80" is not carried over: docker stack deploy ignores it as well, and the port is open on every address`},
		{web(`volumes: ["/a:/b:ro,Z"]`), `stack.yml: services.web.volumes: the option Z of "/a:/b:ro,Z" is not carried over: docker stack deploy ignores it as well`},
		{web() + "networks: {a: }", "stack.yml: networks.a is not used: no service is on it"},
		{web("networks: [a]") + "networks: {a: {external: true, driver: overlay}}", "stack.yml: networks.a: only the name counts, as the network is external"},
		{web("networks: [a]") + "networks: {a: {external: true, ipam: {driver: b}}}", "stack.yml: networks.a: only the name counts, as the network is external"},
		{web("networks: [a]") + "networks: {a: {external: true, ipam: {config: [{subnet: 10.11.0.0/24}]}}}", "stack.yml: networks.a: only the name counts, as the network is external"},
		{web("secrets: [a]") + "secrets: {a: {external: true, file: none.txt}}", "stack.yml: secrets.a: only the name counts, as the secret is external"},
		{web("secrets: [a]") + "secrets: {a: {external: true, labels: {b: c}}}", "stack.yml: secrets.a: only the name counts, as the secret is external"},
		{web("configs: [a]") + "configs: {a: {external: {name: b}, template_driver: golang}}", "stack.yml: configs.a: only the name counts, as the config is external"},
		{web() + "volumes: {a: }", "stack.yml: volumes.a is not used: no service has it"},
		{web("build: {context: app, cache_from: [a]}"), "stack.yml: services.web.build.cache_from is not carried over: docker stack deploy ignores it as well"},
		{web("volumes: [{type: bind, source: /a, target: /a, bind: {create_host_path: true}}]"), "stack.yml: services.web.volumes.bind.create_host_path is not carried over: docker stack deploy ignores it as well"},
		{web("volumes: [{type: bind, source: /a, target: /a, bind: {selinux: z}}]"), "stack.yml: services.web.volumes.bind.selinux is not carried over: docker stack deploy ignores it as well"},
		{web("volumes: [{type: bind, source: /a, target: /a, bind: {recursive: disabled}}]"), "stack.yml: services.web.volumes.bind.recursive is not carried over: docker stack deploy ignores it as well"},
		{web(`restart: "no"`), `stack.yml: services.web.restart: "no" is not carried over: docker stack deploy ignores it as well; use deploy.restart_policy with condition: none`},
		{web("networks: {a: {ipv4_address: 192.0.2.1}}") + "networks: {a: }", "stack.yml: services.web.networks.a.ipv4_address is not carried over: docker stack deploy ignores it as well"},
		{web("networks: {a: {ipv6_address: '2001:db8::1'}}") + "networks: {a: }", "stack.yml: services.web.networks.a.ipv6_address is not carried over: docker stack deploy ignores it as well"},
	} {
		Convey(one.file+" gives a warning", t, func() {
			loaded, err := loadText(t, one.file)
			So(err, ShouldBeNil)
			So(loaded.Warnings, ShouldResemble, []string{one.want})
		})
	}
}

func TestBadInput(t *testing.T) {
	long := strings.Repeat("a", 52)
	const aName = ": a service's name is of letters and digits, with - and _ between them"
	for _, one := range []struct{ file, want string }{
		{"", "the file is empty"},
		{"# nothing\n", "the file is empty"},
		{"a: [", "line 1: did not find expected node content"},
		{"{[a]: b}\n", "a mapping has a key that is a list or a mapping, not text"},
		{"- a\n", "this is not a mapping with keys such as services and networks"},
		{"services: {web: {image: a}}\n---\nservices: {}\n", "only the first YAML document of a file would count: remove everything after the line ---"},
		{"version: '3.9'\n", "services: there are none"},
		{"version: 3.9\nservices: {web: {image: a}}\n", "version: 3.9 is not text: put it in quotes"},
		{"version:\nservices: {web: {image: a}}\n", "unsupported Compose file version: nothing"},
		{"version: '2.4'\nservices: {web: {image: a}}\n", "unsupported Compose file version: 2.4"},
		{"services: {web: {image: a}}\nx-deploy: {trial: 0s}\n", "x-deploy: this key belongs in a service"},
		{"services: 3\n", "services: must be a mapping"},
		{"services: {web: 3}\n", "services.web: must be a mapping"},
		{"services: {web: {image: a}}\nnetwork: {}\n", "network: a stack file does not know this key"},

		{"services: {-a: {image: a}}\n", "services.-a" + aName},
		{"services: {a-: {image: a}}\n", "services.a-" + aName},
		{"services: {_a: {image: a}}\n", "services._a" + aName},
		{"services: {A_: {image: a}}\n", "services.A_" + aName},
		{"services: {a.b: {image: a}}\n", "services.a.b" + aName},
		{"services: {a b: {image: a}}\n", "services.a b" + aName},
		{"services: {" + long + ": {image: a}}\n", "services." + long + `.name: "` + long + `" has more than 51 characters: the name of its lock, NAME.deploy.lock, would be too long`},

		{"services: {web: {}}\n", "services.web.image: there is none"},
		{"services: {web: {image: ''}}\n", "services.web.image: there is none"},
		{"services: {web: {image: 'a b'}}\n", `services.web.image: "a b": invalid reference format`},
		{"services: {web: {image: 3}}\n", "services.web.image: must be a string"},
		{"services: {web: {image: '${NAME:?set it}'}}\n", "services.web.image: the variable NAME is not set: set it"},
		{"services: {web: {image: '${NAME:?set-it}:${VERSION:-v1}'}}\n", "services.web.image: the variable NAME is not set: set-it"},
		{"services: {web: {image: '${NAME'}}\n", `services.web.image: "${NAME" has a $ that begins no variable such as ${NAME:-default}: write $$ for a plain $`},

		{web("imge: b"), "services.web.imge: a stack file does not know this key"},
		{web("mem_limit: 3m"), "services.web.mem_limit: a stack file cannot have this key: Set resource limits using deploy.resources"},
		{web("tty: '${TTY:-perhaps}'"), "services.web.tty: invalid boolean: perhaps"},
		{web("init: 3"), "services.web.init: must be a boolean"},
		{web("isolation: hyper"), `services.web.isolation: "hyper" is not one of default, process, hyperv`},
		{web("isolation: 3"), "services.web.isolation: 3 is not one of default, process, hyperv"},
		{web("command: say 'a"), `services.web.command: "say 'a" has a quote that does not end`},
		{web("environment: {1: a}"), "services.web.environment: the key 1 is not text: put it in quotes"},
		{web("environment: {DAY: 2001-01-01}"), "services.web.environment.DAY: this is read as a date: put it in quotes"},
		{web("environment: {N: .nan}"), "services.web.environment.N: this is not a number"},
		{web("stop_grace_period: 20"), "services.web.stop_grace_period: 20 is not a duration such as 10s or 1m30s"},
		{web("stop_grace_period: -20s"), `services.web.stop_grace_period: "-20s" is negative`},
		{web("ulimits: {nofile: {soft: 1.5, hard: 2}}"), "services.web.ulimits.nofile.soft: 1.5 is not a whole number of -1 or more"},
		{web("ulimits: {nofile: " + strings.Repeat("é", 80) + "}"), `services.web.ulimits.nofile: "` + strings.Repeat("é", 80) + `" is not a whole number of -1 or more`},
		{web("ulimits: {nofile: " + strings.Repeat("é", 81) + "}"), `services.web.ulimits.nofile: "` + strings.Repeat("é", 80) + `..." is not a whole number of -1 or more`},
		{web("ulimits: {nofile: -2}"), "services.web.ulimits.nofile: -2 is not a whole number of -1 or more"},
		{web("dns: nowhere"), `services.web.dns: "nowhere" is not an IP address`},
		{web("extra_hosts: [db]"), `services.web.extra_hosts: "db" is not HOST:ADDRESS`},
		{web("extra_hosts: {db: }"), "services.web.extra_hosts: db has no address"},

		{web("ports: [{published: 80}]"), "services.web.ports: the target port is missing"},
		{web("ports: [{target: 80, published: 99999}]"), "services.web.ports: published port 99999 is not between 1 and 65535"},
		{web("ports: [{target: 80, published: '${PORT:-99999}'}]"), "services.web.ports: published port 99999 is not between 1 and 65535"},
		{web("ports: [{target: 80, published: 0}]"), "services.web.ports: published port 0 is not between 1 and 65535"},
		{web("ports: [{target: -1}]"), "services.web.ports: target port -1 is not between 1 and 65535"},
		{web("ports: [{target: 80, mode: hst}]"), `services.web.ports.mode: "hst" is not one of ingress, host`},
		{web("ports: [{target: 80, protocol: icmp}]"), `services.web.ports.protocol: "icmp" is not one of tcp, udp, sctp`},
		{web(`ports: ["99999:80"]`), "services.web.ports.0: '99999:80' is not valid ports: invalid hostPort: 99999"},
		{web(`ports: ["80:1", "80:2"]`), "services.web.ports: port 80 is published twice"},
		{web("ports: [80]", "deploy: {endpoint_mode: dnsrr}"), "services.web.deploy.endpoint_mode: dnsrr cannot publish port 80 in mode ingress, only in mode host"},

		{web("deploy: {endpoint_mode: dns}"), `services.web.deploy.endpoint_mode: "dns" is not one of vip, dnsrr`},
		{web("deploy: {mode: replicated-job}"), `services.web.deploy.mode: "replicated-job" is not carried over: this program deploys services that keep running`},
		{web("deploy: {mode: often}"), `services.web.deploy.mode: "often" is not one of replicated, global`},
		{web("restart: often"), `services.web.restart: "often" is not one of "no", always, unless-stopped, on-failure, on-failure:5`},
		{web("restart: on-failure:x"), `services.web.restart: "on-failure:x" is not one of "no", always, unless-stopped, on-failure, on-failure:5`},
		{web("depends_on: {a: {condition: service_healthy}}"), "services.web.depends_on: a mapping is not a list of services, such as [db, cache]"},
		{web("build: 'https://example.com/a.git'"), "services.web.build.context: https://example.com/a.git is not carried over: clone it, and name the directory"},
		{web("build: {context: app, additional_contexts: [a]}"), "services.web.build.additional_contexts: this program does not know this key of a build"},
		{web() + "networks: {default: {}}\n", "networks.default: a network cannot be called default: give it another name, or set STACK"},
		{web("networks: [a]") + "networks: {a: {name: host}}\n", "networks.a: a network cannot be called host: give it another name, or set STACK"},
		{web("deploy: {mode: global, replicas: 2}"), "services.web.deploy.replicas: a global service runs once on each node"},
		{web("deploy: {replicas: '${REPLICAS:-many}'}"), `services.web.deploy.replicas: "many" is not a whole number of 0 or more`},
		{web("deploy: {replicas: -1}"), "services.web.deploy.replicas: -1 is not a whole number of 0 or more"},
		{web("deploy: {replicas: 1.5}"), "services.web.deploy.replicas: 1.5 is not a whole number of 0 or more"},
		{web("deploy: {resources: {limits: {memory: 1m}}}"), `services.web.deploy.resources.limits.memory: "1m" is not a size of 4m or more, such as 128m, or 0 for no limit`},
		{web("deploy: {resources: {limits: {cpus: half}}}"), `services.web.deploy.resources.limits.cpus: "half" is not a number of processors of 0.001 or more, or 0 for no limit`},
		{web("deploy: {resources: {limits: {cpus: '-1'}}}"), `services.web.deploy.resources.limits.cpus: "-1" is not a number of processors of 0.001 or more, or 0 for no limit`},
		{web("deploy: {resources: {limits: {cpus: 0.5}}}"), "services.web.deploy.resources.limits.cpus: must be a string"},
		{web("deploy: {resources: {reservations: {generic_resources: [{}]}}}"), "services.web.deploy.resources.reservations.generic_resources: a kind is missing"},
		{web("deploy: {restart_policy: {condition: always}}"), `services.web.deploy.restart_policy.condition: "always" is not one of none, on-failure, any`},
		{web("deploy: {update_config: {failure_action: stop}}"), `services.web.deploy.update_config.failure_action: "stop" is not one of pause, continue, rollback`},
		{web("deploy: {update_config: {max_failure_ratio: 2}}"), "services.web.deploy.update_config.max_failure_ratio: 2 is not between 0 and 1"},
		{web("deploy: {update_config: {order: first}}"), "services.web.deploy.update_config.order: value must be one of 'start-first', 'stop-first'"},
		{web("deploy: {placement: {constraints: [node.role=manager]}}"), `services.web.deploy.placement.constraints: "node.role=manager" is not KEY==VALUE or KEY!=VALUE`},

		{web("healthcheck: {test: [curl, a]}"), `services.web.healthcheck.test: a list begins with CMD, CMD-SHELL or NONE, not with "curl"`},
		{web("healthcheck: {test: a, disable: true}"), "services.web.healthcheck: test and disable exclude each other"},
		{web("healthcheck: {interval: 1us}"), `services.web.healthcheck.interval: "1us" is less than 1ms`},
		{web("healthcheck: {start_interval: 1s}"), "services.web.healthcheck: additional property 'start_interval' is not allowed"},

		{web(`entrypoint: say 'a`), `services.web.entrypoint: "say 'a" has a quote that does not end`},
		{web(`healthcheck: {retries: -1}`), `services.web.healthcheck.retries: -1 is not a whole number of 0 or more`},
		{web(`healthcheck: {timeout: 5}`), `services.web.healthcheck.timeout: 5 is not a duration such as 10s or 1m30s`},
		{web(`healthcheck: {start_period: 5}`), `services.web.healthcheck.start_period: 5 is not a duration such as 10s or 1m30s`},
		{web(`healthcheck: {start_interval: 5}`), `services.web.healthcheck.start_interval: 5 is not a duration such as 10s or 1m30s`},
		{web(`deploy: {resources: {limits: {pids: -1}}}`), `services.web.deploy.resources.limits.pids: -1 is not a whole number of 0 or more`},
		{web(`deploy: {resources: {reservations: {cpus: half}}}`), `services.web.deploy.resources.reservations.cpus: "half" is not a number of processors of 0.001 or more, or 0 for no limit`},
		{web(`deploy: {resources: {reservations: {memory: lots}}}`), `services.web.deploy.resources.reservations.memory: "lots" is not a size of 4m or more, such as 128m, or 0 for no limit`},
		{web(`deploy: {resources: {reservations: {generic_resources: [{discrete_resource_spec: {kind: a, value: 1.5}}]}}}`), `services.web.deploy.resources.reservations.generic_resources.discrete_resource_spec.value: 1.5 is not a whole number of 0 or more`},
		{web(`deploy: {restart_policy: {max_attempts: -1}}`), `services.web.deploy.restart_policy.max_attempts: -1 is not a whole number of 0 or more`},
		{web(`deploy: {restart_policy: {delay: 5}}`), `services.web.deploy.restart_policy.delay: 5 is not a duration such as 10s or 1m30s`},
		{web(`deploy: {restart_policy: {window: 5}}`), `services.web.deploy.restart_policy.window: 5 is not a duration such as 10s or 1m30s`},
		{web(`deploy: {update_config: {delay: 5}}`), `services.web.deploy.update_config.delay: 5 is not a duration such as 10s or 1m30s`},
		{web(`deploy: {update_config: {monitor: 5}}`), `services.web.deploy.update_config.monitor: 5 is not a duration such as 10s or 1m30s`},
		{web(`deploy: {rollback_config: {parallelism: -1}}`), `services.web.deploy.rollback_config.parallelism: -1 is not a whole number of 0 or more`},
		{web(`deploy: {placement: {max_replicas_per_node: -1}}`), `services.web.deploy.placement.max_replicas_per_node: -1 is not a whole number of 0 or more`},
		{web(`ports: [80.5]`), `services.web.ports: 80.5 is not a port, such as 8080:80`},
		{web(`volumes: [{type: bind, target: /a}]`), `services.web.volumes: a bind has no source`},
		{web(`x-deploy: {package: 3}`), `services.web.x-deploy.package: 3 is not text: put it in quotes`},
		{web(`x-deploy: {verify: a}`), `services.web.x-deploy.verify: "a" is not a mapping`},
		{web(`x-deploy: {verify: {path: 3}}`), `services.web.x-deploy.verify.path: 3 is not text: put it in quotes`},
		{web(`x-deploy: {verify: {url: 3}}`), `services.web.x-deploy.verify.url: 3 is not text: put it in quotes`},
		{web(`x-deploy: {start_interval: 1us}`), `services.web.x-deploy.start_interval: "1us" is less than 1ms`},
		{web(`x-deploy: {timeout: 0.5s}`), `services.web.x-deploy.timeout: "0.5s" is less than 1s`},
		{web(`x-deploy: {timeout: [3]}`), `services.web.x-deploy.timeout: a list is not a duration such as 10s or 1m30s`},

		{web("networks: [a]"), "services.web.networks: a is not among the networks at the end of the file"},
		{web("networks: [a, b]") + "networks: {a: {name: c}, b: {name: c}}\n", "services.web.networks: c is named twice"},
		{web() + "networks: {a: {ipam: {config: [{subnet: 10.11.0.0}]}}}\n", `networks.a.ipam.config.subnet: "10.11.0.0" is not a subnet such as 10.11.0.0/24`},
		{web() + "networks: {a: {ipam: {config: [{subnet: 10.11.0.0/33}]}}}\n", `networks.a.ipam.config.subnet: "10.11.0.0/33" is not a subnet such as 10.11.0.0/24`},
		{web() + "networks: {a: {ipam: {config: [{subnet: 3}]}}}\n", "networks.a.ipam.config.subnet: 3 is not a subnet such as 10.11.0.0/24"},
		{web() + "networks: {a: {ipam: {config: [{gateway: 10.11.0.1}]}}}\n", "networks.a.ipam.config.gateway: a stack file does not know this key"},
		{web() + "networks: {a: {ipam: {options: {a: b}}}}\n", "networks.a.ipam.options: a stack file does not know this key"},
		{web("volumes: ['data:/data']"), "services.web.volumes: data is not among the volumes at the end of the file"},
		{web("volumes: ['aa:bb:cc:dd']"), `services.web.volumes: "aa:bb:cc:dd": invalid spec: aa:bb:cc:dd: too many colons`},
		{web("volumes: ['~/a:/a']"), `services.web.volumes: "~/a:/a" needs the variable HOME, which is not set`},
		{web("volumes: [{type: tmpfs, target: data}]"), `services.web.volumes: the target "data" is not an absolute path`},
		{web("volumes: [{type: tmpfs, target: /a, source: b}]"), "services.web.volumes: the tmpfs at /a cannot have a source"},
		{web("volumes: [{type: npipe, source: a, target: /a}]"), `services.web.volumes: the type "npipe" is not carried over: this program does not know it`},
		{web("volumes: [{type: volume, target: /a, tmpfs: {size: 3}}]"), "services.web.volumes: options of tmpfs do not fit the type volume of /a"},
		{web("volumes: [{type: tmpfs, target: /a, tmpfs: {size: -3}}]"), "services.web.volumes.tmpfs.size: -3 is not a whole number of 0 or more"},
		{web("volumes: [{type: tmpfs, target: /a, tmpfs: {mode: 999999}}]"), "services.web.volumes.tmpfs.mode: 999999 is not an octal mode such as 01777"},
		{web("volumes: [{type: bind, source: /a, target: /a, bind: {propagation: own}}]"), `services.web.volumes.bind.propagation: "own" is not one of rprivate, private, rshared, shared, rslave, slave`},
		{web("volumes: [/a, /a/]"), "services.web.volumes: two have the target /a/"},
		{web("tmpfs: '/a:uid=3'"), `services.web.tmpfs: "/a:uid=3": the option uid is not carried over: this program does not know it`},
		{web("tmpfs: '/a:size=big'"), `services.web.tmpfs: "/a:size=big": "big" is not a size such as 64m`},
		{web("tmpfs: '/a:mode=9'"), `services.web.tmpfs: "/a:mode=9": "9" is not an octal mode such as 1777`},

		{web("build: {dockerfile: a}"), "services.web.build.context: there is none"},
		{web("build: none"), "services.web.build.context: there is no directory none"},
		{web("build: {context: app, dockerfile: none}"), "services.web.build.dockerfile: there is no file app/none"},
		{"services: {web: {image: 'a@sha256:" + strings.Repeat("0", 64) + "', build: app}}\n", `services.web.image: "a@sha256:` + strings.Repeat("0", 64) + `" has a digest, which a build cannot have`},

		{web("x-deploy: 3"), "services.web.x-deploy: 3 is not a mapping"},
		{web("x-deploy: {verfy: {}}"), "services.web.x-deploy.verfy: a stack file does not know this key"},
		{web("x-deploy: {verify: {pth: /}}"), "services.web.x-deploy.verify.pth: a stack file does not know this key"},
		{web("x-deploy: {verify: {path: /}}"), "services.web.x-deploy.verify.port: name one port, because the service publishes 0 TCP ports"},
		{web("ports: ['1:1', '2:2']", "x-deploy: {verify: {path: /}}"), "services.web.x-deploy.verify.port: name one port, because the service publishes 2 TCP ports"},
		{web("ports: ['1:1']", "x-deploy: {verify: {path: /, port: 2}}"), "services.web.x-deploy.verify.port: the service does not publish the TCP port 2"},
		{web("ports: ['1:1/udp']", "x-deploy: {verify: {path: /, port: 1}}"), "services.web.x-deploy.verify.port: the service does not publish the TCP port 1"},
		{web("x-deploy: {verify: {port: 99999}}"), "services.web.x-deploy.verify.port: 99999 is not a whole number from 1 to 65535"},
		{web("ports: ['1:1']", "x-deploy: {verify: {path: a}}"), `services.web.x-deploy.verify.path: "a" is not a path such as /accounts/10000`},
		{web("x-deploy: {verify: {path: /, url: 'http://a'}}"), "services.web.x-deploy.verify: url cannot be combined with path or port"},
		{web("x-deploy: {verify: {url: 'a/b'}}"), `services.web.x-deploy.verify.url: "a/b" is not an address such as https://example.com/path`},
		{web("x-deploy: {verify: {body: a}}"), "services.web.x-deploy.verify: give path or url"},
		{web("x-deploy: {verify: {body: {id: 3}}}"), "services.web.x-deploy.verify.body: a mapping is not text: put it in quotes"},
		{web("x-deploy: {verify: {status: 20}}"), "services.web.x-deploy.verify.status: 20 is not a whole number from 100 to 599"},
		{web("x-deploy: {trial: 3}"), "services.web.x-deploy.trial: 3 is not a duration such as 10s or 1m30s"},
		{web("x-deploy: {trial: '${TRIAL_SECONDS:-three}s'}"), `services.web.x-deploy.trial: "threes" is not a duration such as 10s or 1m30s`},
		{web("x-deploy: {trial: -3s}"), `services.web.x-deploy.trial: "-3s" is negative`},
		{web("x-deploy: {keep: -3}"), "services.web.x-deploy.keep: -3 is not a whole number of 0 or more"},
		{web("x-deploy: {package: app}"), "services.web.x-deploy.package: without build there is nothing to compile it into"},
		{web("build: app", "x-deploy: {package: none}"), "services.web.x-deploy.package: there is no directory none"},
	} {
		Convey(one.want+" is what is said of "+one.file, t, func() {
			_, err := loadText(t, one.file, func(o *Options) { delete(o.Env, "HOME") })
			So(err, ShouldBeError, "stack.yml: "+one.want)
		})
	}
}
