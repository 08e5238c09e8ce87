package swarm

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/swarm"
	"github.com/moby/moby/client"
)

// Service returns the service of a name or id, or nil if there is none.
func (e *Engine) Service(ctx context.Context, name string) (*swarm.Service, error) {
	found, err := callOn(ctx, e, e.api.ServiceInspect, name, client.ServiceInspectOptions{})
	if errdefs.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, wrap(err, "look at service %s", name)
	}
	// The engine also accepts the beginning of the id of another service.
	if found.Service.Spec.Name != name && found.Service.ID != name {
		return nil, nil
	}
	return &found.Service, nil
}

// Services returns all services of the swarm, by name.
func (e *Engine) Services(ctx context.Context) ([]swarm.Service, error) {
	found, err := call(ctx, e, e.api.ServiceList, client.ServiceListOptions{})
	slices.SortFunc(found.Items, func(a, b swarm.Service) int { return strings.Compare(a.Spec.Name, b.Spec.Name) })
	return found.Items, wrap(err, "list the services")
}

// Create creates a service and returns its id. Other nodes get this user's credentials for
// the registry of the image. own is a label that only the Spec of this caller has. It shows
// whether a call that failed has created the service all the same.
func (e *Engine) Create(ctx context.Context, spec swarm.ServiceSpec, own string) (string, error) {
	options := client.ServiceCreateOptions{Spec: spec, EncodedRegistryAuth: e.credentials(spec.TaskTemplate.ContainerSpec.Image)}
	for began := time.Now(); ; {
		made, err := changeOnce(ctx, e.api.ServiceCreate, options)
		// The engine may still have been working on a call that was given up. Or a manager that
		// lost its leader may have sent the call twice.
		taken := errdefs.IsConflict(err)
		if !taken && !e.again(ctx, err, began) {
			return made.ID, wrap(err, "create service %s", spec.Name)
		}
		there, failure := e.Service(ctx, spec.Name)
		switch {
		case failure != nil || there != nil && there.Spec.Labels[own] == spec.Labels[own] && spec.Labels[own] != "":
			return idOf(there), failure
		case taken:
			return "", wrap(err, "create service %s", spec.Name)
		}
	}
}

// outOfSequence is in the error of an update whose version is no longer the latest. The
// engine has no error class for it.
const outOfSequence = "update out of sequence"

func idOf(service *swarm.Service) string {
	if service == nil {
		return ""
	}
	return service.ID
}

// Update changes a service that was read before. With over, it overwrites changes that others
// have made since; otherwise it fails if the Spec has changed. The engine itself changes the
// version of a service during an update, so the version alone does not show a change. Without
// new credentials, the engine keeps the old ones. own is as for Create.
func (e *Engine) Update(ctx context.Context, service *swarm.Service, spec swarm.ServiceSpec, own string, over bool) error {
	began := time.Now()
	for range 10 {
		_, err := changeOnce(ctx, on(e.api.ServiceUpdate, service.ID), client.ServiceUpdateOptions{
			Version: service.Version, Spec: spec,
			EncodedRegistryAuth: e.credentials(spec.TaskTemplate.ContainerSpec.Image),
			RegistryAuthFrom:    swarm.RegistryAuthFromSpec,
		})
		if repeated := e.again(ctx, err, began); !repeated && (err == nil || !strings.Contains(err.Error(), outOfSequence)) {
			return wrap(err, "update service %s", spec.Name)
		}
		again, err := e.Service(ctx, service.ID)
		if err != nil {
			return err
		}
		switch {
		case again == nil:
			return fmt.Errorf("update service %s: somebody removed it meanwhile", spec.Name)
		case again.Spec.Labels[own] == spec.Labels[own] && service.Spec.Labels[own] != spec.Labels[own]:
			return nil // The call had its effect, although it failed.
		case !over && !reflect.DeepEqual(again.Spec, service.Spec):
			return fmt.Errorf("update service %s: somebody changed it meanwhile", spec.Name)
		}
		service = again
	}
	return fmt.Errorf("update service %s: somebody else keeps changing it", spec.Name)
}

// Remove removes the service of an id. If it is gone already, that is no error.
func (e *Engine) Remove(ctx context.Context, id string) error {
	_, err := changeOn(ctx, e, e.api.ServiceRemove, id, client.ServiceRemoveOptions{})
	if errdefs.IsNotFound(err) {
		return nil
	}
	return wrap(err, "remove service %s", id)
}

// Replicas is the number of tasks that a Spec asks for; 1 if it gives no number. It is false
// for a service that has no such number, such as a global one.
func Replicas(spec swarm.ServiceSpec) (uint64, bool) {
	mode := spec.Mode.Replicated
	if mode == nil || mode.Replicas == nil {
		return 1, mode != nil
	}
	return *mode.Replicas, true
}

// A Task is one task of a service.
type Task struct {
	swarm.Task
	// UpToDate tells whether the task is of the service's present Spec.
	UpToDate bool
}

// Stays tells whether the swarm wants a task to run.
func Stays(task swarm.Task) bool {
	return task.DesiredState == swarm.TaskStateRunning || task.DesiredState == swarm.TaskStateReady
}

// Runs tells whether a task runs, and the swarm wants it to keep running.
func Runs(task swarm.Task) bool {
	return task.DesiredState == swarm.TaskStateRunning && task.Status.State == swarm.TaskStateRunning
}

// Running is the number of tasks that run and are up to date.
func Running(tasks []Task) int {
	n := 0
	for _, task := range tasks {
		if task.UpToDate && Runs(task.Task) {
			n++
		}
	}
	return n
}

// Ended tells whether a task has ended.
func Ended(task swarm.Task) bool {
	switch task.Status.State {
	case swarm.TaskStateComplete, swarm.TaskStateShutdown, swarm.TaskStateFailed, swarm.TaskStateRejected, swarm.TaskStateRemove, swarm.TaskStateOrphaned:
		return true
	}
	return false
}

// Tasks returns the tasks of a service, the youngest first. The swarm forgets old ones. If the
// service was removed in the meantime, it returns none.
func (e *Engine) Tasks(ctx context.Context, service string) ([]Task, error) {
	filters := make(client.Filters).Add("service", service)
	all, err := call(ctx, e, e.api.TaskList, client.TaskListOptions{Filters: filters})
	var current client.TaskListResult
	if err == nil {
		// The engine decides which tasks are up to date: labels and the number of replicas do not
		// matter.
		current, err = call(ctx, e, e.api.TaskList, client.TaskListOptions{Filters: filters.Add("_up-to-date", "true")})
	}
	if errdefs.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, wrap(err, "list the tasks of service %s", service)
	}
	var tasks []Task
	for _, task := range all.Items {
		upToDate := slices.ContainsFunc(current.Items, func(other swarm.Task) bool { return other.ID == task.ID })
		tasks = append(tasks, Task{task, upToDate})
	}
	slices.SortFunc(tasks, func(a, b Task) int { return b.CreatedAt.Compare(a.CreatedAt) })
	return tasks, nil
}

// AllTasks returns the tasks of all services, also of removed services.
func (e *Engine) AllTasks(ctx context.Context) ([]swarm.Task, error) {
	all, err := call(ctx, e, e.api.TaskList, client.TaskListOptions{})
	return all.Items, wrap(err, "list the tasks of the swarm")
}
