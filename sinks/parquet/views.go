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
	"github.com/millrace/millrace/sinks/objects/s3"
	"github.com/millrace/millrace/sinks/parquet/lake"
)

// maxView is more than any view takes.
const maxView = 1 << 20

// writeViews writes the statements by which other engines show the table.
func (t *Table) writeViews(ctx context.Context) error {
	store := t.Store
	for name, text := range t.views() {
		file := path.Join(t.At, "views", name)
		have, err := objects.ReadAll(ctx, store, file, maxView)
		if err == nil && bytes.Equal(have, []byte(text)) {
			continue
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, objects.ErrTooLarge) {
			return lake.Unwritable("read", t.Show(file), err)
		}
		if err := store.Put(ctx, file, strings.NewReader(text)); err != nil {
			return lake.Unwritable("write", t.Show(file), err)
		}
	}
	return nil
}

// whereabouts is how other engines name the table's directory, each as its own literal, and
// what a person must know besides, as comments.
type whereabouts struct {
	duckdb, clickhouse, spark func(part string) string
	duckdbNote, note          string
}

func quoted(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
func escaped(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'"
}

// oneLine keeps a comment one.
func oneLine(s string) string { return strings.NewReplacer("\n", " ", "\r", " ").Replace(s) }

func (t *Table) whereabouts() whereabouts {
	if t.Bucket != nil {
		return inBucketAt(t.Bucket, t.Dir)
	}
	root := t.Dir
	if abs, err := filepath.Abs(root); err == nil {
		root = abs
	}
	elsewhere := "-- On another machine put its own path of the table in the place of " + oneLine(root) + ".\n"
	return whereabouts{
		duckdb:     func(part string) string { return quoted(root + "/" + part) },
		clickhouse: func(part string) string { return "deltaLakeLocal(" + escaped(root+"/"+part) + ")" },
		spark:      func(part string) string { return escaped(root + "/" + part) },
		duckdbNote: elsewhere, note: elsewhere,
	}
}

// inBucketAt is whereabouts for a table in a bucket. Credentials are not written down.
func inBucketAt(cfg *s3.Config, dir string) whereabouts {
	secret := []string{"TYPE s3", "KEY_ID '…'", "SECRET '…'", "REGION " + quoted(cfg.Region)}
	if cfg.Endpoint != "" {
		scheme, host, _ := strings.Cut(strings.TrimSuffix(cfg.Endpoint, "/"), "://")
		secret = append(secret, "ENDPOINT "+quoted(host), fmt.Sprintf("USE_SSL %v", scheme == "https"))
		if cfg.InPath() {
			secret = append(secret, "URL_STYLE 'path'")
		}
	}
	return whereabouts{
		duckdb:     func(part string) string { return quoted(dir + "/" + part) },
		clickhouse: func(part string) string { return "deltaLake(" + escaped(cfg.URL(dir+"/"+part)) + ")" },
		spark:      func(part string) string { return escaped("s3a" + strings.TrimPrefix(dir, "s3") + "/" + part) },
		duckdbNote: "-- First, with the store's keys: CREATE SECRET (" + strings.Join(secret, ", ") + ");\n",
		note:       "-- The store's keys are the reader's own: docs/s3.md says where they go.\n",
	}
}

func (t *Table) views() map[string]string {
	dq := func(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }
	bq := func(s string) string { return "`" + strings.ReplaceAll(s, "`", "``") + "`" }
	chq := func(s string) string { return "`" + strings.NewReplacer(`\`, `\\`, "`", "\\`").Replace(s) + "`" }
	db, table := t.Claim.Table.DB, t.Claim.Table.Table
	at := t.whereabouts()
	return map[string]string{
		"duckdb.sql": fmt.Sprintf(`-- The table as it is, and the log of its changes, in DuckDB.
%[6]s-- INSTALL fetches DuckDB's extension from the Internet, once; docs/reading.md has lines that need none.
INSTALL delta; LOAD delta;
CREATE SCHEMA IF NOT EXISTS %[1]s;
CREATE OR REPLACE VIEW %[1]s.%[2]s AS SELECT * FROM delta_scan(%[4]s);
CREATE OR REPLACE VIEW %[1]s.%[3]s AS SELECT * FROM delta_scan(%[5]s);
`, dq(db), dq(table), dq(table+"__changes"), at.duckdb("current"), at.duckdb("changes"), at.duckdbNote),
		"clickhouse.sql": fmt.Sprintf(`-- The table as it is, and the log of its changes, in ClickHouse.
%[6]sCREATE DATABASE IF NOT EXISTS %[1]s;
CREATE OR REPLACE VIEW %[1]s.%[2]s AS SELECT * FROM %[4]s;
CREATE OR REPLACE VIEW %[1]s.%[3]s AS SELECT * FROM %[5]s;
`, chq(db), chq(table), chq(table+"__changes"), at.clickhouse("current"), at.clickhouse("changes"), at.note),
		"spark.sql": fmt.Sprintf(`-- The table as it is, and the log of its changes, in Spark with Delta Lake.
%[6]sCREATE SCHEMA IF NOT EXISTS %[1]s;
CREATE TABLE IF NOT EXISTS %[1]s.%[2]s USING DELTA LOCATION %[4]s;
CREATE TABLE IF NOT EXISTS %[1]s.%[3]s USING DELTA LOCATION %[5]s;
`, bq(db), bq(table), bq(table+"__changes"), at.spark("current"), at.spark("changes"), at.note),
	}
}
