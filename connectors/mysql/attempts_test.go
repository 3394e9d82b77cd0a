package mysql

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/testenv"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
)

// target is what a sink would make of the items: the newest version of each key wins,
// and END removes what is older than BEGIN. Keyless tables are counted.
type target struct {
	t     testing.TB
	rows  map[string]version
	count map[string]int
	last  event.Seq
	ends  int
	begin event.Seq
	pend  []delta
}

type version struct {
	seq  event.Seq
	text string
	dead bool
}

type delta struct {
	seq  event.Seq
	text string
	n    int
}

func newTarget(t testing.TB) *target { return &target{t: t, rows: map[string]version{}} }

func (g *target) apply(it *event.Item) {
	switch it.Kind {
	case event.KindRow, event.KindBegin, event.KindEnd, event.KindTruncate, event.KindDDL:
		if it.Seq <= g.last {
			g.t.Errorf("%s has number %d behind %d", describe(it), it.Seq, g.last)
		}
		g.last = it.Seq
	}
	switch it.Kind {
	case event.KindRow:
		if it.Table.Keyless {
			if it.Before != nil {
				g.pend = append(g.pend, delta{it.Seq, imageText(it.Before, it.Table.Schema), -1})
			}
			if it.After != nil {
				g.pend = append(g.pend, delta{it.Seq, imageText(it.After, it.Table.Schema), 1})
			}
			return
		}
		img := it.After
		if img == nil {
			img = it.Before
		}
		key, err := event.AppendKey(nil, img, it.Table.Schema, it.Table.Schema.PrimaryKey)
		if err != nil {
			g.t.Fatal(err)
		}
		g.rows[string(key)] = version{seq: it.Seq, text: imageText(img, it.Table.Schema), dead: it.After == nil}
	case event.KindBegin:
		g.begin = it.Seq
	case event.KindTruncate:
		g.below(it.Seq)
	case event.KindEnd:
		g.ends++
		g.below(it.Attempt.Begin)
	}
}

func (g *target) below(s event.Seq) {
	maps.DeleteFunc(g.rows, func(_ string, v version) bool { return v.seq < s })
	g.pend = slices.DeleteFunc(g.pend, func(d delta) bool { return d.seq < s })
}

// texts are the rows that are there, sorted.
func (g *target) texts() []string {
	var out []string
	for _, v := range g.rows {
		if !v.dead {
			out = append(out, v.text)
		}
	}
	count := map[string]int{}
	for _, d := range g.pend {
		count[d.text] += d.n
	}
	for text, n := range count {
		if n < 0 {
			g.t.Errorf("row %s is there %d times", text, n)
		}
		for range n {
			out = append(out, text)
		}
	}
	slices.Sort(out)
	return out
}

// drive reads until stop, acknowledging everything at once.
func drive(t testing.TB, s *Source, g *target, stop func(it *event.Item) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience(t))
	defer cancel()
	for {
		items, err := s.Next(ctx)
		if err != nil {
			t.Fatalf("Next: %v; status %+v", err, s.Status())
		}
		done := false
		for i := range items {
			g.apply(&items[i])
			if items[i].Kind == event.KindPaused {
				t.Fatal(describe(&items[i]))
			}
			done = stop(&items[i]) || done
			if items[i].Commit != nil {
				s.Resolved(*items[i].Commit)
			}
		}
		if done {
			return
		}
	}
}

// serverRows reads a table as texts of the same form.
func serverRows(t testing.TB, db *sql.DB, query string) []string {
	t.Helper()
	rows, err := db.Query(query)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	cols, _ := rows.Columns()
	var out []string
	for rows.Next() {
		vals := make([]sql.NullString, len(cols))
		dest := make([]any, len(cols))
		for i := range vals {
			dest[i] = &vals[i]
		}
		if err := rows.Scan(dest...); err != nil {
			t.Fatal(err)
		}
		var parts []string
		for _, v := range vals {
			if v.Valid {
				parts = append(parts, v.String)
			} else {
				parts = append(parts, "NULL")
			}
		}
		out = append(out, strings.Join(parts, ","))
	}
	slices.Sort(out)
	return out
}

func sameRows(t testing.TB, got, want []string) {
	t.Helper()
	if slices.Equal(got, want) {
		return
	}
	t.Errorf("%d rows, want %d", len(got), len(want))
	shown := 0
	for _, r := range got {
		if _, ok := slices.BinarySearch(want, r); !ok && shown < 10 {
			t.Errorf("too much: %s", r)
			shown++
		}
	}
	for _, r := range want {
		if _, ok := slices.BinarySearch(got, r); !ok && shown < 20 {
			t.Errorf("missing: %s", r)
			shown++
		}
	}
}

