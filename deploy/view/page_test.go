package view

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/api/types/swarm"
	. "github.com/smartystreets/goconvey/convey"

	"goblog/deploy/journal"
	"goblog/deploy/prove"
)

var healthcheck = &container.HealthConfig{Test: []string{"CMD", "/service", "healthcheck"}}

// find is the item of a list that matches.
func find[One any](t *testing.T, all []One, fits func(One) bool) One {
	t.Helper()
	for _, one := range all {
		if fits(one) {
			return one
		}
	}
	t.Fatal("there is none")
	panic("not reached")
}

func (p Page) service(t *testing.T, name string) Status {
	t.Helper()
	return find(t, p.Services, func(one Status) bool { return one.Name == name })
}

func TestPageOfASwarm(t *testing.T) {
	Convey("Given a swarm of five nodes and eight services", t, func() {
		now := shop()
		Convey("a node comes with what it is, the leader as such", func() {
			now.Nodes[3].Spec.Availability, now.Nodes[3].Status.State = swarm.NodeAvailabilityDrain, swarm.NodeStateDown
			now.Nodes[3].Status.Message = "heartbeat failure"
			nodes := now.Page().Nodes
			So(nodes[0].Role+" "+nodes[1].Role, ShouldEqual, "leader manager")
			So(nodes[3], ShouldResemble, Node{ID: "n4", Name: "node4", Role: "worker", Availability: "drain", State: "down", Message: "heartbeat failure", Engine: "28.5.2", Memory: 8 << 30, CPUs: 4e9})
		})
		Convey("a service has its image, networks, replicas and the URLs of its ports", func() {
			one := now.Page().service(t, "gateway")
			So(*one.Wanted, ShouldEqual, 2)
			So(one.Running, ShouldEqual, 2)
			So(one.Image, ShouldEqual, "example/gateway:2026.11")
			So(one.Networks, ShouldResemble, []string{"my_network", "edge"})
			So(one.URLs, ShouldResemble, []string{"http://192.0.2.1:80", "http://192.0.2.1:443"})
		})
		Convey("a port of another protocol than TCP is no link to a page", func() {
			now.Services[0].Spec.EndpointSpec.Ports[0].Protocol = network.UDP
			So(now.Page().Services[0].URLs, ShouldResemble, []string{"udp://192.0.2.1:6767"})
		})
		Convey("history has what each deploy changed, the youngest first", func() {
			history := now.Page().service(t, "accountservice").History
			So(history, ShouldHaveLength, 2)
			So(history[0].Version, ShouldEqual, "v2.4.1")
			So(history[0].Lines, ShouldContain, "deploy.resources.limits.memory: 128 MiB → 192 MiB")
		})
		Convey("a service that is gone keeps its history", func() {
			now.deploys("old", "v1", journal.Done, time.Hour)
			one := now.Page().service(t, "old")
			So(one.Gone, ShouldBeTrue)
			So(one.History, ShouldHaveLength, 1)
		})
		Convey("a deploy that runs has its holder and phase; one that nobody holds was cut off", func() {
			now.deploys("orders", "v13", journal.Running, time.Second, "image: a → b")
			So(now.Page().service(t, "orders").History[0].Mark, ShouldStartWith, "was cut off")
			record := now.Records["orders"]
			record.Held = &journal.HeldError{Holder: "eva on laptop, process 7", Since: "2026-11-26 10:00:00 +0100", Phase: "proving the new version", Beat: time.Now()}
			now.Records["orders"] = record
			one := now.Page().service(t, "orders")
			So(one.Deploy, ShouldResemble, &Deploy{"eva on laptop, process 7", "2026-11-26 10:00:00 +0100", "proving the new version", "the next deploy or rollback ends with an error, or waits with --wait"})
			So(one.Deploying, ShouldBeBlank)
			So(one.History[0].Mark, ShouldBeBlank)
			record.Held.Beat = time.Now().Add(-time.Minute)
			So(now.Page().service(t, "orders").Deploy.Outlook, ShouldStartWith, "it seems to have died")
		})
		Convey("after a removal that died, there is nothing to restore", func() {
			now.deploys("old", "v1", journal.Done, time.Hour)
			record := now.Records["old"]
			record.Held = &journal.HeldError{Holder: "eva on laptop, process 7", Beat: time.Now().Add(-time.Minute)}
			now.Records["old"] = record
			So(now.Page().service(t, "old").Deploy.Outlook, ShouldEndWith, "watches it for 30 s, then takes its lock")
		})
		Convey("the swarm's own update is named while it goes on, or where it stopped", func() {
			now.Services[0].UpdateStatus = &swarm.UpdateStatus{State: swarm.UpdateStatePaused}
			So(now.Page().Services[0].Update, ShouldEqual, "paused")
			now.Services[0].UpdateStatus.State = swarm.UpdateStateCompleted
			So(now.Page().Services[0].Update, ShouldBeBlank)
		})
	})
	Convey("A swarm of nothing is told as empty lists", t, func() {
		text, err := json.Marshal(empty().Page())
		So(err, ShouldBeNil)
		So(string(text), ShouldEqual, `{"engine":"unix:///var/run/docker.sock","nodes":[],"services":[],"tasks":[]}`)
	})
}

