package clickhouse

import (
	"context"
	"fmt"
	"slices"

	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/sinks/clickhouse/ddl"
)

// A block that was sent and has no mark is in the target, in part or as a whole, or is not.
// Where versions compete, that is all the same: it is sent again. In a changelog each row must
// be there once, so that what reads it as it comes (a materialized view) counts it once. No
// token of the server's is asked whether it was: it forgets them.
//
// A claim has closed the generations before it, and has waited for what they ran: what is
// above the marks now is all that will ever be there besides the claim's own. So it notes the
// highest number that is there. A row above it is new. One at or below it may be there, and
// the target is asked for the numbers that it has, a window at a time, as the queue's rows
// pass. No number is ever given to two rows, whichever queue brings them, so the number alone
// tells, also where the server split the block, or lost a part of it when power went.

// landed are the numbers that are in the target and may come again.
type landed struct {
	high    event.Seq // the highest when the table was claimed
	in      ddl.Name
	windows map[int]*window // by queue
}

// window holds all numbers that are there between two.
type window struct {
	from, to event.Seq
	seqs     []uint64
}

// windowRows bounds a window: 800 KB.
const windowRows = 100_000

// findLanded is a claim's step behind the marks.
func (t *Table) findLanded(ctx context.Context) error {
	if err := t.checkShape(); err != nil {
		return err
	}
	t.landed = landed{windows: map[int]*window{}}
	if t.shape.Mode != Changelog || len(t.rec.Stores) == 0 {
		return nil // the ledger names a table before a row is in it
	}
	t.landed.in = t.rec.Stores[0].name(t.target)
	// A queue that the ledger has not seen may have rows below every mark.
	high := uint64(0)
	err := t.sink.conn.Query(ctx, t.comment(), fmt.Sprintf("SELECT %s FROM %s ORDER BY %[1]s DESC LIMIT 1", ddl.Ident(ddl.Seq), t.landed.in),
		func(scan func(...any) error) error { return scan(&high) })
	if err != nil && !isMissing(err) {
		return err
	}
	t.landed.high = event.Seq(high)
	return nil
}

// isLanded says that a queue's row is in the target already. A queue's rows come in the order
// of their numbers.
func (t *Table) isLanded(ctx context.Context, q int, seq event.Seq) (bool, error) {
	l := &t.landed
	if seq > l.high {
		return false, nil
	}
	w := l.windows[q]
	if w == nil || seq < w.from || seq > w.to {
		var err error
		if w, err = t.window(ctx, seq); err != nil {
			return false, err
		}
		l.windows[q] = w
	}
	_, found := slices.BinarySearch(w.seqs, uint64(seq))
	return found, nil
}

// isTold says that the target, or what waits for Flush, has the row of a deletion.
func (t *Table) isTold(ctx context.Context, seq event.Seq) (bool, error) {
	for _, st := range t.batch.steps {
		for _, b := range st.blocks {
			if slices.Contains(b.told, uint64(seq)) {
				return true, nil
			}
		}
	}
	if len(t.rec.Stores) == 0 {
		return false, nil
	}
	s, n := &t.rec.Stores[0], uint64(0)
	err := t.sink.conn.Query(ctx, t.comment(), fmt.Sprintf("SELECT count() FROM %s WHERE %s = ? AND %s = 'x'", s.name(t.target), ddl.Ident(ddl.Seq), ddl.Ident(ddl.Op)),
		func(scan func(...any) error) error { return scan(&n) }, uint64(seq))
	if isMissing(err) {
		err = nil
	}
	return n > 0, err
}

// window are the numbers that are there from one on.
func (t *Table) window(ctx context.Context, from event.Seq) (*window, error) {
	w := &window{from: from, to: t.landed.high}
	err := t.sink.conn.Query(ctx, t.comment(), fmt.Sprintf("SELECT DISTINCT %s AS n FROM %s WHERE n >= ? AND n <= ? ORDER BY n LIMIT %d",
		ddl.Ident(ddl.Seq), t.landed.in, t.sink.windowRows), func(scan func(...any) error) error {
		var n uint64
		err := scan(&n)
		w.seqs = append(w.seqs, n)
		return err
	}, uint64(from), uint64(t.landed.high))
	if len(w.seqs) == t.sink.windowRows {
		w.to = event.Seq(w.seqs[len(w.seqs)-1])
	}
	return w, err
}
