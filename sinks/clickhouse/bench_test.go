package clickhouse

import (
	"fmt"
	"testing"

	"github.com/millrace/millrace/internal/testenv"
	"github.com/millrace/millrace/pipeline/event"
)

// BenchmarkWrite encodes and flushes rows of ten columns, 100,000 a block, with the engine on
// the same machine. Rows are counted at the target.
func BenchmarkWrite(b *testing.B) {
	c := targetOn(b, testenv.ClickHouse(b))
	m := schemas{}
	s := m.add([]event.Column{
		{ID: 1, Name: "id", Type: event.TypeInt, Native: "bigint", Precision: 8}, {ID: 2, Name: "a", Type: event.TypeInt, Native: "int", Precision: 4, Nullable: true},
		text(3, "b"), text(4, "c"), {ID: 5, Name: "d", Type: event.TypeDecimal, Native: "decimal(18,2)", Precision: 18, Scale: 2},
		{ID: 6, Name: "e", Type: event.TypeDateTime, Native: "datetime(6)", Scale: 6}, {ID: 7, Name: "f", Type: event.TypeDouble, Native: "double"},
		{ID: 8, Name: "g", Type: event.TypeEnum, Native: "enum('x','y')", Members: []string{"x", "y"}},
		{ID: 9, Name: "h", Type: event.TypeDate, Native: "date", Nullable: true}, {ID: 10, Name: "i", Type: event.TypeText, Native: "varchar(20)"},
	}, 0)
	const block, message = 100_000, 500
	o := own(b, c, m, 1, false)
	seq := event.Seq(2)
	next := func() *event.Slice {
		prev := seq
		var list []event.Row
		for range message {
			seq += 2
			list = append(list, create(seq, image(b, s, i64(int64(seq)), i64(7), "some text of a row", fmt.Sprint(seq), "12345.67",
				civil(event.Civil{Year: 2026, Month: 8, Day: 21, Hour: 12, Micro: int(seq) % 1e6}), f64(float64(seq)), u64(uint64(seq)%2+1),
				date(2026, 8, int(seq)%28+1), "short")))
		}
		if prev == 2 {
			prev = 0
		}
		return rows(s, prev, list...)
	}
	bytes, n := 0, 0
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		var list []*event.Slice
		for range block / message {
			list = append(list, next())
		}
		b.StartTimer()
		o.write(0, list...)
		_, size := o.Buffered()
		bytes, n = bytes+int(size), n+block
		o.flush()
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "rows/s")
	b.SetBytes(int64(bytes / b.N))
	if got := shownCount(b, c); got != n {
		b.Fatalf("%d rows are there, %d were written", got, n)
	}
}

func shownCount(t testing.TB, c Config) (n int) {
	t.Helper()
	n = len(shows(t, c))
	return n
}
