package plan

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/api/types/swarm"
	. "github.com/smartystreets/goconvey/convey"

	"goblog/deploy/journal"
	"goblog/deploy/stack"
	engine "goblog/deploy/swarm"
)

func TestActions(t *testing.T) {
	newImage := func(w *Wanted) { w.Image = imageV2 }
	byHand := inside(func(s *swarm.ContainerSpec) { s.User = "0" })
	none := func(*swarm.ServiceSpec) {}
	for what, one := range map[string]struct {
		change  func(*Wanted)
		byHand  func(*swarm.ServiceSpec)
		options Options
		action  Action
		same    bool
		trial   bool
	}{
		"the same, plain":                    {func(*Wanted) {}, none, Options{}, Replace, true, false},
		"the same, plain, forced":            {func(*Wanted) {}, none, Options{Force: true}, Replace, true, false},
		"the same, rolling":                  {func(*Wanted) {}, none, Options{Rolling: true}, Nothing, true, false},
		"the same, rolling, forced":          {func(*Wanted) {}, none, Options{Rolling: true, Force: true}, Update, true, false},
		"another image, plain":               {newImage, none, Options{}, Replace, false, true},
		"another image, rolling":             {newImage, none, Options{Rolling: true}, Update, false, true},
		"another image, rolling, forced":     {newImage, none, Options{Rolling: true, Force: true}, Update, false, true},
		"only a change made by hand":         {func(*Wanted) {}, byHand, Options{}, Replace, false, true},
		"a change made by hand, rolling":     {func(*Wanted) {}, byHand, Options{Rolling: true}, Update, false, true},
		"another version of the same image":  {func(w *Wanted) { w.Version = "v2" }, none, Options{Rolling: true}, Nothing, true, false},
		"another image without a trial":      {func(w *Wanted) { w.Image, w.Deploy.Trial = imageV2, 0 }, none, Options{}, Replace, false, false},
		"the same, but scaled to no task":    {func(*Wanted) {}, func(s *swarm.ServiceSpec) { s.Mode.Replicated.Replicas = count(0) }, Options{Rolling: true}, Update, false, true},
		"the same, but scaled to more tasks": {func(*Wanted) {}, func(s *swarm.ServiceSpec) { s.Mode.Replicated.Replicas = count(4) }, Options{Rolling: true}, Nothing, true, false},
	} {
		Convey("Wanted is "+what+": the service is to be "+string(one.action)+"d", t, func() {
			p, err := Make(wanted(one.change), deployed(wanted(), alone, one.byHand), alone, one.options)
			So(err, ShouldBeNil)
			So(p.Action, ShouldEqual, one.action)
			if !strings.Contains(what, "no task") {
				So(p.Same, ShouldEqual, one.same)
				So(p.Trial != nil, ShouldEqual, one.trial)
			}
		})
	}
	Convey("Where nothing runs, the service is created after a trial, and nothing is a change", t, func() {
		p, err := Make(wanted(), nil, alone, Options{Rolling: true})
		So(err, ShouldBeNil)
		So(p.Action, ShouldEqual, Create)
		So(p.Lines, ShouldBeEmpty)
		So(p.Same, ShouldBeFalse)
		So(p.Trial, ShouldNotBeNil)
	})
	for forced, want := range map[bool]uint64{true: 6, false: 5} {
		Convey(map[bool]string{true: "A forced update of the same counts on, so that the swarm has something to do",
			false: "An update of something else leaves the counter of forced updates alone"}[forced], t, func() {
			change := newImage
			if forced {
				change = func(*Wanted) {}
			}
			current := deployed(wanted(), alone, func(s *swarm.ServiceSpec) { s.TaskTemplate.ForceUpdate = 5 })
			p, err := Make(wanted(change), current, alone, Options{Rolling: true, Force: forced})
			So(err, ShouldBeNil)
			So(p.Spec.TaskTemplate.ForceUpdate, ShouldEqual, want)
			So(p.Sent.TaskTemplate.ForceUpdate, ShouldEqual, 0)
		})
	}
}

