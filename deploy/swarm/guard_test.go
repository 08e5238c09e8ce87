package swarm

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/moby/moby/api/types/swarm"
	"github.com/moby/moby/client"
	. "github.com/smartystreets/goconvey/convey"

	"goblog/deploy/stack"
)

// pretending is an engine that answers as the test says: these tests need answers that a real
// engine does not give on demand.
func pretending(t *testing.T, answer http.HandlerFunc) *Engine {
	var one sync.Mutex // Requests come one after another, but perhaps on several connections.
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		one.Lock()
		defer one.Unlock()
		answer(w, r)
	}))
	t.Cleanup(server.Close)
	api, err := client.New(client.WithHost("tcp://"+server.Listener.Addr().String()), client.WithAPIVersion("1.41"))
	if err != nil {
		t.Fatal(err)
	}
	return &Engine{api: api, Host: server.URL}
}

func TestGuard(t *testing.T) {
	spec := swarm.ServiceSpec{TaskTemplate: swarm.TaskSpec{ContainerSpec: &swarm.ContainerSpec{}}}
	ignored := func(_ any, err error) error { return err }
	for name, change := range map[string]func(context.Context, *Engine) error{
		"a service's creation": func(ctx context.Context, e *Engine) error { return ignored(e.Create(ctx, spec, "own")) },
		"a service's update": func(ctx context.Context, e *Engine) error {
			return e.Update(ctx, &swarm.Service{ID: "one"}, spec, "own", true)
		},
		"a service's removal":  func(ctx context.Context, e *Engine) error { return e.Remove(ctx, "one") },
		"a config's creation":  func(ctx context.Context, e *Engine) error { return ignored(e.CreateConfig(ctx, "one", nil, nil)) },
		"a config's labels":    func(ctx context.Context, e *Engine) error { return e.LabelConfig(ctx, "one", nil, nil) },
		"a config's removal":   func(ctx context.Context, e *Engine) error { return e.RemoveConfig(ctx, "one") },
		"a network's creation": func(ctx context.Context, e *Engine) error { return e.CreateNetwork(ctx, "one", stack.NetworkSpec{}) },
		"a network's removal":  func(ctx context.Context, e *Engine) error { return e.RemoveNetwork(ctx, "one") },
		"a secret's creation": func(ctx context.Context, e *Engine) error {
			return e.CreateContent(ctx, stack.Content{Kind: stack.Secret})
		},
		"a file's creation": func(ctx context.Context, e *Engine) error {
			return e.CreateContent(ctx, stack.Content{Kind: stack.Config})
		},
		"a secret's removal": func(ctx context.Context, e *Engine) error {
			return e.RemoveContent(ctx, Content{Kind: stack.Secret, ID: "one"})
		},
		"a file's removal": func(ctx context.Context, e *Engine) error {
			return e.RemoveContent(ctx, Content{Kind: stack.Config, ID: "one"})
		},
		"a volume's removal":     func(ctx context.Context, e *Engine) error { return ignored(e.RemoveVolume(ctx, "one")) },
		"an image's tag":         func(ctx context.Context, e *Engine) error { return e.TagImage(ctx, "one", "two") },
		"a tag's removal":        func(ctx context.Context, e *Engine) error { return ignored(e.RemoveTag(ctx, "one")) },
		"the end of a container": func(ctx context.Context, e *Engine) error { return e.KillContainer(ctx, "one") },
		"a container's removal":  func(ctx context.Context, e *Engine) error { return e.RemoveContainer(ctx, "one") },
	} {
		Convey("Where its guard refuses, this does not reach the engine: "+name, t, func() {
			var changes atomic.Int32
			e := pretending(t, func(w http.ResponseWriter, r *http.Request) {
				if r.Method != http.MethodGet {
					changes.Add(1)
				}
				_, _ = w.Write([]byte("{}"))
			})
			refused := errors.New("refused")
			err := change(Guarded(context.Background(), func(context.Context) error { return refused }), e)
			So(err, ShouldWrap, refused)
			So(changes.Load(), ShouldEqual, 0)
			_ = change(Guarded(context.Background(), func(context.Context) error { return nil }), e)
			So(changes.Load(), ShouldEqual, 1)
		})
	}
	Convey("A change that is sent again asks again", t, func() {
		var changes atomic.Int32
		refused := errors.New("refused")
		e := pretending(t, func(http.ResponseWriter, *http.Request) {
			changes.Add(1)
			panic(http.ErrAbortHandler) // The connection breaks.
		})
		err := e.RemoveConfig(Guarded(Patient(context.Background()), func(context.Context) error {
			if changes.Load() > 0 {
				return refused
			}
			return nil
		}), "one")
		So(err, ShouldWrap, refused)
		So(changes.Load(), ShouldEqual, 1)
	})
}

func TestCreationThatArrivesTwice(t *testing.T) {
	for _, it := range []struct {
		whose string
		first bool // whether a first one has arrived
	}{{"its own", true}, {"somebody else's", false}} {
		Convey("A creation of a config is told that its name is taken: by "+it.whose, t, func() {
			var sent swarm.ConfigSpec
			e := pretending(t, func(w http.ResponseWriter, r *http.Request) {
				there := swarm.Config{ID: "theirs", Spec: swarm.ConfigSpec{Annotations: swarm.Annotations{Name: "one"}}}
				if r.Method == http.MethodPost {
					w.WriteHeader(http.StatusConflict)
					_ = json.NewDecoder(r.Body).Decode(&sent)
					return
				}
				if it.first {
					there = swarm.Config{ID: "ours", Spec: sent}
				}
				_ = json.NewEncoder(w).Encode([]swarm.Config{there})
			})
			id, err := e.CreateConfig(context.Background(), "one", nil, nil)
			if it.first {
				So(err, ShouldBeNil)
				So(id, ShouldEqual, "ours")
				return
			}
			So(IsTaken(err), ShouldBeTrue)
			So(strings.HasPrefix(err.Error(), "create config one: "), ShouldBeTrue)
		})
	}
}
