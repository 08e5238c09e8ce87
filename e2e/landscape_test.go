package e2e

import (
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	. "github.com/smartystreets/goconvey/convey"
)

// standin builds an image that stands in for an image of the landscape and listens on the
// port. It returns the name of the image.
func standin(t *testing.T, port string) string {
	t.Helper()
	files := " -f " + repository("stack.yml") + " -f " + repository("e2e", "testdata", "standin", "stack.yml")
	r := script("deploy.sh build standin"+files, "BASE_IMAGE=scratch", "VERSION="+port)
	if r.exit != 0 {
		t.Fatalf("the build of a stand-in: exit %d\n%s", r.exit, r)
	}
	said, name := lines(r.stdout), "someprefix/standin:"+port
	docker(t, "tag", said[len(said)-1], name)
	return name
}

// standins builds all stand-ins, and returns the settings that name them.
func standins(t *testing.T) []string {
	t.Helper()
	return []string{
		"QUOTES_IMAGE=" + standin(t, "8080"),
		"VISUALIZER_IMAGE=" + standin(t, "8080"),
		"DVIZZ_IMAGE=" + standin(t, "6969"),
	}
}

// pageOf is the URL of a service's page that a script says it has proven.
func pageOf(service string, r result) string {
	found := regexp.MustCompile(service + ` answers: (http://\S+)`).FindStringSubmatch(r.stdout)
	if found == nil {
		return "http://nothing.invalid/"
	}
	return found[1]
}

// fromInside is the answer of a URL to a task on this engine, of a service that runs a
// stand-in.
func fromInside(t *testing.T, service, url string) string {
	t.Helper()
	found := containers(t, service)
	if len(found) == 0 {
		return "no task of " + service + " runs here"
	}
	return run(nil, "docker", "exec", found[0], "/standin", "get", url).String()
}

const aQuote = "To be or not to be"

