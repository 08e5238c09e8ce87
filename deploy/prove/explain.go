package prove

import (
	"context"
	"fmt"
	"strings"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/swarm"

	"goblog/deploy/stack"
	engine "goblog/deploy/swarm"
)

// Explain says why a task failed or does not start, in the engine's own words: its error, how
// its container ended, its last health checks, and its last log lines.
func Explain(ctx context.Context, e *engine.Engine, task engine.Task, service string, hosts map[string]string) []string {
	lines := []string{fmt.Sprintf("%s: %s%s", TaskName(task, service, hosts), task.Status.State, prefixed(": ", task.Status.Err))}
	lines = append(lines, advice(task.Status.Err)...)
	if task.Status.ContainerStatus != nil && task.Status.ContainerStatus.ContainerID != "" {
		lines = append(lines, ending(e.State(ctx, task.Status.ContainerStatus.ContainerID), task.Spec.Resources)...)
	}
	if said := e.Logs(ctx, task.ID, 10); len(said) > 0 {
		lines = append(lines, "its last log lines:")
		for _, line := range said {
			lines = append(lines, "    "+line)
		}
	}
	return lines
}

// advice says what may help against an error of the engine.
func advice(err string) []string {
	if !strings.Contains(err, portTaken) {
		return nil
	}
	// Seen with engine 20.10 after kill -9, while a task with a host-mode port ended.
	return []string{"if no container on that node has the port (docker ps), its engine did not free the port after a crash: restart the engine"}
}

// ending says how a container ended. A task that was never healthy and exits with 0 is
// complete and has no error: only its health checks show the cause.
func ending(state *container.State, resources *swarm.ResourceRequirements) []string {
	if state == nil {
		return nil
	}
	var lines []string
	if state.OOMKilled {
		limit := ""
		if resources != nil && resources.Limits != nil && resources.Limits.MemoryBytes > 0 {
			limit = fmt.Sprintf(" (its limit is %d MiB)", resources.Limits.MemoryBytes>>20)
		}
		lines = append(lines, "it was killed because it used more memory than it may"+limit)
	}
	if health := state.Health; health != nil && health.Status != container.Healthy {
		for i := max(0, len(health.Log)-2); i < len(health.Log); i++ {
			if health.Log[i].ExitCode == 0 {
				continue // This check succeeded. A container that ends counts as unhealthy too.
			}
			lines = append(lines, fmt.Sprintf("%s; health check: exit code %d%s", health.Status, health.Log[i].ExitCode, prefixed(": ", shorten(health.Log[i].Output))))
		}
	}
	if !state.Running && state.Status != "created" {
		lines = append(lines, fmt.Sprintf("exit code %d%s", state.ExitCode, prefixed(", ", strings.TrimSpace(state.Error))))
	}
	return lines
}

// ExplainAnswer says what may be wrong if all tasks run, but a URL does not answer as
// it should.
func ExplainAnswer(service, url string, answer Answer, verify *stack.Verify, ingress bool) []string {
	if !answer.Silent {
		wanted := fmt.Sprintf("status %d", verify.Status)
		if verify.Body != "" {
			wanted += " and the body " + verify.Body
		}
		return []string{fmt.Sprintf("The tasks of %s run, but %s does not answer as it should. It last said: %s", service, url, answer.Said),
			"Wanted was " + wanted + ". If another program answers there, set ManagerIP to an address of the swarm that this machine reaches"}
	}
	lines := []string{fmt.Sprintf("The tasks of %s run, but %s does not answer from here: %s", service, url, answer.Said)}
	if ingress {
		lines = append(lines, "Probably the kernel has no IPVS, which the routing mesh needs: deploy with PUBLISH_MODE=host. Or a firewall blocks the port")
	} else {
		lines = append(lines, "A firewall may block the port, or the service listens on another port than the target; or set ManagerIP to an address of the swarm that this machine reaches")
	}
	return lines
}
