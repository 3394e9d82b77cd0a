package parquet

import (
	"strings"
	"time"

	"github.com/millrace/millrace/internal/config"
)

// Config is the parquet part of a sink in a pipeline file.
type Config struct {
	// Path is the directory that holds <pipeline>/<db>.<table>/.
	Path        string  `yaml:"path"`
	Current     Current `yaml:"current"`
	Compression string  `yaml:"compression"` // zstd | snappy | none
	Keep        Keep    `yaml:"keep"`
}

// DefaultConfig is what holds where a pipeline file says nothing.
func DefaultConfig() Config {
	return Config{
		Current:     Current{Interval: Interval(10 * time.Second), Memory: 16 << 20, FileRows: 1 << 20},
		Compression: "zstd",
		Keep: Keep{
			Removed: config.Duration(time.Hour), RemovedTimes: 2,
			Orphans: config.Duration(24 * time.Hour),
			Log:     config.Duration(24 * time.Hour),
		},
	}
}

// Validate says what is wrong first, as a *config.KeyError.
func (c *Config) Validate() error {
	bad := func(key, text string) error { return &config.KeyError{Key: key, Text: text} }
	switch {
	case c.Path == "":
		return bad("path", "a directory is needed, e.g. path: ./lake")
	case strings.Contains(c.Path, "://"):
		return bad("path", "only local directories can be written by this version; name one, e.g. ./lake")
	case strings.ContainsRune(c.Path, 0):
		return bad("path", "a path holds no NUL byte")
	case c.Current.Interval < 0:
		return bad("current.interval", "must be a duration such as 10s, or off")
	case c.Current.Memory < 1<<20:
		return bad("current.memory", "1MiB is the least a merge can work with")
	case c.Current.FileRows < 1:
		return bad("current.file_rows", "must be above zero")
	case !(c.Keep.RemovedTimes >= 0):
		return bad("keep.removed_times", "must not be below zero")
	case c.Keep.Removed < 0 || c.Keep.Orphans < 0 || c.Keep.Log < 0:
		return bad("keep", "durations must not be below zero")
	}
	switch c.Compression {
	case "zstd", "snappy", "none":
		return nil
	}
	return bad("compression", "must be zstd, snappy or none")
}
