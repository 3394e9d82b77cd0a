package testenv

import (
	"math"
	"os"
	"path/filepath"
	"testing"
)

func TestAContainersLimitCounts(t *testing.T) {
	for _, c := range []struct {
		most, taken string
		want        uint64
	}{
		{"4294967296\n", "1073741824\n", 3 << 30},
		{"1073741824\n", "4294967296\n", 0},
		{"max\n", "1073741824\n", math.MaxUint64},
		{"", "", math.MaxUint64},
	} {
		dir := t.TempDir()
		for name, text := range map[string]string{"memory.max": c.most, "memory.current": c.taken} {
			if text == "" {
				continue
			}
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if got := groupMemory(dir); got != c.want {
			t.Errorf("%q of %q: %d, want %d", c.taken, c.most, got, c.want)
		}
	}
}
