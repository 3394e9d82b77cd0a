package parquet

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/sinks/parquet/current"
)

// TestAnotherProgramsFilesAreLeftToIt: a program that packs current/ writes its files first
// and commits them later. Only what nobody but the sink can have written goes soon.
func TestAnotherProgramsFilesAreLeftToIt(t *testing.T) {
	w := oneQueue(t, 30)
	cfg := testConfig(t.TempDir())
	cfg.Current.Interval = current.Interval(time.Nanosecond)
	cfg.Keep.Removed = 0
	sink := testSink(t, vfs.OS(), cfg)
	d := delivererTo(t, w, sink, 5)
	must[int](t)(0, d.write(0, 20))
	must[int](t)(0, d.flush())
	must[int](t)(0, d.table.current.MergeNow())
	must[int](t)(0, d.write(0, 1000))
	must[int](t)(0, d.flush())
	dir := d.table.Dir + "/current"
	files := map[string]bool{ // and whether it stays
		"part-00000-8b8df3b6-43f2-4a6c-9a43-cf77d1d0c3f1-c000.zstd.parquet": true,
		"part.tmp":            true,
		"5-1-1.parquet":       true,
		"2-3-4-other.parquet": true,
		"6-1-9-b0.parquet":    true, // a higher generation's
		"_side-6-1-9.bin":     true,
		"_delta_log/_commit_8b8df3b6-43f2-4a6c-9a43-cf77d1d0c3f1.json.tmp": true,
		"5-1-9-b01.parquet": false,
		"4-1-9-b.parquet":   false,
		"_side-4-1-9.bin":   false,
		".8b8df3b6-43f2-4a6c-9a43-cf77d1d0c3f1-7.tmp": false,
	}
	put := func(age time.Duration) {
		t.Helper()
		for f := range files {
			name := filepath.Join(dir, f)
			must[int](t)(0, os.WriteFile(name, []byte("rows"), 0o600))
			must[int](t)(0, os.Chtimes(name, time.Now().Add(-age), time.Now().Add(-age)))
		}
	}
	put(2 * time.Hour)
	must[int](t)(0, d.table.current.MergeNow())
	for f, stays := range files {
		if _, err := os.Stat(filepath.Join(dir, f)); (err == nil) != stays {
			t.Errorf("%s: %v", f, err)
		}
	}
	put(25 * time.Hour) // abandoned
	must[int](t)(0, d.table.current.MakeAnew(t.Context()))
	must[int](t)(0, d.table.current.MergeNow())
	for f := range files {
		if _, err := os.Stat(filepath.Join(dir, f)); err == nil {
			t.Errorf("%s is there after a day", f)
		}
	}

	status := filepath.Join(cfg.Path, "p", statusDir)
	for n := range 2*statusEvery + 1 {
		if n == 1 {
			must[int](t)(0, os.WriteFile(filepath.Join(status, "part-1.parquet"), nil, 0o600))
			must[int](t)(0, os.Chtimes(filepath.Join(status, "part-1.parquet"), time.Now().Add(-time.Hour), time.Now().Add(-time.Hour)))
		}
		must[int](t)(0, sink.KeepStatus(t.Context(), "p", []pipeline.TableFreshness{{Table: tableName, State: pipeline.StateRunning}}))
	}
	if _, err := os.Stat(filepath.Join(status, "part-1.parquet")); err != nil {
		t.Error(err)
	}
}
