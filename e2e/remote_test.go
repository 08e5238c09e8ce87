package e2e

import (
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	. "github.com/smartystreets/goconvey/convey"
)

// These tests deploy from another place: from a separate network namespace, the office. Its
// only cable leads to the engine. The engine's end of the cable has these addresses.
const (
	overCable   = "192.168.98.1"
	overCableV6 = "fd00:98::1"
	enginePort  = "2375"
	sshPort     = "2222"
)

// An office is the place where scripts run, and their connection to the engine.
type office struct {
	t   *testing.T
	dir string // of what ssh and its server need
	// sshd is the server's process. Each connection is a child of it.
	sshd *exec.Cmd
}

// newOffice connects the cable until the test ends, and makes the engine a manager.
func newOffice(t *testing.T) *office {
	t.Helper()
	if !ownEngine {
		t.Skip("only an engine of our own has a cable that can be cut")
	}
	o := &office{t: t, dir: t.TempDir()}
	t.Cleanup(func() {
		wipe(t)
		run(nil, "docker", "swarm", "leave", "--force") // The next test has to choose an address again.
		run(nil, "sh", "-c", "iptables -t raw -F; ip link del cable; ip netns del office")
	})
	o.must("sh", "-ec", `
		ip netns add office
		ip link add cable type veth peer name eth0 netns office
		ip addr add `+overCable+`/24 dev cable
		ip -6 addr add `+overCableV6+`/64 dev cable nodad
		ip link set cable up
		ip -n office addr add 192.168.98.2/24 dev eth0
		ip -n office -6 addr add fd00:98::2/64 dev eth0 nodad
		ip -n office link set eth0 up
		ip -n office link set lo up`)
	if run(nil, "docker", "node", "ls").exit != 0 {
		docker(t, "swarm", "init", "--advertise-addr", "192.168.99.100")
	}
	wipe(t)
	return o
}

func (o *office) must(name string, arguments ...string) {
	o.t.Helper()
	if r := run(nil, name, arguments...); r.exit != 0 {
		o.t.Fatalf("%s: exit %d: %s", name, r.exit, r)
	}
}

// at is the environment of a script that runs in the office.
func (o *office) at(host string, more ...string) []string {
	return append([]string{scriptFrom + "=nsenter --net=/run/netns/office", "DOCKER_HOST=" + host, "PATH=" + o.dir + ":" + os.Getenv("PATH")}, more...)
}

// cut drops all packets at both ends of the cable. There is no error, as when a network is
// lost.
func (o *office) cut() {
	o.must("iptables", "-t", "raw", "-I", "PREROUTING", "-i", "cable", "-j", "DROP")
	o.must("nsenter", "--net=/run/netns/office", "iptables", "-t", "raw", "-I", "PREROUTING", "-i", "eth0", "-j", "DROP")
}

// mend undoes cut.
func (o *office) mend() {
	o.must("iptables", "-t", "raw", "-F")
	o.must("nsenter", "--net=/run/netns/office", "iptables", "-t", "raw", "-F")
}

// cut20 cuts the cable for 20 s.
func (o *office) cut20() result {
	o.cut()
	time.AfterFunc(20*time.Second, o.mend)
	return result{}
}

// listen lets the engine listen at an address of the cable until the test ends. It returns
// the address for DOCKER_HOST.
func (o *office) listen(address string) string {
	o.t.Helper()
	at := net.JoinHostPort(address, enginePort)
	listener, err := net.Listen("tcp", at)
	if err != nil {
		o.t.Fatal(err)
	}
	o.t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			from, err := listener.Accept()
			if err != nil {
				return
			}
			go forward(from)
		}
	}()
	return "tcp://" + at
}

// forward connects a client with the engine.
func forward(from net.Conn) {
	defer from.Close()
	to, err := net.Dial("unix", "/var/run/docker.sock")
	if err != nil {
		return
	}
	defer to.Close()
	var both sync.WaitGroup
	pass := func(to, from net.Conn) {
		_, _ = io.Copy(to, from)
		_ = to.(interface{ CloseWrite() error }).CloseWrite()
	}
	both.Go(func() { pass(to, from) })
	both.Go(func() { pass(from, to) })
	both.Wait()
}

