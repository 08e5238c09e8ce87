package e2e

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	. "github.com/smartystreets/goconvey/convey"
)

// viewed starts view.sh until the test ends, and returns the URL that it prints.
func viewed(t *testing.T) string {
	t.Helper()
	line := scriptLine("view.sh --listen 127.0.0.1:0")
	cmd := exec.Command(line[0], line[1:]...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	said := bufio.NewScanner(out)
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGINT)
		for said.Scan() { // Read to the end.
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("view.sh, interrupted: %v", err)
		}
	})
	for said.Scan() {
		if url, is := strings.CutPrefix(said.Text(), "==> The swarm is at "); is {
			return url
		}
	}
	t.Fatal("view.sh prints no URL")
	return ""
}

// A tab is a page in a browser.
type tab struct {
	context.Context
	t *testing.T
}

// open opens a page in a browser, at twice the usual resolution.
func open(t *testing.T, url string) tab {
	t.Helper()
	installed(t, "chromium")
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath("chromium"), chromedp.NoSandbox)...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	b := tab{ctx, t}
	if err := chromedp.Do(b, chromedp.EmulateViewport(1440, 770, chromedp.EmulateScale(2)), chromedp.Navigate(url)); err != nil {
		t.Fatal(err)
	}
	if !b.shows(`document.querySelector("#live.good")`) {
		t.Fatal("the page does not come to life")
	}
	return b
}

// is tells whether an expression is true in the page.
func (b tab) is(expression string) bool {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b, 20*time.Second)
	defer cancel()
	yes, err := chromedp.Run(ctx, chromedp.Evaluate[bool]("Boolean("+expression+")"))
	if err != nil {
		b.t.Fatalf("%s: %v", expression, err)
	}
	return yes
}

// shows waits until an expression is true in the page, and tells whether that was in time.
func (b tab) shows(expression string) bool {
	b.t.Helper()
	return eventually(90*time.Second, func() bool { return b.is(expression) })
}

// says tells whether an element gets a text within the time in which a change must be
// visible.
func (b tab) says(selector, text string) bool {
	b.t.Helper()
	return eventually(10*time.Second, func() bool {
		return b.is(fmt.Sprintf("[...document.querySelectorAll(%q)].some((one) => one.textContent.includes(%q))", selector, text))
	})
}

// phases lets the page record the texts of the deploy card, in order.
func (b tab) phases() {
	b.t.Helper()
	b.is(`(window.phases = [], new MutationObserver(() => {
		const now = document.querySelector("#deploys .phase")?.textContent;
		if (now && phases.at(-1) !== now) phases.push(now);
	}).observe(document.querySelector("#deploys"), {childList: true, subtree: true, characterData: true}))`)
}

func (b tab) told() string {
	b.t.Helper()
	all, err := chromedp.Run(b, chromedp.Evaluate[string](`phases.join(" | ")`))
	if err != nil {
		b.t.Fatal(err)
	}
	return all
}

