package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"os"

	"goblog/deploy/progress"
	"goblog/deploy/view"
)

// viewAddress is the default address of the page. Other machines cannot reach it.
const viewAddress = "127.0.0.1:6790"

// viewPage serves a page that follows the swarm, until it is interrupted.
func viewPage(ctx context.Context, o *options, out *progress.Printer) error {
	if len(o.arguments) > 0 {
		return usage("view takes no argument, but got '%s': it shows the whole swarm", o.arguments[0])
	}
	host, _, err := net.SplitHostPort(o.listen)
	if err != nil {
		return usage("--listen: '%s' is not HOST:PORT, as in %s", o.listen, viewAddress)
	}
	s, err := openManager(ctx, o, out)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", o.listen)
	if err != nil {
		return failed(fmt.Sprintf("the page cannot be served: %v", err), "choose another address: --listen HOST:PORT")
	}
	server := &view.Server{Source: s.reader(), Host: host}
	address := listener.Addr().(*net.TCPAddr)
	url := "http://" + address.String() + "/"
	if !address.IP.IsLoopback() {
		server.Token = rand.Text()
		if address.IP.IsUnspecified() {
			host, _ = os.Hostname()
			server.Host = host
		}
		url = fmt.Sprintf("http://%s/?token=%s", net.JoinHostPort(host, fmt.Sprint(address.Port)), server.Token)
		out.Warn("anybody who has this URL sees the whole swarm, and others on the network can read the URL: --listen 127.0.0.1:PORT with ssh -L is better")
	}
	out.Step("The swarm is at %s", url)
	out.Detail("Ctrl-C ends it; the swarm is not changed")
	return server.Serve(ctx, listener)
}
