package decode_test

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/binary"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/connectors/mysql/decode"
	"github.com/millrace/millrace/connectors/mysql/schema"
	"github.com/millrace/millrace/internal/testenv"
	"github.com/millrace/millrace/pipeline/event"
)

var record = flag.Bool("record", false, "write testdata/ from what the servers log and select")

// recordedColumns are the columns whose rows were recorded, with the values put into them.
// Lines with a kind are for that server alone.
var recordedColumns = []struct {
	kind, typ string
	values    []string
}{
	{"", "TINYINT", []string{"-128", "127"}}, {"", "TINYINT UNSIGNED", []string{"255"}}, {"", "SMALLINT", []string{"-32768"}}, {"", "SMALLINT UNSIGNED", []string{"65535"}},
	{"", "MEDIUMINT", []string{"-8388608", "1"}}, {"", "MEDIUMINT UNSIGNED", []string{"16777215"}}, {"", "INT", []string{"-2147483648"}}, {"", "INT UNSIGNED", []string{"4294967295"}},
	{"", "BIGINT", []string{"-9223372036854775808"}}, {"", "BIGINT UNSIGNED", []string{"18446744073709551615"}}, {"", "DECIMAL(12,5) UNSIGNED", []string{"1.5", "0"}}, {"", "DECIMAL(65,30)", []string{"-0.1"}},
	{"", "FLOAT", []string{"1.1", "-0e0"}}, {"", "DOUBLE", []string{"-1.7976931348623157e308", "-0e0"}}, {"", "YEAR", []string{"0", "2155"}}, {"", "BIT(9)", []string{"257"}}, {"", "BIT(64)", []string{"18446744073709551615"}},
	{"", "DATE", []string{"'0000-00-00'", "'9999-12-31'"}}, {"", "DATETIME", []string{"'9999-12-31 23:59:59'"}}, {"", "DATETIME(1)", []string{"'2024-01-02 03:04:05.9'"}}, {"", "DATETIME(3)", []string{"'2024-01-02 03:04:05.987'"}}, {"", "DATETIME(6)", []string{"'2024-01-02 03:04:05.987654'"}},
	{"", "TIMESTAMP NULL", []string{"'0000-00-00 00:00:00'", "'2038-01-19 03:14:07'"}}, {"", "TIMESTAMP(2) NULL", []string{"'1970-01-01 00:00:01.01'"}}, {"", "TIMESTAMP(6) NULL", []string{"'2024-07-01 12:30:00.123456'"}},
	{"", "TIME", []string{"'-838:59:59'", "'00:00:01'"}}, {"", "TIME(1)", []string{"'-00:00:00.1'"}}, {"", "TIME(4)", []string{"'-12:34:56.7891'"}}, {"", "TIME(6)", []string{"'-838:59:58.999999'"}},
	{"", "CHAR(10) CHARACTER SET utf8mb4", []string{"'ünï€😀'"}}, {"", "CHAR(255) CHARACTER SET utf8mb4", []string{"REPEAT('😀',255)"}}, {"", "CHAR(5) CHARACTER SET utf16", []string{"'é😀 '"}}, {"", "CHAR(5) CHARACTER SET gbk", []string{"'备注'"}},
	{"", "VARCHAR(10) CHARACTER SET latin1", []string{"'café €'", "''"}}, {"", "VARCHAR(300) CHARACTER SET cp1251", []string{"REPEAT('Ж',40)", "CONVERT(X'4198' USING cp1251)"}}, {"", "VARCHAR(5) CHARACTER SET ucs2", []string{"'é'"}}, {"", "VARCHAR(20) CHARACTER SET ascii", []string{"'plain'"}},
	{"", "TINYTEXT CHARACTER SET big5", []string{"'許功'"}}, {"", "TEXT CHARACTER SET sjis", []string{"'表示'"}}, {"", "MEDIUMTEXT CHARACTER SET utf32", []string{"'𠀋'"}}, {"", "LONGTEXT CHARACTER SET utf8mb4", []string{"'l'"}},
	{"", "BINARY(4)", []string{"X'0a'", "X'01000200'"}}, {"", "VARBINARY(300)", []string{"X'00ff00'"}}, {"", "TINYBLOB", []string{"X'00'"}}, {"", "BLOB", []string{"X'deadbeef'"}}, {"", "MEDIUMBLOB", []string{"''"}}, {"", "LONGBLOB", []string{"X'02'"}},
	{"", "ENUM('a','é') CHARACTER SET latin1", []string{"'é'", "0"}}, {"", "SET('a','日') CHARACTER SET sjis", []string{"'a,日'", "''"}}, {"", "POINT", []string{"ST_GeomFromText('POINT(1 2)',4326)"}},
	{"mariadb", "POINT NOT NULL", []string{"DEFAULT(v)"}}, {"mariadb", "JSON", []string{`'{"b": 1}'`}}, {"mariadb", "UUID", []string{"'123e4567-e89b-12d3-a456-426655440000'", "'018f4e3a-1b2c-7d3e-8f4a-5b6c7d8e9f00'", "'12345678-0000-1000-8000-000000000001'"}},
	{"mariadb", "INET6", []string{"'2001:db8::ff00'"}}, {"mariadb", "INET4", []string{"'10.1.0.0'"}},
	{"mariadb old", "DATETIME", []string{"'2024-01-02 03:04:05'"}}, {"mariadb old", "TIMESTAMP NULL", []string{"'2024-01-02 03:04:05'"}}, {"mariadb old", "TIME", []string{"'-12:34:56'"}},
	{"mysql", "VECTOR(3)", []string{"STRING_TO_VECTOR('[1,2,3]')"}},
	{"mysql", "JSON", []string{
		`'{"bb": 1, "a": [1, 2, {"x": null}], "c": true, "d": false}'`, `'"x\\"y\\n\\u0001/é\\t\\b\\f\\r\\\\"'`, "'[]'", "'1.0'", "'1e20'",
		"'18446744073709551615'", "'-9223372036854775808'", "'70000'", "'-70000'",
		"CAST(CAST(123.4500 AS DECIMAL(10,4)) AS JSON)", "CAST(CAST('2024-02-29' AS DATE) AS JSON)", "CAST(CAST('-12:34:56.789' AS TIME(3)) AS JSON)", "CAST(CAST('2024-02-29 01:02:03.4' AS DATETIME(1)) AS JSON)",
		"CAST(REPEAT(X'00ff',60) AS JSON)", "JSON_ARRAY(1, 2.5, 'é😀', NULL, true, JSON_OBJECT('n', JSON_ARRAY()))",
	}},
}

