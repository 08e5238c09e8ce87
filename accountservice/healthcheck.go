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

// healthcheckTimeout is short: a check must take less than 1 s, with the start of its process.
const healthcheckTimeout = 900 * time.Millisecond

// healthcheck asks the service at cfg.addr for /health. It fails unless the answer is 200.
func healthcheck(_ context.Context, cfg config, _ io.Writer) error {
	if err := askHealth(cfg.addr); err != nil {
		return fmt.Errorf("healthcheck of %s: %w", cfg.addr, err)
	}
	return nil
}

func askHealth(addr string) error {
	client := http.Client{Timeout: healthcheckTimeout, Transport: &http.Transport{
		// An address without a host, such as ":6767" or "[::]:6767", reaches this machine.
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, addr)
		},
		DisableKeepAlives: true,
	}}
	response, err := client.Get("http://localhost/health")
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 200))
	if err == nil && response.StatusCode != http.StatusOK {
		reason := strings.Join(strings.Fields(string(body)), " ") // An error is one line.
		err = fmt.Errorf("the answer is %s: %s", response.Status, reason)
	}
	return err
}
