package e2e

import (
	"strings"
	"testing"
	"time"

	. "github.com/smartystreets/goconvey/convey"
)

// witness builds the image of the witness, and gives it these tags. They are the versions of
// a finished image.
func witness(t *testing.T, tags ...string) {
	t.Helper()
	r := script("deploy.sh build"+stackFile("witness", "stack.yml"), "BASE_IMAGE=scratch", "VERSION=any")
	if r.exit != 0 {
		t.Fatalf("the build of the witness: exit %d\n%s", r.exit, r)
	}
	said := lines(r.stdout)
	for _, tag := range tags {
		docker(t, "tag", said[len(said)-1], "someprefix/witness:"+tag)
	}
}

// nodeAddress is the address of the engine, where services publish their ports.
func nodeAddress(t *testing.T) string {
	t.Helper()
	return docker(t, "info", "--format", "{{.Swarm.NodeAddr}}")
}

// containersOf are the containers of services, by service.
func containersOf(t *testing.T, services ...string) map[string][]string {
	t.Helper()
	all := map[string][]string{}
	for _, service := range services {
		all[service] = containers(t, service)
	}
	return all
}

// outOfOrder is the first of some words that does not follow the word before it in a text,
// with the text there; "" if all are in order.
func outOfOrder(text string, words ...string) string {
	for _, word := range words {
		_, after, found := strings.Cut(text, word)
		if !found {
			return word + " is not in: " + text
		}
		text = after
	}
	return ""
}

func TestSeveralServices(t *testing.T) {
	ready(t)
	witness(t, "one", "two", "three")
	at := "http://" + nodeAddress(t)
	deploy := func(command string, settings ...string) result {
		return script("deploy.sh "+command+stackFile("several", "stack.yml"), append(settings, "ADDRESS="+nodeAddress(t))...)
	}
	versionOf := func(service string) string {
		return docker(t, "service", "inspect", "--format", `{{index .Spec.Labels "deploy.version"}}`, service)
	}

	Convey("Three services are one deploy; each is tried when what it depends on is there, and asked where it answers", t, func() {
		r := deploy("up")
		So(r.exit, ShouldEqual, 0)
		So(outOfOrder(r.stdout, "==> Creating first ", "    first answers: "+at+":7412/\n", "==> Trying second ", "    the trial passed",
			"==> Creating second ", "    second answers: "+at+":7413/\n", "==> Creating third ", "    third answers: "+at+":7411/\n", "==> Deployed first "), ShouldBeEmpty)
		So(get(at+":7411/"), ShouldEqual, "one")
		So(get(at+":7412/"), ShouldEqual, "the other port")
	})

	Convey("When the third fails in service, the others go back as well, in reverse order, each proven", t, func() {
		before := containersOf(t, "first", "second")
		r := deploy("up", "TAG=two", "THIRD_MOOD=dies", "TRIAL_SECONDS=0")
		So(r.stderr, ShouldContainSubstring, "has had enough")
		So(r.exit, ShouldEqual, 1)
		So(outOfOrder(r.stdout, "==> Removing first ", "==> Removing second ", "==> Removing third ", "==> Going back to third ", "    third answers: ",
			"==> Going back to second ", "    second answers: "+at+":7413/\n", "==> Going back to first ", "    first answers: "+at+":7412/\n"), ShouldBeEmpty)
		said := lines(r.stderr)
		So(said[len(said)-3:], ShouldResemble, []string{
			"error: the deploy of third someprefix/witness:two failed; version someprefix/witness:one is back: third someprefix/witness:one serves at " + at + ":7411/",
			"       second went back as well: version someprefix/witness:one is back: second someprefix/witness:one serves at " + at + ":7413/",
			"       first went back as well: version someprefix/witness:one is back: first someprefix/witness:one serves at " + at + ":7412/",
		})
		So(containersOf(t, "first", "second"), ShouldNotResemble, before)
		for port, wanted := range map[string]string{":7411/": "one", ":7412/": "the other port", ":7413/": "one"} {
			So(get(at+port), ShouldEqual, wanted)
		}
		So(strings.Count(script("status.sh").stdout, " failed   someprefix/witness:two "), ShouldEqual, 3)
	})

	Convey("Of some, with --keep-going, the others stay where one fails, which is named", t, func() {
		r := deploy("up --keep-going second third", "TAG=two", "SECOND_MOOD=dies", "TRIAL_SECONDS=0")
		So(r.stderr, ShouldContainSubstring, "witness second has had enough")
		So(r.stderr, ShouldContainSubstring, "version someprefix/witness:one is back: second someprefix/witness:one serves at "+at+":7413/\n")
		So(r.stderr, ShouldContainSubstring, "\nerror: failed, for the reasons above: second\n")
		So(r.exit, ShouldEqual, 1)
		for service, wanted := range map[string]string{"first": "one", "second": "one", "third": "two"} {
			So(versionOf(service), ShouldEqual, "someprefix/witness:"+wanted)
		}
		So(get(at+":7413/"), ShouldEqual, "one")
	})

	Convey("One alone is deployed and rolled back by its name, and the others are left alone", t, func() {
		others := containersOf(t, "first", "second")
		for _, it := range []struct{ command, wanted string }{{"up third", "three"}, {"rollback third 1", "one"}, {"rollback third", "three"}} {
			before := containers(t, "third")
			r := deploy(it.command, "TAG=three")
			So(r.stderr, ShouldBeEmpty)
			So(r.exit, ShouldEqual, 0)
			So(versionOf("third"), ShouldEqual, "someprefix/witness:"+it.wanted)
			So(containers(t, "third"), ShouldNotResemble, before)
			So(containersOf(t, "first", "second"), ShouldResemble, others)
		}
		r := deploy("rollback")
		So(r.stderr, ShouldContainSubstring, "say which service to roll back: first, second, third")
		So(r.exit, ShouldEqual, 2)
	})
}