// picture takes the picture for the README. It goes to build/, or with UPDATE set to docs/.
func (b tab) picture(scheme string) {
	b.t.Helper()
	media := emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}}
	_, err := chromedp.Call(b, emulation.SetEmulatedMedia, media)
	var png []byte
	if err == nil {
		png, err = chromedp.Run(b, chromedp.CaptureScreenshot())
	}
	dir := "build"
	if os.Getenv("UPDATE") != "" {
		dir = "docs"
	}
	if err == nil {
		err = os.WriteFile(repository(filepath.Join(dir, "view-"+scheme+".png")), png, 0o644)
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

func TestView(t *testing.T) {
	threeNodes(t)
	quotes := standin(t, "8080")
	docker(t, "tag", quotes, registry+"/quotes")
	docker(t, "push", registry+"/quotes")
	docker(t, "rmi", registry+"/quotes")
	settings := []string{"REGISTRY=" + registry, "REPLICAS=3", "TRIAL_SECONDS=1", "SERVICE_ENV=ACCOUNTSERVICE_DRAIN=0s PASSWORD=hunter2"}
	up := script("landscape.sh up", append(standins(t), append(settings, "QUOTES_IMAGE="+registry+"/quotes", "VERSION=v1.0")...)...)
	if up.exit != 0 {
		t.Fatal(up)
	}
	b := open(t, viewed(t))

	Convey("Given the landscape on three nodes, and somebody who looks at it", t, func() {
		Convey("the page has nodes, tasks, networks, and the pages of the visualizers as links; status.sh knows the same", func() {
			So(b.is(`document.querySelectorAll(".node").length === 3 && document.querySelectorAll(".tile.good").length === 6`), ShouldBeTrue)
			So(b.says(".node", "leader"), ShouldBeTrue)
			for _, service := range []string{"accountservice", "dvizz", "quotes-service"} {
				So(b.is(fmt.Sprintf(`[...document.querySelectorAll("#rows tr")].some((one) => one.querySelector("b").textContent === %q && one.textContent.includes("on network my_network"))`, service)), ShouldBeTrue)
			}
			So(b.is(`[...document.querySelectorAll("#rows a")].some((one) => one.href === "`+pageOf("viz", up)+`")`), ShouldBeTrue)
			status := script("status.sh").stdout
			So(status, ShouldContainSubstring, strings.TrimSuffix(pageOf("viz", up), "/"))
		})

		Convey("a deploy is watched from its plan to its answer", func() {
			b.phases()
			pictured := make(chan bool, 1)
			r, _ := during("==> Updating", "copyall.sh --rolling", func() result {
				pictured <- b.shows(`document.querySelector("#deploys .changes") && !document.querySelector(".homeless") && document.querySelector(".tile.busy .state")?.textContent.startsWith("starting")`)
				b.picture("light")
				b.picture("dark")
				return result{}
			}, append(settings, "VERSION=v1.1", "LIMIT_MEMORY=100m")...)
			So(r.exit, ShouldEqual, 0)
			So(<-pictured, ShouldBeTrue)
			So(b.shows(`document.querySelector("#deploys .end-done")`), ShouldBeTrue)
			So(b.told(), ShouldContainSubstring, "building the image |") // The phases planning and changing may be too short to be visible.
			So(b.told(), ShouldContainSubstring, "| trying the new version |")
			So(b.told(), ShouldEndWith, "| proving the new version | done: the version was proven")
			So(b.says("#history > li:first-child", "deploy.resources.limits.memory: 128MiB → 100MiB"), ShouldBeTrue)
			So(b.says("#rows", "v1.1"), ShouldBeTrue)
			So(b.shows(`[...document.querySelectorAll(".tile")].filter((one) => one.textContent.includes("accountservice") && one.textContent.includes("v1.1") && one.textContent.includes("healthy")).length === 3`), ShouldBeTrue)
		})

		Convey("one that fails is watched to its undo", func() {
			before := version(t)
			b.phases()
			r := script(moody("--rolling"), append(settings, "VERSION=crashes")...)
			So(r.exit, ShouldEqual, 1)
			So(b.shows(`document.querySelector("#deploys .end-failed")`), ShouldBeTrue)
			So(b.told(), ShouldContainSubstring, "proving the new version | going back")
			So(b.told(), ShouldEndWith, "failed: the version before is back")
			So(b.says("#history > li.failed", "crashes"), ShouldBeTrue)
			So(b.shows(fmt.Sprintf(`[...document.querySelectorAll(".tile.good")].filter((one) => one.textContent.includes("accountservice") && one.textContent.includes(%q)).length === 3`, before)), ShouldBeTrue)
		})

		Convey("a service that is changed by hand shows within a second", func() {
			docker(t, "service", "update", "--detach", "--label-add", "deploy.version=by-hand", "quotes-service")
			So(eventually(time.Second, func() bool { return b.is(`document.querySelector("#rows").textContent.includes("by-hand")`) }), ShouldBeTrue)
		})

		Convey("a node that goes down is shown, with its tasks, and so is its return", func() {
			engineOf(t, "node3", "kill")
			So(b.shows(`document.querySelector(".node.down")`), ShouldBeTrue)
			So(b.is(`document.querySelector(".node.down").textContent.includes("node3") && document.querySelector(".node.down .tile.bad").textContent.includes("node is down")`), ShouldBeTrue)
			engineOf(t, "node3", "start")
			So(b.shows(`!document.querySelector(".node.down")`), ShouldBeTrue)
		})

		Convey("an engine that is restarted is missed, and found again", func() {
			engineOf(t, "node1", "stop")
			So(b.shows(`document.querySelector("#lost").textContent.startsWith("The engine is lost") && !document.querySelector("#lost").hidden`), ShouldBeTrue)
			engineOf(t, "node1", "start")
			So(b.shows(`document.querySelector("#live.good")`), ShouldBeTrue)
		})

		Convey("no value of the environment has been on the page", func() {
			So(b.is(`!JSON.stringify(page).includes("hunter2")`), ShouldBeTrue)
		})
	})
}
