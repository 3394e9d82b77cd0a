package parquet

import (
	"context"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/config"
	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/sinks/delta"
	"github.com/millrace/millrace/sinks/parquet/current"
)

// TestCurrentSaysThatItFallsBehind holds the merges up: after two intervals the table says so.
func TestCurrentSaysThatItFallsBehind(t *testing.T) {
	w := oneQueue(t, 8)
	cfg := testConfig("lake")
	cfg.Current.Interval = current.Interval(10 * time.Second)
	sink := testSink(t, vfs.NewMem(), cfg)
	clock := day
	sink.Now = func() time.Time { return clock }
	for range cap(sink.Turns) { // other tables' merges
		sink.Turns <- struct{}{}
	}
	d := delivererTo(t, w, sink, 1)
	must[int](t)(0, d.write(0, 8))
	must[int](t)(0, d.flush())
	must[int](t)(0, d.table.Maintain(context.Background()))
	clock = clock.Add(20 * time.Second)
	if why := d.table.Trouble(); why != "" {
		t.Errorf("after two intervals: %s", why)
	}
	clock = clock.Add(2 * time.Second)
	if why := d.table.Trouble(); !strings.Contains(why, "current/ is 22 s behind changes/: merging takes longer than its interval of 10s") {
		t.Errorf("behind: %q", why)
	}
	<-sink.Turns
	must[bool](t)(d.table.current.Await())
	if why := d.table.Trouble(); why != "" {
		t.Errorf("merged: %s", why)
	}
}

// TestFirstSnapshotIsMergedInFewSteps counts what is merged of 100 flushes of a first snapshot:
// each row is copied less than once, nothing is called late, and when the snapshot has ended
// nothing waits. The next snapshot's rows are merged like any others.
func TestFirstSnapshotIsMergedInFewSteps(t *testing.T) {
	mem, m := vfs.NewMem(), schemas{}
	s := m.add(t, event.Schema{Name: tableName, PrimaryKey: []int{0}, Columns: []event.Column{{ID: 1, Name: "id", Type: event.TypeInt, Precision: 4}}})
	cfg := testConfig("lake")
	cfg.Current.Interval, cfg.Current.FileRows = current.Interval(10*time.Second), 20
	sink := testSink(t, mem, cfg)
	clock := day
	sink.Now = func() time.Time { return clock }
	table := open(t, sink, claim(m, 1))
	seq, merges := event.Seq(0), 0
	turn := func() {
		t.Helper()
		flush(t, table)
		for range 2 { // rows that are old wait for an interval
			must[int](t)(0, table.Maintain(context.Background()))
			if must[bool](t)(table.current.Await()) {
				merges++
			}
			if why := table.Trouble(); why != "" {
				t.Fatalf("at %d: %s", seq, why)
			}
			clock = clock.Add(15 * time.Second)
		}
	}
	snapshot := func(flushes int) {
		t.Helper()
		begin := seq + 2
		write(t, table, 0, mark(event.KindBegin, s, seq, event.Mark{Seq: begin, Attempt: begin, Queues: 1}))
		for seq = begin; flushes > 0; flushes-- {
			var list []event.Row
			prev := seq
			for range 10 {
				seq += 2
				list = append(list, create(seq, uint64(seq), image(t, s, int(seq))))
			}
			write(t, table, 0, rows(s, prev, "snap/"+strconv.Itoa(int(seq)), list...))
			turn()
		}
		write(t, table, 0, mark(event.KindEnd, s, seq, event.Mark{Seq: seq + 2, Attempt: begin, Queues: 1}))
		seq += 2
		turn()
	}
	snapshot(100) // merged at 80 and 400 rows, and at the end
	if merges != 3 || !table.current.Level() {
		t.Errorf("the first snapshot was merged in %d steps, level %v", merges, table.current.Level())
	}
	merges = 0
	snapshot(10)
	if merges != 11 || !table.current.Level() {
		t.Errorf("the second snapshot was merged in %d steps, level %v", merges, table.current.Level())
	}
}

// TestOldRowsGatherBeforeAMerge flushes a row of some age, and another half an interval later:
// rows of the last interval are merged at once, older ones together, when an interval has
// passed since the first of them came.
func TestOldRowsGatherBeforeAMerge(t *testing.T) {
	const interval = 10 * time.Second
	for age, want := range map[time.Duration]string{ // how many flushes each look merges
		time.Second: "1 0 1", interval / 2: "1 0 1", interval + time.Second: "0 0 2", time.Hour: "0 0 2",
	} {
		m := schemas{}
		s := m.add(t, event.Schema{Name: tableName, PrimaryKey: []int{0}, Columns: []event.Column{{ID: 1, Name: "id", Type: event.TypeInt, Precision: 4}}})
		cfg := testConfig("lake")
		cfg.Current.Interval = current.Interval(interval)
		sink := testSink(t, vfs.NewMem(), cfg)
		clock := day.Add(age)
		sink.Now = func() time.Time { return clock }
		table := open(t, sink, claim(m, 1))
		seq := event.Seq(0)
		one := func() {
			t.Helper()
			seq += 2
			write(t, table, 0, rows(s, seq-2, "tx"+strconv.Itoa(int(seq)), create(seq, uint64(seq), image(t, s, int(seq)))))
			flush(t, table)
		}
		var got []string
		step := func() {
			t.Helper()
			waiting := len(table.current.Waiting())
			must[int](t)(0, table.Maintain(context.Background()))
			merged := 0
			if must[bool](t)(table.current.Await()) {
				merged = waiting
			}
			got = append(got, strconv.Itoa(merged))
		}
		one()
		step()
		clock = clock.Add(interval / 2)
		one()
		step()
		clock = clock.Add(interval / 2)
		step()
		if text := strings.Join(got, " "); text != want {
			t.Errorf("rows of %s: %s, want %s", age, text, want)
		}
	}
}

