// Package scripts tests that the shell scripts for people run on linux and on macOS.
package scripts

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	. "github.com/smartystreets/goconvey/convey"
)

// linuxOnly are the folders whose scripts run only on linux, and folders of built files.
var linuxOnly = []string{".ci", ".git", "build", "e2e"}

// forbidden are forms that bash 3.2 or the tools of macOS do not know, each with an example.
var forbidden = []struct{ form, pattern, example string }{
	{"an associative array", `\b(declare|local|typeset)\s+-\w*[Ag]`, "declare -A ages"},
	{"a reference to a variable", `\b(declare|local|typeset)\s+-\w*n`, "local -n other=$1"},
	{"a change of case", `\$\{\w+(\[[^]]*\])?(\^|,)`, "echo ${name^^}"},
	{"a transformation", `\$\{\w+(\[[^]]*\])?@[A-Za-z]\}`, "echo ${name@Q}"},
	{"mapfile", `\b(mapfile|readarray)\b`, "mapfile -t lines <file"},
	{"a pipe of both outputs", `\|&`, "make |& tee log"},
	{"both outputs at the end of a file", `&>>`, "make &>>log"},
	{"a coprocess", `\bcoproc\b`, "coproc cat"},
	{"a wait for any process", `\bwait\s+-n`, "wait -n"},
	{"a test whether a variable is set", `\[\[\s+(!\s+)?-v\s`, "[[ -v name ]]"},
	{"a place from the end", `\$\{\w+\[-`, "echo ${names[-1]}"},
	{"the time of the shell", `\bEPOCH(SECONDS|REALTIME)\b`, "echo $EPOCHSECONDS"},
	{"a date of printf", `printf\b.*%\([^)]*\)T`, "printf '%(%F)T'"},
	{"globstar", `\bglobstar\b`, "shopt -s globstar"},
	{"sed -i", `\bsed\b.*\s-\w*i`, "sed -i s/a/b/ file"},
	{"sed -r", `\bsed\s+-\w*r`, "sed -r s/a+/b/ file"},
	{"grep -P", `\bgrep\s+(-\S+\s+)*-\w*P`, "grep -oP '\\d' file"},
	{"readlink -f", `\breadlink\s+-\w*[fem]`, "readlink -f file"},
	{"realpath", `\brealpath\b`, "realpath file"},
	{"date -d", `\bdate\b.*\s(-\w*d|--date)\b`, "date -u -d yesterday"},
	{"nanoseconds of date", `\bdate\b.*%\d*N`, "date +%s%N"},
	{"stat -c", `\bstat\s+(-\S+\s+)*(-\w*c|--format)\b`, "stat -L -c %s file"},
	{"xargs -r", `\bxargs\s+(-\S+\s+)*(-\w*r|--no-run-if-empty)\b`, "xargs -0 -r rm"},
	{"head without the last lines", `\bhead\s+-n\s*-`, "head -n -1 file"},
	{"cp of GNU", `\bcp\s+(-\S+\s+)*(-\w*t|--\w+)\b`, "cp -t to from"},
	{"install -D", `\binstall\s+(-\S+\s+)*-\w*[Dt]\b`, "install -D from to"},
	{"timeout", `(^|[|&;({]\s*|\b(if|then|do|else|exec|while|until|!)\s+)timeout\s`, "timeout 5 make"},
	{"setsid", `\bsetsid\b`, "setsid make &"},
	{"sha256sum", `\b(md5|sha\d+)sum\b`, "sha256sum file"},
	{"nproc", `\bnproc\b`, "make -j$(nproc)"},
	{"base64 -w", `\bbase64\s+(-\S+\s+)*-\w*w`, "base64 -w0 file"},
	{"tac", `(^|[|;]\s*)tac\b`, "tac file"},
	{"mktemp with a suffix", `\bmktemp\b.*--`, "mktemp --suffix=.txt"},
}

// forms are the forbidden forms in a shell text, each with its line.
func forms(text string) []string {
	var found []string
	for i, line := range strings.Split(text, "\n") {
		if strings.HasPrefix(strings.TrimSpace(line), "#") {
			continue
		}
		for _, one := range forbidden {
			if regexp.MustCompile(one.pattern).MatchString(line) {
				found = append(found, fmt.Sprintf("%d: %s: %s", i+1, one.form, strings.TrimSpace(line)))
			}
		}
	}
	return found
}

// shells are the files with shell code: *.sh, files that name a shell in their first line,
// and the Makefile.
func shells() ([]string, error) {
	found := []string{"../Makefile"}
	err := filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if slices.Contains(linuxOnly, strings.TrimPrefix(path, "../")) {
				return fs.SkipDir
			}
			return nil
		}
		if !entry.Type().IsRegular() {
			return nil
		}
		text, err := os.ReadFile(path)
		first, _, _ := strings.Cut(string(text[:min(80, len(text))]), "\n")
		if strings.HasSuffix(path, ".sh") || strings.HasPrefix(first, "#!") && strings.HasSuffix(first, "sh") {
			found = append(found, path)
		}
		return err
	})
	return found, err
}

func TestForbiddenForms(t *testing.T) {
	for _, one := range forbidden {
		Convey("In shell, "+one.form+" is found", t, func() {
			So(forms("x=1\n"+one.example), ShouldResemble, []string{"2: " + one.form + ": " + one.example})
		})
	}
	Convey("What bash 3.2 and macOS know is let pass", t, func() {
		So(forms("# sed -i\nlocal -a all\nsed -n -e '2,/^i/p' file\ncurl --max-time 5 x\ndate +%s\ngo test -timeout 5m\nchmod +x a &>b\nhead -n 1\nstat=1 xargs -0 rm\necho ${a:-b} ${a//x/y} ${a[0]}"), ShouldBeEmpty)
	})
	Convey("The shell that people run has none", t, func() {
		files, err := shells()
		So(err, ShouldBeNil)
		So(len(files), ShouldBeGreaterThan, 10)
		for _, file := range files {
			text, err := os.ReadFile(file)
			So(err, ShouldBeNil)
			for _, one := range forms(string(text)) {
				So(file+":"+one, ShouldBeBlank)
			}
		}
	})
}
