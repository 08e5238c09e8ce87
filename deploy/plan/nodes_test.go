package plan

import (
	"fmt"
	"strings"
	"testing"

	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/api/types/swarm"
	. "github.com/smartystreets/goconvey/convey"

	"goblog/deploy/journal"
)

func TestConstraints(t *testing.T) {
	n1 := node("n1", labelled("zone=a", "Disk=ssd"), func(n *swarm.Node) {
		n.Description.Hostname = "alpha"
		n.Description.Engine.Labels = map[string]string{"gpu": "yes"}
	})
	n2 := node("n2", worker, labelled("zone=B"), cpu("aarch64"), func(n *swarm.Node) { n.Description.Hostname = "Beta" })
	n3 := node("n3", worker, func(n *swarm.Node) {
		n.Description.Hostname = "gamma"
		n.Description.Platform.OS = "windows"
	})
	for _, one := range []struct{ constraints, want string }{
		{"", "n1 n2 n3"},

		{"node.id==n1", "n1"}, {"node.id!=n1", "n2 n3"}, {"node.id==n", ""}, {"node.id!=n", "n1 n2 n3"}, {"Node.ID==n2", "n2"},
		{"node.hostname==alpha", "n1"}, {"node.hostname!=alpha", "n2 n3"}, {"node.hostname==beta", "n2"}, {"node.hostname==alph", ""}, {"NODE.HOSTNAME!=BETA", "n1 n3"},
		{"node.role==manager", "n1"}, {"node.role!=manager", "n2 n3"}, {"node.role==worker", "n2 n3"}, {"node.role==Worker", "n2 n3"}, {"Node.Role==manager", "n1"},
		{"node.platform.os==linux", "n1 n2"}, {"node.platform.os!=linux", "n3"}, {"node.platform.os==Linux", "n1 n2"}, {"Node.Platform.OS==windows", "n3"},
		{"node.platform.arch==x86_64", "n1 n3"}, {"node.platform.arch!=x86_64", "n2"}, {"node.platform.arch==X86_64", "n1 n3"}, {"node.platform.arch==amd64", ""}, {"Node.Platform.Arch==aarch64", "n2"},
		{"node.labels.zone==a", "n1"}, {"node.labels.zone!=a", "n2 n3"}, {"node.labels.zone==A", "n1"}, {"node.labels.zone==b", "n2"}, {"Node.Labels.zone==a", "n1"},
		{"node.labels.Zone==a", ""}, {"node.labels.Disk==ssd", "n1"}, {"node.labels.disk==ssd", ""}, {"node.labels.none==a", ""}, {"node.labels.none!=a", "n1 n2 n3"},
		{"node.labels.gpu==yes", ""}, {"node.labels.zon==a", ""},
		{"engine.labels.gpu==yes", "n1"}, {"engine.labels.gpu!=yes", "n2 n3"}, {"engine.labels.gpu==YES", "n1"}, {"Engine.Labels.gpu==yes", "n1"}, {"engine.labels.Gpu==yes", ""}, {"engine.labels.zone==a", ""},

		{"node.role == manager", "n1"}, {"node.role != manager", "n2 n3"}, {"  node.role\t==  manager ", "n1"}, {"node.id == n3", "n3"}, {"node.labels.zone == a", "n1"}, {" node.labels.zone != a", "n2 n3"},

		// The engine is to decide.
		{"node.ip==192.0.2.1", "n1 n2 n3"}, {"node.ip!=192.0.2.1", "n1 n2 n3"}, {"weather==fine", "n1 n2 n3"}, {"node.labelszone==a", "n1 n2 n3"},

		{"node.role==worker,node.platform.os==linux", "n2"}, {"node.role==worker,node.labels.zone==a", ""}, {"node.id!=n1,node.id!=n3", "n2"}, {"node.platform.os==linux,weather==fine", "n1 n2"},
	} {
		Convey("Where "+one.constraints+", tasks run on '"+one.want+"'", t, func() {
			spec := wanted().Spec
			if one.constraints != "" {
				spec.TaskTemplate.Placement = &swarm.Placement{Constraints: strings.Split(one.constraints, ",")}
			}
			So(ids(Nodes(spec, []swarm.Node{n1, n2, n3})), ShouldEqual, one.want)
		})
	}
}

