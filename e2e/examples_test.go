package e2e

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	. "github.com/smartystreets/goconvey/convey"

	"goblog/e2e/prober"
)

// An example is one of examples/, with its stack files.
type example struct {
	files []string
	said  *strings.Builder // by the scripts, of it
}

// exampleOf is an example, on an engine without examples. It is removed when the test ends.
func exampleOf(t *testing.T, name string) example {
	t.Helper()
	wipeExamples(t)
	t.Cleanup(func() { wipeExamples(t) })
	return example{[]string{repository("examples", name, "stack.yml")}, &strings.Builder{}}
}

// with is the example with one more stack file.
func (e example) with(file string) example {
	return example{append(slices.Clip(e.files), file), e.said}
}

// script runs one of the project's scripts on the example.
func (e example) script(command string, environment ...string) result {
	for _, file := range e.files {
		command += " -f '" + file + "'"
	}
	r := script(command, environment...)
	e.said.WriteString(r.String())
	return r
}

// wipeExamples calls wipe, and also removes everything that only the examples have.
func wipeExamples(t *testing.T) {
	t.Helper()
	wipe(t)
	for _, secret := range lines(run(nil, "docker", "secret", "ls", "--quiet").stdout) { // Without a swarm, there are none.
		docker(t, "secret", "rm", secret)
	}
	for kind, names := range map[string][]string{"network": {"notes_network", "proxy_inside", "proxy_outside"}, "volume": {"notes-data"}} {
		for _, name := range names {
			if !eventually(30*time.Second, func() bool {
				return run(nil, "docker", kind, "inspect", name).exit != 0 || run(nil, "docker", kind, "rm", name).exit == 0
			}) {
				t.Errorf("%s %s cannot be removed", kind, name)
			}
		}
	}
}

// left is everything of removed services that is still in the swarm or on this engine,
// without volumes.
func left(t *testing.T) []string {
	t.Helper()
	found := leftOn(t)
	for _, kind := range []string{"service", "secret", "config"} {
		found = append(found, lines(docker(t, kind, "ls", "--format", "{{.Name}}"))...)
	}
	return found
}

// leftOn are the containers and networks that are still on an engine. flags name the engine.
func leftOn(t *testing.T, flags ...string) []string {
	t.Helper()
	found := lines(docker(t, append(flags, "ps", "--all", "--format", "{{.Names}}", "--filter", "label=com.docker.swarm.service.name")...))
	for _, network := range lines(docker(t, append(flags, "network", "ls", "--format", "{{.Name}}", "--filter", "driver=overlay")...)) {
		if network != "ingress" {
			found = append(found, network)
		}
	}
	return found
}

// A content is the content of the file of a secret or a config.
type content string

// write puts the content into a file.
func (c content) write(t *testing.T, path string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(c), 0o600); err != nil {
		t.Fatal(err)
	}
}

// as is the name of a secret or a config with this content.
func (c content) as(key string) string {
	return key + "-" + fmt.Sprintf("%x", sha256.Sum256([]byte(c)))[:12]
}

// namesOf are the names of all secrets, configs or volumes, in order, without the configs of
// the history of a service.
func namesOf(t *testing.T, kind string) []string {
	t.Helper()
	names := lines(docker(t, kind, "ls", "--format", "{{.Name}}"))
	return inOrder(slices.DeleteFunc(names, func(name string) bool { return strings.Contains(name, ".deploy.") })...)
}

func inOrder(names ...string) []string { return slices.Sorted(slices.Values(names)) }

