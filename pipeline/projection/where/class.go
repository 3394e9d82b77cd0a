package where

import (
	"slices"
	"strconv"
	"strings"

	"github.com/millrace/millrace/pipeline/event"
)

// class says how values of a column compare.
type class uint8

const (
	opaque class = iota // IS NULL alone
	whole
	decimal
	float
	double
	text
	enum
	set
	binaryClass
	date
	datetime
	timestamp
	clock
)

var classes = map[string]class{
	"tinyint": whole, "smallint": whole, "mediumint": whole, "int": whole, "integer": whole, "bigint": whole, "bit": whole, "year": whole,
	"decimal": decimal, "numeric": decimal, "float": float, "double": double,
	"char": text, "varchar": text, "tinytext": text, "text": text, "mediumtext": text, "longtext": text, "enum": enum, "set": set,
	"binary": binaryClass, "varbinary": binaryClass, "tinyblob": binaryClass, "blob": binaryClass, "mediumblob": binaryClass,
	"longblob": binaryClass,
	"date":     date, "datetime": datetime, "timestamp": timestamp, "time": clock,
}

// forms are the types that columns of a class have in an image.
var forms = map[class][]event.Type{
	whole: {event.TypeInt, event.TypeUint, event.TypeBit, event.TypeYear}, decimal: {event.TypeDecimal}, float: {event.TypeFloat},
	double: {event.TypeDouble}, text: {event.TypeText}, enum: {event.TypeEnum}, set: {event.TypeSet},
	binaryClass: {event.TypeBinary}, date: {event.TypeDate},
	datetime: {event.TypeDateTime}, timestamp: {event.TypeTimestamp}, clock: {event.TypeTime},
}

// Column is what a condition needs to know of one: of a definition all of it, of a reader's
// column the name and the type's text, which is enough to evaluate what a definition has
// permitted.
type Column struct {
	Name, Native string
	// Charset is that of a text, "" where it is not known.
	Charset string
	// Definition is nil for a reader's column.
	Definition *event.Column
}

// typ is a column's type as a condition sees it.
type typ struct {
	class class
	word  string // the type's name
	year  bool
	scale int // digits of a temporal type's fraction
}

// typeOf finds a column's type in the type's text, so that a definition and a reader agree.
func typeOf(c Column) typ {
	native := strings.ToLower(strings.TrimSpace(c.Native))
	name, rest, sized := strings.Cut(native, "(")
	if !sized {
		name, _, _ = strings.Cut(native, " ")
	}
	t := typ{word: strings.TrimSpace(name)}
	t.class, t.year = classes[t.word], t.word == "year"
	if inside, _, _ := strings.Cut(rest, ")"); t.class == datetime || t.class == timestamp || t.class == clock {
		t.scale, _ = strconv.Atoi(inside)
	}
	if c.Definition != nil && !slices.Contains(forms[t.class], c.Definition.Type) {
		t.class = opaque
	}
	return t
}
