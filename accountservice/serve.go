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
	"syscall"
	"time"

	"goblog/accountservice/boltstore"
	"goblog/accountservice/httpapi"
)

const (
	// lockWait is how long to wait for a sibling that is seeding the same file.
	lockWait = 10 * time.Second
	// inFlight is how long requests under way may take to finish at shutdown.
	inFlight = 10 * time.Second

	// What a client may take its time for.
	headerTimeout = 5 * time.Second
	writeTimeout  = 10 * time.Second
	idleTimeout   = 2 * time.Minute
)

// serve answers requests until a signal or a failure ends it. The listener opens
// last and closes first; the database closes after the last request.
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

	// Until here a signal ends the process as it always does: the next start goes on
	// where this one was.
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, os.Interrupt)
	defer signal.Stop(signals)

	this := thisBuild()
	metrics := httpapi.NewMetrics(this)
	metrics.Counter("log_lines_dropped_total", "Log lines that nobody read in time.", lines.Dropped)
	room := newRoom(cfg.maxConnections)
	metrics.Gauge("http_connections_open", "Connections of the public API.", room.Open)
	metrics.Gauge("http_connections_idle", "Connections of the public API that are between two requests.", room.Idle)
	metrics.Counter("http_connections_closed_for_room_total", "Connections closed to have room for others.", room.ClosedForRoom)
	api := httpapi.New(store, this, metrics, log)
	api.AccessLog = cfg.accessLog
	err = serveAPI(ctx, cfg, api, room, log, signals)
	log.Info("Stopped accountservice")
	return errors.Join(err, store.Close())
}

// serveAPI opens the listeners and serves on them until it is time to stop.
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
	server.WriteTimeout = writeTimeout // The admin server streams profiles for longer.
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

// shutDown goes on serving for as long as drain says, then closes the listener and
// waits for the requests under way. A second signal ends it at once.
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
			return nil // They had their time: serveAPI cuts them off.
		}
		return err
	case s := <-signals:
		return fmt.Errorf("second signal (%v): stopped at once, without waiting for the requests under way", s)
	}
}

// listen opens the address that a flag asks for.
func listen(flagName, addr string) (*net.TCPListener, error) {
	listener, err := net.Listen("tcp", addr)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("listen on %s: the port is taken: stop what uses it, or choose another with -%s", addr, flagName)
	case err != nil:
		return nil, fmt.Errorf("listen on %s: %w: choose another address with -%s", addr, err, flagName)
	}
	return listener.(*net.TCPListener), nil
}

func port(listener net.Listener) string {
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	return port
}

// newServer returns a server with the limits that every listener has.
func newServer(handler http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			// A proxy in front may take the end of such a request for another one, where it
			// has a length as well. Nothing may come after it. (RFC 9112, 6.1) With HTTP/1.0
			// net/http overlooks the encoding, and does not tell.
			if r.TransferEncoding != nil || r.ProtoMinor == 0 {
				w.Header().Set("Connection", "close")
			}
			handler.ServeHTTP(w, r)
		}),
		// OPTIONS * is for the handler to answer and to count, as any other request.
		DisableGeneralOptionsHandler: true,

		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       10 * time.Second,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
}
