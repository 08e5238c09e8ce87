// Command notes keeps notes in a file, one on each line. It shows what a service with data
// needs: a volume for the file, a secret for the token, and a config for the greeting.
package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"goblog/examples/internal/web"
)

const maxNote = 1 << 10 // bytes

var version, commit = "dev", "unknown" // The builder sets them with -ldflags -X.

func main() { web.Main("notes", run) }

// run serves, or runs the command in args. The settings are environment variables.
func run(ctx context.Context, args []string, getenv func(string) string, stdout io.Writer) error {
	addr := cmp.Or(getenv("NOTES_ADDR"), ":7070")
	if len(args) > 0 {
		return web.Command(args, addr, "/health")
	}
	// Read once: swarm never changes a secret or a config of a task. It starts a new task.
	token, err := readFile("token", cmp.Or(getenv("NOTES_TOKEN_PATH"), "/run/secrets/notes_token"), "give the service the secret notes_token, as stack.yml does")
	if err != nil {
		return err
	}
	greeting, err := readFile("greeting", cmp.Or(getenv("NOTES_GREETING_PATH"), "/etc/notes/greeting"), "give the service the config greeting, as stack.yml does")
	if err != nil {
		return err
	}
	book, err := openNotebook(cmp.Or(getenv("NOTES_DATA"), "/data"))
	if err != nil {
		return err
	}
	err = web.Serve(ctx, addr, handler(book, token, greeting), 0, stdout)
	return errors.Join(err, book.file.Close())
}

// readFile returns the text of a file. It fails if the file is empty.
func readFile(what, path, advice string) (string, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("read the %s: %w: %s", what, err, advice)
	}
	text := strings.TrimSpace(string(content))
	if text == "" {
		return "", fmt.Errorf("read the %s: %s is empty: %s", what, path, advice)
	}
	return text, nil
}

func handler(book *notebook, token, greeting string) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, greeting) })
	mux.HandleFunc("GET /health", web.Health)
	mux.HandleFunc("GET /version", web.Version("notes", version, commit))
	mux.HandleFunc("GET /notes", func(w http.ResponseWriter, r *http.Request) {
		notes, err := book.read()
		if err != nil {
			fail(w, "read the notes", err)
			return
		}
		// A note may have HTML. No browser may show it as a page.
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		http.ServeContent(w, r, "", time.Time{}, notes)
	})
	mux.HandleFunc("POST /notes", func(w http.ResponseWriter, r *http.Request) {
		if !authorized(r, token) {
			w.Header().Set("WWW-Authenticate", "Bearer")
			http.Error(w, "The token is missing or wrong: send the header Authorization: Bearer TOKEN.", http.StatusUnauthorized)
			return
		}
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxNote))
		note := strings.TrimSpace(string(body))
		switch {
		case errors.As(err, new(*http.MaxBytesError)):
			http.Error(w, fmt.Sprintf("The note is too long: %d bytes are allowed.", maxNote), http.StatusRequestEntityTooLarge)
			return
		case err != nil:
			http.Error(w, "The note did not arrive completely: send it again.", http.StatusBadRequest)
			return
		case note == "" || strings.ContainsAny(note, "\r\n"):
			http.Error(w, "A note is one line of text: send that as the body.", http.StatusBadRequest)
			return
		}
		if err := book.add(note); err != nil {
			fail(w, "store a note", err)
			return
		}
		w.WriteHeader(http.StatusCreated)
	})
	return mux
}

// authorized compares in constant time. Otherwise, the time would help an attacker to guess the
// token character by character. The hashes also hide its length.
func authorized(r *http.Request, token string) bool {
	scheme, given, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	got, want := sha256.Sum256([]byte(given)), sha256.Sum256([]byte(token))
	return strings.EqualFold(scheme, "Bearer") && subtle.ConstantTimeCompare(got[:], want[:]) == 1
}

// fail tells the cause to the operator, but not to the client.
func fail(w http.ResponseWriter, what string, err error) {
	fmt.Fprintf(os.Stderr, "notes: %s: %v\n", what, err)
	http.Error(w, "The notes cannot be reached at the moment: the log of the service says why.", http.StatusInternalServerError)
}
