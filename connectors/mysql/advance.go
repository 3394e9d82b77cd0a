package mysql

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/millrace/millrace/connectors/mysql/decode"
	"github.com/millrace/millrace/pipeline/event"
)

// step does what is due at a boundary: wishes, results of jobs, marks and chunks whose
// place is reached, new jobs.
func (as *attempts) step(ctx context.Context) error {
	if as.source.wished.Swap(false) {
		if err := as.wishes(ctx); err != nil {
			return err
		}
	}
	if len(as.all) == 0 {
		return nil
	}
	as.applyResults()
	here := as.stand.stands()
	for _, a := range slices.Clone(as.all) {
		if as.stand.full() {
			return nil
		}
		if err := as.advance(a, here); err != nil {
			return err
		}
	}
	return nil
}

func (as *attempts) applyResults() {
	if !as.some.Swap(false) {
		return
	}
	as.mu.Lock()
	results := as.results
	as.results = nil
	as.mu.Unlock()
	for _, r := range results {
		if r.done {
			as.running--
		}
		if r.a.ctx.Err() == nil {
			r.apply()
		}
	}
}

// wishes applies what other goroutines asked for.
func (as *attempts) wishes(ctx context.Context) error {
	requests, holds := as.source.takeWishes()
	asking, cancel := context.WithTimeout(ctx, resumeTimeout)
	defer cancel()
	for name, hold := range holds {
		if t := as.tables.all[name]; t != nil {
			if err := as.tables.hold(asking, t, hold); err != nil {
				as.source.wishAgain(requests, holds)
				return fmt.Errorf("%w: definition of %s: %w", errAskAgain, name, err)
			}
		}
	}
	for _, r := range requests {
		t := as.tables.all[r.table]
		switch {
		case t != nil && t.blind != "": // one follows when its definition is known
		case t == nil || !t.defined():
			as.source.log.Warn("snapshot not begun: the table is not captured", slog.String("table", r.table.String()))
		case t.paused != nil:
			as.source.log.Warn("snapshot not begun: the table is paused", slog.String("table", r.table.String()),
				slog.String("reason", string(t.paused.Code)))
		default:
			a := as.of(t)
			own := a != nil && a.own && a.ev.Begin == 0
			as.request(t, r.cause)
			as.of(t).own = own // whoever asks keeps what it asks for
		}
	}
	return nil
}

// advance takes an attempt one stage further, if the reader's place permits.
func (as *attempts) advance(a *attempt, here place) error {
	if !a.t.defined() || a.t.paused != nil {
		as.drop(a)
		return nil
	}
	switch a.stage {
	case stageDue:
		if as.running < jobsBesides {
			a.enter(stageLocating)
			as.locate(a)
		}
	case stageApproaching:
		as.approach(a, here)
	case stageReading:
		return as.readOn(a, here)
	case stageArriving, stageHanding:
		as.arrive(a, here)
	case stageResolving:
		as.finish(a)
	}
	return nil
}

// locate finds the server's end, which the reader must reach before BEGIN.
func (as *attempts) locate(a *attempt) {
	srv, name := *as.server, a.t.name
	as.job(a, func(ctx context.Context) func() {
		end, estimate, err := as.ask.endAndSize(ctx, &srv, name)
		return func() {
			if err != nil {
				a.enter(stageDue)
				as.failed(a, err)
				return
			}
			a.goal, a.ev.Estimate = end, estimate
			a.enter(stageApproaching)
		}
	})
}

// begin hands BEGIN over.
func (as *attempts) begin(a *attempt) {
	a.ev.Begin, as.tables.changed = as.stand.reserve(1), true
	ev, at := a.ev, as.stand.here()
	a.last = at
	as.stand.emit(event.Item{Kind: event.KindBegin, Seq: ev.Begin, Table: a.t.ev, Commit: &at, Attempt: &ev})
	as.source.log.Info("snapshot begins", slog.String("table", a.t.name.String()), slog.Uint64("attempt", uint64(ev.Begin)),
		slog.String("cause", ev.Cause))
}

