package ddl

import "fmt"

// The sink's bookkeeping, in the control database.
const (
	FenceTable  = "fence"           // generations that are closed for ever
	LifeTable   = "life"            // generations opened since the server started
	LedgerTable = "ledger"          // how far each table is
	StatusTable = "status"          // how fresh each table is
	StatusView  = "millrace_status" // the same, for people
)

// The constraints by which the server itself refuses a block. Their names stand in its
// errors.
const (
	FenceConstraint = "millrace_fence"
	LifeConstraint  = "millrace_life"
)

// Control are the statements that make the bookkeeping, in a database that is there.
func Control(db string) []string {
	return []string{
		fmt.Sprintf("CREATE TABLE IF NOT EXISTS %s (target String, gen UInt64, closed UInt8) ENGINE = Join(ANY, LEFT, target, gen)",
			Name{db, FenceTable}),
		fmt.Sprintf("CREATE TABLE IF NOT EXISTS %s (target String, gen UInt64, token UInt64) ENGINE = Join(ANY, LEFT, target, gen) SETTINGS persistent = 0",
			Name{db, LifeTable}),
		fmt.Sprintf("CREATE TABLE IF NOT EXISTS %s (target String, slot UInt16, ver UInt128, _gen UInt64, state String, at DateTime64(6, 'UTC') DEFAULT now64(6), %s) "+
			"ENGINE = ReplacingMergeTree(ver) ORDER BY (target, slot)",
			Name{db, LedgerTable}, constraints(db, "target")),
		fmt.Sprintf("CREATE TABLE IF NOT EXISTS %s (pipeline String, place String, source String, target String, complete_to Nullable(DateTime64(6, 'UTC')), "+
			"verified_through Nullable(DateTime64(6, 'UTC')), state String, at DateTime64(6, 'UTC')) ENGINE = ReplacingMergeTree(at) ORDER BY (pipeline, place, source)",
			Name{db, StatusTable}),
		fmt.Sprintf("CREATE VIEW IF NOT EXISTS %[1]s AS SELECT pipeline, source, target, complete_to, verified_through, state, at FROM %[2]s FINAL "+
			"WHERE (pipeline, place, at) IN (SELECT pipeline, place, max(at) FROM %[2]s GROUP BY pipeline, place)", Name{db, StatusView}, Name{db, StatusTable}),
	}
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
