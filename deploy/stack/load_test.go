package stack

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/api/types/swarm"
	. "github.com/smartystreets/goconvey/convey"
	"go.yaml.in/yaml/v3"
)

func TestFiles(t *testing.T) {
	for name, file := range map[string]string{"no such file or directory": "none.yml", "is a directory": "."} {
		Convey(name+" is what is said of "+file, t, func() {
			_, err := Load(Options{Files: []string{file}})
			So(err, ShouldBeError, file+": "+name)
		})
	}
	Convey("No file at all is an error", t, func() {
		_, err := Load(Options{})
		So(err, ShouldBeError, "no stack file is given")
	})
}

func TestVariables(t *testing.T) {
	for _, one := range []struct{ image, name, value, want string }{
		{"a:${V:-b}", "V", "", "a:b"},
		{"a:${V:-b}", "V", "c", "a:c"},
		{"a:${V-b}", "V", "", "a:b"},
		{"a:${V:?none}", "V", "c", "a:c"},
		{"a:${V?no-ne}-${W:-w}", "V", "c", "a:c-w"},
		{"a:$V", "V", "c", "a:c"},
	} {
		Convey(one.image+" is "+one.want+" where "+one.name+" is '"+one.value+"'", t, func() {
			loaded, err := loadText(t, "services: {web: {image: '"+one.image+"'}}", environ(one.name, one.value))
			So(err, ShouldBeNil)
			So(loaded.Services[0].Image, ShouldEqual, one.want)
		})
	}
	Convey("$$ is a plain $", t, func() {
		loaded, err := loadText(t, web("user: a$$b"))
		So(err, ShouldBeNil)
		So(loaded.Services[0].Spec.TaskTemplate.ContainerSpec.User, ShouldEqual, "a$b")
	})
}

func TestEnvFiles(t *testing.T) {
	files := map[string]string{"a.env": "# a comment\n\nA=1\nB=b = b\nSET=\n", "sub/b.env": "A=2\nC=3 \n"}
	for _, one := range []struct {
		lines []string
		want  []string
	}{
		{[]string{"env_file: a.env"}, []string{"A=1", "B=b = b", "SET=here"}},
		{[]string{"env_file: [a.env]"}, []string{"A=1", "B=b = b", "SET=here"}},
		{[]string{"env_file: ./sub/b.env"}, []string{"A=2", "C=3 "}},
		{[]string{"env_file: '${FILE:-sub/b.env}'"}, []string{"A=2", "C=3 "}},
		{[]string{"env_file: [a.env, sub/b.env]"}, []string{"A=2", "B=b = b", "C=3 ", "SET=here"}},
		{[]string{"env_file: [sub/b.env, a.env]"}, []string{"A=1", "B=b = b", "C=3 ", "SET=here"}},
		{[]string{"environment: {A: mine, D: 4}", "env_file: [a.env, sub/b.env]"}, []string{"A=mine", "B=b = b", "C=3 ", "D=4", "SET=here"}},
		{[]string{"env_file: a.env", "environment: [B]"}, []string{"A=1", "B", "SET=here"}},
		{[]string{"env_file: []"}, nil},
	} {
		Convey(strings.Join(one.lines, " and ")+" give "+strings.Join(one.want, ", "), t, func() {
			loaded, err := loadText(t, web(one.lines...), beside(t, files), environ("SET", "here"))
			So(err, ShouldBeNil)
			So(loaded.Services[0].Spec.TaskTemplate.ContainerSpec.Env, ShouldResemble, one.want)
		})
	}
	for _, one := range []struct{ line, want string }{
		{"env_file: none.env", "services.web.env_file: there is no file none.env"},
		{"env_file: [a.env, none.env]", "services.web.env_file: there is no file none.env"},
		{"env_file: app", "invalid env file (app): read app: is a directory"},
		{"env_file: bad.env", "invalid env file (bad.env): variable 'A B' contains whitespaces"},
		{"env_file: 3", "services.web.env_file: 3 is not the name of a file"},
		{"env_file: [a.env, {path: b}]", "services.web.env_file: a mapping is not the name of a file"},
	} {
		Convey(one.want+" is what is said of "+one.line, t, func() {
			_, err := loadText(t, web(one.line), beside(t, files), beside(t, map[string]string{"bad.env": "A B=" + hidden}))
			So(err, ShouldNotBeNil)
			So(err.Error(), ShouldStartWith, "stack.yml: "+one.want)
			So(err.Error(), ShouldNotContainSubstring, hidden)
		})
	}
}

