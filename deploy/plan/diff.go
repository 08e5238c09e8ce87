package plan

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/docker/go-units"
	"github.com/moby/moby/api/types/swarm"

	"goblog/deploy/journal"
)

// A Line is one change by a deploy, or one change that somebody made by hand.
type Line struct {
	Key       string // in the words of the stack file, if it has this key: deploy.replicas
	Was, Will string // "" if the key is not set
	ByHand    bool   // the deploy overwrites a change that was made by hand
}

// Text is the line for people. Values of environment variables may be secrets, so they
// are shown only on demand.
func (l Line) Text(showValues bool) string {
	var text string
	if l.Key == "image" {
		l.Was, l.Will = ShortID(l.Was), ShortID(l.Will)
	}
	was, will := strings.TrimSuffix(l.Was, isSet), strings.TrimSuffix(l.Will, isSet)
	switch {
	case strings.HasPrefix(l.Key, environment) && !showValues:
		text = l.Key + ": " + map[bool]string{true: "added", false: "changed"}[l.Was == ""]
		if l.Will == "" {
			text = l.Key + ": removed"
		}
	case l.Was == "":
		text = fmt.Sprintf("%s: %s (new)", l.Key, will)
	case l.Will == "":
		text = fmt.Sprintf("%s: %s (removed)", l.Key, was)
	default:
		text = fmt.Sprintf("%s: %s → %s", l.Key, was, will)
	}
	if l.ByHand {
		text += ", which overwrites a change made by hand"
	}
	return text
}

// ShortID is an image's id as the docker client shows it, with 12 digits.
func ShortID(image string) string {
	if isID(image) && len(image) > len("sha256:")+12 {
		return image[:len("sha256:")+12]
	}
	return image
}

const (
	environment = "environment."
	isSet       = "\x00" // at the end of a value, so that an empty value differs from no value
)

// names translates the paths of a Spec into the words of the stack file. The first match
// counts. A path that is not here keeps its name, so no difference is ever lost. With fields,
// the rest of the path is fields of the Spec, and not names that somebody chose.
var names = []struct {
	path, key string
	fields    bool
}{
	{"TaskTemplate.ContainerSpec.Env.", environment, false},
	{"TaskTemplate.ContainerSpec.Image", "image", false},
	{"TaskTemplate.ContainerSpec.Labels.", "labels.", false},
	{"TaskTemplate.ContainerSpec.Mounts.", "volumes.", false},
	{"TaskTemplate.ContainerSpec.Secrets.", "secrets.", false},
	{"TaskTemplate.ContainerSpec.Configs.", "configs.", false},
	{"TaskTemplate.ContainerSpec.Command", "entrypoint", false},
	{"TaskTemplate.ContainerSpec.Args", "command", false},
	{"TaskTemplate.ContainerSpec.Dir", "working_dir", false},
	{"TaskTemplate.ContainerSpec.ReadOnly", "read_only", false},
	{"TaskTemplate.ContainerSpec.StopGracePeriod", "stop_grace_period", false},
	{"TaskTemplate.ContainerSpec.StopSignal", "stop_signal", false},
	{"TaskTemplate.ContainerSpec.CapabilityAdd.", "cap_add.", false},
	{"TaskTemplate.ContainerSpec.CapabilityDrop.", "cap_drop.", false},
	{"TaskTemplate.ContainerSpec.Hosts.", "extra_hosts.", false},
	{"TaskTemplate.ContainerSpec.Sysctls.", "sysctls.", false},
	{"TaskTemplate.ContainerSpec.Ulimits.", "ulimits.", false},
	{"TaskTemplate.ContainerSpec.DNSConfig.Nameservers.", "dns.", false},
	{"TaskTemplate.ContainerSpec.DNSConfig.Search.", "dns_search.", false},
	{"TaskTemplate.ContainerSpec.", "", true}, // healthcheck, user, hostname, init ...
	{"TaskTemplate.Resources.Limits.MemoryBytes", "deploy.resources.limits.memory", false},
	{"TaskTemplate.Resources.Limits.NanoCPUs", "deploy.resources.limits.cpus", false},
	{"TaskTemplate.Resources.Reservations.MemoryBytes", "deploy.resources.reservations.memory", false},
	{"TaskTemplate.Resources.Reservations.NanoCPUs", "deploy.resources.reservations.cpus", false},
	{"TaskTemplate.Resources.", "deploy.resources.", true},
	{"TaskTemplate.RestartPolicy.MaxAttempts", "deploy.restart_policy.max_attempts", false},
	{"TaskTemplate.RestartPolicy.", "deploy.restart_policy.", true},
	{"TaskTemplate.Placement.MaxReplicas", "deploy.placement.max_replicas_per_node", false},
	{"TaskTemplate.Placement.", "deploy.placement.", true},
	{"TaskTemplate.Networks.", "networks.", false},
	{"TaskTemplate.LogDriver.Name", "logging.driver", false},
	{"TaskTemplate.LogDriver.", "logging.", true},
	{"TaskTemplate.ForceUpdate", "force_update", false},
	{"UpdateConfig.", "deploy.update_config.", true},
	{"RollbackConfig.", "deploy.rollback_config.", true},
	{"EndpointSpec.Mode", "deploy.endpoint_mode", false},
	{"EndpointSpec.Ports.", "ports.", false},
	{"Mode.Replicated.Replicas", replicas, false},
	{"Mode.", "deploy.mode.", true},
	{"Labels.", "deploy.labels.", false},
}

