package view

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	. "github.com/smartystreets/goconvey/convey"

	"goblog/deploy/journal"

	"github.com/moby/moby/api/types/swarm"
)

// served serves the page of a swarm, and returns its URL.
func served(t *testing.T, source Source) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- (&Server{Source: source, Host: "127.0.0.1"}).Serve(ctx, listener) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return "http://" + listener.Addr().String() + "/"
}

// A browser is a tab of a real browser, with its complaints.
type browser struct {
	context.Context
	t *testing.T

	mutex      sync.Mutex
	complaints []string
}

// opened opens a page in a browser.
func opened(t *testing.T, url string, width, height int64) *browser {
	t.Helper()
	if _, err := exec.LookPath("chromium"); err != nil {
		if os.Getenv("E2E") == "required" {
			t.Fatal("E2E=required, but chromium is not installed")
		}
		t.Skip("chromium is not installed")
	}
	b := &browser{t: t}
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath("chromium"), chromedp.NoSandbox)...)
	t.Cleanup(cancel)
	ctx, cancel = context.WithTimeout(ctx, 2*time.Minute)
	t.Cleanup(cancel)
	b.Context, cancel = chromedp.NewContext(ctx, chromedp.WithListener(b.hear))
	t.Cleanup(cancel)
	b.do(chromedp.EmulateViewport(width, height, chromedp.EmulateScale(2)), chromedp.Navigate(url))
	if !b.eventually(`document.querySelector("#live.good") !== null`) {
		t.Fatalf("the page does not come to life: %s", b.text("body"))
	}
	return b
}

// hear collects the complaints of the browser: errors of the page, and requests that were
// blocked.
func (b *browser) hear(event any) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	switch event := event.(type) {
	case *runtime.EventExceptionThrown:
		b.complaints = append(b.complaints, fmt.Sprint(event.ExceptionDetails.Text, event.ExceptionDetails.Exception))
	case *log.EventEntryAdded:
		b.complaints = append(b.complaints, event.Entry.Text+" "+event.Entry.URL)
	}
}

func (b *browser) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if err := chromedp.Do(b, steps...); err != nil {
		b.t.Fatal(err)
	}
}

// js is the value of an expression in the page.
func js[Value any](b *browser, expression string) Value {
	b.t.Helper()
	value, err := chromedp.Run(b, chromedp.Evaluate[Value](expression))
	if err != nil {
		b.t.Fatalf("%s: %v", expression, err)
	}
	return value
}

// eventually waits, for ten seconds, until an expression is true in the page.
func (b *browser) eventually(expression string) bool {
	b.t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if js[bool](b, "Boolean("+expression+")") {
			return true
		}
	}
	return false
}

// text is the visible text of an element.
func (b *browser) text(selector string) string {
	b.t.Helper()
	return js[string](b, fmt.Sprintf("document.querySelector(%q)?.innerText ?? ''", selector))
}

// complained are the complaints of the browser.
func (b *browser) complained() []string {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	return b.complaints
}

func (b *browser) scheme(name string) {
	b.t.Helper()
	if _, err := chromedp.Call(b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: name}}}); err != nil {
		b.t.Fatal(err)
	}
}

// picture takes a picture of the whole page, and writes it to the directory VIEW_PICTURES, if
// that is set.
func (b *browser) picture(name string) []byte {
	b.t.Helper()
	png, err := chromedp.Run(b, chromedp.FullScreenshot(100))
	if err != nil {
		b.t.Fatal(err)
	}
	if dir := os.Getenv("VIEW_PICTURES"); dir != "" {
		if err := os.WriteFile(filepath.Join(dir, name+".png"), png, 0o644); err != nil {
			b.t.Fatal(err)
		}
	}
	return png
}

// deploying is a deploy of a service in a phase.
func deploying(now *Swarm, service, phase string) {
	record := now.Records[service]
	record.Held = &journal.HeldError{Holder: "eva on laptop, process 4711", Since: "2026-11-26 18:20:07 +0100", Phase: phase, Beat: time.Now()}
	now.Records[service] = record
}

