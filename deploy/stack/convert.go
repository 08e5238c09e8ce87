package stack

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/distribution/reference"
	"github.com/docker/cli/cli/compose/types"
	"github.com/docker/cli/opts"
	"github.com/docker/go-units"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/api/types/swarm"
)

// A conversion turns the result of docker's loader into a Stack.
type conversion struct {
	name   string // of the files, for messages
	dir    string // where relative paths start
	env    map[string]string
	config *types.Config
	files  []*types.Config // each file alone
	prefix string          // STACK: in front of each name that the file does not choose with name:
	// The services that use each secret and config, and the names of these in the swarm, by key.
	users   map[Kind]map[string][]string
	names   map[Kind]map[string]string
	used    map[string]bool // volumes that services have, by key
	volumes map[string]bool // named volumes that services have, by name in the swarm
	// Values that the loader drops: which services have build, the modes of tmpfs mounts,
	// x-deploy.
	built      map[string]bool
	modes      map[string]uint32
	extensions map[string]map[string]any
	alone      map[string]bool // services that say that they are on no network
}

// mountKey names a mount of a service in conversion.modes.
func mountKey(service, target string) string { return service + " " + target }

// add reads the values from one file that the loader would drop.
func (c *conversion) add(file map[string]any) {
	services, _ := file["services"].(map[string]any)
	for name, value := range services {
		service, _ := value.(map[string]any)
		c.built[name] = c.built[name] || service["build"] != nil
		if list, isList := service["networks"].([]any); isList && len(list) == 0 {
			c.alone[name] = true
		}
		if extension, _ := service["x-deploy"].(map[string]any); extension != nil {
			c.extensions[name] = override(c.extensions[name], extension)
		}
		volumes, _ := service["volumes"].([]any)
		for _, value := range volumes {
			volume, _ := value.(map[string]any)
			target, _ := volume["target"].(string)
			tmpfs, _ := volume["tmpfs"].(map[string]any)
			c.modes[mountKey(name, target)], _ = toFileMode(tmpfs["mode"])
		}
	}
}

// keepAll restores values that the loader loses when it merges several files. Of two ports
// with one number, such as TCP and UDP, the loader keeps one; of two places for one secret,
// too. Of the options of a network, it keeps only those of the first file.
func (c *conversion) keepAll() {
	for i := range c.config.Services {
		service := &c.config.Services[i]
		var ports [][]types.ServicePortConfig
		var secrets [][]types.ServiceSecretConfig
		var configs [][]types.ServiceConfigObjConfig
		for _, file := range c.files {
			for _, one := range file.Services {
				if one.Name == service.Name {
					for name, network := range one.Networks {
						keepOptions(service.Networks[name], network)
					}
					ports, secrets, configs = append(ports, one.Ports), append(secrets, one.Secrets), append(configs, one.Configs)
				}
			}
		}
		service.Ports = overlay(ports, func(port types.ServicePortConfig) string {
			if port.Published == 0 {
				return fmt.Sprint("to ", port.Target, cmp.Or(port.Protocol, "tcp"))
			}
			return fmt.Sprint(port.Published, cmp.Or(port.Protocol, "tcp"))
		})
		service.Secrets = overlay(secrets, func(one types.ServiceSecretConfig) string { return one.Source })
		service.Configs = overlay(configs, func(one types.ServiceConfigObjConfig) string { return one.Source })
	}
}

// keepOptions adds the options of a service's network in one file to the merged options.
func keepOptions(all, one *types.ServiceNetworkConfig) {
	if all == nil || one == nil || len(one.DriverOpts) == 0 {
		return
	}
	options := maps.Clone(all.DriverOpts)
	if options == nil {
		options = map[string]string{}
	}
	maps.Copy(options, one.DriverOpts)
	all.DriverOpts = options
}

// overlay merges the lists of several files: an item of a later file replaces items with the
// same key from earlier files.
func overlay[Item any](lists [][]Item, key func(Item) string) []Item {
	var merged []Item
	for _, list := range lists {
		merged = slices.DeleteFunc(merged, func(old Item) bool {
			return slices.ContainsFunc(list, func(item Item) bool { return key(item) == key(old) })
		})
		merged = append(merged, list...)
	}
	return merged
}

