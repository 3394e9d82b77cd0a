package writer

import "github.com/prometheus/client_golang/prometheus"

var pendingDesc = prometheus.NewDesc("millrace_writer_pending_bytes",
	"Bytes of half messages that a writer has not decided.", []string{"writer"}, nil)

// pendingGauge reads the pending bytes when it is asked.
type pendingGauge struct{ r *Registry }

func (g pendingGauge) Describe(ch chan<- *prometheus.Desc) { ch <- pendingDesc }

func (g pendingGauge) Collect(ch chan<- prometheus.Metric) {
	g.r.mu.Lock()
	defer g.r.mu.Unlock()
	for name, w := range g.r.writers {
		ch <- prometheus.MustNewConstMetric(pendingDesc, prometheus.GaugeValue, float64(w.pending), name)
	}
}
