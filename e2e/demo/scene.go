package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/millrace/millrace/internal/testenv"
	"github.com/millrace/millrace/pipeline"
)

// scene holds what one run of the demo works with.
type scene struct {
	options
	server   *testenv.Server
	millrace *millrace
	progress *progress
	dir      string
	lake     lake
	store    *store // nil: the lake is a directory
	olap     *olap  // nil: there is no ClickHouse
	file     string // the pipeline file
	db       *sql.DB
	work     *workload
	kills    int
	found    totals
}

const (
	bigTable   = "shop.orders"      // the one whose snapshot is interrupted
	splitTable = "shop.order_items" // the one that the large transaction changes
	tries      = 5                  // to kill at the right moment
)

// play is the demo, act by act.
func (s *scene) play(ctx context.Context) (right bool, err error) {
	if s.db, err = s.server.Open(""); err != nil {
		return false, err
	}
	say := s.progress.say
	started := time.Now()
	if err := createDatabase(ctx, s.db, s.rows, say); err != nil {
		return false, fmt.Errorf("create the order database: %w", err)
	}
	s.work = startWorkload(ctx, s.db, s.seed, 3, 4*time.Millisecond)
	say("the workload runs; millrace starts, so that the snapshot is taken under fire")
	if err := s.millrace.start(ctx); err != nil {
		return false, err
	}
	for _, act := range []func(context.Context) error{s.killInSnapshot, s.killOLAP, s.finishSnapshot, s.addColumn,
		s.killInTransaction, s.measure, s.settle} {
		if err := act(ctx); err != nil {
			return false, err
		}
	}
	right, err = s.check(ctx)
	say("%d transactions committed, %d rolled back, %d tried again", s.work.committed.Load(), s.work.rolledBack.Load(), s.work.retried.Load())
	if right && err == nil {
		s.summary(s.found, time.Since(started))
	}
	if err == nil && s.inspect != nil {
		err = s.inspect(ctx, s)
	}
	return right, err
}

// percent is how much of a table's snapshot is done; 100 once it streams.
func percent(s pipeline.Status, table string) float64 {
	for _, t := range s.Tables {
		if t.Name == table {
			return t.Snapshot
		}
	}
	return 0
}

func rows(s pipeline.Status, table string) uint64 {
	for _, t := range s.Tables {
		if t.Name == table {
			return t.Rows
		}
	}
	return 0
}

// killInSnapshot kills millrace when the big table's snapshot is between 20 and 80
// percent, and looks that the snapshot goes on where it was. A snapshot that went by
// between two looks is taken again.
func (s *scene) killInSnapshot(ctx context.Context) error {
	for range tries {
		before := 0.0
		err := s.millrace.until(ctx, 10*time.Millisecond, "wait for the snapshot", s.progress.show, func(now pipeline.Status) bool {
			before = percent(now, bigTable)
			return before >= 20
		})
		if err != nil {
			return err
		}
		if before <= 80 {
			return s.killAt(ctx, before)
		}
		s.progress.say("the snapshot of %s went by between two looks; it is taken again", bigTable)
		if err := s.snapshotAgain(ctx); err != nil {
			return err
		}
	}
	s.progress.say("NOT SHOWN: %d snapshots of %s went by before millrace could be killed inside one", tries, bigTable)
	return nil
}

// killAt kills millrace with the snapshot at before percent and starts it again.
func (s *scene) killAt(ctx context.Context, before float64) error {
	s.kills++
	s.millrace.kill()
	s.progress.say("killed (SIGKILL) with the snapshot of %s at %.1f %%", bigTable, before)
	if s.store != nil {
		if err := s.store.killAgain(ctx); err != nil {
			return err
		}
		s.progress.say("the object store was killed as well, and started again")
	}
	if err := s.millrace.start(ctx); err != nil {
		return err
	}
	after := 0.0
	err := s.millrace.until(ctx, 10*time.Millisecond, "wait for the snapshot to go on", s.progress.show, func(now pipeline.Status) bool {
		after = percent(now, bigTable)
		return now.State == pipeline.StateRunning && now.Source.Connected && after > 0
	})
	if err != nil {
		return err
	}
	if after < before {
		return fmt.Errorf("the snapshot of %s was at %.1f %% and is at %.1f %% after the restart", bigTable, before, after)
	}
	s.progress.say("started again: the snapshot goes on at %.1f %%", after)
	return nil
}

// snapshotAgain asks for a new snapshot of the big table once the present one is through.
func (s *scene) snapshotAgain(ctx context.Context) error {
	if err := s.finishSnapshot(ctx); err != nil {
		return err
	}
	if _, err := s.millrace.client().Do(ctx, "orders", bigTable, "snapshot"); err != nil {
		return fmt.Errorf("take the snapshot of %s again: %w", bigTable, err)
	}
	return s.millrace.until(ctx, 5*time.Millisecond, "wait for the snapshot to begin again", s.progress.show, func(now pipeline.Status) bool {
		return percent(now, bigTable) < 100
	})
}

func (s *scene) finishSnapshot(ctx context.Context) error {
	return s.millrace.until(ctx, 100*time.Millisecond, "finish the snapshot", s.progress.show, func(now pipeline.Status) bool {
		for _, t := range now.Tables {
			if t.Snapshot < 100 {
				return false
			}
		}
		return len(now.Tables) == len(tables)
	})
}