func TestPlatforms(t *testing.T) {
	platform := func(os, architecture string) swarm.Platform {
		return swarm.Platform{OS: os, Architecture: architecture}
	}
	nodes := []swarm.Node{
		node("x86"), node("amd", cpu("amd64")), node("arm", cpu("aarch64")), node("arm64", cpu("arm64")), node("old", cpu("armv7l")),
		node("win", func(n *swarm.Node) { n.Description.Platform.OS = "windows" }), node("silent", func(n *swarm.Node) { n.Description.Platform = swarm.Platform{} }),
	}
	for _, one := range []struct {
		platforms []swarm.Platform
		want      string
	}{
		{nil, "x86 amd arm arm64 old win silent"},
		{[]swarm.Platform{}, "x86 amd arm arm64 old win silent"},
		{[]swarm.Platform{platform("linux", "amd64")}, "x86 amd silent"},
		{[]swarm.Platform{platform("linux", "x86_64")}, "x86 amd silent"},
		{[]swarm.Platform{platform("linux", "arm64")}, "arm arm64 silent"},
		{[]swarm.Platform{platform("linux", "aarch64")}, "arm arm64 silent"},
		{[]swarm.Platform{platform("linux", "armv7l")}, "old silent"},
		{[]swarm.Platform{platform("linux", "arm")}, "silent"},
		{[]swarm.Platform{platform("linux", "s390x")}, "silent"},
		{[]swarm.Platform{platform("linux", "")}, "x86 amd arm arm64 old silent"},
		{[]swarm.Platform{platform("windows", "amd64")}, "win silent"},
		{[]swarm.Platform{platform("", "amd64")}, "x86 amd win silent"},
		{[]swarm.Platform{platform("", "")}, "x86 amd arm arm64 old win silent"},
		{[]swarm.Platform{platform("linux", "amd64"), platform("linux", "arm64")}, "x86 amd arm arm64 silent"},
		{[]swarm.Platform{platform("linux", "s390x"), platform("windows", "amd64")}, "win silent"},
	} {
		Convey(fmt.Sprintf("An image for %v runs on %s", one.platforms, one.want), t, func() {
			spec := wanted().Spec
			spec.TaskTemplate.Placement = &swarm.Placement{Platforms: one.platforms}
			So(ids(Nodes(spec, nodes)), ShouldEqual, one.want)
		})
	}
}

func TestWhichNodesFitAndWhyTheOthersDoNot(t *testing.T) {
	zone, arm := labelled("zone=a"), cpu("aarch64")
	paused := func(n *swarm.Node) { n.Spec.Availability = swarm.NodeAvailabilityPause }
	unknown := func(n *swarm.Node) { n.Status.State = swarm.NodeStateUnknown }
	for what, one := range map[string]struct {
		nodes []swarm.Node
		fit   string
		why   string
	}{
		"all nodes fit":                            {[]swarm.Node{node("n1", zone), node("n2", zone)}, "n1 n2", ""},
		"there is none":                            {nil, "", ""},
		"one is drained":                           {[]swarm.Node{node("n1", zone), drained("n2")}, "n1", "1 node not available for new tasks"},
		"one is down":                              {[]swarm.Node{node("n1", zone), node("n2", zone, down)}, "n1", "1 node not available for new tasks"},
		"one is paused, and one is not known":      {[]swarm.Node{node("n1", zone, paused), node("n2", zone, unknown)}, "", "2 nodes not available for new tasks"},
		"one does not meet the constraint":         {[]swarm.Node{node("n1"), node("n2", zone)}, "n2", "scheduling constraints not satisfied on 1 node"},
		"two do not meet the constraint":           {[]swarm.Node{node("n1"), node("n2")}, "", "scheduling constraints not satisfied on 2 nodes"},
		"one has another processor":                {[]swarm.Node{node("n1", zone, arm), node("n2", zone)}, "n2", "unsupported platform on 1 node"},
		"three have another processor":             {[]swarm.Node{node("n1", zone, arm), node("n2", zone, arm), node("n3", zone, arm)}, "", "unsupported platform on 3 nodes"},
		"one is down and meets nothing else":       {[]swarm.Node{node("n1", arm, down)}, "", "1 node not available for new tasks"},
		"one meets neither, which the first tells": {[]swarm.Node{node("n1", arm)}, "", "scheduling constraints not satisfied on 1 node"},
		"each has another reason": {[]swarm.Node{drained("n1"), node("n2", zone, arm), node("n3"), node("n4"), node("n5", zone)}, "n5",
			"scheduling constraints not satisfied on 2 nodes; unsupported platform on 1 node; 1 node not available for new tasks"},
	} {
		Convey("Where "+what+", that is what is said", t, func() {
			spec := wanted().Spec
			spec.TaskTemplate.Placement = &swarm.Placement{Constraints: []string{"node.labels.zone==a"}, Platforms: []swarm.Platform{{OS: "linux", Architecture: "amd64"}}}
			found := fit(spec, one.nodes)
			So(ids(found.nodes), ShouldEqual, one.fit)
			So(found.why, ShouldEqual, one.why)
		})
	}
}