func TestReplicas(t *testing.T) {
	for what, one := range map[string]struct {
		sent, now, file, want uint64
		note                  string
	}{
		"nobody scaled it":                                  {2, 2, 2, 2, ""},
		"the file asks for another number":                  {2, 2, 3, 3, "This changes the replicas of web from 2 to 3"},
		"it was scaled by hand":                             {2, 5, 2, 5, "The 5 replicas of web stay, because somebody scaled the service by hand"},
		"it was scaled, and the file has another number":    {2, 5, 3, 3, "This changes the replicas of web from 5 to 3"},
		"it was scaled to the number that the file has now": {2, 3, 3, 3, ""},
		"it was scaled to none":                             {2, 0, 2, 2, "This changes the replicas of web from 0 to 2"},
	} {
		Convey("Where "+what+", the replicas are as they should be, and the plan says so", t, func() {
			current := deployed(wanted(tasks(one.sent)), alone, func(s *swarm.ServiceSpec) { s.Mode.Replicated.Replicas = &one.now })
			p, err := Make(wanted(tasks(one.file), func(w *Wanted) { w.Image = imageV2 }), current, alone, Options{})
			So(err, ShouldBeNil)
			So(*p.Spec.Mode.Replicated.Replicas, ShouldEqual, one.want)
			So(*p.Sent.Mode.Replicated.Replicas, ShouldEqual, one.file)
			if one.note == "" {
				So(p.Notes, ShouldBeEmpty)
			} else {
				So(p.Notes, ShouldResemble, []string{one.note})
			}
		})
	}
	Convey("Where nobody knows what was sent, the number is the file's", t, func() {
		current := deployed(wanted(), alone, func(s *swarm.ServiceSpec) { s.Mode.Replicated.Replicas = count(4) })
		current.Sent, current.Returned = nil, nil
		p, err := Make(wanted(), current, alone, Options{})
		So(err, ShouldBeNil)
		So(*p.Spec.Mode.Replicated.Replicas, ShouldEqual, 1)
		So(p.Notes, ShouldResemble, []string{"This changes the replicas of web from 4 to 1"})
	})
	Convey("A global service has no replicas to keep", t, func() {
		p, err := Make(wanted(global), deployed(wanted(global), alone), alone, Options{})
		So(err, ShouldBeNil)
		So(p.Spec.Mode.Replicated, ShouldBeNil)
		So(p.Notes, ShouldBeEmpty)
		So(p.Same, ShouldBeTrue)
	})

	for what, one := range map[string]struct{ sentThen, ranThen, sentNow, runsNow, want uint64 }{
		"nobody scaled it":                         {2, 2, 2, 2, 2},
		"it was scaled since":                      {2, 2, 2, 5, 5},
		"the newer version has another number":     {2, 2, 3, 3, 2},
		"it was scaled, from another number":       {2, 2, 3, 5, 2},
		"it was scaled before and stays":           {2, 4, 2, 4, 4},
		"it was scaled before, and back since":     {2, 4, 2, 2, 4},
		"it was scaled to none":                    {2, 2, 2, 0, 2},
		"it was scaled before, and further by now": {2, 4, 2, 6, 6},
	} {
		Convey("Going back, where "+what+", the version has the right number of replicas", t, func() {
			version := deployed(wanted(tasks(one.sentThen)), alone, func(s *swarm.ServiceSpec) { s.Mode.Replicated.Replicas = &one.ranThen })
			current := deployed(wanted(tasks(one.sentNow)), alone, func(s *swarm.ServiceSpec) { s.Mode.Replicated.Replicas = &one.runsNow })
			spec, err := Restore(version, IDs{})
			So(err, ShouldBeNil)
			KeepReplicas(&spec, version, current)
			So(*spec.Mode.Replicated.Replicas, ShouldEqual, one.want)
			So(*version.Spec.Mode.Replicated.Replicas, ShouldEqual, one.ranThen)
		})
	}
	Convey("Going back to a version of which nobody knows what was sent leaves its number", t, func() {
		version, current := deployed(wanted(tasks(2)), alone), deployed(wanted(tasks(5)), alone)
		version.Sent = nil
		spec, err := Restore(version, IDs{})
		So(err, ShouldBeNil)
		KeepReplicas(&spec, version, current)
		So(*spec.Mode.Replicated.Replicas, ShouldEqual, 2)
	})
}

