package e2e

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	. "github.com/smartystreets/goconvey/convey"
)

const (
	registry        = "192.168.99.100:5000" // Anybody may use it, and without TLS.
	privateRegistry = "192.168.99.100:5443"

	user, password = "tester", "open-sesame"
	htpasswd       = user + ":$2b$04$6LxdIEs4Zy2UjPytjiNH4eY3P0JTiacJPCmY48zBZD7beOj/3yAEC\n"
)

// needRegistry skips a test that cannot have a registry.
func needRegistry(t *testing.T) {
	t.Helper()
	if !ownEngine {
		t.Skip("registries and more nodes can be had only beside an engine of our own")
	}
	installed(t, "docker-registry")
}

// A registryServer is a registry that is up until the test ends.
type registryServer struct {
	address string
	log     string // file that has a line for each request
	stop    func()
}

// startRegistry starts Debian's docker-registry, empty. The lines are added to the section
// http of its configuration.
func startRegistry(t *testing.T, address, configuration string) *registryServer {
	t.Helper()
	dir := t.TempDir()
	s := &registryServer{address: address, log: filepath.Join(dir, "log")}
	write(t, filepath.Join(dir, "config.yml"), fmt.Sprintf("version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: %s/data\n  delete:\n    enabled: true\nhttp:\n  addr: %s\n%s", dir, address, configuration))
	said, err := os.Create(s.log)
	if err != nil {
		t.Fatal(err)
	}
	defer said.Close()
	server := exec.Command("docker-registry", "serve", filepath.Join(dir, "config.yml"))
	server.Stdout, server.Stderr = said, said
	server.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	s.stop = func() {
		_ = server.Process.Kill() // It may have been stopped before.
		_ = server.Wait()
	}
	t.Cleanup(s.stop)
	if !eventually(10*time.Second, func() bool {
		connection, err := net.Dial("tcp", address)
		if err == nil {
			connection.Close()
		}
		return err == nil
	}) {
		t.Fatalf("the registry at %s does not start:\n%s", address, read(t, s.log))
	}
	return s
}

// startPrivateRegistry starts a registry with TLS and a login. The engines know its
// certificate. This docker client is logged in.
func startPrivateRegistry(t *testing.T) *registryServer {
	t.Helper()
	dir := t.TempDir()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	host, _, _ := net.SplitHostPort(privateRegistry)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: host}, IsCA: true, BasicConstraintsValid: true, IPAddresses: []net.IP{net.ParseIP(host)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	encodedKey, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certificatePEM := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate}))
	write(t, dir+"/certificate", certificatePEM)
	write(t, dir+"/key", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: encodedKey})))
	write(t, dir+"/htpasswd", htpasswd)
	write(t, trusted, certificatePEM)
	t.Cleanup(func() { os.RemoveAll(filepath.Dir(trusted)) })

	s := startRegistry(t, privateRegistry, fmt.Sprintf("  tls:\n    certificate: %s/certificate\n    key: %[1]s/key\nauth:\n  htpasswd:\n    realm: tests\n    path: %[1]s/htpasswd\n", dir))
	docker(t, "login", "--username", user, "--password", password, privateRegistry)
	t.Cleanup(func() { docker(t, "logout", privateRegistry) })
	return s
}

// trusted is the directory where engines look for the certificate of the private registry.
// engine.sh mounts another directory over the machine's own.
const trusted = "/etc/docker/certs.d/" + privateRegistry + "/ca.crt"

