package ddl

import (
	"fmt"
	"strings"
)

// ViewColumn is a column as readers see it.
type ViewColumn struct {
	Name, Type, Comment string
	From                string // the table's column
}

// View shows a table as its source is, or a changelog.
type View struct {
	Name    Name
	Of      Name
	Columns []ViewColumn
	Layout  Layout
	// Floor: rows below it are gone.
	Floor uint64
	// Alive has rows passed over that were kept though they went; Kept is the column of the view
	// that tells them, "" for none.
	Alive bool
	Kept  string
}

// Replace makes the view, or puts it in the place of the one that is there.
func (v *View) Replace() string {
	var head []string
	for _, c := range v.Columns {
		head = append(head, Column{Name: c.Name, Type: c.Type, Comment: c.Comment}.text())
	}
	return fmt.Sprintf("CREATE OR REPLACE VIEW %s (%s) AS %s", v.Name, strings.Join(head, ", "), v.query())
}

// query reads what the view shows. A filter by _seq may be applied before FINAL: what it takes
// away is older than what it leaves.
func (v *View) query() string {
	var inner, group, outer []string
	for i, c := range v.Columns {
		// Names are qualified: a bare one would mean the alias of that name, if there is one.
		if v.Layout != Signs {
			outer = append(outer, "_t."+Ident(c.From)+" AS "+Ident(c.Name))
			continue
		}
		short := fmt.Sprintf("_c%d", i)
		inner, group = append(inner, "_t."+Ident(c.From)+" AS "+short), append(group, short)
		outer = append(outer, "_r."+short+" AS "+Ident(c.Name))
	}
	from := fmt.Sprintf("%s AS _t FINAL", v.Of)
	if v.Layout == Changes { // nothing of a changelog goes, and no row of it is there twice
		from = fmt.Sprintf("%s AS _t", v.Of)
	} else {
		from += v.where()
	}
	body := fmt.Sprintf("SELECT %s FROM %s", strings.Join(outer, ", "), from)
	if v.Layout == Signs {
		body = fmt.Sprintf("SELECT %s FROM (SELECT %s, toInt64(sum(_t.%s)) AS _n FROM %s GROUP BY %s HAVING _n > 0) AS _r "+
			"ARRAY JOIN range(_r._n) AS _i",
			strings.Join(outer, ", "), strings.Join(inner, ", "), Ident(Sign), from, strings.Join(group, ", "))
	}
	return body
}

// where passes over what is gone.
func (v *View) where() string {
	var terms []string
	if v.Floor > 0 {
		terms = append(terms, fmt.Sprintf("_t.%s >= %d", Ident(Seq), v.Floor))
	}
	if v.Alive {
		terms = append(terms, fmt.Sprintf("_t.%s IS NULL", Ident(DeletedAt)))
	}
	if len(terms) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(terms, " AND ")
}
