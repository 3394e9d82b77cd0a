package clickhouse

import (
	"fmt"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/testenv"
	"github.com/millrace/millrace/internal/testenv/chserver"
	"github.com/millrace/millrace/pipeline/event"
)

// Clocks jump, ours or the server's, forwards and back: between flushes, around what is done
// beside the stream, and over a restart of the server. No row is lost or there twice.
func TestClocksMayJump(t *testing.T) {
	ch := testenv.ClickHouseWithFaults(t, chserver.Options{})
	for n, jump := range []struct{ ours, theirs time.Duration }{
		{ours: 26 * time.Hour}, {ours: -26 * time.Hour}, {theirs: 26 * time.Hour}, {theirs: -26 * time.Hour}, {ours: -time.Hour, theirs: time.Hour},
	} {
		t.Run(fmt.Sprintf("ours %s, the server's %s", jump.ours, jump.theirs), func(t *testing.T) {
			c, m := targetOn(t, ch.ClickHouseDatabase), schemas{}
			c.Database = fmt.Sprintf("%s_%d", ch.Name, n)
			c.ControlDatabase = c.Database
			s := simple(m)
			o := own(t, c, m, 1, false)
			var sent []*event.Slice
			var want []string
			write := func(o owner, id int) {
				t.Helper()
				seq := event.Seq(10 * id)
				list := []event.Row{create(seq, image(t, s, id, "a"))}
				if id > 1 {
					list = append(list, update(seq+1, image(t, s, id-1, "a"), image(t, s, id-1, "b")))
					want[len(want)-1] = fmt.Sprintf("id=%d v=b", id-1)
				}
				want = append(want, fmt.Sprintf("id=%d v=a", id))
				prev := event.Seq(0)
				if len(sent) > 0 {
					prev = sent[len(sent)-1].Hi
				}
				sent = append(sent, rows(s, prev, list...))
				o.write(0, sent[len(sent)-1]).flush()
			}
			write(o, 1)
			o.minutesLater(1)
			write(o, 2)
			// What the server has noted is of before the jump.
			move := fmt.Sprintf("ALTER TABLE %s.ledger UPDATE at = at - INTERVAL %d SECOND WHERE 1 SETTINGS mutations_sync = 2", c.Database, int(jump.theirs.Seconds()))
			if _, err := ch.Admin(t.Context(), move); err != nil {
				t.Fatal(err)
			}
			now := o.sink.now
			o.sink.now = func() time.Time { return now().Add(jump.ours) }
			for id := 3; id < 6; id++ {
				if err := o.Maintain(t.Context()); err != nil || o.Trouble() != "" {
					t.Fatal(err, o.Trouble())
				}
				write(o, id)
			}
			same(t, "behind the jump", shows(t, c), want)
			ch.Kill()
			if err := ch.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			o = own(t, c, m, 2, false)
			mark := event.Seq(0)
			if marks := o.Marks(); len(marks) > 0 {
				mark = marks[0].Seq
			}
			for _, again := range sent {
				if again.Hi > mark {
					o.write(0, again)
				}
			}
			o.flush()
			write(o, 6)
			if o.rec.Again != nil {
				t.Error("the rewind has no end")
			}
			same(t, "behind the restart", shows(t, c), want)
		})
	}
}