func TestADeployIsRefusedWhereNoNodeFits(t *testing.T) {
	arm := func(w *Wanted) { w.Platforms = []swarm.Platform{{OS: "linux", Architecture: "arm64"}} }
	either := func(w *Wanted) { w.Platforms = append(w.Platforms, swarm.Platform{OS: "linux", Architecture: "arm64"}) }
	nobody := func(w *Wanted) { w.Platforms = nil }
	bound := func(w *Wanted) { w.Bound = true }
	n1, n2 := node("n1"), node("n2", worker)
	armed := node("n1", cpu("aarch64"))
	for what, one := range map[string]struct {
		changes []func(*Wanted)
		here    Situation
		why     string // "" where it can be deployed
	}{
		"a constraint that the one node does not meet":       {[]func(*Wanted){on("node.labels.zone==a")}, alone, "scheduling constraints not satisfied on 1 node"},
		"a constraint that no node meets":                    {[]func(*Wanted){byDigest, on("node.labels.zone==a")}, swarmOf(n1, n2), "scheduling constraints not satisfied on 2 nodes"},
		"a constraint that one node meets":                   {[]func(*Wanted){byDigest, on("node.role==worker")}, swarmOf(n1, n2), ""},
		"constraints of which each node meets another":       {[]func(*Wanted){byDigest, on("node.role==worker", "node.id==n1")}, swarmOf(n1, n2), "scheduling constraints not satisfied on 2 nodes"},
		"a constraint that nobody knows":                     {[]func(*Wanted){on("weather==fine")}, alone, ""},
		"an image for another processor":                     {[]func(*Wanted){arm}, alone, "unsupported platform on 1 node"},
		"an image for this processor, which says aarch64":    {[]func(*Wanted){arm}, swarmOf(armed), ""},
		"an image for both processors":                       {[]func(*Wanted){either}, swarmOf(armed), ""},
		"an image of which nobody knows the processor":       {[]func(*Wanted){nobody}, swarmOf(armed), ""},
		"an image for a processor that one other node has":   {[]func(*Wanted){byDigest}, swarmOf(armed, n2), ""},
		"the one manager drained":                            {nil, swarmOf(drained("n1")), "1 node not available for new tasks"},
		"all nodes drained":                                  {[]func(*Wanted){byDigest}, swarmOf(drained("n1"), drained("n2")), "2 nodes not available for new tasks"},
		"all workers drained, and managers not allowed":      {[]func(*Wanted){byDigest, on("node.role==worker")}, swarmOf(n1, node("n2", worker, down)), "scheduling constraints not satisfied on 1 node; 1 node not available for new tasks"},
		"an image that only this node has, which is drained": {[]func(*Wanted){bound}, swarmOf(drained("n1"), n2), "scheduling constraints not satisfied on 1 node; 1 node not available for new tasks"},
		"an image only here, and a constraint for elsewhere": {[]func(*Wanted){bound, on("node.role==worker")}, swarmOf(n1, n2), "scheduling constraints not satisfied on 2 nodes"},
		"no task, and no node for one":                       {[]func(*Wanted){tasks(0), on("node.labels.zone==a")}, alone, "scheduling constraints not satisfied on 1 node"},
		"one task on each node, and no node for one":         {[]func(*Wanted){global, on("node.labels.zone==a")}, alone, "scheduling constraints not satisfied on 1 node"},
		"one task on each node that has a label":             {[]func(*Wanted){byDigest, global, on("node.role==worker")}, swarmOf(n1, n2), ""},
	} {
		Convey("With "+what+", a deploy is "+map[bool]string{true: "planned", false: "refused in the engine's words"}[one.why == ""], t, func() {
			for _, current := range []*journal.Snapshot{nil, deployed(wanted(func(w *Wanted) { w.Image = imageV2 }), alone)} {
				_, err := Make(wanted(one.changes...), current, one.here, Options{Rolling: true})
				if one.why == "" {
					So(err, ShouldBeNil)
					continue
				}
				So(err, ShouldHaveSameTypeAs, &Obstacle{})
				So(err.Error(), ShouldEqual, "no node can run web: no suitable node ("+one.why+")")
				So(err.(*Obstacle).Advice, ShouldEqual, "change deploy.placement in the stack file, or look at the nodes: docker node ls")
			}
		})
	}
	Convey("What runs already, and is to stay as it is, is not refused where its node is drained meanwhile", t, func() {
		p, err := Make(wanted(), deployed(wanted(), alone), swarmOf(drained("n1")), Options{Rolling: true})
		So(err, ShouldBeNil)
		So(p.Action, ShouldEqual, Nothing)
	})
	Convey("Before there is a swarm, there is no node to fit", t, func() {
		_, err := Make(wanted(on("node.role==worker"), arm), nil, Situation{}, Options{})
		So(err, ShouldBeNil)
	})
}

