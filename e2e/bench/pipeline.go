package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"sync"
	"time"

	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/httpapi"
)

// pipelineResult is what was found of a pipeline's speed.
type pipelineResult struct {
	MariaDB  string          `json:"mariadb"`
	Many     []backlogSample `json:"multi_row"`
	Single   []backlogSample `json:"single_row"`
	Mixed    []backlogSample `json:"mixed"`
	Snapshot backlogSample   `json:"snapshot"`
	Changes  freshnessSample `json:"freshness_changes"`
	Current  freshnessSample `json:"freshness_current"`
	Rates    []rateSample    `json:"rates"`
}

// backlogSample is one binlog that was carried into the target.
type backlogSample struct {
	Name           string  `json:"name"`
	Rows           int     `json:"rows"`
	BytesPerRow    float64 `json:"binlog_bytes_per_row"`
	Seconds        float64 `json:"seconds"` // from resume until changes/ shows every row
	PerSecond      float64 `json:"rows_per_second"`
	CurrentSeconds float64 `json:"current_seconds"` // until current/ does
	CPUMicros      float64 `json:"cpu_us_per_row"`
	PeakMiB        float64 `json:"rss_peak_mib"`
	BarePerSecond  float64 `json:"go_mysql_rows_per_second"`
	Equal          bool    `json:"equal"` // pipeline verify compared source and target
	Load           string  `json:"load_average"`
	OtherCores     float64 `json:"other_cores"`
}

// freshnessSample is how old rows are when they are read from the target.
type freshnessSample struct {
	Rows       int     `json:"rows"`
	P50        float64 `json:"p50_s"`
	P99        float64 `json:"p99_s"`
	Max        float64 `json:"max_s"`
	Written    int64   `json:"written"`
	PerSecond  float64 `json:"rows_per_second"`
	Load       string  `json:"load_average"`
	OtherCores float64 `json:"other_cores"`
}

const freshRate = 5000

func (b *bench) pipeline(ctx context.Context) (*pipelineResult, error) {
	s, stop, err := b.startSource(ctx)
	if err != nil {
		return nil, err
	}
	defer stop()
	r := &pipelineResult{MariaDB: s.server.Version}
	if b.wants("pipeline", "bulk", "single", "mixed", "freshness") {
		err := b.attempt(ctx, "backlogs into Parquet", func() error { return b.allBacklogs(ctx, s, r) })
		if err != nil {
			return r, err
		}
	}
	if b.wants("pipeline", "snapshot") {
		err := b.attempt(ctx, "snapshot into Parquet", func() (err error) { r.Snapshot, err = b.snapshot(ctx, s); return err })
		if err != nil {
			return r, err
		}
	}
	return r, nil
}

// sizes are how many rows the loads have.
type sizes struct {
	many, single, mixed, snapshot int
	fresh                         time.Duration
}

func (b *bench) sizes() sizes {
	if b.quick {
		return sizes{many: 300_000, single: 60_000, mixed: 60_000, snapshot: 500_000, fresh: 8 * time.Second}
	}
	return sizes{many: 1_000_000, single: 200_000, mixed: 200_000, snapshot: 3_000_000, fresh: 20 * time.Second}
}

// allBacklogs measures what one daemon catches up with, and how fresh its target is.
func (b *bench) allBacklogs(ctx context.Context, s *source, r *pipelineResult) error {
	n := b.sizes()
	loads := make([][]load, b.backlogs)
	names := []string{"shop.fresh"}
	for round := range b.backlogs {
		loads[round] = []load{s.manyRows(round, n.many), s.singleRows(round, n.single), s.mixedRows(round, n.mixed)}
		for _, l := range loads[round] {
			names = append(names, l.tables...)
		}
	}
	for _, rate := range rates {
		names = append(names, rateTable(rate))
	}
	for _, t := range names {
		if err := s.createOrders(ctx, t); err != nil {
			return err
		}
	}
	d, err := b.startDaemon(ctx, s)
	if err != nil {
		return err
	}
	defer d.stop()
	if err := d.streaming(ctx, len(names)); err != nil {
		return err
	}
	for _, of := range loads {
		for i, into := range []*[]backlogSample{&r.Many, &r.Single, &r.Mixed} {
			if !b.wants("pipeline", []string{"bulk", "single", "mixed"}[i]) {
				continue
			}
			err := b.attempt(ctx, of[i].name+" into Parquet", func() error {
				one, err := b.backlog(ctx, s, d, of[i])
				if err == nil {
					*into = append(*into, one)
				}
				return err
			})
			if err != nil {
				return err
			}
		}
	}
	if !b.wants("pipeline", "freshness") {
		return nil
	}
	err = b.attempt(ctx, "freshness of Parquet", func() (err error) {
		r.Changes, r.Current, err = b.freshness(ctx, s, d, "shop.fresh", freshRate, n.fresh)
		return err
	})
	if err != nil {
		return err
	}
	return b.attempt(ctx, "the highest rate into Parquet", func() (err error) { r.Rates, err = b.highestRate(ctx, s, d); return err })
}

