package parquet

import (
	"context"
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/internal/vfs/errorfs"
	"github.com/millrace/millrace/sinks/delta"
	"github.com/millrace/millrace/sinks/objects"
	"github.com/millrace/millrace/sinks/parquet/lake"
)

// takeAway commits to current/ as another program does that deletes rows, or only says so.
func takeAway(t *testing.T, fsys vfs.FS, dir string, rows bool) {
	t.Helper()
	log := must[*delta.Log](t)(delta.Open(context.Background(), objects.NewLocal(fsys, path.Dir(dir)), path.Base(dir)))
	a := log.Snapshot().Files[log.Snapshot().Paths()[0]]
	actions := []delta.Action{{CommitInfo: map[string]any{"operation": "DELETE", "engineInfo": "another"}}}
	if rows {
		actions = append(actions, delta.Action{Remove: &delta.Remove{Path: a.Path, DeletionTimestamp: 1, DataChange: true}})
	} else {
		again := *a
		again.DataChange = false
		actions = append(actions, delta.Action{Add: &again})
	}
	must[int64](t)(log.Commit(context.Background(), actions))
}

// older makes the last merge one of an older version, which does not say where it is.
func older(t *testing.T, fsys vfs.FS, dir string) {
	t.Helper()
	log := must[*delta.Log](t)(delta.Open(context.Background(), objects.NewLocal(fsys, path.Dir(dir)), path.Base(dir)))
	var f map[string]any
	text := json.NewDecoder(strings.NewReader(log.Snapshot().Domains["millrace.merge"]))
	text.UseNumber()
	must[int](t)(0, text.Decode(&f))
	f["at"] = -1
	must[int64](t)(log.Commit(context.Background(), []delta.Action{{CommitInfo: map[string]any{"operation": "MERGE", "engineInfo": lake.Engine}}, lake.Fact("millrace.merge", f)}))
}

// forget takes away the log's entries, which a checkpoint stands for.
func forget(t *testing.T, fsys vfs.FS, dir string) {
	t.Helper()
	log := must[*delta.Log](t)(delta.Open(context.Background(), objects.NewLocal(fsys, path.Dir(dir)), path.Base(dir)))
	must[int](t)(0, log.Checkpoint(context.Background(), time.UnixMilli(0)))
	for _, n := range must[[]string](t)(fsys.ReadDir(path.Join(dir, delta.Dir))) {
		if strings.HasSuffix(n, ".json") {
			must[int](t)(0, fsys.Remove(path.Join(dir, delta.Dir, n)))
		}
	}
}

// TestWhatOthersChangedMeanwhileIsNoticed lets another program change rows of current/ while
// nobody has the table open, or between the opening's steps.
func TestWhatOthersChangedMeanwhileIsNoticed(t *testing.T) {
	type do func(t *testing.T, fsys vfs.FS, dir string)
	takes := func(t *testing.T, fsys vfs.FS, dir string) { takeAway(t, fsys, dir, true) }
	packs := func(t *testing.T, fsys vfs.FS, dir string) { takeAway(t, fsys, dir, false) }
	for name, c := range map[string]struct {
		before  []do
		during  do // before the opening commits its generation
		rebuild bool
	}{
		"nothing":                              {},
		"rows":                                 {before: []do{takes}, rebuild: true},
		"how they lie":                         {before: []do{packs}},
		"rows, which the log no longer tells":  {before: []do{takes, forget}, rebuild: true},
		"nothing, and the log is short":        {before: []do{forget}},
		"rows behind a merge of old":           {before: []do{older, takes}, rebuild: true},
		"nothing behind a merge of old":        {before: []do{older}},
		"a merge of old, and the log is short": {before: []do{older, forget}},
		"rows while it opens":                  {during: takes, rebuild: true},
	} {
		t.Run(name, func(t *testing.T) {
			w, mem := oneQueue(t, 30), vfs.NewMem()
			var dir string
			during := c.during
			armed := false
			sink := twinSink(t, errorfs.Wrap(mem, errorfs.Func(func(op errorfs.Op) errorfs.Action {
				if armed && op.Kind == errorfs.Link && strings.Contains(op.To, "current/_delta_log") {
					armed = false
					during(t, mem, dir)
				}
				return errorfs.Action{}
			})))
			d := delivererTo(t, w, sink, 1)
			dir = path.Join(d.table.Dir, "current")
			must[int](t)(0, d.write(0, 1000))
			must[int](t)(0, d.flush())
			must[int](t)(0, d.table.current.MergeNow())
			must[int](t)(0, d.table.Close())
			for _, do := range c.before {
				do(t, mem, dir)
			}
			armed = during != nil
			table := open(t, sink, claim(w.schemas, 2))
			if table.current.Anew() != c.rebuild {
				t.Errorf("it is made anew: %v", table.current.Anew())
			}
			must[int](t)(0, table.current.MergeNow())
			if got, want := shown(t, mem, table.Dir, w.schema), w.view(d.flushed); !slices.Equal(got, want) {
				t.Errorf("current/ shows %v, not %v", got, want)
			}
			must[int](t)(0, table.Close())
			if table = open(t, sink, claim(w.schemas, 3)); table.current.Anew() {
				t.Error("it is made anew once more")
			}
		})
	}
}

// TestWhatOthersChangedBeforeAReopeningIsNoticed: after a merge whose outcome is unknown the
// log is read anew, and what another program did between is in it.
func TestWhatOthersChangedBeforeAReopeningIsNoticed(t *testing.T) {
	w, mem := oneQueue(t, 30), vfs.NewMem()
	var dir string
	fault := fmt.Errorf("the disk went away")
	armed := false
	sink := twinSink(t, errorfs.Wrap(mem, errorfs.Func(func(op errorfs.Op) errorfs.Action {
		if armed && op.Kind == errorfs.Link && strings.Contains(op.To, "current/_delta_log") {
			armed = false
			takeAway(t, mem, dir, true)
			return errorfs.Action{Err: fault}
		}
		return errorfs.Action{}
	})))
	d := delivererTo(t, w, sink, 1)
	dir = path.Join(d.table.Dir, "current")
	must[int](t)(0, d.write(0, 20))
	must[int](t)(0, d.flush())
	must[int](t)(0, d.table.current.MergeNow())
	must[int](t)(0, d.write(0, 1000))
	must[int](t)(0, d.flush())
	armed = true
	if err := d.table.current.MergeNow(); err == nil {
		t.Fatal("the merge went well")
	}
	must[int](t)(0, d.table.current.MergeNow())
	if got, want := shown(t, mem, d.table.Dir, w.schema), w.view(d.flushed); !slices.Equal(got, want) {
		t.Errorf("current/ shows %v, not %v", got, want)
	}
}
