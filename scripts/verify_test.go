package scripts

import (
	"slices"
	"strings"
	"testing"

	. "github.com/smartystreets/goconvey/convey"
)

// urls returns what curl was asked for.
func urls(r result) []string {
	var urls []string
	for _, call := range r.calls {
		if strings.HasPrefix(call, "curl ") {
			urls = append(urls, call[strings.LastIndex(call, " ")+1:])
		}
	}
	return urls
}

func TestVerify(t *testing.T) {
	const endpoint = "docker context inspect --format {{.Endpoints.docker.Host}}"
	for _, it := range []struct {
		where        string
		setting      string
		call, output string
		url          string
	}{
		{"on a local engine, at the address of its node", "", endpoint, "unix:///run/user/1000/docker.sock", "http://192.0.2.1:6767/accounts/10000"},
		{"on a local engine with an IPv6 address, in brackets", "", swarmState, "active true node1 2001:db8::1", "http://[2001:db8::1]:6767/accounts/10000"},
		{"on an engine by TCP, at its host", "", endpoint, "tcp://192.0.2.7:2376", "http://192.0.2.7:6767/accounts/10000"},
		{"on an engine by TCP and IPv6, at its host", "", endpoint, "tcp://[2001:db8::7]:2376", "http://[2001:db8::7]:6767/accounts/10000"},
		{"on an engine by SSH, at its host", "", endpoint, "ssh://deploy@manager.example", "http://manager.example:6767/accounts/10000"},
		{"on an engine by SSH and a port, at its host", "", endpoint, "ssh://deploy@manager.example:2222", "http://manager.example:6767/accounts/10000"},
		{"on Docker Desktop, at the loopback address", "", "docker info --format {{.OperatingSystem}}", "Docker Desktop", "http://127.0.0.1:6767/accounts/10000"},
		{"on a Mac, at the loopback address", "", "uname -s", "Darwin", "http://127.0.0.1:6767/accounts/10000"},
		{"at ManagerIP before all", "ManagerIP=192.0.2.9", endpoint, "tcp://192.0.2.7:2376", "http://192.0.2.9:6767/accounts/10000"},
		{"at an IPv6 ManagerIP, in brackets", "ManagerIP=2001:db8::9", "uname -s", "Darwin", "http://[2001:db8::9]:6767/accounts/10000"},
		{"at the port that the service publishes", "PORT=80", published, "ingress 8080", "http://192.0.2.1:8080/accounts/10000"},
		{"at VERIFY_PATH, where any body will do", "VERIFY_PATH=/health", "curl *", "fine\n\n200", "http://192.0.2.1:6767/health"},
	} {
		Convey("verify.sh asks "+it.where, t, func() {
			s := newStage()
			s.answer(it.call, it.output)
			r := s.run("verify.sh", it.setting).passes()
			So(urls(r), ShouldResemble, []string{it.url})
			So(r.stdout, ShouldContainSubstring, "==> accountservice answers: "+it.url+"\n")
			So(r.changes(), ShouldBeEmpty)
		})
	}

	Convey("Given two tasks with host-mode ports, one of them on another node", t, func() {
		s := newStage()
		s.answer("docker service inspect --format {{.Spec.Mode.*}} accountservice", "2")
		s.answer(taskStates, "Running sha256:new Running 2 seconds ago task1\nRunning sha256:new Running 1 second ago task2\nShutdown sha256:old Shutdown 3 seconds ago task3")
		s.answer(published, "host 6767")
		s.answer(runningTasks, "task1\ntask2")
		s.answer("docker inspect --format {{.NodeID}} task2", "node2")
		s.answer("docker node inspect --format {{.Status.Addr}} node2", "192.0.2.2")

		Convey("verify.sh asks this engine's at ManagerIP, and the other at its node", func() {
			r := s.run("verify.sh", "PUBLISH_MODE=host", "ManagerIP=192.0.2.9").passes()
			So(urls(r), ShouldResemble, []string{"http://192.0.2.9:6767/accounts/10000", "http://192.0.2.2:6767/accounts/10000"})
		})

		Convey("one that is silent is named, and IPVS is not", func() {
			s.outOfTime()
			s.put("curl * http://192.0.2.2:*", "7", "curl: (7) Failed to connect")
			r := s.run("verify.sh", "PUBLISH_MODE=host", "ManagerIP=192.0.2.9").
				fails("healthy, but http://192.0.2.2:6767/accounts/10000 does not answer", "firewall")
			So(r.stderr, ShouldNotContainSubstring, "IPVS")
		})
	})
}