func TestUpdateOrder(t *testing.T) {
	named := mount.Mount{Type: mount.TypeVolume, Source: "data", Target: "/data"}
	readOnly, anonymous := named, named
	readOnly.ReadOnly, anonymous.Source = true, ""
	order := func(order swarm.UpdateOrder) func(*Wanted) {
		return spec(func(s *swarm.ServiceSpec) { s.UpdateConfig.Order = order })
	}
	n1, n2, n3 := node("n1"), node("n2"), node("n3")
	for what, one := range map[string]struct {
		changes []func(*Wanted)
		here    Situation
		want    swarm.UpdateOrder
		note    string
	}{
		"the routing mesh":                                 {nil, alone, "start-first", ""},
		"the file asks for stop-first":                     {[]func(*Wanted){order("stop-first")}, alone, "stop-first", ""},
		"the file asks for start-first, whatever comes":    {[]func(*Wanted){order("start-first"), hostMode}, alone, "start-first", ""},
		"a host-mode port on one node":                     {[]func(*Wanted){hostMode}, alone, "stop-first", "port 8080 is published in host mode and no other node is free for it"},
		"a host-mode port, one task, two nodes":            {[]func(*Wanted){byDigest, hostMode}, swarmOf(n1, n2), "start-first", "the old address no longer answers"},
		"a host-mode port, two tasks, two nodes":           {[]func(*Wanted){byDigest, hostMode, tasks(2)}, swarmOf(n1, n2), "stop-first", "no other node is free for it"},
		"a host-mode port, two tasks, three nodes":         {[]func(*Wanted){byDigest, hostMode, tasks(2)}, swarmOf(n1, n2, n3), "start-first", "no longer answers"},
		"a host-mode port, and the other node is drained":  {[]func(*Wanted){byDigest, hostMode}, swarmOf(n1, drained("n2")), "stop-first", "no other node is free for it"},
		"a host-mode port, and the other node is down":     {[]func(*Wanted){byDigest, hostMode}, swarmOf(n1, node("n2", down)), "stop-first", "no other node is free for it"},
		"a host-mode port on each node":                    {[]func(*Wanted){byDigest, hostMode, global}, swarmOf(n1, n2, n3), "stop-first", "no other node is free for it"},
		"a host-mode port, and an image that is only here": {[]func(*Wanted){hostMode, func(w *Wanted) { w.Bound = true }}, swarmOf(n1, n2), "stop-first", "no other node is free for it"},
		"a host-mode port that the node chooses":           {[]func(*Wanted){hostMode, spec(func(s *swarm.ServiceSpec) { s.EndpointSpec.Ports[0].PublishedPort = 0 })}, alone, "start-first", ""},
		"a named volume":                                   {[]func(*Wanted){mounts(named)}, alone, "stop-first", "two tasks might write at the same time to the volume at /data"},
		"a named volume that is only read":                 {[]func(*Wanted){mounts(readOnly)}, alone, "start-first", ""},
		"an anonymous volume, which each task has afresh":  {[]func(*Wanted){mounts(anonymous)}, alone, "start-first", ""},
		"a directory of the node":                          {[]func(*Wanted){mounts(mount.Mount{Type: mount.TypeBind, Source: "/a", Target: "/a"})}, alone, "stop-first", "two tasks might write at the same time to the directory /a"},
		"a directory of the node that is only read":        {[]func(*Wanted){mounts(mount.Mount{Type: mount.TypeBind, Source: "/a", Target: "/a", ReadOnly: true})}, alone, "start-first", ""},
		"a socket of the node":                             {[]func(*Wanted){mounts(mount.Mount{Type: mount.TypeBind, Source: "/a.sock", Target: "/a.sock"})}, alone, "start-first", ""},
		"a global service of the routing mesh":             {[]func(*Wanted){global}, alone, "start-first", ""},
	} {
		Convey("With "+what+", the update order is "+string(one.want), t, func() {
			was := wanted(one.changes...)
			now := wanted(one.changes...)
			now.Spec.TaskTemplate.ContainerSpec.User = "1000"
			p, err := Make(now, deployed(was, one.here), one.here, Options{Rolling: true})
			So(err, ShouldBeNil)
			So(p.Spec.UpdateConfig.Order, ShouldEqual, one.want)
			So(p.Spec.RollbackConfig.Order, ShouldEqual, one.want)
			if one.note == "" {
				So(p.Notes, ShouldBeEmpty)
			} else {
				So(strings.Join(p.Notes, "\n"), ShouldContainSubstring, one.note)
			}
			So(p.Sent.UpdateConfig.Order, ShouldEqual, was.Spec.UpdateConfig.Order)
			So(p.Sent.RollbackConfig, ShouldBeNil)
		})
	}
	Convey("With a host-mode port, fewer tasks than before are no reason for start-first: the old ones have the port until it is their turn", t, func() {
		here := swarmOf(n1, n2, n3)
		p, err := Make(wanted(byDigest, hostMode), deployed(wanted(byDigest, hostMode, tasks(3)), here), here, Options{Rolling: true})
		So(err, ShouldBeNil)
		So(p.Spec.UpdateConfig.Order, ShouldEqual, swarm.UpdateOrderStopFirst)
	})
	Convey("A plain deploy has no outage to explain by the order, but the Spec has it for later", t, func() {
		p, err := Make(wanted(hostMode), deployed(wanted(), alone), alone, Options{})
		So(err, ShouldBeNil)
		So(p.Spec.UpdateConfig.Order, ShouldEqual, swarm.UpdateOrderStopFirst)
		So(p.Notes, ShouldBeEmpty)
	})
	Convey("Without update_config in the file, one task at a time is updated, and what fails goes back", t, func() {
		p, err := Make(wanted(spec(func(s *swarm.ServiceSpec) { s.UpdateConfig = nil })), nil, alone, Options{})
		So(err, ShouldBeNil)
		So(p.Spec.UpdateConfig.Parallelism, ShouldEqual, 1)
		So(p.Spec.UpdateConfig.FailureAction, ShouldEqual, swarm.UpdateFailureActionRollback)
		So(p.Sent.UpdateConfig, ShouldBeNil)
	})
}

