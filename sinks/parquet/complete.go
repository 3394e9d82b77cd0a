package parquet

import (
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/millrace/millrace/pipeline/event"
)

// CompleteTo is the commit time up to which readers of changes/ and of current/ have
// everything. It survives restarts, for it stands in the logs beside the files.
func (t *Table) CompleteTo() (changes, current time.Time) {
	done := completeTo(t.led.table, t.led.queues)
	if t.current == nil {
		return timeOf(done), time.Time{}
	}
	if t.current.level() {
		return timeOf(done), timeOf(done)
	}
	return timeOf(done), timeOf(t.current.complete)
}

func timeOf(micros int64) time.Time {
	if micros == 0 {
		return time.Time{}
	}
	return time.UnixMicro(micros).UTC()
}

// whole says that neither an attempt is under way nor one is needed.
func (t *tableFact) whole() bool { return t.Due == 0 && len(t.Open) == 0 }

// completeTo is the least of the queues' times, for a transaction's rows go into several;
// 0 while a queue of the route has not been heard of.
func completeTo(t *tableFact, queues []queueFact) int64 {
	if !t.whole() {
		return t.Held
	}
	if len(queues) == 0 || len(queues) < t.Route {
		return 0
	}
	least := queues[0].Done
	for i := range queues {
		least = min(least, queues[i].Done)
	}
	return least
}

// hold keeps how far the table is complete, before it ceases to be whole.
func (b *batch) hold() {
	if b.facts.whole() {
		b.facts.Held = completeTo(b.facts, b.queues)
	}
}

// pass moves the time up to which the queue is complete to the end of the slice. It follows
// the source's clock, back as well. A transaction counts once its last row is there; rows of
// chunks are not commits, and some marks have no time.
func (f *queueFact) pass(s *event.Slice) {
	if s.Mark != nil {
		if s.Mark.Time.UnixMicro() > 0 {
			f.Done = s.Mark.Time.UnixMicro()
		}
		return
	}
	for i := len(s.Txs) - 1; i >= 0; i-- {
		if tx := &s.Txs[i]; tx.End && !strings.HasPrefix(tx.ID, chunkTx) && tx.CommitTime.UnixMicro() > 0 {
			f.Done = tx.CommitTime.UnixMicro()
			return
		}
	}
}

// chunkTx is what the names of chunks begin with.
const chunkTx = "snap/"

// Merged is the version of changes/ up to which current/ has everything.
func (t *Table) Merged() int64 {
	if t.current == nil || t.current.level() {
		return math.MaxInt64
	}
	return t.current.version
}

// Total is how many rows of the source changes/ has.
func (t *Table) Total() uint64 {
	snap := t.changes.Snapshot()
	if t.counted.version == snap.Version {
		return t.counted.rows
	}
	var rows uint64
	for _, p := range snap.Paths() {
		n, err := strconv.ParseUint(snap.Files[p].Tags[rowsTag], 10, 64)
		if err != nil {
			continue // another program's file, which says nothing of itself
		}
		rows += n
	}
	t.counted.version, t.counted.rows = snap.Version, rows-min(rows, t.led.table.Controls)
	return t.counted.rows
}
