package stack

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/docker/cli/cli/compose/interpolation"
	"github.com/docker/cli/cli/compose/loader"
	"github.com/docker/cli/cli/compose/template"
	"github.com/docker/cli/cli/compose/types"
	"github.com/moby/moby/api/types/swarm"
	"github.com/sirupsen/logrus"
	"go.yaml.in/yaml/v3"
)

// Options say what to load.
type Options struct {
	// Files are merged in this order, as docker stack deploy -c FILE -c FILE does: a later file
	// adds and overrides. Relative paths in all files start at the directory of the first file.
	Files []string
	// Env has the variables for ${NAME:-default}. An empty variable counts as unset.
	Env map[string]string
	// Settings change what the files say.
	Settings Settings
}

// Settings are settings of the program, for changes that a variable in a file cannot make. An
// empty setting changes nothing.
type Settings struct {
	// Stack prefixes and labels all names, as docker stack deploy does with the stack's name.
	Stack string
	// PublishMode is ingress or host, for all ports of all services. host sets the endpoint mode
	// dnsrr, because a virtual IP needs IPVS. ingress sets vip.
	PublishMode string
	// ServiceEnv is NAME=value NAME=value ..., for the one service that is built.
	ServiceEnv string
	// VerifyBody is the body that the one service that is built must answer with.
	VerifyBody string
}

// Load reads stack files. The user can fix each error: it names the file and, if it is known,
// the key. One error may have several lines. No key is ignored without a message: a key that
// is not carried over is an error, or a warning if docker stack deploy ignores it too.
func Load(options Options) (*Stack, error) {
	if len(options.Files) == 0 {
		return nil, errors.New("no stack file is given")
	}
	env := map[string]string{}
	for name, value := range options.Env {
		if value != "" {
			env[name] = value
		}
	}
	dir, err := filepath.Abs(filepath.Dir(options.Files[0]))
	if err != nil {
		return nil, located(options.Files[0], err.Error())
	}

	// The loader writes warnings to its own logger. The important ones are in Stack.Warnings.
	defer logrus.SetOutput(logrus.StandardLogger().Out)
	logrus.SetOutput(io.Discard)

	details := types.ConfigDetails{WorkingDir: dir, Environment: env}
	c := conversion{
		name: strings.Join(options.Files, ", "), dir: dir, env: env, prefix: options.Settings.Stack,
		users: map[Kind]map[string][]string{Secret: {}, Config: {}}, names: map[Kind]map[string]string{Secret: {}, Config: {}}, used: map[string]bool{}, volumes: map[string]bool{},
		built: map[string]bool{}, modes: map[string]uint32{}, extensions: map[string]map[string]any{}, alone: map[string]bool{},
	}
	var warnings []string
	earlier := map[string]any{}
	for _, file := range options.Files {
		raw, err := read(file)
		if err != nil {
			return nil, err
		}
		filled, err := interpolation.Interpolate(raw, interpolation.Options{LookupValue: details.LookupEnv, Substitute: substitute})
		if err != nil {
			return nil, located(file, plain(err))
		}
		w := walk{env: env, dir: dir, earlier: earlier, extended: extends(filled)}
		w.value("", filled, stackFile)
		if len(w.faults) > 0 {
			return nil, located(file, w.faults...)
		}
		for _, warning := range w.warnings {
			warnings = append(warnings, file+": "+warning)
		}
		// First each file alone, so that an error names the file.
		config := types.ConfigFile{Filename: file, Config: raw}
		alone, err := load(types.ConfigDetails{WorkingDir: dir, Environment: env, ConfigFiles: []types.ConfigFile{config}})
		if err != nil {
			return nil, located(file, plain(err))
		}
		c.files = append(c.files, alone)
		details.ConfigFiles = append(details.ConfigFiles, config)
		c.add(filled)
	}
	if c.config, err = load(details); err != nil {
		return nil, located(c.name, plain(err))
	}
	c.keepAll()
	stack, err := c.stack(options.Settings)
	if err != nil {
		return nil, located(c.name, err.Error())
	}
	for i, warning := range stack.Warnings {
		stack.Warnings[i] = c.name + ": " + warning
	}
	stack.Warnings = append(warnings, stack.Warnings...)
	return stack, nil
}

