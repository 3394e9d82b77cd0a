package broker

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the table of docs/import.md")

func TestForeignKeysAreRefusedByWhatTheyAskFor(t *testing.T) {
	for _, c := range []struct{ line, says string }{
		{"enableDLegerCommitLog=true", "DLedger"},
		{"storeType=defaultRocksDB", "RocksDB"},
		{"enableControllerMode=true", "controller"},
		{"aclEnable=TRUE", "ACL"},
		{"authenticationEnabled=true", "who they are"},
		{"authorizationEnabled=true", "allowed"},
		{"messageDelayLevel=1s 5s", "delay levels"},
		{"duplicationEnable=true", "second broker"},
		{"brokerPermission=4", "no messages"},
		{"cleanFileForciblyEnable=false", "disk"},
		{"inSyncReplicas=2", "acknowledged"},
		{"readOnlyCommitLogStorePaths=/a,/b", "one directory"},

		{"enableDLegerCommitLog=false", ""},
		{"storeType=default", ""},
		{"aclEnable=false", ""},
		{"messageDelayLevel=1s 5s 10s 30s 1m 2m 3m 4m 5m 6m 7m 8m 9m 10m 20m 30m 1h 2h", ""},
		{"inSyncReplicas=1", ""},
		{"brokerPermission=6", ""},
		{"cleanFileForciblyEnable=true", ""},
		{"sendMessageThreadPoolNums=16", ""},
		{"deleteWhen=04", ""},
	} {
		key, value, _ := strings.Cut(c.line, "=")
		err := RefuseForeign(key, value)
		switch {
		case c.says == "" && err != nil:
			t.Errorf("%s: %v", c.line, err)
		case c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), key)):
			t.Errorf("%s: %v, want it to say %q", c.line, err, c.says)
		}
	}
}

func TestEveryForeignKeySaysWhatToDo(t *testing.T) {
	seen := map[string]bool{}
	for _, k := range ForeignKeys() {
		if k.Means == "" || k.Remedy == "" || k.matters == nil || seen[k.Key] {
			t.Errorf("%+v", k)
		}
		seen[k.Key] = true
	}
}

// TestTheImportPageListsThem compares the page with the table.
func TestTheImportPageListsThem(t *testing.T) {
	page, err := os.ReadFile("../docs/import.md")
	if err != nil {
		t.Fatal(err)
	}
	const head = "| key | means | remedy |\n|---|---|---|\n"
	before, _, ok := strings.Cut(string(page), head)
	if !ok {
		t.Fatal("docs/import.md has no table of keys")
	}
	want := before + head
	for _, k := range ForeignKeys() {
		want += fmt.Sprintf("| `%s` | %s | %s |\n", k.Key, k.Means, k.Remedy)
	}
	if string(page) == want {
		return
	}
	if *update {
		if err := os.WriteFile("../docs/import.md", []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Error("docs/import.md does not list the keys that refuse the start; write it with: go test ./broker -run ImportPage -update")
}
