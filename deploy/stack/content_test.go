package stack

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	. "github.com/smartystreets/goconvey/convey"
)

const (
	hidden     = "hidden-content"
	hiddenHash = "8f5271ca0590" // of these bytes alone; by sha256sum
)

func TestNamesOfSecretsAndConfigs(t *testing.T) {
	for _, one := range []struct{ declared, stack, want string }{
		{"{file: a.txt}", "", "key-" + hiddenHash},
		{"{file: ./sub/../a.txt}", "", "key-" + hiddenHash},
		{"{file: sub/same.txt}", "", "key-" + hiddenHash},
		{"{file: a.txt, external: false}", "", "key-" + hiddenHash},
		{"{file: '${FILE:-a.txt}'}", "", "key-" + hiddenHash},
		{"{file: a.txt, name: other}", "", "other-" + hiddenHash},
		{"{file: a.txt, name: 'team_${NAME:-x}.v1'}", "", "team_x.v1-" + hiddenHash},
		{"{file: changed.txt}", "", "key-46274c4b6568"},
		{"{file: a.txt, template_driver: golang}", "", "key-87170124fca9"},
		{"{file: a.txt, labels: {a: b}}", "", "key-98cbd1aedd82"},
		{"{file: a.txt, labels: [a=c]}", "", "key-ea2b01952165"},
		{"{file: a.txt, labels: {}}", "", "key-" + hiddenHash},
		{"{file: a.txt}", "blue", "blue_key-d98f0264e237"},
		{"{file: a.txt}", "green", "green_key-99b405649efc"},
		{"{file: a.txt, name: other}", "blue", "other-d98f0264e237"},

		{"{external: true}", "", "key"},
		{"{external: true, name: other}", "", "other"},
		{"{external: {name: other}}", "", "other"},
		{"{external: true}", "blue", "key"},
		{"{external: true, name: other}", "blue", "other"},
		{"{external: {name: other}}", "blue", "other"},
	} {
		forBoth(func(word string, kind Kind) {
			Convey("One of the "+word+" that is declared as "+one.declared+" in the stack '"+one.stack+"' is "+one.want, t, func() {
				loaded, err := loadText(t, using(word, "[key]", "{key: "+one.declared+"}"), inStack(one.stack),
					beside(t, map[string]string{"a.txt": hidden, "sub/same.txt": hidden, "changed.txt": hidden + "!"}))
				So(err, ShouldBeNil)
				So(loaded.Warnings, ShouldBeEmpty)
				So(loaded.Contents, ShouldHaveLength, 1)
				So(loaded.Contents[0].Kind, ShouldEqual, kind)
				So(loaded.Contents[0].Name, ShouldEqual, one.want)
				So(places(loaded.Services[0], kind), ShouldResemble, []string{place(one.want, "key", "0", "0", 0o444)})
				So(len(loaded.Services[0].Spec.TaskTemplate.ContainerSpec.Secrets)+len(loaded.Services[0].Spec.TaskTemplate.ContainerSpec.Configs), ShouldEqual, 1)
			})
		})
	}
}

func TestAChangedFileIsAnotherSecret(t *testing.T) {
	forBoth(func(word string, kind Kind) {
		Convey("Given a file that one of the "+word+" is read from", t, func() {
			options := Options{Files: []string{write(t, "stack.yml", using(word, "[key]", "{key: {file: a.txt}}"))}}
			beside(t, map[string]string{"a.txt": hidden})(&options)
			name := func() string {
				loaded, err := Load(options)
				So(err, ShouldBeNil)
				So(places(loaded.Services[0], kind)[0], ShouldStartWith, loaded.Contents[0].Name+" at ")
				return loaded.Contents[0].Name
			}
			was := name()
			Convey("it keeps its name while the file is the same", func() { So(name(), ShouldEqual, was) })
			Convey("it has another name once the file has changed, by a line's end even", func() {
				beside(t, map[string]string{"a.txt": hidden + "\n"})(&options)
				So(name(), ShouldNotEqual, was)
				Convey("and its first one when the change is taken back", func() {
					beside(t, map[string]string{"a.txt": hidden})(&options)
					So(name(), ShouldEqual, was)
				})
			})
		})
	})
}

