// Command moody is a service with moods: the first word of its version says how it behaves.
// Most moods begin only in the real service, not in the trial. Its environment shows which
// one it is.
package main

import (
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"
)

var version string // Set when it is built.

const account = `{"id":"10000","name":"Person_0"}`

func main() {
	if len(os.Args) > 1 && os.Args[1] == "healthcheck" {
		response, err := http.Get("http://127.0.0.1:6767/health")
		if err != nil || response.StatusCode != http.StatusOK {
			fmt.Println("moody is not healthy")
			os.Exit(1)
		}
		return
	}
	fmt.Println("Starting moody", version)
	mood, _, _ := strings.Cut(version, ".")
	if who := os.Getenv("WHO"); who != "" && !strings.HasPrefix(os.Getenv("SERVICE"), who) {
		mood = "good" // Of several services, another one has the mood.
	}
	inService := !strings.HasSuffix(os.Getenv("SERVICE"), "-trial")
	healthy := func() bool { return true }
	body, status := account, http.StatusOK
	switch {
	// These fail in the trial already.
	case mood == "dead-at-start":
		fmt.Println("moody does not want to live")
		os.Exit(3)
	case mood == "dies-soon":
		dieAfter(time.Second)
	case mood == "hangs":
		time.Sleep(time.Hour)
	case mood == "needs-secret":
		fmt.Println("moody needs a secret")
		os.Exit(5)
	// These fail only in the real service.
	case !inService:
	case mood == "crashes":
		fmt.Println("moody crashes")
		os.Exit(3)
	case mood == "dies": // It becomes healthy first.
		var once sync.Once
		healthy = func() bool {
			once.Do(func() { dieAfter(300 * time.Millisecond) })
			return true
		}
	case mood == "sick": // It is never healthy, and ends in order.
		healthy = func() bool { return false }
		signals := make(chan os.Signal, 1)
		signal.Notify(signals, syscall.SIGTERM)
		go func() {
			<-signals
			fmt.Println("moody ends in order")
			os.Exit(0)
		}()
	case mood == "wrong":
		body = "moody says no"
	case mood == "error":
		status = http.StatusInternalServerError // The body is right: only the status tells.
	case mood == "greedy": // It becomes healthy first, too.
		var once sync.Once
		healthy = func() bool {
			once.Do(func() { go eat() })
			return true
		}
	}
	http.HandleFunc("/health", func(w http.ResponseWriter, _ *http.Request) {
		if !healthy() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	http.HandleFunc("/accounts/10000", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	})
	fmt.Println(http.ListenAndServe(":6767", nil))
	os.Exit(1)
}

func dieAfter(delay time.Duration) {
	time.AfterFunc(delay, func() {
		fmt.Println("moody has had enough")
		os.Exit(4)
	})
}

// eat takes memory until there is none.
func eat() {
	fmt.Println("moody is hungry")
	var eaten [][]byte
	for {
		piece := make([]byte, 8<<20)
		for i := range piece {
			piece[i] = 1
		}
		eaten = append(eaten, piece)
	}
}
