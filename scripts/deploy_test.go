package scripts

import (
	"crypto/sha256"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	. "github.com/smartystreets/goconvey/convey"
)

// The container that tries out an image.
const runLine = "docker run --detach --name accountservice-trial-PID --network none" +
	" --health-interval 200ms --health-start-period 30s --tmpfs /data:size=64m,mode=1777 --memory 128m --health-start-interval 200ms" +
	" --read-only --cap-drop ALL someprefix/accountservice:v1"

// sha256Of is what a deploy with these arguments is known by.
func sha256Of(arguments string) string {
	return fmt.Sprintf("%x", sha256.Sum256([]byte(imageSha256+"\n"+arguments+"\n")))
}

// hostMode edits the arguments to those of host mode.
var hostMode = []string{"mode=ingress", "mode=host", "--cap-drop ALL", "--cap-drop ALL\n--endpoint-mode dnsrr"}

// createLine is the call that creates the service with these arguments, and notes what
// it replaces.
func createLine(arguments string) string {
	return createFrom(arguments, "sha256:new", "sha256:new v1 "+sha256Of(arguments)+" sha256:old v0 5ha-v0")
}

func createFrom(arguments, image, labels string) string {
	return "docker service create --name accountservice --detach" +
		" --label copyall.arguments=" + inLine(arguments) + " " + inLine(arguments) +
		" --no-resolve-image --with-registry-auth --replicas 1 --update-order start-first --rollback-order start-first" +
		deployLabels("--label", labels) + " " + image
}

// updateLine is the call that updates the service to an image.
func updateLine(image, labels string) string {
	return "docker service update --detach --no-resolve-image --with-registry-auth --image " + image +
		deployLabels("--label-add", labels) + " --update-order start-first --rollback-order start-first accountservice"
}

// deployLabels are the arguments that record a deploy: image, version and sha256 of it,
// and of the one that it replaced, with a space between them.
func deployLabels(flag, values string) string {
	var arguments string
	for i, value := range strings.Split(values, " ") {
		name := []string{"image", "version", "sha256", "previous-image", "previous-version", "previous-sha256"}[i]
		arguments += " " + flag + " copyall." + name + "=" + value
	}
	return arguments
}

// inLine is how a call of a fake shows lines.
func inLine(lines string) string { return strings.ReplaceAll(lines, "\n", " ") }

func TestBuild(t *testing.T) {
	Convey("Given a binary from an earlier build", t, func() {
		s := newStage()
		binary := s.path("build/accountservice-linux-arm64")
		write(binary, "stale")

		Convey("build.sh replaces it with a static one for GOARCH that knows its version", func() {
			r := s.run("build.sh", "GOARCH=arm64").passes()
			built, err := os.ReadFile(binary)
			So(err, ShouldBeNil)
			So(string(built), ShouldEqual, "linux arm64 0\n")
			So(r.call("go"), ShouldStartWith, "go build -trimpath -buildvcs=false -ldflags -s -w -X main.version=v1 -X main.commit=c0ffee -o build/accountservice-linux-arm64")
			So(r.call("go"), ShouldEndWith, " ./accountservice")
		})

		Convey("a build that fails leaves nothing stale to ship", func() {
			s.refuse("go build *", "./main.go:1:1: syntax error")
			s.run("build.sh", "GOARCH=arm64").fails("./main.go:1:1: syntax error", "goes on running the old version")
			_, err := os.Stat(binary)
			So(os.IsNotExist(err), ShouldBeTrue)
		})
	})
}

var sha256Label = regexp.MustCompile(`copyall\.sha256=[0-9a-f]{64} `)

