package decode

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/pipeline/event"
)

// temporalTwin reads a date, time, datetime or timestamp with the standard library alone.
func temporalTwin(c *event.Column, v string) (out []byte, ok bool) {
	if c.Type == event.TypeTime {
		micros, ok := timeTwin(v)
		return binary.AppendVarint(nil, micros), ok
	}
	date, clock, _ := strings.Cut(v, " ")
	f := strings.Split(date, "-")
	if len(f) != 3 || len(f[0]) != 4 || len(f[1]) != 2 || len(f[2]) != 2 || !allDigits(f[0]+f[1]+f[2]) {
		return nil, false
	}
	y, _ := strconv.Atoi(f[0])
	mo, _ := strconv.Atoi(f[1])
	d, _ := strconv.Atoi(f[2])
	if mo > 12 || d > 31 {
		return nil, false
	}
	if c.Type == event.TypeDate {
		return binary.AppendUvarint(nil, uint64(y<<9|mo<<5|d)), true
	}
	if clock == "" {
		clock = "00:00:00"
	}
	micros, ok := timeTwin(clock)
	if !ok || micros < 0 || micros >= 24*3600*1e6 {
		return nil, false
	}
	if c.Type == event.TypeTimestamp {
		if y == 0 {
			return binary.AppendVarint(nil, zeroTimestamp), true
		}
		at := time.Date(y, time.Month(mo), d, 0, 0, 0, 0, time.UTC).Unix() + micros/1e6
		if at == 0 && micros%1e6 == 0 {
			return binary.AppendVarint(nil, zeroTimestamp), true
		}
		return binary.AppendVarint(nil, at*1e6+micros%1e6), true
	}
	s := micros / 1e6
	hms := uint64(s/3600<<12 | s/60%60<<6 | s%60)
	return binary.AppendUvarint(nil, (uint64(y<<9|mo<<5|d)<<17|hms)<<20|uint64(micros%1e6)), true
}

func timeTwin(s string) (int64, bool) {
	s, negative := strings.CutPrefix(s, "-")
	clock, frac, _ := strings.Cut(s, ".")
	f := strings.Split(clock, ":")
	if len(f) != 3 || len(f[0]) < 1 || len(f[0]) > 3 || len(f[1]) != 2 || len(f[2]) != 2 || len(frac) > 6 ||
		!allDigits(strings.Join(f, "")+frac) {
		return 0, false
	}
	h, _ := strconv.ParseInt(f[0], 10, 64)
	m, _ := strconv.ParseInt(f[1], 10, 64)
	sec, _ := strconv.ParseInt(f[2], 10, 64)
	us, _ := strconv.ParseInt((frac + "000000")[:6], 10, 64)
	n := (h*3600+m*60+sec)*1e6 + us
	if negative {
		n = -n
	}
	return n, m < 60 && sec < 60
}

func allDigits(s string) bool { return strings.Trim(s, "0123456789") == "" }

// decimalTwin is the canonical text of a decimal by string surgery.
func decimalTwin(v string, scale int) (string, bool) {
	t, negative := strings.CutPrefix(v, "-")
	t = strings.TrimPrefix(t, "+")
	whole, frac, _ := strings.Cut(t, ".")
	whole = strings.TrimLeft(whole, "0")
	if !allDigits(whole+frac) || len(whole) > 65 || len(frac) > scale {
		return "", false
	}
	if whole == "" {
		whole = "0"
	}
	frac += strings.Repeat("0", scale-len(frac))
	sign := ""
	if negative && strings.Trim(whole+frac, "0") != "" {
		sign = "-"
	}
	if scale > 0 {
		frac = "." + frac
	}
	return sign + whole + frac, true
}

// FuzzTextTwins compares what is read of the texts of temporal values and decimals with the
// twins.
func FuzzTextTwins(f *testing.F) {
	for _, s := range []string{"2024-02-29 23:59:58.123456", "2024-02-29 23:59:58.", "1970-01-01 00:00:00", "0000-00-00 00:00:00", "2024-00-31 00:00:00.5", "2024-03-00",
		"2024-01-01 ", "9999-12-31 23:59:59.999999", "-838:59:59.000001", "838:59:59", "1:00:00", ":00:00", "24:00:00", "-", "", "-0.00", "0.50", "00012.5", "-1.25", "+7.00", "12", "12.", ".5", "--1.00"} {
		f.Add([]byte(s), byte(2))
	}
	f.Fuzz(func(t *testing.T, v []byte, scale byte) {
		for _, typ := range []event.Type{event.TypeTime, event.TypeDate, event.TypeDateTime, event.TypeTimestamp} {
			c := &event.Column{Name: "c", Type: typ}
			got, err := appendTemporalText(nil, c, v)
			want, ok := temporalTwin(c, string(v))
			if (err == nil) != ok || ok && !bytes.Equal(got, want) {
				t.Errorf("type %d, %q: %x, %v, want %x, %t", typ, v, got, err, want, ok)
			}
		}
		got, err := decimalText(v, int(scale%39))
		want, ok := decimalTwin(string(v), int(scale%39))
		if (err == nil) != ok || ok && string(got) != want {
			t.Errorf("decimal %q with %d digits: %q, %v, want %q, %t", v, scale%39, got, err, want, ok)
		}
	})
}

// TestDaysSince1970 goes over every day that a column can hold, and those that are none.
func TestDaysSince1970(t *testing.T) {
	for y := 1; y <= 9999; y++ {
		for m := 0; m <= 12; m++ {
			for _, d := range []int{0, 1, 28, 29, 30, 31} {
				if got, want := daysSince1970(y, m, d), time.Date(y, time.Month(m), d, 0, 0, 0, 0, time.UTC).Unix()/86400; got != want {
					t.Fatalf("%04d-%02d-%02d: %d, want %d", y, m, d, got, want)
				}
			}
		}
	}
}

// BenchmarkText is rows of a SELECT into images.
func BenchmarkText(b *testing.B) {
	s, _, _ := orders()
	d, err := NewTextDecoder(s, false, nil)
	if err != nil {
		b.Fatal(err)
	}
	rows := make([][][]byte, benchRows)
	for i := range rows {
		rows[i] = orderTexts(s, i)
	}
	buf := make([]byte, 0, 64<<10)
	b.ReportAllocs()
	for b.Loop() {
		buf = buf[:0]
		for _, r := range rows {
			if buf, err = d.AppendImage(buf, r); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(b.N)*benchRows/b.Elapsed().Seconds(), "rows/s")
}

// orderTexts are the texts of a row that fits a schema.
func orderTexts(s *event.Schema, i int) [][]byte {
	row := make([][]byte, len(s.Columns))
	for c := range row {
		text := ""
		switch s.Columns[c].Type {
		case event.TypeInt, event.TypeUint:
			text = strconv.Itoa(i)
		case event.TypeEnum:
			text = strconv.Itoa(1 + i%5)
		case event.TypeDecimal:
			text = fmt.Sprintf("%d.%0*d", i, s.Columns[c].Scale, i%100)
		case event.TypeDateTime, event.TypeTimestamp:
			text = time.Unix(1_700_000_000+int64(i), 0).UTC().Format("2006-01-02 15:04:05.000000")
		case event.TypeText:
			text = fmt.Sprintf("%07d, please ring the bell twice", i)
		default:
			panic("BUG: a column that the benchmark does not know")
		}
		row[c] = []byte(text)
	}
	return row
}
