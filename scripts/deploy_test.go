package scripts

import (
	"os"
	"strings"
	"testing"

	. "github.com/smartystreets/goconvey/convey"
)

const (
	// The container that tries out an image.
	runLine = "docker run --detach --name accountservice-trial-PID --network none" +
		" --health-interval 200ms --health-start-period 30s --tmpfs /data:size=64m,mode=1777 --memory 128m" +
		" --read-only --cap-drop ALL sha256:new"

	// The service, in ingress mode, with an engine that knows a start interval.
	createLine = "docker service create --name accountservice --detach --no-resolve-image --network my_network" +
		" --restart-delay 500ms --stop-grace-period 20s" +
		" --log-driver json-file --log-opt max-size=10m --log-opt max-file=3" +
		" --update-failure-action rollback --update-parallelism 1" +
		" --replicas 1 --publish mode=ingress,published=6767,target=6767" +
		" --limit-memory 128m --read-only --cap-drop ALL" +
		" --update-order start-first --rollback-order start-first" +
		" --label copyall.version=v1 --label copyall.previous-image=sha256:old --label copyall.previous-version=v0" +
		" --mount type=tmpfs,destination=/data,tmpfs-size=64m,tmpfs-mode=1777" +
		" --health-interval 5s --health-start-interval 200ms --health-start-period 10s sha256:new"
)

