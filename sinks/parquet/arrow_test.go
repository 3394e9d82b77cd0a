package parquet

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/big"
	"math/rand/v2"
	"path"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"

	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/pipeline/event"
)

func TestArrowSeesTheTypes(t *testing.T) {
	dir := writeCases(t, append(typeCases(), binaryCases()...))
	want := map[string]string{
		"_seq": "int64", "_op": "utf8", "_src": "utf8", "_q": "int32", "_ts": "timestamp[us, tz=UTC]", "_gen": "int64", "_below": "int64",
		"tiny": "int64", "big": "int64", "ubig": "decimal(20, 0)", "uint": "int64", "d9": "decimal(9, 2)", "d18": "decimal(18, 4)", "d38": "decimal(38, 10)",
		"d65": "utf8", "f": "float32", "dd": "float64", "day": "date32", "dt6": "timestamp[us]", "ts": "timestamp[us, tz=UTC]",
		"t": "int64", "y": "int64", "text": "utf8", "e": "utf8", "s": "utf8", "bit8": "int64", "bit64": "decimal(20, 0)", "j": "utf8", "bin": "binary", "geo": "binary",
	}
	files := liveFiles(t, vfs.OS(), dir)
	r := must[*file.Reader](t)(file.OpenParquetFile(path.Join(dir, files[0]), false))
	defer r.Close()
	ar := must[*pqarrow.FileReader](t)(pqarrow.NewFileReader(r, pqarrow.ArrowReadProperties{}, memory.DefaultAllocator))
	schema := must[*arrow.Schema](t)(ar.Schema())
	for _, f := range schema.Fields() {
		if w, ok := want[f.Name]; ok {
			if f.Type.String() != w {
				t.Errorf("%s is %s, not %s", f.Name, f.Type, w)
			}
			delete(want, f.Name)
		}
	}
	if len(want) > 0 {
		t.Errorf("columns are missing: %v", want)
	}
}

// The bounds of long decimals in row groups are those of numbers, not of bytes.
func TestDecimalBoundsAreSigned(t *testing.T) {
	for _, seed := range seeds(t, 5) {
		rng := rand.New(rand.NewPCG(seed, 1))
		m, mem := schemas{}, vfs.NewMem()
		s := m.add(t, event.Schema{Name: tableName, PrimaryKey: []int{0}, Columns: []event.Column{
			{ID: 1, Name: "id", Type: event.TypeInt, Precision: 4}, {ID: 2, Name: "d", Type: event.TypeDecimal, Precision: 30, Scale: 0, Nullable: true}}})
		table := open(t, testSink(t, mem, testConfig("lake")), claim(m, 1))
		lo, hi := (*big.Int)(nil), (*big.Int)(nil)
		var list []event.Row
		for i := range 3000 {
			if rng.IntN(5) == 0 {
				list = append(list, create(event.Seq(2*i+2), uint64(i), image(t, s, i, nil)))
				continue
			}
			n := new(big.Int).Mul(big.NewInt(rng.Int64N(1<<60)-1<<59), big.NewInt(rng.Int64N(1<<30)))
			if lo == nil || n.Cmp(lo) < 0 {
				lo = n
			}
			if hi == nil || n.Cmp(hi) > 0 {
				hi = n
			}
			list = append(list, create(event.Seq(2*i+2), uint64(i), image(t, s, i, n.String())))
		}
		write(t, table, 0, rows(s, 0, "tx", list...))
		flush(t, table)
		dir := table.Dir + "/changes"
		data := must[[]byte](t)(vfs.ReadFile(mem, path.Join(dir, liveFiles(t, mem, dir)[0])))
		r := must[*file.Reader](t)(file.NewParquetReader(bytes.NewReader(data)))
		at := r.MetaData().Schema.ColumnIndexByName("d")
		md, err := r.MetaData().RowGroup(0).ColumnChunk(at)
		if err != nil {
			t.Fatal(err)
		}
		stats, err := md.Statistics()
		if err != nil || stats == nil || !stats.HasMinMax() {
			t.Fatalf("seed %d: no bounds: %v", seed, err)
		}
		if a, b := signed(stats.EncodeMin()), signed(stats.EncodeMax()); a.Cmp(lo) != 0 || b.Cmp(hi) != 0 {
			t.Errorf("seed %d: bounds %s to %s, not %s to %s", seed, a, b, lo, hi)
		}
	}
}

