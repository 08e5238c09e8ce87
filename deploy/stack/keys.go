package stack

import (
	"fmt"
	"maps"
	"math"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/docker/cli/cli/compose/loader"
	"github.com/docker/cli/cli/compose/types"
	"github.com/docker/cli/opts"
	"github.com/docker/go-units"
	"github.com/google/shlex"
)

// A key says how the program treats one key of a stack file. The zero key is carried over,
// with everything in it.
type key struct {
	within  map[string]key // the only keys of the mapping, or of each mapping of the list
	each    *key           // the value of each name of a mapping whose names are free
	check   func(w *walk, path string, value any)
	refused bool   // not carried over, although docker stack deploy carries it over: an error
	ignored bool   // not carried over, and ignored by docker stack deploy too: a warning
	hint    string // what to use instead of an ignored key
}

var (
	refused = key{refused: true}
	ignored = key{ignored: true}
	natural = number(0, math.MaxInt64)
	port    = number(1, 65535)
)

// instead is an ignored key with another key to use instead.
func instead(hint string) key { return key{ignored: true, hint: hint} }

// stackFile has each key that a stack file may have. A key that is in no table here is an
// error, so no key is ignored without a message.
var stackFile = key{within: map[string]key{
	"version":  {check: text},
	"services": {check: serviceNames, each: &serviceKeys},
	"networks": {each: &networkKeys},
	"volumes":  {each: &volumeKeys},
	"secrets":  {each: &contentKeys},
	"configs":  {each: &contentKeys},
}}

// contentKeys are the keys of a secret or a config.
var contentKeys = key{within: map[string]key{
	"name": {}, "external": {}, "file": {check: text}, "labels": {}, "template_driver": {},
	"driver": refused, "driver_opts": refused,
}}

// referenceKeys are the keys of a secret or a config in a service.
var referenceKeys = key{within: map[string]key{
	"source": {}, "target": {}, "uid": {}, "gid": {}, "mode": {check: plainMode},
}}

var serviceKeys = key{within: map[string]key{
	"build": {within: map[string]key{
		"context": {}, "dockerfile": {}, "args": {}, "target": {},
		"cache_from": ignored, "labels": refused, "network": refused, "shm_size": refused, "extra_hosts": refused,
	}},
	"cap_add": {}, "cap_drop": {}, "command": {check: words}, "depends_on": {check: dependencies}, "dns": {}, "dns_search": {},
	"entrypoint": {check: words}, "environment": {}, "extra_hosts": {check: hosts}, "hostname": {}, "image": {},
	"init": {}, "restart": {check: restart}, "labels": {}, "logging": {}, "read_only": {}, "stdin_open": {}, "stop_signal": {},
	"sysctls": {}, "tmpfs": {}, "tty": {}, "user": {}, "working_dir": {},
	"deploy":            deployKeys,
	"stop_grace_period": {check: duration(0)},
	"ulimits":           {each: &key{check: ulimit}},
	"healthcheck": {within: map[string]key{
		"disable": {}, "test": {check: probe}, "retries": {check: natural},
		"interval": {check: duration(time.Millisecond)}, "timeout": {check: duration(time.Millisecond)},
		"start_period": {check: duration(time.Millisecond)}, "start_interval": {check: duration(time.Millisecond)},
	}},
	"networks": {each: &key{within: map[string]key{
		"aliases": {}, "driver_opts": {}, "ipv4_address": ignored, "ipv6_address": ignored,
	}}},
	"ports": {check: ports, within: map[string]key{
		"target": {}, "published": {}, "protocol": {check: oneOf("tcp", "udp", "sctp")}, "mode": {check: oneOf("ingress", "host")},
	}},
	"volumes": {check: volumes, within: map[string]key{
		"type": {}, "source": {}, "target": {}, "read_only": {}, "consistency": {},
		"bind":   {within: map[string]key{"propagation": {check: oneOf("rprivate", "private", "rshared", "shared", "rslave", "slave")}, "create_host_path": ignored, "selinux": ignored, "recursive": ignored}},
		"volume": {within: map[string]key{"nocopy": {}, "subpath": refused}},
		"tmpfs":  {within: map[string]key{"size": {check: natural}, "mode": {check: fileMode}}},
		"image":  refused, "cluster": refused,
	}},
	"x-deploy": extensionKeys,

	"env_file": {check: envFiles}, "secrets": referenceKeys, "configs": referenceKeys, "isolation": {check: oneOf("default", "process", "hyperv")},
	"credential_spec": refused, "oom_score_adj": refused,

	"container_name": instead("the service's name, or aliases of its networks"),
	"links":          instead("networks, on which services reach each other by name"),
	"external_links": instead("networks, on which services reach each other by name"),
	"expose":         instead("networks, on which services reach each other at any port"),
	"network_mode":   instead("networks"),
	"privileged":     instead("cap_add"),
	"shm_size":       instead("a tmpfs volume at /dev/shm"),
	"domainname":     instead("hostname"),
	"cgroup_parent":  ignored, "cgroupns_mode": ignored, "devices": ignored, "ipc": ignored,
	"mac_address": ignored, "pid": ignored, "security_opt": ignored, "userns_mode": ignored,
}}

