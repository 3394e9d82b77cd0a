package readback

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"

	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
)

func TestTheNewestWholeCheckpointIsTaken(t *testing.T) {
	one := func(v int) string { return fmt.Sprintf("%020d.checkpoint.parquet", v) }
	part := func(v, n, of int) string { return fmt.Sprintf("%020d.checkpoint.%010d.%010d.parquet", v, n, of) }
	for _, c := range []struct {
		names []string
		upTo  int64
		want  int64 // -1: none
		files int
	}{
		{nil, math.MaxInt64, -1, 0},
		{[]string{"_last_checkpoint", "00000000000000000003.json"}, math.MaxInt64, -1, 0},
		{[]string{one(3), one(7)}, math.MaxInt64, 7, 1},
		{[]string{one(3), one(7)}, 6, 3, 1},
		{[]string{one(3), one(7)}, 2, -1, 0},
		{[]string{one(3), part(7, 1, 2)}, math.MaxInt64, 3, 1}, // a part is missing
		{[]string{one(3), part(7, 1, 2), part(7, 2, 2)}, math.MaxInt64, 7, 2},
		{[]string{part(7, 1, 2), part(7, 1, 3), part(7, 2, 2)}, math.MaxInt64, 7, 2},
		{[]string{one(3) + ".tmp", ".s3.checkpoint.parquet", "0003.checkpoint.parquet"}, math.MaxInt64, -1, 0},
	} {
		got, ok := checkpointIn(c.names, c.upTo)
		if ok != (c.want >= 0) || ok && (got.version != c.want || len(got.files) != c.files) {
			t.Errorf("%q up to %d: %+v %t", c.names, c.upTo, got, ok)
		}
	}
}