// stack converts the files.
func (c *conversion) stack(settings Settings) (*Stack, error) {
	if len(c.config.Services) == 0 {
		return nil, errors.New("services: there are none")
	}
	services, warnings := inOrder(c.config.Services)
	result := &Stack{Warnings: warnings}
	for _, from := range services {
		service, err := c.service(from)
		if err != nil {
			return nil, fmt.Errorf("services.%s.%w", from.Name, err)
		}
		result.Services = append(result.Services, service)
	}
	if err := c.networks(result); err != nil {
		return nil, err
	}
	for _, key := range slices.Sorted(maps.Keys(c.config.Volumes)) {
		if !c.used[key] {
			result.Warnings = append(result.Warnings, fmt.Sprintf("volumes.%s is not used: no service has it", key))
		}
	}
	result.Volumes = slices.Sorted(maps.Keys(c.volumes))
	if err := c.content(result); err != nil {
		return nil, err
	}
	for i := range result.Services {
		c.nameContents(&result.Services[i].Spec)
	}
	if err := result.apply(settings, c.env["VERIFY_PATH"]); err != nil {
		return nil, err
	}
	published := map[string]string{}
	for _, service := range result.Services {
		if err := checkPorts(service.Spec.EndpointSpec); err != nil {
			return nil, fmt.Errorf("services.%s.%w", service.Key, err)
		}
		for _, port := range service.Spec.EndpointSpec.Ports {
			at := fmt.Sprintf("%d/%s", port.PublishedPort, port.Protocol)
			if port.PublishedPort == 0 || port.PublishMode != swarm.PortConfigPublishModeIngress {
				continue
			}
			if other := published[at]; other != "" {
				return nil, fmt.Errorf("services.%s.ports: services.%s publishes port %s, too", service.Key, other, at)
			}
			published[at] = service.Key
		}
	}
	return result, nil
}

// service converts one service. An error begins with the key within the service.
func (c *conversion) service(from types.ServiceConfig) (Service, error) {
	service := Service{Key: from.Name, Name: c.scoped(from.Name), Image: from.Image, After: from.DependsOn}
	if len(service.Name) > longestService {
		return service, fmt.Errorf("name: %q has more than %d characters: the name of its lock, NAME.deploy.lock, would be too long", service.Name, longestService)
	}
	if from.Image == "" {
		return service, errors.New("image: there is none")
	}
	image, err := reference.ParseNormalizedNamed(from.Image)
	if err != nil {
		return service, fmt.Errorf("image: %q: %w", from.Image, err)
	}
	if c.built[from.Name] {
		if _, isDigest := image.(reference.Digested); isDigest {
			return service, fmt.Errorf("image: %q has a digest, which a build cannot have", from.Image)
		}
		if service.Build, err = c.build(from.Build); err != nil {
			return service, err
		}
	}
	task, err := c.task(from)
	if err == nil {
		err = c.useBoth(from, service.Name, task.ContainerSpec)
	}
	if err != nil {
		return service, err
	}
	mode, err := mode(from.Deploy)
	if err != nil {
		return service, err
	}
	service.Spec = swarm.ServiceSpec{
		Annotations:    swarm.Annotations{Name: service.Name, Labels: c.labels(from.Deploy.Labels)},
		TaskTemplate:   task,
		Mode:           mode,
		UpdateConfig:   update(from.Deploy.UpdateConfig),
		RollbackConfig: update(from.Deploy.RollbackConfig),
		EndpointSpec:   endpoint(from),
	}
	if c.prefix != "" {
		service.Spec.Labels[labelStackImage] = from.Image
	}
	// If this program dies, the engine's own rollback still restores the old version.
	if service.Spec.UpdateConfig == nil {
		service.Spec.UpdateConfig = update(&types.UpdateConfig{})
	}
	if service.Spec.UpdateConfig.FailureAction == "" {
		service.Spec.UpdateConfig.FailureAction = swarm.UpdateFailureActionRollback
	}
	if from.HealthCheck != nil && from.HealthCheck.StartInterval != nil {
		service.Deploy.StartInterval = time.Duration(*from.HealthCheck.StartInterval)
	}
	if err := c.extend(&service); err != nil {
		return service, fmt.Errorf("x-deploy.%w", err)
	}
	return service, nil
}

