package clickhouse

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/millrace/millrace/internal/testenv"
	"github.com/millrace/millrace/internal/testenv/chserver"
	"github.com/millrace/millrace/pipeline/event"
)

// A materialized view sums a changelog as it grows, while inserts are cut off before the server
// has seen them, when their rows have come, and behind it, when nobody hears of it: its sums are
// those of the source's changes.
func TestALiveViewCountsEachChangeOnce(t *testing.T) {
	server := testenv.ClickHouseWithFaults(t, chserver.Options{})
	rng := rand.New(rand.NewPCG(seedOf(t), 6))
	points, hits := []chserver.Point{chserver.Begin, chserver.Received, chserver.Landed}, map[chserver.Point]int{}
	for table := range 3 {
		c := targetOn(t, server.ClickHouseDatabase)
		c.Mode, c.Database, c.Table = Changelog, fmt.Sprintf("live_%d", table), "story"
		c.ControlDatabase = c.Database
		d := newDelivery(t, c, rng.Uint64N(1000), table)
		admin := func(statement string) {
			t.Helper()
			if _, err := server.Admin(t.Context(), statement); err != nil {
				t.Fatal(err)
			}
		}
		// The first owner makes the table, and ends.
		s, first, err := d.open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		q := d.queues()[0]
		n := 1 + slices.IndexFunc(d.packed.Queues[q], hasRows)
		for _, m := range d.packed.Queues[q][:n] {
			if err := first.Write(t.Context(), q, m); err != nil {
				t.Fatal(err)
			}
		}
		if err := d.flush(t.Context(), first); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		of, sums := c.Database+".story"+suffix, c.Database+".sums"
		admin("CREATE TABLE " + sums + " (op String, n UInt64, numbers UInt64) ENGINE = SummingMergeTree ORDER BY op")
		admin("INSERT INTO " + sums + " SELECT toString(_op), 1, _seq FROM " + of)
		admin("CREATE MATERIALIZED VIEW " + c.Database + ".live TO " + sums +
			" AS SELECT toString(_op) AS op, 1 AS n, _seq AS numbers FROM " + of)

		for i := range 12 {
			skip := 0
			if i >= len(points) { // each point had its turn
				skip = rng.IntN(3)
			}
			at := points[(i+table)%len(points)] // a first one has everything left to cut off
			fault := server.Inject(t, chserver.Fault{On: chserver.Insert, Table: of, Skip: skip, At: at, Drop: true})
			err := d.once(t.Context())
			hits[at] += fault.State().Hits
			fault.Remove()
			if err == nil {
				break
			}
		}
		d.all()
		d.equal()
		got, err := server.Admin(t.Context(), "SELECT op, sum(n), sum(numbers) FROM "+sums+" WHERE op != 'x' GROUP BY op ORDER BY op FORMAT TSV")
		if err != nil {
			t.Fatal(err)
		}
		if want := d.sums(); got != want {
			t.Errorf("table %d: the view has\n%s\nand not\n%s", table, got, want)
		}
	}
	for _, at := range points {
		if hits[at] == 0 {
			t.Errorf("no insert was cut off at %q", at)
		}
	}
}

func hasRows(s *event.Slice) bool { return len(s.Rows) > 0 }

// sums are the script's changes by operation, as the server writes them.
func (d *delivery) sums() (out string) {
	for _, op := range []event.Op{event.OpCreate, event.OpDelete, event.OpRead, event.OpUpdate} {
		n, numbers := 0, uint64(0)
		for _, q := range d.queues() {
			for _, s := range d.packed.Queues[q] {
				for _, r := range s.Rows {
					if r.Op == op {
						n, numbers = n+1, numbers+uint64(r.Seq)
					}
				}
			}
		}
		if n > 0 {
			out += fmt.Sprintf("%c\t%d\t%d\n", op, n, numbers)
		}
	}
	return out
}
