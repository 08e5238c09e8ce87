package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	. "github.com/smartystreets/goconvey/convey"
)

func TestBallast(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("this test reads /proc, which only Linux has")
	}
	// Without the race detector, which needs much memory.
	lean := filepath.Join(t.TempDir(), "accountservice")
	if err := goBuild(lean); err != nil {
		t.Fatal(err)
	}
	Convey("Given a service that has collected garbage", t, func() {
		cmd := exec.Command(lean, "-addr", "127.0.0.1:0", "-db", newPath(t))
		cmd.Env = []string{"GODEBUG=gctrace=1"}
		p := start(cmd)
		So(eventually(func() bool { return p.port(publicPort) != "" }), ShouldBeTrue)
		So(eventually(func() bool {
			for range 100 {
				if _, err := get(p.url("/accounts/10000")); err != nil {
					So(err, ShouldBeNil)
				}
			}
			return strings.Contains(p.stderr.String(), "gc 3 @")
		}), ShouldBeTrue)

		Convey("Then the first collection waited for 4 MiB of garbage, and the ballast takes no memory", func() {
			first, _, _ := strings.Cut(p.stderr.String(), "\n")
			So(first, ShouldContainSubstring, "21 MB goal")
			So(first, ShouldContainSubstring, " 20->")
			So(p.anonymousKiB(), ShouldBeLessThan, ballastSize>>10)
		})
	})
}

// anonymousKiB returns RssAnon of /proc/PID/status. (man 5 proc_pid_status)
func (p *process) anonymousKiB() int {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	So(err, ShouldBeNil)
	_, after, found := strings.Cut(string(status), "RssAnon:")
	So(found, ShouldBeTrue)
	kib := 0
	_, err = fmt.Sscan(after, &kib)
	So(err, ShouldBeNil)
	return kib
}
