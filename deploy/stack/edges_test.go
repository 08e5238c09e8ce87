package stack

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/moby/moby/api/types/swarm"
	. "github.com/smartystreets/goconvey/convey"
)

func TestEdges(t *testing.T) {
	for kind, most := range map[Kind]int{Secret: 500 << 10, Config: 1000 << 10} { // swarmkit refuses len(spec.Data) >= MaxSecretSize
		Convey("A "+string(kind)+" of as many bytes as the swarm refuses is refused here", t, func() {
			_, err := loadText(t, using(string(kind)+"s", "[key]", "{key: {file: big.txt}}"), beside(t, map[string]string{"big.txt": strings.Repeat("x", most)}))
			So(err, ShouldNotBeNil)
		})
	}
	Convey("A network default that the file does not declare is an error without STACK: nobody would make it", t, func() {
		_, err := loadText(t, web("networks: [default]"))
		So(err, ShouldBeError, "stack.yml: services.web.networks: default is not among the networks at the end of the file")
	})
	for _, one := range []struct{ earlier, later, want string }{
		{"'80:80'", "{target: 8080, published: 80}", "80:8080/tcp"},
		{"{target: 80, published: 80}", "'80:8080'", "80:8080/tcp"},
		{"80", "{target: 80}", "0:80/tcp"},
	} {
		Convey("Ports of both forms are the same: "+one.earlier+" and "+one.later, t, func() {
			first := write(t, "stack.yml", web("ports: ["+one.earlier+"]"))
			second := filepath.Join(filepath.Dir(first), "later.yml")
			put(t, second, web("ports: ["+one.later+"]"))
			loaded, err := Load(Options{Files: []string{first, second}})
			So(err, ShouldBeNil)
			var ports []string
			for _, port := range loaded.Services[0].Spec.EndpointSpec.Ports {
				ports = append(ports, fmt.Sprintf("%d:%d/%s", port.PublishedPort, port.TargetPort, port.Protocol))
			}
			So(strings.Join(ports, " "), ShouldEqual, one.want)
		})
	}
	Convey("A later file's driver_opts of a service in a network are not lost", t, func() {
		first := write(t, "stack.yml", strings.Replace(web("networks: {a: {driver_opts: {x: y}}}"), "3.9", "3.13", 1)+"networks: {a: }\n")
		second := filepath.Join(filepath.Dir(first), "later.yml")
		put(t, second, "version: '3.13'\nservices: {web: {networks: {a: {driver_opts: {z: w}}}}}\n")
		loaded, err := Load(Options{Files: []string{first, second}})
		So(err, ShouldBeNil)
		So(loaded.Services[0].Spec.TaskTemplate.Networks, ShouldResemble, []swarm.NetworkAttachmentConfig{{Target: "a", DriverOpts: map[string]string{"x": "y", "z": "w"}}})
	})
	Convey("A line of an env_file is not shown", t, func() {
		_, err := loadText(t, web("env_file: a.env"), beside(t, map[string]string{"a.env": "=" + hidden}))
		So(err, ShouldNotBeNil)
		So(err.Error(), ShouldNotContainSubstring, hidden)
	})
	Convey("A Content does not print its data", t, func() {
		one := []any{Content{Kind: Secret, Name: "key-1", Data: []byte(hidden)}}
		So(fmt.Sprintf("%s", one), ShouldNotContainSubstring, hidden)
		So(fmt.Sprint(one), ShouldNotContainSubstring, strings.Trim(fmt.Sprint([]byte(hidden)), "[]"))
	})
	for _, declared := range []string{"{_a: {file: a.txt}}", "{a_: {file: a.txt}}", "{a: {file: a.txt, name: 'x y'}}"} { // [a-zA-Z0-9-_.], the ends [a-zA-Z0-9]
		Convey("A name that the swarm does not take is an error of the file: "+declared, t, func() {
			key, _, _ := strings.Cut(declared[1:], ":")
			_, err := loadText(t, using("secrets", "["+key+"]", declared), beside(t, map[string]string{"a.txt": hidden}))
			So(err, ShouldNotBeNil)
		})
	}
	Convey("Two keys of one name and content are one secret, of both services", t, func() {
		loaded, err := loadText(t, "services: {a: {image: a, networks: [], secrets: [x]}, b: {image: b, networks: [], secrets: [y]}}\nsecrets: {x: {file: a.txt, name: n}, y: {file: a.txt, name: n}}\n", beside(t, map[string]string{"a.txt": hidden}))
		So(err, ShouldBeNil)
		So(loaded.Contents, ShouldHaveLength, 1)
		So(loaded.Contents[0].Services, ShouldResemble, []string{"a", "b"})
	})
}
