// Package stack reads stack files and returns the wanted services as values that can be
// compared, printed and tested. It calls no engine.
package stack

import (
	"time"

	"github.com/moby/moby/api/types/swarm"
)

// A Stack is what one or more stack files ask for.
type Stack struct {
	Services []Service // in the order in which they are deployed: depends_on first, then by name
	Networks []Network // by name
	Volumes  []string  // named volumes of the services, without external ones, by name
	Contents []Content // secrets, then configs, by key
	Warnings []string  // a sentence each: keys that docker stack deploy ignores too, and the like
}

// A Service is one service of the files.
type Service struct {
	// Key is the name of the service in the files.
	Key string
	// Name is the name of the service in the swarm: the key, with STACK_ in front if there is a
	// stack.
	Name string
	// After are the keys of the services that have to be deployed before.
	After []string
	// Image is the image in the file: a finished image, or the repository and the version for
	// the tags of a build.
	Image string
	// Build says how the image is made; nil for a finished image.
	Build *Build
	// Spec is the wanted Spec. Its image is still empty. It names networks, secrets and configs
	// by name, without ids. Its update order is empty if the file names none. Its health check
	// has no start interval: Deploy has it, for engines that know it. ContainerSpec,
	// EndpointSpec and UpdateConfig are never nil.
	Spec swarm.ServiceSpec
	// Deploy has the settings that a Spec cannot have.
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
	Timeout       time.Duration // from the first change to the proven answer; going back gets the same time again
	Keep          int           // number of versions that a rollback can go back to
}

// Verify is the question that a working service answers.
type Verify struct {
	Path   string `json:"path,omitempty"`   // asked at Port of each address of the service
	Port   uint32 `json:"port,omitempty"`   // published port
	URL    string `json:"url,omitempty"`    // instead of Path and Port: for a service behind a proxy
	Status int    `json:"status,omitempty"` // wanted status
	Body   string `json:"body,omitempty"`   // wanted body; empty: any
}

// A Network is a network that services of the files are on.
type Network struct {
	Name     string // in the swarm
	External bool   // must exist already, and is never removed
	Spec     NetworkSpec
}

// A NetworkSpec says how to create a network that is missing.
type NetworkSpec struct {
	Driver     string            `json:"driver"` // "overlay" if the file names none
	DriverOpts map[string]string `json:"driver_opts,omitempty"`
	Labels     map[string]string `json:"labels,omitempty"`
	Internal   bool              `json:"internal,omitempty"`
	Attachable bool              `json:"attachable,omitempty"`
	IPAMDriver string            `json:"ipam_driver,omitempty"`
	Subnets    []string          `json:"subnets,omitempty"` // as in 10.11.0.0/24; empty: the engine's choice
}