func TestImage(t *testing.T) {
	for _, it := range []struct {
		when, setting string
		setUp         func(s *stage)
		uses, pulls   string
	}{
		{"the engine has", "", func(*stage) {}, "iron/base", ""},
		{"the engine can pull", "", func(s *stage) {
			s.once("docker image inspect --format {{.Id}} iron/base", "sha256:base")
			s.refuse("docker image inspect iron/base", "Error: No such image")
			s.answer("docker pull *", "done")
		}, "iron/base", "docker pull --quiet iron/base"},
		{"the engine cannot pull", "", func(s *stage) {
			s.refuse("docker image inspect *", "Error: No such image")
			s.refuse("docker pull *", "manifest unknown")
		}, "scratch", "docker pull --quiet iron/base"},
		{"is scratch", "BASE_IMAGE=scratch", func(s *stage) {
			s.refuse("docker image inspect *", "Error: No such image")
		}, "scratch", ""},
	} {
		Convey("With a base image that "+it.when+", image.sh builds on "+it.uses, t, func() {
			s := newStage()
			write(s.path("build/accountservice-linux-amd64"), "binary")
			it.setUp(s)
			r := s.run("image.sh", it.setting)
			So(r.exit, ShouldEqual, 0)
			So(r.call("docker pull"), ShouldEqual, it.pulls)
			So(r.call("docker build"), ShouldStartWith, "docker build --quiet --platform linux/amd64 --file dockerfiles/accountservice.Dockerfile"+
				" --tag someprefix/accountservice:latest --tag someprefix/accountservice:v1"+
				" --build-arg BASE_IMAGE="+it.uses+" --build-arg VERSION=v1 --build-arg SERVICE=accountservice"+
				" --label copyall.service=accountservice --label copyall.sha256=")
			if it.uses == "scratch" && it.setting == "" {
				So(r.stderr, ShouldStartWith, "==> iron/base cannot be pulled: using scratch")
				So(strings.Count(r.stderr, "\n"), ShouldEqual, 1)
			} else {
				So(r.stderr, ShouldBeEmpty)
			}
			left, err := os.ReadDir(s.path("build"))
			So(err, ShouldBeNil)
			So(len(left), ShouldEqual, 1) // The binary.
		})
	}

	Convey("Given a binary, a Dockerfile and a base image", t, func() {
		s := newStage()
		binary, dockerfile := s.path("build/accountservice-linux-amd64"), s.path("dockerfiles/accountservice.Dockerfile")
		write(binary, "binary")
		label := func(environment ...string) string {
			must(os.RemoveAll(s.path("calls")))
			build := s.run("image.sh", environment...).passes().call("docker build")
			return sha256Label.FindString(build)
		}
		first := label()
		So(first, ShouldNotBeEmpty)

		Convey("image.sh labels the image with the same sha256 each time", func() { So(label(), ShouldEqual, first) })

		Convey("with another for another binary", func() {
			write(binary, "binary 2")
			So(label(), ShouldNotEqual, first)
		})

		Convey("with another for another Dockerfile", func() {
			write(dockerfile, "USER 1")
			So(label(), ShouldNotEqual, first)
		})

		Convey("with another for another base image", func() { So(label("BASE_IMAGE=scratch"), ShouldNotEqual, first) })

		Convey("with another for a base image of the same name with other content", func() {
			s.answer("docker image inspect --format {{.Id}} iron/base", "sha256:base2")
			So(label(), ShouldNotEqual, first)
		})
	})

	Convey("Without a binary, image.sh says how to get one", t, func() {
		r := newStage().run("image.sh").fails("no binary build/accountservice-linux-amd64", "scripts/build.sh")
		So(r.changes(), ShouldBeEmpty)
	})
}