func TestFailuresExplained(t *testing.T) {
	Convey("Given a service just created", t, func() {
		s := newStage()
		verify := func(environment ...string) result {
			r := s.run("verify.sh", environment...)
			So(r.changes(), ShouldBeEmpty)
			return r
		}

		Convey("tasks that fail again and again are given up early, with their error, exit code and log", func() {
			s.answer(taskStates, "Ready sha256:new Ready 1 second ago task4\nShutdown sha256:new Rejected 2 seconds ago task3\n"+failedTask("task2"))
			s.once(taskStates, "Running sha256:new Starting 1 second ago task2\n"+failedTask("task1")) // Forgotten after that.
			s.once(taskStates, "Running sha256:new Starting 1 second ago task1")
			s.answer(taskErrors, "sha256:new task4 accountservice.1 on : Ready 1 second ago \n"+
				`sha256:new task3 accountservice.1 on host1: Failed 2 seconds ago "task: non-zero exit (3)"`)
			s.answer("docker inspect --format {{with .Status.ContainerStatus}}* task4", "")
			s.answer("docker inspect --format {{with .Status.ContainerStatus}}* task3", "container3")
			s.answer("docker service logs --raw --tail 10 task3", "error: cannot open the database\nsee the manual")
			s.answer(exitCode+" container3", "    exit code 3")
			r := verify("DEPLOY_TIMEOUT=60").fails("Giving up: 3 tasks of accountservice failed",
				`accountservice.1 on host1: Failed 2 seconds ago "task: non-zero exit (3)"`,
				"    error: cannot open the database\n    see the manual\n", "exit code 3")
			So(urls(r), ShouldBeEmpty)
		})

		Convey("failures of the version before do not count", func() {
			s.once(taskStates, "Running sha256:new Starting 1 second ago task1\n"+edit(failedTask("task2")+"\n"+failedTask("task3")+"\n"+failedTask("task4"), "new", "old"))
			s.once(taskStates, "Running sha256:new Starting 1 second ago task1")
			verify().passes()
		})

		Convey("nor do those from before it looked", func() {
			s.once(taskStates, strings.Join([]string{"Running sha256:new Starting 1 second ago task5",
				failedTask("task4"), failedTask("task3"), failedTask("task2"), failedTask("task1")}, "\n"))
			verify().passes()
		})

		for what, states := range map[string]string{
			"a task that does not come up":              "Running sha256:new Starting 1 second ago task1",
			"a task that runs the version before":       "Running sha256:old Running 1 second ago task1",
			"a task that is to stop, though it runs,":   "Shutdown sha256:new Running 1 second ago task1",
			"a task of an image with a longer name":     "Running sha256:newer Running 1 second ago task1",
			"a service without tasks":                   "",
			"a task that failed before but may recover": "Running sha256:new Starting 1 second ago task3\n" + failedTask("task2") + "\n" + failedTask("task1"),
		} {
			Convey(what+" is waited for until DEPLOY_TIMEOUT", func() {
				s.outOfTime()
				s.answer(taskStates, states)
				r := verify("DEPLOY_TIMEOUT=7").
					fails("Giving up after 7 s: 0 of 1 tasks of accountservice are running", "error: accountservice does not do what it should")
				So(urls(r), ShouldBeEmpty)
			})
		}

		Convey("all replicas are waited for", func() {
			s.outOfTime()
			s.answer("docker service inspect --format {{.Spec.Mode.*}} accountservice", "2")
			verify().fails("1 of 2 tasks of accountservice are running")
		})

		Convey("where its tasks are healthy", func() {
			s.outOfTime()
			s.answer("docker inspect --format {{with .Status.ContainerStatus}}* task1", "container1")
			s.answer("docker service logs --raw --tail 10 task1", "Starting HTTP service at 6767")
			s.answer(exitCode+" container1", "    exit code 0")

			Convey("a silent routing mesh is explained by IPVS, with its cure", func() {
				s.put("curl *", "28", "curl: (28) Connection timed out after 2001 milliseconds")
				verify("DEPLOY_TIMEOUT=7").fails("Giving up after 7 s: http://192.0.2.1:6767/accounts/10000 last said: curl: (28) Connection timed out",
					"are healthy, but http://192.0.2.1:6767/accounts/10000 does not answer as it should",
					"no IPVS", "PUBLISH_MODE=host", "    Starting HTTP service at 6767\n")
			})

			Convey("a wrong body is shown", func() {
				s.answer("curl *", `{"id":"10000","name":"Person_1"}`+"\n200")
				verify().fails(`last said: {"id":"10000","name":"Person_1"} 200`)
			})

			Convey("a wrong status is shown, though the body is right", func() {
				s.answer("curl *", firstAccount+"\n503")
				verify().fails(firstAccount + " 503")
			})

			Convey("VERIFY_BODY is what must come", func() {
				verify("VERIFY_PATH=/health", `VERIFY_BODY={"status":"UP"}`).fails("last said: " + firstAccount + " 200")
			})
		})

		Convey("a service that is not there is missed", func() {
			s.refuse(anyService, "Error: no such service")
			verify().fails("there is no service accountservice")
		})
	})
}