func TestWhatCannotWorkIsRefused(t *testing.T) {
	n1, n2, n3 := node("n1"), node("n2"), node("n3")
	publishing := func(name string, ports ...swarm.PortConfig) swarm.Service {
		other := swarm.Service{Endpoint: swarm.Endpoint{Ports: ports}}
		other.Spec.Name = name
		return other
	}
	with := func(here Situation, others ...swarm.Service) Situation {
		here.Others = others
		return here
	}
	udp := port(8080, "ingress")
	udp.Protocol = network.UDP
	reserve := func(cpus, memory int64) func(*Wanted) {
		return spec(func(s *swarm.ServiceSpec) {
			s.TaskTemplate.Resources.Reservations = &swarm.Resources{NanoCPUs: cpus, MemoryBytes: memory}
		})
	}
	in := func(network string) func(*Wanted) {
		return spec(func(s *swarm.ServiceSpec) { s.TaskTemplate.Networks[0].Target = network })
	}
	zones := swarmOf(node("n1", labelled("zone=a")), node("n2", labelled("zone=b")))
	placedIn := func(other swarm.Service, zone string) swarm.Service {
		other.Spec.TaskTemplate.Placement = &swarm.Placement{Constraints: []string{"node.labels.zone==" + zone}}
		return other
	}
	none := swarmOf(swarm.Node{})
	none.Node, none.Nodes = "", nil
	for what, one := range map[string]struct {
		changes []func(*Wanted)
		here    Situation
		problem string // "" where it can be deployed
	}{
		"a port of another service":                              {nil, with(alone, publishing("shop", port(8080, "ingress"))), "port 8080 is published by service shop"},
		"a port of another service in host mode":                 {nil, with(alone, publishing("shop", port(80, "host"), port(8080, "host"))), "port 8080 is published by service shop"},
		"a host-mode port of another service on other nodes":     {[]func(*Wanted){byDigest, hostMode, on("node.labels.zone==a")}, with(zones, placedIn(publishing("shop", port(8080, "host")), "b")), ""},
		"a host-mode port of another service on the same nodes":  {[]func(*Wanted){byDigest, hostMode, on("node.labels.zone==a")}, with(zones, placedIn(publishing("shop", port(8080, "host")), "a")), "port 8080 is published by service shop"},
		"a host-mode port of another service on all nodes":       {[]func(*Wanted){byDigest, hostMode, on("node.labels.zone==a")}, with(zones, publishing("shop", port(8080, "host"))), "port 8080 is published by service shop"},
		"a host-mode port that another has on all nodes":         {[]func(*Wanted){byDigest, hostMode, on("node.labels.zone==a")}, with(zones, placedIn(publishing("shop", port(8080, "ingress")), "b")), "port 8080 is published by service shop"},
		"a port that another has in host mode on other nodes":    {[]func(*Wanted){byDigest, on("node.labels.zone==a")}, with(zones, placedIn(publishing("shop", port(8080, "host")), "b")), "port 8080 is published by service shop"},
		"a host-mode port of another service, of another number": {[]func(*Wanted){byDigest, hostMode}, with(zones, publishing("shop", port(8081, "host"))), ""},
		"two tasks with a host-mode port that the node chooses":  {[]func(*Wanted){hostMode, tasks(2), spec(func(s *swarm.ServiceSpec) { s.EndpointSpec.Ports[0].PublishedPort = 0 })}, alone, ""},
		"that port of the other protocol":                        {nil, with(alone, publishing("shop", udp)), ""},
		"a port of its own":                                      {nil, with(alone, publishing("web", port(8080, "ingress"))), ""},
		"a port that looks similar":                              {nil, with(alone, publishing("shop", port(80, "ingress"), port(808, "ingress"), port(18080, "ingress"))), ""},
		"a port that the swarm may choose":                       {[]func(*Wanted){spec(func(s *swarm.ServiceSpec) { s.EndpointSpec.Ports[0].PublishedPort = 0 })}, with(alone, publishing("shop", swarm.PortConfig{Protocol: "tcp", TargetPort: 80})), ""},
		"two tasks with a host-mode port on one node":            {[]func(*Wanted){hostMode, tasks(2)}, alone, "2 replicas cannot all have port 8080 on 1 nodes in host mode"},
		"two such tasks on two nodes":                            {[]func(*Wanted){byDigest, hostMode, tasks(2)}, swarmOf(n1, n2), ""},
		"two such tasks, where a node is drained":                {[]func(*Wanted){byDigest, hostMode, tasks(2)}, swarmOf(n1, drained("n2")), "2 replicas cannot all have port 8080 on 1 nodes in host mode"},
		"a task with a host-mode port on each node":              {[]func(*Wanted){byDigest, hostMode, global}, swarmOf(n1, drained("n2")), ""},
		"tasks with any free host-mode port on one node":         {[]func(*Wanted){hostMode, anyPort, tasks(3)}, alone, ""},
		"a host-mode port that a service of other nodes has":     {[]func(*Wanted){byDigest, hostMode, on("node.id==n1")}, with(swarmOf(n1, n2), elsewhere("n2")), ""},
		"a host-mode port that a service of this node has":       {[]func(*Wanted){byDigest, hostMode, on("node.id==n1")}, with(swarmOf(n1, n2), elsewhere("n1")), "port 8080 is published by service shop"},
		"many tasks behind the routing mesh":                     {[]func(*Wanted){tasks(50)}, alone, ""},
		"an image by id on several nodes":                        {nil, swarmOf(n1, n2), "this swarm has 2 nodes, and only this one will have the image of web"},
		"an image by id, and the other node is drained":          {nil, swarmOf(n1, drained("n2")), "this swarm has 2 nodes, and only this one will have the image of web"},
		"an image by id, bound to this node":                     {[]func(*Wanted){func(w *Wanted) { w.Bound = true }}, swarmOf(n1, n2), ""},
		"an image by id, bound to this node by the file":         {[]func(*Wanted){on("node.id == n1")}, swarmOf(n1, n2), ""},
		"an image by id, bound to another node":                  {[]func(*Wanted){on("node.id==n2")}, swarmOf(n1, n2), "this swarm has 2 nodes, and only this one will have the image of web"},
		"an image by id, where only this node has a label":       {[]func(*Wanted){on("node.labels.zone==a")}, swarmOf(node("n1", labelled("zone=a")), n2, n3), ""},
		"an image by id, where only another node has a label":    {[]func(*Wanted){on("node.labels.zone==a")}, swarmOf(n1, node("n2", labelled("zone=a"))), "this swarm has 2 nodes, and only this one"},
		"an image by id, where this and another have a label":    {[]func(*Wanted){on("node.labels.zone==a")}, swarmOf(node("n1", labelled("zone=a")), node("n2", labelled("zone=a")), n3), "this swarm has 3 nodes, and only this one"},
		"an image by id that only this node's processor can do":  {nil, swarmOf(n1, node("n2", cpu("aarch64")), node("n3", cpu("armv7l"))), ""},
		"an image by id that only another's processor can do":    {nil, swarmOf(node("n1", cpu("aarch64")), n2), "this swarm has 2 nodes, and only this one"},
		"an image by digest on several nodes":                    {[]func(*Wanted){byDigest}, swarmOf(n1, n2), ""},
		"a network of another driver":                            {[]func(*Wanted){in("mine")}, alone, "network mine exists, but its driver is bridge, not overlay"},
		"the host's own network":                                 {[]func(*Wanted){in("host")}, alone, ""},
		"a network that is still to be made":                     {[]func(*Wanted){in("fresh")}, alone, ""},
		"a host-mode port, before there is a swarm":              {[]func(*Wanted){hostMode}, none, ""},
		"a reservation, before there is a swarm":                 {[]func(*Wanted){reserve(1e9, 1<<20)}, none, ""},
		"an image by id, before there is a swarm":                {nil, none, ""},
	} {
		Convey("With "+what+", a deploy is "+map[bool]string{true: "planned", false: "refused, with its reason and what to do"}[one.problem == ""], t, func() {
			p, err := Make(wanted(one.changes...), nil, one.here, Options{})
			if one.problem == "" {
				So(err, ShouldBeNil)
				So(p.Action, ShouldEqual, Create)
				return
			}
			So(err, ShouldNotBeNil)
			So(err, ShouldHaveSameTypeAs, &Obstacle{})
			So(err.Error(), ShouldStartWith, one.problem)
			So(err.(*Obstacle).Advice, ShouldNotBeBlank)
		})
	}
	for advice, one := range map[string]struct {
		changes []func(*Wanted)
		here    Situation
	}{
		"choose another port, by its setting or in the stack file, or remove that service: docker service rm shop": {nil, with(alone, publishing("shop", port(8080, "ingress")))},
		"choose another name, with NETWORK or in the stack file, or remove it: docker network rm mine":             {[]func(*Wanted){in("mine")}, alone},
		"change deploy.placement in the stack file, or look at the nodes: docker node ls":                          {nil, swarmOf(drained("n1"))},
		"ask for fewer, add nodes, or use PUBLISH_MODE=ingress":                                                    {[]func(*Wanted){hostMode, tasks(2)}, alone},
		"ask for fewer, add nodes, or change deploy.placement.max_replicas_per_node":                               {[]func(*Wanted){tasks(2), func(w *Wanted) { placement(&w.Spec).MaxReplicas = 1 }}, alone},
		"name a registry that all nodes pull from: REGISTRY=host:port":                                             {nil, swarmOf(n1, n2)},
		"ask for less in deploy.resources.reservations, or add a node":                                             {[]func(*Wanted){reserve(3e9, 0)}, alone},
	} {
		Convey("Who is refused is told: "+advice, t, func() {
			_, err := Make(wanted(one.changes...), nil, one.here, Options{})
			So(err, ShouldHaveSameTypeAs, &Obstacle{})
			So(err.(*Obstacle).Advice, ShouldEqual, advice)
		})
	}
	Convey("What runs already, and is to stay as it is, is not refused", t, func() {
		p, err := Make(wanted(), deployed(wanted(), alone), with(swarmOf(n1, n2), publishing("shop", port(8080, "ingress"))), Options{Rolling: true})
		So(err, ShouldBeNil)
		So(p.Action, ShouldEqual, Nothing)
	})
}