// backlog fills tables while the pipeline is paused, and measures from its resumption
// until the target shows every row; then it has source and target compared.
func (b *bench) backlog(ctx context.Context, s *source, d *daemon, l load) (backlogSample, error) {
	sample := backlogSample{Name: l.name, Rows: l.rows}
	lake := newTarget(d.lake, l.tables...)
	if err := b.prepare(ctx, l, lake); err != nil {
		return sample, err
	}
	base, err := lake.shown(ctx)
	if err != nil {
		return sample, err
	}
	if err := d.do(ctx, httpapi.Pause, pipeline.StatePaused); err != nil {
		return sample, err
	}
	from, err := s.position(ctx)
	if err != nil {
		return sample, err
	}
	if err := l.fill(ctx); err != nil {
		return sample, err
	}
	to, err := s.position(ctx)
	if err != nil {
		return sample, err
	}
	sample.BytesPerRow = float64(logBytes(from, to)) / float64(l.rows)
	bare, err := s.decodeBare(ctx, from, l.tables, l.rows)
	if err != nil {
		return sample, err
	}
	sample.BarePerSecond = float64(l.rows) / bare.Seconds()
	err = b.carried(ctx, s, d, lake, base+int64(l.rows), &sample, func() error {
		return d.do(ctx, httpapi.Resume, "") // it starts at once
	})
	if err != nil {
		return sample, err
	}
	b.say("%-28s %9d rows, %3.0f B each: %8.0f rows/s in changes/ (%.1f s), %.1f s until current/ has them, equal %t; %.2f µs a row; "+
		"go-mysql alone %.0f rows/s  (others: %.2f cores)",
		l.name, l.rows, sample.BytesPerRow, sample.PerSecond, sample.Seconds, sample.CurrentSeconds, sample.Equal, sample.CPUMicros,
		sample.BarePerSecond, sample.OtherCores)
	return sample, nil
}

