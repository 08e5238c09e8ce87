package e2e

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	. "github.com/smartystreets/goconvey/convey"
)

const firstAccount = `{"id":"10000","name":"Person_0"}`

func TestDeploy(t *testing.T) {
	Convey("Given an engine on which nothing runs", t, func() {
		wipe(t)
		Convey("copyall.sh deploys a service that answers, and does so again", func() {
			defer wipe(t)
			first := script("copyall.sh")
			So(first.String(), ShouldContainSubstring, "==> Deployed accountservice")
			So(first.exit, ShouldEqual, 0)
			So(get(answeringURL(first)), ShouldEqual, firstAccount)
			before := docker(t, "service", "inspect", "--format", "{{.ID}}", "accountservice")

			second := script("copyall.sh")
			So(second.String(), ShouldContainSubstring, "==> Removing accountservice")
			So(second.stdout, ShouldContainSubstring, "no trial needed")
			So(second.exit, ShouldEqual, 0)
			So(get(answeringURL(second)), ShouldEqual, firstAccount)
			So(docker(t, "service", "inspect", "--format", "{{.ID}}", "accountservice"), ShouldNotEqual, before)
			So(containers(t, "accountservice"), ShouldHaveLength, 1)

			Convey("and curl prints the account", func() {
				So(run(nil, "curl", "--silent", answeringURL(second)).stdout, ShouldEqual, firstAccount)
			})
		})
	})
}

func TestService(t *testing.T) {
	Convey("Given a deployed service", t, func() {
		url := deployed(t, "VERSION=first")

		Convey("its task is confined, runs the image by id, and is told its version", func() {
			So(version(t), ShouldEqual, "first")
			So(image(t), ShouldEqual, docker(t, "image", "inspect", "--format", "{{.Id}}", "someprefix/accountservice:latest"))
			container := containers(t, "accountservice")[0]
			inspect := func(format string) string { return docker(t, "inspect", "--format", format, container) }
			So(inspect("{{.Config.User}}"), ShouldEqual, "65532:65532")
			So(inspect("{{.HostConfig.ReadonlyRootfs}} {{.HostConfig.CapDrop}}"), ShouldEqual, "true [ALL]")
			So(inspect("{{.HostConfig.Memory}}"), ShouldEqual, "134217728")
			So(inspect("{{range .Mounts}}{{.Type}} {{.Destination}}{{end}}"), ShouldEqual, "tmpfs /data")
			So(inspect("{{.State.Health.Status}}"), ShouldEqual, "healthy")
			So(inspect("{{.HostConfig.LogConfig.Config}}"), ShouldEqual, "map[max-file:3 max-size:10m]")
		})

		Convey("a killed task is replaced within seconds", func() {
			killed := containers(t, "accountservice")[0]
			docker(t, "kill", "--signal", "KILL", killed)
			So(eventually(20*time.Second, func() bool { return get(url) == firstAccount }), ShouldBeTrue)
			So(containers(t, "accountservice"), ShouldNotContain, killed)
		})

		Convey("it scales down to nothing and up again", func() {
			docker(t, "service", "scale", "--detach", "accountservice=0")
			So(eventually(30*time.Second, func() bool { return get(url) != firstAccount }), ShouldBeTrue)
			replicas := "1"
			if !hostMode() { // In host mode, only one task on each node can have the port.
				replicas = "3"
			}
			docker(t, "service", "scale", "--detach", "accountservice="+replicas)
			So(eventually(60*time.Second, func() bool {
				return docker(t, "service", "ls", "--filter", "name=accountservice", "--format", "{{.Replicas}}") == replicas+"/"+replicas
			}), ShouldBeTrue)
			So(eventually(10*time.Second, func() bool { return get(url) == firstAccount }), ShouldBeTrue)
		})

		Convey("the metrics and profiles of its admin listener are not public", func() {
			So(get(url[:len(url)-len("/accounts/10000")]+"/metrics"), ShouldEqual, "404 Not Found")
		})

		Convey("status.sh shows it on one screen, with its history", func() {
			r := script("status.sh")
			So(r.exit, ShouldEqual, 0)
			So(strings.Fields(lines(r.stdout)[1])[:4], ShouldResemble, []string{"accountservice", "first", "1", "1"})
			So(r.stdout, ShouldContainSubstring, strings.TrimSuffix(url, "/accounts/10000"))
			So(r.stdout, ShouldContainSubstring, "    1  done     first ")
		})
	})
}

