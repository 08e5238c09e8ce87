// Package journal keeps the history of a service: its deploys, and what each of them
// replaced. It also holds the lock that lets one deploy of a service run at a time. Both
// are docker configs in the swarm, so any manager and any machine sees them.
//
// A deploy that lives keeps its lock. The swarm creates a config of a name once, so one taker
// wins. The holder moves a beat, a label of the lock, every 5 s. Whoever wants the lock looks
// once a second, and takes it after 30 looks in which the beat stood still. Looks are counted:
// no two clocks are compared, and who was asleep, or got no answer, has not looked. A lock is
// marked before it is removed, by an update that a beat in between makes fail. A process of the
// watcher's own machine is known to be gone by its start time, boot and namespaces.
//
// One that was asleep or cut off for longer is taken for dead though it lives. Each try of each
// change looks for the lock first, by its id. Only a call that is under way then still arrives:
//   - An update carries the version that was read, which a recovery moves on, or overwrites.
//   - A removal was marked in the service before; a recovery creates a marked one anew.
//   - A creation fails where there is a service. One that comes first was never proven: the next
//     deploy replaces it, or takes it over where a removal has taken the history away.
//   - A note of success fails, as a recovery claims the entry before it changes anything.
package journal

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/moby/moby/api/types/swarm"

	"goblog/deploy/stack"
)

// Labels that a deploy leaves on the service.
const (
	LabelDeploy  = "deploy.id"      // of the deploy that made the Spec
	LabelEntry   = "deploy.entry"   // number of the history's entry
	LabelVersion = "deploy.version" // for people
	LabelLeaves  = "deploy.leaves"  // of the deploy that is about to remove it
	LabelAgain   = "deploy.again"   // for a moment, where an update that is stuck is begun anew
	// LabelScripts is on services that shell scripts deployed before there was this program.
	LabelScripts        = "copyall.arguments"
	LabelScriptsVersion = "copyall.version"
)

// VersionOf is the version that a Spec was deployed as; "" where somebody else made it.
func VersionOf(spec swarm.ServiceSpec) string {
	return cmp.Or(spec.Labels[LabelVersion], spec.Labels[LabelScriptsVersion])
}

// A Snapshot is one version of a service, with all that it takes to put it back and to
// prove it: nothing of it is read from a file or the environment later.
type Snapshot struct {
	Entry   int    `json:"entry,omitempty"` // the entry that deployed it
	Version string `json:"version"`
	// Spec is what runs or is to run: as the engine gave it, changes made by hand
	// included. It names networks by id.
	Spec swarm.ServiceSpec `json:"spec"`
	// Sent is what the last deploy asked for: it names networks by name, and its update
	// order only where the file does.
	Sent *swarm.ServiceSpec `json:"sent,omitempty"`
	// Returned is what the engine made of that: with its defaults filled in.
	Returned *swarm.ServiceSpec `json:"returned,omitempty"`
	// Networks has the names of networks by id: a network that was made anew has another id.
	Networks map[string]string `json:"networks,omitempty"`
	// Made says how those of these networks that are not external were made, by name.
	Made    map[string]stack.NetworkSpec `json:"made,omitempty"`
	Verify  *stack.Verify                `json:"verify,omitempty"`
	Trial   time.Duration                `json:"trial"`
	Timeout time.Duration                `json:"timeout"`
	Keep    int                          `json:"keep"` // how many versions can be gone back to
}

// Image is what the snapshot's tasks run; "" for a service that is no container, as a plugin.
func (s *Snapshot) Image() string {
	if s.Spec.TaskTemplate.ContainerSpec == nil {
		return ""
	}
	return s.Spec.TaskTemplate.ContainerSpec.Image
}

// Outcomes of a deploy.
const (
	Running = "running" // it has not ended, or was cut off
	Done    = "done"    // its version was proven
	Failed  = "failed"  // it did not work, and what ran before was put back as far as possible
	Found   = "found"   // no deploy of this program: the service was there before
)

// An Entry is one deploy in the history of a service.
type Entry struct {
	N       int
	Outcome string
	By      string // user and host
	At      time.Time
	// Before is what ran when the deploy began; nil: nothing.
	Before *Snapshot
	// After is what the deploy was to make of it.
	After Snapshot
	// Lines are what the plan said of the changes.
	Lines []string
	// With are the services that the same deploy was for, this one included.
	With []string

	config string // id of the config that holds it
	claim  string // by whom it is to be ended; "": by its own deploy
}