// troubled is the shop while a deploy runs, a node is down, and tasks fail.
func troubled() *Swarm {
	now := shop()
	now.Nodes[4].Status.State, now.Nodes[4].Status.Message = swarm.NodeStateDown, "heartbeat failure for node in \"unknown\" state"
	now.Nodes[3].Spec.Availability = swarm.NodeAvailabilityDrain
	for i := range now.Tasks {
		one := &now.Tasks[i]
		switch {
		case one.NodeID == "n5":
			one.DesiredState = swarm.TaskStateShutdown
		case one.ServiceID == "id-redis":
			one.Status.State, one.Status.Err, one.Status.Timestamp = swarm.TaskStateFailed, "task: non-zero exit (137): OOM killed", time.Now().Add(-8*time.Second)
		case one.ServiceID == "id-orders" && one.Slot == 4:
			one.NodeID, one.Status.State, one.Status.Err, one.Status.Timestamp = "", swarm.TaskStatePending, "no suitable node (insufficient resources on 4 nodes)", time.Now().Add(-40*time.Second)
		}
	}
	now.deploys("accountservice", "v2.5.0", journal.Running, 9*time.Second, "image: sha256:77ab01d9e5f4 → sha256:e0c1aa3f0b6d", "deploy.resources.limits.memory: 192 MiB → 256 MiB", "environment.CACHE: added")
	task := now.task(now.Services[0], 1, "n2", swarm.TaskStateStarting)
	task.Status.Timestamp = time.Now().Add(-2 * time.Second)
	spec := *task.Spec.ContainerSpec
	spec.Image = "example/accountservice:v2.5.0"
	task.Spec.ContainerSpec = &spec
	now.Records["accountservice"].History[2].After.Spec.Labels = map[string]string{journal.LabelVersion: "v2.5.0"}
	deploying(now, "accountservice", "proving the new version")
	return now
}

func TestPageLooks(t *testing.T) {
	url := served(t, &synthetic{now: troubled()})
	for _, width := range []int64{390, 820, 1440} {
		Convey(fmt.Sprintf("At a width of %d the page fits, in both colour schemes, which differ", width), t, func() {
			b := opened(t, url, width, 900)
			var pictures [][]byte
			for _, scheme := range []string{"light", "dark"} {
				b.scheme(scheme)
				So(js[float64](b, "document.documentElement.scrollWidth - document.documentElement.clientWidth"), ShouldEqual, 0)
				pictures = append(pictures, b.picture(fmt.Sprintf("%s-%d", scheme, width)))
			}
			So(bytes.Equal(pictures[0], pictures[1]), ShouldBeFalse)
			So(strings.Join(b.complained(), "\n"), ShouldBeBlank)
		})
	}
}