// serveSSH starts an ssh server beside the engine, until the test ends. The office knows the
// key of the server, and the server knows the key of the office. The ssh files of this user
// and this machine are neither read nor written.
func (o *office) serveSSH() {
	o.t.Helper()
	sshd := installed(o.t, "sshd")
	ssh, err := exec.LookPath("ssh")
	if err != nil {
		o.t.Fatal(err)
	}
	for _, key := range []string{"host", "user"} {
		o.must("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", o.file(key))
	}
	o.put("server", strings.Join([]string{
		"Port " + sshPort, "HostKey " + o.file("host"), "AuthorizedKeysFile " + o.file("user.pub"),
		"PidFile none", "StrictModes no", "UsePAM no", "LogLevel QUIET",
		"SetEnv PATH=" + os.Getenv("PATH") + " DOCKER_CONFIG=" + os.Getenv("DOCKER_CONFIG"),
	}, "\n"))
	o.put("client", "IdentityFile "+o.file("user")+"\nIdentitiesOnly yes\nUserKnownHostsFile "+o.file("known")+"\nHost manager\n  HostName "+overCable+"\n  Port "+sshPort+"\n  User root\n")
	// ssh finds the files of its user without HOME. But a script on the PATH can name other
	// files.
	o.put("ssh", "#!/bin/sh\nexec "+ssh+" -F "+o.file("client")+" \"$@\"\n")
	o.must("chmod", "+x", o.file("ssh"))
	o.know(true)
	o.must("mkdir", "-p", "/run/sshd")
	o.sshd = exec.Command(sshd, "-D", "-e", "-f", o.file("server"))
	o.sshd.Stderr = os.Stderr
	if err := o.sshd.Start(); err != nil {
		o.t.Fatal(err)
	}
	o.t.Cleanup(func() {
		_ = o.sshd.Process.Kill()
		_ = o.sshd.Wait()
	})
	if !eventually(10*time.Second, func() bool { return run(nil, o.file("ssh"), "-o", "BatchMode=yes", "manager", "true").exit == 0 }) {
		o.t.Fatal("sshd lets nobody in")
	}
}

func (o *office) file(name string) string { return filepath.Join(o.dir, name) }

func (o *office) put(name, text string) {
	o.t.Helper()
	if err := os.WriteFile(o.file(name), []byte(text+"\n"), 0o600); err != nil {
		o.t.Fatal(err)
	}
}

// know adds the key of the server to the office, or removes it.
func (o *office) know(yes bool) {
	o.t.Helper()
	known := ""
	if yes {
		key, err := os.ReadFile(o.file("host.pub"))
		if err != nil {
			o.t.Fatal(err)
		}
		for _, address := range []string{overCable, overCableV6} {
			known += "[" + address + "]:" + sshPort + " " + string(key)
		}
	}
	o.put("known", known)
}

// hangUp kills the server's end of each ssh connection, for 3 s.
func (o *office) hangUp() result {
	for deadline := time.Now().Add(3 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		run(nil, "pkill", "-KILL", "-P", strconv.Itoa(o.sshd.Process.Pid))
	}
	return result{}
}

// overSSH is the DOCKER_HOST of the engine over ssh.
const overSSH = "ssh://root@" + overCable + ":" + sshPort

// accountOver is the URL of an account at an address.
func accountOver(address string) string {
	return "http://" + net.JoinHostPort(address, "6767") + "/accounts/10000"
}