func TestTrial(t *testing.T) {
	Convey("Given an image just built", t, func() {
		s := newStage()
		fails := func(words ...string) {
			So(s.run("trial.sh").fails(words...).changes(), ShouldResemble, []string{runLine, "docker rm --force accountservice-trial-PID"})
		}

		Convey("trial.sh runs it, confined, until it is healthy, and removes the container", func() {
			s.once(trialHealth, "running starting")
			s.once(trialHealth, "created starting")
			r := s.run("trial.sh").passes()
			So(r.changes(), ShouldResemble, []string{runLine, "docker rm --force accountservice-trial-PID"})
			So(strings.Count(r.call("docker inspect --format {{.State.Status}}"), "\n"), ShouldEqual, 2)
		})

		Convey("it has the service's limits and environment, but never its volume", func() {
			r := s.run("trial.sh", "DATA_VOLUME=accounts", "LIMIT_CPU=0.5", "LIMIT_MEMORY=1g", "TMPFS_SIZE=512m", "SERVICE_ENV=A=1 B=2").passes()
			So(r.call("docker run"), ShouldEqual, edit(runLine, "size=64m", "size=512m", "128m", "1g", " --read-only", " --cpus 0.5 --read-only", "ALL", "ALL --env A=1 --env B=2"))
		})

		Convey("an engine that knows no start interval is not asked for one", func() {
			s.answer("docker version --format {{.Client.APIVersion}}", "1.41")
			So(s.run("trial.sh").passes().call("docker run"), ShouldEqual, edit(runLine, " --health-start-interval 200ms", ""))
		})

		Convey("one that ends is explained by its log and exit code", func() {
			s.answer(trialHealth, "exited unhealthy")
			s.answer("docker logs --tail 10 accountservice-trial-*", "error: cannot open /data/accounts.db")
			s.answer(exitCode, "    exit code 3")
			fails("(its state: exited unhealthy); the service was not touched", "    error: cannot open /data/accounts.db\n", "exit code 3")
		})

		Convey("one that is not healthy in time is explained by its health check", func() {
			s.outOfTime()
			s.answer(trialHealth, "running starting")
			s.answer(exitCode, "    exit code 0\n    health check: connection refused")
			fails("(its state: running starting)", "health check: connection refused")
		})

		Convey("one that falls ill within TRIAL_SECONDS fails", func() {
			s.fake("date")
			s.answer("date +%s", "1002")
			s.once("date +%s", "1000")
			s.once("date +%s", "1000")
			s.answer(trialHealth, "running unhealthy")
			s.once(trialHealth, "running healthy")
			s.once(trialHealth, "running healthy")
			s.run("trial.sh", "TRIAL_SECONDS=3").fails("(its state: running unhealthy)")
		})

		Convey("one without a health check is refused, with the Dockerfile to mend", func() {
			s.answer(trialHealth, "running ")
			fails("someprefix/accountservice:v1 has no health check", "dockerfiles/accountservice.Dockerfile")
		})

		Convey("one that does not start shows the engine's words", func() {
			s.refuse("docker run *", `exec: "/accountservice": permission denied`)
			fails("the new image does not start", `exec: "/accountservice": permission denied`)
		})

		Convey("one that is not there is asked for", func() {
			s.refuse("docker image inspect *", "Error: No such image")
			So(s.run("trial.sh").fails("no image someprefix/accountservice:v1").call("docker run"), ShouldBeEmpty)
		})
	})
}