func TestBuild(t *testing.T) {
	Convey("Given a binary from an earlier build", t, func() {
		s := newStage(t)
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

func TestImage(t *testing.T) {
	for _, it := range []struct {
		when, setting string
		setUp         func(s *stage)
		uses, pulls   string
	}{
		{"the engine has", "", func(*stage) {}, "iron/base", ""},
		{"the engine can pull", "", func(s *stage) {
			s.refuse("docker image inspect *", "Error: No such image")
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
			s := newStage(t)
			write(s.path("build/accountservice-linux-amd64"), "binary")
			it.setUp(s)
			r := s.run("image.sh", it.setting)
			So(r.exit, ShouldEqual, 0)
			So(r.call("docker pull"), ShouldEqual, it.pulls)
			So(r.call("docker build"), ShouldStartWith, "docker build --quiet --platform linux/amd64 --file dockerfiles/accountservice.Dockerfile"+
				" --tag someprefix/accountservice:latest --tag someprefix/accountservice:v1"+
				" --build-arg BASE_IMAGE="+it.uses+" --build-arg VERSION=v1 --build-arg SERVICE=accountservice "+s.path("tmp"))
			if it.uses == "scratch" && it.setting == "" {
				So(r.stderr, ShouldStartWith, "==> iron/base cannot be pulled: using scratch")
				So(strings.Count(r.stderr, "\n"), ShouldEqual, 1)
			} else {
				So(r.stderr, ShouldBeEmpty)
			}
			left, err := os.ReadDir(s.path("tmp"))
			So(err, ShouldBeNil)
			So(left, ShouldBeEmpty)
		})
	}

	Convey("Without a binary, image.sh says how to get one", t, func() {
		r := newStage(t).run("image.sh").fails("no binary build/accountservice-linux-amd64", "scripts/build.sh")
		So(r.changes(), ShouldBeEmpty)
	})
}

func TestTrial(t *testing.T) {
	Convey("Given an image just built", t, func() {
		s := newStage(t)
		fails := func(words ...string) {
			So(s.run("trial.sh").fails(words...).changes(), ShouldResemble, []string{runLine, "docker rm --force accountservice-trial-PID"})
		}

		Convey("trial.sh runs it by id, confined, until it is healthy, and removes the container", func() {
			s.once(trialHealth, "running starting")
			s.once(trialHealth, "created starting")
			r := s.run("trial.sh").passes()
			So(r.changes(), ShouldResemble, []string{runLine, "docker rm --force accountservice-trial-PID"})
			So(strings.Count(r.call("docker inspect --format {{.State.Status}}"), "\n"), ShouldEqual, 2)
		})

		Convey("it has the service's limits and environment, but never its volume", func() {
			r := s.run("trial.sh", "DATA_VOLUME=accounts", "LIMIT_CPU=0.5", "LIMIT_MEMORY=1g", "TMPFS_SIZE=512m", "SERVICE_ENV=A=1 B=2").passes()
			So(r.call("docker run"), ShouldEqual, edit(runLine, "size=64m", "size=512m", "128m", "1g --cpus 0.5", "ALL", "ALL --env A=1 --env B=2"))
		})

		Convey("one that ends is explained by its log and exit code", func() {
			s.answer(trialHealth, "exited unhealthy")
			s.answer("docker logs --tail 10 accountservice-trial-*", "error: cannot open /data/accounts.db")
			s.answer(exitCode, "    exit code 3")
			fails("(exited unhealthy); the service was not touched", "    error: cannot open /data/accounts.db\n", "exit code 3")
		})

		Convey("one that is not healthy in time is explained by its health check", func() {
			s.outOfTime()
			s.answer(trialHealth, "running starting")
			s.answer(exitCode, "    exit code 0\n    health check: connection refused")
			fails("not healthy after 30 s", "health check: connection refused")
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
		s := newStage(t)
		creates := func(want string, environment ...string) result {
			r := s.run("service.sh", environment...).passes()
			So(r.call("docker service create"), ShouldEqual, want)
			return r
		}

		Convey("service.sh removes it, waits for its tasks, and creates it from the image's id", func() {
			s.answer("docker node ps * node1", "service11.1 on host1: Running 1 hour ago")
			s.once("docker node ps * node1", "service1.1 on host1: Running 5 minutes ago\nservice11.1 on host1: Running 1 hour ago")
			r := creates(createLine)
			So(r.verbs(), ShouldResemble, []string{"docker service rm", "docker kill", "docker service create"})
			So(strings.Count(r.call("docker node ps"), "\n"), ShouldEqual, 1)
		})

		Convey("an engine that knows no start interval probes each second", func() {
			s.answer("docker version --format {{.Client.APIVersion}}", "1.41")
			creates(edit(createLine, "--health-interval 5s --health-start-interval 200ms", "--health-interval 1s"))
		})

		host := []string{"mode=ingress", "mode=host", "--update-parallelism 1", "--update-parallelism 1 --endpoint-mode dnsrr"}
		stopFirst := append(host, "--update-order start-first --rollback-order start-first", "--update-order stop-first --rollback-order stop-first")

		Convey("in host mode it does without a virtual IP, and stops the old task first", func() {
			creates(edit(createLine, stopFirst...), "PUBLISH_MODE=host")
		})

		Convey("in host mode with a node to spare it starts the new task first", func() {
			s.answer("docker node ls --format {{.Status}} {{.Availability}}", "Ready Active\nReady Active")
			creates(edit(createLine, host...), "PUBLISH_MODE=host")
		})

		Convey("in host mode a node that is drained is none to spare", func() {
			s.answer("docker node ls --format {{.Status}} {{.Availability}}", "Ready Active\nReady Drain")
			creates(edit(createLine, stopFirst...), "PUBLISH_MODE=host")
		})

		Convey("it has the replicas, ports, limits and environment that are asked for", func() {
			creates(edit(createLine, "--replicas 1", "--replicas 3", "published=6767", "published=80", "target=6767", "target=8080",
				"128m", "1g", "ALL", "ALL --env A=1 --env B=2", "tmpfs-size=64m", "tmpfs-size=512m", "--mount", "--limit-cpu 0.5 --mount"),
				"REPLICAS=3", "PORT=80", "TARGET_PORT=8080", "LIMIT_MEMORY=1g", "LIMIT_CPU=0.5", "SERVICE_ENV=A=1 B=2", "TMPFS_SIZE=512m")
		})

		Convey("its database is on DATA_VOLUME where that is set", func() {
			creates(edit(createLine, "type=tmpfs,destination=/data,tmpfs-size=64m,tmpfs-mode=1777", "type=volume,source=accounts,destination=/data"),
				"DATA_VOLUME=accounts")
		})

		Convey("another image is noted as the one it replaces", func() {
			s.answer("docker service inspect --format {{.Spec.TaskTemplate.ContainerSpec.Image}} accountservice", "sha256:older")
			s.answer(`docker service inspect --format {{index * "copyall.version"}} accountservice`, "v0.9")
			creates(edit(createLine, "sha256:old", "sha256:older", "previous-version=v0", "previous-version=v0.9"))
		})

		Convey("where it is not there, it is only created", func() {
			s.refuse(anyService, "Error: no such service")
			r := creates(edit(createLine, "previous-image=sha256:old", "previous-image=", "previous-version=v0", "previous-version="))
			So(r.verbs(), ShouldResemble, []string{"docker service create"})
		})

		Convey("without an image it is left alone", func() {
			s.refuse("docker image inspect *", "Error: No such image")
			So(s.run("service.sh").fails("no image someprefix/accountservice:v1").changes(), ShouldBeEmpty)
		})

		Convey("tasks that do not go away are named, and nothing is created", func() {
			s.outOfTime()
			s.answer("docker node ps * node1", "service1.1 on host1: Running 5 minutes ago")
			r := s.run("service.sh", "DEPLOY_TIMEOUT=7").fails("after 7 s tasks of it are still there", "service1.1 on host1: Running 5 minutes ago")
			So(r.call("docker service create"), ShouldBeEmpty)
		})
	})
}

func TestCopyall(t *testing.T) {
	Convey("Given a manager on which the service runs", t, func() {
		s := newStage(t)

		Convey("copyall.sh removes it only when its successor has passed the trial", func() {
			r := s.run("copyall.sh").passes()
			So(r.verbs(), ShouldResemble, []string{"go build", "docker build", "docker run", "docker rm", "docker service rm", "docker kill", "docker service create"})
			So(r.stdout, ShouldContainSubstring, "==> accountservice answers: http://192.0.2.1:6767/accounts/10000\n")
			for _, step := range []string{"preflight", "build", "image", "trial", "swarm", "network", "service", "verify", "tidy"} {
				So(r.stdout, ShouldContainSubstring, "    "+step+".sh: ")
			}
		})

		Convey("on an engine in no swarm it makes swarm and network after the trial, before the service", func() {
			s.once(swarmState, "inactive")
			s.once(swarmState, "inactive")
			s.answer("docker swarm init", "Swarm initialized")
			s.refuse("docker network inspect *", "Error: No such network")
			s.answer("docker network create *", "net1")
			s.refuse(anyService, "Error: no such service")
			r := s.run("copyall.sh") // verify.sh ends it, as the service is never there.
			So(r.verbs(), ShouldResemble, []string{"go build", "docker build", "docker run", "docker rm", "docker swarm init", "docker network create", "docker service create"})
		})

		Convey("its clock starts after the trial, however long that took", func() {
			s.fake("date")
			s.answer("date +%s", "5000")
			s.once("date +%s", "1000")
			s.run("copyall.sh").passes()
		})

		Convey("its clock runs through all steps, and a service that does not run in time fails it", func() {
			s.fake("date")
			s.answer("date +%s", "5000")
			s.once("date +%s", "1000") // in the trial
			s.once("date +%s", "1000") // at the start of the clock
			s.answer(taskStates, "Running sha256:new Starting 1 second ago")
			s.run("copyall.sh").fails("error: verify.sh failed: accountservice is not known to answer")
		})

		Convey("what the engine says against creating the service is shown", func() {
			s.refuse("docker service create *", "invalid mount config")
			s.run("copyall.sh").fails("invalid mount config", "error: service.sh failed: accountservice is not known to answer")
		})

		const untouched = "nothing was changed; if accountservice was running, it still is"

		Convey("a go build that fails ends it", func() {
			s.refuse("go build *", "./main.go:1:1: syntax error")
			r := s.run("copyall.sh").fails("./main.go:1:1: syntax error", "error: build.sh failed: "+untouched)
			So(r.verbs(), ShouldResemble, []string{"go build"})
		})

		Convey("a docker build that fails ends it with the engine's words", func() {
			s.refuse("docker build *", "no space left on device")
			r := s.run("copyall.sh").fails("no space left on device", "error: image.sh failed: "+untouched)
			So(r.verbs(), ShouldResemble, []string{"go build", "docker build"})
		})

		Convey("a trial that fails ends it", func() {
			s.answer(trialHealth, "exited starting")
			s.answer(exitCode, "    exit code 2")
			r := s.run("copyall.sh").fails("exit code 2", "error: trial.sh failed: "+untouched)
			So(r.verbs(), ShouldResemble, []string{"go build", "docker build", "docker run", "docker rm"})
		})
	})
}

func TestTidy(t *testing.T) {
	Convey("Given images of this service that it does not run", t, func() {
		s := newStage(t)
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
