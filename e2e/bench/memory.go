package main

import (
	"context"
	"fmt"
	"time"
)

// memoryResult is how much memory `millrace standalone` needs.
type memoryResult struct {
	IdleRSSMiB  float64       `json:"idle_rss_mib"`
	IdleAnonMiB float64       `json:"idle_rss_anonymous_mib"`
	IdleCores   float64       `json:"idle_cores"`
	StartMillis float64       `json:"start_ms"`
	Big         []transaction `json:"transactions"`
}

// transaction is one of many rows that went through a fresh process.
type transaction struct {
	Rows        int     `json:"rows"`
	Seconds     float64 `json:"seconds"` // from commit until changes/ shows it
	PeakMiB     float64 `json:"rss_peak_mib"`
	AnonMiB     float64 `json:"rss_anonymous_mib"` // at the end
	BytesPerRow float64 `json:"binlog_bytes_per_row"`
}

func (b *bench) memory(ctx context.Context) (*memoryResult, error) {
	r := &memoryResult{}
	if b.wants("memory", "idle") {
		if err := b.attempt(ctx, "idle", func() error { return b.idle(ctx, r) }); err != nil {
			return r, err
		}
	}
	if !b.wants("memory", "1m", "5m") {
		return r, nil
	}
	s, stop, err := b.startSource(ctx)
	if err != nil {
		return nil, err
	}
	defer stop()
	var sizes []int
	if b.wants("memory", "1m") {
		sizes = append(sizes, 1_000_000)
	}
	if b.large && b.wants("memory", "5m") {
		sizes = append(sizes, 5_000_000)
	}
	for _, rows := range sizes {
		err := b.attempt(ctx, "a transaction of "+count(float64(rows))+" rows into Parquet", func() error {
			one, err := b.bigTransaction(ctx, s, rows)
			if err == nil {
				r.Big = append(r.Big, one)
			}
			return err
		})
		if err != nil {
			return r, err
		}
	}
	return r, nil
}

// idle starts standalone with nothing to do and looks at it after a while.
func (b *bench) idle(ctx context.Context, r *memoryResult) error {
	began := time.Now()
	d, err := b.startDaemon(ctx, nil)
	if err != nil {
		return err
	}
	defer d.stop()
	r.StartMillis = float64(time.Since(began).Microseconds()) / 1000
	rest := 20 * time.Second
	if b.quick {
		rest = 5 * time.Second
	}
	pid := d.process.Pid()
	cpu := processSeconds(pid)
	select {
	case <-time.After(rest):
	case <-ctx.Done():
		return ctx.Err()
	}
	r.IdleCores = (processSeconds(pid) - cpu) / rest.Seconds()
	if r.IdleRSSMiB, r.IdleAnonMiB, _, err = memoryOf(pid); err != nil {
		return err
	}
	b.say("standalone, idle after %s: %.1f MiB resident, %.1f of them of no file; %.3f cores; it answered after %.0f ms", rest,
		r.IdleRSSMiB, r.IdleAnonMiB, r.IdleCores, r.StartMillis)
	return nil
}

// bigTransaction sends one transaction through a fresh process.
func (b *bench) bigTransaction(ctx context.Context, s *source, rows int) (transaction, error) {
	t := transaction{Rows: rows}
	table := fmt.Sprintf("shop.big%d", rows)
	if err := s.createOrders(ctx, table); err != nil {
		return t, err
	}
	// A database that has a single table keeps other tables' snapshots out of the peak.
	d, err := b.startDaemonFor(ctx, s, table)
	if err != nil {
		return t, err
	}
	defer d.stop()
	if err := d.streaming(ctx, 1); err != nil {
		return t, err
	}
	from, err := s.position(ctx)
	if err != nil {
		return t, err
	}
	lake := newTarget(d.lake, table)
	base, err := lake.shown(ctx)
	if err != nil {
		return t, err
	}
	if err := s.insertMany(ctx, table, rows, rows); err != nil {
		return t, err
	}
	began := time.Now()
	to, err := s.position(ctx)
	if err != nil {
		return t, err
	}
	t.BytesPerRow = float64(logBytes(from, to)) / float64(rows)
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	if err := lake.awaitChanges(ctx, base+int64(rows)); err != nil {
		return t, fmt.Errorf("%w\n%s", err, d.process.Log())
	}
	t.Seconds = time.Since(began).Seconds()
	if err := lake.awaitCurrent(ctx); err != nil {
		return t, fmt.Errorf("%w\n%s", err, d.process.Log())
	}
	if _, t.AnonMiB, t.PeakMiB, err = memoryOf(d.process.Pid()); err != nil {
		return t, err
	}
	b.say("a transaction of %d rows (%.0f B each): in changes/ %.1f s after its commit; peak memory %.0f MiB", rows,
		t.BytesPerRow, t.Seconds, t.PeakMiB)
	return t, nil
}
