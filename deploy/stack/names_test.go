package stack

import (
	"strings"
	"testing"

	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/api/types/swarm"
	. "github.com/smartystreets/goconvey/convey"
)

// named is a file that chooses names in every possible way.
const named = `version: "3.9"
services:
  web:
    image: example/web:v1
    labels: {inside: yes}
    deploy: {labels: {outside: yes}}
    networks: {front: {aliases: [www]}, chosen: , older: , newer: }
    volumes: [data:/data, chosen:/chosen, older:/older, newer:/newer, /anonymous]
    secrets: [token, chosen, older, newer]
    configs: [site]
    depends_on: [db]
  db: {image: "example/db@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"}
networks:
  front: {labels: {a: b}}
  chosen: {name: my-network}
  older: {external: {name: old-network}}
  newer: {external: true}
volumes:
  data: {labels: {a: b}}
  chosen: {name: my-volume}
  older: {external: {name: old-volume}}
  newer: {external: true}
secrets:
  token: {file: a.txt, labels: {a: b}}
  chosen: {file: a.txt, name: my-secret}
  older: {external: {name: old-secret}}
  newer: {external: true}
configs:
  site: {file: a.txt}
`

func TestNamesInAStack(t *testing.T) {
	load := func(stack string) *Stack {
		loaded, err := loadText(t, named, beside(t, map[string]string{"a.txt": hidden}), inStack(stack))
		if err != nil {
			t.Fatal(err)
		}
		return loaded
	}
	blue, none := load("blue"), load("")
	Convey("Given a file in which names are chosen in each way, as the stack blue", t, func() {
		loaded := blue
		So(loaded.Warnings, ShouldBeEmpty)
		db, web := loaded.Services[0], loaded.Services[1]
		inside := web.Spec.TaskTemplate.ContainerSpec
		label := map[string]string{"com.docker.stack.namespace": "blue"}
		both := map[string]string{"com.docker.stack.namespace": "blue", "a": "b"}
		labelled := &mount.VolumeOptions{Labels: label}
		for _, one := range []field{
			{"the service has the stack's name in front", web.Name, "blue_web"},
			{"its Spec, too", web.Spec.Name, "blue_web"},
			{"its key is the file's", web.Key, "web"},
			{"what it depends on goes by its key", web.After, []string{"db"}},
			{"the service has the stack's labels beside its own", web.Spec.Labels, map[string]string{"outside": "yes", "com.docker.stack.namespace": "blue", "com.docker.stack.image": "example/web:v1"}},
			{"so have its containers, but for the image's", inside.Labels, map[string]string{"inside": "yes", "com.docker.stack.namespace": "blue"}},
			{"a service without labels has the stack's", db.Spec.Labels, map[string]string{"com.docker.stack.namespace": "blue", "com.docker.stack.image": db.Image}},
			{"so have its containers", db.Spec.TaskTemplate.ContainerSpec.Labels, label},
			{"it is known by its key on each network", web.Spec.TaskTemplate.Networks, []swarm.NetworkAttachmentConfig{
				{Target: "blue_front", Aliases: []string{"www", "web"}}, {Target: "my-network", Aliases: []string{"web"}},
				{Target: "newer", Aliases: []string{"web"}}, {Target: "old-network", Aliases: []string{"web"}},
			}},
			{"a service without networks is on the stack's own", db.Spec.TaskTemplate.Networks, []swarm.NetworkAttachmentConfig{{Target: "blue_default", Aliases: []string{"db"}}}},
			{"networks have the stack's name in front, if the file does not choose another, and its label", loaded.Networks, []Network{
				{Name: "blue_default", Spec: NetworkSpec{Driver: "overlay", Labels: label}},
				{Name: "blue_front", Spec: NetworkSpec{Driver: "overlay", Labels: both}},
				{Name: "my-network", Spec: NetworkSpec{Driver: "overlay", Labels: label}},
				{Name: "newer", External: true}, {Name: "old-network", External: true},
			}},
			{"volumes alike", inside.Mounts, []mount.Mount{
				{Type: "volume", Source: "blue_data", Target: "/data", VolumeOptions: &mount.VolumeOptions{Labels: both}},
				{Type: "volume", Source: "my-volume", Target: "/chosen", VolumeOptions: labelled},
				{Type: "volume", Source: "old-volume", Target: "/older"}, {Type: "volume", Source: "newer", Target: "/newer"},
				{Type: "volume", Target: "/anonymous"},
			}},
			{"the stack knows its volumes, but for external ones", loaded.Volumes, []string{"blue_data", "my-volume"}},
			{"secrets alike", places(web, Secret), []string{
				place("my-secret-d98f0264e237", "chosen", "0", "0", 0o444), place("newer", "newer", "0", "0", 0o444),
				place("old-secret", "older", "0", "0", 0o444), place("blue_token-8c79a5996d89", "token", "0", "0", 0o444),
			}},
			{"and configs", places(web, Config), []string{place("blue_site-d98f0264e237", "site", "0", "0", 0o444)}},
			{"all of them bear its label, but for external ones", loaded.Contents, []Content{
				{Kind: Secret, Name: "my-secret-d98f0264e237", Services: []string{"blue_web"}, Labels: label, Data: []byte(hidden)},
				{Kind: Secret, Name: "newer", External: true, Services: []string{"blue_web"}},
				{Kind: Secret, Name: "old-secret", External: true, Services: []string{"blue_web"}},
				{Kind: Secret, Name: "blue_token-8c79a5996d89", Services: []string{"blue_web"}, Labels: both, Data: []byte(hidden)},
				{Kind: Config, Name: "blue_site-d98f0264e237", Services: []string{"blue_web"}, Labels: label, Data: []byte(hidden)},
			}},
		} {
			Convey(one.name, func() { So(one.got, ShouldResemble, one.want) })
		}
		Convey("a service is found by its key and by its name", func() {
			for _, name := range []string{"web", "blue_web"} {
				selected, err := loaded.Select([]string{name})
				So(err, ShouldBeNil)
				So(selected, ShouldHaveLength, 1)
				So(selected[0].Key, ShouldEqual, "web")
			}
			_, err := loaded.Select([]string{"green_web"})
			So(err, ShouldBeError, `there is no service "green_web": there are db, web`)
		})
	})

	Convey("Given the same file in no stack", t, func() {
		loaded := none
		db, web := loaded.Services[0], loaded.Services[1]
		inside := web.Spec.TaskTemplate.ContainerSpec
		for _, one := range []field{
			{"the service is named as in the file", web.Name, "web"},
			{"and has its own labels", web.Spec.Labels, map[string]string{"outside": "yes"}},
			{"so have its containers", inside.Labels, map[string]string{"inside": "yes"}},
			{"a service without labels has none", db.Spec.Labels, map[string]string(nil)},
			{"nor have its containers", db.Spec.TaskTemplate.ContainerSpec.Labels, map[string]string(nil)},
			{"networks are named as in the file", web.Spec.TaskTemplate.Networks, []swarm.NetworkAttachmentConfig{
				{Target: "front", Aliases: []string{"www"}}, {Target: "my-network"}, {Target: "newer"}, {Target: "old-network"},
			}},
			{"a service without networks is on none", db.Spec.TaskTemplate.Networks, []swarm.NetworkAttachmentConfig(nil)},
			{"of which a warning tells", loaded.Warnings, []string{"stack.yml: services.db is on no network, so no other service reaches it: name a network in networks, or write networks: [] if you want this"}},
			{"networks have their own labels", loaded.Networks, []Network{
				{Name: "front", Spec: NetworkSpec{Driver: "overlay", Labels: map[string]string{"a": "b"}}},
				{Name: "my-network", Spec: NetworkSpec{Driver: "overlay"}},
				{Name: "newer", External: true}, {Name: "old-network", External: true},
			}},
			{"volumes alike", inside.Mounts[:2], []mount.Mount{
				{Type: "volume", Source: "data", Target: "/data", VolumeOptions: &mount.VolumeOptions{Labels: map[string]string{"a": "b"}}},
				{Type: "volume", Source: "my-volume", Target: "/chosen"},
			}},
			{"the stack knows its volumes", loaded.Volumes, []string{"data", "my-volume"}},
			{"a config is named by its key and its content", loaded.Contents[4], Content{Kind: Config, Name: "site-" + hiddenHash, Services: []string{"web"}, Data: []byte(hidden)}},
		} {
			Convey(one.name, func() { So(one.got, ShouldResemble, one.want) })
		}
	})

	for _, one := range []struct{ stack, want string }{{"", "web"}, {"blue", "blue_web"}} {
		Convey("The service web of the stack '"+one.stack+"' is "+one.want+" in the swarm", t, func() {
			So(NameIn(one.stack, "web"), ShouldEqual, one.want)
		})
	}
}