// load checks and merges files with docker's loader.
func load(details types.ConfigDetails) (*types.Config, error) {
	return loader.Load(details, func(o *loader.Options) { o.Interpolate.Substitute = substitute })
}

// read reads and parses a file. It interpolates nothing.
func read(file string) (map[string]any, error) {
	source, err := os.ReadFile(file)
	if err != nil {
		var path *fs.PathError
		if errors.As(err, &path) {
			err = path.Err
		}
		return nil, located(file, err.Error())
	}
	raw, err := parse(source)
	if err != nil {
		return nil, located(file, err.Error())
	}
	return raw, nil
}

// parse reads the only document of a file.
func parse(source []byte) (map[string]any, error) {
	var document any
	decoder := yaml.NewDecoder(bytes.NewReader(source))
	if err := decoder.Decode(&document); err != nil && err != io.EOF {
		if strings.Contains(err.Error(), "invalid map key") {
			return nil, errors.New("a mapping has a key that is a list or a mapping, not text")
		}
		return nil, errors.New(strings.TrimPrefix(err.Error(), "yaml: "))
	}
	if document == nil {
		return nil, errors.New("the file is empty")
	}
	if err := decoder.Decode(new(any)); err != io.EOF {
		return nil, errors.New("only the first YAML document of a file would count: remove everything after the line ---")
	}
	if _, isMapping := document.(map[string]any); !isMapping {
		return nil, errors.New("this is not a mapping with keys such as services and networks")
	}
	return loader.ParseYAML(source)
}

var (
	// variable matches everything that docker treats as a variable, and a $ that begins none.
	variable = regexp.MustCompile(`(?i)\$(\$|[_a-z][_a-z0-9]*(:?[-?][^}]*)?|\{[_a-z][_a-z0-9]*(:?[-?][^}]*)?\}|)`)
	required = regexp.MustCompile(`(?i)^\$\{?([_a-z][_a-z0-9]*):?\?([^}]*)`)
)

// substitute fills in the variables as docker does, but one by one. Docker's own function
// forgets that a variable is required if another follows, or if its message has a hyphen.
func substitute(text string, lookup template.Mapping) (string, error) {
	var fault error
	result := variable.ReplaceAllStringFunc(text, func(one string) string {
		if match := required.FindStringSubmatch(one); match != nil {
			value, _ := lookup(match[1])
			if value == "" && fault == nil {
				fault = fmt.Errorf("the variable %s is not set: %s", match[1], match[2])
			}
			return value
		}
		value, err := template.Substitute(one, lookup)
		if err != nil && fault == nil {
			fault = fmt.Errorf("%s has a $ that begins no variable such as ${NAME:-default}: write $$ for a plain $", quote(text))
		}
		return value
	})
	return result, fault
}

// nameless is the end of a message that shows a line of an env_file, which may be a secret.
var nameless = regexp.MustCompile(`no variable name on line '.*'`)

// plain removes the words from an error of the loader that only its authors understand.
func plain(err error) string {
	text := nameless.ReplaceAllString(strings.Join(strings.Fields(err.Error()), " "), "a line has no name in front of its =")
	return strings.NewReplacer("error while interpolating ", "", "failed to cast to expected type: ", "", ".[]", "",
		"<nil>", "nothing", "decoding failed due to the following error(s): ", "").Replace(text)
}

// located puts the file's name in front of each message.
func located(file string, messages ...string) error {
	var lines []error
	for _, message := range messages {
		lines = append(lines, errors.New(file+": "+message))
	}
	return errors.Join(lines...)
}

// extends tells whether a service of a file has x-deploy.
func extends(file map[string]any) bool {
	services, _ := file["services"].(map[string]any)
	for _, value := range services {
		if service, _ := value.(map[string]any); service["x-deploy"] != nil {
			return true
		}
	}
	return false
}

