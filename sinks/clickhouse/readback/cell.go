package readback

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/millrace/millrace/pipeline"
)

// viewColumn is a column of a view: its type, and the source's as its comment says.
type viewColumn struct {
	name, typ, native string
	raw               *viewColumn // the column whose texts it holds, nil for none
}

// word is the source's type without its size.
func (c *viewColumn) word() string {
	word, _, _ := strings.Cut(strings.ToLower(c.native), "(")
	word, _, _ = strings.Cut(word, " ")
	return word
}

// moments says that the source's values are dates with a time.
func (c *viewColumn) moments() bool {
	return c.word() == "datetime" || c.word() == "timestamp" || strings.HasPrefix(c.plain(), "DateTime")
}

// scale is how many digits the source's decimals have behind the point, -1 for what is none.
func (c *viewColumn) scale() int {
	var p, s int
	switch word := c.word(); word {
	case "decimal", "numeric":
		if n, _ := fmt.Sscanf(strings.ToLower(c.native), word+"(%d,%d)", &p, &s); n > 0 && s >= 0 && s <= maxScale {
			return s
		}
	case "tinyint", "smallint", "mediumint", "int", "integer", "bigint":
		return 0
	}
	return -1
}

// plain is the type without what wraps it.
func (c *viewColumn) plain() string {
	t := c.typ
	for _, wrap := range []string{"LowCardinality(", "Nullable("} {
		if strings.HasPrefix(t, wrap) {
			t = strings.TrimSuffix(strings.TrimPrefix(t, wrap), ")")
		}
	}
	return t
}

// binary says that the source's values are bytes and not text.
func (c *viewColumn) binary() bool {
	native := strings.ToLower(c.native)
	for _, word := range []string{"binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob", "geometry", "point", "linestring",
		"polygon", "multipoint", "multilinestring", "multipolygon", "geometrycollection", "geomcollection", "inet", "uuid"} {
		if rest, ok := strings.CutPrefix(native, word); ok && (rest == "" || strings.ContainsAny(rest[:1], "( ")) {
			return true
		}
	}
	return false
}

// expression has the server write a value as text, where the driver would change it.
func (c *viewColumn) expression() string {
	q := quoted(c.name)
	switch t := c.plain(); {
	case t == "Float32" || t == "Float64":
		return q
	case (t == "String" || strings.HasPrefix(t, "FixedString")) && c.binary():
		return "lower(hex(" + q + "))"
	case t == "UUID" && c.binary():
		return "replaceAll(toString(" + q + "), '-', '')"
	case t == "Bool":
		return "toString(CAST(" + q + ", '" + c.wrapped("UInt8") + "'))"
	case strings.HasPrefix(t, "DateTime"):
		return "toString(CAST(" + q + ", '" + c.wrapped("DateTime64(6, \\'UTC\\')") + "'))"
	case strings.HasPrefix(t, "Time64"):
		return "toString(CAST(" + q + ", '" + c.wrapped("Time64(6)") + "'))"
	case strings.HasPrefix(t, "Decimal"):
		return "toString(" + q + ")"
	case t == "Array(Float32)":
		return "lower(arrayStringConcat(arrayMap(x -> hex(reinterpretAsFixedString(x)), " + q + ")))"
	}
	return "toString(" + q + ")"
}

func (c *viewColumn) nullable() bool { return strings.Contains(c.typ, "Nullable(") }

func (c *viewColumn) wrapped(t string) string {
	if c.nullable() {
		return "Nullable(" + t + ")"
	}
	return t
}

// destination is what a value is scanned into.
func (c *viewColumn) destination() any {
	switch t := c.plain(); {
	case t == "Float32" && c.nullable():
		return new(*float32)
	case t == "Float32":
		return new(float32)
	case t == "Float64" && c.nullable():
		return new(*float64)
	case t == "Float64":
		return new(float64)
	case c.nullable():
		return new(*string)
	}
	return new(string)
}

