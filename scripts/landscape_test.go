package scripts

import (
	"slices"
	"strings"
	"testing"

	. "github.com/smartystreets/goconvey/convey"
)

// An imageService is a service of the landscape that comes as a finished image.
type imageService struct {
	name, script, setting, image string
	port                         string // It publishes; empty where it publishes none.
	arguments                    string // What it is created with, in ingress mode.
}

const imageArguments = `--log-driver json-file
--log-opt max-file=3
--log-opt max-size=10m
--restart-delay 500ms
--stop-grace-period 20s
--update-failure-action rollback
--update-monitor 5s
--update-parallelism 1`

const socketArguments = `--mount type=bind,source=/var/run/docker.sock,destination=/var/run/docker.sock
--constraint node.role==manager`

// sorted returns lines, sorted as the scripts do.
func sorted(texts ...string) string {
	all := strings.Split(strings.Join(texts, "\n"), "\n")
	slices.Sort(all)
	return strings.Join(all, "\n")
}

var imageServices = []imageService{
	{"quotes-service", "quotes-service.sh", "QUOTES_IMAGE", "eriklupander/quotes-service", "", sorted(imageArguments, "--network my_network")},
	{"viz", "visualizer.sh", "VISUALIZER_IMAGE", "dockersamples/visualizer", "8080",
		sorted(imageArguments, socketArguments, "--publish mode=ingress,published=8080,target=8080")},
	{"dvizz", "dvizz.sh", "DVIZZ_IMAGE", "eriklupander/dvizz", "6969",
		sorted(imageArguments, socketArguments, "--network my_network", "--publish mode=ingress,published=6969,target=6969")},
}

// page is the URL that must answer.
func (i imageService) page() string { return "http://192.0.2.1:" + i.port + "/" }

// runs is the image as the swarm is to name it, where the engine has it from a registry.
// digests is how an image is asked for its id and its digests.
const digests = `docker image inspect --format {{.Id}}{{range .RepoDigests}}* `

func (i imageService) runs() string { return i.image + "@sha256:1" }

// createLine is the call that creates the service where none was before.
func (i imageService) createLine(image, arguments string) string {
	return "docker service create --name " + i.name + " --detach --label copyall.arguments=" + inLine(arguments) + " " + inLine(arguments) +
		" --no-resolve-image --with-registry-auth --replicas 1 --update-order start-first --rollback-order start-first" +
		deployLabels("--label", image+" "+i.image+"    ") + " " + image
}

// landscape has the fakes answer for the services of the landscape as for
// accountservice; none of them runs yet, and the engine has their images.
func (s *stage) landscape() {
	for _, service := range imageServices {
		for _, pair := range slices.Backward(healthy) {
			if strings.HasSuffix(pair[0], "accountservice") {
				s.answer(of(service, pair[0]), pair[1])
			}
		}
		s.answer("docker image inspect "+service.image, "[]")
		s.answer(digests+service.image, "sha256:9\nother.example/image@sha256:2\n"+service.runs())
		s.runsImage(service, service.runs())
		ports := ""
		if service.port != "" {
			ports = "ingress " + service.port
			s.answer("curl * "+service.page(), "<html></html>\n200")
		}
		s.answer(of(service, published), ports)
		s.answer("docker config rm "+service.name+".deploy-lock", "")
		s.put(of(service, remembered), "1 once", "Error: no such service")
	}
}

// runsImage has the tasks of a service run an image.
func (s *stage) runsImage(service imageService, image string) {
	s.answer(of(service, serviceImage), image)
	s.answer(of(service, taskStates), "Running "+image+" Running 1 second ago task1")
}

// of makes a pattern of calls about accountservice one of calls about another service.
func of(service imageService, pattern string) string {
	return strings.TrimSuffix(pattern, "accountservice") + service.name
}

// passesWarning asserts that a script ended well, with a warning on stderr.
func (r result) passesWarning() result {
	So(r.stderr, ShouldContainSubstring, "Warning: ")
	So(r.exit, ShouldEqual, 0)
	return r
}