func TestPageLives(t *testing.T) {
	Convey("Given the page of a swarm in a browser", t, func() {
		source := &synthetic{now: shop()}
		b := opened(t, served(t, source), 1440, 900)
		Convey("nodes, tasks, services, networks, ports and history are there", func() {
			So(b.text("#summary"), ShouldStartWith, "5 nodes · 8 services · 15 of 15 tasks well")
			So(js[int](b, `document.querySelectorAll("#nodes > li").length`), ShouldEqual, 5)
			So(js[int](b, `document.querySelectorAll(".tile").length`), ShouldEqual, 15)
			So(b.text("#nodes > li"), ShouldContainSubstring, "leader")
			So(b.text("#nodes > li"), ShouldContainSubstring, "engine 28.5.2 · 4 CPUs · 8 GiB")
			So(b.text("#rows"), ShouldContainSubstring, "example/gateway:2026.11")
			So(js[[]string](b, `[...document.querySelectorAll("#rows a")].map((one) => one.href)`), ShouldResemble,
				[]string{"http://192.0.2.1:6767/", "http://192.0.2.1:6969/", "http://192.0.2.1/", "http://192.0.2.1:443/", "http://192.0.2.1:8080/"})
			So(js[[]string](b, `[...document.querySelectorAll("#rows tr")].filter((one) => one.textContent.includes("on network storage")).map((one) => one.querySelector("b").textContent)`),
				ShouldResemble, []string{"orders", "postgres", "redis"})
			So(js[string](b, `document.querySelector("#history").textContent`), ShouldContainSubstring, "deploy.resources.limits.memory: 128 MiB → 192 MiB")
			So(strings.Join(b.complained(), "\n"), ShouldBeBlank)
		})
		Convey("a deploy is followed from its plan to its answer", func() {
			source.change(true, func(now *Swarm) { deploying(now, "accountservice", "trying the new version") })
			So(b.eventually(`document.querySelector("#deploys .now")?.textContent === "try"`), ShouldBeTrue)
			So(b.text("#deploys"), ShouldContainSubstring, "by eva on laptop, process 4711")
			source.change(true, func(now *Swarm) {
				now.deploys("accountservice", "v2.5.0", journal.Running, 0, "deploy.replicas: 3 → 5")
				deploying(now, "accountservice", "changing the service")
			})
			So(b.eventually(`document.querySelector("#deploys .now")?.textContent === "change"`), ShouldBeTrue)
			So(b.text("#deploys"), ShouldContainSubstring, "deploy.replicas: 3 → 5")
			source.change(true, func(now *Swarm) {
				record := now.Records["accountservice"]
				last := *record.History[2]
				last.Outcome, record.Held = journal.Done, nil
				record.History[2] = &last
				now.Records["accountservice"] = record
			})
			So(b.eventually(`document.querySelector("#deploys .end-done") !== null`), ShouldBeTrue)
			So(b.text("#deploys"), ShouldContainSubstring, "done: the version was proven")
			So(b.text("#history > li"), ShouldContainSubstring, "v2.5.0")
		})
		Convey("one that fails in its trial has changed nothing; one that fails later goes back", func() {
			source.change(true, func(now *Swarm) { deploying(now, "orders", "trying the new version") })
			So(b.eventually(`document.querySelector("#deploys .going") !== null`), ShouldBeTrue)
			free := func(now *Swarm) {
				record := now.Records["orders"]
				record.Held = nil
				now.Records["orders"] = record
			}
			source.change(true, free)
			So(b.eventually(`document.querySelector("#deploys .end-untouched") !== null`), ShouldBeTrue)
			source.change(true, func(now *Swarm) {
				now.deploys("orders", "v13", journal.Running, 0)
				deploying(now, "orders", "going back")
			})
			So(b.eventually(`document.querySelector("#deploys .back") !== null`), ShouldBeTrue)
			source.change(true, func(now *Swarm) {
				last := *now.Records["orders"].History[2]
				last.Outcome = journal.Failed
				now.Records["orders"].History[2] = &last
				free(now)
			})
			So(b.eventually(`document.querySelector("#deploys .end-failed") !== null`), ShouldBeTrue)
			So(b.text("#deploys"), ShouldContainSubstring, "failed: the version before is back")
		})
		Convey("a node that goes down takes its colour and its tasks along", func() {
			source.change(true, func(now *Swarm) { now.Nodes[4].Status.State = swarm.NodeStateDown })
			So(b.eventually(`document.querySelector(".node.down")?.innerText.includes("node5")`), ShouldBeTrue)
			So(b.text(".node.down"), ShouldContainSubstring, "node is down")
		})
		Convey("a lost engine is said, and what was known stays; the page comes back by itself", func() {
			source.lose("connection refused")
			So(b.eventually(`!document.querySelector("#lost").hidden`), ShouldBeTrue)
			So(b.text("#lost"), ShouldEqual, "The engine is lost. Waiting for it. connection refused")
			So(b.text("#live"), ShouldEqual, "lost")
			So(js[int](b, `document.querySelectorAll(".tile").length`), ShouldEqual, 15)
			source.lose("")
			So(b.eventually(`document.querySelector("#lost").hidden && document.querySelector("#live.good") !== null`), ShouldBeTrue)
		})
		Convey("names, errors and labels of any content stay text", func() {
			const nasty = `<img src=x onerror="document.title='hacked'"><script>document.title='hacked'</script>`
			source.change(true, func(now *Swarm) {
				service := now.service("evil"+nasty, nasty, 0, []string{nasty})
				task := now.task(*service, 1, "n1", swarm.TaskStateFailed)
				task.Status.Err = nasty + strings.Repeat(" long", 1000)
				now.Nodes[0].Description.Hostname = nasty
				now.Nodes[0].Status.Message = nasty
				now.deploys("evil"+nasty, nasty, nasty, 0, nasty)
				deploying(now, "evil"+nasty, nasty)
			})
			So(b.eventually(`document.querySelector("#deploys .card") !== null`), ShouldBeTrue)
			So(b.text("#nodes"), ShouldContainSubstring, nasty)
			So(b.text("#rows"), ShouldContainSubstring, "evil"+nasty)
			So(js[int](b, `document.querySelectorAll("img, body script").length`), ShouldEqual, 0)
			So(js[string](b, "document.title"), ShouldEqual, "Swarm")
			So(js[float64](b, "document.documentElement.scrollWidth - document.documentElement.clientWidth"), ShouldEqual, 0)
			So(strings.Join(b.complained(), "\n"), ShouldBeBlank)
		})
		Convey("the keyboard reaches a task by one stop and arrows, opens its facts, and closes them", func() {
			So(js[int](b, `document.querySelectorAll(".tile[tabindex='0']").length`), ShouldEqual, 1)
			js[any](b, `document.querySelector(".tile[tabindex='0']").focus()`)
			b.do(chromedp.KeyEvent(kb.ArrowDown), chromedp.KeyEvent(kb.Enter))
			So(b.eventually(`document.querySelector("#task").open`), ShouldBeTrue)
			So(b.text("#task"), ShouldContainSubstring, js[string](b, `document.querySelectorAll(".tile")[1].task.service`))
			b.do(chromedp.KeyEvent(kb.Escape))
			So(b.eventually(`!document.querySelector("#task").open`), ShouldBeTrue)
			So(js[int](b, `document.querySelectorAll(".tile[tabindex='0']").length`), ShouldEqual, 1)
		})
		Convey("a service that is picked dims the tasks of the others, and lets them go again", func() {
			So(js[int](b, `(document.querySelector(".pick").click(), document.querySelectorAll(".tile:not(.dim)").length)`), ShouldEqual, 3)
			So(js[int](b, `(document.querySelector(".pick").click(), document.querySelectorAll(".tile.dim").length)`), ShouldEqual, 0)
		})
		Convey("a table has the same tasks for screen readers, and follows as the tiles do", func() {
			js[any](b, `document.querySelector("#all > summary").click()`)
			So(b.eventually(`document.querySelectorAll("#tasks tr").length === 15`), ShouldBeTrue)
			source.change(false, func(now *Swarm) {
				now.Tasks[0].Status.State, now.Tasks[0].Status.Err = swarm.TaskStateFailed, "exit (3)"
			})
			So(b.eventually(`document.querySelector("#tasks").innerText.includes("exit (3)")`), ShouldBeTrue)
		})
		Convey("controls have names, pictures none but their text, and headings an order", func() {
			So(js[[]string](b, `[...document.querySelectorAll("button, a, summary")].filter((one) => !one.textContent.trim()).map((one) => one.outerHTML)`), ShouldBeEmpty)
			So(js[[]string](b, `[...document.querySelectorAll("[aria-labelledby]")].filter((one) => !document.getElementById(one.getAttribute("aria-labelledby"))).map((one) => one.id)`), ShouldBeEmpty)
			So(js[[]string](b, `[...document.querySelectorAll("main h1, main h2, main h3")].map((one) => one.tagName).filter((one) => one === "H1")`), ShouldBeEmpty)
		})
	})
}