func TestReferencesToSecretsAndConfigs(t *testing.T) {
	for _, one := range []struct {
		references string
		want       []string
	}{
		{"[one]", []string{place("here", "one", "0", "0", 0o444)}},
		{"[{source: one}]", []string{place("here", "one", "0", "0", 0o444)}},
		{"[{source: one, target: a/b}]", []string{place("here", "a/b", "0", "0", 0o444)}},
		{"[{source: one, target: /etc/b}]", []string{place("here", "/etc/b", "0", "0", 0o444)}},
		{"[{source: one, uid: '1000'}]", []string{place("here", "one", "1000", "0", 0o444)}},
		{"[{source: one, gid: '1001'}]", []string{place("here", "one", "0", "1001", 0o444)}},
		{"[{source: one, uid: '${USER_ID:-7}', gid: '8'}]", []string{place("here", "one", "7", "8", 0o444)}},
		{"[{source: one, mode: 0400}]", []string{place("here", "one", "0", "0", 0o400)}},
		{"[{source: one, mode: 0o440}]", []string{place("here", "one", "0", "0", 0o440)}},
		{"[{source: one, mode: 288}]", []string{place("here", "one", "0", "0", 0o440)}},
		{"[{source: one, mode: 0}]", []string{place("here", "one", "0", "0", 0)}},
		{"[{source: one, mode: 07777}]", []string{place("here", "one", "0", "0", 0o7777)}},
		{"[two, one]", []string{place("here", "one", "0", "0", 0o444), place("there", "two", "0", "0", 0o444)}},
		{"[{source: one, target: z}, {source: two, target: y}]", []string{place("there", "y", "0", "0", 0o444), place("here", "z", "0", "0", 0o444)}},
		{"[one, {source: one, target: copy, mode: 0400}]", []string{place("here", "copy", "0", "0", 0o400), place("here", "one", "0", "0", 0o444)}},
	} {
		forBoth(func(word string, kind Kind) {
			Convey("The "+word+" "+one.references+" stand where the service wants them", t, func() {
				loaded, err := loadText(t, using(word, one.references, "{one: {external: true, name: here}, two: {external: true, name: there}}"))
				So(err, ShouldBeNil)
				So(places(loaded.Services[0], kind), ShouldResemble, one.want)
			})
		})
	}
	Convey("A secret and a config may have one name and one target", t, func() {
		loaded, err := loadText(t, web("secrets: [key]", "configs: [key]")+"secrets: {key: {external: {name: s}}}\nconfigs: {key: {external: {name: c}}}\n")
		So(err, ShouldBeNil)
		So(places(loaded.Services[0], Secret), ShouldResemble, []string{place("s", "key", "0", "0", 0o444)})
		So(places(loaded.Services[0], Config), ShouldResemble, []string{place("c", "key", "0", "0", 0o444)})
		So(loaded.Contents, ShouldResemble, []Content{
			{Kind: Secret, Name: "s", External: true, Services: []string{"web"}}, {Kind: Config, Name: "c", External: true, Services: []string{"web"}},
		})
	})
	Convey("The swarm's ids of secrets and configs are not known yet", t, func() {
		loaded, err := loadText(t, web("secrets: [key]", "configs: [key]")+"secrets: {key: {external: true}}\nconfigs: {key: {external: true}}\n")
		So(err, ShouldBeNil)
		inside := loaded.Services[0].Spec.TaskTemplate.ContainerSpec
		So(inside.Secrets[0].SecretID, ShouldBeEmpty)
		So(inside.Configs[0].ConfigID, ShouldBeEmpty)
	})
}

func TestContentsOfAStack(t *testing.T) {
	forBoth(func(word string, kind Kind) {
		Convey("Given services that share some of the "+word, t, func() {
			text := strings.ReplaceAll(`services:
  web: {image: a, networks: [], WORD: [zero, {source: two, target: a}, {source: two, target: b}]}
  db: {image: b, networks: [], WORD: [one, zero]}
  idle: {image: c, networks: []}
WORD:
  two: {file: two.txt, labels: {a: b}, template_driver: golang}
  zero: {file: zero.txt}
  one: {external: true, name: there}
  unused: {file: none.txt}
`, "WORD", word)
			files := beside(t, map[string]string{"zero.txt": "000", "two.txt": "222"})
			loaded, err := loadText(t, text, files)
			So(err, ShouldBeNil)

			Convey("each that is used is there once, by its key, with all that it takes to make it", func() {
				So(loaded.Contents, ShouldResemble, []Content{
					{Kind: kind, Name: "there", External: true, Services: []string{"db"}},
					{Kind: kind, Name: "two-02f2529940da", Services: []string{"web"}, Labels: map[string]string{"a": "b"}, Template: "golang", Data: []byte("222")},
					{Kind: kind, Name: "zero-2ac9a6746aca", Services: []string{"db", "web"}, Data: []byte("000")},
				})
			})
			Convey("one that no service has is named in a warning, and its file need not be there", func() {
				So(loaded.Warnings, ShouldResemble, []string{"stack.yml: " + word + ".unused is not used: no service has it"})
			})
			Convey("in a stack, their services go by their names in the swarm", func() {
				loaded, err := loadText(t, text, files, inStack("blue"))
				So(err, ShouldBeNil)
				So(loaded.Contents[2].Services, ShouldResemble, []string{"blue_db", "blue_web"})
			})
		})
	})
	Convey("Secrets come before configs", t, func() {
		loaded, err := loadText(t, web("configs: [a]", "secrets: [b]")+"configs: {a: {external: true}}\nsecrets: {b: {external: true}}\n")
		So(err, ShouldBeNil)
		So(loaded.Contents[0].Kind, ShouldEqual, Secret)
		So(loaded.Contents[1].Kind, ShouldEqual, Config)
	})
}