func TestService(t *testing.T) {
	Convey("Given a manager on which the service runs", t, func() {
		s := newStage()
		creates := func(want string, environment ...string) result {
			r := s.run("service.sh", environment...).passes()
			So(r.call("docker service create"), ShouldEqual, want)
			return r
		}
		// With other arguments, and what else the pairs say.
		with := func(oldNew ...string) string { return createLine(edit(serviceArguments, oldNew...)) }

		Convey("service.sh removes it at once, and creates it from the image's id", func() {
			s.answer(remembered, oldService)
			r := creates(createLine(serviceArguments))
			So(r.verbs(), ShouldResemble, []string{"docker service rm", "docker rm", "docker service create"})
			So(r.call("docker rm"), ShouldEqual, "docker rm --force container1")
			So(r.stdout, ShouldNotContainSubstring, "This changes the replicas")
		})

		Convey("on several nodes it waits until the old tasks are gone", func() {
			s.answer(activeNodes, "Ready Active\nReady Active")
			s.once("docker node ps * node1", "service2.1 on host1: Running 5 minutes ago\nother.1 on host1: Running 1 hour ago")
			So(strings.Count(creates(createLine(serviceArguments)).call("docker node ps"), "\n"), ShouldEqual, 1)
		})

		Convey("tasks that do not go away are named, and nothing is created", func() {
			s.outOfTime()
			s.answer(activeNodes, "Ready Active\nReady Active")
			s.answer("docker node ps * node1", "service2.1 on host1: Running 5 minutes ago")
			r := s.run("service.sh", "DEPLOY_TIMEOUT=7").fails("after 7 s tasks of it are still there", "service2.1 on host1: Running 5 minutes ago")
			So(r.call("docker service create"), ShouldBeEmpty)
		})

		Convey("an engine that knows no start interval probes each second", func() {
			s.answer("docker version --format {{.Client.APIVersion}}", "1.41")
			creates(with("--health-interval 5s\n--health-start-interval 200ms", "--health-interval 1s"))
		})

		Convey("in host mode it does without a virtual IP, and stops the old task first", func() {
			creates(edit(with(hostMode...), "start-first", "stop-first"), "PUBLISH_MODE=host")
		})

		Convey("in host mode with a node to spare it starts the new task first", func() {
			s.answer(activeNodes, "Ready Active\nReady Active")
			creates(with(hostMode...), "PUBLISH_MODE=host")
		})

		Convey("in host mode a node that is drained is none to spare", func() {
			s.answer(activeNodes, "Ready Active\nReady Drain")
			creates(edit(with(hostMode...), "start-first", "stop-first"), "PUBLISH_MODE=host")
		})

		Convey("it has the ports, limits and environment that are asked for", func() {
			creates(with("published=6767", "published=80", "target=6767", "target=8080", "--limit-memory 128m", "--limit-cpu 0.5\n--limit-memory 1g",
				"ALL", "ALL\n--env A=1\n--env B=2", "tmpfs-size=64m", "tmpfs-size=512m"),
				"PORT=80", "TARGET_PORT=8080", "LIMIT_MEMORY=1g", "LIMIT_CPU=0.5", "SERVICE_ENV=A=1 B=2", "TMPFS_SIZE=512m")
		})

		Convey("it has the replicas that are asked for, and a change of them is announced", func() {
			r := creates(edit(createLine(serviceArguments), "--replicas 1", "--replicas 3"), "REPLICAS=3")
			So(r.stdout, ShouldContainSubstring, "This changes the replicas of accountservice from 1 to 3\n")
		})

		Convey("its database is on DATA_VOLUME where that is set", func() {
			creates(with("type=tmpfs,destination=/data,tmpfs-size=64m,tmpfs-mode=1777", "type=volume,source=accounts,destination=/data"),
				"DATA_VOLUME=accounts")
		})

		Convey("with a registry it is created from the digest", func() {
			s.answer(repoDigests, "elsewhere/accountservice@sha256:0\n"+digest)
			creates(createFrom(serviceArguments, digest, digest+" v1 "+sha256Of(serviceArguments)+" sha256:new v1 5ha-v1"), "REGISTRY=registry.example:5000")
		})

		Convey("an image that the registry does not have is asked for", func() {
			s.answer(repoDigests, "elsewhere/accountservice@sha256:0")
			So(s.run("service.sh", "REGISTRY=registry.example:5000").fails("that registry.example:5000 has too", "scripts/push.sh").changes(), ShouldBeEmpty)
		})

		Convey("the same image again notes what the first one replaced", func() {
			creates(createLine(serviceArguments))
		})

		Convey("one that these scripts did not create is left alone", func() {
			s.answer(remembered, foreignService)
			So(s.run("service.sh").fails("these scripts did not create").changes(), ShouldBeEmpty)
		})

		Convey("the same bytes in an image with another id note what the first one replaced", func() {
			s.answer(remembered, edit(sameService, "sha256:new", "sha256:cached"))
			creates(createLine(serviceArguments))
		})

		Convey("run alone, it takes the lock", func() {
			s.answer(remembered, oldService)
			So(s.run("service.sh", "holder=").passes().verbs(), ShouldResemble, []string{"docker config create",
				"docker service rm", "docker rm", "docker service create", "docker config rm"})
		})

		Convey("run alone, and interrupted, it comes to its end and says that it was", func() {
			s.answer(remembered, oldService)
			s.interrupt("docker service rm *", "")
			r := s.run("service.sh")
			So(r.exit, ShouldEqual, 130)
			So(r.verbs(), ShouldResemble, []string{"docker service rm", "docker rm", "docker service create"})
		})

		Convey("where it is not there, it is only created", func() {
			s.refuse(anyService, "Error: no such service")
			r := creates(createFrom(serviceArguments, "sha256:new", "sha256:new v1 "+sha256Of(serviceArguments)+"   "))
			So(r.verbs(), ShouldResemble, []string{"docker service create"})
		})

		Convey("without an image it is left alone", func() {
			s.refuse("docker image inspect *", "Error: No such image")
			So(s.run("service.sh").fails("no image someprefix/accountservice:v1").changes(), ShouldBeEmpty)
		})
	})
}

