package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/api/types/swarm"
	. "github.com/smartystreets/goconvey/convey"

	"goblog/deploy/build"
	"goblog/deploy/journal"
	"goblog/deploy/plan"
	"goblog/deploy/progress"
	"goblog/deploy/prove"
	"goblog/deploy/stack"
	engine "goblog/deploy/swarm"
	"goblog/deploy/view"
)

func TestUsageErrors(t *testing.T) {
	for arguments, want := range map[string]string{
		"":                    "choose a command: up, build, rollback, status, view, remove, init or version",
		"deploy":              "unknown command 'deploy': choose up, build, rollback, status, view, remove, init or version",
		"--rolling":           "unknown command '--rolling'",
		"up --nonsense":       "-nonsense",
		"up web --nonsense":   "-nonsense",
		"up --rolling=maybe":  "-rolling",
		"up -f":               "-f",
		"status --rolling":    "-rolling",
		"rollback --force":    "-force",
		"build --rolling":     "-rolling",
		"remove --plan":       "-plan",
		"up nobody":           `there is no service "nobody": there are shop, web`,
		"up web nobody":       `there is no service "nobody"`,
		"build nobody":        `there is no service "nobody"`,
		"remove nobody":       `there is no service "nobody"`,
		"status web":          "web",
		"init web":            "init takes no argument, but got 'web'",
		"init --port http":    "--port: 'http' is not a port, from 1 to 65535",
		"init -f stack.yml":   "-f",
		"init":                "there is neither a go.mod nor a Dockerfile here",
		"version web":         "version takes no argument, but got 'web'",
		"version -f a.yml":    "-f",
		"view web":            "view takes no argument, but got 'web'",
		"view --listen 6790":  "'6790' is not HOST:PORT",
		"rollback":            "say which service to roll back: shop, web",
		"rollback 3":          "say which service to roll back: shop, web",
		"rollback web shop":   "give one service and one number at most, not 'web shop'",
		"rollback web shop 3": "give one service and one number at most, not 'web shop 3'",
		"rollback web 3 shop": "give one service and one number at most, not 'web 3 shop'",
		"rollback web 0":      "give one service and one number at most, not 'web 0'",
		"up -f none.yml":      "none.yml",
		"build -f none.yml":   "none.yml",
		"remove -f none.yml":  "none.yml",
		"rollback -f no.yml":  "no.yml",
	} {
		Convey("'deploy "+arguments+"' is refused with exit code 2, before an engine is asked", t, func() {
			t.Chdir(stage(t))
			r := deploy(context.Background(), strings.Fields(arguments)...)
			So(r.exit, ShouldEqual, exitUsage)
			So(r.stderr, ShouldStartWith, "error: ")
			So(r.stderr, ShouldContainSubstring, want)
			So(r.stderr, ShouldContainSubstring, "--help")
			So(r.stderr, ShouldNotContainSubstring, "nonexistent")
			So(r.stdout, ShouldBeBlank)
		})
	}
	for what, text := range map[string]string{
		"an unknown key": "services: {web: {image: a, imagee: b}}", "a port that is none": "services: {web: {image: a, ports: ['99999:80']}}",
		"no image": "services: {web: {}}", "no YAML": "services: [", "an unset variable": "services: {web: {image: '${NOWHERE_SET:?say which}'}}",
	} {
		Convey("A stack file with "+what+" is refused with exit code 2 by its name", t, func() {
			dir := stage(t)
			put(t, filepath.Join(dir, "bad.yml"), "version: \"3.9\"\n"+text+"\n")
			for _, command := range []string{"up", "build", "remove"} {
				r := deploy(context.Background(), command, "-f", filepath.Join(dir, "bad.yml"))
				So(r.exit, ShouldEqual, exitUsage)
				So(r.stderr, ShouldContainSubstring, "bad.yml: ")
			}
		})
	}
}