// TestReplacedFilesStay keeps them for a time and for a size, and those of the last minute.
func TestReplacedFilesStay(t *testing.T) {
	ago := func(d time.Duration) int64 { return day.Add(-d).UnixMilli() }
	snap := &delta.Snapshot{Files: map[string]*delta.Add{"live": {Size: 100}}, Removed: map[string]*delta.Remove{
		"a": {Size: 90, DeletionTimestamp: ago(30 * time.Second)}, "b": {Size: 90, DeletionTimestamp: ago(10 * time.Minute)},
		"c": {Size: 90, DeletionTimestamp: ago(20 * time.Minute)}, "d": {Size: 90, DeletionTimestamp: ago(2 * time.Hour)},
	}}
	for _, c := range []struct {
		removed time.Duration
		times   float64
		gone    string
		crowded bool
	}{
		{time.Hour, 0, "d", false}, {time.Hour, 10, "d", false}, {time.Hour, 2, "cd", true}, {time.Hour, 1, "bcd", true},
		{time.Hour, 0.1, "bcd", true}, {10 * time.Second, 0.1, "abcd", false}, {24 * time.Hour, 10, "", false},
	} {
		cfg := testConfig("lake")
		cfg.Keep.Removed, cfg.Keep.RemovedTimes = config.Duration(c.removed), c.times
		sink := testSink(t, vfs.NewMem(), cfg)
		sink.Now = func() time.Time { return day }
		at, crowded := sink.RemovedBefore(snap)
		gone := ""
		for _, name := range []string{"a", "b", "c", "d"} {
			if time.UnixMilli(snap.Removed[name].DeletionTimestamp).Before(at) {
				gone += name
			}
		}
		if gone != c.gone || crowded != c.crowded {
			t.Errorf("%s and %v times: %q go (crowded %v), not %q", c.removed, c.times, gone, crowded, c.gone)
		}
	}
}

// TestRowsWithoutAKeyAreShownOnceWhileTheyAreReadAnew: nothing tells a row of the second
// snapshot from the one that is there, so that current/ stays as it was until its end.
func TestRowsWithoutAKeyAreShownOnceWhileTheyAreReadAnew(t *testing.T) {
	mem, m := vfs.NewMem(), schemas{}
	s := m.add(t, event.Schema{Name: tableName, Columns: []event.Column{{ID: 1, Name: "v", Type: event.TypeInt, Precision: 4}}})
	cfg := testConfig("lake")
	cfg.Current.Interval = current.Interval(time.Nanosecond)
	table := open(t, testSink(t, mem, cfg), claim(m, 1))
	seq := event.Seq(0)
	shown := func(when string, want ...string) {
		t.Helper()
		flush(t, table)
		for range 2 { // what is due begins, and has ended
			must[int](t)(0, table.Maintain(context.Background()))
			must[bool](t)(table.current.Await())
		}
		var got []string
		for _, r := range readTable(t, mem, path.Join(table.Dir, "current")) {
			got = append(got, r["v"])
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v, not %v", when, got, want)
		}
	}
	put := func(sl *event.Slice, last event.Seq) {
		t.Helper()
		write(t, table, 0, sl)
		seq = last
	}
	begin := func() event.Seq {
		at := seq + 2
		put(mark(event.KindBegin, s, seq, event.Mark{Seq: at, Attempt: at, Queues: 1}), at)
		return at
	}
	chunk := func(values ...int) {
		var list []event.Row
		prev := seq
		for _, v := range values {
			seq += 2
			list = append(list, create(seq, uint64(seq), image(t, s, v)))
		}
		write(t, table, 0, rows(s, prev, "snap/"+strconv.Itoa(int(seq)), list...))
	}
	end := func(attempt event.Seq) {
		put(mark(event.KindEnd, s, seq, event.Mark{Seq: seq + 2, Attempt: attempt, Queues: 1}), seq+2)
	}

	first := begin()
	chunk(1, 1, 2)
	end(first)
	shown("the first snapshot", "1", "1", "2")
	begin()
	chunk(1, 1)
	shown("an attempt that another follows", "1", "1", "2")
	third := begin()
	chunk(1, 1)
	shown("within the third", "1", "1", "2")
	chunk(3)
	shown("before its end", "1", "1", "2")
	end(third)
	shown("behind its end", "1", "1", "3")
}