func TestImageServices(t *testing.T) {
	for _, service := range imageServices {
		Convey("Given a manager on which "+service.name+" does not run", t, func() {
			s := newStage()
			s.landscape()
			creates := func(r result, image, arguments string) {
				So(r.exit, ShouldEqual, 0)
				So(r.call("docker service create"), ShouldEqual, service.createLine(image, arguments))
			}

			Convey(service.script+" creates it from the digest of the image that the engine has, and asks its page", func() {
				r := s.run(service.script)
				creates(r, service.runs(), service.arguments)
				So(r.call("docker pull"), ShouldBeEmpty)
				So(r.verbs(), ShouldResemble, []string{"docker config create", "docker service create", "docker config rm"})
				if service.port == "" {
					So(urls(r), ShouldBeEmpty)
					So(r.stdout, ShouldContainSubstring, "http://quotes-service:8080\n")
					So(r.stderr, ShouldBeEmpty)
				} else {
					So(urls(r), ShouldResemble, []string{service.page()})
					So(r.stderr, ShouldContainSubstring, "is root on the manager")
					So(strings.Count(r.stderr, "\n"), ShouldEqual, 1)
				}
			})

			Convey("it pulls an image that the engine lacks, before anything else is changed", func() {
				s.put("docker image inspect "+service.image, "1 once", "Error: No such image")
				s.answer("docker pull --quiet "+service.image, "done")
				r := s.run(service.script)
				creates(r, service.runs(), service.arguments)
				So(r.changes()[0], ShouldEqual, "docker pull --quiet "+service.image)
			})

			Convey("an image that cannot be pulled is named with its setting, and nothing is changed", func() {
				s.refuse("docker image inspect "+service.image, "Error: No such image")
				s.refuse("docker pull *", "manifest unknown")
				r := s.run(service.script).fails("the image "+service.image+" of "+service.name+" cannot be pulled", "manifest unknown",
					"name another with "+service.setting, "if "+service.name+" was running, it still is")
				So(r.changes(), ShouldResemble, []string{"docker pull --quiet " + service.image})
			})

			Convey("Ctrl-C while it pulls changes nothing, and says so", func() {
				s.refuse("docker image inspect "+service.image, "Error: No such image")
				s.interrupt("docker pull *", "")
				r := s.run(service.script)
				So(r.exit, ShouldEqual, 130)
				So(r.stderr, ShouldEndWith, "Interrupted: nothing was changed; if "+service.name+" was running, it still is\n")
				So(r.changes(), ShouldResemble, []string{"docker pull --quiet " + service.image})
			})

			Convey("an image without a digest is deployed by its id, on the node that has it", func() {
				s.answer(digests+service.image, "sha256:local")
				s.runsImage(service, "sha256:local")
				r := s.run(service.script)
				creates(r, "sha256:local", sorted(service.arguments, "--constraint node.id==node1"))
				So(r.stderr, ShouldContainSubstring, "Only this node has "+service.image)
			})

			Convey("in a swarm that is made for it, that node has an id as well", func() {
				s.answer(digests+service.image, "sha256:local")
				s.runsImage(service, "sha256:local")
				s.once(swarmState, "inactive false")
				s.once(swarmState, "inactive false")
				s.answer("docker swarm init", "Swarm initialized")
				r := s.run(service.script)
				creates(r, "sha256:local", sorted(service.arguments, "--constraint node.id==node1"))
				So(r.changes()[0], ShouldEqual, "docker swarm init")
			})

			Convey("what is set for accountservice is not for it", func() {
				r := s.run(service.script, "SERVICE=accounts", "REPLICAS=3", "PORT=70", "TARGET_PORT=71", "SERVICE_ENV=A=1", "DATA_VOLUME=accounts", "LIMIT_CPU=1",
					"VERIFY_PATH=/nowhere", "VERIFY_BODY=nothing", "TARGET_IMAGE=other", "TARGET_ARGUMENTS=--privileged", "was_known=yes", "FORCE=yes", "DEPLOY_DEADLINE=0")
				creates(r, service.runs(), service.arguments)
			})

			Convey("where it is being deployed already, nothing is changed", func() {
				s.refuse("docker config create *", "AlreadyExists")
				s.answer("docker config inspect --format * "+service.name+".deploy-lock", "bob on host2")
				r := s.run(service.script).fails(service.name+" is being deployed already, by bob on host2", "docker config rm "+service.name+".deploy-lock")
				So(r.call("docker service create"), ShouldBeEmpty)
			})

			Convey("--remove takes it away", func() {
				s.answer("docker ps --all *", "")
				r := s.runWith(service.script, []string{"--remove"}).passes()
				So(r.call("docker service rm"), ShouldEqual, "docker service rm "+service.name)
				So(r.call("docker service create"), ShouldBeEmpty)
			})

			Convey("--remove and one argument more are too many", func() {
				r := s.runWith(service.script, []string{"--remove", "now"})
				So(r.exit, ShouldEqual, 2)
				So(r.call(""), ShouldBeEmpty)
			})
		})
	}

	Convey("Given an engine whose image store gives a digest to every image", t, func() {
		s := newStage()
		s.landscape()
		viz := imageServices[1]
		s.answer(digests+viz.image, "sha256:1\n"+viz.runs())

		Convey("an image that its registry has runs by its digest", func() {
			s.answer("docker manifest inspect "+viz.runs(), "{}")
			So(s.run("visualizer.sh").passesWarning().call("docker service create"), ShouldEndWith, " "+viz.runs())
		})

		Convey("one that no registry has runs by its id", func() {
			s.refuse("docker manifest inspect *", "no such manifest")
			s.runsImage(viz, "sha256:1")
			So(s.run("visualizer.sh").passesWarning().call("docker service create"), ShouldEndWith, " sha256:1")
		})
	})

	Convey("Given a quotes-service whose task ends as soon as it ran, that is explained, and undone", t, func() {
		s := newStage()
		s.landscape()
		quotes := imageServices[0]
		s.answer(of(quotes, runningTasks), "task2")
		s.once(of(quotes, runningTasks), "task1")
		s.once(of(quotes, runningTasks), "task1")
		s.answer(`docker service inspect --format {{index .Spec.Labels "copyall.image"}} quotes-service`, quotes.runs())
		s.run("quotes-service.sh", "TRIAL_SECONDS=9").fails("A task of quotes-service ended as soon as it ran", "the deploy of quotes-service failed, and nothing of it is left")
	})

	Convey("Given a visualizer that somebody created by hand", t, func() {
		s := newStage()
		s.landscape()
		viz := imageServices[1]
		s.once(of(viz, remembered), "service1\nmanomarks/visualizer:latest\n1\n\n\n\n\n\n\n\nend")

		Convey("it is left alone, as it could not be put back", func() {
			r := s.run("visualizer.sh").fails("a service viz runs that these scripts did not create", "docker service rm viz")
			So(r.verbs(), ShouldResemble, justLocked)
		})

		Convey("nor is it removed", func() {
			r := s.runWith("visualizer.sh", []string{"--remove"}).fails("a service viz runs that these scripts did not create", "docker service rm viz")
			So(r.call("docker service rm"), ShouldBeEmpty)
		})
	})
}

