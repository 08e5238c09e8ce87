package stack

import (
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"regexp"
	"slices"

	"github.com/docker/cli/cli/compose/types"
	"github.com/moby/moby/api/types/swarm"
)

// A Kind tells secrets and configs apart.
type Kind string

const (
	Secret Kind = "secret"
	Config Kind = "config"
)

// A Content is a secret or a config that services of the files use.
type Content struct {
	Kind     Kind
	Name     string // in the swarm; with the hash of the content at the end, if it is from a file
	External bool   // must exist already, and is never removed
	Services []string
	// The rest is only for content from a file.
	Labels   map[string]string
	Template string // driver that fills in placeholders in the data; "": none
	Data     []byte
}

// String names it, and shows nothing of its data.
func (c Content) String() string { return string(c.Kind) + " " + c.Name }

// contentName matches the names that the swarm accepts for secrets and configs.
var contentName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$`)

// The smallest sizes, in bytes, that the swarm refuses. Sources: moby/swarmkit, MaxSecretSize
// in api/validation/secrets.go, and maxConfigSize in manager/controlapi/config.go.
var limit = map[Kind]int{Secret: 500 << 10, Config: 1000 << 10}

// longestName is how long the name of a secret or a config may be.
const longestName = 64

// declared are the secrets or the configs of the files, by key.
func (c *conversion) declared(kind Kind) map[string]types.FileObjectConfig {
	all := map[string]types.FileObjectConfig{}
	for key, one := range c.config.Secrets {
		if kind == Secret {
			all[key] = types.FileObjectConfig(one)
		}
	}
	for key, one := range c.config.Configs {
		if kind == Config {
			all[key] = types.FileObjectConfig(one)
		}
	}
	return all
}

// content adds the secrets and configs that services use to the stack. It reads their files.
func (c *conversion) content(stack *Stack) error {
	for _, kind := range []Kind{Secret, Config} {
		declared := c.declared(kind)
		for _, key := range slices.Sorted(maps.Keys(declared)) {
			services := c.users[kind][key]
			if len(services) == 0 {
				stack.Warnings = append(stack.Warnings, fmt.Sprintf("%ss.%s is not used: no service has it", kind, key))
				continue
			}
			one, err := c.read(kind, key, declared[key])
			if err != nil {
				return fmt.Errorf("%ss.%s.%w", kind, key, err)
			}
			if from := declared[key]; one.External && (len(from.Labels) > 0 || from.TemplateDriver != "" || from.File != "") {
				stack.Warnings = append(stack.Warnings, fmt.Sprintf("%ss.%s: only the name counts, as the %[1]s is external", kind, key))
			}
			one.Services = services
			c.names[kind][key] = one.Name
			if same := slices.IndexFunc(stack.Contents, func(other Content) bool { return other.Kind == kind && other.Name == one.Name }); same >= 0 {
				stack.Contents[same].Services = append(stack.Contents[same].Services, services...)
				continue
			}
			stack.Contents = append(stack.Contents, one)
		}
	}
	return nil
}

// read reads the file of a secret or a config, and puts the hash of its content into its
// name. The data of a secret in the swarm cannot change, so a changed file is another secret.
func (c *conversion) read(kind Kind, key string, from types.FileObjectConfig) (Content, error) {
	one := Content{Kind: kind, Name: from.Name, External: from.External.External}
	if one.External {
		return one, nil
	}
	if from.File == "" || from.File == c.dir {
		return one, fmt.Errorf("file: there is none: name a file, or write external: true for a %s that exists in the swarm", kind)
	}
	data, err := os.ReadFile(from.File)
	var path *fs.PathError
	switch {
	case errors.As(err, &path):
		return one, fmt.Errorf("file: %s cannot be read: %w", from.File, path.Err)
	case err != nil:
		return one, fmt.Errorf("file: %w", err)
	case len(data) == 0:
		return one, fmt.Errorf("file: %s is empty, and the swarm does not accept that", from.File)
	case len(data) >= limit[kind]:
		return one, fmt.Errorf("file: %s has %d bytes, but a %s must have less than %d", from.File, len(data), kind, limit[kind])
	}
	one.Data, one.Template, one.Labels = data, from.TemplateDriver, c.labels(from.Labels)
	prefix := cmp.Or(from.Name, c.scoped(key))
	if !contentName.MatchString(prefix) {
		return one, fmt.Errorf("name: %q is not of letters and digits, with -, _ and . between them", prefix)
	}
	if one.Name = prefix + "-" + sum(one); len(one.Name) > longestName {
		return one, fmt.Errorf("name: %q has %d characters with the hash of its content, but a %s may have %d at most: choose a shorter name", one.Name, len(one.Name), kind, longestName)
	}
	return one, nil
}

// sum is the hash of everything that must not differ under one name, as 12 hex digits.
func sum(one Content) string {
	hash := sha256.New()
	hash.Write(one.Data)
	if one.Template != "" || len(one.Labels) > 0 {
		text, err := json.Marshal([]any{one.Template, one.Labels})
		if err != nil {
			panic(err) // A string and a map of strings.
		}
		hash.Write(text)
	}
	return fmt.Sprintf("%x", hash.Sum(nil))[:12]
}

// use notes that a service has secrets or configs, and returns their places in the container.
// It puts the key in place of the name, because the name is known only after the file is
// read.
func (c *conversion) use(service string, kind Kind, references []types.FileReferenceConfig) ([]swarm.ConfigReference, error) {
	var list []swarm.ConfigReference
	for _, from := range references {
		if _, isDeclared := c.declared(kind)[from.Source]; !isDeclared {
			return nil, fmt.Errorf("%ss: %s is not among the %[1]ss at the end of the file", kind, from.Source)
		}
		target := cmp.Or(from.Target, from.Source)
		if slices.ContainsFunc(list, func(other swarm.ConfigReference) bool { return other.File.Name == target }) {
			return nil, fmt.Errorf("%ss: two have the target %s", kind, target)
		}
		if !slices.Contains(c.users[kind][from.Source], service) {
			c.users[kind][from.Source] = append(c.users[kind][from.Source], service)
		}
		mode := os.FileMode(0o444)
		if from.Mode != nil {
			mode = os.FileMode(*from.Mode)
		}
		list = append(list, swarm.ConfigReference{
			ConfigName: from.Source,
			File:       &swarm.ConfigReferenceFileTarget{Name: target, UID: cmp.Or(from.UID, "0"), GID: cmp.Or(from.GID, "0"), Mode: mode},
		})
	}
	slices.SortFunc(list, func(a, b swarm.ConfigReference) int { return cmp.Compare(a.File.Name, b.File.Name) })
	return list, nil
}

// useBoth puts the secrets and configs of a service into its container.
func (c *conversion) useBoth(from types.ServiceConfig, service string, to *swarm.ContainerSpec) error {
	var secrets, configs []types.FileReferenceConfig
	for _, one := range from.Secrets {
		secrets = append(secrets, types.FileReferenceConfig(one))
	}
	for _, one := range from.Configs {
		configs = append(configs, types.FileReferenceConfig(one))
	}
	list, err := c.use(service, Secret, secrets)
	if err != nil {
		return err
	}
	for _, one := range list {
		file := swarm.SecretReferenceFileTarget(*one.File)
		to.Secrets = append(to.Secrets, &swarm.SecretReference{SecretName: one.ConfigName, File: &file})
	}
	if list, err = c.use(service, Config, configs); err != nil {
		return err
	}
	for _, one := range list {
		to.Configs = append(to.Configs, &one)
	}
	return nil
}

// nameContents replaces the keys of secrets and configs in a Spec with their names in the
// swarm.
func (c *conversion) nameContents(spec *swarm.ServiceSpec) {
	for _, one := range spec.TaskTemplate.ContainerSpec.Secrets {
		one.SecretName = c.names[Secret][one.SecretName]
	}
	for _, one := range spec.TaskTemplate.ContainerSpec.Configs {
		one.ConfigName = c.names[Config][one.ConfigName]
	}
}
