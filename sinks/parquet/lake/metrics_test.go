package lake

import (
	"reflect"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// TestAForgottenTableHasNoFigures: none of those that are counted by its name stays, and no
// other table loses one.
func TestAForgottenTableHasNoFigures(t *testing.T) {
	reg := prometheus.NewRegistry()
	m := NewMetrics(reg)
	v := reflect.ValueOf(*m)
	for _, table := range []string{"shop.a", "shop.b"} {
		for i := range v.NumField() {
			switch f := v.Field(i).Interface().(type) {
			case *prometheus.CounterVec:
				f.WithLabelValues("p", "lake", table).Inc()
			case *prometheus.GaugeVec:
				f.WithLabelValues("p", "lake", table).Inc()
			case *prometheus.HistogramVec:
				f.WithLabelValues("p", "lake", table).Observe(1)
			}
		}
	}
	m.Forget("p", "lake", "shop.a")
	families, err := reg.Gather()
	if err != nil || len(families) != v.NumField() {
		t.Fatalf("%d families of %d figures, %v", len(families), v.NumField(), err)
	}
	for _, f := range families {
		if n := len(f.GetMetric()); n != 1 {
			t.Errorf("%s has %d series", f.GetName(), n)
		}
	}
}
