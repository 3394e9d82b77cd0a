package store

import (
	"encoding/hex"
	"fmt"
	"os"
	"path"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/message"
)

// The pages in docs/format show bytes; these are the bytes. MILLRACE_UPDATE=1 writes the
// pages anew.
func TestFormatPagesShowRealBytes(t *testing.T) {
	fsys := vfs.NewMem()
	synctest.Test(t, func(t *testing.T) { // in a bubble the clock starts at a fixed time
		cfg := testConfig("/store")
		cfg.FileSizeCommitLog, cfg.FileSizeConsumeQueue = 1024, 20*4
		cfg.IndexSlots, cfg.IndexEntries = 4, 8
		cfg.PreWriteBytes = 0
		s := start(t, fsys, cfg)
		s.mustPut(testRecord("orders", 0, "first of queue 0"))
		s.mustPut(testRecord("orders", 1, "first of queue 1", message.PropertyKeys, "k1"))
		s.mustPut(testRecord("orders", 0, "second of queue 0", message.PropertyTags, "paid", message.PropertyKeys, "k1 k2"))
		s.mustPut(testRecord("orders", 1, strings.Repeat("x", 640)))
		s.settle()
		s.mustStop()
	})
	for _, page := range []struct{ name, dir string }{
		{"commitlog", "/store/commitlog"}, {"consumequeue", "/store/consumequeue/orders"}, {"index", "/store/index"},
	} {
		t.Run(page.name, func(t *testing.T) {
			comparePage(t, page.name, dump(t, fsys, page.dir))
		})
	}
}

func comparePage(t *testing.T, name, want string) {
	file := "../../docs/format/" + name + ".md"
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok := strings.Cut(string(b), "<!-- dump "+name+" -->\n")
	got, tail, ok2 := strings.Cut(rest, "<!-- end -->")
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the dump", file)
	}
	want = "```\n" + want + "```\n"
	if got == want {
		return
	}
	if os.Getenv("MILLRACE_UPDATE") == "" {
		t.Fatalf("%s shows\n%s\nbut the bytes are\n%s", file, got, want)
	}
	page := head + "<!-- dump " + name + " -->\n" + want + "<!-- end -->" + tail
	if err := os.WriteFile(file, []byte(page), 0o644); err != nil {
		t.Fatal(err)
	}
}

var indexName = regexp.MustCompile(`\d{17}$`) // a local time

// dump shows the files below dir, each line that equals the one before left out.
func dump(t *testing.T, fsys vfs.FS, dir string) string {
	var out strings.Builder
	names, err := fsys.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range names {
		name := path.Join(dir, n)
		if info, err := fsys.Stat(name); err == nil && info.IsDir() {
			out.WriteString(dump(t, fsys, name))
			continue
		}
		b, err := vfs.ReadFile(fsys, name)
		if err != nil {
			t.Fatal(err)
		}
		short := strings.TrimPrefix(name, "/store/")
		if len(n) == 17 {
			short = indexName.ReplaceAllString(short, "yyyyMMddHHmmssSSS")
		}
		fmt.Fprintf(&out, "%s, %d bytes\n", short, len(b))
		last := ""
		for at, line := range strings.SplitAfter(hex.Dump(b), "\n") {
			bytes := line[min(len(line), 10):]
			if bytes == last && bytes != "" {
				if at == 0 || !strings.HasSuffix(out.String(), "*\n") {
					out.WriteString("*\n")
				}
				continue
			}
			out.WriteString(line)
			last = bytes
		}
	}
	return out.String()
}