func TestLandscape(t *testing.T) {
	wipe(t)
	t.Cleanup(func() { wipe(t) })
	images := standins(t)
	up := script("landscape.sh up", images...)
	viz, dvizz, accounts := pageOf("viz", up), pageOf("dvizz", up), pageOf("accountservice", up)

	Convey("Given the landscape, as landscape.sh up leaves it", t, func() {
		thisNode := "node " + docker(t, "info", "--format", "{{.Swarm.NodeID}}")
		allAnswer := func() bool {
			return get(accounts) == firstAccount && strings.Contains(get(viz), thisNode) && strings.Contains(get(dvizz), thisNode) &&
				strings.Contains(fromInside(t, "dvizz", "http://quotes-service:8080/api/quote"), aQuote)
		}

		Convey("it says so, and warns of each visualizer in a line", func() {
			So(up.String(), ShouldContainSubstring, "==> The landscape is up\n")
			So(up.exit, ShouldEqual, 0)
			So(up.stderr, ShouldContainSubstring, "who reaches port 8080 sees the whole swarm")
			So(up.stderr, ShouldContainSubstring, "who reaches port 6969 sees the whole swarm")
			So(strings.Count(up.stderr, "may be root on the manager, even if the socket is mounted read-only\n"), ShouldEqual, 2)
		})

		Convey("each page shows the node whose socket it reads, on its own port", func() {
			So(viz, ShouldEndWith, ":8080/")
			So(dvizz, ShouldEndWith, ":6969/")
			So(get(viz), ShouldContainSubstring, thisNode)
			So(get(dvizz), ShouldContainSubstring, thisNode)
		})

		Convey("an image that only this engine has runs by its id, on this node", func() {
			for service, image := range map[string]string{"viz": "someprefix/standin:8080", "dvizz": "someprefix/standin:6969", "quotes-service": "someprefix/standin:8080"} {
				So(docker(t, "service", "inspect", "--format", "{{.Spec.TaskTemplate.ContainerSpec.Image}}", service),
					ShouldEqual, docker(t, "image", "inspect", "--format", "{{.Id}}", image))
				So(docker(t, "service", "inspect", "--format", "{{.Spec.TaskTemplate.Placement.Constraints}}", service),
					ShouldContainSubstring, "node.id=="+strings.TrimPrefix(thisNode, "node "))
			}
		})

		Convey("accountservice and quotes-service answer under their names on the network", func() {
			So(fromInside(t, "quotes-service", "http://accountservice:6767/accounts/10000"), ShouldEqual, firstAccount)
			So(fromInside(t, "dvizz", "http://accountservice:6767/accounts/10000"), ShouldEqual, firstAccount)
			So(fromInside(t, "dvizz", "http://quotes-service:8080/api/quote"), ShouldContainSubstring, aQuote)
		})

		Convey("quotes-service answers nowhere else", func() {
			So(docker(t, "service", "inspect", "--format", "{{len .Endpoint.Ports}}", "quotes-service"), ShouldEqual, "0")
			So(docker(t, "port", containers(t, "quotes-service")[0]), ShouldBeEmpty)
			So(fromInside(t, "viz", "http://quotes-service:8080/api/quote"), ShouldNotContainSubstring, aQuote) // viz is not on the network.
		})

		Convey("status.sh shows all four, and where they answer", func() {
			status := script("status.sh").stdout
			for _, service := range []string{"accountservice", "quotes-service", "viz", "dvizz"} {
				So(status, ShouldContainSubstring, "\n"+service+" ")
			}
			So(status, ShouldContainSubstring, strings.TrimSuffix(dvizz, "/"))
			So(status, ShouldNotContainSubstring, "last error")
		})

		Convey("an image that cannot be pulled is named with its service, and what runs is left alone", func() {
			for name, setting := range map[string]string{"quotes-service": "QUOTES_IMAGE", "visualizer": "VISUALIZER_IMAGE", "dvizz": "DVIZZ_IMAGE"} {
				service := strings.Replace(name, "visualizer", "viz", 1)
				before := containers(t, service)
				So(before, ShouldHaveLength, 1)
				r := script(name+".sh", setting+"=registry.invalid/nothing:1")
				So(r.exit, ShouldEqual, 1)
				So(r.stderr, ShouldContainSubstring, "docker pull of registry.invalid/nothing:1, the image of "+service+", failed")
				So(r.stderr, ShouldContainSubstring, "name another image")
				So(lastLine(r), ShouldContainSubstring, service+" was not touched")
				So(containers(t, service), ShouldResemble, before)
			}
		})

		Convey("one that fails does not keep landscape.sh from the rest, which are deployed anew", func() {
			before := map[string]string{}
			for _, service := range []string{"accountservice", "quotes-service", "viz", "dvizz"} {
				before[service] = containers(t, service)[0]
			}
			r := script("landscape.sh up", append(images, "VISUALIZER_IMAGE=registry.invalid/nothing:1")...)
			So(r.exit, ShouldEqual, 1)
			So(r.stderr, ShouldContainSubstring, "registry.invalid/nothing:1, the image of viz, failed")
			So(r.stderr, ShouldContainSubstring, "error: failed, for the reasons above: viz\n")
			So(r.stdout, ShouldNotContainSubstring, "The landscape is up")
			for service, container := range before {
				if service == "viz" {
					So(containers(t, service), ShouldResemble, []string{container})
				} else {
					So(containers(t, service), ShouldNotResemble, []string{container})
				}
			}
			So(allAnswer(), ShouldBeTrue)
		})

		Convey("a page that does not answer is explained, and what ran before comes back", func() {
			r := script("dvizz.sh", "DVIZZ_IMAGE=someprefix/standin:8080", "DEPLOY_TIMEOUT=20")
			So(r.exit, ShouldEqual, 1)
			So(r.stderr, ShouldContainSubstring, "The tasks of dvizz run, but "+dvizz+" does not answer from here: ")
			So(lastLine(r), ShouldContainSubstring, "version someprefix/standin:6969 is back: dvizz someprefix/standin:6969 serves at "+dvizz)
			So(get(dvizz), ShouldContainSubstring, thisNode)
		})

		Convey("a quotes-service that ends as soon as it runs fails its trial, is explained, and what runs is left alone", func() {
			before := containers(t, "quotes-service")
			r := script("quotes-service.sh", "QUOTES_IMAGE="+standin(t, "nowhere"))
			So(r.exit, ShouldEqual, 1)
			So(r.stderr, ShouldContainSubstring, "lookup tcp/nowhere: unknown port") // The service's own words.
			So(r.stderr, ShouldContainSubstring, "error: the trial of quotes-service someprefix/standin:nowhere failed\n")
			So(lastLine(r), ShouldContainSubstring, "quotes-service was not touched: quotes-service someprefix/standin:8080 serves")
			So(containers(t, "quotes-service"), ShouldResemble, before)
		})

		Convey("a socket that is not there is explained in the engine's words, and what runs is left alone", func() {
			before := containers(t, "viz")
			r := script("visualizer.sh", images[1], "DOCKER_SOCK=/nowhere/docker.sock")
			So(r.exit, ShouldEqual, 1)
			So(r.stderr, ShouldContainSubstring, "bind source path does not exist: /nowhere/docker.sock")
			So(lastLine(r), ShouldContainSubstring, "viz was not touched: viz someprefix/standin:8080 serves at "+viz)
			So(containers(t, "viz"), ShouldResemble, before)
		})

		Convey("without a trial, what ran before the missing socket comes back", func() {
			r := script("visualizer.sh", images[1], "DOCKER_SOCK=/nowhere/docker.sock", "TRIAL_SECONDS=0", "DEPLOY_TIMEOUT=20")
			So(r.exit, ShouldEqual, 1)
			So(r.stdout, ShouldNotContainSubstring, "Trying")
			So(r.stderr, ShouldContainSubstring, "bind source path does not exist: /nowhere/docker.sock")
			So(lastLine(r), ShouldContainSubstring, "is back: viz someprefix/standin:8080 serves at "+viz)
			So(get(viz), ShouldContainSubstring, thisNode)
		})

		Convey("a port that another service has is refused, and what runs is left alone", func() {
			before := containers(t, "viz")
			r := script("visualizer.sh", images[1], "VISUALIZER_PORT=6969")
			So(r.exit, ShouldEqual, 1)
			So(r.stderr, ShouldContainSubstring, "port 6969 is published by service dvizz")
			So(r.stderr, ShouldContainSubstring, "choose another port, by its setting")
			So(containers(t, "viz"), ShouldResemble, before)
		})

		Convey("arguments that make no sense are refused", func() {
			for command, says := range map[string]string{"landscape.sh": "say up or down", "landscape.sh sideways": "say up or down", "dvizz.sh --remove now": `there is no service "now"`} {
				r := script(command)
				So(r.stderr, ShouldContainSubstring, says)
				So(r.exit, ShouldEqual, 2)
			}
			So(allAnswer(), ShouldBeTrue)
		})

		Convey("a restart of the engine loses nothing", func() {
			if !ownEngine {
				notRun("the restart of the engine", "only an engine of our own can be restarted")
				return
			}
			ids := docker(t, "service", "ls", "--format", "{{.ID}} {{.Name}} {{.Image}}")
			engineOf(t, "node1", "stop")
			meanwhile := get(accounts)
			engineOf(t, "node1", "start")
			So(meanwhile, ShouldNotEqual, firstAccount)
			So(eventually(60*time.Second, allAnswer), ShouldBeTrue)
			So(docker(t, "service", "ls", "--format", "{{.ID}} {{.Name}} {{.Image}}"), ShouldEqual, ids)
		})

		Convey("--remove takes one away, and the rest stays", func() {
			So(script("dvizz.sh --remove").exit, ShouldEqual, 0)
			So(get(dvizz), ShouldNotContainSubstring, "node ")
			So(docker(t, "service", "ls", "--format", "{{.Name}}"), ShouldNotContainSubstring, "dvizz")
			So(get(viz), ShouldContainSubstring, thisNode)
			So(get(accounts), ShouldEqual, firstAccount)
			So(script("dvizz.sh --remove").exit, ShouldEqual, 0)
		})

		Convey("landscape.sh down takes all of it away, and the network, and again finds nothing to do", func() {
			for range 2 {
				r := script("landscape.sh down")
				So(r.String(), ShouldContainSubstring, "==> The landscape is down\n")
				So(r.exit, ShouldEqual, 0)
				So(docker(t, "service", "ls", "--quiet"), ShouldBeEmpty)
				So(docker(t, "network", "ls", "--format", "{{.Name}}"), ShouldNotContainSubstring, "my_network")
			}
		})
	})
}

