package pipeline

import (
	"context"
	"time"

	"github.com/millrace/millrace/pipeline/event"
)

// LetterBounds are how much may be put aside of one target table: changes, and their bytes.
// Without Rows nothing is: a change that the target can't hold stands its table.
type LetterBounds struct {
	Rows  int
	Bytes int64
}

// Letter is a change that was put aside because a column of the target can't hold one of its
// values: the target does not show it, and the table flows on without it.
type Letter struct {
	// Seq is the number of the change, by which it is named.
	Seq event.Seq `json:"seq"`
	// Op is c, u, d or r: docs/format/lake.md.
	Op string `json:"op"`
	// Row is the row's key; all of the row where it has none.
	Row []LetterCell `json:"row"`
	// Column is the one that can't hold its value, Reason why.
	Column string `json:"column"`
	Reason string `json:"reason"`
	// Committed is the source's time of it, Tx its transaction.
	Committed time.Time `json:"committed"`
	Tx        string    `json:"tx"`
	// Unsure says that a newer change of the row may have come through another queue before: it
	// can't be replayed, for it could bring back what went.
	Unsure bool `json:"unsure,omitempty"`
	// Bytes are what it takes of the bound.
	Bytes int64 `json:"bytes"`
}

// LetterCell is a value of a letter's row, in the form of a Cell; nil is NULL.
type LetterCell struct {
	Column string  `json:"column"`
	Value  *string `json:"value"`
}

// PutAside is how much of a target table is put aside.
type PutAside struct {
	Rows  int   `json:"rows"`
	Bytes int64 `json:"bytes"`
}

// LettersDone says what became of letters.
type LettersDone struct {
	// Gone are no longer put aside: the target has them, or they were given up.
	Gone int `json:"gone"`
	// Stay are still put aside; Why is what was said of the first.
	Stay int    `json:"stay"`
	Why  string `json:"why,omitempty"`
	// Left is what is put aside now.
	Left PutAside `json:"left"`
}

// Lettered is what a SinkTable may be besides: one that puts aside what its target can't hold,
// within the bounds of its claim, in the step that moves the marks past it. The goroutine of
// Maintain asks; nothing waits for a Flush then. After an error the table must be opened again.
type Lettered interface {
	PutAside() PutAside
	// ReplayLetters gives the target those with these numbers again, or all: what it takes is no
	// letter any more, and stands where it would have stood.
	ReplayLetters(ctx context.Context, seqs []event.Seq) (LettersDone, error)
	// DropLetters gives them up: the target lacks them for good.
	DropLetters(ctx context.Context, seqs []event.Seq) (LettersDone, error)
}

// LetterReader is what a target's Reader may be besides: it lists what is put aside of a table,
// by number.
type LetterReader interface {
	Letters(ctx context.Context, table event.TableName, letter func(Letter) error) error
}
