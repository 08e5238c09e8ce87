package main

import (
	"bufio"
	"encoding/csv"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	. "github.com/smartystreets/goconvey/convey"
)

const (
	soakRate    = 1000   // requests a second
	soakClients = 10_000 // other clients, that come, are idle and go

	// steadiest is the part by which memory may grow in 10 minutes.
	steadiest = 0.01
	// In a shorter time, a slope proves nothing. The first third of a life is for warming up.
	shortestSlope = 5 * time.Minute
)

// steady asks for an account at an even rate.
type steady struct {
	addr            atomic.Value
	done            sync.WaitGroup
	answered, wrong atomic.Int64
	longest         atomic.Int64 // nanoseconds
}

// begin starts the requests, and returns a function that ends them.
func (s *steady) begin() (end func()) {
	client := &http.Client{Timeout: patience, Transport: &http.Transport{MaxIdleConnsPerHost: 100}}
	stop := make(chan struct{})
	ask := func(path string) {
		began := time.Now()
		status, err := statusOf(client, "http://"+s.addr.Load().(string)+path)
		if err != nil || status != http.StatusOK {
			if s.wrong.Add(1) < 10 {
				fmt.Printf("\nGET %s: status %d, %v\n", path, status, err)
			}
			return
		}
		s.answered.Add(1)
		for took := time.Since(began).Nanoseconds(); ; {
			longest := s.longest.Load()
			if took <= longest || s.longest.CompareAndSwap(longest, took) {
				return
			}
		}
	}
	s.done.Go(func() {
		defer client.CloseIdleConnections()
		began, asked := time.Now(), 0
		for {
			for ; float64(asked) < time.Since(began).Seconds()*soakRate; asked++ {
				path := fmt.Sprint("/accounts/", 10000+asked%100)
				if asked%soakRate == 0 {
					path = "/health"
				}
				s.done.Go(func() { ask(path) })
			}
			select {
			case <-stop:
				return
			case <-time.After(time.Millisecond):
			}
		}
	})
	return sync.OnceFunc(func() {
		close(stop)
		s.done.Wait()
	})
}

// stalls reads a log, but pauses for 3 seconds of every 20.
func stalls(log io.Reader) {
	began := time.Now()
	for lines := bufio.NewReader(log); ; {
		if _, err := lines.Discard(1000); err != nil {
			return
		}
		if since := time.Since(began) % (20 * time.Second); since > 10*time.Second && since < 13*time.Second {
			time.Sleep(13*time.Second - since)
		}
	}
}

// life is one process of the service, from its start to its end.
type life struct {
	*process
	public, admin string
	began         time.Time
	start         map[string]int // its metrics before there were clients
	minutes, mib  []float64      // the memory once it was warm
}

func beBorn(binary, db string) *life {
	l := &life{public: freeAddr(), admin: freeAddr(), began: time.Now()}
	reader, writer := pipe()
	l.process = startOn(writer, l.public, exec.Command(binary, "-addr", l.public, "-admin-addr", l.admin, "-db", db, "-access-log", "-drain", "3s"))
	go stalls(reader)
	l.start = metrics(l.admin)
	return l
}

// watch takes a sample each second until the life is as long as long says.
func (l *life) watch(long time.Duration, since time.Time, asks *steady, samples *csv.Writer) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	before, most := asks.answered.Load(), 0
	for time.Since(l.began) < long {
		<-tick.C
		now, answered := metrics(l.admin), asks.answered.Load()
		mib := float64(now["process_resident_memory_bytes"]) / (1 << 20)
		So(samples.Write([]string{
			fmt.Sprintf("%.1f", time.Since(since).Seconds()), fmt.Sprintf("%.2f", mib),
			strconv.Itoa(now["process_open_fds"]), strconv.Itoa(now["go_goroutines"]),
			strconv.Itoa(now["http_connections_open"]), fmt.Sprint(answered - before), strconv.Itoa(now["log_lines_dropped_total"]),
		}), ShouldBeNil)
		before, most = answered, max(most, now["http_connections_open"])
		if time.Since(l.began) > long/3 {
			l.minutes, l.mib = append(l.minutes, time.Since(l.began).Minutes()), append(l.mib, mib)
		}
	}
	samples.Flush()
	So(samples.Error(), ShouldBeNil)
	So(metric(l.admin, "log_lines_dropped_total"), ShouldBeGreaterThan, 0) // The log has stalled.
	So(most, ShouldBeGreaterThan, soakClients*9/10)
}

