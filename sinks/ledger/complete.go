package ledger

import (
	"strings"
	"time"

	"github.com/millrace/millrace/pipeline/event"
)

// Ahead is how far the source's clock may be before this process's own. A session may give
// its commits any time (SET TIMESTAMP): one beyond that has not come yet and proves nothing.
const Ahead = time.Minute

// Whole says that neither an attempt is under way nor one is needed. Before the first one
// has ended a table has what changed since somebody looked, and not what it is, unless all of
// its life is in the source's log: it was made there, or emptied.
func (t *Table) Whole() bool {
	return t.Due == 0 && len(t.Open) == 0 && t.Founded()
}

// Founded says that the table was there as a whole at some time.
func (t *Table) Founded() bool { return t.Floor > 0 || t.Born > 0 }

// CompleteTo is the commit time, in microseconds, up to which the target has everything; 0
// while that is not known. It is the least of the queues' times, for a transaction's rows go
// into several, and unknown while a queue of the route has not been heard of.
func (t *Table) CompleteTo() int64 {
	if !t.Whole() {
		return t.Held
	}
	if len(t.Queues) == 0 || len(t.Queues) < t.Route {
		return 0
	}
	least := t.Queues[0].Done
	for i := range t.Queues {
		least = min(least, t.Queues[i].Done)
	}
	return least
}

// hold keeps how far the table is complete, before it ceases to be whole.
func (b *Batch) hold() {
	if b.next.Whole() {
		b.next.Held = b.next.CompleteTo()
	}
}

// pass moves the time up to which the queue is complete to the end of the slice. It follows
// the source's clock, back as well. A transaction counts once its last row is there; rows of
// chunks are not commits, and some marks have no time. A commit's time that has not come is
// passed over: what the queue has is then a lower bound. A heartbeat's is the source's own
// clock and proves at least what it is by now.
func (q *Queue) pass(s *event.Slice, now time.Time) {
	latest := now.Add(Ahead).UnixMicro()
	if s.Mark != nil {
		at := s.Mark.Time.UnixMicro()
		if at > latest && s.Kind == event.KindHeartbeat {
			at = now.UnixMicro()
		}
		if at > 0 && at <= latest {
			q.Done = at
		}
		return
	}
	for i := len(s.Txs) - 1; i >= 0; i-- {
		tx := &s.Txs[i]
		at := tx.CommitTime.UnixMicro()
		if tx.End && !strings.HasPrefix(tx.ID, chunkTx) && at > 0 && at <= latest {
			q.Done = at
			return
		}
	}
}

// chunkTx is what the names of chunks begin with.
const chunkTx = "snap/"

// Newest is the latest commit that the table knows of, in microseconds; 0 for none.
func (t *Table) Newest() (newest int64) {
	for i := range t.Queues {
		newest = max(newest, t.Queues[i].Done)
	}
	return newest
}
