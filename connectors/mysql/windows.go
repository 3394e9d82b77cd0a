package mysql

import (
	"context"
	"fmt"

	"github.com/millrace/millrace/connectors/mysql/snapshot"
	"github.com/millrace/millrace/internal/seeded"
	"github.com/millrace/millrace/pipeline/event"
)

// reading is how far a table with a key was read, window by window.
type reading struct {
	of      *snapshot.Plan
	next    snapshot.Key // where the next window begins
	windows []*window
	bound   bool              // the last window's end is not known yet
	all     bool              // the last window is the table's last
	touched map[string]uint64 // key → serial of the transaction that touched it last
	bytes   int
	retryAt place // the reader must be past it before the next try
}

// window is a chunk that is being read, or waits for its place.
type window struct {
	lo, hi    snapshot.Key
	last      bool
	since     uint64 // serial of the last transaction before it
	chunk     *chunk
	discarded bool
}

// throw throws the windows away.
func (r *reading) throw() {
	for _, w := range r.windows {
		w.discarded = true
	}
	r.windows = nil
}

// forget drops touched keys that no window asks for any more.
func (r *reading) forget() {
	if r.bytes < maxTouched/4 || len(r.windows) == 0 {
		return
	}
	since := r.windows[0].since
	for k, at := range r.touched {
		if at <= since {
			delete(r.touched, k)
			r.bytes -= len(k) + touchedCost
		}
	}
}

// approach waits for the place of BEGIN and begins there.
func (as *attempts) approach(a *attempt, here place) {
	if a.t.ev.Keyless {
		as.approachWhole(a, here)
		return
	}
	if here.less(a.goal) {
		return
	}
	if err := a.plan(as.tables); err != nil {
		as.tables.pause(a.t, pauseSnapshot, err.Error())
		return
	}
	a.enter(stageReading)
	if !seeded.On(seeded.BeginLate) {
		as.begin(a)
	}
	as.launch(a, here)
}

// readOn hands over what is ready, and reads on.
func (as *attempts) readOn(a *attempt, here place) error {
	if err := as.emitReady(a, here); err != nil {
		return err
	}
	as.launch(a, here)
	if a.all && len(a.windows) == 0 {
		a.enter(stageResolving)
		as.finish(a)
	}
	return nil
}

// launch begins windows while there is room.
func (as *attempts) launch(a *attempt, here place) {
	parallel := as.source.cfg.Snapshot.Parallel
	if a.bound || a.all || a.retryAt.file != "" && here.less(a.retryAt) || as.running >= parallel || len(a.windows) > parallel {
		return
	}
	if len(a.windows) == 0 {
		clear(a.touched)
		a.bytes = 0
	}
	w := &window{lo: a.next, since: as.stand.transactions()}
	a.windows = append(a.windows, w)
	a.bound = true
	job := &chunkJob{opts: as.options(), server: *as.server, plan: a.of, lo: a.next,
		rows: as.source.cfg.Snapshot.ChunkRows, low: as.stand.here(), maxBytes: maxChunkBytes}
	// The window's end is known before its rows are: the next window can begin.
	job.found = func(hi snapshot.Key) {
		as.post(a, false, func() {
			if !w.discarded {
				a.next, a.all, a.bound = hi, hi == nil, false
				w.hi, w.last = hi, hi == nil
			}
		})
	}
	as.job(a, func(ctx context.Context) func() {
		ch, err := job.run(ctx)
		return func() {
			switch {
			case w.discarded:
			case err != nil:
				as.chunkFailed(a, err, ch)
			default:
				w.chunk = ch
				a.failures = 0
			}
		}
	})
}

// chunkFailed throws the windows away and waits until the reader is past the place
// where it happened: most likely the table is another one there.
func (as *attempts) chunkFailed(a *attempt, err error, ch *chunk) {
	as.failed(a, err)
	if ch != nil {
		a.retryAt = ch.high
	}
	if err := a.plan(as.tables); err != nil {
		as.anew(a)
	}
}

// emitReady hands over the chunks whose place the reader has passed, in order.
func (as *attempts) emitReady(a *attempt, here place) error {
	for len(a.windows) > 0 && !as.stand.full() {
		w := a.windows[0]
		if w.chunk == nil || w.hi == nil && !w.last || here.less(w.chunk.high) {
			return nil
		}
		if err := as.emit(a, w); err != nil {
			return err
		}
		a.windows = a.windows[1:]
		a.forget()
		if w.chunk.cut {
			// What is left of the window is read before those behind it.
			a.ev.Cursor = w.chunk.end.Encode()
			if err := a.plan(as.tables); err != nil {
				return err
			}
		}
	}
	return nil
}

// emit hands over the rows of a chunk that nobody touched since its window was opened.
func (as *attempts) emit(a *attempt, w *window) error {
	s := a.t.ev.Schema
	if a.ev.Begin == 0 {
		as.begin(a) // seeded bug: the number is taken too late
	}
	rows := w.chunk.images[:0]
	var stack [128]byte
	for _, img := range w.chunk.images {
		key, err := event.AppendKey(stack[:0], img, s, s.PrimaryKey)
		if err != nil {
			return fmt.Errorf("snapshot of %s: %w", a.t.name, err)
		}
		if at, ok := a.touched[string(key)]; !ok || at <= w.since {
			rows = append(rows, img)
		}
	}
	next := w.hi
	if w.chunk.cut {
		next = w.chunk.end
	} else if w.last && len(w.chunk.images) > 0 {
		next = nil // the cursor stays: reading on from it finds nothing that matters
	}
	cursor := a.ev.Cursor
	if next != nil {
		cursor = next.Encode()
	}
	as.hand(a, rows, cursor)
	as.source.metrics.chunks.WithLabelValues("emitted").Inc()
	return nil
}
