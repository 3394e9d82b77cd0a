package file

import (
	"errors"
	"fmt"
	"math"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/deprecated"
	"github.com/parquet-go/parquet-go/format"
)

// errPhysical says that a file holds a column in a form that its type has no reading for.
var errPhysical = errors.New("the column lies in the file in a form that is not read")

// Reading turns a value as a file holds it into the sink's own form; nil says that it is.
type Reading func(v parquet.Value, a *Arena) (parquet.Value, error)

// readingOf is how a column of type t is read from a leaf. Other programs rewrite files of
// Delta tables (OPTIMIZE, ZORDER) and choose physical types of their own: Spark writes times
// as INT96 or milliseconds, and decimals in as few bytes as they need.
func readingOf(t Type, leaf parquet.Type) (Reading, error) {
	Kind := leaf.Kind()
	refuse := fmt.Errorf("%w: %s as %s", errPhysical, leaf, t.Delta())
	switch t.Kind {
	case Long, Int:
		return readWhole(t, leaf, refuse)
	case Dec32, Dec64, Dec128:
		return readDecimal(t, leaf, refuse)
	case Float:
		if Kind == parquet.Float {
			return nil, nil
		}
	case Double:
		switch Kind {
		case parquet.Double:
			return nil, nil
		case parquet.Float:
			return func(v parquet.Value, _ *Arena) (parquet.Value, error) {
				return parquet.DoubleValue(float64(v.Float())), nil
			}, nil
		}
	case Date:
		if Kind == parquet.Int32 {
			return nil, nil
		}
	case Civil, Instant:
		return readTime(leaf, refuse)
	case String, Binary:
		switch {
		case decimalOf(leaf) != nil:
		case Kind == parquet.ByteArray:
			return nil, nil
		case Kind == parquet.FixedLenByteArray:
			return func(v parquet.Value, _ *Arena) (parquet.Value, error) {
				return parquet.ByteArrayValue(v.ByteArray()), nil
			}, nil
		}
	}
	return nil, refuse
}

func readWhole(t Type, leaf parquet.Type, refuse error) (Reading, error) {
	if decimalOf(leaf) != nil || timeUnitOf(leaf) != 0 {
		return nil, refuse
	}
	switch leaf.Kind() {
	case parquet.Int32:
		if t.Kind == Int {
			return nil, nil
		}
		return func(v parquet.Value, _ *Arena) (parquet.Value, error) {
			return parquet.Int64Value(int64(v.Int32())), nil
		}, nil
	case parquet.Int64:
		if t.Kind == Long {
			return nil, nil
		}
		return func(v parquet.Value, _ *Arena) (parquet.Value, error) {
			if n := v.Int64(); n < math.MinInt32 || n > math.MaxInt32 {
				return v, errRange
			}
			return parquet.Int32Value(int32(v.Int64())), nil
		}, nil
	}
	return nil, refuse
}

func decimalOf(leaf parquet.Type) *format.DecimalType {
	if l := leaf.LogicalType(); l != nil {
		d, _ := l.Value.(*format.DecimalType)
		return d
	}
	return nil
}

// readDecimal reads a decimal of the same scale from whole numbers or bytes of any width.
func readDecimal(t Type, leaf parquet.Type, refuse error) (Reading, error) {
	d := decimalOf(leaf)
	if d == nil || int(d.Scale) != t.Scale {
		return nil, refuse
	}
	switch leaf.Kind() {
	case parquet.Int32:
		if t.Kind == Dec32 {
			return nil, nil
		}
		return func(v parquet.Value, a *Arena) (parquet.Value, error) { return wholeDecimal(t, int64(v.Int32()), a) }, nil
	case parquet.Int64:
		if t.Kind == Dec64 {
			return nil, nil
		}
		return func(v parquet.Value, a *Arena) (parquet.Value, error) { return wholeDecimal(t, v.Int64(), a) }, nil
	case parquet.FixedLenByteArray, parquet.ByteArray:
		if t.Kind == Dec128 && leaf.Kind() == parquet.FixedLenByteArray && leaf.Length() == 16 {
			return nil, nil
		}
		return func(v parquet.Value, a *Arena) (parquet.Value, error) { return bytesDecimal(t, v.ByteArray(), a) }, nil
	}
	return nil, refuse
}