func TestMerge(t *testing.T) {
	base := `version: "3.9"
services:
  web:
    image: example/web
    build: app
    environment: {A: a, B: b}
    ports: ["80:80"]
    read_only: true
    networks: [front]
    volumes: [{type: tmpfs, target: /a, tmpfs: {mode: 0700}}, {type: tmpfs, target: /b, read_only: true, tmpfs: {mode: 0700}}]
    x-deploy:
      verify: {path: /, port: 80, body: fine}
      trial: 5s
      keep: 4
networks: {front: }
`
	merge := func(later string) (*Stack, error) {
		first := write(t, "stack.yml", base)
		second := filepath.Join(filepath.Dir(first), "later", "production.yml")
		put(t, second, "version: \"3.9\"\nservices:\n  web:\n    "+strings.ReplaceAll(later, "\n", "\n    "))
		loaded, err := loadWith(Options{Files: []string{first, second}})
		return loaded, err
	}

	Convey("A later file adds and overrides", t, func() {
		loaded, err := merge(`image: example/web:v2
environment: {B: c, D: d}
ports: ["81:81"]
deploy: {replicas: 3}
volumes: [./data:/data, {type: tmpfs, target: /a, tmpfs: {mode: 0755}}]
x-deploy: {verify: {port: 81}, keep: 0}`)
		So(err, ShouldBeNil)
		web := loaded.Services[0]
		inside := web.Spec.TaskTemplate.ContainerSpec
		So(web.Image, ShouldEqual, "example/web:v2")
		So(inside.Env, ShouldResemble, []string{"A=a", "B=c", "D=d"})
		So(inside.ReadOnly, ShouldBeTrue)
		So(web.Spec.EndpointSpec.Ports, ShouldHaveLength, 2)
		So(*web.Spec.Mode.Replicated.Replicas, ShouldEqual, 3)
		So(web.Deploy, ShouldResemble, Deploy{Verify: &Verify{Path: "/", Port: 81, Status: 200, Body: "fine"}, Trial: 5 * time.Second, Timeout: time.Minute, Keep: 0})

		Convey("its relative paths start at the first file's directory", func() {
			So(inside.Mounts[2].Target, ShouldEqual, "/data")
			So(inside.Mounts[2].Source, ShouldEqual, filepath.Join(filepath.Dir(web.Build.Context), "data"))
		})

		Convey("its tmpfs has its own mode", func() {
			So(inside.Mounts[0].TmpfsOptions.Mode, ShouldEqual, 0o755)
			So(inside.Mounts[1].TmpfsOptions.Mode, ShouldEqual, 0o700)
		})
	})

	for _, one := range []struct{ earlier, later, want string }{
		{"'53:53/tcp', '53:53/udp'", "", "53:53/tcp 53:53/udp"},
		{"80, 81", "", "0:80/tcp 0:81/tcp"},
		{"'80:80'", "'81:80'", "80:80/tcp 81:80/tcp"},
		{"'80:80'", "'80:8080'", "80:8080/tcp"},
		{"'53:53/tcp', '53:53/udp'", "'53:5353/udp'", "53:53/tcp 53:5353/udp"},
		{"'80:80', '443:443'", "{target: 8443, published: 443, protocol: tcp}", "80:80/tcp 443:8443/tcp"},
		{"80", "80", "0:80/tcp"},
		{"80", "81", "0:80/tcp 0:81/tcp"},
		{"80", "'80:80'", "0:80/tcp 80:80/tcp"},
	} {
		Convey("Of a service that publishes "+one.earlier+" and, in a later file, "+one.later+", the ports are "+one.want, t, func() {
			first := write(t, "stack.yml", web("ports: ["+one.earlier+"]"))
			second := filepath.Join(filepath.Dir(first), "later.yml")
			put(t, second, web("user: me", "ports: ["+one.later+"]"))
			loaded, err := Load(Options{Files: []string{first, second}})
			So(err, ShouldBeNil)
			var ports []string
			for _, port := range loaded.Services[0].Spec.EndpointSpec.Ports {
				ports = append(ports, fmt.Sprintf("%d:%d/%s", port.PublishedPort, port.TargetPort, port.Protocol))
			}
			So(strings.Join(ports, " "), ShouldEqual, one.want)
		})
	}

	Convey("A later url replaces path and port", t, func() {
		loaded, err := merge(`x-deploy: {verify: {url: "https://example.com/"}}`)
		So(err, ShouldBeNil)
		So(*loaded.Services[0].Deploy.Verify, ShouldResemble, Verify{URL: "https://example.com/", Status: 200, Body: "fine"})
	})

	for _, one := range []struct{ later, want string }{
		{"read_only: false", "later/production.yml: services.web.read_only: false does not override the true of an earlier file: change it there"},
		{`environment: {A: ""}`, `later/production.yml: services.web.environment.A: "" does not override the value of an earlier file: change it there`},
		{"imge: a", "later/production.yml: services.web.imge: a stack file does not know this key"},
		{"tty: 3", "later/production.yml: services.web.tty: must be a boolean"},
		{"networks: [back]", "stack.yml, later/production.yml: services.web.networks: back is not among the networks at the end of the file"},
	} {
		Convey(one.want+" is what is said of a later "+one.later, t, func() {
			_, err := merge(one.later)
			So(err, ShouldBeError, one.want)
		})
	}

	Convey("An argument of the build may be a secret, so it is not shown either", t, func() {
		first := write(t, "stack.yml", web("build: {context: app, args: {TOKEN: "+hidden+"}}"))
		second := filepath.Join(filepath.Dir(first), "later.yml")
		put(t, second, web("build: {context: app, args: {TOKEN: ''}}"))
		_, err := loadWith(Options{Files: []string{first, second}})
		So(err, ShouldBeError, `later.yml: services.web.build.args.TOKEN: "" does not override the value of an earlier file: change it there`)
	})

	Convey("An empty value that overrides nothing is none to complain of", t, func() {
		_, err := merge("tty: false\nread_only: true\nvolumes: [{type: tmpfs, target: /c, read_only: false}]")
		So(err, ShouldBeNil)
	})
}

