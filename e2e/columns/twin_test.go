package columns

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/connectors"
	"github.com/millrace/millrace/connectors/mysql"
	"github.com/millrace/millrace/internal/testenv"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/pipeline/projection/where"
	"github.com/millrace/millrace/pipeline/spec"
)

// wideType is a column, the values that rows have in it, the constants that conditions
// compare it with, and how a condition names it.
type wideType struct {
	native    string
	values    []string
	constants []string
	operand   string // "BINARY %s" or "%s"
	equalOnly bool
	like      bool
}

var (
	wholes = []string{"0", "1", "-1", "7", "127", "-128", "2.5", "-0.5", "7.0", "99999999999999999999",
		"-9223372036854775808", "18446744073709551615"}
	texts = []string{"''", "'a'", "'A'", "'ab'", "'a '", "'b'", "'é'", "'e'", "'日本'", "'🐎x'", "'a%'", "'it''s'"}
	ascii = []string{"''", "'a'", "'A'", "'ab'", "'a '", "'b'", "'e'"}
	// wide are the columns of the twin's table.
	wide = []wideType{
		{native: "TINYINT", values: []string{"0", "1", "-1", "7", "127", "-128"}, constants: wholes},
		{native: "BIGINT", values: []string{"0", "7", "9223372036854775807", "-9223372036854775808"}, constants: wholes},
		{native: "BIGINT UNSIGNED", values: []string{"0", "7", "9223372036854775808", "18446744073709551615"}, constants: wholes},
		{native: "BIT(12)", values: []string{"0", "1", "7", "4095"}, constants: []string{"0", "1", "7", "4095", "5000"}},
		{native: "YEAR", values: []string{"0", "1901", "1970", "2026"}, constants: []string{"0", "1901", "1970", "2026", "2155"}},
		{native: "DECIMAL(20,4)", values: []string{"0", "-0.5", "2.5", "7", "9999999999999999.9999", "-3.1416"},
			constants: append([]string{"2.50000", "-3.1416", "-3.14160001", "9999999999999999.9999", "00002.5"}, wholes...)},
		{native: "FLOAT", values: []string{"0", "0.1", "1.5", "-2.25", "16777216"}, constants: []string{"0", "0.1", "1.5", "-2.25", "16777216", "16777217"}},
		{native: "DOUBLE", values: []string{"0", "0.1", "1.5", "-2.25", "1e300"}, constants: []string{"0", "0.1", "1.5", "-2.25", "0.10000000000000000001"}},
		{native: "VARCHAR(20) CHARACTER SET utf8mb4", values: texts, constants: append([]string{"x'61'", "x'c3a9'"}, texts...), operand: "BINARY %s", like: true},
		{native: "TEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin", values: texts, constants: texts, operand: "BINARY %s", like: true},
		{native: "CHAR(6) CHARACTER SET latin1", values: []string{"''", "'a'", "'A'", "'ab'", "'é'", "'e'"}, constants: ascii, operand: "BINARY %s", equalOnly: true},
		{native: "VARBINARY(8)", values: []string{"x''", "x'00'", "x'6100'", "x'61'", "x'ff'", "'a%'"}, constants: []string{"x'00'", "x'61'", "'a'", "x'6100'", "x'ff'", "''"}, like: true},
		{native: "BINARY(3)", values: []string{"x''", "x'61'", "x'616263'"}, constants: []string{"x'610000'", "'a'", "'abc'", "x'000000'"}},
		{native: "ENUM('a','é','b c','B') CHARACTER SET utf8mb4", values: []string{"'a'", "'é'", "'b c'", "'B'"}, constants: []string{"'a'", "'é'", "'b c'", "'B'"}, equalOnly: true},
		{native: "SET('x','y','z') CHARACTER SET utf8mb4", values: []string{"''", "'x'", "'x,z'"}, constants: []string{"''", "'x'", "'x,z'", "'z,x'"}, operand: "BINARY %s"},
		{native: "DATE", values: []string{"'2026-02-28'", "'1000-01-01'", "'9999-12-31'", "'0000-00-00'", "'2026-02-00'"}, constants: []string{"'2026-02-28'", "'1000-01-01'", "'9999-12-31'", "'2026-02-01'"}},
		{native: "DATETIME", values: []string{"'2026-02-28 01:02:03'", "'2026-02-28'", "'9999-12-31 23:59:59'", "'0000-00-00'"}, constants: []string{"'2026-02-28'", "'2026-02-28 01:02:03'", "'1000-01-01'"}},
		{native: "DATETIME(6)", values: []string{"'2026-02-28 01:02:03.000001'", "'2026-02-28 01:02:03'", "'2026-02-28'"},
			constants: []string{"'2026-02-28 01:02:03.000001'", "'2026-02-28 01:02:03.5'", "'2026-02-28 01:02:03'", "'2026-02-28'"}},
		{native: "TIMESTAMP(3)", values: []string{"'2026-02-28 01:02:03.004'", "'1970-01-01 00:00:01'", "'2038-01-01'", "'0000-00-00'"},
			constants: []string{"'2026-02-28 01:02:03.004'", "'2026-02-28'", "'1970-01-01 00:00:01'", "'2038-01-01 00:00:00'"}},
		{native: "TIME(2)", values: []string{"'-838:59:59'", "'-00:00:00.5'", "'00:00:00'", "'100:00:00.25'"}, constants: []string{"'-838:59:59'", "'-00:00:00.5'", "'00:00:00'", "'100:00:00.25'", "'12:00:00'"}},
	}
)

