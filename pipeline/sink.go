package pipeline

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/millrace/millrace/pipeline/event"
)

// Sink opens tables of a target.
type Sink interface {
	// Preflight checks that the target can be reached and written.
	Preflight(ctx context.Context) ([]Problem, error)
	// OpenTable claims the target table of a source table under a generation (delivery
	// K2, K10): it closes all lower ones in the target, then reads back what is true.
	// ErrSuperseded when the target already knows a higher generation, ErrUnwritable while
	// another cluster is at work there.
	OpenTable(ctx context.Context, claim Claim) (SinkTable, error)
	Close() error
}

// Claim names one owner of one target table.
type Claim struct {
	Pipeline   string
	Sink       string
	Table      event.TableName
	Generation uint64
	// Origin names the control queue that gave the generation out: those of one origin rise. ""
	// is not known.
	Origin  string
	Keyless bool
	// Route are the columns that are configured to choose the queue; none: the primary key does.
	Route   []string
	Schemas SchemaReader
	// Held, where set, is told while the table waits inside of a call for a target that takes
	// nothing for now, and why; "" says that it does again. Who uses the table calls it.
	Held func(reason string)
	// Letters bound what is put aside; none is nothing.
	Letters LetterBounds
}

// SchemaReader finds a schema by its id. The answer is immutable.
type SchemaReader interface {
	Schema(ctx context.Context, id event.SchemaID) (*event.Schema, error)
}

// ErrSuperseded says that a higher generation owns the target table now: everything
// held in memory is to be dropped.
var ErrSuperseded = errors.New("another owner has taken the target table")

// ErrUnwritable says that the table's target cannot take what was given to it (full
// disk, missing permission, a value it cannot hold); nothing was lost, the table pauses
// with the reason and the same rows are given again later.
var ErrUnwritable = errors.New("the target cannot be written")

// ErrRecord is an ErrUnwritable that trying again cannot help: the record itself is such
// that the target cannot take it. The table stands in front of it, with the record named,
// until a new snapshot of it begins in the queue, which replaces all that was there before.
var ErrRecord = fmt.Errorf("%w: the record is such that it cannot be applied", ErrUnwritable)

// QueueID names an owned queue for a target: broker, topic and number.
type QueueID struct {
	Broker string
	Topic  string
	Queue  int
}

// QueueMark is how far a queue is in the target.
type QueueMark struct {
	Queue QueueID
	// Q is the short number that the target's ledger gave to this queue for ever.
	Q   int
	Seq event.Seq
	ID  event.Identity
	// Known is false when the target has never seen this queue.
	Known bool
}

// SinkTable is one claimed target table. One goroutine uses it.
type SinkTable interface {
	// Marks are the positions read back at the claim, and after each Flush.
	Marks() []QueueMark
	// Write takes one slice of one queue, in that queue's order, already trimmed by the
	// link rule: every row is above the mark. It may encode, but makes nothing visible.
	// The slice and its bytes are the caller's again on return.
	Write(ctx context.Context, q QueueID, s *event.Slice) error
	// Buffered is what Write took since the last Flush.
	Buffered() (rows int, bytes int64)
	// Flush makes everything written visible in one step together with the new marks, or
	// nothing. On nil the rows are durable. ErrSuperseded and ErrUnwritable steer; after
	// any other error the outcome is unknown and the table must be opened again under a
	// new generation.
	Flush(ctx context.Context) (Flushed, error)
	// Maintain does one step of background work that is due (merging into current/,
	// checkpoints, vacuum); it returns quickly when nothing is.
	Maintain(ctx context.Context) error
	// AdoptBegin is called when the link rule waits for BEGIN (new table, gap, lost tail)
	// and the next BEGIN of the queue above the mark has this link: the queue's mark
	// becomes prev.
	AdoptBegin(q QueueID, prev event.Seq) error
	Close() error
}

// Troubled is what a SinkTable may be besides. Trouble says what fails beside the stream
// and is tried again, "" when nothing does; it is asked by the goroutine of Maintain.
type Troubled interface {
	Trouble() string
}

// Dated is what a SinkTable may be besides. CompleteTo is the time up to which everything
// that the source committed is in the target, by the source's clock: for readers of the
// change log, and for readers of the table as it is. Zero says that this is not known, or
// that there is no whole table yet. Under an attempt it stays at what it was before the
// attempt's BEGIN. It is a lower bound: what the source did not commit it can't know of.
// The goroutine of Maintain asks.
type Dated interface {
	CompleteTo() (changes, current time.Time)
}

// Founded is what a SinkTable may be besides. Founded reports whether the target has ever had
// the table as a whole: a snapshot of it has ended, or it was made or emptied in the log.
// Before that nobody can say how old what is there is. The goroutine of Maintain asks.
type Founded interface {
	Founded() bool
}

// Merged is what a SinkTable may be besides. Merged is the version of its change log up to
// which its table as it is has everything, math.MaxInt64 when nothing is missing there; the
// goroutine of Maintain asks. A target without it has one form only.
type Merged interface {
	Merged() (version int64)
}

// Counted is what a SinkTable may be besides. Total is how many rows of the source its change
// log has, of all its life; the goroutine of Maintain asks.
type Counted interface {
	Total() uint64
}

// Forgetter is what a Sink may be besides: Forget drops the figures that it counts by the name
// of a table which nobody owns any more. What the target holds of it stays.
type Forgetter interface {
	Forget(pipelineName, sink string, table event.TableName)
}

// Purger is what a Sink may be besides: Purge removes all that it holds of a pipeline which
// nobody writes any more, and says what it removed. Asking again removes what is left.
type Purger interface {
	Purge(ctx context.Context, pipelineName string) (removed []string, err error)
}

// Flushed is the outcome of a Flush.
type Flushed struct {
	Rows    int
	Bytes   int64
	Files   int
	Version int64 // the target's own version of the commit
}
