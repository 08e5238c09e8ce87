package swarm

import (
	"context"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/swarm"
	"github.com/moby/moby/client"

	"goblog/deploy/stack"
)

// labelServices is on the secrets and configs that a deploy has made from files. It names the
// services that used them at that time. Only people read it.
const labelServices = "deploy.services"

// A Content is a secret or a config of the swarm, without its data.
type Content struct {
	Kind     stack.Kind
	ID, Name string
	Made     bool // by a deploy, from a file
}

// Contents returns the secrets and configs of the swarm.
func (e *Engine) Contents(ctx context.Context) ([]Content, error) {
	secrets, err := call(ctx, e, e.api.SecretList, client.SecretListOptions{})
	if err != nil {
		return nil, wrap(err, "list the secrets of the swarm")
	}
	configs, err := call(ctx, e, e.api.ConfigList, client.ConfigListOptions{})
	var all []Content
	for _, one := range secrets.Items {
		all = append(all, content(stack.Secret, one.ID, one.Spec.Annotations))
	}
	for _, one := range configs.Items {
		all = append(all, content(stack.Config, one.ID, one.Spec.Annotations))
	}
	return all, wrap(err, "list the configs of the swarm")
}

func content(kind stack.Kind, id string, of swarm.Annotations) Content {
	_, made := of.Labels[labelServices]
	return Content{Kind: kind, ID: id, Name: of.Name, Made: made}
}

// CreateContent stores the data of a secret or a config in the swarm. If the name exists
// already, it has the same data, because the name has the hash of the data.
func (e *Engine) CreateContent(ctx context.Context, one stack.Content) error {
	labels := map[string]string{labelServices: strings.Join(one.Services, " ")}
	for name, value := range one.Labels {
		labels[name] = value
	}
	named := swarm.Annotations{Name: one.Name, Labels: labels}
	var template *swarm.Driver
	if one.Template != "" {
		template = &swarm.Driver{Name: one.Template}
	}
	var err error
	switch one.Kind {
	case stack.Secret:
		_, err = changeOnce(ctx, e.api.SecretCreate, client.SecretCreateOptions{Spec: swarm.SecretSpec{Annotations: named, Data: one.Data, Templating: template}})
	case stack.Config:
		_, err = changeOnce(ctx, e.api.ConfigCreate, client.ConfigCreateOptions{Spec: swarm.ConfigSpec{Annotations: named, Data: one.Data, Templating: template}})
	}
	if errdefs.IsConflict(err) {
		return nil
	}
	return wrap(err, "create %s %s", one.Kind, one.Name)
}

// RemoveContent removes a secret or a config. If it is gone already, that is no error.
func (e *Engine) RemoveContent(ctx context.Context, one Content) error {
	var err error
	switch one.Kind {
	case stack.Secret:
		_, err = changeOn(ctx, e, e.api.SecretRemove, one.ID, client.SecretRemoveOptions{})
	case stack.Config:
		_, err = changeOn(ctx, e, e.api.ConfigRemove, one.ID, client.ConfigRemoveOptions{})
	}
	if errdefs.IsNotFound(err) {
		return nil
	}
	return wrap(err, "remove %s %s", one.Kind, one.Name)
}

// RemoveVolume removes a named volume of this engine, and tells whether there was one.
func (e *Engine) RemoveVolume(ctx context.Context, name string) (bool, error) {
	_, err := changeOnce(ctx, on(e.api.VolumeRemove, name), client.VolumeRemoveOptions{})
	if errdefs.IsNotFound(err) {
		return false, nil
	}
	return err == nil, wrap(err, "remove volume %s", name)
}
