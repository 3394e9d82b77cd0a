package event

import "testing"

// TestTheDefinitionOfASlice goes through all kinds of slices, with and without a schema.
func TestTheDefinitionOfASlice(t *testing.T) {
	rows, mark := SchemaID{1}, SchemaID{2}
	for _, c := range []struct {
		kind         Kind
		schema, mark SchemaID
		want         SchemaID
		ok           bool
	}{
		{KindRow, rows, SchemaID{}, rows, true},
		{KindRow, SchemaID{}, SchemaID{}, SchemaID{}, true}, // rows have one; whoever looks it up says that it is unknown
		{KindDDL, rows, SchemaID{}, rows, true},
		{KindDDL, SchemaID{}, SchemaID{}, SchemaID{}, false}, // DROP TABLE
		{KindBegin, SchemaID{}, mark, mark, true},
		{KindBegin, rows, mark, mark, true},
		{KindBegin, rows, SchemaID{}, rows, true},
		{KindBegin, SchemaID{}, SchemaID{}, SchemaID{}, false},
		{KindTruncate, rows, mark, SchemaID{}, false},
		{KindEnd, rows, mark, SchemaID{}, false},
		{KindHeartbeat, rows, mark, SchemaID{}, false},
	} {
		s := Slice{Kind: c.kind, Schema: c.schema, Mark: &Mark{Schema: c.mark}}
		if c.kind == KindRow {
			s.Mark = nil
		}
		if id, ok := s.Definition(); id != c.want || ok != c.ok {
			t.Errorf("%v with schema %v and mark %v: %v, %v", c.kind, c.schema, c.mark, id, ok)
		}
	}
}