func TestHealthChecksProbeOftenWhileTasksStart(t *testing.T) {
	check := func(interval time.Duration) func(*Wanted) {
		return spec(inside(func(s *swarm.ContainerSpec) { s.Healthcheck.Interval = interval }))
	}
	no := spec(inside(func(s *swarm.ContainerSpec) { s.Healthcheck = nil }))
	image := func(w *Wanted) { w.Probed = true }
	never := spec(inside(func(s *swarm.ContainerSpec) { s.Healthcheck = &container.HealthConfig{Test: []string{"NONE"}} }))
	open := func(w *Wanted) { w.Deploy.StartInterval = 0 }
	for what, one := range map[string]struct {
		changes       []func(*Wanted)
		startInterval bool
		probed        bool
		interval      time.Duration
		start         time.Duration
	}{
		"an engine that knows a start interval":              {nil, true, true, 5 * time.Second, 200 * time.Millisecond},
		"an older engine":                                    {nil, false, true, time.Second, 0},
		"an older engine, and a short interval":              {[]func(*Wanted){check(500 * time.Millisecond)}, false, true, 500 * time.Millisecond, 0},
		"an older engine, and no interval":                   {[]func(*Wanted){check(0)}, false, true, time.Second, 0},
		"an older engine, and no start interval in the file": {[]func(*Wanted){open}, false, true, 5 * time.Second, 0},
		"a newer engine, and no start interval in the file":  {[]func(*Wanted){open}, true, true, 5 * time.Second, 0},
		"the image's own check":                              {[]func(*Wanted){no, image}, true, true, 0, 200 * time.Millisecond},
		"the image's own check, and an older engine":         {[]func(*Wanted){no, image}, false, true, time.Second, 0},
		"no check at all":                                    {[]func(*Wanted){no}, true, false, 0, 0},
		"a file that switches the image's check off":         {[]func(*Wanted){never, image}, true, false, 0, 0},
		"no check at all, and an older engine":               {[]func(*Wanted){no}, false, false, 0, 0},
	} {
		Convey("With "+what+", the health check is as it should be", t, func() {
			here := alone
			here.StartInterval = one.startInterval
			p, err := Make(wanted(one.changes...), nil, here, Options{})
			So(err, ShouldBeNil)
			So(p.Probed, ShouldEqual, one.probed)
			check := p.Spec.TaskTemplate.ContainerSpec.Healthcheck
			if check == nil {
				check = &container.HealthConfig{}
			}
			So(check.Interval, ShouldEqual, one.interval)
			So(check.StartInterval, ShouldEqual, one.start)
		})
	}
}

