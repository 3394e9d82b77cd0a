package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestValidateNamesAllOfAllFiles: one file with mistakes, or one that is not there, keeps
// nobody from the others; what is right is said beside it, in words and in JSON.
func TestValidateNamesAllOfAllFiles(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	const right = "version: 1\nname: NAME\nsource: {type: mysql, address: \"127.0.0.1:1\", user: u, password: p, tables: [\"shop.*\"]}\nsinks:\n- {name: lake, type: parquet, path: /nowhere}\n"
	good := write("all/good.yaml", strings.Replace(right, "NAME", "good", 1))
	bad := write("all/bad.yaml", strings.Replace(right, "NAME", "bad", 1)+"quues: 3\n")
	other := write("other.yaml", strings.Replace(right, "version: 1", "version: 7", 1))
	missing := filepath.Join(dir, "missing.yaml")
	args := []string{"pipeline", "validate", filepath.Dir(good), other, missing}

	out, status := execute(t, args...)
	for _, want := range []string{good + ": pipeline good is right", bad + ":6:1: quues", other + ":1:", missing} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in %s", want, out)
		}
	}
	if status != exitConfiguration {
		t.Errorf("status %d", status)
	}
	if _, status := execute(t, "pipeline", "validate", good, missing); status != exitEnvironment {
		t.Errorf("of one that is right and one that is not there: status %d", status)
	}
	if out, status := execute(t, "pipeline", "validate", "--json", good); status != exitOK || strings.Contains(out, "mistakes") {
		t.Errorf("of one that is right: status %d, %s", status, out)
	}

	out, status = execute(t, append(args, "--json")...)
	var all []validated
	if err := json.NewDecoder(strings.NewReader(out)).Decode(&all); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	said := map[string]validated{}
	for _, v := range all {
		said[v.File] = v
	}
	if v := said[good]; !v.Right || v.Pipeline != "good" || v.Source != "mysql" || len(v.Sinks) != 1 {
		t.Errorf("of the good one: %+v", v)
	}
	if v := said[bad]; v.Right || len(v.Mistakes) != 1 || v.Mistakes[0].Line != 6 {
		t.Errorf("of the bad one: %+v", v)
	}
	if v := said[other]; v.Right || len(v.Mistakes) == 0 {
		t.Errorf("of the other: %+v", v)
	}
	if v := said[missing]; v.Right || v.Error == "" {
		t.Errorf("of the missing one: %+v", v)
	}
	if status != exitConfiguration {
		t.Errorf("status %d", status)
	}
}
