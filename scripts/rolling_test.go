package scripts

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	. "github.com/smartystreets/goconvey/convey"
)

// sameService is the service that a deploy would create.
var sameService = edit(newService, "5ha-v1", sha256Of(serviceArguments))

// The labels of a deploy that replaces oldService.
var newLabels = "sha256:new v1 " + sha256Of(serviceArguments) + " sha256:old v0 5ha-v0"

func TestRolling(t *testing.T) {
	for _, it := range []struct {
		when, nodes, replicas, setting string
		oldNew                         []string
	}{
		{"in ingress mode it starts the new task first", "1", "1", "", nil},
		{"in host mode with a node to spare it starts the new task first", "2", "1", "PUBLISH_MODE=host", nil},
		{"in host mode on one node it stops the old task first", "1", "1", "PUBLISH_MODE=host", []string{"start-first", "stop-first"}},
		{"in host mode with a task on each node it stops the old task first", "2", "2", "PUBLISH_MODE=host", []string{"start-first", "stop-first"}},
		{"REPLICAS changes nothing", "1", "1", "REPLICAS=3", nil},
		{"FORCE updates to the same, too", "1", "1", "FORCE=yes", []string{"--update-order", "--force --update-order"}},
		{"REGISTRY makes it go by digest", "2", "1", "REGISTRY=registry.example:5000", []string{"sha256:new", digest}},
	} {
		Convey("rolling.sh updates the service by one call: "+it.when, t, func() {
			s := newStage()
			service := edit(oldService, "\n1\n", "\n"+it.replicas+"\n")
			if it.setting == "PUBLISH_MODE=host" {
				service = edit(service, hostMode...)
			}
			s.answer(remembered, service)
			s.answer(repoDigests, digest)
			if it.nodes == "2" {
				s.answer(activeNodes, "Ready Active\nReady Active")
			}
			labels := newLabels
			if it.setting == "PUBLISH_MODE=host" {
				labels = edit(labels, sha256Of(serviceArguments), sha256Of(edit(serviceArguments, hostMode...)))
			}
			r := s.run("rolling.sh", it.setting).passes()
			So(r.changes(), ShouldResemble, []string{edit(updateLine("sha256:new", labels), it.oldNew...)})
			stops := strings.Contains(r.call("docker service update"), "stop-first")
			So(strings.Contains(r.stdout, "expect an outage"), ShouldEqual, stops)
		})
	}

	Convey("rolling.sh waits until the update is complete", t, func() {
		s := newStage()
		s.once(updateState, "updating")
		s.once(updateState, "")
		r := s.run("rolling.sh").passes()
		So(strings.Count(r.call("docker service inspect --format {{with .UpdateStatus}}"), "\n"), ShouldEqual, 2)
	})

	Convey("rolling.sh gives up an update that does not end", t, func() {
		s := newStage()
		s.outOfTime()
		s.answer(updateState, "updating")
		s.run("rolling.sh", "DEPLOY_TIMEOUT=7").fails("the update of accountservice to v1 failed")
	})

	Convey("Without a service, rolling.sh says how to create it", t, func() {
		s := newStage()
		s.refuse(anyService, "Error: no such service")
		So(s.run("rolling.sh").fails("no service accountservice to update", "scripts/copyall.sh").changes(), ShouldBeEmpty)
	})

	Convey("Given a manager on which a service runs", t, func() {
		s := newStage()
		rolling := func(arguments []string, environment ...string) result {
			return s.runWith("copyall.sh", append(arguments, "--rolling"), environment...)
		}
		updated := []string{"docker config create", "go build", "docker build", "docker run", "docker rm", "docker service update", "docker config rm"}

		Convey("copyall.sh --rolling updates it once its successor has passed the trial, under a lock", func() {
			s.before(oldService)
			r := rolling(nil).passes()
			So(r.verbs(), ShouldResemble, updated)
			So(r.call("docker service update"), ShouldEqual, updateLine("sha256:new", newLabels))
			So(r.stdout, ShouldContainSubstring, "==> accountservice answers: http://192.0.2.1:6767/accounts/10000\n")
			So(r.stdout, ShouldContainSubstring, "==> Deployed accountservice v1 in ")
		})

		Convey("with REGISTRY it pushes the image before it updates", func() {
			s.before(oldService)
			s.answer(activeNodes, "Ready Active\nReady Active")
			s.answer(repoDigests, digest)
			s.answer("docker tag *", "")
			s.answer("docker push *", "")
			r := rolling(nil, "REGISTRY=registry.example:5000").passes()
			So(r.verbs(), ShouldResemble, []string{"docker config create", "go build", "docker build", "docker run", "docker rm", "docker tag", "docker push",
				"docker service update", "docker config rm"})
			So(r.call("docker service update"), ShouldStartWith,
				"docker service update --detach --no-resolve-image --with-registry-auth --image "+digest+" ")
		})

		Convey("one that is not there is created", func() {
			s.missing()
			So(rolling(nil).passes().call("docker service create"), ShouldEqual,
				createFrom(serviceArguments, "sha256:new", "sha256:new v1 "+sha256Of(serviceArguments)+"   "))
		})

		Convey("other settings are refused by the lines that differ", func() {
			s.before(oldService)
			r := rolling(nil, "LIMIT_MEMORY=64m", "SERVICE_ENV=A=1").fails("runs with other settings", "deploy without --rolling",
				"       now:    --limit-memory 128m\n", "       wanted: --limit-memory 64m\n", "       wanted: --env A=1\n")
			So(r.stderr, ShouldNotContainSubstring, "--network")
			So(r.verbs(), ShouldResemble, justLocked)
		})

		for _, flag := range []string{"", "--rolling", "--force"} {
			Convey("one that these scripts did not create is refused, as it could not be put back, by copyall.sh "+flag, func() {
				s.before(foreignService)
				r := s.runWith("copyall.sh", strings.Fields(flag)).fails("accountservice runs that these scripts did not create", "docker service rm accountservice")
				So(r.verbs(), ShouldResemble, justLocked)
			})
		}

		for _, script := range []string{"copyall.sh --rolling", "rollback.sh"} {
			Convey("one that is scaled to nothing has nothing to update for "+script, func() {
				s.before(edit(oldService, "\n1\n", "\n0\n"))
				s.answer("docker image inspect sha256:older", "[]")
				name, flag, _ := strings.Cut(script, " ")
				r := s.runWith(name, strings.Fields(flag)).fails("accountservice is scaled to 0 replicas", "docker service scale accountservice=1")
				So(r.verbs(), ShouldResemble, justLocked)
			})
		}

		Convey("where the same runs already there is nothing to deploy", func() {
			s.before(sameService)

			Convey("but it is verified", func() {
				r := rolling(nil).passes()
				So(r.stdout, ShouldContainSubstring, "accountservice v1 runs already, built from the same: nothing to deploy (--force deploys all the same)\n")
				So(r.verbs(), ShouldResemble, []string{"docker config create", "go build", "docker build", "docker config rm"})
				So(len(urls(r)), ShouldEqual, 1)
			})

			Convey("and one that does not answer is an error", func() {
				s.outOfTime()
				s.put("curl *", "7", "curl: (7) Failed to connect")
				So(rolling(nil).fails("does not answer as it should").verbs(), ShouldResemble, []string{"docker config create", "go build", "docker build", "docker config rm"})
			})

			Convey("unless --force is given", func() {
				r := rolling([]string{"--force"}).passes()
				So(r.verbs(), ShouldResemble, updated)
				So(r.call("docker service update"), ShouldEqual, edit(updateLine("sha256:new", newLabels), "--update-order", "--force --update-order"))
			})
		})

		Convey("where somebody gave it another image by hand, there is something to deploy", func() {
			s.before(edit(sameService, "service2\nsha256:new", "service2\nsha256:byhand"))
			r := rolling(nil).passes()
			So(r.verbs(), ShouldResemble, updated)
			// Its version and sha256 are not those of the last deploy.
			So(r.call("docker service update"), ShouldEqual, updateLine("sha256:new", "sha256:new v1 "+sha256Of(serviceArguments)+" sha256:byhand  "))
		})

		Convey("where the image is built from something else, there is something to deploy", func() {
			s.before(sameService)
			s.answer(`docker image inspect --format {{index .Config.Labels "copyall.sha256"}} *`, "5ha-of-other")
			So(rolling(nil).passes().verbs(), ShouldResemble, updated)
		})
	})
}

