package event

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"time"
)

// AppendValueText appends v, a value of column c, as people read it: numbers and texts
// as MySQL prints them, ENUM and SET by name, bytes and geometry in hex, NULL as NULL.
func AppendValueText(dst []byte, c *Column, v Value) []byte {
	if v == nil {
		return append(dst, "NULL"...)
	}
	switch c.Type {
	case TypeInt:
		return strconv.AppendInt(dst, v.Int(), 10)
	case TypeUint, TypeBit:
		return strconv.AppendUint(dst, v.Uint(), 10)
	case TypeYear:
		return fmt.Appendf(dst, "%04d", v.Uint())
	case TypeFloat:
		return strconv.AppendFloat(dst, float64(v.Float()), 'g', -1, 32)
	case TypeDouble:
		return strconv.AppendFloat(dst, v.Double(), 'g', -1, 64)
	case TypeDecimal, TypeText, TypeJSON:
		return append(dst, v...)
	case TypeBinary, TypeGeometry:
		dst = append(dst, "0x"...)
		return hex.AppendEncode(dst, v)
	case TypeEnum:
		return append(dst, c.EnumName(v.Uint())...)
	case TypeSet:
		return c.appendSet(dst, v.Uint())
	}
	return appendTemporal(dst, c, v)
}

func appendTemporal(dst []byte, c *Column, v Value) []byte {
	switch c.Type {
	case TypeDate:
		y, m, d := v.Date()
		return fmt.Appendf(dst, "%04d-%02d-%02d", y, m, d)
	case TypeDateTime:
		t := v.DateTime()
		dst = fmt.Appendf(dst, "%04d-%02d-%02d %02d:%02d:%02d", t.Year, t.Month, t.Day, t.Hour, t.Minute, t.Second)
		return appendFraction(dst, t.Micro, c.Scale)
	case TypeTimestamp:
		micros, zero := v.Timestamp()
		if zero {
			dst = append(dst, "0000-00-00 00:00:00"...)
			return appendFraction(dst, 0, c.Scale)
		}
		t := time.UnixMicro(micros).UTC()
		dst = t.AppendFormat(dst, "2006-01-02 15:04:05")
		return appendFraction(dst, t.Nanosecond()/1000, c.Scale)
	case TypeTime:
		n := v.Time()
		if n < 0 {
			dst, n = append(dst, '-'), -n
		}
		s := n / 1e6
		dst = fmt.Appendf(dst, "%02d:%02d:%02d", s/3600, s/60%60, s%60)
		return appendFraction(dst, int(n%1e6), c.Scale)
	}
	return append(dst, '?')
}

func appendFraction(dst []byte, micros, digits int) []byte {
	if digits <= 0 {
		return dst
	}
	text := fmt.Appendf(nil, ".%06d", micros)
	return append(dst, text[:1+min(digits, 6)]...)
}

// EnumName is the member with this ordinal: "" for 0 (MySQL's invalid value) and for
// one that the schema does not have.
func (c *Column) EnumName(ordinal uint64) string {
	if ordinal == 0 || ordinal > uint64(len(c.Members)) {
		return ""
	}
	return c.Members[ordinal-1]
}

// SetText is the members of the mask, joined by commas.
func (c *Column) SetText(mask uint64) string { return string(c.appendSet(nil, mask)) }

func (c *Column) appendSet(dst []byte, mask uint64) []byte {
	first := true
	for i, m := range c.Members {
		if i > 63 || mask&(1<<i) == 0 {
			continue
		}
		if !first {
			dst = append(dst, ',')
		}
		dst, first = append(dst, m...), false
	}
	return dst
}

// AppendKeyText appends the text of the columns cols of a row, joined by commas: for
// people, logs and the KEYS property.
func AppendKeyText(dst []byte, img Image, s *Schema, cols []int) ([]byte, error) {
	var stack [32]Value
	vals, err := Values(img, s, stack[:0])
	if err != nil {
		return dst, err
	}
	for i, k := range cols {
		if k < 0 || k >= len(vals) {
			return dst, fmt.Errorf("key of %s: there is no column %d", s.Name, k)
		}
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = AppendValueText(dst, &s.Columns[k], vals[k])
	}
	return dst, nil
}