const (
	replicas      = "deploy.replicas"
	updateOrder   = "deploy.update_config.order"
	rollbackOrder = "deploy.rollback_config.order"
	forceUpdate   = "force_update"
)

// own are keys that may differ although nobody changed anything: the labels of this program,
// the order that a plan chooses, and the counter of forced updates.
var own = []string{
	"deploy.labels." + journal.LabelDeploy, "deploy.labels." + journal.LabelEntry, "deploy.labels." + journal.LabelVersion,
	"deploy.labels." + journal.LabelPlaced, "deploy.labels." + journal.LabelLeaves,
	updateOrder, rollbackOrder, forceUpdate,
}

// A leaf is one setting of a Spec: exact is compared, shown is for people.
type leaf struct{ exact, shown string }

// flatten gives each setting of a Spec by its key. networks has names by id.
func flatten(spec swarm.ServiceSpec, networks map[string]string) map[string]leaf {
	text, err := json.Marshal(spec)
	var tree any
	if err == nil {
		err = json.Unmarshal(text, &tree)
	}
	if err != nil {
		panic(fmt.Sprintf("a Spec that is no JSON: %v", err)) // It came from JSON.
	}
	f := flattening{map[string]leaf{}, networks}
	f.walk("", tree)
	return f.leaves
}

type flattening struct {
	leaves   map[string]leaf
	networks map[string]string
}

func keyOf(path string) string {
	if ofContent(path) {
		path = strings.TrimSuffix(strings.TrimSuffix(path, ".SecretName"), ".ConfigName")
	}
	for _, name := range names {
		if rest, ok := strings.CutPrefix(path, name.path); ok {
			if name.fields && rest != "" {
				rest = strings.ToLower(rest[:1]) + rest[1:]
			}
			return name.key + rest
		}
	}
	return path
}

// walk collects the leaves below a path.
func (f flattening) walk(path string, value any) {
	switch value := value.(type) {
	case map[string]any:
		if len(value) == 0 && strings.HasPrefix(path, "Mode.") && path != "Mode.Replicated" { // An empty mapping has a meaning only here.
			f.leaves[keyOf(path)] = leaf{"{}", "yes"}
		}
		for key, below := range value {
			if ofContent(path) && (key == "SecretID" || key == "ConfigID") {
				continue // The name is enough: the data behind a name never changes.
			}
			if file, isFile := below.(map[string]any); isFile && key == "File" && ofContent(path) { // Of a secret or a config.
				f.file(path, file)
				continue
			}
			f.walk(strings.TrimPrefix(path+"."+key, "."), below)
		}
	case []any:
		f.list(path, value)
	case nil:
	default:
		exact := fmt.Sprint(value)
		if number, ok := value.(float64); ok {
			exact = strconv.FormatFloat(number, 'f', -1, 64)
		}
		if id, ok := value.(string); ok && f.networks[id] != "" && strings.HasSuffix(path, ".Target") {
			exact = f.networks[id]
		}
		f.leaves[keyOf(path)] = leaf{exact, show(path, value, exact)}
	}
}