func TestSettings(t *testing.T) {
	built := web("build: app", "ports: ['80:80', '81:81']", "environment: {A: a, B: b}", "x-deploy: {verify: {path: '${VERIFY_PATH:-/}', port: 80, body: fine}}")
	modes := func(service Service) []string {
		list := []string{string(service.Spec.EndpointSpec.Mode)}
		for _, port := range service.Spec.EndpointSpec.Ports {
			list = append(list, string(port.PublishMode))
		}
		return list
	}
	for mode, want := range map[string][]string{"": {"", "ingress", "ingress"}, "ingress": {"vip", "ingress", "ingress"}, "host": {"dnsrr", "host", "host"}} {
		Convey("PUBLISH_MODE="+mode+" is for all ports", t, func() {
			loaded, err := loadText(t, built, with(Settings{PublishMode: mode}))
			So(err, ShouldBeNil)
			So(modes(loaded.Services[0]), ShouldResemble, want)
		})
	}
	Convey("PUBLISH_MODE is for all services", t, func() {
		loaded, err := loadText(t, built+"  other: {image: a, ports: ['90:90']}\n", with(Settings{PublishMode: "host"}))
		So(err, ShouldBeNil)
		So(modes(loaded.Services[0]), ShouldResemble, []string{"dnsrr", "host"})
		So(modes(loaded.Services[1]), ShouldResemble, []string{"dnsrr", "host", "host"})
	})
	Convey("SERVICE_ENV adds to the environment, and overrides it", t, func() {
		loaded, err := loadText(t, built, with(Settings{ServiceEnv: " D=e=f  B=c\n"}))
		So(err, ShouldBeNil)
		So(loaded.Services[0].Spec.TaskTemplate.ContainerSpec.Env, ShouldResemble, []string{"A=a", "B=c", "D=e=f"})
	})

	for _, one := range []struct {
		verifyPath string
		settings   Settings
		want       Verify
	}{
		{"", Settings{}, Verify{Path: "/", Port: 80, Status: 200, Body: "fine"}},
		{"/v2", Settings{}, Verify{Path: "/v2", Port: 80, Status: 200}},
		{"/v2", Settings{VerifyBody: `{"a":1}`}, Verify{Path: "/v2", Port: 80, Status: 200, Body: `{"a":1}`}},
		{"", Settings{VerifyBody: "other"}, Verify{Path: "/", Port: 80, Status: 200, Body: "other"}},
	} {
		Convey("VERIFY_PATH="+one.verifyPath+" VERIFY_BODY="+one.settings.VerifyBody+" asks for "+one.want.Body, t, func() {
			loaded, err := loadText(t, built, environ("VERIFY_PATH", one.verifyPath), with(one.settings))
			So(err, ShouldBeNil)
			So(*loaded.Services[0].Deploy.Verify, ShouldResemble, one.want)
		})
	}
	Convey("VERIFY_PATH leaves the body of a finished image", t, func() {
		loaded, err := loadText(t, strings.Replace(built, "build: app", "tty: true", 1), environ("VERIFY_PATH", "/v2"))
		So(err, ShouldBeNil)
		So(loaded.Services[0].Deploy.Verify.Body, ShouldEqual, "fine")
	})

	for _, one := range []struct {
		file     string
		settings Settings
		want     string
	}{
		{built, Settings{PublishMode: "hst"}, `PUBLISH_MODE: "hst" is not ingress or host`},
		{built, Settings{ServiceEnv: "A"}, `SERVICE_ENV: "A" is not NAME=value`},
		{built, Settings{ServiceEnv: "=A"}, `SERVICE_ENV: "=A" is not NAME=value`},
		{web(), Settings{ServiceEnv: "A=a"}, "SERVICE_ENV and VERIFY_BODY need exactly one service that is built, but 0 are built: edit the file instead"},
		{built + "  other: {image: a, build: app}\n", Settings{VerifyBody: "a"}, "SERVICE_ENV and VERIFY_BODY need exactly one service that is built, but 2 are built: edit the file instead"},
		{web("build: app"), Settings{VerifyBody: "a"}, "VERIFY_BODY: services.web has no x-deploy.verify"},
		{web("ports: ['80:80']", "deploy: {endpoint_mode: dnsrr}"), Settings{}, "services.web.deploy.endpoint_mode: dnsrr cannot publish port 80 in mode ingress, only in mode host"},
	} {
		Convey(one.want+" is an error", t, func() {
			_, err := loadText(t, one.file, with(one.settings))
			So(err, ShouldBeError, "stack.yml: "+one.want)
		})
	}
}

