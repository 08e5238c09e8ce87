// Package journal keeps the history of a service: its deploys, and what each of them
// replaced. It also holds the lock that lets one deploy of a service run at a time. Both
// are docker configs in the swarm, so any manager and any machine sees them.
//
// A deploy that is alive keeps its lock. The swarm creates a config of a name only once, so
// one taker wins. The holder changes a label of the lock, the beat, every 5 s. A process that
// wants the lock looks once a second, and takes the lock after 30 looks without a new beat.
// Looks are counted: no two clocks are compared, and a process that was asleep or got no answer
// has not looked. Before the lock is removed, an update marks it: a beat in between makes this
// update fail. If the holder ran on the same machine, its start time, boot and namespaces show
// at once that it has ended.
//
// A holder that was asleep or cut off for longer loses its lock although it is alive. Before
// each try of each change, it looks for its lock by id. Only a call that was sent before that
// look can still arrive:
//   - An update names the version that it read. A recovery changes that version, or overwrites.
//   - A removal was marked in the service before it. A recovery creates a marked service again.
//   - A creation fails if the service exists. If it comes first, its service was never proven: the
//     next deploy replaces it, or takes it over if its history was removed.
//   - A removal of a network, secret, config or volume fails while a service uses it. If it
//     comes while that service is replaced, the deploy goes back; a volume loses its data.
//   - A note of success fails, because a recovery claims the entry before it changes anything.
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
	LabelPlaced  = "deploy.placed"  // for a moment, while the Spec leaves out tasks that have no node
	// LabelScripts is on services that the shell scripts before this program deployed.
	LabelScripts        = "copyall.arguments"
	LabelScriptsVersion = "copyall.version"
)

// VersionOf is the version that a Spec was deployed as; "" if somebody else made it.
func VersionOf(spec swarm.ServiceSpec) string {
	return cmp.Or(spec.Labels[LabelVersion], spec.Labels[LabelScriptsVersion])
}

// A Snapshot is one version of a service, with everything that is needed to restore it and to
// prove it. Nothing is read from a file or the environment later.
type Snapshot struct {
	Entry   int    `json:"entry,omitempty"` // the entry that deployed it
	Version string `json:"version"`
	// Spec is the Spec that runs or will run: as the engine gave it, with changes made by hand.
	// It names networks by id.
	Spec swarm.ServiceSpec `json:"spec"`
	// Sent is the Spec that the last deploy asked for. It names networks by name, and has an
	// update order only if the file has one.
	Sent *swarm.ServiceSpec `json:"sent,omitempty"`
	// Returned is Sent as the engine has stored it: with the engine's defaults filled in.
	Returned *swarm.ServiceSpec `json:"returned,omitempty"`
	// Networks has the names of networks by id: a network that was created again has another id.
	Networks map[string]string `json:"networks,omitempty"`
	// Made says how the networks that are not external were created, by name.
	Made    map[string]stack.NetworkSpec `json:"made,omitempty"`
	Verify  *stack.Verify                `json:"verify,omitempty"`
	Trial   time.Duration                `json:"trial"`
	Timeout time.Duration                `json:"timeout"`
	Keep    int                          `json:"keep"` // number of versions that a rollback can go back to
}

// Image is the image of the snapshot's tasks; "" for a service without containers, such as a
// plugin.
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
	Failed  = "failed"  // it did not work, and the version that ran before was restored as far as possible
	Found   = "found"   // no deploy of this program: the service was there before
)

// An Entry is one deploy in the history of a service.
type Entry struct {
	N       int
	Outcome string
	By      string // user and host
	At      time.Time
	// Before is the version that ran when the deploy began; nil: none.
	Before *Snapshot
	// After is the version that the deploy wanted to run.
	After Snapshot
	// Lines are the changes that the plan named.
	Lines []string
	// With are the services of the same deploy, this one included.
	With []string

	config string // id of the config that holds it
	claim  string // the deploy that has to end the entry; "": the deploy that made it
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
	labelClaim    = "deploy.claim"    // the deploy that restores the version before, after this one was cut off
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

// Current is the running version as a snapshot: the Spec comes from the engine, without the
// marks of a dead deploy, and all else from the entry that its label names. If no entry is known, Sent, Returned and Verify are nil.
func (h History) Current(service *swarm.Service, networks map[string]string) *Snapshot {
	if service == nil {
		return nil
	}
	now := &Snapshot{Version: service.Spec.Labels[LabelVersion], Spec: service.Spec, Networks: map[string]string{}}
	now.Spec.Labels = maps.Clone(now.Spec.Labels)
	for _, brief := range []string{LabelPlaced, LabelLeaves} { // A service that is restored does not leave.
		delete(now.Spec.Labels, brief)
	}
	for _, network := range service.Spec.TaskTemplate.Networks {
		now.Networks[network.Target] = cmp.Or(networks[network.Target], network.Target)
	}
	n, err := strconv.Atoi(service.Spec.Labels[LabelEntry])
	for _, entry := range h {
		// Such a service has no label of this program.
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

// Version is the version that entry n deployed. If a later deploy replaced it, this is the
// version as it ran last, with changes made by hand; otherwise it is the version as it was
// sent. It is nil if there is no such entry, or if its deploy failed.
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

// CutOff is the deploy that has not ended, or nil. If nobody holds the lock, that deploy was
// cut off.
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

// Previous is the version that the current version replaced, or nil. If the same version was
// deployed several times in a row, it is the version that the first of these deploys
// replaced.
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
	// The entry with the answer was trimmed: it was too old.
	for _, older := range slices.Backward(h) {
		if version := h.Version(older.N); version != nil && older.N != current.Entry && version.key() != current.key() {
			return version
		}
	}
	return nil
}

// Reachable returns the versions that a rollback can go back to, the youngest first: the last
// keep versions that differ from the current one and from each other. The version that a
// rollback without a number goes back to is always among them.
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

// key is equal for equal versions. It ignores the number of replicas, the ids of things that
// have a name too, and the labels that each deploy sets.
func (s *Snapshot) key() string {
	spec := s.Spec
	spec.Labels = maps.Clone(spec.Labels)
	for _, own := range []string{LabelDeploy, LabelEntry, LabelVersion, LabelPlaced, LabelLeaves} {
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
