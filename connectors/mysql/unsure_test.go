package mysql

import (
	"database/sql"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/testenv"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
)

// kept is what a crash right behind an item leaves: the position that came with it or next
// behind it, and the definitions then.
func kept(t *testing.T, all []seen, opened pipeline.Opened, is func(seen) bool) pipeline.Resume {
	t.Helper()
	found := false
	for i, it := range all {
		found = found || is(it)
		if found && it.Commit != nil {
			return pipeline.Resume{Position: *it.Commit, Epoch: it.Commit.Epoch, Schemas: schemasOf(all[:i+1], opened)}
		}
	}
	t.Fatal("no position behind it")
	return pipeline.Resume{}
}

// TestARestartKnowsWhatWasReadFromTheServer restarts where a table's definition was read
// from a server that is ahead: the rows up to there are left out as before, and a statement
// that is in the definition already is not applied again.
func TestARestartKnowsWhatWasReadFromTheServer(t *testing.T) {
	onServers(t, func(t *testing.T, srv *testenv.Server, db *sql.DB) {
		exec(t, db, "CREATE DATABASE shop", "CREATE TABLE shop.a (id INT PRIMARY KEY, x VARCHAR(20), y VARCHAR(20)) CHARSET utf8mb4",
			"CREATE TABLE shop.z (id INT PRIMARY KEY)")
		s := newSource(t, testConfig(srv, "shop.*"))
		opened := openSource(t, s, pipeline.Resume{})
		exec(t, db, "ALTER TABLE shop.a CONVERT TO CHARACTER SET utf8mb4", "INSERT INTO shop.a VALUES (2,'is x','is y')",
			"ALTER TABLE shop.a CHANGE x y VARCHAR(20), CHANGE y x VARCHAR(20)", "INSERT INTO shop.z VALUES (9001)")
		all := collect(t, s, upTo("9001"))
		s.Close()
		at := kept(t, all, opened, func(it seen) bool { return it.Kind == event.KindDDL })
		at.Attempts = []event.Attempt{{Table: tableA, Cause: "test"}}
		s = newSource(t, testConfig(srv, "shop.*"))
		openSource(t, s, at)
		exec(t, db, "INSERT INTO shop.z VALUES (9002)")
		done := false
		for _, it := range collect(t, s, func(it seen) bool {
			done = done || it.Kind == event.KindRow && strings.Contains(it.text, "9002")
			return done && it.Kind == event.KindCommit
		}) {
			if it.Kind == event.KindRow && it.Op == event.OpCreate && it.Table.Name == tableA {
				t.Errorf("a row was read under a definition from behind it: %s", it.text)
			}
		}
		columns := s.o.tables.all[tableA].schema().Columns
		if columns[1].Name != "y" || columns[2].Name != "x" {
			t.Errorf("the columns are %s, %s: a statement was applied to a definition that it was in", columns[1].Name, columns[2].Name)
		}
	})
}

// TestARestartLeavesOutWhatWasLeftOut restarts where rows are left out until a definition
// is known: they are until it is, and an attempt follows that nobody else asks for.
func TestARestartLeavesOutWhatWasLeftOut(t *testing.T) {
	onServers(t, func(t *testing.T, srv *testenv.Server, db *sql.DB) {
		exec(t, db, "CREATE DATABASE shop", "CREATE TABLE shop.a (id INT PRIMARY KEY)", "CREATE TABLE shop.z (id INT PRIMARY KEY)")
		s := newSource(t, testConfig(srv, "shop.*"))
		opened := openSource(t, s, pipeline.Resume{})
		s.o.tables.leaveOut(s.o.tables.all[tableA], "a question was not answered", s.o.number())
		exec(t, db, "INSERT INTO shop.z VALUES (9001)", "INSERT INTO shop.a VALUES (1)")
		at := kept(t, collect(t, s, upTo("9001")), opened, func(it seen) bool { return it.Kind == event.KindCommit })
		s.Close()
		s = newSource(t, testConfig(srv, "shop.*"))
		openSource(t, s, at)
		for _, table := range s.Status().Tables {
			if table.Name == tableA && (!table.Attempting || !strings.Contains(table.Trouble, "a question was not answered")) {
				t.Errorf("the status is %+v", table)
			}
		}
		begun := false
		collect(t, s, func(it seen) bool {
			begun = begun || it.Kind == event.KindBegin && it.Table.Name == tableA
			if !begun && it.Kind == event.KindRow && it.Table.Name == tableA {
				t.Errorf("handed over before the definition was known: %s", it.text)
			}
			return begun
		})
	})
}