var deployKeys = key{within: map[string]key{
	"mode":          {check: deployMode},
	"endpoint_mode": {check: oneOf("vip", "dnsrr")},
	"replicas":      {check: natural},
	"labels":        {},
	"resources": {within: map[string]key{
		"limits": {within: map[string]key{"cpus": {check: cpus}, "memory": {check: memory}, "pids": {check: natural}}},
		"reservations": {within: map[string]key{"cpus": {check: cpus}, "memory": {check: memory},
			"generic_resources": {within: map[string]key{"discrete_resource_spec": {within: map[string]key{"kind": {}, "value": {check: natural}}}}}}},
	}},
	"restart_policy": {within: map[string]key{
		"condition": {check: oneOf("none", "on-failure", "any")}, "max_attempts": {check: natural},
		"delay": {check: duration(0)}, "window": {check: duration(0)},
	}},
	"update_config":   updateKeys,
	"rollback_config": updateKeys,
	"placement": {within: map[string]key{
		"constraints": {check: constraints}, "max_replicas_per_node": {check: natural},
		"preferences": {within: map[string]key{"spread": {}}},
	}},
}}

var updateKeys = key{within: map[string]key{
	"parallelism": {check: natural}, "delay": {check: duration(0)}, "monitor": {check: duration(0)},
	"failure_action": {check: oneOf("pause", "continue", "rollback")}, "max_failure_ratio": {check: ratio}, "order": {},
}}

var networkKeys = key{within: map[string]key{
	"name": {}, "external": {}, "driver": {}, "driver_opts": {}, "internal": {}, "attachable": {},
	"labels": {}, "ipam": {within: map[string]key{"driver": {}, "config": {within: map[string]key{"subnet": {check: subnet}}}}},
}}

var volumeKeys = key{within: map[string]key{
	"name": {}, "external": {}, "driver": {}, "driver_opts": {}, "labels": {}, "x-cluster-spec": refused,
}}

// A walk goes through the keys of one file.
type walk struct {
	env              map[string]string
	dir              string         // where relative paths start
	extended         bool           // a service of the file has x-deploy
	earlier          map[string]any // values of the files before this one, by path
	lists            int            // how many lists the walk is in
	faults, warnings []string
}

// merges matches the paths at which an empty value of a later file counts.
var merges = regexp.MustCompile(`^(networks|volumes|secrets|configs)\.|\.(replicas|retries|parallelism|max_attempts)$|\.(labels|options|sysctls|ulimits|x-deploy)\.`)

// secretive matches the paths of values that may be secrets.
var secretive = regexp.MustCompile(`\.(environment|args)\.`)

// scalar notes a plain value. When docker merges files, an empty value counts as no value.
func (w *walk) scalar(path string, value any) {
	if w.lists > 0 {
		return
	}
	earlier, isSet := w.earlier[path]
	if isSet && earlier != value && slices.Contains([]any{nil, "", false, 0, 0.0, "0", "0s"}, value) && !merges.MatchString(path) {
		was := show(earlier)
		if secretive.MatchString(path) {
			was = "value"
		}
		w.fault(path, "%s does not override the %s of an earlier file: change it there", show(value), was)
	}
	w.earlier[path] = value
}

// fault notes an error at a key, which the user has to fix.
func (w *walk) fault(path, format string, args ...any) {
	w.faults = append(w.faults, path+": "+fmt.Sprintf(format, args...))
}