func TestBadSecretsAndConfigs(t *testing.T) {
	files := map[string]string{"a.txt": hidden, "empty.txt": ""}
	long := strings.Repeat("k", 52)
	for _, one := range []struct{ references, declared, want string }{
		{"[key]", "{key: {file: none.txt}}", "WORD.key.file: none.txt cannot be read: no such file or directory"},
		{"[key]", "{key: {file: a.txt/b}}", "WORD.key.file: a.txt/b cannot be read: not a directory"},
		{"[key]", "{key: {file: app}}", "WORD.key.file: app cannot be read: is a directory"},
		{"[key]", "{key: {file: empty.txt}}", "WORD.key.file: empty.txt is empty, and the swarm does not accept that"},
		{"[key]", "{key: {name: a}}", "WORD.key.file: there is none: name a file, or write external: true for a KIND that exists in the swarm"},
		{"[key]", "{key: {file: ''}}", "WORD.key.file: there is none: name a file, or write external: true for a KIND that exists in the swarm"},
		{"[key]", "{key: {external: false}}", "WORD.key.file: there is none: name a file, or write external: true for a KIND that exists in the swarm"},
		{"[key]", "{key: {file: 3}}", "WORD.key.file: 3 is not text: put it in quotes"},
		{"[key]", "{key: }", "WORD.key: must be a mapping"},
		{"[key]", "{key: {flie: a.txt}}", "WORD.key.flie: a stack file does not know this key"},
		{"[key]", "{key: {file: a.txt, driver: vault}}", "WORD.key.driver is not carried over: this program does not know it"},
		{"[key]", "{key: {external: {name: a}, name: b}}", "KIND key: KIND.external.name and KIND.name conflict; only use KIND.name"},
		{"[" + long + "]", "{" + long + ": {file: a.txt}}", "WORD." + long + `.name: "` + long + "-" + hiddenHash + `" has 65 characters with the hash of its content, but a KIND may have 64 at most: choose a shorter name`},
		{"[key]", "{key: {file: a.txt, name: " + long + "}}", `WORD.key.name: "` + long + "-" + hiddenHash + `" has 65 characters with the hash of its content, but a KIND may have 64 at most: choose a shorter name`},

		{"[kye]", "{key: {file: a.txt}}", "services.web.WORD: kye is not among the WORD at the end of the file"},
		{"[{source: kye, target: key}]", "{key: {file: a.txt}}", "services.web.WORD: kye is not among the WORD at the end of the file"},
		{"[key, key]", "{key: {file: a.txt}}", "services.web.WORD: two have the target key"},
		{"[key, {source: other, target: key}]", "{key: {file: a.txt}, other: {external: true}}", "services.web.WORD: two have the target key"},
		{"[{source: key, tarjet: a}]", "{key: {file: a.txt}}", "services.web.WORD.tarjet: a stack file does not know this key"},
		{"[{source: key, uid: 3}]", "{key: {file: a.txt}}", "services.web.WORD.0.uid: must be a string"},
		{"[{source: key, mode: '0440'}]", "{key: {file: a.txt}}", `services.web.WORD.mode: "0440" has to be a number, without quotes and without a variable, such as 0440`},
		{"[{source: key, mode: '${MODE:-0440}'}]", "{key: {file: a.txt}}", `services.web.WORD.mode: "0440" has to be a number, without quotes and without a variable, such as 0440`},
		{"[{source: key, mode: 010000}]", "{key: {file: a.txt}}", "services.web.WORD.mode: 4096 is not an octal mode such as 01777"},
		{"[{source: key, mode: -1}]", "{key: {file: a.txt}}", "services.web.WORD.mode: -1 is not an octal mode such as 01777"},
		{"[{source: key, mode: 4.5}]", "{key: {file: a.txt}}", "services.web.WORD.mode: 4.5 is not an octal mode such as 01777"},
		{"key", "{key: {file: a.txt}}", "services.web.WORD: must be a list"},
	} {
		forBoth(func(word string, kind Kind) {
			want := strings.NewReplacer("WORD", word, "KIND", string(kind)).Replace(one.want)
			Convey(want+" is what is said of "+one.references+" and "+one.declared, t, func() {
				_, err := loadText(t, using(word, one.references, one.declared), beside(t, files))
				So(err, ShouldBeError, "stack.yml: "+want)
			})
		})
	}
	for _, one := range []struct{ key, name, stack string }{
		{long[1:], "", ""}, {"key", long[1:], ""}, {"key", long[1:], "blue"}, {long[6:], "", "blue"},
	} {
		Convey("A name of 64 characters with the hash is fine: "+one.stack+" "+one.key+" "+one.name, t, func() {
			declared := "{" + one.key + ": {file: a.txt}}"
			if one.name != "" {
				declared = "{" + one.key + ": {file: a.txt, name: " + one.name + "}}"
			}
			loaded, err := loadText(t, using("secrets", "["+one.key+"]", declared), beside(t, files), inStack(one.stack))
			So(err, ShouldBeNil)
			So(loaded.Contents[0].Name, ShouldHaveLength, 64)
		})
	}
	Convey("The name of the stack counts among the 64 characters, too", t, func() {
		_, err := loadText(t, using("configs", "["+long[5:]+"]", "{"+long[5:]+": {file: a.txt}}"), beside(t, files), inStack("blue"))
		So(err, ShouldNotBeNil)
		So(err.Error(), ShouldStartWith, "stack.yml: configs."+long[5:]+`.name: "blue_`+long[5:]+"-")
		So(err.Error(), ShouldContainSubstring, "has 65 characters")
	})
	for kind, most := range map[Kind]int{Secret: 500 << 10, Config: 1000 << 10} {
		Convey(fmt.Sprintf("A %s may have just less than %d bytes, and not more than that", kind, most), t, func() {
			of := func(size int) error {
				_, err := loadText(t, using(string(kind)+"s", "[key]", "{key: {file: big.txt}}"), beside(t, map[string]string{"big.txt": strings.Repeat("x", size)}))
				return err
			}
			So(of(most-1), ShouldBeNil)
			err := of(most + 1)
			So(err, ShouldNotBeNil)
			So(err.Error(), ShouldStartWith, fmt.Sprintf("stack.yml: %ss.key.file: big.txt has %d bytes, but a %s must have ", kind, most+1, kind))
			So(len(err.Error()), ShouldBeLessThan, 200)
		})
	}
}