// data is the part of an entry that never changes; the rest is in labels, which can.
type data struct {
	Before *Snapshot `json:"before,omitempty"`
	After  Snapshot  `json:"after"`
	Lines  []string  `json:"lines,omitempty"`
	With   []string  `json:"with,omitempty"`
}

// Labels of an entry's config.
const (
	labelN        = "deploy.entry"
	labelOutcome  = "deploy.outcome"
	labelVersion  = "deploy.version"
	labelImage    = "deploy.image"
	labelBy       = "deploy.by"
	labelAt       = "deploy.at"
	labelClaim    = "deploy.claim"    // who restores what ran before, as the deploy was cut off
	labelReturned = "deploy.returned" // what the engine made of the Spec that was sent, as JSON
)

func prefix(service string) string { return service + ".deploy." }

// encode gives the labels and the data of the config that holds an entry.
func (e *Entry) encode() (map[string]string, []byte, error) {
	text, err := json.Marshal(data{e.Before, e.After, e.Lines, e.With})
	return map[string]string{
		labelN: strconv.Itoa(e.N), labelOutcome: e.Outcome, labelVersion: e.After.Version, labelImage: e.After.Image(),
		labelBy: e.By, labelAt: e.At.UTC().Format(time.RFC3339),
	}, text, err
}

// decode reads an entry back from its config.
func decode(config swarm.Config) (*Entry, error) {
	var stored data
	labels := config.Spec.Labels
	n, err := strconv.Atoi(labels[labelN])
	if err == nil {
		err = json.Unmarshal(config.Spec.Data, &stored)
	}
	if err == nil && labels[labelReturned] != "" {
		err = json.Unmarshal([]byte(labels[labelReturned]), &stored.After.Returned)
	}
	if err != nil {
		return nil, fmt.Errorf("read entry %s of the history: %w; remove it: docker config rm %[1]s", config.Spec.Name, err)
	}
	stored.After.Entry = n
	at, _ := time.Parse(time.RFC3339, labels[labelAt]) // For people only.
	return &Entry{
		N: n, Outcome: labels[labelOutcome], By: labels[labelBy], At: at,
		Before: stored.Before, After: stored.After, Lines: stored.Lines, With: stored.With, config: config.ID,
	}, nil
}

// New tells whether the entry is not stored yet.
func (e *Entry) New() bool { return e.config == "" }

// A History is the entries of a service, the oldest first.
type History []*Entry

// Entry returns the entry of a number, or nil.
func (h History) Entry(n int) *Entry {
	for _, entry := range h {
		if entry.N == n {
			return entry
		}
	}
	return nil
}

// Next is the number of the next entry.
func (h History) Next() int {
	if len(h) == 0 {
		return 1
	}
	return h[len(h)-1].N + 1
}

// Current is what runs now, as a snapshot: the Spec from the engine, the rest from the
// entry that its label names. Where no entry is known, Sent, Returned and Verify are nil.
func (h History) Current(service *swarm.Service, networks map[string]string) *Snapshot {
	if service == nil {
		return nil
	}
	now := &Snapshot{Version: service.Spec.Labels[LabelVersion], Spec: service.Spec, Networks: map[string]string{}}
	for _, network := range service.Spec.TaskTemplate.Networks {
		now.Networks[network.Target] = cmp.Or(networks[network.Target], network.Target)
	}
	n, err := strconv.Atoi(service.Spec.Labels[LabelEntry])
	for _, entry := range h {
		// Such a service bears no label of ours.
		if err != nil && entry.Outcome == Found && (service.Spec.Labels[LabelScripts] != "" || entry.After.key() == now.key()) {
			n = entry.N
		}
	}
	if entry := h.Entry(n); entry != nil {
		now.Entry, now.Sent, now.Returned = n, entry.After.Sent, entry.After.Returned
		now.Version = entry.After.Version
		now.Made = entry.After.Made
		now.Verify, now.Trial, now.Timeout, now.Keep = entry.After.Verify, entry.After.Trial, entry.After.Timeout, entry.After.Keep
		for id, name := range entry.After.Networks { // Those that the service no longer names are in Returned still.
			if now.Networks[id] == "" {
				now.Networks[id] = name
			}
		}
	}
	return now
}

