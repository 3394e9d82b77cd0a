package schema

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/millrace/millrace/connectors/mysql/decode"
	"github.com/millrace/millrace/internal/testenv"
	"github.com/millrace/millrace/pipeline/event"
)

// The twin of Apply is the server: random tables are made and altered there, and after
// each statement the definition that Apply carried on is compared with the server's own,
// and the values of a row that was there before with what Apply says of them.
//
// The start is fixed, so that a corner of a server's grammar that nobody has met yet does
// not fail whoever changed something else: MILLRACE_SEED looks elsewhere, or repeats a run,
// and MILLRACE_STATEMENTS makes it longer.

func TestTrackedDefinitionIsTheServers(t *testing.T) {
	seed, statements := uint64(1), 150
	if v, err := strconv.ParseUint(os.Getenv("MILLRACE_SEED"), 10, 64); err == nil {
		seed = v
	}
	if v, err := strconv.Atoi(os.Getenv("MILLRACE_STATEMENTS")); err == nil {
		statements = v
	}
	for kind, start := range map[string]func(testing.TB, ...string) *testenv.Server{"mariadb": testenv.MariaDB, "mysql": testenv.MySQL} {
		t.Run(kind, func(t *testing.T) {
			srv := start(t)
			t.Logf("MILLRACE_SEED=%d", seed)
			w := newTwin(t, srv, seed)
			for range statements {
				w.step()
			}
			t.Logf("%d statements, %d refused by the server; %d were followed, %d of them with an attempt, %d were read from it, %d audited",
				statements, w.refused, w.followed, w.due, w.unclear, w.audited)
			if w.followed < statements/4 || w.unclear+w.audited > statements/4 {
				t.Errorf("too few statements were followed")
			}
		})
	}
}

type twin struct {
	t      *testing.T
	ctx    context.Context
	db     *sql.DB
	conn   *sql.Conn
	maria  bool
	srv    *testenv.Server
	rand   *rand.Rand
	number uint64
	name   event.TableName
	now    *Current // nil: there is no table
	tables int
	steps  int
	mode   Mode
	row    map[uint32]event.Value // of the row that is there, by the columns' identities
	hasRow bool

	refused, followed, due, unclear, audited int
}

func newTwin(t *testing.T, srv *testenv.Server, seed uint64) *twin {
	db, err := srv.Open("")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	w := &twin{t: t, ctx: t.Context(), db: db, conn: conn, maria: srv.Kind == "mariadb", srv: srv,
		rand: rand.New(rand.NewPCG(seed, 1)), number: 1000}
	w.exec("CREATE DATABASE tw DEFAULT CHARSET utf8mb4")
	w.exec("USE tw")
	w.exec("SET NAMES utf8mb4")
	w.exec("SET time_zone='+00:00', sql_mode=''")
	return w
}

func (w *twin) exec(sql string) {
	w.t.Helper()
	if _, err := w.conn.ExecContext(w.ctx, sql); err != nil {
		w.t.Fatalf("%s: %v", sql, err)
	}
}

func (w *twin) pick(of ...string) string { return of[w.rand.IntN(len(of))] }

func (w *twin) chance(percent int) bool { return w.rand.IntN(100) < percent }

// step runs one statement on the server and, when that took it, in the model.
func (w *twin) step() {
	if w.now == nil || w.steps > 8 {
		w.tables++
		w.steps, w.now, w.hasRow = 0, nil, false
		w.name = event.TableName{DB: "tw", Table: fmt.Sprintf("t%d", w.tables)}
		w.run(w.createTable())
		return
	}
	w.steps++
	switch n := w.rand.IntN(20); {
	case n == 0:
		w.run("CREATE " + w.pick("", "UNIQUE ") + "INDEX " + w.pick("i1", "i2", "a") + " ON " + w.name.Table + " (" + w.columns() + ")")
	case n == 1 && len(w.now.Indexes) > 0:
		w.run("DROP INDEX `" + w.now.Indexes[w.rand.IntN(len(w.now.Indexes))].Name + "` ON " + w.name.Table)
	default:
		w.run(w.alterTable())
	}
}

