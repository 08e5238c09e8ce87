package swarm

import (
	"bytes"
	"context"
	"io"
	"strconv"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
)

// Containers returns the ids of a service's containers on this engine, stopped ones included.
func (e *Engine) Containers(ctx context.Context, service string) ([]string, error) {
	found, err := call(ctx, e, e.api.ContainerList, client.ContainerListOptions{
		All: true, Filters: make(client.Filters).Add("label", "com.docker.swarm.service.id="+service),
	})
	var ids []string
	for _, one := range found.Items {
		ids = append(ids, one.ID)
	}
	return ids, wrap(err, "list the containers of service %s", service)
}

// KillContainer kills a container, and leaves its removal to the engine. If the container has
// ended by itself, that is no error.
func (e *Engine) KillContainer(ctx context.Context, id string) error {
	_, err := changeOn(ctx, e, e.api.ContainerKill, id, client.ContainerKillOptions{})
	if errdefs.IsNotFound(err) || errdefs.IsConflict(err) {
		return nil
	}
	return wrap(err, "kill container %s", id)
}

// RemoveContainer kills a container and removes it with its anonymous volumes. The engine may
// be removing it at the same time: if it is gone, that is no error.
func (e *Engine) RemoveContainer(ctx context.Context, id string) error {
	_, err := changeOn(ctx, e, e.api.ContainerRemove, id, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
	if errdefs.IsNotFound(err) || errdefs.IsConflict(err) {
		return nil
	}
	return wrap(err, "remove container %s", id)
}

// State is how a container is or how it ended. It is nil if this engine does not have the
// container, for example because its task ran on another node.
func (e *Engine) State(ctx context.Context, id string) *container.State {
	found, err := e.api.ContainerInspect(ctx, id, client.ContainerInspectOptions{})
	if err != nil {
		return nil
	}
	return found.Container.State
}

// Logs returns the last lines of what a task has printed, from whichever node it ran on.
func (e *Engine) Logs(ctx context.Context, task string, count int) []string {
	stream, err := e.api.TaskLogs(ctx, task, client.TaskLogsOptions{ShowStdout: true, ShowStderr: true, Tail: strconv.Itoa(count)})
	if err != nil {
		return nil
	}
	defer stream.Close()
	var said bytes.Buffer
	if _, err := stdcopy.StdCopy(&said, &said, io.LimitReader(stream, 1<<20)); err != nil && said.Len() == 0 {
		return nil
	}
	text := strings.TrimRight(said.String(), "\n")
	if text == "" {
		return nil
	}
	lines := strings.Split(text, "\n")
	return lines[max(0, len(lines)-count):]
}