func (c *conversion) build(from types.BuildConfig) (*Build, error) {
	if from.Context == "" {
		return nil, errors.New("build.context: there is none")
	}
	build := &Build{Context: c.absolute(from.Context), Target: from.Target}
	if strings.Contains(from.Context, "://") || strings.HasPrefix(from.Context, "git@") {
		return nil, fmt.Errorf("build.context: %s is not carried over: clone it, and name the directory", from.Context)
	}
	if info, err := os.Stat(build.Context); err != nil || !info.IsDir() {
		return nil, fmt.Errorf("build.context: there is no directory %s", build.Context)
	}
	if build.Dockerfile = cmp.Or(from.Dockerfile, "Dockerfile"); !filepath.IsAbs(build.Dockerfile) {
		build.Dockerfile = filepath.Join(build.Context, build.Dockerfile)
	}
	if info, err := os.Stat(build.Dockerfile); err != nil || info.IsDir() {
		return nil, fmt.Errorf("build.dockerfile: there is no file %s", build.Dockerfile)
	}
	for name, value := range from.Args {
		if value == nil { // As for docker build: the variable's value, if it is set.
			set, isSet := c.env[name]
			if !isSet {
				continue
			}
			value = &set
		}
		if build.Args == nil {
			build.Args = map[string]string{}
		}
		build.Args[name] = *value
	}
	return build, nil
}

func (c *conversion) task(from types.ServiceConfig) (swarm.TaskSpec, error) {
	var task swarm.TaskSpec
	mounts, err := c.mounts(from)
	if err != nil {
		return task, err
	}
	dns, err := dns(from)
	if err != nil {
		return task, err
	}
	health, err := health(from.HealthCheck)
	if err != nil {
		return task, err
	}
	capAdd, capDrop := opts.EffectiveCapAddCapDrop(from.CapAdd, from.CapDrop)
	task.ContainerSpec = &swarm.ContainerSpec{
		Command:         from.Entrypoint,
		Args:            from.Command,
		Hostname:        from.Hostname,
		Hosts:           hostLines(from.ExtraHosts),
		DNSConfig:       dns,
		Healthcheck:     health,
		Env:             environment(from.Environment),
		Labels:          c.labels(from.Labels),
		Dir:             from.WorkingDir,
		User:            from.User,
		Mounts:          mounts,
		StopGracePeriod: types.ConvertDurationPtr(from.StopGracePeriod),
		StopSignal:      from.StopSignal,
		TTY:             from.Tty,
		OpenStdin:       from.StdinOpen,
		ReadOnly:        from.ReadOnly,
		Isolation:       container.Isolation(from.Isolation),
		Init:            from.Init,
		Sysctls:         from.Sysctls,
		CapabilityAdd:   capAdd,
		CapabilityDrop:  capDrop,
		Ulimits:         ulimits(from.Ulimits),
	}
	if from.Logging != nil {
		task.LogDriver = &swarm.Driver{Name: from.Logging.Driver, Options: from.Logging.Options}
	}
	if task.Resources, err = resources(from.Deploy.Resources); err != nil {
		return task, err
	}
	task.RestartPolicy = restarts(from.Restart)
	if policy := from.Deploy.RestartPolicy; policy != nil {
		task.RestartPolicy = &swarm.RestartPolicy{
			Condition:   swarm.RestartPolicyCondition(policy.Condition),
			Delay:       types.ConvertDurationPtr(policy.Delay),
			MaxAttempts: policy.MaxAttempts,
			Window:      types.ConvertDurationPtr(policy.Window),
		}
	}
	if placement := from.Deploy.Placement; len(placement.Constraints)+len(placement.Preferences) > 0 || placement.MaxReplicas > 0 {
		task.Placement = &swarm.Placement{Constraints: placement.Constraints, MaxReplicas: placement.MaxReplicas}
		for _, preference := range placement.Preferences {
			task.Placement.Preferences = append(task.Placement.Preferences, swarm.PlacementPreference{Spread: &swarm.SpreadOver{SpreadDescriptor: preference.Spread}})
		}
	}
	task.Networks, err = c.attachments(from)
	return task, err
}

// Labels that docker stack deploy puts on what belongs to a stack.
const (
	labelStack      = "com.docker.stack.namespace"
	labelStackImage = "com.docker.stack.image"
)

