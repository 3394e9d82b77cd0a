package readback

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
)

// ReadAfter implements pipeline.RangeReader: one short statement in the order of the key.
func (r *Reader) ReadAfter(ctx context.Context, table event.TableName, after []pipeline.Cell, n int,
	columns func([]pipeline.ReadColumn) error, row func([]pipeline.Cell) error) (err error) {
	defer r.silent.explain(&err)
	p, err := r.plan(ctx, table)
	if err != nil {
		return err
	}
	if err := p.ordered(); err != nil {
		return err
	}
	rest, names := "", make([]string, len(p.order))
	for i, at := range p.order {
		names[i] = quote(p.columns[at].name)
	}
	if after != nil {
		literals, err := p.literals(after)
		if err != nil {
			return err
		}
		rest = " AND " + beyond(names, literals)
	}
	return r.read(ctx, p, rest+" ORDER BY "+strings.Join(names, ", ")+" LIMIT "+strconv.Itoa(n), columns, row)
}

// beyond compares keys in the form that servers find a range for: the first column's bound
// stands apart.
func beyond(names, literals []string) string {
	last := len(names) - 1
	expr := names[last] + " > " + literals[last]
	for i := last - 1; i >= 0; i-- {
		expr = fmt.Sprintf("(%s > %s OR (%[1]s = %[2]s AND %s))", names[i], literals[i], expr)
	}
	if last > 0 {
		expr = fmt.Sprintf("(%s >= %s AND %s)", names[0], literals[0], expr)
	}
	return expr
}

// ReadKeys implements pipeline.RangeReader.
func (r *Reader) ReadKeys(ctx context.Context, table event.TableName, keys [][]pipeline.Cell,
	columns func([]pipeline.ReadColumn) error, row func([]pipeline.Cell) error) (err error) {
	defer r.silent.explain(&err)
	p, err := r.plan(ctx, table)
	if err != nil {
		return err
	}
	if err := p.findable(); err != nil {
		return err
	}
	var b strings.Builder
	b.WriteString(" AND (")
	for i, key := range keys {
		literals, err := p.literals(key)
		if err != nil {
			return err
		}
		if i > 0 {
			b.WriteString(" OR ")
		}
		for k, at := range p.order {
			if k > 0 {
				b.WriteString(" AND ")
			} else {
				b.WriteString("(")
			}
			b.WriteString(quote(p.columns[at].name) + " = " + literals[k])
		}
		b.WriteString(")")
	}
	b.WriteString(")")
	return r.read(ctx, p, b.String(), columns, row)
}

// ordered refuses keys whose order is not that of comparisons with texts: members are
// sorted by number and compared as text, and a prefix has no order of whole values.
func (p *plan) ordered() error {
	if !p.whole && len(p.order) > 0 {
		return fmt.Errorf("the key of %s is over prefixes: %w", p.table, errors.ErrUnsupported)
	}
	for _, at := range p.order {
		switch p.columns[at].dataType {
		case "enum", "set":
			return fmt.Errorf("the key of %s has a column of type %s: %w", p.table, p.columns[at].dataType, errors.ErrUnsupported)
		}
	}
	return p.findable()
}

// findable refuses keys that no literal is sure to find.
func (p *plan) findable() error {
	if len(p.order) == 0 {
		return errNoKey
	}
	for _, at := range p.order {
		switch p.columns[at].dataType {
		case "float", "double":
			return fmt.Errorf("the key of %s has a column of type %s: %w", p.table, p.columns[at].dataType, errors.ErrUnsupported)
		}
	}
	return nil
}