// TestAConditionIsWhatTheServerMakesOfIt compares random conditions on random rows: what the
// server selects, what is made of the log's images, and what of a reader's cells.
func TestAConditionIsWhatTheServerMakesOfIt(t *testing.T) {
	for kind, start := range map[string]func(testing.TB, ...string) *testenv.Server{"mariadb": testenv.MariaDB, "mysql": testenv.MySQL} {
		t.Run(kind, func(t *testing.T) {
			seed := uint64(rand.Uint32())
			if s := os.Getenv("MILLRACE_TEST_SEED"); s != "" {
				n, err := strconv.ParseUint(s, 10, 64)
				if err != nil {
					t.Fatal(err)
				}
				seed = n
			}
			t.Logf("MILLRACE_TEST_SEED=%d", seed)
			newTwin(t, start(t), rand.New(rand.NewPCG(seed, 1))).play(1500)
		})
	}
}

type twin struct {
	t      *testing.T
	random *rand.Rand
	db     *sql.DB
	server *testenv.Server
	schema *event.Schema
	rows   map[int64][]event.Value // of the log, by id
	read   []pipeline.ReadColumn
	cells  map[int64][]pipeline.Cell
}

const twinRows = 300

func newTwin(t *testing.T, server *testenv.Server, random *rand.Rand) *twin {
	w := &twin{t: t, random: random, server: server, rows: map[int64][]event.Value{}, cells: map[int64][]pipeline.Cell{}}
	var err error
	if w.db, err = server.Open(""); err != nil {
		t.Fatal(err)
	}
	w.db.SetMaxOpenConns(1)
	t.Cleanup(func() { w.db.Close() })
	columns := []string{"id INT PRIMARY KEY"}
	for i, c := range wide {
		columns = append(columns, fmt.Sprintf("c%d %s NULL", i, c.native))
	}
	w.exec("SET SESSION sql_mode='', time_zone='+00:00'", "SET NAMES utf8mb4", "CREATE DATABASE shop", "CREATE TABLE shop.wide ("+
		strings.Join(columns, ", ")+")")
	w.capture()
	w.readBack()
	return w
}

func (w *twin) exec(statements ...string) {
	w.t.Helper()
	for _, s := range statements {
		if _, err := w.db.Exec(s); err != nil {
			w.t.Fatalf("%s: %v", s, err)
		}
	}
}

func (w *twin) config() *mysql.Config {
	cfg := mysql.DefaultConfig()
	cfg.Address, cfg.User, cfg.Tables = w.server.Addr, "root", []string{"shop.*"}
	cfg.Heartbeat = 200 * time.Millisecond
	return &cfg
}

// capture puts rows in and takes them from the log.
func (w *twin) capture() {
	source, err := mysql.New(*w.config(), slog.New(slog.DiscardHandler), nil)
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	opened, err := source.Open(ctx, pipeline.Resume{Epoch: 1})
	if err != nil {
		w.t.Fatal(err)
	}
	defer source.Close()
	w.schema = opened.Tables[0].Schema
	for id := range twinRows {
		values := []string{strconv.Itoa(id)}
		for _, c := range wide {
			v := "NULL"
			if w.random.IntN(6) > 0 {
				v = c.values[w.random.IntN(len(c.values))]
			}
			values = append(values, v)
		}
		w.exec("INSERT INTO shop.wide VALUES (" + strings.Join(values, ", ") + ")")
	}
	for len(w.rows) < twinRows {
		items, err := source.Next(ctx)
		if err != nil {
			w.t.Fatal(err)
		}
		for _, it := range items {
			if it.Kind != event.KindRow {
				continue
			}
			values, err := event.Values(slices.Clone(it.After), w.schema, nil)
			if err != nil {
				w.t.Fatal(err)
			}
			w.rows[values[0].Int()] = values
		}
	}
}

func (w *twin) readBack() {
	r, err := connectors.Types()["mysql"].Readback(&spec.Pipeline{Source: spec.Component{Type: "mysql", Config: w.config()}})
	if err != nil {
		w.t.Fatal(err)
	}
	defer r.Close()
	err = r.Read(w.t.Context(), event.TableName{DB: "shop", Table: "wide"}, func(c []pipeline.ReadColumn) error {
		w.read = slices.Clone(c)
		return nil
	}, func(cells []pipeline.Cell) error {
		id, err := strconv.ParseInt(string(cells[0].Text), 10, 64)
		var row []pipeline.Cell
		for _, c := range cells {
			row = append(row, pipeline.Cell{Null: c.Null, Text: slices.Clone(c.Text)})
		}
		w.cells[id] = row
		return err
	})
	if err != nil || len(w.cells) != twinRows {
		w.t.Fatalf("%d rows read, %v", len(w.cells), err)
	}
}

