package parquet

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/sinks/parquet/current"
)

// The large table has more than a row group's worth of text, in rows of which every eighth
// is as long as a page.
const (
	largeRows     = 6000
	largeText     = 2 << 10
	largeLongText = 40 << 10
)

// largeTable is a table of several files, row groups and pages whose log goes on behind a
// checkpoint.
type largeTable struct {
	t      *testing.T
	target *Table
	schema *event.Schema
	rng    *rand.Rand
	seq    event.Seq
	live   map[int]map[string]*string
	all    []map[string]*string
	images map[int]event.Image
	texts  map[int]string
}

// readLargeTable writes the large table and returns what current/ and changes/ are to show,
// with filters that bounds of files, row groups and pages serve: n goes up with every row.
func readLargeTable(t *testing.T, dir string) []*question {
	t.Helper()
	cfg := testConfig(dir)
	cfg.Current.Interval = current.Interval(time.Hour)
	cfg.Current.FileRows = largeRows / 4
	m := schemas{}
	l := &largeTable{t: t, seq: 10, rng: rand.New(rand.NewPCG(7, 7)), live: map[int]map[string]*string{}, images: map[int]event.Image{},
		texts: map[int]string{}}
	l.schema = m.add(t, event.Schema{Name: event.TableName{DB: "shop", Table: "large"}, PrimaryKey: []int{0}, Columns: []event.Column{
		{ID: 1, Name: "id", Type: event.TypeInt, Precision: 4},
		{ID: 2, Name: "n", Type: event.TypeInt, Precision: 8},
		{ID: 3, Name: "text", Type: event.TypeText, Native: "varchar(60000)"},
		{ID: 4, Name: "long", Type: event.TypeText, Native: "longtext", Nullable: true},
		{ID: 5, Name: "at", Type: event.TypeDateTime, Scale: 6},
	}})
	c := claim(m, 1)
	c.Table = l.schema.Name
	l.target = open(t, testSink(t, vfs.OS(), cfg), c)
	write(t, l.target, 0, mark(event.KindBegin, l.schema, 0, event.Mark{Seq: l.seq, Attempt: l.seq, Queues: 1}))
	l.change(0, largeRows, false)
	must[int](t)(0, l.target.current.MergeNow())
	l.change(0, largeRows/10, true)
	must[int](t)(0, l.target.current.MergeNow())
	must[int](t)(0, l.target.changes.Checkpoint(context.Background(), keepOf(l.target)))
	must[int](t)(0, l.target.current.Log().Checkpoint(context.Background(), time.Time{}))
	l.change(largeRows-20, largeRows, true)
	must[int](t)(0, l.target.current.MergeNow())

	columns := []questionColumn{{"id", "long"}, {"n", "long"}, {"text", "string"}, {"long", "string"}, {"at", "timestamp_ntz"}}
	var filters [][3]*string
	add := func(column, op, value string) { filters = append(filters, [3]*string{&column, &op, &value}) }
	for _, id := range []int{1, largeRows / 2, largeRows - 1} {
		add("id", "=", fmt.Sprint(id))
		add("n", "=", fmt.Sprint(7*id))
		add("text", "=", l.texts[id])
		add("at", "=", *l.live[id]["at"])
	}
	add("n", "<", "700")
	add("at", "<", *l.live[largeRows/2]["at"])
	add("text", "=", strings.Repeat("z", 300))
	now := &question{Path: l.target.Dir + "/current", Columns: columns, Filters: filters, name: "large/current"}
	for _, id := range sortedKeys(l.live) {
		now.want = append(now.want, l.live[id])
	}
	changes := &question{Path: l.target.Dir + "/changes", Filters: filters, name: "large/changes", want: l.all,
		Columns: append([]questionColumn{{"_seq", "long"}, {"_op", "string"}}, columns...)}
	for _, q := range []*question{now, changes} {
		for _, f := range liveFiles(t, vfs.OS(), q.Path) {
			q.Files = append(q.Files, filepath.Join(q.Path, f))
		}
		if len(q.Files) < 3 {
			t.Fatalf("%s has %d files", q.name, len(q.Files))
		}
	}
	return []*question{now, changes}
}

// change writes a row for each id from low to high, all in one commit.
func (l *largeTable) change(low, high int, again bool) {
	t := l.t
	t.Helper()
	from := l.seq
	for lo := low; lo < high; lo += 500 {
		var list []event.Row
		prev := l.seq
		for id := lo; id < min(lo+500, high); id++ {
			l.seq += 2
			img, shows := l.row(id, again)
			row := create(l.seq, uint64(id-lo), img)
			if again {
				row = update(l.seq, uint64(id-lo), l.images[id], img)
			}
			list = append(list, row)
			l.images[id], l.live[id] = img, shows
			kept := map[string]*string{"_op": show(string(row.Op)), "_seq": show(fmt.Sprint(uint64(row.Seq)))}
			for k, v := range shows {
				kept[k] = v
			}
			l.all = append(l.all, kept)
		}
		sl := rows(l.schema, prev, fmt.Sprint("tx", from, "-", lo), list...)
		sl.Txs[0].End = true
		write(t, l.target, 0, sl)
	}
	flush(t, l.target)
}

func (l *largeTable) row(id int, again bool) (event.Image, map[string]*string) {
	size := largeText
	if id%8 == 0 {
		size = largeLongText
	}
	text := l.text(size/2+l.rng.IntN(size/2), id)
	var long any
	var shown *string
	if id%3 > 0 {
		s := l.text(size, id)
		long, shown = s, show(shownText(s))
	}
	if again {
		text = "again " + text
	}
	at := event.Civil{Year: 2026, Month: 1 + id/500, Day: 1 + id%500/20, Hour: id % 20, Micro: id}
	l.texts[id] = text
	return image(l.t, l.schema, id, 7*id, text, long, at), map[string]*string{
		"id": show(fmt.Sprint(id)), "n": show(fmt.Sprint(7 * id)), "text": show(shownText(text)), "long": shown,
		"at": show(fmt.Sprintf("%04d-%02d-%02d %02d:00:00.%06d", at.Year, at.Month, at.Day, at.Hour, at.Micro))}
}

// text is as long as asked for, in bytes, and goes up with id in its first bytes.
func (l *largeTable) text(size, id int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%05d ż ", id)
	for b.Len() < size {
		fmt.Fprintf(&b, "%x", l.rng.Uint64())
	}
	return b.String()[:size]
}
