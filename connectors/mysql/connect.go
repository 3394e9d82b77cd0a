package mysql

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/millrace/millrace/connectors/mysql/stream"
	"github.com/millrace/millrace/pipeline"
)

// connect proves that the log is the one that the boundary is in and asks for it from
// there on.
func (r *reader) connect(ctx context.Context) error {
	asking, cancel := context.WithTimeout(ctx, pulsePatient) // a frozen server takes connections and is silent
	now, err := ask(asking, r.db, r.who)
	cancel()
	if err != nil {
		return r.history(err)
	}
	r.server = now
	start := stream.Start{File: r.boundary.File, Pos: max(r.boundary.Pos, 4)}
	r.verify, r.skipTo = nil, place{}
	if start.File != "" {
		if start, err = r.startByFile(ctx, start); err != nil {
			return err
		}
	} else {
		start.Set = r.set
	}
	if err := r.checkExecuted(ctx); err != nil {
		return err
	}
	rd, err := r.dump(ctx, start)
	if err != nil {
		return r.history(err)
	}
	r.rd, r.batch, r.at = rd, stream.Batch{}, 0
	r.held.Reset()
	r.counter = r.boundary.Counter
	r.again()
	return nil
}

// dump asks for the log.
func (r *reader) dump(ctx context.Context, start stream.Start) (*stream.Reader, error) {
	return stream.Open(ctx, stream.Options{
		Account: r.who, ServerID: r.s.serverID,
		MariaDB: r.server.maria, Annotate: r.server.maria && r.server.number >= 1104, Heartbeat: r.s.cfg.Heartbeat,
	}, start)
}

// disconnected drops the connection: reading begins again at the boundary.
func (r *reader) disconnected() {
	if r.rd != nil {
		r.rd.Close()
		r.rd = nil
	}
	r.passed = max(r.passed, r.handed)
	r.batch, r.at = stream.Batch{}, 0
	if r.held != nil {
		r.held.Reset()
	}
}

// lost deals with the end of the connection.
func (r *reader) lost(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if errors.Is(err, stream.ErrPurged) || errors.Is(err, stream.ErrBeyond) || errors.Is(err, stream.ErrDenied) ||
		errors.Is(err, stream.ErrDuplicateID) {
		return r.history(err)
	}
	r.s.setError(err)
	r.faults++
	r.disconnected()
	broken := errors.Is(err, stream.ErrCorrupt) || errors.Is(err, stream.ErrUnreadable)
	if broken && r.verify != nil {
		return fmt.Errorf("%w: %s:%d, where the last transaction that was read ended, is no place of the server's log: it was restored "+
			"or its log replaced: %w",
			pipeline.ErrHistory, r.verify.File, r.verify.Pos, err)
	}
	if broken && r.faults > 3 {
		return fmt.Errorf("%w: reading again does not help: %w", pipeline.ErrHistory, err)
	}
	if r.faults > 1 {
		if err := pauseFor(ctx, r.ctx, backoff(r.faults)); err != nil {
			return err
		}
	}
	return r.reconnect(ctx)
}

// reconnect tries until it stands at the boundary again.
func (r *reader) reconnect(ctx context.Context) error {
	for {
		err := r.connect(ctx)
		if err == nil {
			r.s.reconnected()
			return nil
		}
		if errors.Is(err, pipeline.ErrHistory) || errors.Is(err, pipeline.ErrOtherServer) || !temporary(err) {
			return err
		}
		r.s.setError(err)
		r.faults++
		if err := pauseFor(ctx, r.ctx, backoff(r.faults)); err != nil {
			return err
		}
	}
}

func backoff(n int) time.Duration {
	return min(100*time.Millisecond<<min(n, 6), 5*time.Second)
}

// pauseFor waits, or until one of the contexts ends.
func pauseFor(ctx, own context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-own.Done():
		return errClosed
	}
}

var errClosed = errors.New("the source is closed")
