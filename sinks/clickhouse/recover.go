package clickhouse

import (
	"context"
	"fmt"
	"log/slog"
	"slices"

	"github.com/millrace/millrace/internal/seeded"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/sinks/clickhouse/ddl"
	"github.com/millrace/millrace/sinks/ledger"
)

// readBack finds what is true in the target (K4, K5). Nobody else writes there now.
func (t *Table) readBack(ctx context.Context) error {
	entries, err := t.entries(ctx)
	if err != nil {
		return err
	}
	if len(entries) == 0 {
		t.rec = &record{
			Pipeline: t.claim.Pipeline, Sink: t.claim.Sink, DB: t.claim.Table.DB, Table: t.claim.Table.Table,
			Database: t.target.Database, View: t.target.Table, Life: t.lifeNow,
		}
		t.led = &ledger.Table{Generation: t.claim.Generation}
		return nil
	}
	t.rec, t.slot, t.slotAt = entries[0].rec, entries[0].slot, entries[0].at
	if now := t.sink.now(); t.slotAt.After(now) { // by the server's clock
		t.slotAt = now
	}
	if t.led, err = t.rec.table(t.claim.Generation); err != nil {
		return err
	}
	if t.rec.Life != t.lifeNow {
		t.rewind(entries)
	}
	if err := t.findAbsent(ctx); err != nil {
		return err
	}
	if err := t.believe(ctx, entries); err != nil {
		return err
	}
	t.comeAgain(entries)
	if err := t.sumsComeAgain(ctx); err != nil {
		return err
	}
	t.rec.put(t.led) // what is written beside the stream has the marks as they are now
	return nil
}

// rewind takes the marks back to what they were before anything that the server may have
// lost when it started anew: all of it was acknowledged within the time that Rewind says
// before the last entry of the ledger. While an earlier rewind is not made good, its begin
// holds: what was sent again since may be lost as well.
func (t *Table) rewind(entries []entry) {
	if t.sink.cfg.Rewind == 0 || seeded.On(seeded.RestartUnnoticed) {
		t.rec.Life, t.rec.Again = t.lifeNow, nil
		return
	}
	a := t.rec.Again
	if a == nil {
		a = &again{}
		before := entries[0].at.Add(-t.sink.cfg.Rewind.D())
		for _, e := range entries {
			if !e.at.After(before) {
				a.From, a.Ends = e.rec.Queues, e.rec.Ends
				break
			}
		}
		for _, q := range t.led.Queues {
			a.To = append(a.To, q.Seq)
		}
	}
	for i := range t.led.Queues {
		q := &t.led.Queues[i]
		var from queueRecord
		if i < len(a.From) {
			from = a.From[i]
		}
		if from.Seq < q.Seq {
			q.Seq, q.At, q.High, q.Done = from.Seq, from.ID, from.High, from.Done
			t.rec.Queues[i].In = from.In
		}
	}
	t.rec.Again = a
	t.log.Warn("the server has started anew; rows are sent to it again", slog.Any("from", seqs(t.led)), slog.Any("to", a.To))
}

// comeAgain takes queues whose marks went back out of the ENDs that they come to again: until
// then the view would show what lacks their rows.
func (t *Table) comeAgain(entries []entry) {
	for i := range t.led.Queues {
		if t.led.Queues[i].Seq >= t.rec.Queues[i].Seq {
			continue
		}
		passed := t.endsAt(entries, i)
		for k := range t.led.Ends {
			end := &t.led.Ends[k]
			if !slices.ContainsFunc(passed, func(e endRecord) bool { return e.Begin == end.Begin && slices.Contains(e.Passed, i) }) {
				end.Passed = slices.DeleteFunc(end.Passed, func(q int) bool { return q == i })
			}
		}
	}
}

// endsAt are the ENDs under way as an entry has them that has a queue's mark.
func (t *Table) endsAt(entries []entry, i int) []endRecord {
	at := func(list []queueRecord) bool {
		return i < len(list) && list[i].Seq == t.led.Queues[i].Seq && list[i].ID == t.led.Queues[i].At
	}
	for _, e := range entries {
		if at(e.rec.Queues) {
			return e.rec.Ends
		}
	}
	if a := t.rec.Again; a != nil && at(a.From) { // the entry was written over since
		return a.Ends
	}
	return nil
}

func seqs(t *ledger.Table) (out []event.Seq) {
	for i := range t.Queues {
		out = append(out, t.Queues[i].Seq)
	}
	return out
}

// madeGood ends a rewind once everything up to the old marks was sent again; ordinary
// acknowledgements before that say nothing (K5).
func (r *record) madeGood(life uint64) {
	if r.Again == nil {
		return
	}
	for q, to := range r.Again.To {
		if r.Queues[q].Seq < to {
			return
		}
	}
	r.Life, r.Again = life, nil
}

// findAbsent finds the stores whose tables somebody has dropped. They are made again by the
// next flush; their rows are lost, and the marks will say so.
func (t *Table) findAbsent(ctx context.Context) error {
	t.absent = nil
	for i := max(shownAt(t.rec.Stores, t.whole()), 0); i < len(t.rec.Stores); i++ {
		name, there := t.rec.Stores[i].name(t.target), uint64(0)
		err := t.sink.conn.Query(ctx, t.comment(), "SELECT count() FROM system.tables WHERE database = ? AND name = ?",
			func(scan func(...any) error) error { return scan(&there) }, name.Database, name.Table)
		if err != nil {
			return err
		}
		if there == 0 {
			t.absent = append(t.absent, t.rec.Stores[i].Number)
			t.log.Warn("a table of the target is gone; it is made again", slog.String("gone", name.Plain()))
		}
	}
	return t.findAbsentSigns(ctx)
}