// prepare puts in what the load needs to be there, and waits until the target has it.
func (b *bench) prepare(ctx context.Context, l load, lake *target) error {
	if l.before == nil {
		return nil
	}
	base, err := lake.shown(ctx)
	if err != nil {
		return err
	}
	if err := l.before(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	if err := lake.awaitChanges(ctx, base+int64(l.there)); err != nil {
		return err
	}
	return lake.awaitCurrent(ctx)
}

// carried measures from begin until changes/ has n rows, until current/ has them, and
// compares.
func (b *bench) carried(ctx context.Context, s *source, d *daemon, lake *target, n int64, sample *backlogSample, begin func() error) error {
	pid := d.process.Pid()
	sample.Load = loadAverage()
	cpu := processSeconds(pid)
	rest := startOthers(func() float64 {
		return ownSeconds() + processSeconds(pid) + processSeconds(s.pid()) + d.besideSeconds()
	})
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	stop := b.profiled(ctx, sample.Name)
	defer stop()
	began := time.Now()
	if err := begin(); err != nil {
		return err
	}
	if err := lake.awaitChanges(ctx, n); err != nil {
		return fmt.Errorf("%w\n%s", err, d.process.Log())
	}
	sample.Seconds = time.Since(began).Seconds()
	sample.PerSecond = float64(sample.Rows) / sample.Seconds
	sample.CPUMicros = (processSeconds(pid) - cpu) * 1e6 / float64(sample.Rows)
	sample.OtherCores = rest.cores()
	stop()
	if err := lake.awaitCurrent(ctx); err != nil {
		return fmt.Errorf("%w\n%s", err, d.process.Log())
	}
	sample.CurrentSeconds = time.Since(began).Seconds()
	var err error
	if _, _, sample.PeakMiB, err = memoryOf(pid); err != nil {
		return err
	}
	sample.Equal, err = b.verify(ctx, d, lake.names)
	return err
}

// verify compares source and target of some tables, as `millrace pipeline verify` does.
func (b *bench) verify(ctx context.Context, d *daemon, tables []string) (bool, error) {
	args := []string{"pipeline", "verify", d.file, "--quiet", "--wait", "1m"}
	for _, t := range tables {
		args = append(args, "--table", t)
	}
	cmd := exec.CommandContext(ctx, b.binary, args...)
	cmd.Env = append(os.Environ(), d.env...)
	out, err := cmd.CombinedOutput()
	var status *exec.ExitError
	if errors.As(err, &status) && status.ExitCode() == 1 {
		b.say("source and target differ:\n%s", out)
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("millrace pipeline verify: %w\n%s", err, out)
	}
	return true, nil
}

// freshness writes at a fixed rate and measures how old every row is when it has been read
// from the target.
func (b *bench) freshness(ctx context.Context, s *source, d *daemon, table string, perSecond int, length time.Duration) (
	changes, current freshnessSample, err error) {
	load := loadAverage()
	rest := startOthers(func() float64 { return ownSeconds() + processSeconds(d.process.Pid()) + processSeconds(s.pid()) })
	ctx, cancel := context.WithTimeout(ctx, length+2*time.Minute)
	defer cancel()
	var (
		wg      sync.WaitGroup
		parts   [2][]time.Duration
		errs    [2]error
		written = make(chan struct{}) // closed once total is known
		total   int64
	)
	for i, name := range []string{"changes", "current"} {
		t := newDeltaTable(d.lake, table, name)
		wg.Go(func() { parts[i], errs[i] = t.ages(ctx, written, &total) })
	}
	began := time.Now()
	total, err = s.insertPaced(ctx, table, perSecond, length)
	rate := float64(total) / time.Since(began).Seconds()
	if err != nil {
		cancel()
	}
	close(written)
	wg.Wait()
	for _, e := range []error{err, errs[0], errs[1]} {
		if e != nil {
			return changes, current, fmt.Errorf("freshness: %w", e)
		}
	}
	cores := rest.cores()
	for i, into := range []*freshnessSample{&changes, &current} {
		ages := parts[i]
		slices.Sort(ages)
		at := func(q float64) float64 { return ages[int(q*float64(len(ages)-1))].Seconds() }
		*into = freshnessSample{Rows: len(ages), P50: at(0.5), P99: at(0.99), Max: at(1), Written: total, PerSecond: rate,
			Load: load, OtherCores: cores}
		b.say("freshness of %s/ at %.0f rows/s: p50 %.2f s, p99 %.2f s, max %.2f s over %d rows  (others: %.2f cores)",
			[]string{"changes", "current"}[i], rate, into.P50, into.P99, into.Max, into.Rows, cores)
	}
	return changes, current, nil
}

// ages reads every file that the table gets and returns how old each row was when it was
// read for the first time, until total rows were seen after written is closed.
func (t *deltaTable) ages(ctx context.Context, written <-chan struct{}, total *int64) (ages []time.Duration, err error) {
	seen := map[int64]struct{}{}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		added, err := t.advance()
		if err != nil {
			return nil, err
		}
		for _, path := range added {
			first := len(ages)
			err := t.readOrders(ctx, path, func(id int64, placed time.Time) {
				if _, ok := seen[id]; !ok {
					seen[id] = struct{}{}
					ages = append(ages, time.Duration(placed.UnixNano()))
				}
			})
			if err != nil {
				return nil, fmt.Errorf("%s: %w", path, err)
			}
			now := time.Now().UnixNano() // a row counts as seen when its file is read
			for i := first; i < len(ages); i++ {
				ages[i] = time.Duration(now) - ages[i]
			}
		}
		select {
		case <-written:
			if int64(len(ages)) >= *total && *total > 0 {
				return ages, nil
			}
		default:
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, fmt.Errorf("%d of %d rows were seen in %s: %w", len(ages), *total, t.dir, ctx.Err())
		}
	}
}
