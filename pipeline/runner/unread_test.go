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
	r.waitFor("running", func() bool { return one().State == pipeline.StateRunning && one().Lag.Target.Below(60) })

	r.cluster.Down()
	r.waitFor("the sink's word", func() bool { return one().State == pipeline.StateRetrying })
	first := one()
	if !strings.Contains(first.Reason, "can't be read: ") || seconds(first.Lag.Target) < 0 || first.LastErr != first.Reason {
		t.Errorf("while the broker is away: %+v", first)
	}
	r.waitFor("more lag", func() bool { return seconds(one().Lag.Target) > seconds(first.Lag.Target)+3 })
	for name, ok := range map[string]func(float64) bool{
		"millrace_sink_table_lag_seconds{part=target pipeline=orders sink=check table=shop.orders} GAUGE": func(v float64) bool { return v > 3 },
		"millrace_sink_table_waiting{pipeline=orders sink=check table=shop.orders} GAUGE":                 func(v float64) bool { return v == 1 },
		"millrace_pipeline_lag_seconds{part=target pipeline=orders} GAUGE":                                func(v float64) bool { return v > 3 },
	} {
		if v := gather(t, reg)[name]; !ok(v) {
			t.Errorf("%s is %v", name, v)
		}
	}

	r.cluster.Up()
	r.waitFor("running again", func() bool { s := one(); return s.State == pipeline.StateRunning && s.Reason == "" })
	r.script.Commit(r.orders.Put(2, "behind it"))
	r.equal()
	r.waitFor("nothing behind", func() bool { return one().Behind == 0 && one().Lag.Target.Below(60) })
}

// seconds are those of a lag, -1 when it is not known.
func seconds(s pipeline.Seconds) float64 {
	if v, known := s.Value(); known {
		return v
	}
	return -1
}