// shown is everything that the swarm shows about a service to anybody who may ask: the
// service, the labels of all secrets and configs, and the decoded history of the service. It
// counts the entries.
func shown(t *testing.T, service string) (text string, entries int) {
	t.Helper()
	text = docker(t, "service", "inspect", service)
	for _, secret := range namesOf(t, "secret") {
		text += docker(t, "secret", "inspect", secret)
	}
	for _, name := range lines(docker(t, "config", "ls", "--format", "{{.Name}}")) {
		var configs []struct {
			Spec struct {
				Labels map[string]string
				Data   []byte
			}
		}
		if err := json.Unmarshal([]byte(docker(t, "config", "inspect", name)), &configs); err != nil {
			t.Fatal(err)
		}
		text += fmt.Sprintln(configs[0].Spec.Labels)
		if strings.HasPrefix(name, service+".deploy.") {
			text += string(configs[0].Spec.Data)
			entries++
		}
	}
	return text, entries
}

// post sends a note, and returns the status of the answer, or the error.
func post(url string, token content, note string) string {
	request, err := http.NewRequest(http.MethodPost, url, strings.NewReader(note))
	if err != nil {
		return err.Error()
	}
	request.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	client := http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		return err.Error()
	}
	response.Body.Close()
	return response.Status
}

