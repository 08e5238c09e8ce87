// Command moody is a service that is well in its trial, which has no network, and not
// in the swarm: what it does there is its version's name.
package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

var version string // Set when it is built, by scripts/build.sh.

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
	inSwarm := hasNetwork()
	is := func(mood string) bool { return inSwarm && strings.HasPrefix(version, mood) }
	switch {
	case strings.HasPrefix(version, "dead-at-start"):
		fmt.Println("moody does not want to live")
		os.Exit(3)
	case strings.HasPrefix(version, "sick-soon"):
		sickFrom = time.Now().Add(time.Second)
	case is("sick"):
		sickFrom = time.Now()
	case is("dies"):
		time.AfterFunc(3*time.Second, func() {
			fmt.Println("moody has had enough")
			os.Exit(4)
		})
	}
	http.HandleFunc("/health", func(w http.ResponseWriter, _ *http.Request) {
		if !sickFrom.IsZero() && time.Now().After(sickFrom) {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	http.HandleFunc("/accounts/10000", func(w http.ResponseWriter, _ *http.Request) {
		if is("wrong") {
			fmt.Fprint(w, "moody says no")
			return
		}
		fmt.Fprint(w, `{"id":"10000","name":"Person_0"}`)
	})
	fmt.Println(http.ListenAndServe(":6767", nil))
	os.Exit(1)
}

var sickFrom time.Time

// hasNetwork tells whether there is more than the loopback interface.
func hasNetwork() bool {
	interfaces, err := net.Interfaces()
	return err == nil && len(interfaces) > 1
}
