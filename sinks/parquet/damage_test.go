package parquet

import (
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
	d := owner(t, w, twinSink(t, mem), 1)
	step := func() {
		t.Helper()
		w.insert()
		w.update()
		for q := range w.queues {
			must[int](t)(0, d.write(q, len(w.queues[q])))
		}
		must[int](t)(0, d.flush())
		_ = d.table.current.mergeNow() // what Trouble says
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
	current := path.Join(d.table.dir, "current")
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
		if got, want := shown(t, mem, d.table.dir, w.schema), w.view(d.flushed); !slices.Equal(got, want) {
			t.Errorf("current/ shows %v, not %v", got, want)
		}
	}

	w.insert()
	for q := range w.queues {
		must[int](t)(0, d.write(q, len(w.queues[q])))
	}
	must[int](t)(0, d.flush())
	changes := d.table.changes.Table()
	before := slices.Clone(d.table.current.files)
	for _, f := range before {
		truncate(path.Join(changes, f.Path), 9)
	}
	for range 2 {
		_ = d.table.current.mergeNow() // what Trouble says
		if said := d.table.Trouble(); !strings.Contains(said, changes) || !strings.Contains(said, "bring the file back") {
			t.Errorf("%q", said)
		}
	}
	must[int](t)(0, d.table.Close())
}
