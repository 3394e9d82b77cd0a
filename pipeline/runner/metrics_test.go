package runner_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

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
		"millrace_pipeline_lag_seconds{pipeline=orders} GAUGE",
		"millrace_pipeline_up{pipeline=orders state=running} GAUGE",
		"millrace_sink_table_behind_messages{pipeline=orders sink=check table=shop.items} GAUGE",
		"millrace_sink_table_lag_seconds{pipeline=orders sink=check table=shop.items} GAUGE",
		"millrace_sink_table_rows_total{pipeline=orders sink=check table=shop.items} COUNTER",
		"millrace_sink_table_waiting{pipeline=orders sink=check table=shop.items} GAUGE",
		"millrace_table_paused{pipeline=orders table=shop.items} GAUGE",
		"millrace_table_rows_total{pipeline=orders table=shop.items} COUNTER",
		"millrace_table_snapshot_percent{pipeline=orders table=shop.items} GAUGE",
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
	if v := values[want[2]]; v != 1 {
		t.Errorf("up is %v", v)
	}
	r.waitFor("the rows in the metrics", func() bool { return gather(t, reg)[want[5]] == 1 })

	r.do("shop.items", httpapi.Pause)
	r.waitFor("the pause in the metrics", func() bool { return gather(t, reg)[want[7]] == 1 })
	r.do("", httpapi.Pause)
	if v, ok := gather(t, reg)["millrace_pipeline_up{pipeline=orders state=paused} GAUGE"]; !ok || v != 0 {
		t.Errorf("up of a paused pipeline: %v, %v", v, ok)
	}
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
			values[fmt.Sprintf("%s{%s} %s", f.GetName(), strings.Join(labels, " "), f.GetType())] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	return values
}
