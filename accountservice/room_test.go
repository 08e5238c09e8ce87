package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	. "github.com/smartystreets/goconvey/convey"
)

// client is the connection of a client, and a reader of its answers.
type client struct {
	net.Conn
	answers *bufio.Reader
}

func (p *process) client() client {
	conn := p.dial()
	return client{conn, bufio.NewReader(conn)}
}

// asks sends a request and expects an answer.
func (c client) asks() {
	_, err := io.WriteString(c, askForAccount)
	So(err, ShouldBeNil)
	readOK(c.answers)
}

// isClosed waits for the end of the connection, which must be orderly.
func (c client) isClosed() {
	rest, err := io.ReadAll(c.answers)
	So(err, ShouldBeNil)
	So(rest, ShouldBeEmpty)
}

func TestRoom(t *testing.T) {
	Convey("Given a service for three clients, with three idle clients", t, func() {
		p := serving("-db", newPath(t), "-admin-addr", "127.0.0.1:0", "-max-connections", "3")
		clients := []client{p.client(), p.client(), p.client()}
		for i, c := range clients {
			c.asks()
			So(eventually(func() bool { return p.metric("http_connections_idle") == i+1 }), ShouldBeTrue)
		}
		So(p.metric("http_connections_open"), ShouldEqual, 3)

		Convey("When another client comes, the one that has been idle for longest is closed, and the others are answered", func() {
			p.client().asks()
			clients[0].isClosed()
			clients[1].asks()
			clients[2].asks()
			So(p.metric("http_connections_open"), ShouldEqual, 3)
			So(p.metric("http_connections_closed_for_room_total"), ShouldEqual, 1)
		})

		Convey("When the first client asks again before another one comes, the second is closed", func() {
			clients[0].asks()
			p.client().asks()
			clients[1].isClosed()
			clients[0].asks()
		})
	})

	for name, says := range map[string]string{
		"says nothing":           "",
		"sends half of a header": "GET /accounts/10000 HTTP/1.1\r\nHost: test\r\n",
		"sends half of a body":   "GET /accounts/10000 HTTP/1.1\r\nHost: test\r\nContent-Length: 9\r\n\r\nhalf",
	} {
		Convey("Given a service for three clients, with two that are idle and one that "+name, t, func() {
			p := serving("-db", newPath(t), "-max-connections", "3")
			idle := []client{p.client(), p.client()}
			for _, c := range idle {
				c.asks()
			}
			slow := p.client()
			_, err := io.WriteString(slow, says)
			So(err, ShouldBeNil)
			time.Sleep(2 * grace) // The test is about this delay.

			Convey("When another client comes, the last of the three is closed", func() {
				began := time.Now()
				p.client().asks()
				_, _ = io.Copy(io.Discard, slow.answers) // It may get an error response first.
				So(time.Since(began), ShouldBeLessThan, 2*time.Second)
				for _, c := range idle {
					c.asks()
				}
			})
		})
	}
}

func TestIdleForLong(t *testing.T) {
	t.Parallel()
	Convey("Given clients that have been idle so long that net/http has let them go", t, func() {
		p := serving("-db", newPath(t))
		one, other := p.client(), p.client()
		one.asks()
		other.asks()
		_, err := io.WriteString(other, "GET /health HTTP/1.1\r\n") // The rest comes after the delay.
		So(err, ShouldBeNil)
		time.Sleep(linger + 500*time.Millisecond) // The test is about this delay.

		Convey("When one asks, it is answered, again and again", func() {
			one.asks()
			one.asks()
			time.Sleep(linger + 500*time.Millisecond)
			one.asks()
		})
		Convey("When a client has sent half of a header meanwhile, it is closed", func() {
			other.isClosed()
		})
		Convey("When SIGTERM comes, they are closed in order, and the service ends without delay", func() {
			began := time.Now()
			p.signal(syscall.SIGTERM)
			one.isClosed()
			So(p.exit(), ShouldEqual, 0)
			So(time.Since(began), ShouldBeLessThan, 3*time.Second)
		})
	})
}