// TestGoldenFile holds the bytes of a file: equal rows make equal files, on every machine
// and in every release that does not mean to change them.
func TestGoldenFile(t *testing.T) {
	const golden = "864280f1a4e15a8d"
	mem, m := vfs.NewMem(), schemas{}
	s := ordersSchema(m, t)
	cfg := testConfig("lake")
	cfg.Compression = "none"
	table := open(t, testSink(t, mem, cfg), claim(m, 1))
	for _, sl := range ordersSlices(t, s, 3, 100, 1000) {
		write(t, table, 0, sl)
	}
	flush(t, table)
	files := liveFiles(t, mem, table.Dir+"/changes")
	if len(files) != 1 || files[0] != "_dt=2026-08-21/1-0-2-600.parquet" {
		t.Fatalf("files %v", files)
	}
	data := must[[]byte](t)(vfs.ReadFile(mem, path.Join(table.Dir+"/changes", files[0])))
	sum := sha256.Sum256(data)
	if got := hex.EncodeToString(sum[:8]); got != golden {
		t.Errorf("the file's hash is %s, not %s (%d bytes)", got, golden, len(data))
	}
}

func TestViewsNameTheTable(t *testing.T) {
	mem, m := vfs.NewMem(), schemas{}
	c := claim(m, 1)
	c.Table = event.TableName{DB: "it's", Table: `a"b`}
	table := open(t, testSink(t, mem, testConfig("/lake")), c)
	for name, want := range map[string]string{
		"duckdb.sql":     `CREATE OR REPLACE MACRO "it's"."a""b__at"() AS '/lake/p/it-27s.a-22b';`,
		"clickhouse.sql": "CREATE OR REPLACE FUNCTION `it's.a\"b__at` AS () -> '/lake/p/it-27s.a-22b';",
		"spark.sql":      "SET millrace.at=`/lake/p/it-27s.a-22b`;",
	} {
		text := must[[]byte](t)(vfs.ReadFile(mem, path.Join(table.Dir, "views", name)))
		if !bytes.Contains(text, []byte("\n-- On another machine this line names the directory of the table as that machine sees it:\n"+want+"\n")) {
			t.Errorf("%s does not hold %s, or does not say what to do elsewhere:\n%s", name, want, text)
		}
		if n := bytes.Count(text, []byte("/lake/p/")); n != 1 {
			t.Errorf("%s names the directory %d times:\n%s", name, n, text)
		}
	}
}

func TestDirNamesAreShortASCIIAndDifferent(t *testing.T) {
	seen := map[string]event.TableName{}
	long := string(bytes.Repeat([]byte("ż"), 64))
	for _, n := range []event.TableName{{DB: "shop", Table: "orders"}, {DB: "a.b", Table: "c"}, {DB: "a", Table: "b.c"}, {DB: "a", Table: "b-2Ec"},
		{DB: "a", Table: "b c"}, {DB: "a", Table: "B c"}, {DB: long, Table: long}, {DB: long, Table: long + "x"}, {DB: "x", Table: "../../etc"}, {DB: "x", Table: "a/b"}} {
		d := DirName(n)
		if old, taken := seen[d]; taken {
			t.Errorf("%s and %s share the directory %s", old, n, d)
		}
		seen[d] = n
		for _, c := range d {
			if c > 126 || c == '/' || c == '%' || c == ' ' {
				t.Errorf("%s: directory %q", n, d)
			}
		}
		if len(d) > maxDirName {
			t.Errorf("%s: %d bytes", n, len(d))
		}
	}
}

func TestMaintainMergesChecksAndCleans(t *testing.T) {
	w, mem := oneQueue(t, 120), vfs.NewMem()
	sink := twinSink(t, mem)
	clock := time.Date(2026, 8, 21, 0, 0, 0, 0, time.UTC)
	sink.Now = func() time.Time { return clock }
	d := delivererTo(t, w, sink, 1)
	for range 120 {
		must[int](t)(0, d.write(0, 1))
		must[int](t)(0, d.flush())
		must[int](t)(0, d.table.Maintain(context.Background()))
	}
	clock = clock.Add(time.Hour)
	must[int](t)(0, d.table.Maintain(context.Background()))
	if snap := d.table.changes.Log().Snapshot(); snap.Checkpoint < 100 {
		t.Errorf("the newest checkpoint is at %d", snap.Checkpoint)
	}
	must[int](t)(0, d.table.current.MergeNow())
	if got, want := fmt.Sprint(shown(t, mem, d.table.Dir, w.schema)), fmt.Sprint(w.view(d.flushed)); got != want {
		t.Errorf("current/ shows %s, not %s", got, want)
	}
}

func signed(b []byte) *big.Int {
	n := new(big.Int).SetBytes(b)
	if b[0]&0x80 != 0 {
		n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(8*len(b))))
	}
	return n
}
