package writer

import (
	"fmt"

	"github.com/millrace/millrace/message"
)

// Topic is the system topic, of one queue, that holds the records of openings.
const Topic = message.SystemTopicPrefix + "millrace_writer"

// Config bounds what writers may cost.
type Config struct {
	// MaxPendingBytes is how many bytes of undecided half messages one writer may have.
	MaxPendingBytes int64 `yaml:"maxPendingBytes"`
	// MaxWriters is how many writers a broker remembers.
	MaxWriters int `yaml:"maxWriters"`
}

// DefaultConfig is enough for several groups in flight of every pipeline.
func DefaultConfig() Config {
	return Config{MaxPendingBytes: 256 << 20, MaxWriters: 10_000}
}

// Validate says what cannot work.
func (c Config) Validate() error {
	if c.MaxPendingBytes < 1<<20 {
		return fmt.Errorf("maxPendingBytes is %d; one group alone needs %d", c.MaxPendingBytes, 1<<20)
	}
	if c.MaxWriters < 1 {
		return fmt.Errorf("maxWriters is %d; it must be above 0", c.MaxWriters)
	}
	return nil
}
