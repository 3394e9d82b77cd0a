package runner

import (
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
)

// TestWhyALagIsNotKnown goes through every state of a pipeline, a table and a target table,
// and holds the reason to a list in the order in which they count.
func TestWhyALagIsNotKnown(t *testing.T) {
	type facts struct {
		p, table, sink pipeline.State
		code           event.PauseCode
		opened, whole  bool
	}
	order := []struct {
		is   func(facts) bool
		text string
	}{
		{func(f facts) bool {
			return !f.opened && (f.sink == pipeline.StateStarting || f.sink == pipeline.StateRunning)
		}, "the target is not open yet"},
		{func(f facts) bool { return !f.opened }, "the target was not opened yet: of the sink"},
		{func(f facts) bool { return f.table == pipeline.StateDropped }, "the source has it no longer, and"},
		{func(f facts) bool { return f.table == pipeline.StateExcluded }, "the pipeline file leaves it out, and"},
		{func(f facts) bool { return f.table == pipeline.StateUnnoticed }, "nothing of it is taken, and"},
		{func(f facts) bool { return f.code != "" }, "it is paused (charset), and"},
		{func(f facts) bool { return f.p != pipeline.StateRunning }, "the pipeline is STATE (of the pipeline), and"},
		{func(f facts) bool { return f.sink == pipeline.StateStarting }, "the target is starting, and"},
		{func(f facts) bool { return f.sink != pipeline.StateRunning && f.sink != pipeline.StateBehind }, "the target is SINK (of the sink), and"},
		{func(f facts) bool { return f.table == pipeline.StateDue }, "its snapshot is due (of the table), and"},
		{func(f facts) bool { return f.table == pipeline.StateSnapshot }, "its snapshot is under way (of the table), and"},
		{func(f facts) bool { return !f.whole }, "it was never read as a whole, and what it held before is not in the target; `millrace pipeline snapshot erp erp.orders` reads it"},
		{func(facts) bool { return true }, "the target is not known to have all that the queues hold"},
	}
	seen := map[string]int{}
	check := func(f facts) {
		s := pipeline.SinkSummary{State: f.sink, Reason: "of the sink"}
		if f.sink == pipeline.StateStarting || f.sink == pipeline.StateRunning {
			s.Reason = ""
		}
		if f.opened {
			s.Generation = 3
		}
		p := pipeline.Status{Name: "erp", State: f.p, Reason: "of the pipeline"}
		table := pipeline.TableStatus{Name: "erp.orders", State: f.table, Code: f.code, Reason: "of the table"}
		got := lagUnknown(&p, &table, &s, !f.whole)
		for _, o := range order {
			if !o.is(f) {
				continue
			}
			seen[o.text]++
			want := strings.NewReplacer("STATE", string(f.p), "SINK", string(f.sink)).Replace(o.text)
			rest, ok := strings.CutPrefix(got, want)
			if lacks := " the target does not have it as a whole"; strings.HasSuffix(want, "and") && (rest == lacks) == f.whole {
				t.Errorf("%+v: %q", f, got)
			}
			if !ok {
				t.Errorf("%+v: %q, want %q", f, got, want)
			}
			break
		}
		s.CompleteTo.Target = time.Unix(1, 0)
		if got := lagUnknown(&p, &table, &s, !f.whole); got != "" {
			t.Errorf("%+v: it is known, and %q", f, got)
		}
	}
	of := func(who pipeline.Whose) (all []pipeline.State) {
		for _, info := range pipeline.States() {
			if info.Of&who != 0 {
				all = append(all, info.State)
			}
		}
		return all
	}
	for _, p := range of(pipeline.OfPipeline) {
		for _, table := range of(pipeline.OfTable) {
			for _, sink := range of(pipeline.OfSink) {
				for i := range 4 {
					f := facts{p: p, table: under(p, table), sink: sink, opened: i&1 != 0, whole: i&2 != 0}
					if table == pipeline.StatePaused {
						f.code = event.PauseCharset
					}
					check(f)
				}
			}
		}
	}
	for _, o := range order {
		if seen[o.text] == 0 {
			t.Errorf("no combination comes to %q", o.text)
		}
	}
}

// TestAPausedPipelineSaysWhyALagIsNotKnown: what a table stands for itself stays said.
func TestAPausedPipelineSaysWhyALagIsNotKnown(t *testing.T) {
	table := func(name string, state pipeline.State, code event.PauseCode, unknown string) pipeline.TableStatus {
		return pipeline.TableStatus{Name: name, State: state, Code: code, Sinks: []pipeline.SinkSummary{{Sink: "lake", LagUnknown: unknown}}}
	}
	s := paused(pipeline.Status{Tables: []pipeline.TableStatus{
		table("erp.a", pipeline.StateRunning, "", ""),
		table("erp.b", pipeline.StateSnapshot, "", "its snapshot is under way"),
		table("erp.c", pipeline.StatePaused, event.PauseCharset, "it is paused (charset)"),
	}})
	for i, want := range []string{"", "the pipeline was paused before", "it is paused (charset)"} {
		if got := s.Tables[i].Sinks[0].LagUnknown; !strings.HasPrefix(got, want) || want == "" && got != "" {
			t.Errorf("%s: %q, want %q", s.Tables[i].Name, got, want)
		}
	}
}