func TestWhatCannotBeWaitedFor(t *testing.T) {
	for file, want := range map[string]string{
		"services: {web: {image: a, depends_on: [db]}}":                                                                "services.web.depends_on: there is no service db, so it is not waited for",
		"services: {web: {image: a, networks: [], depends_on: [db]}, db: {image: a, networks: [], depends_on: [web]}}": "services.db.depends_on: these services wait for each other, so this one does not wait",
	} {
		Convey(want+" is a warning, as docker stack deploy waits for nothing", t, func() {
			loaded, err := loadText(t, file)
			So(err, ShouldBeNil)
			So(loaded.Warnings, ShouldResemble, []string{"stack.yml: " + want})
			So(loaded.Services[0].After, ShouldBeEmpty)
		})
	}
}

func TestRestart(t *testing.T) {
	three, none := uint64(3), uint64(0)
	for line, want := range map[string]*swarm.RestartPolicy{
		"restart: always": {Condition: "any"}, "restart: unless-stopped": {Condition: "any"},
		"restart: on-failure": {Condition: "on-failure", MaxAttempts: &none}, "restart: on-failure:3": {Condition: "on-failure", MaxAttempts: &three},
		`restart: "no"`: nil, "tty: true": nil,
	} {
		Convey(line+" is carried over as docker stack deploy does", t, func() {
			loaded, err := loadText(t, "services:\n  web:\n    "+line+"\n    image: a\n")
			So(err, ShouldBeNil)
			So(loaded.Services[0].Spec.TaskTemplate.RestartPolicy, ShouldResemble, want)
		})
	}
	Convey("deploy.restart_policy counts more", t, func() {
		loaded, err := loadText(t, web("restart: always", "deploy: {restart_policy: {condition: none}}"))
		So(err, ShouldBeNil)
		So(loaded.Services[0].Spec.TaskTemplate.RestartPolicy.Condition, ShouldEqual, swarm.RestartPolicyConditionNone)
	})
}