func (c *viewColumn) cell(dest any) pipeline.Cell {
	switch v := dest.(type) {
	case *float32:
		return c.number(float64(*v), 32)
	case **float32:
		if *v != nil {
			return c.number(float64(**v), 32)
		}
	case *float64:
		return c.number(*v, 64)
	case **float64:
		if *v != nil {
			return c.number(**v, 64)
		}
	case *string:
		return c.text(*v)
	case **string:
		if *v != nil {
			return c.text(**v)
		}
	default:
		panic(fmt.Sprintf("BUG: a value of %T", dest))
	}
	return pipeline.Cell{Null: true}
}

// number is a floating number in the form of the source's.
func (c *viewColumn) number(f float64, bits int) pipeline.Cell {
	if scale := c.scale(); scale >= 0 {
		return text(scaled(strconv.FormatFloat(f, 'f', -1, bits), scale))
	}
	switch c.word() { // whatever the column is
	case "float":
		bits = 32
	case "double":
		bits = 64
	}
	return text(strconv.FormatFloat(f, 'g', -1, bits))
}

func text(s string) pipeline.Cell { return pipeline.Cell{Text: []byte(s)} }

// text brings the server's text into the form of pipeline.Cell.
func (c *viewColumn) text(s string) pipeline.Cell {
	switch t := c.plain(); {
	case t == "Array(Float32)" && s == "":
		return pipeline.Cell{Null: true} // no vector is empty
	case strings.HasPrefix(t, "Time64"):
		return text(micros(s))
	case t == "String" && c.word() == "time":
		return text(micros(padded(s)))
	case t == "String" && c.raw == nil && c.moments(), c.raw != nil && c.raw.moments():
		return text(padded(s))
	case c.raw != nil && c.raw.binary():
		return text(strings.TrimPrefix(s, "0x"))
	case c.scale() >= 0 && t != "String":
		return text(scaled(s, c.scale()))
	case strings.HasPrefix(t, "Decimal"):
		return text(digits(s, t))
	}
	return text(s)
}

// padded is a time with six digits behind the second.
func padded(s string) string {
	whole, fraction, _ := strings.Cut(s, ".")
	return whole + "." + (fraction + "000000")[:6]
}

// scaled is a number with as many digits behind the point, if those that go are zeros.
func scaled(s string, scale int) string {
	whole, behind, _ := strings.Cut(s, ".")
	behind = strings.TrimRight(behind, "0")
	if len(behind) < scale {
		behind += strings.Repeat("0", scale-len(behind))
	}
	if behind == "" {
		return whole
	}
	return whole + "." + behind
}

// micros is a time of day, or a span, in microseconds.
func micros(s string) string {
	rest, negative := strings.CutPrefix(s, "-")
	clock, fraction, _ := strings.Cut(rest, ".")
	parts := strings.Split(clock, ":")
	if len(parts) != 3 || len(parts[1]) != 2 || len(parts[2]) != 2 || len(fraction) != 6 {
		return s
	}
	n := int64(0)
	for i, part := range append(parts, fraction) {
		v, err := strconv.ParseUint(part, 10, 32)
		if err != nil {
			return s
		}
		n = n*[]int64{60, 60, 60, 1_000_000}[i] + int64(v)
	}
	if negative {
		n = -n
	}
	return strconv.FormatInt(n, 10)
}

// maxScale is the largest that ClickHouse has.
const maxScale = 76

// digits writes a decimal with all the digits behind the point that its type has.
func digits(s, typ string) string {
	var p, scale int
	if _, err := fmt.Sscanf(typ, "Decimal(%d, %d)", &p, &scale); err != nil || scale <= 0 || scale > maxScale {
		return s
	}
	whole, behind, _ := strings.Cut(s, ".")
	return whole + "." + behind + strings.Repeat("0", max(0, scale-len(behind)))
}
