// Package docs reads the commands that pages show, for the tests that check them and run them.
package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// A Command is a line of an sh block. What its reader is told about it stands behind a #.
type Command struct{ Line, Comment string }

var (
	blockForm   = regexp.MustCompile("(?ms)^ *```sh\n(.*?)^ *```")
	commentForm = regexp.MustCompile(`(?:^|\s+)#\s*(.*)$`)
)

// Blocks are the sh blocks of a Markdown page. A line that ends with \ goes on in the next one.
func Blocks(text string) [][]Command {
	var blocks [][]Command
	for _, block := range blockForm.FindAllStringSubmatch(text, -1) {
		var commands []Command
		for line := range strings.Lines(strings.ReplaceAll(block[1], "\\\n", "")) {
			command := Command{Line: strings.TrimSpace(line)}
			if at := commentForm.FindStringSubmatchIndex(command.Line); at != nil {
				command = Command{command.Line[:at[0]], command.Line[at[2]:at[3]]}
			}
			if command.Line != "" {
				commands = append(commands, command)
			}
		}
		blocks = append(blocks, commands)
	}
	return blocks
}

// CopyTo copies a checkout to a directory that is not there yet, without what was built in it.
func CopyTo(directory, checkout string) error {
	entries, err := os.ReadDir(checkout)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		from, to := filepath.Join(checkout, entry.Name()), filepath.Join(directory, entry.Name())
		switch {
		case entry.Name() == "build" || entry.Name() == ".git":
		case entry.IsDir():
			err = os.CopyFS(to, os.DirFS(from))
		default:
			err = copyFile(to, from)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func copyFile(to, from string) error {
	text, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	return os.WriteFile(to, text, 0o644)
}
