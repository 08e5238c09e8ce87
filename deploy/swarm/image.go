package swarm

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/swarm"
	"github.com/moby/moby/client"
)

// An Image is one that the engine has.
type Image struct {
	// ID names the image's bytes. It is the only name by which both image stores can start it.
	ID       string
	Tags     []string
	Digests  []string // repository@digest, as registries know it
	Platform swarm.Platform
	// Probed tells whether the image brings a health check.
	Probed bool
	// Starts tells whether that health check has a start period.
	Starts bool
}

// DigestOf is the image's name by its digest in a repository, or "".
func (i *Image) DigestOf(repository string) string {
	for _, digest := range i.Digests {
		if strings.HasPrefix(digest, repository+"@") {
			return digest
		}
	}
	return ""
}

// Image returns the image of a name, tag or id, or nil if the engine does not have it.
func (e *Engine) Image(ctx context.Context, name string) (*Image, error) {
	found, err := e.api.ImageInspect(ctx, name)
	if errdefs.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, wrap(err, "look at image %s", name)
	}
	image := &Image{ID: found.ID, Tags: found.RepoTags, Digests: found.RepoDigests, Platform: platform(found.Os, found.Architecture)}
	if found.Config != nil && found.Config.Healthcheck != nil {
		test := found.Config.Healthcheck.Test
		image.Probed = len(test) > 0 && test[0] != "NONE"
		image.Starts = found.Config.Healthcheck.StartPeriod > 0
	}
	return image, nil
}

// Resolve asks the registry of an image for the digest and the platforms of its name. It
// returns an error if the registry does not have the image or cannot be asked.
func (e *Engine) Resolve(ctx context.Context, name string) (string, []swarm.Platform, error) {
	found, err := e.api.DistributionInspect(ctx, name, client.DistributionInspectOptions{EncodedRegistryAuth: e.credentials(name)})
	if err != nil {
		return "", nil, wrap(err, "ask the registry for image %s", name)
	}
	var platforms []swarm.Platform
	for _, one := range found.Platforms {
		if one.OS == "unknown" {
			continue // An attestation of BuildKit, which is no image.
		}
		platforms = append(platforms, platform(one.OS, one.Architecture))
	}
	return string(found.Descriptor.Digest), platforms, nil
}

// platform is a platform in the words of a Spec. Nodes name an arm processor armv7l or
// similar, so the Spec leaves the processor open there.
func platform(os, cpu string) swarm.Platform {
	if cpu == "arm" {
		cpu = ""
	}
	return swarm.Platform{OS: os, Architecture: cpu}
}

// TagImage gives an image one more name.
func (e *Engine) TagImage(ctx context.Context, image, tag string) error {
	_, err := changeOnce(ctx, e.api.ImageTag, client.ImageTagOptions{Source: image, Target: tag})
	return wrap(err, "tag image %s as %s", image, tag)
}

// RemoveTag removes a name of an image, and with the last name the image. It reports whether
// it did so: it does nothing if a container uses the image, or if the name is gone already.
func (e *Engine) RemoveTag(ctx context.Context, tag string) (removed bool, err error) {
	_, err = changeOnce(ctx, on(e.api.ImageRemove, tag), client.ImageRemoveOptions{PruneChildren: true})
	if errdefs.IsNotFound(err) || errdefs.IsConflict(err) {
		return false, nil
	}
	return err == nil, wrap(err, "remove image %s", tag)
}

// ImagesOf returns the ids of a repository's images, and the names of each.
func (e *Engine) ImagesOf(ctx context.Context, repository string) (map[string][]string, error) {
	found, err := e.api.ImageList(ctx, client.ImageListOptions{Filters: make(client.Filters).Add("reference", repository)})
	if err != nil {
		return nil, wrap(err, "list the images of %s", repository)
	}
	images := map[string][]string{}
	for _, image := range found.Items {
		images[image.ID] = slices.DeleteFunc(image.RepoTags, func(tag string) bool { return !strings.HasPrefix(tag, repository+":") })
	}
	return images, nil
}

// askTimeout bounds a question to a registry, if a deploy can continue without the answer.
const askTimeout = 5 * time.Second

// Missing explains why tasks could not be started with an image; nil if they could be. If
// tasks may also run on other nodes, the image is missing when its registry says so. If the
// registry cannot be asked, or if tasks run only on this node, it is enough that this engine
// has the image.
func (e *Engine) Missing(ctx context.Context, image string, elsewhere bool) error {
	byDigest := strings.Contains(image, "@")
	if elsewhere && byDigest {
		registry, _, _ := strings.Cut(image, "/")
		if e.silent[registry] == nil {
			asked, cancel := context.WithTimeout(ctx, askTimeout)
			_, _, err := e.Resolve(asked, image)
			cancel()
			if err == nil || errdefs.IsNotFound(err) || ctx.Err() != nil {
				return err
			}
			e.silent[registry] = err
		}
	}
	found, err := e.Image(ctx, image)
	switch {
	case err != nil || found != nil:
		return err
	case !byDigest && strings.HasPrefix(image, "sha256:"):
		return fmt.Errorf("this engine no longer has the image %s", image)
	}
	asked, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	_, _, err = e.Resolve(asked, image)
	return err
}
