package decode

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/millrace/millrace/connectors/mysql/charset"
	"github.com/millrace/millrace/pipeline/event"
)

// ErrMismatch says that the log's TABLE_MAP does not describe the table that the schema
// does: rows must not be decoded with it.
var ErrMismatch = errors.New("the schema does not fit the rows in the log")

// ErrUnsupported says that a column holds what cannot be captured: its charset or its
// type. The text names it.
var ErrUnsupported = errors.New("column cannot be captured")

// op is how a column is read.
type op uint8

const (
	opI8 op = iota
	opI16
	opI24
	opI32
	opI64
	opU8
	opU16
	opU24
	opU32
	opU64
	opFloat
	opDouble
	opDecimal
	opDate
	opDateTime
	opDateTimeOld
	opTimestamp
	opTimestampOld
	opTime
	opTimeOld
	opYear
	opUintLE // ENUM, SET: arg bytes
	opBit    // arg bytes, big endian
	opBytes  // arg bytes of length, then the value
	opPadded // the same, padded to size with zeros
	opUUID
	opJSON
	opGeometry
	opText // arg bytes of length, then text of set
)

// col is the plan of one column.
type col struct {
	op    op
	arg   uint8  // bytes of a length or number; fractional digits
	key   bool   // the column is one of the primary key
	ascii bool   // ASCII is its own conversion
	size  uint32 // padded length; precision<<8 | scale
	set   *charset.Set
}

// Decoder decodes rows of the log that one TABLE_MAP describes. It is immutable.
type Decoder struct {
	schema *event.Schema
	cols   []col
	maria  bool
	lossy  Counter
}

// Counter counts characters that are not what the server holds; nil counts nothing.
type Counter interface{ Add(n float64) }

// NewDecoder checks that tm fits s, column by column, and plans the decoding. What does
// not fit is a *Difference. lossy counts the U+FFFD that stand for bytes without a
// character.
func NewDecoder(s *event.Schema, tm *TableMap, maria bool, lossy Counter) (*Decoder, error) {
	if len(s.Columns) != len(tm.Types) {
		return nil, &Difference{Table: s.Name, Aspect: DiffersInColumns, Log: strconv.Itoa(len(tm.Types)), Tracked: strconv.Itoa(len(s.Columns))}
	}
	for i := range s.Columns {
		if err := Supported(&s.Columns[i]); err != nil {
			return nil, fmt.Errorf("%s: %w", s.Name, err)
		}
	}
	d := &Decoder{schema: s, cols: make([]col, len(s.Columns)), maria: maria, lossy: lossy}
	if err := d.fit(tm); err != nil {
		return nil, err
	}
	return d, nil
}

// Supported says why a column's values cannot be captured, nil when they can.
func Supported(c *event.Column) error {
	switch c.Type {
	case event.TypeUnsupported:
		return fmt.Errorf("%w: column %s has type %s", ErrUnsupported, c.Name, c.Native)
	case event.TypeText, event.TypeEnum, event.TypeSet:
		if charset.Named(c.Charset) == nil {
			return fmt.Errorf("%w: column %s has charset %q, which neither MySQL 9.7 nor MariaDB 11.8 has", ErrUnsupported, c.Name, c.Charset)
		}
	}
	return nil
}

// plan finds how column i is read, if the log's type fits the schema's.
func plan(c *event.Column, tm *TableMap, i int) (p col, ok bool) {
	t, meta := tm.Types[i], tm.Meta[i]
	switch c.Type {
	case event.TypeInt, event.TypeUint:
		return planInt(c, t)
	case event.TypeFloat:
		return col{op: opFloat}, t == wireFloat
	case event.TypeDouble:
		return col{op: opDouble}, t == wireDouble
	case event.TypeDecimal:
		return col{op: opDecimal, size: uint32(meta)}, t == wireDecimal && int(meta>>8) == c.Precision && int(meta&0xff) == c.Scale
	case event.TypeDate:
		return col{op: opDate}, t == wireDate || t == wireNewDate
	case event.TypeDateTime:
		return planTemporal(c, t, meta, opDateTime, wireDateTime2, opDateTimeOld, wireDateTime)
	case event.TypeTimestamp:
		return planTemporal(c, t, meta, opTimestamp, wireTimestamp2, opTimestampOld, wireTimestamp)
	case event.TypeTime:
		return planTemporal(c, t, meta, opTime, wireTime2, opTimeOld, wireTime)
	case event.TypeYear:
		return col{op: opYear}, t == wireYear
	case event.TypeEnum:
		return col{op: opUintLE, arg: uint8(meta)}, t == wireEnum && (meta == 1 || meta == 2)
	case event.TypeSet:
		return col{op: opUintLE, arg: uint8(meta)}, t == wireSet && meta >= 1 && meta <= 8
	case event.TypeBit:
		n := meta >> 8
		if meta&0xff != 0 {
			n++
		}
		return col{op: opBit, arg: uint8(n)}, t == wireBit && n <= 8 && int(meta>>8)*8+int(meta&0xff) == c.Length
	case event.TypeJSON:
		if t == wireJSON {
			return col{op: opJSON, arg: uint8(meta)}, meta >= 1 && meta <= 4
		}
		return planBytes(c, t, meta)
	case event.TypeGeometry:
		return col{op: opGeometry, arg: uint8(meta)}, t == wireGeometry && meta >= 1 && meta <= 4
	case event.TypeText, event.TypeBinary:
		return planBytes(c, t, meta)
	}
	return col{}, false
}

