package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// writeProfile writes a CPU profile of the service to file. The load is the same as in the
// measurements, with many accounts, so that reads go through all levels of the tree. The
// compiler uses the profile to optimise the service.
func writeProfile(ctx context.Context, o options, file string) error {
	dir, err := os.MkdirTemp("build", "bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	admin := free.Addr().String()
	if err := free.Close(); err != nil {
		return err
	}
	p, _, err := start(ctx, o.serviceOn(filepath.Join(dir, "accounts.db"), o.many, admin), true)
	if err != nil {
		return err
	}
	defer p.stop()

	say("Profiling the service under load for %v", o.duration)
	loaded := make(chan error, 1)
	go func() {
		_, err := load{connections: 64, ids: o.many, duration: o.duration + 2*time.Second}.run(ctx, p.addr)
		loaded <- err
	}()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet,
		fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", admin, int(o.duration.Seconds())), nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	profile, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s: %s", request.URL, response.Status, profile)
	}
	if err := <-loaded; err != nil {
		return err
	}
	return os.WriteFile(file, profile, 0o644)
}