func TestWhereFilesAreLookedFor(t *testing.T) {
	Convey("Given two stack files in different directories, and a service with files of both", t, func() {
		first := write(t, "stack.yml", web("secrets: [key]", "env_file: a.env")+"secrets: {key: {file: a.txt}}\n")
		dir := filepath.Dir(first)
		second := filepath.Join(dir, "later", "production.yml")
		put(t, second, "version: '3.9'\nservices: {web: {configs: [site], env_file: [sub/b.env]}}\nconfigs: {site: {file: sub/b.txt}}\n")
		options := Options{Files: []string{first, second}}
		beside(t, map[string]string{"a.txt": "first", "sub/b.txt": "second", "a.env": "A=1\n", "sub/b.env": "B=2\n"})(&options)
		// None of these may be shown.
		put(t, filepath.Join(dir, "later", "a.txt"), "wrong")
		put(t, filepath.Join(dir, "later", "sub", "b.txt"), "wrong")
		put(t, filepath.Join(dir, "later", "sub", "b.env"), "B=wrong\n")

		Convey("all paths start at the first file's directory, wherever the program runs", func() {
			loaded, err := Load(options)
			So(err, ShouldBeNil)
			So(string(loaded.Contents[0].Data), ShouldEqual, "first")
			So(string(loaded.Contents[1].Data), ShouldEqual, "second")
			So(loaded.Services[0].Spec.TaskTemplate.ContainerSpec.Env, ShouldResemble, []string{"A=1", "B=2"})
		})
		Convey("a later file replaces a declaration", func() {
			put(t, second, "version: '3.9'\nsecrets: {key: {file: sub/b.txt}}\n")
			loaded, err := Load(options)
			So(err, ShouldBeNil)
			So(string(loaded.Contents[0].Data), ShouldEqual, "second")
		})
		Convey("also one of the swarm by one of a file, and back", func() {
			put(t, first, web("secrets: [key, other]")+"secrets: {key: {external: true}, other: {file: a.txt}}\n")
			put(t, second, "version: '3.9'\nsecrets: {key: {external: false, file: sub/b.txt}, other: {external: true}}\n")
			loaded, err := Load(options)
			So(err, ShouldBeNil)
			So(string(loaded.Contents[0].Data), ShouldEqual, "second")
			So(loaded.Contents[1], ShouldResemble, Content{Kind: Secret, Name: "other", External: true, Services: []string{"web"}})
		})
		Convey("a later file adds to what a service has", func() {
			put(t, second, "version: '3.9'\nservices: {web: {secrets: [more, {source: key, target: k}]}}\nsecrets: {more: {external: true}}\n")
			loaded, err := Load(options)
			So(err, ShouldBeNil)
			So(places(loaded.Services[0], Secret), ShouldResemble, []string{place(loaded.Contents[0].Name, "k", "0", "0", 0o444), place("more", "more", "0", "0", 0o444)})
		})
		Convey("what one file says of two places of one secret stays, whatever a later file says of the service", func() {
			put(t, first, web("secrets: [key, {source: key, target: copy}]", "configs: [site, {source: site, target: copy}]")+
				"secrets: {key: {external: true}}\nconfigs: {site: {external: true}}\n")
			put(t, second, "version: '3.9'\nservices: {web: {user: me}}\n")
			loaded, err := Load(options)
			So(err, ShouldBeNil)
			So(places(loaded.Services[0], Secret), ShouldResemble, []string{place("key", "copy", "0", "0", 0o444), place("key", "key", "0", "0", 0o444)})
			So(places(loaded.Services[0], Config), ShouldResemble, []string{place("site", "copy", "0", "0", 0o444), place("site", "site", "0", "0", 0o444)})
		})
		Convey("an absolute path stays as it is", func() {
			put(t, first, web("secrets: [key]")+"secrets: {key: {file: "+filepath.Join(dir, "sub", "b.txt")+"}}\n")
			loaded, err := Load(Options{Files: options.Files[:1]})
			So(err, ShouldBeNil)
			So(string(loaded.Contents[0].Data), ShouldEqual, "second")
		})
	})
}

