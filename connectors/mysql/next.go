package mysql

import (
	"context"
	"errors"
	"time"

	"github.com/millrace/millrace/connectors/mysql/stream"
	"github.com/millrace/millrace/pipeline/event"
)

// What one call of Next returns at most, beyond what one event or chunk brings.
const (
	maxItems = 4096
	maxBytes = 1 << 20
)

// Next implements pipeline.Source.
func (s *Source) Next(ctx context.Context) ([]event.Item, error) {
	o := s.o
	if o == nil {
		return nil, errClosed
	}
	if o.failed != nil {
		return nil, o.failed
	}
	items, err := o.next(ctx)
	if err != nil && ctx.Err() == nil {
		o.failed = err
		s.setError(err)
	}
	if len(items) > 0 {
		s.metrics.rows.Add(float64(len(items)))
		s.publish(o)
	}
	return items, err
}

func (o *opening) next(ctx context.Context) ([]event.Item, error) {
	if o.early {
		// Opening found something to tell.
		o.early = false
		if len(o.out) > 0 {
			return o.out, nil
		}
	}
	clear(o.out)
	o.out, o.buf = o.out[:0], o.buf[:0]
	if cap(o.buf) > 8*maxBytes {
		o.buf = nil
	}
	for {
		if !o.tx.open {
			o.audits.step()
			if err := o.attempts.step(ctx); errors.Is(err, errAskAgain) {
				o.askAgain(err)
			} else if err != nil {
				return o.stop(err)
			}
			o.beat()
		}
		if o.full() || len(o.buf) >= maxBytes {
			return o.out, nil
		}
		if other := o.strayed.Load(); other != nil {
			if len(o.out) > 0 {
				return o.out, nil
			}
			// Whether the log still comes from where the address leads is found by connecting anew.
			o.strayed.Store(nil)
			if err := o.lost(ctx, *other); err != nil {
				return nil, err
			}
			continue
		}
		if o.attempts.holding() && o.batch.Err == nil {
			if len(o.out) > 0 {
				return o.out, nil
			}
			if err := o.wait(ctx); err != nil {
				return nil, err
			}
			continue
		}
		st, ok, err := o.step()
		switch {
		case err != nil:
			return o.stop(err)
		case ok:
			if err := o.process(&st); errors.Is(err, errAskAgain) {
				o.askAgain(err)
			} else if err != nil {
				return o.stop(err)
			}
		case len(o.out) > 0:
			return o.out, nil
		case o.batch.Err != nil:
			err = o.lost(ctx, o.batch.Err)
		default:
			err = o.wait(ctx)
		}
		if err != nil {
			return nil, err
		}
	}
}

// stop ends the opening with an error; what came before it is handed over first.
func (o *opening) stop(err error) ([]event.Item, error) {
	if len(o.out) > 0 && !errors.Is(err, stream.ErrCorrupt) {
		o.failed = err
		return o.out, nil
	}
	return nil, err
}

// wait blocks until a batch comes, somebody pokes, or it is time for a heartbeat.
func (o *opening) wait(ctx context.Context) error {
	timer := time.NewTimer(o.s.cfg.Heartbeat)
	defer timer.Stop()
	batches := o.rd.Batches()
	if o.attempts.holding() {
		batches = nil
	}
	o.pulse.waits.Store(batches != nil)
	defer o.pulse.waits.Store(false)
	select {
	case b := <-batches:
		o.held.Keep()
		o.rd.Recycle(o.batch)
		o.batch, o.at = b, 0
		o.pulse.heard(tells(b.Events))
	case <-o.s.wake:
	case <-timer.C:
	case <-ctx.Done():
		return ctx.Err()
	case <-o.ctx.Done():
		return errClosed
	}
	return nil
}

// tells reports whether events are of the log, and not only a sign of life.
func tells(events []stream.Event) bool {
	return len(events) > 1 || len(events) == 1 && events[0].Type != stream.HeartbeatEvent && events[0].Type != stream.HeartbeatV2Event
}

// beat hands over a heartbeat when the boundary is proven to hold for a later time, or
// moved without an item that says so.
func (o *opening) beat() {
	if o.passed != 0 || len(o.out) > 0 { // what is handed over has a position of its own
		return
	}
	if o.proven() == 0 && (!o.moved || time.Since(o.lastBeat) < o.s.cfg.Heartbeat/2) {
		return
	}
	o.moved, o.lastBeat = false, time.Now()
	o.out = append(o.out, event.Item{Kind: event.KindHeartbeat, Seq: o.lastEnd, Commit: o.position()})
}

// publish copies what people see.
func (s *Source) publish(o *opening) {
	memory, disk := o.store.Held()
	s.metrics.held.Set(float64(memory + disk))
	s.metrics.xaOpen.Set(float64(len(o.xa)))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status.Read = o.boundary
	s.status.Read.GTIDSet = o.setText
	s.status.Tables = s.status.Tables[:0]
	for _, t := range o.tables.all {
		s.status.Tables = append(s.status.Tables, o.attempts.describe(t))
	}
}
