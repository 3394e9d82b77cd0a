package spec

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/config"
)

type sourceConfig struct {
	Address string   `yaml:"address"`
	Tables  []string `yaml:"tables"`
}

type sinkConfig struct {
	Path string `yaml:"path"`
}

func kinds() Kinds {
	return Kinds{
		Sources: map[string]Kind{"mysql": {Default: func() any { return &sourceConfig{} }}},
		Sinks: map[string]Kind{"parquet": {
			Default: func() any { return &sinkConfig{} },
			Check: func(cfg any) []Finding {
				if cfg.(*sinkConfig).Path == "" {
					return []Finding{{Key: "path", Text: "is missing"}}
				}
				return nil
			},
		}},
	}
}

func none(string) (string, bool) { return "", false }

func TestTheSmallestPipeline(t *testing.T) {
	p, err := Parse("p.yaml", []byte("version: 1\nname: orders\nsource: {type: mysql, address: a, tables: [shop.*]}\nsinks:\n- {name: lake, type: parquet, path: ./lake, flush: {rows: 10, bytes: 1MiB, interval: 1s}}\n"), kinds(), none)
	if err != nil {
		t.Fatal(err)
	}
	if p.Name != "orders" || p.Queues != 4 || p.Delivery != "transactional" || p.OnError != "pause_table" {
		t.Errorf("defaults: %+v", p)
	}
	if s := p.Sinks[0]; s.Flush.Rows != 10 || s.Config.(*sinkConfig).Path != "./lake" {
		t.Errorf("sink: %+v", s)
	}
}

func TestEveryMistakeAtOnce(t *testing.T) {
	const text = `version: 2
name: Orders
source: {type: mysqll}
queues: 0
tables:
  orders: {queues: 2}
delivery: direct
on_error: skip
sinks:
  - {name: lake, type: parquet, pth: x}
  - {name: lake, type: parquet, path: x, flush: {rows: 0, bytes: 1, interval: 1s}}
`
	_, err := Parse("p.yaml", []byte(text), kinds(), none)
	if err == nil {
		t.Fatal("taken")
	}
	for _, want := range []string{
		"p.yaml:1:10: version: must be 1",
		`p.yaml:2:7: name: "Orders" is not a pipeline name`,
		`p.yaml:3:16: source.type: there is no type "mysqll"; did you mean "mysql"?`,
		"p.yaml:4:9: queues: must be from 1 to 1024",
		"tables.orders: must be named database.table",
		`p.yaml:7:11: delivery: "direct" is not supported yet`,
		`p.yaml:8:11: on_error: "skip" is not one of its values`,
		`sinks[0].pth: unknown key; did you mean "path"?`,
		`sinks[1].name: the name "lake" stands twice`,
		"sinks[1].flush: rows, bytes and interval must be above zero",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("missing: %s\nin\n%s", want, err)
		}
	}
}

// A key that is unknown or a value of a wrong type says nothing about the keys beside it.
func TestAMistakeMakesNoOthers(t *testing.T) {
	const text = `version: 1
queue: 4
name: orders
group: {interval: -1s}
source: {type: mysql, address: a, tables: [shop.*]}
sinks: [{name: lake, type: parquet, path: ./lake, flush: {rows: 10, bytes: 1MiB, interval: 1s}}]
`
	_, err := Parse("p.yaml", []byte(text), kinds(), none)
	var issues config.Issues
	if !errors.As(err, &issues) || len(issues) != 2 {
		t.Errorf("two mistakes, reported are: %v", err)
	}
	_, err = Parse("p.yaml", []byte("version: 1\nname: orders\nsource: {type: mysql}\nsinks: [{name: lake, type: parkett}, {name: other}]\n"), kinds(), none)
	if !errors.As(err, &issues) || len(issues) != 2 || strings.Contains(err.Error(), ".name") {
		t.Errorf("sinks with names, one of no type and one of an unknown one: %v", err)
	}
}

