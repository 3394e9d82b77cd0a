package txn

import (
	"errors"
	"fmt"
	"time"
)

// Config has RocketMQ's names where it has them.
type Config struct {
	// Timeout is how old a half is before its producer is asked.
	Timeout time.Duration `yaml:"transactionTimeOut"`
	// CheckInterval is how often pending halves are looked through.
	CheckInterval time.Duration `yaml:"transactionCheckInterval"`
	// CheckMax is how often an ordinary producer is asked before its half is given up.
	CheckMax int `yaml:"transactionCheckMax"`
	// WriterCheckInterval is how often the holder of a writer's term is woken at most.
	WriterCheckInterval time.Duration `yaml:"writerCheckInterval"`
	// MaxHalves bounds the pending halves of ordinary producers.
	MaxHalves int `yaml:"transactionMaxHalves"`
	// Remembered is how many decided halves are kept at hand, so that a repeated END is
	// answered without a look into the log.
	Remembered int `yaml:"transactionRemembered"`
	// OpFlushInterval is how long operation records of commits may wait to be batched.
	OpFlushInterval time.Duration `yaml:"transactionOpBatchInterval"`
	// SnapshotBytes is how far the log grows between two snapshots: what a restart after
	// a crash reads again.
	SnapshotBytes int64 `yaml:"transactionSnapshotBytes"`
}

// DefaultConfig is RocketMQ 5's.
func DefaultConfig() Config {
	return Config{
		Timeout:             6 * time.Second,
		CheckInterval:       30 * time.Second,
		CheckMax:            15,
		WriterCheckInterval: time.Minute,
		MaxHalves:           1_000_000,
		Remembered:          1 << 17,
		OpFlushInterval:     3 * time.Second,
		SnapshotBytes:       256 << 20,
	}
}

// Validate says what cannot work, all of it.
func (c Config) Validate() error {
	var errs []error
	positive := func(name string, v int64) {
		if v <= 0 {
			errs = append(errs, fmt.Errorf("%s is %d; it must be above 0", name, v))
		}
	}
	positive("transactionTimeOut", int64(c.Timeout))
	positive("transactionCheckInterval", int64(c.CheckInterval))
	positive("transactionCheckMax", int64(c.CheckMax))
	positive("writerCheckInterval", int64(c.WriterCheckInterval))
	positive("transactionMaxHalves", int64(c.MaxHalves))
	positive("transactionRemembered", int64(c.Remembered))
	positive("transactionOpBatchInterval", int64(c.OpFlushInterval))
	positive("transactionSnapshotBytes", c.SnapshotBytes)
	return errors.Join(errs...)
}