// scoped is the name in the swarm of something that has only a key in the file.
func (c *conversion) scoped(key string) string { return NameIn(c.prefix, key) }

// labels adds the label of the stack.
func (c *conversion) labels(from map[string]string) map[string]string {
	if c.prefix == "" {
		return from
	}
	labels := maps.Clone(from)
	if labels == nil {
		labels = map[string]string{}
	}
	labels[labelStack] = c.prefix
	return labels
}

// restarts converts the policy of docker run as docker stack deploy does.
func restarts(from string) *swarm.RestartPolicy {
	switch policy, err := opts.ParseRestartPolicy(from); {
	case err != nil: // It has been checked.
	case policy.IsAlways(), policy.IsUnlessStopped():
		return &swarm.RestartPolicy{Condition: swarm.RestartPolicyConditionAny}
	case policy.IsOnFailure():
		attempts := uint64(policy.MaximumRetryCount)
		return &swarm.RestartPolicy{Condition: swarm.RestartPolicyConditionOnFailure, MaxAttempts: &attempts}
	}
	return nil
}

// networkName is the network's name in the swarm.
func (c *conversion) networkName(key string) string {
	return cmp.Or(c.config.Networks[key].Name, c.scoped(key))
}

// networksOf are the networks of a service by key, with their options. As for docker stack
// deploy, a service that names no network is on the network default, if the file declares
// default or there is a stack.
func (c *conversion) networksOf(from types.ServiceConfig) map[string]*types.ServiceNetworkConfig {
	_, declared := c.config.Networks[defaultNetwork]
	if len(from.Networks) > 0 || !declared && c.prefix == "" {
		return from.Networks
	}
	return map[string]*types.ServiceNetworkConfig{defaultNetwork: nil}
}

// defaultNetwork is the key of the network of services that name none.
const defaultNetwork = "default"

// reserved are names that a new network cannot have, because engines have networks with these
// names.
var reserved = []string{"bridge", "default", "host", "ingress", "none"}

// Predefined tells whether every node has a network of this name, which services may be on.
func Predefined(network string) bool {
	return network == "host" || network == "bridge" || network == "none"
}

// attachments refers to networks by name, because only the engine knows their ids.
func (c *conversion) attachments(from types.ServiceConfig) ([]swarm.NetworkAttachmentConfig, error) {
	var list []swarm.NetworkAttachmentConfig
	on := c.networksOf(from)
	for _, key := range slices.Sorted(maps.Keys(on)) {
		if _, declared := c.config.Networks[key]; !declared && (key != defaultNetwork || c.prefix == "") {
			return nil, fmt.Errorf("networks: %s is not among the networks at the end of the file", key)
		}
		attachment := swarm.NetworkAttachmentConfig{Target: c.networkName(key)}
		if slices.ContainsFunc(list, func(other swarm.NetworkAttachmentConfig) bool { return other.Target == attachment.Target }) {
			return nil, fmt.Errorf("networks: %s is named twice", attachment.Target)
		}
		if options := on[key]; options != nil {
			attachment.Aliases, attachment.DriverOpts = options.Aliases, options.DriverOpts
		}
		if c.prefix != "" && !Predefined(attachment.Target) { // Services reach each other by their keys in the file.
			attachment.Aliases = append(attachment.Aliases, from.Name)
		}
		list = append(list, attachment)
	}
	slices.SortFunc(list, func(a, b swarm.NetworkAttachmentConfig) int { return cmp.Compare(a.Target, b.Target) })
	return list, nil
}