func TestReplicasThatANodeMayHave(t *testing.T) {
	most := func(n uint64) func(*Wanted) { return func(w *Wanted) { placement(&w.Spec).MaxReplicas = n } }
	n1, n2, n3 := node("n1"), node("n2"), node("n3", labelled("zone=a"))
	three := swarmOf(n1, n2, n3)
	for what, one := range map[string]struct {
		changes []func(*Wanted)
		here    Situation
		problem string
	}{
		"2 tasks, 1 on a node, 1 node":                    {[]func(*Wanted){tasks(2), most(1)}, alone, "2 replicas of web cannot run on 1 nodes with 1 on each at most"},
		"3 tasks, 1 on a node, 3 nodes":                   {[]func(*Wanted){byDigest, tasks(3), most(1)}, three, ""},
		"4 tasks, 1 on a node, 3 nodes":                   {[]func(*Wanted){byDigest, tasks(4), most(1)}, three, "4 replicas of web cannot run on 3 nodes with 1 on each at most"},
		"6 tasks, 2 on a node, 3 nodes":                   {[]func(*Wanted){byDigest, tasks(6), most(2)}, three, ""},
		"7 tasks, 2 on a node, 3 nodes":                   {[]func(*Wanted){byDigest, tasks(7), most(2)}, three, "7 replicas of web cannot run on 3 nodes with 2 on each at most"},
		"2 tasks, and no placement at all":                {[]func(*Wanted){tasks(2), func(w *Wanted) { w.Platforms = nil }}, alone, ""},
		"7 tasks, any number on a node":                   {[]func(*Wanted){byDigest, tasks(7), most(0)}, three, ""},
		"2 tasks, 1 on a node, 1 of 3 nodes with a label": {[]func(*Wanted){byDigest, tasks(2), most(1), on("node.labels.zone==a")}, three, "2 replicas of web cannot run on 1 nodes with 1 on each at most"},
		"2 tasks, 1 on a node, 2 of 3 nodes without":      {[]func(*Wanted){byDigest, tasks(2), most(1), on("node.labels.zone!=a")}, three, ""},
		"2 tasks, 1 on a node, 1 of 2 nodes drained":      {[]func(*Wanted){byDigest, tasks(2), most(1)}, swarmOf(n1, drained("n2")), "2 replicas of web cannot run on 1 nodes with 1 on each at most"},
		"a task on each of 3 nodes, 1 on a node":          {[]func(*Wanted){byDigest, global, most(1)}, three, ""},
	} {
		Convey("With "+what+", a deploy is "+map[bool]string{true: "planned", false: "refused"}[one.problem == ""], t, func() {
			_, err := Make(wanted(one.changes...), nil, one.here, Options{})
			if one.problem == "" {
				So(err, ShouldBeNil)
				return
			}
			So(err, ShouldHaveSameTypeAs, &Obstacle{})
			So(err.Error(), ShouldEqual, one.problem)
			So(err.(*Obstacle).Advice, ShouldContainSubstring, "deploy.placement.max_replicas_per_node")
		})
	}
	Convey("The number to which somebody scaled the service counts, where it stays", t, func() {
		current := deployed(wanted(most(1)), alone, func(s *swarm.ServiceSpec) { s.Mode.Replicated.Replicas = count(2) })
		_, err := Make(wanted(most(1), spec(inside(func(s *swarm.ContainerSpec) { s.User = "1000" }))), current, alone, Options{})
		So(err, ShouldBeError, "2 replicas of web cannot run on 1 nodes with 1 on each at most")
	})
}