func TestLargeSwarm(t *testing.T) {
	Convey("With 20 nodes and 500 tasks, an update takes 50 ms in the browser at most, layout included", t, func() {
		source := &synthetic{now: many()}
		b := opened(t, served(t, source), 1440, 900)
		So(js[int](b, `document.querySelectorAll(".tile").length`), ShouldEqual, 500)
		js[any](b, `(() => {
			window.took = [];
			const plain = render;
			render = (page) => {
				const began = performance.now();
				plain(page);
				document.body.getBoundingClientRect();
				took.push(performance.now() - began);
			};
		})()`)
		for round := range 12 {
			source.change(round%2 == 0, func(now *Swarm) {
				for i := range 20 {
					task := &now.Tasks[(round*41+i*17)%500]
					task.Status.State, task.Status.Timestamp = swarm.TaskStateStarting, time.Now()
				}
			})
			So(b.eventually(fmt.Sprintf("took.length > %d", round)), ShouldBeTrue)
		}
		took := js[[]float64](b, "took.sort((a, b) => a - b)")
		t.Logf("updates took %.1f ms, median %.1f, at most %.1f", took[0], took[len(took)/2], took[len(took)-1])
		So(took[0], ShouldBeLessThan, 50) // Other programs only add to the time of an update, so the shortest is its own.
		b.picture("large")
	})
}
