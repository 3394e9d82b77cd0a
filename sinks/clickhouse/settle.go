package clickhouse

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/sinks/clickhouse/column"
	"github.com/millrace/millrace/sinks/clickhouse/ddl"
	"github.com/millrace/millrace/sinks/ledger"
)

// What the view shows is at some times other than what the halves add up to: behind the END of
// a snapshot, whose rows have no halves; behind a TRUNCATE; where a server that started anew has
// lost rows of either. The server then writes the difference, in one statement, as rows without a
// queue under the floor's number. It is computed from what is there: where the statement lands
// in part, or its outcome is not known, the next claim computes what is left of it, mostly
// nothing.
//
// That holds only where both sides have the same changes. Of a row that is in one of them and has
// no mark the other half of the work is still to come, and would be counted twice. So the sums
// are settled when
//
//   - every queue has passed what the claim found above its mark, in either table;
//   - nothing is sent again because the server started anew;
//   - no queue is before the place where the number of queues changed: rows of one key go
//     through one queue each;
//   - the view shows the newest definition.
//
// Marks at that time are noted: a change below them that comes again is in the sums, maybe by
// the difference alone, and has no halves any more.

// noQueue is the number of no queue.
const noQueue = 1<<16 - 1

// settleTime bounds a settling: that of a large table takes more than an answer may.
const settleTime = 12 * time.Hour

// unmarked are the highest numbers of rows that were there when the table was claimed, by
// store and queue, above the marks.
type unmarked map[int]map[int]event.Seq

// findUnmarked is a claim's step behind the marks.
func (t *Table) findUnmarked(ctx context.Context) error {
	t.unmarked, t.queuesKnown = unmarked{}, len(t.led.Queues)
	if t.shape.Mode != Signed {
		return nil
	}
	least := ^event.Seq(0)
	for _, seq := range seqs(t.led) {
		least = min(least, seq)
	}
	if len(t.led.Queues) == 0 {
		least = 0
	}
	for _, s := range t.stores() {
		high := map[int]event.Seq{}
		t.unmarked[s.noted()] = high
		query := fmt.Sprintf("SELECT _q, max(_seq) FROM %s WHERE _seq > ? AND _q != ? GROUP BY _q", s.name(t.target))
		err := t.sink.conn.Query(ctx, t.comment(), query,
			func(scan func(...any) error) error {
				var q uint16
				var n uint64
				err := scan(&q, &n)
				high[int(q)] = event.Seq(n)
				return err
			}, uint64(least), uint16(noQueue))
		if err != nil && !isMissing(err) {
			return err
		}
	}
	return nil
}

func (t *Table) stores() (out []*store) {
	for i := range t.rec.Stores {
		out = append(out, &t.rec.Stores[i])
	}
	if s := t.rec.signs(); s != nil {
		out = append(out, s)
	}
	return out
}

// passed says that the queues have brought again what was there without a mark. A queue's number
// that the ledger has lost may be that of any queue which has come since.
func (t *Table) passed(high map[int]event.Seq) bool {
	for q, seq := range high {
		from, to := q, q+1
		if q >= t.queuesKnown {
			from, to = t.queuesKnown, len(t.led.Queues)
			if to < max(t.led.Route, from+1) {
				return false
			}
		}
		for _, queue := range t.led.Queues[from:to] {
			if queue.Seq < seq {
				return false
			}
		}
	}
	return true
}

// unequal says why the view and the sums can't be compared now, "" where they can.
func (t *Table) unequal() string {
	s := shown(t.rec.Stores, t.whole())
	switch signs := t.rec.Signs; {
	case s == nil || !t.led.Founded():
		return "the table is not whole yet"
	case t.rec.Again != nil:
		return "rows are sent again, for the server has started anew"
	case !t.passed(t.unmarked[s.noted()]) || !t.passed(t.unmarked[signsNumber]):
		return "rows that were sent before come again first"
	case slices.ContainsFunc(t.led.Queues, func(q ledger.Queue) bool { return q.Seq < t.led.Rerouted }):
		return "queues are before the place where their number was changed"
	case !bytes.Equal(s.Schema, signs.Store.Schema):
		return "the view shows an older definition until a snapshot is complete"
	}
	return ""
}

// settleDue says that the sums are to be brought to what the view shows.
func (t *Table) settleDue() bool {
	return t.rec.Signs != nil && (t.rec.Signs.Due || t.led.Floor > t.rec.Signs.Floor)
}

// settle brings the sums to what the view shows, if that is due and can be. Rows of the step were
// written, and those of the next one were not.
func (t *Table) settle(ctx context.Context) error {
	due := t.settleDue()
	if t.rec.Signs != nil {
		t.sink.metrics.unsettled.WithLabelValues(t.labels()...).Set(map[bool]float64{true: 1}[due])
	}
	if !due || t.unequal() != "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	start := t.sink.now()
	wrote, err := t.writeDifference(ctx)
	if err != nil {
		return fmt.Errorf("bring the sums of %s to the view: %w", t.rec.Signs.Store.name(t.target).Plain(), err)
	}
	rec, signs := *t.rec, *t.rec.Signs
	if signs.Wrote, err = t.settledRows(ctx, t.led.Floor); err != nil {
		return err
	}
	signs.Due, signs.Floor, signs.Covered = false, t.led.Floor, seqs(t.led)
	rec.Signs = &signs
	if err := t.writeRecord(ctx, &rec); err != nil {
		return err
	}
	t.rec = &rec
	t.sink.metrics.unsettled.WithLabelValues(t.labels()...).Set(0)
	if wrote {
		t.log.Info("the sums of signs were brought to what the view shows", slog.Duration("took", t.sink.now().Sub(start)))
	}
	return nil
}

