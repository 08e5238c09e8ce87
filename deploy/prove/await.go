package prove

import (
	"cmp"
	"context"
	"time"

	"github.com/moby/moby/api/types/swarm"

	"goblog/deploy/plan"
	"goblog/deploy/progress"
	"goblog/deploy/stack"
	engine "goblog/deploy/swarm"
)

// look is the time between two looks at the tasks. It is short because the engine soon
// forgets tasks.
const look = 100 * time.Millisecond

// patience is how long a healthy service may give a wrong answer.
const patience = 10 * time.Second

// A Failure says why a service does not work.
type Failure struct {
	Reason string
	Lines  []string // the evidence, for people
	// Healthy tells that all tasks run, but the answer is not right.
	Healthy bool
	// Down tells that a task waits for a node that is down.
	Down bool
	// Late tells that time was up: with more time, the service might have worked.
	Late bool
}

func (f *Failure) Error() string { return f.Reason }

// Await waits until a service has reached its goal and each of its URLs answers. It returns
// these URLs. ctx bounds the wait. An error is a Failure, an error of the engine, or
// context.Canceled.
func Await(ctx context.Context, e *engine.Engine, goal Goal, verify *stack.Verify, addresses Addresses, hosts map[string]string, out *progress.Printer) ([]string, error) {
	defer out.Rest()
	watch := NewWatch(goal, time.Now())
	var url string
	var answer Answer
	var ingress bool
	var wrong time.Time    // since when the answer is wrong
	var seen []engine.Task // at the last look
	for {
		service, tasks, err := state(ctx, e, goal.Service)
		if ctx.Err() == context.DeadlineExceeded && url != "" {
			return nil, answerFailure(goal.Service, url, answer, verify, ingress)
		}
		if err != nil {
			return nil, watch.timeout(ctx, e, err, hosts, seen)
		}
		seen = tasks
		if watch.Down, err = down(ctx, e, service, tasks); err != nil {
			return nil, watch.timeout(ctx, e, err, hosts, seen)
		}
		verdict := watch.Look(service, tasks, hosts, time.Now())
		out.Tasks(watch.Tasks)
		switch verdict {
		case Bad:
			return nil, watch.failure(ctx, e, tasks, hosts)
		case Well:
			url = ""
			urls := URLs(service.Spec, tasks, verify, addresses)
			if none(service) {
				urls = nil
			}
			for _, one := range urls {
				if answer = Ask(ctx, one, verify); !answer.Right {
					url, ingress = one, service.Spec.EndpointSpec != nil && len(service.Spec.EndpointSpec.Ports) > 0 &&
						service.Spec.EndpointSpec.Ports[0].PublishMode != swarm.PortConfigPublishModeHost
					break
				}
			}
			if url == "" || answer.Silent {
				wrong = time.Time{}
			} else if wrong.IsZero() {
				wrong = time.Now()
			} else if time.Since(wrong) > patience {
				return nil, answerFailure(goal.Service, url, answer, verify, ingress)
			}
			if url == "" && (verify == nil || len(urls) > 0 || none(service)) {
				out.Rest() // The tasks are ready: their lines stay above.
				for _, one := range urls {
					out.Answers(goal.Service, one)
				}
				return urls, nil
			}
		case Wait:
			url = ""
		}
		select {
		case <-ctx.Done(): // The next look fails, and ends the wait.
		case <-time.After(look):
		}
	}
}

// none tells whether a service should have no tasks: then there is no answer.
func none(service *swarm.Service) bool {
	replicas, _ := engine.Replicas(service.Spec)
	return replicas == 0
}

func answerFailure(service, url string, answer Answer, verify *stack.Verify, ingress bool) *Failure {
	lines := ExplainAnswer(service, url, answer, verify, ingress)
	return &Failure{Reason: lines[0], Lines: lines[1:], Healthy: true}
}

func state(ctx context.Context, e *engine.Engine, name string) (*swarm.Service, []engine.Task, error) {
	service, err := e.Service(ctx, name)
	if err != nil || service == nil {
		return nil, nil, err
	}
	tasks, err := e.Tasks(ctx, service.ID)
	return service, tasks, err
}

// down are the nodes that are down and would run tasks of a service. It is empty if no task
// lacks a node.
func down(ctx context.Context, e *engine.Engine, service *swarm.Service, tasks []engine.Task) ([]swarm.Node, error) {
	if service == nil || none(service) || !Lack(tasks) {
		return nil, nil
	}
	nodes, err := e.Nodes(ctx)
	return plan.Down(service.Spec, nodes), err
}

// failure explains a bad verdict by the task that failed last.
func (w *Watch) failure(ctx context.Context, e *engine.Engine, tasks []engine.Task, hosts map[string]string) *Failure {
	f := &Failure{Reason: w.Reason, Down: len(w.Down) > 0}
	task := w.Failed
	for i := range tasks {
		if task == nil && tasks[i].UpToDate && tasks[i].Status.State != swarm.TaskStateRunning {
			task = &tasks[i]
		}
	}
	if task != nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		f.Lines = Explain(ctx, e, *task, w.goal.Service, hosts)
	}
	return f
}

// timeout is the end of a wait: time is up, or somebody interrupted, or the engine fails.
func (w *Watch) timeout(ctx context.Context, e *engine.Engine, err error, hosts map[string]string, seen []engine.Task) error {
	switch {
	case ctx.Err() == context.Canceled:
		return context.Canceled
	case ctx.Err() == nil:
		return err
	}
	f := w.failure(ctx, e, seen, hosts)
	f.Late = true
	f.Reason = "time is up: " + cmp.Or(w.Reason, "the swarm does not answer")
	return f
}