// recorded is one table: its column, its TABLE_MAP, and each row as the log and as SELECT
// give it.
type recorded struct {
	native, charset, collation string
	maria                      bool
	tableMap                   []byte
	rows, texts                [][]byte
	want                       []string
}

func (r *recorded) schema(t testing.TB) *event.Schema {
	t.Helper()
	id, err := schema.Column("id", "int", "", "", false)
	if err != nil {
		t.Fatal(err)
	}
	v, err := schema.Column("v", r.native, r.charset, r.collation, true)
	if err != nil {
		t.Fatal(err)
	}
	if r.maria && r.native == "longtext" && strings.HasSuffix(r.collation, "_bin") {
		v.Type = event.TypeJSON
	}
	return event.NewSchema(event.TableName{DB: "rec", Table: "t"}, []event.Column{id, v}, []int{0})
}

// TestRecordedRows decodes rows that both servers logged, and the same rows as they
// answered a SELECT: the images are equal, and read as the servers show the values.
func TestRecordedRows(t *testing.T) {
	for _, kind := range []string{"mariadb", "mysql"} {
		if *record {
			recordFrom(t, kind)
		}
		for _, r := range load(t, kind) {
			s := r.schema(t)
			tm, err := decode.ParseTableMap(r.tableMap)
			if err != nil {
				t.Fatal(err)
			}
			d, err := decode.NewDecoder(s, tm, r.maria, nil)
			if err != nil {
				t.Errorf("%s: %v", r.native, err)
				continue
			}
			text, err := decode.NewTextDecoder(s, r.maria, nil)
			if err != nil {
				t.Fatal(err)
			}
			for i, row := range r.rows {
				img, n, err := d.AppendImage(nil, row)
				if err != nil || n != len(row) {
					t.Errorf("%s %s: row %d took %d of %d bytes, %v", kind, r.native, i, n, len(row), err)
					continue
				}
				if err := event.CheckImage(img, s); err != nil {
					t.Errorf("%s %s: %v", kind, r.native, err)
				}
				vals, err := event.Values(img, s, nil)
				if err != nil {
					t.Fatal(err)
				}
				got := string(event.AppendValueText(nil, &s.Columns[1], vals[1]))
				if got != r.want[i] {
					t.Errorf("%s %s: the log's row %d reads %.200q, want %.200q", kind, r.native, i, got, r.want[i])
				}
				selected, err := text.AppendImage(nil, [][]byte{fmt.Append(nil, vals[0].Int()), r.texts[i]})
				if err != nil || string(selected) != string(img) {
					t.Errorf("%s %s: SELECT gives %x, the log %x, %v", kind, r.native, selected, img, err)
				}
				for cut := range min(len(row), 200) {
					if _, _, err := d.AppendImage(nil, row[:cut]); err == nil {
						t.Errorf("%s %s: %d of %d bytes are a row", kind, r.native, cut, len(row))
					}
				}
			}
			for cut := range len(r.tableMap) {
				if tm, err := decode.ParseTableMap(r.tableMap[:cut]); err == nil {
					_, _ = decode.NewDecoder(s, tm, r.maria, nil)
				}
			}
		}
	}
}

