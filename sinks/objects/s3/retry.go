package s3

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"
)

// Retry says how often a request is sent, and how long is waited in between: a random time up
// to Base, doubled each time up to Most.
type Retry struct {
	Tries      int
	Base, Most time.Duration
}

// DefaultRetry gives a store about half a minute to come back.
func DefaultRetry() Retry {
	return Retry{Tries: 9, Base: 100 * time.Millisecond, Most: 10 * time.Second}
}

// pause waits before the attempt with number try, counted from 0; false when there is none, or
// ctx ends.
func (s *Store) pause(ctx context.Context, try int) bool {
	if try == 0 {
		return ctx.Err() == nil
	}
	if try >= s.retrying.Tries {
		return false
	}
	limit := min(s.retrying.Most, s.retrying.Base<<(try-1))
	s.metrics.retries.Inc()
	if limit == 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(limit/2 + rand.N(limit/2+1))
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// attempt sends one request that carries size bytes and judges how it ended.
func (s *Store) attempt(ctx context.Context, size int64, send func(context.Context) error) (verdict, error) {
	inner, cancel := context.WithTimeout(ctx, attemptTime(size))
	defer cancel()
	inner, sent := noteSent(inner)
	err := send(inner)
	if err == nil {
		return verdict{}, nil
	}
	v := judge(err, sent.Load())
	if v.stale {
		s.creds.Invalidate()
	}
	if ctx.Err() != nil {
		v.again = false
		err = errors.Join(err, context.Cause(ctx))
	}
	return v, err
}

// retry sends a request that may be sent any number of times until it is answered.
func (s *Store) retry(ctx context.Context, op, name string, size int64, send func(context.Context) error) error {
	var last error
	for try := 0; s.pause(ctx, try); try++ {
		v, err := s.attempt(ctx, size, send)
		if err == nil {
			return nil
		}
		last = err
		if !v.again {
			break
		}
		s.note(op, name, try, err)
	}
	if last == nil {
		last = context.Cause(ctx)
	}
	return s.explain(op, name, last)
}

// note tells of trouble that lasts.
func (s *Store) note(op, name string, try int, err error) {
	if try == 2 {
		s.log.Warn("the object store does not answer as it should; trying again", "operation", op, "object", s.url(name), "err", err)
	}
}
