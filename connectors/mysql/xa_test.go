package mysql

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/millrace/millrace/internal/testenv"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
)

// xaSession runs an XA transaction up to its preparation; decide ends it.
func xaSession(t *testing.T, db *sql.DB, name string, statements ...string) (decide func(how string)) {
	t.Helper()
	s := newSession(t, db)
	s.run("XA START '" + name + "'")
	s.run(statements...)
	s.run("XA END '"+name+"'", "XA PREPARE '"+name+"'")
	return func(how string) { s.run("XA " + how + " '" + name + "'") }
}

// xaRig is a source over tables a, b and z of shop, with what it handed over applied.
type xaRig struct {
	t      *testing.T
	db     *sql.DB
	cfg    Config
	s      *Source
	state  map[string]*target
	opened pipeline.Opened
	all    []seen
	due    map[string]int
	marks  int
}

func newXARig(t *testing.T, srv *testenv.Server, db *sql.DB) *xaRig {
	exec(t, db, "CREATE DATABASE shop", "CREATE TABLE shop.a (id INT PRIMARY KEY, v VARCHAR(200))",
		"CREATE TABLE shop.b (id INT PRIMARY KEY)", "CREATE TABLE shop.z (id INT PRIMARY KEY)",
		"CREATE TABLE shop.m (id INT PRIMARY KEY) ENGINE=MyISAM")
	cfg := testConfig(srv, "shop.*")
	cfg.Held = HeldConfig{Dir: t.TempDir(), Memory: 64 << 10}
	r := &xaRig{t: t, db: db, cfg: cfg, state: map[string]*target{}, due: map[string]int{}}
	for _, table := range []string{"a", "b", "m", "z"} {
		r.state[table] = newTarget(t)
	}
	return r
}

// open opens the source, anew or at a position.
func (r *xaRig) open(at pipeline.Resume) {
	r.t.Helper()
	if r.s != nil {
		r.s.Close()
	}
	r.s = newSource(r.t, r.cfg)
	if r.opened.Server == "" {
		r.opened = openSource(r.t, r.s, at)
		return
	}
	openSource(r.t, r.s, at)
}

// again closes the source and opens it at the last position that it handed over.
func (r *xaRig) again() {
	r.t.Helper()
	i := len(r.all) - 1
	for r.all[i].Commit == nil {
		i--
	}
	r.at(*r.all[i].Commit, i)
}

// at opens the source at a position that came with the item of that number.
func (r *xaRig) at(p event.Position, i int) {
	r.t.Helper()
	r.open(pipeline.Resume{Position: p, Epoch: p.Epoch, Schemas: schemasOf(r.all[:i+1], r.opened)})
}

// reach writes a mark and reads up to it.
func (r *xaRig) reach() {
	r.t.Helper()
	r.marks++
	exec(r.t, r.db, fmt.Sprintf("INSERT INTO shop.z VALUES (%d)", r.marks+7000))
	r.read(upTo(fmt.Sprint(r.marks + 7000)))
}

func (r *xaRig) read(stop func(seen) bool) {
	r.t.Helper()
	for _, it := range collect(r.t, r.s, stop) {
		r.all = append(r.all, it)
		if it.Table == nil {
			continue
		}
		if it.Kind == event.KindDDL && it.DDL.Due != "" {
			r.due[it.Table.Name.Table]++
		}
		r.state[it.Table.Name.Table].apply(&it.Item)
	}
}

// same compares every table with the server's.
func (r *xaRig) same(when string) {
	r.t.Helper()
	r.t.Run(when, func(t *testing.T) {
		for _, table := range []string{"a", "b", "m"} {
			sameRows(t, r.state[table].texts(), serverRows(t, r.db, "SELECT * FROM shop."+table))
		}
		if len(r.due) > 0 {
			t.Errorf("attempts are due: %v", r.due)
		}
	})
}

