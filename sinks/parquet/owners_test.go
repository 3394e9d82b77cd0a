package parquet

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/sinks/delta"
	"github.com/millrace/millrace/sinks/parquet/file"
)

func delivererTo(t testing.TB, w *world, sink *Sink, gen uint64) *deliverer {
	d := &deliverer{w: w, table: open(t, sink, claim(w.schemas, gen))}
	d.seek()
	return d
}

func oneQueue(t testing.TB, n int) *world {
	w := newWorld(t, 1, 1, false)
	for len(w.queues[0]) < n {
		w.insert()
		w.update()
	}
	return w
}

func TestFlushOfAReplacedOwnerIsRefused(t *testing.T) {
	w, mem := oneQueue(t, 6), vfs.NewMem()
	sink := twinSink(t, mem)
	a := delivererTo(t, w, sink, 1)
	must[int](t)(0, a.write(0, 3))
	b := delivererTo(t, w, sink, 2)
	if err := a.flush(); !errors.Is(err, pipeline.ErrSuperseded) {
		t.Fatalf("flush of generation 1: %v", err)
	}
	if err := a.write(0, 1); !errors.Is(err, pipeline.ErrSuperseded) {
		t.Fatalf("write of generation 1: %v", err)
	}
	must[int](t)(0, b.write(0, 100))
	must[int](t)(0, b.flush())
	w.identities(mem, b.table.Dir, b.flushed)
}

func TestALowerGenerationCannotOpen(t *testing.T) {
	w, mem := oneQueue(t, 2), vfs.NewMem()
	sink := twinSink(t, mem)
	delivererTo(t, w, sink, 7)
	if _, err := sink.OpenTable(context.Background(), claim(w.schemas, 6)); !errors.Is(err, pipeline.ErrSuperseded) {
		t.Fatalf("open of generation 6: %v", err)
	}
}

// A replaced owner's file is an orphan that vacuum removes; if its commit landed later it
// would name a file that is not there.
func TestALateCommitNamesNoRemovedFile(t *testing.T) {
	w, mem := oneQueue(t, 6), vfs.NewMem()
	sink := twinSink(t, mem)
	sink.Keep.Orphans = 0
	a := delivererTo(t, w, sink, 1)
	must[int](t)(0, a.write(0, 3))
	must[int](t)(0, a.table.changes.FinishAll(context.Background()))
	b := delivererTo(t, w, sink, 2)
	must[int](t)(0, b.table.changes.Vacuum(context.Background()))
	if _, err := a.table.changes.Commit(context.Background()); err == nil {
		t.Error("the commit of generation 1 was let in")
	}
	for _, p := range liveFiles(t, mem, a.table.Dir+"/changes") {
		if _, err := mem.Stat(a.table.Dir + "/changes" + "/" + p); err != nil {
			t.Errorf("the log names %s: %v", p, err)
		}
	}
}

// Two owners under one generation cannot be told apart by it; the marks can.
func TestABatchIsCommittedOnTheMarksItWasBuiltOn(t *testing.T) {
	w, mem := oneQueue(t, 6), vfs.NewMem()
	sink := twinSink(t, mem)
	a, b := delivererTo(t, w, sink, 1), delivererTo(t, w, sink, 1)
	must[int](t)(0, a.write(0, 1))
	must[int](t)(0, b.write(0, 2))
	must[int](t)(0, a.flush())
	if err := b.flush(); err == nil {
		t.Error("a batch built on an older mark was committed")
	}
	c := delivererTo(t, w, sink, 2)
	must[int](t)(0, c.write(0, 100))
	must[int](t)(0, c.flush())
	w.identities(mem, c.table.Dir, c.flushed)
}

