package figures

import (
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
	"time"

	. "github.com/smartystreets/goconvey/convey"
)

func TestShow(t *testing.T) {
	for _, one := range []struct{ page, text, want string }{
		{"with a report of this name", "a\n<!-- x: begin -->\nold\n<!-- x: end -->\nz\n", "a\n<!-- x: begin -->\nnew\n<!-- x: end -->\nz\n"},
		{"with nothing between the marks", "<!-- x: begin -->\n<!-- x: end -->\n", "<!-- x: begin -->\nnew\n<!-- x: end -->\n"},
		{"with reports of other names, too", "<!-- w: begin -->\nw\n<!-- w: end -->\n<!-- x: begin -->\nold\n<!-- x: end -->\n<!-- y: begin -->\ny\n<!-- y: end -->\n",
			"<!-- w: begin -->\nw\n<!-- w: end -->\n<!-- x: begin -->\nnew\n<!-- x: end -->\n<!-- y: begin -->\ny\n<!-- y: end -->\n"},
		{"without marks", "a\n", ""},
		{"with marks of another name", "<!-- y: begin -->\ny\n<!-- y: end -->\n", ""},
		{"without the second mark", "<!-- x: begin -->\nold\n", ""},
		{"with the marks in the wrong order", "<!-- x: end -->\nold\n<!-- x: begin -->\n", ""},
	} {
		Convey("Given a page "+one.page, t, func() {
			path := filepath.Join(t.TempDir(), "page.md")
			So(os.WriteFile(path, []byte(one.text), 0o600), ShouldBeNil)
			err := Show(path, "x", "new\n")
			is, readErr := os.ReadFile(path)
			So(readErr, ShouldBeNil)
			if one.want != "" {
				Convey("the report is shown there, and all else stays as it was", func() {
					So(err, ShouldBeNil)
					So(string(is), ShouldEqual, one.want)
				})
				return
			}
			Convey("the error names the page and the lines that it lacks, and the page stays as it was", func() {
				So(err, ShouldNotBeNil)
				So(err.Error(), ShouldEqual, path+` has no place for the figures: want the lines "<!-- x: begin -->\n" and "<!-- x: end -->\n", in this order`)
				So(string(is), ShouldEqual, one.text)
			})
		})
	}
	Convey("A page that is not there is named", t, func() {
		err := Show("nowhere.md", "x", "new\n")
		So(err, ShouldNotBeNil)
		So(err.Error(), ShouldContainSubstring, "nowhere.md")
	})
}

func TestConditions(t *testing.T) {
	Convey("A report begins with its date, its command, the versions and the machine", t, func() {
		So(Conditions("make x", "x 1", "y 2"), ShouldStartWith, "Measured on "+time.Now().Format(time.DateOnly)+" by `make x`: x 1, y 2, ")
		So(Conditions("make x", "x 1"), ShouldContainSubstring, ", "+strconv.Itoa(runtime.NumCPU())+" × ")
	})
}
