// Command accountservice serves accounts from a BoltDB file over HTTP.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
)

func main() {
	err := run(context.Background(), os.Args[1:], os.Getenv, os.Stdout)
	if err == nil {
		return
	}
	// Where stderr is a full pipe, a plain write would block, and the process would not end.
	stderr := newLogWriter(os.Stderr, func(int) {})
	fmt.Fprintln(stderr, "accountservice:", err)
	stderr.close()
	if errors.As(err, new(usageError)) {
		os.Exit(2)
	}
	os.Exit(1)
}

// run executes the command in args. It serves unless args name another command, until it
// gets a signal or ctx ends. The end of ctx counts as an interrupt.
func run(ctx context.Context, args []string, getenv func(string) string, stdout io.Writer) error {
	command := serve
	if len(args) > 0 && args[0] == "healthcheck" {
		command, args = healthcheck, args[1:]
	}
	cfg, err := parseConfig(args, getenv)
	switch {
	case errors.Is(err, flag.ErrHelp):
		printHelp(stdout)
		return nil
	case err != nil:
		return err
	case cfg.version:
		this := thisBuild()
		_, err := fmt.Fprintf(stdout, "accountservice %s, commit %s, %s\n", this.Version, this.Commit, this.GoVersion)
		return err
	}
	return command(ctx, cfg, stdout)
}
