package parquet

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/vfs"
)

// A file of current/ that cannot be read any more is said, and current/ is made anew from
// changes/. One of changes/ is said with the remedy, for as long as it lasts.
func TestADamagedFileIsSaidAndCurrentMadeAnew(t *testing.T) {
	w, mem := newWorld(t, 5, 2, false), vfs.NewMem()
	d := delivererTo(t, w, twinSink(t, mem), 1)
	step := func() {
		t.Helper()
		w.insert()
		w.update()
		for q := range w.queues {
			must[int](t)(0, d.write(q, len(w.queues[q])))
		}
		must[int](t)(0, d.flush())
		_ = d.table.current.MergeNow() // what Trouble says
	}
	truncate := func(name string, size int64) {
		t.Helper()
		f := must[vfs.File](t)(mem.OpenReadWrite(name))
		defer f.Close()
		must[int](t)(0, f.Truncate(size))
	}
	for range 5 {
		step()
	}
	current := path.Join(d.table.Dir, "current")
	for _, size := range []int64{9, 400} {
		files := liveFiles(t, mem, current)
		for _, f := range files {
			truncate(path.Join(current, f), size)
		}
		for range 20 { // until a change falls into one of them
			if step(); d.table.Trouble() != "" {
				break
			}
		}
		if said := d.table.Trouble(); !strings.Contains(said, current) || !strings.Contains(said, "damaged") {
			t.Errorf("%d bytes are left: %q", size, said)
		}
		step()
		if said := d.table.Trouble(); said != "" {
			t.Errorf("made anew: %s", said)
		}
		if got, want := shown(t, mem, d.table.Dir, w.schema), w.view(d.flushed); !slices.Equal(got, want) {
			t.Errorf("current/ shows %v, not %v", got, want)
		}
	}

	w.insert()
	for q := range w.queues {
		must[int](t)(0, d.write(q, len(w.queues[q])))
	}
	must[int](t)(0, d.flush())
	changes := d.table.Dir + "/changes"
	before := slices.Clone(d.table.current.Waiting())
	for _, f := range before {
		truncate(path.Join(changes, f.Path), 9)
	}
	for range 2 {
		_ = d.table.current.MergeNow() // what Trouble says
		if said := d.table.Trouble(); !strings.Contains(said, changes) || !strings.Contains(said, "bring the file back") {
			t.Errorf("%q", said)
		}
	}
	must[int](t)(0, d.table.Close())
}

// A log with a hole is named with the remedy, and the remedy works.
func TestALogWithAHoleNamesTheRemedy(t *testing.T) {
	for _, part := range []string{"current", "changes"} {
		w, mem := newWorld(t, 6, 1, false), vfs.NewMem()
		sink := twinSink(t, mem)
		d := delivererTo(t, w, sink, 1)
		for range 4 {
			w.insert()
			must[int](t)(0, d.write(0, len(w.queues[0])))
			must[int](t)(0, d.flush())
			must[int](t)(0, d.table.current.MergeNow())
		}
		snap := d.table.changes.Log().Snapshot()
		if part == "current" {
			snap = d.table.current.Log().Snapshot()
		}
		if snap.Checkpoint >= snap.Version-1 {
			t.Fatalf("a checkpoint at %d of %d leaves no room for a hole", snap.Checkpoint, snap.Version)
		}
		hole := fmt.Sprintf("%020d.json", snap.Version-1)
		must[int](t)(0, d.table.Close())
		must[int](t)(0, mem.Remove(path.Join(d.table.Dir, part, "_delta_log", hole)))
		_, err := sink.OpenTable(t.Context(), claim(w.schemas, 2))
		if err == nil || !strings.Contains(err.Error(), hole) || !strings.Contains(err.Error(), "remove the directory "+d.table.Dir) {
			t.Errorf("%s: %v", part, err)
		}
		if part == "changes" {
			continue // what the broker and the source have comes again
		}
		must[int](t)(0, vfs.RemoveTree(mem, path.Join(d.table.Dir, part)))
		d.table = open(t, sink, claim(w.schemas, 3))
		must[int](t)(0, d.table.current.MergeNow())
		if got, want := shown(t, mem, d.table.Dir, w.schema), w.view(d.flushed); !slices.Equal(got, want) {
			t.Errorf("current/ shows %v, not %v", got, want)
		}
		must[int](t)(0, d.table.Close())
	}
}