func TestHostModePortsOnNodesWithALabel(t *testing.T) {
	a, plain := labelled("zone=a"), func(*swarm.Node) {}
	three := func(changes ...func(*swarm.Node)) Situation {
		var nodes []swarm.Node
		for i, change := range changes {
			nodes = append(nodes, node(fmt.Sprint("n", i+1), change))
		}
		return swarmOf(nodes...)
	}
	drainedA := func(n *swarm.Node) {
		a(n)
		n.Spec.Availability = swarm.NodeAvailabilityDrain
	}
	inA := on("node.labels.zone==a")
	const silent, spare = "the old address no longer answers", "port 8080 is published in host mode and no other node is free for it"
	for what, one := range map[string]struct {
		changes []func(*Wanted)
		here    Situation
		order   swarm.UpdateOrder
		note    string
		problem string
	}{
		"1 task, 3 nodes with the label":                    {[]func(*Wanted){inA}, three(a, a, a), "start-first", silent, ""},
		"1 task, 2 nodes with the label":                    {[]func(*Wanted){inA}, three(a, plain, a), "start-first", silent, ""},
		"1 task, 1 node with the label":                     {[]func(*Wanted){inA}, three(plain, a, plain), "stop-first", spare, ""},
		"1 task, 2 nodes with the label, 1 of them drained": {[]func(*Wanted){inA}, three(a, drainedA, plain), "stop-first", spare, ""},
		"2 tasks, 3 nodes with the label":                   {[]func(*Wanted){inA, tasks(2)}, three(a, a, a), "start-first", silent, ""},
		"2 tasks, 2 nodes with the label":                   {[]func(*Wanted){inA, tasks(2)}, three(a, plain, a), "stop-first", spare, ""},
		"2 tasks, 1 node with the label":                    {[]func(*Wanted){inA, tasks(2)}, three(a, plain, plain), "", "", "2 replicas cannot all have port 8080 on 1 nodes in host mode"},
		"3 tasks, 2 nodes with the label":                   {[]func(*Wanted){inA, tasks(3)}, three(a, a, plain), "", "", "3 replicas cannot all have port 8080 on 2 nodes in host mode"},
		"1 task, no node with the label":                    {[]func(*Wanted){inA}, three(plain, plain, plain), "", "", "no node can run web: no suitable node (scheduling constraints not satisfied on 3 nodes)"},
		"a task on each node with the label":                {[]func(*Wanted){inA, global}, three(a, plain, a), "stop-first", spare, ""},
		"a task on each node, none with the label":          {[]func(*Wanted){inA, global}, three(plain, plain, plain), "", "", "no node can run web: no suitable node (scheduling constraints not satisfied on 3 nodes)"},
		"1 task, which may not run where the label is":      {[]func(*Wanted){on("node.labels.zone!=a")}, three(a, plain, a), "stop-first", spare, ""},
		"1 task, for a processor that 2 nodes have":         {nil, three(plain, plain, cpu("aarch64")), "start-first", silent, ""},
		"1 task, for a processor that 1 node has":           {nil, three(plain, cpu("aarch64"), cpu("aarch64")), "stop-first", spare, ""},
	} {
		Convey("With a host-mode port, and "+what+", the update order is '"+string(one.order)+"'", t, func() {
			was := wanted(append(one.changes, byDigest, hostMode)...)
			now := wanted(append(one.changes, byDigest, hostMode)...)
			now.Spec.TaskTemplate.ContainerSpec.User = "1000"
			if one.problem != "" {
				_, err := Make(now, nil, one.here, Options{})
				So(err, ShouldBeError, one.problem)
				return
			}
			p, err := Make(now, deployed(was, one.here), one.here, Options{Rolling: true})
			So(err, ShouldBeNil)
			So(p.Spec.UpdateConfig.Order, ShouldEqual, one.order)
			So(strings.Join(p.Notes, "\n"), ShouldContainSubstring, one.note)
		})
	}
	Convey("Where more nodes fit than there are tasks, a volume is still a reason for stop-first", t, func() {
		with := []func(*Wanted){byDigest, hostMode, inA, mounts(mount.Mount{Type: mount.TypeVolume, Source: "data", Target: "/data"})}
		now := wanted(with...)
		now.Spec.TaskTemplate.ContainerSpec.User = "1000"
		p, err := Make(now, deployed(wanted(with...), three(a, a, a)), three(a, a, a), Options{Rolling: true})
		So(err, ShouldBeNil)
		So(p.Spec.UpdateConfig.Order, ShouldEqual, swarm.UpdateOrderStopFirst)
	})
}

