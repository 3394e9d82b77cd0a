package parquet

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/internal/vfs/errorfs"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/sinks/objects"
	"github.com/millrace/millrace/sinks/parquet/readback"
)

// bad is a text that no file can hold.
const bad = "\xff"

// notes is a table whose texts may be bad.
func notes(t testing.TB, m schemas, key ...int) *event.Schema {
	return m.add(t, event.Schema{Name: tableName, PrimaryKey: key, Columns: []event.Column{
		{ID: 1, Name: "id", Type: event.TypeInt, Native: "int", Precision: 4}, {ID: 2, Name: "v", Type: event.TypeText, Native: "text", Nullable: true}}})
}

func asideClaim(m schemas, generation uint64, keyless bool, rows int) pipeline.Claim {
	c := claim(m, generation)
	c.Keyless, c.Letters = keyless, pipeline.LetterBounds{Rows: rows, Bytes: 1 << 20}
	return c
}

// listed are the letters that a reader sees.
func listed(t testing.TB, fsys vfs.FS) (out []string) {
	t.Helper()
	r := readback.NewIn(objects.NewLocal(fsys, "lake"), "lake", "p")
	err := r.Letters(context.Background(), tableName, func(l pipeline.Letter) error {
		out = append(out, fmt.Sprintf("%d %s %s=%s: %s: %s", l.Seq, l.Op, l.Row[0].Column, *l.Row[0].Value, l.Column, l.Reason))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// part is what is flushed together, and what is there then.
type part struct {
	what    string
	slice   *event.Slice
	rows    []string
	letters []string
}

const notUTF8 = ": v: its text is not UTF-8"

// story is a table's life with bad values in it.
func story(t testing.TB, s *event.Schema) []part {
	row := func(id int, v any) event.Image { return image(t, s, id, v) }
	return []part{
		{"one of three", rows(s, 0, "a", create(10, 0, row(1, "a")), create(12, 1, row(2, bad)), create(14, 2, row(3, "c"))),
			[]string{"id=1 v=a", "id=3 v=c"}, []string{"12 c id=2" + notUTF8}},
		{"a good row becomes bad", rows(s, 14, "b", update(20, 0, row(1, "a"), row(1, bad))),
			[]string{"id=1 v=a", "id=3 v=c"}, []string{"12 c id=2" + notUTF8, "20 u id=1" + notUTF8}},
		{"a newer one that is as bad", rows(s, 20, "c", update(30, 0, row(2, bad), row(2, bad+bad))),
			[]string{"id=1 v=a", "id=3 v=c"}, []string{"20 u id=1" + notUTF8, "30 u id=2" + notUTF8}},
		{"it becomes good", rows(s, 30, "d", update(40, 0, row(1, bad), row(1, "d"))),
			[]string{"id=1 v=d", "id=3 v=c"}, []string{"30 u id=2" + notUTF8}},
		{"it goes", rows(s, 40, "e", remove(50, 0, row(2, bad+bad)), create(52, 1, row(5, bad)), create(54, 2, row(6, bad))),
			[]string{"id=1 v=d", "id=3 v=c"}, []string{"52 c id=5" + notUTF8, "54 c id=6" + notUTF8}},
		{"nothing but bad", rows(s, 54, "f", create(60, 0, row(7, bad))),
			[]string{"id=1 v=d", "id=3 v=c"}, []string{"52 c id=5" + notUTF8, "54 c id=6" + notUTF8, "60 c id=7" + notUTF8}},
		{"a deletion of a good row that was bad last", rows(s, 60, "g", update(70, 0, row(3, "c"), row(3, bad)), remove(72, 1, row(3, bad))),
			[]string{"id=1 v=d"}, []string{"52 c id=5" + notUTF8, "54 c id=6" + notUTF8, "60 c id=7" + notUTF8}},
	}
}

func TestWhatAFileCantHoldIsPutAside(t *testing.T) {
	mem, m := vfs.NewMem(), schemas{}
	s := notes(t, m, 0)
	sink := twinSink(t, mem)
	table := open(t, sink, asideClaim(m, 1, false, 10))
	generation := uint64(1)
	for _, p := range story(t, s) {
		write(t, table, 0, p.slice)
		flush(t, table)
		must[int](t)(0, table.current.MergeNow())
		look(t, p.what, mem, table, s, p)
		generation++
		table.Close()
		table = open(t, sink, asideClaim(m, generation, false, 10))
		if at := table.PutAside(); at.Rows != len(p.letters) || at.Bytes < int64(at.Rows)*200 {
			t.Errorf("%s: another owner finds %+v", p.what, at)
		}
	}
	done := must[pipeline.LettersDone](t)(table.ReplayLetters(t.Context(), []event.Seq{52, 54}))
	if done.Gone != 0 || done.Stay != 2 || !strings.Contains(done.Why, "column v of the row with key 5") || done.Left.Rows != 3 {
		t.Errorf("replayed: %+v", done)
	}
	done = must[pipeline.LettersDone](t)(table.DropLetters(t.Context(), []event.Seq{54}))
	if got := listed(t, mem); done.Gone != 1 || done.Left.Rows != 2 || len(got) != 2 {
		t.Errorf("dropped: %+v, %q", done, got)
	}
	write(t, table, 0, mark(event.KindTruncate, s, 72, event.Mark{Seq: 80, Queues: 1}))
	flush(t, table)
	if got := listed(t, mem); len(got) > 0 || table.PutAside().Rows > 0 {
		t.Errorf("emptied: %q", got)
	}
}

func look(t testing.TB, what string, fsys vfs.FS, table *Table, s *event.Schema, p part) {
	t.Helper()
	if got := shown(t, fsys, table.Dir, s); !slices.Equal(got, p.rows) {
		t.Errorf("%s: a reader sees %q and not %q", what, got, p.rows)
	}
	if got := listed(t, fsys); !slices.Equal(got, p.letters) {
		t.Errorf("%s: put aside are %q and not %q", what, got, p.letters)
	}
}

// A letter is replayed once the target can hold it: here because the file's form is another
// than the one that put it aside.
func TestALetterIsReplayedUnderItsNumber(t *testing.T) {
	mem, m := vfs.NewMem(), schemas{}
	s := notes(t, m, 0)
	table := open(t, twinSink(t, mem), asideClaim(m, 1, false, 10))
	write(t, table, 0, rows(s, 0, "a", create(10, 0, image(t, s, 1, bad)), create(12, 1, image(t, s, 2, "b"))))
	flush(t, table)
	binary := *s
	binary.Columns = slices.Clone(s.Columns)
	binary.Columns[1].Type = event.TypeBinary
	m[s.ID] = &binary // the images are the same
	table.Close()
	table = open(t, twinSink(t, mem), asideClaim(m, 2, false, 10))
	done := must[pipeline.LettersDone](t)(table.ReplayLetters(t.Context(), nil))
	if done.Gone != 1 || done.Stay != 0 || table.PutAside().Rows != 0 || len(listed(t, mem)) > 0 {
		t.Errorf("%+v", done)
	}
	if total := table.Total(); total != 2 {
		t.Errorf("changes/ has %d rows", total)
	}
	must[int](t)(0, table.Close())
}

func TestAtTheBoundTheTableStands(t *testing.T) {
	for _, room := range []int{0, 1} {
		mem, m := vfs.NewMem(), schemas{}
		s := notes(t, m, 0)
		table := open(t, twinSink(t, mem), asideClaim(m, 1, false, room))
		err := table.Write(t.Context(), queueID(0), rows(s, 0, "a", create(10, 0, image(t, s, 1, bad)), create(12, 1, image(t, s, 2, bad))))
		if !errors.Is(err, pipeline.ErrRecord) || !strings.Contains(err.Error(), "column v of the row with key") || strings.Contains(err.Error(), "dead_letter allows") != (room > 0) {
			t.Errorf("room for %d: %v", room, err)
		}
		flush(t, table)
		if table.PutAside().Rows > 0 || len(table.Marks()) > 0 {
			t.Errorf("room for %d: %+v, marks %+v", room, table.PutAside(), table.Marks())
		}
	}
}

// Without a key equal rows count, and a deletion takes one of them back. Where nothing makes
// rows of the changes, each that is bad is a letter.
func TestLettersOfOtherTables(t *testing.T) {
	mem, m := vfs.NewMem(), schemas{}
	s := notes(t, m)
	row := func(id int, v any) event.Image { return image(t, s, id, v) }
	table := open(t, twinSink(t, mem), asideClaim(m, 1, true, 10))
	write(t, table, 0, rows(s, 0, "a", create(10, 0, row(1, bad)), create(12, 1, row(1, bad)), create(14, 2, row(1, "a")), remove(16, 3, row(1, bad)), remove(18, 4, row(2, bad))))
	flush(t, table)
	must[int](t)(0, table.current.MergeNow())
	look(t, "keyless", mem, table, s, part{rows: []string{"id=1 v=a"}, letters: []string{"10 c id=1" + notUTF8, "18 d id=2" + notUTF8}})

	mem, m = vfs.NewMem(), schemas{}
	s = notes(t, m, 0)
	sink := testSink(t, mem, testConfig("lake"))
	table = open(t, sink, asideClaim(m, 1, false, 10))
	for _, p := range story(t, s) {
		write(t, table, 0, p.slice)
	}
	flush(t, table)
	var numbers []string
	for _, l := range listed(t, mem) {
		numbers = append(numbers, strings.Fields(l)[0])
	}
	if want := "12 20 30 50 52 54 60 70 72"; strings.Join(numbers, " ") != want {
		t.Errorf("changes/ alone: %v", numbers)
	}
}

// What changes/ had put aside alone may be older than what current/ shows: a replay would bring back
// what went.
func TestALetterOfChangesAloneIsNotReplayedIntoCurrent(t *testing.T) {
	mem, m := vfs.NewMem(), schemas{}
	s := notes(t, m, 0)
	table := open(t, testSink(t, mem, testConfig("lake")), asideClaim(m, 1, false, 10))
	write(t, table, 0, rows(s, 0, "a", create(10, 0, image(t, s, 1, bad)), create(12, 1, image(t, s, 2, "b"))))
	write(t, table, 0, rows(s, 12, "b", update(20, 0, image(t, s, 1, bad), image(t, s, 1, "good")), remove(22, 1, image(t, s, 1, "good"))))
	flush(t, table)
	table.Close()
	binary := *s
	binary.Columns = slices.Clone(s.Columns)
	binary.Columns[1].Type = event.TypeBinary
	m[s.ID] = &binary // the images are the same
	table = open(t, twinSink(t, mem), asideClaim(m, 2, false, 10))
	must[int](t)(0, table.current.MergeNow())
	done := must[pipeline.LettersDone](t)(table.ReplayLetters(t.Context(), nil))
	if done.Gone != 0 || done.Stay != 1 || !strings.Contains(done.Why, "each change counted by itself") {
		t.Errorf("into current/: %+v", done)
	}
	table.Close()
	table = open(t, testSink(t, mem, testConfig("lake")), asideClaim(m, 3, false, 10))
	if done := must[pipeline.LettersDone](t)(table.ReplayLetters(t.Context(), nil)); done.Gone != 1 || table.Total() != 4 {
		t.Errorf("alone: %+v, changes/ has %d rows", done, table.Total())
	}
	must[int](t)(0, table.Close())
}

// Files with what is gone are written anew, and what no commit names goes.
func TestFilesOfLettersArePacked(t *testing.T) {
	mem, m := vfs.NewMem(), schemas{}
	s := notes(t, m, 0)
	sink := twinSink(t, mem)
	sink.Keep.Orphans = 0
	table := open(t, sink, asideClaim(m, 1, false, 10))
	last := event.Seq(0)
	for n := range 80 {
		seq := event.Seq(10 + 2*n)
		write(t, table, 0, rows(s, last, fmt.Sprint(n), create(seq, 0, image(t, s, n%3, bad))))
		flush(t, table)
		last = seq
	}
	if got := listed(t, mem); len(got) != 3 || !strings.HasPrefix(got[2], "168 ") {
		t.Errorf("put aside: %q", got)
	}
	must[int](t)(0, table.changes.Vacuum(t.Context()))
	names := must[[]string](t)(mem.ReadDir(table.Dir + "/letters"))
	if len(names) == 0 || len(names) > 33 {
		t.Errorf("%d files", len(names))
	}
	table.Close()
	if table = open(t, sink, asideClaim(m, 2, false, 10)); table.PutAside().Rows != 3 {
		t.Errorf("another owner finds %+v", table.PutAside())
	}
}

// The process dies before each step that changes anything; whoever comes next has rows and
// letters as without.
func TestLettersSurviveEveryCrash(t *testing.T) {
	m := schemas{}
	s := notes(t, m, 0)
	tale := story(t, s)
	mem := vfs.NewMem()
	steps := 0
	var mu sync.Mutex
	off := false
	fsys := errorfs.Wrap(mem, errorfs.Func(func(op errorfs.Op) errorfs.Action {
		mu.Lock()
		defer mu.Unlock()
		if off || !op.Kind.Changes() {
			return errorfs.Action{}
		}
		steps++
		mode := []vfs.CrashMode{vfs.CrashLose, vfs.CrashTorn, vfs.CrashKeep}[steps%3]
		found := mem.CrashClone(vfs.CrashOpts{Mode: mode, Seed: uint64(steps)})
		table, err := twinSink(t, found).openTable(context.Background(), asideClaim(m, 100, false, 10))
		if err != nil {
			t.Fatalf("step %d before %s %s: %v", steps, op.Kind, op.Path, err)
		}
		defer table.Close()
		at := event.Seq(0)
		if marks := table.Marks(); len(marks) > 0 {
			at = marks[0].Seq
		}
		for _, p := range tale {
			if p.slice.Hi > at {
				write(t, table, 0, p.slice)
			} else if p.slice.Hi == at && table.PutAside().Rows != len(p.letters) {
				t.Errorf("step %d before %s %s: at the mark %d %+v is put aside", steps, op.Kind, op.Path, at, table.PutAside())
			}
		}
		flush(t, table)
		must[int](t)(0, table.current.MergeNow())
		look(t, fmt.Sprintf("step %d before %s %s", steps, op.Kind, op.Path), found, table, s, tale[len(tale)-1])
		return errorfs.Action{}
	}))
	table := open(t, twinSink(t, fsys), asideClaim(m, 1, false, 10))
	for _, p := range tale {
		write(t, table, 0, p.slice)
		flush(t, table)
	}
	mu.Lock()
	off = true
	mu.Unlock()
	if steps < 30 {
		t.Errorf("only %d steps were tried", steps)
	}
}
