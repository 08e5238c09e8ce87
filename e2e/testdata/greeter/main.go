// Command greeter is a service that is not part of this project. It is the smallest service
// that the deploy program can deploy: it answers /hello, and "greeter healthcheck" sends a
// request to itself.
package main

import (
	"fmt"
	"net/http"
	"os"
	"time"
)

const address = "127.0.0.1:8000"

func main() {
	if len(os.Args) > 1 && os.Args[1] == "healthcheck" {
		client := http.Client{Timeout: time.Second}
		response, err := client.Get("http://" + address + "/hello")
		if err != nil || response.StatusCode != http.StatusOK {
			os.Exit(1)
		}
		return
	}
	http.HandleFunc("/hello", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"hello":%q}`, os.Getenv("GREETER_WHOM"))
	})
	fmt.Println(http.ListenAndServe(":8000", nil))
	os.Exit(1)
}
