package parquet

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the sink's figures, by pipeline, sink and table.
type metrics struct {
	rows, bytes, files, merges, mergedRows *prometheus.CounterVec
	flush, merge                           *prometheus.HistogramVec
	unmerged, lag                          *prometheus.GaugeVec
}

func newMetrics(reg prometheus.Registerer) *metrics {
	labels := []string{"pipeline", "sink", "table"}
	counter := func(name, help string) *prometheus.CounterVec {
		return register(reg, prometheus.NewCounterVec(prometheus.CounterOpts{Name: "millrace_sink_" + name, Help: help}, labels))
	}
	gauge := func(name, help string) *prometheus.GaugeVec {
		return register(reg, prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "millrace_sink_" + name, Help: help}, labels))
	}
	seconds := func(name, help string) *prometheus.HistogramVec {
		return register(reg, prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "millrace_sink_" + name, Help: help, Buckets: prometheus.ExponentialBuckets(0.001, 4, 9)}, labels))
	}
	return &metrics{
		rows:       counter("rows_total", "Rows committed to the target."),
		bytes:      counter("bytes_total", "Bytes of data files committed to the target."),
		files:      counter("files_total", "Data files committed to the target."),
		merges:     counter("current_merges_total", "Merges into the table of current rows."),
		mergedRows: counter("current_merged_rows_total", "Changes merged into the table of current rows."),
		flush:      seconds("flush_seconds", "Time from the beginning of a flush to its durable commit."),
		merge:      seconds("current_merge_seconds", "Time of a merge into the table of current rows."),
		unmerged:   gauge("current_unmerged_files", "Committed data files that the table of current rows does not show yet."),
		lag:        gauge("lag_seconds", "Age, at its commit to the target, of the newest source change in the last flush."),
	}
}

// register registers c, or returns the one that another sink of the process registered.
func register[C prometheus.Collector](reg prometheus.Registerer, c C) C {
	if reg == nil {
		return c
	}
	var taken prometheus.AlreadyRegisteredError
	if err := reg.Register(c); errors.As(err, &taken) {
		if old, ok := taken.ExistingCollector.(C); ok {
			return old
		}
	}
	return c
}
