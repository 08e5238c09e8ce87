package e2e

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	. "github.com/smartystreets/goconvey/convey"

	"goblog/e2e/prober"
)

// enough is a number of requests that makes the result "none failed" reliable.
const enough = 10_000

// needMesh skips the test without an engine whose kernel has IPVS. make mesh starts such an
// engine in a virtual machine.
func needMesh(t *testing.T) {
	t.Helper()
	if os.Getenv("E2E_MESH") == "" {
		t.Skip("the routing mesh is tested by make mesh")
	}
	t.Setenv("PUBLISH_MODE", "ingress")
	t.Setenv("DEPLOY_TIMEOUT", "240") // The machine is emulated and slow.
}

func TestMesh(t *testing.T) {
	needMesh(t)

	Convey("Given a service behind the routing mesh", t, func() {
		defer wipe(t)
		first := script("copyall.sh", "VERSION=v0")
		So(first.String(), ShouldContainSubstring, "==> Deployed accountservice v0 in ")
		url := answeringURL(first)

		for n, replicas := range []string{"1", "1", "1", "3"} {
			docker(t, "service", "scale", "--detach=false", "accountservice="+replicas)
			report, took := underLoad(t, url, func() {
				r := script("copyall.sh --rolling", fmt.Sprintf("VERSION=v%d", n+1))
				So(r.String(), ShouldContainSubstring, "start-first")
				So(r.String(), ShouldContainSubstring, fmt.Sprintf("==> Deployed accountservice v%d in ", n+1))
			})
			fmt.Printf("\nmesh: rolling update, replicas=%s: %.0f s, %v\n", replicas, took.Seconds(), report)
			So(report.Requests, ShouldBeGreaterThanOrEqualTo, enough)
			So(report.Failures, ShouldBeEmpty)
		}

		report, took := underLoad(t, url, func() {
			So(script("copyall.sh", "VERSION=plain").String(), ShouldContainSubstring, "==> Deployed accountservice plain in ")
		})
		fmt.Printf("\nmesh: plain deploy: %.0f s, %v\n", took.Seconds(), report)
		So(report.Failures, ShouldNotBeEmpty)
	})
}

func TestMeshLandscape(t *testing.T) {
	needMesh(t)

	Convey("Given the landscape behind the routing mesh", t, func() {
		defer wipe(t)
		up := script("landscape.sh up", standins(t)...)
		So(up.String(), ShouldContainSubstring, "==> The landscape is up\n")
		thisNode := "node " + docker(t, "info", "--format", "{{.Swarm.NodeID}}")

		// All in one Convey, because each Convey would deploy the landscape again.
		for service, port := range map[string]string{"viz": "8080", "dvizz": "6969"} {
			So(docker(t, "service", "inspect", "--format", "{{range .Endpoint.Ports}}{{.PublishMode}} {{.PublishedPort}}{{end}}", service), ShouldEqual, "ingress "+port)
			So(pageOf(service, up), ShouldEndWith, ":"+port+"/")
			So(get(pageOf(service, up)), ShouldContainSubstring, thisNode)
		}
		So(get(pageOf("accountservice", up)), ShouldEqual, firstAccount)

		// Here, a name resolves to a virtual IP.
		So(docker(t, "service", "inspect", "--format", "{{.Endpoint.Spec.Mode}}", "quotes-service"), ShouldEqual, "vip")
		So(fromInside(t, "quotes-service", "http://accountservice:6767/accounts/10000"), ShouldEqual, firstAccount)
		So(fromInside(t, "dvizz", "http://quotes-service:8080/api/quote"), ShouldContainSubstring, aQuote)
		So(fromInside(t, "viz", "http://quotes-service:8080/api/quote"), ShouldNotContainSubstring, aQuote)
	})
}

// underLoad sends requests to the URL while change runs, which may take some minutes. It
// continues until the last replaced task has ended, and until there were enough requests. It
// also returns the time that change took.
func underLoad(t *testing.T, url string, change func()) (prober.Report, time.Duration) {
	t.Helper()
	p, err := prober.Start(url, firstAccount)
	So(err, ShouldBeNil)
	start := time.Now()
	change()
	took := time.Since(start)
	So(eventually(2*time.Minute, func() bool { return !drains(t) }), ShouldBeTrue)
	wanted := max(enough, p.Requests()+500)
	So(eventually(5*time.Minute, func() bool { return p.Requests() >= wanted }), ShouldBeTrue)
	return p.Stop(), took
}

// drains tells whether a task of accountservice still runs although it has to stop.
func drains(t *testing.T) bool {
	t.Helper()
	return strings.Contains("\n"+docker(t, "service", "ps", "--format", "{{.DesiredState}} {{.CurrentState}}", "accountservice"), "\nShutdown Running")
}
