package clickhouse

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/millrace/millrace/internal/metric"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/sinks/clickhouse/column"
)

// metrics are the sink's figures, by pipeline, sink and table. Those that every sink has are
// named and described as there.
type metrics struct {
	rows, bytes, blocks, values, removed, sweeping, heldBack, found *prometheus.CounterVec
	flush                                                           *prometheus.HistogramVec
	lag, deleted, unsettled                                         *prometheus.GaugeVec
}

func newMetrics(reg prometheus.Registerer) *metrics {
	labels := []string{"pipeline", "sink", "table"}
	counter := func(name, help string, more ...string) *prometheus.CounterVec {
		return metric.Register(reg, prometheus.NewCounterVec(prometheus.CounterOpts{Name: "millrace_sink_" + name, Help: help},
			append(labels[:3:3], more...)))
	}
	return &metrics{
		rows:   counter("rows_total", "Rows committed to the target."),
		bytes:  counter("bytes_total", "Bytes of data files committed to the target."),
		blocks: counter("blocks_total", "Blocks inserted into the target."),
		values: counter("values_changed_total", "Values that their column of the target can't hold, by what became of them.", "column",
			"became"),
		removed: counter("deleted_rows_removed_total", "Marks of deleted rows that were removed from the target's disk."),
		sweeping: counter("clean_up_seconds_total", "Time that the removal of deleted rows took at the target, to the minute in "+
			"which its end was seen."),
		heldBack: counter("held_back_seconds_total", "Time that rows waited because the target had too many parts."),
		found: counter("rows_found_total", "Rows that must be there once, and were in the target although no insert of "+
			"them was acknowledged."),
		unsettled: metric.Register(reg, prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "millrace_sink_sums_unsettled",
			Help: "1 while the sums of a table of signs are not known to be what the view shows."}, labels)),
		deleted: metric.Register(reg, prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "millrace_sink_deleted_rows",
			Help: "Marks of deleted rows on the target's disk that can be removed, as counted last."}, labels)),
		flush: metric.Register(reg, prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "millrace_sink_flush_seconds",
			Help: "Time from the beginning of a flush to its durable commit.", Buckets: prometheus.ExponentialBuckets(0.001, 4, 9)}, labels)),
		lag: metric.Register(reg, prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "millrace_sink_lag_seconds",
			Help: "Age, at its commit to the target, of the newest source change in the last flush."}, labels)),
	}
}

func (t *Table) labels() []string {
	return []string{t.claim.Pipeline, t.claim.Sink, t.claim.Table.String()}
}

// changed counts a value that its column can't hold.
func (t *Table) changed(name string, c column.Changed) {
	became := map[column.Changed]string{column.Clamped: "clamped", column.Nulled: "null", column.Zeroed: "zero"}[c]
	t.sink.metrics.values.WithLabelValues(append(t.labels(), name, became)...).Inc()
}

func (t *Table) observe(start time.Time, out pipeline.Flushed) {
	m, l, now := t.sink.metrics, t.labels(), t.sink.now()
	m.rows.WithLabelValues(l...).Add(float64(out.Rows))
	m.bytes.WithLabelValues(l...).Add(float64(out.Bytes))
	m.blocks.WithLabelValues(l...).Add(float64(out.Files))
	m.flush.WithLabelValues(l...).Observe(now.Sub(start).Seconds())
	if newest := t.batch.newest; !newest.IsZero() && !newest.After(now.Add(time.Minute)) {
		m.lag.WithLabelValues(l...).Set(now.Sub(newest).Seconds())
	}
}

// forget drops the figures of a table.
func (m *metrics) forget(of prometheus.Labels) {
	for _, v := range []*prometheus.CounterVec{m.rows, m.bytes, m.blocks, m.values, m.removed, m.sweeping, m.heldBack, m.found} {
		v.DeletePartialMatch(of)
	}
	m.flush.DeletePartialMatch(of)
	m.lag.DeletePartialMatch(of)
	m.deleted.DeletePartialMatch(of)
	m.unsettled.DeletePartialMatch(of)
}

// Forget implements pipeline.Forgetter.
func (s *Sink) Forget(pipelineName, sink string, table event.TableName) {
	s.metrics.forget(prometheus.Labels{"pipeline": pipelineName, "sink": sink, "table": table.String()})
}

var _ pipeline.Forgetter = (*Sink)(nil)
