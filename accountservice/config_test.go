package main

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	. "github.com/smartystreets/goconvey/convey"
)

// settings is the documented table of settings.
var settings = []struct {
	flag, variable, byDefault string
	inVariable, inFlag        string // values to try
	value                     func(config) any
}{
	{"-addr", "ACCOUNTSERVICE_ADDR", ":6767", ":1", ":2", func(c config) any { return c.addr }},
	{"-admin-addr", "ACCOUNTSERVICE_ADMIN_ADDR", "", ":3", ":4", func(c config) any { return c.adminAddr }},
	{"-db", "ACCOUNTSERVICE_DB", "accounts.db", "a.db", "b.db", func(c config) any { return c.db }},
	{"-accounts", "ACCOUNTSERVICE_ACCOUNTS", "100", "5", "0", func(c config) any { return c.accounts }},
	{"-drain", "ACCOUNTSERVICE_DRAIN", "0s", "7s", "8s", func(c config) any { return c.drain }},
	{"-max-connections", "ACCOUNTSERVICE_MAX_CONNECTIONS", "0", "9", "10", func(c config) any { return c.maxConnections }},
	{"-log-format", "ACCOUNTSERVICE_LOG_FORMAT", "text", "json", "text", func(c config) any { return c.logFormat }},
	{"-access-log", "ACCOUNTSERVICE_ACCESS_LOG", "false", "true", "false", func(c config) any { return c.accessLog }},
}

func TestSettings(t *testing.T) {
	for _, s := range settings {
		Convey("Given the setting "+s.flag, t, func() {
			parse := func(args []string, env map[string]string) string {
				cfg, err := parseConfig(args, func(name string) string { return env[name] })
				So(err, ShouldBeNil)
				return fmt.Sprint(s.value(cfg))
			}
			variable := map[string]string{s.variable: s.inVariable}

			Convey("When there is neither flag nor variable, it has its default", func() {
				So(parse(nil, nil), ShouldEqual, s.byDefault)
			})
			Convey("When the variable is empty, it has its default", func() {
				So(parse(nil, map[string]string{s.variable: ""}), ShouldEqual, s.byDefault)
			})
			Convey("When there is only the variable, it has its value", func() {
				So(parse(nil, variable), ShouldEqual, s.inVariable)
			})
			Convey("When there are both, the flag wins", func() {
				So(parse([]string{s.flag + "=" + s.inFlag}, variable), ShouldEqual, s.inFlag)
				So(parse([]string{"-" + s.flag + "=" + s.inFlag}, variable), ShouldEqual, s.inFlag)
			})
			Convey("When the flag has the value of the default, it still wins", func() {
				So(parse([]string{s.flag + "=" + s.byDefault}, variable), ShouldEqual, s.byDefault)
			})
		})
	}
}

func TestHelp(t *testing.T) {
	for _, args := range [][]string{{"-help"}, {"--help"}, {"-h"}, {"healthcheck", "-help"}} {
		Convey("When it is run with "+strings.Join(args, " "), t, func() {
			got := finish(command(nil, args...))

			Convey("Then it prints a table with every flag, its variable and its default, and succeeds", func() {
				So(got.code, ShouldEqual, 0)
				So(got.stderr, ShouldBeEmpty)
				rows := map[string][]string{}
				for line := range strings.Lines(got.stdout) {
					if fields := strings.Fields(line); len(fields) > 2 {
						rows[fields[0]] = fields[1:]
					}
				}
				for _, s := range settings {
					So(len(rows[s.flag]), ShouldBeGreaterThan, 2)
					So(rows[s.flag][0], ShouldEqual, s.variable)
					if s.byDefault != "" {
						So(rows[s.flag][1], ShouldEqual, s.byDefault)
					}
				}
				So(got.stdout, ShouldContainSubstring, "healthcheck")
				So(got.stdout, ShouldContainSubstring, "-version")
			})
		})
	}
}