// justLocked are the changes of what is refused under the lock.
var justLocked = []string{"docker config create", "docker config rm"}

const oldRuns = "Running sha256:old Running 1 second ago task1"

func TestUndo(t *testing.T) {
	Convey("Given a new version that passes its trial, but fails as a service", t, func() {
		s := newStage()
		s.answer("docker ps --all *", "")
		s.answer(serviceImage, "sha256:old") // As it is in the end.
		s.answer(taskStates, oldRuns)
		s.answer(taskErrors, `sha256:new task2 accountservice.1 on host1: Failed 1 second ago "task: non-zero exit (3)"`)
		s.answer("docker inspect --format {{with .Status.ContainerStatus}}* task2", "container2")
		s.answer("docker service logs --raw --tail 10 task2", "error: cannot open the database")
		s.answer(exitCode+" container2", "    exit code 3")
		why := []string{"    accountservice.1 on host1: Failed 1 second ago \"task: non-zero exit (3)\"\n", "    error: cannot open the database\n", "    exit code 3\n"}
		// failed asserts that a deploy explains why, and frees its lock.
		failed := func(r result, words ...string) result {
			r.fails(append(why, words...)...)
			So(r.call("docker config rm"), ShouldEqual, "docker config rm accountservice.deploy-lock")
			return r
		}

		Convey("that copyall.sh puts in the place of another", func() {
			s.answer(serviceID, "service2")
			s.once(serviceImage, "sha256:new")
			s.failing()

			Convey("the old one is created again as it was", func() {
				s.before(edit(oldService, "\n1\n", "\n3\n", "128m", "64m"))
				r := failed(s.run("copyall.sh"), "error: the deploy of accountservice failed; version v0 serves again\n")
				lines := strings.Split(r.call("docker service create"), "\n")
				So(len(lines), ShouldEqual, 2)
				So(lines[0], ShouldEqual, createLine(serviceArguments))
				So(lines[1], ShouldEqual, edit(createFrom(edit(serviceArguments, "128m", "64m"), "sha256:old", "sha256:old v0 5ha-v0 sha256:older v0.9 5ha-v0.9"),
					"--replicas 1", "--replicas 3"))
				So(r.call("docker service rm"), ShouldEqual, "docker service rm accountservice\ndocker service rm accountservice")
			})

			Convey("where the old one fails as well, nothing answers", func() {
				s.before(oldService)
				s.answer(serviceImage, "sha256:new")
				s.failing()
				s.failing()
				failed(s.run("copyall.sh"), "the deploy of accountservice failed, and so did going back to v0: nothing answers")
			})
		})

		Convey("that the engine does not even create, the old one comes back", func() {
			s.before(oldService)
			s.put("docker service create *", "1 once", "invalid mount config")
			s.put(serviceID, "1", "Error: no such service")
			r := s.run("copyall.sh").fails("invalid mount config", "version v0 serves again")
			So(r.call("docker service create"), ShouldEndWith, createFrom(serviceArguments, "sha256:old", "sha256:old v0 5ha-v0 sha256:older v0.9 5ha-v0.9"))
		})

		Convey("that is the first, it is removed after its cause was shown", func() {
			s.missing()
			s.answer(serviceImage, "sha256:new")
			s.failing()
			r := failed(s.run("copyall.sh"), "error: the deploy of accountservice failed, and nothing of it is left\n")
			So(r.call("docker service rm"), ShouldEqual, "docker service rm accountservice")
			So(r.call("docker service create"), ShouldNotContainSubstring, "\n")
		})

		Convey("that blocks the swarm, so that no task runs after the rolling update, the old one is created anew", func() {
			s.before(oldService)
			s.answer(updateState, "rollback_completed")
			s.answer(anyRuns, "Ready 44 seconds ago\nPending 44 seconds ago")
			s.fake("sleep")
			s.answer("sleep *", "")
			r := s.runWith("copyall.sh", []string{"--rolling"})
			r.fails("the update of accountservice to v1 failed", "version v0 serves again")
			So(r.stdout, ShouldContainSubstring, "No task of it gets to run: creating accountservice v0 anew")
			So(r.call("docker service create"), ShouldEndWith, createFrom(serviceArguments, "sha256:old", "sha256:old v0 5ha-v0 sha256:older v0.9 5ha-v0.9"))
		})

		Convey("that copyall.sh --rolling updates to", func() {
			s.before(oldService)
			rolling := func() result {
				r := failed(s.runWith("copyall.sh", []string{"--rolling"}), "the update of accountservice to v1 failed", "version v0 serves again")
				So(r.call("docker service create"), ShouldBeEmpty)
				return r
			}

			Convey("the swarm goes back by itself, and is only waited for", func() {
				s.answer(updateState, "rollback_started")
				s.once(taskStates, "Running sha256:old Starting 1 second ago")
				So(rolling().call("docker service update"), ShouldEqual, updateLine("sha256:new", newLabels))
			})

			Convey("an update that is paused is updated back", func() {
				s.answer(updateState, "paused")
				s.once(serviceImage, "sha256:new")
				So(rolling().call("docker service update"), ShouldEqual, updateLine("sha256:new", newLabels)+"\n"+
					updateLine("sha256:old", "sha256:old v0 5ha-v0 sha256:older v0.9 5ha-v0.9"))
			})
		})

		Convey("only when copyall.sh --rolling has updated to it, it is updated back", func() {
			s.before(oldService)
			s.once(serviceImage, "sha256:new") // in verify.sh
			s.once(serviceImage, "sha256:new") // in undo.sh
			s.failing()
			r := failed(s.runWith("copyall.sh", []string{"--rolling"}), "version v0 serves again")
			So(r.call("docker service update"), ShouldEndWith, updateLine("sha256:old", "sha256:old v0 5ha-v0 sha256:older v0.9 5ha-v0.9"))
		})
	})

	Convey("undo.sh does nothing outside of a deploy", t, func() {
		So(newStage().run("undo.sh").fails("a step of a deploy", "scripts/rollback.sh").changes(), ShouldBeEmpty)
	})
}