func TestExampleNotes(t *testing.T) {
	const (
		oldToken, newToken = content("0ba5e1e55c0ffee5adf00d1e55ca5cad\n"), content("5eed5a1ad5ca1ab1e0ff1ce5facade15\n")
		goodDay, welcome   = content("Good day from a test.\n"), content("Welcome from a test.\n")
		created, refused   = "201 Created", "401 Unauthorized"
	)
	notes := exampleOf(t, "notes")
	volumes := namesOf(t, "volume")
	hello := content(read(t, filepath.Join(filepath.Dir(notes.files[0]), "greeting.txt")))

	dir := t.TempDir()
	token, greeting, override := filepath.Join(dir, "token"), filepath.Join(dir, "greeting"), filepath.Join(dir, "stack.yml")
	content(`version: "3.9"
services:
  notes:
    deploy:
      update_config:
        monitor: 1s # The test is long enough.
configs:
  greeting:
    file: `+greeting+"\n").write(t, override)
	oldToken.write(t, token)
	t.Setenv("NOTES_TOKEN_FILE", token)

	up := notes.script("copyall.sh", "VERSION=one")
	t.Setenv("TRIAL_SECONDS", "0") // One trial is enough.
	url := answeringURL(up)
	first, stored := post(url+"notes", oldToken, "Buy milk"), "Buy milk\n"

	// Each test begins with the state that the one before has left.
	Convey("Given the example with notes, and a note", t, func() {
		So(up.String(), ShouldContainSubstring, "==> Deployed notes one in ")
		So(up.exit, ShouldEqual, 0)
		So(first, ShouldEqual, created)

		Convey("it greets, takes a note from nobody without the token, and has hashes in the names of its secret and config", func() {
			So(url, ShouldEndWith, ":7070/")
			So(get(url), ShouldEqual, string(hello))
			So(get(url+"notes"), ShouldEqual, stored)
			So(post(url+"notes", newToken, "Buy wine"), ShouldEqual, refused)
			So(post(url+"notes", "", "Buy wine"), ShouldEqual, refused)
			So(namesOf(t, "secret"), ShouldResemble, []string{oldToken.as("notes_token")})
			So(namesOf(t, "config"), ShouldResemble, []string{hello.as("greeting")})
		})

		Convey("a plain deploy of another version and greeting keeps the note", func() {
			goodDay.write(t, greeting)
			r := notes.with(override).script("copyall.sh", "VERSION=two")
			So(r.String(), ShouldContainSubstring, "==> Deployed notes two in ")
			So(r.exit, ShouldEqual, 0)
			So(get(url+"version"), ShouldStartWith, "notes two,")
			So(get(url), ShouldEqual, string(goodDay))
			So(get(url+"notes"), ShouldEqual, stored)
		})

		Convey("a rolling one brings another greeting and another token, names both in its plan, and keeps the note", func() {
			newToken.write(t, token)
			welcome.write(t, greeting)
			r := notes.with(override).script("copyall.sh --rolling", "VERSION=three")
			So(r.String(), ShouldContainSubstring, "    secrets.notes_token: "+oldToken.as("notes_token")+" → "+newToken.as("notes_token")+"\n")
			So(r.stdout, ShouldContainSubstring, "    configs./etc/notes/greeting: "+goodDay.as("greeting")+" → "+welcome.as("greeting")+"\n")
			So(r.stdout, ShouldContainSubstring, "==> Updating notes to three, one task at a time, stop-first\n") // Two tasks must not write to one volume.
			So(r.exit, ShouldEqual, 0)
			So(get(url), ShouldEqual, string(welcome))
			So(get(url+"notes"), ShouldEqual, stored)
			So(post(url+"notes", oldToken, "Buy wine"), ShouldEqual, refused)
			So(post(url+"notes", newToken, "Buy bread"), ShouldEqual, created)
			stored += "Buy bread\n"
		})

		Convey("after two changes, each greeting and each token is there still, as each can be gone back to", func() {
			So(namesOf(t, "config"), ShouldResemble, inOrder(hello.as("greeting"), goodDay.as("greeting"), welcome.as("greeting")))
			So(namesOf(t, "secret"), ShouldResemble, inOrder(oldToken.as("notes_token"), newToken.as("notes_token")))
			status := script("status.sh").stdout
			So(status, ShouldContainSubstring, "    3  done     three ")
			So(strings.Count(status, "  a rollback can go back to it\n"), ShouldEqual, 2)
		})

		Convey("rollback.sh brings the greeting and the token from before, and keeps the notes", func() {
			r := notes.script("rollback.sh")
			So(r.String(), ShouldContainSubstring, "==> Rolled notes back to two: notes two serves at "+url)
			So(r.exit, ShouldEqual, 0)
			So(get(url), ShouldEqual, string(goodDay))
			So(get(url+"notes"), ShouldEqual, stored)
			So(post(url+"notes", newToken, "Buy wine"), ShouldEqual, refused)
			So(post(url+"notes", oldToken, "Buy salt"), ShouldEqual, created)
			stored += "Buy salt\n"
		})

		Convey("no token and no greeting stands in the history, in a label, or in what a script said", func() {
			history, entries := shown(t, "notes")
			So(entries, ShouldEqual, 4)
			So(strings.Contains(history, newToken.as("notes_token")), ShouldBeTrue)
			for _, one := range []content{oldToken, newToken, hello, goodDay, welcome} {
				for _, form := range []string{strings.TrimSpace(string(one)), base64.StdEncoding.EncodeToString([]byte(one))} {
					So(strings.Contains(history, form), ShouldBeFalse)
					So(strings.Contains(notes.said.String(), form), ShouldBeFalse)
				}
			}
		})

		Convey("remove.sh leaves the volume and nothing else, and a new deploy has the notes", func() {
			r := notes.script("remove.sh")
			So(r.String(), ShouldContainSubstring, "==> Removing notes\n")
			So(r.exit, ShouldEqual, 0)
			So(get(url), ShouldNotEqual, string(goodDay))
			So(left(t), ShouldBeEmpty)
			So(namesOf(t, "volume"), ShouldResemble, inOrder(append(volumes, "notes-data")...))

			again := notes.script("copyall.sh", "VERSION=two")
			So(again.String(), ShouldContainSubstring, "==> Deployed notes two in ")
			So(again.exit, ShouldEqual, 0)
			So(get(url), ShouldEqual, string(hello))
			So(get(url+"notes"), ShouldEqual, stored)
		})

		Convey("remove.sh --volumes leaves nothing, and none of it all said a token", func() {
			r := notes.script("remove.sh --volumes")
			So(r.String(), ShouldContainSubstring, "==> Removed volume notes-data and its data\n")
			So(r.exit, ShouldEqual, 0)
			So(left(t), ShouldBeEmpty)
			So(namesOf(t, "volume"), ShouldResemble, volumes)
			for _, one := range []content{oldToken, newToken} {
				So(strings.Contains(notes.said.String(), strings.TrimSpace(string(one))), ShouldBeFalse)
			}
		})
	})
}

