package spec

import (
	"strings"
	"testing"
)

// Two tables that the file names have one target: that is a mistake of the sink, and nothing is
// said where each has its own, or only a pattern names them.
func TestTwoTablesWithOneTarget(t *testing.T) {
	k := kinds()
	source, sink := k.Sources["mysql"], k.Sinks["parquet"]
	source.Named = func(cfg any) []string {
		var out []string
		for _, name := range cfg.(*sourceConfig).Tables {
			if !strings.Contains(name, "*") {
				out = append(out, name)
			}
		}
		return out
	}
	sink.Target = func(cfg any, table string) string {
		db, name, _ := strings.Cut(table, ".")
		return strings.NewReplacer("{db}", db, "{table}", name).Replace(cfg.(*sinkConfig).Path)
	}
	k.Sources["mysql"], k.Sinks["parquet"] = source, sink
	for path, want := range map[string]string{
		"all":           "sinks[1]: all is the target of a.x and of a.y and of b.x",
		"{table}":       "sinks[1]: x is the target of a.x and of b.x",
		"{db}":          "sinks[1]: a is the target of a.x and of a.y",
		"{db}.{table}":  "",
		"{table}.{db}s": "",
	} {
		_, err := Parse("p.yaml", []byte("version: 1\nname: p\nsource: {type: mysql, tables: [a.x, a.y, b.x, a.x, \"c.*\"]}\nsinks:\n  - {name: one, type: parquet, path: \"{db}/{table}\"}\n"+
			"  - {name: two, type: parquet, path: \""+path+"\"}\n"), k, none)
		switch {
		case want == "" && err != nil:
			t.Errorf("%s: %v", path, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "p.yaml:6:")):
			t.Errorf("%s: %v, and not %s", path, err, want)
		}
	}
}