func TestRemove(t *testing.T) {
	Convey("Given a manager on which the service runs", t, func() {
		s := newStage()
		s.answer("docker ps --all *", "")
		s.once("docker ps --all *", "container1")
		s.answer(serviceNetworks, "other net2 ")
		done := func(says string) result {
			r := s.run("remove.sh").passes()
			So(r.stdout, ShouldContainSubstring, says)
			return r
		}
		stays := func(r result) { So(r.call("docker network rm"), ShouldBeEmpty) }

		Convey("remove.sh removes it, then its network", func() {
			r := done("Removing network my_network\n")
			// Where there is nothing to remove, some xargs still call docker.
			removed := slices.DeleteFunc(r.changes(), func(change string) bool { return change == "docker rm --force" })
			So(removed, ShouldResemble, []string{"docker service rm accountservice", "docker kill container1", "docker network rm my_network"})
		})

		Convey("a network that other services use stays, and they are named", func() {
			s.answer(serviceNetworks, "other net1 \nthird net9 net1 \napart net10 ")
			stays(done("Network my_network stays, as other services use it: other, third\n"))
		})

		Convey("a network that is no overlay stays", func() {
			s.answer("docker network inspect --format {{.Driver}} my_network", "bridge")
			stays(done("Network my_network stays: it is of driver bridge, and not of these scripts\n"))
		})

		Convey("a network that is not there is no error, nor is a missing service", func() {
			s.refuse("docker network inspect *", "Error: No such network")
			s.refuse("docker service inspect accountservice", "Error: no such service")
			r := done("There is no service accountservice\n==> There is no network my_network\n")
			So(r.changes(), ShouldBeEmpty)
		})

		Convey("a network still in use by a task that ends is tried again", func() {
			s.put("docker network rm my_network", "1 once", "Error: network my_network is in use by task task1")
			So(strings.Count(done("Removing network").call("docker network rm"), "\n"), ShouldEqual, 1)
		})

		Convey("a network that stays in use is an error in the engine's words", func() {
			s.outOfTime()
			s.refuse("docker network rm my_network", "Error: network my_network is in use by task task1")
			s.run("remove.sh").fails("network my_network cannot be removed", "in use by task task1")
		})

		Convey("a container that the engine forgot is removed after a while", func() {
			s.fake("sleep")
			s.answer("sleep 1", "")
			s.answer("docker ps --all *", "container1")
			So(done("Removing network").call("docker rm"), ShouldEqual, "docker rm --force container1")
		})
	})
}
