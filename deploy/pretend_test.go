package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/moby/moby/api/types/image"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/api/types/swarm"
	"github.com/moby/moby/api/types/system"
)

// A pretend is a swarm of one node, as a deploy sees it. With a real engine, a test cannot
// act at one certain call. A pretend checks versions as the engine does. Each image runs,
// except the bad ones.
type pretend struct {
	sync.Mutex
	services map[string]*swarm.Service // by id
	configs  map[string]*swarm.Config
	made     int
	version  uint64
	log      []string // changes of services
	// before is called for each call, without the lock, before it has its effect.
	before func(method, path string)
	bad    func(swarm.ServiceSpec) bool
	// tasks are those of a service, instead of one that runs; with upToDate, those of its present
	// Spec.
	tasks    func(one *swarm.Service, upToDate bool) []swarm.Task
	dead     bool // there is another node, which is down
	registry bool // the images have a registry
	drop     bool // the call that the hook was for gets lost, on its way there
	keep     bool // calls that change services get lost as well, and arrive later: see deliver
	kept     []*http.Request

	networks map[string]network.Summary // by id
	images   []string                   // the names of images that a list shows; all others are there, too
}

func pretendSwarm(t *testing.T) *pretend {
	p := &pretend{services: map[string]*swarm.Service{}, configs: map[string]*swarm.Config{}, networks: map[string]network.Summary{}}
	server := httptest.NewServer(p)
	t.Cleanup(server.Close)
	dir := stage(t)
	put(t, filepath.Join(dir, "stack.yml"), `version: "3.9"
services:
  shop:
    image: example/shop:${TAG}
    networks: []
    x-deploy: {trial: 0s, timeout: 30s}
  web:
    image: example/web:${TAG}
    networks: []
    depends_on: [shop]
    x-deploy: {trial: 0s, timeout: 30s}
`)
	t.Setenv("DOCKER_HOST", "tcp://"+server.Listener.Addr().String())
	return p
}

// webAlone makes a stack file with one service.
func webAlone(t *testing.T, trial, timeout string) {
	webOn(t, "[]", "    x-deploy: {trial: "+trial+", timeout: "+timeout+"}\n")
}

// webOn writes a stack file of the service web alone, on these networks. rest is all that
// follows.
func webOn(t *testing.T, networks, rest string) {
	put(t, os.Getenv("STACK_FILE"), `version: "3.9"
services:
  web:
    image: example/web:${TAG}
    networks: `+networks+"\n"+rest)
}

// onShared follows in a stack file of a service on the network shared.
const onShared = `    x-deploy: {trial: 0s, timeout: 30s}
networks:
  shared: {}
`

// hook runs a function once, before the first call that matches.
func (p *pretend) hook(method, part string, do func()) {
	var once sync.Once
	p.Lock()
	defer p.Unlock()
	p.before = func(m, path string) {
		if m == method && strings.Contains(path, part) {
			once.Do(func() {
				p.Lock()
				p.before = nil
				p.Unlock()
				do()
			})
		}
	}
}

// lose lets the call that the hook is for get lost.
func (p *pretend) lose() {
	p.Lock()
	defer p.Unlock()
	p.drop = true
}

// robbed removes locks, as after 30 looks without a new beat.
func (p *pretend) robbed(services ...string) {
	p.Lock()
	defer p.Unlock()
	for id, one := range p.configs {
		for _, name := range services {
			if one.Spec.Name == name+".deploy.lock" {
				delete(p.configs, id)
			}
		}
	}
}

func (p *pretend) image(service string) string {
	p.Lock()
	defer p.Unlock()
	for _, one := range p.services {
		if one.Spec.Name == service {
			return one.Spec.TaskTemplate.ContainerSpec.Image
		}
	}
	return "none"
}

// deliver lets the kept calls arrive.
func (p *pretend) deliver() {
	for _, one := range p.kept {
		p.ServeHTTP(httptest.NewRecorder(), one)
	}
}