func TestOverSSH(t *testing.T) {
	o := newOffice(t)
	o.serveSSH()
	url := accountOver(overCable)

	// Each test begins with the state that the one before has left.
	Convey("A plain deploy over ssh, and a rolling one by a docker context whose host only ssh knows, are proven at that host", t, func() {
		docker(t, "context", "create", "office", "--docker", "host=ssh://manager")
		defer docker(t, "context", "rm", "--force", "office")
		for _, one := range []struct{ version, command, host, context string }{{"one", "copyall.sh", overSSH, ""}, {"two", "copyall.sh --rolling", "", "office"}} {
			r := script(one.command, o.at(one.host, "DOCKER_CONTEXT="+one.context, "VERSION="+one.version)...)
			So(r.String(), ShouldContainSubstring, "answers: "+url+"\n")
			So(r.stdout, ShouldEndWith, ": accountservice "+one.version+" serves at "+url+"\n")
			So(r.exit, ShouldEqual, 0)
			mustServe(t, url, one.version)
		}
	})
	Convey("A server whose key is not known is not talked to, nobody is asked, and nothing is touched", t, func() {
		o.know(false)
		defer o.know(true)
		r := script("copyall.sh", o.at(overSSH, "VERSION=new")...)
		So(r.stderr, ShouldContainSubstring, "Host key verification failed")
		So(r.stderr, ShouldContainSubstring, "connect by ssh once, and check the key that it shows; this program never asks")
		So(lastLine(r), ShouldEqual, "       nothing was changed")
		So(r.exit, ShouldEqual, 1)
		mustServe(t, url, "two")
	})
	for _, it := range []struct {
		what, step, flags string
		happens           func() result
	}{
		{"the engine restarts", "==> Removing", "", restart},
		{"all connections are killed, again and again,", "==> Updating", "--rolling", o.hangUp},
		{"the network is lost for 20 s", "==> Removing", "", o.cut20},
		{"the network is lost for 20 s", "    accountservice.1 on ", "--rolling", o.cut20},
	} {
		Convey("When "+it.what+" at the step that says "+it.step+", a deploy over ssh waits for it, and its exit code and last line are true", t, func() {
			before := version(t)
			next := other(before)
			r, happened := during(it.step, "copyall.sh "+it.flags, it.happens, o.at(overSSH, "VERSION="+next)...)
			So(happened.exit, ShouldEqual, 0)
			mustBeTrue(t, r, url, before, next)
			So(r.stderr, ShouldContainSubstring, "the engine is away, waiting for it")
			So(run(nil, "pgrep", "-x", "ssh").stdout, ShouldBeEmpty)
		})
	}
	Convey("When the network is lost while an image is built over ssh, the deploy does not wait for ever, and touches nothing", t, func() {
		before := version(t)
		// This stands for a docker client that was connected before the cut: it waits for ever.
		o.put("docker", "#!/bin/sh\nexec sleep 300")
		o.must("chmod", "+x", o.file("docker"))
		defer os.Remove(o.file("docker"))
		r, _ := during("==> Building", "copyall.sh", func() result {
			o.cut()
			time.AfterFunc(45*time.Second, o.mend)
			return result{}
		}, o.at(overSSH, "VERSION=lost", "BASE_IMAGE=scratch")...)
		So(r.exit, ShouldEqual, 1)
		So(r.stderr, ShouldContainSubstring, "docker build of accountservice was given up: the docker engine at "+overSSH+" does not answer any more")
		So(r.stderr, ShouldContainSubstring, "wait until docker node ls answers, and run this again")
		So(lastLine(r), ShouldStartWith, "       accountservice was not touched")
		So(get(url), ShouldEqual, firstAccount)
		So(version(t), ShouldEqual, before)
	})
}

// other is the version that replaces another.
func other(version string) string { return map[string]string{"one": "two", "two": "one"}[version] }

// restart restarts the engine.
func restart() result {
	return run(nil, "sh", "-c", "./dockerd.sh stop node1 && ./dockerd.sh start node1")
}

// mustBeTrue asserts that the exit code and the last line of a deploy are true: its version
// serves, or the version before it.
func mustBeTrue(t *testing.T, r result, url, before, next string) {
	t.Helper()
	if r.exit == 0 {
		So(r.stdout, ShouldEndWith, ": accountservice "+next+" serves at "+url+"\n")
	} else {
		So(r.exit, ShouldEqual, 1)
		So(lastLine(r), ShouldEndWith, ": accountservice "+before+" serves at "+url)
		next = before
	}
	So(eventually(30*time.Second, func() bool { return get(url) == firstAccount }), ShouldBeTrue)
	mustServe(t, url, next)
}

