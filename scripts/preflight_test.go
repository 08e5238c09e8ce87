package scripts

import (
	"testing"

	. "github.com/smartystreets/goconvey/convey"
)

func TestPreflight(t *testing.T) {
	for _, it := range []struct {
		when    string
		setUp   func(s *stage)
		setting string
		says    []string
	}{
		{"docker is missing", func(s *stage) { s.remove("docker") }, "", []string{"docker is not installed", "https://docs.docker.com/"}},
		{"go is missing", func(s *stage) { s.remove("go") }, "", []string{"go is not installed", "https://go.dev/"}},
		{"curl is missing", func(s *stage) { s.remove("curl") }, "", []string{"curl is not installed"}},
		{"the Dockerfile is missing", func(*stage) {}, "DOCKERFILE=none/Dockerfile", []string{"no Dockerfile none/Dockerfile"}},
		{"the engine does not answer", func(s *stage) {
			s.refuse("docker *", "Cannot connect to the Docker daemon at tcp://192.0.2.9:2376.")
		}, "", []string{"the docker engine does not answer", "Cannot connect to the Docker daemon at tcp://192.0.2.9:2376.", "DOCKER_HOST"}},
		{"the engine is a worker of its swarm", func(s *stage) {
			s.answer(swarmState, "active false node1 192.0.2.1")
			s.refuse("docker node *", "This node is not a swarm manager.")
			s.refuse("docker service *", "This node is not a swarm manager.")
		}, "", []string{"a worker of its swarm, not a manager"}},
		{"the swarm is locked", func(s *stage) {
			s.answer(swarmState, "locked false")
			s.refuse("docker node *", "Swarm is encrypted and needs to be unlocked before it can be used.")
			s.refuse("docker service *", "Swarm is encrypted and needs to be unlocked before it can be used.")
		}, "", []string{"part in its swarm is locked"}},
		{"another service publishes the port", func(s *stage) {
			s.answer("docker service ls --quiet", "service1\nservice2")
			s.answer("docker service inspect * service1 service2", "accountservice :6767/tcp:\nother :8080/tcp::6767/tcp:")
		}, "", []string{"port 6767 is published by service other", "PORT"}},
		{"the network is of another driver", func(s *stage) {
			s.answer("docker network inspect --format {{.Driver}} my_network", "bridge")
		}, "", []string{"network my_network is there, but is of driver bridge, not overlay", "docker network rm my_network"}},
		{"there are fewer nodes than host-mode replicas", func(s *stage) {
			s.answer(activeNodes, "Ready Active\nReady Drain\nDown Active")
		}, "REPLICAS=2", []string{"REPLICAS=2 tasks cannot all have port 6767 on 1 nodes", "PUBLISH_MODE=ingress"}},
		{"there are several nodes and no registry", func(s *stage) {
			s.answer("docker node ls --quiet", "node1\nnode2\nnode3") // Whether or not they can be given tasks now.
		}, "", []string{"this swarm has 3 nodes, and only this one will have the image", "REGISTRY=host:port"}},
	} {
		Convey("When "+it.when+", a deploy says so and changes nothing", t, func() {
			s := newStage()
			it.setUp(s)
			r := s.run("copyall.sh", "PUBLISH_MODE=host", it.setting)
			r.fails(it.says...)
			So(r.stderr, ShouldEndWith, "error: preflight.sh failed: nothing was changed; if accountservice was running, it still is\n")
			So(r.changes(), ShouldBeEmpty)
		})
	}

	Convey("Given an engine on which a deploy can work", t, func() {
		s := newStage()
		fine := func(environment ...string) {
			So(s.run("preflight.sh", environment...).passes().changes(), ShouldBeEmpty)
		}

		Convey("preflight.sh finds nothing wrong", func() { fine() })

		Convey("ports that only resemble this one are no conflict", func() {
			s.answer(servicePorts, "long :67670/tcp:\nlonger :16767/tcp:\ndatagrams :6767/udp::7000/tcp:\naccountservice-two ")
			fine()
		})

		Convey("a rolling update does not ask for REPLICAS", func() { fine("REPLICAS=2", "PUBLISH_MODE=host", "MODE=rolling") })

		Convey("the routing mesh has room for more replicas than nodes", func() { fine("REPLICAS=3") })

		Convey("a host-mode replica on each node is fine", func() {
			s.answer(activeNodes, "Ready Active\nReady Active")
			fine("REPLICAS=2", "PUBLISH_MODE=host", "REGISTRY=registry.example:5000")
		})

		Convey("an engine in no swarm is not asked for nodes and services", func() {
			s.answer(swarmState, "inactive false")
			s.refuse("docker node *", "This node is not a swarm manager.")
			s.refuse("docker service *", "This node is not a swarm manager.")
			fine()
		})
	})

	Convey("On a worker, no step changes anything", t, func() {
		for _, script := range []string{"swarm.sh", "network.sh", "service.sh", "rolling.sh", "verify.sh", "tidy.sh", "remove.sh", "rollback.sh", "status.sh"} {
			s := newStage()
			s.answer(swarmState, "active false node1 192.0.2.1")
			So(s.run(script).fails("a worker of its swarm").changes(), ShouldBeEmpty)
		}
	})
}

func TestSwarm(t *testing.T) {
	Convey("Given an engine in no swarm", t, func() {
		s := newStage()
		s.once(swarmState, "inactive false")

		Convey("swarm.sh leaves the choice of address to the engine", func() {
			s.answer("docker swarm init", "Swarm initialized")
			r := s.run("swarm.sh").passes()
			So(r.changes(), ShouldResemble, []string{"docker swarm init"})
			So(r.stdout, ShouldContainSubstring, "The swarm's manager is at 192.0.2.1\n")
		})

		Convey("it passes on ADVERTISE_ADDR", func() {
			s.answer("docker swarm init --advertise-addr eth1", "Swarm initialized")
			r := s.run("swarm.sh", "ADVERTISE_ADDR=eth1").passes()
			So(r.changes(), ShouldResemble, []string{"docker swarm init --advertise-addr eth1"})
		})

		Convey("where the engine cannot choose between addresses, it shows them and stops", func() {
			words := "could not choose an IP address to advertise since this system has multiple addresses on interface eth0 (192.0.2.1 and 192.0.2.2)"
			s.refuse("docker swarm init", words)
			s.run("swarm.sh").fails(words, "ADVERTISE_ADDR=")
		})
	})

	Convey("swarm.sh leaves a manager as it is", t, func() {
		So(newStage().run("swarm.sh", "ADVERTISE_ADDR=192.0.2.9").passes().changes(), ShouldBeEmpty)
	})
}

func TestNetwork(t *testing.T) {
	Convey("Given a manager", t, func() {
		s := newStage()

		Convey("network.sh leaves an overlay that is there", func() {
			So(s.run("network.sh").passes().changes(), ShouldBeEmpty)
		})

		Convey("it creates a missing one", func() {
			s.refuse("docker network inspect *", "Error: No such network: apart")
			s.answer("docker network create *", "net2")
			So(s.run("network.sh", "NETWORK=apart").passes().changes(), ShouldResemble, []string{"docker network create --driver overlay apart"})
		})

		Convey("it refuses one of another driver", func() {
			s.answer("docker network inspect *", "bridge")
			So(s.run("network.sh").fails("of driver bridge, not overlay").changes(), ShouldBeEmpty)
		})
	})
}