// engineOf starts, stops or kills the engine of a node.
func engineOf(t *testing.T, node, command string) {
	t.Helper()
	if r := run(nil, "./dockerd.sh", command, node); r.exit != 0 {
		t.Fatalf("dockerd.sh %s %s: %s", command, node, r)
	}
}

func TestAnotherService(t *testing.T) {
	// The deploy program and its scripts, copied to a separate module.
	copied := t.TempDir()
	put := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, dir := range []string{"scripts", "deploy"} {
		put(os.CopyFS(copied+"/"+dir, os.DirFS(repository(dir))))
	}
	put(os.MkdirAll(copied+"/dockerfiles", 0o755))
	put(os.MkdirAll(copied+"/greeter", 0o755))
	for from, to := range map[string]string{"main.go": "greeter/main.go", "greeter.Dockerfile": "dockerfiles/greeter.Dockerfile", "stack.yml": "stack.yml"} {
		put(os.WriteFile(copied+"/"+to, []byte(read(t, "testdata/greeter/"+from)), 0o644))
	}
	put(os.WriteFile(copied+"/go.mod", []byte("module example.com/greeter\n\ngo 1.26\n"), 0o644))
	const greeting = `{"hello":"world"}`
	copyOf := func(name, flag string, environment ...string) result {
		return run(environment, "bash", "-c", `cd / && exec "$0" $1`, copied+"/scripts/"+name, flag)
	}

	Convey("Given accountservice, and a copy of the deploy program in the module of another service", t, func() {
		accounts := deployed(t)
		task := containers(t, "accountservice")

		Convey("it deploys, updates, rolls back and removes that one by its stack file alone, and accountservice goes on as it was", func() {
			r := copyOf("copyall.sh", "", "VERSION=one")
			So(r.String(), ShouldContainSubstring, "==> Deployed greeter one in ")
			So(r.exit, ShouldEqual, 0)
			url := pageOf("greeter", r)
			So(url, ShouldEndWith, ":7878/hello")
			So(get(url), ShouldEqual, greeting)

			wrong := copyOf("copyall.sh", "", "VERSION=one", `VERIFY_BODY={"hello":"moon"}`, "DEPLOY_TIMEOUT=20")
			So(wrong.exit, ShouldEqual, 1)
			So(wrong.stderr, ShouldContainSubstring, "It last said: 200 OK: "+greeting)
			So(lastLine(wrong), ShouldContainSubstring, "version one is back: greeter one serves at "+url)

			rolling := copyOf("copyall.sh", "--rolling", "VERSION=two")
			So(rolling.String(), ShouldContainSubstring, "==> Updating greeter to two, ")
			So(rolling.String(), ShouldContainSubstring, "==> Deployed greeter two in ")
			So(rolling.exit, ShouldEqual, 0)
			So(get(url), ShouldEqual, greeting)
			So(copyOf("rollback.sh", "").String(), ShouldContainSubstring, "==> Rolled greeter back to one")
			So(get(url), ShouldEqual, greeting)

			removed := copyOf("remove.sh", "")
			So(removed.stdout, ShouldContainSubstring, "Network my_network stays, as other services use it: accountservice")
			So(removed.exit, ShouldEqual, 0)
			So(get(url), ShouldNotEqual, greeting)
			So(get(accounts), ShouldEqual, firstAccount)
			So(containers(t, "accountservice"), ShouldResemble, task)
		})
	})
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
