package file

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

// Column is a column of changes/. It holds the values of one source column (by
// identity) under one name and one type for ever: a rename or a change of type makes a new
// one, because without column mapping a Delta column can be neither renamed nor changed.
type Column struct {
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

// FileType is the form of the column's values.
func (c *Column) FileType() Type {
	t, err := ParseDelta(c.Type)
	if err != nil {
		panic("BUG: a column's type was not checked when it was read: " + err.Error())
	}
	return t
}

// Columns are all that changes/ ever had, in the order in which they came.
type Columns []Column

// Names are those of all columns.
func (cs Columns) Names() []string {
	list := make([]string, len(cs))
	for i := range list {
		list[i] = cs[i].Name
	}
	return list
}

// find is the column that holds values of c as it is now, -1 when there is none yet.
func (cs Columns) find(c *event.Column, typ string, raw bool) int {
	for i := range cs {
		if t := &cs[i]; t.ID == c.ID && t.Raw == raw && strings.EqualFold(t.Source, c.Name) && (raw || t.Type == typ) {
			return i
		}
	}
	return -1
}

// Has reports whether there is any column of the identity.
func (cs Columns) Has(id uint32, raw bool) bool {
	return slices.ContainsFunc(cs, func(t Column) bool { return t.ID == id && t.Raw == raw })
}

// Ensure returns the columns with one for c, which its identity finds (delivery K8).
func (cs Columns) Ensure(c *event.Column, raw bool) (Columns, int, error) {
	s, err := NewEncoder(c)
	if err != nil {
		return cs, 0, err
	}
	typ := s.Type.Delta()
	if raw {
		typ = "string"
	}
	if i := cs.find(c, typ, raw); i >= 0 {
		return cs, i, nil
	}
	col := Column{ID: c.ID, Source: c.Name, Native: c.Native, Type: typ, Raw: raw}
	first := !cs.Has(c.ID, raw)
	if first && c.HasDefault && c.Default != nil {
		if col.Fill, err = fillCell(&s, raw); err != nil {
			return cs, 0, fmt.Errorf("the default of column %s: %w", c.Name, err)
		}
	}
	col.Name = cs.freeName(ColumnName(c.Name), raw)
	// The table grows by copies: what was committed stays as it was.
	return append(slices.Clip(cs), col), len(cs), nil
}

func fillCell(s *Encoder, raw bool) ([]byte, error) {
	var a Arena
	v, partial, err := Encode(s, s.src.Default, &a)
	switch {
	case err != nil:
		return nil, err
	case raw && partial:
		return AppendCell(nil, Type{Kind: String}, RawValue(s.src, s.src.Default)), nil
	case raw || partial:
		return nil, nil
	}
	return AppendCell(nil, s.Type, v), nil
}

// RawValue is a date's text as MySQL prints it.
func RawValue(c *event.Column, v event.Value) parquet.Value {
	return parquet.ByteArrayValue(event.AppendValueText(nil, c, v))
}

// NameOf is the name under which current/ shows c: its present one, unless that is in changes/
// the name of another column; then the one that it has there. So a name is one column in both,
// and none changes hands.
func (cs Columns) NameOf(c *event.Column, typ string, raw bool) string {
	base := ColumnName(c.Name)
	if raw {
		base += RawSuffix
	}
	owner := slices.IndexFunc(cs, func(t Column) bool { return strings.EqualFold(t.Name, base) })
	if owner < 0 || cs[owner].ID == c.ID && cs[owner].Raw == raw || raw && seeded.On(seeded.NamesChangeHands) {
		return base
	}
	if i := cs.find(c, typ, raw); i >= 0 {
		return cs[i].Name
	}
	return base
}

// freeName is a name that no column has yet, whatever its case.
func (cs Columns) freeName(base string, raw bool) string {
	if raw {
		base += RawSuffix
	}
	name := base
	for n := 2; ; n++ {
		lower := strings.ToLower(name)
		if !isTechnical(lower) && !slices.ContainsFunc(cs, func(t Column) bool { return strings.ToLower(t.Name) == lower }) {
			return name
		}
		name = fmt.Sprintf("%s__%d", base, n)
	}
}

// Schema is the Delta schema of changes/ with these columns.
func (cs Columns) Schema() string {
	s := delta.Schema{Fields: []delta.Field{
		{Name: ColSeq, Type: "long"}, {Name: ColOp, Type: "string"}, {Name: ColSrc, Type: "string"},
		{Name: ColQ, Type: "integer"}, {Name: colTs, Type: "timestamp"}, {Name: colGen, Type: "long"},
		{Name: colBelow, Type: "long", Nullable: true}, {Name: ColDate, Type: "date", Nullable: true},
	}}
	for i := range cs {
		s.Fields = append(s.Fields, cs[i].Field())
	}
	return s.Text()
}

// Field is the column as the Delta schema has it: millrace.name is the source column's
// name, millrace.rawOf of a text column that of the date it belongs to.
func (c *Column) Field() delta.Field {
	m := map[string]string{"millrace.id": fmt.Sprint(c.ID)}
	if c.Raw {
		m["millrace.rawOf"] = c.Source
	} else {
		m["millrace.name"], m["millrace.type"] = c.Source, c.Native
	}
	return delta.Field{Name: c.Name, Type: c.Type, Nullable: true, Metadata: m}
}

// Technical are the first columns of every file of changes/.
func Technical() []Leaf {
	long := Type{Kind: Long}
	return []Leaf{
		{Name: ColSeq, Type: long, Required: true},
		{Name: ColOp, Type: Type{Kind: String}, Required: true, Dictionary: true},
		{Name: ColSrc, Type: Type{Kind: String}, Required: true},
		{Name: ColQ, Type: Type{Kind: Int}, Required: true},
		{Name: colTs, Type: Type{Kind: Instant}, Required: true},
		{Name: colGen, Type: long, Required: true},
		{Name: colBelow, Type: long},
	}
}

// Places of the technical columns in a file.
const (
	AtSeq = iota
	AtOp
	AtSrc
	AtQ
	AtTs
	AtGen
	AtBelow
	AtColumns
)

// Leaves describes the columns of a file of changes/ by their names.
func (cs Columns) Leaves(names []string) ([]Leaf, error) {
	list := Technical()
	if len(names) < len(list) {
		return nil, errors.New("a technical column is missing")
	}
	for i, n := range names {
		if i < len(list) && i < AtColumns {
			if list[i].Name != n {
				return nil, fmt.Errorf("column %s stands in the place of %s", n, list[i].Name)
			}
			continue
		}
		at := slices.IndexFunc(cs, func(c Column) bool { return c.Name == n })
		if at < 0 {
			return nil, fmt.Errorf("column %s is not one of the table's", n)
		}
		c := &cs[at]
		native := strings.ToLower(c.Native)
		list = append(list, Leaf{Name: n, Type: c.FileType(), Dictionary: strings.HasPrefix(native, "enum") ||
			strings.HasPrefix(native, "set"), Long: IsLong(native)})
	}
	return list, nil
}

// Fill is what rows without the column show, as a cell of type typ.
func (cs Columns) Fill(id uint32, raw bool, typ Type) []byte {
	if seeded.On(seeded.DefaultNotFilled) {
		return nil
	}
	for i := range cs {
		if c := &cs[i]; c.ID == id && c.Raw == raw {
			if c.Fill == nil {
				return nil
			}
			var a Arena
			return AppendCell(nil, typ, Convert(c.FileType(), typ, CellValue(c.FileType(), c.Fill), &a))
		}
	}
	return nil
}