// holds lets somebody hold the lock of a service.
func (p *pretend) holds(service string) {
	p.config(service+".deploy.lock", map[string]string{"deploy.holder": "eve on earth", "deploy.beat": "0"})
}

// lives lets somebody hold the lock of a service with a beat, until it is freed.
func (p *pretend) lives(service string) (leave func()) {
	p.holds(service)
	stop := make(chan bool)
	go func() {
		for n := 1; ; n++ {
			select {
			case <-stop:
				return
			case <-time.After(300 * time.Millisecond):
				p.config(service+".deploy.lock", map[string]string{"deploy.holder": "eve on earth", "deploy.beat": strconv.Itoa(n)})
			}
		}
	}()
	return func() { close(stop) }
}

func (p *pretend) config(name string, labels map[string]string) {
	p.Lock()
	defer p.Unlock()
	p.configs[name] = &swarm.Config{ID: name, Spec: swarm.ConfigSpec{Annotations: swarm.Annotations{Name: name, Labels: labels}, Data: []byte("{}")}}
}

// make makes a service by hand.
func (p *pretend) make(id, name, image string, labels map[string]string) {
	p.Lock()
	defer p.Unlock()
	p.version++
	one := uint64(1)
	p.services[id] = &swarm.Service{ID: id, Meta: swarm.Meta{Version: swarm.Version{Index: p.version}}, Spec: swarm.ServiceSpec{
		Annotations:  swarm.Annotations{Name: name, Labels: labels},
		TaskTemplate: swarm.TaskSpec{ContainerSpec: &swarm.ContainerSpec{Image: image}},
		Mode:         swarm.ServiceMode{Replicated: &swarm.ReplicatedService{Replicas: &one}},
	}}
}

// becomes waits until a service runs an image of this version.
func (p *pretend) becomes(t *testing.T, service, version string) {
	for began := time.Now(); !strings.Contains(p.image(service), version); time.Sleep(5 * time.Millisecond) {
		if time.Since(began) > 20*time.Second {
			t.Errorf("%s runs %s, not %s", service, p.image(service), version)
			return
		}
	}
}

