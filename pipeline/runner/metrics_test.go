package runner_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/httpapi"
)

// TestMetrics holds the names and labels that dashboards rely on.
func TestMetrics(t *testing.T) {
	r := newRig(t)
	r.start()
	r.equal()
	r.streaming()
	reg := prometheus.NewPedanticRegistry()
	if err := reg.Register(r.daemon.Collector()); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"millrace_pipeline_errors_total{pipeline=orders} COUNTER",
		"millrace_pipeline_lag_seconds{part=broker pipeline=orders} GAUGE",
		"millrace_pipeline_lag_seconds{part=current pipeline=orders} GAUGE",
		"millrace_pipeline_lag_seconds{part=source pipeline=orders} GAUGE",
		"millrace_pipeline_lag_seconds{part=target pipeline=orders} GAUGE",
		"millrace_sink_table_behind_messages{pipeline=orders sink=check table=shop.items} GAUGE",
		"millrace_sink_table_lag_seconds{part=current pipeline=orders sink=check table=shop.items} GAUGE",
		"millrace_sink_table_lag_seconds{part=target pipeline=orders sink=check table=shop.items} GAUGE",
		sinkRows,
		"millrace_sink_table_waiting{pipeline=orders sink=check table=shop.items} GAUGE",
		"millrace_source_connected{pipeline=orders} GAUGE",
		tablePaused,
		"millrace_table_rows_total{pipeline=orders table=shop.items} COUNTER",
		"millrace_table_snapshot_percent{pipeline=orders table=shop.items} GAUGE",
	}
	for _, s := range pipeline.States() {
		if s.Of&pipeline.OfPipeline != 0 {
			want = append(want, stateOf(s.State))
		}
	}
	values := gather(t, reg)
	for _, w := range want {
		if _, ok := values[w]; !ok {
			t.Errorf("no %s", w)
		}
	}
	for name := range values {
		other := strings.Contains(name, "shop.orders")
		if !other && !slices.Contains(want, name) {
			t.Errorf("%s is not in the list", name)
		}
	}
	if values[stateOf(pipeline.StateRunning)] != 1 || values[stateOf(pipeline.StatePaused)] != 0 || values[want[10]] != 1 {
		t.Errorf("of a pipeline that runs: %v", values)
	}
	r.waitFor("the rows in the metrics", func() bool { return gather(t, reg)[sinkRows] == 1 })

	r.do("shop.items", httpapi.Pause)
	r.waitFor("the pause in the metrics", func() bool { return gather(t, reg)[tablePaused] == 1 })
	before := gather(t, reg)
	r.do("", httpapi.Pause)
	after := gather(t, reg)
	if after[stateOf(pipeline.StateRunning)] != 0 || after[stateOf(pipeline.StatePaused)] != 1 {
		t.Errorf("of a paused pipeline: %v", after)
	}
	for name := range before {
		if _, ok := after[name]; !ok {
			t.Errorf("%s has vanished with the pause", name)
		}
	}
}

const (
	sinkRows    = "millrace_sink_table_rows_total{pipeline=orders sink=check table=shop.items} COUNTER"
	tablePaused = "millrace_table_paused{pipeline=orders table=shop.items} GAUGE"
)

func stateOf(s pipeline.State) string {
	return "millrace_pipeline_state{pipeline=orders state=" + string(s) + "} GAUGE"
}

func gather(t *testing.T, reg *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetName()+"="+l.GetValue())
			}
			values[fmt.Sprintf("%s{%s} %s", f.GetName(), strings.Join(labels, " "), f.GetType())] = m.GetGauge().GetValue() +
				m.GetCounter().GetValue()
		}
	}
	return values
}
