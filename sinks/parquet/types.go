package parquet

import (
	"fmt"
	"strings"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/deprecated"
	"github.com/parquet-go/parquet-go/encoding"
	"github.com/parquet-go/parquet-go/format"

	"github.com/millrace/millrace/pipeline/event"
)

// kind is how a target column's values lie in a file.
type kind uint8

const (
	kindLong    kind = iota + 1 // INT64
	kindInt                     // INT32
	kindDec32                   // INT32 decimal, up to 9 digits
	kindDec64                   // INT64 decimal, up to 18 digits
	kindDec128                  // FIXED_LEN_BYTE_ARRAY(16) decimal, up to 38 digits
	kindFloat                   // FLOAT
	kindDouble                  // DOUBLE
	kindDate                    // INT32 days
	kindCivil                   // INT64 microseconds, no zone
	kindInstant                 // INT64 microseconds UTC
	kindString                  // BYTE_ARRAY, UTF-8
	kindBinary                  // BYTE_ARRAY
)

// colType is a target column's type.
type colType struct {
	kind        kind
	prec, scale int // decimals
}

// typeOf is the type of the target column for a source column. Whole numbers are 64 bits
// wide whatever their width in the source, so that widening one is no change here.
func typeOf(c *event.Column) (colType, error) {
	switch c.Type {
	case event.TypeInt, event.TypeTime, event.TypeYear:
		return colType{kind: kindLong}, nil
	case event.TypeUint:
		if c.Precision >= 1 && c.Precision <= 4 {
			return colType{kind: kindLong}, nil
		}
		return decimalType(20, 0), nil
	case event.TypeBit:
		if c.Length >= 1 && c.Length <= 63 {
			return colType{kind: kindLong}, nil
		}
		return decimalType(20, 0), nil
	case event.TypeDecimal:
		if c.Precision < 1 || c.Precision > 38 || c.Scale < 0 || c.Scale > c.Precision {
			return colType{kind: kindString}, nil
		}
		return decimalType(c.Precision, c.Scale), nil
	case event.TypeFloat:
		return colType{kind: kindFloat}, nil
	case event.TypeDouble:
		return colType{kind: kindDouble}, nil
	case event.TypeDate:
		return colType{kind: kindDate}, nil
	case event.TypeDateTime:
		return colType{kind: kindCivil}, nil
	case event.TypeTimestamp:
		return colType{kind: kindInstant}, nil
	case event.TypeText, event.TypeJSON, event.TypeEnum, event.TypeSet:
		return colType{kind: kindString}, nil
	case event.TypeBinary, event.TypeGeometry:
		return colType{kind: kindBinary}, nil
	}
	return colType{}, fmt.Errorf("column %s has a type (%s) that the target cannot hold", c.Name, c.Native)
}

func decimalType(prec, scale int) colType {
	switch {
	case prec <= 9:
		return colType{kindDec32, prec, scale}
	case prec <= 18:
		return colType{kindDec64, prec, scale}
	}
	return colType{kindDec128, prec, scale}
}

// hasRaw says that values of the source type may be no calendar day, so that a column
// with their text may be needed.
func hasRaw(t event.Type) bool {
	return t == event.TypeDate || t == event.TypeDateTime || t == event.TypeTimestamp
}

// delta is the type's name in a Delta schema; parseDelta reads it back.
func (t colType) delta() string {
	switch t.kind {
	case kindLong:
		return "long"
	case kindInt:
		return "integer"
	case kindDec32, kindDec64, kindDec128:
		return fmt.Sprintf("decimal(%d,%d)", t.prec, t.scale)
	case kindFloat:
		return "float"
	case kindDouble:
		return "double"
	case kindDate:
		return "date"
	case kindCivil:
		return "timestamp_ntz"
	case kindInstant:
		return "timestamp"
	case kindString:
		return "string"
	case kindBinary:
		return "binary"
	}
	panic("BUG: a column without a kind")
}

func parseDelta(s string) (colType, error) {
	switch s {
	case "long":
		return colType{kind: kindLong}, nil
	case "integer":
		return colType{kind: kindInt}, nil
	case "float":
		return colType{kind: kindFloat}, nil
	case "double":
		return colType{kind: kindDouble}, nil
	case "date":
		return colType{kind: kindDate}, nil
	case "timestamp_ntz":
		return colType{kind: kindCivil}, nil
	case "timestamp":
		return colType{kind: kindInstant}, nil
	case "string":
		return colType{kind: kindString}, nil
	case "binary":
		return colType{kind: kindBinary}, nil
	}
	var p, sc int
	if strings.HasPrefix(s, "decimal(") {
		if n, err := fmt.Sscanf(s, "decimal(%d,%d)", &p, &sc); n == 2 && err == nil && p >= 1 && p <= 38 && sc >= 0 && sc <= p {
			return decimalType(p, sc), nil
		}
	}
	return colType{}, fmt.Errorf("the type %q is not one that this sink writes", s)
}

// leaf is the Parquet column of the type.
func (t colType) leaf(required, dictionary bool) parquet.Node {
	var n parquet.Node
	var enc encoding.Encoding
	switch t.kind {
	case kindLong:
		n, enc = parquet.Int(64), &parquet.DeltaBinaryPacked
	case kindInt:
		n, enc = parquet.Int(32), &parquet.DeltaBinaryPacked
	case kindDec32:
		n = parquet.Leaf(&decimalLeaf{Type: parquet.Int32Type, logical: t.logical()})
	case kindDec64:
		n = parquet.Leaf(&decimalLeaf{Type: parquet.Int64Type, logical: t.logical()})
	case kindDec128:
		n = parquet.Leaf(&signedFixed{decimalLeaf{Type: parquet.FixedLenByteArrayType(16), logical: t.logical()}})
	case kindFloat:
		n = parquet.Leaf(parquet.FloatType)
	case kindDouble:
		n = parquet.Leaf(parquet.DoubleType)
	case kindDate:
		n = parquet.Date()
	case kindCivil:
		n, enc = parquet.TimestampAdjusted(parquet.Microsecond, false), &parquet.DeltaBinaryPacked
	case kindInstant:
		n, enc = parquet.TimestampAdjusted(parquet.Microsecond, true), &parquet.DeltaBinaryPacked
	case kindString:
		n, enc = parquet.String(), &parquet.Plain
	case kindBinary:
		n, enc = parquet.Leaf(boundedBytes{parquet.ByteArrayType}), &parquet.Plain
	}
	if dictionary {
		enc = &parquet.RLEDictionary
	}
	if enc != nil {
		n = parquet.Encoded(n, enc)
	}
	if !required {
		n = parquet.Optional(n)
	}
	return n
}

func (t colType) logical() *format.LogicalType {
	return &format.LogicalType{Value: &format.DecimalType{Scale: int32(t.scale), Precision: int32(t.prec)}}
}

// decimalLeaf says of a physical type that its values are decimals.
type decimalLeaf struct {
	parquet.Type
	logical *format.LogicalType
}

func (t *decimalLeaf) LogicalType() *format.LogicalType { return t.logical }

func (t *decimalLeaf) ConvertedType() *deprecated.ConvertedType {
	c := deprecated.Decimal
	return &c
}

func (t *decimalLeaf) String() string { return t.logical.String() }