func TestArguments(t *testing.T) {
	command := func(name string) command {
		for _, one := range commands {
			if one.name == name {
				return one
			}
		}
		panic(name)
	}
	Convey("Flags may stand before and after the arguments", t, func() {
		stage(t)
		for _, line := range []string{"--rolling --plan web shop", "web --rolling shop --plan", "web shop -rolling -plan=true"} {
			o, err := parse(command("up"), strings.Fields(line))
			So(err, ShouldBeNil)
			So(o.arguments, ShouldResemble, []string{"web", "shop"})
			So(o.rolling && o.plan, ShouldBeTrue)
			So(o.force || o.noUndo || o.keepGoing || o.showValues, ShouldBeFalse)
		}
	})
	Convey("Each flag is its own", t, func() {
		stage(t)
		o, err := parse(command("up"), strings.Fields("--force --no-undo --keep-going --show-values"))
		So(err, ShouldBeNil)
		So(o.force && o.noUndo && o.keepGoing && o.showValues, ShouldBeTrue)
		So(o.rolling || o.plan, ShouldBeFalse)
	})
	Convey("-f may be given more than once, and a later file says more", t, func() {
		dir := stage(t)
		put(t, filepath.Join(dir, "production.yml"), "version: \"3.9\"\nservices:\n  web:\n    deploy: {replicas: 5}\n  db:\n    image: example/db\n")
		o, err := parse(command("up"), []string{"-f", filepath.Join(dir, "stack.yml"), "db", "-f", filepath.Join(dir, "production.yml"), "web"})
		So(err, ShouldBeNil)
		So(o.files, ShouldResemble, []string{filepath.Join(dir, "stack.yml"), filepath.Join(dir, "production.yml")})
		So(o.root, ShouldEqual, dir)
		_, services, err := o.services()
		So(err, ShouldBeNil)
		So(services, ShouldHaveLength, 2)
		So(services[0].Name, ShouldEqual, "db")
		So(services[1].Name, ShouldEqual, "web")
		So(*services[1].Spec.Mode.Replicated.Replicas, ShouldEqual, 5)
	})
	Convey("Without -f, the file is stack.yml of the working directory", t, func() {
		t.Chdir(stage(t))
		t.Setenv("STACK_FILE", "")
		o, err := parse(command("up"), nil)
		So(err, ShouldBeNil)
		So(o.files, ShouldResemble, []string{"stack.yml"})
		_, services, err := o.services()
		So(err, ShouldBeNil)
		So(services, ShouldHaveLength, 2)
	})
	for line, want := range map[string]struct {
		name string
		n    int
	}{"web": {"web", 0}, "web 3": {"web", 3}, "3 web": {"web", 3}, "gone": {"gone", 0}} {
		Convey("'rollback "+line+"' goes back with service "+want.name, t, func() {
			stage(t)
			o, err := parse(command("rollback"), strings.Fields(line))
			So(err, ShouldBeNil)
			name, n, err := o.target()
			So(err, ShouldBeNil)
			So(name, ShouldEqual, want.name)
			So(n, ShouldEqual, want.n)
		})
	}
	Convey("In a stack, a service of the file goes by its key, and any other by its name in the swarm", t, func() {
		stage(t)
		t.Setenv("STACK", "staging")
		for line, want := range map[string]string{"web": "staging_web", "staging_web": "staging_web", "other": "other"} {
			o, err := parse(command("rollback"), []string{line})
			So(err, ShouldBeNil)
			name, _, err := o.target()
			So(err, ShouldBeNil)
			So(name, ShouldEqual, want)
		}
	})
	Convey("Where the file has one service, a rollback need not name it, and no variable of the file must be set", t, func() {
		dir := stage(t)
		put(t, filepath.Join(dir, "one.yml"), "version: \"3.9\"\nservices:\n  web:\n    image: ${NOWHERE_SET:?}\n")
		for line, n := range map[string]int{"": 0, "4": 4} {
			o, err := parse(command("rollback"), append([]string{"-f", filepath.Join(dir, "one.yml")}, strings.Fields(line)...))
			So(err, ShouldBeNil)
			name, got, err := o.target()
			So(err, ShouldBeNil)
			So(name, ShouldEqual, "web")
			So(got, ShouldEqual, n)
		}
	})
}