// value walks through the value of a key.
func (w *walk) value(path string, value any, key key) {
	if key.check != nil && value != nil {
		key.check(w, path, value)
		key.check = nil // It has checked the whole list.
	}
	switch value := value.(type) {
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(value)) {
			w.entry(path, name, value[name], key)
		}
	case []any:
		w.lists++
		for _, item := range value {
			w.value(path, item, key)
		}
		w.lists--
	// For the other cases, docker's loader gives no clear error, or panics.
	case map[any]any:
		odd := "with a tag"
		for name := range value {
			if _, isText := name.(string); !isText {
				odd = show(name)
			}
		}
		w.fault(path, "the key %s is not text: put it in quotes", odd)
	case time.Time:
		w.fault(path, "this is read as a date: put it in quotes")
	case float64:
		if math.IsNaN(value) || math.IsInf(value, 0) {
			w.fault(path, "this is not a number")
		}
		w.scalar(path, value)
	default:
		w.scalar(path, value)
	}
}

// entry walks through one entry of the mapping at path.
func (w *walk) entry(path, name string, value any, parent key) {
	known, isKnown := parent.within[name]
	inner := strings.TrimPrefix(path+"."+name, ".")
	switch {
	case parent.each != nil:
		w.value(inner, value, *parent.each)
	case parent.within == nil:
		w.value(inner, value, key{})
	case known.refused:
		w.faults = append(w.faults, inner+" is not carried over: this program does not know it")
	case known.ignored:
		warning := inner + " is not carried over: docker stack deploy ignores it as well"
		if known.hint != "" {
			warning += "; use " + known.hint
		}
		w.warnings = append(w.warnings, warning)
	case isKnown:
		w.value(inner, value, known)
	case name == "x-deploy" && (path != "" || !w.extended && ours(value)):
		w.fault(inner, "this key belongs in a service")
	case strings.HasPrefix(name, "x-"):
		if path != "" { // At top level it is a place for anchors.
			w.warnings = append(w.warnings, inner+" is not carried over: it is an extension that is not known here")
		}
	case strings.HasSuffix(path, ".build"):
		w.fault(inner, "this program does not know this key of a build")
	case types.ForbiddenProperties[name] != "":
		w.fault(inner, "a stack file cannot have this key: %s", types.ForbiddenProperties[name])
	default:
		w.fault(inner, "a stack file does not know this key")
	}
}

// ours tells whether a mapping at the top was meant for this program. It may be only a place
// for an anchor.
func ours(value any) bool {
	mapping, _ := value.(map[string]any)
	for name := range mapping {
		if _, known := extensionKeys.within[name]; known {
			return true
		}
	}
	return false
}

// show names a value in a message.
func show(value any) string {
	switch value := value.(type) {
	case nil:
		return "nothing"
	case string:
		return quote(value)
	case map[string]any, map[any]any:
		return "a mapping"
	case []any:
		return "a list"
	}
	return fmt.Sprint(value)
}

// quote shows a text in a message. If the text is long, it shows only the beginning.
func quote(text string) string {
	if runes := []rune(text); len(runes) > 80 {
		text = string(runes[:80]) + "..."
	}
	return strconv.Quote(text)
}

// toNumber reads a whole number. If it comes from a variable, it is still text.
func toNumber(value any) (int64, bool) {
	switch value := value.(type) {
	case int:
		return int64(value), true
	case string:
		n, err := strconv.ParseInt(value, 10, 64)
		return n, err == nil
	}
	return 0, false
}

func number(low, high int64) func(*walk, string, any) {
	return func(w *walk, path string, value any) {
		if n, ok := toNumber(value); ok && low <= n && n <= high {
			return
		}
		if high == math.MaxInt64 {
			w.fault(path, "%s is not a whole number of %d or more", show(value), low)
		} else {
			w.fault(path, "%s is not a whole number from %d to %d", show(value), low, high)
		}
	}
}

// toDuration reads a duration with its unit.
func toDuration(value any) (time.Duration, error) { return time.ParseDuration(fmt.Sprint(value)) }

// duration checks that a duration is 0, or least or more.
func duration(least time.Duration) func(*walk, string, any) {
	return func(w *walk, path string, value any) {
		switch d, err := toDuration(value); {
		case err != nil:
			w.fault(path, "%s is not a duration such as 10s or 1m30s", show(value))
		case d < 0:
			w.fault(path, "%s is negative", show(value))
		case 0 < d && d < least:
			w.fault(path, "%s is less than %v", show(value), least)
		}
	}
}

