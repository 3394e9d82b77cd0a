package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/millrace/millrace/internal/testenv"
)

type options struct {
	binary, dir, out, json string
	pprof, profiles        string
	only                   string
	rounds, backlogs       int
	seconds                time.Duration
	quick, large, keep     bool
}

func main() {
	var o options
	flag.StringVar(&o.binary, "millrace", "bin/millrace", "the binary to measure")
	flag.StringVar(&o.dir, "dir", "", "directory for data, on a real disk (default: below the cache directory)")
	flag.StringVar(&o.out, "out", "", "file to write the report to (default docs/benchmarks.md of a whole run, else standard output)")
	flag.StringVar(&o.json, "json", "", "file to write every single measurement to")
	flag.StringVar(&o.only, "only", "", "parts to measure, of "+strings.Join(partNames(), ",")+" (default: all)")
	flag.StringVar(&o.pprof, "pprof", "", "loopback address at which standalone serves profiles")
	flag.StringVar(&o.profiles, "profiles", "", "directory for CPU profiles of standalone, one of each second of each measurement")
	flag.IntVar(&o.rounds, "rounds", 2, "rounds of the brokers; medians of them are told")
	flag.IntVar(&o.backlogs, "backlogs", 1, "times that each backlog of a database is carried; medians of them are told")
	flag.DurationVar(&o.seconds, "seconds", 3*time.Second, "length of one measurement of a broker")
	flag.BoolVar(&o.quick, "quick", false, "a run of about two minutes: one round, short, less data")
	flag.BoolVar(&o.large, "large", true, "also measure a transaction of 5,000,000 rows")
	flag.BoolVar(&o.keep, "keep", false, "keep the data")
	flag.Parse()
	if o.quick {
		o.rounds, o.backlogs, o.seconds, o.large = 1, 1, 3*time.Second, false
	}
	if o.profiles != "" && o.pprof == "" {
		o.pprof = "127.0.0.1:6161"
	}
	if o.out == "" && o.only == "" && !o.quick {
		o.out = wholeReport
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// results is everything that a run found; it is what --json writes.
type results struct {
	Machine  machine         `json:"machine"`
	Options  string          `json:"options"`
	Started  time.Time       `json:"started"`
	Seconds  float64         `json:"seconds"`
	Brokers  []brokerSample  `json:"brokers,omitempty"`
	Pipeline *pipelineResult `json:"pipeline,omitempty"`
	OLAP     *olapResult     `json:"clickhouse,omitempty"`
	Store    *storeResult    `json:"s3,omitempty"`
	Memory   *memoryResult   `json:"memory,omitempty"`
	Only     string          `json:"only,omitempty"` // the parts that were wanted; "" for all
	Failures []string        `json:"failures,omitempty"`
}

func run(ctx context.Context, o options) (err error) {
	if err := checkOnly(o.only); err != nil {
		return err
	}
	b := &bench{options: o, started: time.Now()}
	if b.binary, err = filepath.Abs(o.binary); err != nil {
		return err
	}
	if b.root, err = dataDirectory(o.dir); err != nil {
		return err
	}
	if !o.keep {
		defer func() { err = errors.Join(err, os.RemoveAll(b.root)) }()
	}
	r := results{Started: b.started, Options: strings.Join(os.Args[1:], " "), Only: b.only}
	if r.Machine, err = describeMachine(ctx, b.binary, b.root); err != nil {
		return err
	}
	b.say("data in %s (%s); load average %s", b.root, r.Machine.Filesystem, r.Machine.Load)
	runs := map[string]func(context.Context) error{
		"brokers":    func(ctx context.Context) (err error) { r.Brokers, err = b.brokers(ctx); return err },
		"pipeline":   func(ctx context.Context) (err error) { r.Pipeline, err = b.pipeline(ctx); return err },
		"clickhouse": func(ctx context.Context) (err error) { r.OLAP, err = b.clickhouse(ctx); return err },
		"s3":         func(ctx context.Context) (err error) { r.Store, err = b.s3(ctx); return err },
		"memory":     func(ctx context.Context) (err error) { r.Memory, err = b.memory(ctx); return err },
	}
	for _, p := range parts {
		if !b.wants(append([]string{p.name}, p.of...)...) {
			continue
		}
		if err := b.attempt(ctx, p.name, func() error { return runs[p.name](ctx) }); err != nil {
			return err
		}
	}
	r.Seconds, r.Failures = time.Since(b.started).Seconds(), b.failures
	if err := b.write(&r); err != nil {
		return err
	}
	if n := len(b.failures); n > 0 {
		return fmt.Errorf("%d measurements failed:\n%s", n, strings.Join(b.failures, "\n"))
	}
	return nil
}

// attempt measures something that the rest of the run does not need: that it failed is told
// in the report, and the run goes on. It returns an error where the run was ended.
func (b *bench) attempt(ctx context.Context, what string, measure func() error) error {
	err := measure()
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	b.say("FAILED: %s: %v", what, err)
	b.failures = append(b.failures, what+": "+firstLine(err.Error()))
	return nil
}

// write writes the report, and the samples where --json wants them.
func (b *bench) write(r *results) error {
	if b.json != "" {
		text, err := json.MarshalIndent(r, "", "  ")
		if err != nil {
			return err
		}
		if err := os.WriteFile(b.json, append(text, '\n'), 0o644); err != nil {
			return err
		}
	}
	text := report(r, b.rounds, b.seconds)
	if b.out == "" {
		fmt.Print(text)
		return nil
	}
	if err := os.WriteFile(b.out, []byte(text), 0o644); err != nil {
		return err
	}
	b.say("the report is in %s", b.out)
	if b.out != wholeReport {
		return nil
	}
	return writeSummary(readme, r)
}

// wholeReport is where the report of a whole run goes.
const wholeReport = "docs/benchmarks.md"

// bench is one run.
type bench struct {
	options
	root     string
	started  time.Time
	made     int
	failures []string // what could not be measured, and why
}

func (b *bench) say(format string, args ...any) {
	fmt.Printf("%6.1fs  %s\n", time.Since(b.started).Seconds(), fmt.Sprintf(format, args...))
}

// scratch makes a directory for one server's data; drop removes it.
func (b *bench) scratch(name string) (dir string, drop func(), err error) {
	b.made++
	dir = filepath.Join(b.root, fmt.Sprintf("%02d-%s", b.made, name))
	drop = func() {
		if !b.keep {
			_ = os.RemoveAll(dir) // the whole tree goes at the end
		}
	}
	return dir, drop, os.MkdirAll(dir, 0o755)
}

// dataDirectory makes the directory of a run's data and refuses memory for a disk.
func dataDirectory(dir string) (string, error) {
	if dir == "" {
		cache, err := testenv.CacheDir()
		if err != nil {
			return "", err
		}
		dir = cache
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	root, err := os.MkdirTemp(dir, "bench-")
	if err != nil {
		return "", err
	}
	if kind, err := filesystem(root); err != nil || kind == "tmpfs" {
		return "", errors.Join(err, os.RemoveAll(root), fmt.Errorf("%s is not on a disk (%s): --dir names another directory", dir, kind))
	}
	return root, nil
}
