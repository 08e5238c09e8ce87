package httpapi_test

import (
	"context"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	. "github.com/smartystreets/goconvey/convey"
)

// notDescribed are headers that a description of an API need not have.
var notDescribed = []string{"Connection", "Content-Length", "Content-Type", "Date"}

func TestDescription(t *testing.T) {
	Convey("Given a service and its description", t, func() {
		s := start(t)
		doc, err := openapi3.NewLoader().LoadFromData([]byte(get(s.public.URL + "/openapi.yaml").body))
		So(err, ShouldBeNil)
		So(doc.OpenAPI, ShouldEqual, "3.1.0")
		So(doc.Validate(context.Background()), ShouldBeNil)

		// is expects that an answer has exactly the headers and the body of a described response.
		is := func(got answer, response *openapi3.ResponseRef) {
			So(response, ShouldNotBeNil)
			headers := []string{}
			for name, header := range response.Value.Headers {
				headers = append(headers, name)
				So(header.Value.Required, ShouldBeTrue)
			}
			found := []string{}
			for name := range got.Header {
				if !slices.Contains(notDescribed, name) {
					found = append(found, name)
				}
			}
			slices.Sort(headers)
			slices.Sort(found)
			So(found, ShouldResemble, headers)
			if got.Request.Method == http.MethodHead || response.Value.Content == nil {
				So(got.body, ShouldBeEmpty)
			}
			// The library does not validate answers to HEAD, nor redirects. So it gets each answer
			// as a 200 to a GET.
			asked, err := http.NewRequest(http.MethodGet, got.Request.URL.String(), nil)
			So(err, ShouldBeNil)
			So(openapi3filter.ValidateResponse(context.Background(), &openapi3filter.ResponseValidationInput{
				RequestValidationInput: &openapi3filter.RequestValidationInput{Request: asked, Route: &routers.Route{
					Spec:      doc,
					Operation: &openapi3.Operation{Responses: openapi3.NewResponses(openapi3.WithStatus(http.StatusOK, response))},
				}},
				Status:  http.StatusOK,
				Header:  got.Header,
				Body:    io.NopCloser(strings.NewReader(got.body)),
				Options: &openapi3filter.Options{ExcludeResponseBody: got.Request.Method == http.MethodHead},
			}), ShouldBeNil)
		}

		Convey("Then it describes each route, and no other", func() {
			templates, paths := s.api.Templates(), append(doc.Paths.Keys(), "*") // OPTIONS * has no path.
			slices.Sort(templates)
			slices.Sort(paths)
			So(templates, ShouldResemble, paths)
		})

		Convey("Then it describes each answer, and no other", func() {
			described, given := []string{}, []string{}
			for path, item := range doc.Paths.Map() {
				for method, operation := range item.Operations() {
					for status := range operation.Responses.Map() {
						if status != "default" { // net/http itself gives it.
							described = append(described, method+" "+path+" "+status)
						}
					}
				}
			}
			ask := func(path, template string, status int) {
				for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodOptions} {
					got := send(method, s.public.URL+path)
					want := status
					if method == http.MethodOptions {
						want = http.StatusNoContent
					}
					So(got.StatusCode, ShouldEqual, want)
					given = append(given, method+" "+template+" "+strconv.Itoa(want))
					is(got, doc.Paths.Value(template).GetOperation(method).Responses.Status(want))
				}
			}
			ask("/accounts/10000", "/accounts/{id}", http.StatusOK)
			ask("/accounts/nobody", "/accounts/{id}", http.StatusNotFound)
			ask("/accounts/10000/?x=1", "/accounts/{id}/", http.StatusMovedPermanently)
			ask("/health", "/health", http.StatusOK)
			ask("/version", "/version", http.StatusOK)
			ask("/openapi.yaml", "/openapi.yaml", http.StatusOK)
			So(s.store.Close(), ShouldBeNil)
			ask("/accounts/10000", "/accounts/{id}", http.StatusInternalServerError)
			ask("/health", "/health", http.StatusServiceUnavailable)
			s.api.Drain()
			ask("/health", "/health", http.StatusServiceUnavailable)

			slices.Sort(described)
			slices.Sort(given)
			So(slices.Compact(given), ShouldResemble, described)
		})

		Convey("Then it describes the answers to other paths and other methods", func() {
			for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodPost} {
				for _, path := range []string{"/nothing", "/accounts/a%2Fb"} {
					got := send(method, s.public.URL+path)
					So(got.StatusCode, ShouldEqual, http.StatusNotFound)
					is(got, doc.Components.Responses["NoSuchPath"])
				}
			}
			for path := range doc.Paths.Map() {
				got := send(http.MethodPut, s.public.URL+strings.ReplaceAll(path, "{id}", "10000"))
				So(got.StatusCode, ShouldEqual, http.StatusMethodNotAllowed)
				is(got, doc.Components.Responses["MethodNotAllowed"])
			}
		})
	})
}