// TestARestartOwesWhatACascadeMadeDue: MariaDB logs no rows that a foreign key changes. The
// attempt that is due for them is in the records and in the position, also when it is to
// follow one that is in progress.
func TestARestartOwesWhatACascadeMadeDue(t *testing.T) {
	srv := testenv.MariaDB(t)
	db, err := srv.Open("")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	child := event.TableName{DB: "shop", Table: "child"}
	exec(t, db, "CREATE DATABASE shop", "CREATE TABLE shop.p (id INT PRIMARY KEY)", "CREATE TABLE shop.z (id INT PRIMARY KEY)",
		"CREATE TABLE shop.child (id INT PRIMARY KEY, p INT, FOREIGN KEY (p) REFERENCES shop.p (id) ON DELETE CASCADE)",
		"INSERT INTO shop.p VALUES (1),(2),(3)", "INSERT INTO shop.child VALUES (1,1),(2,2),(3,3)")
	cfg := testConfig(srv, "shop.*")
	cfg.Snapshot.ChunkRows = 1
	s := newSource(t, cfg)
	opened := openSource(t, s, pipeline.Resume{})
	exec(t, db, "DELETE FROM shop.p WHERE id=1", "INSERT INTO shop.z VALUES (9001)")
	all := collect(t, s, upTo("9001"))
	s.Close()
	marked := func(it seen) bool {
		return it.Kind == event.KindDue && it.Table.Name == child && it.Attempt.Cause == causeCascade
	}
	at := kept(t, all, opened, marked)
	if !strings.Contains(at.Position.Tables, causeCascade) {
		t.Errorf("the position says %q", at.Position.Tables)
	}
	s = newSource(t, cfg)
	openSource(t, s, at)
	all = collect(t, s, func(it seen) bool { return it.Kind == event.KindBegin && it.Table.Name == child })

	exec(t, db, "DELETE FROM shop.p WHERE id=2", "INSERT INTO shop.z VALUES (9002)")
	all = append(all, collect(t, s, upTo("9002"))...)
	s.Close()
	at = kept(t, all, opened, func(it seen) bool { return it.Kind == event.KindRow && strings.Contains(it.text, "9002") })
	for _, it := range all {
		if it.Kind == event.KindBegin || it.Kind == event.KindChunkEnd {
			at.Attempts = []event.Attempt{*it.Attempt}
		}
		if it.Kind == event.KindEnd {
			t.Fatal("the attempt ended, although nothing was resolved")
		}
	}
	s = newSource(t, cfg)
	openSource(t, s, at)
	ended := false
	collect(t, s, func(it seen) bool {
		if it.Commit != nil {
			s.Resolved(*it.Commit)
		}
		ended = ended || it.Kind == event.KindEnd && it.Table.Name == child
		return ended && it.Kind == event.KindBegin && it.Table.Name == child
	})
}

func FuzzUnsure(f *testing.F) {
	f.Add(`[{"db":"shop","table":"a","loaded":{"file":"bin.1","pos":7},"blind":"why","owed":{"cause":"c","behind":true}}]`)
	f.Fuzz(func(t *testing.T, text string) {
		all, due, err := parseUnsure(text)
		if err != nil {
			return
		}
		ts := &tables{all: map[event.TableName]*table{}, attempts: &still{}, audits: &still{}}
		for name := range all {
			ts.at(name)
		}
		ts.takeUp(all, false)
		again, _, err := parseUnsure(ts.inPosition(place{}))
		if err != nil || len(again) != len(all) {
			t.Fatalf("%q: %d of %d tables, %d due, %v", text, len(again), len(all), len(due), err)
		}
		for name, u := range all {
			if strings.ToValidUTF8(name.String(), "") == name.String() && again[name].excused != u.excused {
				t.Errorf("%v is read back as %v", u, again[name])
			}
		}
	})
}

