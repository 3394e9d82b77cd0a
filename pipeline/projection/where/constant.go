package where

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/millrace/millrace/pipeline/event"
)

// datum is a value in the form in which its class compares: whole numbers as sign and
// magnitude, decimals, texts and bytes as bytes, floats as a double, temporal values as a
// number that has their order.
type datum struct {
	negative bool
	n        uint64
	i        int64
	f        float64
	b        []byte
}

// bound is a constant that values of one column are compared with.
type bound struct {
	datum
	// Of a number that a whole one is compared with: it has a fraction, or is beyond 64 bits.
	fraction, beyond bool
}

// Digits of a number: those of DECIMAL.
const (
	mostDigits   = 65
	mostFraction = 30
)

// bound reads a constant as a value of a column; the error says what is wrong with it.
func (t typ) bound(c constant, binaryText bool) (bound, error) {
	wrong := func(wanted string) (bound, error) {
		return bound{}, fmt.Errorf("is %s, which is compared with %s, not with %s", t.word, wanted, c)
	}
	switch t.class {
	case whole, decimal, float, double:
		if c.kind != number {
			return wrong("a number")
		}
		return t.number(c.text)
	case text, enum, set, binaryClass:
		if c.kind == number {
			return wrong("a text or a binary literal")
		}
		return bound{datum: datum{b: []byte(c.text)}}, nil
	}
	if c.kind != str {
		return wrong("a text")
	}
	d, err := t.moment(c.text)
	return bound{datum: d}, err
}

func (t typ) number(s string) (bound, error) {
	digits := strings.TrimPrefix(s, "-")
	front, back, _ := strings.Cut(digits, ".")
	front, back = strings.TrimLeft(front, "0"), strings.TrimRight(back, "0")
	if len(back) > mostFraction || len(front) > mostDigits-mostFraction {
		return bound{}, fmt.Errorf("is compared with a number of more than %d digits before or %d behind the point",
			mostDigits-mostFraction, mostFraction)
	}
	b := bound{datum: datum{b: []byte(s), negative: digits != s}, fraction: back != ""}
	if t.class == float || t.class == double {
		var err error
		b.f, err = strconv.ParseFloat(s, 64)
		return b, err
	}
	if front != "" {
		var err error
		b.n, err = strconv.ParseUint(front, 10, 64)
		b.beyond = err != nil
	}
	if t.year && (b.negative && b.n > 0 || b.beyond || b.fraction || b.n != 0 && (b.n < 1901 || b.n > 2155)) {
		return b, fmt.Errorf("is a YEAR, which is compared with 0 or a year from 1901 to 2155, not with %s", s)
	}
	return b, nil
}

// moment reads the text of a temporal value.
func (t typ) moment(s string) (datum, error) {
	layout, form := "2006-01-02", "'YYYY-MM-DD'"
	switch t.class {
	case clock:
		micros, ok := parseClock(s, t.scale)
		if !ok {
			return datum{}, fmt.Errorf("is a TIME, which is compared with '[-]HH:MM:SS' up to 838:59:59%s, not with '%s'", fractionOf(t.scale), s)
		}
		return datum{i: micros}, nil
	case datetime, timestamp:
		form = "'YYYY-MM-DD' or 'YYYY-MM-DD HH:MM:SS'" + fractionOf(t.scale)
		if len(s) > len(layout) {
			layout += " 15:04:05"
		}
		if n := len(s) - len(layout); n > 1 && n <= t.scale+1 {
			layout += "." + strings.Repeat("0", n-1)
		}
	}
	at, err := time.Parse(layout, s)
	if err != nil || len(s) != len(layout) || at.Year() == 0 {
		return datum{}, fmt.Errorf("is a %s, which is compared with %s, not with '%s'", strings.ToUpper(t.word), form, s)
	}
	if t.class == timestamp {
		return datum{i: at.UnixMicro()}, nil
	}
	return datum{n: civil(event.Civil{Year: at.Year(), Month: int(at.Month()), Day: at.Day(), Hour: at.Hour(),
		Minute: at.Minute(), Second: at.Second(),
		Micro: at.Nanosecond() / 1000})}, nil
}

func fractionOf(digits int) string {
	if digits == 0 {
		return ""
	}
	return fmt.Sprintf(" with up to %d digits behind the second", digits)
}

// civil is a number with the order of dates and times; that of event.TypeDateTime.
func civil(c event.Civil) uint64 {
	day := uint64(c.Year)<<9 | uint64(c.Month)<<5 | uint64(c.Day)
	return (day<<17|uint64(c.Hour)<<12|uint64(c.Minute)<<6|uint64(c.Second))<<20 | uint64(c.Micro)
}

// parseClock reads [-]H…:MM:SS[.f…] as microseconds.
func parseClock(s string, scale int) (micros int64, ok bool) {
	rest, negative := strings.CutPrefix(s, "-")
	main, fraction, dotted := strings.Cut(rest, ".")
	parts := strings.Split(main, ":")
	if len(parts) != 3 || dotted && (fraction == "" || len(fraction) > scale) {
		return 0, false
	}
	total := int64(0)
	for i, p := range parts {
		n, err := strconv.ParseUint(p, 10, 16)
		if err != nil || len(p) < 2 || len(p) > 3-min(i, 1) || i > 0 && n > 59 || i == 0 && n > 838 {
			return 0, false
		}
		total = total*60 + int64(n)
	}
	micros = total * 1e6
	if dotted {
		n, err := strconv.ParseUint((fraction + "000000")[:6], 10, 32)
		if err != nil {
			return 0, false
		}
		micros += int64(n)
	}
	if micros > (838*3600+59*60+59)*1_000_000 {
		return 0, false
	}
	if negative {
		micros = -micros
	}
	return micros, true
}

// zeroTimestamp is below every other.
const zeroTimestamp = math.MinInt64
