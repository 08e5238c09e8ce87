// Command deploy deploys the services of a stack file to a Docker Swarm, and proves that they
// work. If they do not work, it says why in plain words, and restores the version that ran
// before.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"

	"goblog/deploy/build"
	"goblog/deploy/fault"
	"goblog/deploy/journal"
	"goblog/deploy/plan"
	"goblog/deploy/progress"
	"goblog/deploy/scaffold"
	"goblog/deploy/stack"
	engine "goblog/deploy/swarm"
)

// Exit codes.
const (
	exitDone        = 0
	exitFailed      = 1
	exitUsage       = 2
	exitInterrupted = 130
)

// A command is one thing that the program does.
type command struct {
	name, arguments, help string
	run                   func(ctx context.Context, o *options, out *progress.Printer) error
}

var commands = []command{
	{"up", "[SERVICE...]", "build, try, deploy and prove the services of the stack file", up},
	{"build", "[SERVICE...]", "compile, and build the images", buildOnly},
	{"rollback", "[SERVICE] [N]", "go back to the version before the last deploy, or to entry N of the history", rollback},
	{"status", "", "show all services, their history, and the deploys that run now", status},
	{"view", "", "show the swarm and the running deploys in the browser", viewPage},
	{"remove", "[SERVICE...]", "remove services, then networks that nobody else uses", remove},
	{"init", "", "write a stack file, scripts and a CI workflow for the service in this directory", initFiles},
	{"version", "", "show version, commit and Go version of this program", sayVersion},
}

// options are the flags and arguments of a command.
type options struct {
	files      []string
	arguments  []string
	rolling    bool
	force      bool
	plan       bool
	noUndo     bool
	keepGoing  bool
	showValues bool
	binary     bool
	adopt      bool
	wait       bool
	volumes    bool
	listen     string
	envFiles   []string
	wishes     scaffold.Wishes

	root string            // the top of the checkout that the first stack file is in
	env  map[string]string // variables and settings
}

func main() {
	// A reader that goes away, as in `copyall.sh | head`, does not end a deploy.
	signal.Ignore(syscall.SIGPIPE)
	ctx, stop := interruptible()
	defer stop()
	os.Exit(run(ctx, os.Args[1:], progress.New(os.Stdout, os.Stderr)))
}

// interruptible gives a context that ends with the first signal. A second signal ends the
// program at once.
func interruptible() (context.Context, func()) {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2)
	// After SIGQUIT, Go itself would end with exit code 2.
	wanted := []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGQUIT}
	if !signal.Ignored(syscall.SIGHUP) { // nohup ignores it.
		wanted = append(wanted, syscall.SIGHUP)
	}
	signal.Notify(signals, wanted...)
	go fault.Caught(func() {
		<-signals
		cancel()
		<-signals
		fmt.Fprintln(os.Stderr, "error: interrupted twice: the program ends at once\n       what a deploy or rollback has changed, the next one undoes; see what runs: scripts/status.sh")
		os.Exit(exitInterrupted)
	})()
	return ctx, cancel
}

// run runs a command, and turns its error into the last lines and an exit code.
func run(ctx context.Context, arguments []string, out *progress.Printer) (exit int) {
	// Even an error in the arguments is printed as JSON, if the arguments ask for JSON.
	out.JSON = slices.ContainsFunc(arguments, func(one string) bool { return one == "--json" || one == "-json" })
	defer func() {
		if wrong := recover(); wrong != nil {
			out.Rest()
			out.Fail(fault.Text(wrong), fault.Advice...)
			exit = fault.Exit
		}
		out.End(exit)
	}()
	err := dispatch(ctx, arguments, out)
	var wrong *usageError
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &wrong):
		out.Fail(wrong.Error(), "see "+filepath.Base(os.Args[0])+" --help")
		return exitUsage
	case errors.Is(err, context.Canceled):
		out.Fail("interrupted; nothing was changed")
		return exitInterrupted
	}
	told := outcomeOf(err)
	out.Fail(told.problem, told.lines...)
	return told.exit
}

