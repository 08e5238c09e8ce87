package main

import (
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	. "github.com/smartystreets/goconvey/convey"
)

func TestAlerts(t *testing.T) {
	if _, err := exec.LookPath("promtool"); err != nil {
		if os.Getenv("E2E") == "required" {
			t.Fatal("E2E=required, but promtool is not installed")
		}
		t.Skip("promtool is not installed")
	}
	const tests = "testdata/alerts.yml"

	Convey("Each alert fires when it should, and only then", t, func() {
		for _, args := range [][]string{{"check", "rules", "alerts.yml"}, {"test", "rules", tests}} {
			out, err := exec.Command("promtool", args...).CombinedOutput()
			So(string(out), ShouldContainSubstring, "SUCCESS")
			So(err, ShouldBeNil)
		}
	})
}

func TestAlertsAreOfMetricsThatThereAre(t *testing.T) {
	Convey("Given a service with good answers and failures", t, func() {
		path := newPath(t)
		p := serving("-db", path, "-admin-addr", "127.0.0.1:0")
		mustGet(p.url("/accounts/10000"))
		damage(path)
		So(mustGet(p.url("/accounts/10000")).StatusCode, ShouldEqual, http.StatusInternalServerError)
		So(mustGet(p.url("/health")).StatusCode, ShouldEqual, http.StatusServiceUnavailable)

		Convey("Then it has each series of the tests of the alerts, by name and labels", func() {
			text, err := os.ReadFile("testdata/alerts.yml")
			So(err, ShouldBeNil)
			series := regexp.MustCompile(`series: '(\w+)\{(.*)\}'`).FindAllStringSubmatch(string(text), -1)
			So(series, ShouldNotBeEmpty)
			for _, s := range series {
				name, labels := s[1], regexp.MustCompile(`(^|,)(job|instance)="\w+"`).ReplaceAllString(s[2], "")
				if name == "up" { // Prometheus itself makes this one.
					continue
				}
				want := name + " "
				if labels = strings.TrimPrefix(labels, ","); labels != "" {
					want = name + "{" + labels + "} "
				}
				So(eventually(func() bool { return strings.Contains(mustGet(p.adminURL("/metrics")).body, "\n"+want) }), ShouldBeTrue)
			}
		})
	})
}
