package docs

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// commands are the commands, scripts and tests that exist.
type commands struct {
	deploy  map[string][]string // flags of the deploy program, by command
	scripts map[string]string   // texts of the scripts, by name
	targets map[string]bool     // of make
	tests   map[string][]string // names of tests, by directory
	words   map[string]bool     // all words of the checkout's files, but for its pages
}

// others are commands that do not belong to the project.
var others = []string{"cat", "cd", "cp", "curl", "docker", "echo", "git", "go", "mkdir", "openssl", "sha256sum", "ssh", "systemctl", "tar"}

// newCommands finds the commands. It reads the help of the programs.
func newCommands(t *testing.T) *commands {
	t.Helper()
	c := &commands{map[string][]string{}, map[string]string{}, map[string]bool{}, map[string][]string{}, map[string]bool{}}
	for line := range strings.Lines(help(t, filepath.Join(top, "scripts", "deploy.sh"))) {
		if match := regexp.MustCompile(`^  ([a-z]+) `).FindStringSubmatch(line); match != nil {
			c.deploy[match[1]] = []string{"--help"}
		}
	}
	for name := range c.deploy {
		for line := range strings.Lines(help(t, filepath.Join(top, "build", "deploy"), name)) {
			if match := regexp.MustCompile(`^  (--?[a-z-]+)`).FindStringSubmatch(line); match != nil {
				c.deploy[name] = append(c.deploy[name], match[1])
			}
		}
	}
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	scripts, err := filepath.Glob(filepath.Join(top, "scripts", "*.sh"))
	must(err)
	for _, path := range scripts {
		text, err := os.ReadFile(path)
		must(err)
		c.scripts[filepath.Base(path)] = string(text)
	}
	makefile, err := os.ReadFile(filepath.Join(top, "Makefile"))
	must(err)
	for _, match := range regexp.MustCompile(`(?m)^([a-z-]+):( |$)`).FindAllSubmatch(makefile, -1) {
		c.targets[string(match[1])] = true
	}
	must(filepath.WalkDir(top, func(path string, entry fs.DirEntry, err error) error {
		name := entry.Name()
		if err != nil || entry.IsDir() {
			if entry.IsDir() && (path == filepath.Join(top, "build") || path == filepath.Join(top, "docs") || name == "target" || name == ".git") {
				return fs.SkipDir
			}
			return err
		}
		if !slices.Contains([]string{".go", ".sh", ".java", ".yml"}, filepath.Ext(name)) && name != "Makefile" {
			return nil
		}
		text, err := os.ReadFile(path)
		for _, word := range regexp.MustCompile(`\w+`).FindAllString(string(text), -1) {
			c.words[word] = true
		}
		if strings.HasSuffix(name, "_test.go") {
			for _, match := range regexp.MustCompile(`(?m)^func ((Test|Fuzz|Benchmark)\w*)`).FindAllSubmatch(text, -1) {
				c.tests[filepath.Dir(path)] = append(c.tests[filepath.Dir(path)], string(match[1]))
			}
		}
		return err
	}))
	return c
}

// help is the help of the deploy program, or of one of its commands.
func help(t *testing.T, program string, command ...string) string {
	t.Helper()
	said, err := exec.Command(program, append(command, "--help")...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v --help: %v\n%s", program, command, err, said)
	}
	return string(said)
}

// wordForm matches a word of a shell line, or the sign that ends a command. A word may have
// quotes in it.
var wordForm = regexp.MustCompile(`&&|\|\||[;|]|(?:'[^']*'|"[^"]*"|\$\([^)]*\)|[^\s;|&'"]|&[^&\s])+`)

// check tells what is wrong with a line of commands. It knows simple lines only.
func (c *commands) check(line string) []string {
	var wrong, words []string
	for _, word := range append(wordForm.FindAllString(line, -1), ";") {
		if !slices.Contains([]string{"&&", "||", ";", "|"}, word) {
			words = append(words, word)
			continue
		}
		if why := c.checkOne(words); why != "" {
			wrong = append(wrong, why)
		}
		words = nil
	}
	return wrong
}

