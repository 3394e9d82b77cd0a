package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/testenv"
)

// built is the binary under test, built once for all tests of the package.
var built struct {
	once sync.Once
	dir  string
	err  error
}

func build() (string, error) {
	built.once.Do(func() {
		if built.dir, built.err = os.MkdirTemp("", "millrace-demo-test-"); built.err != nil {
			return
		}
		out, err := exec.Command("go", "build", "-o", built.dir, "github.com/millrace/millrace/cmd/millrace").CombinedOutput()
		if err != nil {
			built.err = fmt.Errorf("build: %w\n%s", err, out)
		}
	})
	return filepath.Join(built.dir, "millrace"), built.err
}

func TestMain(m *testing.M) {
	code := m.Run()
	if built.dir != "" {
		_ = os.RemoveAll(built.dir)
	}
	os.Exit(code)
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
	binary, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return options{binary: binary, config: "../../configs/demo", rows: 200_000, steady: 2 * time.Second, seed: seedOf(t)}
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

// TestSourceAndTargetAreEqualAfterTwoKills has a row altered once they are equal.
func TestSourceAndTargetAreEqualAfterTwoKills(t *testing.T) {
	equalAfterKills(t, small(t), alteredIsSeen)
}

// TestALakeInABucketIsEqualAfterKills kills millrace twice, and the store once.
func TestALakeInABucketIsEqualAfterKills(t *testing.T) {
	if testenv.MaySkip("s3") {
		testenv.Missing(t, "s3", fmt.Errorf("left out by MILLRACE_SKIP"))
	}
	o := small(t)
	o.s3, o.config = true, "../../configs/demo-s3"
	equalAfterKills(t, o)
}

// equalAfterKills plays the demo, has delta-rs look at the lake as well, and then whoever
// else is to see the scene.
func equalAfterKills(t *testing.T, o options, then ...func(context.Context, *scene) error) {
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
		for _, look := range then {
			if err := look(ctx, s); err != nil {
				return err
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

// alteredIsSeen compares once more, as --alter does: both readers are to see what is altered.
func alteredIsSeen(ctx context.Context, s *scene) error {
	s.alter = true
	right, err := s.check(ctx)
	if err == nil && right {
		err = errors.New("a row of the target was altered and nobody saw it")
	}
	return err
}

// TestClickHouseIsEqualAfterKills kills millrace twice and ClickHouse once, which hears of
// definitions that changed meanwhile; a lake goes on beside it. Then a row of ClickHouse is
// altered.
func TestClickHouseIsEqualAfterKills(t *testing.T) {
	equalAfterKills(t, withClickHouse(t), alteredIsSeen)
}

func withClickHouse(t *testing.T) options {
	if testenv.MaySkip("clickhouse") {
		testenv.Missing(t, "clickhouse", fmt.Errorf("left out by MILLRACE_SKIP"))
	}
	o := small(t)
	o.clickhouse, o.config = true, "../../configs/demo-clickhouse"
	return o
}
