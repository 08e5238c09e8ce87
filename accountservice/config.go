package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"time"
)

// maxAccounts keeps every id within nine digits.
const maxAccounts = 900_000_000

// config is what flags and environment variables set.
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

// A usageError is a mistake in flags or environment variables: exit code 2.
type usageError struct{ error }

// flags returns the table of settings: each flag's name, default and meaning.
func (c *config) flags() *flag.FlagSet {
	fs := flag.NewFlagSet("accountservice", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.StringVar(&c.addr, "addr", ":6767", "`host:port` of the public API")
	fs.StringVar(&c.adminAddr, "admin-addr", "", "`host:port` of /metrics, /debug/pprof and /health; empty: off")
	fs.StringVar(&c.db, "db", "accounts.db", "`path` of the BoltDB file, created where it is missing")
	fs.IntVar(&c.accounts, "accounts", 100, "`number` of fake accounts to seed")
	fs.DurationVar(&c.drain, "drain", 0, "how `long` to go on serving after SIGTERM, as in 4s")
	fs.StringVar(&c.logFormat, "log-format", "text", "`text or json`, the format of the log")
	fs.BoolVar(&c.accessLog, "access-log", false, "log each request: method, route, status, bytes and ms")
	fs.IntVar(&c.maxConnections, "max-connections", 0, "`number` of clients at once; 0: as many as memory and descriptors allow")
	fs.BoolVar(&c.version, "version", false, "print version, commit and Go version")
	return fs
}

// variable is the name of the environment variable that stands in for a flag.
func variable(flagName string) string {
	return "ACCOUNTSERVICE_" + strings.ToUpper(strings.ReplaceAll(flagName, "-", "_"))
}

// parseConfig reads flags, then the environment for those that were not given. An
// empty variable counts as none. It returns flag.ErrHelp where help was asked for.
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
	given := map[string]bool{"version": true} // A question, not a setting.
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
		{"drain", c.drain >= 0, "a duration from 0s on"},
		{"max-connections", c.maxConnections >= 0, "a number from 0 on"},
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

// logger returns a logger of the wanted format that writes to w.
func (c *config) logger(w io.Writer) *slog.Logger {
	if c.logFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, nil))
	}
	return slog.New(slog.NewTextHandler(w, nil))
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
