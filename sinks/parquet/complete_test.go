package parquet

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/sinks/ledger"
	"github.com/millrace/millrace/sinks/parquet/file"
	"github.com/millrace/millrace/sinks/parquet/readback"
)

// TestCompleteToIsWhatEveryQueueHas follows the time up to which readers have everything:
// the slower queue holds it, an attempt holds it until END has passed every queue, and a
// heartbeat moves it without rows; it is the same after the table was opened again.
func TestCompleteToIsWhatEveryQueueHas(t *testing.T) {
	mem, m := vfs.NewMem(), schemas{}
	s := m.add(t, event.Schema{Name: tableName, PrimaryKey: []int{0}, Columns: []event.Column{
		{ID: 1, Name: "id", Type: event.TypeInt, Precision: 4}, {ID: 2, Name: "v", Type: event.TypeText},
	}})
	sink := twinSink(t, mem)
	table := open(t, sink, claim(m, 1))
	at := func(sec int) time.Time {
		if sec == 0 {
			return time.Time{}
		}
		return day.Add(time.Duration(sec) * time.Second)
	}
	put := func(q int, seq, prev event.Seq, tx string, sec int, whole bool) {
		t.Helper()
		sl := rows(s, prev, tx, create(seq, 0, image(t, s, int(seq), "x")))
		sl.Txs[0].CommitTime, sl.Txs[0].End = at(sec), whole
		write(t, table, q, sl)
	}
	put2 := func(kind event.Kind, seq event.Seq, prev [2]event.Seq, mk event.Mark, queues ...int) {
		t.Helper()
		mk.Seq, mk.Queues = seq, 2
		for _, q := range queues {
			write(t, table, q, mark(kind, s, prev[q], mk))
		}
	}
	see := func(what string, changes, current int) {
		t.Helper()
		if a, b := table.CompleteTo(); !a.Equal(at(changes)) || !b.Equal(at(current)) {
			t.Errorf("%s: complete to %s and %s, not %s and %s", what, a, b, at(changes), at(current))
		}
	}
	none := time.UnixMicro(0)
	see("nothing came", 0, 0)
	put2(event.KindBegin, 10, [2]event.Seq{}, event.Mark{Attempt: 10, Time: none}, 0, 1)
	put(0, 12, 10, "snap/10/1", 5, true)
	put(0, 14, 12, "g14", 6, true)
	flush(t, table)
	see("an attempt", 0, 0)
	put2(event.KindEnd, 20, [2]event.Seq{14, 10}, event.Mark{Attempt: 10, Time: none}, 0)
	flush(t, table)
	see("END in one queue", 0, 0)
	put2(event.KindEnd, 20, [2]event.Seq{14, 10}, event.Mark{Attempt: 10, Time: none}, 1)
	flush(t, table)
	see("END in both, one without a time", 0, 0)
	put2(event.KindHeartbeat, 22, [2]event.Seq{20, 20}, event.Mark{Time: at(9)}, 1)
	flush(t, table)
	see("not merged", 6, 0)
	must[int](t)(0, table.current.MergeNow())
	see("merged", 6, 6)
	put(0, 30, 20, "g30", 10, false)
	flush(t, table)
	see("half a transaction", 6, 6)
	put(0, 32, 30, "g30", 10, true)
	flush(t, table)
	see("the slower queue", 9, 6)
	must[int](t)(0, table.current.MergeNow())
	put2(event.KindHeartbeat, 40, [2]event.Seq{32, 22}, event.Mark{Time: at(20)}, 0, 1)
	flush(t, table)
	see("heartbeats need no merge", 20, 20)
	put(1, 42, 40, "g42", 25, true)
	put2(event.KindHeartbeat, 44, [2]event.Seq{40, 42}, event.Mark{Time: at(30)}, 0)
	flush(t, table)
	see("rows need one", 25, 20)

	table.Close()
	table = open(t, sink, claim(m, 2))
	if a, _ := table.CompleteTo(); !a.Equal(at(25)) {
		t.Errorf("opened again: complete to %s", a)
	}
	must[int](t)(0, table.current.MergeNow())
	see("opened again, merged", 25, 25)
	table.Close()
	table = open(t, sink, claim(m, 3))
	see("opened again once more", 25, 25)

	put2(event.KindDDL, 50, [2]event.Seq{44, 42}, event.Mark{Due: "converted", Time: at(40)}, 0, 1)
	put2(event.KindHeartbeat, 52, [2]event.Seq{50, 50}, event.Mark{Time: at(50)}, 0, 1)
	flush(t, table)
	must[int](t)(0, table.current.MergeNow())
	see("an attempt is due", 25, 25)
	put2(event.KindBegin, 60, [2]event.Seq{52, 52}, event.Mark{Attempt: 60, Time: none}, 0, 1)
	put2(event.KindEnd, 62, [2]event.Seq{60, 60}, event.Mark{Attempt: 60, Time: none}, 0, 1)
	flush(t, table)
	must[int](t)(0, table.current.MergeNow())
	see("it has ended", 50, 50)
}

