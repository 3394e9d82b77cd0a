package file

import (
	"reflect"
	"strings"

	"github.com/parquet-go/parquet-go"
)

// Leaf is one column of a file.
type Leaf struct {
	Name       string
	Type       Type
	Required   bool
	Dictionary bool
	// Long says that a value may take megabytes.
	Long bool
}

// IsLong reports whether a column of a type of the source's has no small bound.
func IsLong(native string) bool {
	base := strings.ToLower(native)
	if end := strings.IndexAny(base, "( "); end >= 0 {
		base = base[:end]
	}
	switch base {
	case "", "tinytext", "tinyblob":
		return false
	case "json", "geometry", "point", "linestring", "polygon", "multipoint", "multilinestring", "multipolygon",
		"geometrycollection", "geomcollection":
		return true
	}
	return strings.HasSuffix(base, "text") || strings.HasSuffix(base, "blob")
}

// rowNode is a file's root: a group whose columns stand in the order given, where the
// library's own Group sorts them by name.
type rowNode struct {
	parquet.Group
	fields []parquet.Field
}

// NewSchema is a file's schema: its columns in the order given.
func NewSchema(leaves []Leaf) *parquet.Schema { return schemaOf(leaves, make([]*int, len(leaves))) }

// schemaOf is newSchema for one file; ones are set of its long columns.
func schemaOf(leaves []Leaf, ones []*int) *parquet.Schema {
	n := &rowNode{Group: parquet.Group{}}
	for i, l := range leaves {
		leaf := l.Type.leaf(l.Required, l.Dictionary)
		if ones[i] != nil {
			leaf = l.openNode(ones[i])
		}
		n.Group[l.Name] = leaf
		n.fields = append(n.fields, field{Node: leaf, name: l.Name})
	}
	return parquet.NewSchema("row", n)
}

func (n *rowNode) Fields() []parquet.Field { return n.fields }

// GoType is a struct without fields: rows are written by column, never from Go values.
func (n *rowNode) GoType() reflect.Type { return reflect.TypeFor[struct{}]() }

type field struct {
	parquet.Node
	name string
}

func (f field) Name() string { return f.name }

func (f field) Value(reflect.Value) reflect.Value {
	panic("BUG: a row written from a Go value")
}
