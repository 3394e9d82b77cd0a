package clickhouse

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/config"
	"github.com/millrace/millrace/internal/testenv"
	"github.com/millrace/millrace/internal/testenv/chserver"
	"github.com/millrace/millrace/pipeline/event"
)

// minutes runs what is due in so many minutes, waiting in each for what the server does.
func (o owner) minutes(ch *testenv.ClickHouseServer, n int) error {
	for range n {
		if err := o.Maintain(o.t.Context()); err != nil || o.Trouble() != "" {
			return errors.Join(err, errors.New(o.Trouble()))
		}
		waitFor(o.t, func() bool {
			left, err := ch.Admin(o.t.Context(), "SELECT count() FROM system.mutations WHERE NOT is_done")
			return err == nil && strings.TrimSpace(left) == "0"
		})
		was := o.sink.now()
		o.sink.now = func() time.Time { return was.Add(fenceEvery) }
	}
	return nil
}

// physical is what is on the disk: rows, and of them deletions.
func physical(t testing.TB, ch *testenv.ClickHouseServer, c Config) string {
	t.Helper()
	out, err := ch.Admin(t.Context(), fmt.Sprintf("SELECT count(), sum(_del) FROM %s.`%s%s`", c.Database, c.Table, suffix))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(out)
}

// aSweep writes rows and deletes some; one that is deleted comes again, one is deleted so late
// that it may be sent again.
func aSweep(t testing.TB, c Config, m schemas) (o owner, want []string) {
	s := simple(m)
	o = own(t, c, m, 1, false)
	var list []event.Row
	for id := range 10 {
		list = append(list, create(event.Seq(10+2*id), image(t, s, id, "a")))
	}
	o.write(0, rows(s, 0, list...)).flush()
	o.write(0, rows(s, 28, remove(30, image(t, s, 1, "a")), remove(32, image(t, s, 2, "a")), remove(34, image(t, s, 3, "a")), create(36, image(t, s, 2, "again")))).flush()
	o.minutesLater(1).write(0, rows(s, 36, update(40, image(t, s, 4, "a"), image(t, s, 4, "b")))).flush()
	o.minutesLater(2).write(0, rows(s, 40, remove(50, image(t, s, 5, "a")))).flush()
	return o, []string{"id=0 v=a", "id=2 v=again", "id=4 v=b", "id=6 v=a", "id=7 v=a", "id=8 v=a", "id=9 v=a"}
}

// Deleted rows go from the disk, the versions that they hide before them, and those that may be
// sent again stay. Nobody sees anything of it, and the marks stay where they are.
func TestDeletedRowsGo(t *testing.T) {
	ch := testenv.ClickHouseWithFaults(t, chserver.Options{})
	c := targetOn(t, ch.ClickHouseDatabase)
	c.Rewind, c.Table = config.Duration(1), "orders"
	m := schemas{}
	o, want := aSweep(t, c, m)
	if err := o.minutes(ch, 6); err != nil {
		t.Fatal(err)
	}
	same(t, "swept", shows(t, c), want)
	left, err := ch.Admin(t.Context(), "SELECT count() FROM "+c.Database+".orders"+suffix+" WHERE id IN (1, 3)")
	if err != nil || strings.TrimSpace(left) != "0" {
		t.Errorf("of the deleted rows %s are left, %v; in all %s", left, err, physical(t, ch, c))
	}
	late, err := ch.Admin(t.Context(), "SELECT max(_del) FROM "+c.Database+".orders"+suffix+" WHERE id = 5")
	if err != nil || strings.TrimSpace(late) != "1" {
		t.Errorf("a deletion that may be sent again is gone: %s, %v", late, err)
	}
	if o.rec.Sweep != nil || o.rec.Swept != 41 && o.rec.Swept != 40 {
		t.Errorf("the ledger says %+v, %d", o.rec.Sweep, o.rec.Swept)
	}
	own(t, c, m, 2, false).stands("swept", &event.Slice{Hi: 50, To: o.Marks()[0].ID})
}

