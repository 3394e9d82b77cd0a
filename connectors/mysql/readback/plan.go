package readback

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/millrace/millrace/connectors/mysql/charset"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
)

// column is what rendering needs to know of a column.
type column struct {
	name, dataType string
	native         string // the type's whole text
	key            bool
	charset        string
	// gaps is the charset of a text in which bytes can be no character, nil for others.
	gaps *charset.Set
}

// plan is how a table is read now.
type plan struct {
	table   event.TableName
	columns []column
	// order are the key's columns, by place in columns, as the index has them.
	order []int
	// whole says that the index holds whole values, so that it has the order of the keys.
	whole bool
}

// shown are the columns as verification sees them.
func (p *plan) shown() []pipeline.ReadColumn {
	out := make([]pipeline.ReadColumn, len(p.columns))
	for i, c := range p.columns {
		out[i] = pipeline.ReadColumn{Name: c.name, Key: c.key, Type: c.native, Charset: c.charset}
	}
	return out
}

func (r *Reader) plan(ctx context.Context, table event.TableName) (*plan, error) {
	p := &plan{table: table}
	if err := r.columns(ctx, p); err != nil {
		return nil, err
	}
	return p, r.keyColumns(ctx, p)
}

func (r *Reader) columns(ctx context.Context, p *plan) error {
	rows, err := r.db.QueryContext(ctx, `SELECT column_name, data_type, column_type, COALESCE(character_set_name, '')
		FROM information_schema.columns WHERE table_schema = ? AND table_name = ? ORDER BY ordinal_position`, p.table.DB, p.table.Table)
	if err != nil {
		return fmt.Errorf("columns of %s: %w", p.table, err)
	}
	defer rows.Close()
	for rows.Next() {
		var c column
		var set string
		if err := rows.Scan(&c.name, &c.dataType, &c.native, &set); err != nil {
			return fmt.Errorf("columns of %s: %w", p.table, err)
		}
		c.dataType = strings.ToLower(c.dataType)
		c.charset = set
		c.gaps = withGaps(c.dataType, set)
		p.columns = append(p.columns, c)
	}
	if len(p.columns) == 0 && rows.Err() == nil {
		return fmt.Errorf("columns of %s: %w", p.table, pipeline.ErrNoTable)
	}
	return rows.Err()
}

// index is a unique index of a table.
type index struct {
	name    string
	columns []string
	// usable: all of its parts are columns, and none of them can be NULL.
	usable, whole bool
}

// keyColumns are those of the primary key, else of the first unique key over NOT NULL
// columns, else none. An index over expressions is no key: its parts are no columns.
func (r *Reader) keyColumns(ctx context.Context, p *plan) error {
	rows, err := r.db.QueryContext(ctx, `SELECT index_name, column_name, nullable, sub_part FROM information_schema.statistics
		WHERE table_schema = ? AND table_name = ? AND non_unique = 0
		ORDER BY index_name <> 'PRIMARY', index_name, seq_in_index`, p.table.DB, p.table.Table)
	if err != nil {
		return fmt.Errorf("keys of %s: %w", p.table, err)
	}
	defer rows.Close()
	var all []*index
	for rows.Next() {
		var name string
		var part, nullable sql.NullString
		var prefix sql.NullInt64
		if err := rows.Scan(&name, &part, &nullable, &prefix); err != nil {
			return fmt.Errorf("keys of %s: %w", p.table, err)
		}
		if len(all) == 0 || all[len(all)-1].name != name {
			all = append(all, &index{name: name, usable: true, whole: true})
		}
		x := all[len(all)-1]
		x.columns = append(x.columns, part.String)
		x.usable = x.usable && part.Valid && nullable.String != "YES"
		x.whole = x.whole && !prefix.Valid
	}
	at := slices.IndexFunc(all, func(x *index) bool { return x.usable })
	if err := rows.Err(); err != nil || at < 0 {
		return err
	}
	p.whole = all[at].whole
	for _, name := range all[at].columns {
		i := slices.IndexFunc(p.columns, func(c column) bool { return c.name == name })
		if i < 0 {
			return fmt.Errorf("keys of %s: the index %s has a column %s, which the table has not: it is being altered", p.table, all[at].name, name)
		}
		p.columns[i].key, p.order = true, append(p.order, i)
	}
	return nil
}

// read runs the plan's SELECT with what stands behind its table.
func (r *Reader) read(ctx context.Context, p *plan, rest string,
	columns func([]pipeline.ReadColumn) error, row func([]pipeline.Cell) error) error {
	if err := columns(p.shown()); err != nil {
		return err
	}
	selected, raw := make([]string, len(p.columns)), make([]int, len(p.columns))
	for i, c := range p.columns {
		selected[i] = quote(c.name)
		if c.gaps != nil {
			raw[i] = len(selected)
			selected = append(selected, "CAST("+quote(c.name)+" AS BINARY)")
		}
	}
	// A prepared statement answers in the binary protocol, in which floats are exact.
	rows, err := r.db.QueryContext(ctx, "SELECT "+strings.Join(selected, ", ")+" FROM "+p.from()+" WHERE 1 = ?"+rest, 1)
	if err != nil {
		return fmt.Errorf("select %s: %w", p.table, err)
	}
	defer rows.Close()
	values, targets, cells := make([]any, len(selected)), make([]any, len(selected)), make([]pipeline.Cell, len(p.columns))
	for i := range values {
		targets[i] = &values[i]
	}
	for rows.Next() {
		if err := rows.Scan(targets...); err != nil {
			return fmt.Errorf("read a row of %s: %w", p.table, err)
		}
		for i, c := range p.columns {
			if cells[i], err = render(c, values[i]); err != nil {
				return fmt.Errorf("read %s.%s: %w", p.table, c.name, err)
			}
			if bytes, ok := values[raw[i]].([]byte); ok && raw[i] > 0 {
				cells[i].Text = marked(c.gaps, cells[i].Text, bytes)
			} else if isText(c.dataType) {
				cells[i].Text = whole(cells[i].Text)
			}
		}
		if err := row(cells); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("read %s: %w", p.table, err)
	}
	return nil
}

func (p *plan) from() string { return quote(p.table.DB) + "." + quote(p.table.Table) }

var errNoKey = fmt.Errorf("the table has no key: %w", errors.ErrUnsupported)