// greets waits until all answers that a front passes on come from one version of hello, and
// from two tasks. It reports whether that was in time.
func greets(front, version string) bool {
	return eventually(20*time.Second, func() bool {
		tasks := map[string]bool{}
		for range 20 {
			answer := get(front)
			if !strings.HasPrefix(answer, "Hello from "+version+" on ") {
				return false
			}
			tasks[answer] = true
		}
		return len(tasks) == 2
	})
}

// asked sends requests through a front to hello while change runs, and until the replaced
// tasks of hello have ended.
func asked(t *testing.T, front string, change func()) (report prober.Report) {
	t.Helper()
	p, err := prober.Start(front+"health", "ok\n")
	So(err, ShouldBeNil)
	defer func() { report = p.Stop() }()
	change()
	So(eventually(time.Minute, func() bool {
		return !strings.Contains("\n"+docker(t, "service", "ps", "--format", "{{.DesiredState}} {{.CurrentState}}", "hello"), "\nShutdown Running")
	}), ShouldBeTrue)
	return report // As Stop gives it.
}

func TestExampleProxy(t *testing.T) {
	t.Setenv("PORT", "8088") // So only hello has port 8000.
	proxy := exampleOf(t, "proxy")
	up := proxy.script("copyall.sh", "VERSION=one", "TRIAL_SECONDS=0")
	front := pageOf("front", up)

	// Each test begins with the state that the one before has left.
	Convey("Given the example with a proxy", t, func() {
		So(up.String(), ShouldContainSubstring, "==> Deployed front one in ")
		So(up.exit, ShouldEqual, 0)

		Convey("front passes on what the two tasks of hello answer", func() {
			So(front, ShouldEndWith, ":8088/")
			So(greets(front, "one"), ShouldBeTrue)
			So(get(front+"version"), ShouldStartWith, "hello one,")
			So(get(front+"-/version"), ShouldStartWith, "front one,")
		})

		Convey("hello can be reached by front only, and has no way out", func() {
			So(get(strings.Replace(front, ":8088", ":8000", 1)), ShouldNotContainSubstring, "Hello")
			So(docker(t, "service", "inspect", "--format", "{{len .Endpoint.Ports}}", "hello"), ShouldEqual, "0")
			So(containers(t, "hello"), ShouldHaveLength, 2)
			leadOut := docker(t, "network", "inspect", "--format", "{{range $id, $one := .Containers}}{{$id}} {{end}}", "docker_gwbridge")
			for _, task := range containers(t, "hello") {
				So(docker(t, "port", task), ShouldBeEmpty)
				So(leadOut, ShouldNotContainSubstring, task)
			}
		})

		Convey("hello alone is updated and goes back, and no request through front fails", func() {
			report := asked(t, front, func() {
				r := proxy.script("copyall.sh --rolling hello", "VERSION=two")
				So(r.String(), ShouldContainSubstring, "==> Updating hello to two, one task at a time, start-first\n")
				So(r.String(), ShouldContainSubstring, "==> Deployed hello two in ")
				So(r.exit, ShouldEqual, 0)
				So(greets(front, "two"), ShouldBeTrue)

				back := proxy.script("rollback.sh hello")
				So(back.String(), ShouldContainSubstring, "==> Rolled hello back to one: ")
				So(back.exit, ShouldEqual, 0)
				So(greets(front, "one"), ShouldBeTrue)
			})
			fmt.Printf("\nexamples: hello updated and rolled back: through front, %v\n", report)
			So(report.String(), ShouldStartWith, "0 of ")
			So(report.Requests, ShouldBeGreaterThan, 1000)
		})

		Convey("remove.sh leaves nothing, not even a network", func() {
			r := proxy.script("remove.sh")
			So(r.String(), ShouldContainSubstring, "==> Removing network proxy_inside\n==> Removing network proxy_outside\n")
			So(r.exit, ShouldEqual, 0)
			So(get(front), ShouldNotContainSubstring, "Hello")
			So(left(t), ShouldBeEmpty)
		})
	})
}

