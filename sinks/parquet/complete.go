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

// whole says that neither an attempt is under way nor one is needed. Before the first one
// has ended a table has what changed since somebody looked, and not what it is, unless all of
// its life is in the source's log: it was made there, or emptied.
func (t *tableFact) whole() bool {
	return t.Due == 0 && len(t.Open) == 0 && (t.Floor > 0 || t.Born > 0)
}

// makes says that a mark is the CREATE of a table of which nothing came before.
func makes(k event.Kind, m *event.Mark) bool {
	return k == event.KindDDL && m.Due == "" && m.Old == (event.SchemaID{}) && m.Schema != (event.SchemaID{})
}

// unsaid is Born in the facts of versions that did not say it.
const unsaid event.Seq = math.MaxUint64

// settle takes a fact of an older version for what that one took it for, unless nothing but
// rows and heartbeats has come.
func (t *tableFact) settle() {
	if t.Born == unsaid {
		t.Born = t.SchemaAt
	}
}

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

// ahead is how far the source's clock may be before this process's own. A session may give
// its commits any time (SET TIMESTAMP): one beyond that has not come yet and proves nothing.
const ahead = time.Minute

// pass moves the time up to which the queue is complete to the end of the slice. It follows
// the source's clock, back as well. A transaction counts once its last row is there; rows of
// chunks are not commits, and some marks have no time. A commit's time that has not come is
// passed over: what the queue has is then a lower bound. A heartbeat's is the source's own
// clock and proves at least what it is by now.
func (f *queueFact) pass(s *event.Slice, now time.Time) {
	latest := now.Add(ahead).UnixMicro()
	if s.Mark != nil {
		at := s.Mark.Time.UnixMicro()
		if at > latest && s.Kind == event.KindHeartbeat {
			at = now.UnixMicro()
		}
		if at > 0 && at <= latest {
			f.Done = at
		}
		return
	}
	for i := len(s.Txs) - 1; i >= 0; i-- {
		tx := &s.Txs[i]
		at := tx.CommitTime.UnixMicro()
		if tx.End && !strings.HasPrefix(tx.ID, chunkTx) && at > 0 && at <= latest {
			f.Done = at
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