func TestExitCodes(t *testing.T) {
	for _, line := range []string{"up", "up --rolling web", "up --plan", "rollback web", "rollback web 3", "status", "view", "remove", "remove web --keep-going"} {
		Convey("'deploy "+line+"' without an engine fails with exit code 1, and names its address", t, func() {
			stage(t)
			r := deploy(context.Background(), strings.Fields(line)...)
			So(r.exit, ShouldEqual, exitFailed)
			So(r.stderr, ShouldStartWith, "error: the docker engine at "+nowhere+" does not answer: ")
			So(r.stderr, ShouldContainSubstring, "DOCKER_HOST")
			So(r.stderr, ShouldContainSubstring, "nothing was changed")
			So(r.stderr, ShouldNotContainSubstring, "--help")
			So(r.stdout, ShouldBeBlank)
		})
	}
	Convey("An engine's address that is none fails with exit code 1", t, func() {
		stage(t)
		t.Setenv("DOCKER_HOST", "nonsense")
		r := deploy(context.Background(), "status")
		So(r.exit, ShouldEqual, exitFailed)
		So(r.stderr, ShouldContainSubstring, "nonsense")
	})
	Convey("A docker context that is not there fails with exit code 1, and is named", t, func() {
		stage(t)
		t.Setenv("DOCKER_HOST", "")
		t.Setenv("DOCKER_CONTEXT", "elsewhere")
		r := deploy(context.Background(), "status")
		So(r.exit, ShouldEqual, exitFailed)
		So(r.stderr, ShouldContainSubstring, "docker context elsewhere")
	})
	for _, line := range []string{"up", "up --keep-going", "rollback web", "status", "view", "remove"} {
		Convey("'deploy "+line+"' that is interrupted while the engine does not answer ends with exit code 130, and has changed nothing", t, func() {
			dir := stage(t)
			listener, err := net.Listen("unix", filepath.Join(dir, "s"))
			So(err, ShouldBeNil)
			defer listener.Close()
			t.Setenv("DOCKER_HOST", "unix://"+filepath.Join(dir, "s"))
			ctx, interrupt := context.WithCancel(context.Background())
			go func() {
				if asked, err := listener.Accept(); err == nil {
					interrupt()
					defer asked.Close()
					io.Copy(io.Discard, asked)
				}
			}()
			r := deploy(ctx, strings.Fields(line)...)
			So(r.exit, ShouldEqual, exitInterrupted)
			So(r.stderr, ShouldEqual, "error: interrupted; nothing was changed\n")
		})
	}
	Convey("build --binary needs no engine, and says what does not compile with exit code 1", t, func() {
		dir := stage(t)
		put(t, filepath.Join(dir, "Dockerfile"), "FROM scratch\n")
		put(t, filepath.Join(dir, "go.mod"), "module example\n\ngo 1.26\n")
		put(t, filepath.Join(dir, "main.go"), "package main\n\nfunc main() { nonsense() }\n")
		put(t, filepath.Join(dir, "built.yml"), "version: \"3.9\"\nservices:\n  web: {image: example/web, build: ., x-deploy: {package: .}}\n  shop: {image: example/shop}\n")
		arguments := []string{"build", "--binary", "-f", filepath.Join(dir, "built.yml")}
		r := deploy(context.Background(), arguments...)
		So(r.exit, ShouldEqual, exitFailed)
		So(r.stderr, ShouldStartWith, "error: go build of "+dir+" failed\n")
		So(r.stderr, ShouldContainSubstring, "undefined: nonsense")
		put(t, filepath.Join(dir, "main.go"), "package main\n\nfunc main() {}\n")
		r = deploy(context.Background(), arguments...)
		So(r.stderr, ShouldBeBlank)
		So(r.exit, ShouldEqual, exitDone)
		So(r.stdout, ShouldEqual, "==> Compiling web dev for linux/amd64\n")
	})
}

