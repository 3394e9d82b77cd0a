package clickhouse

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/config"
	"github.com/millrace/millrace/internal/testenv"
	"github.com/millrace/millrace/internal/testenv/chserver"
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

// BenchmarkTheViewWithDeletedRows is what a query of the view costs the server, of 2,000,000 rows
// of which a fifth has been deleted: with the marks in a part of their own, merged, and behind
// their removal, beside what it costs where nothing was deleted and what the table costs
// without FINAL. The time is the server's CPU, a query.
func BenchmarkTheViewWithDeletedRows(b *testing.B) {
	const all, gone = 2_000_000, 400_000
	ch := testenv.ClickHouseWithFaults(b, chserver.Options{})
	c, m := targetOn(b, ch.ClickHouseDatabase), schemas{}
	c.Rewind = config.Duration(1)
	s := m.add([]event.Column{number(1, "id", 8), number(2, "v", 8)}, 0)
	admin := func(format string, a ...any) string {
		b.Helper()
		out, err := ch.Admin(b.Context(), fmt.Sprintf(format, a...))
		if err != nil {
			b.Fatal(err)
		}
		return strings.TrimSpace(out)
	}
	table := c.Database + ".orders" + suffix
	o := own(b, c, m, 1, false).write(0, rows(s, 0, create(2, image(b, s, -1, 0)))).flush()
	admin("SYSTEM STOP MERGES %s", table)
	fill := func(n, first, del int) {
		admin("INSERT INTO %s (id, v, _seq, _del, _q, _gen, _ts) SELECT number * %d, number, %d + 2 * number, %d, 0, 1, now64(6) FROM numbers(%d) "+
			"SETTINGS max_block_size = 3000000, max_insert_block_size = 3000000", table, all/n, first, del, n)
	}
	query := func(name, of string, rows int) {
		b.Run(name, func(b *testing.B) {
			before := cpuOf(b, ch.Pid())
			for b.Loop() {
				if got := admin("SELECT count() FROM (SELECT sum(v), count() AS n FROM %s HAVING n = %d)", of, rows); got != "1" {
					b.Fatalf("it is not %d rows", rows)
				}
			}
			b.ReportMetric(1000*(cpuOf(b, ch.Pid())-before)/float64(b.N), "cpu-ms/query")
		})
	}
	fill(all, 100, 0)
	query("nothing is deleted", c.Database+".orders", all+1)
	query("nothing is deleted, without FINAL", table, all+1)
	fill(gone, 10_000_000, 1)
	query("marks apart", c.Database+".orders", all-gone+1)
	admin("SYSTEM START MERGES %s", table)
	admin("OPTIMIZE TABLE %s FINAL", table)
	query("merged", c.Database+".orders", all-gone+1)
	const later = 20_000_000
	for i := range 3 {
		prev := event.Seq(2)
		if i > 0 {
			prev = later + event.Seq(i-1)
		}
		o.minutesLater(i).write(0, rows(s, prev, create(later+event.Seq(i), image(b, s, -1, i)))).flush()
	}
	before := cpuOf(b, ch.Pid())
	if err := o.minutes(ch, 6); err != nil {
		b.Fatal(err)
	}
	b.Logf("the removal took %.1f s of CPU", cpuOf(b, ch.Pid())-before)
	if left := physical(b, ch, Config{Database: c.Database, Table: "orders"}); !strings.HasSuffix(left, "\t0") {
		b.Fatalf("on the disk are %s", left)
	}
	query("removed", c.Database+".orders", all-gone+1)
}

// cpuOf is how many seconds of CPU a process has used.
func cpuOf(b *testing.B, pid int) float64 {
	b.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		b.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	f, ticks := strings.Fields(rest), 0
	for _, text := range f[11:13] { // utime and stime
		n, err := strconv.Atoi(text)
		if err != nil {
			b.Fatal(err)
		}
		ticks += n
	}
	return float64(ticks) / 100
}