func (p *pretend) outcomes(service string) string {
	p.Lock()
	defer p.Unlock()
	var all []string
	for _, one := range p.configs {
		if strings.HasPrefix(one.Spec.Name, service+".deploy.") && one.Spec.Labels["deploy.entry"] != "" {
			all = append(all, one.Spec.Labels["deploy.entry"]+" "+one.Spec.Labels["deploy.outcome"])
		}
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}

func (p *pretend) service(ref string) *swarm.Service {
	for id, one := range p.services {
		if id == ref || one.Spec.Name == ref {
			return one
		}
	}
	return nil
}

func (p *pretend) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := r.URL.Path
	if strings.HasPrefix(path, "/v1.") {
		path = path[strings.Index(path[1:], "/")+1:]
	}
	p.Lock()
	before := p.before
	for id, one := range p.configs {
		if r.Method == "POST" && strings.HasSuffix(one.Spec.Name, ".deploy.lock") && strings.HasPrefix(path, "/configs/"+id+"/") {
			before = nil // A beat comes at any time.
		}
	}
	p.Unlock()
	if before != nil {
		before(r.Method, path)
	}
	p.Lock()
	drop := p.drop
	if p.keep && r.Method == "POST" && strings.HasPrefix(path, "/services/") {
		body, _ := io.ReadAll(r.Body)
		p.kept = append(p.kept, httptest.NewRequest(r.Method, r.URL.String(), bytes.NewReader(body)))
		drop = true
	}
	p.drop = false
	p.Unlock()
	if drop {
		panic(http.ErrAbortHandler)
	}
	p.Lock()
	defer p.Unlock()
	w.Header().Set("API-Version", "1.41")
	w.Header().Set("Content-Type", "application/json")
	say := func(what any) { json.NewEncoder(w).Encode(what) }
	fail := func(code int, text string) {
		w.WriteHeader(code)
		say(map[string]string{"message": text})
	}
	parts := strings.Split(strings.Trim(path, "/"), "/")
	next := func(kind string) string { p.made++; return fmt.Sprintf("%s%03d", kind, p.made) }
	version := func() swarm.Meta { p.version++; return swarm.Meta{Version: swarm.Version{Index: p.version}} }
	sent, _ := strconv.ParseUint(r.URL.Query().Get("version"), 10, 64)
	switch {
	case parts[0] == "_ping":
	case parts[0] == "info":
		say(system.Info{ID: "engine", Swarm: swarm.Info{LocalNodeState: swarm.LocalNodeStateActive, ControlAvailable: true, NodeID: "n1", NodeAddr: "127.0.0.1"}})
	case parts[0] == "nodes":
		node := swarm.Node{ID: "n1"}
		node.Spec.Availability, node.Status.State = swarm.NodeAvailabilityActive, swarm.NodeStateReady
		node.Description.Hostname, node.Description.Platform = "node1", swarm.Platform{OS: "linux", Architecture: "x86_64"}
		nodes := []swarm.Node{node}
		if p.dead {
			node.ID, node.Status.State, node.Description.Hostname = "n2", swarm.NodeStateDown, "node2"
			nodes = append(nodes, node)
		}
		say(nodes)
	case parts[0] == "networks" && r.Method == "DELETE":
		delete(p.networks, parts[1])
	case path == "/networks/create":
		var made network.Network
		json.NewDecoder(r.Body).Decode(&made)
		made.ID = next("net")
		p.networks[made.ID] = network.Summary{Network: made}
		say(map[string]string{"Id": made.ID})
	case parts[0] == "networks":
		say(slices.Collect(maps.Values(p.networks)))
	case parts[0] == "secrets", parts[0] == "containers" && r.Method == "GET":
		say([]any{})
	case parts[0] == "distribution" && p.registry:
		digest := sha256.Sum256([]byte(path))
		say(map[string]any{"Descriptor": map[string]any{"digest": fmt.Sprintf("sha256:%x", digest)}, "Platforms": []any{map[string]any{"os": "linux", "architecture": "amd64"}}})
	case parts[0] == "distribution":
		fail(404, "no registry")
	case path == "/images/json":
		all := []image.Summary{}
		for _, name := range p.images {
			all = append(all, image.Summary{ID: "sha256:" + name, RepoTags: []string{name}})
		}
		say(all)
	case parts[0] == "images" && r.Method == "DELETE":
		name := strings.Join(parts[1:], "/")
		p.images = slices.DeleteFunc(p.images, func(one string) bool { return one == name })
		say([]image.DeleteResponse{{Untagged: name}})
	case parts[0] == "images" && len(parts) > 2:
		name := strings.Join(parts[1:len(parts)-1], "/")
		id := name
		if !strings.HasPrefix(name, "sha256:") {
			id = "sha256:" + strings.Repeat("0", 40) + fmt.Sprintf("%-24s", strings.NewReplacer("/", "-", ":", "-").Replace(name))
			id = strings.ReplaceAll(id, " ", "0")
		}
		var digests []string
		if p.registry {
			digests = []string{"example/web@sha256:" + strings.Repeat("0", 64)}
		}
		say(map[string]any{"Id": id, "RepoDigests": digests, "Os": "linux", "Architecture": "amd64", "Config": map[string]any{"Healthcheck": map[string]any{"Test": []string{"CMD", "x"}}}})
	case parts[0] == "tasks":
		var filters map[string]map[string]bool
		json.Unmarshal([]byte(r.URL.Query().Get("filters")), &filters)
		tasks := []swarm.Task{}
		for id, one := range p.services {
			if wanted := filters["service"]; len(wanted) > 0 && !wanted[id] && !wanted[one.Spec.Name] {
				continue
			}
			if p.tasks != nil {
				tasks = append(tasks, p.tasks(one, len(filters["_up-to-date"]) > 0)...)
				continue
			}
			task := swarm.Task{ID: fmt.Sprintf("%s-%d", id, one.Spec.TaskTemplate.ForceUpdate), ServiceID: id, NodeID: "n1", Slot: 1, DesiredState: swarm.TaskStateRunning}
			task.ID += one.Spec.TaskTemplate.ContainerSpec.Image
			task.Status.State = swarm.TaskStateRunning
			if p.bad != nil && p.bad(one.Spec) {
				task.Status.State, task.Status.Err = swarm.TaskStateFailed, "task: non-zero exit (3)"
				for _, try := range []string{"a", "b"} {
					other := task
					other.ID += try
					tasks = append(tasks, other)
				}
			}
			tasks = append(tasks, task)
		}
		say(tasks)
	case path == "/services":
		all := []swarm.Service{}
		for _, one := range p.services {
			all = append(all, *one)
		}
		say(all)
	case path == "/services/create":
		var spec swarm.ServiceSpec
		json.NewDecoder(r.Body).Decode(&spec)
		if p.service(spec.Name) != nil {
			fail(409, "rpc error: code = AlreadyExists desc = name conflicts with an existing object: service "+spec.Name+" already exists")
			return
		}
		id := next("svc")
		p.services[id] = &swarm.Service{ID: id, Meta: version(), Spec: spec}
		p.log = append(p.log, "create "+id+" "+spec.TaskTemplate.ContainerSpec.Image)
		w.WriteHeader(201)
		say(map[string]string{"ID": id})
	case parts[0] == "services":
		one := p.service(parts[1])
		if one == nil {
			fail(404, "service "+parts[1]+" not found")
			return
		}
		switch {
		case r.Method == "DELETE":
			delete(p.services, one.ID)
			p.log = append(p.log, "remove "+one.ID)
		case len(parts) == 3:
			if sent != one.Version.Index {
				fail(500, "rpc error: code = Unknown desc = update out of sequence")
				return
			}
			changed := *one
			changed.Meta, changed.UpdateStatus = version(), &swarm.UpdateStatus{State: swarm.UpdateStateCompleted}
			changed.Spec = swarm.ServiceSpec{}
			json.NewDecoder(r.Body).Decode(&changed.Spec)
			p.services[one.ID] = &changed
			p.log = append(p.log, "update "+one.ID+" "+changed.Spec.TaskTemplate.ContainerSpec.Image)
			say(map[string]any{})
		default:
			say(one)
		}
	case path == "/configs":
		all := []swarm.Config{}
		for _, one := range p.configs {
			all = append(all, *one)
		}
		say(all)
	case path == "/configs/create":
		var spec swarm.ConfigSpec
		json.NewDecoder(r.Body).Decode(&spec)
		for _, one := range p.configs {
			if one.Spec.Name == spec.Name {
				fail(409, "config "+spec.Name+" already exists")
				return
			}
		}
		id := next("cfg")
		p.configs[id] = &swarm.Config{ID: id, Meta: version(), Spec: spec}
		w.WriteHeader(201)
		say(map[string]string{"ID": id})
	case parts[0] == "configs":
		one := p.configs[parts[1]]
		if one == nil {
			fail(404, "config "+parts[1]+" not found")
			return
		}
		switch {
		case r.Method == "DELETE":
			delete(p.configs, one.ID)
		case len(parts) == 3:
			if sent != one.Version.Index {
				fail(500, "rpc error: code = Unknown desc = update out of sequence")
				return
			}
			changed := *one
			changed.Meta, changed.Spec = version(), swarm.ConfigSpec{}
			json.NewDecoder(r.Body).Decode(&changed.Spec)
			p.configs[one.ID] = &changed
		default:
			say(one)
		}
	default:
		fail(404, "page not found: "+r.Method+" "+path)
	}
}
