package runner

import (
	"math"

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

	states    = prometheus.NewDesc("millrace_pipeline_state", "1 for the state that the pipeline is in, 0 for every other.", []string{"pipeline", "state"}, nil)
	connected = prometheus.NewDesc("millrace_source_connected", "1 when the source answers, 0 when it is away, frozen or refuses.", []string{"pipeline"}, nil)
	lag       = prometheus.NewDesc("millrace_pipeline_lag_seconds", "Source time now minus the source time up to which a part is complete, of the table that is furthest behind; NaN when that is not known.", []string{"pipeline", "part"}, nil)
	failures  = prometheus.NewDesc("millrace_pipeline_errors_total", "Openings of the source that ended with an error.", []string{"pipeline"}, nil)
	rows      = prometheus.NewDesc("millrace_table_rows_total", "Rows handed over by the source since it was opened.", tableLabels, nil)
	snapshot  = prometheus.NewDesc("millrace_table_snapshot_percent", "Progress of the table's attempt.", tableLabels, nil)
	stands    = prometheus.NewDesc("millrace_table_paused", "1 when the table stands still.", tableLabels, nil)
	sinkRows  = prometheus.NewDesc("millrace_sink_table_rows_total", "Rows made visible in the target since the process started.", sinkLabels, nil)
	sinkLag   = prometheus.NewDesc("millrace_sink_table_lag_seconds", "Source time now minus the source time up to which the target table is complete, for readers of its change log (target) and of the table as it is (current); NaN when that is not known.", append(sinkLabels, "part"), nil)
	behind    = prometheus.NewDesc("millrace_sink_table_behind_messages", "Messages between the reader and the ends of its queues.", sinkLabels, nil)
	aside     = prometheus.NewDesc("millrace_sink_dead_letters", "Changes that are put aside because the target can't hold them.", sinkLabels, nil)
	asideSize = prometheus.NewDesc("millrace_sink_dead_letter_bytes", "Bytes that they take of dead_letter.bytes.", sinkLabels, nil)
	sinkStand = prometheus.NewDesc("millrace_sink_table_waiting", "1 when the target table is not being written, for whatever reason.", sinkLabels, nil)
)

// Describe implements prometheus.Collector.
func (c Collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{states, connected, lag, failures, rows, snapshot, stands, sinkRows, sinkLag, behind, sinkStand, aside, asideSize} {
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
		for _, info := range pipeline.States() {
			if info.Of&pipeline.OfPipeline != 0 {
				gauge(states, truth(info.State == p.State), p.Name, string(info.State))
			}
		}
		gauge(connected, truth(p.Source.Connected), p.Name)
		for _, part := range []struct {
			name string
			lag  pipeline.Seconds
		}{{"source", p.Lag.Source}, {"broker", p.Lag.Broker}, {"target", p.Lag.Target}, {"current", p.Lag.Current}} {
			gauge(lag, seconds(part.lag), p.Name, part.name)
		}
		count(failures, float64(p.Errors), p.Name)
		for _, t := range p.Tables {
			count(rows, float64(t.Rows), p.Name, t.Name)
			gauge(snapshot, t.Snapshot, p.Name, t.Name)
			gauge(stands, truth(t.State == pipeline.StatePaused), p.Name, t.Name)
			for _, s := range t.Sinks {
				count(sinkRows, float64(s.Rows), p.Name, t.Name, s.Sink)
				gauge(sinkLag, seconds(s.Lag.Target), p.Name, t.Name, s.Sink, "target")
				gauge(sinkLag, seconds(s.Lag.Current), p.Name, t.Name, s.Sink, "current")
				gauge(behind, float64(s.Behind), p.Name, t.Name, s.Sink)
				if a := s.PutAside; a != nil {
					gauge(aside, float64(a.Rows), p.Name, t.Name, s.Sink)
					gauge(asideSize, float64(a.Bytes), p.Name, t.Name, s.Sink)
				}
				gauge(sinkStand, truth(!s.State.Flows()), p.Name, t.Name, s.Sink)
			}
		}
	}
}

// seconds is NaN when they are not known: no alert takes it for little.
func seconds(s pipeline.Seconds) float64 {
	if v, known := s.Value(); known {
		return v
	}
	return math.NaN()
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