func TestAMistakeInOneFileDoesNotHideTheOthers(t *testing.T) {
	dir := t.TempDir()
	good := "version: 1\nname: %\nsource: {type: mysql}\nsinks: [{name: lake, type: parquet, path: x}]\n"
	for name, text := range map[string]string{
		"a.yaml": strings.Replace(good, "%", "a", 1), "b.yaml": "nam: b\n",
		"c.yml": strings.Replace(good, "%", "c", 1), "d.yaml": strings.Replace(good, "%", "a", 1), "e.txt": "x",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	found, errs := ReadDir(dir, kinds(), none)
	if len(found) != 2 || found[0].Name != "a" || found[1].Name != "c" {
		t.Errorf("found %v", found)
	}
	if len(errs) != 2 || !strings.Contains(errs[1].Error(), "already declared in "+filepath.Join(dir, "a.yaml")) {
		t.Errorf("errors %v", errs)
	}
}

// TestWhatIsNoFileIsNamedAndNotOpened puts things among the pipeline files that have their
// names: reading the pipe would wait until somebody writes it.
func TestWhatIsNoFileIsNamedAndNotOpened(t *testing.T) {
	dir := t.TempDir()
	good := "version: 1\nname: good\nsource: {type: mysql}\nsinks: [{name: lake, type: parquet, path: x}]\n"
	elsewhere := filepath.Join(t.TempDir(), "good")
	if err := errors.Join(
		os.WriteFile(elsewhere, []byte(good), 0o600), os.Symlink(elsewhere, filepath.Join(dir, "good.yaml")),
		syscall.Mkfifo(filepath.Join(dir, "pipe.yaml"), 0o600), os.Symlink("loop.yaml", filepath.Join(dir, "loop.yaml")),
		os.Symlink(t.TempDir(), filepath.Join(dir, "directory.yaml")), os.Mkdir(filepath.Join(dir, "d.yaml"), 0o700),
	); err != nil {
		t.Fatal(err)
	}
	found, errs := ReadDir(dir, kinds(), none)
	if len(found) != 1 || found[0].Name != "good" {
		t.Errorf("found %v", found)
	}
	text := fmt.Sprint(errs)
	for _, name := range []string{"pipe.yaml", "loop.yaml", "directory.yaml"} {
		if !strings.Contains(text, filepath.Join(dir, name)) {
			t.Errorf("%s is not named: %s", name, text)
		}
	}
	if len(errs) != 3 {
		t.Errorf("errors %v", errs)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("version: 1\nname: a\nsource: {type: mysql}\nsinks: [{name: lake, type: parquet, path: x}]\n"))
	f.Add([]byte("sinks: [1, {}, []]\nsource: []\ntables: {a.b: 1}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := Parse("p.yaml", data, kinds(), none)
		if (p == nil) == (err == nil) {
			t.Fatalf("%v, %v", p, err)
		}
	})
}

func TestHowAPipelineChecksItself(t *testing.T) {
	const text = "version: 1\nname: orders\nsource: {type: mysql}\nsinks: [{name: lake, type: parquet, path: x}]\n"
	for verify, want := range map[string]Verify{
		"": {Every: Every(24 * time.Hour), RowsPerSecond: 5000}, "verify: {every: off}": {RowsPerSecond: 5000},
		"verify: {every: 1h, rows_per_second: 10, repair: true}": {Every: Every(time.Hour), RowsPerSecond: 10, Repair: true},
	} {
		p, err := Parse("p.yaml", []byte(text+verify+"\n"), kinds(), none)
		if err != nil {
			t.Errorf("%s: %v", verify, err)
		} else if p.Verify != want {
			t.Errorf("%s: %+v", verify, p.Verify)
		}
	}
	for verify, want := range map[string]string{
		"verify: {every: never}": "neither a duration such as 24h nor off", "verify: {every: 0s}": "neither a duration such as 24h nor off",
		"verify: {every: 10ms}": "verify.every: must be at least 1s, or off", "verify: {rows_per_second: 0}": "verify.rows_per_second: must be from 1",
		"verify: {evry: 1h}": "did you mean \"every\"", "verify: {every: -1h}": "neither a duration",
	} {
		if _, err := Parse("p.yaml", []byte(text+verify+"\n"), kinds(), none); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", verify, err)
		}
	}
}

