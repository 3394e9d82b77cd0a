package runner

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"time"

	"github.com/millrace/millrace/internal/pause"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/bus"
	"github.com/millrace/millrace/pipeline/spec"
)

// Deps is what a runner needs of the rest.
type Deps struct {
	Source   func(*spec.Pipeline) (pipeline.Source, error)
	Snapshot func(*spec.Pipeline) pipeline.SnapshotMode
	// Config is what of a file decides which rows its source produces, as JSON; the
	// pipeline's checkpoint keeps it. nil keeps nothing.
	Config   func(*spec.Pipeline) json.RawMessage
	Sink     func(*spec.Pipeline, spec.Sink) (pipeline.Sink, error)
	Endpoint func() *bus.Endpoint
	// Heartbeat is how often idle queues get a heartbeat; 0 is the bus's own minute.
	Heartbeat time.Duration
	// SourceReader and TargetReader make the readers of the self-check; without them there
	// is none.
	SourceReader func(*spec.Pipeline) (pipeline.Reader, error)
	TargetReader func(*spec.Pipeline, spec.Sink) (pipeline.Reader, error)
	Log          *slog.Logger
}

// backoff doubles from 200 ms to most (10 s); a run that lasted a minute begins it anew.
type backoff struct {
	next time.Duration
	most time.Duration
}

const (
	backoffFirst = 200 * time.Millisecond
	backoffMost  = 10 * time.Second
	backoffReset = time.Minute
)

// wait sleeps before another try of something that ran since started.
func (b *backoff) wait(ctx context.Context, started time.Time) error {
	if b.next == 0 || time.Since(started) > backoffReset {
		b.next = backoffFirst
	}
	now := b.next
	b.next = min(2*b.next, max(b.most, backoffMost))
	return pause.For(ctx, now)
}

// stopped reports whether err is only the end of ctx.
func stopped(ctx context.Context, err error) bool {
	return ctx.Err() != nil && (err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded))
}