// write writes a file, and makes its directory if it is missing.
func write(t *testing.T, path, text string) {
	t.Helper()
	err := os.MkdirAll(filepath.Dir(path), 0o755)
	if err == nil {
		err = os.WriteFile(path, []byte(text), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// questions is the number of requests in its log for a tag of moody.
func (s *registryServer) questions(t *testing.T, tag string) int {
	t.Helper()
	return strings.Count(read(t, s.log), "/v2/moody/manifests/"+tag+" HTTP/")
}

// push builds moody with a mood and pushes it as a tag of moody. Then it removes that name
// from the engine.
func (s *registryServer) push(t *testing.T, mood, tag string) {
	t.Helper()
	name := s.address + "/moody:" + tag
	docker(t, "tag", built(t, mood), name)
	docker(t, "push", "--quiet", name)
	docker(t, "rmi", name)
}

// built builds moody with a mood, and returns the name of the image.
func built(t *testing.T, mood string) string {
	t.Helper()
	r := script("deploy.sh build accountservice -f "+repository("e2e", "testdata", "placed", "stack.yml"), "VERSION="+mood, "BASE_IMAGE=scratch")
	if r.exit != 0 {
		t.Fatalf("the build of moody: exit %d\n%s", r.exit, r)
	}
	said := lines(r.stdout)
	return said[len(said)-1]
}

// pushIndex makes a tag of moody an index, which names the image of another tag for each
// processor.
func (s *registryServer) pushIndex(t *testing.T, of, tag string, processors ...string) {
	t.Helper()
	type platform struct {
		Architecture string `json:"architecture"`
		OS           string `json:"os"`
	}
	type manifest struct {
		MediaType string   `json:"mediaType"`
		Digest    string   `json:"digest"`
		Size      int64    `json:"size"`
		Platform  platform `json:"platform"`
	}
	at := "http://" + s.address + "/v2/moody/manifests/"
	ask := func(method, tag, header, kind string, body []byte) *http.Response {
		request, err := http.NewRequest(method, at+tag, bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set(header, kind)
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode >= 300 {
			t.Fatalf("%s %s: %s", method, request.URL, response.Status)
		}
		return response
	}
	const many = "application/vnd.oci.image.index.v1+json"
	image := ask(http.MethodHead, of, "Accept", "application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.manifest.v1+json, "+many, nil)
	var manifests []manifest
	for _, processor := range processors {
		manifests = append(manifests, manifest{image.Header.Get("Content-Type"), image.Header.Get("Docker-Content-Digest"), image.ContentLength, platform{processor, "linux"}})
	}
	body, err := json.Marshal(map[string]any{"schemaVersion": 2, "mediaType": many, "manifests": manifests})
	if err != nil {
		t.Fatal(err)
	}
	ask(http.MethodPut, tag, "Content-Type", many, body)
}

// finished are the flags that deploy a finished image as accountservice.
func finished(flags string) string {
	return "copyall.sh " + flags + " -f " + repository("e2e", "testdata", "finished", "stack.yml")
}

// platforms are the platforms in the Spec of accountservice.
func platforms(t *testing.T) string {
	t.Helper()
	return docker(t, "service", "inspect", "--format", "{{range .Spec.TaskTemplate.Placement.Platforms}}{{.OS}}/{{.Architecture}} {{end}}", "accountservice")
}

// mood is the mood that the only task of accountservice reports. Its container is on this
// engine.
func mood(t *testing.T) string {
	t.Helper()
	_, said, _ := strings.Cut(docker(t, "logs", containers(t, "accountservice")[0]), "Starting moody ")
	return said
}

func TestFinishedImage(t *testing.T) {
	needRegistry(t)
	wipe(t)
	t.Cleanup(func() { wipe(t) })
	s := startRegistry(t, registry, "")
	s.push(t, "one", "v1")
	questions := s.questions(t, "v1")
	name := registry + "/moody:v1"
	first := script(finished(""), "IMAGE="+name)
	questions = s.questions(t, "v1") - questions
	url := answeringURL(first)

	// Each test begins with the state that the one before has left.
	Convey("Given a service whose image a registry had, and the engine had not", t, func() {
		Convey("it was resolved by one question, tried by its own health check, and runs by its digest", func() {
			So(first.String(), ShouldContainSubstring, "==> Deployed accountservice "+name+" in ")
			So(first.stdout, ShouldContainSubstring, "==> Pulling "+registry+"/moody@sha256:")
			So(first.exit, ShouldEqual, 0)
			So(get(url), ShouldEqual, firstAccount)
			So(questions, ShouldEqual, 1)
			So(image(t), ShouldStartWith, registry+"/moody@sha256:")
			So(platforms(t), ShouldStartWith, "linux/amd64") // BuildKit adds unknown/unknown, for an attestation.
			So(docker(t, "inspect", "--format", "{{.State.Health.Status}}", containers(t, "accountservice")[0]), ShouldEqual, "healthy")
		})

		Convey("the same tag again is nothing to deploy, and no reason to warn", func() {
			task := containers(t, "accountservice")
			r := script(finished("--rolling"), "IMAGE="+name)
			So(r.stdout, ShouldContainSubstring, "runs already: nothing to deploy")
			So(r.stderr, ShouldBeEmpty)
			So(r.exit, ShouldEqual, 0)
			So(containers(t, "accountservice"), ShouldResemble, task)
		})

		Convey("a tag that moved in the registry is a changed service, whatever the engine has under that tag", func() {
			before := image(t)
			s.push(t, "two", "v1")
			docker(t, "tag", built(t, "one"), name)
			defer docker(t, "rmi", name)
			r := script(finished("--rolling"), "IMAGE="+name)
			So(r.stdout, ShouldContainSubstring, "\n    image: "+before+" → "+registry+"/moody@sha256:")
			So(r.stderr, ShouldBeEmpty) // It has a health check, so there is no warning.
			So(r.exit, ShouldEqual, 0)
			So(image(t), ShouldNotEqual, before)
			So(mood(t), ShouldEqual, "two")
			So(get(url), ShouldEqual, firstAccount)
		})

		Convey("an image for several processors runs by the digest of them all", func() {
			s.pushIndex(t, "v1", "both", "amd64", "arm64")
			r := script(finished("--rolling"), "IMAGE="+registry+"/moody:both")
			So(r.String(), ShouldContainSubstring, "==> Deployed accountservice "+registry+"/moody:both in ")
			So(r.stderr, ShouldBeEmpty)
			So(platforms(t), ShouldEqual, "linux/amd64 linux/arm64")
		})

		Convey("one for another processor only is refused, and what runs is left alone", func() {
			task := containers(t, "accountservice")
			s.pushIndex(t, "v1", "arm", "arm64")
			r := script(finished(""), "IMAGE="+registry+"/moody:arm")
			So(r.stderr, ShouldContainSubstring, "error: no node can run accountservice: no suitable node (unsupported platform on 1 node)\n")
			So(lastLine(r), ShouldEqual, "       accountservice was not touched: accountservice "+registry+"/moody:both serves at "+url)
			So(r.exit, ShouldEqual, 1)
			So(containers(t, "accountservice"), ShouldResemble, task)
		})

		Convey("without the registry, the engine's own image is the same still; one that it has not is refused", func() {
			task := containers(t, "accountservice")
			docker(t, "pull", "--quiet", registry+"/moody:both")
			s.stop()
			same := script(finished("--rolling"), "IMAGE="+registry+"/moody:both")
			So(same.stdout, ShouldContainSubstring, "runs already: nothing to deploy")
			So(same.exit, ShouldEqual, 0)
			r := script(finished("--rolling"), "IMAGE="+registry+"/moody:new")
			So(r.stderr, ShouldContainSubstring, "connection refused")
			So(lastLine(r), ShouldEqual, "       accountservice was not touched: accountservice "+registry+"/moody:both serves at "+url)
			So(r.exit, ShouldEqual, 1)
			So(containers(t, "accountservice"), ShouldResemble, task)
		})
	})
}

// withoutLogin is the setting of a docker client that is logged in nowhere.
func withoutLogin(t *testing.T) string { return "DOCKER_CONFIG=" + t.TempDir() }

// forget deletes the image that accountservice runs from the private registry, by its digest.
func (s *registryServer) forget(t *testing.T, image string) {
	t.Helper()
	_, digest, _ := strings.Cut(image, "@")
	r := run(nil, "curl", "--silent", "--show-error", "--fail", "--cacert", trusted, "--user", user+":"+password, "--request", "DELETE",
		"https://"+s.address+"/v2/moody/manifests/"+digest)
	if r.exit != 0 {
		t.Fatalf("delete %s: %s", image, r)
	}
}

func TestPrivateRegistry(t *testing.T) {
	threeNodes(t)
	s := startPrivateRegistry(t)
	for _, mood := range []string{"one", "two", "crashes"} {
		s.push(t, mood, mood)
	}
	one, two, crashes := "IMAGE="+privateRegistry+"/moody:one", "IMAGE="+privateRegistry+"/moody:two", "IMAGE="+privateRegistry+"/moody:crashes"
	const onNode2, onWorkers = "PLACE=node.hostname==node2", "PLACE=node.role==worker"
	tasks := func() string { return docker(t, "service", "ps", "--no-trunc", "--quiet", "accountservice") }

	// Each test begins with the state that the one before has left.
	Convey("Given a registry that wants to know who asks, and a swarm of three nodes of which none has its images", t, func() {
		Convey("a certificate that the engine does not know ends a deploy in the engine's words", func() {
			So(os.Rename(trusted, trusted+".away"), ShouldBeNil)
			r := script(finished(""), one, onNode2)
			So(os.Rename(trusted+".away", trusted), ShouldBeNil)
			So(r.stderr, ShouldContainSubstring, "x509: certificate signed by unknown authority")
			So(r.exit, ShouldEqual, 1)
			So(docker(t, "service", "ls", "--quiet"), ShouldBeEmpty)
		})

		Convey("with the certificate and a login, another node pulls the image, and answers", func() {
			r := script(finished(""), one, onNode2)
			So(r.String(), ShouldContainSubstring, "accountservice-trial.1 on node2: running")
			So(r.stdout, ShouldContainSubstring, "accountservice answers: "+accountsAt("node2"))
			So(r.exit, ShouldEqual, 0)
			So(image(t), ShouldStartWith, privateRegistry+"/moody@sha256:")
			So(runsOn(t, "accountservice", "node2"), ShouldBeTrue)
		})

		Convey("without a login, a deploy ends in the registry's words, and what runs is left alone", func() {
			before := tasks()
			r := script(finished("--rolling"), two, onNode2, withoutLogin(t))
			So(r.stderr, ShouldContainSubstring, "no basic auth credentials")
			So(lastLine(r), ShouldEqual, "       accountservice was not touched: accountservice "+privateRegistry+"/moody:one serves at "+accountsAt("node2"))
			So(r.exit, ShouldEqual, 1)
			So(tasks(), ShouldEqual, before)
		})

		Convey("a version that is put back by creation, on a node that has lost its image, is pulled there anew", func() {
			on := func(arguments ...string) result {
				return run(nil, "docker", append([]string{"--host", socketOf("node2")}, arguments...)...)
			}
			name := image(t)
			id := strings.TrimSpace(on("image", "inspect", "--format", "{{.Id}}", name).stdout)
			lost := make(chan bool)
			go func() { // The image can be removed only while none of its containers runs.
				lost <- eventually(30*time.Second, func() bool { return on("rmi", "--force", id).exit == 0 && on("image", "inspect", name).exit != 0 })
			}()
			r := script(finished(""), crashes, onNode2)
			So(<-lost, ShouldBeTrue)
			So(r.stderr, ShouldContainSubstring, "moody crashes")
			So(lastLine(r), ShouldEqual, "error: the deploy of accountservice "+privateRegistry+"/moody:crashes failed; version "+
				privateRegistry+"/moody:one is back: accountservice "+privateRegistry+"/moody:one serves at "+accountsAt("node2"))
			So(r.exit, ShouldEqual, 1)
			So(on("image", "inspect", name).exit, ShouldEqual, 0)
			So(runsOn(t, "accountservice", "node2"), ShouldBeTrue)
		})

		Convey("what the registry has lost cannot be gone back to, as one worker has not got it: said before any change", func() {
			old := image(t)
			So(script(finished("--rolling"), two, onWorkers).exit, ShouldEqual, 0)
			s.forget(t, old)
			status := script("status.sh").stdout
			So(status, ShouldContainSubstring, "a rollback cannot go back to it: ask the registry for image "+old+": ")
			So(status, ShouldContainSubstring, "manifest unknown")

			before := tasks()
			back := script("rollback.sh")
			So(back.stderr, ShouldContainSubstring, "error: accountservice cannot go back to version "+privateRegistry+"/moody:one: ask the registry for image "+old+": ")
			So(lastLine(back), ShouldStartWith, "       accountservice was not touched: accountservice "+privateRegistry+"/moody:two serves at ")
			So(back.exit, ShouldEqual, 1)
			So(tasks(), ShouldEqual, before)

			s.push(t, "one", "one") // The tag is there again, but not the image that runs.
			now := image(t)
			s.forget(t, now)
			r := script(finished("--rolling"), one, onWorkers)
			So(r.stderr, ShouldContainSubstring, "error: the version that runs now could not be restored after a failure: ask the registry for image "+now+": ")
			So(r.stderr, ShouldContainSubstring, "--no-undo")
			So(lastLine(r), ShouldStartWith, "       accountservice was not touched: accountservice "+privateRegistry+"/moody:two serves at ")
			So(r.exit, ShouldEqual, 1)
			So(tasks(), ShouldEqual, before)
			So(script(finished("--rolling --no-undo"), one, onWorkers).exit, ShouldEqual, 0)
			So(image(t), ShouldEqual, old)
		})
	})
}