func TestSnapshotUnderWritesEqualsTheTable(t *testing.T) {
	onServers(t, func(t *testing.T, srv *testenv.Server, db *sql.DB) {
		exec(t, db, "CREATE DATABASE shop", "CREATE TABLE shop.a (g VARCHAR(10), id INT, v INT, PRIMARY KEY (g, id))",
			"CREATE TABLE shop.k (v INT, w INT)")
		const n = 3000
		for i := 0; i < n; i += 500 {
			var vals []string
			for k := i; k < i+500; k++ {
				vals = append(vals, fmt.Sprintf("('g%d',%d,0)", k%7, k))
			}
			exec(t, db, "INSERT INTO shop.a VALUES "+strings.Join(vals, ","))
		}
		exec(t, db, "INSERT INTO shop.k SELECT id, v FROM shop.a")
		cfg := testConfig(srv, "shop.*")
		cfg.Snapshot.ChunkRows = 100
		s := newSource(t, cfg)
		openSource(t, s, pipeline.Resume{})

		stop := make(chan struct{})
		var wg sync.WaitGroup
		for w := range 2 {
			wg.Add(1)
			go func() {
				defer wg.Done()
				for i := w; ; i += 2 {
					select {
					case <-stop:
						return
					default:
					}
					id := (i * 37) % (n + 500)
					for _, q := range []string{
						fmt.Sprintf("INSERT INTO shop.a VALUES ('g%d',%d,%d) ON DUPLICATE KEY UPDATE v=v+1", id%7, id, i),
						fmt.Sprintf("DELETE FROM shop.a WHERE g='g%d' AND id=%d", (id+3)%7, id+3),
						fmt.Sprintf("UPDATE IGNORE shop.a SET id=id+10000 WHERE g='g%d' AND id=%d", (id+9)%7, id+9),
						fmt.Sprintf("INSERT INTO shop.k VALUES (%d,%d)", i, i),
						fmt.Sprintf("UPDATE shop.k SET w=w+1 WHERE v=%d LIMIT 1", id),
					} {
						if _, err := db.Exec(q); err != nil {
							t.Error(q, err)
							return
						}
					}
				}
			}()
		}
		a, k := newTarget(t), newTarget(t)
		split := func(it *event.Item) *target {
			if it.Table != nil && it.Table.Name.Table == "k" {
				return k
			}
			return a
		}
		s.RequestSnapshot([]event.TableName{{DB: "shop", Table: "a"}, {DB: "shop", Table: "k"}}, "test")
		both := newTarget(t)
		handle := func(done func(it *event.Item) bool) {
			drive(t, s, both, func(it *event.Item) bool {
				split(it).apply(it)
				return done(it)
			})
		}
		handle(func(it *event.Item) bool { return a.ends == 1 && k.ends == 1 })
		close(stop)
		wg.Wait()
		exec(t, db, "INSERT INTO shop.a VALUES ('end',1,1)")
		found := false
		handle(func(it *event.Item) bool {
			found = found || it.Kind == event.KindRow && strings.Contains(describe(it), "end,1,1")
			return found && it.Kind == event.KindCommit
		})
		sameRows(t, a.texts(), serverRows(t, db, "SELECT * FROM shop.a"))
		sameRows(t, k.texts(), serverRows(t, db, "SELECT * FROM shop.k"))
	})
}

