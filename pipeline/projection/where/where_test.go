package where

import (
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
)

func TestAConditionHasOneForm(t *testing.T) {
	for text, want := range map[string]string{
		"a = 1":                                "`a` = 1",
		" A=+1 ":                               "`a` = 1",
		"a != -1.50":                           "`a` <> -1.50",
		"(a = 1) and ((b = 2) and c = 3)":      "`a` = 1 AND `b` = 2 AND `c` = 3",
		"a = 1 or b = 2 and c = 3":             "`a` = 1 OR `b` = 2 AND `c` = 3",
		"(a = 1 or b = 2) and c = 3":           "(`a` = 1 OR `b` = 2) AND `c` = 3",
		"not a = 1 and b = 2":                  "NOT `a` = 1 AND `b` = 2",
		"not (a = 1 and b = 2)":                "NOT (`a` = 1 AND `b` = 2)",
		"a not in (1,2)":                       "NOT `a` IN (1, 2)",
		"a is not null or `or` is null":        "NOT `a` IS NULL OR `or` IS NULL",
		"a between 1 and 2 and b = 1":          "`a` BETWEEN 1 AND 2 AND `b` = 1",
		"binary a like 'x!_%' escape '!'":      "BINARY `a` LIKE 'x!_%' ESCAPE '!'",
		"binary a = 'it''s'":                   "BINARY `a` = 'it''s'",
		"a = x'00fF' or a = 0x0A":              "`a` = x'00ff' OR `a` = x'0a'",
		"deleted = FALSE":                      "`deleted` = 0",
		"`we``ird` >= 1 AND größe < .5":        "`we``ird` >= 1 AND `größe` < .5",
		"a = 1\n  AND\tb <= 2":                 "`a` = 1 AND `b` <= 2",
		"a = 1 OR (b = 2 OR c = 3) OR NOT d=4": "`a` = 1 OR `b` = 2 OR `c` = 3 OR NOT `d` = 4",
	} {
		e, err := Parse(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got := e.String(); got != want {
			t.Errorf("%s: %s, not %s", text, got, want)
		}
		again, err := Parse(e.String())
		if err != nil || again.String() != e.String() {
			t.Errorf("%s read again: %v, %v", e, again, err)
		}
	}
}

func TestMistakesAreNamedWithTheirPlace(t *testing.T) {
	for text, want := range map[string]string{
		"":                                "is empty",
		"a":                               `at character 2: the end stands behind the column a where =`,
		"1 = a":                           "at character 1: \"1\" stands where a column is expected",
		"a = b":                           "at character 5: \"b\" stands where a constant is expected",
		"a = NULL":                        "at character 5: a comparison with NULL is never true: write IS NULL",
		"a <=> 1":                         "<=> is not taken",
		"a = 1 b = 2":                     "at character 7: \"b\" stands where AND, OR or the end is expected",
		"a = 1 AND":                       "at character 10: the end stands where a column is expected",
		"(a = 1":                          "the end stands where \")\" is expected",
		"a IN ()":                         "stands where a constant is expected",
		"LOWER(a) = 'x'":                  "functions and names of tables are not taken",
		"t.a = 1":                         "functions and names of tables are not taken",
		"a = 'x":                          "at character 5: a quote is not closed",
		`a = "x"`:                         "texts stand in single quotes",
		`a = 'x\'y'`:                      "a backslash in a text",
		"a = 1e3":                         "1e is no number",
		"a = 1.2.3":                       "1.2.3 is no number",
		"a = x'0'":                        "two hex digits",
		"a ; DROP TABLE t":                "';' is not understood",
		"order = 1 XOR b":                 "stands where AND, OR or the end",
		"null = 1":                        "a column of that name stands in backquotes",
		"a LIKE 'x' ESCAPE 'ab'":          "ESCAPE has one ASCII character",
		"a IS 1":                          "where NULL is expected",
		"a = \xff":                        "bytes that are no character",
		strings.Repeat("(", 60) + "a = 1": "more than 50 levels",
		strings.Repeat("NOT ", 60) + "a":  "more than 50 levels",
		strings.Repeat("a = 1 OR ", 1001) + "a = 1":    "more than 1000 comparisons",
		"a IN (1" + strings.Repeat(",1", 1000) + ")":   "more than 1000 constants",
		"a = '" + strings.Repeat("x", mostBytes) + "'": "longer than 16 KiB",
	} {
		if _, err := Parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q: %v, not %s", text, err, want)
		}
	}
}

