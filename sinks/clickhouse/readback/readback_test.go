package readback

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/millrace/millrace/internal/testenv"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/pipeline/verify"
)

// kinds are the types of a view's columns, with the source's: two values as the server is told
// them and as both sides compare them.
var kinds = []struct {
	name, typ, native string
	sql, text         [2]string
}{
	{"a tinyint", "Int8", "tinyint(4)", [2]string{"-128", "127"}, [2]string{"-128", "127"}},
	{"an unsigned bigint", "UInt64", "bigint(20) unsigned", [2]string{"18446744073709551615", "0"}, [2]string{"18446744073709551615", "0"}},
	{"a NULL", "Nullable(Int32)", "int(11)", [2]string{"NULL", "0"}, [2]string{"", "0"}},
	{"a float", "Nullable(Float32)", "float", [2]string{"1.1", "1.2"}, [2]string{"1.1", "1.2"}},
	{"a double", "Float64", "double", [2]string{"0.1", "1e300"}, [2]string{"0.1", "1e+300"}},
	{"a decimal", "Decimal(10, 3)", "decimal(10,3)", [2]string{"'1.500'", "'-1.500'"}, [2]string{"1.500", "-1.500"}},
	{"a decimal without a point", "Decimal(30, 0)", "decimal(30,0)", [2]string{"'123456789012345678901234567890'", "'1'"}, [2]string{"123456789012345678901234567890", "1"}},
	{"a text", "String", "varchar(20)", [2]string{"'Größe'", "'größe'"}, [2]string{"Größe", "größe"}},
	{"an empty text", "Nullable(String)", "text", [2]string{"''", "NULL"}, [2]string{"empty", ""}},
	{"a member", "LowCardinality(Nullable(String))", "enum('a','b')", [2]string{"'a'", "'b'"}, [2]string{"a", "b"}},
	{"bytes", "String", "varbinary(9)", [2]string{"unhex('00FF')", "unhex('00FE')"}, [2]string{"00ff", "00fe"}},
	{"a point", "Nullable(String)", "point", [2]string{"unhex('0102')", "unhex('0103')"}, [2]string{"0102", "0103"}},
	{"a date", "Nullable(Date32)", "date", [2]string{"'2026-12-01'", "'1900-01-01'"}, [2]string{"2026-12-01", "1900-01-01"}},
	{"a second", "DateTime64(0, 'UTC')", "datetime", [2]string{"'2026-12-01 10:11:12'", "'2026-12-01 10:11:13'"}, [2]string{"2026-12-01 10:11:12.000000", "2026-12-01 10:11:13.000000"}},
	{"a microsecond", "Nullable(DateTime64(6, 'UTC'))", "timestamp(6)", [2]string{"'2026-12-01 10:11:12.000001'", "'2026-12-01 10:11:12.000002'"},
		[2]string{"2026-12-01 10:11:12.000001", "2026-12-01 10:11:12.000002"}},
	{"a span in microseconds", "Int64", "time(6)", [2]string{"-3020399000000", "1"}, [2]string{"-3020399000000", "1"}},
	{"bits", "UInt64", "bit(9)", [2]string{"257", "1"}, [2]string{"257", "1"}},
	{"a vector", "Array(Float32)", "vector(2)", [2]string{"[1, 2]", "[1, 3]"}, [2]string{"0000803f00000040", "0000803f00004040"}},
	{"no vector", "Array(Float32)", "vector(2)", [2]string{"[]", "[1, 3]"}, [2]string{"", "0000803f00004040"}},
	{"a document", "Nullable(String)", "json", [2]string{`'{"a": 1}'`, `'{"a": 2}'`}, [2]string{`{"a": 1}`, `{"a": 2}`}},
	{"a UUID", "String", "uuid", [2]string{"unhex('00112233445566778899AABBCCDDEEFF')", "unhex('00112233445566778899AABBCCDDEEFE')"},
		[2]string{"00112233445566778899aabbccddeeff", "00112233445566778899aabbccddeefe"}},
}

// mirror is the source's side: rows of an id and a value; "" is NULL, "empty" is not.
type mirror struct {
	native string
	rows   []string
}

func (mirror) Tables(context.Context) ([]event.TableName, error) { return nil, nil }
func (mirror) Close() error                                      { return nil }