func (w *twin) play(n int) {
	definition := make([]where.Column, len(w.schema.Columns))
	for i := range w.schema.Columns {
		c := &w.schema.Columns[i]
		definition[i] = where.Column{Name: c.Name, Native: c.Native, Charset: c.Charset, Definition: c}
	}
	shown := make([]where.Column, len(w.read))
	for i, c := range w.read {
		shown[i] = where.Column{Name: c.Name, Native: c.Type, Charset: c.Charset}
	}
	some := 0
	for range n {
		text := w.condition(0)
		e, err := where.Parse(text)
		if err != nil {
			w.t.Fatalf("%s: %v", text, err)
		}
		ofRows, faults := e.Bind(definition)
		if faults != nil {
			w.t.Fatalf("%s: %v", text, faults)
		}
		ofCells, faults := e.Bind(shown)
		if faults != nil {
			w.t.Fatalf("%s: %v", text, faults)
		}
		want := w.selected(text)
		if got := w.selected(e.String()); !slices.Equal(got, want) {
			w.t.Errorf("%s is not %s to the server", text, e)
		}
		if len(want) > 0 && len(want) < twinRows {
			some++
		}
		for id := range int64(twinRows) {
			_, selected := slices.BinarySearch(want, id)
			byCells, err := ofCells.Cells(w.cells[id])
			if err != nil {
				w.t.Fatalf("%s: %v", text, err)
			}
			if byRow := ofRows.Row(w.rows[id]); byRow != selected || byCells != selected {
				w.t.Fatalf("%s: row %d is selected: %t, by its image: %t, by its cells: %t: %s", text, id, selected, byRow, byCells, w.told(id))
			}
		}
	}
	if some < n/4 {
		w.t.Errorf("of %d conditions only %d select some rows and not all", n, some)
	}
}

func (w *twin) told(id int64) string {
	var out []string
	for i, c := range w.cells[id] {
		out = append(out, fmt.Sprintf("%s=%t:%q", w.read[i].Name, c.Null, c.Text))
	}
	return strings.Join(out, " ")
}

func (w *twin) selected(condition string) (ids []int64) {
	rows, err := w.db.Query("SELECT id FROM shop.wide WHERE " + condition + " ORDER BY id")
	if err != nil {
		w.t.Fatalf("%s: %v", condition, err)
	}
	defer rows.Close()
	for rows.Next() {
		var id int64
		if err := rows.Scan(&id); err != nil {
			w.t.Fatal(err)
		}
		ids = append(ids, id)
	}
	if err := rows.Err(); err != nil {
		w.t.Fatalf("%s: %v", condition, err)
	}
	return ids
}

func (w *twin) condition(depth int) string {
	switch n := w.random.IntN(10); {
	case depth < 3 && n < 2:
		return w.condition(depth+1) + " AND " + w.condition(depth+1)
	case depth < 3 && n < 4:
		return w.condition(depth+1) + " OR " + w.condition(depth+1)
	case depth < 3 && n < 5:
		return "NOT " + w.condition(depth+1)
	case depth < 3 && n < 6:
		return "(" + w.condition(depth+1) + ")"
	}
	return w.test()
}

// listed is a constant that stands in a list: of whole numbers some are refused there.
func (w *twin) listed(c wideType) string {
	for {
		one := c.constants[w.random.IntN(len(c.constants))]
		if &c.constants[0] != &wholes[0] || !strings.Contains(one, ".") && one != "99999999999999999999" {
			return one
		}
	}
}

func (w *twin) test() string {
	i := w.random.IntN(len(wide))
	c := wide[i]
	name := fmt.Sprintf("c%d", i)
	if c.operand != "" {
		name = fmt.Sprintf(c.operand, name)
	}
	constant := func() string { return c.constants[w.random.IntN(len(c.constants))] }
	negated := []string{"", "NOT "}[w.random.IntN(2)]
	switch n := w.random.IntN(10); {
	case n == 0:
		return name + " IS " + negated + "NULL"
	case n < 3:
		return fmt.Sprintf("%s %sIN (%s, %s)", name, negated, w.listed(c), w.listed(c))
	case n < 4 && !c.equalOnly:
		return fmt.Sprintf("%s %sBETWEEN %s AND %s", name, negated, constant(), constant())
	case n < 6 && c.like:
		pattern := []string{"'a%'", "'%b'", "'%a%'", "'%'", "''", "'a!%%' ESCAPE '!'", "'%é%'", "'%!''s' ESCAPE '''", "'a'",
			"'%a%b'"}[w.random.IntN(10)]
		if strings.Contains(pattern, "!''") {
			pattern = "'%s'"
		}
		return name + " " + negated + "LIKE " + pattern
	case c.equalOnly:
		return name + []string{" = ", " <> ", " != "}[w.random.IntN(3)] + constant()
	}
	return name + " " + []string{"=", "<>", "!=", "<", "<=", ">", ">="}[w.random.IntN(7)] + " " + constant()
}
