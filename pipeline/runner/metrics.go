package runner

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/millrace/millrace/pipeline"
)

// Collector turns the runner's statuses into metrics at every scrape, so that there is
// one source of both.
type Collector struct{ runner *Runner }

// Collector is the runner's metrics.
func (r *Runner) Collector() Collector { return Collector{r} }

var (
	tableLabels = []string{"pipeline", "table"}
	sinkLabels  = []string{"pipeline", "table", "sink"}

	up        = prometheus.NewDesc("millrace_pipeline_up", "1 when the pipeline is running.", []string{"pipeline", "state"}, nil)
	lag       = prometheus.NewDesc("millrace_pipeline_lag_seconds", "Source clock minus commit time of the last transaction that went through.", []string{"pipeline"}, nil)
	failures  = prometheus.NewDesc("millrace_pipeline_errors_total", "Openings of the source that ended with an error.", []string{"pipeline"}, nil)
	rows      = prometheus.NewDesc("millrace_table_rows_total", "Rows handed over by the source since it was opened.", tableLabels, nil)
	snapshot  = prometheus.NewDesc("millrace_table_snapshot_percent", "Progress of the table's attempt.", tableLabels, nil)
	stands    = prometheus.NewDesc("millrace_table_paused", "1 when the table stands still.", tableLabels, nil)
	sinkRows  = prometheus.NewDesc("millrace_sink_table_rows_total", "Rows made visible in the target since the process started.", sinkLabels, nil)
	sinkLag   = prometheus.NewDesc("millrace_sink_table_lag_seconds", "Age of the oldest row that is on its way to the target; while its queues can't be read, at least the time since they could be.", sinkLabels, nil)
	behind    = prometheus.NewDesc("millrace_sink_table_behind_messages", "Messages between the reader and the ends of its queues.", sinkLabels, nil)
	sinkStand = prometheus.NewDesc("millrace_sink_table_waiting", "1 when the target table is not being written, for whatever reason.", sinkLabels, nil)
)

// Describe implements prometheus.Collector.
func (c Collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{up, lag, failures, rows, snapshot, stands, sinkRows, sinkLag, behind, sinkStand} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c Collector) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	count := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v, labels...)
	}
	for _, p := range c.runner.Statuses() {
		gauge(up, truth(p.State == pipeline.StateRunning), p.Name, string(p.State))
		gauge(lag, p.LagSecs, p.Name)
		count(failures, float64(p.Errors), p.Name)
		for _, t := range p.Tables {
			count(rows, float64(t.Rows), p.Name, t.Name)
			gauge(snapshot, t.Snapshot, p.Name, t.Name)
			gauge(stands, truth(t.State == pipeline.StatePaused), p.Name, t.Name)
			for _, s := range t.Sinks {
				count(sinkRows, float64(s.Rows), p.Name, t.Name, s.Sink)
				gauge(sinkLag, s.LagSecs, p.Name, t.Name, s.Sink)
				gauge(behind, float64(s.Behind), p.Name, t.Name, s.Sink)
				gauge(sinkStand, truth(s.State != pipeline.StateRunning), p.Name, t.Name, s.Sink)
			}
		}
	}
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
