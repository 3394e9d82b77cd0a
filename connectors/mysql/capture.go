package mysql

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/connectors/mysql/schema"
	"github.com/millrace/millrace/connectors/mysql/snapshot"
	"github.com/millrace/millrace/internal/seeded"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
)

// What an attempt may hold in memory; beyond it windows are thrown away and begun anew.
const (
	maxTouched      = 32 << 20
	maxChunkBytes   = 32 << 20
	snapshotFailure = 5
)

// capture runs the attempts of an opening: it asks for chunks in the background and
// hands their rows over where the reader may. All but the results belong to the
// goroutine that calls Next.
type capture struct {
	o        *opening
	attempts []*attempt // in the order they were asked for
	running  int
	end      event.Position // the server's end when last seen
	wg       sync.WaitGroup
	some     atomic.Bool // results are there

	mu      sync.Mutex
	results []result
}

// The stages of an attempt.
type stage uint8

const (
	asked   stage = iota // nothing is known yet
	asking               // a job asks for the server's end
	nearing              // the reader is on its way there
	reading              // BEGIN was handed over; windows come and go
	ending               // every row was handed over; their groups are not resolved yet
)

// attempt is one snapshot of one table in progress.
type attempt struct {
	t     *table
	ev    event.Attempt
	stage stage
	goal  place // BEGIN's: the server's end when the snapshot was asked for
	plan  *snapshot.Plan

	planned    snapshot.Key // where the next window begins
	plannedAll bool
	planning   bool
	windows    []*window
	touched    map[string]uint64 // key → serial of the transaction that touched it last
	bytes      int

	retryAt  place // the reader must be past it before the next try
	failures int
	lastErr  string
	again    bool // another attempt is due when this one is through
	last     event.Position
	keyless  *keyless
	cancel   context.CancelFunc
	ctx      context.Context
}

// window is a chunk that is being read, or waits for its place.
type window struct {
	lo, hi  snapshot.Key
	last    bool
	since   uint64 // serial of the last transaction before it
	chunk   *chunk
	discard bool
}

// result is what a job found; the goroutine of Next applies it.
type result struct {
	a     *attempt
	done  bool // the job is over
	apply func()
}

func newCapture(o *opening) *capture { return &capture{o: o} }

// resume takes up the attempts of the position: those in progress go on at their
// cursor, those without BEGIN begin.
func (c *capture) resume(all []event.Attempt) {
	for _, ev := range all {
		t := c.o.tables[ev.Table]
		if t == nil || t.ev == nil || t.paused != nil {
			continue // resuming a paused table asks for a snapshot
		}
		if ev.Begin != 0 && !t.ev.Keyless {
			a := c.add(t, ev.Cause)
			a.ev, a.stage = ev, reading
			a.last = c.o.boundary
			if err := a.prepare(c.o); err == nil {
				continue
			}
			c.drop(a)
		}
		c.add(t, ev.Cause)
	}
}

// prepare plans the reading from the cursor on.
func (a *attempt) prepare(o *opening) (err error) {
	if a.plan, err = snapshot.NewPlan(a.t.ev.Schema, o.server.maria); err != nil {
		return err
	}
	a.planned, err = snapshot.DecodeKey(a.ev.Cursor, a.plan.Columns())
	a.plannedAll, a.planning = false, false
	for _, w := range a.windows {
		w.discard = true
	}
	a.windows, a.touched, a.bytes = nil, map[string]uint64{}, 0
	return err
}

func (c *capture) add(t *table, cause string) *attempt {
	a := &attempt{t: t, ev: event.Attempt{Table: t.name, Cause: cause}}
	a.ctx, a.cancel = context.WithCancel(c.o.ctx)
	c.attempts = append(c.attempts, a)
	return a
}

func (c *capture) of(t *table) *attempt {
	for _, a := range c.attempts {
		if a.t == t {
			return a
		}
	}
	return nil
}

func (c *capture) drop(a *attempt) {
	a.cancel()
	for _, w := range a.windows {
		w.discard = true
	}
	if a.keyless != nil {
		a.keyless.close()
	}
	c.attempts = slices.DeleteFunc(c.attempts, func(b *attempt) bool { return a == b })
}

func (c *capture) close() {
	for _, a := range slices.Clone(c.attempts) {
		c.drop(a)
	}
	c.wg.Wait()
}

