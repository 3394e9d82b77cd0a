package column

import (
	"fmt"
	"strings"

	"github.com/millrace/millrace/pipeline/event"
)

// kind is how a column's values lie in a block.
type kind uint8

const (
	kindInt kind = iota + 1
	kindUint
	kindFloat
	kindDouble
	kindDecimal
	kindDate
	kindDateTime
	kindTimestamp
	kindTime
	kindText // texts as they are
	kindEnum // a name out of a few: its column is a dictionary
	kindSet
	kindVector
	kindLow // texts, of which there are few: a dictionary
	kindAs  // what was chosen and is of no source type's own
)

// Type is a column's type in the target.
type Type struct {
	// Name is the type without Nullable, as ClickHouse writes it.
	Name     string
	Nullable bool
	// Key says that the column is part of the sorting key.
	Key bool

	kind        kind
	size        int // bytes of a fixed-width value
	prec, scale int
	family      family // of a type that was chosen
	// As is the choice, "" for a type of the column's own.
	As string
}

// Text is the type as a definition names it.
func (t Type) Text() string {
	switch {
	case !t.Nullable:
		return t.Name
	case t.dictionary():
		return "LowCardinality(Nullable(String))"
	}
	return "Nullable(" + t.Name + ")"
}

// dictionary says that the driver makes a dictionary of the values.
func (t Type) dictionary() bool { return t.kind == kindEnum || t.kind == kindLow }

// Options are what the target's server can do.
type Options struct {
	// Time64 is false on servers before 25.6; TIME is then a number of microseconds.
	Time64 bool
	// Chosen are types that the configuration gives to columns, by their names in small letters.
	Chosen map[string]As
	// Kept has types that columns were made in stay (schema_change: evolve, ignore).
	Kept bool
	// Names are the names under which Chosen has columns that have another one now, by identity.
	Names map[uint32]string
}

// Choice is the type that was chosen for a column, and under which name; "" for none.
func (o Options) Choice(c *event.Column) (text, name string) {
	for _, name := range []string{c.Name, o.Names[c.ID]} {
		if a, ok := o.Chosen[strings.ToLower(name)]; ok && name != "" {
			return a.Text(), name
		}
	}
	return "", ""
}

// Of is the type of the target's column for c. Whole numbers in a key are 64 bits wide: the
// type of a sorting key can't be changed later, and INT to BIGINT is the change that comes.
func Of(c *event.Column, key bool, o Options) (Type, error) {
	t, err := of(c, key, o)
	if err != nil {
		return t, err
	}
	t.Key = key
	t.Nullable = c.Nullable && t.kind != kindVector
	return t, nil
}

func of(c *event.Column, key bool, o Options) (Type, error) {
	switch c.Type {
	case event.TypeInt:
		n := width(c.Precision, key)
		return Type{Name: fmt.Sprintf("Int%d", 8*n), kind: kindInt, size: n}, nil
	case event.TypeUint:
		n := width(c.Precision, key)
		return Type{Name: fmt.Sprintf("UInt%d", 8*n), kind: kindUint, size: n}, nil
	case event.TypeBit:
		return Type{Name: "UInt64", kind: kindUint, size: 8}, nil
	case event.TypeYear:
		return Type{Name: "UInt16", kind: kindUint, size: 2}, nil
	case event.TypeDecimal:
		return decimalType(c), nil
	case event.TypeFloat:
		return Type{Name: "Float32", kind: kindFloat, size: 4}, nil
	case event.TypeDouble:
		return Type{Name: "Float64", kind: kindDouble, size: 8}, nil
	case event.TypeDate:
		return Type{Name: "Date32", kind: kindDate, size: 4}, nil
	case event.TypeDateTime, event.TypeTimestamp:
		t := Type{Name: fmt.Sprintf("DateTime64(%d, 'UTC')", digits(c)), kind: kindDateTime, size: 8, scale: digits(c)}
		if c.Type == event.TypeTimestamp {
			t.kind = kindTimestamp
		}
		return t, nil
	case event.TypeTime:
		if !o.Time64 {
			return Type{Name: "Int64", kind: kindTime, size: 8, scale: 6}, nil
		}
		return Type{Name: fmt.Sprintf("Time64(%d)", digits(c)), kind: kindTime, size: 8, scale: digits(c)}, nil
	case event.TypeEnum:
		return Type{Name: "LowCardinality(String)", kind: kindEnum}, nil
	case event.TypeSet:
		return Type{Name: "String", kind: kindSet}, nil
	case event.TypeBinary:
		if IsVector(c) {
			return Type{Name: "Array(Float32)", kind: kindVector}, nil
		}
		return Type{Name: "String", kind: kindText}, nil
	case event.TypeText, event.TypeJSON, event.TypeGeometry:
		return Type{Name: "String", kind: kindText}, nil
	}
	return Type{}, fmt.Errorf("column %s has a type (%s) that the target can't hold", c.Name, c.Native)
}

// OrNull is the type with NULL, for what may not be there at all. An Array has none: it is empty.
func (t Type) OrNull() Type {
	t.Key, t.Nullable = false, t.kind != kindVector
	return t
}

// RawText is the type of a column that holds the text of what another one can't hold.
func RawText() Type { return Type{Name: "String", Nullable: true, kind: kindText} }

// IsVector reports whether c is a VECTOR, whose bytes are 4 a dimension.
func IsVector(c *event.Column) bool {
	return c.Type == event.TypeBinary && strings.HasPrefix(strings.ToLower(c.Native), "vector")
}

func digits(c *event.Column) int { return min(max(c.Scale, 0), 6) }

// width is the width of a whole number in bytes. MEDIUMINT has no type of its own.
func width(n int, key bool) int {
	switch {
	case key || n > 4 || n < 1:
		return 8
	case n == 3:
		return 4
	}
	return n
}

// maxPrecision is what Decimal holds at most.
const maxPrecision = 76

func decimalType(c *event.Column) Type {
	p, s := c.Precision, c.Scale
	if p < 1 || p > maxPrecision || s < 0 || s > p {
		return Type{Name: "String", kind: kindText}
	}
	t := Type{Name: fmt.Sprintf("Decimal(%d, %d)", p, s), kind: kindDecimal, prec: p, scale: s}
	switch {
	case p <= 9:
		t.size = 4
	case p <= 18:
		t.size = 8
	case p <= 38:
		t.size = 16
	default:
		t.size = 32
	}
	return t
}
