package pipeline

import (
	"context"
	"errors"
	"time"

	"github.com/millrace/millrace/pipeline/event"
)

// Source reads one server's changes in commit order and numbers them. The runner
// calls Open, Next and Close from one goroutine; RequestSnapshot, SetPaused and Status
// may be called from any.
type Source interface {
	// Preflight connects and checks the server and its settings without reading changes.
	// It reports every problem found, each naming the setting and the remedy.
	Preflight(ctx context.Context) ([]Problem, error)
	// Open connects, proves that the server is the one that r speaks of and still holds
	// what r needs (ErrHistory otherwise), and positions the reader.
	Open(ctx context.Context, r Resume) (Opened, error)
	// Next blocks until there is at least one item. The items are in log order and valid
	// until the next call. A lost connection is the source's own business: it comes back
	// at the right place by itself. An error is final for this opening.
	Next(ctx context.Context) ([]event.Item, error)
	// RequestSnapshot asks for an attempt of each table. The source emits BEGIN, rows,
	// chunk ends and END in its own time; asking again for a table whose attempt is in
	// progress begins it anew.
	RequestSnapshot(tables []event.TableName, cause string)
	// SetPaused stops or resumes handing over rows of a table.
	SetPaused(table event.TableName, paused bool)
	// Resolved tells the source up to where everything is visible to consumers; it need
	// not be able to read anything before it again.
	Resolved(p event.Position)
	// Status is a snapshot for people and metrics.
	Status() SourceStatus
	// Close ends the opening and joins what Open started.
	Close() error
}

// ErrHistory says that the source's log does not hold what the position says was read:
// purged, restored, or rewritten. The pipeline pauses; the way out is a new snapshot
// under a new epoch.
var ErrHistory = errors.New("history of the source does not match the position")

// Resume is what a source needs to go on where it was.
type Resume struct {
	// Position is the end of what is decided; zero on the first start. Items up to and
	// including Position.Done are not handed over again.
	Position event.Position
	// Epoch is in force from here on (≥ Position.Epoch); the counter goes on.
	Epoch uint16
	// Schemas are those in force at Position, per captured table.
	Schemas map[event.TableName]*event.Schema
	// Reserved are the ranges taken since Position, in order.
	Reserved []event.Reservation
	// Attempts in progress, and Due ones (Begin = 0).
	Attempts []event.Attempt
	// Paused tables and why.
	Paused map[event.TableName]event.PauseReason
	// NewServer permits that the server is another one than Position.Server (the epoch
	// was raised for it).
	NewServer bool
}

// Opened is what a source found out by opening.
type Opened struct {
	// Server is the server's identity. When it differs from Resume.Position.Server and
	// NewServer was not set, Open returns ErrOtherServer with it.
	Server  string
	Version string
	// Position is where reading begins; on the first start the server's present end.
	Position event.Position
	// Tables captured now.
	Tables []*event.Table
}

// ErrOtherServer says that the server is not the one the position came from. The
// runner raises the epoch and opens again with NewServer.
var ErrOtherServer = errors.New("the source is another server")

// Problem is one finding of Preflight.
type Problem struct {
	Fatal  bool
	Thing  string // setting, privilege, table
	Found  string
	Wanted string
	Remedy string // the statement or line to change
}

// SourceStatus is what people see of a source.
type SourceStatus struct {
	Connected bool
	Server    string
	// Stalled is not empty when the server's log goes on while nothing of it comes, and
	// says since when.
	Stalled string
	// Read is the position of the reader, with the time up to which it is proven to hold;
	// End the server's end when last seen.
	Read, End event.Position
	// Ahead is the server's clock minus ours.
	Ahead      time.Duration
	Tables     []SourceTable
	LastError  string // why it is not connected, or was not before
	Reconnects int64
}

// SourceTable is a captured table's part of SourceStatus: what the source is about. What the
// table does is package life's to say.
type SourceTable struct {
	Name       event.TableName
	Paused     bool // its rows are left out, as its KindPaused said
	Attempting bool // a snapshot is asked for or in progress
	Trouble    string
	Quotes     bool   // Trouble may quote values of rows
	Rows       uint64 // rows handed over since Open
}
