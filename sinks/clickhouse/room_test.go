package clickhouse

import (
	"fmt"
	"testing"

	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/sinks/clickhouse/column"
)

// TestABlockGetsTheRoomOfTheOneBefore fills blocks of one size: the second one takes its memory
// at once when it has an eighth, one that stays smaller, or is of another definition, does not.
func TestABlockGetsTheRoomOfTheOneBefore(t *testing.T) {
	text := &event.Column{ID: 1, Name: "v", Type: event.TypeText, Native: "text", Charset: "utf8mb4"}
	typ, err := column.Of(text, false, column.Options{})
	if err != nil {
		t.Fatal(err)
	}
	empty := func(id byte) *block {
		s := &event.Schema{ID: event.SchemaID{id}, Columns: []event.Column{*text}}
		return &block{schema: s, now: &side{cols: []*column.Buffer{column.NewBuffer(text, typ, column.DefaultPolicy())}}}
	}
	var r room
	fill := func(b *block, n int) {
		t.Helper()
		for i := b.rows(); i < n; i++ {
			if _, err := b.now.cols[0].Append(fmt.Appendf(nil, "%08d", i)); err != nil {
				t.Fatal(err)
			}
			b.technicalRow(uint64(i), 0, 0, 0)
			r.grow(b)
		}
	}
	const n = 1000
	first := empty(1)
	fill(first, n)
	r = roomOf(first)
	for name, c := range map[string]struct {
		id   byte
		rows int
		all  bool
	}{
		"small": {1, n/roomShare - 1, false}, "an eighth": {1, n / roomShare, true}, "as large": {1, n, true},
		"larger": {1, 2 * n, true}, "another definition": {2, n / roomShare, false},
	} {
		b := empty(c.id)
		fill(b, c.rows)
		if all := cap(b.seq) >= n && cap(b.ts) >= n; all != c.all || b.now.cols[0].Rows() != c.rows {
			t.Errorf("%s: room for %d of %d rows at %d", name, cap(b.seq), n, c.rows)
		}
		if c.rows == n && b.now.cols[0].Room() != first.now.cols[0].Room() {
			t.Errorf("%s: its values are others", name)
		}
	}
	first.now.cols[0].Free()
	if size := first.now.cols[0].Size(); size != 0 {
		t.Errorf("%d bytes are there after all was given up", size)
	}
}