// checkOne tells what is wrong with one command, or "".
func (c *commands) checkOne(words []string) string {
	isVariable := regexp.MustCompile(`^(?:-D)?(\w+)=`)
	command := 0
	for command < len(words) && isVariable.MatchString(words[command]) {
		command++
	}
	for i, word := range words {
		if match := isVariable.FindStringSubmatch(word); match != nil && (i < command || words[command] == "make" || words[command] == "mvn") && !c.words[match[1]] {
			return "nothing reads the variable " + match[1]
		}
	}
	if command == len(words) {
		return ""
	}
	name, arguments := words[command], words[command+1:]
	switch script := strings.TrimPrefix(strings.TrimPrefix(name, "./"), "scripts/"); {
	case name == "deploy":
		return c.checkDeploy(arguments)
	case script == "deploy.sh":
		return c.checkDeploy(arguments)
	case strings.HasSuffix(name, ".sh"):
		text, there := c.scripts[script]
		if !there {
			return "there is no script " + script
		}
		arguments = slices.DeleteFunc(slices.Clone(arguments), func(argument string) bool {
			return strings.HasPrefix(argument, "--") && strings.Contains(text, " = "+argument+" ") // A flag of the script itself.
		})
		if script == "landscape.sh" && len(arguments) > 0 { // up or down
			return c.checkDeploy(append([]string{"up"}, arguments[1:]...))
		}
		if stands := regexp.MustCompile(`deploy\.sh" ([a-z]+)`).FindStringSubmatch(text); stands != nil {
			return c.checkDeploy(append([]string{stands[1]}, arguments...))
		}
	case name == "make":
		for _, target := range arguments {
			if !isVariable.MatchString(target) && !c.targets[target] {
				return "make has no target " + target
			}
		}
	case name == "go" && len(arguments) > 0 && arguments[0] == "test":
		return c.checkTest(arguments[1:])
	case name != "mvn" && !slices.Contains(others, name):
		return "this command is not known here"
	}
	return ""
}

// checkDeploy tells what is wrong with the arguments of the deploy program.
func (c *commands) checkDeploy(arguments []string) string {
	if len(arguments) == 0 || slices.Contains([]string{"--help", "-h", "help"}, arguments[0]) {
		return ""
	}
	flags, there := c.deploy[arguments[0]]
	if !there {
		return "there is no deploy " + arguments[0]
	}
	for i, argument := range arguments[1:] {
		flag, _, _ := strings.Cut(argument, "=")
		if strings.HasPrefix(flag, "-") && !slices.Contains(flags, flag) {
			return fmt.Sprintf("deploy %s has no flag %s", arguments[0], flag)
		}
		if arguments[i] == "-f" && strings.Contains(argument, "/") && !exists(argument) {
			return "there is no file " + argument
		}
	}
	return ""
}

// checkTest tells which directory or test of go test is not there.
func (c *commands) checkTest(arguments []string) string {
	base, pattern := ".", ""
	var dirs []string
	for i := 0; i < len(arguments); i++ {
		switch argument := arguments[i]; {
		case argument == "-C" && i+1 < len(arguments):
			i++
			base = arguments[i]
		case slices.Contains([]string{"-run", "-fuzz", "-bench"}, argument) && i+1 < len(arguments):
			i++
			pattern += "|" + strings.Trim(arguments[i], `'"`)
		case slices.Contains([]string{"-timeout", "-count", "-benchtime", "-skip"}, argument):
			i++
		case !strings.HasPrefix(argument, "-"):
			dirs = append(dirs, argument)
		}
	}
	for _, dir := range dirs {
		below, all := strings.CutSuffix(dir, "/...")
		if !exists(filepath.Join(base, below)) {
			return "there is no directory " + dir
		}
		for _, name := range strings.Split(pattern, "|") {
			name, _, _ = strings.Cut(strings.NewReplacer("^", "", "$", "").Replace(name), "/")
			if name == "" || name == "." || all {
				continue
			}
			if !slices.ContainsFunc(c.tests[filepath.Join(top, base, below)], func(test string) bool { return strings.Contains(test, name) }) {
				return fmt.Sprintf("%s has no test %s", dir, name)
			}
		}
	}
	return ""
}

func exists(path string) bool {
	_, err := os.Stat(filepath.Join(top, path))
	return err == nil
}
