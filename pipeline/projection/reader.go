package projection

import (
	"context"
	"fmt"
	"slices"

	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/pipeline/projection/where"
)

// SourceReader is all that verification asks of a source's reader.
type SourceReader interface {
	pipeline.Reader
	pipeline.RangeReader
	pipeline.SampleReader
	pipeline.Placed
	pipeline.OneServer
}

// Reader reads a source's rows as the pipeline is to show them.
type Reader struct {
	SourceReader
	rules    Rules
	onHidden func(context.Context, int) error
}

// NewReader puts rules around a reader of a source, whose columns have their types.
func NewReader(in SourceReader, rules Rules) *Reader {
	return &Reader{SourceReader: in, rules: rules, onHidden: func(context.Context, int) error { return nil }}
}

// OnHidden implements pipeline.SparseReader.
func (r *Reader) OnHidden(f func(context.Context, int) error) { r.onHidden = f }

// Read implements pipeline.Reader.
func (r *Reader) Read(ctx context.Context, table event.TableName, columns func([]pipeline.ReadColumn) error,
	row func([]pipeline.Cell) error) error {
	v := r.view(table, columns, row)
	if err := r.SourceReader.Read(ctx, table, v.columns, v.row); err != nil {
		return err
	}
	return r.onHidden(ctx, v.hidden)
}

// ReadAfter implements pipeline.RangeReader. Columns of keys are as the source has them.
// Where few rows of a range are shown it is several reads, each consistent for itself, until
// there are n rows or no more.
func (r *Reader) ReadAfter(ctx context.Context, table event.TableName, after []pipeline.Cell, n int,
	columns func([]pipeline.ReadColumn) error, row func([]pipeline.Cell) error) error {
	left := n
	for {
		v := r.view(table, columns, row)
		v.most = left
		if err := r.SourceReader.ReadAfter(ctx, table, after, n, v.columns, v.row); err != nil {
			return err
		}
		if err := r.onHidden(ctx, v.hidden); err != nil {
			return err
		}
		if left -= v.shown; v.read < n || left <= 0 {
			return nil
		}
		after = v.last
	}
}

// ReadKeys implements pipeline.RangeReader.
func (r *Reader) ReadKeys(ctx context.Context, table event.TableName, keys [][]pipeline.Cell,
	columns func([]pipeline.ReadColumn) error, row func([]pipeline.Cell) error) error {
	v := r.view(table, columns, row)
	return r.SourceReader.ReadKeys(ctx, table, keys, v.columns, v.row)
}

// view is one reading of a table under its rule.
type view struct {
	rule      *rule
	toColumns func([]pipeline.ReadColumn) error
	toRow     func([]pipeline.Cell) error
	most      int // rows to show, 0 is all
	all       []pipeline.ReadColumn
	filter    *where.Filter
	out       []pipeline.Cell

	read, shown, hidden int
	last                []pipeline.Cell // the key of the last row read
}

func (r *Reader) view(table event.TableName, columns func([]pipeline.ReadColumn) error, row func([]pipeline.Cell) error) *view {
	return &view{rule: r.rules.of(table), toColumns: columns, toRow: row}
}

func (v *view) columns(found []pipeline.ReadColumn) error {
	v.all = append(v.all[:0], found...)
	if !v.rule.protects() {
		return v.toColumns(found)
	}
	seen := make([]column, len(v.all))
	var shown []pipeline.ReadColumn
	for i, c := range v.all {
		seen[i] = column{name: c.Name, native: c.Type, key: c.Key, charset: c.Charset}
		if v.rule.actionOf(c.Name) != exclude {
			shown = append(shown, c)
		}
	}
	if why := v.rule.faults(seen, func(string) bool { return true }); why != "" {
		return fmt.Errorf("table %s: %s", v.rule.table, why)
	}
	v.filter, _ = v.rule.filter(seen)
	return v.toColumns(shown)
}

func (v *view) row(cells []pipeline.Cell) error {
	v.read++
	if v.most > 0 && v.shown == v.most {
		return nil
	}
	if v.filter != nil {
		if v.most > 0 {
			v.remember(cells)
		}
		leaves, err := v.filter.Cells(cells)
		if err != nil {
			return fmt.Errorf("table %s: %w", v.rule.table, err)
		}
		if !leaves {
			v.hidden++
			return nil
		}
	}
	v.shown++
	if !v.rule.protects() {
		return v.toRow(cells)
	}
	v.out = v.out[:0]
	for i, c := range cells {
		if a := v.rule.actionOf(v.all[i].Name); a != exclude {
			v.out = append(v.out, v.rule.cell(a, v.all[i].Type, c))
		}
	}
	return v.toRow(v.out)
}

// remember keeps a row's key.
func (v *view) remember(cells []pipeline.Cell) {
	v.last = v.last[:0]
	for i, c := range cells {
		if v.all[i].Key {
			v.last = append(v.last, pipeline.Cell{Null: c.Null, Text: slices.Clone(c.Text)})
		}
	}
}
