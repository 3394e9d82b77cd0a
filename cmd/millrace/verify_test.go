package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/testenv"
)

// TestATableThatCannotBeReadDoesNotEndTheOthers has three tables: one whose log in the lake is
// damaged, one that the lake does not have, and one with an index over an expression.
func TestATableThatCannotBeReadDoesNotEndTheOthers(t *testing.T) {
	server, dir := testenv.MySQL(t), t.TempDir()
	db, err := server.Open("")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, s := range []string{"CREATE DATABASE shop", "CREATE TABLE shop.broken (id INT PRIMARY KEY)", "CREATE TABLE shop.gone (id INT PRIMARY KEY)",
		"INSERT INTO shop.gone VALUES (1), (2)", "CREATE TABLE shop.fn (s VARCHAR(10), id INT PRIMARY KEY)", "CREATE UNIQUE INDEX a ON shop.fn ((CONCAT(s, id)))"} {
		if _, err := db.ExecContext(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
	log := filepath.Join(dir, "lake", "shop", "shop.broken", "current", "_delta_log")
	if err := os.MkdirAll(log, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(log, "00000000000000000000.json"), []byte("{\"add\": 7}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "shop.yaml")
	text := fmt.Sprintf("version: 1\nname: shop\nsource: {type: mysql, address: %q, user: root, tables: [shop.*]}\nsinks: [{name: lake, type: parquet, path: %s}]\n",
		server.Addr, filepath.Join(dir, "lake"))
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	out, status := execute(t, "pipeline", "verify", "--wait", "1ms", "--quiet", file)
	if status != exitRuntime {
		t.Errorf("status %d", status)
	}
	for _, want := range []string{"shop.broken", "UNREADABLE: read shop.broken from the target: commit ", "shop.fn", "shop.gone", "the target does not have the table", "only in the source: id=1"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	if out, status = execute(t, "pipeline", "verify", "--table", "shop.nosuch", file); status != exitRuntime ||
		!strings.Contains(out, "captures no table shop.nosuch") {
		t.Errorf("status %d: %s", status, out)
	}
	out, status = execute(t, "pipeline", "verify", "--wait", "1ms", "--quiet", "--sample", "50%", "--seed", "7", file)
	if want := "BEHIND: sampled 2 of about 2 rows (seed 7): the target does not have the table"; status != exitRuntime ||
		!strings.Contains(out, want) || strings.Contains(out, "equal") {
		t.Errorf("status %d, no %q in\n%s", status, want, out)
	}
	out, _ = execute(t, "pipeline", "verify", "--wait", "1ms", "--quiet", "--sample", "1", "--json", "--table", "shop.gone", file)
	if !strings.Contains(out, `"sample": {`) || !strings.Contains(out, `"of_about": 2`) || strings.Contains(out, `"seed": 0`) {
		t.Errorf("%s", out)
	}
	orphan := filepath.Join(dir, "lake", "shop", "shop.dropped", "current", "_delta_log")
	if err := os.MkdirAll(orphan, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(orphan, "00000000000000000000.json"), []byte("{}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, _ = execute(t, "pipeline", "verify", "--wait", "1ms", "--quiet", file)
	if !strings.Contains(out, "shop.dropped") || !strings.Contains(out, "orphan: the target has the table, and the source does not") {
		t.Errorf("a table that only the target has is not named:\n%s", out)
	}
	out, status = execute(t, "pipeline", "verify", "--wait", "1ms", "--quiet", "--json", "--table", "shop.dropped", file)
	if status != exitOK || !strings.Contains(out, `"state": "orphan"`) || !strings.Contains(out, `"orphaned": "the target has`) ||
		strings.Contains(out, "shop.gone") {
		t.Errorf("status %d: %s", status, out)
	}
	for args, want := range map[string]string{
		"--sample 0": `--sample "0" is neither a number of rows`, "--sample 101%": `--sample "101%" is neither`,
		"--seed 5": "--seed chooses a sample: it needs --sample", "--history --sample 5": "--history compares whole tables",
	} {
		if out, status := execute(t, append([]string{"pipeline", "verify", file}, strings.Fields(args)...)...); status != exitConfiguration ||
			!strings.Contains(out, want) {
			t.Errorf("%s: status %d: %s", args, status, out)
		}
	}
}