func TestNamesOfServices(t *testing.T) {
	long := strings.Repeat("a", 51)
	for _, one := range []struct{ key, stack, want string }{
		{"Web", "", "Web"}, {"a_b", "", "a_b"}, {"A-B_c--1", "", "A-B_c--1"}, {"7", "", "7"}, {"a", "", "a"},
		{long, "", long}, {long[5:], "blue", "blue_" + long[5:]},
	} {
		Convey("A service may be called "+one.want, t, func() {
			loaded, err := loadText(t, "services: {'"+one.key+"': {image: a}}", inStack(one.stack))
			So(err, ShouldBeNil)
			So(loaded.Services[0].Key, ShouldEqual, one.key)
			So(loaded.Services[0].Name, ShouldEqual, one.want)
		})
	}
	Convey("The name of the stack counts among the 51 characters", t, func() {
		_, err := loadText(t, "services: {"+long[4:]+": {image: a}}", inStack("blue"))
		So(err, ShouldBeError, "stack.yml: services."+long[4:]+`.name: "blue_`+long[4:]+`" has more than 51 characters: the name of its lock, NAME.deploy.lock, would be too long`)
	})
}

func TestTheNetworkOfServicesThatNameNone(t *testing.T) {
	const warning = " is on no network, so no other service reaches it: name a network in networks, or write networks: [] if you want this"
	const declared = "networks: {default: {attachable: true}, net: }\n"
	const named = "networks: {default: {attachable: true, name: own}, net: }\n"
	overlay := func(name string, labels map[string]string, attachable bool) Network {
		return Network{Name: name, Spec: NetworkSpec{Driver: "overlay", Labels: labels, Attachable: attachable}}
	}
	label := map[string]string{"com.docker.stack.namespace": "blue"}
	for _, one := range []struct {
		file, stack string
		on          string // the networks of the services, by key
		networks    []Network
		warnings    []string // whose networks are missing
	}{
		{"services: {a: {image: a}}", "", "a:", nil, nil},
		{"services: {a: {image: a}, b: {image: b}}", "", "a: b:", nil, []string{"a", "b"}},
		{"services: {a: {image: a, networks: []}, b: {image: b}}", "", "a: b:", nil, []string{"b"}},
		{"services: {a: {image: a, networks: []}, b: {image: b, networks: []}}", "", "a: b:", nil, nil},
		{"services: {a: {image: a}, b: {image: b, networks: [net]}}\nnetworks: {net: }\n", "", "a: b:net", []Network{overlay("net", nil, false)}, []string{"a"}},
		{"services: {a: {image: a}, b: {image: b, networks: [net]}}\n" + named, "", "a:own b:net", []Network{overlay("net", nil, false), overlay("own", nil, true)}, nil},
		{"services: {a: {image: a, networks: [net, default]}}\n" + named, "", "a:net,own", []Network{overlay("net", nil, false), overlay("own", nil, true)}, nil},
		{"services: {a: {image: a}}\nnetworks: {default: {external: true, name: there}}\n", "", "a:there", []Network{{Name: "there", External: true}}, nil},
		{"services: {a: {image: a}, b: {image: b}}", "blue", "a:blue_default b:blue_default", []Network{overlay("blue_default", label, false)}, nil},
		{"services: {a: {image: a, networks: []}}", "blue", "a:blue_default", []Network{overlay("blue_default", label, false)}, nil},
		{"services: {a: {image: a, networks: [default]}}", "blue", "a:blue_default", []Network{overlay("blue_default", label, false)}, nil},
		{"services: {a: {image: a, networks: [net]}}\nnetworks: {net: }\n", "blue", "a:blue_net", []Network{overlay("blue_net", label, false)}, nil},
		{"services: {a: {image: a}, b: {image: b, networks: [net]}}\n" + declared, "blue", "a:blue_default b:blue_net", []Network{overlay("blue_default", label, true), overlay("blue_net", label, false)}, nil},
		{"services: {a: {image: a}}\nnetworks: {default: {name: mine}}\n", "blue", "a:mine", []Network{overlay("mine", label, false)}, nil},
	} {
		Convey("In the stack '"+one.stack+"', this file has the right networks: "+one.file, t, func() {
			loaded, err := loadText(t, one.file, inStack(one.stack))
			So(err, ShouldBeNil)
			var on []string
			for _, service := range loaded.Services {
				var names []string
				for _, network := range service.Spec.TaskTemplate.Networks {
					names = append(names, network.Target)
				}
				on = append(on, service.Key+":"+strings.Join(names, ","))
			}
			So(strings.Join(on, " "), ShouldEqual, one.on)
			So(loaded.Networks, ShouldResemble, one.networks)
			var warnings []string
			for _, name := range one.warnings {
				warnings = append(warnings, "stack.yml: services."+name+warning)
			}
			So(loaded.Warnings, ShouldResemble, warnings)
		})
	}
	Convey("A later file may put a service on a network, of which an earlier one says that it is on none", t, func() {
		first := write(t, "stack.yml", "version: '3.9'\nservices: {a: {image: a, networks: []}, b: {image: b, networks: []}}\n")
		second := strings.Replace(first, "stack.yml", "later.yml", 1)
		put(t, second, "version: '3.9'\nservices: {a: {networks: [net]}}\nnetworks: {net: }\n")
		loaded, err := loadWith(Options{Files: []string{first, second}})
		So(err, ShouldBeNil)
		So(loaded.Services[0].Spec.TaskTemplate.Networks, ShouldResemble, []swarm.NetworkAttachmentConfig{{Target: "net"}})
		So(loaded.Warnings, ShouldBeEmpty)
	})
}
