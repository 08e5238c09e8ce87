// Command bare is the server that the service is compared with: net/http and a handler that
// writes a constant. Its response is the same as the service's response for account 10000.
// It has no router, no database, no metrics, no limits and no shutdown.
package main

import (
	"log"
	"net/http"
	"os"
)

func main() {
	body := []byte(`{"id":"10000","name":"Person_0"}`)
	log.Fatal(http.ListenAndServe(os.Args[1], http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		_, _ = w.Write(body)
	})))
}
