package view

import (
	"context"
	"crypto/subtle"
	"embed"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"
)

// Sizes and times of the HTTP server.
const (
	headerTimeout = 5 * time.Second
	writeTimeout  = 10 * time.Second
	keepAlive     = 15 * time.Second // between messages to a browser while nothing changes
	maxHeader     = 16 << 10
)

//go:embed page.html page.css page.js
var files embed.FS

//go:embed token.html
var tokenPage []byte

// policy lets the page load only these files, and only from this server.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// A Server serves the page.
type Server struct {
	Source Source
	Host   string // name or address that it listens on
	Token  string // that a browser must send; "": none, if only this machine reaches the listener

	poller poller
}

// Serve serves until the context ends.
func (s *Server) Serve(ctx context.Context, listener net.Listener) error {
	s.poller.source = s.Source
	server := &http.Server{Handler: s, ReadHeaderTimeout: headerTimeout, MaxHeaderBytes: maxHeader, BaseContext: func(net.Listener) context.Context { return ctx }}
	context.AfterFunc(ctx, func() { server.Close() })
	if err := server.Serve(listener); ctx.Err() == nil {
		return err
	}
	return nil
}

func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	for name, value := range map[string]string{
		"Content-Security-Policy": policy, "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store",
		"Cross-Origin-Resource-Policy": "same-origin", "Cross-Origin-Opener-Policy": "same-origin",
	} {
		w.Header().Set(name, value)
	}
	switch {
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "this page changes nothing: only GET and HEAD", http.StatusMethodNotAllowed)
	case !s.isHere(r.Host):
		// If somebody else points a name to this machine, a page under that name could read this
		// page.
		http.Error(w, "this page does not answer under that name: open the URL that deploy view printed", http.StatusMisdirectedRequest)
	case r.Header.Get("Origin") != "" && r.Header.Get("Origin") != "http://"+r.Host:
		http.Error(w, "this page answers no other page", http.StatusForbidden)
	case !s.admits(w, r):
	case r.URL.Path == "/":
		http.ServeFileFS(w, r, files, "page.html")
	case r.URL.Path == "/page.css", r.URL.Path == "/page.js":
		http.ServeFileFS(w, r, files, r.URL.Path[1:])
	case r.URL.Path == "/events":
		s.events(w, r)
	default:
		http.NotFound(w, r)
	}
}

// isHere tells whether the Host of a request is this machine: an address, or a name that
// nobody else can point to this machine.
func (s *Server) isHere(host string) bool {
	parsed, err := url.Parse("http://" + host)
	if err != nil {
		return false
	}
	name := strings.ToLower(parsed.Hostname())
	address, err := netip.ParseAddr(name)
	if err != nil {
		return name == "localhost" || name != "" && name == strings.ToLower(s.Host)
	}
	return address.IsLoopback() || s.Token != ""
}

const cookie = "deploy-view"

// admits tells whether a request has the token. A token in the URL becomes a cookie, so that
// it does not stay in the browser's history.
func (s *Server) admits(w http.ResponseWriter, r *http.Request) bool {
	is := func(token string) bool { return subtle.ConstantTimeCompare([]byte(token), []byte(s.Token)) == 1 }
	if s.Token == "" {
		return true
	}
	if is(r.URL.Query().Get("token")) {
		http.SetCookie(w, &http.Cookie{Name: cookie, Value: s.Token, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode})
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return false
	}
	for _, one := range r.CookiesNamed(cookie) {
		if is(one.Value) {
			return true
		}
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(http.StatusUnauthorized)
	if r.Method == http.MethodGet {
		w.Write(tokenPage)
	}
	return false
}

// events sends the state of the page whenever it changes. When a browser goes away, a write
// fails.
func (s *Server) events(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	if r.Method == http.MethodHead {
		return
	}
	messages, done := s.poller.watch()
	defer done()
	control := http.NewResponseController(w)
	for message := "retry: 1000\n\n"; ; {
		control.SetWriteDeadline(time.Now().Add(writeTimeout))
		if _, err := w.Write([]byte(message)); err != nil || control.Flush() != nil {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case message = <-messages:
		case <-time.After(keepAlive):
			message = ": still here\n\n"
		}
	}
}