func TestLock(t *testing.T) {
	Convey("Given a manager", t, func() {
		s := newStage()
		s.before(oldService)

		Convey("a deploy takes a lock that says who, where and when", func() {
			s.fake("date")
			s.answer("date +%s", "1000")
			So(s.run("copyall.sh").passes().call("docker config create"), ShouldEqual, "docker config create --label copyall.holder=ann on host1, process PID, in "+
				s.root+" since 2024-05-17 12:00:00 +0000 accountservice.deploy-lock -")
		})

		Convey("one that finds the lock taken builds and changes nothing, and leaves that lock", func() {
			s.answer("docker config ls *", "")
			s.answer(lockHolder, "bob on host2 in /srv/accounts since noon")
			s.refuse("docker config create *", "rpc error: code = AlreadyExists")
			r := s.run("copyall.sh").fails("accountservice is being deployed already, by bob on host2 in /srv/accounts since noon; nothing was changed",
				"docker config rm accountservice.deploy-lock")
			So(r.verbs(), ShouldResemble, []string{"docker config create"})
		})

		Convey("a rollback is refused as well", func() {
			s.answer("docker config ls *", "")
			s.answer(lockHolder, "bob on host2 in /srv/accounts since noon")
			s.refuse("docker config create *", "rpc error: code = AlreadyExists")
			s.answer("docker image inspect sha256:older", "[]")
			So(s.run("rollback.sh").fails("by bob on host2").verbs(), ShouldResemble, []string{"docker config create"})
		})

		for when, it := range map[string][2]string{
			"nobody can tell whose the lock is": {"docker config ls *", "rpc error: no leader"},
			"the lock cannot be removed":        {"docker config rm *", "rpc error: no leader"},
		} {
			Convey("when "+when+" in the end, the deploy has worked all the same, and the lock is told of", func() {
				s.refuse(it[0], it[1])
				r := s.run("copyall.sh")
				So(r.exit, ShouldEqual, 0)
				So(r.stderr, ShouldEndWith, "error: the lock accountservice.deploy-lock may be left behind; free it: docker config rm accountservice.deploy-lock\n")
			})
		}

		Convey("it is freed when Ctrl-C comes at the very end", func() {
			s.interrupt("docker config ls *", "config1")
			So(s.run("copyall.sh").call("docker config rm"), ShouldNotBeEmpty)
		})

		Convey("a lock that cannot be had for another reason shows the engine's words", func() {
			s.refuse("docker config create *", "rpc error: no leader")
			s.run("copyall.sh").fails("the lock accountservice.deploy-lock cannot be had", "rpc error: no leader")
		})
	})
}