// writeDifference has the server write it, if there is any.
func (t *Table) writeDifference(ctx context.Context) (wrote bool, err error) {
	sums, err := t.sums(t.rec, t.led)
	if err != nil {
		return false, err
	}
	differ := uint8(0)
	err = t.sink.conn.Query(ctx, t.comment(), sums.Differ(), func(scan func(...any) error) error { return scan(&differ) })
	if err != nil || differ == 0 {
		return false, err
	}
	return true, t.exec(ctx, sums.Insert(uint64(t.led.Floor), noQueue, t.claim.Generation))
}

// settledRows counts the rows of differences that were written under a floor.
func (t *Table) settledRows(ctx context.Context, floor event.Seq) (n uint64, err error) {
	query := fmt.Sprintf("SELECT count() FROM %s WHERE _seq = ? AND _q = ?", t.rec.Signs.Store.name(t.target))
	err = t.sink.conn.Query(ctx, t.comment(), query,
		func(scan func(...any) error) error { return scan(&n) }, uint64(floor), uint16(noQueue))
	return n, err
}

// sums compares the shown store with the table of halves, column by column.
func (t *Table) sums(rec *record, led *ledger.Table) (*ddl.Sums, error) {
	s, signs := shown(rec.Stores, max(led.Floor, led.Born)), rec.signs()
	v, err := s.view(t.target, led.Floor, t.types)
	if err != nil {
		return nil, err
	}
	v.Alive = s.gone() >= 0 // what was kept of a mirror before
	if hasRaw(rec.Stores) {
		if v, err = s.rawView(v); err != nil {
			return nil, err
		}
	}
	out := &ddl.Sums{Shown: v, Of: signs.name(t.target)}
	for _, c := range v.Columns {
		of := s.column(c.From)
		to := signs.newest(of.Of.ID, false)
		if of.Raw {
			to = &signs.Columns[signs.raw(of.Of.ID)]
		}
		from := column.Cast(of.typ, to.typ, ddl.ShownColumn(c.Name))
		if from == "" {
			from = ddl.ShownColumn(c.Name)
		}
		out.Columns = append(out.Columns, ddl.SumColumn{Name: to.Name, Type: to.Type, From: from})
	}
	return out, nil
}

// column is a store's column by its name.
func (s *store) column(name string) *targetColumn {
	i := slices.IndexFunc(s.Columns, func(c targetColumn) bool { return c.Name == name })
	return &s.Columns[i]
}

// describeSums has the ledger say which columns readers compare.
func (t *Table) describeSums(rec *record, led *ledger.Table) error {
	if rec.Signs == nil {
		return nil
	}
	signs := *rec.Signs
	rec.Signs, signs.Columns = &signs, nil
	s := shown(rec.Stores, max(led.Floor, led.Born))
	if s == nil || !bytes.Equal(s.Schema, signs.Store.Schema) {
		return nil
	}
	sums, err := t.sums(rec, led)
	if err != nil {
		return err
	}
	for i, c := range sums.Columns {
		signs.Columns = append(signs.Columns, [2]string{sums.Shown.Columns[i].Name, c.Name})
	}
	return nil
}

// ensureSigns makes the table of halves of a mirror that has none, or had one.
func (t *Table) ensureSigns(ctx context.Context) error {
	there := t.rec.Signs != nil && !slices.Contains(t.absent, signsNumber)
	if t.shape.Mode != Signed || t.led.Schema == nil || len(t.rec.Stores) == 0 || there {
		return nil
	}
	st := t.batch.last()
	defer t.reset()
	if err := t.defineSigns(st); err != nil {
		return err
	}
	st.needRaws()
	if err := t.alter(ctx, st); err != nil {
		return err
	}
	rec := *t.rec
	rec.Stores = st.stores
	rec.putSigns(st)
	if err := t.describe(&rec, t.led); err != nil {
		return err
	}
	if err := t.writeRecord(ctx, &rec); err != nil {
		return err
	}
	t.rec, t.absent = &rec, nil
	return nil
}

// sumsComeAgain has the sums settled again behind a loss: of the difference nobody sends
// anything again.
func (t *Table) sumsComeAgain(ctx context.Context) error {
	if t.rec.Signs == nil || t.rec.Signs.Due {
		return nil
	}
	there, err := t.settledRows(ctx, t.rec.Signs.Floor)
	if err != nil {
		return err
	}
	back := t.rec.Again != nil || there < t.rec.Signs.Wrote
	for i := range t.led.Queues {
		back = back || t.led.Queues[i].Seq < t.rec.Queues[i].Seq
	}
	t.rec.Signs.Due = back
	return nil
}
