package pipeline

import (
	"context"
	"time"

	"github.com/millrace/millrace/pipeline/event"
)

// TableFreshness is what a target says of one of its tables to people who read it there.
type TableFreshness struct {
	Table event.TableName
	// CompleteTo is the source's commit time up to which readers of the table as it is have
	// everything, zero while there is no whole table.
	CompleteTo time.Time
	// VerifiedThrough is the time up to which a self-check found it equal to the source.
	VerifiedThrough time.Time
	State           State
	// Reason is why it is in that state, "" where that says all.
	Reason string
	// Lag is how old what a reader sees may be, by the places on the way. Current is Target
	// where the target has one form only.
	Lag Lag
}

// StatusKeeper is what a Sink may be besides: it keeps how fresh its tables are where they
// are read.
type StatusKeeper interface {
	KeepStatus(ctx context.Context, pipelineName string, rows []TableFreshness) error
}
