package changes

import (
	"github.com/parquet-go/parquet-go"

	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/sinks/parquet/file"
)

// plan says how rows of one source schema lie in a file.
type plan struct {
	schema *event.Schema // nil: technical columns only
	leaves []file.Leaf
	pq     *parquet.Schema
	cols   []file.Encoder
	at     []int // leaf of each source column
	raw    []int // leaf of its text column, -1 without one
	dates  []int // source columns of date types without a text column
}

// newPlan makes the plan for s and returns the columns grown by what it needs.
func newPlan(cs file.Columns, s *event.Schema) (*plan, file.Columns, error) {
	p := &plan{schema: s, leaves: file.Technical()}
	if s == nil {
		p.pq = file.NewSchema(p.leaves)
		return p, cs, nil
	}
	for i := range s.Columns {
		c := &s.Columns[i]
		src, err := file.NewEncoder(c)
		if err != nil {
			return nil, cs, err
		}
		var n int
		if cs, n, err = cs.Ensure(c, false); err != nil {
			return nil, cs, err
		}
		p.cols = append(p.cols, src)
		p.at = append(p.at, len(p.leaves))
		named := c.Type == event.TypeEnum || c.Type == event.TypeSet
		p.leaves = append(p.leaves, file.Leaf{Name: cs[n].Name, Type: src.Type, Dictionary: named, Long: file.IsLong(c.Native)})
		raw := -1
		if file.HasRaw(c.Type) {
			if c.HasDefault && c.Default != nil && file.IsPartial(c.Type, c.Default) || cs.Has(c.ID, true) {
				if cs, n, err = cs.Ensure(c, true); err != nil {
					return nil, cs, err
				}
				raw = len(p.leaves)
				p.leaves = append(p.leaves, file.Leaf{Name: cs[n].Name, Type: file.Type{Kind: file.String}})
			} else {
				p.dates = append(p.dates, i)
			}
		}
		p.raw = append(p.raw, raw)
	}
	p.pq = file.NewSchema(p.leaves)
	return p, cs, nil
}
