package mysql

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics of one source.
type metrics struct {
	transactions prometheus.Counter
	rows         prometheus.Counter
	snapshotRows prometheus.Counter
	chunks       *prometheus.CounterVec
	reconnects   prometheus.Counter
	unmappable   *prometheus.CounterVec
	held, xaOpen prometheus.Gauge
	audits       prometheus.Counter
	differences  *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		transactions: prometheus.NewCounter(prometheus.CounterOpts{Name: "millrace_source_transactions_total",
			Help: "Transactions read from the server's log, of every table."}),
		rows: prometheus.NewCounter(prometheus.CounterOpts{Name: "millrace_source_items_total",
			Help: "Items handed over: rows, ends of transactions, marks."}),
		snapshotRows: prometheus.NewCounter(prometheus.CounterOpts{Name: "millrace_source_snapshot_rows_total",
			Help: "Rows handed over from snapshots."}),
		chunks: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "millrace_source_chunks_total",
			Help: "Chunks of snapshots by outcome."}, []string{"outcome"}),
		reconnects: prometheus.NewCounter(prometheus.CounterOpts{Name: "millrace_source_reconnects_total",
			Help: "Connections to the server's log that were lost and made again."}),
		unmappable: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "millrace_source_unmappable_characters_total",
			Help: "Bytes of text without a character in their character set, handed over as U+FFFD; rows that are read again count again."},
			[]string{"table"}),
		held: prometheus.NewGauge(prometheus.GaugeOpts{Name: "millrace_source_held_bytes",
			Help: "Bytes of transactions that wait, in memory and files, until it is known how they end."}),
		xaOpen: prometheus.NewGauge(prometheus.GaugeOpts{Name: "millrace_source_xa_open",
			Help: "XA transactions that are prepared in the log and not decided."}),
		audits: prometheus.NewCounter(prometheus.CounterOpts{Name: "millrace_source_definition_audits_total",
			Help: "Comparisons of tracked definitions with the server's own that came to a result."}),
		differences: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "millrace_source_definition_differences_total",
			Help: "Definitions that differed from the server's own; each makes an attempt due."}, []string{"table"}),
	}
	if reg == nil {
		return m, nil
	}
	var errs []error
	for _, c := range []prometheus.Collector{m.transactions, m.rows, m.snapshotRows, m.chunks, m.reconnects, m.unmappable, m.held, m.xaOpen,
		m.audits, m.differences} {
		errs = append(errs, reg.Register(c))
	}
	return m, errors.Join(errs...)
}

// forget drops what is counted by the name of a table that is gone.
func (m *metrics) forget(table string) {
	m.unmappable.DeleteLabelValues(table)
	m.differences.DeleteLabelValues(table)
}
