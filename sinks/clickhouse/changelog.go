package clickhouse

import (
	"context"
	"strings"

	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/sinks/clickhouse/ddl"
	"github.com/millrace/millrace/sinks/ledger"
)

// deletion is what a mark deletes below a number, whether it has been told or not: what the
// ledger knows may be lost in the target.
func deletion(take ledger.Step, s *event.Slice, floor event.Seq) *ledger.Deletion {
	switch {
	case take.Delete != nil:
		return take.Delete
	case s.Kind == event.KindTruncate:
		return &ledger.Deletion{Mark: s.Mark, Below: s.Mark.Seq}
	case s.Kind == event.KindEnd && s.Mark.Attempt <= floor:
		return &ledger.Deletion{Mark: s.Mark, Below: s.Mark.Attempt}
	case s.Kind == event.KindDDL && s.Mark.Due != "":
		return &ledger.Deletion{Mark: s.Mark}
	}
	return nil
}

// tell writes the row of a changelog that says what was deleted below a number. It has values
// in technical columns only, and NULL, 0 or nothing in the others. Every queue brings it, and the first one counts.
func (t *Table) tell(ctx context.Context, st *step, q int, d *ledger.Deletion) error {
	if len(st.stores) == 0 {
		return nil // nothing was there
	}
	there, err := t.isTold(ctx, d.Mark.Seq)
	if err != nil || there {
		return err
	}
	schema := st.led.Next().Schema
	if schema == nil {
		return nil // and no row was
	}
	// Among the rows, in one block: where that is lost, the marks say so.
	b, err := t.block(st, len(st.stores)-1, schema)
	if err != nil {
		return t.refused(err, "deletion numbered %d", d.Mark.Seq)
	}
	for _, side := range []*side{b.now, b.before} {
		for _, c := range side.cols {
			c.AppendNothing()
		}
	}
	b.technicalRow(uint64(d.Mark.Seq), uint8(strings.IndexByte(ddl.Ops, byte(event.OpBelow))), uint16(q), d.Mark.Time.UnixMicro())
	b.txs, b.below = appendText(b.txs, ""), append(b.below, uint64(d.Below))
	b.told = append(b.told, uint64(d.Mark.Seq))
	return nil
}
