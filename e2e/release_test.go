package e2e

import (
	"os"
	"path/filepath"
	"testing"

	. "github.com/smartystreets/goconvey/convey"
)

func TestReleaseImage(t *testing.T) {
	if !modernEngine() {
		t.Skip("buildx comes with today's engine only")
	}
	needRegistry(t)
	startRegistry(t, "127.0.0.1:5001", "")
	Convey("Given a checkout of a tag, with programs of a release, and a registry of this machine", t, func() {
		checkout := t.TempDir()
		must := func(r result) {
			if r.exit != 0 {
				So(r.String(), ShouldBeBlank)
			}
		}
		must(run(nil, "cp", "-r", repository("release"), repository("dockerfiles"), checkout))
		for cpu, dir := range map[string]string{"amd64": "amd64_v1", "arm64": "arm64_v8.0"} {
			binary := filepath.Join(checkout, "build", "dist", "accountservice_linux_"+dir, "accountservice")
			must(run([]string{"CGO_ENABLED=0", "GOARCH=" + cpu}, "go", "build", "-trimpath", "-o", binary, repository("accountservice")))
		}
		push := filepath.Join(checkout, "release", "image.sh")
		git := func(arguments ...string) {
			must(run(nil, "git", append([]string{"-C", checkout, "-c", "user.name=a", "-c", "user.email=a@example.com"}, arguments...)...))
		}
		git("init", "--quiet")
		git("commit", "--quiet", "--allow-empty", "--message", "a")

		Convey("without the tag, nothing is pushed, and the tag is asked for", func() {
			r := run(nil, push, "push", "127.0.0.1:5001/me/accountservice")
			So(r.stderr, ShouldContainSubstring, "error: no tag is checked out")
			So(r.exit, ShouldEqual, 1)
		})
		Convey("the image is pushed for both processors, and has the licences", func() {
			git("tag", "v1.2.3")
			must(run(nil, push, "check", "127.0.0.1:5001/me/accountservice"))
			must(run(nil, push, "push", "127.0.0.1:5001/me/accountservice"))
			image := "127.0.0.1:5001/me/accountservice:v1.2.3"
			index := docker(t, "buildx", "imagetools", "inspect", image)
			So(index, ShouldContainSubstring, "Platform:  linux/amd64")
			So(index, ShouldContainSubstring, "Platform:  linux/arm64")
			So(docker(t, "run", "--rm", image, "-version"), ShouldStartWith, "accountservice ")
			container := docker(t, "create", image)
			Reset(func() { docker(t, "rm", container) })
			licences := filepath.Join(t.TempDir(), "licences")
			docker(t, "cp", container+":/THIRD_PARTY.txt", licences)
			is, err := os.ReadFile(licences)
			So(err, ShouldBeNil)
			want, err := os.ReadFile(repository("dockerfiles", "THIRD_PARTY.txt"))
			So(err, ShouldBeNil)
			So(string(is) == string(want), ShouldBeTrue)
		})
	})
}
