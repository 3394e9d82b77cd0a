package projection

import (
	"fmt"
	"slices"

	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/pipeline/projection/where"
)

// plan is what a rule makes of a table under one definition.
type plan struct {
	rule   *rule
	source *event.Schema // without the defaults of protected columns
	out    *event.Schema
	// actions and kinds are by the source's columns; to is where a column went, -1 if nowhere.
	actions []action
	kinds   []kind
	to      []int
	// filter is nil where all rows leave, whole says that their columns do.
	filter *where.Filter
	whole  bool

	values  []event.Value
	builder *event.ImageBuilder
	text    []byte
}

// columnsOf are a definition's columns as a rule sees them.
func columnsOf(t *event.Table) []column {
	s := t.Schema
	out := make([]column, len(s.Columns))
	for i := range s.Columns {
		c := &s.Columns[i]
		out[i] = column{name: c.Name, native: c.Native, charset: c.Charset, definition: c}
		if !slices.Contains(types[kindOf(c.Native).class], c.Type) {
			out[i].native = "of a type that is stored in another form: " + bare(c.Native)
		}
		out[i].key = slices.Contains(s.PrimaryKey, i) || !t.Keyless && slices.Contains(t.KeyColumns, i)
	}
	return out
}

// newPlan makes the plan of a definition in which the rule has no faults.
func newPlan(r *rule, s *event.Schema) *plan {
	p := &plan{rule: r, whole: true, actions: make([]action, len(s.Columns)), kinds: make([]kind, len(s.Columns)),
		to: make([]int, len(s.Columns))}
	source := slices.Clone(s.Columns)
	var out []event.Column
	for i := range source {
		c := &source[i]
		a := r.actionOf(c.Name)
		p.actions[i], p.kinds[i], p.to[i] = a, kindOf(c.Native), -1
		if a != keep {
			c.HasDefault, c.Default, p.whole = false, nil, false
		}
		if a == exclude {
			continue
		}
		p.to[i] = len(out)
		out = append(out, shown(*c, a, append(slices.Clone(source), out...)))
	}
	p.source = event.NewSchema(s.Name, source, s.PrimaryKey)
	p.out = event.NewProjectedSchema(p.source, r.text, out, p.moved(s.PrimaryKey))
	p.builder = event.NewImageBuilder(p.out)
	filter, why := r.filter(columnsOf(&event.Table{Schema: s}))
	if why != "" { // without it every row would leave
		panic("BUG: a plan is made for a table whose condition can't be answered: " + why)
	}
	p.filter = filter
	return p
}

// shown is a column as it leaves. One whose values are others than at the source is another
// column: what a target holds of the values from before goes with the old one.
func shown(c event.Column, a action, taken []event.Column) event.Column {
	if a == keep {
		return c
	}
	c.ID ^= uint32(a) * 0x9e3779b1
	for slices.ContainsFunc(taken, func(t event.Column) bool { return t.ID == c.ID }) {
		c.ID++
	}
	c.Generated = false
	if a == hash {
		return event.Column{
			ID: c.ID, Name: c.Name, Type: event.TypeText, Native: fmt.Sprintf("char(%d)", hashLength), Length: hashLength,
			Nullable: c.Nullable, Charset: "utf8mb4", Collation: "utf8mb4_bin",
		}
	}
	return c
}

// moved gives columns that leave their places in what leaves.
func (p *plan) moved(columns []int) []int {
	var out []int
	for _, c := range columns {
		if p.to[c] >= 0 {
			out = append(out, p.to[c])
		}
	}
	return out
}

// table is a table as it leaves.
func (p *plan) table(t *event.Table) *event.Table {
	return &event.Table{Name: t.Name, Schema: p.out, KeyColumns: p.moved(t.KeyColumns), Keyless: t.Keyless, Queues: t.Queues}
}

// read takes an image apart.
func (p *plan) read(img event.Image) (err error) {
	if p.values, err = event.Values(img, p.source, p.values); err != nil {
		return fmt.Errorf("row of %s: its image does not fit its definition", p.source.Name)
	}
	return nil
}

// leaves reports whether a row is one that leaves; one that is not there does not.
func (p *plan) leaves(img event.Image) (bool, error) {
	if img == nil || p.filter == nil {
		return img != nil, nil
	}
	if err := p.read(img); err != nil {
		return false, err
	}
	return p.filter.Row(p.values), nil
}

// filtered is what is left of a row's change for whoever sees no other rows than those that
// leave: one that comes to leave is created, one that ceases to is deleted, and of one that
// does not leave nothing is known (nil).
func (p *plan) filtered(it *event.Item) (*event.Item, error) {
	if p.filter == nil {
		return it, nil
	}
	before, err := p.leaves(it.Before)
	if err != nil {
		return nil, err
	}
	after, err := p.leaves(it.After)
	if err != nil {
		return nil, err
	}
	out := *it
	switch {
	case !before && !after:
		return nil, nil
	case it.Op == event.OpUpdate && !before:
		out.Op, out.Before = event.OpCreate, nil
	case it.Op == event.OpUpdate && !after:
		out.Op, out.After = event.OpDelete, nil
	}
	return &out, nil
}

// image appends a row as it leaves to dst.
func (p *plan) image(dst []byte, img event.Image) (buf []byte, out event.Image, err error) {
	if img == nil || p.whole {
		return dst, img, nil
	}
	if err := p.read(img); err != nil {
		return dst, nil, err
	}
	p.builder.Start(dst)
	for i, v := range p.values {
		c := &p.source.Columns[i]
		switch a := p.actions[i]; {
		case a == exclude:
		case v == nil:
			p.builder.AppendNull()
		case a == mask:
			p.kinds[i].appendMask(p.builder, c)
		case a == hash:
			p.text = appendText(p.text[:0], c, v)
			p.builder.AppendText(digest(p.rule.salt, p.text))
		default:
			p.builder.AppendValue(v)
		}
	}
	return p.builder.Finish()
}