func one(typ event.Type, native string, more ...func(*event.Column)) Column {
	c := &event.Column{ID: 1, Name: "v", Type: typ, Native: native, Nullable: true}
	if typ == event.TypeText || typ == event.TypeEnum || typ == event.TypeSet {
		c.Charset, c.Collation = "utf8mb4", "utf8mb4_0900_ai_ci"
	}
	for _, m := range more {
		m(c)
	}
	return Column{Name: c.Name, Native: native, Charset: c.Charset, Definition: c}
}

func of(charset string) func(*event.Column) { return func(c *event.Column) { c.Charset = charset } }

func members(names ...string) func(*event.Column) { return func(c *event.Column) { c.Members = names } }

func TestWhatCanNotBeAnsweredIsRefusedByName(t *testing.T) {
	for _, c := range []struct {
		column     Column
		text, want string
	}{
		{one(event.TypeInt, "int(11)"), "v = 1", ""},
		{one(event.TypeInt, "int(11)"), "w = 1", "there is no column w"},
		{one(event.TypeInt, "int(11)"), "v = '1'", "the column v is int, which is compared with a number, not with '1'"},
		{one(event.TypeInt, "int(11)"), "v LIKE '1%'", "to which LIKE does not apply"},
		{one(event.TypeInt, "int(11)"), "BINARY v = '1'", "BINARY is for texts"},
		{one(event.TypeInt, "int(11)"), "v = 1" + strings.Repeat("0", 40), "more than 35 digits before"},
		{one(event.TypeInt, "int(11)"), "v IN (1, 2.0)", "a list of IN for it has whole numbers of 64 bits, not 2.0"},
		{one(event.TypeYear, "year(4)"), "v > 70", "a year from 1901 to 2155, not with 70"},
		{one(event.TypeYear, "year(4)"), "v > 1970", ""},
		{one(event.TypeText, "varchar(9)"), "v = 'x'", "a matter of its collation (utf8mb4_0900_ai_ci): write BINARY `v`"},
		{one(event.TypeText, "varchar(9)"), "BINARY v = 'é'", ""},
		{one(event.TypeText, "varchar(9)"), "BINARY v = 1", "compared with a text or a binary literal, not with 1"},
		{one(event.TypeText, "varchar(9)", of("latin1")), "BINARY v = 'é'", "of the charset latin1: it can be compared with ASCII texts alone"},
		{one(event.TypeText, "varchar(9)", of("latin1")), "BINARY v = 'e'", ""},
		{one(event.TypeText, "varchar(9)", of("latin1")), "BINARY v < 'e'", "of the charset latin1, and < would go by its bytes"},
		{one(event.TypeText, "varchar(9)", of("utf16")), "BINARY v = 'e'", "of the charset utf16"},
		{one(event.TypeText, "varchar(9)", of("armscii8")), "BINARY v = ')'", "of the charset armscii8, of which ASCII is no part"},
		{one(event.TypeText, "varchar(9)", of("swe7")), "BINARY v = 'e'", "of the charset swe7, of which ASCII is no part"},
		{one(event.TypeText, "varchar(9)", of("swe7")), "v IS NOT NULL", ""},
		{one(event.TypeText, "varchar(9)", of("sjis")), "BINARY v = 'e'", ""},
		{one(event.TypeText, "varchar(9)", of("sjis")), "BINARY v IN ('e', x'5c')", "a backslash may be one of two characters"},
		{one(event.TypeText, "varchar(9)"), "BINARY v LIKE 'a_%'", "a plain _ is written !_"},
		{one(event.TypeText, "varchar(9)"), "BINARY v LIKE 'a!_%' ESCAPE '!'", ""},
		{one(event.TypeText, "varchar(9)"), "BINARY v LIKE 'a!' ESCAPE '!'", "ends in its escape"},
		{one(event.TypeText, "varchar(9)"), "BINARY v LIKE 'a!b' ESCAPE '!'", "needs none"},
		{one(event.TypeText, "varchar(9)"), "BINARY v LIKE x'5c25'", "a backslash"},
		{one(event.TypeEnum, "enum('a','b')", members("a", "b")), "v IN ('a', '')", ""},
		{one(event.TypeEnum, "enum('a','b')", members("a", "b")), "v = 'A'", "has no member 'A'"},
		{one(event.TypeEnum, "enum('a','b')", members("a", "b")), "v < 'b'", "< is a matter of its collation"},
		{one(event.TypeEnum, "enum('a','b')", members("a", "b")), "v = 1", "is an ENUM, which is compared with texts"},
		{one(event.TypeSet, "set('a','b')", members("a", "b")), "v = 'a'", "write BINARY `v`"},
		{one(event.TypeJSON, "json"), "v = '{}'", "is json, of which a condition can ask IS NULL"},
		{one(event.TypeJSON, "longtext"), "BINARY v = '{}'", "IS NULL and IS NOT NULL alone"}, // MariaDB's JSON
		{one(event.TypeJSON, "json"), "v IS NOT NULL", ""},
		{one(event.TypeGeometry, "point"), "v = x'00'", "is point, of which"},
		{one(event.TypeDate, "date"), "v > '2026-02-30'", "is a DATE, which is compared with 'YYYY-MM-DD', not with '2026-02-30'"},
		{one(event.TypeDate, "date"), "v > '2026-02-03 00:00:00'", "not with '2026-02-03 00:00:00'"},
		{one(event.TypeDate, "date"), "v > 20260203", "is date, which is compared with a text, not with 20260203"},
		{one(event.TypeDateTime, "datetime(3)"), "v > '2026-02-03 01:02:03.123'", ""},
		{one(event.TypeDateTime, "datetime(3)"), "v > '2026-02-03 01:02:03.1234'", "up to 3 digits behind the second"},
		{one(event.TypeDateTime, "datetime"), "v > '2026-02-03 01:02:03.'", "is a DATETIME"},
		{one(event.TypeTimestamp, "timestamp"), "v > '2026-02-03'", ""},
		{one(event.TypeTime, "time(1)"), "v > '-838:59:59.0'", ""},
		{one(event.TypeTime, "time(1)"), "v > '839:00:00'", "is a TIME"},
		{one(event.TypeTime, "time(1)"), "v > '1:00:00'", "is a TIME"},
		{one(event.TypeBinary, "varbinary(9)"), "v = x'00' OR v LIKE 'a%'", ""},
		{one(event.TypeBinary, "uuid"), "v = x'00'", "is uuid, of which"},
	} {
		e, err := Parse(c.text)
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		_, faults := e.Bind([]Column{c.column})
		if got := strings.Join(faults, "; "); c.want == "" && got != "" || !strings.Contains(got, c.want) {
			t.Errorf("%s of %s: %q, not %q", c.text, c.column.Native, got, c.want)
		}
		if c.want != "" {
			continue
		}
		// What a definition permits, a reader's column can be asked.
		if _, faults = e.Bind([]Column{{Name: "V", Native: c.column.Native}}); faults != nil {
			t.Errorf("%s of a reader's %s: %q", c.text, c.column.Native, faults)
		}
	}
}