func wholeDecimal(t Type, n int64, a *Arena) (parquet.Value, error) {
	m := uint64(n)
	if n < 0 {
		m = -m
	}
	return decimalValue(t, 0, m, n < 0, a)
}

// bytesDecimal reads two's complement, big endian, of any length.
func bytesDecimal(t Type, b []byte, a *Arena) (parquet.Value, error) {
	sign := byte(0)
	if len(b) > 0 && b[0]&0x80 != 0 {
		sign = 0xFF
	}
	for len(b) > 16 {
		if b[0] != sign {
			return parquet.Value{}, errDecimal
		}
		b = b[1:]
	}
	var whole [16]byte
	for i := range whole {
		whole[i] = sign
	}
	copy(whole[16-len(b):], b)
	if whole[0]&0x80 != sign&0x80 {
		return parquet.Value{}, errDecimal
	}
	hi, lo, neg := getDec128(whole[:])
	return decimalValue(t, hi, lo, neg, a)
}

// timeUnitOf is how many nanoseconds a count of a leaf of times stands for, 0 when it is none.
func timeUnitOf(leaf parquet.Type) int64 {
	if l := leaf.LogicalType(); l != nil {
		if t, ok := l.Value.(*format.TimestampType); ok {
			switch t.Unit.Value.(type) {
			case *format.MilliSeconds:
				return 1e6
			case *format.MicroSeconds:
				return 1e3
			case *format.NanoSeconds:
				return 1
			}
		}
		return 0
	}
	if c := leaf.ConvertedType(); c != nil {
		switch *c {
		case deprecated.TimestampMillis:
			return 1e6
		case deprecated.TimestampMicros:
			return 1e3
		}
	}
	return 0
}

func readTime(leaf parquet.Type, refuse error) (Reading, error) {
	switch leaf.Kind() {
	case parquet.Int96:
		return func(v parquet.Value, _ *Arena) (parquet.Value, error) {
			n := v.Int96() // nanoseconds of the day, then the Julian day
			nanos, day := int64(n[1])<<32|int64(n[0]), int64(int32(n[2]))
			if nanos%1000 != 0 {
				return v, errRange
			}
			return parquet.Int64Value((day-2440588)*86400e6 + nanos/1000), nil
		}, nil
	case parquet.Int64:
		switch timeUnitOf(leaf) {
		case 1e3:
			return nil, nil
		case 1e6:
			return func(v parquet.Value, _ *Arena) (parquet.Value, error) {
				if n := v.Int64(); n > math.MaxInt64/1000 || n < math.MinInt64/1000 {
					return v, errRange
				}
				return parquet.Int64Value(v.Int64() * 1000), nil
			}, nil
		case 1:
			return func(v parquet.Value, _ *Arena) (parquet.Value, error) {
				if v.Int64()%1000 != 0 {
					return v, errRange
				}
				return parquet.Int64Value(v.Int64() / 1000), nil
			}, nil
		}
	}
	return nil, refuse
}

// leafType is the type of a leaf; groups and lists have none, for no column of ours is one.
func (s *Reader) leafType(name string) (parquet.Type, error) {
	l, ok := s.pq.Schema().Lookup(name)
	if !ok || l.MaxRepetitionLevel > 0 || l.MaxDefinitionLevel > 1 {
		return nil, fmt.Errorf("%w: column %s", errPhysical, name)
	}
	return l.Node.Type(), nil
}

// TechnicalAt is the place of a technical column, which must lie in the file as the sink
// itself writes it.
func (s *Reader) TechnicalAt(name string, Kind parquet.Kind) (int, error) {
	at := s.leaf(name)
	if at < 0 {
		return at, fmt.Errorf("the column %s is missing", name)
	}
	t, err := s.leafType(name)
	if err == nil && t.Kind() != Kind {
		err = fmt.Errorf("%w: %s as column %s", errPhysical, t, name)
	}
	return at, err
}

// ReadAs finds how a column is read from one of the file's leaves.
func (s *Reader) ReadAs(leaf int, typ Type) (Reading, error) {
	t, err := s.leafType(s.Leaves[leaf])
	if err != nil {
		return nil, err
	}
	read, err := readingOf(typ, t)
	if err != nil {
		return nil, fmt.Errorf("column %s: %w", s.Leaves[leaf], err)
	}
	return read, nil
}
