package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
)

// TestWhatStatusPrints holds the words of the table.
func TestWhatStatusPrints(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	total := uint64(60000)
	long := strings.Repeat("a reason that goes on ", 10) + "and ends"
	p := pipeline.Status{Name: "erp", State: pipeline.StateRunning, Position: pipeline.PositionStatus{File: "binlog.000001", Pos: 2484446},
		CompleteTo: pipeline.Complete{Source: now, Broker: now.Add(-time.Second)},
		Tables: []pipeline.TableStatus{
			{Name: "erp.clients", State: pipeline.StateDropped, Code: event.PauseDropped, Snapshot: 100, Reason: "the source has it no longer"},
			{Name: "erp.legacy", State: pipeline.StatePaused, Code: event.PauseCharset, Snapshot: 100, Reason: long,
				Sinks: []pipeline.SinkSummary{{Sink: "lake", State: pipeline.StateRunning, CompleteTo: pipeline.Complete{Target: now.Add(-time.Hour), Current: now.Add(-2 * time.Hour)}}}},
			{Name: "erp.orders", State: pipeline.StateSnapshot, Snapshot: 12, Sinks: []pipeline.SinkSummary{{Sink: "lake", State: pipeline.StateRunning, Total: &total}}},
		}}
	p.Age(now)
	var out bytes.Buffer
	if err := printStatus(&out, []pipeline.Status{p}, false); err != nil {
		t.Fatal(err)
	}
	want := `erp  running  lag: source 0.0s, broker 1.0s, changes unknown, current unknown  at binlog.000001:2484446
  TABLE        AT SOURCE         SNAPSHOT  SINK  IN TARGET  ROWS     BUFFERED  CHANGES LAG  CURRENT LAG  VERIFIED  REASON
  erp.clients  dropped           -         -     -          -        -         -            -            -         the source has it no longer
  erp.legacy   paused (charset)  100%      lake  running    unknown  0         3600.0s      7200.0s      off       a reason that goes on a reason that goes on a reason that g…
  erp.orders   snapshot          12%       lake  running    60000    0         no data yet  no data yet  off       
`
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
	out.Reset()
	if err := printStatus(&out, []pipeline.Status{p}, true); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "\n  erp.legacy in lake: "+long+"\n") {
		t.Errorf("with a name the reason is cut:\n%s", out.String())
	}
	out.Reset()
	paused := pipeline.Status{Name: "erp", State: pipeline.StatePaused, Code: event.PauseRequest, Reason: event.Requested().String()}
	if err := printStatus(&out, []pipeline.Status{paused}, false); err != nil || strings.Contains(out.String(), "at :0") {
		t.Errorf("%v:\n%s", err, out.String())
	}
}

// TestLagText: there is no data yet only where nothing is in the target.
func TestLagText(t *testing.T) {
	table := pipeline.TableStatus{Snapshot: 12}
	for _, c := range []struct {
		lag   pipeline.Seconds
		there bool
		want  string
	}{
		{pipeline.KnownSeconds(3), true, "3.0s"},
		{pipeline.Seconds{}, false, "no data yet"},
		{pipeline.Seconds{}, true, "unknown"}, // of current/, before its first merge and under another snapshot
	} {
		if got := lagText(&table, c.lag, c.there); got != c.want {
			t.Errorf("%v: %q, want %q", c, got, c.want)
		}
	}
}

func TestTheDaemonsAddressComesFromTheEnvironment(t *testing.T) {
	t.Setenv("MILLRACE_DAEMON", "127.0.0.1:2")
	if out, status := execute(t, "pipeline", "status"); status != exitEnvironment || !strings.Contains(out, "127.0.0.1:2") {
		t.Errorf("status %d: %s", status, out)
	}
}