func TestRoomForWhatTasksReserve(t *testing.T) {
	const gb = 1 << 30
	reserve := func(cpus, memory int64) func(*Wanted) {
		return spec(func(s *swarm.ServiceSpec) {
			s.TaskTemplate.Resources.Reservations = &swarm.Resources{NanoCPUs: cpus, MemoryBytes: memory}
		})
	}
	// A task of a service on a node, each of which has 2 processors and 4 GiB.
	task := func(service, node string, cpus, memory int64, state swarm.TaskState) swarm.Task {
		one := swarm.Task{ServiceID: service, NodeID: node, Status: swarm.TaskStatus{State: state}}
		one.Spec.Resources = &swarm.ResourceRequirements{Reservations: &swarm.Resources{NanoCPUs: cpus, MemoryBytes: memory}}
		return one
	}
	greedy, unlimited := task("id-of-shop", "n1", 0, 0, "running"), task("id-of-shop", "n1", 0, 0, "running")
	greedy.Spec.Resources, unlimited.Spec.Resources.Reservations = nil, nil
	with := func(here Situation, tasks ...swarm.Task) Situation {
		for _, name := range []string{"web", "shop"} {
			service := swarm.Service{ID: "id-of-" + name}
			service.Spec.Name = name
			here.Others = append(here.Others, service)
		}
		here.Tasks = tasks
		return here
	}
	two := swarmOf(node("n1"), node("n2"))
	large := drained("n2")
	large.Description.Resources = swarm.Resources{NanoCPUs: 64e9, MemoryBytes: 1 << 40}
	for what, one := range map[string]struct {
		changes []func(*Wanted)
		here    Situation
		problem string // behind "the nodes have "; "" where it can be deployed
	}{
		"nothing":                                           {nil, with(alone, task("id-of-shop", "n1", 2e9, 4*gb, "running")), ""},
		"all memory of a node":                              {[]func(*Wanted){reserve(0, 4*gb)}, with(alone), ""},
		"a byte more":                                       {[]func(*Wanted){reserve(0, 4*gb+1)}, with(alone), "room for 0 of the 1 tasks of web, each of which reserves 4GiB of memory"},
		"all processors of a node":                          {[]func(*Wanted){reserve(2e9, 0)}, with(alone), ""},
		"a bit more of them":                                {[]func(*Wanted){reserve(2e9+1e6, 0)}, with(alone), "room for 0 of the 1 tasks of web, each of which reserves 2.001 processors"},
		"both, of which the memory is too much":             {[]func(*Wanted){reserve(1e9, 5*gb)}, with(alone), "room for 0 of the 1 tasks of web, each of which reserves 5GiB of memory and 1 processors"},
		"both, of which the processors are too many":        {[]func(*Wanted){reserve(3e9, gb)}, with(alone), "room for 0 of the 1 tasks of web, each of which reserves 1GiB of memory and 3 processors"},
		"a quarter of a node for each of 4 tasks":           {[]func(*Wanted){reserve(0, gb), tasks(4)}, with(alone), ""},
		"a quarter of a node for each of 5 tasks":           {[]func(*Wanted){reserve(0, gb), tasks(5)}, with(alone), "room for 4 of the 5 tasks of web, each of which reserves 1GiB of memory"},
		"a third of two nodes for each of 4 tasks":          {[]func(*Wanted){byDigest, reserve(0, 3*gb/2), tasks(4)}, with(two), ""},
		"a third of two nodes for each of 5 tasks":          {[]func(*Wanted){byDigest, reserve(0, 3*gb/2), tasks(5)}, with(two), "room for 4 of the 5 tasks of web, each of which reserves 1.5GiB of memory"},
		"what another service leaves":                       {[]func(*Wanted){reserve(1e9, 2*gb)}, with(alone, task("id-of-shop", "n1", 1e9, 2*gb, "running")), ""},
		"more memory than another service leaves":           {[]func(*Wanted){reserve(0, 3*gb)}, with(alone, task("id-of-shop", "n1", 0, 2*gb, "running")), "room for 0 of the 1 tasks of web, each of which reserves 3GiB of memory"},
		"more processors than another leaves":               {[]func(*Wanted){reserve(15e8, 0)}, with(alone, task("id-of-shop", "n1", 1e9, 0, "running")), "room for 0 of the 1 tasks of web, each of which reserves 1.5 processors"},
		"what a task leaves that still starts":              {[]func(*Wanted){reserve(0, 3*gb)}, with(alone, task("id-of-shop", "n1", 0, 2*gb, "starting")), "room for 0 of the 1 tasks of web, each of which reserves 3GiB of memory"},
		"what a task had that is complete":                  {[]func(*Wanted){reserve(0, 3*gb)}, with(alone, task("id-of-shop", "n1", 0, 2*gb, "complete")), ""},
		"what a task had that was shut down":                {[]func(*Wanted){reserve(0, 3*gb)}, with(alone, task("id-of-shop", "n1", 0, 2*gb, "shutdown")), ""},
		"what a task had that failed":                       {[]func(*Wanted){reserve(0, 3*gb)}, with(alone, task("id-of-shop", "n1", 0, 2*gb, "failed")), ""},
		"what a task had that was rejected":                 {[]func(*Wanted){reserve(0, 3*gb)}, with(alone, task("id-of-shop", "n1", 0, 2*gb, "rejected")), ""},
		"what a task had that was orphaned":                 {[]func(*Wanted){reserve(0, 3*gb)}, with(alone, task("id-of-shop", "n1", 0, 2*gb, "orphaned")), ""},
		"what a task had that is being removed":             {[]func(*Wanted){reserve(0, 3*gb)}, with(alone, task("id-of-shop", "n1", 0, 2*gb, "remove")), ""},
		"what tasks leave that reserve nothing":             {[]func(*Wanted){reserve(0, 4*gb)}, with(alone, greedy, unlimited), ""},
		"what its own tasks have":                           {[]func(*Wanted){reserve(0, 4*gb)}, with(alone, task("id-of-web", "n1", 0, 4*gb, "running")), ""},
		"what another service leaves on another node":       {[]func(*Wanted){byDigest, reserve(0, 3*gb)}, with(two, task("id-of-shop", "n1", 0, 2*gb, "running")), ""},
		"more than another service leaves on each":          {[]func(*Wanted){byDigest, reserve(0, 3*gb)}, with(two, task("id-of-shop", "n1", 0, 2*gb, "running"), task("id-of-shop", "n2", 0, 2*gb, "running")), "room for 0 of the 1 tasks of web, each of which reserves 3GiB of memory"},
		"more than a node has, others give away too much":   {[]func(*Wanted){byDigest, reserve(0, 3*gb), tasks(2)}, with(two, task("id-of-shop", "n1", 0, 40*gb, "running")), "room for 1 of the 2 tasks of web, each of which reserves 3GiB of memory"},
		"half of each of two nodes, a task on each":         {[]func(*Wanted){byDigest, global, reserve(0, 2*gb)}, with(two), ""},
		"most of each of two nodes, one of which is full":   {[]func(*Wanted){byDigest, global, reserve(0, 3*gb)}, with(two, task("id-of-shop", "n1", 0, 4*gb, "running")), "room for 1 of the 2 tasks of web, each of which reserves 3GiB of memory"},
		"what a node has that does not meet the constraint": {[]func(*Wanted){byDigest, reserve(0, 3*gb), on("node.id==n1")}, with(two, task("id-of-shop", "n1", 0, 2*gb, "running")), "room for 0 of the 1 tasks of web, each of which reserves 3GiB of memory"},
		"what only a node has that is drained":              {[]func(*Wanted){byDigest, reserve(0, 5*gb)}, with(swarmOf(node("n1"), large)), "room for 0 of the 1 tasks of web, each of which reserves 5GiB of memory"},
		"what a task has that waits for a node":             {[]func(*Wanted){reserve(0, 4*gb)}, with(alone, task("id-of-shop", "", 0, 4*gb, "pending")), ""},
	} {
		Convey("A service that reserves "+what+" is "+map[bool]string{true: "planned", false: "refused, with what there is"}[one.problem == ""], t, func() {
			_, err := Make(wanted(one.changes...), nil, one.here, Options{})
			if one.problem == "" {
				So(err, ShouldBeNil)
				return
			}
			So(err, ShouldHaveSameTypeAs, &Obstacle{})
			So(err.Error(), ShouldEqual, "the nodes have "+one.problem)
			So(err.(*Obstacle).Advice, ShouldContainSubstring, "deploy.resources.reservations")
		})
	}

	running := task("id-of-web", "n1", 0, 2*gb, "running")
	for what, one := range map[string]struct {
		changes []func(*Wanted)
		here    Situation
		order   swarm.UpdateOrder
	}{
		"there is room for the new task beside the old one":       {[]func(*Wanted){reserve(0, 2*gb)}, with(alone, running), "start-first"},
		"there is no room for the new task beside the old one":    {[]func(*Wanted){reserve(0, 3*gb)}, with(alone, running), "stop-first"},
		"another service has the room":                            {[]func(*Wanted){reserve(0, 2*gb)}, with(alone, running, task("id-of-shop", "n1", 0, 1, "running")), "stop-first"},
		"another node has the room":                               {[]func(*Wanted){byDigest, reserve(0, 3*gb)}, with(two, running), "start-first"},
		"another node has the room, but does not meet constraint": {[]func(*Wanted){byDigest, reserve(0, 3*gb), on("node.id==n1")}, with(two, running), "stop-first"},
		"nothing is reserved":                                     {nil, with(alone, running, task("id-of-shop", "n1", 2e9, 2*gb, "running")), "start-first"},
		"no task is wanted":                                       {[]func(*Wanted){reserve(0, 3*gb), tasks(0)}, with(alone, running), "start-first"},
	} {
		Convey("Where "+what+", the update order is "+string(one.order), t, func() {
			now := wanted(one.changes...)
			now.Spec.TaskTemplate.ContainerSpec.User = "1000"
			p, err := Make(now, deployed(wanted(one.changes...), alone), one.here, Options{Rolling: true})
			So(err, ShouldBeNil)
			So(p.Spec.UpdateConfig.Order, ShouldEqual, one.order)
			if one.order == "stop-first" {
				So(p.Notes, ShouldResemble, []string{"The old task of web stops before the new one starts (stop-first), as no node has room for one more task, which reserves " + reserved(now.Spec) + ": expect an outage"})
			}
		})
	}
}

