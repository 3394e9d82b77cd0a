package badinput

import (
	"fmt"
	"strings"
	"testing"
	"time"

	settings "github.com/millrace/millrace/internal/config"
	"github.com/millrace/millrace/internal/testenv"
	"github.com/millrace/millrace/internal/testenv/chserver"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/sinks/clickhouse"
	chreadback "github.com/millrace/millrace/sinks/clickhouse/readback"
)

const houseFile = `version: 1
name: %[1]s
source: {type: script}
group: {bytes: 64KiB, interval: 2ms}
sinks:
- {name: olap, type: clickhouse, address: ["%[2]s"], user: u, password: "%[3]s", database: %[4]s, control_database: %[4]s, flush: {rows: 20, bytes: 1MiB, interval: 10ms}}
`

// houses are the users of the tests' server: the one that is there, and the one whose password
// is another.
var (
	house      = chserver.Options{Users: []chserver.User{{Name: "u", Password: "right"}}}
	otherHouse = chserver.Options{Users: []chserver.User{{Name: "u", Password: "changed"}}}
)

// newHouse is a rig whose target is a ClickHouse. Rigs of one database are clusters that have the
// same names.
func newHouse(t *testing.T, ch *testenv.ClickHouseServer, database string) *rig {
	t.Helper()
	if _, err := ch.Admin(t.Context(), "CREATE DATABASE IF NOT EXISTS "+database); err != nil {
		t.Fatal(err)
	}
	c := clickhouse.DefaultConfig()
	c.Address, c.User, c.Password, c.Database, c.ControlDatabase = []string{ch.Addr}, "u", settings.Secret("right"), database, database
	return newRigInto(t, func(name string) string { return fmt.Sprintf(houseFile, name, ch.Addr, "right", database) },
		func() (pipeline.Reader, error) {
			o, err := c.Readback("orders")
			if err != nil {
				return nil, err
			}
			return chreadback.New(o)
		})
}

// TestATableOfAClickHouseThatRefuses: the table says what is wrong and what helps, the other one
// goes on, and nothing is lost.
func TestATableOfAClickHouseThatRefuses(t *testing.T) {
	ch := testenv.ClickHouseWithFaults(t, house)
	r := newHouse(t, ch, "refuses")
	r.start()
	r.equal(r.orders, r.items)
	row := 1
	// both changes both tables; the number is a row's of each.
	both := func(value string) {
		row++
		r.script.Commit(r.orders.Put(row, value), r.items.Put(row, value), r.orders.Delete(row-1))
	}
	const orders = "refuses.orders__cdc"
	refusal := func(code int32) chserver.Fault {
		f := chserver.Refusal(code)
		f.On, f.Table, f.Times = chserver.Insert, orders, -1
		return f
	}
	for _, c := range []struct {
		name  string
		fault chserver.Fault
		state pipeline.State
		words []string // "" where nothing is to be said
	}{
		{"a full disk", refusal(243), pipeline.StatePaused, []string{"not enough space", "refuses.orders", "free space"}},
		{"the memory limit", refusal(241), pipeline.StatePaused, []string{"memory limit", "refuses.orders", "flush.rows"}},
		{"a privilege that was taken away", refusal(497), pipeline.StatePaused, []string{"grant INSERT", "refuses.orders", "grant what the message names"}},
		{"a read-only user", refusal(164), pipeline.StatePaused, []string{"readonly", "refuses.orders", "another profile"}},
		{"too many parts", refusal(252), pipeline.StateBehind, []string{"Too many parts", "flush.interval", "goes on by itself"}},
		{"a server that is slow for one table", chserver.Fault{On: chserver.Insert, Table: orders, Times: -1, At: chserver.Received, Hold: true}, pipeline.StateRunning, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			fault := ch.Inject(t, c.fault)
			both(c.name)
			if c.words == nil {
				fault.WaitHeld(1)
			} else {
				r.says("the table", func() string { return sinkReason(r.table(r.orders)) }, c.words...)
			}
			if s := r.table(r.orders).Sinks[0]; s.State != c.state {
				t.Errorf("it is %s: %+v", s.State, s)
			}
			both("meanwhile")
			r.equal(r.items)
			fault.Remove()
			r.equal(r.orders, r.items)
			r.waitFor("running", func() bool {
				return r.table(r.orders).Sinks[0].State == pipeline.StateRunning && sinkReason(r.table(r.orders)) == ""
			})
		})
	}
	// The whole server: all its tables wait, however long it takes.
	t.Run("a server that is away, and comes back with another password", func(t *testing.T) {
		r.stop() // it had begun to wait longer between tries
		r.start()
		r.equal(r.orders, r.items)
		ch.Kill()
		both("away")
		r.says("the table", func() string { return sinkReason(r.table(r.orders)) }, "can't be reached", "address of the sink", "goes on by itself")
		if err := ch.StartWith(t.Context(), otherHouse); err != nil {
			t.Fatal(err)
		}
		both("locked out")
		for _, table := range []string{"orders", "items"} {
			r.says(table, func() string {
				s, _ := r.daemon.Table("shop." + table)
				return sinkReason(s)
			}, "u: ", "user and password of the sink")
		}
		ch.Kill()
		if err := ch.StartWith(t.Context(), house); err != nil {
			t.Fatal(err)
		}
		r.equal(r.orders, r.items)
	})
	t.Run("bookkeeping that somebody has dropped", func(t *testing.T) {
		if _, err := ch.Admin(t.Context(), "DROP TABLE refuses.ledger SYNC"); err != nil {
			t.Fatal(err)
		}
		both("dropped")
		r.equal(r.orders, r.items)
	})
}

// TestTwoClustersOnOneClickHouse have the same names. One writes, and goes on doing so; the other
// one is told, and what it has to say waits in its broker.
func TestTwoClustersOnOneClickHouse(t *testing.T) {
	ch := testenv.ClickHouseWithFaults(t, house)
	one, two := newHouse(t, ch, "shared"), newHouse(t, ch, "shared")
	two.script.Commit(two.orders.Put(7, "of the second"), two.items.Put(7, "of the second"))
	one.start()
	one.equal(one.orders, one.items)
	two.start()
	for _, table := range []string{"orders", "items"} {
		two.says(table, func() string {
			s, _ := two.daemon.Table("shop." + table)
			return sinkReason(s)
		}, "another cluster", "shared."+table, "pipeline (orders)", "sink (olap)", "another target")
	}
	// It tries again and again, with generations that are above the first's.
	tries := ch.Inject(t, chserver.Fault{Match: `argMax\(state, ver\).*ledger`, Times: -1, Delay: time.Nanosecond})
	tries.WaitHits(6)
	n, err := ch.Admin(t.Context(), "SELECT max(_gen) FROM shared.ledger")
	if err != nil || strings.TrimSpace(n) != "1" {
		t.Errorf("generation %s, %v", n, err)
	}
	one.script.Commit(one.orders.Put(2, "more"), one.items.Put(2, "more"))
	one.equal(one.orders, one.items)
	for _, r := range []*rig{one, two} {
		s := r.table(r.orders).Sinks[0]
		if want := map[*rig]pipeline.State{one: pipeline.StateRunning, two: pipeline.StatePaused}[r]; s.State != want {
			t.Errorf("%s and not %s: %+v", s.State, want, s)
		}
	}
}