// request begins an attempt of a table, anew if one is in progress.
func (c *capture) request(t *table, cause string) {
	if a := c.of(t); a != nil {
		c.drop(a)
	}
	if t.ev == nil || t.ev.Schema == nil || t.paused != nil {
		return // resuming a paused table asks for one
	}
	c.add(t, cause)
}

// abandon ends a table's attempt: its caller pauses the table or it is gone.
func (o *opening) abandon(t *table, why string) {
	if a := o.snap.of(t); a != nil {
		o.s.log.Info("snapshot abandoned", "table", t.name.String(), "cause", why)
		o.snap.drop(a)
	}
}

// discard throws away what was read of a table but not handed over yet: a statement
// changed the table between the reading and its place.
func (c *capture) discard(t *table) {
	a := c.of(t)
	if a == nil {
		return
	}
	if a.keyless != nil {
		c.request(t, a.ev.Cause)
		return
	}
	if a.stage == reading {
		c.o.s.metrics.chunks.WithLabelValues("discarded").Add(float64(len(a.windows)))
		if err := a.prepare(c.o); err != nil {
			c.request(t, "the table's key changed: "+a.ev.Cause)
		}
	}
}

// restart begins an attempt in progress anew; one that is not in progress is for the
// caller of the source to ask for.
func (c *capture) restart(t *table, cause string) {
	if a := c.of(t); a != nil {
		c.request(t, cause)
	}
}

// cascade notes that a foreign key changed the table without rows in the log.
func (c *capture) cascade(t *table) {
	const cause = "a foreign key changed rows that the server does not log"
	if a := c.of(t); a != nil {
		a.again = true
		return
	}
	c.o.s.log.Warn("rows changed that the server does not log", "table", t.name.String(), "remedy", "drop the cascading foreign key; a snapshot follows")
	c.add(t, cause)
}

// touch notes that a row was changed, for the windows of its table.
func (c *capture) touch(t *table, before, after event.Image) error {
	if len(c.attempts) == 0 {
		return nil
	}
	a := c.of(t)
	if a == nil || a.stage != reading || len(a.windows) == 0 {
		return nil
	}
	for _, img := range [2]event.Image{before, after} {
		if img == nil {
			continue
		}
		var stack [128]byte
		key, err := event.AppendKey(stack[:0], img, t.ev.Schema, t.ev.Schema.PrimaryKey)
		if err != nil {
			return err
		}
		if _, ok := a.touched[string(key)]; !ok {
			a.bytes += len(key) + 48
		}
		a.touched[string(key)] = c.o.tx.serial
	}
	if a.bytes > maxTouched {
		c.o.s.log.Warn("snapshot windows discarded", "table", t.name.String(), "reason", "too many rows changed while they were read")
		c.discard(t)
	}
	return nil
}

// holding reports whether the reader must stay where it is: a snapshot without a key is
// being opened or handed over.
func (c *capture) holding() bool {
	for _, a := range c.attempts {
		if a.keyless != nil && a.keyless.holds {
			return true
		}
	}
	return false
}

// forget drops touched keys that no window asks for any more.
func (a *attempt) forget() {
	if a.bytes < maxTouched/4 || len(a.windows) == 0 {
		return
	}
	since := a.windows[0].since
	for k, at := range a.touched {
		if at <= since {
			delete(a.touched, k)
			a.bytes -= len(k) + 48
		}
	}
}

// step does what is due at a boundary: wishes, results of jobs, marks and chunks whose
// place is reached, new jobs.
func (c *capture) step(ctx context.Context) error {
	o := c.o
	if o.s.wished.Swap(false) {
		if err := c.wishes(ctx); err != nil {
			return err
		}
	}
	if len(c.attempts) == 0 {
		return nil
	}
	if c.some.Swap(false) {
		c.mu.Lock()
		results := c.results
		c.results = nil
		c.mu.Unlock()
		for _, r := range results {
			if r.done {
				c.running--
			}
			if r.a.ctx.Err() == nil {
				r.apply()
			}
		}
	}
	here := place{file: o.boundary.File, pos: o.boundary.Pos}
	for _, a := range slices.Clone(c.attempts) {
		if len(o.out) >= maxItems {
			return nil
		}
		if err := c.advance(a, here); err != nil {
			return err
		}
	}
	return nil
}