// TestARestartWithinAStatementOverTables: one statement puts two tables under definitions
// that were read from a server that is ahead. A restart before it, behind its group but before
// its commit, and behind that treats both the same: rows up to the answer are left out, and a
// statement that is in the definitions already is not applied again.
func TestARestartWithinAStatementOverTables(t *testing.T) {
	onServers(t, func(t *testing.T, srv *testenv.Server, db *sql.DB) {
		exec(t, db, "CREATE DATABASE shop", "CREATE TABLE shop.z (id INT PRIMARY KEY)")
		two := []event.TableName{tableA, {DB: "shop", Table: "b"}}
		s := newSource(t, testConfig(srv, "shop.a", "shop.b", "shop.z"))
		opened := openSource(t, s, pipeline.Resume{})
		for _, name := range []string{"x1", "x2"} {
			exec(t, db, "CREATE TABLE shop."+name+" (id INT PRIMARY KEY, x VARCHAR(20), y VARCHAR(20)) CHARSET utf8mb4")
		}
		exec(t, db, "INSERT INTO shop.z VALUES (1)", "RENAME TABLE shop.x1 TO shop.a, shop.x2 TO shop.b")
		for _, n := range two {
			exec(t, db, "INSERT INTO "+n.String()+" VALUES (2,'is x','is y')", "ALTER TABLE "+n.String()+
				" CHANGE x y VARCHAR(20), CHANGE y x VARCHAR(20)")
		}
		exec(t, db, "INSERT INTO shop.z VALUES (9001)")
		all := collect(t, s, upTo("9001"))
		s.Close()

		restarts := map[string]pipeline.Resume{}
		marks := 0
		for i, it := range all {
			switch {
			case it.Kind == event.KindDDL:
				marks++
				at := it.Tx.Start
				at.Done, at.DoneID = it.Seq, it.Identity()
				if marks == 2 { // one group
					restarts["before its commit"] = pipeline.Resume{Position: at, Epoch: at.Epoch, Schemas: schemasOf(all[:i+1], opened)}
				}
			case it.Commit != nil && marks == 0:
				restarts["before it"] = pipeline.Resume{Position: *it.Commit, Epoch: it.Commit.Epoch, Schemas: schemasOf(all[:i+1], opened)}
			case it.Commit != nil && marks == 2 && restarts["behind it"].Schemas == nil:
				restarts["behind it"] = pipeline.Resume{Position: *it.Commit, Epoch: it.Commit.Epoch, Schemas: schemasOf(all[:i+1], opened)}
			}
		}
		if len(restarts) != 3 {
			t.Fatalf("%d places, %d marks", len(restarts), marks)
		}
		last := 9001
		for where, at := range restarts {
			if where != "before it" {
				for _, n := range two {
					at.Attempts = append(at.Attempts, event.Attempt{Table: n, Cause: "test"})
				}
			}
			last++
			s := newSource(t, testConfig(srv, "shop.a", "shop.b", "shop.z"))
			openSource(t, s, at)
			exec(t, db, fmt.Sprintf("INSERT INTO shop.z VALUES (%d)", last))
			for _, it := range collect(t, s, upTo(strconv.Itoa(last))) {
				if it.Kind == event.KindRow && it.Op == event.OpCreate && it.Table.Name.Table != "z" {
					t.Errorf("%s: a row was read under a definition from behind it: %s", where, it.text)
				}
			}
			for _, n := range two {
				if c := s.o.tables.all[n].schema().Columns; c[1].Name != "y" || c[2].Name != "x" {
					t.Errorf("%s: the columns of %s are %s, %s: a statement was applied to a definition that it was in", where, n, c[1].Name, c[2].Name)
				}
			}
			s.Close()
		}
	})
}

