package plan

import (
	"testing"

	"github.com/moby/moby/api/types/swarm"
	. "github.com/smartystreets/goconvey/convey"
)

func TestEdges(t *testing.T) {
	labels := func(all map[string]string) func(*Wanted) {
		return spec(inside(func(s *swarm.ContainerSpec) { s.Labels = all }))
	}
	for _, name := range []string{"SecretID", "ConfigID"} {
		Convey("A label that is called "+name+" is not lost", t, func() {
			p, err := Make(wanted(labels(map[string]string{name: "b"})), deployed(wanted(labels(map[string]string{name: "a"})), alone), alone, Options{})
			So(err, ShouldBeNil)
			So(texts(p.Lines, false), ShouldResemble, []string{"labels." + name + ": a → b"})
		})
	}
	Convey("A label whose name ends like a field of a secret is not taken for another one", t, func() {
		p, err := Make(wanted(labels(map[string]string{"a": "1", "a.SecretName": "3"})), deployed(wanted(labels(map[string]string{"a": "1", "a.SecretName": "2"})), alone), alone, Options{})
		So(err, ShouldBeNil)
		So(texts(p.Lines, false), ShouldResemble, []string{"labels.a.SecretName: 2 → 3"})
	})
	Convey("A node's id is compared as the swarm does, whatever the case", t, func() {
		So(ids(Nodes(wanted(on("node.id==N1")).Spec, []swarm.Node{node("n1")})), ShouldEqual, "n1")
	})
	const gb = 1 << 30
	full := swarm.Task{ServiceID: "shop", NodeID: "n1", Status: swarm.TaskStatus{State: "running"}}
	full.Spec.Resources = &swarm.ResourceRequirements{Reservations: &swarm.Resources{MemoryBytes: 4 * gb}}
	here := swarmOf(node("n1"), node("n2")) // Each has 4 GiB.
	here.Tasks = []swarm.Task{full}
	reserve := spec(func(s *swarm.ServiceSpec) {
		s.TaskTemplate.Resources.Reservations = &swarm.Resources{MemoryBytes: 2 * gb}
	})
	for what, changes := range map[string][]func(*Wanted){
		"a task on each node":           {byDigest, reserve, global},
		"2 tasks, 1 on a node":          {byDigest, reserve, tasks(2), func(w *Wanted) { placement(&w.Spec).MaxReplicas = 1 }},
		"2 tasks with a host-mode port": {byDigest, reserve, tasks(2), hostMode},
	} {
		Convey("With "+what+", room on one node does not make up for a full one", t, func() {
			_, err := Make(wanted(changes...), nil, here, Options{})
			So(err, ShouldBeError, "the nodes have room for 1 of the 2 tasks of web, each of which reserves 2GiB of memory")
		})
	}
}
