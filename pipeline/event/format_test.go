package event

import (
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

var rewrite = flag.Bool("rewrite", false, "rewrite the examples in docs/format")

const formatPage = "../../docs/format/event.md"

// TestFormatPageShowsRealBytes compares the examples of docs/format/event.md with what the
// code writes; with -rewrite it puts them there.
func TestFormatPageShowsRealBytes(t *testing.T) {
	page, err := os.ReadFile(formatPage)
	if err != nil {
		t.Fatal(err)
	}
	want := string(page)
	for name, text := range examples(t) {
		head, rest, found := strings.Cut(want, "<!-- dump "+name+" -->\n```\n")
		_, tail, closed := strings.Cut(rest, "```\n")
		if !found || !closed {
			t.Fatalf("the page has no example %q", name)
		}
		want = head + "<!-- dump " + name + " -->\n```\n" + text + "```\n" + tail
	}
	if *rewrite {
		if err := os.WriteFile(formatPage, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if want != string(page) {
		t.Errorf("docs/format/event.md does not show what the code writes; look at what changed, then run: go test ./pipeline/event -run FormatPage -args -rewrite")
	}
}

func examples(t *testing.T) map[string]string {
	t.Helper()
	s := NewSchema(TableName{"shop", "orders"}, []Column{
		{ID: 1, Name: "id", Type: TypeInt, Native: "bigint(20)", Precision: 8},
		{ID: 2, Name: "note", Type: TypeText, Native: "varchar(20)", Length: 20, Nullable: true, Charset: "utf8mb4", Collation: "utf8mb4_general_ci"},
		{ID: 5, Name: "source", Type: TypeEnum, Native: "enum('web','shop')", Members: []string{"web", "shop"}, HasDefault: true, Default: []byte{1}},
	}, []int{0})
	image := func(id int64, note any) Image {
		b := NewImageBuilder(s)
		b.Start(nil)
		b.AppendInt(id)
		if n, ok := note.(string); ok {
			b.AppendText(n)
		} else {
			b.AppendNull()
		}
		b.AppendUint(1)
		_, img, err := b.Finish()
		if err != nil {
			t.Fatal(err)
		}
		return img
	}
	at := time.UnixMicro(1700000000000000).UTC()
	rows := &Slice{
		Kind: KindRow, Table: s.Name, Schema: s.ID, Lo: MakeSeq(1, 100), Hi: MakeSeq(1, 140), Prev: MakeSeq(1, 60),
		From: Identity{"0-1-7", 0, 0}, To: TxEndIdentity("0-1-7"),
		Txs: []SliceTx{{ID: "0-1-7", CommitTime: at, End: true, EndSeq: MakeSeq(1, 140), QueueRows: 2, TableRows: 3}},
		Rows: []Row{
			{Op: OpCreate, Seq: MakeSeq(1, 100), After: image(1, "first")},
			{Op: OpUpdate, Index: 2, Seq: MakeSeq(1, 120), Before: image(-2, nil), After: image(-2, "")},
		},
	}
	id := Identity{"0-1-8", 0, PartDDL}
	ddl := &Slice{
		Kind: KindDDL, Table: s.Name, Schema: s.ID, Lo: MakeSeq(1, 142), Hi: MakeSeq(1, 142), Prev: MakeSeq(1, 140), From: id, To: id,
		Mark: &Mark{Seq: MakeSeq(1, 142), ID: id, Time: at, SQL: "ALTER TABLE orders …", Old: SchemaID{0xab}, Queues: 4, Schema: s.ID},
	}
	var keys strings.Builder
	for _, img := range []Image{image(1, "first"), image(-2, nil)} {
		for _, cols := range [][]int{{0}, {1, 0}} {
			key, err := AppendKey(nil, img, s, cols)
			if err != nil {
				t.Fatal(err)
			}
			hash, err := KeyHash(img, s, cols)
			if err != nil {
				t.Fatal(err)
			}
			text, err := AppendKeyText(nil, img, s, cols)
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&keys, "%-10s %-22s xxh64 %016x, queue %d of 4\n", text, hex.EncodeToString(key), hash, QueueOf(hash, 4))
		}
	}
	return map[string]string{
		"keys": keys.String(), "slice": sliceDump(t, rows), "ddl": sliceDump(t, ddl),
		"schema": "id " + s.ID.String() + "\n" + hex.Dump(AppendSchema(nil, s)),
	}
}

func sliceDump(t *testing.T, s *Slice) string {
	t.Helper()
	b, err := AppendSlice(nil, s)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	fmt.Fprintf(&out, "%d to %d behind %d, from %s to %s\n", s.Lo, s.Hi, s.Prev, s.From, s.To)
	for _, r := range s.Rows {
		fmt.Fprintf(&out, "%c %d index %d", r.Op, r.Seq, r.Index)
		if r.Before != nil {
			fmt.Fprintf(&out, " before %x", []byte(r.Before))
		}
		if r.After != nil {
			fmt.Fprintf(&out, " after %x", []byte(r.After))
		}
		out.WriteByte('\n')
	}
	return out.String() + hex.Dump(b)
}
