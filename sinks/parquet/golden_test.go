package parquet

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/pipeline/event"
)

var rewriteGolden = flag.Bool("update", false, "write the golden log entries anew")

// goldenTable is a table that has gone through everything that its facts can say: two
// queues, a snapshot, a definition that grew, a statement that makes an attempt due, one
// TRUNCATE, an END that one queue has yet to pass, and a mark that was adopted.
func goldenTable(t *testing.T, fsys vfs.FS) (schemas, *Table) {
	m := schemas{}
	v1 := m.add(t, event.Schema{Name: tableName, PrimaryKey: []int{0}, Columns: []event.Column{
		{ID: 1, Name: "id", Type: event.TypeInt, Precision: 8}, {ID: 2, Name: "at", Type: event.TypeDate, Nullable: true}}})
	v2 := m.add(t, event.Schema{Name: tableName, PrimaryKey: []int{0}, Columns: append(slices.Clone(v1.Columns),
		event.Column{ID: 3, Name: "channel", Type: event.TypeText, HasDefault: true, Default: []byte("web")})})
	sink := testSink(t, fsys, testConfig("lake"))
	sink.Now = func() time.Time { return day.Add(time.Hour) }
	table := open(t, sink, claim(m, 3))
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	mark := func(k event.Kind, s *event.Schema, prev event.Seq, x event.Mark) *event.Slice {
		x.Queues = 2
		return mark(k, s, prev, x)
	}
	for q := range 2 {
		write(t, table, q, mark(event.KindDDL, v1, 0, event.Mark{Seq: 2}))
	}
	write(t, table, 0, rows(v1, 2, "tx:1", create(4, 0, image(t, v1, 1, [3]int{2026, 8, 21}))))
	flush(t, table)
	for q := range 2 {
		write(t, table, q, mark(event.KindBegin, v1, []event.Seq{4, 2}[q], event.Mark{Seq: 10, Attempt: 10}))
	}
	write(t, table, 1, rows(v1, 10, "snap/10/0", create(12, 0, image(t, v1, 2, [3]int{0, 0, 0}))))
	flush(t, table)
	for q := range 2 {
		write(t, table, q, mark(event.KindEnd, nil, []event.Seq{10, 12}[q], event.Mark{Seq: 14, Attempt: 10}))
	}
	flush(t, table)
	for q := range 2 {
		write(t, table, q, mark(event.KindDDL, v2, 14, event.Mark{Seq: 16, Old: v1.ID, Due: "a column was added"}))
	}
	write(t, table, 0, rows(v2, 16, "tx:2", update(18, 0, image(t, v2, 1, nil, "web"), image(t, v2, 1, nil, "shop"))))
	flush(t, table)
	write(t, table, 0, mark(event.KindTruncate, nil, 18, event.Mark{Seq: 20}))
	flush(t, table)
	must(table.AdoptBegin(queueID(2), 28))
	write(t, table, 2, mark(event.KindBegin, v2, 28, event.Mark{Seq: 30, Attempt: 30}))
	write(t, table, 0, mark(event.KindBegin, v2, 20, event.Mark{Seq: 30, Attempt: 30}))
	write(t, table, 0, mark(event.KindEnd, nil, 30, event.Mark{Seq: 32, Attempt: 30}))
	must(table.AdoptBegin(queueID(3), 40))
	flush(t, table)
	return m, table
}

// The facts beside the files are a format: what they are in JSON is kept, and what an
// earlier version wrote is read.
func TestTheFactsOfALakeAreKept(t *testing.T) {
	mem := vfs.NewMem()
	m, table := goldenTable(t, mem)
	dir := filepath.Join("testdata", "golden")
	log := path.Join(table.Dir, "changes/_delta_log")
	names := must[[]string](t)(mem.ReadDir(log))
	id := regexp.MustCompile(`"id":"[0-9a-f]{8}-[0-9a-f-]+"`)
	for _, name := range names {
		if !strings.HasSuffix(name, ".json") {
			continue
		}
		got := id.ReplaceAll(must[[]byte](t)(vfs.ReadFile(mem, path.Join(log, name))), []byte(`"id":"00000000-0000-4000-8000-000000000000"`))
		got = regexp.MustCompile(`"size":\d+`).ReplaceAll(got, []byte(`"size":1`))
		file := filepath.Join(dir, name)
		if *rewriteGolden {
			if err := os.WriteFile(file, got, 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		want := must[[]byte](t)(os.ReadFile(file))
		if string(got) != string(want) {
			t.Errorf("%s is\n%s\nnot\n%s", name, got, want)
		}
	}
	// A table opened on the golden entries stands where the one that wrote them does.
	if *rewriteGolden {
		return
	}
	old := vfs.NewMem()
	if err := vfs.MkdirAllSync(old, log); err != nil {
		t.Fatal(err)
	}
	for _, name := range must[[]string](t)(mem.ReadDir(log)) {
		if err := vfs.WriteFileAtomic(old, path.Join(log, name), must[[]byte](t)(os.ReadFile(filepath.Join(dir, name)))); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range table.changes.Log().Snapshot().Paths() {
		name := path.Join(table.Dir, "changes", p)
		if err := vfs.MkdirAllSync(old, path.Dir(name)); err != nil {
			t.Fatal(err)
		}
		if err := vfs.WriteFileAtomic(old, name, must[[]byte](t)(vfs.ReadFile(mem, name))); err != nil {
			t.Fatal(err)
		}
	}
	again := open(t, testSink(t, old, testConfig("lake")), claim(m, 4))
	if got, want := fmt.Sprintf("%+v", again.Marks()), fmt.Sprintf("%+v", table.Marks()); got != want {
		t.Errorf("the marks are\n%s\nnot\n%s", got, want)
	}
	if got, want := factsText(t, again), factsText(t, table); got != want {
		t.Errorf("the facts are\n%s\nnot\n%s", got, want)
	}
}

// factsText is all that a table's facts say, but for whose claim holds.
func factsText(t *testing.T, table *Table) string {
	t.Helper()
	f := table.changes.Facts()
	l := f.Ledger.Clone()
	l.Generation = 0
	return string(must[[]byte](t)(json.Marshal([]any{l, f.Columns, f.Controls})))
}
