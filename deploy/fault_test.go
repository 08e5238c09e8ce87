package main

import (
	"context"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	. "github.com/smartystreets/goconvey/convey"

	"goblog/deploy/fault"
	"goblog/deploy/journal"
	"goblog/deploy/progress"
	engine "goblog/deploy/swarm"
)

// A broken is a clock that panics.
type broken struct{}

func (broken) Sleep(context.Context, time.Duration) error { panic("no time") }

func TestFaultInTheBeat(t *testing.T) {
	if os.Getenv("WITH_FAULT") != "" { // The process that has the fault.
		connected, err := engine.Connect()
		if err == nil {
			taker := &journal.Taker{Engine: connected, Services: []string{"web"}, IsTaken: engine.IsTaken, Clock: broken{}}
			_, err = taker.Take(context.Background(), "web")
		}
		time.Sleep(10 * time.Second)
		t.Fatal("it lives: ", err)
	}
	Convey("Given a deploy whose beat panics after its first change", t, func() {
		p := pretendSwarm(t)
		So(with(t, "v1", "up web").exit, ShouldEqual, 0)
		var said []byte
		var ended *exec.ExitError
		var next result
		p.hook("POST", "/services/", func() {
			p.robbed("web")
			child := exec.Command(os.Args[0], "-test.run=^TestFaultInTheBeat$")
			child.Env = append(os.Environ(), "WITH_FAULT=yes")
			var err error
			said, err = child.CombinedOutput()
			ended, _ = err.(*exec.ExitError)
			next = with(t, "v2", "rollback web")
		})
		with(t, "v2", "up web --rolling")
		Convey("its exit code does not say that nothing was changed, and the next command restores the version that ran before", func() {
			So(ended, ShouldNotBeNil)
			So(ended.ExitCode(), ShouldEqual, exitFailed)
			So(string(said), ShouldStartWith, "error: this program has a fault: no time\n       a change may be only half done")
			So(next.stdout, ShouldContainSubstring, "has died")
			So(next.stdout, ShouldContainSubstring, "Restored web")
		})
	})
}

func TestFaultsInGoroutines(t *testing.T) {
	Convey("A panic in any goroutine that this program starts is caught", t, func() {
		So(fault.Exit, ShouldEqual, exitFailed)
		goroutine, count := regexp.MustCompile(`\bgo \w|\.Go\(`), 0
		err := filepath.WalkDir(".", func(path string, _ fs.DirEntry, err error) error {
			if err != nil || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
				return err
			}
			text, err := os.ReadFile(path)
			for line := range strings.Lines(string(text)) {
				code, _, _ := strings.Cut(line, "//")
				if !goroutine.MatchString(code) || strings.ContainsAny(code, "\"`") {
					continue
				}
				count++
				So(path+": "+code, ShouldContainSubstring, "fault.Caught(")
			}
			return err
		})
		So(err, ShouldBeNil)
		So(count, ShouldBeGreaterThan, 3)
	})
}

func TestSIGQUIT(t *testing.T) {
	Convey("Ctrl-\\ interrupts a deploy like Ctrl-C: Go would end it with exit code 2, which says that nothing was changed", t, func() {
		ctx, stop := interruptible()
		defer stop()
		defer signal.Reset()
		So(syscall.Kill(os.Getpid(), syscall.SIGQUIT), ShouldBeNil)
		select {
		case <-ctx.Done():
		case <-time.After(10 * time.Second):
			So("no signal", ShouldBeBlank)
		}
	})
}

func TestInterruptedTwice(t *testing.T) {
	if os.Getenv("WITH_INTERRUPTION") != "" { // The process that is interrupted.
		ctx, stop := interruptible()
		defer stop()
		os.Exit(run(ctx, []string{"remove", "web"}, progress.New(os.Stdout, os.Stderr)))
	}
	Convey("A removal that is interrupted twice does not say that the next deploy undoes it", t, func() {
		p := pretendSwarm(t)
		So(with(t, "v1", "up web").exit, ShouldEqual, 0)
		var said strings.Builder
		child := exec.Command(os.Args[0], "-test.run=^TestInterruptedTwice$")
		child.Env, child.Stderr = append(os.Environ(), "WITH_INTERRUPTION=yes"), &said
		process, ended := make(chan *os.Process, 1), make(chan bool)
		p.hook("DELETE", "/configs/", func() { // The service is gone.
			process := <-process
			_ = process.Signal(syscall.SIGINT)
			_ = process.Signal(syscall.SIGTERM) // Two signals of the same kind might arrive as one.
			<-ended
		})
		So(child.Start(), ShouldBeNil)
		process <- child.Process
		_ = child.Wait()
		close(ended)
		So(said.String(), ShouldContainSubstring, "error: interrupted twice: the program ends at once\n")
		So(said.String(), ShouldNotContainSubstring, "the next deploy or rollback undoes the change")
	})
}