// wishes applies what other goroutines asked for.
func (c *capture) wishes(ctx context.Context) error {
	requests, holds := c.o.s.takeWishes()
	for name, hold := range holds {
		if t := c.o.tables[name]; t != nil {
			if err := c.o.hold(ctx, t, hold); err != nil {
				c.o.s.wishAgain(requests, holds)
				return fmt.Errorf("%w: definition of %s: %w", errAskAgain, name, err)
			}
		}
	}
	for _, r := range requests {
		t := c.o.tables[r.table]
		switch {
		case t == nil || t.ev == nil || t.ev.Schema == nil:
			c.o.s.log.Warn("snapshot not begun: the table is not captured", "table", r.table.String())
		case t.paused != nil:
			c.o.s.log.Warn("snapshot not begun: the table is paused", "table", r.table.String(), "reason", t.paused.Code)
		default:
			c.request(t, r.cause)
		}
	}
	return nil
}

// advance takes an attempt one stage further, if the reader's place permits.
func (c *capture) advance(a *attempt, here place) error {
	if a.t.ev == nil || a.t.ev.Schema == nil || a.t.paused != nil {
		c.drop(a)
		return nil
	}
	if a.t.ev.Keyless {
		return c.advanceKeyless(a, here)
	}
	switch a.stage {
	case asked:
		if c.running < 8 {
			a.stage = asking
			c.askEnd(a)
		}
	case nearing:
		if here.less(a.goal) {
			return nil
		}
		if err := a.prepare(c.o); err != nil {
			c.o.pause(a.t, event.PauseSnapshot, err.Error())
			return nil
		}
		a.stage = reading
		if !seeded.On("begin-late") {
			c.begin(a)
		}
		c.launch(a, here)
	case reading:
		if err := c.emitReady(a, here); err != nil {
			return err
		}
		c.launch(a, here)
		if a.plannedAll && len(a.windows) == 0 {
			a.stage = ending
			c.finish(a)
		}
	case ending:
		c.finish(a)
	}
	return nil
}

// askEnd finds the server's end, which the reader must reach before BEGIN.
func (c *capture) askEnd(a *attempt) {
	srv, name := c.o.server, a.t.name
	c.job(a, func(ctx context.Context) func() {
		end, set, err := srv.logEnd(ctx, c.o.db)
		var loaded *schema.Loaded
		if err == nil {
			loaded, err = schema.Load(ctx, c.o.db, name, srv.maria)
		}
		return func() {
			if err != nil {
				c.failed(a, err)
				a.stage = asked
				return
			}
			c.end = event.Position{Server: srv.identity, File: end.file, Pos: end.pos, GTIDSet: set}
			a.goal, a.stage = end, nearing
			if loaded != nil {
				a.ev.Estimate = loaded.Estimate
			}
		}
	})
}

// begin hands BEGIN over.
func (c *capture) begin(a *attempt) {
	o := c.o
	a.ev.Begin = o.reserve(1)
	ev := a.ev
	a.last = *o.position()
	o.out = append(o.out, event.Item{Kind: event.KindBegin, Seq: ev.Begin, Table: a.t.ev, Commit: o.position(), Attempt: &ev})
	o.s.log.Info("snapshot begins", "table", a.t.name.String(), "attempt", uint64(ev.Begin), "cause", ev.Cause)
}

// finish hands END over once every chunk is resolved: a chunk that is lost before that
// has its attempt begun anew, so END must not be on its way yet.
func (c *capture) finish(a *attempt) {
	o := c.o
	resolved := o.s.takeResolved()
	if resolved.Epoch < a.last.Epoch || resolved.Epoch == a.last.Epoch && resolved.Counter < a.last.Counter {
		return
	}
	seq := o.reserve(1)
	ev := a.ev
	o.out = append(o.out, event.Item{Kind: event.KindEnd, Seq: seq, Table: a.t.ev, Commit: o.position(), Attempt: &ev})
	o.s.log.Info("snapshot complete", "table", a.t.name.String(), "attempt", uint64(ev.Begin), "rows", ev.Rows)
	again := a.again
	c.drop(a)
	if again {
		c.add(a.t, "a foreign key changed rows that the server does not log")
	}
}