func TestErrorsHaveTheirLines(t *testing.T) {
	s := &session{options: &options{}, out: &progress.Printer{Out: io.Discard, Err: io.Discard}}
	for what, one := range map[string]struct {
		err     error
		problem string
		lines   []string
	}{
		"an obstacle":                 {&plan.Obstacle{Problem: "port 80 is taken", Advice: "choose another"}, "port 80 is taken", []string{"choose another"}},
		"a lock that somebody holds":  {&journal.HeldError{Service: "web", Holder: "me", Since: "now", Phase: "building"}, "web is being deployed already, by me since now: building", []string{"deploy again when it has ended, or wait for it: --wait"}},
		"a build that failed":         {&build.Failure{What: "go build failed", Said: "a\nb", Advice: "mend it"}, "go build failed", []string{"a\nb", "mend it"}},
		"an error that has its lines": {failed("no", "one", "two"), "no", []string{"one", "two"}},
		"an error of the engine":      {errors.New("no quorum"), "no quorum", nil},
		"an engine that is away":      {fmt.Errorf("look at service web: %w", engine.ErrAway), "look at service web: the engine is away", []string{"the engine restarts, or its swarm has no leader now; do not run docker swarm init, even if the engine asks for it: wait until docker node ls answers, and run this again, or use another manager of the swarm"}},
		"a wrapped obstacle":          {fmt.Errorf("web: %w", &plan.Obstacle{Problem: "port 80 is taken", Advice: "choose another"}), "port 80 is taken", []string{"choose another"}},
	} {
		Convey("Of "+what+" it is said what it is, and what to do", t, func() {
			told := outcomeOf(one.err)
			So(told.exit, ShouldEqual, exitFailed)
			So(told.problem, ShouldEqual, one.problem)
			So(told.lines, ShouldResemble, one.lines)
		})
	}
	Convey("Before the first change, the last lines say that nothing was touched, and an interruption is one", t, func() {
		all := []*deployment{{session: s, service: stack.Service{Name: "web"}}, {session: s, service: stack.Service{Name: "shop"}}}
		var told *outcome
		So(errors.As(s.untouched(context.Background(), all, errors.New("no quorum")), &told), ShouldBeTrue)
		So(told.exit, ShouldEqual, exitFailed)
		So(told.lines, ShouldResemble, []string{"web was not touched", "shop was not touched"})
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		So(errors.As(s.untouched(ctx, all, errors.New("no quorum")), &told), ShouldBeTrue)
		So(told.exit, ShouldEqual, exitInterrupted)
		So(told.problem, ShouldEqual, "interrupted; nothing that runs was changed")
	})
}

func TestWhoseManagerTheEngineIs(t *testing.T) {
	for what, one := range map[string]struct {
		info    swarm.Info
		orNone  bool
		problem string
	}{
		"a manager":                          {swarm.Info{LocalNodeState: swarm.LocalNodeStateActive, ControlAvailable: true}, false, ""},
		"in no swarm, where one may be made": {swarm.Info{LocalNodeState: swarm.LocalNodeStateInactive}, true, ""},
		"in no swarm, where one is needed":   {swarm.Info{LocalNodeState: swarm.LocalNodeStateInactive}, false, "this engine is not in a swarm, so nothing is deployed"},
		"a worker":                           {swarm.Info{LocalNodeState: swarm.LocalNodeStateActive}, true, "this engine is a worker of its swarm, not a manager"},
		"locked":                             {swarm.Info{LocalNodeState: swarm.LocalNodeStateLocked}, true, "this engine's part in its swarm is locked"},
		"in trouble":                         {swarm.Info{LocalNodeState: swarm.LocalNodeStateError}, true, "this engine's part in its swarm is error"},
	} {
		Convey("An engine that is "+what+" is "+map[bool]string{true: "taken", false: "refused"}[one.problem == ""], t, func() {
			s := &session{}
			s.info.Swarm = one.info
			err := s.needManager(one.orNone)
			if one.problem == "" {
				So(err, ShouldBeNil)
				return
			}
			So(err, ShouldBeError, one.problem)
			So(err.(*outcome).lines, ShouldNotBeEmpty)
		})
	}
	for version, want := range map[string]bool{"1.44": true, "1.45": true, "1.100": true, "1.43": false, "1.9": false, "1.41": false, "": false, "1": false, "1.x": false} {
		Convey(fmt.Sprintf("An engine of API '%s' knows a start interval: %v", version, want), t, func() { So(atLeast(version, 44), ShouldEqual, want) })
	}
}

