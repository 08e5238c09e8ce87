package stack

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"slices"
)

// Names returns the names of the services in stack files, sorted. It interpolates nothing,
// so it works where variables of the files are not set.
func Names(files []string) ([]string, error) {
	found := map[string]bool{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			var path *fs.PathError
			if errors.As(err, &path) {
				err = path.Err
			}
			return nil, located(file, err.Error())
		}
		parsed, err := parse(text)
		if err != nil {
			return nil, located(file, err.Error())
		}
		services, _ := parsed["services"].(map[string]any)
		for name := range services {
			found[name] = true
		}
	}
	return slices.Sorted(maps.Keys(found)), nil
}