// TestSQLsThreeValues asks every form about NULL and about values at its edges.
func TestSQLsThreeValues(t *testing.T) {
	columns := []Column{one(event.TypeInt, "int(11)"), one(event.TypeInt, "int(11)")}
	columns[1].Name = "w"
	for text, want := range map[string]string{ // rows 1,2  1,NULL  NULL,2  NULL,NULL
		"v = 1":                        "yynn",
		"v <> 1":                       "nnnn",
		"NOT v = 1":                    "nnnn",
		"v = 1 OR w = 2":               "yyyn",
		"v = 1 AND w = 2":              "ynnn",
		"NOT (v = 1 AND w = 2)":        "nnnn",
		"NOT (v = 2 AND w = 2)":        "yynn",
		"NOT (v = 2 OR w = 3)":         "ynnn",
		"v IS NULL":                    "nnyy",
		"v IS NOT NULL AND w IS NULL":  "nynn",
		"v IN (1, 3)":                  "yynn",
		"v NOT IN (2, 3)":              "yynn",
		"v BETWEEN 1 AND 1":            "yynn",
		"v NOT BETWEEN 2 AND 3":        "yynn",
		"v = 1 OR v IS NULL":           "yyyy",
		"NOT v IS NULL OR NOT w = 2.0": "yynn",
	} {
		e, err := Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		f, faults := e.Bind(columns)
		if faults != nil {
			t.Fatal(faults)
		}
		got := ""
		for _, row := range [][2]string{{"1", "2"}, {"1", ""}, {"", "2"}, {"", ""}} {
			var cells []pipeline.Cell
			for _, text := range row {
				cells = append(cells, pipeline.Cell{Null: text == "", Text: []byte(text)})
			}
			leaves, err := f.Cells(cells)
			if err != nil {
				t.Fatal(err)
			}
			got += map[bool]string{true: "y", false: "n"}[leaves]
		}
		if got != want {
			t.Errorf("%s: %s, not %s", text, got, want)
		}
	}
}

