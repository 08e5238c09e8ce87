// Package stack reads stack files into the services that are wanted: values that can be
// compared, printed and tested. It touches no engine.
package stack

import (
	"time"

	"github.com/moby/moby/api/types/swarm"
)

// A Stack is what one or more stack files ask for.
type Stack struct {
	Services []Service // in the order in which they are deployed: depends_on first, then by name
	Networks []Network // by name
	Volumes  []string  // named ones that services have, but for external ones, by name
	Contents []Content // secrets, then configs, by key
	Warnings []string  // a sentence each: keys that docker stack deploy ignores too, and the like
}

// A Service is one service of the files.
type Service struct {
	// Key is the service's name in the files.
	Key string
	// Name is the service's name in the swarm: the same, with STACK_ in front where there is a stack.
	Name string
	// After are the keys of the services that have to be deployed before.
	After []string
	// Image is what the file names: a finished image, or the repository and the version
	// that a build gets as its tags.
	Image string
	// Build says how the image is made; nil for a finished image.
	Build *Build
	// Spec is what is to run. Its image is still empty, its networks, secrets and configs
	// are named by name and have no id, and its update order is empty where the file does not say one. Its
	// health check has no start interval: Deploy has it, for engines that know it.
	// ContainerSpec, EndpointSpec and UpdateConfig are there always.
	Spec swarm.ServiceSpec
	// Deploy has what a Spec cannot say.
	Deploy Deploy
}

// A Build says how an image is made. Paths are absolute.
type Build struct {
	Context    string
	Dockerfile string
	Target     string
	Args       map[string]string
	// Package is the Go package that is compiled into the context as `service`; empty: none.
	// It is a directory, absolute.
	Package string
}

// Deploy is the extension x-deploy of a service.
type Deploy struct {
	Verify        *Verify       // nil: a service counts as working when it was healthy for Trial
	StartInterval time.Duration // of the health check while the container starts; 0: the engine's
	Trial         time.Duration // how long a trial must stay healthy; 0: no trial
	Timeout       time.Duration // from the first change to the proven answer; undoing gets as much
	Keep          int           // how many versions can be gone back to
}

// Verify is the question that a working service answers.
type Verify struct {
	Path   string `json:"path,omitempty"`   // asked at Port of each address of the service
	Port   uint32 `json:"port,omitempty"`   // published port
	URL    string `json:"url,omitempty"`    // instead of Path and Port: for a service behind a proxy
	Status int    `json:"status,omitempty"` // that must come
	Body   string `json:"body,omitempty"`   // that must come; empty: any
}

// A Network is one that services of the files are on.
type Network struct {
	Name     string // in the swarm
	External bool   // must be there already, and is never removed
	Spec     NetworkSpec
}

// A NetworkSpec says how a network that is missing is created.
type NetworkSpec struct {
	Driver     string            `json:"driver"` // "overlay" where the file does not say
	DriverOpts map[string]string `json:"driver_opts,omitempty"`
	Labels     map[string]string `json:"labels,omitempty"`
	Internal   bool              `json:"internal,omitempty"`
	Attachable bool              `json:"attachable,omitempty"`
	IPAMDriver string            `json:"ipam_driver,omitempty"`
	Subnets    []string          `json:"subnets,omitempty"` // as in 10.11.0.0/24; empty: the engine's choice
}