// TestRowsOfXATransactionsComeWithTheirCommit goes through what can become of XA
// transactions while the source runs.
func TestRowsOfXATransactionsComeWithTheirCommit(t *testing.T) {
	onServers(t, func(t *testing.T, srv *testenv.Server, db *sql.DB) {
		r := newXARig(t, srv, db)
		r.open(pipeline.Resume{})
		one := xaSession(t, db, "one", "INSERT INTO shop.a VALUES (1,'one'),(2,'two')", "UPDATE shop.a SET v='zwei' WHERE id=2")
		two := xaSession(t, db, "two", "INSERT INTO shop.b VALUES (1)")
		r.reach()
		if n := len(r.state["a"].texts()) + len(r.state["b"].texts()); n != 0 {
			t.Fatalf("%d rows came with the preparation", n)
		}
		r.same("prepared")
		two("COMMIT")
		exec(t, db, "INSERT INTO shop.b VALUES (2)")
		r.reach()
		r.same("the second is committed first")
		one("COMMIT")
		r.reach()
		r.same("both are committed")

		undone := xaSession(t, db, "undone", "INSERT INTO shop.a VALUES (3,'never')", "DELETE FROM shop.b")
		r.reach()
		undone("ROLLBACK")
		r.reach()
		r.same("rolled back")

		phase := newSession(t, db)
		phase.run("XA START 'phase'", "INSERT INTO shop.a VALUES (4,'at once')", "XA END 'phase'", "XA COMMIT 'phase' ONE PHASE")
		phase.run("XA START 'never'", "INSERT INTO shop.a VALUES (40,'never')", "CREATE TEMPORARY TABLE shop.tt (a INT)",
			"INSERT INTO shop.a VALUES (41,'never')", "XA END 'never'", "XA ROLLBACK 'never'")
		r.reach()
		r.same("one phase")

		saves := xaSession(t, db, "saves", "INSERT INTO shop.a VALUES (5,'stays')", "SAVEPOINT s", "INSERT INTO shop.m VALUES (1)",
			"INSERT INTO shop.a VALUES (6,'goes')",
			"DELETE FROM shop.b", "ROLLBACK TO s", "INSERT INTO shop.a VALUES (7,'stays')")
		r.reach()
		saves("COMMIT")
		r.reach()
		r.same("with savepoints")

		large := xaSession(t, db, "large", "INSERT INTO shop.a "+numbered(20000))
		exec(t, db, "INSERT INTO shop.a VALUES (9,'meanwhile')")
		r.reach()
		r.same("a large one is prepared")
		large("COMMIT")
		r.reach()
		r.same("a large one is committed")

		twice := xaSession(t, db, "large", "DELETE FROM shop.a WHERE id>100")
		twice("COMMIT")
		r.reach()
		r.same("the identity is used again")
	})
}

// numbered is a SELECT of that many rows on either server.
func numbered(n int) string {
	return fmt.Sprintf("SELECT 100+d.n*10000+c.n*1000+b.n*100+e.n*10+f.n, REPEAT('x',100) FROM %s WHERE d.n*10000+c.n*1000+b.n*100+e.n*10+f.n < %d",
		strings.Join([]string{digits("b"), digits("c"), digits("d"), digits("e"), digits("f")}, ","), n)
}

func digits(as string) string {
	return "(SELECT 0 n UNION SELECT 1 UNION SELECT 2 UNION SELECT 3 UNION SELECT 4 UNION SELECT 5 UNION SELECT 6 UNION SELECT 7 UNION SELECT 8 UNION SELECT 9) " + as
}

// TestOpenXATransactionsOutliveARestart closes the source between PREPARE and COMMIT, opens
// it again from every position, and drops its connection: the numbers stay the same, and
// only the ranges are read again.
func TestOpenXATransactionsOutliveARestart(t *testing.T) {
	onServers(t, func(t *testing.T, srv *testenv.Server, db *sql.DB) {
		r := newXARig(t, srv, db)
		r.open(pipeline.Resume{})
		r.reach()
		one := xaSession(t, db, "one", "INSERT INTO shop.a "+numbered(3000), "SAVEPOINT s", "INSERT INTO shop.m VALUES (1)",
			"DELETE FROM shop.a", "ROLLBACK TO s")
		exec(t, db, "FLUSH BINARY LOGS")
		two := xaSession(t, db, "two", "INSERT INTO shop.b VALUES (1)")
		r.reach()
		r.again()
		exec(t, db, "FLUSH BINARY LOGS", "INSERT INTO shop.b VALUES (2)")
		two("COMMIT")
		r.reach()
		r.same("the second is committed")
		r.s.o.rd.Drop()
		one("COMMIT")
		r.reach()
		r.same("both are committed")

		first, order := numbers(r.all)
		whole := slices.Clone(r.all)
		for i, it := range whole {
			at, passed := it.Commit, it.Seq
			if i == len(whole)-1 {
				break
			}
			if at != nil {
				passed = event.MakeSeq(at.Epoch, at.Counter-1)
			}
			if at == nil {
				if i%997 != 0 || it.Kind != event.KindRow {
					continue
				}
				inside := it.Tx.Start // a crash in the middle of a transaction
				inside.Done, inside.DoneID = it.Seq, it.Identity()
				at = &inside
			}
			r.at(*at, i)
			got, gotOrder := numbers(collect(t, r.s, upTo(fmt.Sprint(r.marks+7000))))
			if want := after(order, first, passed); !slices.Equal(gotOrder, want) {
				t.Fatalf("from item %d (%s), done %d: %d items, want %d", i, it.text, at.Done, len(gotOrder), len(want))
			}
			for id, seq := range got {
				if first[id] != seq {
					t.Fatalf("from item %d: %s has number %d, had %d", i, id, seq, first[id])
				}
			}
		}
	})
}