// networks adds the networks that services are on to the stack.
func (c *conversion) networks(stack *Stack) error {
	keys := map[string]bool{}
	for key := range c.config.Networks {
		keys[key] = true
	}
	if c.prefix != "" {
		keys[defaultNetwork] = true
	}
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		from, isDeclared := c.config.Networks[key]
		name := c.networkName(key)
		used := slices.ContainsFunc(stack.Services, func(s Service) bool {
			return slices.ContainsFunc(s.Spec.TaskTemplate.Networks, func(n swarm.NetworkAttachmentConfig) bool { return n.Target == name })
		})
		switch isReserved := slices.Contains(reserved, name); {
		case !used && !isDeclared:
			continue
		case used && isReserved && !from.External.External:
			return fmt.Errorf("networks.%s: a network cannot be called %s: give it another name, or set STACK", key, name)
		}
		if !used {
			stack.Warnings = append(stack.Warnings, fmt.Sprintf("networks.%s is not used: no service is on it", key))
			continue
		}
		network := Network{Name: name, External: from.External.External}
		if !network.External {
			network.Spec = NetworkSpec{Driver: cmp.Or(from.Driver, "overlay"), DriverOpts: from.DriverOpts, Labels: c.labels(from.Labels), Internal: from.Internal, Attachable: from.Attachable}
			network.Spec.IPAMDriver = from.Ipam.Driver
			for _, pool := range from.Ipam.Config {
				network.Spec.Subnets = append(network.Spec.Subnets, pool.Subnet)
			}
		} else if from.Driver != "" || len(from.DriverOpts)+len(from.Labels) > 0 || from.Internal || from.Attachable || from.Ipam.Driver != "" || len(from.Ipam.Config) > 0 {
			stack.Warnings = append(stack.Warnings, fmt.Sprintf("networks.%s: only the name counts, as the network is external", key))
		}
		stack.Networks = append(stack.Networks, network)
	}
	slices.SortFunc(stack.Networks, func(a, b Network) int { return cmp.Compare(a.Name, b.Name) })
	for _, service := range stack.Services {
		if len(stack.Services) > 1 && len(service.Spec.TaskTemplate.Networks) == 0 && !c.alone[service.Key] {
			stack.Warnings = append(stack.Warnings, fmt.Sprintf("services.%s is on no network, so no other service reaches it: name a network in networks, or write networks: [] if you want this", service.Key))
		}
	}
	return nil
}

// mounts converts volumes and the short tmpfs.
func (c *conversion) mounts(from types.ServiceConfig) ([]mount.Mount, error) {
	var mounts []mount.Mount
	for _, volume := range from.Volumes {
		one, err := c.mount(from.Name, volume)
		if err != nil {
			return nil, fmt.Errorf("volumes: %w", err)
		}
		mounts = append(mounts, one)
	}
	for _, text := range from.Tmpfs {
		one, err := shortTmpfs(text)
		if err != nil {
			return nil, fmt.Errorf("tmpfs: %q: %w", text, err)
		}
		mounts = append(mounts, one)
	}
	for i, one := range mounts {
		if !path.IsAbs(one.Target) {
			return nil, fmt.Errorf("volumes: the target %q is not an absolute path", one.Target)
		}
		if slices.ContainsFunc(mounts[:i], func(other mount.Mount) bool { return path.Clean(other.Target) == path.Clean(one.Target) }) {
			return nil, fmt.Errorf("volumes: two have the target %s", one.Target)
		}
	}
	return mounts, nil
}

func (c *conversion) mount(service string, from types.ServiceVolumeConfig) (mount.Mount, error) {
	to := mount.Mount{Type: mount.Type(from.Type), Source: from.Source, Target: from.Target, ReadOnly: from.ReadOnly, Consistency: mount.Consistency(from.Consistency)}
	for _, other := range []struct {
		kind  mount.Type
		given bool
	}{{mount.TypeBind, from.Bind != nil}, {mount.TypeVolume, from.Volume != nil}, {mount.TypeTmpfs, from.Tmpfs != nil}} {
		if other.given && other.kind != to.Type {
			return to, fmt.Errorf("options of %s do not fit the type %s of %s", other.kind, from.Type, from.Target)
		}
	}
	switch to.Type {
	case mount.TypeVolume:
		return c.volume(to, from)
	case mount.TypeBind:
		if from.Bind != nil && from.Bind.Propagation != "" {
			to.BindOptions = &mount.BindOptions{Propagation: mount.Propagation(from.Bind.Propagation)}
		}
	case mount.TypeTmpfs:
		if from.Source != "" {
			return to, fmt.Errorf("the tmpfs at %s cannot have a source", from.Target)
		}
		if from.Tmpfs != nil {
			to.TmpfsOptions = &mount.TmpfsOptions{SizeBytes: from.Tmpfs.Size, Mode: os.FileMode(c.modes[mountKey(service, from.Target)])}
		}
	default:
		return to, fmt.Errorf("the type %q is not carried over: this program does not know it", from.Type)
	}
	return to, nil
}