func TestAnchorsAtTheTop(t *testing.T) {
	Convey("x-deploy at the top is a place for an anchor, where a service takes it over", t, func() {
		_, err := loadText(t, "x-deploy: &d {trial: 0s}\nservices: {web: {image: a, x-deploy: *d}}")
		So(err, ShouldBeNil)
	})
	Convey("or where it is somebody else's", t, func() {
		_, err := loadText(t, "x-deploy: &d {replicas: 2}\nservices: {web: {image: a, deploy: *d}}")
		So(err, ShouldBeNil)
	})
}

func TestOrderAndSelection(t *testing.T) {
	Convey("Given services that depend on each other", t, func() {
		loaded, err := loadText(t, "services: {a: {image: a, depends_on: [c]}, b: {image: b}, c: {image: c, depends_on: [d]}, d: {image: d}}")
		So(err, ShouldBeNil)
		names := func(services []Service) string {
			var list []string
			for _, service := range services {
				list = append(list, service.Name)
			}
			return strings.Join(list, " ")
		}

		Convey("each comes after those that it depends on, else by name", func() {
			So(names(loaded.Services), ShouldEqual, "b d c a")
		})
		Convey("without names all are selected", func() {
			all, err := loaded.Select(nil)
			So(err, ShouldBeNil)
			So(names(all), ShouldEqual, "b d c a")
		})
		Convey("the selected ones keep that order", func() {
			some, err := loaded.Select([]string{"a", "d", "a"})
			So(err, ShouldBeNil)
			So(names(some), ShouldEqual, "d a")
		})
		Convey("an unknown name is an error with the known ones", func() {
			_, err := loaded.Select([]string{"a", "e"})
			So(err, ShouldBeError, `there is no service "e": there are b, d, c, a`)
		})
	})
}

