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

// whereabouts is how other engines name the table's directory, each as its own expression,
// and what stands before: what a person must know, as comments, and the line that names a
// directory of this machine, once.
type whereabouts struct {
	duckdb, clickhouse, spark       func(part string) string
	atDuckDB, atClickHouse, atSpark string
}

func quoted(s string) string      { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
func escaped(s string) string     { return "'" + escapedText(s) + "'" }
func escapedText(s string) string { return strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) }

// The names of things as DuckDB, Spark and ClickHouse quote them.
func dq(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }
func bq(s string) string { return "`" + strings.ReplaceAll(s, "`", "``") + "`" }
func chq(s string) string {
	return "`" + strings.NewReplacer(`\`, `\\`, "`", "\\`").Replace(s) + "`"
}

func (t *Table) whereabouts() whereabouts {
	if t.Bucket != nil {
		return inBucketAt(t.Bucket, t.Dir)
	}
	root := t.Dir
	if abs, err := filepath.Abs(root); err == nil {
		root = abs
	}
	name := t.Claim.Table
	macro := dq(name.DB) + "." + dq(name.Table+"__at") + "()"
	function := chq(name.String() + "__at")
	return whereabouts{
		duckdb:       func(part string) string { return "delta_scan(" + macro + " || '/" + part + "')" },
		clickhouse:   func(part string) string { return "deltaLakeLocal(concat(" + function + "(), '/" + part + "'))" },
		spark:        func(part string) string { return "'${millrace.at}/" + part + "'" },
		atDuckDB:     elsewhere + "CREATE OR REPLACE MACRO " + macro + " AS " + quoted(root) + ";\n",
		atClickHouse: elsewhere + "CREATE OR REPLACE FUNCTION " + function + " AS () -> " + escaped(root) + ";\n",
		atSpark:      elsewhere + "SET millrace.at=`" + strings.ReplaceAll(escapedText(root), "`", "``") + "`;\n",
	}
}

// elsewhere is said before the line with a directory of this machine.
const elsewhere = "-- On another machine this line names the directory of the table as that machine sees it:\n"

const keysElsewhere = "-- The store's keys are the reader's own: docs/s3.md says where they go.\n"

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
		duckdb:       func(part string) string { return "delta_scan(" + quoted(dir+"/"+part) + ")" },
		clickhouse:   func(part string) string { return "deltaLake(" + escaped(cfg.URL(dir+"/"+part)) + ")" },
		spark:        func(part string) string { return escaped("s3a" + strings.TrimPrefix(dir, "s3") + "/" + part) },
		atDuckDB:     "-- First, with the store's keys: CREATE SECRET (" + strings.Join(secret, ", ") + ");\n",
		atClickHouse: keysElsewhere, atSpark: keysElsewhere,
	}
}

func (t *Table) views() map[string]string {
	db, table := t.Claim.Table.DB, t.Claim.Table.Table
	at := t.whereabouts()
	return map[string]string{
		"duckdb.sql": fmt.Sprintf(`-- The table as it is, and the log of its changes, in DuckDB.
-- INSTALL fetches DuckDB's extension from the Internet, once; docs/reading.md has lines that need none.
INSTALL delta;
LOAD delta;
CREATE SCHEMA IF NOT EXISTS %[1]s;
%[6]sCREATE OR REPLACE VIEW %[1]s.%[2]s AS SELECT * FROM %[4]s;
CREATE OR REPLACE VIEW %[1]s.%[3]s AS SELECT * FROM %[5]s;
`, dq(db), dq(table), dq(table+"__changes"), at.duckdb("current"), at.duckdb("changes"), at.atDuckDB),
		"clickhouse.sql": fmt.Sprintf(`-- The table as it is, and the log of its changes, in ClickHouse.
%[6]sCREATE DATABASE IF NOT EXISTS %[1]s;
CREATE OR REPLACE VIEW %[1]s.%[2]s AS SELECT * FROM %[4]s;
CREATE OR REPLACE VIEW %[1]s.%[3]s AS SELECT * FROM %[5]s;
`, chq(db), chq(table), chq(table+"__changes"), at.clickhouse("current"), at.clickhouse("changes"), at.atClickHouse),
		"spark.sql": fmt.Sprintf(`-- The table as it is, and the log of its changes, in Spark with Delta Lake.
%[6]sCREATE SCHEMA IF NOT EXISTS %[1]s;
CREATE TABLE IF NOT EXISTS %[1]s.%[2]s USING DELTA LOCATION %[4]s;
CREATE TABLE IF NOT EXISTS %[1]s.%[3]s USING DELTA LOCATION %[5]s;
`, bq(db), bq(table), bq(table+"__changes"), at.spark("current"), at.spark("changes"), at.atSpark),
	}
}
