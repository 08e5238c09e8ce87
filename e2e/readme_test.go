package e2e

import (
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"goblog/docs"

	. "github.com/smartystreets/goconvey/convey"
)

// leftOut are the commands of the README that are not run here, and why.
var leftOut = map[string]string{
	"make test": "it runs this test",
	"systemctl disable docker.service docker.socket containerd docker-registry ssh prometheus": "it changes this machine",
}

// untilCtrlC are the commands of the README that do not end by themselves, and where they answer.
var untilCtrlC = map[string]string{
	"make run":          "http://127.0.0.1:6767/accounts/10000",
	"./scripts/view.sh": "http://127.0.0.1:6790/",
}

// A reader types the commands of a page, one after the other.
type reader struct {
	dir     string // where the reader is
	bin     string // stands for /usr/local/bin
	address string // that the last deploy has printed
}

// types runs a command, and expects that it works. It returns what ends the command, where that
// does not end by itself.
func (r *reader) types(line string) (ctrlC func()) {
	if directory, is := strings.CutPrefix(line, "cd "); is {
		r.dir = filepath.Join(r.dir, directory)
		return nil
	}
	line = strings.NewReplacer("/usr/local/bin/", r.bin+"/", "192.0.2.1", r.address).Replace(line)
	shell := []string{"-c", `cd "$0" && PATH=$1:$PATH && eval "$2"`, r.dir, r.bin, line}
	if page := untilCtrlC[line]; page != "" {
		return r.starts(exec.Command("bash", shell...), page)
	}
	var settings []string
	if strings.Contains(line, "--rolling") {
		settings = []string{"VERSION=two"} // The reader has changed something.
	}
	said := run(settings, "bash", shell...)
	if said.exit != 0 {
		So("$ "+line+"\n"+said.String(), ShouldBeBlank)
	}
	if strings.HasPrefix(line, "curl ") {
		So(said.stdout, ShouldEqual, firstAccount)
	}
	if proven, err := url.Parse(answeringURL(said)); err == nil && strings.Contains(line, "copyall.sh") {
		r.address = proven.Hostname()
	}
	return nil
}

// starts starts a command that goes on, awaits that its page answers, and returns its Ctrl-C.
func (r *reader) starts(command *exec.Cmd, page string) (ctrlC func()) {
	command.Stderr = os.Stderr
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	So(command.Start(), ShouldBeNil)
	ended := make(chan error, 1)
	go func() { ended <- command.Wait() }()
	Reset(func() { syscall.Kill(-command.Process.Pid, syscall.SIGKILL) })
	So(eventually(time.Minute, func() bool { return run(nil, "curl", "--silent", "--fail", page).exit == 0 }), ShouldBeTrue)
	return func() {
		So(syscall.Kill(-command.Process.Pid, syscall.SIGINT), ShouldBeNil)
		select {
		case <-ended:
		case <-time.After(30 * time.Second):
			So(page+" is served after Ctrl-C", ShouldBeBlank)
		}
	}
}

func TestReadme(t *testing.T) {
	wipe(t)
	t.Cleanup(func() { wipe(t) })
	Convey("Given a fresh checkout, and beside it a service in Go whose /health answers", t, func() {
		around := t.TempDir()
		r := &reader{dir: filepath.Join(around, "checkout"), bin: filepath.Join(around, "bin")}
		So(docs.CopyTo(r.dir, repository()), ShouldBeNil)
		So(os.Mkdir(filepath.Join(around, "my-service"), 0o755), ShouldBeNil)
		write(t, filepath.Join(around, "my-service", "go.mod"), "module example.com/me/my-service\n\ngo 1.26\n")
		write(t, filepath.Join(around, "my-service", "main.go"), strings.ReplaceAll(goProgram, "/{$}", "/health"))

		Convey("each command of the README works, in the order of the page", func() {
			left := map[string]bool{}
			for _, block := range docs.Blocks(read(t, repository("README.md"))) {
				var running []func()
				for _, command := range block {
					if leftOut[command.Line] != "" {
						left[command.Line] = true
					} else if ctrlC := r.types(command.Line); ctrlC != nil {
						running = append(running, ctrlC)
					}
				}
				for _, ctrlC := range running {
					ctrlC()
				}
			}
			So(left, ShouldHaveLength, len(leftOut))
			So(get("http://"+r.address+":8080/health"), ShouldEqual, "tea time")
		})
	})
}
