package parquet

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/sinks/parquet/current"
)

// ordersSchema is a table as order databases have them: 12 columns, about 110 bytes a row.
func ordersSchema(m schemas, t testing.TB) *event.Schema {
	return m.add(t, event.Schema{Name: tableName, PrimaryKey: []int{0}, Columns: []event.Column{
		{ID: 1, Name: "id", Type: event.TypeInt, Precision: 8},
		{ID: 2, Name: "customer_id", Type: event.TypeInt, Precision: 8},
		{ID: 3, Name: "status", Type: event.TypeEnum, Members: []string{"new", "paid", "sent", "done"}},
		{ID: 4, Name: "amount", Type: event.TypeDecimal, Precision: 12, Scale: 2},
		{ID: 5, Name: "currency", Type: event.TypeText},
		{ID: 6, Name: "created_at", Type: event.TypeDateTime, Scale: 6},
		{ID: 7, Name: "updated_at", Type: event.TypeTimestamp},
		{ID: 8, Name: "note", Type: event.TypeText, Nullable: true},
		{ID: 9, Name: "quantity", Type: event.TypeUint, Precision: 4},
		{ID: 10, Name: "weight", Type: event.TypeDouble},
		{ID: 11, Name: "tags", Type: event.TypeJSON, Nullable: true},
		{ID: 12, Name: "day", Type: event.TypeDate},
	}})
}

// ordersSlices are n slices of per rows each, of one queue.
func ordersSlices(t testing.TB, s *event.Schema, n, per int, keys int) []*event.Slice {
	var list []*event.Slice
	seq, prev := event.Seq(0), event.Seq(0)
	for i := range n {
		var rs []event.Row
		for j := range per {
			k := (i*per + j) % keys
			seq += 2
			rs = append(rs, create(seq, uint64(j), image(t, s, int64(k), int64(k%5000), 1+k%4, fmt.Sprintf("%d.%02d", k%10000, k%100), "EUR",
				event.Civil{Year: 2026, Month: 8, Day: 21, Hour: k % 24, Minute: k % 60, Second: k % 60, Micro: k % 1000000}, 1700000000000000+k*1000,
				fmt.Sprintf("note number %d of the customer", k), uint64(k%100), float64(k)*0.25, `{"channel": "web"}`, [3]int{2026, 8, 1 + k%28})))
		}
		list = append(list, rows(s, prev, fmt.Sprintf("3E11FA47-71CA-11E1-9E33-C80AA9429562:%d", i), rs...))
		prev = seq
	}
	return list
}

// BenchmarkChanges writes slices of 1000 rows into changes/ and commits every 200,000 rows.
func BenchmarkChanges(b *testing.B) {
	for _, codec := range []string{"zstd", "snappy"} {
		b.Run(codec, func(b *testing.B) {
			m := schemas{}
			s := ordersSchema(m, b)
			slices := ordersSlices(b, s, 200, 1000, 1<<40)
			bytes := 0
			for _, r := range slices[0].Rows {
				bytes += len(r.After)
			}
			b.SetBytes(int64(bytes / 1000))
			cfg := testConfig(b.TempDir())
			cfg.Compression = codec
			table := open(b, testSink(b, vfs.OS(), cfg), claim(m, 1))
			b.ResetTimer()
			b.ReportAllocs()
			done, prev, size := 0, event.Seq(0), int64(0)
			for i := 0; done < b.N; i++ {
				sl := *slices[i%len(slices)]
				lap := event.Seq(i/len(slices)) * 1_000_000
				sl.Lo, sl.Hi, sl.Prev = sl.Lo+lap, sl.Hi+lap, prev
				if i >= len(slices) {
					sl.Rows = append([]event.Row{}, sl.Rows...)
					for j := range sl.Rows {
						sl.Rows[j].Seq += lap
					}
				}
				if err := table.Write(context.Background(), queueID(0), &sl); err != nil {
					b.Fatal(err)
				}
				done, prev = done+len(sl.Rows), sl.Hi
				if i%200 == 199 {
					size += flush(b, table).Bytes
				}
			}
			size += flush(b, table).Bytes
			b.ReportMetric(float64(size)/float64(done), "fileB/row")
			b.ReportMetric(float64(done)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}

// BenchmarkMerge merges 200,000 changes into a table of a million rows.
func BenchmarkMerge(b *testing.B) {
	m := schemas{}
	s := ordersSchema(m, b)
	cfg := testConfig(b.TempDir())
	cfg.Current.Interval = current.Interval(time.Nanosecond)
	sink := testSink(b, vfs.OS(), cfg)
	table := open(b, sink, claim(m, 1))
	list := ordersSlices(b, s, 1200, 1000, 1_000_000)
	for _, sl := range list[:1000] {
		write(b, table, 0, sl)
	}
	flush(b, table)
	began := time.Now()
	if err := table.current.MergeNow(); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(1e6/time.Since(began).Seconds(), "first-rows/s")
	b.ResetTimer()
	seq := list[999].Hi
	for range b.N {
		b.StopTimer()
		for _, sl := range list[1000:] {
			c := *sl
			c.Rows = append([]event.Row{}, sl.Rows...)
			c.Prev = seq
			for j := range c.Rows {
				seq += 2
				c.Rows[j].Seq = seq
			}
			c.Lo, c.Hi = c.Rows[0].Seq, seq
			write(b, table, 0, &c)
		}
		flush(b, table)
		b.StartTimer()
		if err := table.current.MergeNow(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*1.2e6/b.Elapsed().Seconds(), "rows-rewritten/s")
}

// BenchmarkMergeGrowth merges 800,000 new rows into a table of 200,000, as a backlog does it:
// its changes take many passes, and each would read the one file that there is.
func BenchmarkMergeGrowth(b *testing.B) {
	m := schemas{}
	s := ordersSchema(m, b)
	list := ordersSlices(b, s, 1000, 1000, 1_000_000)
	for b.Loop() {
		b.StopTimer()
		cfg := testConfig(b.TempDir())
		cfg.Current.Interval = current.Interval(time.Nanosecond)
		table := open(b, testSink(b, vfs.OS(), cfg), claim(m, 1))
		for i, part := range [][]*event.Slice{list[:200], list[200:]} {
			for _, sl := range part {
				write(b, table, 0, sl)
			}
			flush(b, table)
			if i == 1 {
				b.StartTimer()
			}
			if err := table.current.MergeNow(); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(b.N)*8e5/b.Elapsed().Seconds(), "rows/s")
}
