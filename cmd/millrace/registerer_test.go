package main

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

func TestALaterSourceTakesTheFiguresOver(t *testing.T) {
	reg := prometheus.NewRegistry()
	for i := range 2 {
		r := replacing{prometheus.WrapRegistererWith(prometheus.Labels{"pipeline": "orders"}, reg)}
		g := prometheus.NewGauge(prometheus.GaugeOpts{Name: "millrace_test", Help: "A figure."})
		if err := r.Register(g); err != nil {
			t.Fatal(err)
		}
		g.Set(float64(i + 1))
	}
	got, err := reg.Gather()
	if err != nil || len(got) != 1 || got[0].GetMetric()[0].GetGauge().GetValue() != 2 {
		t.Errorf("%v, %v", got, err)
	}
}
