package parquet

import (
	"context"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/sinks/parquet/current"
	"github.com/millrace/millrace/sinks/parquet/file"
	"github.com/millrace/millrace/sinks/parquet/readback"
)

// The readers that pipeline verify has find the columns under their source names.
func TestReadbackFindsSourceNames(t *testing.T) {
	dir, m := t.TempDir(), schemas{}
	s := m.add(t, event.Schema{Name: tableName, PrimaryKey: []int{0}, Columns: []event.Column{
		{ID: 1, Name: "_SEQ", Type: event.TypeInt, Precision: 4}, {ID: 2, Name: "a day;", Type: event.TypeDate, Nullable: true}}})
	cfg := testConfig(dir)
	cfg.Current.Interval = current.Interval(time.Nanosecond)
	table := open(t, testSink(t, vfs.OS(), cfg), claim(m, 1))
	write(t, table, 0, rows(s, 0, "tx", create(2, 0, image(t, s, 1, [3]int{2026, 0, 0})), create(4, 1, image(t, s, 2, [3]int{2026, 8, 21}))))
	flush(t, table)
	must[int](t)(0, table.current.MergeNow())
	r := readback.New(dir, "p")
	var columns []pipeline.ReadColumn
	var got []string
	err := r.Read(context.Background(), tableName, func(c []pipeline.ReadColumn) error {
		columns = append(columns, c...)
		return nil
	}, func(cells []pipeline.Cell) error {
		var parts []string
		for _, c := range cells {
			parts = append(parts, string(c.Text))
		}
		got = append(got, strings.Join(parts, "|"))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(got)
	if want := []string{"1||2026-00-00|2", "2|2026-08-21||4"}; !slices.Equal(got, want) {
		t.Errorf("rows %q, not %q", got, want)
	}
	want := []pipeline.ReadColumn{{Name: "_SEQ"}, {Name: "a day;"}, {Name: "a%20day%3B" + file.RawSuffix, RawOf: "a day;"},
		{Name: file.ColSeq, Own: true}}
	if !slices.Equal(columns, want) {
		t.Errorf("columns %+v", columns)
	}
	if path.Base(table.Dir) != "shop.orders" {
		t.Errorf("directory %s", table.Dir)
	}
}
