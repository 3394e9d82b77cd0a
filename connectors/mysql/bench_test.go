package mysql

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/millrace/millrace/connectors/mysql/stream"
)

// replayed finds in a recorded log what announces its tables, and one transaction with rows
// of a captured table.
func replayed(b *testing.B, kind string) (before, tx []stream.Event) {
	b.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", kind+".binlog"))
	if err != nil {
		b.Fatal(err)
	}
	events, err := stream.ParseFile("binlog.000001", raw)
	if err != nil {
		b.Fatal(err)
	}
	begun := 0
	for i := range events {
		switch events[i].Type {
		case stream.GTIDEvent, stream.MariaGTIDEvent:
			begun = i
		case stream.XIDEvent:
			return events[:begun], events[begun : i+1]
		}
	}
	b.Fatal("the log has no transaction")
	return nil, nil
}

// BenchmarkTransactions reads small transactions, from the framed event to the item.
func BenchmarkTransactions(b *testing.B) {
	for _, kind := range []string{"mariadb", "mysql"} {
		b.Run(kind, func(b *testing.B) {
			before, tx := replayed(b, kind)
			o := offline(b, kind == "mariadb", "g.*")
			for i := range before {
				if err := feed(o, &before[i]); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportAllocs()
			for b.Loop() {
				o.out, o.buf = o.out[:0], o.buf[:0]
				for i := range tx {
					if err := feed(o, &tx[i]); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}

// BenchmarkLargeTransaction reads a transaction of 20,000 row events; what does not fit
// into a mebibyte goes through a file.
func BenchmarkLargeTransaction(b *testing.B) {
	before, tx := replayed(b, "mysql")
	o := offline(b, false, "g.*")
	for i := range before {
		if err := feed(o, &before[i]); err != nil {
			b.Fatal(err)
		}
	}
	last := len(tx) - 1
	size := 0
	for i := range tx[1:last] {
		size += len(tx[1+i].Body)
	}
	const repeats = 20_000
	b.SetBytes(int64(size * repeats))
	b.ReportAllocs()
	for b.Loop() {
		if err := feed(o, &tx[0]); err != nil {
			b.Fatal(err)
		}
		for range repeats {
			for i := range tx[1:last] {
				if tx[1+i].Type != stream.QueryEvent {
					if err := feed(o, &tx[1+i]); err != nil {
						b.Fatal(err)
					}
				}
			}
		}
		if err := feed(o, &tx[1]); err != nil { // BEGIN, whose place does not matter here
			b.Fatal(err)
		}
		o.out, o.buf = o.out[:0], o.buf[:0]
		if err := feed(o, &tx[last]); err != nil {
			b.Fatal(err)
		}
	}
}