func TestNodesThatAreDown(t *testing.T) {
	down := func(n *swarm.Node) { n.Status.State = swarm.NodeStateDown }
	unknown := func(n *swarm.Node) { n.Status.State = swarm.NodeStateUnknown }
	drained := func(n *swarm.Node) { n.Spec.Availability = swarm.NodeAvailabilityDrain }
	reserve := spec(func(s *swarm.ServiceSpec) {
		s.TaskTemplate.Resources.Reservations = &swarm.Resources{MemoryBytes: 3 << 30}
	})
	zoned := wanted().Spec
	zoned.TaskTemplate.Placement = &swarm.Placement{Constraints: []string{"node.labels.zone==a"}, Platforms: []swarm.Platform{{OS: "linux", Architecture: "amd64"}}}
	zone := labelled("zone=a")
	nodes := []swarm.Node{
		node("n1", zone), node("n5", zone, down), node("n2", zone, down), node("n3", down), node("n4", zone, down, drained),
		node("n6", zone, unknown), node("n7", zone, down, cpu("aarch64")),
	}

	Convey("Missed are the nodes that are down and would run tasks, if they were up", t, func() {
		So(ids(Down(zoned, nodes)), ShouldEqual, "n5 n2")
		So(AreDown(Down(zoned, nodes)), ShouldEqual, "n2 and n5 are down")
		So(AreDown(nodes[1:2]), ShouldEqual, "n5 is down")
		So(Down(zoned, nodes[:1]), ShouldBeEmpty)
	})

	Convey("A refusal for want of nodes says which node is down", t, func() {
		for what, change := range map[string]func(*Wanted){
			"2 replicas cannot all have port 8080 on 1 nodes in host mode; n2 is down":                           hostMode,
			"2 replicas of web cannot run on 1 nodes with 1 on each at most; n2 is down":                         func(w *Wanted) { placement(&w.Spec).MaxReplicas = 1 },
			"the nodes have room for 1 of the 2 tasks of web, each of which reserves 3GiB of memory; n2 is down": reserve,
		} {
			w := wanted()
			for _, one := range []func(*Wanted){byDigest, tasks(2), change} {
				one(&w)
			}
			_, err := Make(w, nil, swarmOf(node("n1"), node("n2", down)), Options{})
			So(fmt.Sprint(err), ShouldEqual, what)
		}
	})
}