func TestProjectFiles(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	project := func(file string, env map[string]string, settings Settings) *Stack {
		loaded, err := Load(Options{Files: []string{filepath.Join("../..", file)}, Env: env, Settings: settings})
		So(err, ShouldBeNil)
		So(loaded.Warnings, ShouldBeEmpty)
		return loaded
	}

	Convey("Given stack.yml with each setting at its default", t, func() {
		loaded := project("stack.yml", nil, Settings{})
		So(loaded.Services, ShouldHaveLength, 1)
		service := loaded.Services[0]

		Convey("accountservice is built and published as ever", func() {
			So(service.Name, ShouldEqual, "accountservice")
			So(service.Image, ShouldEqual, "someprefix/accountservice:latest")
			So(*service.Build, ShouldResemble, Build{Context: root + "/dockerfiles", Dockerfile: root + "/dockerfiles/accountservice.Dockerfile", Package: root + "/accountservice"})
			So(service.Spec.EndpointSpec.Ports, ShouldResemble, []swarm.PortConfig{{Protocol: "tcp", TargetPort: 6767, PublishedPort: 6767, PublishMode: "ingress"}})
			So(*service.Spec.TaskTemplate.Resources.Limits, ShouldResemble, swarm.Limit{MemoryBytes: 128 << 20})
			So(*service.Spec.Mode.Replicated.Replicas, ShouldEqual, 1)
			So(service.Spec.UpdateConfig.Order, ShouldBeEmpty)
			So(service.Spec.TaskTemplate.ContainerSpec.Mounts[0].TmpfsOptions.Mode, ShouldEqual, 0o1777)
			So(loaded.Networks, ShouldResemble, []Network{{Name: "my_network", Spec: NetworkSpec{Driver: "overlay"}}})
			So(service.Deploy, ShouldResemble, Deploy{
				Verify:        &Verify{Path: "/accounts/10000", Port: 6767, Status: 200, Body: `{"id":"10000","name":"Person_0"}`},
				StartInterval: 200 * time.Millisecond, Trial: 3 * time.Second, Timeout: time.Minute, Keep: 3,
			})
		})
	})

	Convey("Given stack.yml with settings", t, func() {
		loaded := project("stack.yml", map[string]string{
			"PORT": "8000", "TARGET_PORT": "9000", "REPLICAS": "3", "LIMIT_CPU": "0.5", "LIMIT_MEMORY": "200m", "NETWORK": "other",
			"IMAGE_PREFIX": "registry:5000/team", "VERSION": "v2", "TRIAL_SECONDS": "0", "DEPLOY_TIMEOUT": "90", "VERIFY_PATH": "/v2",
		}, Settings{PublishMode: "host", ServiceEnv: "A=b"})
		service := loaded.Services[0]

		Convey("each is in the Spec", func() {
			So(service.Image, ShouldEqual, "registry:5000/team/accountservice:v2")
			So(*service.Spec.EndpointSpec, ShouldResemble, swarm.EndpointSpec{Mode: "dnsrr", Ports: []swarm.PortConfig{{Protocol: "tcp", TargetPort: 9000, PublishedPort: 8000, PublishMode: "host"}}})
			So(*service.Spec.TaskTemplate.Resources.Limits, ShouldResemble, swarm.Limit{NanoCPUs: 5e8, MemoryBytes: 200 << 20})
			So(*service.Spec.Mode.Replicated.Replicas, ShouldEqual, 3)
			So(service.Spec.TaskTemplate.Networks, ShouldResemble, []swarm.NetworkAttachmentConfig{{Target: "other"}})
			So(service.Spec.TaskTemplate.ContainerSpec.Env, ShouldResemble, []string{"A=b"})
			So(service.Deploy, ShouldResemble, Deploy{
				Verify:        &Verify{Path: "/v2", Port: 8000, Status: 200},
				StartInterval: 200 * time.Millisecond, Timeout: 90 * time.Second, Keep: 3,
			})
		})
	})

	for name, want := range map[string]string{
		"PORT=99999":        "services.accountservice.ports: published port 99999 is not between 1 and 65535\nstack.yml: services.accountservice.x-deploy.verify.port: \"99999\" is not a whole number from 1 to 65535",
		"REPLICAS=many":     `services.accountservice.deploy.replicas: "many" is not a whole number of 0 or more`,
		"LIMIT_MEMORY=lots": `services.accountservice.deploy.resources.limits.memory: "lots" is not a size of 4m or more, such as 128m, or 0 for no limit`,
		"TRIAL_SECONDS=-1":  `services.accountservice.x-deploy.trial: "-1s" is negative`,
		"VERIFY_PATH=v2":    `services.accountservice.x-deploy.verify.path: "v2" is not a path such as /accounts/10000`,
		"IMAGE_PREFIX=a b":  `services.accountservice.image: "a b/accountservice:latest": invalid reference format`,
	} {
		Convey(name+" is told with its key", t, func() {
			variable, value, _ := strings.Cut(name, "=")
			_, err := Load(Options{Files: []string{"../../stack.yml"}, Env: map[string]string{variable: value}})
			So(err, ShouldNotBeNil)
			So(strings.ReplaceAll(err.Error(), "../../", ""), ShouldEqual, "stack.yml: "+want)
		})
	}

	Convey("Given landscape.yml", t, func() {
		loaded := project("landscape.yml", map[string]string{"VISUALIZER_PORT": "8081", "DOCKER_SOCK": "/tmp/docker.sock"}, Settings{})
		So(loaded.Services, ShouldHaveLength, 3)
		dvizz, quotes, viz := loaded.Services[0], loaded.Services[1], loaded.Services[2]

		Convey("quotes-service is published nowhere", func() {
			So(quotes.Image, ShouldEqual, "eriklupander/quotes-service")
			So(quotes.Spec.EndpointSpec.Ports, ShouldBeEmpty)
			So(quotes.Deploy, ShouldResemble, Deploy{Trial: 3 * time.Second, Timeout: time.Minute, Keep: 3})
			So(*quotes.Spec.TaskTemplate.ContainerSpec.StopGracePeriod, ShouldEqual, 20*time.Second)
		})
		Convey("viz and dvizz are on a manager, with its socket", func() {
			for _, service := range []Service{viz, dvizz} {
				So(service.Spec.TaskTemplate.Placement.Constraints, ShouldResemble, []string{"node.role==manager"})
				So(service.Spec.TaskTemplate.ContainerSpec.Mounts[0].Source, ShouldEqual, "/tmp/docker.sock")
			}
			So(viz.Deploy.Verify.Port, ShouldEqual, 8081)
			So(viz.Spec.TaskTemplate.Networks, ShouldBeEmpty)
			So(dvizz.Deploy.Verify.Port, ShouldEqual, 6969)
		})
	})
}

