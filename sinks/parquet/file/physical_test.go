package file

import (
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestDecimalsOfAnyWidth reads two's complement of every length.
func TestDecimalsOfAnyWidth(t *testing.T) {
	for seed := range uint64(3) {
		rng := rand.New(rand.NewPCG(seed, 1))
		for range 5000 {
			b := make([]byte, 1+rng.IntN(20))
			for i := range b {
				b[i] = byte(rng.Uint32())
			}
			if rng.IntN(2) == 0 { // with bytes before it that say nothing
				fill := byte(0)
				if b[0]&0x80 != 0 {
					fill = 0xFF
				}
				b = append(slices.Repeat([]byte{fill}, rng.IntN(12)), b...)
			}
			want := wholeOf(b)
			typ := DecimalType([]int{5, 18, 38}[rng.IntN(3)], 0)
			fits := new(big.Int).Abs(want).Cmp(new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(typ.Prec)), nil)) < 0
			v, err := bytesDecimal(typ, b, &Arena{})
			if (err == nil) != fits {
				t.Fatalf("seed %d: %x as decimal(%d,0): %v", seed, b, typ.Prec, err)
			}
			if got := ""; fits {
				if got = string(AppendText(nil, typ, v)); got != want.String() {
					t.Fatalf("seed %d: %x is %s, not %s", seed, b, got, want)
				}
			}
		}
	}
}

func wholeOf(b []byte) *big.Int {
	n := new(big.Int).SetBytes(b)
	if b[0]&0x80 != 0 {
		n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(8*len(b))))
	}
	return n
}
