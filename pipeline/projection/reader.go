package projection

import (
	"context"
	"fmt"

	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
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
	rules Rules
}

// NewReader puts rules around a reader of a source, whose columns have their types.
func NewReader(in SourceReader, rules Rules) *Reader { return &Reader{SourceReader: in, rules: rules} }

// Read implements pipeline.Reader.
func (r *Reader) Read(ctx context.Context, table event.TableName, columns func([]pipeline.ReadColumn) error, row func([]pipeline.Cell) error) error {
	columns, row = r.through(table, columns, row)
	return r.SourceReader.Read(ctx, table, columns, row)
}

// ReadAfter implements pipeline.RangeReader. Columns of keys are as the source has them.
func (r *Reader) ReadAfter(ctx context.Context, table event.TableName, after []pipeline.Cell, n int,
	columns func([]pipeline.ReadColumn) error, row func([]pipeline.Cell) error) error {
	columns, row = r.through(table, columns, row)
	return r.SourceReader.ReadAfter(ctx, table, after, n, columns, row)
}

// ReadKeys implements pipeline.RangeReader.
func (r *Reader) ReadKeys(ctx context.Context, table event.TableName, keys [][]pipeline.Cell,
	columns func([]pipeline.ReadColumn) error, row func([]pipeline.Cell) error) error {
	columns, row = r.through(table, columns, row)
	return r.SourceReader.ReadKeys(ctx, table, keys, columns, row)
}

// through has columns and rows pass the table's rule.
func (r *Reader) through(table event.TableName, columns func([]pipeline.ReadColumn) error, row func([]pipeline.Cell) error) (
	func([]pipeline.ReadColumn) error, func([]pipeline.Cell) error) {
	rule := r.rules.of(table)
	if !rule.protects() {
		return columns, row
	}
	var all []pipeline.ReadColumn
	var out []pipeline.Cell
	filtered := func(found []pipeline.ReadColumn) error {
		all = append(all[:0], found...)
		seen := make([]column, len(all))
		var shown []pipeline.ReadColumn
		for i, c := range all {
			seen[i] = column{name: c.Name, native: c.Type, key: c.Key}
			if rule.actionOf(c.Name) != exclude {
				shown = append(shown, c)
			}
		}
		if why := rule.faults(seen, func(string) bool { return true }); why != "" {
			return fmt.Errorf("table %s: %s", table, why)
		}
		return columns(shown)
	}
	return filtered, func(cells []pipeline.Cell) error {
		out = out[:0]
		for i, c := range cells {
			if a := rule.actionOf(all[i].Name); a != exclude {
				out = append(out, rule.cell(a, all[i].Type, c))
			}
		}
		return row(out)
	}
}
