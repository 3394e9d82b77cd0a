package parquet

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/parquet-go/parquet-go"

	"github.com/millrace/millrace/internal/seeded"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/sinks/delta"
)

// targetColumn is a column of changes/. It holds the values of one source column (by
// identity) under one name and one type for ever: a rename or a change of type makes a new
// one, because without column mapping a Delta column can be neither renamed nor changed.
type targetColumn struct {
	Name   string `json:"name"`
	ID     uint32 `json:"id"`
	Source string `json:"source"` // the source column's name
	Native string `json:"native"`
	Type   string `json:"type"`
	// Raw columns hold the text of dates that are no day of the calendar.
	Raw bool `json:"raw,omitempty"`
	// Fill is the cell that rows show which were written before the column existed; nil
	// for NULL. It is kept in the first column of each identity.
	Fill []byte `json:"fill,omitempty"`
	// From is the number of the schema's DDL that brought the column, 0 for the first schema.
	From event.Seq `json:"from,omitempty"`
}

func (c *targetColumn) colType() colType {
	t, err := parseDelta(c.Type)
	if err != nil {
		panic("BUG: a column's type was not checked when it was read: " + err.Error())
	}
	return t
}

type columns []targetColumn

// names are those of all columns.
func (cs columns) names() []string {
	list := make([]string, len(cs))
	for i := range list {
		list[i] = cs[i].Name
	}
	return list
}

// find is the column that holds values of c as it is now, -1 when there is none yet.
func (cs columns) find(c *event.Column, typ string, raw bool) int {
	for i := range cs {
		if t := &cs[i]; t.ID == c.ID && t.Raw == raw && strings.EqualFold(t.Source, c.Name) && (raw || t.Type == typ) {
			return i
		}
	}
	return -1
}

// has reports whether there is any column of the identity.
func (cs columns) has(id uint32, raw bool) bool {
	return slices.ContainsFunc(cs, func(t targetColumn) bool { return t.ID == id && t.Raw == raw })
}

// ensure returns the columns with one for c, which its identity finds (delivery K8).
func (cs columns) ensure(c *event.Column, raw bool) (columns, int, error) {
	s, err := newSourceColumn(c)
	if err != nil {
		return cs, 0, err
	}
	typ := s.typ.delta()
	if raw {
		typ = "string"
	}
	if i := cs.find(c, typ, raw); i >= 0 {
		return cs, i, nil
	}
	col := targetColumn{ID: c.ID, Source: c.Name, Native: c.Native, Type: typ, Raw: raw}
	first := !cs.has(c.ID, raw)
	if first && c.HasDefault && c.Default != nil {
		if col.Fill, err = fillCell(&s, raw); err != nil {
			return cs, 0, fmt.Errorf("the default of column %s: %w", c.Name, err)
		}
	}
	col.Name = cs.freeName(columnName(c.Name), raw)
	// The table grows by copies: what was committed stays as it was.
	return append(slices.Clip(cs), col), len(cs), nil
}

func fillCell(s *sourceColumn, raw bool) ([]byte, error) {
	var a arena
	v, partial, err := encodeValue(s, s.src.Default, &a)
	switch {
	case err != nil:
		return nil, err
	case raw && partial:
		return appendCell(nil, colType{kind: kindString}, rawValue(s.src, s.src.Default)), nil
	case raw || partial:
		return nil, nil
	}
	return appendCell(nil, s.typ, v), nil
}

// rawValue is a date's text as MySQL prints it.
func rawValue(c *event.Column, v event.Value) parquet.Value {
	return parquet.ByteArrayValue(event.AppendValueText(nil, c, v))
}

// nameOf is the name under which current/ shows c: its present one, unless that is in changes/
// the name of another column; then the one that it has there. So a name is one column in both,
// and none changes hands.
func (cs columns) nameOf(c *event.Column, typ string, raw bool) string {
	base := columnName(c.Name)
	if raw {
		base += rawSuffix
	}
	owner := slices.IndexFunc(cs, func(t targetColumn) bool { return strings.EqualFold(t.Name, base) })
	if owner < 0 || cs[owner].ID == c.ID && cs[owner].Raw == raw {
		return base
	}
	if i := cs.find(c, typ, raw); i >= 0 {
		return cs[i].Name
	}
	return base
}

