package mysql

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	driver "github.com/go-sql-driver/mysql"

	"github.com/millrace/millrace/pipeline/event"
)

// TestASnapshotThatFailsWhileItIsReadIsCounted has the rows of a table without a key end
// with an error each time: the next attempt waits longer, the status says why, and what
// does not pass by itself pauses the table.
func TestASnapshotThatFailsWhileItIsReadIsCounted(t *testing.T) {
	gone := &driver.MySQLError{Number: 1146, Message: "Table 'shop.a' doesn't exist"}
	for _, c := range []struct {
		name   string
		at     place // that the snapshot was opened at
		err    error
		paused bool
	}{
		{"refused", place{file: "f", pos: 4}, gone, true},
		{"cut", place{file: "f", pos: 4}, fmt.Errorf("%w: 5 came of 6", errCut), true},
		{"lost", place{file: "f", pos: 4}, errors.New("unexpected EOF"), false},
		{"opened where no transaction ends", place{file: "f", pos: 3}, nil, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			ts, at := stillTables(t, true)
			table := stillTable(ts, tableA)
			table.ev.Keyless = true
			source, err := New(*ts.cfg, ts.log, nil)
			if err != nil {
				t.Fatal(err)
			}
			as := &attempts{source: source, server: ts.server, stand: at, tables: ts, ask: ts.ask, ctx: t.Context()}
			ts.attempts = as
			as.add(table, "test")
			for n := 1; n <= snapshotFailure+1; n++ {
				a := as.of(table)
				a.whole = &wholeTable{at: c.at, blocks: make(chan block, 1), cancel: func() {}}
				a.whole.blocks <- block{err: c.err, done: true}
				a.stage = stageArriving
				as.arrive(a, at.stands())
				if n > snapshotFailure && c.paused {
					break
				}
				b := as.of(table)
				if b == nil || b == a || b.stage != stageDue || b.failures != n || b.ev.Begin != 0 || b.ev.Cause != "test" {
					t.Fatalf("failure %d: the next attempt is %+v", n, b)
				}
				if st := as.describe(table); st.Trouble == "" || !st.Attempting {
					t.Errorf("failure %d: the status is %+v", n, st)
				}
			}
			if (table.paused != nil) != c.paused || c.paused &&
				(table.paused.Code != event.PauseSnapshot || !strings.Contains(table.paused.Text, c.err.Error())) {
				t.Errorf("paused: %+v", table.paused)
			}
		})
	}
}
