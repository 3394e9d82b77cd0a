package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/testenv"
)

// build makes the binary under test.
func build(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "millrace")
	cmd := exec.Command("go", "build", "-o", binary, "github.com/millrace/millrace/cmd/millrace")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return binary
}

// seedOf is the workload's seed: MILLRACE_SEED, or a new one that is printed.
func seedOf(t *testing.T) uint64 {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if given, err := strconv.ParseUint(os.Getenv("MILLRACE_SEED"), 10, 64); err == nil {
		seed = given
	}
	t.Logf("MILLRACE_SEED=%d", seed)
	return seed
}

// small is the demo with fewer rows: enough for a snapshot that can be interrupted and a
// transaction that is many groups long.
func small(t *testing.T) options {
	if testenv.MaySkip("mariadb") {
		testenv.Missing(t, "mariadb", fmt.Errorf("left out by MILLRACE_SKIP"))
	}
	return options{binary: build(t), config: "../../configs/demo", rows: 200_000, steady: 2 * time.Second, seed: seedOf(t)}
}

// deltaRead prints, for each table, the rows of both of its parts as delta-rs sees them,
// and the identities in changes/.
const deltaRead = `
import json, os, sys
from deltalake import DeltaTable
root, out = sys.argv[1], {}
for name in sorted(n for n in os.listdir(root) if not n.startswith("_")):
    parts = {}
    for part in ("changes", "current"):
        table = DeltaTable(os.path.join(root, name, part)).to_pyarrow_table()
        parts[part] = table.num_rows
        if part == "changes":
            parts["identities"] = len(set(table.column("_src").to_pylist()))
        elif "channel" in table.column_names:
            parts["channel_nulls"] = table.column("channel").null_count
    out[name] = parts
print(json.dumps(out))
`

func TestSourceAndTargetAreEqualAfterTwoKills(t *testing.T) { equalAfterKills(t, small(t)) }

// TestALakeInABucketIsEqualAfterKills kills millrace twice, and the store once.
func TestALakeInABucketIsEqualAfterKills(t *testing.T) {
	if testenv.MaySkip("s3") {
		testenv.Missing(t, "s3", fmt.Errorf("left out by MILLRACE_SKIP"))
	}
	o := small(t)
	o.s3, o.config = true, "../../configs/demo-s3"
	equalAfterKills(t, o)
}

// equalAfterKills plays the demo and has delta-rs look at the lake as well.
func equalAfterKills(t *testing.T, o options) {
	reader := testenv.NewDeltalake(t)
	o.inspect = func(ctx context.Context, s *scene) error {
		out, err := reader.Run(ctx, deltaRead, s.lake.dir)
		if err != nil {
			return err
		}
		var tables map[string]map[string]int64
		if err := json.Unmarshal(out, &tables); err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		if len(tables) != len(fills) {
			return fmt.Errorf("delta-rs sees %d tables: %v", len(tables), tables)
		}
		for name, parts := range tables {
			var inSource int64
			if err := s.db.QueryRowContext(ctx, "SELECT COUNT(*) FROM "+name).Scan(&inSource); err != nil {
				return err
			}
			if parts["current"] != inSource || parts["identities"] != parts["changes"] || parts["channel_nulls"] != 0 {
				return fmt.Errorf("%s: %d rows in the source, delta-rs sees %v", name, inSource, parts)
			}
		}
		return nil
	}
	right, err := demo(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if !right {
		t.Error("source and target differ")
	}
}

func TestOneAlteredRowIsSeen(t *testing.T) { oneAlteredRowIsSeen(t, small(t)) }

// TestClickHouseIsEqualAfterKills kills millrace twice and ClickHouse once, which hears of
// definitions that changed meanwhile; a lake goes on beside it.
func TestClickHouseIsEqualAfterKills(t *testing.T) { equalAfterKills(t, withClickHouse(t)) }

func TestOneAlteredRowOfClickHouseIsSeen(t *testing.T) { oneAlteredRowIsSeen(t, withClickHouse(t)) }

func withClickHouse(t *testing.T) options {
	if testenv.MaySkip("clickhouse") {
		testenv.Missing(t, "clickhouse", fmt.Errorf("left out by MILLRACE_SKIP"))
	}
	o := small(t)
	o.clickhouse, o.config = true, "../../configs/demo-clickhouse"
	return o
}

// oneAlteredRowIsSeen wants both readers to see it.
func oneAlteredRowIsSeen(t *testing.T, o options) {
	o.alter = true
	right, err := demo(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if right {
		t.Error("a row of the target was altered and nobody saw it")
	}
}
