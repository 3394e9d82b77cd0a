package parquet

import (
	"fmt"
	"path"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/sinks/delta"
	"github.com/millrace/millrace/sinks/objects"
)

// TestStatusIsATableOfItsOwn writes it for a long time: it has one row a table, those of the
// newest writing, and what went before does not stay.
func TestStatusIsATableOfItsOwn(t *testing.T) {
	mem, clock := vfs.NewMem(), time.Now()
	sink := testSink(t, mem, testConfig("lake"))
	sink.Now = func() time.Time { return clock }
	at := time.Date(2026, 8, 21, 12, 0, 0, 0, time.UTC)
	for n := range 100 {
		clock = clock.Add(30 * time.Second)
		must[int](t)(0, sink.KeepStatus(t.Context(), "my pipe", []pipeline.TableFreshness{
			{Table: event.TableName{DB: "shop", Table: "orders"}, CompleteTo: at.Add(time.Duration(n) * time.Second), VerifiedThrough: at, State: pipeline.StateRunning},
			{Table: event.TableName{DB: "shop", Table: "a"}, State: pipeline.StatePaused},
		}))
	}
	dir := path.Join("lake", "my-20pipe", "_status")
	rows := readTable(t, mem, dir)
	if len(rows) != 2 || rows[0]["table"] != "shop.a" || rows[0]["state"] != "paused" || rows[1]["table"] != "shop.orders" {
		t.Fatalf("%v", rows)
	}
	if _, ok := rows[0]["complete_to"]; ok || rows[1]["complete_to"] == "" || rows[1]["verified_through"] == "" || rows[1]["at"] == "" {
		t.Errorf("%v", rows)
	}
	log := must[*delta.Log](t)(delta.Open(t.Context(), objects.NewLocal(mem, path.Dir(dir)), path.Base(dir)))
	if snap := log.Snapshot(); snap.Version != 99 || snap.Checkpoint < 80 {
		t.Errorf("version %d, checkpoint %d", snap.Version, snap.Checkpoint)
	}
	files := 0
	for _, f := range must[[]string](t)(mem.ReadDir(dir)) {
		if path.Ext(f) == ".parquet" {
			files++
		}
	}
	if files > 45 { // ten minutes, and what came since the vacuum
		t.Errorf("%s has %d files", fmt.Sprint(dir), files)
	}
}
