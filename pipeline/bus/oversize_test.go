package bus

import (
	"strings"
	"testing"

	"github.com/millrace/millrace/pipeline/event"
)

// TestTheRemedyOfALargeRowIsOneThatWorks: a limit is not to be raised beyond what a broker
// starts with.
func TestTheRemedyOfALargeRowIsOneThatWorks(t *testing.T) {
	table := benchTable("large", 1)
	for _, c := range []struct {
		size, limit   int
		remedy, never string
	}{
		{5_000_000, 4 << 20, "raise maxMessageSize at the broker, up to 15728640", "no broker"},
		{12_000_000, 4 << 20, "raise maxMessageSize at the broker, up to 15728640", "no broker"},
		{16_000_000, 4 << 20, "no broker takes more than 15728640: make the row smaller", "raise"},
		{24_000_048, 15 << 20, "no broker takes more than 15728640: make the row smaller", "raise"},
	} {
		row := oneRow(t, table)
		why := oversize(table, row, c.size, c.limit)
		if !strings.Contains(why.Text, c.remedy) || strings.Contains(why.Text, c.never) {
			t.Errorf("%d bytes at a limit of %d: %s", c.size, c.limit, why.Text)
		}
	}
}

func oneRow(t *testing.T, table *event.Table) *event.Item {
	t.Helper()
	b := event.NewImageBuilder(table.Schema)
	b.Start(nil)
	for i := range table.Schema.Columns {
		switch table.Schema.Columns[i].Type {
		case event.TypeInt:
			b.AppendInt(1)
		default:
			b.AppendText("x")
		}
	}
	_, img, err := b.Finish()
	if err != nil {
		t.Fatal(err)
	}
	return &event.Item{Kind: event.KindRow, Op: event.OpCreate, Table: table, Tx: &event.Tx{}, After: img}
}
