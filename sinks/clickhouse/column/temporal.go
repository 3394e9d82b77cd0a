package column

import (
	"encoding/binary"
	"fmt"
	"math"
	"time"

	"github.com/millrace/millrace/pipeline/event"
)

// What the target's types hold.
var (
	firstDay    = days(1900, 1, 1)
	lastDay     = days(2299, 12, 31)
	firstMicros = time.Date(1000, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro()
	lastMicros  = time.Date(9999, 12, 31, 23, 59, 59, 999_999_000, time.UTC).UnixMicro()
)

func days(y, m, d int) int64 {
	return time.Date(y, time.Month(m), d, 0, 0, 0, 0, time.UTC).Unix() / 86400
}

func (b *Buffer) temporal(v event.Value) (Changed, error) {
	n, day := int64(0), true
	switch b.typ.kind {
	case kindDate:
		y, m, d := v.Date()
		if day = isDay(y, m, d); day {
			n = days(y, m, d)
		}
	case kindDateTime:
		c := v.DateTime()
		if day = isDay(c.Year, c.Month, c.Day); day {
			n = time.Date(c.Year, time.Month(c.Month), c.Day, c.Hour, c.Minute, c.Second, c.Micro*1000, time.UTC).UnixMicro()
		}
	case kindTimestamp:
		micros, zero := v.Timestamp()
		n, day = micros, !zero
	}
	if !day {
		return b.noDay(v)
	}
	lo, hi, unit := b.typ.span()
	return b.ranged(v, n, lo, hi, unit)
}

// span is what the type holds, and its unit, of days or of microseconds.
func (t Type) span() (lo, hi, unit int64) {
	switch {
	case t.kind == kindDate && t.size == 2:
		return 0, math.MaxUint16, 1
	case t.kind == kindDate:
		return firstDay, lastDay, 1
	case t.size == 4:
		return 0, math.MaxUint32*1_000_000 + 999_999, 1_000_000
	}
	return firstMicros, lastMicros, pow10(6 - t.scale)
}

// ranged takes n, which the type holds between lo and hi, in units of unit.
func (b *Buffer) ranged(v event.Value, n, lo, hi, unit int64) (Changed, error) {
	if n >= lo && n <= hi && (b.typ.family == 0 || n%unit == 0) {
		b.put(n, unit)
		return Kept, nil
	}
	switch {
	case b.typ.Key:
		return Kept, fmt.Errorf("%s is not between what %s holds, and the value of a key can't be changed", b.show(v), b.typ.Name)
	case b.policy.Range == Error:
		return Kept, fmt.Errorf("%s is not between what %s holds (out_of_range: error)", b.show(v), b.typ.Name)
	case b.policy.Range == Null && b.typ.Nullable:
		return b.absent(Nulled, nil)
	}
	b.put(min(max(n, lo), hi), unit)
	return Clamped, nil
}

// put takes n in units of the type: rounded down, as the calendar is.
func (b *Buffer) put(n, unit int64) {
	q := n / unit
	if n%unit < 0 {
		q--
	}
	b.present()
	var le [8]byte
	binary.LittleEndian.PutUint64(le[:], uint64(q))
	b.raw = append(b.raw, le[:b.typ.size]...)
}

func (b *Buffer) noDay(v event.Value) (Changed, error) {
	switch {
	case b.typ.Key:
		return Kept, fmt.Errorf("%s is no day of the calendar, and the value of a key can't be changed", b.show(v))
	case b.policy.ZeroDate == Error:
		return Kept, fmt.Errorf("%s is no day of the calendar (zero_date: error)", b.show(v))
	case b.policy.ZeroDate == Epoch:
		b.whole(0)
		return Zeroed, nil
	}
	return b.absent(Nulled, nil)
}

func (b *Buffer) show(v event.Value) string { return string(event.AppendValueText(nil, b.src, v)) }

func isDay(y, m, d int) bool {
	if y == 0 || m < 1 || m > 12 || d < 1 {
		return false
	}
	t := time.Date(y, time.Month(m), d, 0, 0, 0, 0, time.UTC)
	return t.Day() == d
}