// volume converts a volume. Each task gets its own volume, if the volume has no name.
func (c *conversion) volume(to mount.Mount, from types.ServiceVolumeConfig) (mount.Mount, error) {
	var options mount.VolumeOptions
	if from.Source != "" {
		declared, isDeclared := c.config.Volumes[from.Source]
		if !isDeclared {
			return to, fmt.Errorf("%s is not among the volumes at the end of the file", from.Source)
		}
		to.Source = cmp.Or(declared.Name, c.scoped(from.Source))
		c.used[from.Source] = true
		if !declared.External.External {
			options.Labels = c.labels(declared.Labels)
			c.volumes[to.Source] = true
		}
		if declared.Driver != "" || len(declared.DriverOpts) > 0 {
			options.DriverConfig = &mount.Driver{Name: declared.Driver, Options: declared.DriverOpts}
		}
	}
	if from.Volume != nil {
		options.NoCopy = from.Volume.NoCopy
	}
	if options.NoCopy || len(options.Labels) > 0 || options.DriverConfig != nil {
		to.VolumeOptions = &options
	}
	return to, nil
}

// shortTmpfs reads TARGET[:size=64m,mode=1777,ro].
func shortTmpfs(text string) (mount.Mount, error) {
	target, list, _ := strings.Cut(text, ":")
	to := mount.Mount{Type: mount.TypeTmpfs, Target: target}
	if list == "" {
		return to, nil
	}
	to.TmpfsOptions = &mount.TmpfsOptions{}
	for option := range strings.SplitSeq(list, ",") {
		name, value, _ := strings.Cut(option, "=")
		switch name {
		case "size":
			size, err := units.RAMInBytes(value)
			if err != nil || size < 0 {
				return to, fmt.Errorf("%q is not a size such as 64m", value)
			}
			to.TmpfsOptions.SizeBytes = size
		case "mode":
			mode, ok := toFileMode(value)
			if !ok {
				return to, fmt.Errorf("%q is not an octal mode such as 1777", value)
			}
			to.TmpfsOptions.Mode = os.FileMode(mode)
		case "ro", "rw":
			to.ReadOnly = name == "ro"
		default:
			return to, fmt.Errorf("the option %s is not carried over: this program does not know it", name)
		}
	}
	return to, nil
}

func health(from *types.HealthCheckConfig) (*container.HealthConfig, error) {
	switch {
	case from == nil:
		return nil, nil
	case from.Disable && len(from.Test) > 0:
		return nil, errors.New("healthcheck: test and disable exclude each other")
	case from.Disable:
		return &container.HealthConfig{Test: []string{"NONE"}}, nil
	}
	// The start interval is in Deploy: the plan knows whether the engine has it.
	to := &container.HealthConfig{Test: from.Test, Interval: since(from.Interval), Timeout: since(from.Timeout), StartPeriod: since(from.StartPeriod)}
	if from.Retries != nil {
		to.Retries = int(*from.Retries)
	}
	return to, nil
}

func since(d *types.Duration) time.Duration {
	if d == nil {
		return 0
	}
	return time.Duration(*d)
}

func mode(from types.DeployConfig) (swarm.ServiceMode, error) {
	if from.Mode != "global" {
		return swarm.ServiceMode{Replicated: &swarm.ReplicatedService{Replicas: from.Replicas}}, nil
	}
	if from.Replicas != nil {
		return swarm.ServiceMode{}, errors.New("deploy.replicas: a global service runs once on each node")
	}
	return swarm.ServiceMode{Global: &swarm.GlobalService{}}, nil
}

// update converts update_config or rollback_config. The default is one task at a time.
func update(from *types.UpdateConfig) *swarm.UpdateConfig {
	if from == nil {
		return nil
	}
	to := &swarm.UpdateConfig{
		Parallelism:     1,
		Delay:           time.Duration(from.Delay),
		FailureAction:   swarm.FailureAction(from.FailureAction),
		Monitor:         time.Duration(from.Monitor),
		MaxFailureRatio: from.MaxFailureRatio,
		Order:           swarm.UpdateOrder(from.Order),
	}
	if from.Parallelism != nil {
		to.Parallelism = *from.Parallelism
	}
	return to
}

