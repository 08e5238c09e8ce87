package scripts

import (
	"testing"

	. "github.com/smartystreets/goconvey/convey"
)

const containerOf = "docker ps --quiet --filter label=com.docker.swarm.task.id="

func TestLoadtest(t *testing.T) {
	Convey("Given a service that runs", t, func() {
		s := newStage()
		s.fake("javac")
		s.fake("mvn")
		s.answer(runningTasks, "task1\ntask2")
		s.answer("docker inspect --format {{.NodeID}} task2", "node1")
		s.answer(containerOf+"task1", "container1")
		s.answer(containerOf+"task2", "container2")
		s.answer("mvn * test-compile", "")
		nothingSimulated := func(r result) {
			So(r.call("mvn --batch-mode --quiet --file gatling/pom.xml gatling:test"), ShouldBeEmpty)
			So(r.call("docker stats"), ShouldBeEmpty)
		}

		for _, it := range []struct {
			arguments []string
			says      string
		}{
			{[]string{"", "60"}, "users='': want a number from 1 to 99999"},
			{[]string{"0"}, "users='0': want a number from 1 to 99999"},
			{[]string{"many"}, "users='many': want a number from 1 to 99999"},
			{[]string{"100000"}, "users='100000': want a number from 1 to 99999"},
			{[]string{"10", "0"}, "duration='0': want a number of seconds from 1 to 99999"},
			{[]string{"10", "1m"}, "duration='1m': want a number of seconds from 1 to 99999"},
			{[]string{"10", "30", "x"}, "unknown argument 'x'"},
			{[]string{"10", "-x"}, "unknown argument '-x'"},
		} {
			Convey("loadtest.sh refuses "+it.says, func() {
				r := s.runWith("loadtest.sh", it.arguments)
				So(r.exit, ShouldEqual, 2)
				So(r.stderr, ShouldStartWith, "error: "+it.says+"\n")
				So(r.call(""), ShouldBeEmpty)
			})
		}

		for command, cure := range map[string]string{"javac": "install a JDK", "mvn": "install Maven"} {
			Convey("without "+command+" it says what to install", func() {
				s.remove(command)
				nothingSimulated(s.run("loadtest.sh").fails("error: "+command+" is not installed", cure))
			})
		}

		Convey("tasks on other nodes only are named as such", func() {
			s.answer(containerOf+"*", "")
			s.answer("docker service ps --filter desired-state=running --format {{.Node}} accountservice", "node3\nnode2\nnode3")
			nothingSimulated(s.run("loadtest.sh").fails("no task of accountservice runs on this engine, only on: node2 node3\n", "point DOCKER_HOST"))
		})

		Convey("a service without a public port cannot be measured", func() {
			s.answer(published, "")
			nothingSimulated(s.run("loadtest.sh").fails("publishes no port on this engine"))
		})

		Convey("a service that is not there is missed", func() {
			s.refuse(anyService, "Error: no such service")
			nothingSimulated(s.run("loadtest.sh").fails("there is no service accountservice"))
		})

		Convey("a simulation that does not compile is found before anything is measured", func() {
			s.put("mvn * test-compile", "1", "[ERROR] cannot find symbol")
			nothingSimulated(s.run("loadtest.sh").fails("[ERROR] cannot find symbol", "the simulation cannot be compiled"))
		})

		Convey("an engine that gives no figures is not waited for without end", func() {
			s.fake("sleep")
			s.answer("sleep 1", "")
			s.refuse("docker stats *", "Error response from daemon: no figures")
			r := s.run("loadtest.sh").fails("docker stats gives too few figures", "Error response from daemon: no figures", "docker stats container1 container2")
			So(r.call("docker stats"), ShouldEqual, "docker stats --format | {{.Name}} {{.CPUPerc}} {{.MemUsage}} container1 container2")
			So(r.call("mvn --batch-mode --quiet --file gatling/pom.xml gatling:test"), ShouldBeEmpty)
		})

		Convey("of tasks with host-mode ports, the one on this engine is measured", func() {
			s.fake("sleep")
			s.answer("sleep 1", "")
			s.answer("docker service inspect --format {{.Spec.Mode.*}} accountservice", "2")
			s.answer(taskStates, "Running sha256:new Running 2 seconds ago\nRunning sha256:new Running 1 second ago")
			s.answer(published, "host 6767")
			s.answer(runningTasks, "task2\ntask1")
			s.answer("docker inspect --format {{.NodeID}} task2", "node2")
			s.answer("docker node inspect --format {{.Status.Addr}} node2", "192.0.2.11")
			s.answer("docker stats *", "")
			So(s.run("loadtest.sh").fails("too few").stdout, ShouldContainSubstring, "Measuring accountservice at http://192.0.2.1:6767: ")
		})
	})
}
