package swarm

import (
	"context"
	"crypto/rand"
	"errors"
	"maps"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/swarm"
	"github.com/moby/moby/client"
)

// Configs returns the swarm's configs whose names begin with prefix, with their data.
func (e *Engine) Configs(ctx context.Context, prefix string) ([]swarm.Config, error) {
	var options client.ConfigListOptions
	if prefix != "" {
		options.Filters = make(client.Filters).Add("name", prefix)
	}
	found, err := call(ctx, e, e.api.ConfigList, options)
	var configs []swarm.Config
	for _, one := range found.Items {
		if strings.HasPrefix(one.Spec.Name, prefix) {
			configs = append(configs, one)
		}
	}
	return configs, wrap(err, "list the configs of the swarm")
}

// labelNonce marks one creation of a config, so that it can be recognised.
const labelNonce = "deploy.nonce"

// CreateConfig stores data in the swarm, and returns the config's id. If another creation has
// taken the name, IsTaken recognises the error. A manager that lost its leader may send the
// same creation twice: this is no error.
func (e *Engine) CreateConfig(ctx context.Context, name string, labels map[string]string, data []byte) (string, error) {
	spec := swarm.ConfigSpec{Annotations: swarm.Annotations{Name: name, Labels: map[string]string{labelNonce: rand.Text()}}, Data: data}
	maps.Copy(spec.Labels, labels)
	made, err := changeOnce(ctx, e.api.ConfigCreate, client.ConfigCreateOptions{Spec: spec})
	if IsTaken(err) {
		there, failure := e.Configs(ctx, name)
		for _, one := range there {
			if one.Spec.Name == name && one.Spec.Labels[labelNonce] == spec.Labels[labelNonce] {
				return one.ID, nil
			}
		}
		err = errors.Join(err, failure)
	}
	return made.ID, wrap(err, "create config %s", name)
}

// IsTaken tells whether an error of CreateConfig means that the name is taken.
func IsTaken(err error) bool { return errdefs.IsConflict(err) }

// LabelConfig changes labels of a config; its data can never change. Somebody else may change
// other labels of it at the same time.
func (e *Engine) LabelConfig(ctx context.Context, id string, labels map[string]string, only func(labels map[string]string) bool) error {
	var err error
	began := time.Now()
	for range 10 {
		var found client.ConfigInspectResult
		if found, err = callOn(ctx, e, e.api.ConfigInspect, id, client.ConfigInspectOptions{}); err != nil {
			return wrap(err, "look at config %s", id)
		}
		spec := found.Config.Spec
		if only != nil && !only(spec.Labels) {
			return nil
		}
		if spec.Labels == nil {
			spec.Labels = map[string]string{}
		}
		maps.Copy(spec.Labels, labels)
		_, err = changeOnce(ctx, on(e.api.ConfigUpdate, id), client.ConfigUpdateOptions{Version: found.Config.Version, Spec: spec})
		if !e.again(ctx, err, began) && (err == nil || !strings.Contains(err.Error(), outOfSequence)) {
			break
		}
	}
	return wrap(err, "label config %s", id)
}

// RemoveConfig removes the config of an id. If it is gone already, that is no error.
func (e *Engine) RemoveConfig(ctx context.Context, id string) error {
	_, err := changeOn(ctx, e, e.api.ConfigRemove, id, client.ConfigRemoveOptions{})
	if errdefs.IsNotFound(err) {
		return nil
	}
	return wrap(err, "remove config %s", id)
}