// TestATableIsIncompleteBeforeItsFirstSnapshot: what comes by stream says nothing of what was
// there before. One whose CREATE or TRUNCATE came has all of it.
func TestATableIsIncompleteBeforeItsFirstSnapshot(t *testing.T) {
	m := schemas{}
	s := m.add(t, event.Schema{Name: tableName, PrimaryKey: []int{0}, Columns: []event.Column{{ID: 1, Name: "id", Type: event.TypeInt, Precision: 4}}})
	row := rows(s, 2, "g4", create(4, 0, image(t, s, 4)))
	row.Txs[0].End = true
	beat := mark(event.KindHeartbeat, nil, 2, event.Mark{Seq: 4, Queues: 1})
	ddl := func(due string, old event.SchemaID) *event.Slice {
		sl := mark(event.KindDDL, s, 2, event.Mark{Seq: 4, Queues: 1, Due: due})
		sl.Mark.Old = old
		return sl
	}
	for name, c := range map[string]struct {
		came  *event.Slice
		whole bool
	}{
		"a heartbeat":           {beat, false},
		"a row":                 {row, false},
		"an ALTER":              {ddl("", s.ID), false},
		"a definition with due": {ddl("the definition was read", event.SchemaID{}), false},
		"a DROP":                {mark(event.KindDDL, nil, 2, event.Mark{Seq: 4, Queues: 1}), false},
		"its CREATE":            {ddl("", event.SchemaID{}), true},
		"a TRUNCATE":            {mark(event.KindTruncate, nil, 2, event.Mark{Seq: 4, Queues: 1}), true},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			sink := twinSinkAt(t, vfs.OS(), dir)
			table := open(t, sink, claim(m, 1))
			see := func(what string, whole bool) {
				t.Helper()
				must[int](t)(0, table.current.MergeNow())
				want := time.Time{}
				if whole {
					want = day
				}
				if a, b := table.CompleteTo(); !a.Equal(want) || !b.Equal(want) {
					t.Errorf("%s: complete to %s and %s", what, a, b)
				}
				if at := must[time.Time](t)(readback.New(sink.cfg.Path, "p").CompleteTo(t.Context(), tableName)); len(table.current.Log().Snapshot().Domains) > 0 && !at.Equal(want) {
					t.Errorf("%s: a reader says it is complete to %s", what, at)
				}
			}
			write(t, table, 0, mark(event.KindHeartbeat, nil, 0, event.Mark{Seq: 2, Queues: 1}), c.came,
				mark(event.KindHeartbeat, nil, 4, event.Mark{Seq: 6, Queues: 1}))
			flush(t, table)
			see("it came", c.whole)
			must[int](t)(0, table.Close())
			table = open(t, sink, claim(m, 2))
			see("opened again", c.whole)
			write(t, table, 0, mark(event.KindBegin, s, 6, event.Mark{Seq: 8, Attempt: 8, Queues: 1, Time: time.UnixMicro(0)}),
				mark(event.KindHeartbeat, nil, 8, event.Mark{Seq: 10, Queues: 1, Time: day.Add(time.Second)}))
			flush(t, table)
			see("its snapshot begins", c.whole)
			write(t, table, 0, mark(event.KindEnd, s, 10, event.Mark{Seq: 12, Attempt: 8, Queues: 1, Time: time.UnixMicro(0)}),
				mark(event.KindHeartbeat, nil, 12, event.Mark{Seq: 14, Queues: 1}))
			flush(t, table)
			see("its snapshot has ended", true)
		})
	}
}