// ofContent tells whether a path leads into a reference to a secret or a config.
func ofContent(path string) bool {
	return strings.HasPrefix(path, "TaskTemplate.ContainerSpec.Secrets.") || strings.HasPrefix(path, "TaskTemplate.ContainerSpec.Configs.")
}

// file collects the owner and the mode of a secret or a config in the container, if they are
// not the usual ones. The file name is in the path.
func (f flattening) file(path string, file map[string]any) {
	for key, usual := range map[string]any{"UID": "0", "GID": "0", "Mode": float64(0o444)} {
		if file[key] != usual {
			f.walk(path+"."+strings.ToLower(key), file[key])
		}
	}
}

// list collects the items of a list. Each item has its identity as key, so that a new item
// does not look like a change of the items after it.
func (f flattening) list(path string, items []any) {
	last := path[strings.LastIndex(path, ".")+1:]
	if last == "Command" || last == "Args" || last == "Test" { // Here the order matters.
		var words []string
		for _, item := range items {
			words = append(words, fmt.Sprint(item))
		}
		f.leaves[keyOf(path)] = leaf{fmt.Sprintf("%q", words), strings.Join(words, " ")}
		return
	}
	seen := map[string]int{}
	for i, item := range items {
		switch item := item.(type) {
		case map[string]any:
			id := f.identity(item, i)
			if seen[id]++; seen[id] > 1 {
				id = fmt.Sprintf("%s#%d", id, seen[id])
			}
			f.walk(path+"."+id, item)
		case string:
			if last == "Env" {
				name, value, _ := strings.Cut(item, "=")
				f.leaves[keyOf(path+"."+name)] = leaf{item, value + isSet}
			} else {
				f.leaves[keyOf(path+"."+item)] = leaf{item, "yes"}
			}
		default:
			f.walk(fmt.Sprint(path, ".", i), item)
		}
	}
}

// identity is a text that identifies an item of a list.
func (f flattening) identity(item map[string]any, i int) string {
	if file, isFile := item["File"].(map[string]any); isFile { // The file name identifies a secret or a config.
		return fmt.Sprint(file["Name"])
	}
	for _, key := range []string{"Target", "TargetPort", "Name", "Kind"} {
		switch id := item[key].(type) {
		case string:
			return cmp.Or(f.networks[id], id)
		case float64:
			return fmt.Sprintf("%.0f/%v", id, cmp.Or[any](item["Protocol"], "tcp"))
		}
	}
	return strconv.Itoa(i)
}

// show is a value for people.
func show(path string, value any, exact string) string {
	number, ok := value.(float64)
	if !ok {
		return exact
	}
	switch path[strings.LastIndex(path, ".")+1:] {
	case "Delay", "Monitor", "Interval", "Timeout", "StartPeriod", "StartInterval", "StopGracePeriod", "Window":
		return time.Duration(number).String()
	case "MemoryBytes", "SizeBytes":
		return units.BytesSize(number)
	case "NanoCPUs":
		return strconv.FormatFloat(number/1e9, 'f', -1, 64)
	case "Mode", "mode":
		return fmt.Sprintf("%#o", int64(number))
	}
	return exact
}

// compare returns the differences between two flat Specs, sorted by key, without the ignored
// keys.
func compare(was, will map[string]leaf, ignored ...string) []Line {
	keys := map[string]bool{}
	for key := range was {
		keys[key] = true
	}
	for key := range will {
		keys[key] = true
	}
	var lines []Line
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		if was[key].exact == will[key].exact && (was[key] == leaf{}) == (will[key] == leaf{}) || slices.Contains(ignored, key) || slices.Contains(own, key) {
			continue
		}
		line := Line{Key: key, Was: was[key].shown, Will: will[key].shown}
		if line.Was == line.Will { // The difference is in a part that is not shown.
			line.Was, line.Will = was[key].exact, will[key].exact
		}
		lines = append(lines, line)
	}
	return lines
}