func TestContentIsShownNowhere(t *testing.T) {
	// shows tells whether a text has the content, as it is or as JSON and Go write bytes.
	shows := func(text string) bool {
		return strings.Contains(text, hidden) || strings.Contains(text, base64.StdEncoding.EncodeToString([]byte(hidden))) ||
			strings.Contains(text, strings.Trim(fmt.Sprint([]byte(hidden)), "[]")) || strings.Contains(text, fmt.Sprintf("%x", hidden))
	}
	printed := func(value any) string {
		text, err := json.Marshal(value)
		So(err, ShouldBeNil)
		return fmt.Sprintf("%s %v %+v %#v %q", text, value, value, value, value)
	}
	forBoth(func(word string, _ Kind) {
		Convey("Of the "+word+", a loaded stack shows only the names", t, func() {
			loaded, err := loadText(t, using(word, "[key]", "{key: {file: a.txt, template_driver: golang}, unused: {file: a.txt}}"), beside(t, map[string]string{"a.txt": hidden}))
			So(err, ShouldBeNil)
			So(shows(printed(loaded.Contents[0].Data)), ShouldBeTrue) // The data is there, and shows finds it.
			for i := range loaded.Contents {
				loaded.Contents[i].Data = nil
			}
			So(shows(printed(*loaded)), ShouldBeFalse)
			for _, service := range loaded.Services {
				So(shows(printed(service.Spec.TaskTemplate.ContainerSpec)), ShouldBeFalse)
				So(shows(printed(places(service, Secret))+printed(places(service, Config))), ShouldBeFalse)
			}
			So(loaded.Warnings, ShouldHaveLength, 1)
		})
		for what, file := range map[string]string{
			"another file that is not there": using(word, "[key, other]", "{key: {file: a.txt}, other: {file: none.txt}}"),
			"a name that is too long":        using(word, "[key]", "{key: {file: a.txt, name: "+strings.Repeat("n", 60)+"}}"),
			"a file that is too large":       using(word, "[key]", "{key: {file: big.txt}}"),
			"a port that is published twice": strings.Replace(using(word, "[key]", "{key: {file: a.txt}}"), "image:", "ports: ['80:1', '80:2']\n    image:", 1),
		} {
			Convey("Of the "+word+", nothing is shown in the error for "+what, t, func() {
				_, err := loadText(t, file, beside(t, map[string]string{"a.txt": hidden, "big.txt": strings.Repeat(hidden, 100_000)}))
				So(err, ShouldNotBeNil)
				So(shows(printed(err)), ShouldBeFalse)
			})
		}
	})
}