func planInt(c *event.Column, t byte) (col, bool) {
	var o op
	var want byte
	switch c.Precision {
	case 1:
		o, want = opI8, wireTiny
	case 2:
		o, want = opI16, wireShort
	case 3:
		o, want = opI24, wireInt24
	case 4:
		o, want = opI32, wireLong
	case 8:
		o, want = opI64, wireLongLong
	default:
		return col{}, false
	}
	if c.Type == event.TypeUint {
		o += opU8 - opI8
	}
	return col{op: o}, t == want
}

func planTemporal(c *event.Column, t byte, meta uint16, o op, want byte, old op, wantOld byte) (col, bool) {
	if t == wantOld { // tables made before fractions existed
		return col{op: old}, c.Scale == 0
	}
	return col{op: o, arg: uint8(meta)}, t == want && int(meta) == c.Scale && meta <= 6
}

func planBytes(c *event.Column, t byte, meta uint16) (col, bool) {
	p := col{op: opBytes}
	perChar := 1
	if set := textSet(c); set != nil {
		p.op, p.set, p.ascii, perChar = opText, set, set.ASCII(), set.MaxLen()
	}
	switch t {
	case wireVarchar, wireVarString:
		p.arg = lengthBytes(meta)
		return p, declared(c, "varchar", "varbinary") && int(meta) == c.Length*perChar || declared(c, "vector")
	case wireString:
		p.arg = lengthBytes(meta)
		if c.Type == event.TypeBinary {
			p.op, p.size = opPadded, uint32(c.Length)
			if declared(c, "uuid") {
				p.op = opUUID
			}
			return p, declared(c, "binary", "uuid", "inet4", "inet6") && int(meta) == c.Length
		}
		return p, declared(c, "char") && int(meta) == c.Length*perChar
	case wireBlob, 249, 250, 251, wireVector:
		p.arg = uint8(meta)
		return p, meta >= 1 && meta <= 4 && (declared(c, "json") || meta == blobLength(c.Native))
	}
	return col{}, false
}

// textSet is the charset of a column whose values are text in the log, nil for others.
func textSet(c *event.Column) *charset.Set {
	switch c.Type {
	case event.TypeText:
		return charset.Named(c.Charset)
	case event.TypeJSON: // MariaDB's, a LONGTEXT of any charset
		if set := charset.Named(c.Charset); set != nil {
			return set
		}
		return charset.Named("utf8mb4")
	}
	return nil
}

// declared reports whether the column's type text begins with one of the words.
func declared(c *event.Column, words ...string) bool {
	name := BaseType(c.Native)
	for _, w := range words {
		if name == w {
			return true
		}
	}
	return false
}

// BaseType is the first word of a type text, in lower case.
func BaseType(native string) string {
	i := strings.IndexFunc(native, func(r rune) bool { return r == '(' || r == ' ' })
	if i < 0 {
		i = len(native)
	}
	return strings.ToLower(native[:i])
}

func blobLength(native string) uint16 {
	switch BaseType(native) {
	case "tinyblob", "tinytext":
		return 1
	case "blob", "text":
		return 2
	case "mediumblob", "mediumtext":
		return 3
	case "longblob", "longtext", "vector":
		return 4
	}
	return 0
}

func lengthBytes(meta uint16) uint8 {
	if meta > 255 {
		return 2
	}
	return 1
}