// TestSnapshotOfWhatIsInTheLogButNotVisible makes the server show changes in its log
// long before it shows them in its tables, where it can be made to.
func TestSnapshotOfWhatIsInTheLogButNotVisible(t *testing.T) {
	onServers(t, func(t *testing.T, srv *testenv.Server, db *sql.DB) {
		exec(t, db, "CREATE DATABASE shop", "CREATE TABLE shop.a (id INT PRIMARY KEY, v INT)")
		var vals []string
		for k := range 1000 {
			vals = append(vals, fmt.Sprintf("(%d,0)", k))
		}
		exec(t, db, "INSERT INTO shop.a VALUES "+strings.Join(vals, ","))
		if srv.Kind == "mysql" {
			// Its log is sent when it is written only to readers that look, which they do
			// with each heartbeat.
			exec(t, db, "SET GLOBAL binlog_group_commit_sync_delay=300000")
		}
		cfg := testConfig(srv, "shop.*")
		cfg.Heartbeat = 100 * time.Millisecond
		s := newSource(t, cfg)
		openSource(t, s, pipeline.Resume{})
		stop := make(chan struct{})
		var wg sync.WaitGroup
		for w := range 8 {
			wg.Add(1)
			go func() {
				defer wg.Done()
				for i := 0; ; i++ {
					select {
					case <-stop:
						return
					default:
					}
					if _, err := db.Exec(fmt.Sprintf("UPDATE shop.a SET v=v+1 WHERE id=%d", (i*8+w)%1000)); err != nil {
						t.Error(err)
						return
					}
				}
			}()
		}
		g := newTarget(t)
		for round := range 5 {
			s.RequestSnapshot([]event.TableName{{DB: "shop", Table: "a"}}, "test")
			drive(t, s, g, func(it *event.Item) bool { return g.ends > round })
		}
		close(stop)
		wg.Wait()
		exec(t, db, "INSERT INTO shop.a VALUES (5000,5000)")
		found := false
		drive(t, s, g, func(it *event.Item) bool {
			found = found || it.Kind == event.KindRow && strings.Contains(describe(it), "5000,5000")
			return found && it.Kind == event.KindCommit
		})
		sameRows(t, g.texts(), serverRows(t, db, "SELECT * FROM shop.a"))
	})
}

// TestWhatTheSourceOwesIsSaid: rows that a foreign key changed are in no log; that an attempt
// has them is told where it is found, once, and not while the table is paused.
func TestWhatTheSourceOwesIsSaid(t *testing.T) {
	ts, at := stillTables(t, true)
	table := stillTable(ts, tableA)
	source, err := New(*ts.cfg, ts.log, nil)
	if err != nil {
		t.Fatal(err)
	}
	as := &attempts{source: source, server: ts.server, stand: at, tables: ts, ctx: t.Context()}
	ts.attempts = as
	owed := func() []string { return toldDue(at) }
	as.cascade(table)
	as.cascade(table) // before BEGIN: the attempt has it
	if got := owed(); len(got) != 1 || got[0] != tableA.String()+": "+causeCascade || as.of(table) == nil || as.of(table).again {
		t.Errorf("told %q, of %+v", got, as.of(table))
	}
	as.drop(as.of(table))
	ts.pause(table, pauseRequest, "")
	as.cascade(table)
	if got := owed(); len(got) != 1 || as.of(table) != nil {
		t.Errorf("of a paused table: told %q", got)
	}
}

func toldDue(at *still) (causes []string) {
	for _, it := range at.items {
		if it.Kind == event.KindDue {
			causes = append(causes, it.Table.Name.String()+": "+it.Attempt.Cause)
		}
	}
	return causes
}

// TestWhatARestartOwesIsSaid: a table that is not whole, as only the position knows, is told
// to be due. Nobody would believe else that rows are missing until the BEGIN: behind an END
// with an attempt to follow whose record the process did not live to make, and where rows are
// left out because the place up to which they were was one of another server's log.
func TestWhatARestartOwesIsSaid(t *testing.T) {
	for name, c := range map[string]struct {
		was   unsure
		other bool
		due   map[event.TableName]owed
		known []event.Attempt
		want  string
	}{
		"an END with another to follow": {due: map[event.TableName]owed{tableA: {Cause: causeCascade, Behind: true}}, want: causeCascade},
		"one that the records have":     {due: map[event.TableName]owed{tableA: {Cause: "c"}}, known: []event.Attempt{{Table: tableA, Cause: "c"}}},
		"a place of another log":        {was: unsure{loadedAt: place{file: "f", pos: 9}}, other: true, want: "what it was where the reader stood"},
		"a place of this log":           {was: unsure{loadedAt: place{file: "f", pos: 9}}},
		"nothing":                       {other: true},
	} {
		t.Run(name, func(t *testing.T) {
			ts, at := stillTables(t, true)
			stillTable(ts, tableA)
			source, err := New(*ts.cfg, ts.log, nil)
			if err != nil {
				t.Fatal(err)
			}
			as := &attempts{source: source, server: ts.server, stand: at, tables: ts, ctx: t.Context()}
			ts.attempts = as
			ts.takeUp(map[event.TableName]unsure{tableA: c.was}, c.other)
			as.resume(c.known, c.due)
			got := toldDue(at)
			if c.want == "" && len(got) > 0 || c.want != "" && (len(got) != 1 || !strings.HasPrefix(got[0], tableA.String()+": "+c.want)) {
				t.Errorf("told %q, want %q", got, c.want)
			}
		})
	}
}