// TestADroppedTableLeavesNothing: of tables that come and go neither the source nor its position
// keeps anything, whatever was unsure of them; one that is made again is read as a new one, and
// one that is paused stays paused.
func TestADroppedTableLeavesNothing(t *testing.T) {
	onServers(t, func(t *testing.T, srv *testenv.Server, db *sql.DB) {
		exec(t, db, "CREATE DATABASE shop", "CREATE TABLE shop.a (id INT PRIMARY KEY)", "CREATE TABLE shop.held (id INT PRIMARY KEY)",
			"CREATE TABLE shop.z (id INT PRIMARY KEY)")
		s := newSource(t, testConfig(srv, "shop.*"))
		openSource(t, s, pipeline.Resume{})
		s.SetPaused(event.TableName{DB: "shop", Table: "held"}, true)
		s.o.tables.leaveOut(s.o.tables.all[tableA], "a question was not answered", s.o.number())
		exec(t, db, "DROP TABLE shop.a, shop.held")
		for i := range 20 {
			name := fmt.Sprintf("shop.day%d", i)
			exec(t, db, "CREATE TABLE "+name+" (id INT PRIMARY KEY)", "INSERT INTO "+name+" VALUES (1)", "RENAME TABLE "+name+" TO "+name+"_old",
				"DROP TABLE "+name+"_old")
		}
		exec(t, db, "INSERT INTO shop.z VALUES (9001)")
		all := collect(t, s, upTo("9001"))
		names := func() (out []string) {
			for _, n := range s.o.tables.names() {
				out = append(out, n.String())
			}
			return out
		}
		if got := names(); !slices.Equal(got, []string{"shop.held", "shop.z"}) {
			t.Errorf("it keeps %q", got)
		}
		if at := all[len(all)-1].Commit; at.Tables != "" {
			t.Errorf("the position keeps %s", at.Tables)
		}
		exec(t, db, "CREATE TABLE shop.a (id INT PRIMARY KEY)", "INSERT INTO shop.a VALUES (8)", "CREATE TABLE shop.held (id INT PRIMARY KEY)",
			"INSERT INTO shop.held VALUES (8)", "INSERT INTO shop.z VALUES (9002)")
		rows := 0
		for _, it := range collect(t, s, upTo("9002")) {
			if it.Kind == event.KindRow && it.Table.Name.Table == "held" {
				t.Errorf("it is paused: %s", it.text)
			}
			if it.Kind == event.KindRow && it.Table.Name == tableA {
				rows++
			}
		}
		if rows != 1 {
			t.Errorf("%d rows of the table that was made again", rows)
		}
	})
}

// TestACascadeFollowsItsTable: MariaDB logs no rows that a foreign key changes, also not those
// of a table that was renamed, or that came under a captured name.
func TestACascadeFollowsItsTable(t *testing.T) {
	t.Parallel()
	srv := testenv.MariaDB(t)
	db, err := srv.Open("")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	exec(t, db, "CREATE DATABASE shop", "CREATE DATABASE aside", "CREATE TABLE shop.parent (id INT PRIMARY KEY)",
		"CREATE TABLE shop.child (id INT PRIMARY KEY, p INT, FOREIGN KEY (p) REFERENCES shop.parent (id) ON DELETE CASCADE)",
		"CREATE TABLE aside.other (id INT PRIMARY KEY, p INT, FOREIGN KEY (p) REFERENCES shop.parent (id) ON DELETE CASCADE)")
	s := newSource(t, testConfig(srv, "shop.*"))
	openSource(t, s, pipeline.Resume{})
	exec(t, db, "RENAME TABLE shop.child TO shop.kid, aside.other TO shop.came")
	marks := 0
	collect(t, s, func(it seen) bool {
		if it.Kind == event.KindDDL {
			marks++ // child is gone, kid and came are there
		}
		return marks == 3
	})
	for _, name := range []string{"kid", "came"} {
		if !s.o.tables.cascades[event.TableName{DB: "shop", Table: name}] {
			t.Errorf("shop.%s changes without rows, and nobody knows", name)
		}
	}
}
