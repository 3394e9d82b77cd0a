package readback

import (
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
)

// countedRows is up to how many rows are counted; beyond that the server's estimate holds.
const countedRows = 10_000

// RowsAbout implements pipeline.SampleReader. The estimate is the optimizer's: what
// information_schema says may be a day old.
func (r *Reader) RowsAbout(ctx context.Context, table event.TableName) (n int64, err error) {
	defer r.silent.explain(&err)
	from := (&plan{table: table}).from()
	if err := r.db.QueryRowContext(ctx, fmt.Sprintf("SELECT COUNT(*) FROM (SELECT 1 FROM %s LIMIT %d) t", from,
		countedRows+1)).Scan(&n); err != nil {
		return 0, fmt.Errorf("count %s: %w", table, err)
	}
	if n <= countedRows {
		return n, nil
	}
	// MySQL may be set to explain in another form, MariaDB has no word for this one.
	rows, err := r.db.QueryContext(ctx, "EXPLAIN FORMAT=TRADITIONAL SELECT COUNT(*) FROM "+from)
	if err != nil {
		rows, err = r.db.QueryContext(ctx, "EXPLAIN SELECT COUNT(*) FROM "+from)
	}
	if err != nil {
		return 0, fmt.Errorf("rows of %s: %w", table, err)
	}
	defer rows.Close()
	names, err := rows.Columns()
	if err != nil {
		return 0, fmt.Errorf("rows of %s: %w", table, err)
	}
	for rows.Next() {
		values := make([]any, len(names))
		var estimate *int64
		for i := range values {
			values[i] = new(any)
		}
		if i := slices.Index(names, "rows"); i >= 0 {
			values[i] = &estimate
		}
		if err := rows.Scan(values...); err != nil {
			return 0, fmt.Errorf("rows of %s: %w", table, err)
		}
		if estimate != nil {
			n = max(n, *estimate)
		}
	}
	return n, rows.Err()
}

// Spread implements pipeline.SampleReader: each column of the key in turn has a value between
// the least and the greatest that the index has below the values before it. That spreads keys
// over their range, not over the rows: behind a gap a row is likelier to be met.
func (r *Reader) Spread(ctx context.Context, table event.TableName, n int, random func() float64) (keys [][]pipeline.Cell, err error) {
	defer r.silent.explain(&err)
	p, err := r.plan(ctx, table)
	if err != nil {
		return nil, err
	}
	if err := p.ordered(); err != nil {
		return nil, err
	}
	var out [][]pipeline.Cell
	for range n {
		key, err := r.place(ctx, p, random)
		if err != nil {
			return nil, fmt.Errorf("a place in %s: %w", table, err)
		}
		if key != nil {
			out = append(out, key)
		}
	}
	return out, nil
}

// place is one of Spread's keys; nil where there is no row.
func (r *Reader) place(ctx context.Context, p *plan, random func() float64) ([]pipeline.Cell, error) {
	where, found := "", map[int]pipeline.Cell{}
	for i, at := range p.order {
		name, kind := quote(p.columns[at].name), p.columns[at].dataType
		lo, hi, err := r.bounds(ctx, p, at, where)
		if err != nil || lo.Null {
			return nil, err
		}
		found[at] = between(kind, lo, hi, random)
		if i == len(p.order)-1 {
			break
		}
		text, err := p.literal(at, found[at])
		if err != nil {
			return nil, err
		}
		// The next column's range is that below a value which is there.
		if found[at], err = r.end(ctx, p, at, where+" AND "+name+" >= "+text, "ASC"); err != nil {
			return nil, err
		}
		if found[at].Null { // the order of texts is the server's: the place was behind the last
			found[at] = lo
		}
		if text, err = p.literal(at, found[at]); err != nil {
			return nil, err
		}
		where += " AND " + name + " = " + text
	}
	var key []pipeline.Cell
	for at, c := range p.columns {
		if c.key {
			key = append(key, found[at])
		}
	}
	return key, nil
}

// bounds are the least and the greatest value of a column of the key, NULL where there is
// none. They are selected, not MIN and MAX, whose types are not always the column's.
func (r *Reader) bounds(ctx context.Context, p *plan, at int, where string) (lo, hi pipeline.Cell, err error) {
	if lo, err = r.end(ctx, p, at, where, "ASC"); err == nil {
		hi, err = r.end(ctx, p, at, where, "DESC")
	}
	return lo, hi, err
}

func (r *Reader) end(ctx context.Context, p *plan, at int, where, direction string) (pipeline.Cell, error) {
	c := p.columns[at]
	var value any
	query := fmt.Sprintf("SELECT %s FROM %s WHERE 1 = ?%s ORDER BY %[1]s %[4]s LIMIT 1", quote(c.name), p.from(), where, direction)
	err := r.db.QueryRowContext(ctx, query, 1).Scan(&value)
	if errors.Is(err, sql.ErrNoRows) {
		return pipeline.Cell{Null: true}, nil
	}
	if err != nil {
		return pipeline.Cell{}, fmt.Errorf("the range of %s: %w", c.name, err)
	}
	cell, err := render(c, value)
	if isText(c.dataType) {
		cell.Text = whole(cell.Text)
	}
	return cell, err
}