func TestKillable(t *testing.T) {
	for what, one := range map[string]struct {
		mount mount.Mount
		want  bool
	}{
		"memory of its own":       {mount.Mount{Type: mount.TypeTmpfs}, true},
		"an anonymous volume":     {mount.Mount{Type: mount.TypeVolume}, true},
		"a named volume":          {mount.Mount{Type: mount.TypeVolume, Source: "data"}, false},
		"a directory of the node": {mount.Mount{Type: mount.TypeBind, Source: "/srv"}, false},
	} {
		Convey(fmt.Sprintf("A task with %s may be killed without a grace period: %v", what, one.want), t, func() {
			spec := swarm.ServiceSpec{TaskTemplate: swarm.TaskSpec{ContainerSpec: &swarm.ContainerSpec{Mounts: []mount.Mount{{Type: mount.TypeTmpfs}, one.mount}}}}
			So(killable(spec), ShouldEqual, one.want)
		})
	}
}

func TestServicesOfOlderScripts(t *testing.T) {
	spec := func(labels map[string]string) *journal.Snapshot {
		return &journal.Snapshot{Spec: swarm.ServiceSpec{Annotations: swarm.Annotations{Name: "web", Labels: labels},
			TaskTemplate: swarm.TaskSpec{ContainerSpec: &swarm.ContainerSpec{Image: "sha256:2"}}}}
	}
	Convey("A service that older scripts deployed is an entry, with what it replaced", t, func() {
		current := spec(map[string]string{"copyall.arguments": "x", "copyall.version": "v2", "copyall.previous-image": "sha256:1", "copyall.previous-version": "v1"})
		entry := foundEntry(current, 1, false)
		So(entry.N, ShouldEqual, 1)
		So(entry.Outcome, ShouldEqual, journal.Found)
		So(entry.New(), ShouldBeTrue)
		So(entry.After.Entry, ShouldEqual, 1)
		So(entry.After.Version, ShouldEqual, "v2")
		So(entry.After.Image(), ShouldEqual, "sha256:2")
		So(entry.After.Timeout, ShouldBeGreaterThan, 0)
		So(entry.Before.Version, ShouldEqual, "v1")
		So(entry.Before.Image(), ShouldEqual, "sha256:1")
		So(current.Image(), ShouldEqual, "sha256:2")
		So(current.Spec.Labels["copyall.version"], ShouldEqual, "v2")
	})
	Convey("A first one of theirs has replaced nothing", t, func() {
		So(foundEntry(spec(map[string]string{"copyall.arguments": "x", "copyall.version": "v1"}), 1, false).Before, ShouldBeNil)
	})
	Convey("A service that somebody else made is none, unless it is to be adopted", t, func() {
		So(foundEntry(spec(nil), 1, false), ShouldBeNil)
		adopted := foundEntry(spec(nil), 1, true)
		So(adopted.Outcome, ShouldEqual, journal.Found)
		So(adopted.By, ShouldEqual, "somebody else")
		So(adopted.After.Version, ShouldEqual, "sha256:2")
		So(adopted.Before, ShouldBeNil)
	})
}