func (w *twin) run(statement string) {
	w.t.Helper()
	w.number++
	mode := Mode(0)
	if w.chance(15) {
		mode = []Mode{ANSIQuotes, RealAsFloat, NoBackslashEscapes, PipesAsConcat | IgnoreSpace}[w.rand.IntN(4)]
	}
	if mode != w.mode {
		w.mode = mode
		w.exec("SET sql_mode='" + modeText(mode) + "'")
	}
	if _, err := w.conn.ExecContext(w.ctx, statement); err != nil {
		w.refused++
		return
	}
	before := w.now
	changes := Apply(Statement{
		SQL: statement, DB: "tw", Number: w.number, Mode: mode, MariaDB: w.maria, Version: VersionID(w.srv.Version), Timestamps: On,
		Captures: func(n event.TableName) bool { return n.DB == "tw" },
		Table: func(n event.TableName) *Current {
			if n == w.name {
				return w.now
			}
			return nil
		},
		Tables: func() []event.TableName { return []event.TableName{w.name} },
	})
	server, err := Load(w.ctx, w.db, w.name, w.maria)
	if err != nil || server == nil {
		w.t.Fatalf("%s: %v, %v", statement, server, err)
	}
	due := ""
	for i := range changes {
		c := &changes[i]
		if c.Table != w.name {
			w.t.Fatalf("%s: a change of %s", statement, c.Table)
		}
		switch c.Kind {
		case Altered, Created, Noted:
			w.now = &Current{Schema: c.New, Charset: c.Charset, Collation: c.Collation, Key: c.Key, Indexes: c.Indexes}
			due = c.Due
			w.followed++
			if due != "" {
				w.due++
			}
		case Unclear, Audit:
			if c.Kind == Unclear {
				w.unclear++
			} else {
				w.audited++
			}
			var old *event.Schema
			if w.now != nil {
				old = w.now.Schema
			}
			if os.Getenv("MILLRACE_VERBOSE") != "" {
				w.t.Logf("%s %s: %s", c.Kind, c.Due, statement)
			}
			if c.Kind == Audit && Difference(old, server.Schema) == "" {
				w.now.Indexes = server.Indexes
				continue
			}
			w.now = &Current{Schema: KeepIDs(old, server.Schema, w.number), Charset: server.Charset, Collation: server.Collation, Key: server.Key,
				Indexes: server.Indexes}
			due = "unclear"
		default:
			w.t.Fatalf("%s: %v", statement, c)
		}
	}
	w.compare(statement, before, server, due)
}

func modeText(m Mode) string {
	var out []string
	for _, x := range []struct {
		m    Mode
		name string
	}{{ANSIQuotes, "ANSI_QUOTES"}, {RealAsFloat, "REAL_AS_FLOAT"}, {NoBackslashEscapes, "NO_BACKSLASH_ESCAPES"},
		{PipesAsConcat, "PIPES_AS_CONCAT"}, {IgnoreSpace, "IGNORE_SPACE"}} {
		if m&x.m != 0 {
			out = append(out, x.name)
		}
	}
	return strings.Join(out, ",")
}

// fail tells of a difference, behind which another table is begun.
func (w *twin) fail(format string, a ...any) {
	w.t.Helper()
	w.t.Errorf(format, a...)
	w.now = nil
}

