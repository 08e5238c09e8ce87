package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	. "github.com/smartystreets/goconvey/convey"

	"goblog/examples/internal/webtest"
)

const (
	token = "c0ffee"
	right = "Authorization: Bearer " + token
)

// TestMain lets a test run this binary as the service.
func TestMain(m *testing.M) {
	version, commit = "v1.2.3", "abcdef"
	if os.Getenv("NOTES_TEST_SERVES") != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// settings returns the settings of a service with all that it needs, on a free port.
func settings(t *testing.T) map[string]string {
	dir := t.TempDir()
	env := map[string]string{
		"NOTES_ADDR":          "127.0.0.1:0",
		"NOTES_DATA":          filepath.Join(dir, "data"),
		"NOTES_TOKEN_PATH":    filepath.Join(dir, "token"),
		"NOTES_GREETING_PATH": filepath.Join(dir, "greeting"),
	}
	So(os.Mkdir(env["NOTES_DATA"], 0o755), ShouldBeNil)
	So(os.WriteFile(env["NOTES_TOKEN_PATH"], []byte(token+"\n"), 0o600), ShouldBeNil) // openssl also writes a line feed.
	So(os.WriteFile(env["NOTES_GREETING_PATH"], []byte("Hello, team.\n"), 0o600), ShouldBeNil)
	return env
}

// command runs the service as a process of its own, with only these environment variables.
func command(env map[string]string, args ...string) (*exec.Cmd, *bytes.Buffer) {
	path, err := os.Executable()
	So(err, ShouldBeNil)
	ctx, cancel := context.WithTimeout(context.Background(), webtest.Patience)
	Reset(cancel)
	process := exec.CommandContext(ctx, path, args...)
	process.Env = []string{"NOTES_TEST_SERVES=1"}
	for name, value := range env {
		process.Env = append(process.Env, name+"="+value)
	}
	stderr := new(bytes.Buffer)
	process.Stderr = stderr
	return process, stderr
}

func TestNotes(t *testing.T) {
	Convey("Given a service without notes", t, func() {
		env := settings(t)
		service := webtest.Start(run, env)
		post := func(note string, headers ...string) webtest.Answer {
			return webtest.MustAsk(http.MethodPost, service.URL+"/notes", note, headers...)
		}

		Convey("Then it has a greeting, is healthy, has a version, and has no notes", func() {
			for path, want := range map[string]string{"/": "Hello, team.\n", "/health": "ok\n", "/version": "notes v1.2.3, commit abcdef\n", "/notes": ""} {
				got := webtest.Get(service.URL + path)
				So(got.StatusCode, ShouldEqual, http.StatusOK)
				So(got.Body, ShouldEqual, want)
			}
		})

		Convey("When notes are posted with the token, each is stored on its own line, in the same order", func() {
			longest := strings.Repeat("x", 1024)
			for _, note := range []string{"<b>Buy milk</b>", "Grüße\r\n", longest} {
				So(post(note, right).StatusCode, ShouldEqual, http.StatusCreated)
			}
			So(post("the end", "Authorization: bearer "+token).StatusCode, ShouldEqual, http.StatusCreated)
			want := "<b>Buy milk</b>\nGrüße\n" + longest + "\nthe end\n"
			got := webtest.Get(service.URL + "/notes")
			So(got.Body, ShouldEqual, want)
			So(got.Header.Get("Content-Type"), ShouldEqual, "text/plain; charset=utf-8")

			Convey("When the service is started again, they are still there", func() {
				So(service.Stop(), ShouldBeNil)
				service = webtest.Start(run, env)
				So(webtest.Get(service.URL+"/notes").Body, ShouldEqual, want)
			})
		})

		Convey("When a note is posted without the token, it is refused", func() {
			for _, headers := range [][]string{
				nil, {"Authorization: Bearer"}, {"Authorization: Bearer "}, {"Authorization: " + token},
				{"Authorization: Basic " + token}, {"Authorization: Bearer " + token + "x"}, {"Authorization: Bearer c0ffe"},
			} {
				got := post("Buy milk", headers...)
				So(got.StatusCode, ShouldEqual, http.StatusUnauthorized)
				So(got.Header.Get("WWW-Authenticate"), ShouldEqual, "Bearer")
				So(got.Body, ShouldContainSubstring, "Authorization: Bearer TOKEN")
			}
			So(webtest.Get(service.URL+"/notes").Body, ShouldBeEmpty)
		})

		Convey("When a note is not one line of at most 1 KiB, it is refused", func() {
			for note, status := range map[string]int{
				"": http.StatusBadRequest, " \n": http.StatusBadRequest, "one\ntwo": http.StatusBadRequest, "one\rtwo": http.StatusBadRequest,
				strings.Repeat("x", 1025): http.StatusRequestEntityTooLarge,
			} {
				So(post(note, right).StatusCode, ShouldEqual, status)
			}
			So(webtest.Get(service.URL+"/notes").Body, ShouldBeEmpty)
		})

		Convey("When many clients post at once, each note has its own line", func() {
			const clients = 20
			answers := make(chan int, clients)
			for range clients {
				go func() {
					got, _ := webtest.Ask(http.MethodPost, service.URL+"/notes", "a note", right)
					answers <- got.StatusCode
				}()
			}
			for range clients {
				So(webtest.Wait(answers), ShouldEqual, http.StatusCreated)
			}
			So(webtest.Get(service.URL+"/notes").Body, ShouldEqual, strings.Repeat("a note\n", clients))
		})

		Convey("Then other paths and methods are not found or not allowed", func() {
			So(webtest.Get(service.URL+"/other").StatusCode, ShouldEqual, http.StatusNotFound)
			So(webtest.MustAsk(http.MethodDelete, service.URL+"/notes", "").StatusCode, ShouldEqual, http.StatusMethodNotAllowed)
		})
	})

	Convey("Given a file whose last line has no end", t, func() {
		env := settings(t)
		So(os.WriteFile(filepath.Join(env["NOTES_DATA"], "notes.txt"), []byte("whole\nhal"), 0o600), ShouldBeNil)

		Convey("When a note is added, it has a line of its own", func() {
			service := webtest.Start(run, env)
			So(webtest.MustAsk(http.MethodPost, service.URL+"/notes", "next", right).StatusCode, ShouldEqual, http.StatusCreated)
			So(webtest.Get(service.URL+"/notes").Body, ShouldEqual, "whole\nhal\nnext\n")
		})
	})

	Convey("Given a full disk", t, func() {
		if _, err := os.Stat("/dev/full"); err != nil {
			SkipSo("there is no /dev/full here", ShouldBeEmpty)
			return
		}
		env := settings(t)
		So(os.Symlink("/dev/full", filepath.Join(env["NOTES_DATA"], "notes.txt")), ShouldBeNil)

		Convey("When a note is posted, the client learns that it is not stored, but not the cause", func() {
			service := webtest.Start(run, env)
			got := webtest.MustAsk(http.MethodPost, service.URL+"/notes", "Buy milk", right)
			So(got.StatusCode, ShouldEqual, http.StatusInternalServerError)
			So(got.Body, ShouldNotContainSubstring, env["NOTES_DATA"])
		})
	})
}

func TestWhatIsMissing(t *testing.T) {
	Convey("Given a service without something that it needs", t, func() {
		env := settings(t)
		empty := filepath.Join(t.TempDir(), "empty")
		So(os.WriteFile(empty, []byte(" \n"), 0o600), ShouldBeNil)

		for _, lack := range []struct{ what, variable, path, reason, advice string }{
			{"the secret", "NOTES_TOKEN_PATH", "/missing", "read the token: open /missing: no such file or directory", "the secret notes_token"},
			{"a token in the secret", "NOTES_TOKEN_PATH", empty, "read the token: " + empty + " is empty", "the secret notes_token"},
			{"the config", "NOTES_GREETING_PATH", "/missing", "read the greeting: open /missing: no such file or directory", "the config greeting"},
			{"a greeting in the config", "NOTES_GREETING_PATH", empty, "read the greeting: " + empty + " is empty", "the config greeting"},
			{"the directory", "NOTES_DATA", "/missing", "keep notes: open /missing/notes.txt: no such file or directory", "mount a volume at /missing"},
			{"a directory at the path of a file", "NOTES_DATA", empty, "keep notes: open " + empty + "/notes.txt: not a directory", "mount a volume at " + empty},
		} {
			Convey("When it lacks "+lack.what+", it ends with 1, and says so in one line", func() {
				env[lack.variable] = lack.path
				process, stderr := command(env)
				So(process.Run(), ShouldNotBeNil)
				So(process.ProcessState.ExitCode(), ShouldEqual, 1)
				So(stderr.String(), ShouldStartWith, "notes: "+lack.reason+": ")
				So(stderr.String(), ShouldContainSubstring, lack.advice)
				So(strings.Count(stderr.String(), "\n"), ShouldEqual, 1)
			})
		}
	})
}

func TestProcess(t *testing.T) {
	Convey("Given the service as a process, and a client that has sent half of a note", t, func() {
		env := settings(t)
		process, stderr := command(env)
		stdout, err := process.StdoutPipe()
		So(err, ShouldBeNil)
		So(process.Start(), ShouldBeNil)
		Reset(func() { _ = process.Process.Kill() })
		addr := strings.TrimPrefix(webtest.URL(stdout), "http://")
		conn, err := net.Dial("tcp", addr)
		So(err, ShouldBeNil)
		Reset(func() { conn.Close() })
		_, err = io.WriteString(conn, "POST /notes HTTP/1.1\r\nHost: test\r\n"+right+"\r\nContent-Length: 8\r\nExpect: 100-continue\r\n\r\n")
		So(err, ShouldBeNil)
		answers := bufio.NewReader(conn)
		line, err := answers.ReadString('\n') // The service answers this when it reads the note.
		So(err, ShouldBeNil)
		So(line, ShouldEqual, "HTTP/1.1 100 Continue\r\n")
		_, err = io.WriteString(conn, "Buy ")
		So(err, ShouldBeNil)

		Convey("Then its probe succeeds", func() {
			env["NOTES_ADDR"] = addr
			probe, _ := command(env, "probe")
			So(probe.Run(), ShouldBeNil)
		})

		Convey("When SIGTERM comes, it takes no more connections, stores the note, and succeeds", func() {
			So(process.Process.Signal(syscall.SIGTERM), ShouldBeNil)
			for {
				other, err := net.Dial("tcp", addr)
				if err != nil {
					break // Refused.
				}
				other.Close()
			}
			_, err = io.WriteString(conn, "milk")
			So(err, ShouldBeNil)
			_, err = answers.ReadString('\n') // The empty line after 100 Continue.
			So(err, ShouldBeNil)
			response, err := http.ReadResponse(answers, nil)
			So(err, ShouldBeNil)
			So(response.StatusCode, ShouldEqual, http.StatusCreated)
			So(process.Wait(), ShouldBeNil)
			So(stderr.String(), ShouldBeEmpty)
			stored, err := os.ReadFile(filepath.Join(env["NOTES_DATA"], "notes.txt"))
			So(err, ShouldBeNil)
			So(string(stored), ShouldEqual, "Buy milk\n")
		})
	})

	Convey("Given a port where nothing listens, the probe fails, and says so", t, func() {
		probe, stderr := command(map[string]string{"NOTES_ADDR": "127.0.0.1:1"}, "probe")
		So(probe.Run(), ShouldNotBeNil)
		So(probe.ProcessState.ExitCode(), ShouldEqual, 1)
		So(stderr.String(), ShouldStartWith, "notes: probe 127.0.0.1:1: ")
	})
}