func TestRollback(t *testing.T) {
	Convey("Given a service that replaced another", t, func() {
		s := newStage()
		s.before(newService)
		s.answer(serviceImage, "sha256:old")
		s.answer(taskStates, oldRuns)
		back := updateLine("sha256:old", "sha256:old v0 5ha-v0 sha256:new v1 5ha-v1")

		Convey("rollback.sh updates back to the image that it replaced, and notes the way forth", func() {
			r := s.run("rollback.sh").passes()
			So(r.verbs(), ShouldResemble, []string{"docker config create", "docker service update", "docker config rm"})
			So(r.call("docker service update"), ShouldEqual, back)
			So(r.stdout, ShouldContainSubstring, "==> Rolled accountservice back to v0 in ")
		})

		Convey("one that fails is undone", func() {
			s.answer(serviceID, "service2")
			s.answer(updateState, "rollback_completed")
			s.answer(serviceImage, "sha256:new")
			s.answer(taskStates, "Running sha256:new Running 1 second ago task1")
			So(s.run("rollback.sh").fails("the update of accountservice to v0 failed", "version v1 serves again").call("docker service update"), ShouldEqual, back)
		})

		Convey("an image that this engine does not have any more is refused", func() {
			s.refuse("docker image inspect sha256:old", "Error: No such image")
			So(s.run("rollback.sh").fails("no longer has the image sha256:old of v0").verbs(), ShouldResemble, justLocked)
		})

		Convey("one that is in a registry need not be here", func() {
			s.before(edit(newService, "sha256:old", digest))
			s.answer(serviceImage, digest)
			s.answer(taskStates, "Running "+digest+" Running 1 second ago task1")
			So(s.run("rollback.sh").passes().call("docker service update"), ShouldContainSubstring, " --image "+digest+" ")
		})

		Convey("one that these scripts did not build gets no version and sha256 of another", func() {
			s.before(edit(newService, "sha256:old\nv0\n5ha-v0", "other/accounts:latest\n\n"))
			s.answer(serviceImage, "other/accounts:latest")
			s.answer(taskStates, "Running other/accounts:latest Running 1 second ago task1")
			So(s.run("rollback.sh").passes().call("docker service update"), ShouldEqual,
				updateLine("other/accounts:latest", "other/accounts:latest   sha256:new v1 5ha-v1"))
		})

		Convey("without an image on record it refuses", func() {
			s.before(edit(newService, "sha256:old\nv0\n5ha-v0", "\n\n"))
			So(s.run("rollback.sh").fails("accountservice v1 replaced nothing").verbs(), ShouldResemble, justLocked)
		})

		Convey("without a service it refuses", func() {
			s.missing()
			So(s.run("rollback.sh").fails("no service accountservice to roll back").verbs(), ShouldResemble, justLocked)
		})
	})
}

