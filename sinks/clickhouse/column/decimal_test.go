package column

import (
	"math/big"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/pipeline/event"
)

var decimalText = regexp.MustCompile(`^[-+]?(\d+\.?\d*|\.\d+)$`)

// exactly is the naive twin: the text as a fraction, scaled, or false where Decimal(p, s) does
// not hold it.
func exactly(text string, p, s int) (*big.Int, bool) {
	if !decimalText.MatchString(text) {
		return nil, false
	}
	r, ok := new(big.Rat).SetString(text)
	if !ok {
		return nil, false
	}
	power := func(n int) *big.Int { return new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(n)), nil) }
	r.Mul(r, new(big.Rat).SetInt(power(s)))
	if !r.IsInt() || new(big.Int).Abs(r.Num()).Cmp(power(p)) >= 0 {
		return nil, false
	}
	return r.Num(), true
}

// twos reads two's complement, little endian.
func twos(le []byte) *big.Int {
	be := slices.Clone(le)
	slices.Reverse(be)
	n := new(big.Int).SetBytes(be)
	if be[0] >= 0x80 {
		n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(8*len(be))))
	}
	return n
}

// A decimal's text is the number that a fraction of it is, or an error, and then nothing is kept.
func FuzzDecimalText(f *testing.F) {
	nines := strings.Repeat("9", 76)
	for _, c := range []struct {
		text string
		p, s int
	}{
		{"12.34", 4, 2}, {"-0.05", 9, 2}, {"0", 1, 0}, {"-0.00", 5, 2}, {"+1", 3, 1}, {"", 3, 1}, {"-", 3, 1}, {".", 3, 1}, {".5", 3, 1}, {"5.", 3, 1},
		{"1.2.3", 5, 2}, {"1e3", 9, 0}, {" 1", 2, 0}, {"0x1", 3, 0}, {"1_0", 3, 0}, {"100", 2, 0}, {"0001.500", 2, 1}, {"1.50", 3, 1}, {"1.51", 3, 1},
		{nines, 76, 0}, {"-" + nines, 76, 0}, {"-" + nines[:38], 38, 0}, {"-" + nines[:18], 18, 0}, {"0." + nines[:30], 65, 30}, {"٣", 3, 0},
	} {
		f.Add(c.text, c.p, c.s)
	}
	f.Fuzz(func(t *testing.T, text string, p, s int) {
		if p < 1 || p > maxPrecision || s < 0 || s > p {
			return
		}
		c := col(event.TypeDecimal, sized(p, s))
		typ, err := Of(&c, false, Options{})
		if err != nil {
			t.Fatal(err)
		}
		b := NewBuffer(&c, typ, DefaultPolicy())
		_, err = b.Append(event.Value(text))
		want, ok := exactly(text, p, s)
		switch {
		case (err == nil) != ok:
			t.Fatalf("%q as %s: %v, a fraction says %v", text, typ.Name, err, want)
		case err != nil && (b.Rows() != 0 || b.Size() != 0):
			t.Fatalf("%q as %s: %v, and %d rows are kept", text, typ.Name, err, b.Rows())
		case err != nil:
		case len(b.raw) != typ.size || twos(b.raw).Cmp(want) != 0:
			t.Fatalf("%q as %s: %s (% x), and not %s", text, typ.Name, twos(b.raw), b.raw, want)
		}
	})
}
