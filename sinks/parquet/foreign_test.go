package parquet

import (
	"path"
	"slices"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/testenv"
	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/sinks/parquet/current"
)

const checkpointScript = `
import sys
from deltalake import DeltaTable
for p in sys.argv[1:]:
    DeltaTable(p).create_checkpoint()
`

// Another program may write a log checkpoint; ours is then read from it, facts and all.
func TestAForeignCheckpointIsRead(t *testing.T) {
	d := testenv.NewDeltalake(t)
	cfg := testConfig(t.TempDir())
	cfg.Current.Interval = current.Interval(time.Nanosecond)
	sink := testSink(t, vfs.OS(), cfg)
	w := newWorld(t, 11, 2, false)
	for range 60 {
		w.step()
	}
	w.settle()
	del := delivererTo(t, w, sink, 1)
	for range 4 {
		for q := range w.queues {
			must[int](t)(0, del.write(q, 8))
		}
		must[int](t)(0, del.flush())
		must[int](t)(0, del.table.current.MergeNow())
	}
	dir := del.table.Dir
	marks := del.table.Marks()
	must[int](t)(0, del.table.Close())
	if _, err := d.Run(t.Context(), checkpointScript, path.Join(dir, "changes"), path.Join(dir, "current")); err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"changes", "current"} { // the entries before it go
		for _, n := range must[[]string](t)(vfs.OS().ReadDir(path.Join(dir, part, "_delta_log"))) {
			if path.Ext(n) == ".json" {
				must[int](t)(0, vfs.OS().Remove(path.Join(dir, part, "_delta_log", n)))
			}
		}
	}
	del = delivererTo(t, w, sink, 2)
	if got := del.table.Marks(); !slices.Equal(got, marks) {
		t.Fatalf("marks %+v, not %+v", got, marks)
	}
	for q := range w.queues {
		must[int](t)(0, del.write(q, 1000))
	}
	must[int](t)(0, del.flush())
	must[int](t)(0, del.table.current.MergeNow())
	w.identities(vfs.OS(), dir, del.flushed)
	if got, want := shown(t, vfs.OS(), dir, w.schema), w.view(del.flushed); !slices.Equal(got, want) {
		t.Errorf("current/ shows %v, not %v", got, want)
	}
}
