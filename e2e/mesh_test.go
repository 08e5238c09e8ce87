package e2e

import (
	"fmt"
	"os"
	"testing"
	"time"

	. "github.com/smartystreets/goconvey/convey"

	"goblog/e2e/prober"
)

// enough requests make a claim of none failed worth something.
const enough = 10_000

// TestMesh needs an engine whose kernel has IPVS: make mesh starts one in a virtual machine.
func TestMesh(t *testing.T) {
	if os.Getenv("E2E_MESH") == "" {
		t.Skip("the routing mesh is tested by make mesh")
	}
	t.Setenv("PUBLISH_MODE", "ingress")
	t.Setenv("DEPLOY_TIMEOUT", "240") // It is an emulated machine.

	Convey("Given a service behind the routing mesh", t, func() {
		defer wipe(t)
		first := copyall("", "VERSION=v0")
		So(first.String(), ShouldContainSubstring, "Deployed accountservice v0")
		url := answeringURL(first)

		for n, replicas := range []string{"1", "1", "1", "3"} {
			docker(t, "service", "scale", "--detach=false", "accountservice="+replicas)
			report := underLoad(url, func() {
				r := copyall("--rolling", fmt.Sprintf("VERSION=v%d", n+1))
				So(r.String(), ShouldContainSubstring, "start-first")
				So(r.String(), ShouldContainSubstring, "==> Deployed accountservice v")
			})
			fmt.Printf("\nmesh: rolling update, replicas=%s: %v\n", replicas, report)
			So(report.Requests, ShouldBeGreaterThanOrEqualTo, enough)
			So(report.Failures, ShouldBeEmpty)
		}

		report := underLoad(url, func() {
			So(copyall("", "VERSION=plain").String(), ShouldContainSubstring, "==> Deployed accountservice plain")
		})
		fmt.Printf("\nmesh: plain deploy: %v\n", report)
		So(report.Failures, ShouldNotBeEmpty)
	})
}

// underLoad asks the URL while change goes on, and until there were enough requests.
func underLoad(url string, change func()) prober.Report {
	p, err := prober.Start(url, firstAccount)
	So(err, ShouldBeNil)
	change()
	eventually(5*time.Minute, func() bool { return p.Requests() >= enough })
	return p.Stop()
}