// TestXATransactionsOfAGoneLogAreDue purges the part of the log in which a transaction was
// prepared, and commits one that was prepared before the pipeline began: both are said, and
// attempts are due.
func TestXATransactionsOfAGoneLogAreDue(t *testing.T) {
	onServers(t, func(t *testing.T, srv *testenv.Server, db *sql.DB) {
		r := newXARig(t, srv, db)
		before := xaSession(t, db, "before", "INSERT INTO shop.b VALUES (1)")
		r.open(pipeline.Resume{})
		gone := xaSession(t, db, "gone", "INSERT INTO shop.a VALUES (1,'one')")
		never := xaSession(t, db, "never", "INSERT INTO shop.a VALUES (2,'two')")
		r.reach()
		exec(t, db, "FLUSH BINARY LOGS")
		r.reach()
		_, file := lastLog(t, db)
		r.s.Close()
		for oldest := ""; oldest != file; { // a server keeps a log while somebody reads it
			exec(t, db, "PURGE BINARY LOGS TO '"+file+"'")
			oldest = firstLog(t, db)
		}
		r.again()
		never("ROLLBACK")
		r.reach()
		if len(r.due) != 0 {
			t.Errorf("due after a rollback: %v", r.due)
		}
		gone("COMMIT")
		r.reach()
		if r.due["a"] != 1 || r.due["b"] != 1 {
			t.Errorf("due after the commit of what is gone: %v", r.due)
		}
		before("COMMIT")
		r.reach()
		if r.due["a"] != 2 || r.due["b"] != 2 {
			t.Errorf("due after the commit of what was prepared unseen: %v", r.due)
		}
	})
}

// TestXACommitBehindASnapshot commits a transaction that was prepared before the table was
// read as a whole: the snapshot lacks its rows, and the stream brings them; one that is
// committed while the table is read counts as touching its keys.
func TestXACommitBehindASnapshot(t *testing.T) {
	onServers(t, func(t *testing.T, srv *testenv.Server, db *sql.DB) {
		r := newXARig(t, srv, db)
		r.open(pipeline.Resume{})
		exec(t, db, "INSERT INTO shop.a VALUES (50,'there')")
		open := xaSession(t, db, "open", "INSERT INTO shop.a VALUES (1,'one')", "UPDATE shop.a SET v='changed' WHERE id=50")
		r.reach()
		r.s.RequestSnapshot([]event.TableName{tableA}, "test")
		ended := false
		all := newTarget(t)
		drive(t, r.s, all, func(it *event.Item) bool {
			all.last = 0
			if it.Table != nil && it.Table.Name == tableA {
				r.state["a"].apply(it)
				ended = ended || it.Kind == event.KindEnd
			}
			return ended
		})
		r.same("the snapshot is complete")
		open("COMMIT")
		r.reach()
		r.same("committed")
	})
}

// TestXATransactionsOutliveTheServer kills the server between PREPARE and COMMIT, and then
// moves to another one that has the same transactions elsewhere in its log.
func TestXATransactionsOutliveTheServer(t *testing.T) {
	onServers(t, func(t *testing.T, srv *testenv.Server, db *sql.DB) {
		r := newXARig(t, srv, db)
		r.open(pipeline.Resume{})
		xaSession(t, db, "one", "INSERT INTO shop.a "+numbered(2000))
		xaSession(t, db, "two", "INSERT INTO shop.b VALUES (1),(2)")
		r.reach()
		srv.Kill()
		if err := srv.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		exec(t, db, "XA COMMIT 'one'")
		r.reach()
		r.same("the server was killed")

		i := len(r.all) - 1
		for r.all[i].Commit == nil {
			i--
		}
		at := *r.all[i].Commit
		at.Server, at.File, at.Pos = "another", "other-bin.000042", 4711
		at.XA = strings.ReplaceAll(at.XA, r.s.o.xa[0].file, "other-bin.000001")
		r.open(pipeline.Resume{Position: at, Epoch: 2, NewServer: true, Schemas: schemasOf(r.all[:i+1], r.opened)})
		if len(r.s.o.xa) != 1 || r.s.o.xa[0].file == "other-bin.000001" {
			t.Errorf("open on the other server: %v", r.s.o.xa)
		}
		exec(t, db, "XA COMMIT 'two'")
		r.reach()
		r.same("another server")
	})
}

