package column

import (
	"slices"
	"testing"

	"github.com/millrace/millrace/pipeline/event"
)

// A type that can be chosen is read again from its own text.
func FuzzATypeIsReadAgain(f *testing.F) {
	for _, s := range []string{"Int8", "UInt64", "Bool", "Float32", "Decimal( 10 ,2)", "Decimal(77, 1)", "Decimal(2, 3)", "String", "LowCardinality(Nullable(String))", "FixedString(16)",
		"FixedString(0)", "Date", "Date32", "DateTime", "DateTime('Europe/Berlin')", "DateTime64(3)", "DateTime64(7)", "Nullable(UUID)", "Nullable(Nullable(UUID))", "Array(Int8)", "'"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := ParseAs(s)
		if err != nil {
			return
		}
		if b, err := ParseAs(a.Text()); err != nil || a != b {
			t.Errorf("%q is %+v, and %q is %+v: %v", s, a, a.Text(), b, err)
		}
	})
}

// Whatever a text or a decimal is, each type that was chosen for it takes one value or says why not,
// and then keeps nothing; in a key it changes none.
func FuzzAChosenTypeTakesOneValue(f *testing.F) {
	for _, s := range []string{"", "-", "0", "-0", "12.50", "007", "99999999999999999999999", "-1e9", "61f0c404-5cb3-11e7-907b-a6006ad3dba0", "\xff"} {
		f.Add(s, s == "0", true)
	}
	names := []string{"Int8", "UInt64", "Bool", "Float32", "Float64", "Decimal(5, 1)", "Decimal(76, 0)", "String", "LowCardinality(String)", "FixedString(3)", "UUID"}
	f.Fuzz(func(t *testing.T, s string, key, number bool) {
		src := col(event.TypeText, nullable)
		if src.Precision, src.Scale = 20, 2; number && numberText.MatchString(s) {
			src.Type = event.TypeDecimal
		}
		for _, name := range names {
			a, err := ParseAs(name)
			if err != nil {
				t.Fatal(err)
			}
			typ, err := a.Of(&src, false)
			if err != nil {
				continue
			}
			typ.Key = key
			b := NewBuffer(&src, typ, Policy{Range: Clamp, ZeroDate: Null})
			changed, err := b.Append(append(event.Value{}, s...))
			if err != nil && (b.Rows() != 0 || b.Size() != 0) || err == nil && b.Rows() != 1 || key && changed != Kept {
				t.Errorf("%q as %s: %v, %v, %d rows", s, name, changed, err, b.Rows())
			}
			if err == nil && changed == Kept && slices.Contains([]string{"Int8", "UInt64"}, name) && src.Type == event.TypeText && received(t, b)[0] == nil {
				t.Errorf("%q as %s is NULL", s, name)
			}
		}
	})
}
