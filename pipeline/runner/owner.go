package runner

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/bus"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/pipeline/spec"
)

// owner is the one owner of one target table: it claims a generation, reads the marks
// back from the target, reads the table's queues from there, and flushes.
type owner struct {
	pipe  *pipe
	sink  spec.Sink
	table *event.Table
	log   *slog.Logger
	// cancel ends it, done is closed when it has ended; both are of who runs it.
	cancel context.CancelFunc
	done   chan struct{}

	mu     sync.Mutex
	status pipeline.SinkSummary
	sub    *bus.Subscription // nil while not reading
	left   []bus.QueueState  // where the subscription before was when it ended
	fresh  freshness         // of the goroutine of run; what it found is in status
	// unfounded says that the target never had the table as a whole.
	unfounded bool
	// refused is the number of the record that the target can't take, and why in words; of
	// the goroutine of run. It is over when every mark is above it.
	refused event.Seq
	refusal string
	// asks are to do something with what is put aside.
	asks chan *lettersAsk
	// troubled is since when something fails beside the stream; of the same goroutine.
	troubled time.Time
	// ahead is the source's clock minus ours, asked at aheadAt; of the same goroutine.
	ahead   time.Duration
	aheadAt time.Time
}

func newOwner(p *pipe, s spec.Sink, t *event.Table) *owner {
	return &owner{
		pipe: p, sink: s, table: t, done: make(chan struct{}), asks: make(chan *lettersAsk),
		log:    p.log.With(slog.String("sink", s.Name), slog.String("table", t.Name.String())),
		status: pipeline.SinkSummary{Sink: s.Name, State: pipeline.StateStarting},
		fresh:  freshness{table: t.Name, queues: p.endpoint.QueuesOf(p.spec.Name, t.Name, t.Queues)},
	}
}

// run owns the table until ctx ends. Whatever fails, it starts over from what the target
// says under a new generation.
func (o *owner) run(ctx context.Context) {
	var again backoff
	for ctx.Err() == nil {
		started := time.Now()
		err := o.once(ctx)
		if stopped(ctx, err) {
			break
		}
		if errors.Is(err, errRoom) {
			o.refused, o.refusal = 0, ""
			continue
		}
		o.failed(err)
		var refused *bus.RefusedError
		if errors.As(err, &refused) {
			o.refused, o.refusal = max(o.refused, refused.UpTo, 1), err.Error()
		}
		again.most = 0
		if errors.Is(err, pipeline.ErrUnwritable) {
			again.most = unwritableMost
		}
		if again.wait(ctx, started) != nil {
			break
		}
	}
	o.set(func(s *pipeline.SinkSummary) { s.State, s.Code, s.Reason = pipeline.StateStopped, "", "" })
}

// unwritableMost is the longest pause before a target that can't be written is tried
// again: each try is a claim.
const unwritableMost = time.Minute

func (o *owner) failed(err error) {
	state, code := pipeline.StateRetrying, event.PauseCode("")
	switch {
	case errors.Is(err, pipeline.ErrRecord):
		state, code = pipeline.StatePaused, event.PauseRecord
	case errors.Is(err, pipeline.ErrUnwritable):
		state, code = pipeline.StatePaused, event.PauseTarget // goes on by itself when the target can be written again
	}
	o.set(func(s *pipeline.SinkSummary) {
		s.State, s.Code, s.Reason, s.LastErr = state, code, err.Error(), err.Error()
	})
	o.log.Warn("target table will be taken anew", slog.Any("error", err))
}

func (o *owner) set(change func(*pipeline.SinkSummary)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	change(&o.status)
}

