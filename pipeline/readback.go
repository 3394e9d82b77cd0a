package pipeline

import (
	"context"
	"errors"
	"time"

	"github.com/millrace/millrace/pipeline/event"
)

// ErrNoTable is wrapped by a Reader's error when its side does not have the table at all.
var ErrNoTable = errors.New("there is no such table")

// Reader reads the present rows of tables back, as a user of that system would see
// them, for verification. A connector's and a sink's readers share no code with their
// capture and write paths, and none with each other.
type Reader interface {
	// Tables are those that can be read.
	Tables(ctx context.Context) ([]event.TableName, error)
	// Read calls columns once and row for every row. Cells are valid during the call.
	Read(ctx context.Context, table event.TableName, columns func([]ReadColumn) error, row func([]Cell) error) error
	Close() error
}

// ReadColumn is a column as its source names it.
type ReadColumn struct {
	Name string
	// Key says that the column is part of the table's key. A target may not know: its
	// reader leaves it false everywhere.
	Key bool
	// Type is the source's text of the column's type. A target's reader leaves it empty.
	Type string
	// Charset is that of a source's text, where the source knows it.
	Charset string
	// RawOf is set on a target's column that holds the text of values which the column of
	// that name can't hold (zero dates).
	RawOf string
	// Own is set on a target's column that shows nothing of the source's: a number of a row's
	// version, or what another program added.
	Own bool
}

// Cell is a value in the text form that both sides agree on: whole numbers and decimals
// in digits, floats in the shortest form that reads back the same, dates as 2006-01-02,
// date-times as 2006-01-02 15:04:05.000000 (timestamps in UTC), TIME as microseconds,
// bits as a number, binary values and geometry in hex, all else as UTF-8 text.
type Cell struct {
	Null bool
	Text []byte
}

// RangeReader is what a source's Reader may be besides: one that reads parts of a table by
// its key. A key is the cells of the columns with Key, in the columns' order. A table whose
// key does not allow it is an error that wraps errors.ErrUnsupported.
type RangeReader interface {
	// ReadAfter reads the first n rows behind a key, in the key's order; nil is before the
	// first. It is one short, consistent read.
	ReadAfter(ctx context.Context, table event.TableName, after []Cell, n int, columns func([]ReadColumn) error, row func([]Cell) error) error
	// ReadKeys reads the rows that have one of the keys, in one consistent read. Rows of
	// keys that the source holds to be equal to them may be among these.
	ReadKeys(ctx context.Context, table event.TableName, keys [][]Cell, columns func([]ReadColumn) error, row func([]Cell) error) error
}

// SampleReader is what a source's Reader may be besides, if it is a RangeReader: one that
// knows where in a table to look without reading it.
type SampleReader interface {
	// RowsAbout is how many rows a table has: exact where that is cheap, an estimate where
	// it is not.
	RowsAbout(ctx context.Context, table event.TableName) (int64, error)
	// Spread returns n keys at random places between the table's first and last, by numbers
	// from 0 to 1; none for an empty table. They need not be there: rows are read behind them.
	Spread(ctx context.Context, table event.TableName, n int, random func() float64) ([][]Cell, error)
}

// Place is where a source's log ended, and when, by the source's clock. Whatever a reader
// saw before it asked is before it.
type Place struct {
	Time time.Time
	File string
	Pos  uint64
}

// Placed is what a source's Reader may be besides.
type Placed interface {
	Place(ctx context.Context) (Place, error)
}

// ErrStrayed says that a connection was made to another server than those before it: the
// address leads elsewhere by now. A OneServer's error wraps it.
var ErrStrayed = errors.New("the address leads to another server")

// OneServer is what a source's Reader may be besides. Of, called before it reads, has it read
// from the server with that identity (SourceStatus.Server) or fail with ErrStrayed.
type OneServer interface{ Of(server string) }

// SparseReader is what a source's Reader may be besides, that does not show all the rows it
// reads. What OnHidden was given is called between its statements with how many it did not
// show, by the goroutine that reads; its error ends the reading.
type SparseReader interface {
	OnHidden(func(ctx context.Context, rows int) error)
}

// LevelReader is what a target's Reader may be besides, whose tables follow a log of changes.
// Level reports whether the table has everything that the log has.
type LevelReader interface {
	Level(ctx context.Context, table event.TableName) (bool, error)
}

// DatedReader is what a target's Reader may be besides. CompleteTo is the commit time, by the
// source's clock, up to which a reader of the table finds everything; zero is not known.
type DatedReader interface {
	CompleteTo(ctx context.Context, table event.TableName) (time.Time, error)
}

// HistoryReader is what a target's Reader may be besides, whose tables follow a log of
// changes that is kept.
type HistoryReader interface {
	// ReadHistory reads the log as far as the table has followed it, in no order, and the
	// table. Changes and rows have the same columns; those in unchecked show values in the
	// table that the log does not have in the same form.
	ReadHistory(ctx context.Context, table event.TableName, columns func(columns []ReadColumn, unchecked []string) error,
		change func(Change, []Cell) error, row func([]Cell) error) error
}

// Change is a row's change in a target's log: docs/format/lake.md.
type Change struct {
	Seq   uint64
	Op    string // c u d r x
	Below uint64 // of x
}