// Behind a sweep marks are above rows of which some may have been removed. A loss is a loss there
// too: everything comes again.
func TestALossBehindASweepIsSeen(t *testing.T) {
	ch := testenv.ClickHouseWithFaults(t, chserver.Options{})
	for name, x := range map[string]struct {
		more bool // a row came behind the sweep
		loss string
	}{
		"the table":                 {false, "DROP TABLE %s"},
		"the table, and a row more": {true, "DROP TABLE %s"},
		"all rows, and one more":    {true, "DELETE FROM %s WHERE 1"},
	} {
		c := targetOn(t, ch.ClickHouseDatabase)
		c.Rewind, c.Table, c.Database = config.Duration(1), "orders", "swept "+name
		c.ControlDatabase = c.Database
		m := schemas{}
		o, _ := aSweep(t, c, m)
		for i, seq := range []event.Seq{50, 60} { // it is quiet
			o.minutesLater(3+i).write(0, mark(event.KindHeartbeat, nil, seq, event.Mark{Seq: seq + 10})).flush()
		}
		if err := o.minutes(ch, 6); err != nil {
			t.Fatal(err)
		}
		if o.rec.Swept <= o.rec.Queues[0].High {
			t.Fatalf("%s: swept below %d, and the highest row is %d", name, o.rec.Swept, o.rec.Queues[0].High)
		}
		if s := simple(m); x.more {
			o.write(0, rows(s, 70, create(80, image(t, s, 11, "a")))).flush()
		}
		if _, err := ch.Admin(t.Context(), fmt.Sprintf(x.loss, "`"+c.Database+"`.orders"+suffix)); err != nil {
			t.Fatal(err)
		}
		own(t, c, m, 2, false).stands(name, nil)
	}
}

// Each statement of a sweep may be the last one, with its work done or not; the server may be
// killed behind each. The next owner goes on, and no row comes back.
func TestASweepThatIsCutOffGoesOn(t *testing.T) {
	ch := testenv.ClickHouseWithFaults(t, chserver.Options{})
	rng := rand.New(rand.NewPCG(seedOf(t), 9))
	for _, at := range []chserver.Point{chserver.Begin, chserver.Landed} {
		for n, hit := rng.IntN(6), true; hit; n += 1 + rng.IntN(9) {
			c := targetOn(t, ch.ClickHouseDatabase)
			c.Rewind, c.Table, c.Database = config.Duration(1), "orders", fmt.Sprintf("swept_%d_%s", n, at)
			c.ControlDatabase = c.Database
			m := schemas{}
			o, want := aSweep(t, c, m)
			fault := ch.Inject(t, chserver.Fault{Match: c.Database + `\b`, Skip: n, At: at, Drop: true})
			generation := uint64(1)
			killed := false
			for tries := range 9 {
				err := o.minutes(ch, 6)
				if err == nil {
					break
				}
				same(t, fmt.Sprintf("statement %d, %q, try %d", n, at, tries), shows(t, c), want)
				switch rng.IntN(4) {
				case 0: // the same owner goes on
					o.sweeping = sweeping{asked: o.sweeping.asked}
					continue
				case 1:
					ch.Kill()
					if err := ch.Start(t.Context()); err != nil {
						t.Fatal(err)
					}
					killed, c.Rewind = true, 0 // what is sent again is not of this test
				}
				for generation++; ; generation++ {
					if o, err = claimed(t, c, m, generation, false); err == nil {
						break
					}
				}
			}
			if !killed { // which has no faults any more
				hit = fault.State().Hits > 0
				fault.Remove()
			}
			same(t, fmt.Sprintf("statement %d, %q", n, at), shows(t, c), want)
			left, err := ch.Admin(t.Context(), "SELECT count() FROM "+c.Database+".orders"+suffix+" WHERE id IN (1, 3)")
			if err != nil || strings.TrimSpace(left) != "0" || t.Failed() {
				t.Fatalf("statement %d, %q: of the deleted rows %s are left, %v", n, at, left, err)
			}
			o.Close()
			if _, err := ch.Admin(t.Context(), "DROP DATABASE "+c.Database); err != nil {
				t.Fatal(err)
			}
		}
	}
}
