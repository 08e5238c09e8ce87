package main

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	. "github.com/smartystreets/goconvey/convey"
)

// After an answer, the connection is kept for more requests, or it is closed.
const (
	kept   = false
	closed = true
)

type form struct {
	name, request string
	status        int
	closed        bool
}

// forms are all forms of requests, valid and invalid ones.
var forms = []form{
	{"HTTP/1.0", "GET /accounts/10000 HTTP/1.0\r\n\r\n", 200, closed},
	{"HTTP/1.0 that is to be kept alive", "GET /accounts/10000 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", 200, closed},
	{"HTTP/1.0 with a Transfer-Encoding", "GET /accounts/10000 HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 200, closed},
	{"HTTP/1.2", "GET /accounts/10000 HTTP/1.2\r\nHost: test\r\n\r\n", 200, kept},
	{"HTTP/2.0 in words", "GET /accounts/10000 HTTP/2.0\r\nHost: test\r\n\r\n", 505, closed},
	{"HTTP/0.9", "GET /accounts/10000\r\n\r\n", 400, closed},
	{"another protocol", "GET /accounts/10000 ICY/1.1\r\nHost: test\r\n\r\n", 400, closed},
	{"TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400, closed},

	{"absolute-form", "GET http://other/accounts/10000 HTTP/1.1\r\nHost: test\r\n\r\n", 200, kept},
	{"absolute-form without a path", "GET http://other HTTP/1.1\r\nHost: test\r\n\r\n", 404, kept},
	{"authority-form", "CONNECT test:443 HTTP/1.1\r\nHost: test:443\r\n\r\n", 404, kept},
	{"asterisk-form", "OPTIONS * HTTP/1.1\r\nHost: test\r\n\r\n", 204, kept},
	{"asterisk-form of GET", "GET * HTTP/1.1\r\nHost: test\r\n\r\n", 404, kept},
	{"a path without a slash before it", "GET accounts/10000 HTTP/1.1\r\nHost: test\r\n\r\n", 400, closed},

	{"Host missing", "GET /accounts/10000 HTTP/1.1\r\n\r\n", 400, closed},
	{"Host empty", "GET /accounts/10000 HTTP/1.1\r\nHost:\r\n\r\n", 200, kept},
	{"Host twice", get10000 + "Host: other\r\n\r\n", 400, closed},
	{"Host that is none", "GET /accounts/10000 HTTP/1.1\r\nHost: a b\r\n\r\n", 400, closed},

	{"h2c upgrade", get10000 + "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n", 200, kept},
	{"h2c with prior knowledge", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 405, closed},
	{"websocket upgrade", get10000 + "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n", 200, kept},

	{"encoded slash", "GET /accounts/1%2F2 HTTP/1.1\r\nHost: test\r\n\r\n", 404, kept},
	{"encoded digit", "GET /accounts/%310000 HTTP/1.1\r\nHost: test\r\n\r\n", 200, kept},
	{"invalid UTF-8, encoded", "GET /accounts/%ff HTTP/1.1\r\nHost: test\r\n\r\n", 404, kept},
	{"invalid UTF-8 as it is", "GET /accounts/\xff HTTP/1.1\r\nHost: test\r\n\r\n", 404, kept},
	{"invalid encoding", "GET /accounts/%zz HTTP/1.1\r\nHost: test\r\n\r\n", 400, closed},
	{"NUL in the path", "GET /accounts/\x00 HTTP/1.1\r\nHost: test\r\n\r\n", 400, closed},
	{"space in the path", "GET /accounts/1 2 HTTP/1.1\r\nHost: test\r\n\r\n", 400, closed},
	{"an id of 10 kB", "GET /accounts/" + strings.Repeat("1", 10_000) + " HTTP/1.1\r\nHost: test\r\n\r\n", 404, kept},
	{"an id of 100 kB", "GET /accounts/" + strings.Repeat("1", 100_000) + " HTTP/1.1\r\nHost: test\r\n\r\n", 431, closed},

	{"another method", "POST /accounts/10000 HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\nhello", 405, kept},
	{"another method with a large body", "POST /accounts/10000 HTTP/1.1\r\nHost: test\r\nContent-Length: 500000\r\n\r\n" + strings.Repeat("x", 500_000), 405, closed},
	{"a method in small letters", "get /accounts/10000 HTTP/1.1\r\nHost: test\r\n\r\n", 405, kept},
	{"a method that is none", "G(T /accounts/10000 HTTP/1.1\r\nHost: test\r\n\r\n", 400, closed},

	{"range", get10000 + "Range: bytes=0-4\r\n\r\n", 200, kept},
	{"range past the end", get10000 + "Range: bytes=900-\r\n\r\n", 200, kept},
	{"several ranges", get10000 + "Range: bytes=0-0,2-2,-1\r\n\r\n", 200, kept},
	{"condition", get10000 + "If-None-Match: *\r\n\r\n", 200, kept},
	{"100-continue", get10000 + "Expect: 100-continue\r\nContent-Length: 5\r\n\r\nhello", 200, closed},
	{"another expectation", get10000 + "Expect: more\r\n\r\n", 417, closed},

	{"a body", get10000 + "Content-Length: 5\r\n\r\nhello", 200, kept},
	{"the same length twice", get10000 + "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", 200, kept},
	{"two lengths", get10000 + "Content-Length: 5\r\nContent-Length: 0\r\n\r\nhello", 400, closed},
	{"two lengths in one field", get10000 + "Content-Length: 5, 0\r\n\r\nhello", 400, closed},
	{"a length with a sign", get10000 + "Content-Length: +5\r\n\r\nhello", 400, closed},
	{"a length below 0", get10000 + "Content-Length: -5\r\n\r\nhello", 400, closed},
	{"Transfer-Encoding on the next line", get10000 + "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n", 200, closed},
	{"chunks that are none", get10000 + "Transfer-Encoding: chunked\r\n\r\nzz\r\n\r\n", 200, closed},
	{"Transfer-Encoding twice", get10000 + "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n", 501, closed},
	{"two Transfer-Encodings", get10000 + "Transfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n", 501, closed},
	{"unknown Transfer-Encoding", get10000 + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 501, closed},
	{"space after the name", get10000 + "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 400, closed},
	{"vertical tab before the value", get10000 + "Transfer-Encoding: \vchunked\r\n\r\n0\r\n\r\n", 400, closed},
	{"space before the first name", "GET /accounts/10000 HTTP/1.1\r\n Transfer-Encoding: chunked\r\nHost: test\r\n\r\n", 400, closed},
	{"CR in a value", get10000 + "X: a\rContent-Length: 5\r\n\r\n", 400, closed},
	{"NUL in a value", get10000 + "X: a\x00b\r\n\r\n", 400, closed},
	{"a line without a colon", get10000 + "nonsense\r\n\r\n", 400, closed},
	{"LF only", "GET /accounts/10000 HTTP/1.1\nHost: test\n\n", 200, kept},
	{"an empty line before it", "\r\n" + get10000 + "\r\n", 400, closed},
}

// get10000 is a request without its end.
const get10000 = "GET /accounts/10000 HTTP/1.1\r\nHost: test\r\n"

func TestRequestForms(t *testing.T) {
	Convey("Given a service", t, func() {
		p := serving("-db", newPath(t))
		netHTTPs := []int{400, 417, 431, 501, 505}

		for _, form := range forms {
			end := map[bool]string{kept: "kept for the next request", closed: "closed"}[form.closed]
			Convey(fmt.Sprintf("When a request comes with %s, the answer is %d, and the connection is %s", form.name, form.status, end), func() {
				conn := dial("127.0.0.1:" + p.port(publicPort))
				// It fails if the service closes the connection before it has read all.
				_, _ = io.WriteString(conn, form.request+"GET /version HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
				answers := bufio.NewReader(conn)
				response, err := http.ReadResponse(answers, nil)
				So(err, ShouldBeNil)
				body, err := io.ReadAll(response.Body)
				So(err, ShouldBeNil)

				So(response.StatusCode, ShouldEqual, form.status)
				So(response.Close, ShouldEqual, form.closed)
				if form.status == http.StatusOK {
					So(string(body), ShouldEqual, person0)
				}
				if slices.Contains(netHTTPs, form.status) {
					So(response.Header.Get("X-Content-Type-Options"), ShouldBeEmpty)
					if form.status == http.StatusExpectationFailed {
						So(body, ShouldBeEmpty)
					} else {
						So(response.Header.Get("Content-Type"), ShouldStartWith, "text/plain")
					}
				} else {
					So(response.Header.Get("X-Content-Type-Options"), ShouldEqual, "nosniff")
				}
				if form.closed {
					_, err := answers.ReadByte()
					So(err, ShouldNotBeNil) // Another answer would be for something that is no request.
				} else {
					readOK(answers)
				}
			})
		}

		Convey("Then its description lists the statuses with which net/http itself answers", func() {
			So(mustGet(p.url("/openapi.yaml")).body, ShouldContainSubstring, "net/http itself answers, with 400, 417, 431, 501 or 505.")
			for _, status := range netHTTPs {
				So(slices.ContainsFunc(forms, func(f form) bool { return f.status == status }), ShouldBeTrue)
			}
		})
	})
}