// TestALostPreparationIsSaid moves to a server that lost what the position says is
// prepared: the opening does not wait for it, and names what it lost.
func TestALostPreparationIsSaid(t *testing.T) {
	onServers(t, func(t *testing.T, srv *testenv.Server, db *sql.DB) {
		r := newXARig(t, srv, db)
		r.open(pipeline.Resume{})
		open := xaSession(t, db, "one", "INSERT INTO shop.a VALUES (1,'one')")
		r.reach()
		i := len(r.all) - 1
		for r.all[i].Commit == nil {
			i--
		}
		at := *r.all[i].Commit
		at.Server, at.File, at.Pos, at.Print = "another", "other-bin.000042", 4711, event.Fingerprint{}
		resume := pipeline.Resume{Epoch: 2, NewServer: true, Schemas: schemasOf(r.all[:i+1], r.opened)}
		reopen := func(at event.Position) (said string, err error) {
			t.Helper()
			r.s.Close()
			var logged lockedBuffer
			if r.s, err = New(r.cfg, slog.New(slog.NewTextHandler(&logged, nil)), nil); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { r.s.Close() })
			resume.Position = at
			ctx, cancel := context.WithTimeout(t.Context(), patience(t))
			defer cancel()
			for _, err = r.s.Open(ctx, resume); err == nil && !r.s.Status().Connected; _, err = r.s.Next(ctx) {
			}
			return logged.String(), err
		}

		lost := at
		lost.XA = strings.Replace(at.XA, "X'6f6e65'", "X'6c6f7374'", 1) // 'one' to 'lost'
		said, err := reopen(lost)
		if err != nil || len(r.s.o.xa) != 0 || !strings.Contains(said, "X'6c6f7374'") {
			t.Fatalf("%v, said was:\n%s", err, said)
		}
		open("COMMIT")
		r.reach()
		if r.due["a"] != 1 || r.due["b"] != 1 {
			t.Errorf("due after the commit of what was lost: %v", r.due)
		}

		never := at
		never.GTIDSet += ",aaaaaaaa-0000-4000-8000-000000000001:1-7"
		never.XA = strings.Replace(at.XA, r.s.o.server.identity+":", "aaaaaaaa-0000-4000-8000-000000000001:", 1)
		if r.s.o.server.maria {
			never.GTIDSet = "0-77-1000000"
			never.XA = regexp.MustCompile(` \d+-\d+-\d+ `).ReplaceAllString(at.XA, " 0-77-999999 ")
		}
		said, err = reopen(never)
		ctx, cancel := context.WithTimeout(t.Context(), patience(t))
		defer cancel()
		for err == nil {
			_, err = r.s.Next(ctx)
		}
		if !errors.Is(err, pipeline.ErrHistory) {
			t.Errorf("transactions that the server never had: %v, said was:\n%s", err, said)
		}
	})
}

// lockedBuffer is written to by the goroutines of a source.
type lockedBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// firstLog is the oldest log that the server has.
func firstLog(t *testing.T, db *sql.DB) string {
	t.Helper()
	row, err := oneRow(t.Context(), db, "SHOW BINARY LOGS")
	if err != nil || len(row) == 0 {
		t.Fatal(row, err)
	}
	return row[0]
}

func FuzzOpenXA(f *testing.F) {
	f.Add("X'6f',X'',1 4-90 0-1-7 bin.000001\nX'61',X'62',7 90-120 - bin 2\n")
	f.Fuzz(func(t *testing.T, text string) {
		all, err := parseXA(text)
		if err != nil {
			return
		}
		again, err := parseXA(all.String())
		if err != nil || !slices.Equal(all, again) {
			t.Errorf("%q is read as %v and back as %v, %v", text, all, again, err)
		}
	})
}