// FuzzLoad looks for files that Load does not answer with a Stack or a plain error.
func FuzzLoad(f *testing.F) {
	for _, file := range []string{"../../stack.yml", "../../landscape.yml", "testdata/full.yml"} {
		source, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(source), "")
		f.Add(string(source), string(source))
	}
	for _, source := range []string{
		"", "a: [", "services: 3", "services: {web: {image: a, ulimits: {nofile: {soft: 1.0, hard: 2}}}}",
		"services: {web: {image: a, environment: {1: a}, labels: [a=b]}}", "services: {web: {image: '${A:?b}${C:-d}$$'}}",
		"services: {web: {image: a, ports: ['1-3:1-3/udp', 80], volumes: ['a:b:c'], deploy: {replicas: 18446744073709551615}}}",
		"version: 2001-01-01", "services: {web: &a {<<: *a}}", "services: {web: {image: a, build: }}", "x: &a [*a]",
	} {
		f.Add(source, "services: {web: {deploy: {replicas: 0}, ulimits: {nofile: 3}, logging: {driver: a}}}")
	}
	f.Fuzz(func(t *testing.T, first, second string) {
		dir := t.TempDir()
		options := Options{Files: []string{filepath.Join(dir, "first.yml")}, Env: map[string]string{"A": "a"}}
		put(t, options.Files[0], first)
		if second != "" {
			options.Files = append(options.Files, filepath.Join(dir, "second.yml"))
			put(t, options.Files[1], second)
		}
		loaded, err := Load(options)
		switch {
		case err == nil:
			for _, service := range loaded.Services {
				if service.Image == "" || service.Spec.TaskTemplate.ContainerSpec == nil || service.Spec.EndpointSpec == nil {
					t.Errorf("an incomplete service: %+v", service)
				}
			}
		case !strings.HasPrefix(err.Error(), dir):
			t.Errorf("an error without the file's name: %v", err)
		}
	})
}

// goWords are words of a Go program, which a person would not use.
var goWords = regexp.MustCompile(`interface|map\[|\bint64|\buint|float64|<nil>|strconv|'[A-Z][A-Za-z]+(\.|\[|')`)

// FuzzValue puts odd values into the places of a file that has each key.
func FuzzValue(f *testing.F) {
	source, err := os.ReadFile("testdata/full.yml")
	if err != nil {
		f.Fatal(err)
	}
	for i, odd := range []string{
		"", "null", "-1", "1.0", "18446744073709551615", "true", `""`, "[]", "[null]", "[[a]]", "[{}]", "{}", "{a: b}", "{1: a}",
		"{a: {b: c}}", "2001-01-01", ".inf", "!!binary aGk=", "${", "9999999h",
	} {
		for place := i; place < 400; place += 80 {
			f.Add(place, odd)
		}
	}
	f.Fuzz(func(t *testing.T, place int, odd string) {
		var document, value yaml.Node
		if err := yaml.Unmarshal(source, &document); err != nil {
			t.Fatal(err)
		}
		if yaml.Unmarshal([]byte(odd), &value) != nil || len(value.Content) == 0 {
			return
		}
		var places []*yaml.Node
		var find func(node *yaml.Node)
		find = func(node *yaml.Node) {
			for _, inner := range node.Content {
				places = append(places, inner)
				find(inner)
			}
		}
		find(&document)
		*places[uint(place)%uint(len(places))] = *value.Content[0]
		text, err := yaml.Marshal(&document)
		if err != nil {
			return
		}
		file := write(t, "stack.yml", string(text))
		options := Options{Files: []string{file}, Env: map[string]string{"HOME": "/home/me"}}
		beside(t, besides)(&options)
		if _, err := Load(options); err == nil {
			return
		} else if message := strings.ReplaceAll(err.Error(), file, "stack.yml"); !strings.HasPrefix(message, "stack.yml: ") || goWords.MatchString(message) {
			t.Errorf("%q is no plain error", message)
		}
	})
}
