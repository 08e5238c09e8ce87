package stack

import (
	"os"
	"regexp"
	"strings"
	"testing"

	. "github.com/smartystreets/goconvey/convey"
)

func TestDocs(t *testing.T) {
	text, err := os.ReadFile("../../docs/stack-file.md")
	if err != nil {
		t.Fatal(err)
	}
	_, keys, _ := strings.Cut(string(text), "\n## Keys\n")
	keys, _, _ = strings.Cut(keys, "\n## ")
	named := func(part string) map[string]bool {
		found := map[string]bool{}
		for _, match := range regexp.MustCompile("`([a-z_0-9-]+)`").FindAllStringSubmatch(part, -1) {
			found[match[1]] = true
		}
		return found
	}
	carried, warned, _ := strings.Cut(keys, "\nThese keys of a service are not carried over")
	inTable := map[string]map[string]bool{} // by what is before the first | of a row
	for line := range strings.Lines(carried) {
		if cells := strings.Split(line, "|"); len(cells) > 3 {
			inTable[strings.Trim(cells[1], " `")] = named(cells[2])
		}
	}
	for place, of := range map[string]key{"a service": serviceKeys, "deploy": deployKeys, "networks": networkKeys, "volumes": volumeKeys, "secrets`, `configs": contentKeys} {
		Convey("docs/stack-file.md names each key of "+place+" where it belongs", t, func() {
			So(inTable[place], ShouldNotBeEmpty)
			for name, one := range of.within {
				So(name+map[bool]string{true: " is carried over"}[inTable[place][name]], ShouldEqual, name+map[bool]string{true: " is carried over"}[!one.ignored && !one.refused])
				if one.ignored {
					So(name+map[bool]string{true: " is warned of"}[named(warned)[name]], ShouldEqual, name+" is warned of")
				}
			}
		})
	}
	Convey("docs/stack-file.md names each key of x-deploy", t, func() {
		_, section, _ := strings.Cut(string(text), "\n## x-deploy\n")
		section, _, _ = strings.Cut(section, "\n## ")
		for name, one := range extensionKeys.within {
			if one.within == nil {
				So(section, ShouldContainSubstring, "`"+name+"`")
			}
			for inner := range one.within {
				So(section, ShouldContainSubstring, "`"+name+"."+inner+"`")
			}
		}
	})
}
