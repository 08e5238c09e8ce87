package prove

import (
	"runtime"
	"testing"

	"github.com/moby/moby/api/types/swarm"
	"github.com/moby/moby/api/types/system"
	. "github.com/smartystreets/goconvey/convey"

	"goblog/deploy/stack"
	engine "goblog/deploy/swarm"
)

func TestFindAddresses(t *testing.T) {
	if runtime.GOOS == "darwin" {
		t.Skip("an engine is always in a virtual machine here")
	}
	info := system.Info{OperatingSystem: "Debian GNU/Linux", Swarm: swarm.Info{NodeID: "n1", NodeAddr: "192.0.2.1"}}
	desktop := info
	desktop.OperatingSystem = "Docker Desktop"
	for what, one := range map[string]struct {
		manager, remote string
		info            system.Info
		want            string
	}{
		"the user's own choice, whatever else is known":           {"192.0.2.9", "192.0.2.8", desktop, "192.0.2.9"},
		"the host of a remote engine":                             {"", "swarm.example", info, "swarm.example"},
		"the host of a remote engine, though that is Desktop's":   {"", "swarm.example", desktop, "swarm.example"},
		"this computer, where the engine is in a virtual machine": {"", "", desktop, "127.0.0.1"},
		"the address that the engine has in the swarm":            {"", "", info, "192.0.2.1"},
	} {
		Convey("The manager is reached at "+what, t, func() {
			So(Find(one.manager, one.remote, one.info, nil).Manager, ShouldEqual, one.want)
			So(Find(one.manager, one.remote, one.info, nil).Node, ShouldEqual, "n1")
		})
	}

	peers := info
	peers.Swarm.RemoteManagers = []swarm.Peer{{NodeID: "n1", Addr: "192.0.2.1:2377"}, {NodeID: "n2", Addr: "192.0.2.2:2377"}, {NodeID: "n6", Addr: "[2001:db8::6]:2377"}, {NodeID: "bad", Addr: "no-port"}}
	node := func(id, status, manager string) swarm.Node {
		one := swarm.Node{ID: id, Status: swarm.NodeStatus{Addr: status}}
		if manager != "" {
			one.ManagerStatus = &swarm.ManagerStatus{Addr: manager}
		}
		return one
	}
	for what, one := range map[string]struct {
		node swarm.Node
		want string
	}{
		"its own":                         {node("n3", "192.0.2.3", ""), "192.0.2.3"},
		"its own, though it is a manager": {node("n2", "192.0.2.3", "192.0.2.4:2377"), "192.0.2.3"},
		"its manager's, where its own is 0.0.0.0 after a failover":      {node("n3", "0.0.0.0", "192.0.2.3:2377"), "192.0.2.3"},
		"its manager's, where it has none":                              {node("n3", "", "192.0.2.3:2377"), "192.0.2.3"},
		"its manager's of IPv6, without brackets":                       {node("n3", "0.0.0.0", "[2001:db8::3]:2377"), "2001:db8::3"},
		"what other managers know, where its own is 0.0.0.0":            {node("n2", "0.0.0.0", ""), "192.0.2.2"},
		"what other managers know, where its manager's is 0.0.0.0, too": {node("n2", "0.0.0.0", "0.0.0.0:2377"), "192.0.2.2"},
		"what other managers know, of IPv6":                             {node("n6", "0.0.0.0", ""), "2001:db8::6"},
		"what other managers know, where it has none":                   {node("n2", "", ""), "192.0.2.2"},
		"its own, where what other managers know cannot be read":        {node("bad", "0.0.0.0", ""), "0.0.0.0"},
	} {
		Convey("A node is reached at "+what, t, func() {
			So(Find("", "", peers, []swarm.Node{one.node}).Nodes, ShouldResemble, map[string]string{one.node.ID: one.want})
		})
	}
}

func TestURLs(t *testing.T) {
	spec := func(mode swarm.PortConfigPublishMode) swarm.ServiceSpec {
		return swarm.ServiceSpec{EndpointSpec: &swarm.EndpointSpec{Ports: []swarm.PortConfig{
			{PublishedPort: 9090, PublishMode: swarm.PortConfigPublishModeIngress}, {PublishedPort: 8080, PublishMode: mode},
		}}}
	}
	on := func(node string) engine.Task {
		one := fresh(node+" task", swarm.TaskStateRunning)
		one.NodeID = node
		return one
	}
	stopping, starting := on("n3"), on("n3")
	stopping.DesiredState = swarm.TaskStateShutdown
	starting.Status.State = swarm.TaskStateStarting
	at := Addresses{Manager: "192.0.2.9", Node: "n1", Nodes: map[string]string{"n1": "10.0.0.1", "n2": "10.0.0.2", "n3": "10.0.0.3", "n6": "2001:db8::6"}}
	six := at
	six.Manager = "2001:db8::9"
	ready := &stack.Verify{Path: "/ready", Port: 8080}
	for what, one := range map[string]struct {
		mode   swarm.PortConfigPublishMode
		tasks  []engine.Task
		verify *stack.Verify
		at     Addresses
		want   []string
	}{
		"nowhere, where nothing is to be asked":                {"ingress", all(on("n1")), nil, at, nil},
		"at its own address, where the file has one":           {"host", all(on("n1")), &stack.Verify{URL: "https://shop.example/x"}, at, []string{"https://shop.example/x"}},
		"at the manager, through the routing mesh":             {"ingress", all(on("n2"), on("n3")), ready, at, []string{"http://192.0.2.9:8080/ready"}},
		"at the manager of IPv6, in brackets":                  {"ingress", all(on("n2")), ready, six, []string{"http://[2001:db8::9]:8080/ready"}},
		"at the node of its task, in host mode":                {"host", all(on("n2")), ready, at, []string{"http://10.0.0.2:8080/ready"}},
		"at the manager's address for a task on the manager":   {"host", all(on("n1")), ready, at, []string{"http://192.0.2.9:8080/ready"}},
		"at each node that runs a task, in host mode":          {"host", all(on("n3"), on("n1"), on("n2")), ready, at, []string{"http://10.0.0.2:8080/ready", "http://10.0.0.3:8080/ready", "http://192.0.2.9:8080/ready"}},
		"once at a node of several tasks":                      {"host", all(on("n2"), on("n2")), ready, at, []string{"http://10.0.0.2:8080/ready"}},
		"at a node of IPv6, in brackets":                       {"host", all(on("n6")), ready, at, []string{"http://[2001:db8::6]:8080/ready"}},
		"not where a task is to stop":                          {"host", all(on("n2"), stopping), ready, at, []string{"http://10.0.0.2:8080/ready"}},
		"not where a task does not run yet":                    {"host", all(on("n2"), starting), ready, at, []string{"http://10.0.0.2:8080/ready"}},
		"nowhere yet, where no task runs in host mode":         {"host", all(starting), ready, at, nil},
		"through the mesh, where another port is in host mode": {"host", all(on("n2")), &stack.Verify{Path: "/", Port: 9090}, at, []string{"http://192.0.2.9:9090/"}},
	} {
		Convey("A service has to answer "+what, t, func() { So(URLs(spec(one.mode), one.tasks, one.verify, one.at), ShouldResemble, one.want) })
	}
	Convey("All published ports are shown, each where it is reached", t, func() {
		So(Published(spec("host"), all(on("n2"), on("n3")), at), ShouldResemble, []string{"http://192.0.2.9:9090", "http://10.0.0.2:8080", "http://10.0.0.3:8080"})
		So(Published(swarm.ServiceSpec{}, all(on("n2")), at), ShouldBeEmpty)
	})
}
