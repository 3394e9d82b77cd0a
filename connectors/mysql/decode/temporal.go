package decode

import (
	"encoding/binary"
	"math"
)

// zeroTimestamp is the zero TIMESTAMP, which is no moment.
const zeroTimestamp = math.MinInt64

var fractionScale = [4]int{0, 10000, 100, 1}

// fraction reads the microseconds behind a temporal value of digits fractional digits.
func fraction(b []byte, digits uint8) (micros, n int) {
	n = int(digits+1) / 2
	for _, x := range b[:n] {
		micros = micros<<8 | int(x)
	}
	return micros * fractionScale[n], n
}

func (c *col) appendTemporal(dst, b []byte) ([]byte, int, error) {
	frac := int(c.arg+1) / 2
	switch c.op {
	case opDate:
		if len(b) < 3 {
			return dst, short, nil
		}
		// The wire has year<<9 | month<<5 | day as well.
		return binary.AppendUvarint(dst, uint64(uint24(b))), 3, nil
	case opDateTime:
		if len(b) < 5+frac {
			return dst, short, nil
		}
		v := int64(b[0])<<32 | int64(binary.BigEndian.Uint32(b[1:])) - 0x8000000000
		if v < 0 {
			return dst, 0, malformed("negative date")
		}
		micros, _ := fraction(b[5:], c.arg)
		ymd, hms := uint64(v>>17), uint64(v&(1<<17-1))
		ym := ymd >> 5
		date := ym/13<<9 | ym%13<<5 | ymd&31
		if micros > 999999 || ym/13 > 9999 {
			return dst, 0, malformed("date out of range")
		}
		return binary.AppendUvarint(dst, (date<<17|hms)<<20|uint64(micros)), 5 + frac, nil
	case opTimestamp:
		if len(b) < 4+frac {
			return dst, short, nil
		}
		micros, _ := fraction(b[4:], c.arg)
		return appendTimestamp(dst, int64(binary.BigEndian.Uint32(b)), micros), 4 + frac, nil
	case opTime:
		if len(b) < 3+frac {
			return dst, short, nil
		}
		return binary.AppendVarint(dst, timeMicros(b, c.arg)), 3 + frac, nil
	case opYear:
		if len(b) < 1 {
			return dst, short, nil
		}
		year := uint64(b[0])
		if year != 0 {
			year += 1900
		}
		return binary.AppendUvarint(dst, year), 1, nil
	}
	return c.appendOldTemporal(dst, b)
}

func appendTimestamp(dst []byte, seconds int64, micros int) []byte {
	if seconds == 0 && micros == 0 {
		return binary.AppendVarint(dst, zeroTimestamp)
	}
	return binary.AppendVarint(dst, seconds*1e6+int64(micros))
}

// timeMicros reads a TIME: hours(10 bits) minutes(6) seconds(6) and the fraction, as
// one number whose sign is kept by adding half the range.
func timeMicros(b []byte, digits uint8) int64 {
	n := 3 + int(digits+1)/2
	var v int64
	for _, x := range b[:n] {
		v = v<<8 | int64(x)
	}
	bits := 8 * (n - 3)
	v -= 1 << (23 + bits)
	negative := v < 0
	if negative {
		v = -v
	}
	hms, frac := v>>bits, v&(1<<bits-1)
	micros := (hms>>12&1023*3600+hms>>6&63*60+hms&63)*1e6 + frac*int64(fractionScale[n-3])
	if negative {
		return -micros
	}
	return micros
}

// appendOldTemporal decodes the formats of tables made before MySQL 5.6.
func (c *col) appendOldTemporal(dst, b []byte) ([]byte, int, error) {
	switch c.op {
	case opTimestampOld:
		if len(b) < 4 {
			return dst, short, nil
		}
		return appendTimestamp(dst, int64(binary.LittleEndian.Uint32(b)), 0), 4, nil
	case opDateTimeOld: // the decimal number YYYYMMDDhhmmss
		if len(b) < 8 {
			return dst, short, nil
		}
		v := binary.LittleEndian.Uint64(b)
		date, clock := v/1000000, v%1000000
		ymd := date/10000<<9 | date/100%100<<5 | date%100
		hms := clock/10000<<12 | clock/100%100<<6 | clock%100
		if date/10000 > 9999 || date/100%100 > 12 || date%100 > 31 || clock/10000 > 23 || clock/100%100 > 59 || clock%100 > 59 {
			return dst, 0, malformed("a date that is out of range")
		}
		return binary.AppendUvarint(dst, (ymd<<17|hms)<<20), 8, nil
	case opTimeOld: // the decimal number hhmmss, signed, in three bytes
		if len(b) < 3 {
			return dst, short, nil
		}
		v := int64(int32(uint24(b)<<8) >> 8)
		sign := int64(1)
		if v < 0 {
			sign, v = -1, -v
		}
		return binary.AppendVarint(dst, sign*(v/10000*3600+v/100%100*60+v%100)*1e6), 3, nil
	}
	panic("BUG: column without a plan")
}