func TestDeployThatCannotWork(t *testing.T) {
	Convey("Given a deployed service", t, func() {
		url := deployed(t)
		task := containers(t, "accountservice")
		untouched := func() {
			So(get(url), ShouldEqual, firstAccount)
			So(containers(t, "accountservice"), ShouldResemble, task)
		}

		Convey("a build that fails leaves it alone, and shows the compiler's words", func() {
			r := script("copyall.sh -f " + repository("stack.yml") + " -f " + repository("e2e/testdata/broken/stack.yml"))
			So(r.exit, ShouldEqual, 1)
			So(r.stderr, ShouldContainSubstring, `cannot use "not a number"`)
			So(lastLine(r), ShouldContainSubstring, "accountservice was not touched: ")
			untouched()
		})

		Convey("an image that fails its trial leaves it alone, and shows the service's words", func() {
			r := script("copyall.sh", "SERVICE_ENV=ACCOUNTSERVICE_ACCOUNTS=many")
			So(r.exit, ShouldEqual, 1)
			So(r.stderr, ShouldContainSubstring, `invalid value "many" for ACCOUNTSERVICE_ACCOUNTS`)
			So(r.stderr, ShouldContainSubstring, "exit code 2")
			untouched()
		})

		Convey("a port that another service publishes is refused before anything is built", func() {
			arguments := []string{"service", "create", "--detach", "--name", "other", "--publish", "mode=host,published=7575,target=6767"}
			if hostMode() {
				arguments = append(arguments, "--endpoint-mode", "dnsrr")
			}
			docker(t, append(arguments, docker(t, "image", "inspect", "--format", "{{.Id}}", "someprefix/accountservice:latest"))...)
			r := script("copyall.sh", "PORT=7575")
			So(r.exit, ShouldEqual, 1)
			So(r.stderr, ShouldContainSubstring, "port 7575 is published by service other")
			So(r.stdout, ShouldNotContainSubstring, "Trying")
			untouched()
		})

		Convey("a network of that name that is no overlay is refused", func() {
			docker(t, "network", "create", "plain")
			defer docker(t, "network", "rm", "plain")
			r := script("copyall.sh", "NETWORK=plain")
			So(r.exit, ShouldEqual, 1)
			So(r.stderr, ShouldContainSubstring, "network plain exists, but its driver is bridge, not overlay")
			untouched()
		})
	})
}

func TestDeployThatFails(t *testing.T) {
	if !ownEngine {
		t.Skip("these need the network namespace of the engine")
	}
	Convey("Given an engine on which nothing runs", t, func() {
		defer wipe(t)

		Convey("when a process has the host-mode port, the deploy fails with the engine's words", func() {
			taken, err := net.Listen("tcp", ":7676")
			So(err, ShouldBeNil)
			defer taken.Close()
			r := script("copyall.sh", "PUBLISH_MODE=host", "PORT=7676", "DEPLOY_TIMEOUT=20")
			So(r.exit, ShouldEqual, 1)
			So(r.stderr, ShouldContainSubstring, "address already in use")
		})

		Convey("when the kernel has no IPVS, a silent mesh is named with its cure", func() {
			if !hostMode() {
				notRun("what a deploy says of a kernel without IPVS", "this kernel has IPVS")
				return
			}
			r := script("copyall.sh", "PUBLISH_MODE=ingress", "DEPLOY_TIMEOUT=15")
			So(r.exit, ShouldEqual, 1)
			So(r.stderr, ShouldContainSubstring, "no IPVS")
			So(r.stderr, ShouldContainSubstring, "PUBLISH_MODE=host")
		})
	})
}

func TestNewSwarm(t *testing.T) {
	if !ownEngine {
		t.Skip("a swarm is left only where the engine is our own")
	}
	Convey("Given an engine in no swarm, on a host with two addresses", t, func() {
		run(nil, "docker", "swarm", "leave", "--force")
		So(run(nil, "ip", "addr", "add", "192.168.98.100/24", "dev", "eth0-peer").exit, ShouldEqual, 0)
		defer run(nil, "ip", "addr", "del", "192.168.98.100/24", "dev", "eth0-peer")

		Convey("copyall.sh names the addresses and stops", func() {
			r := script("copyall.sh")
			So(r.exit, ShouldEqual, 1)
			So(r.stderr, ShouldContainSubstring, "192.168.99.100")
			So(r.stderr, ShouldContainSubstring, "192.168.98.100")
			So(r.stderr, ShouldContainSubstring, "ADVERTISE_ADDR")
		})

		Convey("with ADVERTISE_ADDR it makes the engine a manager, and then leaves it as it is", func() {
			defer wipe(t)
			So(script("copyall.sh", "ADVERTISE_ADDR=192.168.98.100").exit, ShouldEqual, 0)
			So(docker(t, "info", "--format", "{{.Swarm.NodeAddr}}"), ShouldEqual, "192.168.98.100")
			So(script("copyall.sh").exit, ShouldEqual, 0)
			wipe(t)
			run(nil, "docker", "swarm", "leave", "--force")
		})
	})
}

