package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/httpapi"
)

// pipelineResult is what was found of a pipeline's speed.
type pipelineResult struct {
	MariaDB string          `json:"mariadb"`
	Many    []backlogSample `json:"multi_row"`
	Single  []backlogSample `json:"single_row"`
	Changes freshnessSample `json:"freshness_changes"`
	Current freshnessSample `json:"freshness_current"`
}

// backlogSample is one binlog that was carried into the target.
type backlogSample struct {
	Rows           int     `json:"rows"`
	BytesPerRow    float64 `json:"binlog_bytes_per_row"`
	Seconds        float64 `json:"seconds"` // from resume until changes/ shows every row
	PerSecond      float64 `json:"rows_per_second"`
	CurrentSeconds float64 `json:"current_seconds"` // until current/ does
	CPUMicros      float64 `json:"cpu_us_per_row"`
	PeakMiB        float64 `json:"rss_peak_mib"`
	BarePerSecond  float64 `json:"go_mysql_rows_per_second"`
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
	many, single, fresh := 1_000_000, 200_000, 20*time.Second
	if b.quick {
		many, single, fresh = 300_000, 60_000, 8*time.Second
	}
	tables := []string{"fresh"}
	for round := range b.rounds {
		tables = append(tables, fmt.Sprintf("many%d", round), fmt.Sprintf("single%d", round))
	}
	for _, t := range tables {
		if err := s.createOrders(ctx, t); err != nil {
			return nil, err
		}
	}
	d, err := b.startDaemon(ctx, s)
	if err != nil {
		return nil, err
	}
	defer d.stop()
	if err := d.streaming(ctx, len(tables)); err != nil {
		return nil, err
	}
	r := &pipelineResult{MariaDB: s.server.Version}
	for round := range b.rounds {
		one, err := b.backlog(ctx, s, d, fmt.Sprintf("many%d", round), many, func(table string) error { return s.insertMany(ctx, table, many, 1000) })
		if err != nil {
			return nil, fmt.Errorf("multi-row backlog: %w", err)
		}
		r.Many = append(r.Many, one)
		if one, err = b.backlog(ctx, s, d, fmt.Sprintf("single%d", round), single, func(table string) error { return s.insertSingle(ctx, table, single) }); err != nil {
			return nil, fmt.Errorf("backlog of single rows: %w", err)
		}
		r.Single = append(r.Single, one)
	}
	r.Changes, r.Current, err = b.freshness(ctx, s, d, "fresh", fresh)
	return r, err
}

// backlog fills a table while the pipeline is paused, and measures from its resumption
// until the target shows every row.
func (b *bench) backlog(ctx context.Context, s *source, d *daemon, table string, rows int, fill func(string) error) (backlogSample, error) {
	sample := backlogSample{Rows: rows}
	if err := d.do(ctx, httpapi.Pause, pipeline.StatePaused); err != nil {
		return sample, err
	}
	from, err := s.position(ctx)
	if err != nil {
		return sample, err
	}
	if err := fill(table); err != nil {
		return sample, err
	}
	to, err := s.position(ctx)
	if err != nil {
		return sample, err
	}
	sample.BytesPerRow = float64(logBytes(from, to)) / float64(rows)
	bare, err := s.decodeBare(ctx, from, table, rows)
	if err != nil {
		return sample, err
	}
	sample.BarePerSecond = float64(rows) / bare.Seconds()
	pid := d.process.Pid()
	sample.Load = loadAverage()
	cpu := processSeconds(pid)
	rest := startOthers(func() float64 { return ownSeconds() + processSeconds(pid) + processSeconds(s.pid()) })
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	began := time.Now()
	if err := d.do(ctx, httpapi.Resume, ""); err != nil { // it starts at once
		return sample, err
	}
	if err := newDeltaTable(d.lake, table, "changes").await(ctx, int64(rows)); err != nil {
		return sample, fmt.Errorf("%w\n%s", err, d.process.Log())
	}
	sample.Seconds = time.Since(began).Seconds()
	sample.PerSecond = float64(rows) / sample.Seconds
	sample.CPUMicros = (processSeconds(pid) - cpu) * 1e6 / float64(rows)
	sample.OtherCores = rest.cores()
	if err := newDeltaTable(d.lake, table, "current").await(ctx, int64(rows)); err != nil {
		return sample, fmt.Errorf("%w\n%s", err, d.process.Log())
	}
	sample.CurrentSeconds = time.Since(began).Seconds()
	if _, _, sample.PeakMiB, err = memoryOf(pid); err != nil {
		return sample, err
	}
	b.say("%-8s %9d rows, %3.0f B each: %8.0f rows/s in changes/ (%.1f s), %.1f s until current/ has them; %.2f µs a row; go-mysql alone %.0f rows/s  (others: %.2f cores)",
		table, rows, sample.BytesPerRow, sample.PerSecond, sample.Seconds, sample.CurrentSeconds, sample.CPUMicros, sample.BarePerSecond, sample.OtherCores)
	return sample, nil
}

// freshness writes at a fixed rate and measures how old every row is when it has been read
// from the target.
func (b *bench) freshness(ctx context.Context, s *source, d *daemon, table string, length time.Duration) (changes, current freshnessSample, err error) {
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
	total, err = s.insertPaced(ctx, table, freshRate, length)
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
		*into = freshnessSample{Rows: len(ages), P50: at(0.5), P99: at(0.99), Max: at(1), Written: total, PerSecond: rate, Load: load, OtherCores: cores}
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
