package parquet

import (
	"github.com/parquet-go/parquet-go"

	"github.com/millrace/millrace/pipeline/event"
)

// plan says how rows of one source schema lie in a file.
type plan struct {
	schema *event.Schema // nil: technical columns only
	leaves []leafSpec
	pq     *parquet.Schema
	cols   []sourceColumn
	at     []int // leaf of each source column
	raw    []int // leaf of its text column, -1 without one
	dates  []int // source columns of date types without a text column
}

// newPlan makes the plan for s and returns the columns grown by what it needs.
func newPlan(cs columns, s *event.Schema) (*plan, columns, error) {
	p := &plan{schema: s, leaves: technical()}
	if s == nil {
		p.pq = newSchema(p.leaves)
		return p, cs, nil
	}
	for i := range s.Columns {
		c := &s.Columns[i]
		src, err := newSourceColumn(c)
		if err != nil {
			return nil, cs, err
		}
		var n int
		if cs, n, err = cs.ensure(c, false); err != nil {
			return nil, cs, err
		}
		p.cols = append(p.cols, src)
		p.at = append(p.at, len(p.leaves))
		named := c.Type == event.TypeEnum || c.Type == event.TypeSet
		p.leaves = append(p.leaves, leafSpec{name: cs[n].Name, typ: src.typ, dictionary: named, long: isLong(c.Native)})
		raw := -1
		if hasRaw(c.Type) {
			if c.HasDefault && c.Default != nil && isPartial(c.Type, c.Default) || cs.has(c.ID, true) {
				if cs, n, err = cs.ensure(c, true); err != nil {
					return nil, cs, err
				}
				raw = len(p.leaves)
				p.leaves = append(p.leaves, leafSpec{name: cs[n].Name, typ: colType{kind: kindString}})
			} else {
				p.dates = append(p.dates, i)
			}
		}
		p.raw = append(p.raw, raw)
	}
	p.pq = newSchema(p.leaves)
	return p, cs, nil
}
