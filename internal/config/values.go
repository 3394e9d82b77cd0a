package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// Duration is a time.Duration written as "10ms", "5s", "72h".
type Duration time.Duration

// UnmarshalYAML reads a duration with its unit.
func (d *Duration) UnmarshalYAML(n *yaml.Node) error {
	v, err := time.ParseDuration(n.Value)
	if err != nil {
		return fmt.Errorf("%q is not a duration; write a number with a unit, as in 500ms, 10s or 72h", n.Value)
	}
	if v < 0 {
		return fmt.Errorf("the duration %q is negative", n.Value)
	}
	*d = Duration(v)
	return nil
}

// MarshalYAML writes the duration as it is read.
func (d Duration) MarshalYAML() (any, error) { return time.Duration(d).String(), nil }

// D is the duration as the standard library has it.
func (d Duration) D() time.Duration { return time.Duration(d) }

// String is the duration with its unit.
func (d Duration) String() string { return time.Duration(d).String() }

// Bytes is a size written as "64MiB", "4KiB", "10GB" or a plain number of bytes.
type Bytes int64

var units = []struct {
	suffix string
	factor float64
}{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40},
	{"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12}, {"B", 1},
}

// ParseBytes reads a size.
func ParseBytes(s string) (Bytes, error) {
	number, factor := strings.TrimSpace(s), 1.0
	for _, u := range units {
		if rest, ok := strings.CutSuffix(number, u.suffix); ok {
			number, factor = strings.TrimSpace(rest), u.factor
			break
		}
	}
	v, err := strconv.ParseFloat(number, 64)
	if err != nil || v < 0 || v*factor > math.MaxInt64/2 {
		return 0, fmt.Errorf("%q is not a size; write a number of bytes or a unit, as in 64MiB or 4KiB", s)
	}
	return Bytes(v * factor), nil
}

// UnmarshalYAML reads a size.
func (b *Bytes) UnmarshalYAML(n *yaml.Node) error {
	v, err := ParseBytes(n.Value)
	if err != nil {
		return err
	}
	*b = v
	return nil
}

// MarshalYAML writes the size in the largest unit that divides it.
func (b Bytes) MarshalYAML() (any, error) { return b.String(), nil }

// String is the size in the largest binary unit that divides it.
func (b Bytes) String() string {
	for _, u := range []struct {
		s string
		f Bytes
	}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}} {
		if b >= u.f && b%u.f == 0 {
			return fmt.Sprintf("%d%s", b/u.f, u.s)
		}
	}
	return strconv.FormatInt(int64(b), 10)
}

// Secret is text that is never shown: it prints, logs and marshals as "******".
type Secret string

const hidden = "******"

// String hides the secret.
func (s Secret) String() string { return hidden }

// GoString hides the secret.
func (s Secret) GoString() string { return hidden }

// MarshalYAML hides the secret.
func (s Secret) MarshalYAML() (any, error) { return hidden, nil }

// MarshalJSON hides the secret.
func (s Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + hidden + `"`), nil }

// Reveal is the secret itself, for the one place that needs it.
func (s Secret) Reveal() string { return string(s) }
