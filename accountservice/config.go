package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"strings"
	"time"
)

// maxAccounts limits ids to nine digits.
const maxAccounts = 900_000_000

// config has the values of flags and environment variables.
type config struct {
	addr           string
	adminAddr      string
	db             string
	accounts       int
	drain          time.Duration
	logFormat      string
	accessLog      bool
	maxConnections int
	version        bool
}

// A usageError is a wrong flag or environment variable. Its exit code is 2.
type usageError struct{ error }

// flags returns the table of settings: name, default and meaning of each flag.
func (c *config) flags() *flag.FlagSet {
	fs := flag.NewFlagSet("accountservice", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.StringVar(&c.addr, "addr", ":6767", "`host:port` of the public API")
	fs.StringVar(&c.adminAddr, "admin-addr", "", "`host:port` of /metrics, /debug/pprof and /health; empty: off")
	fs.StringVar(&c.db, "db", "accounts.db", "`path` of the BoltDB file, created if it is missing")
	fs.IntVar(&c.accounts, "accounts", 100, "`number` of fake accounts to seed")
	fs.DurationVar(&c.drain, "drain", 0, "how `long` to continue to serve after SIGTERM, such as 4s")
	fs.StringVar(&c.logFormat, "log-format", "text", "`text or json`, the format of the log")
	fs.BoolVar(&c.accessLog, "access-log", false, "log each request: method, route, status, bytes and ms")
	fs.IntVar(&c.maxConnections, "max-connections", 0, "`number` of clients at once; 0: as many as memory and descriptors allow")
	fs.BoolVar(&c.version, "version", false, "print version, commit and Go version")
	return fs
}

// variable returns the name of the environment variable that a flag has.
func variable(flagName string) string {
	return "ACCOUNTSERVICE_" + strings.ToUpper(strings.ReplaceAll(flagName, "-", "_"))
}

// parseConfig reads the flags in args, then the environment variables of the other flags.
// An empty variable counts as none. It fails with flag.ErrHelp if args ask for help, or
// with a usageError.
func parseConfig(args []string, getenv func(string) string) (config, error) {
	var c config
	fs := c.flags()
	if err := fs.Parse(args); errors.Is(err, flag.ErrHelp) {
		return c, err
	} else if err != nil {
		return c, usageError{fmt.Errorf("%w: see accountservice -help", err)}
	}
	if fs.NArg() > 0 {
		return c, usageError{fmt.Errorf("unexpected argument %q: see accountservice -help", fs.Arg(0))}
	}
	given := map[string]bool{"version": true} // It is a command, so its variable does not count.
	fs.Visit(func(f *flag.Flag) { given[f.Name] = true })
	var err error
	fs.VisitAll(func(f *flag.Flag) {
		value := getenv(variable(f.Name))
		if given[f.Name] || value == "" {
			return
		}
		if e := f.Value.Set(value); e != nil && err == nil {
			err = usageError{fmt.Errorf("invalid value %q for %s (%v): see accountservice -help", value, variable(f.Name), e)}
		}
	})
	if err != nil {
		return c, err
	}
	return c, c.validate(fs)
}

func (c *config) validate(fs *flag.FlagSet) error {
	for _, setting := range []struct {
		name  string
		valid bool
		want  string
	}{
		{"addr", validAddr(c.addr), "host:port or :port"},
		{"admin-addr", c.adminAddr == "" || validAddr(c.adminAddr), "host:port, :port or nothing"},
		{"db", c.db != "", "the path of a file"},
		{"accounts", c.accounts >= 0 && c.accounts <= maxAccounts, fmt.Sprintf("a number from 0 to %d", maxAccounts)},
		{"drain", c.drain >= 0, "a duration of 0s or more"},
		{"max-connections", c.maxConnections >= 0, "a number of 0 or more"},
		{"log-format", c.logFormat == "text" || c.logFormat == "json", "text or json"},
	} {
		if !setting.valid {
			return usageError{fmt.Errorf("invalid value %q for -%s or %s: want %s",
				fs.Lookup(setting.name).Value, setting.name, variable(setting.name), setting.want)}
		}
	}
	return nil
}

func validAddr(addr string) bool {
	_, port, err := net.SplitHostPort(addr)
	if err != nil || port == "" {
		return false
	}
	_, err = net.LookupPort("tcp", port)
	return err == nil
}

// printHelp writes the usage and the table of settings.
func printHelp(w io.Writer) {
	fmt.Fprint(w, `accountservice serves accounts from a BoltDB file over HTTP.

usage:
  accountservice [flags]               serve
  accountservice healthcheck [flags]   ask the service at -addr whether it is healthy
  accountservice -version              print version, commit and Go version

A flag wins over its environment variable.

`)
	row := func(name, env, def, usage string) { fmt.Fprintf(w, "  %-16s %-30s %-12s %s\n", name, env, def, usage) }
	row("flag", "variable", "default", "meaning")
	new(config).flags().VisitAll(func(f *flag.Flag) {
		if f.Name == "version" {
			return
		}
		_, usage := flag.UnquoteUsage(f)
		row("-"+f.Name, variable(f.Name), f.DefValue, usage)
	})
}
