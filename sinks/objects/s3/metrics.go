package s3

import (
	"io"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/millrace/millrace/internal/metric"
)

// metrics are of one bucket. Stores of one registry share them by the bucket's name.
type metrics struct {
	bucket         string
	requests       *prometheus.CounterVec
	seconds        *prometheus.HistogramVec
	sent, received prometheus.Counter
	retries        prometheus.Counter
}

func newMetrics(reg prometheus.Registerer, bucket string) *metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return metric.Register(reg, prometheus.NewCounterVec(prometheus.CounterOpts{Name: "millrace_s3_" + name, Help: help},
			append([]string{"bucket"}, labels...)))
	}
	return &metrics{
		bucket: bucket,
		requests: counter("requests_total", "Requests to the object store, each attempt for itself, by what was asked and how it was answered: "+
			"ok, absent (404), taken (412), conflict (409), throttled (429, 503), refused (any other 4xx), failed (any other 5xx), silent "+
			"(no answer).", "operation", "result"),
		seconds: metric.Register(reg, prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "millrace_s3_request_seconds",
			Help: "Time until the store's answer began, or until it was given up.", Buckets: prometheus.ExponentialBuckets(0.002, 3,
				10)}, []string{"bucket", "operation"})),
		sent:     counter("sent_bytes_total", "Bytes of bodies that were sent to the object store and answered.").WithLabelValues(bucket),
		received: counter("received_bytes_total", "Bytes of bodies that came from the object store.").WithLabelValues(bucket),
		retries: counter("retries_total", "Attempts at the object store behind the first, after one that failed, was throttled or was "+
			"not answered.").WithLabelValues(bucket),
	}
}

// operation is what a request asks for.
func operation(r *http.Request) string {
	q := r.URL.Query()
	switch {
	case r.Method == http.MethodPut && q.Has("partNumber"):
		return "part"
	case r.Method == http.MethodPut:
		return "put"
	case r.Method == http.MethodPost && q.Has("uploads"):
		return "begin_upload"
	case r.Method == http.MethodPost:
		return "complete_upload"
	case r.Method == http.MethodDelete && q.Has("uploadId"):
		return "abort_upload"
	case r.Method == http.MethodDelete:
		return "delete"
	case r.Method == http.MethodHead:
		return "head"
	case q.Has("uploads"):
		return "list_uploads"
	case q.Has("list-type"):
		return "list"
	}
	return "get"
}

// result is how a request was answered.
func result(resp *http.Response) string {
	switch {
	case resp == nil:
		return "silent"
	case resp.StatusCode < 400:
		return "ok"
	case resp.StatusCode == http.StatusNotFound:
		return "absent"
	case resp.StatusCode == http.StatusPreconditionFailed:
		return "taken"
	case resp.StatusCode == http.StatusConflict:
		return "conflict"
	case resp.StatusCode == http.StatusTooManyRequests, resp.StatusCode == http.StatusServiceUnavailable:
		return "throttled"
	case resp.StatusCode < 500:
		return "refused"
	}
	return "failed"
}

// count notes a request that began at a time, and has its answer's body counted while it is
// read.
func (m *metrics) count(r *http.Request, began time.Time, resp *http.Response) {
	op := operation(r)
	m.requests.WithLabelValues(m.bucket, op, result(resp)).Inc()
	m.seconds.WithLabelValues(m.bucket, op).Observe(time.Since(began).Seconds())
	if resp == nil {
		return
	}
	m.sent.Add(float64(max(0, r.ContentLength)))
	resp.Body = &counted{ReadCloser: resp.Body, received: m.received}
}

// counted is an answer's body.
type counted struct {
	io.ReadCloser
	received prometheus.Counter
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.received.Add(float64(n))
	return n, err
}
