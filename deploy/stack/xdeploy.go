package stack

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// extensionKeys are the keys of x-deploy, which docker stack deploy ignores.
var extensionKeys = key{check: mapping, within: map[string]key{
	"package": {check: text},
	"verify": {check: mapping, within: map[string]key{
		"path": {check: text}, "port": {check: port}, "status": {check: number(100, 599)}, "body": {check: text}, "url": {check: text},
	}},
	"start_interval": {check: duration(time.Millisecond)},
	"trial":          {check: duration(0)},
	"timeout":        {check: duration(time.Second)},
	"keep":           {check: natural},
}}

func mapping(w *walk, path string, value any) {
	if _, isMapping := value.(map[string]any); !isMapping {
		w.fault(path, "%s is not a mapping", show(value))
	}
}

func text(w *walk, path string, value any) {
	if _, isText := value.(string); !isText {
		w.fault(path, "%s is not text: put it in quotes", show(value))
	}
}

// override merges x-deploy of a later file into x-deploy of an earlier one. The later value
// counts. In verify, url replaces path and port, and path replaces url.
func override(base, later map[string]any) map[string]any {
	merged := maps.Clone(base)
	if merged == nil {
		merged = map[string]any{}
	}
	if later["url"] != nil {
		delete(merged, "path")
		delete(merged, "port")
	} else if later["path"] != nil {
		delete(merged, "url")
	}
	for name, value := range later {
		if within, isMapping := value.(map[string]any); isMapping {
			old, _ := merged[name].(map[string]any)
			value = override(old, within)
		}
		merged[name] = value
	}
	return merged
}

// extend reads the extension of a service. Each of its values has been checked already.
func (c *conversion) extend(service *Service) error {
	values := c.extensions[service.Key]
	deploy := &service.Deploy
	for name, field := range map[string]struct {
		value    *time.Duration
		fallback time.Duration
	}{
		"start_interval": {&deploy.StartInterval, deploy.StartInterval},
		"trial":          {&deploy.Trial, 3 * time.Second},
		"timeout":        {&deploy.Timeout, time.Minute},
	} {
		*field.value = field.fallback
		if values[name] != nil {
			*field.value, _ = toDuration(values[name])
		}
	}
	deploy.Keep = int(numberOr(values["keep"], 3))

	if path, _ := values["package"].(string); path != "" {
		if service.Build == nil {
			return errors.New("package: without build there is nothing to compile it into")
		}
		service.Build.Package = c.absolute(path)
		if info, err := os.Stat(service.Build.Package); err != nil || !info.IsDir() {
			return fmt.Errorf("package: there is no directory %s", service.Build.Package)
		}
	}
	if values["verify"] == nil {
		return nil
	}
	return service.verify(values["verify"].(map[string]any))
}

// verify reads the question that the service has to answer.
func (s *Service) verify(values map[string]any) error {
	v := Verify{Status: int(numberOr(values["status"], 200)), Port: uint32(numberOr(values["port"], 0))}
	v.Path, _ = values["path"].(string)
	v.URL, _ = values["url"].(string)
	v.Body, _ = values["body"].(string)
	s.Deploy.Verify = &v
	switch {
	case v.URL != "" && (v.Path != "" || v.Port != 0):
		return errors.New("verify: url cannot be combined with path or port")
	case v.URL != "":
		if address, err := url.Parse(v.URL); err != nil || address.Host == "" || address.Scheme != "http" && address.Scheme != "https" {
			return fmt.Errorf("verify.url: %q is not an address such as https://example.com/path", v.URL)
		}
		return nil
	case v.Path == "":
		return errors.New("verify: give path or url")
	case !strings.HasPrefix(v.Path, "/") || strings.ContainsAny(v.Path, " \t\r\n"):
		return fmt.Errorf("verify.path: %q is not a path such as /accounts/10000", v.Path)
	}
	var published []uint32
	for _, port := range s.Spec.EndpointSpec.Ports {
		if port.PublishedPort != 0 && port.Protocol == "tcp" {
			published = append(published, port.PublishedPort)
		}
	}
	switch {
	case v.Port == 0 && len(published) == 1:
		v.Port = published[0]
	case v.Port == 0:
		return fmt.Errorf("verify.port: name one port, because the service publishes %d TCP ports", len(published))
	case !slices.Contains(published, v.Port):
		return fmt.Errorf("verify.port: the service does not publish the TCP port %d", v.Port)
	}
	return nil
}

func numberOr(value any, fallback int64) int64 {
	if n, ok := toNumber(value); ok {
		return n
	}
	return fallback
}

// absolute makes a path in the files absolute.
func (c *conversion) absolute(path string) string { return absolute(c.dir, path) }

func absolute(dir, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}
