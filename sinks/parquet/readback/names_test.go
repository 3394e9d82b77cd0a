package readback

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestANameThatIsTwoColumnsIsRefused has the two tables of a lake call other columns the same.
func TestANameThatIsTwoColumnsIsRefused(t *testing.T) {
	const (
		mine = `{\"name\":\"d__raw\",\"type\":\"string\",\"metadata\":{\"millrace.id\":\"3\",\"millrace.name\":\"d__raw\"}}`
		text = `{\"name\":\"D__raw\",\"type\":\"string\",\"metadata\":{\"millrace.id\":\"2\",\"millrace.rawOf\":\"d\"}}`
	)
	meta := func(id, fields string) string {
		return `{"metaData":{"id":"` + id + `","schemaString":"{\"fields\":[` + fields + `]}","partitionColumns":[],"configuration":{}}}`
	}
	const merge = `{"domainMetadata":{"domain":"millrace.merge","configuration":"{\"changes\":\"log\",\"version\":0}","removed":false}}`
	for _, c := range []struct{ name, current, changes, want string }{
		{"the same", meta("now", mine), meta("log", mine), ""},
		{"another's", meta("now", mine), meta("log", text), "the column d__raw is the source's d__raw in current/ and the text of the source's d in changes/"},
		{"of a log that is not the one that was merged", meta("now", mine), meta("other", text), ""},
		{"a technical one", meta("now", `{\"name\":\"_seq\",\"type\":\"long\",\"metadata\":{}}`), meta("log", `{\"name\":\"_seq\",\"type\":\"long\",\"metadata\":{}}`), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			root, dir := foreignTable(t, c.current, merge)
			log := filepath.Join(filepath.Dir(dir), "changes", "_delta_log")
			if err := os.MkdirAll(log, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(log, "00000000000000000000.json"), []byte(c.changes), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := rowsOf(t, root)
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("no %q in %v", c.want, err)
			}
		})
	}
}