func TestDataVolume(t *testing.T) {
	Convey("Given a service with its database on a named volume", t, func() {
		docker(t, "volume", "create", "accounts-e2e")
		defer func() {
			wipe(t)
			So(eventually(10*time.Second, func() bool { return run(nil, "docker", "volume", "rm", "accounts-e2e").exit == 0 }), ShouldBeTrue)
		}()
		onVolume := "copyall.sh -f " + repository("e2e/testdata/volume/stack.yml")
		r := script(onVolume, "SERVICE_ENV=ACCOUNTSERVICE_ACCOUNTS=200")
		So(r.exit, ShouldEqual, 0)
		url := answeringURL(r)
		last := url[:len(url)-len("10000")] + "10199"
		So(get(last), ShouldEqual, `{"id":"10199","name":"Person_199"}`)

		Convey("what was seeded is still there after a redeploy that seeds less", func() {
			again := script(onVolume)
			So(again.String(), ShouldContainSubstring, "environment.ACCOUNTSERVICE_ACCOUNTS: removed")
			So(again.exit, ShouldEqual, 0)
			So(get(last), ShouldEqual, `{"id":"10199","name":"Person_199"}`)
			So(docker(t, "volume", "ls", "--quiet"), ShouldEqual, "accounts-e2e") // The volume of the trial is gone.
		})
	})
}

func TestRemove(t *testing.T) {
	Convey("Given a deployed service", t, func() {
		url := deployed(t)

		Convey("remove.sh removes it, its tasks, its history and its network, and again finds nothing to do", func() {
			So(script("remove.sh").exit, ShouldEqual, 0)
			So(get(url), ShouldNotEqual, firstAccount)
			So(docker(t, "ps", "--all", "--quiet", "--filter", "label=com.docker.swarm.service.name=accountservice"), ShouldBeEmpty)
			So(docker(t, "network", "ls", "--format", "{{.Name}}"), ShouldNotContainSubstring, "my_network")
			So(docker(t, "config", "ls", "--quiet"), ShouldBeEmpty)
			So(script("remove.sh").exit, ShouldEqual, 0)
		})

		Convey("a network that another service uses stays", func() {
			arguments := []string{"service", "create", "--detach", "--name", "other", "--network", "my_network"}
			if hostMode() {
				arguments = append(arguments, "--endpoint-mode", "dnsrr")
			}
			docker(t, append(arguments, docker(t, "image", "inspect", "--format", "{{.Id}}", "someprefix/accountservice:latest"))...)
			r := script("remove.sh")
			So(r.exit, ShouldEqual, 0)
			So(r.stdout, ShouldContainSubstring, "Network my_network stays, as other services use it: other")
			So(docker(t, "network", "ls", "--format", "{{.Name}}"), ShouldContainSubstring, "my_network")
		})
	})
}

func TestImageBuilders(t *testing.T) {
	clients, err := filepath.Glob("/usr*/bin/docker")
	if err != nil {
		t.Fatal(err)
	}
	local, _ := filepath.Glob("/usr/local/bin/docker")
	clients = append(clients, local...)
	if modernEngine() { // The engine may be too new for this machine's clients.
		fitting, err := exec.LookPath("docker")
		if err != nil {
			t.Fatal(err)
		}
		clients = []string{fitting}
	}
	for _, client := range clients {
		for _, buildKit := range []string{"0", "1"} {
			if buildKit == "1" && !hasBuildKit(client) {
				continue
			}
			Convey(client+" builds the image with DOCKER_BUILDKIT="+buildKit, t, func() {
				path := "PATH=" + filepath.Dir(client) + ":" + os.Getenv("PATH")
				// A new version, because an existing image is not built again.
				r := script("deploy.sh build", path, "DOCKER_BUILDKIT="+buildKit, "VERSION=built-"+buildKit+strings.ReplaceAll(client, "/", "-"))
				So(r.stderr, ShouldBeEmpty)
				So(r.exit, ShouldEqual, 0)
				tag := lines(r.stdout)[len(lines(r.stdout))-1]
				So(run(nil, "docker", "run", "--rm", tag, "-version").stdout, ShouldContainSubstring, "built-"+buildKit)
			})
		}
	}
}

// hasBuildKit: a client of 23.0 or newer needs the buildx plugin for BuildKit.
func hasBuildKit(client string) bool {
	version := run(nil, client, "version", "--format", "{{.Client.Version}}").stdout
	return version < "23" || run(nil, client, "buildx", "version").exit == 0
}
