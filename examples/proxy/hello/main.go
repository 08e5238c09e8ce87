// Command hello answers with its version and its task. It runs behind front, and publishes no
// port.
package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"goblog/examples/internal/web"
)

// drain is how long hello serves after SIGTERM. Front may still use its address meanwhile.
const drain = 2 * time.Second

var version, commit = "dev", "unknown" // The builder sets them with -ldflags -X.

func main() { web.Main("hello", run) }

// run serves, or runs the command in args.
func run(ctx context.Context, args []string, getenv func(string) string, stdout io.Writer) error {
	addr := cmp.Or(getenv("HELLO_ADDR"), ":8000")
	if len(args) > 0 {
		return web.Command(args, addr, "/health")
	}
	host, err := os.Hostname() // In a container, this is the start of its id.
	if err != nil {
		return fmt.Errorf("get the hostname from the system: %w: set hostname in the stack file", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "Hello from %s on %s\n", version, host)
	})
	mux.HandleFunc("GET /health", web.Health)
	mux.HandleFunc("GET /version", web.Version("hello", version, commit))
	return web.Serve(ctx, addr, mux, drain, stdout)
}