func TestCopyall(t *testing.T) {
	Convey("Given a manager on which an old version of the service runs", t, func() {
		s := newStage()
		s.before(oldService)

		Convey("copyall.sh removes it only when its successor has passed the trial, under a lock", func() {
			r := s.run("copyall.sh").passes()
			So(r.verbs(), ShouldResemble, []string{"docker config create", "go build", "docker build", "docker run", "docker rm",
				"docker service rm", "docker rm", "docker service create", "docker config rm"})
			So(r.call("docker service create"), ShouldEqual, createLine(serviceArguments))
			So(r.stdout, ShouldContainSubstring, "==> accountservice answers: http://192.0.2.1:6767/accounts/10000\n")
			So(r.stdout, ShouldContainSubstring, "==> Deployed accountservice v1 in ")
			for _, step := range []string{"preflight", "build", "image", "trial", "swarm", "network", "service", "verify", "tidy"} {
				So(r.stdout, ShouldContainSubstring, "    "+step+".sh: ")
			}
		})

		Convey("its clock starts after the trial, however long that took", func() {
			s.fake("date")
			s.answer("date +%s", "5000")
			s.once("date +%s", "1000")
			s.run("copyall.sh").passes()
		})

		Convey("on an engine in no swarm it makes swarm and network after the trial, before the service", func() {
			for range 5 { // preflight, before the lock, image, trial, swarm
				s.once(swarmState, "inactive false")
			}
			s.answer("docker swarm init", "Swarm initialized")
			s.refuse("docker network inspect *", "Error: No such network")
			s.answer("docker network create *", "net1")
			s.missing()
			s.put(remembered, "1 once", "Error: no such service") // Once more in the new swarm.
			r := s.run("copyall.sh").passes()
			So(r.verbs(), ShouldResemble, []string{"go build", "docker build", "docker run", "docker rm", "docker swarm init",
				"docker config create", "docker network create", "docker service create", "docker config rm"})
		})

		Convey("where the same runs already it needs no trial, but recreates it", func() {
			s.before(sameService)
			r := s.run("copyall.sh").passes()
			So(r.stdout, ShouldContainSubstring, "accountservice v1 runs already, built from the same: no trial needed\n")
			So(r.verbs(), ShouldResemble, []string{"docker config create", "go build", "docker build",
				"docker service rm", "docker rm", "docker service create", "docker config rm"})
		})

		const untouched = "nothing was changed; if accountservice was running, it still is"

		Convey("a go build that fails ends it", func() {
			s.refuse("go build *", "./main.go:1:1: syntax error")
			r := s.run("copyall.sh").fails("./main.go:1:1: syntax error", "error: build.sh failed: "+untouched)
			So(r.verbs(), ShouldResemble, []string{"docker config create", "go build", "docker config rm"})
		})

		Convey("a docker build that fails ends it with the engine's words", func() {
			s.refuse("docker build *", "no space left on device")
			r := s.run("copyall.sh").fails("no space left on device", "error: image.sh failed: "+untouched)
			So(r.verbs(), ShouldResemble, []string{"docker config create", "go build", "docker build", "docker config rm"})
		})

		Convey("a trial that fails ends it", func() {
			s.answer(trialHealth, "exited starting")
			s.answer(exitCode, "    exit code 2")
			r := s.run("copyall.sh").fails("exit code 2", "error: trial.sh failed: "+untouched)
			So(r.verbs(), ShouldResemble, []string{"docker config create", "go build", "docker build", "docker run", "docker rm", "docker config rm"})
		})
	})
}

func TestTidy(t *testing.T) {
	Convey("Given images of this service that it does not run", t, func() {
		s := newStage()
		s.answer("docker images --quiet --no-trunc --filter label=copyall.service=accountservice",
			"sha256:new\nsha256:older\nsha256:new\nsha256:used\nsha256:old\nsha256:oldest")
		s.refuse("docker rmi sha256:used", "conflict: unable to delete, image is being used by stopped container c1")

		Convey("tidy.sh removes them without force, but for the one it replaced and those in use", func() {
			r := s.run("tidy.sh").passes()
			So(r.changes(), ShouldResemble, []string{"docker rmi sha256:older", "docker rmi sha256:oldest", "docker rmi sha256:used"})
			So(r.stdout, ShouldContainSubstring, "Removed the old image sha256:older\n")
			So(r.stdout, ShouldNotContainSubstring, "sha256:used")
		})

		Convey("where the service is not there, it removes nothing", func() {
			s.refuse(anyService, "Error: no such service")
			So(s.run("tidy.sh").fails("no service accountservice").changes(), ShouldBeEmpty)
		})
	})
}
