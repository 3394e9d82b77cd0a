package runner

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/bus"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/pipeline/spec"
)

// Publisher is the source's side of the bus, for one opening.
type Publisher interface {
	// Open fences whoever published before, decides what was left undecided and says
	// where the source goes on.
	Open(ctx context.Context) (pipeline.Resume, error)
	// Declare makes the topics of tables; Add does it for those it meets.
	Declare(ctx context.Context, tables []*event.Table) error
	// Add takes items in order; it copies what it keeps and blocks while too much waits.
	Add(ctx context.Context, items []event.Item) error
	// Run owns what Open started; it returns when ctx ends or publishing can't go on.
	Run(ctx context.Context) error
	// RaiseEpoch makes an epoch above every one known durable, for a reason of the
	// source's: another server, or numbers in doubt.
	RaiseEpoch(ctx context.Context, cause string) (pipeline.Resume, error)
}

// Callbacks are what a publisher tells the runner.
type Callbacks struct {
	// Resolved: everything up to this position is visible.
	Resolved func(event.Position)
	// Paused: this table can't be published; its reason names the row.
	Paused func(event.TableName, event.PauseReason)
	// Due: an attempt of this table became due, and why.
	Due func(event.TableName, string)
}

// Deps is what a runner needs of the rest.
type Deps struct {
	Source    func(*spec.Pipeline) (pipeline.Source, error)
	Snapshot  func(*spec.Pipeline) string // initial | never | when_needed
	Sink      func(*spec.Pipeline, spec.Sink) (pipeline.Sink, error)
	Publisher func(*spec.Pipeline, Callbacks) (Publisher, error)
	Endpoint  func() *bus.Endpoint
	Log       *slog.Logger
}

// backoff doubles from 200 ms to 10 s; a run that lasted a minute begins it anew.
type backoff struct{ next time.Duration }

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
	timer := time.NewTimer(b.next)
	defer timer.Stop()
	b.next = min(2*b.next, backoffMost)
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// stopped reports whether err is only the end of ctx.
func stopped(ctx context.Context, err error) bool {
	return ctx.Err() != nil && (err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded))
}
