package readback

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// A time of the server's text is the number of its microseconds; what is none stays as it is.
func FuzzATimeInMicroseconds(f *testing.F) {
	for _, n := range []int64{0, 1, -1, 3_020_399_000_000, -3_020_399_999_999, 59_999_999, -60_000_000} {
		f.Add(n, "")
	}
	f.Add(int64(0), "12:00")
	f.Add(int64(0), "0:0:0.000000")
	f.Add(int64(0), "00:00:00.1234567")
	whole := regexp.MustCompile(`^-?\d+:\d{2}:\d{2}\.\d{6}$`)
	f.Fuzz(func(t *testing.T, n int64, other string) {
		const most = 3_020_399_999_999
		n %= most + 1
		sign, abs := "", n
		if n < 0 {
			sign, abs = "-", -n
		}
		text := fmt.Sprintf("%s%02d:%02d:%02d.%06d", sign, abs/3_600_000_000, abs/60_000_000%60, abs/1_000_000%60, abs%1_000_000)
		if got := micros(text); got != strconv.FormatInt(n, 10) {
			t.Errorf("%s is %s and not %d", text, got, n)
		}
		if got := micros(other); !whole.MatchString(other) && got != other {
			t.Errorf("%q is no time and is read as %s", other, got)
		}
	})
}

// A decimal has all the digits that its type has, and no other number.
func FuzzDigits(f *testing.F) {
	f.Add("12.5", 9, 2)
	f.Add("-0.1", 20, 10)
	f.Add("7", 3, 0)
	number := regexp.MustCompile(`^-?\d+(\.\d+)?$`)
	f.Fuzz(func(t *testing.T, s string, p, scale int) {
		if !number.MatchString(s) || p < 1 || p > 76 || scale < 0 || scale > p {
			return
		}
		_, behind, _ := strings.Cut(s, ".")
		if len(behind) > scale {
			return
		}
		got := digits(s, fmt.Sprintf("Decimal(%d, %d)", p, scale))
		want := s
		if scale > 0 {
			want = strings.TrimSuffix(s, "."+behind) + "." + behind + strings.Repeat("0", scale-len(behind))
		}
		if got != want {
			t.Errorf("%s of %d, %d is %s and not %s", s, p, scale, got, want)
		}
	})
}
