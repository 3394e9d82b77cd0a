package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/millrace/millrace/pipeline/spec"
)

// documented says which pages tell of the keys that the structs of which files have.
var documented = []struct {
	page, tag string
	files     []string
}{
	{"docs/pipeline.md", "yaml", []string{"pipeline/spec/spec.go", "pipeline/spec/read.go", "connectors/mysql/config.go",
		"connectors/mysql/account/tls.go", "sinks/parquet/config.go", "sinks/parquet/current/config.go", "sinks/parquet/lake/keep.go"}},
	{"docs/s3.md", "yaml", []string{"sinks/objects/s3/config.go"}},
	{"docs/clickhouse.md", "yaml", []string{"sinks/clickhouse/config.go", "sinks/clickhouse/shape.go"}},
	{"docs/format/checkpoint.md", "json", []string{"pipeline/checkpoint/record.go", "pipeline/checkpoint/state.go",
		"pipeline/checkpoint/position.go"}},
	{"docs/format/control.md", "json", []string{"pipeline/bus/control.go"}},
	{"docs/format/writer.md", "json", []string{"broker/writer/record.go", "broker/txn/snapshot.go"}},
	{"docs/format/delta.md", "json", []string{"sinks/parquet/changes/ledger.go", "sinks/parquet/lake/facts.go",
		"sinks/parquet/file/columns.go", "sinks/parquet/current/table.go", "sinks/parquet/current/layout.go"}},
}

var (
	example = regexp.MustCompile("(?s)<!-- dump [a-z]+ -->\n```.*?```")
	code    = regexp.MustCompile("(?s)```.*?```|`[^`\n]+`")
)

// TestEveryKeyIsDocumented: what files and records of ours may say stands on their page, in
// words and not only in an example of real bytes.
func TestEveryKeyIsDocumented(t *testing.T) {
	for _, d := range documented {
		page, err := os.ReadFile(filepath.Join("../..", d.page))
		if err != nil {
			t.Fatal(err)
		}
		shown := strings.Join(code.FindAllString(example.ReplaceAllString(string(page), ""), -1), "\n")
		for _, file := range d.files {
			keys := taggedKeys(t, filepath.Join("../..", file), d.tag)
			if len(keys) == 0 {
				t.Errorf("%s has no keys", file)
			}
			for _, key := range keys {
				if !regexp.MustCompile(`(^|\W)` + regexp.QuoteMeta(key) + `(\W|$)`).MatchString(shown) {
					t.Errorf("%s does not say what %s of %s is", d.page, key, file)
				}
			}
		}
	}
}

// taggedKeys are the keys of all structs of a file.
func taggedKeys(t *testing.T, path, tag string) (keys []string) {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(f, func(n ast.Node) bool {
		if field, ok := n.(*ast.Field); ok && field.Tag != nil {
			text, err := strconv.Unquote(field.Tag.Value)
			if err != nil {
				t.Fatal(err)
			}
			if key, _, _ := strings.Cut(reflect.StructTag(text).Get(tag), ","); key != "" && key != "-" {
				keys = append(keys, key)
			}
		}
		return true
	})
	return keys
}

// The least that a pipeline file says.
const (
	leastHead = "version: 1\nname: orders\nsource: {type: mysql, user: reader, tables: [shop.*]}\n"
	leastLake = "sinks: [{name: lake, type: parquet, path: ./lake}]\n"
)

var defaultRow = regexp.MustCompile("(?m)^\\| `([a-z0-9_.\\[\\]]+)` \\| `([^`]+)` \\|")

// TestTheDefaultsOfTheTablesHold: a file that says what the pages name as default means what
// one means that does not say it.
func TestTheDefaultsOfTheTablesHold(t *testing.T) {
	rows := 0
	for page, least := range map[string]string{
		"docs/pipeline.md": leastHead + leastLake,
		"docs/s3.md":       leastHead + strings.ReplaceAll(leastLake, "./lake", "s3://bucket/lake"),
	} {
		text, err := os.ReadFile(filepath.Join("../..", page))
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range defaultRow.FindAllStringSubmatch(string(text), -1) {
			rows++
			key, value := row[1], row[2]
			if page == "docs/s3.md" {
				key = "sinks[]." + key
			}
			if err := sameMeaning(least, saying(t, least, key, value)); err != "" {
				t.Errorf("%s: %s is not %s by default: %s", page, row[1], value, err)
			}
		}
	}
	if rows < 16 {
		t.Errorf("only %d rows with a default were found", rows)
	}
}

// saying is a pipeline file that says one thing more.
func saying(t *testing.T, file, key, value string) string {
	t.Helper()
	var whole map[string]any
	if err := yaml.Unmarshal([]byte(file), &whole); err != nil {
		t.Fatal(err)
	}
	var said any
	if err := yaml.Unmarshal([]byte(value), &said); err != nil {
		t.Fatalf("%s: %v", key, err)
	}
	at := whole
	parts := strings.Split(key, ".")
	for _, part := range parts[:len(parts)-1] {
		if part == "sinks[]" {
			at = whole["sinks"].([]any)[0].(map[string]any)
			continue
		}
		if at[part] == nil {
			at[part] = map[string]any{}
		}
		at = at[part].(map[string]any)
	}
	at[parts[len(parts)-1]] = said
	text, err := yaml.Marshal(whole)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// sameMeaning compares what two pipeline files mean; "" is the same.
func sameMeaning(a, b string) string {
	one, err := spec.Parse("orders.yaml", []byte(a), kinds(), environment)
	if err != nil {
		return err.Error()
	}
	other, err := spec.Parse("orders.yaml", []byte(b), kinds(), environment)
	switch {
	case err != nil:
		return err.Error()
	case !reflect.DeepEqual(one, other):
		return "the file means something else"
	}
	return ""
}

var (
	yamlBlock = regexp.MustCompile("(?s)```yaml\n(sinks:\n.*?)```")
	commented = regexp.MustCompile(`(?m)^    # ([a-z_]+): `)
)

// TestTheSinksOfThePagesShowTheDefaults: what the lake's page shows, and what ClickHouse's shows
// behind #, is what holds where nothing is said. TLS, tables and settings are examples.
func TestTheSinksOfThePagesShowTheDefaults(t *testing.T) {
	block := func(page string) string {
		text, err := os.ReadFile(filepath.Join("../..", page))
		if err != nil {
			t.Fatal(err)
		}
		m := yamlBlock.FindSubmatch(text)
		if m == nil {
			t.Fatalf("%s shows no sink", page)
		}
		return strings.ReplaceAll(string(m[1]), "${CH_PASSWORD}", "secret")
	}
	if err := sameMeaning(leastHead+leastLake, leastHead+block("docs/format/lake.md")); err != "" {
		t.Errorf("docs/format/lake.md does not show the defaults: %s", err)
	}
	shown, said := block("docs/clickhouse.md"), 0
	whole := commented.ReplaceAllStringFunc(shown, func(line string) string {
		switch key := commented.FindStringSubmatch(line)[1]; key {
		case "tls", "tables", "settings":
			return line
		}
		said++
		return strings.Replace(line, "# ", "", 1)
	})
	if err := sameMeaning(leastHead+shown, leastHead+whole); err != "" || said < 8 {
		t.Errorf("docs/clickhouse.md does not show the defaults of its %d keys: %s", said, err)
	}
}
