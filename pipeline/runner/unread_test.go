package runner_test

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/millrace/millrace/pipeline"
)

// TestASinkSaysThatTheBrokerIsAway takes the broker away from a pipeline that has nothing
// to do: its sinks say so with the cause, and their lag counts, until it is back.
func TestASinkSaysThatTheBrokerIsAway(t *testing.T) {
	r := newRig(t)
	r.start()
	r.equal()
	r.streaming()
	reg := prometheus.NewPedanticRegistry()
	if err := reg.Register(r.daemon.Collector()); err != nil {
		t.Fatal(err)
	}
	one := func() pipeline.SinkSummary { return r.table(r.orders).Sinks[0] }
	r.waitFor("running", func() bool { return one().State == pipeline.StateRunning && one().LagSecs == 0 })

	r.cluster.Down()
	r.waitFor("the sink's word", func() bool { return one().State == pipeline.StateRetrying })
	first := one()
	if !strings.Contains(first.Reason, "can't be read: ") || first.LagSecs <= 0 || first.LastErr != first.Reason {
		t.Errorf("while the broker is away: %+v", first)
	}
	r.waitFor("more lag", func() bool { return one().LagSecs > first.LagSecs })
	for name, ok := range map[string]func(float64) bool{
		"millrace_sink_table_lag_seconds{pipeline=orders sink=check table=shop.orders} GAUGE": func(v float64) bool { return v > first.LagSecs },
		"millrace_sink_table_waiting{pipeline=orders sink=check table=shop.orders} GAUGE":     func(v float64) bool { return v == 1 },
		"millrace_pipeline_lag_seconds{pipeline=orders} GAUGE":                                func(v float64) bool { return v > first.LagSecs },
	} {
		if v := gather(t, reg)[name]; !ok(v) {
			t.Errorf("%s is %v", name, v)
		}
	}

	r.cluster.Up()
	r.waitFor("running again", func() bool { s := one(); return s.State == pipeline.StateRunning && s.Reason == "" && s.LagSecs == 0 })
	r.script.Commit(r.orders.Put(2, "behind it"))
	r.equal()
	r.waitFor("nothing behind", func() bool { return one().Behind == 0 && one().LagSecs == 0 })
}
