package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	. "github.com/smartystreets/goconvey/convey"

	"goblog/deploy/progress"
)

func TestViewCommand(t *testing.T) {
	for listen, want := range map[string]struct {
		token  bool
		status int // without one
	}{"127.0.0.1:0": {false, 200}, "localhost:0": {false, 200}, "0.0.0.0:0": {true, 401}} {
		Convey("deploy view --listen "+listen+" prints a URL, with a token where others reach it, and serves until it is interrupted", t, func() {
			pretendSwarm(t)
			ctx, interrupt := context.WithCancel(context.Background())
			defer interrupt()
			reader, writer := io.Pipe()
			exit := make(chan int, 1)
			var stderr bytes.Buffer
			go func() {
				exit <- run(ctx, []string{"view", "--listen", listen}, &progress.Printer{Out: writer, Err: &stderr})
				writer.Close()
			}()
			said := bufio.NewScanner(reader)
			So(said.Scan(), ShouldBeTrue)
			url, is := strings.CutPrefix(said.Text(), "==> The swarm is at ")
			So(is, ShouldBeTrue)
			go io.Copy(io.Discard, reader)
			So(strings.Contains(url, "/?token="), ShouldEqual, want.token)
			_, port, _ := net.SplitHostPort(strings.TrimPrefix(url[:strings.LastIndex(url, "/")], "http://"))
			here := "http://127.0.0.1:" + port + "/"
			client := http.Client{Timeout: 5 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
			response, err := client.Get(here)
			So(err, ShouldBeNil)
			response.Body.Close()
			So(response.StatusCode, ShouldEqual, want.status)
			if want.token {
				response, err = client.Get(here + url[strings.Index(url, "?token="):])
				So(err, ShouldBeNil)
				response.Body.Close()
				So(response.StatusCode, ShouldEqual, http.StatusSeeOther)
			}
			interrupt()
			So(<-exit, ShouldEqual, exitDone)
			So(strings.Contains(stderr.String(), "who has this URL sees the whole swarm"), ShouldEqual, want.token)
		})
	}
	Convey("A port that is taken fails with exit code 1, and says what to do", t, func() {
		pretendSwarm(t)
		taken, err := net.Listen("tcp", "127.0.0.1:0")
		So(err, ShouldBeNil)
		defer taken.Close()
		r := deploy(context.Background(), "view", "--listen", taken.Addr().String())
		So(r.exit, ShouldEqual, exitFailed)
		So(r.stderr, ShouldContainSubstring, "the page cannot be served")
		So(r.stderr, ShouldContainSubstring, "--listen HOST:PORT")
	})
}
