package northbound

import (
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/flowtap/flowtap/store"
)

// metrics are the HTTP layer's own; the controller registers its own elsewhere.
type metrics struct {
	requests *prometheus.CounterVec   // by route, method, code
	duration *prometheus.HistogramVec // by route, method; seconds; without watches
	watchers prometheus.Gauge
	refused  *prometheus.CounterVec // by reason
}

// newMetrics registers with reg and panics when reg holds them already: two servers must not
// share a registry.
func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "flowtap_http_requests_total",
			Help: "Requests answered, by route template, method and status code.",
		}, []string{"route", "method", "code"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "flowtap_http_request_duration_seconds",
			Help:    "Time from a request's header to the end of its answer; ?wait counts, ?watch does not.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2, 16), // 0.5 ms to 16 s
		}, []string{"route", "method"}),
		watchers: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "flowtap_http_watchers",
			Help: "Streams of ?watch=true that are open.",
		}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "flowtap_http_refused_total",
			Help: "Requests refused before any object was looked at: none (no login), unknown, expired, limited (too many failed logins), role.",
		}, []string{"reason"}),
	}
	reg.MustRegister(m.requests, m.duration, m.watchers, m.refused)
	return m
}

// recorder remembers what was answered. Unwrap lets http.ResponseController reach the connection.
type recorder struct {
	http.ResponseWriter
	route  string // the template; "unmatched" until a route matches
	status int    // zero until the header is written
	stream bool   // a watch, whose duration says nothing
	// staleness is of what the answer was made of; nil where it cannot be stale.
	staleness *store.Staleness
}

// sayStale adds to an answer from the copy in memory how old it may be (RFC 7234 §5.5.1).
func (r *recorder) sayStale() {
	if r.staleness == nil {
		return
	}
	if age, revision, stale := r.staleness.Stale(); stale {
		h := r.Header()
		h.Set("Warning", `110 - "Response is Stale"`)
		h.Set("FlowTap-Stale", strconv.Itoa(int(math.Ceil(age.Seconds()))))
		h.Set("FlowTap-Revision", strconv.FormatInt(revision, 10))
	}
}

func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
		r.sayStale()
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(b []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
		r.sayStale()
	}
	return r.ResponseWriter.Write(b)
}

// observe counts one answered request.
func (m *metrics) observe(rec *recorder, method string, took time.Duration) {
	method = knownMethod(method)
	m.requests.WithLabelValues(rec.route, method, strconv.Itoa(rec.status)).Inc()
	if !rec.stream {
		m.duration.WithLabelValues(rec.route, method).Observe(took.Seconds())
	}
}

// knownMethod keeps a client from making label values up.
func knownMethod(m string) string {
	switch m {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodDelete,
		http.MethodPatch, http.MethodOptions:
		return m
	}
	return "other"
}
