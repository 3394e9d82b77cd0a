package readback

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/parquet-go/parquet-go"

	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
)

func TestNamesOfTables(t *testing.T) {
	root := t.TempDir()
	cut := "shop." + "x--0123456789abcdef"
	for _, dir := range []string{"shop.orders", "my-20shop.a-2Eb-25", "shop.bad-2", "shop.bad-zz", "nodot", cut} {
		log := filepath.Join(root, "p", dir, "current", "_delta_log")
		if err := os.MkdirAll(log, 0o755); err != nil {
			t.Fatal(err)
		}
		entry := `{"metaData":{"name":"shop.a long name/current","schemaString":"{\"fields\":[]}"}}` + "\n"
		if err := os.WriteFile(filepath.Join(log, "00000000000000000000.json"), []byte(entry), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(root, "p", "a.file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r := New(root, "p")
	got, err := r.Tables(t.Context())
	want := []event.TableName{{DB: "my shop", Table: "a.b%"}, {DB: "shop", Table: "orders"}, {DB: "shop", Table: "a long name"}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v", got, err)
	}
	for _, name := range want {
		if _, err := r.find(t.Context(), name); err != nil {
			t.Error(err)
		}
	}
	if _, err := r.find(t.Context(), event.TableName{DB: "shop", Table: "gone"}); !errors.Is(err, pipeline.ErrNoTable) {
		t.Errorf("%v", err)
	}
	if names, err := New(root, "nobody").Tables(t.Context()); err != nil || len(names) != 0 {
		t.Errorf("%v, %v", names, err)
	}
}

func TestALogWithAHoleIsRefused(t *testing.T) {
	dir := t.TempDir()
	log := filepath.Join(dir, "_delta_log")
	if err := os.MkdirAll(log, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, v := range []string{"00000000000000000000", "00000000000000000002"} {
		if err := os.WriteFile(filepath.Join(log, v+".json"), []byte("{}\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := New(dir, "").lake.openTable(t.Context(), ""); err == nil || err.Error() != "the log of "+dir+" has no version 1 before 2" {
		t.Errorf("%v", err)
	}
}

// TestTextsOfDatesHaveTheFormOfDates reads dates that are no day of the calendar: the text
// beside a date with a time has six digits, as the dates themselves and the source's reader
// have, whatever the source's column shows.
func TestTextsOfDatesHaveTheFormOfDates(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "p", "shop.t", "current")
	if err := os.MkdirAll(filepath.Join(dir, "_delta_log"), 0o755); err != nil {
		t.Fatal(err)
	}
	text := func(name, of string) string {
		return `{"name":"` + name + `","type":"string","nullable":true,"metadata":{"millrace.rawOf":"` + of + `"}}`
	}
	schema := `{"type":"struct","fields":[{"name":"a","type":"timestamp_ntz","nullable":true,"metadata":{}},` + text("a__raw", "a") +
		`,{"name":"escaped","type":"timestamp","nullable":true,"metadata":{"millrace.name":"b c"}},` + text("b__raw", "b c") +
		`,{"name":"d","type":"date","nullable":true,"metadata":{}},` + text("d__raw", "d") + `]}`
	quoted, _ := json.Marshal(schema)
	log := `{"metaData":{"name":"shop.t/current","schemaString":` + string(quoted) + `}}` + "\n" + `{"add":{"path":"1.parquet"}}` + "\n"
	if err := os.WriteFile(filepath.Join(dir, "_delta_log", "00000000000000000000.json"), []byte(log), 0o600); err != nil {
		t.Fatal(err)
	}
	type line struct {
		A string `parquet:"a__raw"`
		B string `parquet:"b__raw"`
		D string `parquet:"d__raw"`
	}
	if err := parquet.WriteFile(filepath.Join(dir, "1.parquet"), []line{
		{"0000-00-00 00:00:00", "2020-00-01 01:02:03.120", "0000-00-00"}, {"2020-01-00 01:02:03.000001", "0000-00-00 00:00:00.0", "2020-01-00"},
	}); err != nil {
		t.Fatal(err)
	}
	var got []string
	err := New(root, "p").Read(t.Context(), event.TableName{DB: "shop", Table: "t"}, func([]pipeline.ReadColumn) error { return nil },
		func(cells []pipeline.Cell) error {
			for _, c := range cells {
				if !c.Null {
					got = append(got, string(c.Text))
				}
			}
			return nil
		})
	want := []string{"0000-00-00 00:00:00.000000", "2020-00-01 01:02:03.120000", "0000-00-00", "2020-01-00 01:02:03.000001",
		"0000-00-00 00:00:00.000000", "2020-01-00"}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%q, %v", got, err)
	}
}

func TestDecimals(t *testing.T) {
	for _, c := range []struct {
		kind  string
		value parquet.Value
		want  string
	}{
		{"decimal(5,2)", parquet.Int32Value(-5), "-0.05"},
		{"decimal(18,0)", parquet.Int64Value(42), "42"},
		{"decimal(20,3)", parquet.FixedLenByteArrayValue([]byte{0xff, 0xff, 0xfc, 0x18}), "-1.000"},
		{"decimal(38,2)", parquet.FixedLenByteArrayValue([]byte{0, 0, 1, 0x2c}), "3.00"},
	} {
		if got := decimal(c.kind, c.value); got != c.want {
			t.Errorf("%s %v: %s, want %s", c.kind, c.value, got, c.want)
		}
	}
}