func TestTilesOfTasks(t *testing.T) {
	type task struct {
		slot    int
		desired swarm.TaskState
		is      swarm.TaskState
		err     string
	}
	for what, one := range map[string]struct {
		tasks []task // the youngest last
		down  bool
		want  []string // state, kind, restarts and error
	}{
		"runs":                      {[]task{{1, "running", "running", ""}}, false, []string{"running good 0 "}},
		"starts":                    {[]task{{1, "running", "starting", ""}}, false, []string{"starting busy 0 "}},
		"stops":                     {[]task{{1, "shutdown", "running", ""}}, false, []string{"stopping busy 0 "}},
		"finds no place":            {[]task{{1, "running", "pending", "no suitable node"}}, false, []string{"no place bad 0 no suitable node"}},
		"failed twice, and runs":    {[]task{{1, "shutdown", "failed", "exit (3)"}, {1, "shutdown", "failed", "exit (4)"}, {1, "running", "running", ""}}, false, []string{"running good 2 exit (4)"}},
		"failed, and nothing comes": {[]task{{1, "shutdown", "failed", "old"}, {1, "running", "failed", "exit (3)"}}, false, []string{"failed bad 1 exit (3)"}},
		"was scaled away":           {[]task{{1, "running", "running", ""}, {2, "shutdown", "shutdown", ""}}, false, []string{"running good 0 "}},
		"is replaced start-first":   {[]task{{1, "running", "running", ""}, {1, "running", "starting", ""}}, false, []string{"running good 0 ", "starting busy 0 "}},
		"is on a node that is lost": {[]task{{1, "shutdown", "running", ""}}, true, []string{"node is down bad 0 "}},
	} {
		Convey("A task that "+what+" has its tile", t, func() {
			now := empty().nodes(1)
			service := now.service("web", "v1", 0, nil)
			for _, of := range one.tasks {
				task := now.task(*service, of.slot, "n1", of.is)
				task.DesiredState, task.Status.Err = of.desired, of.err
			}
			if one.down {
				now.Nodes[0].Status.State = swarm.NodeStateDown
			}
			var got []string
			for _, tile := range now.Page().Tasks {
				got = append(got, tile.State+" "+tile.Kind+" "+string(rune('0'+tile.Restarts))+" "+tile.Error)
			}
			So(got, ShouldResemble, one.want)
		})
	}
	Convey("A task with a health check that runs is healthy", t, func() {
		So(find(t, shop().Page().Tasks, func(one Task) bool { return one.Service == "accountservice" }).State, ShouldEqual, "healthy")
	})
	Convey("Each task of a global service has a tile", t, func() {
		now := empty().nodes(2)
		service := now.service("agent", "v1", 0, nil)
		now.Services[0].Spec.Mode = swarm.ServiceMode{Global: &swarm.GlobalService{}}
		now.task(*service, 0, "n1", swarm.TaskStateRunning)
		now.task(*service, 0, "n2", swarm.TaskStateRunning)
		So(now.Page().Tasks, ShouldHaveLength, 2)
		So(now.Page().Services[0].Wanted, ShouldBeNil)
	})
	Convey("While an update goes on, each task has the version that it was made of", t, func() {
		now := empty().nodes(2)
		now.service("web", "v1", 2, nil)
		service := &now.Services[0]
		before := service.Spec
		service.PreviousSpec = &before
		service.Spec.Labels = map[string]string{journal.LabelVersion: "v2"}
		inside := *service.Spec.TaskTemplate.ContainerSpec // The same image, with another environment.
		inside.Env = []string{"A=1"}
		service.Spec.TaskTemplate.ContainerSpec = &inside
		now.task(*service, 1, "n1", swarm.TaskStateStarting)
		var got []string
		for _, task := range now.Page().Tasks {
			got = append(got, task.Version)
		}
		So(got, ShouldResemble, []string{"v1", "v2", "v1"})
	})
	Convey("A task has its service's version, though the history tells of the same Spec without one", t, func() {
		So(find(t, shop().Page().Tasks, func(one Task) bool { return one.Service == "orders" }).Version, ShouldEqual, "v12")
	})
	Convey("A task of nobody's version has its image's name", t, func() {
		now := shop()
		now.Services[0].Spec.Labels, now.Records = nil, nil
		So(now.Page().Tasks[0].Version, ShouldEqual, "example/accountservice:v2.4.1")
	})
}

