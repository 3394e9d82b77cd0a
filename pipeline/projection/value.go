package projection

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"

	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
)

// kind is the class of a column's type, found in the type's text so that a definition and a
// reader of the source agree on it.
type kind struct {
	class class
	size  int // bytes of BINARY, digits behind a decimal's point
}

type class uint8

const (
	other class = iota
	text
	number
	decimal
	float
	fixed // BINARY(n)
	binary
	date
	datetime
	clock
	year
	bits
)

var classes = map[string]class{
	"char": text, "varchar": text, "tinytext": text, "text": text, "mediumtext": text, "longtext": text,
	"tinyint": number, "smallint": number, "mediumint": number, "int": number, "integer": number, "bigint": number,
	"decimal": decimal, "numeric": decimal, "float": float, "double": float,
	"binary": fixed, "varbinary": binary, "tinyblob": binary, "blob": binary, "mediumblob": binary, "longblob": binary,
	"date": date, "datetime": datetime, "timestamp": datetime, "time": clock, "year": year, "bit": bits,
}

// types are those that columns of a class have in an image.
var types = map[class][]event.Type{
	text: {event.TypeText}, number: {event.TypeInt, event.TypeUint}, decimal: {event.TypeDecimal}, float: {event.TypeFloat, event.TypeDouble},
	fixed: {event.TypeBinary}, binary: {event.TypeBinary}, date: {event.TypeDate}, datetime: {event.TypeDateTime, event.TypeTimestamp},
	clock: {event.TypeTime}, year: {event.TypeYear}, bits: {event.TypeBit},
}

// mostFixed is the largest BINARY(n) that servers have.
const mostFixed = 255

func kindOf(native string) kind {
	native = strings.ToLower(strings.TrimSpace(native))
	word, rest, sized := strings.Cut(native, "(")
	if !sized {
		word, _, _ = strings.Cut(native, " ")
	}
	k := kind{class: classes[strings.TrimSpace(word)]}
	inside, _, _ := strings.Cut(rest, ")")
	switch k.class {
	case fixed:
		n, err := strconv.Atoi(inside)
		if k.size = n; err != nil && sized || n < 0 || n > mostFixed {
			return kind{}
		}
		if !sized {
			k.size = 1
		}
	case decimal:
		if _, scale, ok := strings.Cut(inside, ","); ok {
			n, err := strconv.Atoi(strings.TrimSpace(scale))
			if k.size = n; err != nil || n < 0 || n > mostFixed {
				return kind{}
			}
		}
	}
	return k
}

func (k kind) masked() bool { return k.class != other }

func (k kind) hashed() bool {
	return k.class == text || k.class == number || k.class == fixed || k.class == binary
}

// maskText is the value that stands for all others of a kind, as a reader's cell shows it.
func (k kind) maskText() string {
	switch k.class {
	case text:
		return "*"
	case decimal:
		if k.size > 0 {
			return "0." + strings.Repeat("0", k.size)
		}
	case fixed:
		return strings.Repeat("00", k.size)
	case binary:
		return ""
	case date:
		return "1970-01-01"
	case datetime:
		return "1970-01-01 00:00:00.000000"
	case year:
		return "1970"
	}
	return "0"
}

// appendMask gives the next column that value.
func (k kind) appendMask(b *event.ImageBuilder, c *event.Column) {
	switch c.Type {
	case event.TypeInt, event.TypeUint, event.TypeYear, event.TypeBit:
		n := int64(0)
		if k.class == year {
			n = 1970
		}
		if c.Type == event.TypeInt {
			b.AppendInt(n)
		} else {
			b.AppendUint(uint64(n))
		}
	case event.TypeText, event.TypeDecimal:
		b.AppendText(k.maskText())
	case event.TypeBinary:
		b.AppendBytes(make([]byte, k.size))
	case event.TypeFloat:
		b.AppendFloat(0)
	case event.TypeDouble:
		b.AppendDouble(0)
	case event.TypeDate:
		b.AppendDate(1970, 1, 1)
	case event.TypeDateTime:
		b.AppendDateTime(event.Civil{Year: 1970, Month: 1, Day: 1})
	case event.TypeTimestamp:
		b.AppendTimestamp(0)
	case event.TypeTime:
		b.AppendTime(0)
	default:
		panic("BUG: a column without a mask was taken to have one")
	}
}

// hashLength is that of a hash in hex.
const hashLength = 2 * sha256.Size

// digest is the hash of a value's text: HMAC-SHA-256 under the salt, in lower-case hex.
func digest(salt, value []byte) string {
	m := hmac.New(sha256.New, salt)
	m.Write(value)
	return hex.EncodeToString(m.Sum(nil))
}

// appendText is the text of which a value's hash is made: of whole numbers the digits, of
// binary strings lower-case hex, of texts their UTF-8.
func appendText(dst []byte, c *event.Column, v event.Value) []byte {
	switch c.Type {
	case event.TypeInt:
		return strconv.AppendInt(dst, v.Int(), 10)
	case event.TypeUint:
		return strconv.AppendUint(dst, v.Uint(), 10)
	case event.TypeBinary:
		return hex.AppendEncode(dst, v)
	case event.TypeText:
		return append(dst, v...)
	}
	panic("BUG: a column that can't be hashed was taken to be")
}

// cell does to a reader's cell what the stream does to a value.
func (r *rule) cell(a action, native string, c pipeline.Cell) pipeline.Cell {
	switch {
	case c.Null || a == keep:
		return c
	case a == mask:
		return pipeline.Cell{Text: []byte(kindOf(native).maskText())}
	}
	return pipeline.Cell{Text: []byte(digest(r.salt, c.Text))}
}