func resources(from types.Resources) (*swarm.ResourceRequirements, error) {
	if from.Limits == nil && from.Reservations == nil {
		return nil, nil
	}
	to := &swarm.ResourceRequirements{}
	if limits := from.Limits; limits != nil {
		cpus, _ := toCPUs(cmp.Or(limits.NanoCPUs, "0"))
		to.Limits = &swarm.Limit{NanoCPUs: cpus, MemoryBytes: int64(limits.MemoryBytes), Pids: limits.Pids}
	}
	if reserved := from.Reservations; reserved != nil {
		cpus, _ := toCPUs(cmp.Or(reserved.NanoCPUs, "0"))
		to.Reservations = &swarm.Resources{NanoCPUs: cpus, MemoryBytes: int64(reserved.MemoryBytes)}
		for _, generic := range reserved.GenericResources {
			discrete := generic.DiscreteResourceSpec
			if discrete == nil || discrete.Kind == "" {
				return nil, errors.New("deploy.resources.reservations.generic_resources: a kind is missing")
			}
			to.Reservations.GenericResources = append(to.Reservations.GenericResources, swarm.GenericResource{
				DiscreteResourceSpec: &swarm.DiscreteGenericResource{Kind: discrete.Kind, Value: discrete.Value},
			})
		}
	}
	return to, nil
}

func endpoint(from types.ServiceConfig) *swarm.EndpointSpec {
	to := &swarm.EndpointSpec{Mode: swarm.ResolutionMode(from.Deploy.EndpointMode)}
	for _, port := range from.Ports {
		to.Ports = append(to.Ports, swarm.PortConfig{
			Protocol:      network.IPProtocol(cmp.Or(port.Protocol, "tcp")),
			TargetPort:    port.Target,
			PublishedPort: port.Published,
			PublishMode:   swarm.PortConfigPublishMode(cmp.Or(port.Mode, "ingress")),
		})
	}
	slices.SortFunc(to.Ports, swarm.PortConfig.Compare)
	return to
}

// checkPorts finds errors that the engine would report only after the old service is removed.
func checkPorts(endpoint *swarm.EndpointSpec) error {
	for i, port := range endpoint.Ports {
		if endpoint.Mode == swarm.ResolutionModeDNSRR && port.PublishMode == swarm.PortConfigPublishModeIngress {
			return fmt.Errorf("deploy.endpoint_mode: dnsrr cannot publish port %d in mode ingress, only in mode host", port.TargetPort)
		}
		if port.PublishedPort != 0 && slices.ContainsFunc(endpoint.Ports[:i], func(other swarm.PortConfig) bool {
			return other.PublishedPort == port.PublishedPort && other.Protocol == port.Protocol
		}) {
			return fmt.Errorf("ports: port %d is published twice", port.PublishedPort)
		}
	}
	return nil
}

func dns(from types.ServiceConfig) (*swarm.DNSConfig, error) {
	if len(from.DNS)+len(from.DNSSearch) == 0 {
		return nil, nil
	}
	to := &swarm.DNSConfig{Search: from.DNSSearch}
	for _, text := range from.DNS {
		address, err := netip.ParseAddr(text)
		if err != nil {
			return nil, fmt.Errorf("dns: %s is not an IP address", strconv.Quote(text))
		}
		to.Nameservers = append(to.Nameservers, address)
	}
	return to, nil
}

// hostLines turns HOST:ADDRESS into lines of /etc/hosts.
func hostLines(from types.HostsList) []string {
	var lines []string
	for _, text := range from {
		host, address, _ := strings.Cut(text, ":")
		lines = append(lines, address+" "+host)
	}
	return lines
}

// environment sorts the variables. A name without a value removes the variable that the image
// sets.
func environment(from types.MappingWithEquals) []string {
	var list []string
	for _, name := range slices.Sorted(maps.Keys(from)) {
		if value := from[name]; value != nil {
			name += "=" + *value
		}
		list = append(list, name)
	}
	return list
}

func ulimits(from map[string]*types.UlimitsConfig) []*container.Ulimit {
	var list []*container.Ulimit
	for _, name := range slices.Sorted(maps.Keys(from)) {
		limit := from[name]
		list = append(list, &container.Ulimit{Name: name, Soft: int64(cmp.Or(limit.Single, limit.Soft)), Hard: int64(cmp.Or(limit.Single, limit.Hard))})
	}
	return list
}
