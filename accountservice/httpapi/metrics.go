package httpapi

import (
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// Metrics has the metrics of requests and of the process, for Prometheus.
type Metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	failures *prometheus.CounterVec
}

// Build names the build of the service.
type Build struct {
	Version   string `json:"version"`
	Commit    string `json:"commit"`
	GoVersion string `json:"goVersion"`
}

// NewMetrics returns the metrics of this process.
func NewMetrics(b Build) *Metrics {
	labels := []string{"route", "method", "status"}
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "http_requests_total",
			Help: "Requests answered, by route template, method and status class.",
		}, labels),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "http_request_duration_seconds",
			Help:    "Time from the request's header to the end of its handler, in seconds.",
			Buckets: []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1},
		}, labels),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "account_read_failures_total",
			Help: "Requests for an account that could not be read, by cause.",
		}, []string{"cause"}),
	}
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name:        "accountservice_build_info",
		Help:        "Always 1. The labels name the build.",
		ConstLabels: prometheus.Labels{"version": b.Version, "commit": b.Commit, "goversion": b.GoVersion},
	})
	build.Set(1)
	m.registry.MustRegister(m.requests, m.duration, m.failures, build,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Counter adds a metric whose value only grows. Each scrape calls value.
func (m *Metrics) Counter(name, help string, value func() int) {
	m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help},
		func() float64 { return float64(value()) }))
}

// Gauge adds a metric whose value may also fall. Each scrape calls value.
func (m *Metrics) Gauge(name, help string, value func() int) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help},
		func() float64 { return float64(value()) }))
}

// methods are the values of the method label. All other methods count as "other". Otherwise
// a client could make any number of time series, with methods that it invents.
var methods = [...]string{http.MethodGet, http.MethodHead, "other"}

// statusClasses are the values of the status label, by their first digit.
var statusClasses = [...]string{1: "1xx", 2: "2xx", 3: "3xx", 4: "4xx", 5: "5xx"}

// series has the metrics for one combination of labels. The first request looks them up.
type series struct {
	once     sync.Once
	requests prometheus.Counter
	duration prometheus.Observer
}

// route returns a function that counts one answered request for the route of a template.
func (m *Metrics) route(template string) func(method string, status int, took time.Duration) {
	var all [len(methods)][len(statusClasses)]series
	return func(method string, status int, took time.Duration) {
		i := 0
		for i < len(methods)-1 && methods[i] != method {
			i++
		}
		class := status / 100
		s := &all[i][class]
		s.once.Do(func() {
			s.requests = m.requests.WithLabelValues(template, methods[i], statusClasses[class])
			s.duration = m.duration.WithLabelValues(template, methods[i], statusClasses[class])
		})
		s.requests.Inc()
		s.duration.Observe(took.Seconds())
	}
}