func TestLandscape(t *testing.T) {
	Convey("Given a manager on which nothing of the landscape runs", t, func() {
		s := newStage()
		s.landscape()
		s.missing()
		created := func(r result) []string {
			var names []string
			for _, call := range r.calls {
				if words := strings.Fields(call); strings.HasPrefix(call, "docker service create") {
					names = append(names, words[4])
				}
			}
			return names
		}

		Convey("landscape.sh up deploys all of it, accountservice first", func() {
			r := s.runWith("landscape.sh", []string{"up"})
			So(r.exit, ShouldEqual, 0)
			So(created(r), ShouldResemble, []string{"accountservice", "quotes-service", "viz", "dvizz"})
			So(r.stdout, ShouldEndWith, "==> The landscape is up\n")
		})

		Convey("what fails is named at the end, and the rest is deployed", func() {
			s.refuse("go build *", "./main.go:1:1: syntax error")
			s.refuse("docker image inspect eriklupander/dvizz", "Error: No such image")
			s.refuse("docker pull *", "manifest unknown")
			r := s.runWith("landscape.sh", []string{"up"}).fails("syntax error", "DVIZZ_IMAGE", "error: failed, for the reasons above: copyall.sh dvizz.sh\n")
			So(created(r), ShouldResemble, []string{"quotes-service", "viz"})
		})

		Convey("Ctrl-C ends all of it after the deploy under way", func() {
			s.interrupt("docker service create --name quotes-service *", "service3")
			r := s.runWith("landscape.sh", []string{"up"})
			So(r.exit, ShouldEqual, 130)
			So(created(r), ShouldResemble, []string{"accountservice", "quotes-service"})
		})

		Convey("landscape.sh down goes the other way, and removes the network last", func() {
			s.answer("docker ps --all *", "")
			r := s.runWith("landscape.sh", []string{"down"}).passes()
			So(r.call("docker service rm"), ShouldEqual, "docker service rm dvizz\ndocker service rm viz\ndocker service rm quotes-service\ndocker service rm accountservice")
			So(r.stdout, ShouldEndWith, "==> The landscape is down\n")
		})

		Convey("what cannot be removed is named at the end, and the rest is removed", func() {
			s.answer("docker ps --all *", "")
			s.refuse("docker service rm viz", "Error: context deadline exceeded")
			r := s.runWith("landscape.sh", []string{"down"}).fails("context deadline exceeded", "error: failed, for the reasons above: visualizer.sh\n")
			So(r.call("docker service rm accountservice"), ShouldNotBeEmpty)
		})

		Convey("without a direction it does nothing", func() {
			r := s.run("landscape.sh")
			So(r.exit, ShouldEqual, 2)
			So(r.stderr, ShouldContainSubstring, "say up or down")
			So(r.call(""), ShouldBeEmpty)
		})
	})
}
