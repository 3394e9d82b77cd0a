package column

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"time"

	"github.com/millrace/millrace/pipeline/event"
)

// Literal is the constant v, a value of src, as an expression of type t: what older rows of
// a new column show.
func Literal(src *event.Column, t Type, v event.Value, p Policy) (string, error) {
	b := NewBuffer(src, t, p)
	changed, err := b.Append(v)
	if err != nil {
		return "", err
	}
	if t.family != 0 && changed != Kept {
		return "", fmt.Errorf("%s is not held by %s", event.AppendValueText(nil, src, v), t.Name)
	}
	if len(b.nulls) == 1 && b.nulls[0] == 1 || len(b.names) == 1 && b.names[0] == nil {
		return "NULL", nil
	}
	if t.family != 0 {
		return t.constant(src, v)
	}
	switch t.kind {
	case kindInt:
		return strconv.FormatInt(v.Int(), 10), nil
	case kindUint:
		return strconv.FormatUint(v.Uint(), 10), nil
	case kindFloat:
		return "toFloat32(" + quote(string(event.AppendValueText(nil, src, v))) + ")", nil
	case kindDouble:
		return "toFloat64(" + quote(string(event.AppendValueText(nil, src, v))) + ")", nil
	case kindDecimal:
		return fmt.Sprintf("CAST(%s, %s)", quote(string(v)), quote(t.Name)), nil
	case kindDate:
		return fmt.Sprintf("toDate32(%s)", quote(time.Unix(86400*int64(int32(word(b.raw))), 0).UTC().Format("2006-01-02"))), nil
	case kindDateTime, kindTimestamp:
		micros := int64(word(b.raw)) * pow10(6-t.scale)
		return fmt.Sprintf("toDateTime64(%s, %d, 'UTC')", quote(time.UnixMicro(micros).UTC().Format("2006-01-02 15:04:05.000000")), t.scale), nil
	case kindTime:
		if t.Name == "Int64" {
			return strconv.FormatInt(v.Time(), 10), nil
		}
		return fmt.Sprintf("CAST(%s, %s)", quote(string(event.AppendValueText(nil, src, v))), quote(t.Name)), nil
	case kindEnum:
		return quote(src.EnumName(v.Uint())), nil
	case kindSet:
		return quote(src.SetText(v.Uint())), nil
	case kindText:
		return "unhex('" + hex.EncodeToString(v) + "')", nil
	}
	return "", fmt.Errorf("a constant of type %s can't be written", t.Name)
}

// constant is a value that a type holds which was chosen.
func (t Type) constant(src *event.Column, v event.Value) (string, error) {
	text := "unhex('" + hex.EncodeToString([]byte(canonical(src, v))) + "')"
	if t.family == asUUID && src.Type == event.TypeBinary {
		text = quote(fmt.Sprintf("%x-%x-%x-%x-%x", []byte(v[:4]), []byte(v[4:6]), []byte(v[6:8]), []byte(v[8:10]), []byte(v[10:])))
	}
	return fmt.Sprintf("CAST(%s, %s)", text, quote(t.Name)), nil
}

func word(le []byte) uint64 {
	n := uint64(0)
	for i := len(le) - 1; i >= 0; i-- {
		n = n<<8 | uint64(le[i])
	}
	return n
}

// quote is for texts of digits, letters and the like; ddl.String quotes any.
func quote(s string) string {
	out := make([]byte, 0, len(s)+2)
	out = append(out, '\'')
	for i := range len(s) {
		if s[i] == '\'' || s[i] == '\\' {
			out = append(out, '\\')
		}
		out = append(out, s[i])
	}
	return string(append(out, '\''))
}

// Cast is an expression of type t for the values of an older column of the same source
// column, whose type was from; "" where there is none. It never fails on a value.
func Cast(from, t Type, column string) string {
	target, null := t.Name, "NULL"
	if t.dictionary() {
		target = "String"
	}
	if !t.Nullable {
		null = fmt.Sprintf("defaultValueOfTypeName(%s)", quote(target))
	}
	switch {
	case from.kind == kindVector || t.kind == kindVector:
		return ""
	case from.Name == t.Name && t.Nullable:
		return column
	case from.Name == t.Name:
		return fmt.Sprintf("ifNull(%s, %s)", column, null)
	case target == "String":
		return fmt.Sprintf("ifNull(CAST(%s, 'Nullable(String)'), %s)", column, null)
	case from.kind == kindTime || t.kind == kindTime:
		if from.Name == "Int64" || t.Name == "Int64" {
			return ""
		}
		return fmt.Sprintf("CAST(ifNull(%s, %s), %s)", column, null, quote(t.Text()))
	}
	return fmt.Sprintf("ifNull(accurateCastOrNull(%s, %s), %s)", column, quote(target), null)
}
