package prove

import (
	"strings"
	"testing"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/swarm"
	. "github.com/smartystreets/goconvey/convey"

	"goblog/deploy/stack"
)

func TestHowAContainerEnded(t *testing.T) {
	limit := &swarm.ResourceRequirements{Limits: &swarm.Limit{MemoryBytes: 64 << 20}}
	probes := func(status container.HealthStatus, codes ...int) *container.Health {
		health := &container.Health{Status: status}
		for _, code := range codes {
			health.Log = append(health.Log, &container.HealthcheckResult{ExitCode: code, Output: "connection\nrefused"})
		}
		return health
	}
	for what, one := range map[string]struct {
		state     *container.State
		resources *swarm.ResourceRequirements
		want      []string
	}{
		"one that this engine does not have":            {nil, limit, nil},
		"one that crashed":                              {&container.State{Status: "exited", ExitCode: 3}, nil, []string{"exit code 3"}},
		"one that could not be started":                 {&container.State{Status: "exited", ExitCode: 127, Error: "no such file "}, nil, []string{"exit code 127, no such file"}},
		"one that never was started":                    {&container.State{Status: "created"}, nil, nil},
		"one that runs":                                 {&container.State{Status: "running", Running: true}, nil, nil},
		"one that used too much memory":                 {&container.State{Status: "exited", OOMKilled: true, ExitCode: 137}, limit, []string{"it was killed because it used more memory than it may (its limit is 64 MiB)", "exit code 137"}},
		"one that used all of the node's memory":        {&container.State{Status: "exited", OOMKilled: true, ExitCode: 137}, nil, []string{"it was killed because it used more memory than it may", "exit code 137"}},
		"one that never was healthy and ended in order": {&container.State{Status: "exited", Health: probes("unhealthy", 1, 1, 1)}, nil, []string{"unhealthy; health check: exit code 1: connection refused", "unhealthy; health check: exit code 1: connection refused", "exit code 0"}},
		"one that was healthy to its end":               {&container.State{Status: "exited", ExitCode: 2, Health: probes("unhealthy", 0, 0)}, nil, []string{"exit code 2"}},
		"one that is healthy, after a failed check":     {&container.State{Status: "running", Running: true, Health: probes("healthy", 1, 0)}, nil, nil},
		"one that has not been probed":                  {&container.State{Status: "running", Running: true, Health: probes("starting")}, nil, nil},
	} {
		Convey("Of "+what+" it is said how it ended", t, func() { So(ending(one.state, one.resources), ShouldResemble, one.want) })
	}
}

func TestAnAnswerIsExplained(t *testing.T) {
	verify := &stack.Verify{Status: 204, Body: "fine"}
	for what, one := range map[string]struct {
		answer  Answer
		ingress bool
		want    string
	}{
		"a wrong answer names what was wanted":           {Answer{Said: "200 OK: other"}, true, "Wanted was status 204 and the body fine"},
		"silence of the routing mesh names IPVS":         {Answer{Silent: true, Said: "refused"}, true, "PUBLISH_MODE=host"},
		"silence of a host-mode port names the firewall": {Answer{Silent: true, Said: "refused"}, false, "A firewall may block the port"},
	} {
		Convey("Where all tasks are healthy, "+what, t, func() {
			lines := ExplainAnswer("web", "http://192.0.2.1/", one.answer, verify, one.ingress)
			if one.answer.Silent {
				So(lines[0], ShouldEqual, "The tasks of web run, but http://192.0.2.1/ does not answer from here: "+one.answer.Said)
			} else {
				So(lines[0], ShouldEqual, "The tasks of web run, but http://192.0.2.1/ does not answer as it should. It last said: "+one.answer.Said)
			}
			So(strings.Join(lines[1:], "\n"), ShouldContainSubstring, one.want)
			So(strings.Contains(strings.Join(lines, "\n"), "IPVS"), ShouldEqual, one.answer.Silent && one.ingress)
		})
	}
}

func TestAdvice(t *testing.T) {
	Convey("A port that the engine believes to be taken has advice; other errors have none", t, func() {
		said := "starting container failed: Bind for 0.0.0.0:6767 failed: port is already allocated"
		So(advice(said), ShouldResemble, []string{"if no container on that node has the port (docker ps), its engine did not free the port after a crash: restart the engine"})
		So(advice("starting container failed: listen tcp 0.0.0.0:6767: bind: address already in use"), ShouldBeEmpty)
	})
}