// once is one claim of the table.
func (o *owner) once(ctx context.Context) (err error) {
	target, err := o.claim(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, target.Close()) }()
	o.fresh.claimed(target)
	o.look(target, noVersion)
	sub, err := o.pipe.endpoint.Subscribe(ctx, o.pipe.spec.Name, o.sink.Name, bus.SubscriptionConfig{
		Table:  o.table.Name,
		Queues: o.fresh.queues,
		Marks:  target.Marks(),
		// The next snapshot's BEGIN replaces what was there before, that record included.
		Refused: o.stillRefused(target.Marks()),
	})
	if err != nil {
		return err
	}
	o.setSubscription(sub)
	defer o.setSubscription(nil)
	o.set(func(s *pipeline.SinkSummary) {
		s.Buffered = 0
		s.State, s.Code, s.Reason = pipeline.StateRunning, "", ""
		if o.refused != 0 {
			s.State, s.Code, s.Reason = pipeline.StatePaused, event.PauseRecord, o.refusal
		}
	})
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return sub.Run(ctx) })
	g.Go(func() error { return o.drain(ctx, sub, target) })
	return g.Wait()
}

// stillRefused is the number of the record that the target can't take, 0 once every queue
// is past it.
func (o *owner) stillRefused(marks []pipeline.QueueMark) event.Seq {
	past := map[pipeline.QueueID]bool{}
	for _, m := range marks {
		past[m.Queue] = m.Known && m.Seq > o.refused
	}
	for _, q := range o.fresh.queues {
		if !past[q] {
			return o.refused
		}
	}
	o.refused, o.refusal = 0, ""
	return 0
}

// claim takes a generation above every one known, here and in the target.
func (o *owner) claim(ctx context.Context) (pipeline.SinkTable, error) {
	control, err := o.pipe.endpoint.Control(ctx, o.pipe.spec.Name)
	if err != nil {
		return nil, err
	}
	schemas, err := o.pipe.endpoint.Schemas(ctx, o.pipe.spec.Name)
	if err != nil {
		return nil, err
	}
	known := uint64(0)
	for {
		claimed, err := control.Claim(ctx, o.sink.Name, o.table.Name, known)
		if err != nil {
			return nil, err
		}
		target, err := o.pipe.sinks[o.sink.Name].OpenTable(ctx, pipeline.Claim{
			Pipeline: o.pipe.spec.Name, Sink: o.sink.Name, Table: o.table.Name,
			Generation: claimed.Generation, Origin: claimed.Origin, Keyless: o.table.Keyless, Schemas: schemas,
			Route: o.pipe.spec.Tables[o.table.Name.String()].Key, Held: o.held,
			Letters: o.letterBounds(),
		})
		if errors.Is(err, pipeline.ErrSuperseded) { // the control queue knows less than the target
			known = 2 * claimed.Generation
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("open %s in sink %s: %w", o.table.Name, o.sink.Name, err)
		}
		o.set(func(s *pipeline.SinkSummary) { s.Generation = claimed.Generation })
		return target, nil
	}
}

// held shows that the target takes nothing for now and rows wait for it; "" that it does again.
func (o *owner) held(reason string) {
	state := pipeline.StateRunning
	if reason != "" {
		state = pipeline.StateBehind
	}
	o.flows(state, reason)
}

// flows shows how a target that flows does, and why; the reason is its last error, too.
func (o *owner) flows(state pipeline.State, reason string) {
	o.set(func(s *pipeline.SinkSummary) {
		if s.State.Flows() {
			s.State, s.Reason = state, reason
		}
		if reason != "" {
			s.LastErr = reason
		}
	})
}

// maintainEvery is how often an idle table looks for background work.
const maintainEvery = time.Second

// drain writes what the subscription delivers and flushes by rows, bytes and time.
func (o *owner) drain(ctx context.Context, sub *bus.Subscription, target pipeline.SinkTable) error {
	var g gathering // since the last flush
	version := int64(noVersion)
	for {
		next, cancel := context.WithDeadline(ctx, g.deadline(time.Now()))
		d, err := sub.Next(next)
		cancel()
		switch {
		case err == nil:
			if err := o.write(ctx, target, d); err != nil {
				return err
			}
			if g.empty() {
				g = gather(time.Now(), o.age(d.Slice), o.sink.Flush.Interval.D())
			}
			sub.Done(d)
		case ctx.Err() != nil:
			return o.stop(ctx, sub, target, !g.empty())
		}
		if !g.empty() && (g.over(time.Now(), err == nil) || o.full(target)) {
			if version, err = o.flush(ctx, sub, target); err != nil {
				return err
			}
			g = gathering{}
			o.look(target, version)
		}
		if a := o.asked(); a != nil {
			if !g.empty() {
				if version, err = o.flush(ctx, sub, target); err != nil {
					a.refuse(err)
					return err
				}
				g = gathering{}
			}
			if err := o.work(ctx, target, a); err != nil {
				return err
			}
		}
		if err != nil || g.empty() {
			if err := target.Maintain(ctx); err != nil && ctx.Err() == nil {
				return fmt.Errorf("maintain %s in sink %s: %w", o.table.Name, o.sink.Name, err)
			}
			o.noticeWait(ctx, sub)
			o.noticeTrouble(target)
			o.noticeUnread(sub)
			o.look(target, version)
		}
	}
}

