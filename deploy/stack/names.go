package stack

import (
	"maps"
	"slices"
)

// Names returns the keys of the services in stack files, sorted. It does not fill in
// variables, so it works if variables of the files are not set.
func Names(files []string) ([]string, error) {
	found := map[string]bool{}
	for _, file := range files {
		parsed, err := read(file)
		if err != nil {
			return nil, err
		}
		services, _ := parsed["services"].(map[string]any)
		for name := range services {
			found[name] = true
		}
	}
	return slices.Sorted(maps.Keys(found)), nil
}

// NameIn is the name in the swarm for a service with this key. Without a stack, stack is "".
func NameIn(stack, key string) string {
	if stack == "" {
		return key
	}
	return stack + "_" + key
}
