package main

import (
	"context"
	"fmt"
	"time"

	"github.com/go-mysql-org/go-mysql/client"
	"github.com/go-mysql-org/go-mysql/mysql"
)

// snapshot has a table that is there already read as a whole, by a process of its own.
func (b *bench) snapshot(ctx context.Context, s *source) (backlogSample, error) {
	const table = "large.orders"
	sample := backlogSample{Name: "snapshot", Rows: b.sizes().snapshot}
	if err := s.createOrders(ctx, table); err != nil {
		return sample, err
	}
	if err := s.insertMany(ctx, table, sample.Rows, 100_000); err != nil {
		return sample, err
	}
	bare, err := s.selectBare(ctx, table, sample.Rows)
	if err != nil {
		return sample, err
	}
	sample.BarePerSecond = float64(sample.Rows) / bare.Seconds()
	began := time.Now()
	d, err := b.startDaemonFor(ctx, s, "large.*")
	if err != nil {
		return sample, err
	}
	defer d.stop()
	start := time.Since(began)
	lake := newTarget(d.lake, table)
	if err := b.carried(ctx, s, d, lake, int64(sample.Rows), &sample, func() error { return nil }); err != nil {
		return sample, err
	}
	// The process began to read before it could be asked how it is.
	sample.Seconds += start.Seconds()
	sample.CurrentSeconds += start.Seconds()
	sample.PerSecond = float64(sample.Rows) / sample.Seconds
	b.say("snapshot of %d rows: %8.0f rows/s in changes/ (%.1f s), %.1f s until current/ has them, equal %t; %.2f µs a row; peak %.0f MiB; "+
		"SELECT by go-mysql alone %.0f rows/s  (others: %.2f cores)",
		sample.Rows, sample.PerSecond, sample.Seconds, sample.CurrentSeconds, sample.Equal, sample.CPUMicros, sample.PeakMiB,
		sample.BarePerSecond, sample.OtherCores)
	return sample, nil
}

// selectBare reads a table with go-mysql alone, row by row, and throws the rows away.
func (s *source) selectBare(ctx context.Context, table string, rows int) (time.Duration, error) {
	conn, err := client.ConnectWithContext(ctx, s.server.Addr, "root", "", "", time.Minute)
	if err != nil {
		return 0, fmt.Errorf("read %s with go-mysql: %w", table, err)
	}
	defer conn.Close()
	began, seen := time.Now(), 0
	var result mysql.Result
	err = conn.ExecuteSelectStreaming("SELECT * FROM "+table, &result, func([]mysql.FieldValue) error { seen++; return nil }, nil)
	if err != nil || seen != rows {
		return 0, fmt.Errorf("read %s with go-mysql: %d of %d rows: %w", table, seen, rows, err)
	}
	return time.Since(began), nil
}