func TestExampleProxyOnThreeNodes(t *testing.T) {
	threeNodes(t)
	t.Setenv("REGISTRY", registry)
	t.Setenv("TRIAL_SECONDS", "0")
	proxy := exampleOf(t, "proxy")
	everywhere := proxy.with(repository("examples", "proxy", "everywhere.yml"))
	manager := docker(t, "node", "ls", "--filter", "role=manager", "--format", "{{.Hostname}}")
	frontOf := func(node string) string { return "http://" + address[node] + ":8000/" }
	up := everywhere.script("copyall.sh", "VERSION=one")

	// Each test begins with the state that the one before has left.
	Convey("Given the example with a proxy, laid out to be everywhere, on three nodes", t, func() {
		So(up.String(), ShouldContainSubstring, "==> Deployed front one in ")
		So(up.exit, ShouldEqual, 0)

		Convey("front answers on each node, from hello on two", func() {
			So(runsOn(t, "front", manager, "node2", "node3"), ShouldBeTrue)
			tasks := lines(docker(t, "service", "ps", "--filter", "desired-state=running", "--format", "{{.Node}}", "hello"))
			So(tasks, ShouldHaveLength, 2)
			So(tasks[0], ShouldNotEqual, tasks[1])
			for node := range address {
				So(up.stdout, ShouldContainSubstring, "front answers: "+frontOf(node)+"\n")
				So(greets(frontOf(node), "one"), ShouldBeTrue)
			}
		})

		Convey("hello alone is updated, on whichever nodes, and no request through a front fails", func() {
			report := asked(t, frontOf("node2"), func() {
				r := everywhere.script("copyall.sh --rolling hello", "VERSION=two")
				So(r.String(), ShouldContainSubstring, "==> Deployed hello two in ")
				So(r.exit, ShouldEqual, 0)
			})
			fmt.Printf("\nexamples: hello updated on three nodes: through front, %v\n", report)
			So(report.String(), ShouldStartWith, "0 of ")
			So(report.Requests, ShouldBeGreaterThan, 1000)
			for node := range address {
				So(greets(frontOf(node), "two"), ShouldBeTrue)
			}
		})

		Convey("without everywhere.yml, front runs on one node, and hello stays as it is", func() {
			before := docker(t, "service", "ps", "--quiet", "hello")
			r := proxy.script("copyall.sh --rolling", "VERSION=two")
			So(r.String(), ShouldContainSubstring, "==> Deployed front two in ")
			So(r.exit, ShouldEqual, 0)
			one := pageOf("front", r)
			So(greets(one, "two"), ShouldBeTrue)
			for node := range address {
				if frontOf(node) != one {
					So(get(frontOf(node)), ShouldContainSubstring, "refused")
				}
			}
			So(docker(t, "service", "ps", "--quiet", "hello"), ShouldEqual, before)
		})

		Convey("rollback.sh brings front back to each node", func() {
			r := proxy.script("rollback.sh front")
			So(r.String(), ShouldContainSubstring, "==> Rolled front back to one: ")
			So(r.exit, ShouldEqual, 0)
			for node := range address {
				So(get(frontOf(node)+"-/version"), ShouldStartWith, "front one,")
				So(greets(frontOf(node), "two"), ShouldBeTrue)
			}
		})

		Convey("remove.sh leaves nothing, on no node", func() {
			So(everywhere.script("remove.sh").exit, ShouldEqual, 0)
			So(left(t), ShouldBeEmpty)
			for _, node := range []string{"node2", "node3"} {
				So(eventually(30*time.Second, func() bool { // The engine of the other node cleans up later than the manager.
					return len(leftOn(t, "--host", socketOf(node))) == 0
				}), ShouldBeTrue)
			}
		})
	})
}