// hand hands rows over as one chunk with fresh numbers, and the end of the chunk.
func (as *attempts) hand(a *attempt, rows []event.Image, cursor []byte) {
	before, seq := a.ev, event.Seq(0)
	if len(rows) > 0 {
		start := as.stand.here()
		first := as.stand.reserve(uint64(len(rows)))
		tx := &event.Tx{
			ID:         fmt.Sprintf("snap/%d/%d", uint64(a.ev.Begin), first.Counter()),
			CommitTime: time.Now().Add(as.server.ahead).UTC().Truncate(time.Microsecond), Start: start,
		}
		for i, img := range rows {
			seq = first + chunkStep*event.Seq(i)
			as.stand.emit(event.Item{Kind: event.KindRow, Op: event.OpRead, Index: uint64(i), Seq: numberInChunk(first, i),
				Table: a.t.ev, Tx: tx, After: img, Attempt: &before})
		}
	}
	a.ev.Chunk++
	a.ev.Cursor = cursor
	a.ev.Rows += uint64(len(rows))
	a.t.rows += uint64(len(rows))
	ev, commit := a.ev, as.stand.here()
	a.last = commit
	as.stand.emit(event.Item{Kind: event.KindChunkEnd, Seq: seq, Table: a.t.ev, Commit: &commit, Attempt: &ev})
	as.source.metrics.snapshotRows.Add(float64(len(rows)))
}

// finish hands END over once every chunk is resolved: a chunk that is lost before that
// has its attempt begun anew, so END must not be on its way yet.
func (as *attempts) finish(a *attempt) {
	resolved := as.source.takeResolved()
	if resolved.Epoch < a.last.Epoch || resolved.Epoch == a.last.Epoch && resolved.Counter < a.last.Counter {
		return
	}
	seq := as.stand.reserve(1)
	ev, at := a.ev, as.stand.here()
	as.stand.emit(event.Item{Kind: event.KindEnd, Seq: seq, Table: a.t.ev, Commit: &at, Attempt: &ev})
	as.source.log.Info("snapshot complete", slog.String("table", a.t.name.String()), slog.Uint64("attempt", uint64(ev.Begin)),
		slog.Uint64("rows", ev.Rows))
	again := a.again
	as.drop(a)
	if again {
		as.owe(a.t, causeCascade)
	}
}

// failed counts a failure of an attempt's job; too many in a row that do not pass by
// themselves pause the table.
func (as *attempts) failed(a *attempt, err error) {
	a.failures++
	a.lastErr, a.quotes = err.Error(), !temporary(err)
	as.source.metrics.chunks.WithLabelValues("failed").Inc()
	as.ask.anew() // what was granted meanwhile is seen by new connections only
	at := []any{slog.String("table", a.t.name.String()), slog.Int("failures", a.failures)}
	if !a.quotes { // a value that must not leave could be in it; the table's status knows of that
		at = append(at, slog.Any("error", err))
	}
	as.source.log.Warn("snapshot read failed", at...)
	if errors.Is(err, decode.ErrKey) {
		as.tables.pause(a.t, pauseKeyText, err.Error())
	} else if a.failures > snapshotFailure && (!temporary(err) || errors.Is(err, errCut)) {
		as.tables.pause(a.t, pauseSnapshot, err.Error())
	}
}

// anew begins an attempt anew whose job failed: its failures count on.
func (as *attempts) anew(a *attempt) {
	as.request(a.t, a.ev.Cause)
	if b := as.of(a.t); b != nil {
		b.failures, b.lastErr, b.quotes = a.failures, a.lastErr, a.quotes
	}
}

// job runs fn in the background; what it returns is applied by the goroutine of Next.
func (as *attempts) job(a *attempt, fn func(ctx context.Context) func()) {
	as.running++
	as.wg.Add(1)
	delay := time.Duration(0)
	if a.failures > 0 {
		delay = backoff(a.failures)
	}
	ctx := a.ctx
	go func() {
		defer as.wg.Done()
		apply := func() {}
		if delay == 0 || pauseFor(ctx, ctx, delay) == nil {
			apply = fn(ctx)
		}
		as.post(a, true, apply)
	}()
}

// post hands a result to the goroutine of Next.
func (as *attempts) post(a *attempt, done bool, apply func()) {
	as.mu.Lock()
	as.results = append(as.results, result{a: a, done: done, apply: apply})
	as.mu.Unlock()
	as.some.Store(true)
	as.source.poke()
}