func TestInterrupted(t *testing.T) {
	Convey("When Ctrl-C comes", t, func() {
		s := newStage()
		s.before(oldService)

		Convey("in the trial, nothing was changed, and the container is removed", func() {
			s.interrupt("docker run *", "trial")
			r := s.run("copyall.sh")
			So(r.exit, ShouldEqual, 130)
			So(r.stderr, ShouldContainSubstring, "Interrupted: nothing was changed; if accountservice was running, it still is\n")
			So(r.verbs(), ShouldResemble, []string{"docker config create", "go build", "docker build", "docker run", "docker rm", "docker config rm"})
		})

		for mode, change := range map[string]string{"": "docker service rm *", "--rolling": "docker service update *"} {
			Convey("in the change of copyall.sh "+mode+", it comes to its end", func() {
				s.interrupt(change, "")
				r := s.runWith("copyall.sh", strings.Fields(mode))
				So(r.exit, ShouldEqual, 130)
				So(r.stderr, ShouldContainSubstring, "Interrupted. Finishing first")
				So(r.stdout, ShouldContainSubstring, "==> Deployed accountservice v1 all the same")
				So(r.call("docker config rm"), ShouldNotBeEmpty)
			})
		}

		Convey("or SIGTERM to all that goes on, in a change, it comes to its end", func() {
			s.put("docker service rm *", "0 once terminate", "")
			r := s.run("copyall.sh")
			So(r.exit, ShouldEqual, 130)
			So(r.stdout, ShouldContainSubstring, "==> Deployed accountservice v1 all the same")
			So(r.call("docker config rm"), ShouldNotBeEmpty)
		})

		Convey("in a change that fails, it is undone", func() {
			s.interrupt("docker service update *", "")
			s.answer(updateState, "rollback_completed")
			s.answer(serviceImage, "sha256:old")
			s.answer(taskStates, oldRuns)
			s.runWith("copyall.sh", []string{"--rolling"}).fails("Interrupted. Finishing first", "version v0 serves again")
		})

		Convey("in a rollback, it comes to its end", func() {
			s.before(newService)
			s.interrupt("docker service update *", "")
			s.answer(serviceImage, "sha256:old")
			s.answer(taskStates, oldRuns)
			r := s.run("rollback.sh")
			So(r.exit, ShouldEqual, 130)
			So(r.stdout, ShouldContainSubstring, "==> Rolled accountservice back to v0")
		})
	})
}

