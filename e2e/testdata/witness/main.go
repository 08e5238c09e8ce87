// Command witness is a service that shows its container: "witness show PATH..." prints mode,
// owner and content of files there, and "witness probe" is its health check. Its environment
// says how it behaves. Only in the real service, not in the trial, it has the mood MOOD.
package main

import (
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

var version string // Set when it is built: images of two versions differ.

func main() {
	if len(os.Args) > 1 {
		command(os.Args[1], os.Args[2:])
		return
	}
	name, answer := os.Getenv("SERVICE"), os.Getenv("SAYS")
	if path := os.Getenv("NEEDS_FILE"); path != "" {
		if _, err := os.ReadFile(path); err != nil {
			end(5, "witness cannot do without a file: %v", err)
		}
	}
	if url := os.Getenv("NEEDS"); url != "" {
		await(url)
	}
	mood := os.Getenv("MOOD")
	if strings.HasSuffix(name, "-trial") {
		mood = ""
	}
	switch mood {
	case "dies":
		end(4, "witness %s has had enough", name)
	case "wrong":
		answer = "witness says no"
	}
	fmt.Println("Starting witness", version)
	write("began")
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM)
	go func() {
		<-signals
		if os.Getenv("DIARY") != "" {
			time.Sleep(time.Second) // If it is killed at once, the next line is never written.
		}
		write("ended in order")
		end(0, "witness %s ends in order", name)
	}()
	go func() {
		end(1, "witness: %v", http.ListenAndServe(":8001", saying("the other port")))
	}()
	end(1, "witness: %v", http.ListenAndServe(":8000", saying(answer)))
}

func command(name string, arguments []string) {
	switch name {
	case "probe":
		response, err := http.Get("http://127.0.0.1:8000/")
		if err != nil || response.StatusCode != http.StatusOK {
			end(1, "witness is not healthy")
		}
	case "show":
		for _, path := range arguments {
			show(path)
		}
	default:
		end(2, "witness: unknown command %s", name)
	}
}

func show(path string) {
	status, err := os.Stat(path)
	if err != nil {
		end(1, "witness: %v", err)
	}
	owner := status.Sys().(*syscall.Stat_t)
	fmt.Printf("%s %#o %d:%d", path, owner.Mode&0o7777, owner.Uid, owner.Gid)
	if status.Mode().IsRegular() {
		content, err := os.ReadFile(path)
		if err != nil {
			end(1, "witness: %v", err)
		}
		fmt.Printf(" %s", content)
	}
	fmt.Println()
}

// await waits for another service to answer, for some seconds.
func await(url string) {
	client := http.Client{Timeout: time.Second}
	var err error
	for deadline := time.Now().Add(3 * time.Second); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		var response *http.Response
		if response, err = client.Get(url); err == nil {
			response.Body.Close()
			return
		}
	}
	end(5, "witness cannot do without another service: %v", err)
}

// write adds a line to the diary, if there is one.
func write(line string) {
	path := os.Getenv("DIARY")
	if path == "" {
		return
	}
	diary, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err == nil {
		_, err = fmt.Fprintln(diary, line)
	}
	if err != nil {
		end(1, "witness: %v", err)
	}
}

func saying(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, text) }
}

func end(code int, format string, arguments ...any) {
	fmt.Printf(format+"\n", arguments...)
	os.Exit(code)
}
