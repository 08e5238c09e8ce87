// Command standin stands in for the images of the landscape, which the tests cannot pull. If
// a docker socket is mounted, it is a visualizer: its page shows the id of the engine behind
// the socket. Otherwise it is the quotes-service. Its version is the port that it listens on.
// "standin get URL" prints the answer of the URL.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"
)

const dockerSocket = "/var/run/docker.sock"

var version string // Set when it is built.

func main() {
	if len(os.Args) == 3 && os.Args[1] == "get" {
		body, err := get(&http.Client{Timeout: 2 * time.Second}, os.Args[2])
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Print(body)
		return
	}
	if _, err := os.Stat(dockerSocket); err == nil {
		http.HandleFunc("/{$}", page)
	} else {
		http.HandleFunc("/api/quote", quote)
	}
	fmt.Println(http.ListenAndServe(":"+version, nil))
	os.Exit(1)
}

// page shows the id of the node whose engine is behind the socket.
func page(w http.ResponseWriter, _ *http.Request) {
	toSocket := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", dockerSocket)
	}
	client := &http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{DialContext: toSocket, DisableKeepAlives: true}}
	body, err := get(client, "http://docker/info")
	var info struct{ Swarm struct{ NodeID string } }
	if err == nil {
		err = json.Unmarshal([]byte(body), &info)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	fmt.Fprintf(w, "<html>node %s</html>", info.Swarm.NodeID)
}

// quote answers as the quotes-service does, always with the same quote.
func quote(w http.ResponseWriter, _ *http.Request) {
	host, err := os.Hostname()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	err = json.NewEncoder(w).Encode(map[string]string{"quote": "To be or not to be", "ipAddress": host, "language": "en"})
	if err != nil {
		fmt.Println("write a quote:", err)
	}
}

// get returns the body of a 200 answer.
func get(client *http.Client, url string) (string, error) {
	response, err := client.Get(url)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("GET %s: %s: %s", url, response.Status, body)
	}
	return string(body), err
}