func TestNoValuesOnThePage(t *testing.T) {
	const value = "hunter2"
	full := swarm.ContainerSpec{Image: "example/web", Env: []string{"PASSWORD=" + value},
		Secrets: []*swarm.SecretReference{{SecretID: "s1", SecretName: "password"}}, Configs: []*swarm.ConfigReference{{ConfigID: "c1", ConfigName: "settings"}}}
	given := func() *Swarm {
		now := empty().nodes(1)
		service := now.service("web", "v1", 0, nil)
		service.Spec.TaskTemplate.ContainerSpec = &full
		service.PreviousSpec = &service.Spec
		now.Services[0] = *service
		now.task(*service, 1, "n1", swarm.TaskStateRunning)
		now.deploys("web", "v1", journal.Done, time.Hour, "environment.PASSWORD: "+value+" (new)", "environment.OTHER: "+value+" → x: added", "environment.KEPT: added", "environment.HAND: changed, which overwrites a change made by hand")
		entry := now.Records["web"].History[0]
		entry.After.Spec, entry.After.Sent, entry.After.Returned = service.Spec, &service.Spec, &service.Spec
		before := entry.After
		entry.Before = &before
		entry.After.Verify = nil
		return now
	}
	Convey("Given a service with an environment, a secret and a config, and an entry of its history that tells values", t, func() {
		text, err := json.Marshal(given().Page())
		So(err, ShouldBeNil)
		Convey("no value of them is on the page", func() {
			So(string(text), ShouldNotContainSubstring, value)
			So(string(text), ShouldNotContainSubstring, "PASSWORD=")
		})
		Convey("the plan's lines name the variables all the same", func() {
			So(given().Page().Services[0].History[0].Lines, ShouldResemble, []string{"environment.PASSWORD: changed", "environment.OTHER: changed", "environment.KEPT: added", "environment.HAND: changed, which overwrites a change made by hand"})
		})
	})
	Convey("The data of configs, the journal's own as well as others, do not get as far as a reading of the swarm", t, func() {
		labels := map[string]string{"deploy.entry": "1", "deploy.outcome": "done", "deploy.version": "v1"}
		records, err := journal.All(context.Background(), configs{
			{ID: "c1", Spec: swarm.ConfigSpec{Annotations: swarm.Annotations{Name: "settings"}, Data: []byte(value)}},
			{ID: "c2", Spec: swarm.ConfigSpec{Annotations: swarm.Annotations{Name: "web.deploy.1", Labels: labels}, Data: []byte(`{"after":{"version":"v1","spec":{"TaskTemplate":{"ContainerSpec":{"Image":"i","Env":["PASSWORD=` + value + `"]}}}}}`)}},
		})
		So(err, ShouldBeNil)
		now := empty()
		now.Records = records
		text, err := json.Marshal(now.Page())
		So(err, ShouldBeNil)
		So(string(text), ShouldContainSubstring, `"web"`)
		So(string(text), ShouldNotContainSubstring, value)
	})
}

// configs are the configs of a swarm.
type configs []swarm.Config

func (c configs) Configs(context.Context, string) ([]swarm.Config, error) { return c, nil }

func TestStatusesShareTheReading(t *testing.T) {
	Convey("What status.sh tells comes of the same reading, and says what cannot be gone back to", t, func() {
		now := shop()
		statuses := now.Statuses(func(*journal.Snapshot) error { return errors.New("the image is gone") })
		So(statuses, ShouldHaveLength, 8)
		So(statuses[0].Name, ShouldEqual, "accountservice")
		So(statuses[0].URLs, ShouldResemble, prove.Published(now.Services[0].Spec, now.TasksOf("id-accountservice"), now.Addresses))
		So(statuses[0].History[0].Mark, ShouldEqual, "runs now")
		So(statuses[0].History[1].Mark, ShouldEqual, "a rollback cannot go back to it: the image is gone")
		page := now.Page()
		for i, one := range statuses {
			So(page.Services[i].Running, ShouldEqual, one.Running)
		}
	})
}
