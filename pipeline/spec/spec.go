package spec

import (
	"fmt"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/millrace/millrace/internal/config"
	"github.com/millrace/millrace/pipeline/projection/where"
)

// Pipeline is one checked pipeline file.
type Pipeline struct {
	File     string
	Name     string
	Source   Component
	Queues   int
	Tables   map[string]Table // exceptions, by source name "db.table"
	HashSalt string           // of the columns that leave as hashes
	Delivery string           // transactional | direct
	Group    Group
	Sinks    []Sink
	// OnError is pause_table or dead_letter, which DeadLetter bounds; OnDropTable is keep or drop.
	OnError     string
	DeadLetter  DeadLetter
	OnDropTable string
	Verify      Verify
}

// DeadLetter bounds what on_error: dead_letter puts aside of one table in one sink.
type DeadLetter struct {
	Rows  int          `yaml:"rows"`
	Bytes config.Bytes `yaml:"bytes"`
}

// DefaultDeadLetter is 10,000 changes or 64 MiB.
func DefaultDeadLetter() DeadLetter { return DeadLetter{Rows: 10_000, Bytes: 64 << 20} }

// Verify is how a running pipeline checks itself.
type Verify struct {
	// Every is how often each table is compared with its source; "off" is never.
	Every         Every `yaml:"every"`
	RowsPerSecond int   `yaml:"rows_per_second"`
	// Repair has a table that differs read anew.
	Repair bool `yaml:"repair"`
}

// Every is a duration, or "off" (zero).
type Every time.Duration

// UnmarshalYAML reads a duration or "off".
func (e *Every) UnmarshalYAML(n *yaml.Node) error {
	if n.Value == "off" {
		*e = 0
		return nil
	}
	var d config.Duration
	if err := d.UnmarshalYAML(n); err != nil || d == 0 {
		return fmt.Errorf("%q is neither a duration such as 24h nor off", n.Value)
	}
	*e = Every(d)
	return nil
}

// MarshalYAML writes what UnmarshalYAML reads.
func (e Every) MarshalYAML() (any, error) {
	if e == 0 {
		return "off", nil
	}
	return time.Duration(e).String(), nil
}

// DefaultVerify is once a day, gently.
func DefaultVerify() Verify { return Verify{Every: Every(24 * time.Hour), RowsPerSecond: 5000} }

// Component is a source: its type and the decoded configuration of that type.
type Component struct {
	Type   string
	Config any
}

// Sink is a named component.
type Sink struct {
	Name string
	Component
	Flush Flush
}

// Table is an exception for one source table.
type Table struct {
	Queues int      `yaml:"queues"`
	Key    []string `yaml:"key"`
	// Columns are those that must not leave as they are; nil says nothing of the table.
	Columns *Columns `yaml:"columns"`
	// Where is the condition that rows must meet to leave; nil is none.
	Where *where.Expr `yaml:"where"`
}

// Columns names columns that are left out, masked or hashed before anything reaches the
// broker.
type Columns struct {
	Exclude []string `yaml:"exclude"`
	Mask    []string `yaml:"mask"`
	Hash    []string `yaml:"hash"`
}

// Group bounds a publish group.
type Group struct {
	Bytes    config.Bytes    `yaml:"bytes"`
	Interval config.Duration `yaml:"interval"`
}

// Flush bounds what a sink holds before it makes it visible.
type Flush struct {
	Rows     int             `yaml:"rows"`
	Bytes    config.Bytes    `yaml:"bytes"`
	Interval config.Duration `yaml:"interval"`
}

// DefaultGroup is 4 MiB or 10 ms.
func DefaultGroup() Group {
	return Group{Bytes: 4 << 20, Interval: config.Duration(10 * time.Millisecond)}
}

// DefaultFlush is 200,000 rows, 64 MiB or 5 s.
func DefaultFlush() Flush {
	return Flush{Rows: 200_000, Bytes: 64 << 20, Interval: config.Duration(5 * time.Second)}
}

// Kind says how one type of source or sink is configured.
type Kind struct {
	// Default is a pointer to a fresh configuration that holds the defaults.
	Default func() any
	// Check reports what is wrong with a decoded configuration, by key. It must not
	// connect to anything.
	Check func(cfg any) []Finding
	// MostFlush bounds the flush of a sink; zero is no bound.
	MostFlush Flush
	// Named are the tables, as "db.table", that a source's configuration names one by one.
	Named func(cfg any) []string
	// Target is what a sink calls the target of a source table, as "db.table"; nil where no two
	// tables can have the same.
	Target func(cfg any, table string) string
}

// Kinds are the types that exist, by name.
type Kinds struct {
	Sources map[string]Kind
	Sinks   map[string]Kind
}