// addColumn changes a busy table; most of its rows are never touched again, and must show
// the default all the same.
func (s *scene) addColumn(ctx context.Context) error {
	if _, err := s.db.ExecContext(ctx, "ALTER TABLE shop.orders ADD COLUMN channel VARCHAR(16) NOT NULL DEFAULT 'web'"); err != nil {
		return fmt.Errorf("add a column: %w", err)
	}
	s.progress.say("shop.orders has a new column: channel VARCHAR(16) NOT NULL DEFAULT 'web'")
	return nil
}

// killInTransaction runs a transaction that is many publish groups long and kills
// millrace inside it.
func (s *scene) killInTransaction(ctx context.Context) error {
	for range tries {
		killed, err := s.tryKillInTransaction(ctx)
		if killed || err != nil {
			return err
		}
	}
	s.progress.say("NOT SHOWN: %d large transactions went through before millrace could be killed inside one", tries)
	return s.caughtUp(ctx)
}

func (s *scene) tryKillInTransaction(ctx context.Context) (bool, error) {
	now, err := s.millrace.status(ctx)
	if err != nil {
		return false, err
	}
	base := rows(now, splitTable)
	result, err := s.db.ExecContext(ctx, "UPDATE shop.order_items SET price = price + 0.01 WHERE order_id > 2000")
	if err != nil {
		return false, fmt.Errorf("large transaction: %w", err)
	}
	affected, err := result.RowsAffected()
	if err != nil {
		return false, err
	}
	seen := uint64(0)
	err = s.millrace.until(ctx, 5*time.Millisecond, "wait for the large transaction", s.progress.show, func(now pipeline.Status) bool {
		seen = rows(now, splitTable) - base
		return seen > uint64(affected)/10
	})
	if err != nil || seen > uint64(affected)*9/10 {
		return false, err
	}
	s.kills++
	s.millrace.kill()
	s.progress.say("killed (SIGKILL) inside a transaction of %d rows, of which some %d had been published", affected, seen)
	if err := s.millrace.start(ctx); err != nil {
		return false, err
	}
	return true, s.caughtUp(ctx)
}

// caughtUp waits until the reader has passed where the server's log ends now, every
// snapshot is complete, and each table has been flushed and merged at least once.
func (s *scene) caughtUp(ctx context.Context) error {
	file, pos, err := s.serverEnd(ctx)
	if err != nil {
		return err
	}
	return s.millrace.until(ctx, 100*time.Millisecond, "catch up", s.progress.show, func(now pipeline.Status) bool {
		if now.State != pipeline.StateRunning || len(now.Tables) < len(tables) || !passed(now, file, pos) {
			return false
		}
		for _, t := range now.Tables {
			if _, _, _, err := live(filepath.Join(s.lake.dir, t.Name, "current"), -1); err != nil {
				return false // nothing has been merged into current/ yet
			}
			if t.Snapshot < 100 || slices.ContainsFunc(t.Sinks,
				func(one pipeline.SinkSummary) bool { return !one.State.Flows() || one.Flushes == 0 }) {
				return false
			}
		}
		return true
	})
}

// passed reports whether the reader is at or behind a position of the server's log.
func passed(now pipeline.Status, file string, pos uint64) bool {
	return now.Position.File > file || now.Position.File == file && now.Position.Pos >= pos
}

// measure takes freshness while the workload goes on.
func (s *scene) measure(ctx context.Context) error {
	s.progress.say("caught up; freshness is measured for %s while the workload goes on", s.steady)
	f := measureFreshness(ctx, s.lake, s.olap)
	end := time.Now().Add(s.steady)
	err := s.millrace.until(ctx, 200*time.Millisecond, "measure freshness", s.progress.show, func(pipeline.Status) bool {
		return time.Now().After(end)
	})
	for _, line := range f.report() {
		s.progress.say("%s", line)
	}
	return err
}

// settle ends the workload and waits until the reader has passed the server's end and
// the sink holds everything.
func (s *scene) settle(ctx context.Context) error {
	if err := s.work.end(); err != nil {
		return fmt.Errorf("workload: %w", err)
	}
	file, pos, err := s.serverEnd(ctx)
	if err != nil {
		return err
	}
	s.progress.say("the workload has ended at %s:%d; waiting for the sink", file, pos)
	return s.millrace.until(ctx, 100*time.Millisecond, "wait for the sink", s.progress.show, func(now pipeline.Status) bool {
		if !passed(now, file, pos) {
			return false
		}
		for _, t := range now.Tables {
			for _, one := range t.Sinks {
				if one.Behind > 0 || one.Buffered > 0 || !one.State.Flows() {
					return false
				}
			}
		}
		return true
	})
}

func (s *scene) serverEnd(ctx context.Context) (file string, pos uint64, err error) {
	for _, query := range []string{"SHOW BINARY LOG STATUS", "SHOW BINLOG STATUS", "SHOW MASTER STATUS"} {
		var rows *sql.Rows
		if rows, err = s.db.QueryContext(ctx, query); err != nil {
			continue
		}
		defer rows.Close()
		columns, err := rows.Columns()
		if err != nil {
			return "", 0, err
		}
		values := make([]any, len(columns))
		values[0], values[1] = &file, &pos
		for i := 2; i < len(values); i++ {
			values[i] = new(sql.RawBytes)
		}
		if !rows.Next() {
			return "", 0, errors.Join(errors.New("the server writes no binary log"), rows.Err())
		}
		return file, pos, rows.Scan(values...)
	}
	return "", 0, fmt.Errorf("ask the server for its position: %w", err)
}
