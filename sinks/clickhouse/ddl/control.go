package ddl

import (
	"fmt"
	"strings"
	"time"
)

// The sink's bookkeeping, in the control database.
const (
	FenceTable   = "fence"           // generations that are closed for ever
	LifeTable    = "life"            // generations opened since the server started
	LedgerTable  = "ledger"          // how far each table is
	LettersTable = "letters"         // changes that a table can't hold
	BeatTable    = "beat"            // when each cluster was at work last
	StatusTable  = "status"          // how fresh each table is
	StatusView   = "millrace_status" // the same, for people
)

// The constraints by which the server itself refuses a block. Their names stand in its
// errors.
const (
	FenceConstraint = "millrace_fence"
	LifeConstraint  = "millrace_life"
)

// Control are the statements that make the bookkeeping, in a database that is there. Its view is
// made by CreateStatusView.
func Control(db string) []string {
	return []string{
		fmt.Sprintf("CREATE TABLE IF NOT EXISTS %s (target String, gen UInt64, closed UInt8) ENGINE = Join(ANY, LEFT, target, gen)",
			Name{db, FenceTable}),
		fmt.Sprintf("CREATE TABLE IF NOT EXISTS %s (target String, gen UInt64, token UInt64) ENGINE = Join(ANY, LEFT, target, gen) SETTINGS persistent = 0",
			Name{db, LifeTable}),
		fmt.Sprintf("CREATE TABLE IF NOT EXISTS %s (target String, slot UInt16, ver UInt128, _gen UInt64, state String, at DateTime64(6, 'UTC') DEFAULT now64(6), %s) "+
			"ENGINE = ReplacingMergeTree(ver) ORDER BY (target, slot)",
			Name{db, LedgerTable}, constraints(db, "target")),
		// No version: of two rows the one that came last counts, whatever the clock did.
		fmt.Sprintf("CREATE TABLE IF NOT EXISTS %s (pipeline String, origin String, place String, host String, at DateTime64(6, 'UTC') DEFAULT now64(6)) "+
			"ENGINE = ReplacingMergeTree ORDER BY (pipeline, origin, place)", Name{db, BeatTable}),
		fmt.Sprintf("CREATE TABLE IF NOT EXISTS %s (target String, seq UInt64, ver UInt128, _gen UInt64, gone UInt8, by UInt64, id String, "+
			"bytes UInt64, op String, row String, column String, reason String, committed DateTime64(6, 'UTC'), letter String, at DateTime64(6, 'UTC') DEFAULT now64(6), %s) "+
			"ENGINE = ReplacingMergeTree(ver) ORDER BY (target, seq)",
			Name{db, LettersTable}, constraints(db, "target")),
		fmt.Sprintf("CREATE TABLE IF NOT EXISTS %s (pipeline String, place String, source String, target String, complete_to Nullable(DateTime64(6, 'UTC')), "+
			"verified_through Nullable(DateTime64(6, 'UTC')), state String, at DateTime64(6, 'UTC'), %s) ENGINE = ReplacingMergeTree(at) ORDER BY (pipeline, place, source)",
			Name{db, StatusTable}, strings.Join(laterStatus, ", ")),
	}
}

// laterStatus are the columns of the status table that came later.
var laterStatus = []string{"reason String", "lag_source Nullable(Float64)", "lag_broker Nullable(Float64)", "lag_target Nullable(Float64)"}

// Silence is for how long a status may be silent before nobody says that it is so: four times
// what lies between two.
const Silence = 120 * time.Second

// statusView shows what was said last, and that nobody knows where nobody has said anything for
// too long, or in a time that has not come (a clock jumped).
func statusView(db string) string {
	return fmt.Sprintf("%[1]s AS SELECT pipeline, source, target, if(stale, 'unknown', said) AS state, reason, complete_to, verified_through, "+
		"if(known, l.1, NULL) AS lag_source, if(known, l.2, NULL) AS lag_broker, if(known, l.3, NULL) AS lag_target, at AS updated_at, said AS last_state "+
		"FROM (SELECT pipeline, source, target, state AS said, reason, complete_to, verified_through, (lag_source, lag_broker, lag_target) AS l, at, "+
		"state != 'stopped' AND abs(dateDiff('second', at, now64(6, 'UTC'))) > %[3]d AS stale, state != 'stopped' AND NOT stale AS known FROM %[2]s FINAL "+
		"WHERE (pipeline, place, at) IN (SELECT pipeline, place, max(at) FROM %[2]s GROUP BY pipeline, place))", Name{db, StatusView}, Name{db, StatusTable}, int(Silence.Seconds()))
}

// WidenStatus gives the status table of an earlier version the columns of this one.
func WidenStatus(db string) string {
	return fmt.Sprintf("ALTER TABLE %s ADD COLUMN IF NOT EXISTS %s", Name{db, StatusTable}, strings.Join(laterStatus, ", ADD COLUMN IF NOT EXISTS "))
}

// CreateStatusView makes the view, or puts it in the place of one of an earlier version.
func CreateStatusView(db string, replace bool) string {
	if replace {
		return "CREATE OR REPLACE VIEW " + statusView(db)
	}
	return "CREATE VIEW IF NOT EXISTS " + statusView(db)
}

// constraints refuse what a closed generation writes, and what one writes that was opened
// before the server last started: whether its parts are still there nobody knows then.
func constraints(db, target string) string {
	return fmt.Sprintf("CONSTRAINT %s CHECK %s = 0, CONSTRAINT %s CHECK %s != 0",
		FenceConstraint, Closed(db, target, "_gen"), LifeConstraint, Token(db, target, "_gen"))
}

// Closed is an expression: 1 when a generation of a target is closed.
func Closed(db, target, gen string) string { return joinGet(db, FenceTable, "closed", target, gen) }

// Token is an expression: not 0 when a generation of a target was opened in the server's
// present life. Of generation 0 of no target it is the life's name.
func Token(db, target, gen string) string { return joinGet(db, LifeTable, "token", target, gen) }

// joinGet looks a key of two parts up. (SELECT can't read such a table.)
func joinGet(db, table, value, target, gen string) string {
	return fmt.Sprintf("joinGet(%s, '%s', %s, %s)", String(db+"."+table), value, target, gen)
}