// inOrder sorts services by depends_on, and then by name. It warns if a depends_on has no
// effect. (docker stack deploy ignores every depends_on.)
func inOrder(services []types.ServiceConfig) (sorted []types.ServiceConfig, warnings []string) {
	waiting := slices.SortedFunc(slices.Values(services), func(a, b types.ServiceConfig) int { return cmp.Compare(a.Name, b.Name) })
	named := func(list []types.ServiceConfig, name string) bool {
		return slices.ContainsFunc(list, func(s types.ServiceConfig) bool { return s.Name == name })
	}
	for i, service := range waiting {
		waiting[i].DependsOn = slices.DeleteFunc(slices.Clone(service.DependsOn), func(name string) bool {
			if named(waiting, name) {
				return false
			}
			warnings = append(warnings, fmt.Sprintf("services.%s.depends_on: there is no service %s, so it is not waited for", service.Name, name))
			return true
		})
	}
	for len(waiting) > 0 {
		next := slices.IndexFunc(waiting, func(s types.ServiceConfig) bool {
			return !slices.ContainsFunc(s.DependsOn, func(name string) bool { return !named(sorted, name) })
		})
		if next < 0 {
			next = 0
			warnings = append(warnings, fmt.Sprintf("services.%s.depends_on: these services wait for each other, so this one does not wait", waiting[0].Name))
			waiting[0].DependsOn = nil
		}
		sorted = append(sorted, waiting[next])
		waiting = slices.Delete(waiting, next, next+1)
	}
	return sorted, warnings
}

// apply changes the services as the settings say.
func (s *Stack) apply(settings Settings, verifyPath string) error {
	switch mode := swarm.PortConfigPublishMode(settings.PublishMode); mode {
	case "":
	case swarm.PortConfigPublishModeHost, swarm.PortConfigPublishModeIngress:
		for _, service := range s.Services {
			endpoint := service.Spec.EndpointSpec
			endpoint.Mode = swarm.ResolutionModeVIP
			if mode == swarm.PortConfigPublishModeHost {
				endpoint.Mode = swarm.ResolutionModeDNSRR
			}
			for i := range endpoint.Ports {
				endpoint.Ports[i].PublishMode = mode
			}
		}
	default:
		return fmt.Errorf("PUBLISH_MODE: %q is not ingress or host", mode)
	}

	var built []*Service
	for i := range s.Services {
		if s.Services[i].Build != nil {
			built = append(built, &s.Services[i])
		}
	}
	if len(built) != 1 {
		if settings.ServiceEnv != "" || settings.VerifyBody != "" {
			return fmt.Errorf("SERVICE_ENV and VERIFY_BODY need exactly one service that is built, but %d are built: edit the file instead", len(built))
		}
		return nil
	}
	one := built[0]
	container := one.Spec.TaskTemplate.ContainerSpec
	for _, pair := range strings.Fields(settings.ServiceEnv) {
		name, _, found := strings.Cut(pair, "=")
		if !found || name == "" {
			return fmt.Errorf("SERVICE_ENV: %q is not NAME=value", pair)
		}
		container.Env = slices.DeleteFunc(container.Env, func(old string) bool {
			oldName, _, _ := strings.Cut(old, "=")
			return oldName == name
		})
		container.Env = append(container.Env, pair)
	}
	slices.Sort(container.Env)
	switch verify := one.Deploy.Verify; {
	case verify == nil && settings.VerifyBody != "":
		return fmt.Errorf("VERIFY_BODY: services.%s has no x-deploy.verify", one.Key)
	case settings.VerifyBody != "":
		verify.Body = settings.VerifyBody
	case verify != nil && verifyPath != "":
		verify.Body = "" // The body in the file belongs to the path in the file.
	}
	return nil
}

// Select returns the named services in the order of the deploy. Without names, it returns
// all.
func (s *Stack) Select(names []string) ([]Service, error) {
	if len(names) == 0 {
		return slices.Clone(s.Services), nil
	}
	var known []string
	var selected []Service
	for _, service := range s.Services {
		known = append(known, service.Key)
		if slices.Contains(names, service.Key) || slices.Contains(names, service.Name) {
			selected = append(selected, service)
		}
	}
	for _, name := range names {
		if !slices.ContainsFunc(s.Services, func(service Service) bool { return service.Key == name || service.Name == name }) {
			return nil, fmt.Errorf("there is no service %q: there are %s", name, strings.Join(known, ", "))
		}
	}
	return selected, nil
}