// Version is the version that entry n deployed: as it ran last, changes made by hand
// included, where a later deploy replaced it; else as it was sent. It is nil where there is no such
// entry, or where its deploy failed.
func (h History) Version(n int) *Snapshot {
	entry := h.Entry(n)
	if entry != nil && entry.Outcome != Done && entry.Outcome != Found {
		return nil
	}
	for _, later := range slices.Backward(h) {
		if later.Before != nil && later.Before.Entry == n {
			return later.Before
		}
	}
	if entry == nil {
		return nil
	}
	return &entry.After
}

// CutOff is the deploy that has not ended, or nil. Where nobody holds the lock, it was cut off.
func (h History) CutOff() *Entry {
	if len(h) == 0 || h[len(h)-1].Outcome != Running {
		return nil
	}
	return h[len(h)-1]
}

// Last is the version that ran last, as far as the history knows, or nil.
func (h History) Last() *Snapshot {
	for _, entry := range slices.Backward(h) {
		if version := h.Version(entry.N); version != nil {
			return version
		}
	}
	return nil
}

// Previous is what the current version replaced, or nil. Where the same was deployed several
// times in a row, that is what the first of these deploys replaced.
func (h History) Previous(current *Snapshot) *Snapshot {
	entry := h.Entry(current.Entry)
	for entry != nil && entry.Before != nil && entry.Before.key() == current.key() {
		if entry.Before.Entry >= entry.N {
			return nil
		}
		entry = h.Entry(entry.Before.Entry)
	}
	if entry != nil {
		return entry.Before
	}
	// The entry that tells is too old to be there still.
	for _, older := range slices.Backward(h) {
		if version := h.Version(older.N); version != nil && older.N != current.Entry && version.key() != current.key() {
			return version
		}
	}
	return nil
}

// Reachable returns the versions that can be gone back to, the youngest first: the last
// keep that differ from the current one and from each other, and in any case the one that
// rollback goes back to by itself.
func (h History) Reachable(current *Snapshot, keep int) []*Snapshot {
	var found []*Snapshot
	seen := map[string]bool{}
	if current != nil {
		seen[current.key()] = true
		if previous := h.Previous(current); previous != nil && keep > 0 {
			found = append(found, previous)
			seen[previous.key()] = true
		}
	}
	for _, entry := range slices.Backward(h) {
		version := h.Version(entry.N)
		if version == nil || (current != nil && entry.N == current.Entry) || seen[version.key()] || len(found) >= keep {
			continue
		}
		seen[version.key()] = true
		found = append(found, version)
	}
	return found
}

// Runs tells whether a service runs this version.
func (s *Snapshot) Runs(service *swarm.Service) bool {
	now := &Snapshot{Spec: service.Spec, Networks: s.Networks}
	return now.key() == s.key()
}

// key tells versions apart by what runs, but for the number of replicas, what has a name
// beside its id, and what each deploy makes anew.
func (s *Snapshot) key() string {
	spec := s.Spec
	spec.Labels = maps.Clone(spec.Labels)
	for _, own := range []string{LabelDeploy, LabelEntry, LabelVersion, LabelAgain, LabelLeaves} {
		delete(spec.Labels, own)
	}
	if len(spec.Labels) == 0 {
		spec.Labels = nil
	}
	if spec.Mode.Replicated != nil {
		spec.Mode.Replicated = &swarm.ReplicatedService{}
	}
	spec.TaskTemplate.ForceUpdate = 0
	spec.TaskTemplate.Networks = slices.Clone(spec.TaskTemplate.Networks)
	for i, network := range spec.TaskTemplate.Networks {
		spec.TaskTemplate.Networks[i].Target = cmp.Or(s.Networks[network.Target], network.Target)
	}
	container := swarm.ContainerSpec{}
	if spec.TaskTemplate.ContainerSpec != nil {
		container = *spec.TaskTemplate.ContainerSpec
	}
	container.Secrets, container.Configs = slices.Clone(container.Secrets), slices.Clone(container.Configs)
	for i, one := range container.Secrets {
		named := *one
		named.SecretID = ""
		container.Secrets[i] = &named
	}
	for i, one := range container.Configs {
		named := *one
		named.ConfigID = ""
		container.Configs[i] = &named
	}
	spec.TaskTemplate.ContainerSpec = &container
	text, err := json.Marshal(spec)
	if err != nil {
		return s.Version
	}
	return string(text)
}