func TestVersion(t *testing.T) {
	Convey("When the service is run with -version, it prints version, commit and Go version", t, func() {
		got := finish(command(nil, "-version"))
		So(got, ShouldResemble, result{stdout: "accountservice v1.2.3, commit abcdef, " + runtime.Version() + "\n", took: got.took})
	})

	Convey("When a running service is asked for /version, it answers the same", t, func() {
		p := serving("-db", newPath(t))
		So(mustGet(p.url("/version")).body, ShouldEqual, `{"version":"v1.2.3","commit":"abcdef","goVersion":"`+runtime.Version()+`"}`)
	})

	Convey("When the service was built by a plain go build, it also has version, commit and Go version", t, func() {
		this := thisBuild()
		So(this.Version, ShouldNotBeEmpty)
		So(this.Commit, ShouldNotBeEmpty)
		So(this.GoVersion, ShouldEqual, runtime.Version())
	})
}

func TestUsageErrors(t *testing.T) {
	for _, mistake := range []struct {
		env, args string
		words     []any // that its one line must have
	}{
		{args: "-port=80", words: []any{"-port", "-help"}},
		{args: "-accounts=many", words: []any{"-accounts", "many", "-help"}},
		{args: "-accounts=-1", words: []any{"-accounts", "-1", "from 0"}},
		{args: "-accounts=900000001", words: []any{"-accounts", "900000001", "to 900000000"}},
		{args: "-accounts=99999999999999999999", words: []any{"-accounts", "99999999999999999999"}},
		{args: "-accounts", words: []any{"-accounts", "-help"}},
		{args: "-drain=4", words: []any{"-drain", "4", "-help"}},
		{args: "-drain=-1s", words: []any{"-drain", "-1s", "0s or more"}},
		{args: "-max-connections=-1", words: []any{"-max-connections", "-1", "0 or more"}},
		{args: "-log-format=xml", words: []any{"-log-format", "xml", "text or json"}},
		{args: "-addr=6767", words: []any{"-addr", "6767", "host:port"}},
		{args: "-addr=localhost", words: []any{"-addr", "localhost", "host:port"}},
		{args: "-addr=localhost:", words: []any{"-addr", "localhost:", "host:port"}},
		{args: "-addr=:99999", words: []any{"-addr", ":99999", "host:port"}},
		{args: "-addr=", words: []any{"-addr", "host:port"}},
		{args: "-admin-addr=6768", words: []any{"-admin-addr", "6768", "host:port"}},
		{args: "-db=", words: []any{"-db", "path"}},
		{args: "-version=perhaps", words: []any{"-version", "perhaps"}},
		{args: "serve", words: []any{"serve", "-help"}},
		{args: "-accounts=5 healthcheck", words: []any{"healthcheck", "-help"}},
		{args: "healthcheck now", words: []any{"now", "-help"}},
		{args: "healthcheck -port=80", words: []any{"-port", "-help"}},
		{env: "ACCOUNTSERVICE_ACCOUNTS=many", words: []any{"ACCOUNTSERVICE_ACCOUNTS", "many", "-help"}},
		{env: "ACCOUNTSERVICE_ACCOUNTS=-1", words: []any{"ACCOUNTSERVICE_ACCOUNTS", "-1", "from 0"}},
		{env: "ACCOUNTSERVICE_DRAIN=soon", words: []any{"ACCOUNTSERVICE_DRAIN", "soon", "-help"}},
		{env: "ACCOUNTSERVICE_LOG_FORMAT=xml", words: []any{"ACCOUNTSERVICE_LOG_FORMAT", "xml", "text or json"}},
		{env: "ACCOUNTSERVICE_ACCESS_LOG=perhaps", words: []any{"ACCOUNTSERVICE_ACCESS_LOG", "perhaps", "-help"}},
		{env: "ACCOUNTSERVICE_ADDR=6767", words: []any{"ACCOUNTSERVICE_ADDR", "6767", "host:port"}},
		{env: "ACCOUNTSERVICE_ADMIN_ADDR=6768", words: []any{"ACCOUNTSERVICE_ADMIN_ADDR", "6768", "host:port"}},
	} {
		Convey(fmt.Sprintf("When it is run as %q with %q, one line names the mistake, and it does nothing", mistake.args, mistake.env), t, func() {
			cmd := command(strings.Fields(mistake.env), strings.Fields(mistake.args)...)
			cmd.Dir = t.TempDir()
			got := finish(cmd)
			So(got.stderr, shouldBeOneLine, mistake.words...)
			So(got.stdout, ShouldBeEmpty)
			So(got.code, ShouldEqual, 2)
		})
	}
}
