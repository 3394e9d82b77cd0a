package where

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"time"

	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
)

// fromValue is a value of an image, which is not NULL.
func (t *leaf) fromValue(v event.Value) datum {
	c := t.definition
	switch c.Type {
	case event.TypeInt:
		return signed(v.Int())
	case event.TypeUint, event.TypeBit, event.TypeYear:
		return datum{n: v.Uint()}
	case event.TypeFloat:
		return datum{f: float64(v.Float())}
	case event.TypeDouble:
		return datum{f: v.Double()}
	case event.TypeEnum:
		return datum{b: []byte(c.EnumName(v.Uint()))}
	case event.TypeSet:
		return datum{b: []byte(c.SetText(v.Uint()))}
	case event.TypeDate:
		return datum{n: v.Uint() << 37}
	case event.TypeDateTime:
		return datum{n: v.Uint()}
	case event.TypeTimestamp, event.TypeTime:
		return datum{i: v.Int()}
	}
	return datum{b: v.Bytes()}
}

func signed(n int64) datum {
	if n < 0 {
		return datum{negative: true, n: uint64(-(n + 1)) + 1}
	}
	return datum{n: uint64(n)}
}

// fromCell is what a reader shows of a value that is not NULL.
func (t *leaf) fromCell(c pipeline.Cell) (d datum, err error) {
	s := string(c.Text)
	switch t.typ.class {
	case whole:
		if len(s) > 0 && s[0] == '-' {
			n, err := strconv.ParseInt(s, 10, 64)
			return signed(n), t.unread(err)
		}
		d.n, err = strconv.ParseUint(s, 10, 64)
	case float:
		d.f, err = strconv.ParseFloat(s, 32)
	case double:
		d.f, err = strconv.ParseFloat(s, 64)
	case binaryClass:
		d.b, err = hex.DecodeString(s)
	case date, datetime, timestamp:
		return t.fromDate(s)
	case clock:
		d.i, err = strconv.ParseInt(s, 10, 64)
	default:
		d.b = c.Text
	}
	return d, t.unread(err)
}

// fromDate reads 2006-01-02 15:04:05.000000, of a DATE without the time. Any part may be 0.
func (t *leaf) fromDate(s string) (datum, error) {
	form := "0000-00-00 00:00:00.000000"
	if t.typ.class == date {
		form = form[:10]
	}
	var part [7]int
	at, fits := 0, len(s) == len(form)
	for i := 0; fits && i < len(s); i++ {
		switch {
		case form[i] != '0':
			at++
			fits = s[i] == form[i]
		case isDigit(s[i]):
			part[at] = part[at]*10 + int(s[i]-'0')
		default:
			fits = false
		}
	}
	if !fits {
		return datum{}, t.unread(fmt.Errorf("%q is no moment", s))
	}
	c := event.Civil{Year: part[0], Month: part[1], Day: part[2], Hour: part[3], Minute: part[4], Second: part[5], Micro: part[6]}
	if t.typ.class != timestamp {
		return datum{n: civil(c)}, nil
	}
	if c.IsZeroOrPartial() {
		return datum{i: zeroTimestamp}, nil
	}
	return datum{i: time.Date(c.Year, time.Month(c.Month), c.Day, c.Hour, c.Minute, c.Second, c.Micro*1000, time.UTC).UnixMicro()}, nil
}

func (t *leaf) unread(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("a value of the column %s does not fit its type %s: %w", t.name, t.typ.word, err)
}