func TestACellThatDoesNotFitIsAnError(t *testing.T) {
	for native, cond := range map[string]string{"int": "v = 1", "double": "v = 1", "date": "v = '2026-01-01'", "datetime(6)": "v < '2026-01-01'",
		"timestamp": "v < '2026-01-01'", "time": "v < '00:00:00'", "blob": "v = x'00'"} {
		e, err := Parse(cond)
		if err != nil {
			t.Fatal(err)
		}
		f, faults := e.Bind([]Column{{Name: "v", Native: native}})
		if faults != nil {
			t.Fatal(faults)
		}
		if _, err := f.Cells([]pipeline.Cell{{Text: []byte("20260101 no")}}); err == nil ||
			!strings.Contains(err.Error(), "column v does not fit its type") {
			t.Errorf("%s: %v", native, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"a = 1", "NOT (`b` IN ('x', x'00') OR c IS NOT NULL)", "BINARY d LIKE 'a!%%' ESCAPE '!' AND e BETWEEN -1 AND .5"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		e, err := Parse(text)
		if err != nil {
			return
		}
		again, err := Parse(e.String())
		if err != nil {
			t.Fatalf("%q is written %q, which can't be read: %v", text, e, err)
		}
		if again.String() != e.String() {
			t.Fatalf("%q is written %q, and then %q", text, e, again)
		}
		columns := make([]Column, 0, 8)
		for i, name := range e.Columns() {
			columns = append(columns, Column{Name: name, Native: []string{"int", "varchar(5)", "decimal(5,2)", "datetime", "time", "blob", "double", "enum('x')"}[i%8]})
		}
		if bound, faults := e.Bind(columns); faults == nil {
			cells := make([]pipeline.Cell, len(columns))
			for i := range cells {
				cells[i].Null = i%3 == 0
				cells[i].Text = []byte("12")
			}
			_, _ = bound.Cells(cells)
		}
	})
}

func seeded(t *testing.T) *rand.Rand {
	seed := uint64(rand.Uint32())
	if s := os.Getenv("MILLRACE_TEST_SEED"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		seed = n
	}
	t.Logf("MILLRACE_TEST_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 1))
}
