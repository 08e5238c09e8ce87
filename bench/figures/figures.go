// Package figures writes what was measured into a page: the date, the versions, the machine
// and the tables, between two marks.
package figures

import (
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

// Conditions is the first sentence of a report, without its full stop: the date, the command
// that measured, the versions of what was measured, and the machine.
func Conditions(command string, versions ...string) string {
	return fmt.Sprintf("Measured on %s by `%s`: %s", time.Now().Format(time.DateOnly), command, strings.Join(append(versions, machine()), ", "))
}

func machine() string {
	kernel := "unknown kernel"
	if out, err := exec.Command("uname", "-sr").Output(); err == nil {
		kernel = strings.TrimSpace(string(out))
	}
	model := "unknown processor"
	if cpuinfo, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(cpuinfo)) {
			if name, value, _ := strings.Cut(line, ":"); strings.TrimSpace(name) == "model name" {
				model = cmp.Or(strings.TrimSpace(value), model)
				break
			}
		}
	}
	return fmt.Sprintf("%s, %d × %s", kernel, runtime.NumCPU(), model)
}

// Show puts a report between the two marks of this name in a page.
func Show(page, name, report string) error {
	text, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	shown, err := place(string(text), name, report)
	if err != nil {
		return fmt.Errorf("%s has no place for the figures: %w", page, err)
	}
	return os.WriteFile(page, []byte(shown), 0o644)
}

// place returns the text with a report in the place of what stands between the two marks.
func place(text, name, report string) (string, error) {
	begin, end := "<!-- "+name+": begin -->\n", "<!-- "+name+": end -->\n"
	before, rest, found := strings.Cut(text, begin)
	_, after, foundEnd := strings.Cut(rest, end)
	if !found || !foundEnd {
		return "", fmt.Errorf("want the lines %q and %q, in this order", begin, end)
	}
	return before + begin + report + end + after, nil
}