func TestImageAndPlatform(t *testing.T) {
	Convey("The Spec has the image as the build names it, and its platform", t, func() {
		p, err := Make(wanted(), nil, alone, Options{})
		So(err, ShouldBeNil)
		So(p.Spec.TaskTemplate.ContainerSpec.Image, ShouldEqual, imageV1)
		So(p.Spec.TaskTemplate.Placement.Platforms, ShouldResemble, []swarm.Platform{{OS: "linux", Architecture: "amd64"}})
		So(p.Spec.TaskTemplate.Placement.Constraints, ShouldBeEmpty)
	})
	Convey("The Spec has all platforms of an image, and none where nobody knows them", t, func() {
		both := []swarm.Platform{{OS: "linux", Architecture: "amd64"}, {OS: "linux", Architecture: "arm64"}}
		for _, platforms := range [][]swarm.Platform{both, nil} {
			p, err := Make(wanted(on("node.role==manager"), func(w *Wanted) { w.Platforms = platforms }), nil, alone, Options{})
			So(err, ShouldBeNil)
			So(p.Spec.TaskTemplate.Placement.Platforms, ShouldResemble, platforms)
			So(p.Sent.TaskTemplate.Placement.Platforms, ShouldResemble, platforms)
			So(p.Trial.TaskTemplate.Placement.Platforms, ShouldResemble, platforms)
		}
	})
	Convey("An image that only this node has binds the service to it, beside the file's constraints", t, func() {
		p, err := Make(wanted(on("node.role==manager"), func(w *Wanted) { w.Bound = true }), nil, alone, Options{})
		So(err, ShouldBeNil)
		So(p.Spec.TaskTemplate.Placement.Constraints, ShouldResemble, []string{"node.role==manager", "node.id==n1"})
	})
	Convey("An image that only this node has binds the service to it", t, func() {
		p, err := Make(wanted(func(w *Wanted) { w.Bound = true }), nil, alone, Options{})
		So(err, ShouldBeNil)
		So(p.Spec.TaskTemplate.Placement.Constraints, ShouldResemble, []string{"node.id==n1"})
	})
}