func TestPush(t *testing.T) {
	Convey("Given an image just built", t, func() {
		s := newStage()
		s.answer("docker tag *", "")
		const name = "registry.example:5000/someprefix/accountservice:v1"

		Convey("push.sh tags it for the registry, and pushes it", func() {
			s.answer("docker push *", "v1: digest: sha256:1 size: 528")
			So(s.run("push.sh", "REGISTRY=registry.example:5000").passes().changes(), ShouldResemble,
				[]string{"docker tag someprefix/accountservice:v1 " + name, "docker push " + name})
		})

		Convey("what the engine says against that is shown", func() {
			s.refuse("docker push *", "http: server gave HTTP response to HTTPS client")
			s.run("push.sh", "REGISTRY=registry.example:5000").fails("docker push to registry.example:5000 failed", "server gave HTTP response to HTTPS client")
		})

		Convey("without REGISTRY it refuses", func() {
			So(s.run("push.sh").fails("no registry to push to", "REGISTRY=host:port").changes(), ShouldBeEmpty)
		})
	})
}

func TestStatus(t *testing.T) {
	const (
		states = "docker service ps --no-trunc --format {{.DesiredState}} {{.Node}} {{.CurrentState}} "
		tasks  = "docker service ps --no-trunc --quiet "
		spec   = "docker service inspect --format *|*{{else}}all{{end}} "
		ill    = "docker ps --quiet --filter label=com.docker.swarm.service.name=* --filter health=unhealthy"
	)
	Convey("Given a manager", t, func() {
		s := newStage()

		Convey("status.sh shows a row for each service, and the last error", func() {
			s.answer("docker service ls --format {{.Name}}", "accountservice\nother")
			s.answer(spec+"accountservice", "v1|3")
			s.answer(states+"accountservice", "Running host2 Running 5 minutes ago\nRunning host1 Running 5 minutes ago\nRunning host1 Starting 1 second ago\n"+
				"Shutdown host1 Failed 9 minutes ago\nShutdown host1 Failed 6 minutes ago")
			s.answer(tasks+"accountservice", "task1\ntask2\ntask3")
			s.answer("docker inspect --format {{.Status.Timestamp}}|{{.Status.Err}} task1 task2 task3", "2026-11-24 11:51:00.5 +0000 UTC|an older error\n"+
				"2026-11-24 11:54:00.1 +0000 UTC|task: non-zero exit (1)\n2026-11-24 11:59:00 +0000 UTC|")
			s.answer(ill, "")
			s.answer(edit(ill, "*", "accountservice"), "container2")
			s.answer(spec+"other", "|all")
			s.answer(states+"other", "")
			s.answer(tasks+"other", "task4")
			s.answer("docker inspect --format {{.Status.Timestamp}}|{{.Status.Err}} task4", "2026-11-24 11:59:00 +0000 UTC|")
			s.answer(edit(published, "accountservice", "other"), "")
			So(s.run("status.sh").passes().stdout, ShouldEqual, ""+
				"SERVICE            VERSION                     WANTED RUNNING HEALTHY  NODES                AGE              URL\n"+
				"accountservice     v1                               3       2       1  host1,host2          5 minutes        http://192.0.2.1:6767\n"+
				"    last error: task: non-zero exit (1)\n"+
				"other              -                              all       0       0  -                    -                -\n")
		})

		Convey("where there are no services, it says so", func() {
			s.answer("docker service ls --format {{.Name}}", "")
			So(s.run("status.sh").passes().stdout, ShouldEqual, "==> No services run in this swarm\n")
		})
	})
}

func TestSilence(t *testing.T) {
	for log, want := range map[string]string{
		"1 up\n2 up":                               "answered all the time",
		"1 up\n1.5 down\n3 down\n3.5 up":           "was silent for 2.5 s",
		"1 up\n2 down\n3 up\n4 down\n8 up\n9 down": "was silent for 5.0 s",
		"1 up\n2 down\n7 down":                     "was silent for 6.0 s",
		"1000 down\n1001 up\n1002 up":              "was silent for 1.0 s",
	} {
		Convey("Of "+strings.ReplaceAll(log, "\n", ", ")+" is told that the service "+want, t, func() {
			s := newStage()
			write(s.path("tmp/log"), log+"\n")
			cmd := exec.Command("bash", "-c", `source "$1/scripts/lib.sh"; watched=URL watch_log=$1/tmp/log; report_silence`, "", filepath.Clean(s.root))
			out, err := cmd.Output()
			So(err, ShouldBeNil)
			So(string(out), ShouldEqual, "==> URL "+want+"\n")
		})
	}
}
