package swarm

import (
	"context"

	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/client"
)

// Changes calls changed whenever nodes, services, networks or configs of the swarm change. It
// returns when the engine sends no more events. Tasks have no events.
func (e *Engine) Changes(ctx context.Context, changed func()) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	filters := make(client.Filters)
	for _, kind := range []events.Type{events.NodeEventType, events.ServiceEventType, events.NetworkEventType, events.ConfigEventType} {
		filters.Add("type", string(kind))
	}
	told := e.api.Events(ctx, client.EventsListOptions{Filters: filters})
	for {
		select {
		case <-told.Messages:
			changed()
		case err := <-told.Err:
			return wrap(err, "follow the events of the swarm")
		}
	}
}
