package clickhouse

import (
	"slices"

	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/sinks/clickhouse/column"
)

// room is what a block took that was sent. Blocks of a stream that catches up are of one size:
// one that has got to a part of it is given all of it at once, and is not copied again and
// again as it grows. A block that stays small gets none.
type room struct {
	store  int
	schema event.SchemaID
	rows   int
	now    []column.Room
	before []column.Room
}

// roomShare is the part of the block before which a block must have.
const roomShare = 8

// roomOf is what a block takes.
func roomOf(b *block) room {
	return room{store: b.store, schema: b.schema.ID, rows: b.rows(), now: b.now.room(), before: b.before.room()}
}

func (s *side) room() (list []column.Room) {
	if s == nil {
		return nil
	}
	for _, c := range s.cols {
		list = append(list, c.Room())
	}
	return list
}

// grow gives a block the room that the one before took, when it has a part of it.
func (r *room) grow(b *block) {
	if r.rows < roomShare || b.rows() != r.rows/roomShare || b.store != r.store || b.schema.ID != r.schema {
		return
	}
	more := r.rows - b.rows()
	b.seq, b.mark, b.q, b.ts = slices.Grow(b.seq, more), slices.Grow(b.mark, more), slices.Grow(b.q, more), slices.Grow(b.ts, more)
	b.now.grow(r.now)
	b.before.grow(r.before)
}

func (s *side) grow(list []column.Room) {
	if s == nil || len(list) != len(s.cols) {
		return
	}
	for i, c := range s.cols {
		c.Grow(list[i])
	}
}