// load reads testdata/<kind>.txt: a line for each table (native type, charset, collation,
// TABLE_MAP), and below it, indented, one for each row (of the log, of SELECT, as read).
func load(t testing.TB, kind string) (all []*recorded) {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", kind+".txt"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	bytesOf := func(s string) []byte {
		b, err := hex.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for lines.Scan() {
		row, isRow := strings.CutPrefix(lines.Text(), "  ")
		field := strings.Split(row, "|")
		if !isRow {
			all = append(all, &recorded{native: field[0], charset: field[1], collation: field[2], tableMap: bytesOf(field[3]), maria: kind == "mariadb"})
			continue
		}
		r := all[len(all)-1]
		r.rows, r.texts = append(r.rows, bytesOf(field[0])), append(r.texts, bytesOf(field[1]))
		r.want = append(r.want, string(bytesOf(field[2])))
	}
	if lines.Err() != nil || len(all) == 0 {
		t.Fatal("nothing is recorded", lines.Err())
	}
	return all
}

// recordFrom writes testdata anew.
func recordFrom(t *testing.T, kind string) {
	start := map[string]func(testing.TB, ...string) *testenv.Server{"mariadb": testenv.MariaDB, "mysql": testenv.MySQL}[kind]
	srv := start(t, "--binlog-row-metadata=FULL", "--sql-mode=")
	db, err := srv.Open("")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	exec := func(q string) {
		if _, err := conn.ExecContext(context.Background(), q); err != nil {
			t.Fatalf("%s: %v", q, err)
		}
	}
	for _, q := range []string{"CREATE DATABASE rec CHARACTER SET utf8mb4", "USE rec", "SET time_zone='+00:00', NAMES utf8mb4"} {
		exec(q)
	}
	var out strings.Builder
	for i, c := range recordedColumns {
		if c.kind != "" && !strings.HasPrefix(c.kind, kind) {
			continue
		}
		table := fmt.Sprintf("t%d", i)
		if strings.HasSuffix(c.kind, "old") {
			exec("SET GLOBAL mysql56_temporal_format=OFF")
		}
		exec(fmt.Sprintf("CREATE TABLE %s (id INT PRIMARY KEY, v %s)", table, c.typ))
		if strings.HasSuffix(c.kind, "old") {
			exec("SET GLOBAL mysql56_temporal_format=ON")
		}
		r := &recorded{maria: kind == "mariadb"}
		for k, v := range c.values {
			if v == "DEFAULT(v)" {
				exec(fmt.Sprintf("INSERT IGNORE INTO %s (id) VALUES (%d)", table, k))
			} else {
				exec(fmt.Sprintf("INSERT INTO %s VALUES (%d, %s)", table, k, v))
			}
		}
		if err := conn.QueryRowContext(t.Context(), "SELECT column_type, COALESCE(character_set_name,''), COALESCE(collation_name,'') FROM information_schema.columns WHERE table_schema='rec' AND table_name=? AND column_name='v'", table).
			Scan(&r.native, &r.charset, &r.collation); err != nil {
			t.Fatal(err)
		}
		r.tableMap, r.rows = logged(t, srv, table)
		exec("SET character_set_results=NULL")
		r.texts = selected(t, conn, fmt.Sprintf("SELECT %s FROM %s ORDER BY id", decode.SelectExpr(&r.schema(t).Columns[1], "v"), table))
		exec("SET character_set_results=utf8mb4")
		fmt.Fprintf(&out, "%s|%s|%s|%x\n", r.native, r.charset, r.collation, r.tableMap)
		for k := range r.rows {
			fmt.Fprintf(&out, "  %x|%x|%x\n", r.rows[k], r.texts[k], shown(t, r, k))
		}
	}
	if err := os.WriteFile(filepath.Join("testdata", kind+".txt"), []byte(out.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

// shown is what a row reads, by way of SELECT alone; what is written is looked at.
func shown(t *testing.T, r *recorded, k int) string {
	s := r.schema(t)
	d, err := decode.NewTextDecoder(s, r.maria, nil)
	if err != nil {
		t.Fatal(err)
	}
	img, err := d.AppendImage(nil, [][]byte{[]byte("0"), r.texts[k]})
	if err != nil {
		t.Fatal(err)
	}
	vals, err := event.Values(img, s, nil)
	if err != nil {
		t.Fatal(err)
	}
	return string(event.AppendValueText(nil, &s.Columns[1], vals[1]))
}

func selected(t *testing.T, conn *sql.Conn, query string) (texts [][]byte) {
	rows, err := conn.QueryContext(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var b []byte
		if err := rows.Scan(&b); err != nil {
			t.Fatal(err)
		}
		texts = append(texts, slices.Clone(b))
	}
	return texts
}

// logged finds a table's TABLE_MAP and rows in the server's log.
func logged(t *testing.T, srv *testenv.Server, table string) (tableMap []byte, rows [][]byte) {
	files, err := filepath.Glob(filepath.Join(srv.Data, "binlog.0*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var of string
		for b = b[4:]; len(b) >= 19; {
			size := int(binary.LittleEndian.Uint32(b[9:]))
			typ, body := b[4], b[19:size-4]
			b = b[size:]
			switch typ {
			case 19:
				tm, err := decode.ParseTableMap(body)
				if err != nil {
					t.Fatal(err)
				}
				if of = tm.Table; of == table {
					tableMap = slices.Clone(body)
				}
			case 23, 30:
				h, err := decode.ParseRows(body, typ == 30, false)
				if err != nil {
					t.Fatal(err)
				}
				if of == table {
					rows = append(rows, slices.Clone(body[h.Start:]))
				}
			}
		}
	}
	return tableMap, rows
}

// FuzzRecorded decodes made-up rows of every recorded table.
func FuzzRecorded(f *testing.F) {
	type table struct {
		s *event.Schema
		d *decode.Decoder
	}
	var tables []table
	for _, kind := range []string{"mariadb", "mysql"} {
		for _, r := range load(f, kind) {
			tm, err := decode.ParseTableMap(r.tableMap)
			if err != nil {
				f.Fatal(err)
			}
			s := r.schema(f)
			d, err := decode.NewDecoder(s, tm, r.maria, nil)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(len(tables), r.rows[0])
			tables = append(tables, table{s, d})
		}
	}
	f.Fuzz(func(t *testing.T, of int, row []byte) {
		x := tables[uint(of)%uint(len(tables))]
		img, n, err := x.d.AppendImage(nil, row)
		if err != nil {
			return
		}
		if n > len(row) || n == 0 {
			t.Fatalf("took %d of %d bytes", n, len(row))
		}
		if err := event.CheckImage(img, x.s); err != nil {
			t.Fatal(err)
		}
	})
}