// between is a value of a type somewhere between two.
func between(dataType string, lo, hi pipeline.Cell, random func() float64) pipeline.Cell {
	switch dataType {
	case "tinyint", "smallint", "mediumint", "int", "bigint", "decimal", "year", "bit", "time":
		return betweenNumbers(lo, hi, random())
	case "date", "datetime", "timestamp":
		a, b := instant(string(lo.Text)), instant(string(hi.Text))
		unit := int64(1)
		if dataType == "date" {
			unit = 24 * 60 * 60
		}
		at := time.Unix(a.Unix()+int64(random()*float64(b.Unix()-a.Unix()+unit)), 0).UTC()
		if dataType == "date" {
			return text(at.Format(time.DateOnly))
		}
		return text(at.Format(time.DateTime))
	case "binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob", "uuid", "inet4", "inet6":
		return betweenBytes(dataType, lo, hi, random())
	default:
		return betweenTexts(lo, hi, random)
	}
}

// betweenNumbers keeps the digits behind the point, of which both have the same number.
func betweenNumbers(lo, hi pipeline.Cell, f float64) pipeline.Cell {
	point := strings.IndexByte(string(lo.Text), '.')
	scale := 0
	if point >= 0 {
		scale = len(lo.Text) - point - 1
	}
	number := func(c pipeline.Cell) (*big.Int, bool) {
		return new(big.Int).SetString(strings.Replace(string(c.Text), ".", "", 1), 10)
	}
	a, ok1 := number(lo)
	b, ok2 := number(hi)
	if !ok1 || !ok2 {
		return lo
	}
	value := part(a, b, f)
	digits := new(big.Int).Abs(value).String()
	if scale > 0 {
		digits = strings.Repeat("0", max(0, scale+1-len(digits))) + digits
		digits = digits[:len(digits)-scale] + "." + digits[len(digits)-scale:]
	}
	if value.Sign() < 0 {
		digits = "-" + digits
	}
	return text(digits)
}

// part is a whole number from a to b.
func part(a, b *big.Int, f float64) *big.Int {
	const bits = 53
	d := new(big.Int).Sub(b, a)
	d.Add(d, big.NewInt(1))
	d.Mul(d, big.NewInt(int64(f*(1<<bits))))
	return d.Add(d.Rsh(d, bits), a)
}

// instant reads a date or date-time; one that is no day of the calendar counts as the first
// second that all types have.
func instant(s string) time.Time {
	for _, layout := range []string{"2006-01-02 15:04:05.999999", time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			return t
		}
	}
	return time.Unix(1, 0).UTC()
}

// beyondPrefix is how many bytes or characters behind the common beginning are chosen.
const beyondPrefix = 8

func betweenBytes(dataType string, lo, hi pipeline.Cell, f float64) pipeline.Cell {
	a, err1 := hex.DecodeString(string(lo.Text))
	b, err2 := hex.DecodeString(string(hi.Text))
	if err1 != nil || err2 != nil {
		return lo
	}
	same := 0
	for same < len(a) && same < len(b) && a[same] == b[same] {
		same++
	}
	size := beyondPrefix
	if fixed := dataType == "uuid" || strings.HasPrefix(dataType, "inet"); fixed {
		size = len(a) - same
	}
	digits := func(s []byte) *big.Int {
		all := make([]byte, size)
		copy(all, s[same:])
		return new(big.Int).SetBytes(all)
	}
	x, y := digits(a), digits(b)
	if x.Cmp(y) > 0 { // a server orders UUIDs by more than their bytes
		x, y = y, x
	}
	tail := part(x, y, f).FillBytes(make([]byte, size))
	return text(hex.EncodeToString(append(slices.Clone(a[:same]), tail...)))
}

// betweenTexts chooses among the characters that both bounds have and the letters and digits
// of their kind: others may not exist in the column's character set.
func betweenTexts(lo, hi pipeline.Cell, random func() float64) pipeline.Cell {
	a, b := []rune(string(lo.Text)), []rune(string(hi.Text))
	same := 0
	for same < len(a) && same < len(b) && a[same] == b[same] {
		same++
	}
	out, letters := slices.Clone(a[:same]), alphabet(append(slices.Clone(a[same:]), b[same:]...))
	if len(letters) == 0 {
		return lo
	}
	first := letters
	if same < len(a) && same < len(b) {
		x, y := min(a[same], b[same]), max(a[same], b[same])
		first = slices.DeleteFunc(slices.Clone(letters), func(r rune) bool { return r < x || r > y })
	}
	if len(first) == 0 {
		return lo
	}
	out = append(out, first[int(random()*float64(len(first)))])
	for range beyondPrefix - 1 {
		out = append(out, letters[int(random()*float64(len(letters)))])
	}
	return text(string(out))
}

func alphabet(of []rune) []rune {
	var all []rune
	for _, class := range []struct {
		has  func(rune) bool
		runs string
	}{
		{func(r rune) bool { return r >= '0' && r <= '9' }, "0123456789"},
		{func(r rune) bool { return r < utf8.RuneSelf && unicode.IsLower(r) }, "abcdefghijklmnopqrstuvwxyz"},
		{func(r rune) bool { return r < utf8.RuneSelf && unicode.IsUpper(r) }, "ABCDEFGHIJKLMNOPQRSTUVWXYZ"},
	} {
		if slices.ContainsFunc(of, class.has) {
			all = append(all, []rune(class.runs)...)
		}
	}
	for _, r := range of {
		if r != utf8.RuneError {
			all = append(all, r)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}