// launch begins windows while there is room.
func (c *capture) launch(a *attempt, here place) {
	if a.planning || a.plannedAll || a.retryAt.file != "" && here.less(a.retryAt) {
		return
	}
	if c.running >= c.o.s.cfg.Snapshot.Parallel || len(a.windows) > c.o.s.cfg.Snapshot.Parallel {
		return
	}
	if len(a.windows) == 0 {
		clear(a.touched)
		a.bytes = 0
	}
	w := &window{lo: a.planned, since: c.o.serial}
	a.windows = append(a.windows, w)
	a.planning = true
	job := &chunkJob{opts: c.o.s.snapshotOptions(&c.o.server), server: c.o.server, plan: a.plan, lo: a.planned,
		rows: c.o.s.cfg.Snapshot.ChunkRows, low: *c.o.position(), maxBytes: maxChunkBytes}
	// The window's end is known before its rows are: the next window can begin.
	job.found = func(hi snapshot.Key) {
		c.post(a, false, func() {
			if !w.discard {
				a.planned, a.plannedAll, a.planning = hi, hi == nil, false
				w.hi, w.last = hi, hi == nil
			}
		})
	}
	c.job(a, func(ctx context.Context) func() {
		ch, err := job.run(ctx)
		return func() {
			switch {
			case w.discard:
			case err != nil:
				c.chunkFailed(a, err, ch)
			default:
				w.chunk = ch
				a.failures = 0
			}
		}
	})
}

// chunkFailed throws the windows away and waits until the reader is past the place
// where it happened: most likely the table is another one there.
func (c *capture) chunkFailed(a *attempt, err error, ch *chunk) {
	c.failed(a, err)
	if ch != nil {
		a.retryAt = ch.high
	}
	if err := a.prepare(c.o); err != nil {
		c.request(a.t, a.ev.Cause)
	}
}

func (c *capture) failed(a *attempt, err error) {
	a.failures++
	a.lastErr = err.Error()
	c.o.s.metrics.chunks.WithLabelValues("failed").Inc()
	reconnect(c.o.db) // what was granted meanwhile is seen by new connections only
	c.o.s.log.Warn("snapshot read failed", "table", a.t.name.String(), "error", err, "failures", a.failures)
	if a.failures > snapshotFailure && !temporary(err) {
		c.o.pause(a.t, event.PauseSnapshot, fmt.Sprintf("the snapshot of %s cannot be read: %v", a.t.name, err))
	}
}

// job runs fn in the background; what it returns is applied by the goroutine of Next.
func (c *capture) job(a *attempt, fn func(ctx context.Context) func()) {
	c.running++
	c.wg.Add(1)
	delay := time.Duration(0)
	if a.failures > 0 {
		delay = backoff(a.failures)
	}
	ctx := a.ctx
	go func() {
		defer c.wg.Done()
		apply := func() {}
		if delay == 0 || pauseFor(ctx, ctx, delay) == nil {
			apply = fn(ctx)
		}
		c.post(a, true, apply)
	}()
}

// post hands a result to the goroutine of Next.
func (c *capture) post(a *attempt, done bool, apply func()) {
	c.mu.Lock()
	c.results = append(c.results, result{a: a, done: done, apply: apply})
	c.mu.Unlock()
	c.some.Store(true)
	c.o.s.poke()
}

// describe is the table's part of the status.
func (c *capture) describe(t *table) pipeline.SourceTable {
	st := pipeline.SourceTable{Name: t.name, State: pipeline.StateRunning, Rows: t.rows}
	if a := c.of(t); a != nil {
		st.State, st.Reason, st.Attempt, st.Snapshot = pipeline.StateSnapshot, a.ev.Cause, a.ev, a.ev.Percent()
		if a.stage < reading {
			st.State = pipeline.StateDue
		}
		if a.lastErr != "" && a.failures > 0 {
			st.Reason += ": " + a.lastErr
		}
	}
	if t.paused != nil {
		st.State, st.Code, st.Reason = pipeline.StatePaused, t.paused.Code, t.paused.String()
	}
	return st
}

// wants reports whether an attempt of the table is asked for or in progress.
func (c *capture) wants(n event.TableName) bool {
	t := c.o.tables[n]
	return t != nil && c.of(t) != nil
}
