package parquet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"strings"

	"github.com/millrace/millrace/sinks/objects"
)

// maxView is more than any view takes.
const maxView = 1 << 20

// writeViews writes the statements by which other engines show the table.
func (t *Table) writeViews(ctx context.Context) error {
	store := t.store
	for name, text := range t.views() {
		file := path.Join(t.at, "views", name)
		have, err := objects.ReadAll(ctx, store, file, maxView)
		if err == nil && bytes.Equal(have, []byte(text)) {
			continue
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, objects.ErrTooLarge) {
			return unwritable("read", t.show(file), err)
		}
		if err := store.Put(ctx, file, strings.NewReader(text)); err != nil {
			return unwritable("write", t.show(file), err)
		}
	}
	return nil
}

func (t *Table) views() map[string]string {
	root := t.dir
	if abs, err := filepath.Abs(root); err == nil {
		root = abs
	}
	lit := func(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
	esc := func(s string) string {
		return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'"
	}
	dq := func(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }
	bq := func(s string) string { return "`" + strings.ReplaceAll(s, "`", "``") + "`" }
	chq := func(s string) string { return "`" + strings.NewReplacer(`\`, `\\`, "`", "\\`").Replace(s) + "`" }
	db, table := t.claim.Table.DB, t.claim.Table.Table
	current, changes := root+"/current", root+"/changes"
	elsewhere := "-- On another machine put its own path of the table in the place of " + strings.NewReplacer("\n", " ", "\r", " ").Replace(root) + ".\n"
	return map[string]string{
		"duckdb.sql": fmt.Sprintf(`-- The table as it is, and the log of its changes, in DuckDB.
%[6]s-- INSTALL fetches DuckDB's extension from the Internet, once; docs/reading.md has lines that need none.
INSTALL delta; LOAD delta;
CREATE SCHEMA IF NOT EXISTS %[1]s;
CREATE OR REPLACE VIEW %[1]s.%[2]s AS SELECT * FROM delta_scan(%[4]s);
CREATE OR REPLACE VIEW %[1]s.%[3]s AS SELECT * FROM delta_scan(%[5]s);
`, dq(db), dq(table), dq(table+"__changes"), lit(current), lit(changes), elsewhere),
		"clickhouse.sql": fmt.Sprintf(`-- The table as it is, and the log of its changes, in ClickHouse.
%[6]sCREATE DATABASE IF NOT EXISTS %[1]s;
CREATE OR REPLACE VIEW %[1]s.%[2]s AS SELECT * FROM deltaLakeLocal(%[4]s);
CREATE OR REPLACE VIEW %[1]s.%[3]s AS SELECT * FROM deltaLakeLocal(%[5]s);
`, chq(db), chq(table), chq(table+"__changes"), esc(current), esc(changes), elsewhere),
		"spark.sql": fmt.Sprintf(`-- The table as it is, and the log of its changes, in Spark with Delta Lake.
%[6]sCREATE SCHEMA IF NOT EXISTS %[1]s;
CREATE TABLE IF NOT EXISTS %[1]s.%[2]s USING DELTA LOCATION %[4]s;
CREATE TABLE IF NOT EXISTS %[1]s.%[3]s USING DELTA LOCATION %[5]s;
`, bq(db), bq(table), bq(table+"__changes"), esc(current), esc(changes), elsewhere),
	}
}
