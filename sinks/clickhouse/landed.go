package clickhouse

import (
	"context"
	"fmt"
	"slices"

	"github.com/millrace/millrace/internal/seeded"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/sinks/clickhouse/ddl"
)

// A block that was sent and has no mark is in the target, in part or as a whole, or is not.
// Where versions compete, that is all the same: it is sent again. In a changelog, and in a table
// of halves, each row must be there once, so that what reads it as it comes (a materialized view)
// counts it once. No token of the server's is asked whether it was: it forgets them (K6).
//
// A claim has closed the generations before it, and has waited for what they ran: what is
// above the marks now is all that will ever be there besides the claim's own. So it notes the
// highest number that is there. A row above it is new. One at or below it may be there, and
// the target is asked for the numbers that it has, a window at a time, as the queue's rows
// pass. No number is ever given to two rows, whichever queue brings them, so the number alone
// tells, also where the server split the block, or lost a part of it when power went. Of a
// change's halves, which have its number, the sign tells as well.

// landed are the numbers that are in the target and may come again.
type landed struct {
	high    event.Seq // the highest when the table was claimed
	in      *store
	windows map[int]*window // by queue
}

// window holds all places that are there between two.
type window struct {
	from, to uint64
	places   []uint64
}

// windowRows bounds a window: 800 KB.
const windowRows = 100_000

// place is what tells a row from all others, and placed the same in the target. It rises with
// the number.
func (l *landed) place(seq event.Seq, sign int) uint64 {
	if l.in.Layout != ddl.Halves {
		return uint64(seq)
	}
	place := uint64(seq) << 1
	if sign > 0 {
		place++
	}
	return place
}

func (l *landed) placed() string {
	if l.in.Layout != ddl.Halves {
		return ddl.Ident(ddl.Seq)
	}
	return fmt.Sprintf("%s * 2 + (%s > 0)", ddl.Ident(ddl.Seq), ddl.Ident(ddl.Sign))
}

// once is the store in which each row is once, nil for none.
func (r *record) once() *store {
	switch {
	case r.Mode == Signed:
		return r.signs()
	case r.Mode == Changelog && len(r.Stores) > 0:
		return &r.Stores[0]
	}
	return nil
}

// once is record's behind the step.
func (st *step) once() *store {
	if st.signs != nil {
		return st.signs
	}
	return &st.stores[0]
}

// findLanded is a claim's step behind the marks.
func (t *Table) findLanded(ctx context.Context) error {
	if err := t.checkShape(); err != nil {
		return err
	}
	if err := t.findUnmarked(ctx); err != nil {
		return err
	}
	t.landed = landed{windows: map[int]*window{}}
	s := t.rec.once()
	if s == nil {
		return nil // the ledger names a table before a row is in it
	}
	in := s.clone()
	t.landed.in = &in
	// A queue that the ledger has not seen may have rows below every mark.
	high := uint64(0)
	err := t.sink.conn.Query(ctx, t.comment(), fmt.Sprintf("SELECT %s FROM %s ORDER BY %[1]s DESC LIMIT 1",
		ddl.Ident(ddl.Seq), in.name(t.target)),
		func(scan func(...any) error) error { return scan(&high) })
	if err != nil && !isMissing(err) {
		return err
	}
	t.landed.high = event.Seq(high)
	return nil
}

// isThere is isLanded for a row of the step, whose mark will rest on it.
func (t *Table) isThere(ctx context.Context, st *step, q int, seq event.Seq, sign int) (bool, error) {
	there, err := t.isLanded(ctx, q, seq, sign)
	if there {
		st.landed[q] = max(st.landed[q], seq)
		t.sink.metrics.found.WithLabelValues(t.labels()...).Inc()
	}
	return there, err
}

// isLanded says that a queue's row is in the target already. A queue's rows come in the order
// of their numbers.
func (t *Table) isLanded(ctx context.Context, q int, seq event.Seq, sign int) (bool, error) {
	l := &t.landed
	if seq > l.high || l.in == nil || seeded.On(seeded.LandedSentAgain) {
		return false, nil
	}
	w, place := l.windows[q], l.place(seq, sign)
	if w == nil || place < w.from || place > w.to {
		var err error
		if w, err = t.window(ctx, seq, place); err != nil {
			return false, err
		}
		l.windows[q] = w
	}
	_, found := slices.BinarySearch(w.places, place)
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
	err := t.sink.conn.Query(ctx, t.comment(), fmt.Sprintf("SELECT count() FROM %s WHERE %s = ? AND %s = 'x'", s.name(t.target),
		ddl.Ident(ddl.Seq), ddl.Ident(ddl.Op)),
		func(scan func(...any) error) error { return scan(&n) }, uint64(seq))
	if isMissing(err) {
		err = nil
	}
	return n > 0, err
}

// window are the places that are there from one on, which is of a number.
func (t *Table) window(ctx context.Context, seq event.Seq, from uint64) (*window, error) {
	l := &t.landed
	w := &window{from: from, to: l.place(l.high, 1)}
	query := fmt.Sprintf("SELECT DISTINCT %s AS n FROM %s WHERE %s >= ? AND %[3]s <= ? AND n >= ? ORDER BY n LIMIT %d",
		l.placed(), l.in.name(t.target), ddl.Ident(ddl.Seq), t.sink.windowRows)
	err := t.sink.conn.Query(ctx, t.comment(), query, func(scan func(...any) error) error {
		var n uint64
		err := scan(&n)
		w.places = append(w.places, n)
		return err
	}, uint64(seq), uint64(l.high), from)
	if len(w.places) == t.sink.windowRows {
		w.to = w.places[len(w.places)-1]
	}
	return w, err
}
