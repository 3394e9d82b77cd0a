package mysql

import (
	"testing"

	"github.com/millrace/millrace/connectors/mysql/stream"
	"github.com/millrace/millrace/pipeline/event"
)

// tableMap is a TABLE_MAP of the table d.a with one INT column, under an id.
func tableMap(id uint64) *stream.Event {
	body := []byte{0, 0, 0, 0, 0, 0, 0, 0, 1, 'd', 0, 1, 'a', 0, 1, 3, 0, 0}
	for i := range 6 {
		body[i] = byte(id >> (8 * i))
	}
	return &stream.Event{Body: body}
}

// TestTheOpenStatementKeepsItsTables announces more tables than are kept, the last two in
// one statement: rows of both are still known as theirs, and the others are forgotten.
func TestTheOpenStatementKeepsItsTables(t *testing.T) {
	for _, open := range []uint64{1, 2, 3} {
		ts := &tables{all: map[event.TableName]*table{}, maps: map[uint64]*mapped{}}
		last := uint64(maxMaps + 2)
		for id := uint64(1); id <= last; id++ {
			if id <= last-open+1 {
				ts.cascaded(nil) // the statement before ends
			}
			if err := ts.announce(tableMap(id)); err != nil {
				t.Fatal(err)
			}
		}
		for id := last - open + 1; id <= last; id++ {
			if ts.maps[id] == nil {
				t.Errorf("a statement with %d tables: number %d is not known", open, id)
			}
		}
		if len(ts.maps) > maxMaps {
			t.Errorf("%d are kept", len(ts.maps))
		}
	}
}
