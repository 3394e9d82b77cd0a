package lake

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/millrace/millrace/internal/metric"
)

// Metrics are the sink's figures, by pipeline, sink and table.
type Metrics struct {
	Rows, Bytes, Files, Merges, MergedRows *prometheus.CounterVec
	Flush, Merge                           *prometheus.HistogramVec
	Unmerged, Lag                          *prometheus.GaugeVec
}

// NewMetrics registers them with reg, which may be nil.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	labels := []string{"pipeline", "sink", "table"}
	counter := func(name, help string) *prometheus.CounterVec {
		return metric.Register(reg, prometheus.NewCounterVec(prometheus.CounterOpts{Name: "millrace_sink_" + name, Help: help}, labels))
	}
	gauge := func(name, help string) *prometheus.GaugeVec {
		return metric.Register(reg, prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "millrace_sink_" + name, Help: help}, labels))
	}
	seconds := func(name, help string) *prometheus.HistogramVec {
		return metric.Register(reg, prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "millrace_sink_" + name, Help: help, Buckets: prometheus.ExponentialBuckets(0.001, 4, 9)}, labels))
	}
	return &Metrics{
		Rows:       counter("rows_total", "Rows committed to the target."),
		Bytes:      counter("bytes_total", "Bytes of data files committed to the target."),
		Files:      counter("files_total", "Data files committed to the target."),
		Merges:     counter("current_merges_total", "Merges into the table of current rows."),
		MergedRows: counter("current_merged_rows_total", "Changes merged into the table of current rows."),
		Flush:      seconds("flush_seconds", "Time from the beginning of a flush to its durable commit."),
		Merge:      seconds("current_merge_seconds", "Time of a merge into the table of current rows."),
		Unmerged:   gauge("current_unmerged_files", "Committed data files that the table of current rows does not show yet."),
		Lag:        gauge("lag_seconds", "Age, at its commit to the target, of the newest source change in the last flush."),
	}
}

// Forget drops the figures of a table.
func (m *Metrics) Forget(labels ...string) {
	for _, v := range []*prometheus.CounterVec{m.Rows, m.Bytes, m.Files, m.Merges, m.MergedRows} {
		v.DeleteLabelValues(labels...)
	}
	for _, v := range []*prometheus.HistogramVec{m.Flush, m.Merge} {
		v.DeleteLabelValues(labels...)
	}
	for _, v := range []*prometheus.GaugeVec{m.Unmerged, m.Lag} {
		v.DeleteLabelValues(labels...)
	}
}
