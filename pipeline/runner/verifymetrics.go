package runner

import (
	"slices"

	"github.com/prometheus/client_golang/prometheus"
)

// SelfChecks turns what the self-checks of the running pipelines know into metrics.
type SelfChecks struct{ runner *Runner }

// SelfChecks is a collector beside Collector.
func (r *Runner) SelfChecks() SelfChecks { return SelfChecks{r} }

var (
	verifiedAt = prometheus.NewDesc("millrace_table_verified_timestamp_seconds",
		"Time up to which a whole pass found source and target equal; 0 is never.", sinkLabels, nil)
	verifyDifferences = prometheus.NewDesc("millrace_verify_differences",
		"Rows that the last look found to differ for certain.", sinkLabels, nil)
	verifyRepairs = prometheus.NewDesc("millrace_verify_repairs_total",
		"How often a table was read anew because it was found to differ.", sinkLabels, nil)
	verifyRows = prometheus.NewDesc("millrace_verify_rows_total",
		"Rows that the self-check has compared since the pipeline was started.", []string{"pipeline"}, nil)
)

// Describe implements prometheus.Collector.
func (c SelfChecks) Describe(ch chan<- *prometheus.Desc) {
	ch <- verifiedAt
	ch <- verifyDifferences
	ch <- verifyRepairs
	ch <- verifyRows
}

// Collect implements prometheus.Collector.
func (c SelfChecks) Collect(ch chan<- prometheus.Metric) {
	c.runner.mu.Lock()
	pipes := make([]*pipe, 0, len(c.runner.running))
	for _, one := range c.runner.running {
		pipes = append(pipes, one.pipe)
	}
	c.runner.mu.Unlock()
	for _, p := range pipes {
		if p.check != nil {
			p.collectVerified(ch)
		}
	}
}

func (p *pipe) collectVerified(ch chan<- prometheus.Metric) {
	p.mu.Lock()
	tables := slices.Clone(p.order)
	p.mu.Unlock()
	ch <- prometheus.MustNewConstMetric(verifyRows, prometheus.CounterValue, float64(p.check.Rows()), p.spec.Name)
	for _, s := range p.spec.Sinks {
		for _, t := range tables {
			v, through := p.check.Verified(s.Name, t), 0.0
			if !v.Through.IsZero() {
				through = float64(v.Through.UnixMicro()) / 1e6
			}
			ch <- prometheus.MustNewConstMetric(verifiedAt, prometheus.GaugeValue, through, p.spec.Name, t.String(), s.Name)
			ch <- prometheus.MustNewConstMetric(verifyDifferences, prometheus.GaugeValue, float64(v.Differences), p.spec.Name, t.String(), s.Name)
			ch <- prometheus.MustNewConstMetric(verifyRepairs, prometheus.CounterValue, float64(v.Repairs), p.spec.Name, t.String(), s.Name)
		}
	}
}