func TestSideBySide(t *testing.T) {
	ready(t)
	at := "http://" + nodeAddress(t)
	deploy := func(stack, command string, settings ...string) result {
		files := stackFile("several", "side.yml")
		if stack == "production" {
			files += stackFile("several", "production.yml") + " --env-file " + repository("e2e/testdata/several/production.env")
		}
		return script("deploy.sh "+command+files, append(settings, "STACK="+stack, "BASE_IMAGE=scratch")...)
	}

	Convey("Given one file deployed as staging and as production, with secrets and images of the same names", t, func() {
		So(deploy("staging", "up", "VERSION=s1").exit, ShouldEqual, 0)
		secrets := lines(docker(t, "secret", "ls", "--format", "{{.Name}}"))
		So(secrets, ShouldHaveLength, 2)
		staging := func() []string {
			found := append(containers(t, "staging_web"), docker(t, "service", "inspect", "--format", "{{.ID}} {{.Version.Index}}", "staging_web"),
				docker(t, "image", "inspect", "--format", "{{.Id}}", "someprefix/side:s1"), docker(t, "network", "inspect", "--format", "{{.Id}}", "side_staging"))
			for _, secret := range secrets {
				found = append(found, docker(t, "secret", "inspect", "--format", "{{.ID}}", secret))
			}
			return append(found, get(at+":7421/"))
		}
		before := staging()
		So(before[len(before)-1], ShouldEqual, "staging")
		r := deploy("production", "up", "VERSION=p1")
		So(r.exit, ShouldEqual, 0)
		So(r.stdout, ShouldContainSubstring, "==> Deployed production_web p1 in ")
		So(get(at+":7422/"), ShouldEqual, "production")
		So(staging(), ShouldResemble, before)

		Convey("neither a deploy nor a rollback nor a removal of one touches the other", func() {
			// The environment overrides the file of variables.
			So(deploy("production", "up", "VERSION=p2", "SAYS=better").exit, ShouldEqual, 0)
			So(get(at+":7422/"), ShouldEqual, "better")
			So(staging(), ShouldResemble, before)

			back := deploy("production", "rollback web")
			So(back.stdout, ShouldContainSubstring, "==> Rolled production_web back to p1: production_web p1 serves at "+at+":7422/\n")
			So(get(at+":7422/"), ShouldEqual, "production")
			So(staging(), ShouldResemble, before)

			So(deploy("production", "remove").exit, ShouldEqual, 0)
			So(docker(t, "service", "ls", "--format", "{{.Name}}"), ShouldEqual, "staging_web")
			So(docker(t, "network", "ls", "--format", "{{.Name}}"), ShouldNotContainSubstring, "side_production")
			So(lines(docker(t, "secret", "ls", "--format", "{{.Name}}")), ShouldResemble, secrets)
			So(staging(), ShouldResemble, before)

			docker(t, "rm", "--force", before[0])
			So(eventually(10*time.Second, func() bool {
				now := containers(t, "staging_web")
				return len(now) == 1 && now[0] != before[0] && get(at+":7421/") == "staging"
			}), ShouldBeTrue)
		})
	})
}