// TestATimeThatHasNotComeIsNotBelieved: a session may give its changes and statements any
// time. They prove nothing, and what comes behind them does; a heartbeat has the source's
// clock, which may be before the sink's own.
func TestATimeThatHasNotComeIsNotBelieved(t *testing.T) {
	mem, m := vfs.NewMem(), schemas{}
	s := m.add(t, event.Schema{Name: tableName, PrimaryKey: []int{0}, Columns: []event.Column{{ID: 1, Name: "id", Type: event.TypeInt, Precision: 4}}})
	now, later := day.Add(time.Hour), time.Date(2037, 1, 1, 0, 0, 0, 0, time.UTC)
	tx := func(seq event.Seq, times ...time.Time) *event.Slice {
		sl := &event.Slice{Kind: event.KindRow, Table: tableName, Schema: s.ID, Prev: seq, Lo: seq + 2}
		for i, at := range times {
			sl.Hi = seq + 2*event.Seq(i+1)
			r := create(sl.Hi, 0, image(t, s, int(sl.Hi)))
			r.Tx = i
			sl.Rows = append(sl.Rows, r)
			sl.Txs = append(sl.Txs, event.SliceTx{ID: string(rune('a' + i)), CommitTime: at, End: true})
		}
		sl.From, sl.To = event.Identity{Tx: sl.Txs[0].ID}, event.Identity{Tx: sl.Txs[len(times)-1].ID}
		return sl
	}
	for name, c := range map[string]struct {
		next *event.Slice
		want time.Time
	}{
		"a commit":              {tx(4, later), day},
		"the last of commits":   {tx(4, day.Add(time.Second), later), day.Add(time.Second)},
		"the first of commits":  {tx(4, later, day.Add(time.Second)), day.Add(time.Second)},
		"a statement":           {mark(event.KindDDL, s, 4, event.Mark{Seq: 6, Queues: 1, Time: later}), day},
		"a TRUNCATE":            {mark(event.KindTruncate, nil, 4, event.Mark{Seq: 6, Queues: 1, Time: later}), day},
		"a clock that is ahead": {mark(event.KindHeartbeat, nil, 4, event.Mark{Seq: 6, Queues: 1, Time: now.Add(ledger.Ahead)}), now.Add(ledger.Ahead)},
		"one that is far ahead": {mark(event.KindHeartbeat, nil, 4, event.Mark{Seq: 6, Queues: 1, Time: now.Add(time.Hour)}), now},
	} {
		t.Run(name, func(t *testing.T) {
			sink := twinSinkAt(t, mem, name)
			sink.Now = func() time.Time { return now }
			table := open(t, sink, claim(m, 1))
			write(t, table, 0, mark(event.KindDDL, s, 0, event.Mark{Seq: 2, Queues: 1}),
				mark(event.KindHeartbeat, nil, 2, event.Mark{Seq: 4, Queues: 1, Time: day}))
			c.next.Prev = 4
			write(t, table, 0, c.next)
			flush(t, table)
			must[int](t)(0, table.current.MergeNow())
			if a, b := table.CompleteTo(); !a.Equal(c.want) || !b.Equal(c.want) {
				t.Errorf("complete to %s and %s, not %s", a, b, c.want)
			}
		})
	}
}

// TestTotalCountsRowsOfTheSource: rows that a table lost by a TRUNCATE were rows, the mark
// that takes them away is none, and the figure is the same after the table was opened again.
func TestTotalCountsRowsOfTheSource(t *testing.T) {
	mem, m := vfs.NewMem(), schemas{}
	s := m.add(t, event.Schema{Name: tableName, PrimaryKey: []int{0}, Columns: []event.Column{
		{ID: 1, Name: "id", Type: event.TypeInt, Precision: 4}, {ID: 2, Name: "v", Type: event.TypeText},
	}})
	sink := twinSink(t, mem)
	table := open(t, sink, claim(m, 1))
	write(t, table, 0, rows(s, 0, "g1", create(2, 0, image(t, s, 1, "x"))))
	write(t, table, 0, rows(s, 2, "g2", create(4, 0, image(t, s, 2, "x"))))
	flush(t, table)
	write(t, table, 0, mark(event.KindTruncate, s, 4, event.Mark{Seq: 6, Queues: 1, Time: day}))
	write(t, table, 0, rows(s, 6, "g3", create(8, 0, image(t, s, 3, "x"))))
	flush(t, table)
	if n := table.Total(); n != 3 {
		t.Errorf("%d rows, wrote 3", n)
	}
	if err := table.Close(); err != nil {
		t.Fatal(err)
	}
	if n := open(t, sink, claim(m, 2)).Total(); n != 3 {
		t.Errorf("opened again: %d rows", n)
	}
}

