package checkpoint

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"strings"
	"testing"
)

var rewritePage = flag.Bool("rewrite-page", false, "rewrite the examples in docs/format")

const formatPage = "../../docs/format/checkpoint.md"

// TestFormatPageShowsRealRecords compares the examples of docs/format/checkpoint.md with
// what the code writes; with -rewrite-page it puts them there. Only the line breaks and
// indents of the page are not in the messages.
func TestFormatPageShowsRealRecords(t *testing.T) {
	page, err := os.ReadFile(formatPage)
	if err != nil {
		t.Fatal(err)
	}
	record := fullRecord()
	group, err := Encode(record)
	if err != nil {
		t.Fatal(err)
	}
	s := NewState()
	s.N = record.Group.N - 1
	if err := s.Apply(record.Group); err != nil {
		t.Fatal(err)
	}
	base, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	want := string(page)
	for name, b := range map[string][]byte{"group": group, "base": base} {
		var text bytes.Buffer
		if err := json.Indent(&text, b, "", " "); err != nil {
			t.Fatal(err)
		}
		head, rest, found := strings.Cut(want, "<!-- dump "+name+" -->\n```\n")
		_, tail, closed := strings.Cut(rest, "```\n")
		if !found || !closed {
			t.Fatalf("the page has no example %q", name)
		}
		want = head + "<!-- dump " + name + " -->\n```\n" + text.String() + "\n```\n" + tail
	}
	if *rewritePage {
		if err := os.WriteFile(formatPage, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if want != string(page) {
		t.Errorf("docs/format/checkpoint.md does not show what the code writes; look at what changed, then run: go test ./pipeline/checkpoint -run FormatPage -args -rewrite-page")
	}
}
