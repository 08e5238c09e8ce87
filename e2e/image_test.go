package e2e

import (
	"testing"
	"time"

	. "github.com/smartystreets/goconvey/convey"
)

// accountservice and moody are different images with the same name and, here, the same
// version. When a name in use is built again, the image stores behave differently.

func TestImageStays(t *testing.T) {
	Convey("Given a version of a service, which runs", t, func() {
		url := deployed(t, "VERSION=dead-at-start")
		first := image(t)

		Convey("its image stays when the trial of another of the same version fails, and untagged images are pruned", func() {
			r := script(moody("--rolling"), "VERSION=dead-at-start")
			So(r.stderr, ShouldContainSubstring, "moody does not want to live")
			So(r.exit, ShouldEqual, 1)
			So(image(t), ShouldEqual, first)
			So(comesBack(t, url), ShouldBeTrue)
			docker(t, "image", "prune", "--force")
			So(comesBack(t, url), ShouldBeTrue)
		})
	})

	Convey("Given a version of a service", t, func() {
		url := deployed(t, "VERSION=crashes")
		first := image(t)

		Convey("when another of the same version passes its trial and crashes in service, the first serves again", func() {
			r := script(moody("--rolling"), "VERSION=crashes")
			So(r.stderr, ShouldContainSubstring, "moody crashes")
			So(r.exit, ShouldEqual, 1)
			So(get(url), ShouldEqual, firstAccount)
			So(image(t), ShouldEqual, first)
			So(comesBack(t, url), ShouldBeTrue)
		})
	})

	Convey("Given two versions of the same name, deployed in turn", t, func() {
		url := deployed(t, "VERSION=same")
		first := image(t)
		So(script(moody("--rolling"), "VERSION=same").exit, ShouldEqual, 0)
		So(image(t), ShouldNotEqual, first)

		Convey("rollback.sh goes back to the first, which then is deployed once more, by force", func() {
			So(script("rollback.sh").exit, ShouldEqual, 0)
			So(get(url), ShouldEqual, firstAccount)
			So(image(t), ShouldEqual, first)
			forced := script("copyall.sh --force", "VERSION=same")
			So(forced.exit, ShouldEqual, 0)
			So(image(t), ShouldEqual, first)
			So(comesBack(t, url), ShouldBeTrue)
		})
	})

	Convey("Given a service whose image somebody has removed by hand", t, func() {
		url := deployed(t, "VERSION=gone")
		forceAway(t, image(t))

		Convey("a deploy changes nothing, as nothing could be put back, unless it is told to do without", func() {
			for _, flags := range []string{"", "--rolling"} {
				r := script("copyall.sh "+flags, "VERSION=new")
				So(r.exit, ShouldEqual, 1)
				So(r.stderr, ShouldContainSubstring, "the version that runs now could not be restored after a failure: this engine no longer has the image sha256:")
				So(r.stderr, ShouldContainSubstring, "--no-undo")
				So(version(t), ShouldEqual, "gone")
			}
			So(script("copyall.sh --no-undo", "VERSION=new").exit, ShouldEqual, 0)
			mustServe(t, url, "new")

			// A rollback cannot go back to the removed image either.
			back := script("rollback.sh")
			So(back.exit, ShouldEqual, 1)
			So(back.stderr, ShouldContainSubstring, "cannot go back to version gone: this engine no longer has the image")
			mustServe(t, url, "new")
			So(script("status.sh").stdout, ShouldContainSubstring, "a rollback cannot go back to it: this engine no longer has the image ")
		})
	})
}

// forceAway removes the image that accountservice runs, like somebody who needs space. The
// classic image store removes it only when no container uses it.
func forceAway(t *testing.T, id string) {
	t.Helper()
	docker(t, "service", "scale", "--detach", "accountservice=0")
	if !eventually(30*time.Second, func() bool { return len(containers(t, "accountservice")) == 0 }) {
		t.Fatal("accountservice goes on running")
	}
	docker(t, "container", "prune", "--force")
	docker(t, "rmi", "--force", id)
}

func TestOldImages(t *testing.T) {
	Convey("Of five versions deployed in turn, the images of the last and of three before it stay", t, func() {
		url := deployed(t, "VERSION=v1")
		for _, version := range []string{"v2", "v3", "v4", "v5"} {
			So(script("copyall.sh", "VERSION="+version).exit, ShouldEqual, 0)
		}
		mustServe(t, url, "v5")
		images := docker(t, "images", "--format", "{{.Tag}}", "someprefix/accountservice")
		for _, version := range []string{"v2", "v3", "v4", "v5", "latest"} {
			So("\n"+images+"\n", ShouldContainSubstring, "\n"+version+"\n")
		}
		So("\n"+images+"\n", ShouldNotContainSubstring, "\nv1\n")
		So(docker(t, "image", "inspect", "--format", "{{.Id}}", "someprefix/accountservice:latest"), ShouldEqual, image(t))
	})
}