// guarded are the stores whose rows the marks rest on.
func (t *Table) guarded() (out []*store) {
	for i := max(shownAt(t.rec.Stores, t.whole()), 0); i < len(t.rec.Stores); i++ {
		out = append(out, &t.rec.Stores[i])
	}
	if s := t.rec.signs(); s != nil && !slices.Contains(t.absent, signsNumber) {
		out = append(out, s)
	}
	return out
}

// believe compares each mark with the rows that are there, in each store that is shown or will
// be (K4). Where they are fewer, the mark goes back to the newest entry of the ledger whose
// rows are there.
func (t *Table) believe(ctx context.Context, entries []entry) error {
	marks, again := seqs(t.led), false
	for i := range t.led.Queues {
		for _, s := range t.guarded() {
			if err := t.believeIn(ctx, entries, i, s); err != nil {
				return err
			}
		}
		if was := t.led.Queues[i].Seq; was < marks[i] && was < t.rec.Swept {
			again = true
		}
		t.led.Queues[i].High = noted(highOf(t.rec.Queues[i].In), max(t.rec.Floor, t.rec.Swept))
	}
	if again {
		t.fromTheBeginning()
	}
	return nil
}

// fromTheBeginning has all queues sent again. A row comes again of which the deletion came
// through another queue, and is gone.
func (t *Table) fromTheBeginning() {
	for i := range t.led.Queues {
		t.led.Queues[i] = ledger.Queue{ID: t.led.Queues[i].ID}
		t.rec.Queues[i].In = nil
	}
}

// believeIn is believe for a queue in a store.
func (t *Table) believeIn(ctx context.Context, entries []entry, i int, s *store) error {
	q, least := t.led.Queues[i], max(t.rec.Floor, t.rec.Swept)
	if s.Layout == ddl.Halves {
		least = 0 // nothing goes from there
	} else if slices.Contains(t.absent, s.Number) {
		least = t.rec.Floor // what a sweep has left there is gone too
	} else if t.shape.TTL != "" {
		return nil // rows go by themselves
	}
	q.High = noted(t.rec.Queues[i].In[s.noted()], least)
	if q.High == 0 || seeded.On(seeded.MarkBelieved) {
		return nil
	}
	highest, err := t.highest(ctx, s, &q, i)
	if err != nil {
		return err
	}
	was, places := q.Seq, t.earlier(entries, i, s)
	if !q.Believe(highest, places) {
		return nil
	}
	t.led.Queues[i], t.rec.Queues[i].In = q, nil
	for _, e := range entries {
		if i < len(e.rec.Queues) && e.rec.Queues[i].Seq == q.Seq && e.rec.Queues[i].ID == q.At {
			t.rec.Queues[i].In = e.rec.Queues[i].In
			break
		}
	}
	t.log.Warn("the target has lost rows that it had; they are sent again", slog.String("of", s.name(t.target).Plain()),
		slog.Int("queue", q.ID.Queue), slog.Any("mark", was), slog.Any("from", q.Seq))
	return nil
}

// earlier are a queue's places as the ledger's entries have them, newest first, with the
// numbers of one store. What a sweep may have removed counts as rows: a place below it is no
// place where none was.
func (t *Table) earlier(entries []entry, i int, s *store) (out []ledger.Queue) {
	least := t.rec.Floor
	if s.Layout == ddl.Halves {
		least = 0
	}
	for _, e := range entries {
		if i < len(e.rec.Queues) {
			q := e.rec.Queues[i].queue()
			q.High = noted(e.rec.Queues[i].In[s.noted()], least)
			out = append(out, q)
		}
	}
	return out
}

// noted is the highest number of a queue's rows that should be there, 0 for none: what is
// below the floor may have been removed.
func noted(high, floor event.Seq) event.Seq {
	if high < floor {
		return 0
	}
	return high
}

// apart says that versions of the queue's rows may have come through other queues, after which
// the server keeps the newest one alone: a column chose the queue that is not of the primary
// key, or the number of queues was another one. Versions of a row without a key are never one.
func (t *Table) apart(q *ledger.Queue) bool {
	if t.claim.Keyless || t.shape.Mode == Changelog {
		return false
	}
	if q.High <= t.led.Rerouted {
		return true
	}
	var key []string
	if s := t.led.Schema; s != nil {
		for _, i := range s.PrimaryKey {
			key = append(key, s.Columns[i].Name)
		}
	}
	return slices.ContainsFunc(t.claim.Route, func(c string) bool { return !slices.Contains(key, c) })
}

// highest is the highest number that is there of the rows of a queue in a store, looked for
// from a number that should be: the index on _seq leaves little to read. Where versions of its
// rows come through other queues as well, it is that of all queues: what took a row's place is
// newer.
func (t *Table) highest(ctx context.Context, s *store, q *ledger.Queue, i int) (highest event.Seq, err error) {
	where, args := "_q = ? AND _seq >= ?", []any{uint16(i)}
	if s.Layout != ddl.Halves && t.apart(q) {
		where, args = "_seq >= ?", nil
	}
	for _, low := range []event.Seq{q.High, 0} {
		n := uint64(0)
		err := t.sink.conn.Query(ctx, t.comment(), fmt.Sprintf("SELECT max(_seq) FROM %s WHERE %s", s.name(t.target), where),
			func(scan func(...any) error) error { return scan(&n) }, append(slices.Clip(args), uint64(low))...)
		if err != nil && !isMissing(err) {
			return 0, err
		}
		if highest = event.Seq(n); highest > 0 {
			break
		}
	}
	return highest, nil
}
