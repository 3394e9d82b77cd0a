package sinks

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/pipeline/spec"
	"github.com/millrace/millrace/sinks/parquet"
)

func TestEverySinkCanBeMadeFromItsDefaults(t *testing.T) {
	for name, typ := range Types() {
		cfg := typ.Default()
		if len(typ.Check(cfg)) == 0 {
			t.Errorf("%s: defaults without a path are said to be complete", name)
		}
		cfg.(*parquet.Config).Path = "lake"
		if f := typ.Check(cfg); len(f) > 0 {
			t.Errorf("%s: %+v", name, f)
		}
		s, err := New(name, cfg, Deps{FS: vfs.NewMem()})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if problems, err := s.Preflight(t.Context()); err != nil || len(problems) > 0 {
			t.Errorf("%s: %v %v", name, problems, err)
		}
	}
	if _, err := New("nosuch", nil, Deps{}); err == nil {
		t.Error("a sink of no type was made")
	}
}

func TestThePipelineFileIsUnderstood(t *testing.T) {
	source := spec.Kind{Default: func() any { return &struct{}{} }, Check: func(any) []spec.Finding { return nil }}
	kinds := spec.Kinds{Sources: map[string]spec.Kind{"none": source}, Sinks: Kinds()}
	text := "version: 1\nname: orders\nsource: {type: none}\nsinks:\n  - {name: lake, type: parquet, path: ./lake, flush: {rows: 10}, current: {interval: %s}, keep: {removed: 1m}}\n"
	for value, want := range map[string]time.Duration{"off": 0, "1m": time.Minute} {
		p, err := spec.Parse("orders.yaml", fmt.Appendf(nil, text, value), kinds, func(string) (string, bool) { return "", false })
		if err != nil {
			t.Fatalf("%s: %v", value, err)
		}
		if got := time.Duration(p.Sinks[0].Config.(*parquet.Config).Current.Interval); got != want {
			t.Errorf("%s: %v", value, got)
		}
	}
	if _, err := spec.Parse("orders.yaml", fmt.Appendf(nil, text, "often"), kinds, func(string) (string, bool) { return "", false }); err == nil || !strings.Contains(err.Error(), "orders.yaml:5") {
		t.Errorf("a wrong interval: %v", err)
	}
}
