package current

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/parquet-go/parquet-go"

	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/sinks/delta"
	"github.com/millrace/millrace/sinks/parquet/file"
)

// layout is how current/ shows the table: the present columns under their present names,
// then _seq.
type layout struct {
	Columns []layoutColumn `json:"columns"`
	// Key are the columns of the key, with their text columns; empty for a table without one.
	Key []int `json:"key,omitempty"`
}

// layoutColumn is one column of current/.
type layoutColumn struct {
	Name   string `json:"name"`
	ID     uint32 `json:"id"`
	Source string `json:"source"`
	Native string `json:"native"`
	Type   string `json:"type"`
	Raw    bool   `json:"raw,omitempty"`
	Named  bool   `json:"named,omitempty"` // ENUM, SET
	// Fill is what rows show that were written before the column existed.
	Fill []byte `json:"fill,omitempty"`

	typ file.Type
}

// newLayout is the layout of schema s over the columns of changes/.
func newLayout(s *event.Schema, cs file.Columns) (*layout, error) {
	l := &layout{}
	at := make([]int, len(s.Columns))
	for i := range s.Columns {
		c := &s.Columns[i]
		typ, err := file.TypeOf(c)
		if err != nil {
			return nil, err
		}
		at[i] = len(l.Columns)
		l.Columns = append(l.Columns, layoutColumn{
			Name: l.freeName(cs.NameOf(c, typ.Delta(), false)), ID: c.ID, Source: c.Name, Native: c.Native, Type: typ.Delta(), typ: typ,
			Named: c.Type == event.TypeEnum || c.Type == event.TypeSet, Fill: cs.Fill(c.ID, false, typ),
		})
		if file.HasRaw(c.Type) && cs.Has(c.ID, true) {
			text := file.Type{Kind: file.String}
			l.Columns = append(l.Columns, layoutColumn{
				Name: l.freeName(cs.NameOf(c, "string", true)), ID: c.ID, Source: c.Name, Type: "string", Raw: true, typ: text,
				Fill: cs.Fill(c.ID, true, text),
			})
		}
	}
	for _, k := range s.PrimaryKey {
		l.Key = append(l.Key, at[k])
		if next := at[k] + 1; next < len(l.Columns) && l.Columns[next].Raw {
			l.Key = append(l.Key, next)
		}
	}
	return l, nil
}

func (l *layout) freeName(base string) string {
	name := base
	for n := 2; ; n++ {
		lower := strings.ToLower(name)
		if !slices.ContainsFunc(l.Columns, func(c layoutColumn) bool { return strings.ToLower(c.Name) == lower }) {
			return name
		}
		name = fmt.Sprintf("%s__%d", base, n)
	}
}

// text identifies the layout: files of another one must be rewritten.
func (l *layout) text() string {
	b, err := json.Marshal(l)
	if err != nil {
		panic("BUG: a layout that JSON cannot hold: " + err.Error())
	}
	return string(b)
}

func parseLayout(b []byte) (*layout, error) {
	l := &layout{}
	if err := json.Unmarshal(b, l); err != nil {
		return nil, err
	}
	for i := range l.Columns {
		t, err := file.ParseDelta(l.Columns[i].Type)
		if err != nil {
			return nil, err
		}
		l.Columns[i].typ = t
	}
	for _, k := range l.Key {
		if k < 0 || k >= len(l.Columns) {
			return nil, fmt.Errorf("key column %d of %d", k, len(l.Columns))
		}
	}
	return l, nil
}

// keyText identifies the bytes of keys: rows whose key is encoded otherwise are in other
// buckets. A key's text columns take no part, for they are encoded only where not NULL.
func (l *layout) keyText() string {
	var b strings.Builder
	for _, k := range l.keyColumns() {
		if c := &l.Columns[k]; !c.Raw {
			fmt.Fprintf(&b, "%d:%s;", c.ID, c.Type)
		}
	}
	if len(l.Key) == 0 {
		return "row;" + b.String()
	}
	return b.String()
}

// keyColumns are the columns that tell rows apart: the key's, or all.
func (l *layout) keyColumns() []int {
	if len(l.Key) > 0 {
		return l.Key
	}
	all := make([]int, len(l.Columns))
	for i := range all {
		all[i] = i
	}
	return all
}

// appendKey appends the bytes of a row's key. A text column counts only where it is not
// NULL, so that its coming into being changes no key.
func (l *layout) appendKey(dst []byte, row []parquet.Value) []byte {
	for _, k := range l.keyColumns() {
		c := &l.Columns[k]
		if c.Raw {
			if !row[k].IsNull() {
				dst = append(dst, 2)
				dst = file.AppendCell(dst, c.typ, row[k])
			}
			continue
		}
		dst = file.AppendCell(dst, c.typ, row[k])
	}
	return dst
}

func (l *layout) schema() string {
	s := delta.Schema{}
	for i := range l.Columns {
		c := &l.Columns[i]
		t := file.Column{Name: c.Name, ID: c.ID, Source: c.Source, Native: c.Native, Type: c.Type, Raw: c.Raw}
		s.Fields = append(s.Fields, t.Field())
	}
	s.Fields = append(s.Fields, delta.Field{Name: file.ColSeq, Type: "long"})
	return s.Text()
}

func (l *layout) leaves() []file.Leaf {
	var list []file.Leaf
	for i := range l.Columns {
		c := &l.Columns[i]
		list = append(list, file.Leaf{Name: c.Name, Type: c.typ, Dictionary: c.Named, Long: file.IsLong(c.Native)})
	}
	return append(list, file.Leaf{Name: file.ColSeq, Type: file.Type{Kind: file.Long}, Required: true})
}

// source says where a file has a column of the layout.
type source struct {
	leaf int // -1: the file has no such column, and its rows show fill
	typ  file.Type
	read file.Reading // nil where the file has the sink's own form
	fill parquet.Value
}

// sources maps a file's leaves to the layout. columnsOf gives a leaf's identity by its
// name; a leaf that it does not know is passed over.
func (l *layout) sources(leaves []string, find func(name string) (id uint32, raw bool, typ file.Type, ok bool)) []source {
	list := make([]source, len(l.Columns))
	base := map[uint32]bool{}
	for i := range list {
		list[i] = source{leaf: -1, fill: parquet.NullValue()}
	}
	for n, name := range leaves {
		id, raw, typ, ok := find(name)
		if !ok {
			continue
		}
		if !raw {
			base[id] = true
		}
		for i := range l.Columns {
			if c := &l.Columns[i]; c.ID == id && c.Raw == raw {
				list[i] = source{leaf: n, typ: typ, fill: parquet.NullValue()}
			}
		}
	}
	for i := range list {
		c := &l.Columns[i]
		// A file that has the date but not its text column held proper dates only.
		if list[i].leaf < 0 && c.Fill != nil && !(c.Raw && base[c.ID]) {
			list[i].fill = file.CellValue(c.typ, c.Fill)
		}
	}
	return list
}
