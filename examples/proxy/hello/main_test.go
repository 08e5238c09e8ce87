package main

import (
	"net/http"
	"os"
	"strings"
	"testing"

	. "github.com/smartystreets/goconvey/convey"

	"goblog/examples/internal/webtest"
)

func TestHello(t *testing.T) {
	version, commit = "v1.2.3", "abcdef"
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	Convey("Given a running hello", t, func() {
		env := map[string]string{"HELLO_ADDR": "127.0.0.1:0"}
		service := webtest.Start(run, env)

		Convey("Then it answers with its version and its host", func() {
			for path, want := range map[string]string{"/": "Hello from v1.2.3 on " + host + "\n", "/health": "ok\n", "/version": "hello v1.2.3, commit abcdef\n"} {
				got := webtest.Get(service.URL + path)
				So(got.StatusCode, ShouldEqual, http.StatusOK)
				So(got.Body, ShouldEqual, want)
			}
			So(webtest.Get(service.URL+"/other").StatusCode, ShouldEqual, http.StatusNotFound)
		})

		Convey("Then a probe succeeds while it runs, and fails when it has stopped", func() {
			running := map[string]string{"HELLO_ADDR": strings.TrimPrefix(service.URL, "http://")}
			probe := func() error {
				return run(t.Context(), []string{"probe"}, func(name string) string { return running[name] }, nil)
			}
			So(probe(), ShouldBeNil)
			So(service.Stop(), ShouldBeNil)
			So(probe(), ShouldNotBeNil)
		})
	})
}