// maxConnections returns the limit of connections that the service has logged.
func (p *process) maxConnections() int {
	_, after, found := strings.Cut(p.stdout.String(), "max_connections=")
	So(found, ShouldBeTrue)
	n := 0
	_, err := fmt.Sscan(after, &n)
	So(err, ShouldBeNil)
	return n
}

func TestRoomByMemory(t *testing.T) {
	Convey("Given a service with a limit of 32 MiB", t, func() {
		args := []string{"-addr", "127.0.0.1:0", "-db", newPath(t)}

		Convey("When it is started, it takes as many clients as fit into this memory", func() {
			p := start(limitMemory(t, 32<<20, command(nil, args...)))
			p.awaitListening()
			So(p.maxConnections(), ShouldEqual, (16<<20)/(14<<10))
		})
		Convey("When a flag sets the number, it takes this number of clients", func() {
			p := start(limitMemory(t, 32<<20, command(nil, append(args, "-max-connections", "50000")...)))
			p.awaitListening()
			So(p.maxConnections(), ShouldEqual, 50000)
		})
	})
}

func TestFewDescriptors(t *testing.T) {
	few := func(args ...string) *exec.Cmd {
		return exec.Command("sh", append([]string{"-c", `ulimit -n 64; exec "$0" "$@"`, binary}, args...)...)
	}

	Convey("Given a service with 64 descriptors", t, func() {
		p := start(few("-addr", "127.0.0.1:0", "-db", newPath(t)))
		p.awaitListening()

		Convey("When more clients come than it has descriptors, and stay, all are answered, and so is /health", func() {
			for range 100 {
				p.client().asks()
			}
			So(mustGet(p.url("/health")).body, ShouldEqual, `{"status":"UP"}`)
			So(p.messages(), ShouldHaveLength, 3) // None is about missing descriptors.
		})
	})

	Convey("Given a service with a higher limit of clients than of descriptors, and a full pipe as its log", t, func() {
		_, writer := pipe()
		fill(writer)
		public := freeAddr()
		p := startOn(writer, public, few("-addr", public, "-db", newPath(t), "-max-connections", "1000"))
		descriptors := func() int {
			entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.cmd.Process.Pid))
			if errors.Is(err, os.ErrNotExist) {
				return 64 // Only Linux has this directory.
			}
			return len(entries)
		}

		Convey("When it has run out of descriptors, and then the clients go, it answers again", func() {
			var clients []net.Conn
			for range 100 {
				clients = append(clients, dial(public))
			}
			So(eventually(func() bool { return descriptors() >= 64 }), ShouldBeTrue)
			for _, conn := range clients {
				conn.Close()
			}
			So(mustGet("http://"+public+"/accounts/10000").body, ShouldEqual, person0)
			p.signal(syscall.SIGTERM)
			So(p.exit(), ShouldEqual, 0)
		})
	})
}

func TestRoomThatCloses(t *testing.T) {
	Convey("Given a server with one client that has asked and waits, and one that has sent nothing", t, func() {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		So(err, ShouldBeNil)
		server := newServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), slog.New(slog.DiscardHandler))
		r := newRoom(2)
		go func() { _ = r.serve(server, listener.(*net.TCPListener)) }()
		Reset(func() { server.Close() })
		asked, mute := dial(listener.Addr().String()), dial(listener.Addr().String())
		answers := bufio.NewReader(asked)
		client{asked, answers}.asks()
		So(eventually(func() bool { return r.Idle() == 1 && r.Open() == 2 }), ShouldBeTrue)
		r.mu.Lock()
		r.makeRoomToServe(leaveServer) // The client that has asked goes back to the room.
		r.mu.Unlock()
		So(eventually(func() bool { r.mu.Lock(); defer r.mu.Unlock(); return r.idle.Len() == 1 }), ShouldBeTrue)

		Convey("When it is shut down, both are closed at once", func() {
			began := time.Now()
			So(server.Shutdown(context.Background()), ShouldBeNil)
			client{asked, answers}.isClosed()
			client{mute, bufio.NewReader(mute)}.isClosed()
			So(time.Since(began), ShouldBeLessThan, 2*time.Second)
			So(eventually(func() bool { return r.Open() == 0 }), ShouldBeTrue)
		})

		Convey("When the first client asks again, it is answered", func() {
			client{asked, answers}.asks()
		})
	})
}