func (o *owner) write(ctx context.Context, target pipeline.SinkTable, d bus.Delivery) error {
	if d.Adopted {
		if err := target.AdoptBegin(d.Queue, d.Slice.Prev); err != nil {
			return fmt.Errorf("take %s up again in sink %s: %w", o.table.Name, o.sink.Name, err)
		}
	}
	if err := target.Write(ctx, d.Queue, d.Slice); err != nil {
		err = fmt.Errorf("write the message at offset %d of queue %d of %s to %s in sink %s: %w", d.Offset, d.Queue.Queue, d.Queue.Topic, o.table.Name, o.sink.Name, err)
		if errors.Is(err, pipeline.ErrRecord) {
			return &bus.RefusedError{UpTo: d.Slice.Hi, Cause: err}
		}
		return err
	}
	rows, _ := target.Buffered()
	o.set(func(s *pipeline.SinkSummary) { s.Buffered = rows })
	return nil
}

// full says that as much was written as a flush takes.
func (o *owner) full(target pipeline.SinkTable) bool {
	rows, size := target.Buffered()
	f := o.sink.Flush
	return rows >= f.Rows || size >= int64(f.Bytes)
}

// age is how long ago a slice's first rows were committed, by the source's clock; 0 for what
// is no rows.
func (o *owner) age(s *event.Slice) time.Duration {
	if s.Kind != event.KindRow || len(s.Txs) == 0 {
		return 0
	}
	now := time.Now()
	if now.Sub(o.aheadAt) > aheadEvery { // the status names every table
		seen, _ := o.pipe.sourceStatus()
		o.ahead, o.aheadAt = seen.Ahead, now
	}
	return now.Sub(s.Txs[0].CommitTime) + o.ahead
}

// aheadEvery is how often an owner asks how far the source's clock is before ours.
const aheadEvery = 10 * time.Second

func (o *owner) flush(ctx context.Context, sub *bus.Subscription, target pipeline.SinkTable) (version int64, err error) {
	done, err := target.Flush(ctx)
	if err != nil {
		return 0, fmt.Errorf("flush %s in sink %s: %w", o.table.Name, o.sink.Name, err)
	}
	sub.Committed(ctx, target.Marks())
	o.set(func(s *pipeline.SinkSummary) { s.Rows += uint64(done.Rows); s.Flushes++; s.Buffered = 0 })
	return done.Version, nil
}

// look takes note of how far the target is complete.
func (o *owner) look(target pipeline.SinkTable, version int64) {
	o.mu.Lock()
	flows := o.status.State.Flows()
	o.mu.Unlock()
	o.fresh.look(target, version, o.pipe.water(), flows && o.pipe.lives.Of(o.table.Name).Flows())
	var total *uint64
	if c, ok := target.(pipeline.Counted); ok {
		n := c.Total()
		total = &n
	}
	var aside *pipeline.PutAside
	if l, ok := target.(pipeline.Lettered); ok {
		now := l.PutAside()
		aside = &now
	}
	o.set(func(s *pipeline.SinkSummary) {
		s.CompleteTo.Target, s.CompleteTo.Current, s.Total, s.PutAside = o.fresh.target, o.fresh.current, total, aside
		o.unfounded = o.fresh.unfounded
	})
}

