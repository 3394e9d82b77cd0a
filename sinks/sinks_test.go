package sinks

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/testenv"
	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/pipeline/spec"
	"github.com/millrace/millrace/sinks/parquet"
)

// complete is what a pipeline file must say of a sink, by type.
func complete(t *testing.T) map[string]string {
	o, err := testenv.ClickHouse(t).Options()
	if err != nil {
		t.Fatal(err)
	}
	server := fmt.Sprintf("address: [%q], control_database: %q", o.Addr[0], o.Auth.Database)
	if o.Auth.Username != "" {
		server += fmt.Sprintf(", user: %q, password: %q", o.Auth.Username, o.Auth.Password)
	}
	return map[string]string{"parquet": "path: lake", "clickhouse": server}
}

// parse reads a pipeline file with one sink.
func parse(sink string) (*spec.Pipeline, error) {
	source := spec.Kind{Default: func() any { return &struct{}{} }, Check: func(any) []spec.Finding { return nil }}
	kinds := spec.Kinds{Sources: map[string]spec.Kind{"none": source}, Sinks: Kinds()}
	text := "version: 1\nname: orders\nsource: {type: none}\nsinks:\n  - {name: lake, " + sink + "}\n"
	return spec.Parse("orders.yaml", []byte(text), kinds, func(string) (string, bool) { return "", false })
}

func TestEverySinkCanBeMadeFromItsDefaults(t *testing.T) {
	complete := complete(t)
	for name, typ := range Types() {
		if f := typ.Check(typ.Default()); len(f) == 0 || f[0].Key == "" {
			t.Errorf("%s: defaults say nothing of where the target is, and what is wrong is %+v", name, f)
		}
		p, err := parse("type: " + name + ", " + complete[name])
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		s, err := New(name, p.Sinks[0].Config, Deps{FS: vfs.NewMem()})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if problems, err := s.Preflight(t.Context()); err != nil || len(problems) > 0 {
			t.Errorf("%s: %v %v", name, problems, err)
		}
		r, err := Readback(p, p.Sinks[0])
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := r.Close(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := New("nosuch", nil, Deps{}); err == nil {
		t.Error("a sink of no type was made")
	}
	if _, err := Readback(&spec.Pipeline{}, spec.Sink{Name: "lake", Component: spec.Component{Type: "nosuch"}}); err == nil {
		t.Error("a sink of no type can be read back")
	}
}

func TestThePipelineFileIsUnderstood(t *testing.T) {
	const sink = "type: parquet, path: ./lake, flush: {rows: 10}, current: {interval: %s}, keep: {removed: 1m}"
	for value, want := range map[string]time.Duration{"off": 0, "1m": time.Minute} {
		p, err := parse(fmt.Sprintf(sink, value))
		if err != nil {
			t.Fatalf("%s: %v", value, err)
		}
		if got := time.Duration(p.Sinks[0].Config.(*parquet.Config).Current.Interval); got != want {
			t.Errorf("%s: %v", value, got)
		}
	}
	if _, err := parse(fmt.Sprintf(sink, "often")); err == nil || !strings.Contains(err.Error(), "orders.yaml:5") {
		t.Errorf("a wrong interval: %v", err)
	}
	for _, flush := range []string{"rows: 2000000", "bytes: 1GiB", "rows: 0"} {
		key, _, _ := strings.Cut(flush, ":")
		_, err := parse("type: clickhouse, address: [ch1:9000], flush: {" + flush + "}")
		if err == nil || !strings.Contains(err.Error(), "sinks[0].flush") || !strings.Contains(err.Error(), key) {
			t.Errorf("a block that no server takes in one piece (%s): %v", flush, err)
		}
	}
	if _, err := parse("type: parquet, path: ./lake, flush: {rows: 2000000, bytes: 1GiB}"); err != nil {
		t.Errorf("a lake has no bound: %v", err)
	}
	if _, err := parse("type: parquet, path: ./lake, keep: {removed_times: -1}"); err == nil ||
		!strings.Contains(err.Error(), "sinks[0].keep.removed_times: ") {
		t.Errorf("a wrong key: %v", err)
	}
}
