package clickhouse

import (
	"reflect"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/millrace/millrace/pipeline/event"
)

// TestAForgottenTableHasNoFigures: none of those that are counted by its name stays, and no
// other table loses one.
func TestAForgottenTableHasNoFigures(t *testing.T) {
	reg := prometheus.NewRegistry()
	s := &Sink{metrics: newMetrics(reg)}
	m := s.metrics
	for _, table := range []string{"shop.a", "shop.b"} {
		l := []string{"p", "olap", table}
		for _, c := range []*prometheus.CounterVec{m.rows, m.bytes, m.blocks, m.removed, m.sweeping, m.heldBack, m.found} {
			c.WithLabelValues(l...).Inc()
		}
		m.values.WithLabelValues(append(l, "price", "clamped")...).Inc()
		m.values.WithLabelValues(append(l, "day", "null")...).Inc()
		m.flush.WithLabelValues(l...).Observe(1)
		m.lag.WithLabelValues(l...).Set(1)
		m.deleted.WithLabelValues(l...).Set(1)
		m.unsettled.WithLabelValues(l...).Set(1)
	}
	s.Forget("p", "olap", event.TableName{DB: "shop", Table: "a"})
	families, err := reg.Gather()
	if want := reflect.TypeOf(*m).NumField(); err != nil || len(families) != want {
		t.Fatalf("%d families and not %d, %v", len(families), want, err)
	}
	for _, f := range families {
		for _, one := range f.GetMetric() {
			for _, l := range one.GetLabel() {
				if l.GetName() == "table" && l.GetValue() != "shop.b" {
					t.Errorf("%s of %s", f.GetName(), l.GetValue())
				}
			}
		}
	}
}
