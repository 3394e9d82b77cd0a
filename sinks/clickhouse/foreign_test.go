package clickhouse

import (
	"errors"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/testenv"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
)

// A view that somebody made under the target's name is left as it is, even one over the
// sink's own rows.
func TestSomebodysViewIsLeftAlone(t *testing.T) {
	d := testenv.ClickHouse(t)
	conn, err := d.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	c := targetOn(t, d)
	c.Table = "it's {table}"
	m := schemas{}
	s := simple(m)
	own(t, c, m, 1, false).write(0, rows(s, 0, create(10, image(t, s, 1, "a")))).flush()
	own(t, c, m, 2, false) // its own view is taken
	name := "`" + d.Name + "`.`it's orders`"
	for i, body := range []string{"SELECT 1 AS mine", "SELECT id AS mine FROM `" + d.Name + "`.`it's orders__cdc` FINAL"} {
		if err := conn.Exec(t.Context(), "CREATE OR REPLACE VIEW "+name+" AS "+body); err != nil {
			t.Fatal(err)
		}
		if _, err := claimed(t, c, m, uint64(3+i), false); !errors.Is(err, pipeline.ErrUnwritable) ||
			!strings.Contains(err.Error(), "somebody else's view") {
			t.Errorf("%s: %v", body, err)
		}
		if err := conn.Exec(t.Context(), "SELECT mine FROM "+name); err != nil {
			t.Errorf("%s: it is gone: %v", body, err)
		}
	}
	if err := conn.Exec(t.Context(), "DROP VIEW "+name); err != nil {
		t.Fatal(err)
	}
	own(t, c, m, 9, false)
	same(t, "dropped", shows(t, c), []string{"id=1 v=a"})
}

// Another table has the name of the one that is made: what comes behind a TRUNCATE in the same
// flush goes where the rows before it went.
func TestBehindATruncateRowsGoWhereTheTableWasMade(t *testing.T) {
	d := testenv.ClickHouse(t)
	conn, err := d.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	c, m := targetOn(t, d), schemas{}
	s := simple(m)
	other := "`" + c.Database + "`.orders" + suffix
	if err := conn.Exec(t.Context(), "CREATE TABLE "+other+" (id Int64, v String) ENGINE = MergeTree ORDER BY id"); err != nil {
		t.Fatal(err)
	}
	o := own(t, c, m, 1, false).write(0, rows(s, 0, create(10, image(t, s, 1, "a"))),
		mark(event.KindTruncate, s, 10, event.Mark{Seq: 20, Queues: 1}), rows(s, 20, create(22, image(t, s, 2, "b")))).flush()
	same(t, "behind it", shows(t, c), []string{"id=2 v=b"})
	if o.shownStore() != 2 {
		t.Errorf("store %d is shown", o.shownStore())
	}
}

// A sink with another control database has other generations: it does not write into a table
// whose constraints ask the first one's.
func TestATableOfAnotherControlDatabaseIsLeftAlone(t *testing.T) {
	d := testenv.ClickHouse(t)
	c := targetOn(t, d)
	m := schemas{}
	s := simple(m)
	o := own(t, c, m, 1, false).write(0, rows(s, 0, create(10, image(t, s, 1, "a")))).flush()
	other := c
	other.ControlDatabase = d.Name + "_other"
	dropLater(t, d, other.ControlDatabase)
	two := own(t, other, m, 1, false).write(0, rows(s, 0, create(10, image(t, s, 1, "b"))))
	if _, err := two.Flush(t.Context()); !errors.Is(err, pipeline.ErrUnwritable) ||
		!strings.Contains(err.Error(), "another control_database") {
		t.Errorf("%v", err)
	}
	o.write(0, rows(s, 10, create(12, image(t, s, 2, "b")))).flush()
	same(t, "its owner's", shows(t, c), []string{"id=1 v=a", "id=2 v=b"})
}

// Of two source tables with one target the first one has it, before anything is written: the
// other is refused, and neither's rows are the other's.
func TestTwoTablesWithOneTarget(t *testing.T) {
	c := targetOn(t, testenv.ClickHouse(t))
	c.Table = "shared"
	m := schemas{}
	s := simple(m)
	sink, err := New(c, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer sink.Close()
	claim := pipeline.Claim{Pipeline: "p", Sink: "olap", Table: tableName, Generation: 1, Schemas: m}
	first, err := sink.OpenTable(t.Context(), claim)
	if err != nil {
		t.Fatal(err)
	}
	other := claim
	other.Table.DB, other.Generation = "crm", 2
	if _, err := sink.OpenTable(t.Context(), other); !errors.Is(err, pipeline.ErrUnwritable) || !strings.Contains(err.Error(), "is the target of shop.orders already") {
		t.Errorf("the second: %v", err)
	}
	if err := first.Write(t.Context(), queueID(0), rows(s, 0, create(10, image(t, s, 1, "a")))); err != nil {
		t.Fatal(err)
	}
	if _, err := first.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	same(t, "the first", shows(t, c), []string{"id=1 v=a"})
}

// A table that another program made under the target's name is left as it is, and each difference
// from what it would have to be is named: as PeerDB and Altinity's connector make theirs, and others.
func TestSomebodysTableIsNotAdopted(t *testing.T) {
	d := testenv.ClickHouse(t)
	conn, err := d.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	const fence = "it has no constraints by which the server refuses a replaced owner's rows"
	for name, tc := range map[string]struct {
		table string
		want  []string
	}{
		"plain": {"(id Int64, v Nullable(String)) ENGINE = MergeTree ORDER BY id",
			[]string{fence, "its engine is MergeTree and not ReplacingMergeTree(_seq, _del)", "it has no column _seq UInt64", "it has no column _gen UInt64"}},
		"peerdb": {"(id Int32, v Nullable(String), _peerdb_synced_at DateTime64(9) DEFAULT now64(), _peerdb_is_deleted UInt8, _peerdb_version UInt64) " +
			"ENGINE = ReplacingMergeTree(_peerdb_version) PRIMARY KEY id ORDER BY id",
			[]string{fence, "its engine is ReplacingMergeTree(_peerdb_version) and not", "its column id is Int32 and not Int64", "it has a column _peerdb_is_deleted UInt8"}},
		"altinity": {"(id Int64, v Nullable(String), _version UInt64, is_deleted UInt8) ENGINE = ReplacingMergeTree(_version, is_deleted) ORDER BY (id, v) SETTINGS allow_nullable_key = 1",
			[]string{fence, "its engine is ReplacingMergeTree(_version, is_deleted) and not", "it is ordered by (id, v) and not by (id)", "it has a column _version UInt64"}},
	} {
		c, m := targetOn(t, d), schemas{}
		c.Table = "made_by_" + name
		full := "`" + c.Database + "`.`" + c.Table + "`"
		if err := conn.Exec(t.Context(), "CREATE TABLE "+full+" "+tc.table); err != nil {
			t.Fatal(err)
		}
		s := simple(m)
		o := own(t, c, m, 1, false).write(0, rows(s, 0, create(10, image(t, s, 1, "a"))))
		_, err := o.Flush(t.Context())
		for _, want := range append(tc.want, "is not adopted") {
			if !errors.Is(err, pipeline.ErrUnwritable) || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, without %q", name, err, want)
			}
		}
		if err := conn.Exec(t.Context(), "RENAME TABLE "+full+" TO `"+c.Database+"`.`"+c.Table+"_was`"); err != nil {
			t.Fatal(err)
		}
		own(t, c, m, 2, false)
		same(t, name, shows(t, c), []string{"id=1 v=a"})
	}
}
