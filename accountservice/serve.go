package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"goblog/accountservice/boltstore"
	"goblog/accountservice/httpapi"
)

const (
	// lockWait is how long to wait for another process that seeds the same file.
	lockWait = 10 * time.Second
	// inFlight is how long shutdown waits for requests that have begun.
	inFlight = 10 * time.Second

	// How long a client may take: for a header, for an answer, and until its next request.
	headerTimeout = 5 * time.Second
	writeTimeout  = 10 * time.Second
	idleTimeout   = 2 * time.Minute
)

// serve answers requests until a signal, a failure, or the end of ctx. The listener opens
// last and closes first. The database closes after the last request.
func serve(ctx context.Context, cfg config, stdout io.Writer) error {
	tuneGC()
	log, lines := cfg.startLog(stdout)
	defer lines.close()
	log.Info("Starting accountservice")
	start := time.Now()
	store, added, err := boltstore.Open(cfg.db, cfg.accounts, lockWait)
	if err != nil {
		return err
	}
	if store.Original() {
		log.Info("Serving a file of the original service as it is: nothing is seeded", "took", time.Since(start))
	} else {
		log.Info(fmt.Sprintf("Seeded %d fake accounts...", cfg.accounts), "added", added, "took", time.Since(start))
	}

	// Before this line, a signal ends the process at once. The next start completes what
	// this one has seeded.
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, os.Interrupt)
	defer signal.Stop(signals)

	this := thisBuild()
	metrics := httpapi.NewMetrics(this)
	metrics.Counter("log_lines_dropped_total", "Log lines that nobody read in time.", lines.Dropped)
	room := newRoom(cfg.maxConnections)
	metrics.Gauge("http_connections_open", "Connections of the public API.", room.Open)
	metrics.Gauge("http_connections_idle", "Connections of the public API that are between two requests.", room.Idle)
	metrics.Counter("http_connections_closed_for_room_total", "Connections closed to make room for others.", room.ClosedForRoom)
	api := httpapi.New(store, this, metrics, log)
	api.AccessLog = cfg.accessLog
	err = serveAPI(ctx, cfg, api, room, log, signals)
	log.Info("Stopped accountservice")
	return errors.Join(err, store.Close())
}

// serveAPI opens the listeners and serves on them until a signal, a failure, or the end of ctx.
func serveAPI(ctx context.Context, cfg config, api *httpapi.API, room *room, log *slog.Logger, signals <-chan os.Signal) error {
	failed := make(chan error, 2)
	if cfg.adminAddr != "" {
		admin, err := listen("admin-addr", cfg.adminAddr)
		if err != nil {
			return err
		}
		server := newServer(api.AdminHandler(), log)
		defer server.Close()
		go func() { failed <- server.Serve(admin) }()
		log.Info("Starting admin service at " + port(admin))
	}
	public, err := listen("addr", cfg.addr)
	if err != nil {
		return err
	}
	server := newServer(api.Handler(), log)
	server.WriteTimeout = writeTimeout // Not for the admin server: a profile takes longer.
	defer server.Close()
	go func() { failed <- room.serve(server, public) }()
	log.Info("Starting HTTP service at "+port(public), "max_connections", room.most)

	drain := time.Duration(0)
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	case s := <-signals:
		if s == syscall.SIGTERM {
			drain = cfg.drain
		}
		log.Info("Stopping accountservice", "signal", s.String(), "drain", drain)
	}
	return shutDown(server, api, drain, signals)
}

// shutDown continues to serve for the duration drain. Then it closes the listener, and
// waits up to inFlight for requests that have begun. It fails at once on another signal.
func shutDown(server *http.Server, api *httpapi.API, drain time.Duration, signals <-chan os.Signal) error {
	api.Drain()
	ctx, cancel := context.WithTimeout(context.Background(), drain+inFlight)
	defer cancel()
	stopped := make(chan error, 1)
	go func() {
		<-time.After(drain)
		stopped <- server.Shutdown(ctx)
	}()
	select {
	case err := <-stopped:
		if errors.Is(err, context.DeadlineExceeded) {
			return nil // Some requests still run: serveAPI closes their connections.
		}
		return err
	case s := <-signals:
		return fmt.Errorf("second signal (%v): stopped at once, without waiting for running requests", s)
	}
}

// listen listens on the address of a flag. An error names the flag.
func listen(flagName, addr string) (*net.TCPListener, error) {
	listener, err := net.Listen("tcp", addr)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("listen on %s: the port is taken: stop the program that uses it, or choose another with -%s", addr, flagName)
	case err != nil:
		return nil, fmt.Errorf("listen on %s: %w: choose another address with -%s", addr, err, flagName)
	}
	return listener.(*net.TCPListener), nil
}

func port(listener *net.TCPListener) string {
	return strconv.Itoa(listener.Addr().(*net.TCPAddr).Port)
}

// newServer returns a server with the limits that both listeners have.
func newServer(handler http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			// A request can have a Transfer-Encoding and a length. A proxy in front may use
			// the length, and take the rest of the body for another request. So no request
			// may follow on this connection. (RFC 9112, 6.1) In HTTP/1.0, net/http does not
			// report a Transfer-Encoding, so none may follow any request of HTTP/1.0.
			if r.TransferEncoding != nil || r.ProtoMinor == 0 {
				w.Header().Set("Connection", "close")
			}
			handler.ServeHTTP(w, r)
		}),
		// The handler answers and counts OPTIONS * like any other request.
		DisableGeneralOptionsHandler: true,

		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       10 * time.Second,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
}