func (m mirror) Read(_ context.Context, _ event.TableName, columns func([]pipeline.ReadColumn) error,
	row func([]pipeline.Cell) error) error {
	if err := columns([]pipeline.ReadColumn{{Name: "id", Key: true}, {Name: "v", Type: m.native}}); err != nil {
		return err
	}
	for i, v := range m.rows {
		cell := pipeline.Cell{Text: []byte(v), Null: v == ""}
		if v == "empty" {
			cell.Text = []byte{}
		}
		if err := row([]pipeline.Cell{{Text: fmt.Append(nil, i+1)}, cell}); err != nil {
			return err
		}
	}
	return nil
}

// scene is a server with a ledger that names views as a sink makes them.
type scene struct {
	t      *testing.T
	db     testenv.ClickHouseDatabase
	conn   driver.Conn
	reader *Reader
}

func newScene(t *testing.T) *scene {
	db := testenv.ClickHouse(t)
	conn, err := db.Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	o, err := db.Options()
	if err != nil {
		t.Fatal(err)
	}
	reader, err := New(Options{Addr: o.Addr, User: o.Auth.Username, Password: o.Auth.Password, Control: db.Name, Pipeline: "p",
		Target: func(n event.TableName) (string, string) { return db.Name, "view_" + n.Table }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { reader.Close() })
	s := &scene{t: t, db: db, conn: conn, reader: reader}
	s.exec("CREATE TABLE " + name(db.Name, "ledger") +
		" (target String, slot UInt16, ver UInt64, state String) ENGINE = MergeTree ORDER BY (target, slot)")
	return s
}

func (s *scene) exec(statement string) {
	s.t.Helper()
	if err := s.conn.Exec(s.t.Context(), statement); err != nil {
		s.t.Fatalf("%s: %v", statement, err)
	}
}

// view makes what stands for a view, with rows of an id and a value.
func (s *scene) view(table, typ, native string, rows ...string) event.TableName {
	s.t.Helper()
	n := event.TableName{DB: "shop", Table: table}
	where := name(s.db.Name, "view_"+table)
	s.exec("CREATE TABLE " + where + " (id Int64 COMMENT 'int', v " + typ + " COMMENT '" + strings.ReplaceAll(native, "'", "''") +
		"') ENGINE = MergeTree ORDER BY tuple()")
	if len(rows) > 0 {
		s.exec("INSERT INTO " + where + " VALUES " + strings.Join(rows, ", "))
	}
	state := fmt.Sprintf(`{"pipeline":"p","db":"shop","table":%q,"database":%q,"view":%q,"floor":1,"route":1,"queues":[{"done":1700000000000000}]}`,
		table, s.db.Name, "view_"+table)
	s.exec("INSERT INTO " + name(s.db.Name, "ledger") + " VALUES ('" + table + "', 1, 1, '" + state + "')")
	return n
}

// TestWhatIsWrongInAViewIsFound has, for each type, a view that equals its source, one with
// another value, one that lacks a row, and one that has a row too many and one twice.
func TestWhatIsWrongInAViewIsFound(t *testing.T) {
	s := newScene(t)
	for i, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			s.t = t
			right, wrong := fmt.Sprintf("(1, %s)", k.sql[0]), fmt.Sprintf("(1, %s)", k.sql[1])
			other := fmt.Sprintf("(2, %s)", k.sql[1])
			source := mirror{k.native, []string{k.text[0], k.text[1]}}
			for j, c := range []struct {
				what string
				rows []string
				want verify.Table
			}{
				{"equal", []string{right, other}, verify.Table{}},
				{"wrong", []string{wrong, other}, verify.Table{Different: 1}},
				{"missing", []string{other}, verify.Table{Missing: 1}},
				{"empty", nil, verify.Table{Missing: 2}},
				{"extra", []string{right, other, "(3" + strings.TrimPrefix(right, "(1"), right}, verify.Table{Extra: 1, Duplicates: 1}},
			} {
				n := s.view(fmt.Sprintf("t%d_%d", i, j), k.typ, k.native, c.rows...)
				got, err := verify.Compare(t.Context(), source, s.reader, n)
				if err != nil {
					t.Fatalf("%s: %v", c.what, err)
				}
				if got.Problem != "" || got.Different != c.want.Different || got.Missing != c.want.Missing || got.Extra != c.want.Extra ||
					got.Duplicates != c.want.Duplicates {
					t.Errorf("%s: %+v", c.what, got)
				}
			}
		})
	}
}