// literals writes a key, whose cells stand in the order of the table's columns, in the
// order of the index.
func (p *plan) literals(key []pipeline.Cell) ([]string, error) {
	place := map[int]int{} // column → cell
	for i, c := range p.columns {
		if c.key {
			place[i] = len(place)
		}
	}
	if len(key) != len(place) {
		return nil, fmt.Errorf("the key of %s has %d columns, not %d: it has changed", p.table, len(place), len(key))
	}
	out := make([]string, len(p.order))
	for i, at := range p.order {
		var err error
		if out[i], err = p.literal(at, key[place[at]]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// literal is a value of a column as SQL. A text with bytes that are no character stands in no
// literal: another key would be found, or ranges would begin elsewhere.
func (p *plan) literal(at int, cell pipeline.Cell) (string, error) {
	c := p.columns[at]
	if c.gaps != nil && bytes.ContainsRune(cell.Text, utf8.RuneError) {
		return "", fmt.Errorf("the key of %s has bytes that are no character of %s's charset: %w", p.table, c.name, errors.ErrUnsupported)
	}
	out, err := literal(c.dataType, cell)
	if err != nil {
		return "", fmt.Errorf("key column %s of %s: %w", c.name, p.table, err)
	}
	return out, nil
}

// literal is a cell's value as SQL; the opposite of renderBytes. Strings are literals with
// a character set, which compare by the column's collation.
func literal(dataType string, cell pipeline.Cell) (string, error) {
	v := string(cell.Text)
	switch dataType {
	case "tinyint", "smallint", "mediumint", "int", "bigint", "decimal", "year", "bit":
		if v == "" || strings.Trim(v, "-0123456789.") != "" {
			return "", fmt.Errorf("%q is no number", v)
		}
		return v, nil
	case "date", "datetime", "timestamp":
		return text8(v), nil
	case "time":
		us, err := strconv.ParseInt(v, 10, 64)
		return "TIME" + text8(clock(us)), err
	case "uuid":
		if len(v) != 32 {
			return "", fmt.Errorf("%q is no UUID", v)
		}
		return text8(strings.Join([]string{v[:8], v[8:12], v[12:16], v[16:20], v[20:]}, "-")), nil
	case "inet4", "inet6":
		raw, err := hex.DecodeString(v)
		if err != nil {
			return "", err
		}
		address, ok := netip.AddrFromSlice(raw)
		if !ok {
			return "", fmt.Errorf("%q is no address", v)
		}
		return text8(address.String()), nil
	case "binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob":
		return "X'" + v + "'", nil
	default:
		return "_utf8mb4 X'" + hex.EncodeToString(cell.Text) + "'", nil
	}
}

func text8(s string) string { return "'" + strings.NewReplacer(`\`, `\\`, `'`, `''`).Replace(s) + "'" }

// clock writes microseconds as [-]HHH:MM:SS.ffffff.
func clock(us int64) string {
	sign := ""
	if us < 0 {
		sign, us = "-", -us
	}
	s := us / 1_000_000
	return fmt.Sprintf("%s%02d:%02d:%02d.%06d", sign, s/3600, s/60%60, s%60, us%1_000_000)
}

// Place implements pipeline.Placed: the end of the log, and the server's clock after it.
func (r *Reader) Place(ctx context.Context) (p pipeline.Place, err error) {
	defer r.silent.explain(&err)
	rows, err := r.db.QueryContext(ctx, "SHOW MASTER STATUS")
	if err != nil {
		if rows, err = r.db.QueryContext(ctx, "SHOW BINARY LOG STATUS"); err != nil {
			return p, fmt.Errorf("the end of the log: %w", err)
		}
	}
	defer rows.Close()
	names, err := rows.Columns()
	if err != nil {
		return p, fmt.Errorf("the end of the log: %w", err)
	}
	if !rows.Next() {
		return p, errors.Join(errors.New("the server writes no binary log"), rows.Err())
	}
	targets := make([]any, len(names))
	targets[0], targets[1] = &p.File, &p.Pos
	for i := 2; i < len(targets); i++ {
		targets[i] = new(any)
	}
	if err := errors.Join(rows.Scan(targets...), rows.Close()); err != nil {
		return p, fmt.Errorf("the end of the log: %w", err)
	}
	var now float64
	if err := r.db.QueryRowContext(ctx, "SELECT UNIX_TIMESTAMP(NOW(6))").Scan(&now); err != nil {
		return p, fmt.Errorf("the server's clock: %w", err)
	}
	p.Time = time.UnixMicro(int64(now * 1e6)).UTC()
	return p, nil
}
