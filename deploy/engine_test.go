package main

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/moby/moby/api/types/swarm"
	"github.com/moby/moby/api/types/system"
	. "github.com/smartystreets/goconvey/convey"
)

// standIn is an engine that answers only with its info. It stands for kinds of engine that no
// test machine has.
func standIn(t *testing.T, version string, info system.Info) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("API-Version", version)
		switch {
		case strings.HasSuffix(r.URL.Path, "/info"):
			json.NewEncoder(w).Encode(info)
		case r.URL.Path != "/_ping":
			t.Errorf("the engine was asked for %s %s", r.Method, r.URL.Path)
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(server.Close)
	t.Setenv("DOCKER_HOST", "tcp://"+server.Listener.Addr().String())
}

func TestEnginesThatCannotBeUsed(t *testing.T) {
	in := func(state swarm.LocalNodeState, manager bool) system.Info {
		return system.Info{Swarm: swarm.Info{LocalNodeState: state, ControlAvailable: manager, NodeID: "n1"}}
	}
	rootless := in(swarm.LocalNodeStateActive, true)
	rootless.SecurityOptions = []string{"name=seccomp,profile=builtin", "name=rootless"}
	for what, one := range map[string]struct {
		version      string
		info         system.Info
		want, advice string
	}{
		"too old":                 {"1.40", in(swarm.LocalNodeStateActive, true), "is too old: its API is 1.40, and 1.41 is needed", "docker 20.10 or newer"},
		"far too old":             {"1.24", in(swarm.LocalNodeStateActive, true), "API version 1.24 is not supported", "docker 20.10 or newer"},
		"rootless":                {"1.41", rootless, "this engine runs rootless", "an engine that runs as root"},
		"a worker":                {"1.41", in(swarm.LocalNodeStateActive, false), "this engine is a worker of its swarm", "to a manager"},
		"locked":                  {"1.41", in(swarm.LocalNodeStateLocked, false), "this engine's part in its swarm is locked", "docker swarm unlock"},
		"in trouble with a swarm": {"1.41", in(swarm.LocalNodeStateError, false), "this engine's part in its swarm is error", "docker info"},
	} {
		for _, command := range []string{"up", "up --plan", "rollback web", "status", "view", "remove"} {
			Convey("With an engine that is "+what+", deploy "+command+" ends with exit code 1, the reason and what to do, and changes nothing", t, func() {
				stage(t)
				standIn(t, one.version, one.info)
				r := deploy(context.Background(), strings.Fields(command)...)
				So(r.exit, ShouldEqual, exitFailed)
				So(r.stderr, ShouldContainSubstring, one.want)
				So(r.stderr, ShouldContainSubstring, one.advice)
				So(r.stderr, ShouldEndWith, "nothing was changed\n")
			})
		}
	}
	Convey("Over ssh, a host whose key is not known is refused, with what to do", t, func() {
		dir := stage(t)
		// Not every machine has ssh, and there is no host to connect to. This ssh prints the words
		// of the real one.
		put(t, filepath.Join(dir, "ssh"), "#!/bin/sh\nhead -c 1 >/dev/null\necho 'Host key verification failed.' >&2\nexit 255\n")
		So(os.Chmod(filepath.Join(dir, "ssh"), 0o755), ShouldBeNil)
		t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
		t.Setenv("DOCKER_HOST", "ssh://nobody@192.0.2.1")
		r := deploy(context.Background(), "status")
		So(r.exit, ShouldEqual, exitFailed)
		So(r.stderr, ShouldContainSubstring, "Host key verification failed")
		So(r.stderr, ShouldContainSubstring, "check the key that it shows")
		So(r.stderr, ShouldEndWith, "nothing was changed\n")
	})
	Convey("The advice for a socket that this user may not open is to be allowed to", t, func() {
		So(whatToDo(os.ErrPermission), ShouldContainSubstring, "join the group docker")
	})
}
