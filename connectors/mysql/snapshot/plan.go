package snapshot

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/millrace/millrace/connectors/mysql/decode"
	"github.com/millrace/millrace/connectors/mysql/schema"
	"github.com/millrace/millrace/pipeline/event"
)

// Key is a row's place in its table: the texts of the key columns, as the server holds
// them. nil is before the first row, or behind the last.
type Key [][]byte

// keyVersion tells keys from those of version 1, whose texts were UTF-8 whatever the
// column's charset.
const keyVersion = 2

// Encode is the key as an attempt's cursor.
func (k Key) Encode() []byte {
	if k == nil {
		return nil
	}
	out := []byte{keyVersion}
	for _, v := range k {
		out = binary.AppendUvarint(out, uint64(len(v)))
		out = append(out, v...)
	}
	return out
}

// ErrCursor says that a cursor does not fit the table's key: the attempt must begin
// anew.
var ErrCursor = errors.New("the cursor of the snapshot does not fit the table's key")

// DecodeKey reads a cursor of a key of n columns.
func DecodeKey(b []byte, n int) (Key, error) {
	if len(b) == 0 {
		return nil, nil
	}
	if b[0] != keyVersion {
		return nil, fmt.Errorf("%w: version %d", ErrCursor, b[0])
	}
	var k Key
	for b = b[1:]; len(b) > 0; {
		size, m := binary.Uvarint(b)
		if m <= 0 || size > uint64(len(b)-m) {
			return nil, fmt.Errorf("%w: it is cut short", ErrCursor)
		}
		k = append(k, append([]byte{}, b[m:m+int(size)]...))
		b = b[m+int(size):]
	}
	if len(k) != n {
		return nil, fmt.Errorf("%w: %d columns, not %d", ErrCursor, len(k), n)
	}
	return k, nil
}

// Plan writes the statements that read a table.
type Plan struct {
	schema *event.Schema
	from   string
	list   string   // the columns
	keys   []string // the key's expressions
	text   *decode.TextDecoder
}

// NewPlan refuses tables with columns that cannot be captured. lossy counts the U+FFFD in
// their rows that stand for bytes without a character.
func NewPlan(s *event.Schema, maria bool, lossy decode.Counter) (*Plan, error) {
	text, err := decode.NewTextDecoder(s, maria, lossy)
	if err != nil {
		return nil, err
	}
	p := &Plan{schema: s, from: schema.QuoteTable(s.Name), text: text}
	list := make([]string, len(s.Columns))
	for i := range s.Columns {
		list[i] = decode.SelectExpr(&s.Columns[i], schema.Quote(s.Columns[i].Name))
	}
	p.list = strings.Join(list, ",")
	for _, k := range s.PrimaryKey {
		p.keys = append(p.keys, list[k])
	}
	return p, nil
}

// Columns is the number of key columns.
func (p *Plan) Columns() int { return len(p.keys) }

// Boundary is the statement that finds the n-th key behind lo.
func (p *Plan) Boundary(lo Key, n int) string {
	return "SELECT " + strings.Join(p.keys, ",") + " FROM " + p.from + p.where(lo, nil) +
		" ORDER BY " + strings.Join(p.keys, ",") + " LIMIT 1 OFFSET " + strconv.Itoa(n-1)
}

// Select is the statement that reads the rows behind lo up to and with hi, in the
// key's order.
func (p *Plan) Select(lo, hi Key) string {
	return "SELECT " + p.list + " FROM " + p.from + p.where(lo, hi) + " ORDER BY " + strings.Join(p.keys, ",")
}

// Behind is the statement that finds a row behind lo up to and with hi: what Select left
// out.
func (p *Plan) Behind(lo, hi Key) string {
	return "SELECT 1 FROM " + p.from + p.where(lo, hi) + " LIMIT 1"
}

// CountAll counts the rows of SelectAll.
func (p *Plan) CountAll() string { return "SELECT COUNT(*) FROM " + p.from }

// SelectAll reads the whole table in no order.
func (p *Plan) SelectAll() string { return "SELECT " + p.list + " FROM " + p.from }

// CopyKey copies the key out of a row of Select into dst, whose memory it uses again.
func (p *Plan) CopyKey(dst Key, vals [][]byte) Key {
	if dst == nil {
		dst = make(Key, len(p.schema.PrimaryKey))
	}
	for i, c := range p.schema.PrimaryKey {
		dst[i] = append(dst[i][:0], vals[c]...)
	}
	return dst
}

// AppendImage appends the image of a row of Select.
func (p *Plan) AppendImage(dst []byte, vals [][]byte) ([]byte, error) {
	return p.text.AppendImage(dst, vals)
}

// Check says why rows cannot be told apart by a key.
func (p *Plan) Check(k Key) error {
	for i, v := range k {
		if err := decode.CheckKey(&p.schema.Columns[p.schema.PrimaryKey[i]], v); err != nil {
			return fmt.Errorf("row of %s: %w", p.schema.Name, err)
		}
	}
	return nil
}

func (p *Plan) where(lo, hi Key) string {
	var parts []string
	if lo != nil {
		parts = append(parts, p.beyond(lo, ">", ">"))
	}
	if hi != nil {
		parts = append(parts, p.beyond(hi, "<", "<="))
	}
	if len(parts) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(parts, " AND ")
}

// beyond compares a composite key with one in the form that servers can use an index
// for: a op k1 OR (a = k1 AND (b op k2 OR …)); the first column's bound stands apart as
// well, so that the range is found.
func (p *Plan) beyond(k Key, op, last string) string {
	n := len(p.keys)
	expr := p.keys[n-1] + last + p.literal(n-1, k[n-1])
	for i := n - 2; i >= 0; i-- {
		lit := p.literal(i, k[i])
		expr = "(" + p.keys[i] + op + lit + " OR (" + p.keys[i] + "=" + lit + " AND " + expr + "))"
	}
	if n > 1 {
		expr = "(" + p.keys[0] + op + "=" + p.literal(0, k[0]) + " AND " + expr + ")"
	}
	return expr
}

// literal writes the text of key column i so that the comparison is the column's own.
func (p *Plan) literal(i int, v []byte) string {
	c := &p.schema.Columns[p.schema.PrimaryKey[i]]
	switch c.Type {
	case event.TypeInt, event.TypeUint, event.TypeDecimal, event.TypeYear, event.TypeEnum, event.TypeSet:
		if isNumber(v) {
			return string(v)
		}
	case event.TypeFloat, event.TypeDouble:
		if strings.ContainsAny(string(v), "eE") {
			return string(v)
		}
		return string(v) + "e0"
	case event.TypeBit:
		var n uint64
		for _, b := range v {
			n = n<<8 | uint64(b)
		}
		return strconv.FormatUint(n, 10)
	case event.TypeText:
		return fmt.Sprintf("_%s X'%x' COLLATE %s", c.Charset, v, c.Collation)
	case event.TypeBinary:
		switch decode.BaseType(c.Native) {
		case "uuid", "inet4", "inet6":
			return fmt.Sprintf("CONVERT(X'%x' USING latin1)", v)
		}
		return fmt.Sprintf("X'%x'", v)
	}
	return fmt.Sprintf("CONVERT(X'%x' USING latin1)", v)
}

func isNumber(v []byte) bool {
	for i, c := range v {
		if (c < '0' || c > '9') && c != '.' && (c != '-' || i > 0) {
			return false
		}
	}
	return len(v) > 0
}