// TestTheViewThatTheLedgerNamesIsRead: of another pipeline's, and of one under another name,
// nothing is read; a text beside a date is taken from the view that has it.
func TestTheViewThatTheLedgerNamesIsRead(t *testing.T) {
	s := newScene(t)
	n := s.view("d", "Nullable(Date32)", "date", "(1, '2026-12-01')", "(2, NULL)")
	raw := name(s.db.Name, "view_d__raw")
	s.exec("CREATE TABLE " + raw + " (id Int64 COMMENT 'int', v Nullable(Date32) COMMENT 'date', v__raw Nullable(String) COMMENT 'text of v', _seq UInt64) " +
		"ENGINE = MergeTree ORDER BY tuple()")
	s.exec("INSERT INTO " + raw + " VALUES (1, '2026-12-01', NULL, 1), (2, NULL, '0000-00-00', 2)")
	got, err := verify.Compare(t.Context(), mirror{"date", []string{"2026-12-01", "0000-00-00"}}, s.reader, n)
	if err != nil || !got.Equal() {
		t.Errorf("%+v, %v", got, err)
	}
	to, err := s.reader.CompleteTo(t.Context(), n)
	if err != nil || to.Unix() != 1_700_000_000 {
		t.Errorf("complete to %s, %v", to, err)
	}
	foreign := `{"pipeline":"other","db":"shop","table":"f","database":"` + s.db.Name + `","view":"view_f"}`
	s.exec("INSERT INTO " + name(s.db.Name, "ledger") + " VALUES ('f', 1, 1, '" + foreign + "')")
	names, err := s.reader.Tables(t.Context())
	if err != nil || len(names) != 1 || names[0] != n {
		t.Errorf("%v, %v", names, err)
	}
	got, err = verify.Compare(t.Context(), mirror{"int", []string{"1"}}, s.reader, event.TableName{DB: "shop", Table: "f"})
	if err != nil || !strings.Contains(got.Problem, "does not have the table") || got.Missing != 1 {
		t.Errorf("%+v, %v", got, err)
	}
	s.exec("DROP TABLE " + name(s.db.Name, "view_d"))
	s.exec("DROP TABLE " + raw)
	if got, err = verify.Compare(t.Context(), mirror{"date", []string{"2026-12-01"}}, s.reader, n); err != nil || got.Equal() {
		t.Errorf("a view that somebody dropped: %+v, %v", got, err)
	}
}

func TestCompleteIsTheLeastOfTheQueues(t *testing.T) {
	type queue = struct {
		Done int64 `json:"done"`
	}
	for _, c := range []struct {
		f    found
		want int64
	}{
		{found{Floor: 1, Route: 2, Queues: []queue{{5}, {3}}}, 3},
		{found{Born: 1, Route: 1, Queues: []queue{{5}}}, 5},
		{found{Floor: 1, Route: 2, Queues: []queue{{5}}}, 0}, // a queue has said nothing yet
		{found{Floor: 1}, 0},
		{found{Route: 1, Queues: []queue{{5}}}, 0}, // never whole
		{found{Floor: 1, Route: 1, Queues: []queue{{5}}, Open: []uint64{7}, Held: 2}, 2},
		{found{Floor: 1, Route: 1, Queues: []queue{{5}}, Due: 7, Held: 2}, 2},
	} {
		if got := c.f.complete(); got != c.want {
			t.Errorf("%+v: %d, want %d", c.f, got, c.want)
		}
	}
}

func FuzzText(f *testing.F) {
	f.Add("12:13:14.000001", "Decimal(10, 3)")
	f.Add("-838:59:59.000000", "Decimal(65, 30)")
	f.Add("1.5", "Decimal(9999999, 99999)")
	f.Fuzz(func(t *testing.T, s, typ string) {
		_ = micros(s)
		if got := digits(s, typ); len(got) > len(s)+2*(maxScale+1) {
			t.Errorf("%q of %q %q", got, s, typ)
		}
	})
}