// TestAnEndHasTheTimeOfTheTable looks at the row that says that everything below a BEGIN is
// gone: an END has no time of its own, and a partition of 1970 helps nobody. It is no row of
// the table's and is not counted.
func TestAnEndHasTheTimeOfTheTable(t *testing.T) {
	mem, m := vfs.NewMem(), schemas{}
	s := m.add(t, event.Schema{Name: tableName, PrimaryKey: []int{0}, Columns: []event.Column{{ID: 1, Name: "id", Type: event.TypeInt, Precision: 4}}})
	for name, before := range map[string][]*event.Slice{"of a commit": {rows(s, 10, "snap/10/1", create(12, 0, image(t, s, 1)))}, "of nothing": nil} {
		t.Run(name, func(t *testing.T) {
			sink := testSink(t, mem, testConfig(name))
			sink.Now = func() time.Time { return day.AddDate(0, 0, 5) }
			table := open(t, sink, claim(m, 1))
			write(t, table, 0, mark(event.KindBegin, s, 0, event.Mark{Seq: 10, Attempt: 10, Queues: 1, Time: time.UnixMicro(0)}))
			last, want := event.Seq(10), day.AddDate(0, 0, 5)
			for _, sl := range before {
				write(t, table, 0, sl)
				last, want = sl.Hi, day
			}
			write(t, table, 0, mark(event.KindEnd, s, last, event.Mark{Seq: 20, Attempt: 10, Queues: 1, Time: time.UnixMicro(0)}))
			if f := flush(t, table); f.Rows != len(before) {
				t.Errorf("%d rows, not %d", f.Rows, len(before))
			}
			for _, a := range table.changes.Log().Snapshot().Files {
				if got := a.PartitionValues[file.ColDate]; got != want.Format("2006-01-02") {
					t.Errorf("partition %s, not %s", got, want.Format("2006-01-02"))
				}
			}
		})
	}
}

// TestACheckpointDoesNotHideThatNothingCame: a log that begins with a checkpoint behind the
// merge does not say by itself what came since; its entries do, and without them it is not
// known.
func TestACheckpointDoesNotHideThatNothingCame(t *testing.T) {
	m := schemas{}
	s := m.add(t, event.Schema{Name: tableName, PrimaryKey: []int{0}, Columns: []event.Column{{ID: 1, Name: "id", Type: event.TypeInt, Precision: 4}}})
	sink := twinSinkAt(t, vfs.OS(), t.TempDir())
	table := open(t, sink, claim(m, 1))
	r := readback.New(sink.cfg.Path, "p")
	see := func(what string, level bool, sec int) {
		t.Helper()
		to := must[time.Time](t)(r.CompleteTo(t.Context(), tableName))
		if got := must[bool](t)(r.Level(t.Context(), tableName)); got != level || !to.Equal(day.Add(time.Duration(sec)*time.Second)) {
			t.Errorf("%s: level %v, complete to %s", what, got, to)
		}
	}
	beat := func(seq, prev event.Seq, sec int) {
		t.Helper()
		write(t, table, 0, mark(event.KindHeartbeat, nil, prev, event.Mark{Seq: seq, Queues: 1, Time: day.Add(time.Duration(sec) * time.Second)}))
		flush(t, table)
	}
	write(t, table, 0, mark(event.KindDDL, s, 0, event.Mark{Seq: 2, Queues: 1}), rows(s, 2, "g4", create(4, 0, image(t, s, 4))))
	beat(6, 4, 1)
	must[int](t)(0, table.current.MergeNow())
	beat(8, 6, 2)
	must[int](t)(0, table.changes.Checkpoint(context.Background(), keepOf(table)))
	see("nothing came but a heartbeat", true, 2)
	beat(10, 8, 3)
	see("and another behind the checkpoint", true, 3)
	write(t, table, 0, rows(s, 10, "g12", create(12, 0, image(t, s, 12))))
	beat(14, 12, 4)
	must[int](t)(0, table.changes.Checkpoint(context.Background(), keepOf(table)))
	see("rows came", false, 1)
	must[int](t)(0, table.current.MergeNow())
	beat(16, 14, 5)
	must[int](t)(0, table.changes.Checkpoint(context.Background(), keepOf(table)))
	see("they are merged", true, 5)
	gone := filepath.Join(sink.cfg.Path, "p", "shop.orders", "changes", "_delta_log", fmt.Sprintf("%020d.json", table.current.Merged()+1))
	if err := os.Remove(gone); err != nil {
		t.Fatal(err)
	}
	see("an entry is gone", false, 4)
}
