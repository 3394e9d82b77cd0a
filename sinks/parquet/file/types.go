package file

import (
	"fmt"
	"strings"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/deprecated"
	"github.com/parquet-go/parquet-go/encoding"
	"github.com/parquet-go/parquet-go/format"

	"github.com/millrace/millrace/pipeline/event"
)

// Kind is how a target column's values lie in a file.
type Kind uint8

const (
	Long    Kind = iota + 1 // INT64
	Int                     // INT32
	Dec32                   // INT32 decimal, up to 9 digits
	Dec64                   // INT64 decimal, up to 18 digits
	Dec128                  // FIXED_LEN_BYTE_ARRAY(16) decimal, up to 38 digits
	Float                   // FLOAT
	Double                  // DOUBLE
	Date                    // INT32 days
	Civil                   // INT64 microseconds, no zone
	Instant                 // INT64 microseconds UTC
	String                  // BYTE_ARRAY, UTF-8
	Binary                  // BYTE_ARRAY
)

// Type is a target column's type.
type Type struct {
	Kind        Kind
	Prec, Scale int // decimals
}

// TypeOf is the type of the target column for a source column. Whole numbers are 64 bits
// wide whatever their width in the source, so that widening one is no change here.
func TypeOf(c *event.Column) (Type, error) {
	switch c.Type {
	case event.TypeInt, event.TypeTime, event.TypeYear:
		return Type{Kind: Long}, nil
	case event.TypeUint:
		if c.Precision >= 1 && c.Precision <= 4 {
			return Type{Kind: Long}, nil
		}
		return DecimalType(20, 0), nil
	case event.TypeBit:
		if c.Length >= 1 && c.Length <= 63 {
			return Type{Kind: Long}, nil
		}
		return DecimalType(20, 0), nil
	case event.TypeDecimal:
		if c.Precision < 1 || c.Precision > 38 || c.Scale < 0 || c.Scale > c.Precision {
			return Type{Kind: String}, nil
		}
		return DecimalType(c.Precision, c.Scale), nil
	case event.TypeFloat:
		return Type{Kind: Float}, nil
	case event.TypeDouble:
		return Type{Kind: Double}, nil
	case event.TypeDate:
		return Type{Kind: Date}, nil
	case event.TypeDateTime:
		return Type{Kind: Civil}, nil
	case event.TypeTimestamp:
		return Type{Kind: Instant}, nil
	case event.TypeText, event.TypeJSON, event.TypeEnum, event.TypeSet:
		return Type{Kind: String}, nil
	case event.TypeBinary, event.TypeGeometry:
		return Type{Kind: Binary}, nil
	}
	return Type{}, fmt.Errorf("column %s has a type (%s) that the target cannot hold", c.Name, c.Native)
}

// DecimalType is the narrowest form that holds a decimal.
func DecimalType(prec, scale int) Type {
	switch {
	case prec <= 9:
		return Type{Dec32, prec, scale}
	case prec <= 18:
		return Type{Dec64, prec, scale}
	}
	return Type{Dec128, prec, scale}
}

// HasRaw says that values of the source type may be no calendar day, so that a column
// with their text may be needed.
func HasRaw(t event.Type) bool {
	return t == event.TypeDate || t == event.TypeDateTime || t == event.TypeTimestamp
}

// Delta is the type's name in a Delta schema; parseDelta reads it back.
func (t Type) Delta() string {
	switch t.Kind {
	case Long:
		return "long"
	case Int:
		return "integer"
	case Dec32, Dec64, Dec128:
		return fmt.Sprintf("decimal(%d,%d)", t.Prec, t.Scale)
	case Float:
		return "float"
	case Double:
		return "double"
	case Date:
		return "date"
	case Civil:
		return "timestamp_ntz"
	case Instant:
		return "timestamp"
	case String:
		return "string"
	case Binary:
		return "binary"
	}
	panic("BUG: a column without a kind")
}

// ParseDelta reads what Delta gives.
func ParseDelta(s string) (Type, error) {
	switch s {
	case "long":
		return Type{Kind: Long}, nil
	case "integer":
		return Type{Kind: Int}, nil
	case "float":
		return Type{Kind: Float}, nil
	case "double":
		return Type{Kind: Double}, nil
	case "date":
		return Type{Kind: Date}, nil
	case "timestamp_ntz":
		return Type{Kind: Civil}, nil
	case "timestamp":
		return Type{Kind: Instant}, nil
	case "string":
		return Type{Kind: String}, nil
	case "binary":
		return Type{Kind: Binary}, nil
	}
	var p, sc int
	if strings.HasPrefix(s, "decimal(") {
		if n, err := fmt.Sscanf(s, "decimal(%d,%d)", &p, &sc); n == 2 && err == nil && p >= 1 && p <= 38 && sc >= 0 && sc <= p {
			return DecimalType(p, sc), nil
		}
	}
	return Type{}, fmt.Errorf("the type %q is not one that this sink writes", s)
}

// leaf is the Parquet column of the type. Its values are PLAIN or in a dictionary, which every
// reader takes for what they are, also when page indexes let it leave values out: Spark 3.5
// counts what it has read of a DELTA_BINARY_PACKED page anew with each call
// (VectorizedDeltaBinaryPackedReader.readValues), so that a skip within a page puts it back to
// the page's first value, and shows other rows without an error.
func (t Type) leaf(required, dictionary bool) parquet.Node {
	var n parquet.Node
	var enc encoding.Encoding
	switch t.Kind {
	case Long:
		n, enc = parquet.Int(64), &parquet.Plain
	case Int:
		n, enc = parquet.Int(32), &parquet.Plain
	case Dec32:
		n = parquet.Leaf(&decimalLeaf{Type: parquet.Int32Type, logical: t.logical()})
	case Dec64:
		n = parquet.Leaf(&decimalLeaf{Type: parquet.Int64Type, logical: t.logical()})
	case Dec128:
		n = parquet.Leaf(&signedFixed{decimalLeaf{Type: parquet.FixedLenByteArrayType(16), logical: t.logical()}})
	case Float:
		n = parquet.Leaf(parquet.FloatType)
	case Double:
		n = parquet.Leaf(parquet.DoubleType)
	case Date:
		n = parquet.Date()
	case Civil:
		n, enc = parquet.TimestampAdjusted(parquet.Microsecond, false), &parquet.Plain
	case Instant:
		n, enc = parquet.TimestampAdjusted(parquet.Microsecond, true), &parquet.Plain
	case String:
		n, enc = parquet.String(), &parquet.Plain
	case Binary:
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

func (t Type) logical() *format.LogicalType {
	return &format.LogicalType{Value: &format.DecimalType{Scale: int32(t.Scale), Precision: int32(t.Prec)}}
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
