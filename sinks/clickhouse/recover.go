package clickhouse

import (
	"context"
	"fmt"
	"log/slog"
	"slices"

	"github.com/millrace/millrace/internal/seeded"
	"github.com/millrace/millrace/pipeline/event"
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
	return t.believe(ctx, entries)
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
				a.From = e.rec.Queues
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
		}
	}
	t.rec.Again = a
	t.log.Warn("the server has started anew; rows are sent to it again", slog.Any("from", seqs(t.led)), slog.Any("to", a.To))
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

// believe compares each mark with the rows that are there (K4). Where they are fewer, the
// mark goes back to the newest entry of the ledger whose rows are there.
func (t *Table) believe(ctx context.Context, entries []entry) error {
	for i := range t.led.Queues {
		q := &t.led.Queues[i]
		q.High = noted(q.High, t.rec.Floor)
		if q.High == 0 || seeded.On(seeded.MarkBelieved) {
			continue
		}
		highest, err := t.highest(ctx, i, q.High)
		if err != nil {
			return err
		}
		was := q.Seq
		if !q.Believe(highest, t.earlier(entries, i)) {
			continue
		}
		t.log.Warn("the target has lost rows that it had; they are sent again",
			slog.Int("queue", q.ID.Queue), slog.Any("mark", was), slog.Any("from", q.Seq))
	}
	return nil
}

// earlier are a queue's places as the ledger's entries have them, newest first.
func (t *Table) earlier(entries []entry, i int) (out []ledger.Queue) {
	for _, e := range entries {
		if i < len(e.rec.Queues) {
			q := e.rec.Queues[i].queue()
			q.High = noted(q.High, t.rec.Floor)
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
	if t.claim.Keyless {
		return false
	}
	if q.High <= t.led.RouteAt {
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

// highest is the highest number that is there of the rows of a queue, looked for from a number
// that should be: the index on _seq leaves little to read. Where versions of its rows come
// through other queues as well, it is that of all queues: what took a row's place is newer.
func (t *Table) highest(ctx context.Context, q int, from event.Seq) (highest event.Seq, err error) {
	where, args := "_q = ? AND _seq >= ?", []any{uint16(q)}
	if t.apart(&t.led.Queues[q]) {
		where, args = "_seq >= ?", nil
	}
	for _, low := range []event.Seq{from, 0} {
		for i := range t.rec.Stores {
			n := uint64(0)
			err := t.sink.conn.Query(ctx, t.comment(), fmt.Sprintf("SELECT max(_seq) FROM %s WHERE %s", t.rec.Stores[i].name(t.target), where),
				func(scan func(...any) error) error { return scan(&n) }, append(slices.Clip(args), uint64(low))...)
			if err != nil && !isMissing(err) {
				return 0, err
			}
			highest = max(highest, event.Seq(n))
		}
		if highest > 0 {
			break
		}
	}
	return highest, nil
}