// TestTheHintOfACheckpointIsNotBelieved has _last_checkpoint name one that was removed, name
// none, and be no JSON: the log says which there are.
func TestTheHintOfACheckpointIsNotBelieved(t *testing.T) {
	type add struct {
		Path       string `parquet:"path"`
		DataChange bool   `parquet:"dataChange"`
	}
	type meta struct {
		ID           string `parquet:"id"`
		SchemaString string `parquet:"schemaString"`
	}
	type line struct {
		Add      *add  `parquet:"add,optional"`
		MetaData *meta `parquet:"metaData,optional"`
	}
	for _, c := range []struct {
		name, hint string
		checkpoint bool // the log begins with one
	}{
		{"removed, the entries are there", `{"version":9}`, false},
		{"removed, an older one is there", `{"version":9}`, true},
		{"newer than the log", `{"version":100}`, true},
		{"cut short", `{"vers`, true},
		{"negative", `{"version":-5}`, false},
		{"none", "", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			root, dir := foreignTable(t, `{"commitInfo":{}}`)
			log := filepath.Join(dir, "_delta_log")
			if c.checkpoint {
				lines := []line{{MetaData: &meta{"id", `{"fields":[{"name":"id","type":"integer","metadata":{}}]}`}}, {Add: &add{"1.parquet", true}}}
				if err := parquet.WriteFile(filepath.Join(log, "00000000000000000001.checkpoint.parquet"), lines); err != nil {
					t.Fatal(err)
				}
				if err := os.Remove(filepath.Join(log, "00000000000000000000.json")); err != nil {
					t.Fatal(err)
				}
			}
			if c.hint != "" {
				if err := os.WriteFile(filepath.Join(log, "_last_checkpoint"), []byte(c.hint), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if rows, err := rowsOf(t, root); err != nil || rows != 1 {
				t.Errorf("%d rows, %v", rows, err)
			}
		})
	}
}

// rowsOf counts what a reader gives of the table that foreignTable made.
func rowsOf(t *testing.T, root string) (rows int, err error) {
	err = New(root, "p").Read(t.Context(), event.TableName{DB: "shop", Table: "t"}, func([]pipeline.ReadColumn) error { return nil },
		func([]pipeline.Cell) error { rows++; return nil })
	return rows, err
}

// TestADamagedFileEndsItsTableAlone turns each byte of a data file and of a checkpoint around:
// whatever the library makes of it, the process goes on.
func TestADamagedFileEndsItsTableAlone(t *testing.T) {
	root, dir := foreignTable(t, `{"commitInfo":{}}`)
	type meta struct {
		SchemaString string `parquet:"schemaString"`
	}
	type add struct {
		Path string `parquet:"path"`
	}
	type line struct {
		Add      *add  `parquet:"add,optional"`
		MetaData *meta `parquet:"metaData,optional"`
	}
	checkpoint := filepath.Join(dir, "_delta_log", "00000000000000000001.checkpoint.parquet")
	lines := []line{{MetaData: &meta{`{"fields":[{"name":"id","type":"integer","metadata":{}}]}`}}, {Add: &add{"1.parquet"}}}
	if err := parquet.WriteFile(checkpoint, lines); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{filepath.Join(dir, "1.parquet"), checkpoint} {
		whole, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		refused := 0
		for i := range whole {
			damaged := append([]byte(nil), whole...)
			damaged[i] ^= 0xff
			if err := os.WriteFile(file, damaged, 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := rowsOf(t, root); err != nil {
				refused++
			}
		}
		if refused == 0 {
			t.Errorf("%s: whatever is damaged, nothing is refused", filepath.Base(file))
		}
		if err := os.WriteFile(file, whole, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if rows, err := rowsOf(t, root); err != nil || rows != 1 {
		t.Errorf("%d rows, %v", rows, err)
	}
}

// FuzzLog reads what may stand in an entry of a log, and what is made of it.
func FuzzLog(f *testing.F) {
	for _, text := range []string{
		foreignMeta, `{"add":{"path":"a%2Fb","dataChange":true}}` + "\n" + `{"remove":{"path":"a%2Fb"}}`,
		`{"protocol":{"minReaderVersion":3,"readerFeatures":["timestampNtz"]}}`,
		`{"domainMetadata":{"domain":"millrace.merge","configuration":"{\"changes\":\"x\",\"version\":3,\"complete\":5}"}}`,
		`{"domainMetadata":{"domain":"millrace.table","configuration":"{\"route\":1,\"floor\":3,\"columns\":[{\"id\":1,\"fill\":\"AA==\"}]}"}}` + "\n" +
			`{"domainMetadata":{"domain":"millrace.queue.0","configuration":"{\"done\":7}"}}`,
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r := (&lake{}).newReplay("t/current", -1)
		if r.lines([]byte(text)) != nil {
			return
		}
		shown := shownOf(r.t.fields)
		if kinds := renderings(r.t.fields, shown); len(kinds) != len(shown) {
			t.Errorf("%d of %d", len(kinds), len(shown))
		}
		for i := range r.t.fields {
			_ = r.t.fields[i].identity() + r.t.fields[i].what()
		}
		if at, err := completeTo(r.t); err == nil && at != 0 && !strings.Contains(text, "millrace.table") {
			t.Errorf("complete to %d without a table", at)
		}
		_, _ = mergeOf(r.t)
		_, _ = filled(r.t)
	})
}

// FuzzNames reads names of directories and of a log's files.
func FuzzNames(f *testing.F) {
	f.Add("shop-2dx.t", int64(5))
	f.Add("00000000000000000001.checkpoint.0000000001.0000000001.parquet", int64(1))
	f.Fuzz(func(t *testing.T, name string, upTo int64) {
		if got, ok := decodeName(name); ok && len(got) > len(name) {
			t.Errorf("%q from %q", got, name)
		}
		if got, ok := checkpointIn([]string{name}, upTo); ok && (got.version > upTo || got.files[0] != name) {
			t.Errorf("%+v of %q up to %d", got, name, upTo)
		}
		versionsIn([]string{name})
	})
}