func TestAdoption(t *testing.T) {
	ready(t)
	witness(t, "theirs")
	id := docker(t, "image", "inspect", "--format", "{{.Id}}", "someprefix/witness:theirs")
	answers := func(port, wanted string) bool {
		return eventually(30*time.Second, func() bool { return get("http://"+nodeAddress(t)+":"+port+"/") == wanted })
	}
	deploy := func(command string, settings ...string) result {
		return script("deploy.sh "+command+stackFile("several", "side.yml"), append(settings, "BASE_IMAGE=scratch", "VERSION=ours")...)
	}
	refused := func(service string, settings ...string) {
		before := inSwarm(t)
		for _, command := range []string{"up", "rollback web", "remove"} {
			r := deploy(command, settings...)
			So(r.stderr, ShouldContainSubstring, "a service "+service+" runs, and this program did not deploy it")
			So(r.stderr, ShouldContainSubstring, "deploy up --adopt")
			So(r.exit, ShouldEqual, 1)
		}
		So(inSwarm(t), ShouldResemble, before)
	}
	adopted := func(service, flags, port string, settings ...string) {
		theirs := fieldsOf(t, service)
		r := deploy("up --adopt"+flags, append(settings, "SAYS=ours")...)
		So(r.stderr, ShouldBeEmpty)
		So(r.exit, ShouldEqual, 0)
		So(answers(port, "ours"), ShouldBeTrue)
		back := deploy("rollback web", settings...)
		So(back.stderr, ShouldBeEmpty)
		So(back.exit, ShouldEqual, 0)
		So(fieldsOf(t, service), ShouldResemble, theirs)
		So(answers(port, "hello"), ShouldBeTrue)
	}

	Convey("A service that docker service create made is refused, or taken over; then a deploy that fails goes back to it, and so does a rollback", t, func() {
		arguments := []string{"service", "create", "--detach", "--no-resolve-image", "--name", "web", "--env", "SAYS=hello", "--label", "team=theirs",
			"--stop-grace-period", "2s", "--limit-memory", "50m", "--update-monitor", "1s", "--restart-delay", "200ms"}
		if hostMode() {
			arguments = append(arguments, "--endpoint-mode", "dnsrr", "--publish", "mode=host,published=7421,target=8000")
		} else {
			arguments = append(arguments, "--publish", "published=7421,target=8000")
		}
		docker(t, append(arguments, id)...)
		So(answers("7421", "hello"), ShouldBeTrue)
		refused("web")

		theirs := fieldsOf(t, "web")
		wrong := deploy("up --adopt", "MOOD=dies")
		So(lastLine(wrong), ShouldEndWith, " is back: web serves: its tasks run")
		So(wrong.exit, ShouldEqual, 1)
		So(fieldsOf(t, "web"), ShouldResemble, theirs)
		So(answers("7421", "hello"), ShouldBeTrue)
		adopted("web", "", "7421")
	})

	Convey("A stack that docker stack deploy made is refused, or taken over by its name, and a rollback goes back to it", t, func() {
		_, hash, _ := strings.Cut(id, ":")
		settings := []string{"PORT=7423", "NETWORK=theirs"}
		files := []string{"-c", repository("e2e/testdata/several/side.yml")}
		if hostMode() {
			files = append(files, "-c", written(t, "host.yml", "version: '3.9'\nservices: {web: {ports: [{target: 8000, published: 7423, mode: host}], deploy: {endpoint_mode: dnsrr}}}\n"))
		}
		r := run(append(settings, "IMAGE=sha256", "VERSION="+hash, "SAYS=hello"), "docker", append([]string{"stack", "deploy", "--resolve-image", "never", "theirs"}, files...)...)
		So(r.exit, ShouldEqual, 0)
		So(answers("7423", "hello"), ShouldBeTrue)
		settings = append(settings, "STACK=theirs")
		refused("theirs_web", settings...)
		adopted("theirs_web", " --rolling", "7423", settings...)
	})
}

func TestDiary(t *testing.T) {
	ready(t)
	witness(t, "one", "two", "show")
	deploy := func(command string, settings ...string) result {
		return script("deploy.sh "+command+stackFile("several", "diary.yml"), settings...)
	}
	diary := func() string {
		return docker(t, "run", "--rm", "--volume", "several-diary:/data", "someprefix/witness:show", "show", "/data/diary")
	}

	Convey("Given a finished image that writes to a named volume", t, func() {
		So(deploy("up").exit, ShouldEqual, 0)
		So(diary(), ShouldEndWith, " began")
		options := func(network string) string {
			return docker(t, "network", "inspect", "--format", "{{.Internal}} {{.Attachable}}", network)
		}
		So(options("diary_one"), ShouldEqual, "true true")

		Convey("a plain deploy lets the old container end in order, a rollback makes a removed network anew, and remove leaves the volume", func() {
			r := deploy("up", "TAG=two", "NETWORK=diary_two", "TRIAL_SECONDS=0")
			So(r.String(), ShouldContainSubstring, "==> Removing diary ")
			So(r.exit, ShouldEqual, 0)
			So(diary(), ShouldEndWith, " began\nended in order\nbegan")

			docker(t, "network", "rm", "diary_one")
			back := deploy("rollback diary")
			So(back.stdout, ShouldContainSubstring, "==> Creating network diary_one\n")
			So(back.exit, ShouldEqual, 0)
			So(options("diary_one"), ShouldEqual, "true true")
			So(diary(), ShouldEndWith, " began\nended in order\nbegan\nended in order\nbegan")

			So(deploy("remove", "NETWORK=diary_three").exit, ShouldEqual, 0)
			So(docker(t, "network", "ls", "--format", "{{.Name}}"), ShouldNotContainSubstring, "diary_")
			So(diary(), ShouldEndWith, "\nbegan\nended in order")
			gone := deploy("remove --volumes")
			So(gone.stdout, ShouldContainSubstring, "==> Removed volume several-diary and its data\n")
			So(gone.exit, ShouldEqual, 0)
			So(docker(t, "volume", "ls", "--quiet"), ShouldBeEmpty)
		})
	})
}
