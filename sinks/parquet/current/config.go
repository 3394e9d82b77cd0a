package current

import (
	"fmt"
	"strings"
	"time"

	"github.com/millrace/millrace/internal/config"
)

// Config is how current/ is kept.
type Config struct {
	// Interval is the least time between two merges into current/; "off" writes changes/
	// only. Where merges take longer than that, current/ falls behind and status says so.
	Interval Interval `yaml:"interval"`
	// Memory bounds the changes that a merge holds at a time.
	Memory config.Bytes `yaml:"memory"`
	// FileRows is where a file of current/ is split in two.
	FileRows int `yaml:"file_rows"`
}

// Interval is a duration, or "off" (zero).
type Interval time.Duration

// UnmarshalText reads a duration or "off".
func (i *Interval) UnmarshalText(b []byte) error {
	if strings.EqualFold(string(b), "off") {
		*i = 0
		return nil
	}
	d, err := time.ParseDuration(string(b))
	if err != nil {
		return fmt.Errorf("%q is no duration; write one such as 10s, or off", b)
	}
	*i = Interval(d)
	return nil
}

// MarshalText is the text that UnmarshalText reads.
func (i Interval) MarshalText() ([]byte, error) {
	if i == 0 {
		return []byte("off"), nil
	}
	return []byte(time.Duration(i).String()), nil
}
