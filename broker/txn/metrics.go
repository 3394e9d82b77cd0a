package txn

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics have RocketMQ's names where it has them; its latency is in milliseconds.
type metrics struct {
	commits, rollbacks prometheus.Counter
	checks, givenUp    prometheus.Counter
	opLost             prometheus.Counter
	latency            prometheus.Histogram
}

func newMetrics(s *Service, reg prometheus.Registerer) *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	m := &metrics{
		commits:   counter("rocketmq_commit_messages_total", "Half messages that were committed."),
		rollbacks: counter("rocketmq_rollback_messages_total", "Half messages that were rolled back."),
		checks:    counter("millrace_transaction_checks_total", "Check-backs that were sent."),
		givenUp:   counter("millrace_transaction_given_up_total", "Half messages of ordinary producers that nobody decided in time."),
		opLost:    counter("millrace_transaction_op_lost_total", "Operation records that could not be written; a restart writes them."),
		latency: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "rocketmq_finish_message_latency",
			Help:    "Milliseconds from an END to its durable outcome.",
			Buckets: []float64{1, 2, 5, 10, 20, 50, 100, 1000, 10000},
		}),
	}
	if reg == nil {
		return m
	}
	halves := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "rocketmq_half_messages", Help: "Half messages that are not decided.",
	}, func() float64 {
		s.mu.Lock()
		defer s.mu.Unlock()
		return float64(s.index.count)
	})
	reg.MustRegister(m.commits, m.rollbacks, m.checks, m.givenUp, m.opLost, m.latency, halves)
	return m
}

// decided counts one half.
func (m *metrics) decided(p phase, took time.Duration) {
	if p == committed {
		m.commits.Inc()
	} else {
		m.rollbacks.Inc()
	}
	m.latency.Observe(float64(took) / float64(time.Millisecond))
}
