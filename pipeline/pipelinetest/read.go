package pipelinetest

import (
	"context"
	"fmt"
	"strconv"

	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
)

// Reader reads the script's tables as they are in the end, planned transactions included.
func (s *Script) Reader() pipeline.Reader { return scriptReader{s} }

type scriptReader struct{ s *Script }

func (r scriptReader) Tables(context.Context) ([]event.TableName, error) { return r.s.Names(), nil }
func (r scriptReader) Close() error                                      { return nil }

func (r scriptReader) Read(_ context.Context, table event.TableName, columns func([]pipeline.ReadColumn) error,
	row func([]pipeline.Cell) error) error {
	c := r.s.content(table)
	if c == nil {
		return fmt.Errorf("there is no table %s", table)
	}
	return readRows(c.schema, c.rows, columns, row)
}

func readRows(schema *event.Schema, rows []Row, columns func([]pipeline.ReadColumn) error, row func([]pipeline.Cell) error) error {
	shown := make([]pipeline.ReadColumn, len(schema.Columns))
	for i := range shown {
		shown[i].Name = schema.Columns[i].Name
	}
	for _, k := range schema.PrimaryKey {
		shown[k].Key = true
	}
	if err := columns(shown); err != nil {
		return err
	}
	for _, r := range rows {
		cells := make([]pipeline.Cell, len(shown))
		for i := range cells {
			cells[i] = cell(r[i])
		}
		if err := row(cells); err != nil {
			return err
		}
	}
	return nil
}

func cell(v any) pipeline.Cell {
	switch x := v.(type) {
	case nil:
		return pipeline.Cell{Null: true}
	case int64:
		return pipeline.Cell{Text: strconv.AppendInt(nil, x, 10)}
	case string:
		return pipeline.Cell{Text: []byte(x)}
	}
	panic(fmt.Sprintf("BUG: a cell of %T", v))
}