// oneOf checks that a value is one of the names. An empty value counts as no value.
func oneOf(names ...string) func(*walk, string, any) {
	return func(w *walk, path string, value any) {
		if name, isText := value.(string); !isText || name != "" && !slices.Contains(names, name) {
			w.fault(path, "%s is not one of %s", show(value), strings.Join(names, ", "))
		}
	}
}

// toCPUs reads a number of processors, in billionths.
func toCPUs(value any) (int64, bool) {
	n, err := strconv.ParseFloat(fmt.Sprint(value), 64)
	// The engine refuses less than a thousandth.
	if err != nil || !(n == 0 || 0.001 <= n && n <= 1e6) {
		return 0, false
	}
	return int64(math.Round(n * 1e9)), true
}

func cpus(w *walk, path string, value any) {
	if _, ok := toCPUs(value); !ok {
		w.fault(path, "%s is not a number of processors of 0.001 or more, or 0 for no limit", show(value))
	}
}

func memory(w *walk, path string, value any) {
	n, err := units.RAMInBytes(fmt.Sprint(value))
	// The engine refuses less than 4 MiB.
	if err != nil || n < 0 || 0 < n && n < 4<<20 {
		w.fault(path, "%s is not a size of 4m or more, such as 128m, or 0 for no limit", show(value))
	}
}

func ratio(w *walk, path string, value any) {
	n, err := strconv.ParseFloat(fmt.Sprint(value), 64)
	if err != nil || !(0 <= n && n <= 1) {
		w.fault(path, "%s is not between 0 and 1", show(value))
	}
}

// toFileMode reads a mode. YAML reads 01777 as an octal number; as text it is octal too.
func toFileMode(value any) (uint32, bool) {
	if text, isText := value.(string); isText {
		n, err := strconv.ParseUint(text, 8, 32)
		return uint32(n), err == nil && n <= 0o7777
	}
	n, ok := toNumber(value)
	return uint32(n), ok && 0 <= n && n <= 0o7777
}

func fileMode(w *walk, path string, value any) {
	if _, ok := toFileMode(value); !ok {
		w.fault(path, "%s is not an octal mode such as 01777", show(value))
	}
}

// plainMode checks that the mode of a secret or a config is a number. Docker's loader reads a
// mode in quotes, or from a variable, as decimal.
func plainMode(w *walk, path string, value any) {
	if _, isText := value.(string); isText {
		w.fault(path, "%s has to be a number, without quotes and without a variable, such as 0440", show(value))
		return
	}
	fileMode(w, path, value)
}

func subnet(w *walk, path string, value any) {
	text, _ := value.(string)
	if _, err := netip.ParsePrefix(text); err != nil {
		w.fault(path, "%s is not a subnet such as 10.11.0.0/24", show(value))
	}
}

func ulimit(w *walk, path string, value any) {
	within, isMapping := value.(map[string]any)
	if !isMapping {
		number(-1, math.MaxInt64)(w, path, value)
		return
	}
	for name, value := range within {
		number(-1, math.MaxInt64)(w, path+"."+name, value)
	}
}

// longestService leaves room for what follows the name of a service: the name of a config has
// 64 characters at most, and the lock is the config NAME.deploy.lock.
const longestService = 51

var serviceName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9_-]*[A-Za-z0-9])?$`)

func serviceNames(w *walk, path string, value any) {
	services, _ := value.(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(services)) {
		if !serviceName.MatchString(name) {
			w.fault(path+"."+name, "a service's name is of letters and digits, with - and _ between them")
		}
	}
}

func ports(w *walk, path string, value any) {
	list, _ := value.([]any)
	for _, item := range list {
		long, isLong := item.(map[string]any)
		if _, isFloat := item.(float64); isFloat {
			w.fault(path, "%v is not a port, such as 8080:80", item)
		}
		if !isLong {
			// Three parts: an address, and two ports.
			if text := fmt.Sprint(item); strings.Count(text, ":") > 1 {
				w.warnings = append(w.warnings, path+": "+fmt.Sprintf("the address in %q is not carried over: docker stack deploy ignores it as well, and the port is open on every address", text))
			}
			continue
		}
		if long["target"] == nil {
			w.fault(path, "the target port is missing")
		}
		for _, name := range []string{"target", "published"} {
			if n, ok := toNumber(long[name]); long[name] != nil && !(ok && 1 <= n && n <= 65535) {
				w.fault(path, "%s port %s is not between 1 and 65535", name, strings.Trim(show(long[name]), `"`))
			}
		}
	}
}

