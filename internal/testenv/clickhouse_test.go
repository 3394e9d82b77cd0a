package testenv

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/testenv/chserver"
)

func TestADatabaseIsPutIntoADSN(t *testing.T) {
	for in, want := range map[string]string{
		"clickhouse://h:9000":                                "clickhouse://h:9000/x",
		"clickhouse://u:p%2F@h:9000/default":                 "clickhouse://u:p%2F@h:9000/x",
		"clickhouse://u:p@h1:9000,h2:9000/d?dial_timeout=1s": "clickhouse://u:p@h1:9000,h2:9000/x?dial_timeout=1s",
	} {
		if got := withDatabase(in, "x"); got != want {
			t.Errorf("%s became %s, not %s", in, got, want)
		}
	}
}

func TestLostBlocksAreFound(t *testing.T) {
	for _, c := range []struct {
		name   string
		parts  string // name min max
		newest int    // stay
		n      int
		lost   string
		says   string
	}{
		{name: "single parts", parts: "a 1 1,b 2 2,c 3 3", n: 2, lost: "b c"},
		{name: "a hole", parts: "a 1 1,b 2 2,c 3 3", newest: 1, n: 1, lost: "b"},
		{name: "a hole in a merged part", parts: "a 1 1,b 2 2,c 3 3,abc 1 3", newest: 1, n: 1, lost: "b abc"},
		{name: "a hole in a part that has nothing else", parts: "c 3 3,abc 1 3", newest: 1, n: 1, says: "part abc also holds other blocks"},
		{name: "two partitions of one insert", parts: "p1 1 1,p2 2 2", n: 2, lost: "p1 p2"},
		{name: "merged, with its sources", parts: "a 1 1,b 2 2,ab 1 2", n: 1, lost: "b ab"},
		{name: "merged twice", parts: "ab 1 2,c 3 3,abc 1 3,d 4 4", n: 2, lost: "c abc d"},
		{name: "merged, without its sources", parts: "b 2 2,ab 1 2", n: 1, says: "part ab also holds other blocks"},
		{name: "merged newest only", parts: "a 1 1,bc 2 3", n: 2, lost: "bc"},
		{name: "too many", parts: "a 1 1", n: 2, says: "it has had 1"},
		{name: "none", parts: "", n: 1, says: "it has had 0"},
		{name: "no block", parts: "a 1 1", n: 0, says: "0 blocks"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var lines string
			for line := range strings.SplitSeq(c.parts, ",") {
				if f := strings.Fields(line); len(f) == 3 {
					lines += f[0] + "\t/data/" + f[0] + "\t" + f[1] + "\t" + f[2] + "\n"
				}
			}
			parts, err := parseParts(lines)
			if err != nil {
				t.Fatal(err)
			}
			lost, err := ClickHouseLoss{Newest: c.newest, Blocks: c.n}.from(parts)
			if c.says != "" {
				if err == nil || !strings.Contains(err.Error(), c.says) {
					t.Errorf("%v; %q was expected", err, c.says)
				}
				return
			}
			var names []string
			for _, p := range lost {
				names = append(names, p.name)
			}
			if err != nil || strings.Join(names, " ") != c.lost {
				t.Errorf("%q, %v", names, err)
			}
		})
	}
}

// An archive that is not the pinned one, or is cut short, is refused before anything of it is used.
func TestAnotherLibraryIsRefused(t *testing.T) {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	if err := w.WriteHeader(&tar.Header{Name: "package/libchdb.so", Size: 4, Mode: 0o755}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte("evil")); err != nil {
		t.Fatal(err)
	}
	w.Close()
	z.Close()
	dir := t.TempDir()
	archive, to := filepath.Join(dir, "a.tgz"), filepath.Join(dir, "libchdb.so")
	if err := os.WriteFile(archive, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := unpackLibchdb(archive, to); err == nil || !strings.Contains(err.Error(), "is not what it was: SHA-512") {
		t.Errorf("%v", err)
	}
	if exists(to) {
		t.Error("it was unpacked")
	}
}

func TestARealServerLeavesOutWhatNeedsFaults(t *testing.T) {
	list := filepath.Join(t.TempDir(), "skips")
	t.Setenv("MILLRACE_SKIP_LIST", list)
	t.Setenv(realClickHouse, "clickhouse://h:9000")
	skipped := false
	t.Run("with faults", func(t *testing.T) {
		defer func() { skipped = t.Skipped() }()
		ClickHouseWithFaults(t, chserver.Options{})
	})
	b, err := os.ReadFile(list)
	if !skipped || err != nil || !strings.Contains(string(b), "with_faults needs a ClickHouse that fails when it is told to") {
		t.Errorf("skipped %v: %q, %v", skipped, b, err)
	}
}

func TestASkippedClickHouseIsListed(t *testing.T) {
	list := filepath.Join(t.TempDir(), "skips")
	t.Setenv("MILLRACE_SKIP_LIST", list)
	t.Setenv("MILLRACE_SKIP", "clickhouse")
	t.Setenv(realClickHouse, "")
	skipped := false
	t.Run("anything", func(t *testing.T) {
		defer func() { skipped = t.Skipped() }()
		ClickHouse(t)
	})
	b, err := os.ReadFile(list)
	if !skipped || err != nil || !strings.Contains(string(b), "anything needs clickhouse") {
		t.Errorf("skipped %v: %q, %v", skipped, b, err)
	}
}