func TestWarnings(t *testing.T) {
	socket := mount.Mount{Type: mount.TypeBind, Source: "/run/user/docker.sock", Target: "/var/run/docker.sock", ReadOnly: true}
	no := spec(inside(func(s *swarm.ContainerSpec) { s.Healthcheck = nil }))
	unpublished := spec(func(s *swarm.ServiceSpec) { s.EndpointSpec.Ports = nil })
	for what, one := range map[string]struct {
		changes []func(*Wanted)
		rolling bool
		warning string
	}{
		"the docker socket":                    {[]func(*Wanted){mounts(socket)}, false, "web has the docker socket: anybody who reaches port 8080 sees the whole swarm"},
		"the docker socket and no port":        {[]func(*Wanted){mounts(socket), unpublished}, false, "who controls it sees the whole swarm"},
		"no health check, rolling":             {[]func(*Wanted){no}, true, "web has no health check, so its rolling update may lose requests"},
		"no health check, plain":               {[]func(*Wanted){no}, false, ""},
		"a health check of the image, rolling": {[]func(*Wanted){no, func(w *Wanted) { w.Probed = true }}, true, ""},
		"another directory of the node":        {[]func(*Wanted){mounts(mount.Mount{Type: mount.TypeBind, Source: "/srv", Target: "/srv"})}, false, "the trial of web may write to the directory /srv of the service"},
		"a directory that is only read":        {[]func(*Wanted){mounts(mount.Mount{Type: mount.TypeBind, Source: "/srv", Target: "/srv", ReadOnly: true})}, false, ""},
	} {
		Convey("With "+what+", the plan warns as it should", t, func() {
			was, now := wanted(one.changes...), wanted(one.changes...)
			now.Image = imageV2
			p, err := Make(now, deployed(was, alone), alone, Options{Rolling: one.rolling})
			So(err, ShouldBeNil)
			if one.warning == "" {
				So(p.Warnings, ShouldBeEmpty)
			} else {
				So(p.Warnings, ShouldHaveLength, 1)
				So(p.Warnings[0], ShouldContainSubstring, one.warning)
			}
		})
	}
}

func TestRestore(t *testing.T) {
	Convey("Given a version that ran on three networks, one of them gone", t, func() {
		version := deployed(wanted(), alone, inside(func(s *swarm.ContainerSpec) { s.User = "0" }))
		version.Spec.TaskTemplate.Networks = []swarm.NetworkAttachmentConfig{{Target: "old-a"}, {Target: "old-b", Aliases: []string{"b"}}, {Target: "unnamed"}}
		version.Networks = map[string]string{"old-a": "a", "old-b": "b"}
		version.Spec.TaskTemplate.ContainerSpec.Secrets = []*swarm.SecretReference{{SecretName: "token", SecretID: "old"}}
		version.Spec.TaskTemplate.ContainerSpec.Configs = []*swarm.ConfigReference{{ConfigName: "site", ConfigID: "old"}}
		before := copyOf(version.Spec)
		contents := map[stack.Kind]map[string]string{stack.Secret: {"token": "new-t"}, stack.Config: {"site": "new-s"}}
		spec, err := Restore(version, IDs{map[string]string{"a": "new-a", "c": "new-c"}, contents})
		So(err, ShouldBeNil)
		Convey("each secret and config is named by its id of now", func() {
			So(spec.TaskTemplate.ContainerSpec.Secrets[0].SecretID, ShouldEqual, "new-t")
			So(spec.TaskTemplate.ContainerSpec.Configs[0].ConfigID, ShouldEqual, "new-s")
		})
		Convey("without one of them it cannot be put back, and the error names it", func() {
			for _, kind := range []stack.Kind{stack.Secret, stack.Config} {
				kept := contents[kind]
				contents[kind] = nil
				_, err := Restore(version, IDs{nil, contents})
				So(err, ShouldBeError, fmt.Sprintf("the swarm has no %s %s", kind, map[stack.Kind]string{stack.Secret: "token", stack.Config: "site"}[kind]))
				contents[kind] = kept
			}
		})
		Convey("each network is named by its id of now, and one that is gone as it was", func() {
			So(spec.TaskTemplate.Networks, ShouldResemble, []swarm.NetworkAttachmentConfig{{Target: "new-a"}, {Target: "old-b", Aliases: []string{"b"}}, {Target: "unnamed"}})
		})
		Convey("all the rest is as it ran, changes made by hand included", func() {
			spec.TaskTemplate.Networks = before.TaskTemplate.Networks
			spec.TaskTemplate.ContainerSpec.Secrets, spec.TaskTemplate.ContainerSpec.Configs = before.TaskTemplate.ContainerSpec.Secrets, before.TaskTemplate.ContainerSpec.Configs
			So(spec, ShouldResemble, version.Spec)
			So(spec.TaskTemplate.ContainerSpec.User, ShouldEqual, "0")
		})
		Convey("and the version itself is not changed", func() { So(copyOf(version.Spec), ShouldResemble, before) })
	})
	Convey("The changes of a rollback are named against what runs, networks by name", t, func() {
		version, current := deployed(wanted(), alone), deployed(wanted(func(w *Wanted) { w.Image = imageV2 }), alone)
		current.Spec.TaskTemplate.Networks[0].Target = "new-id"
		current.Networks = map[string]string{"new-id": "net"}
		current.Spec.Labels[journal.LabelDeploy] = "d2"
		So(texts(Changes(version, current), false), ShouldResemble, []string{"image: sha256:222222222222 → sha256:111111111111"})
	})
	Convey("A Spec with another image is a copy", t, func() {
		original := wanted().Spec
		original.TaskTemplate.ContainerSpec.Image = imageV1
		other := WithImage(original, imageV2)
		other.Labels["tier"] = "back"
		So(other.TaskTemplate.ContainerSpec.Image, ShouldEqual, imageV2)
		So(original.TaskTemplate.ContainerSpec.Image, ShouldEqual, imageV1)
		So(original.Labels["tier"], ShouldEqual, "front")
	})
}

