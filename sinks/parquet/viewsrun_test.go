package parquet

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// viewsElsewhere moves tables to another directory and asks the engine of the views for what
// they show there. Of each file one line is changed: the one that it says is to be.
func viewsElsewhere(t *testing.T, reader string, list []*question) []*question {
	t.Helper()
	file := map[string]string{"duckdbdelta": "duckdb.sql", "clickhouse": "clickhouse.sql", "spark3": "spark.sql",
		"spark4": "spark.sql"}[reader]
	if file == "" {
		return nil
	}
	var asked []*question
	for _, q := range list[:2] {
		old := filepath.Dir(q.Path)
		at := filepath.Join(t.TempDir(), "elsewhere", filepath.Base(old))
		must[int](t)(0, os.CopyFS(at, os.DirFS(old)))
		text := string(must[[]byte](t)(os.ReadFile(filepath.Join(at, "views", file))))
		var lines []string
		moved := 0
		for line := range strings.Lines(text) {
			line = strings.TrimSpace(line)
			if strings.Contains(line, old) {
				moved++
				line = strings.ReplaceAll(line, old, at)
			}
			if !strings.HasPrefix(line, "--") {
				lines = append(lines, line)
			}
		}
		if moved != 1 {
			t.Fatalf("%s names the table's directory in %d lines:\n%s", file, moved, text)
		}
		view := *q
		view.Path, view.SQL, view.Source, view.name = filepath.Join(at, filepath.Base(q.Path)), lines, "shop.types", "views of "+q.name
		if filepath.Base(q.Path) == "changes" {
			view.Source += "__changes"
		}
		view.Filters = q.Filters[:4]
		asked = append(asked, &view)
	}
	return asked
}