// TestThousandsOfPreparedTransactions are held in a few files, over a restart as well, and come
// whole with their commits, in whatever order.
func TestThousandsOfPreparedTransactions(t *testing.T) {
	onServers(t, func(t *testing.T, srv *testenv.Server, db *sql.DB) {
		const n = 500
		exec(t, db, "CREATE DATABASE shop", "CREATE TABLE shop.a (id INT PRIMARY KEY, v VARCHAR(400))",
			"CREATE TABLE shop.z (id INT PRIMARY KEY)")
		cfg := testConfig(srv, "shop.*")
		cfg.Held = HeldConfig{Dir: t.TempDir(), Memory: 16 << 10}
		s := newSource(t, cfg)
		opened := openSource(t, s, pipeline.Resume{})
		files := openFiles(t, cfg.Held.Dir)
		for i := range n {
			session := newSession(t, db)
			name := fmt.Sprintf("'x%d'", i)
			session.run("XA START "+name, fmt.Sprintf("INSERT INTO shop.a VALUES (%d,REPEAT('v',300))", i), "XA END "+name, "XA PREPARE "+name)
			_ = session.conn.Raw(func(any) error { return driver.ErrBadConn }) // the server keeps what is prepared
		}
		exec(t, db, "INSERT INTO shop.z VALUES (9001)")
		all := collect(t, s, upTo("9001"))
		if now := openFiles(t, cfg.Held.Dir); len(s.o.xa) != n || now-files > 2 {
			t.Errorf("%d of %d transactions are open, in %d files", len(s.o.xa), n, now-files)
		}
		at := *all[len(all)-1].Commit
		s.Close()
		s = newSource(t, cfg)
		openSource(t, s, pipeline.Resume{Position: at, Epoch: at.Epoch, Schemas: schemasOf(all, opened)})
		if now := openFiles(t, cfg.Held.Dir); len(s.o.xa) != n || now-files > 2 {
			t.Errorf("behind a restart %d of %d transactions are open, in %d files", len(s.o.xa), n, now-files)
		}
		for _, i := range rand.Perm(n) {
			how := "COMMIT"
			if i%3 == 0 {
				how = "ROLLBACK"
			}
			exec(t, db, fmt.Sprintf("XA %s 'x%d'", how, i))
		}
		exec(t, db, "INSERT INTO shop.z VALUES (9002)")
		rows := map[string]int{}
		for _, it := range collect(t, s, upTo("9002")) {
			if it.Kind == event.KindRow {
				rows[strings.SplitN(it.text, ",", 2)[0]]++
			}
			if it.Kind == event.KindDDL {
				t.Errorf("due: %s", it.text)
			}
		}
		for i := range n {
			if want := min(i%3, 1); rows[fmt.Sprintf("c shop.a -> %d", i)] != want {
				t.Errorf("row %d came %d times of %d", i, rows[fmt.Sprintf("c shop.a -> %d", i)], want)
			}
		}
		if memory, disk := s.o.store.Held(); memory != 0 || disk != 0 || len(s.o.xa) != 0 || openFiles(t, cfg.Held.Dir) != files {
			t.Errorf("%d bytes of memory and %d of files are held, %d are open", memory, disk, len(s.o.xa))
		}
	})
}

// openFiles counts what this process has open below a directory; the names are gone already.
func openFiles(t *testing.T, dir string) (n int) {
	t.Helper()
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range all {
		if to, err := os.Readlink("/proc/self/fd/" + f.Name()); err == nil && strings.HasPrefix(to, dir) {
			n++
		}
	}
	return n
}

// TestTheOldestPreparedTransactionIsGivenUp where a position could not keep all: its commit makes
// snapshots due, and the others come as ever.
func TestTheOldestPreparedTransactionIsGivenUp(t *testing.T) {
	onServers(t, func(t *testing.T, srv *testenv.Server, db *sql.DB) {
		r := newXARig(t, srv, db)
		r.open(pipeline.Resume{})
		r.s.o.maxXA = 220
		var decide []func(string)
		for i := range 4 {
			decide = append(decide, xaSession(t, db, fmt.Sprintf("x%d", i), fmt.Sprintf("INSERT INTO shop.b VALUES (%d)", i)))
		}
		exec(t, db, "INSERT INTO shop.z VALUES (1)")
		all := collect(t, r.s, func(it seen) bool { return it.Kind == event.KindCommit })
		open := len(r.s.o.xa)
		if open == 0 || open == 4 || r.s.o.held.Holds("X'7830',X'',1") || len(all[len(all)-1].Commit.XA) > 220 {
			t.Fatalf("%d are open, the position has %d bytes", open, len(all[len(all)-1].Commit.XA))
		}
		decide[3]("COMMIT")
		decide[0]("COMMIT")
		var came []string
		collect(t, r.s, func(it seen) bool {
			if it.Kind == event.KindRow || it.Kind == event.KindDDL {
				came = append(came, it.text)
			}
			return it.Kind == event.KindDDL && it.Table.Name.Table == "z"
		})
		if came[0] != "c shop.b -> 3" || len(came) < 2 || !strings.Contains(came[1], "due=") {
			t.Errorf("came %q", came)
		}
	})
}
