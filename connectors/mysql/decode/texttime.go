package decode

import (
	"encoding/binary"

	"github.com/millrace/millrace/pipeline/event"
)

// appendTemporalText appends the value of a date, time, datetime or timestamp in UTC, as
// servers print them.
func appendTemporalText(dst []byte, c *event.Column, v []byte) ([]byte, error) {
	if c.Type == event.TypeTime {
		micros, ok := parseTime(v)
		if !ok {
			return dst, malformed("time of %d bytes", len(v))
		}
		return binary.AppendVarint(dst, micros), nil
	}
	date, clock := v, []byte(nil)
	if len(v) > len("2006-01-02") && v[len("2006-01-02")] == ' ' {
		date, clock = v[:len("2006-01-02")], v[len("2006-01-02 "):]
	}
	y, mo, d, ok := parseDate(date)
	if !ok {
		return dst, malformed("date of %d bytes", len(v))
	}
	if c.Type == event.TypeDate {
		return binary.AppendUvarint(dst, uint64(y<<9|mo<<5|d)), nil
	}
	micros := int64(0)
	if len(clock) > 0 {
		micros, ok = parseTime(clock)
	}
	if !ok || micros < 0 || micros >= 24*3600*1e6 {
		return dst, malformed("time of day of %d bytes", len(v))
	}
	s, frac := micros/1e6, micros%1e6
	if c.Type == event.TypeTimestamp {
		if y == 0 {
			return binary.AppendVarint(dst, zeroTimestamp), nil
		}
		return appendTimestamp(dst, daysSince1970(y, mo, d)*86400+s, int(frac)), nil
	}
	hms := uint64(s/3600<<12 | s/60%60<<6 | s%60)
	return binary.AppendUvarint(dst, (uint64(y<<9|mo<<5|d)<<17|hms)<<20|uint64(frac)), nil
}

// daysSince1970 counts in the Gregorian calendar; y is at least 1. A month 0 is the one
// before January, a day 0 the one before the first, and so on.
func daysSince1970(y, m, d int) int64 {
	if m <= 2 { // the year begins in March, so that its last day is the one that may not be there
		y, m = y-1, m+12
	}
	return int64(365*y + y/4 - y/100 + y/400 + (153*(m-3)+2)/5 + d - 1 - 719468)
}

func parseDate(s []byte) (y, m, d int, ok bool) {
	if len(s) != 10 || s[4] != '-' || s[7] != '-' || !digits(s[:4]) || !digits(s[5:7]) || !digits(s[8:]) {
		return 0, 0, 0, false
	}
	y, m, d = number(s[:4]), number(s[5:7]), number(s[8:])
	return y, m, d, m <= 12 && d <= 31
}

// number is the value of some digits.
func number(s []byte) (n int) {
	for _, c := range s {
		n = 10*n + int(c-'0')
	}
	return n
}

// parseTime reads [-]h…:mm:ss[.ffffff] as microseconds.
func parseTime(s []byte) (int64, bool) {
	negative := len(s) > 0 && s[0] == '-'
	if negative {
		s = s[1:]
	}
	h := 0 // digits of the hours
	for h < len(s) && h < 4 && s[h] != ':' {
		h++
	}
	const rest = len(":04:05")
	if h < 1 || h > 3 || len(s) < h+rest || s[h+3] != ':' || !digits(s[:h]) || !digits(s[h+1:h+3]) || !digits(s[h+4:h+rest]) {
		return 0, false
	}
	hours, minutes, seconds, micros := number(s[:h]), number(s[h+1:h+3]), number(s[h+4:h+rest]), 0
	if s = s[h+rest:]; len(s) > 0 {
		if s[0] != '.' || len(s) > len(".000000") || !digits(s[1:]) {
			return 0, false
		}
		micros = number(s[1:])
		for n := len(s); n < len(".000000"); n++ {
			micros *= 10
		}
	}
	if minutes > 59 || seconds > 59 {
		return 0, false
	}
	all := int64(hours*3600+minutes*60+seconds)*1e6 + int64(micros)
	if negative {
		return -all, true
	}
	return all, true
}