// freeName is a name that no column has yet, whatever its case.
func (cs columns) freeName(base string, raw bool) string {
	if raw {
		base += rawSuffix
	}
	name := base
	for n := 2; ; n++ {
		lower := strings.ToLower(name)
		if !isTechnical(lower) && !slices.ContainsFunc(cs, func(t targetColumn) bool { return strings.ToLower(t.Name) == lower }) {
			return name
		}
		name = fmt.Sprintf("%s__%d", base, n)
	}
}

// schema is the Delta schema of changes/ with these columns.
func (cs columns) schema() string {
	s := delta.Schema{Fields: []delta.Field{
		{Name: colSeq, Type: "long"}, {Name: colOp, Type: "string"}, {Name: colSrc, Type: "string"},
		{Name: colQ, Type: "integer"}, {Name: colTs, Type: "timestamp"}, {Name: colGen, Type: "long"},
		{Name: colBelow, Type: "long", Nullable: true}, {Name: colDate, Type: "date", Nullable: true},
	}}
	for i := range cs {
		s.Fields = append(s.Fields, cs[i].field())
	}
	return s.Text()
}

// field is the column as the Delta schema has it: millrace.name is the source column's
// name, millrace.rawOf of a text column that of the date it belongs to.
func (c *targetColumn) field() delta.Field {
	m := map[string]string{"millrace.id": fmt.Sprint(c.ID)}
	if c.Raw {
		m["millrace.rawOf"] = c.Source
	} else {
		m["millrace.name"], m["millrace.type"] = c.Source, c.Native
	}
	return delta.Field{Name: c.Name, Type: c.Type, Nullable: true, Metadata: m}
}

// technical are the first columns of every file of changes/.
func technical() []leafSpec {
	long := colType{kind: kindLong}
	return []leafSpec{
		{name: colSeq, typ: long, required: true},
		{name: colOp, typ: colType{kind: kindString}, required: true, dictionary: true},
		{name: colSrc, typ: colType{kind: kindString}, required: true},
		{name: colQ, typ: colType{kind: kindInt}, required: true},
		{name: colTs, typ: colType{kind: kindInstant}, required: true},
		{name: colGen, typ: long, required: true},
		{name: colBelow, typ: long},
	}
}

// Places of the technical columns in a file.
const (
	atSeq = iota
	atOp
	atSrc
	atQ
	atTs
	atGen
	atBelow
	atColumns
)

// leaves describes the columns of a file of changes/ by their names.
func (cs columns) leaves(names []string) ([]leafSpec, error) {
	list := technical()
	if len(names) < len(list) {
		return nil, errors.New("a technical column is missing")
	}
	for i, n := range names {
		if i < len(list) && i < atColumns {
			if list[i].name != n {
				return nil, fmt.Errorf("column %s stands in the place of %s", n, list[i].name)
			}
			continue
		}
		at := slices.IndexFunc(cs, func(c targetColumn) bool { return c.Name == n })
		if at < 0 {
			return nil, fmt.Errorf("column %s is not one of the table's", n)
		}
		c := &cs[at]
		native := strings.ToLower(c.Native)
		list = append(list, leafSpec{name: n, typ: c.colType(), dictionary: strings.HasPrefix(native, "enum") || strings.HasPrefix(native, "set"), long: isLong(native)})
	}
	return list, nil
}

// fill is what rows without the column show, as a cell of type typ.
func (cs columns) fill(id uint32, raw bool, typ colType) []byte {
	if seeded.On(seeded.DefaultNotFilled) {
		return nil
	}
	for i := range cs {
		if c := &cs[i]; c.ID == id && c.Raw == raw {
			if c.Fill == nil {
				return nil
			}
			var a arena
			return appendCell(nil, typ, convert(c.colType(), typ, cellValue(c.colType(), c.Fill), &a))
		}
	}
	return nil
}