func TestColumnsThatMustNotLeave(t *testing.T) {
	const text = "version: 1\nname: orders\nsource: {type: mysql}\nsinks: [{name: lake, type: parquet, path: x}]\n"
	p, err := Parse("p.yaml", []byte(text+"hash_salt: 0123456789abcdef\ntables: {shop.a: {columns: {exclude: [x], mask: [y], hash: [z]}}, shop.b: {columns: {}}, shop.c: {queues: 1}, shop.d: {where: x = 1 AND y IS NULL}}\n"), kinds(), none)
	if err != nil {
		t.Fatal(err)
	}
	if c := p.Tables["shop.a"].Columns; c == nil || c.Exclude[0] != "x" || c.Mask[0] != "y" || c.Hash[0] != "z" || p.HashSalt == "" {
		t.Errorf("%+v", p)
	}
	if p.Tables["shop.b"].Columns == nil || p.Tables["shop.c"].Columns != nil {
		t.Errorf("what is said of nothing is not told from nothing that is said: %+v", p.Tables)
	}
	if w := p.Tables["shop.d"].Where; w == nil || w.String() != "`x` = 1 AND `y` IS NULL" || p.Tables["shop.a"].Where != nil {
		t.Errorf("the condition is %v", w)
	}
	for tables, want := range map[string]string{
		"{shop.a: {columns: {exclude: [x], hash: [X]}}}":          "tables.shop.a.columns.hash: the column X stands in exclude already",
		"{shop.a: {columns: {hash: [x]}}}":                        "hash_salt: must have at least 16 characters",
		"{shop.a: {key: [id], columns: {mask: [ID]}}}":            "tables.shop.a.columns.mask: the column id is of the table's key",
		"{shop.a: {columns: {exclude: ['']}}}":                    "names a column without a name",
		"{shop.a: {columns: {excluded: [x]}}}":                    "did you mean \"exclude\"",
		"{shop.a: {columns: }}":                                   "tables.shop.a.columns: says nothing",
		"{shop.a: {where: 'x == 1'}}":                             "tables.shop.a.where: at character 4: \"=\" stands where a constant",
		"{shop.a: {where: }}":                                     "tables.shop.a.where: says nothing",
		"{shop.a: {where: [x]}}":                                  "tables.shop.a.where",
		"{shop.a: {columns: {mask: [x]}}, shop.A: {columns: {}}}": "in other letters",
	} {
		if _, err := Parse("p.yaml", []byte(text+"tables: "+tables+"\n"), kinds(), none); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", tables, err)
		}
	}
}

// What is put aside is bounded, and a bound without the wish is a mistake.
func TestDeadLetters(t *testing.T) {
	const base = "version: 1\nname: orders\nsource: {type: mysql, address: a, tables: [shop.*]}\nsinks:\n- {name: lake, type: parquet, path: ./lake}\n"
	for _, c := range []struct {
		lines string
		want  DeadLetter
		err   string
	}{
		{"on_error: pause_table", DefaultDeadLetter(), ""},
		{"on_error: dead_letter", DeadLetter{Rows: 10_000, Bytes: 64 << 20}, ""},
		{"on_error: dead_letter\ndead_letter: {rows: 5}", DeadLetter{Rows: 5, Bytes: 64 << 20}, ""},
		{"on_error: dead_letter\ndead_letter: {rows: 0}", DeadLetter{}, "dead_letter.rows: must be from 1 to 1000000"},
		{"on_error: dead_letter\ndead_letter: {bytes: 2GiB}", DeadLetter{}, "dead_letter.bytes: must be above zero and at most 1GiB"},
		{"dead_letter: {rows: 5}", DeadLetter{}, "dead_letter: is without effect here; add on_error: dead_letter, or take it away"},
	} {
		p, err := Parse("p.yaml", []byte(base+c.lines+"\n"), kinds(), none)
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s: %v", c.lines, err)
			}
			continue
		}
		if err != nil || p.DeadLetter != c.want {
			t.Errorf("%s: %+v, %v", c.lines, p, err)
		}
	}
}
