package broker

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/millrace/millrace/remoting/rpc"
)

var (
	descConnections = prometheus.NewDesc("millrace_remoting_connections", "Connections of clients that are open.", nil, nil)
	descUnsent      = prometheus.NewDesc("millrace_remoting_unsent_bytes",
		"Answers that wait until their clients read, over all connections.", nil, nil)
	descRefusedAnswers = prometheus.NewDesc("millrace_remoting_refused_answers_total",
		"Answers replaced by SYSTEM_BUSY because clients do not read.", nil, nil)
	descRefusedConnections = prometheus.NewDesc("millrace_remoting_refused_connections_total",
		"Connections turned away at the limit.", nil, nil)
	descWaiting = prometheus.NewDesc("millrace_store_undeliverable_delayed_messages",
		"Delayed messages that RocketMQ left in the store, when it was opened; this broker delivers none of them.", []string{"kind"}, nil)
)

// remotingMetrics tells how the broker's server stands to its bounds.
type remotingMetrics struct{ server *rpc.Server }

func (m remotingMetrics) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(m, ch) }

func (m remotingMetrics) Collect(ch chan<- prometheus.Metric) {
	s := m.server.Stats()
	ch <- prometheus.MustNewConstMetric(descConnections, prometheus.GaugeValue, float64(s.Connections))
	ch <- prometheus.MustNewConstMetric(descUnsent, prometheus.GaugeValue, float64(s.UnsentBytes))
	ch <- prometheus.MustNewConstMetric(descRefusedAnswers, prometheus.CounterValue, float64(s.RefusedAnswers))
	ch <- prometheus.MustNewConstMetric(descRefusedConnections, prometheus.CounterValue, float64(s.RefusedConnections))
}

// waitingMetrics tells what an imported store holds that nobody will get.
type waitingMetrics struct{ w waiting }

func (m waitingMetrics) Describe(ch chan<- *prometheus.Desc) { ch <- descWaiting }

func (m waitingMetrics) Collect(ch chan<- prometheus.Metric) {
	ch <- prometheus.MustNewConstMetric(descWaiting, prometheus.GaugeValue, float64(m.w.levels), "level")
	ch <- prometheus.MustNewConstMetric(descWaiting, prometheus.GaugeValue, float64(m.w.timers), "timer")
}