func TestWhatAPlanSays(t *testing.T) {
	for what, one := range map[string]struct {
		plan plan.Plan
		want string
		warn string
	}{
		"nothing to do": {plan.Plan{Action: plan.Nothing, Same: true}, "==> web v1 runs already: nothing to deploy (--force deploys it again)\n", ""},
		"a first one":   {plan.Plan{Action: plan.Create}, "==> Plan: create web v2\n", ""},
		"the same anew": {plan.Plan{Action: plan.Replace, Same: true}, "==> Plan: remove web v1, and create web v2\n    exactly this version runs already: no trial needed\n", ""},
		"an update": {plan.Plan{Action: plan.Update, Spec: swarm.ServiceSpec{UpdateConfig: &swarm.UpdateConfig{Order: "start-first"}},
			Lines: []plan.Line{{Key: "environment.KEY", Was: "secret", Will: "other"}, {Key: "deploy.replicas", Was: "1", Will: "2", ByHand: true}}, Notes: []string{"A note"}, Warnings: []string{"beware"}},
			"==> Plan: update web from v1 to v2, start-first\n    environment.KEY: changed\n    deploy.replicas: 1 → 2, which overwrites a change made by hand\n    A note\n", "==> Warning: beware\n"},
	} {
		Convey("Of a plan of "+what+" the person is told all, but no value of the environment", t, func() {
			var out, err bytes.Buffer
			one.plan.Service = "web"
			d := &deployment{session: &session{options: &options{}, out: &progress.Printer{Out: &out, Err: &err}}, service: stack.Service{Name: "web"}, planned: &one.plan, current: &journal.Snapshot{Version: "v1"}}
			d.wanted.Version = "v2"
			d.sayPlan()
			So(out.String(), ShouldEqual, one.want)
			So(err.String(), ShouldEqual, one.warn)
		})
	}
}

func TestWhichTrialsWait(t *testing.T) {
	for what, one := range map[string]struct {
		db   plan.Action
		want map[string]bool
	}{
		"is changed":     {plan.Update, map[string]bool{"db": false, "api": true, "web": true, "other": false}},
		"runs already":   {plan.Nothing, map[string]bool{"db": false, "api": false, "web": true, "other": false}},
		"is created too": {plan.Create, map[string]bool{"db": false, "api": true, "web": true, "other": false}},
	} {
		Convey("Where the service that others depend on "+what+", the right trials wait for its change", t, func() {
			service := func(key string, action plan.Action, after ...string) *deployment {
				return &deployment{service: stack.Service{Key: key, Name: "x_" + key, After: after}, planned: &plan.Plan{Action: action}}
			}
			all := []*deployment{service("db", one.db), service("api", plan.Update, "db"), service("web", plan.Update, "api"), service("other", plan.Update)}
			for _, d := range all {
				So(waits(d, all), ShouldEqual, one.want[d.service.Key])
			}
		})
	}
}

func TestVersionsToGoBackTo(t *testing.T) {
	version := func(n int, name string) journal.Snapshot {
		return journal.Snapshot{Entry: n, Version: name, Spec: swarm.ServiceSpec{TaskTemplate: swarm.TaskSpec{ContainerSpec: &swarm.ContainerSpec{Image: name}}}}
	}
	v1, v2, v4 := version(1, "v1"), version(2, "v2"), version(4, "v4")
	history := journal.History{{N: 1, Outcome: journal.Done, After: v1}, {N: 2, Outcome: journal.Done, Before: &v1, After: v2},
		{N: 3, Outcome: journal.Failed, Before: &v2, After: version(3, "v3")}, {N: 4, Outcome: journal.Done, Before: &v2, After: v4}}
	d := &deployment{session: &session{}, service: stack.Service{Name: "web"}, history: history, current: &v4}
	for n, want := range map[int]string{0: "v2", 1: "v1", 2: "v2"} {
		Convey(fmt.Sprintf("A rollback to entry %d goes back to %s", n, want), t, func() {
			found, err := d.versionToGoBackTo(n)
			So(err, ShouldBeNil)
			So(found.Version, ShouldEqual, want)
		})
	}
	for n, want := range map[int]string{3: "the history of web has no version 3 to go back to", 4: "entry 4 of web, version v4, runs already", 9: "the history of web has no version 9 to go back to"} {
		Convey(fmt.Sprintf("A rollback to entry %d is refused, and says which there are", n), t, func() {
			_, err := d.versionToGoBackTo(n)
			So(err, ShouldBeError, want)
			if n != 4 {
				So(err.(*outcome).lines, ShouldResemble, []string{"these entries have one: 1 2"})
			}
		})
	}
	Convey("What replaced nothing has nothing to go back to", t, func() {
		first := &deployment{session: &session{}, service: stack.Service{Name: "web"}, history: history[:1], current: &v1}
		_, err := first.versionToGoBackTo(0)
		So(err, ShouldBeError, "web v1 replaced nothing, so there is nothing to go back to")
	})
}