// shouldBeFlat expects that memory did not grow.
func (l *life) shouldBeFlat(long time.Duration) {
	mean, growth := slope(l.minutes, l.mib)
	fmt.Printf("\nmemory after warming up: %.1f MiB", mean)
	if long*2/3 < shortestSlope {
		fmt.Println(", for too short a time to tell whether it grows")
		return
	}
	growth *= 10 / mean // of the mean, in 10 minutes
	fmt.Printf(", growing by %+.2f %% in 10 minutes\n", 100*growth)
	So(growth, ShouldBeLessThanOrEqualTo, steadiest)
}

// slope fits a line by least squares: the mean of y, and how much y grows with x.
func slope(x, y []float64) (mean, growth float64) {
	n := float64(len(x))
	var sx, sy, sxx, sxy float64
	for i := range x {
		sx, sy, sxx, sxy = sx+x[i], sy+y[i], sxx+x[i]*x[i], sxy+x[i]*y[i]
	}
	return sy / n, (n*sxy - sx*sy) / (n*sxx - sx*sx)
}

// TestSoak runs for the duration SOAK, and writes build/soak.csv. Run it with make soak.
func TestSoak(t *testing.T) {
	long, _ := time.ParseDuration(os.Getenv("SOAK"))
	if long == 0 {
		t.Skip("a long run takes half an hour: run make soak")
	}
	Convey("Given a service that logs each request, and a reader of the log that stalls", t, func() {
		lean, db := filepath.Join(t.TempDir(), "accountservice"), newPath(t)
		So(goBuild(lean), ShouldBeNil)
		So(os.MkdirAll("../build", 0o755), ShouldBeNil)
		file, err := os.Create("../build/soak.csv")
		So(err, ShouldBeNil)
		defer file.Close()
		fmt.Fprintf(file, "# %s, %s: %d requests/s, and %d clients that come, idle and go\n", time.Now().Format(time.DateOnly), runtime.Version(), soakRate, soakClients)
		samples := csv.NewWriter(file)
		So(samples.Write([]string{"seconds", "MiB", "descriptors", "goroutines", "connections", "requests", "dropped"}), ShouldBeNil)

		Convey(fmt.Sprintf("When it is used for %v, and restarted in the middle", long), func() {
			began := time.Now()
			first := beBorn(lean, db)
			asks := &steady{}
			asks.addr.Store(first.public)
			enough := asks.begin()
			Reset(enough)
			idlers := crowd{Says: askForAccount, Goes: min(time.Minute, long/2), Clients: soakClients, Rate: 1000}
			turn, end := idlers.come(first.public)
			first.watch(long/2, began, asks, samples)

			// The second process serves before the first one stops, as in a rolling update.
			second := beBorn(lean, db)
			asks.addr.Store(second.public)
			turn(second.public)
			first.signal(syscall.SIGTERM)
			second.watch(long-long/2, began, asks, samples)
			So(first.exit(), ShouldEqual, 0)

			enough()
			connected, answered, closed, broken := end()
			fmt.Printf("\n%d requests in %v, the slowest %v; %d clients came, %d were answered, %d closed\n",
				asks.answered.Load(), long, time.Duration(asks.longest.Load()), connected, answered, closed)

			Convey("Then no request fails, memory stays flat (in a long run), and no descriptor and no goroutine is left over", func() {
				So(asks.wrong.Load(), ShouldEqual, 0)
				So(asks.answered.Load(), ShouldBeGreaterThan, int64(0.99*soakRate*long.Seconds()))
				So(broken, ShouldEqual, 0)
				So(time.Duration(asks.longest.Load()), ShouldBeLessThan, time.Second)
				first.shouldBeFlat(long / 2)
				second.shouldBeFlat(long / 2)
				So(eventually(func() bool {
					now := metrics(second.admin)
					return now["process_open_fds"] <= second.start["process_open_fds"] && now["go_goroutines"] <= second.start["go_goroutines"]
				}), ShouldBeTrue)
			})
		})
	})
}