func dispatch(ctx context.Context, arguments []string, out *progress.Printer) error {
	if len(arguments) == 0 {
		return usage("choose a command: up, build, rollback, status, view, remove, init or version")
	}
	if arguments[0] == "-h" || arguments[0] == "--help" || arguments[0] == "help" {
		help(out.Out, nil, environment(".", nil))
		return nil
	}
	for _, one := range commands {
		if one.name != arguments[0] {
			continue
		}
		o, err := parse(one, arguments[1:])
		if errors.Is(err, flag.ErrHelp) {
			help(out.Out, &one, environment(o.root, nil))
			return nil
		}
		if err != nil {
			return err
		}
		return one.run(ctx, o, out)
	}
	return usage("unknown command '%s': choose up, build, rollback, status, view, remove, init or version", arguments[0])
}

// flags are those that a command takes.
func (c command) flags(o *options) *flag.FlagSet {
	flags := flag.NewFlagSet(c.name, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.Bool("json", false, "print JSON, one object on each line")
	if c.name == "init" {
		flags.StringVar(&o.wishes.Name, "name", "", "`NAME` of the service; default from go.mod, the directory or the image")
		flags.StringVar(&o.wishes.Port, "port", "", "`PORT` that the service listens on, and that is published; default from EXPOSE in the Dockerfile, otherwise 8080")
		flags.StringVar(&o.wishes.Path, "path", "", "`PATH` that must answer with status 200; default /")
		flags.StringVar(&o.wishes.Image, "image", "", "`NAME` of a finished image: nothing is built")
		flags.StringVar(&o.wishes.Package, "package", "", "`DIRECTORY` of the Go package to compile; default the only main package")
		return flags
	}
	if c.name == "version" { // It reads no file.
		return flags
	}
	flags.Func("f", "stack `FILE`; several files are merged (default stack.yml)", func(file string) error {
		o.files = append(o.files, file)
		return nil
	})
	flags.Func("env-file", "`FILE` with lines NAME=value: settings, which the environment overrides", func(file string) error {
		o.envFiles = append(o.envFiles, file)
		return nil
	})
	if c.name == "up" || c.name == "rollback" || c.name == "remove" {
		flags.BoolVar(&o.wait, "wait", false, "wait until nobody else deploys the service")
	}
	switch c.name {
	case "up":
		flags.BoolVar(&o.rolling, "rolling", false, "update the running service task by task, and lose no request if that is possible")
		flags.BoolVar(&o.force, "force", false, "deploy although the same version runs already")
		flags.BoolVar(&o.plan, "plan", false, "only show what a deploy would do and change")
		flags.BoolVar(&o.noUndo, "no-undo", false, "deploy although the running version could not be restored after a failure")
		flags.BoolVar(&o.keepGoing, "keep-going", false, "if one service fails, continue with the others")
		flags.BoolVar(&o.adopt, "adopt", false, "take over a service that somebody else made: it becomes the first entry of the history")
		flags.BoolVar(&o.showValues, "show-values", false, "show the values of environment variables in the plan")
	case "build":
		flags.BoolVar(&o.binary, "binary", false, "only compile")
	case "view":
		flags.StringVar(&o.listen, "listen", viewAddress, "`HOST:PORT` to serve the page on; if others can reach it, the page asks for a token")
	case "remove":
		flags.BoolVar(&o.keepGoing, "keep-going", false, "if one service cannot be removed, continue with the others")
		flags.BoolVar(&o.volumes, "volumes", false, "remove the named volumes of the file as well, with all data in them")
	}
	return flags
}

// parse reads the flags and the settings. Flags may stand before or after the arguments.
func parse(c command, arguments []string) (*options, error) {
	o := &options{root: "."}
	flags := c.flags(o)
	for {
		if err := flags.Parse(arguments); err != nil {
			if errors.Is(err, flag.ErrHelp) {
				return o, err
			}
			return nil, usage("%s", err)
		}
		if flags.NArg() == 0 {
			break
		}
		o.arguments = append(o.arguments, flags.Arg(0))
		arguments = flags.Args()[1:]
	}
	if len(o.files) == 0 {
		o.files = []string{cmp.Or(os.Getenv("STACK_FILE"), "stack.yml")}
	}
	root, err := filepath.Abs(filepath.Dir(o.files[0]))
	if err != nil {
		return nil, err
	}
	o.root = build.Root(root)
	given, err := readEnvFiles(o.envFiles)
	if err != nil {
		return o, err
	}
	o.env = environment(o.root, given)
	return o, checkSettings(o.env)
}

// load reads the stack files.
func (o *options) load() (*stack.Stack, error) {
	loaded, err := stack.Load(stack.Options{Files: o.files, Env: o.env, Settings: stack.Settings{
		Stack: o.env["STACK"], PublishMode: o.env["PUBLISH_MODE"], ServiceEnv: o.env["SERVICE_ENV"], VerifyBody: o.env["VERIFY_BODY"],
	}})
	if err != nil {
		return nil, &usageError{err.Error()}
	}
	return loaded, nil
}

// An outcome is an error with its exit code and its last lines, which say which version
// serves now.
type outcome struct {
	exit    int
	problem string
	lines   []string
}

func (o *outcome) Error() string { return o.problem }

// outcomeOf turns any error into its last lines and its exit code. No other place does this,
// except for errors of usage.
func outcomeOf(err error) *outcome {
	var told *outcome
	var obstacle *plan.Obstacle
	var held *journal.HeldError
	var failure *build.Failure
	switch {
	case errors.As(err, &told):
		return told
	case errors.Is(err, context.Canceled):
		return &outcome{exit: exitInterrupted, problem: "interrupted"}
	case errors.As(err, &obstacle):
		return failed(obstacle.Problem, obstacle.Advice)
	case errors.As(err, &held):
		return failed(held.Error(), held.Advice())
	case errors.As(err, &failure):
		return failed(failure.What, failure.Said, failure.Advice)
	case errors.Is(err, engine.ErrAway):
		return failed(err.Error(), "the engine restarts, or its swarm has no leader now; do not run docker swarm init, even if the engine asks for it: wait until docker node ls answers, and run this again, or use another manager of the swarm")
	}
	return failed(err.Error())
}

func failed(problem string, lines ...string) *outcome {
	return &outcome{exitFailed, problem, lines}
}

// A usageError is a mistake of the user. Nothing has been changed.
type usageError struct{ text string }

func (e *usageError) Error() string { return e.text }

func usage(format string, arguments ...any) error {
	return &usageError{fmt.Sprintf(format, arguments...)}
}

// about is a short text about stack files.
const about = `A stack file is a compose file for docker stack deploy. -f may be given more than once: a later file
overrides an earlier one. The name of a secret or config from a file has a hash of its content, so a
changed file updates its services. One deploy deploys all services of the files: if one fails, the
services that were changed before it are restored too. An image with build is built here. For any
other image, each deploy asks its registry once.
x-deploy in a service: package, verify (path and port, or url), trial, timeout, start_interval, keep.
`

func help(out io.Writer, of *command, env map[string]string) {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	if of == nil {
		fmt.Fprint(out, "usage: deploy COMMAND [-f FILE]... [FLAGS] [ARGUMENTS]      deploy COMMAND --help\n\n")
		for _, one := range commands {
			fmt.Fprintf(table, "  %s %s\t%s\n", one.name, one.arguments, one.help)
		}
		table.Flush()
		fmt.Fprint(out, "\n"+about)
	} else {
		flags := of.flags(&options{})
		files := ""
		if flags.Lookup("f") != nil {
			files = "[-f FILE]... "
		}
		fmt.Fprintf(out, "usage: deploy %s %s[FLAGS] %s\n\n%s\n\n", of.name, files, of.arguments, of.help)
		flags.VisitAll(func(one *flag.Flag) {
			name := "--" + one.Name
			if name == "--f" {
				name = "-f"
			}
			value, text := flag.UnquoteUsage(one)
			fmt.Fprintf(table, "  %s\t%s\n", strings.TrimSpace(name+" "+value), text)
		})
		table.Flush()
	}
	fmt.Fprint(out, "\nExit codes: 0 done; 1 failed; 2 a setting, an argument or the file is wrong, nothing was changed; 130 interrupted\n")
	printSettings(out, env)
}
