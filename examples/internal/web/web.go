// Package web runs the example services as tasks of a swarm. It serves until the task is
// stopped, and probes the health of a service.
package web

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"
)

// inFlight is how long shutdown waits for requests. With a drain of 2 s, this is less than the
// stop_grace_period.
const inFlight = 7 * time.Second

// Main runs a program. If it fails, Main prints one line on stderr and exits with code 1.
func Main(name string, run func(ctx context.Context, args []string, getenv func(string) string, stdout io.Writer) error) {
	if err := run(context.Background(), os.Args[1:], os.Getenv, os.Stdout); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		os.Exit(1)
	}
}

// Serve answers requests at addr, a host:port, until ctx ends or a SIGTERM or interrupt comes.
// Then it still serves for the duration drain, because requests arrive until all nodes know
// that the task ends. Then it closes the listener and finishes the running requests. A second
// signal ends it at once.
func Serve(ctx context.Context, addr string, handler http.Handler, drain time.Duration, stdout io.Writer) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, os.Interrupt)
	defer stop()
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("%w: stop the program that uses the address, or set another", err)
	}
	var draining atomic.Bool
	server := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if draining.Load() { // The client's next request goes to another task.
				w.Header().Set("Connection", "close")
			}
			handler.ServeHTTP(w, r)
		}),
		ReadTimeout:  10 * time.Second,
		WriteTimeout: 30 * time.Second,
	}
	defer server.Close()
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	fmt.Fprintln(stdout, "Listening on", listener.Addr())
	select {
	case err := <-failed:
		return fmt.Errorf("serve on %s: %w", listener.Addr(), err)
	case <-ctx.Done():
	}
	stop() // The next signal ends the process.
	draining.Store(true)
	time.Sleep(drain)
	limited, cancel := context.WithTimeout(context.Background(), inFlight)
	defer cancel()
	if err := server.Shutdown(limited); err != nil {
		return fmt.Errorf("finish the running requests within %v: %w: the others were cut off", inFlight, err)
	}
	return nil
}

// Command runs the command in args. There is one command: "probe" requests path from the
// service at addr, and fails unless the answer is 200 and comes within a second.
func Command(args []string, addr, path string) error {
	if len(args) != 1 || args[0] != "probe" {
		return fmt.Errorf("the arguments %q are not known: give none to serve, or probe to ask the running service for its health", args)
	}
	client := http.Client{Timeout: time.Second, Transport: &http.Transport{
		// An address without a host, such as ":8000", reaches this machine.
		DialContext: func(_ context.Context, network, _ string) (net.Conn, error) { return net.Dial(network, addr) },
	}}
	response, err := client.Get("http://localhost" + path)
	if err != nil {
		return fmt.Errorf("probe %s: %w", addr, err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("probe %s: %s answers %s", addr, path, response.Status)
	}
	return nil
}

// Health answers "ok".
func Health(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") }

// Version returns a handler that answers with the name, version and commit of a service.
func Version(name, version, commit string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "%s %s, commit %s\n", name, version, commit)
	}
}