// stop makes what was written visible before the owner goes, within a few seconds; what
// does not make it is read again from the marks.
func (o *owner) stop(ctx context.Context, sub *bus.Subscription, target pipeline.SinkTable, pending bool) error {
	if pending {
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		version, err := o.flush(last, sub, target)
		if err != nil {
			return err
		}
		o.look(target, version)
	}
	return ctx.Err()
}

// noticeWait shows why a queue waits, and asks for the attempt that ends it.
func (o *owner) noticeWait(ctx context.Context, sub *bus.Subscription) {
	for _, q := range sub.States() {
		if q.Wait == bus.WaitNone {
			continue
		}
		if q.Wait == bus.WaitRefused {
			return // what was said when it was refused stays said
		}
		reason := fmt.Sprintf("queue %d waits for a new snapshot: %s (%s)", q.Queue.Queue, q.Wait, q.Wait.Explain())
		o.set(func(s *pipeline.SinkSummary) { s.State, s.Reason = pipeline.StateWaiting, reason })
		if q.Behind > 0 {
			return // the BEGIN that it waits for may be there already
		}
		mark := event.Seq(0)
		if q.Wait == bus.WaitLostTail {
			mark = q.Mark
		}
		o.pipe.snapshotDue(ctx, o.table.Name, mark, fmt.Sprintf("sink %s: %s", o.sink.Name, q.Wait))
		return
	}
	o.set(func(s *pipeline.SinkSummary) {
		if s.State == pipeline.StateWaiting || s.Code == event.PauseRecord {
			s.State, s.Code, s.Reason = pipeline.StateRunning, "", ""
		}
	})
}

// noticeTrouble shows what fails beside the stream of a table that runs.
func (o *owner) noticeTrouble(target pipeline.SinkTable) {
	t, ok := target.(pipeline.Troubled)
	if !ok {
		return
	}
	trouble := t.Trouble()
	switch {
	case trouble == "":
		o.troubled = time.Time{}
	case o.troubled.IsZero():
		o.troubled = time.Now()
	}
	state := pipeline.StateRunning
	if trouble != "" && time.Since(o.troubled) >= troubleTime {
		state = pipeline.StateBehind
	}
	o.flows(state, trouble)
}

// troubleTime is how long something must fail beside the stream before the table is said to
// be behind: one merge that took long is none.
const troubleTime = 10 * time.Second

// noticeUnread keeps why queues can't be read for when they can be again. That they can't
// is shown by summary, without waiting for the target's turn.
func (o *owner) noticeUnread(sub *bus.Subscription) {
	for _, q := range sub.States() {
		if q.Trouble != "" {
			o.set(func(s *pipeline.SinkSummary) { s.LastErr = unread(q) })
			return
		}
	}
}

func unread(q bus.QueueState) string {
	return fmt.Sprintf("queue %d can't be read: %s", q.Queue.Queue, q.Trouble)
}

func (o *owner) setSubscription(s *bus.Subscription) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if s == nil && o.sub != nil {
		o.left = o.sub.States()
	}
	o.sub = s
}

// lacksRoot reports whether the target never had the table as a whole, as far as is known.
func (o *owner) lacksRoot() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.unfounded
}

// summary is the owner's part of the status. What a claim that was lost had taken and not
// made visible counts as behind until the next one reads: it is read again.
func (o *owner) summary() pipeline.SinkSummary {
	o.mu.Lock()
	defer o.mu.Unlock()
	s, queues := o.status, o.left
	if s.State.Flows() && s.Reason == "" && s.PutAside != nil && s.PutAside.Rows > 0 {
		s.Reason = fmt.Sprintf("%d changes are put aside, because the target can't hold them: see `millrace pipeline letters list %s`",
			s.PutAside.Rows, o.pipe.spec.Name)
	}
	if o.sub != nil {
		queues = o.sub.States()
	}
	for _, q := range queues {
		s.Behind += q.Behind
		if o.sub == nil {
			s.Behind += q.Unflushed
			continue
		}
		if q.Trouble != "" {
			s.State, s.Code, s.Reason = pipeline.StateRetrying, "", unread(q)
			s.LastErr = s.Reason
		}
	}
	return s
}
