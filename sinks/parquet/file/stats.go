package file

import (
	"bytes"
	"encoding/json"
	"math"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/parquet-go/parquet-go"
)

// statText is how much of a text counts for its column's bounds.
const statText = 64

// colStats gathers a column's bounds and NULLs for the commit log. Readers skip files by
// them, so they are exact, or safe bounds where a text is long.
type colStats struct {
	typ      Type
	nulls    int64
	has      bool
	unusable bool // no bounds can be given: bytes, NaN, or a text without an upper bound
	lo, hi   int64
	flo, fhi float64
	blo, bhi []byte
	cut      bool // bhi is a prefix
}

func (s *colStats) reset() {
	*s = colStats{typ: s.typ, blo: s.blo[:0], bhi: s.bhi[:0]}
}

func (s *colStats) addInt(n int64) {
	if !s.has {
		s.lo, s.hi, s.has = n, n, true
	} else if n < s.lo {
		s.lo = n
	} else if n > s.hi {
		s.hi = n
	}
}

func (s *colStats) addFloat(f float64) {
	switch {
	case math.IsNaN(f) || math.IsInf(f, 0):
		s.unusable = true
	case !s.has:
		s.flo, s.fhi, s.has = f, f, true
	case f < s.flo:
		s.flo = f
	case f > s.fhi:
		s.fhi = f
	}
}

func (s *colStats) addFixed(b []byte) {
	switch {
	case !s.has:
		s.blo, s.bhi, s.has = append(s.blo[:0], b...), append(s.bhi[:0], b...), true
	case compareSigned(b, s.blo) < 0:
		s.blo = append(s.blo[:0], b...)
	case compareSigned(b, s.bhi) > 0:
		s.bhi = append(s.bhi[:0], b...)
	}
}

func (s *colStats) addText(b []byte) {
	cut := len(b) > statText
	if cut {
		b = b[:statText]
		for len(b) > 0 && !endsOnRune(b) {
			b = b[:len(b)-1]
		}
	}
	if !s.has {
		s.blo, s.bhi, s.has, s.cut = append(s.blo[:0], b...), append(s.bhi[:0], b...), true, cut
		return
	}
	if bytes.Compare(b, s.blo) < 0 {
		s.blo = append(s.blo[:0], b...)
	}
	switch d := bytes.Compare(b, s.bhi); {
	case d > 0:
		s.bhi, s.cut = append(s.bhi[:0], b...), cut
	case d == 0:
		s.cut = s.cut || cut
	}
}

// endsOnRune reports whether b, a prefix of valid UTF-8, ends with a whole rune.
func endsOnRune(b []byte) bool {
	r, n := utf8.DecodeLastRune(b)
	return r != utf8.RuneError || n == 3
}

// addAll takes in a run of the column's values.
func (s *colStats) addAll(vals []parquet.Value) {
	switch s.typ.Kind {
	case Long, Dec64, Civil, Instant:
		each(s, vals, func(s *colStats, v *parquet.Value) { s.addInt(v.Int64()) })
	case Int, Dec32, Date:
		each(s, vals, func(s *colStats, v *parquet.Value) { s.addInt(int64(v.Int32())) })
	case Dec128:
		each(s, vals, func(s *colStats, v *parquet.Value) { s.addFixed(v.ByteArray()) })
	case Float:
		each(s, vals, func(s *colStats, v *parquet.Value) { s.addFloat(float64(v.Float())) })
	case Double:
		each(s, vals, func(s *colStats, v *parquet.Value) { s.addFloat(v.Double()) })
	case String:
		each(s, vals, func(s *colStats, v *parquet.Value) { s.addText(v.ByteArray()) })
	default:
		each(s, vals, func(s *colStats, _ *parquet.Value) { s.unusable = true })
	}
}

func each(s *colStats, vals []parquet.Value, add func(*colStats, *parquet.Value)) {
	for i := range vals {
		if v := &vals[i]; v.IsNull() {
			s.nulls++
		} else {
			add(s, v)
		}
	}
}

