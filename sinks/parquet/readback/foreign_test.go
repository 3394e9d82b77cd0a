package readback

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"

	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/pipeline/verify"
)

const foreignMeta = `{"metaData":{"id":"i","name":"shop.t/current","partitionColumns":[],"configuration":{},"schemaString":"{\"fields\":[{\"name\":\"id\",\"type\":\"integer\",\"metadata\":{}}]}"}}`

// foreignTable makes a table of one row, id 1, with further lines in its log.
func foreignTable(t *testing.T, lines ...string) (root, dir string) {
	root = t.TempDir()
	dir = filepath.Join(root, "p", "shop.t", "current")
	if err := os.MkdirAll(filepath.Join(dir, "_delta_log"), 0o755); err != nil {
		t.Fatal(err)
	}
	type row struct {
		ID int32 `parquet:"id"`
	}
	if err := parquet.WriteFile(filepath.Join(dir, "1.parquet"), []row{{1}}); err != nil {
		t.Fatal(err)
	}
	first := []string{`{"protocol":{"minReaderVersion":3,"minWriterVersion":7,"readerFeatures":["timestampNtz"],"writerFeatures":["timestampNtz"]}}`, foreignMeta, `{"add":{"path":"1.parquet","dataChange":true}}`}
	for i, text := range []string{strings.Join(first, "\n"), strings.Join(lines, "\n")} {
		if err := os.WriteFile(filepath.Join(dir, "_delta_log", "0000000000000000000"+string(rune('0'+i))+".json"), []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return root, dir
}

// TestWhatAnotherProgramMadeOfATableIsRefusedByName: the file alone equals the source, and
// whoever did not heed the line would say so.
func TestWhatAnotherProgramMadeOfATableIsRefusedByName(t *testing.T) {
	name := event.TableName{DB: "shop", Table: "t"}
	same, _ := foreignTable(t, `{"commitInfo":{}}`)
	equal := New(same, "p")
	for _, c := range []struct{ name, line, want string }{
		{"a deletion vector", `{"add":{"path":"1.parquet","deletionVector":{"storageType":"u","pathOrInlineDv":"x","sizeInBytes":1,"cardinality":1}}}`, "rows of the file 1.parquet by a deletion vector"},
		{"no deletion vector", `{"add":{"path":"1.parquet","deletionVector":null}}`, ""},
		{"a feature of readers", `{"protocol":{"minReaderVersion":3,"minWriterVersion":7,"readerFeatures":["timestampNtz","deletionVectors"]}}`, `the feature "deletionVectors"`},
		{"a feature of writers", `{"protocol":{"minReaderVersion":3,"minWriterVersion":7,"readerFeatures":["timestampNtz"],"writerFeatures":["checkConstraints"]}}`, ""},
		{"a protocol to come", `{"protocol":{"minReaderVersion":4,"minWriterVersion":9}}`, "reader version 4"},
		{"column mapping", strings.Replace(foreignMeta, `"configuration":{}`, `"configuration":{"delta.columnMapping.mode":"name"}`, 1), "delta.columnMapping.mode = name"},
		{"partitions", strings.Replace(foreignMeta, `"partitionColumns":[]`, `"partitionColumns":["id"]`, 1), `partitioned the table by ["id"]`},
		{"the sink's own partitions", strings.Replace(foreignMeta, `"partitionColumns":[]`, `"partitionColumns":["_dt"]`, 1), ""},
		{"a struct", strings.Replace(foreignMeta, `\"integer\"`, `{\"type\":\"struct\",\"fields\":[]}`, 1), "the column id of a type within types"},
	} {
		t.Run(c.name, func(t *testing.T) {
			root, _ := foreignTable(t, c.line)
			got, err := verify.Compare(t.Context(), equal, New(root, "p"), name)
			switch {
			case c.want == "" && (err != nil || !got.Equal()):
				t.Errorf("%+v, %v", got, err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "another program")):
				t.Errorf("no %q in %v, %s", c.want, err, got.State())
			}
		})
	}
}

// TestACheckpointOfAnotherProgramIsRefusedByName: log checkpoints say the same as entries.
func TestACheckpointOfAnotherProgramIsRefusedByName(t *testing.T) {
	type vector struct {
		StorageType string `parquet:"storageType"`
		Path        string `parquet:"pathOrInlineDv"`
	}
	type add struct {
		Path       string            `parquet:"path"`
		Partitions map[string]string `parquet:"partitionValues"`
		DataChange bool              `parquet:"dataChange"`
		Deleted    *vector           `parquet:"deletionVector,optional"`
	}
	type meta struct {
		ID            string            `parquet:"id"`
		SchemaString  string            `parquet:"schemaString"`
		Partitions    []string          `parquet:"partitionColumns,list"`
		Configuration map[string]string `parquet:"configuration"`
	}
	type proto struct {
		Reader   int32    `parquet:"minReaderVersion"`
		Writer   int32    `parquet:"minWriterVersion"`
		Features []string `parquet:"readerFeatures,list"`
	}
	type line struct {
		Add      *add   `parquet:"add,optional"`
		MetaData *meta  `parquet:"metaData,optional"`
		Protocol *proto `parquet:"protocol,optional"`
	}
	const schema = `{"fields":[{"name":"id","type":"integer","metadata":{}}]}`
	for _, c := range []struct {
		name string
		line line
		want string
	}{
		{"as it should be", line{Add: &add{Path: "1.parquet"}}, ""},
		{"a deletion vector", line{Add: &add{Path: "1.parquet", Deleted: &vector{"u", "x"}}}, "rows of the file 1.parquet by a deletion vector"},
		{"a feature", line{Protocol: &proto{Reader: 3, Writer: 7, Features: []string{"v2Checkpoint"}}}, `the feature "v2Checkpoint"`},
		{"column mapping", line{MetaData: &meta{SchemaString: schema, Configuration: map[string]string{"delta.columnMapping.mode": "id"}}}, "delta.columnMapping.mode = id"},
		{"partitions", line{MetaData: &meta{SchemaString: schema, Partitions: []string{"id"}}}, `partitioned the table by ["id"]`},
	} {
		t.Run(c.name, func(t *testing.T) {
			root, dir := foreignTable(t, `{"commitInfo":{}}`)
			log := filepath.Join(dir, "_delta_log")
			lines := []line{{Protocol: &proto{Reader: 3, Writer: 7, Features: []string{"timestampNtz"}}},
				{MetaData: &meta{SchemaString: schema}}, c.line}
			if err := parquet.WriteFile(filepath.Join(log, "00000000000000000001.checkpoint.parquet"), lines); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(log, "_last_checkpoint"), []byte(`{"version":1}`), 0o600); err != nil {
				t.Fatal(err)
			}
			rows := 0
			err := New(root, "p").Read(t.Context(), event.TableName{DB: "shop", Table: "t"}, func([]pipeline.ReadColumn) error { return nil },
				func([]pipeline.Cell) error { rows++; return nil })
			switch {
			case c.want == "" && (err != nil || rows != 1):
				t.Errorf("%d rows, %v", rows, err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("no %q in %v", c.want, err)
			}
		})
	}
}