func TestAReplacedOwnersMergeIsRefused(t *testing.T) {
	w, mem := oneQueue(t, 8), vfs.NewMem()
	sink := twinSink(t, mem)
	a := delivererTo(t, w, sink, 1)
	must[int](t)(0, a.write(0, 3))
	must[int](t)(0, a.flush())
	must[int](t)(0, a.table.current.MergeNow())
	must[int](t)(0, a.write(0, 2))
	must[int](t)(0, a.flush())
	b := delivererTo(t, w, sink, 2)
	if err := a.table.current.MergeNow(); !errors.Is(err, pipeline.ErrSuperseded) {
		t.Fatalf("merge of generation 1: %v", err)
	}
	must[int](t)(0, b.write(0, 100))
	must[int](t)(0, b.flush())
	must[int](t)(0, b.table.current.MergeNow())
	want := w.view(b.flushed)
	if got := shown(t, mem, b.table.Dir, w.schema); !slices.Equal(got, want) {
		t.Fatalf("current/ shows %v, not %v", got, want)
	}
}

// Owners come and go at random, each sure that the table is its own.
func TestOwnersRacing(t *testing.T) {
	for _, seed := range seeds(t, 15) {
		w, mem := newWorld(t, seed, 2, false), vfs.NewMem()
		rng := rand.New(rand.NewPCG(seed, 9))
		for range 60 {
			w.step()
		}
		w.settle()
		sink := twinSink(t, mem)
		gen := uint64(1)
		owners := []*deliverer{delivererTo(t, w, sink, 1), nil}
		for range 60 {
			i := rng.IntN(2)
			if owners[i] == nil {
				gen++
				owners[i] = delivererTo(t, w, sink, gen)
			}
			d := owners[i]
			var err error
			switch rng.IntN(7) {
			case 6:
				err = pack(d.table)
			case 0:
				err = d.flush()
			case 1:
				err = d.table.current.MergeNow()
			case 2:
				if rng.IntN(3) == 0 {
					err = d.table.changes.Vacuum(context.Background())
				}
			default:
				err = d.write(rng.IntN(2), 1+rng.IntN(5))
			}
			if err != nil {
				if errors.Is(err, delta.ErrConflict) || errors.Is(err, fs.ErrNotExist) && !errors.Is(err, pipeline.ErrUnwritable) {
					continue // a merge that comes again
				}
				if errors.Is(err, pipeline.ErrUnwritable) {
					d.seek() // vacuum took a file in the making: here all files are old
					continue
				}
				if !errors.Is(err, pipeline.ErrSuperseded) {
					t.Fatalf("seed %d: %v", seed, err)
				}
				owners[i] = nil
			}
		}
		if err := recovers(t, w, mem.CrashClone(vfs.CrashOpts{Mode: vfs.CrashKeep}), make([]int, 2)); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
}

// script sends messages to one of two queues and shows current/ after a merge.
func lagging(t *testing.T) (*world, *vfs.Mem, *deliverer) {
	w, mem := newWorld(t, 1, 2, false), vfs.NewMem()
	return w, mem, delivererTo(t, w, twinSink(t, mem), 1)
}

func (w *world) put(id, a string) {
	row := map[uint32]string{1: id, 2: a}
	w.rows[id] = row
	w.emit(event.OpCreate, nil, row)
}

func expect(t *testing.T, d *deliverer, mem *vfs.Mem, want ...string) {
	t.Helper()
	must[int](t)(0, d.flush())
	must[int](t)(0, d.table.current.MergeNow())
	got := shown(t, mem, d.table.Dir, d.w.newestSchema(d.flushed))
	if !slices.Equal(got, want) {
		t.Fatalf("current/ shows [%s], not [%s]", strings.Join(got, ", "), strings.Join(want, ", "))
	}
}

func TestTruncateHoldsForTheSlowerQueue(t *testing.T) {
	w, mem, d := lagging(t)
	w.put("0", "1") // queue 0
	w.put("1", "1") // queue 1, which lags
	w.put("3", "1")
	w.truncate()
	w.put("2", "7")
	must[int](t)(0, d.write(1, 1))
	expect(t, d, mem, "id=1 a=1")
	must[int](t)(0, d.write(0, 100))
	expect(t, d, mem, "id=2 a=7") // the floor is the whole table's
	must[int](t)(0, d.write(1, 100))
	expect(t, d, mem, "id=2 a=7") // and the slower queue's rows do not come back
	x := 0
	for _, r := range readTable(t, mem, d.table.Dir+"/changes") {
		if r[file.ColOp] == "x" {
			x++
		}
	}
	if x != 1 {
		t.Fatalf("%d rows say that everything below is gone, not 1", x)
	}
}

func TestEndWaitsForEveryQueue(t *testing.T) {
	w, mem, d := lagging(t)
	w.put("0", "1")
	w.put("1", "1")
	delete(w.rows, "0") // lost without a trace
	delete(w.rows, "1")
	w.settle()
	must[int](t)(0, d.write(0, 100))
	must[int](t)(0, d.write(1, 1))
	expect(t, d, mem, "id=0 a=1", "id=1 a=1")
	// The state of an END on its way survives a new owner.
	must[int](t)(0, d.table.Close())
	d.table = open(t, &Sink{Lake: d.table.Lake, cfg: twinConfig()}, claim(w.schemas, 2))
	d.seek()
	must[int](t)(0, d.write(1, 100))
	expect(t, d, mem)
}

func TestAColumnsDefaultShowsInOlderRows(t *testing.T) {
	w, mem, d := lagging(t)
	w.put("0", "1")
	w.put("1", "1")
	w.put("3", "1")
	must[int](t)(0, d.write(0, 1))
	must[int](t)(0, d.write(1, 1))
	expect(t, d, mem, "id=0 a=1", "id=1 a=1")
	s := *w.schema
	s.Columns = append(slices.Clone(s.Columns), event.Column{ID: 9, Name: "via", Type: event.TypeText, HasDefault: true, Default: []byte("web")})
	w.fills[9] = "web"
	w.schema = w.schemas.add(t, s)
	w.sendAll(event.KindDDL, w.schema, event.Mark{Seq: w.next()})
	w.emit(event.OpCreate, nil, map[uint32]string{1: "2", 2: "5", 9: "shop"})
	must[int](t)(0, d.write(0, 100))
	expect(t, d, mem, "id=0 a=1 via=web", "id=1 a=1 via=web", "id=2 a=5 via=shop")
	must[int](t)(0, d.write(1, 100)) // brings a row under the older schema
	expect(t, d, mem, "id=0 a=1 via=web", "id=1 a=1 via=web", "id=2 a=5 via=shop", "id=3 a=1 via=web")
}

func TestAdoptedBeginGoesOnBehindAGap(t *testing.T) {
	w, mem, d := lagging(t)
	w.put("0", "1")
	must[int](t)(0, d.write(0, 1))
	must[int](t)(0, d.flush())
	w.put("2", "1") // never delivered: retention took it
	w.settle()
	lost := w.queues[0][1]
	begin := w.queues[0][2]
	if err := d.table.Write(context.Background(), queueID(0), begin); err == nil {
		t.Fatal("a message behind a gap was taken")
	}
	must[int](t)(0, d.table.AdoptBegin(queueID(0), lost.Hi))
	d.at[0] = 2
	must[int](t)(0, d.write(0, 100))
	must[int](t)(0, d.write(1, 100))
	var source []string
	for _, r := range w.rows {
		source = append(source, w.show(w.schema, r))
	}
	slices.Sort(source)
	expect(t, d, mem, source...)
	if m := d.table.Marks(); len(m) != 2 || m[0].Seq != w.prev(0) || m[0].ID.IsZero() {
		t.Fatalf("marks %+v", m)
	}
}

func TestAValueThatCannotBeHeldIsNamed(t *testing.T) {
	mem, m := vfs.NewMem(), schemas{}
	s := m.add(t, event.Schema{Name: tableName, PrimaryKey: []int{0}, Columns: []event.Column{
		{ID: 1, Name: "id", Type: event.TypeInt, Precision: 4}, {ID: 2, Name: "note", Type: event.TypeText}}})
	table := open(t, twinSink(t, mem), claim(m, 1))
	err := table.Write(context.Background(), queueID(0),
		rows(s, 0, "tx", create(2, 0, image(t, s, 41, "fine")), create(4, 1, image(t, s, 42, "\xff"))))
	if !errors.Is(err, pipeline.ErrUnwritable) || !strings.Contains(fmt.Sprint(err), "note") || !strings.Contains(fmt.Sprint(err), "key 42") {
		t.Fatalf("error %v", err)
	}
	if n, _ := table.Buffered(); n != 0 {
		t.Fatalf("%d rows are still held", n)
	}
}
