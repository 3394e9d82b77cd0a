package clickhouse

import (
	"fmt"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/testenv"
	"github.com/millrace/millrace/internal/testenv/chserver"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
)

// statusLines is what millrace_status shows to people.
const statusLines = "SELECT source, target, state, reason, complete_to, verified_through, lag_source, lag_broker, lag_target, last_state FROM %s.millrace_status ORDER BY source"

// People read at the target how fresh each table is, and where nobody has said so for too long
// that it is not known.
func TestTheStatusTableSaysNoMoreThanIsKnown(t *testing.T) {
	ch := testenv.ClickHouseWithFaults(t, chserver.Options{})
	c := targetOn(t, ch.ClickHouseDatabase)
	s, err := New(c, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	admin := func(format string, a ...any) string {
		t.Helper()
		out, err := ch.Admin(t.Context(), fmt.Sprintf(format, a...))
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(out)
	}
	keep := func(rows ...pipeline.TableFreshness) {
		t.Helper()
		if err := s.KeepStatus(t.Context(), "p", rows); err != nil {
			t.Fatal(err)
		}
	}
	expect := func(what string, want ...string) {
		t.Helper()
		if got := admin(statusLines, c.ControlDatabase); got != strings.Join(want, "\n") {
			t.Errorf("%s: millrace_status says\n%s\nand not\n%s", what, got, strings.Join(want, "\n"))
		}
	}
	// As an earlier version made it.
	admin("CREATE TABLE %[1]s.status (pipeline String, place String, source String, target String, complete_to Nullable(DateTime64(6, 'UTC')), "+
		"verified_through Nullable(DateTime64(6, 'UTC')), state String, at DateTime64(6, 'UTC')) ENGINE = ReplacingMergeTree(at) ORDER BY (pipeline, place, source)", c.ControlDatabase)
	admin("CREATE VIEW %[1]s.millrace_status AS SELECT source, state, at FROM %[1]s.status FINAL", c.ControlDatabase)

	fine := pipeline.TableFreshness{
		Table: tableName, CompleteTo: day, VerifiedThrough: day, State: pipeline.StateRunning,
		Lag: pipeline.Lag{Source: pipeline.KnownSeconds(0.5), Broker: pipeline.KnownSeconds(1), Current: pipeline.KnownSeconds(1234567.25)},
	}
	other := pipeline.TableFreshness{Table: event.TableName{DB: "shop", Table: "it's"}, State: pipeline.StatePaused, Reason: "a \"reason\" with 'quotes'"}
	keep(fine, other)
	expect("two tables", `shop.it\'s	millrace_test.it\'s	paused	a "reason" with \'quotes\'	\N	\N	\N	\N	\N	paused`,
		`shop.orders	millrace_test.orders	running		2026-08-21 12:00:00.000000	2026-08-21 12:00:00.000000	0.5	1	1234567.25	running`)
	keep(fine)
	expect("one is no longer of the pipeline", `shop.orders	millrace_test.orders	running		2026-08-21 12:00:00.000000	2026-08-21 12:00:00.000000	0.5	1	1234567.25	running`)

	for what, by := range map[string]string{"the daemon is dead": "- INTERVAL 3 MINUTE", "the server's clock went back": "+ INTERVAL 1 HOUR"} {
		admin("TRUNCATE TABLE %s.status", c.ControlDatabase)
		keep(fine)
		admin("CREATE TABLE %[1]s.was AS %[1]s.status ENGINE = Memory", c.ControlDatabase)
		admin("INSERT INTO %[1]s.was SELECT * REPLACE (at %[2]s AS at) FROM %[1]s.status", c.ControlDatabase, by)
		admin("TRUNCATE TABLE %s.status", c.ControlDatabase)
		admin("INSERT INTO %[1]s.status SELECT * FROM %[1]s.was", c.ControlDatabase)
		admin("DROP TABLE %s.was", c.ControlDatabase)
		expect(what, `shop.orders	millrace_test.orders	unknown		2026-08-21 12:00:00.000000	2026-08-21 12:00:00.000000	\N	\N	\N	running`)
	}
	admin("TRUNCATE TABLE %s.status", c.ControlDatabase)
	fine.State = pipeline.StateStopped
	keep(fine)
	expect("stopped", `shop.orders	millrace_test.orders	stopped		2026-08-21 12:00:00.000000	2026-08-21 12:00:00.000000	\N	\N	\N	stopped`)

	admin("DROP TABLE %s.status", c.ControlDatabase)
	if err := s.KeepStatus(t.Context(), "p", []pipeline.TableFreshness{fine}); !isMissing(err) {
		t.Errorf("the table is gone: %v", err)
	}
	keep(fine) // it is made again
}