func TestStatusTable(t *testing.T) {
	task := func(node string, desired, is swarm.TaskState) engine.Task {
		one := engine.Task{}
		one.NodeID, one.DesiredState, one.Status.State, one.Status.Timestamp = node, desired, is, time.Now().Add(-3*time.Hour)
		return one
	}
	three := uint64(3)
	at := prove.Addresses{Manager: "192.0.2.1"}
	service := swarm.Service{Spec: swarm.ServiceSpec{Annotations: swarm.Annotations{Name: "web", Labels: map[string]string{journal.LabelVersion: "v1"}},
		Mode: swarm.ServiceMode{Replicated: &swarm.ReplicatedService{Replicas: &three}}, EndpointSpec: &swarm.EndpointSpec{Ports: []swarm.PortConfig{{PublishedPort: 80, PublishMode: "ingress"}}}}}
	Convey("A service's row has what is wanted and what runs, and where", t, func() {
		tasks := []engine.Task{task("b", "running", "running"), task("a", "running", "running"), task("a", "running", "running"), task("c", "shutdown", "running"), task("d", "running", "starting")}
		one := view.StatusOf(service, tasks, map[string]string{"a": "node1", "b": "node2", "c": "node3"}, at)
		So(table([]view.Status{one}), ShouldEqual, "SERVICE  VERSION  WANTED  RUNNING  NODES        AGE      URL\nweb      v1       3       3        node1,node2  3 hours  http://192.0.2.1:80\n")
	})
	Convey("A service of somebody else, of which nothing runs, has a row, too", t, func() {
		one := view.StatusOf(swarm.Service{Spec: swarm.ServiceSpec{Annotations: swarm.Annotations{Name: "db"}, Mode: swarm.ServiceMode{Global: &swarm.GlobalService{}}}}, nil, nil, at)
		So(table([]view.Status{one}), ShouldEndWith, "\ndb       -        all     0        -      -    -\n")
	})
	Convey("Below the table stand errors, who deploys, and the history, also of a service that is gone", t, func() {
		at, err := time.ParseInLocation(time.DateTime, "2026-11-26 07:30:00", time.Local)
		So(err, ShouldBeNil)
		said := table([]view.Status{
			{Name: "web", LastError: "task: non-zero exit (3)", Deploying: "web is being deployed already, by me", History: []view.Entry{{N: 12, Outcome: "done", Version: "v2", At: at, By: "me on host", Mark: "runs now"}, {N: 11, Outcome: "failed", Version: "v1", At: at, By: "me on host"}}},
			{Name: "old", Gone: true, History: []view.Entry{{N: 1, Outcome: "done", Version: "v1", At: at, By: "me on host", Mark: "a rollback can go back to it"}}},
		})
		_, below, _ := strings.Cut(said, "\nweb ")
		_, below, _ = strings.Cut(below, "\n")
		So(below, ShouldEqual, `web: last error: task: non-zero exit (3)
web is being deployed already, by me

History of web:
   12  done     v2                          2026-11-26 07:30  me on host  runs now
   11  failed   v1                          2026-11-26 07:30  me on host

There is no service old; scripts/rollback.sh old creates again the version that ran last

History of old:
    1  done     v1                          2026-11-26 07:30  me on host  a rollback can go back to it
`)
	})
	Convey("A service of older scripts shows their version", t, func() {
		service.Spec.Labels = map[string]string{"copyall.version": "v0"}
		So(view.StatusOf(service, nil, nil, at).Version, ShouldEqual, "v0")
	})
}
