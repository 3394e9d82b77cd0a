package parquet

import (
	"time"

	"github.com/millrace/millrace/internal/config"
	"github.com/millrace/millrace/sinks/objects/s3"
	"github.com/millrace/millrace/sinks/parquet/current"
	"github.com/millrace/millrace/sinks/parquet/lake"
)

// Config is the parquet part of a sink in a pipeline file.
type Config struct {
	// Path is what holds <pipeline>/<db>.<table>/: a directory, or s3://bucket/prefix.
	Path string `yaml:"path"`
	// S3 is how the store of a path s3://… is reached.
	S3 s3.Config `yaml:"s3"`
	// Scratch is a local directory for files in the making, which a path s3://… needs; empty is
	// one of the process's own choice.
	Scratch     string         `yaml:"scratch"`
	Current     current.Config `yaml:"current"`
	Compression string         `yaml:"compression"` // zstd | snappy | none
	Keep        lake.Keep      `yaml:"keep"`
}

// DefaultConfig is what holds where a pipeline file says nothing.
func DefaultConfig() Config {
	return Config{
		S3:          s3.DefaultConfig(),
		Current:     current.Config{Interval: current.Interval(10 * time.Second), Memory: 16 << 20, FileRows: 1 << 20},
		Compression: "zstd",
		Keep: lake.Keep{
			Removed: config.Duration(time.Hour), RemovedTimes: 2,
			Orphans: config.Duration(24 * time.Hour),
			Log:     config.Duration(24 * time.Hour),
		},
	}
}

// Validate says what is wrong first, as a *config.KeyError.
func (c *Config) Validate() error {
	bad := func(key, text string) error { return &config.KeyError{Key: key, Text: text} }
	if err := c.checkPlace(); err != nil {
		return err
	}
	switch {
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

// Interval is a duration, or "off" (zero).
type Interval = current.Interval