// bounds are the column's least and greatest value as JSON; ok is false when the column
// has values but no bounds can be given for them.
func (s *colStats) bounds() (lo, hi json.RawMessage, ok bool) {
	if s.unusable || s.typ.Kind == Binary {
		return nil, nil, false
	}
	if !s.has {
		return nil, nil, true
	}
	switch s.typ.Kind {
	case Long, Int:
		return strconv.AppendInt(nil, s.lo, 10), strconv.AppendInt(nil, s.hi, 10), true
	case Dec32, Dec64:
		return intDecimal(s.lo, s.typ.Scale), intDecimal(s.hi, s.typ.Scale), true
	case Dec128:
		return fixedDecimal(s.blo, s.typ.Scale), fixedDecimal(s.bhi, s.typ.Scale), true
	case Float, Double:
		return strconv.AppendFloat(nil, s.flo, 'g', -1, 64), strconv.AppendFloat(nil, s.fhi, 'g', -1, 64), true
	case Date:
		return quoteTime(s.lo*86400e6, "2006-01-02"), quoteTime(s.hi*86400e6, "2006-01-02"), true
	case Civil:
		return quoteTime(s.lo, "2006-01-02T15:04:05.000000"), quoteTime(s.hi, "2006-01-02T15:04:05.000000"), true
	case Instant:
		return quoteTime(s.lo, "2006-01-02T15:04:05.000000Z"), quoteTime(s.hi, "2006-01-02T15:04:05.000000Z"), true
	}
	up := s.bhi
	if s.cut {
		if up = textAbove(s.bhi); up == nil {
			return nil, nil, false
		}
	}
	return quoteText(s.blo), quoteText(up), true
}

func intDecimal(n int64, scale int) []byte {
	m, neg := uint64(n), n < 0
	if neg {
		m = -m
	}
	return appendDecimal(nil, 0, m, neg, scale)
}

func fixedDecimal(b []byte, scale int) []byte {
	hi, lo, neg := getDec128(b)
	return appendDecimal(nil, hi, lo, neg, scale)
}

func quoteTime(micros int64, layout string) []byte {
	return []byte(`"` + time.UnixMicro(micros).UTC().Format(layout) + `"`)
}

// quoteText writes UTF-8 as it is: readers misread escaped surrogate pairs.
func quoteText(b []byte) []byte {
	return []byte(jsonText(string(b)))
}

// textAbove is a text above every one that begins with prefix; nil when there is none.
func textAbove(prefix []byte) []byte {
	for len(prefix) > 0 {
		r, n := utf8.DecodeLastRune(prefix)
		prefix = prefix[:len(prefix)-n]
		if r++; r == 0xD800 {
			r = 0xE000
		}
		if r <= utf8.MaxRune {
			return utf8.AppendRune(bytes.Clone(prefix), r)
		}
	}
	return nil
}

// statsText is the statistics of a file as the commit log holds them: bounds for all
// columns or for none, because some readers take a column without bounds as one without
// values.
func statsText(rows int64, names []string, cols []*colStats) string {
	type text struct {
		NumRecords int64                      `json:"numRecords"`
		MinValues  map[string]json.RawMessage `json:"minValues,omitempty"`
		MaxValues  map[string]json.RawMessage `json:"maxValues,omitempty"`
		NullCount  map[string]int64           `json:"nullCount,omitempty"`
	}
	t := text{NumRecords: rows, MinValues: map[string]json.RawMessage{}, MaxValues: map[string]json.RawMessage{},
		NullCount: map[string]int64{}}
	for i, c := range cols {
		lo, hi, ok := c.bounds()
		if !ok {
			t = text{NumRecords: rows}
			break
		}
		if lo != nil {
			t.MinValues[names[i]], t.MaxValues[names[i]] = lo, hi
		}
		t.NullCount[names[i]] = c.nulls
	}
	return jsonText(t)
}

// CompleteStats gives the statistics of a file that lacks columns of the table their
// NULL counts: readers take a column that statistics leave out as one without NULLs, and
// then miss the file's rows. Statistics without bounds stay as they are.
func CompleteStats(text string, names []string) string {
	var s struct {
		NumRecords int64                      `json:"numRecords"`
		MinValues  map[string]json.RawMessage `json:"minValues,omitempty"`
		MaxValues  map[string]json.RawMessage `json:"maxValues,omitempty"`
		NullCount  map[string]int64           `json:"nullCount,omitempty"`
	}
	if err := json.Unmarshal([]byte(text), &s); err != nil || s.NullCount == nil {
		return text
	}
	changed := false
	for _, n := range names {
		if _, ok := s.NullCount[n]; !ok {
			s.NullCount[n], changed = s.NumRecords, true
		}
	}
	if !changed {
		return text
	}
	return jsonText(s)
}

// jsonText is v as JSON, UTF-8 as it is.
func jsonText(v any) string {
	var buf bytes.Buffer
	e := json.NewEncoder(&buf)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic("BUG: statistics that JSON cannot hold: " + err.Error())
	}
	return string(bytes.TrimSuffix(buf.Bytes(), []byte("\n")))
}
