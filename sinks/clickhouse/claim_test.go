package clickhouse

import (
	"errors"
	"fmt"
	"testing"

	"github.com/millrace/millrace/internal/config"
	"github.com/millrace/millrace/internal/testenv"
	"github.com/millrace/millrace/internal/testenv/chserver"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/sinks/clickhouse/server"
)

// Two clusters have the same names and give the same generation. One alone gets it, whichever
// is between which statements of its claim.
func TestAGenerationIsTakenOnce(t *testing.T) {
	ch := testenv.ClickHouseWithFaults(t, chserver.Options{})
	for _, held := range []string{"", "life", "ledger"} {
		t.Run("held before "+held, func(t *testing.T) {
			c := targetOn(t, ch.ClickHouseDatabase)
			c.Table = "orders_" + held
			m := schemas{}
			s := simple(m)
			own(t, c, m, 1, false).write(0, rows(s, 0, create(10, image(t, s, 1, "a")))).flush()
			type claim struct {
				owner
				err error
			}
			one := make(chan claim, 1)
			take := func() {
				o, err := claimed(t, c, m, 2, false)
				one <- claim{o, err}
			}
			release := func() {}
			if held == "" {
				take()
			} else {
				fault := ch.Inject(t, chserver.Fault{On: chserver.Insert, Table: ch.Name + "." + held, At: chserver.Begin, Hold: true})
				go take()
				fault.WaitHeld(1)
				release = fault.Remove
			}
			o, err := claimed(t, c, m, 2, false)
			two := claim{o, err}
			release()
			wrote := 0
			for _, got := range []claim{<-one, two} {
				if got.err != nil {
					if !errors.Is(got.err, pipeline.ErrSuperseded) {
						t.Error(got.err)
					}
					continue
				}
				wrote++
				got.write(0, rows(s, 10, create(12, image(t, s, 2, "b")))).flush()
			}
			if wrote != 1 {
				t.Errorf("%d owners of one generation wrote", wrote)
			}
			same(t, held, shows(t, c), []string{"id=1 v=a", "id=2 v=b"})
		})
	}
}

// The server starts anew in front of each step of a claim. The owner learns of it: it begins
// before what may be lost, or the server refuses what it writes.
func TestARestartWithinAClaimIsNoticed(t *testing.T) {
	ch := testenv.ClickHouseWithFaults(t, chserver.Options{})
	c := targetOn(t, ch.ClickHouseDatabase)
	c.Rewind = config.Duration(1) // to the entry before the newest
	m := schemas{}
	s := simple(m)
	var list []*event.Slice
	for seq := event.Seq(10); seq < 16; seq += 2 {
		list = append(list, rows(s, seq-2, create(seq, image(t, s, int(seq), "a"))))
	}
	list[0].Prev = 0
	sink, err := New(c, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sink.Close() })
	steps := len(new(Table).steps())
	for n := range steps + 1 {
		c.Table = fmt.Sprintf("orders_%d", n)
		own(t, c, m, 1, false).write(0, list[0]).flush().minutesLater(1).write(0, list[1]).flush()
		sink.cfg.Table = c.Table
		table, err := sink.unclaimed(t.Context(), pipeline.Claim{Pipeline: "p", Sink: "olap", Table: tableName, Generation: 2, Schemas: m})
		for i := 0; i <= steps && err == nil; i++ {
			if i == n {
				ch.Kill()
				if err := ch.Start(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			if i < steps {
				err = table.steps()[i](t.Context())
			}
		}
		if err != nil {
			t.Logf("step %d: %v", n, err)
			continue
		}
		again := list[1:]
		if table.Marks()[0].Seq != list[0].Hi {
			again = list[2:]
		}
		owner{table, t}.write(0, again...)
		if _, err := table.Flush(t.Context()); len(again) == 1 && !errors.Is(err, server.ErrRestarted) {
			t.Errorf("a restart in front of step %d of %d: nothing was sent again, and the server said %v", n, steps, err)
		}
	}
}