// compare holds the tracked definition and the row against the server's.
func (w *twin) compare(statement string, before *Current, server *Loaded, due string) {
	w.t.Helper()
	what := fmt.Sprintf("%s\n(mode %s)\nbefore %s", statement, modeText(w.mode), describe(before))
	if w.now == nil {
		w.fail("%s: the table was not noticed", what)
		return
	}
	if why := Difference(w.now.Schema, server.Schema); why != "" {
		w.fail("%s: %s", what, why)
		return
	}
	if w.now.Charset != server.Charset {
		w.fail("%s: charset %s, the server has %s", what, w.now.Charset, server.Charset)
		return
	}
	for i := range w.now.Schema.Columns {
		g, s := &w.now.Schema.Columns[i], &server.Schema.Columns[i]
		if decode.BaseType(g.Native) != decode.BaseType(s.Native) {
			w.fail("%s: column %s is %s, the server has %s", what, g.Name, g.Native, s.Native)
			return
		}
	}
	if w.now.Indexes != nil {
		mine, theirs := indexTexts(w.now.Indexes), indexTexts(server.Indexes)
		if !slices.Equal(mine, theirs) {
			w.fail("%s: indexes %v, the server has %v", what, mine, theirs)
			return
		}
		if w.now.Key != server.Key {
			w.fail("%s: key %s, the server has %s", what, w.now.Key, server.Key)
			return
		}
	}
	w.compareRow(what, due)
}

func describe(c *Current) string {
	if c == nil {
		return "nothing"
	}
	var out []string
	for _, col := range c.Schema.Columns {
		null := "NOT NULL"
		if col.Nullable {
			null = "NULL"
		}
		out = append(out, fmt.Sprintf("%s %s %s %s", col.Name, col.Native, col.Charset, null))
	}
	return strings.Join(append(out, indexTexts(c.Indexes)...), ", ")
}

func indexTexts(indexes []Index) (out []string) {
	for _, x := range indexes {
		text := fmt.Sprintf("%s (%s)", x.Name, strings.Join(x.Columns, ","))
		if x.Unique { // of others it does not matter whether they are over prefixes
			text += fmt.Sprintf(" unique, partial=%v", x.Partial)
		}
		out = append(out, strings.ToLower(text))
	}
	slices.Sort(out)
	return out
}

// compareRow reads the one row of the table: where no attempt is due, its values are the
// ones that it had, and those of new columns are their defaults.
func (w *twin) compareRow(what, due string) {
	w.t.Helper()
	if !w.hasRow {
		_, err := w.conn.ExecContext(w.ctx, "INSERT IGNORE INTO "+QuoteTable(w.name)+" () VALUES ()")
		w.hasRow, due = err == nil, "the row is new"
	}
	var exprs []string
	columns := w.now.Schema.Columns
	for i := range columns {
		exprs = append(exprs, decode.SelectExpr(&columns[i], Quote(columns[i].Name)))
	}
	rows, err := w.conn.QueryContext(w.ctx, "SELECT "+strings.Join(exprs, ",")+" FROM "+QuoteTable(w.name))
	if err != nil {
		w.fail("%s: %v", what, err)
		return
	}
	defer rows.Close()
	if !rows.Next() {
		w.hasRow = false
		return
	}
	vals := make([]sql.RawBytes, len(columns))
	dest := make([]any, len(columns))
	for i := range vals {
		dest[i] = &vals[i]
	}
	if err := rows.Scan(dest...); err != nil {
		w.t.Fatal(err)
	}
	now := map[uint32]event.Value{}
	for i := range columns {
		c := &columns[i]
		if vals[i] != nil && c.Type != event.TypeUnsupported {
			v, err := decode.TextValue(c, vals[i], w.maria)
			if err != nil {
				w.fail("%s: column %s: %v", what, c.Name, err)
				return
			}
			now[c.ID] = bytes.Clone(v)
		}
		was, known := w.row[c.ID]
		if !known {
			was, known = c.Default, c.HasDefault
		}
		if due == "" && !known {
			w.fail("%s: column %s is new, its value in older rows is not known, and nothing is due", what, c.Name)
			return
		}
		if due == "" && ((was == nil) != (now[c.ID] == nil) || !bytes.Equal(was, now[c.ID])) {
			w.fail("%s: column %s %s of an older row is %q, it is said to be %q", what, c.Name, c.Native, now[c.ID], was)
			return
		}
		if now[c.ID] == nil {
			now[c.ID] = nil
		}
	}
	w.row = now
}
