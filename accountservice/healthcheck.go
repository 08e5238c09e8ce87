package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// healthcheckTimeout leaves room for starting the process within a second.
const healthcheckTimeout = 900 * time.Millisecond

// healthcheck asks the service that listens on cfg.addr for its health, and
// returns why it is not healthy, if so.
func healthcheck(ctx context.Context, cfg config, _ io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, healthcheckTimeout)
	defer cancel()
	client := http.Client{Transport: &http.Transport{
		// Dialing an address to listen on, ":6767" or "[::]:6767", reaches this host.
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, cfg.addr)
		},
		DisableKeepAlives: true,
	}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://localhost/health", nil)
	if err != nil {
		return fmt.Errorf("healthcheck of %s: %w", cfg.addr, err)
	}
	response, err := client.Do(request)
	if err != nil {
		return fmt.Errorf("healthcheck of %s: %w", cfg.addr, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 200))
	if err != nil {
		return fmt.Errorf("healthcheck of %s: %w", cfg.addr, err)
	}
	if response.StatusCode != http.StatusOK {
		reason := strings.Join(strings.Fields(string(body)), " ") // In one line.
		return fmt.Errorf("healthcheck of %s: it answers %s: %s", cfg.addr, response.Status, reason)
	}
	return nil
}