func TestPlaced(t *testing.T) {
	const running, ready, shutdown = swarm.TaskStateRunning, swarm.TaskStateReady, swarm.TaskStateShutdown
	type task struct {
		slot    int
		node    string
		desired swarm.TaskState
	}
	for what, one := range map[string]struct {
		replicas uint64 // 0: a global service
		labels   map[string]string
		tasks    []task
		want     uint64 // 0: there is nothing to leave out
	}{
		"a task that has no node is left out":             {3, nil, []task{{1, "n1", running}, {2, "n2", running}, {3, "", running}}, 2},
		"one that starts when another ends has a node":    {3, nil, []task{{1, "n1", ready}, {2, "n2", running}, {3, "", ready}}, 2},
		"two tasks of a slot count as one":                {3, nil, []task{{1, "n1", running}, {1, "n2", running}, {2, "", running}, {3, "", running}}, 1},
		"one that waits beside another has no node":       {3, nil, []task{{1, "n1", running}, {2, "n1", running}, {2, "", running}, {3, "", running}, {3, "n1", running}}, 1},
		"one that ends does not count":                    {3, nil, []task{{1, "n1", running}, {2, "n2", shutdown}, {3, "", running}}, 1},
		"where all have a node, there is nothing to do":   {2, nil, []task{{1, "n1", running}, {2, "n2", running}}, 0},
		"where none has a node, no task would be left":    {2, nil, []task{{1, "", running}, {2, "", running}}, 0},
		"a Spec may get smaller again":                    {2, map[string]string{journal.LabelPlaced: "yes"}, []task{{1, "n1", running}, {2, "", running}}, 1},
		"the update of a global service begins again":     {0, nil, []task{{0, "n1", running}}, 1},
		"the update of a global service begins only once": {0, map[string]string{journal.LabelPlaced: "yes"}, []task{{0, "n1", running}}, 0},
	} {
		Convey("Where nodes are down, "+what, t, func() {
			before := swarm.ServiceSpec{TaskTemplate: swarm.TaskSpec{ContainerSpec: &swarm.ContainerSpec{}}}
			before.Labels = one.labels
			if before.Mode.Global = &(swarm.GlobalService{}); one.replicas > 0 {
				before.Mode = swarm.ServiceMode{Replicated: &swarm.ReplicatedService{Replicas: &one.replicas}}
			}
			var tasks []engine.Task
			for _, it := range one.tasks {
				made := engine.Task{}
				made.Slot, made.NodeID, made.DesiredState = it.slot, it.node, it.desired
				tasks = append(tasks, made)
			}
			spec, less := Placed(before, tasks)
			So(less, ShouldEqual, one.want > 0)
			if less {
				So(spec.Labels, ShouldResemble, map[string]string{journal.LabelPlaced: "yes"})
			} else {
				So(spec, ShouldResemble, before)
			}
			if less && one.replicas > 0 {
				So(*spec.Mode.Replicated.Replicas, ShouldEqual, one.want)
				So(*before.Mode.Replicated.Replicas, ShouldEqual, one.replicas)
			}
		})
	}
}

func anyPort(w *Wanted) { w.Spec.EndpointSpec.Ports[0].PublishedPort = 0 }

// elsewhere is a service with a host-mode port that runs on one node only.
func elsewhere(node string) swarm.Service {
	one := swarm.Service{Spec: swarm.ServiceSpec{Annotations: swarm.Annotations{Name: "shop"}}, Endpoint: swarm.Endpoint{Ports: []swarm.PortConfig{port(8080, "host")}}}
	one.Spec.TaskTemplate.Placement = &swarm.Placement{Constraints: []string{"node.id==" + node}}
	return one
}

func TestWhatAnAdoptedServiceLoses(t *testing.T) {
	Convey("Of a service of which nobody knows what was sent, the plan names what the file lacks", t, func() {
		current := deployed(wanted(), alone, inside(func(s *swarm.ContainerSpec) {
			s.Env = append(s.Env, "MORE=1")
			s.Secrets = []*swarm.SecretReference{{SecretName: "token", File: &swarm.SecretReferenceFileTarget{Name: "token", UID: "0", GID: "0", Mode: 0o444}}}
		}))
		current.Sent, current.Returned = nil, nil
		p, err := Make(wanted(), current, alone, Options{Rolling: true})
		So(err, ShouldBeNil)
		So(texts(p.Lines, false), ShouldResemble, []string{"environment.MORE: removed", "secrets.token: token (removed)"})
	})
}
