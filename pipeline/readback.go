package pipeline

import (
	"context"

	"github.com/millrace/millrace/pipeline/event"
)

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
	// RawOf is set on a target's column that holds the text of values which the column of
	// that name can't hold (zero dates).
	RawOf string
}

// Cell is a value in the text form that both sides agree on: whole numbers and decimals
// in digits, floats in the shortest form that reads back the same, dates as 2006-01-02,
// date-times as 2006-01-02 15:04:05.000000 (timestamps in UTC), TIME as microseconds,
// bits as a number, binary values and geometry in hex, all else as UTF-8 text.
type Cell struct {
	Null bool
	Text []byte
}
