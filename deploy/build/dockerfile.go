package build

import (
	"os"
	"regexp"
	"slices"
	"strings"
)

// An Instruction is one instruction of a Dockerfile, as in EXPOSE 80.
type Instruction struct {
	Name      string // in capitals
	Arguments string
}

// heredoc begins lines that are no instructions, up to the line with its word.
var heredoc = regexp.MustCompile(`<<-?["']?(\w+)["']?`)

// ReadDockerfile returns the instructions of a Dockerfile, in order. It joins the lines of an
// instruction, and leaves out comments.
func ReadDockerfile(path string) ([]Instruction, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var found []Instruction
	var begun, end string // the beginning of an instruction; the word that ends a heredoc
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		switch {
		case end != "":
			if line == end {
				end = ""
			}
			continue
		case line == "" || strings.HasPrefix(line, "#"):
			continue
		}
		if before, goesOn := strings.CutSuffix(line, `\`); goesOn {
			begun += before + " "
			continue
		}
		name, arguments, _ := strings.Cut(strings.ReplaceAll(begun+line, "\t", " "), " ")
		begun = ""
		found = append(found, Instruction{strings.ToUpper(name), strings.TrimSpace(arguments)})
		if match := heredoc.FindStringSubmatch(arguments); match != nil {
			end = match[1]
		}
	}
	return found, nil
}

// takesBase tells whether a Dockerfile has ARG BASE_IMAGE.
func takesBase(dockerfile string) (bool, error) {
	instructions, err := ReadDockerfile(dockerfile)
	return slices.ContainsFunc(instructions, func(one Instruction) bool {
		return one.Name == "ARG" && slices.ContainsFunc(strings.Fields(one.Arguments), func(argument string) bool {
			name, _, _ := strings.Cut(argument, "=")
			return name == "BASE_IMAGE"
		})
	}), err
}