func TestNetworkThatIsLost(t *testing.T) {
	o := newOffice(t)
	engine, url := o.listen(overCable), accountOver(overCable)
	first := script("copyall.sh", o.at(engine, "VERSION=one", "DEPLOY_TIMEOUT=15")...)
	if first.exit != 0 {
		t.Fatal(first)
	}

	Convey("When the network is lost for good in the middle of a deploy, its last line says what is known, and the next deploy mends", t, func() {
		var began time.Time
		r, _ := during("==> Removing", "copyall.sh", func() result {
			began = time.Now()
			o.cut()
			return result{}
		}, o.at(engine, "VERSION=lost", "DEPLOY_TIMEOUT=15")...)
		Reset(o.mend)
		So(r.exit, ShouldEqual, 1)
		So(r.stderr, ShouldContainSubstring, "error: the deploy of accountservice lost failed; the version that serves now is not known, because the engine does not answer: ")
		So(r.stderr, ShouldContainSubstring, "; the next deploy or rollback restores version one\n")
		So(lastLine(r), ShouldStartWith, "       start the engine again, or point DOCKER_HOST ")
		So(time.Since(began), ShouldBeLessThan, 2*time.Minute) // The change has 15 s, and going back has 40 s.
		o.mend()
		mended := script("copyall.sh", o.at(engine, "VERSION=two")...)
		So(mended.stdout, ShouldContainSubstring, "    version one is back: accountservice one serves at "+url)
		So(mended.exit, ShouldEqual, 0)
		mustServe(t, url, "two")
	})
	for _, it := range []struct {
		step, flags string
		waits       bool
	}{
		{"==> Trying", "", false}, {"==> Updating", "--rolling", true},
	} {
		Convey("When the network is lost for 20 s at the step that says "+it.step+", exit code and last line are true, and nobody else takes the lock", t, func() {
			before := version(t)
			next := other(before)
			r, another := during(it.step, "copyall.sh "+it.flags, func() result {
				o.cut20()
				return script("copyall.sh", "VERSION=three")
			}, o.at(engine, "VERSION="+next)...)
			So(another.stderr, ShouldContainSubstring, "accountservice is being deployed already")
			mustBeTrue(t, r, url, before, next)
			if it.waits {
				So(r.stderr, ShouldContainSubstring, "the engine is away, waiting for it")
			} else { // Nothing has been changed yet.
				So(r.exit, ShouldEqual, 1)
				So(lastLine(r), ShouldStartWith, "       accountservice was not touched")
			}
		})
	}
}

func TestAddresses(t *testing.T) {
	o := newOffice(t)
	o.serveSSH()
	docker(t, "swarm", "leave", "--force")

	// Each test begins with the state that the one before has left.
	for _, it := range []struct {
		what, url   string
		environment []string
	}{
		{"beside the engine, as a new swarm whose address is of IPv6", accountOver(overCableV6), []string{"ADVERTISE_ADDR=" + overCableV6}},
		{"over TCP, to an address of IPv6", accountOver(overCableV6), o.at(o.listen(overCableV6))},
		{"over ssh, to an address of IPv6", accountOver(overCableV6), o.at("ssh://root@[" + overCableV6 + "]:" + sshPort)},
		{"over TCP, to another address than that of the swarm", accountOver(overCable), o.at(o.listen(overCable))},
		{"by ManagerIP, of IPv6, over TCP to another address", accountOver(overCableV6), o.at("tcp://"+net.JoinHostPort(overCable, enginePort), "ManagerIP="+overCableV6)},
	} {
		Convey("What is deployed "+it.what+" is asked, and answers, at "+it.url, t, func() {
			r := script("copyall.sh --force", append(it.environment, "VERSION=one")...)
			So(r.String(), ShouldContainSubstring, "answers: "+it.url+"\n")
			So(r.stdout, ShouldEndWith, ": accountservice one serves at "+it.url+"\n")
			So(r.exit, ShouldEqual, 0)
			So(script("status.sh", it.environment...).stdout, ShouldContainSubstring, strings.TrimSuffix(it.url, "/accounts/10000"))
			mustServe(t, it.url, "one")
		})
	}
}