func volumes(w *walk, path string, value any) {
	list, _ := value.([]any)
	for _, item := range list {
		source, options := "", ""
		switch item := item.(type) {
		case map[string]any:
			source, _ = item["source"].(string)
			if source == "" && item["type"] == "bind" {
				w.fault(path, "a bind has no source")
			}
		case string:
			source = item
			if _, err := loader.ParseVolume(item); err != nil {
				w.fault(path, "%q: %v", item, err)
			}
			if parts := strings.Split(item, ":"); len(parts) == 3 {
				options = parts[2]
			}
		}
		if strings.HasPrefix(source, "~") && w.env["HOME"] == "" {
			w.fault(path, "%q needs the variable HOME, which is not set", source)
		}
		// The loader drops these options without a message.
		for option := range strings.SplitSeq(options, ",") {
			if !slices.Contains([]string{"", "ro", "rw", "nocopy", "rprivate", "private", "rshared", "shared", "rslave", "slave"}, option) {
				w.warnings = append(w.warnings, path+": "+fmt.Sprintf("the option %s of %q is not carried over: docker stack deploy ignores it as well", option, source))
			}
		}
	}
}

// restart checks the policy of docker run, which docker stack deploy uses if the service has
// no deploy.restart_policy.
func restart(w *walk, path string, value any) {
	text, _ := value.(string)
	switch policy, err := opts.ParseRestartPolicy(text); {
	case err != nil || value == false || !policy.IsNone() && !policy.IsAlways() && !policy.IsUnlessStopped() && !policy.IsOnFailure(): // false is no without quotes
		w.fault(path, "%s is not one of \"no\", always, unless-stopped, on-failure, on-failure:5", show(value))
	case policy.IsNone() && text != "":
		w.warnings = append(w.warnings, path+`: "no" is not carried over: docker stack deploy ignores it as well; use deploy.restart_policy with condition: none`)
	}
}

func deployMode(w *walk, path string, value any) {
	if value == "replicated-job" || value == "global-job" {
		w.fault(path, "%s is not carried over: this program deploys services that keep running", show(value))
		return
	}
	oneOf("replicated", "global")(w, path, value)
}

func dependencies(w *walk, path string, value any) {
	if _, isList := value.([]any); !isList {
		w.fault(path, "%s is not a list of services, such as [db, cache]", show(value))
	}
}

func envFiles(w *walk, path string, value any) {
	list, isList := value.([]any)
	if !isList {
		list = []any{value}
	}
	for _, item := range list {
		file, isText := item.(string)
		if !isText {
			w.fault(path, "%s is not the name of a file", show(item))
			continue
		}
		if _, err := os.Stat(absolute(w.dir, file)); err != nil {
			w.fault(path, "there is no file %s", absolute(w.dir, file))
		}
	}
}

func hosts(w *walk, path string, value any) {
	switch value := value.(type) {
	case []any:
		for _, item := range value {
			if text, _ := item.(string); !strings.ContainsAny(text, ":=") {
				w.fault(path, "%s is not HOST:ADDRESS", show(item))
			}
		}
	case map[string]any:
		for name, address := range value {
			if address == nil {
				w.fault(path, "%s has no address", name)
			}
		}
	}
}

// words checks a command that is one text. The text is split as in a shell.
func words(w *walk, path string, value any) {
	if text, isText := value.(string); isText {
		if _, err := shlex.Split(text); err != nil {
			w.fault(path, "%q has a quote that does not end", text)
		}
	}
}

func probe(w *walk, path string, value any) {
	if list, _ := value.([]any); len(list) > 0 {
		if kind, _ := list[0].(string); !slices.Contains([]string{"CMD", "CMD-SHELL", "NONE"}, kind) {
			w.fault(path, "a list begins with CMD, CMD-SHELL or NONE, not with %s", show(list[0]))
		}
	}
}

var constraint = regexp.MustCompile(`^\s*[A-Za-z_][\w.-]+\s*(==|!=)\s*\S`)

func constraints(w *walk, path string, value any) {
	list, _ := value.([]any)
	for _, item := range list {
		if text, isText := item.(string); isText && !constraint.MatchString(text) {
			w.fault(path, "%q is not KEY==VALUE or KEY!=VALUE", text)
		}
	}
}
