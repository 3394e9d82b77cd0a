package bus

import (
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/pipeline/event"
)

// TestADroppedTableIsRemembered: the records say where and when the source lost a table, over
// openings too, until it has one of that name again; nothing of it counts as paused.
func TestADroppedTableIsRemembered(t *testing.T) {
	tw := newTwin()
	table, beside := benchTable("t", 2), benchTable("u", 1)
	b := openFiled(t, tw, "", table, beside)
	b.add(b.tx("g1", table, "a", beside, "a")...)
	tx := &event.Tx{ID: "g2", CommitTime: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Start: *b.at()}
	seq := b.seq()
	b.add(event.Item{Kind: event.KindDDL, Seq: seq, Table: table, Tx: tx, DDL: &event.DDL{SQL: "DROP TABLE\n  shop.t", Old: table.Schema}},
		event.Item{Kind: event.KindCommit, Seq: b.seq(), Tx: tx, Commit: b.at()})
	b.flush()
	b.close()
	b = openFiled(t, tw, "", beside)
	why := b.p.Life().Of(table.Name).Gone()
	if why.Code != event.PauseDropped || !strings.Contains(why.Text, "since 2026-01-02 03:04:05 UTC") || !strings.HasSuffix(why.Text, ": DROP TABLE shop.t") {
		t.Errorf("after the table was dropped: %+v", why)
	}
	if len(b.resume.Paused) > 0 || b.p.Life().Of(table.Name).Held().Code != "" {
		t.Errorf("paused %+v, held %+v", b.resume.Paused, b.p.Life().Of(table.Name).Held())
	}
	b.close()
	b = openFiled(t, tw, "", table, beside)
	defer b.close()
	if gone := b.p.Life().Of(table.Name).Gone(); gone.Code != "" {
		t.Errorf("it is there again: %+v", gone)
	}
}
