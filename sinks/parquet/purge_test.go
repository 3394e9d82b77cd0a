package parquet

import (
	"errors"
	"io/fs"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/pipeline"
)

// TestPurgeRemovesThePipelinesTables and nothing besides: another pipeline's tables, and
// what somebody else put beside its own, stay.
func TestPurgeRemovesThePipelinesTables(t *testing.T) {
	mem := vfs.NewMem()
	sink := testSink(t, mem, testConfig("lake"))
	for _, name := range []string{"orders", "other"} {
		if err := sink.KeepStatus(t.Context(), name, []pipeline.TableFreshness{}); err != nil {
			t.Fatal(err)
		}
	}
	put := func(name string) {
		t.Helper()
		if err := vfs.MkdirAllSync(mem, name[:strings.LastIndex(name, "/")]); err != nil {
			t.Fatal(err)
		}
		if err := vfs.WriteFileAtomic(mem, name, []byte(time.Now().String())); err != nil {
			t.Fatal(err)
		}
	}
	put("lake/orders/shop.a/changes/_delta_log/0.json")
	put("lake/orders/shop.a/views/duckdb.sql")
	put("lake/orders/shop.b/current/1.parquet")
	put("lake/orders/notes/mine.txt")
	removed, err := sink.Purge(t.Context(), "orders")
	if err != nil || len(removed) != 3 {
		t.Fatalf("removed %v, %v", removed, err)
	}
	for name, stays := range map[string]bool{"lake/orders/shop.a": false, "lake/orders/shop.b": false, "lake/orders/_status": false,
		"lake/orders/notes/mine.txt": true, "lake/other/_status": true} {
		if _, err := mem.Stat(name); errors.Is(err, fs.ErrNotExist) == stays {
			t.Errorf("%s: %v", name, err)
		}
	}
	if removed, err := sink.Purge(t.Context(), "orders"); err != nil || len(removed) != 0 {
		t.Errorf("again: %v, %v", removed, err)
	}
	if removed, err := sink.Purge(t.Context(), "nobody"); err != nil || len(removed) != 0 {
		t.Errorf("of nobody: %v, %v", removed, err)
	}
}
