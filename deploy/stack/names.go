package stack

import (
	"maps"
	"slices"
)

// Names returns the keys of the services in stack files, sorted. It interpolates nothing,
// so it works where variables of the files are not set.
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

// NameIn is the name in the swarm of the service of a key, in a stack or, where that is "",
// in none.
func NameIn(stack, key string) string {
	if stack == "" {
		return key
	}
	return stack + "_" + key
}
