package clickhouse

import (
	"context"
	"fmt"
	"time"

	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/sinks/clickhouse/ddl"
)

// KeepStatus shows that this cluster is at work, and writes how fresh its tables are into the
// control database, where the view millrace_status shows what was written last. Of a table that
// another cluster has it says nothing: that one does.
func (s *Sink) KeepStatus(ctx context.Context, pipelineName string, rows []pipeline.TableFreshness) error {
	if _, err := s.prepare(ctx); err != nil {
		return err
	}
	err := s.keepStatus(ctx, pipelineName, rows)
	if isMissing(err) { // somebody dropped the bookkeeping
		s.forget()
	}
	return err
}

func (s *Sink) keepStatus(ctx context.Context, pipelineName string, rows []pipeline.TableFreshness) error {
	if err := s.beat(ctx, pipelineName); err != nil {
		return err
	}
	var tables, targets, states, reasons []string
	var complete, verified []int64
	var source, broker, target []float64
	for _, r := range rows {
		name := s.cfg.target(r.Table).Plain()
		if s.rivaled(name) {
			continue
		}
		tables, targets = append(tables, r.Table.String()), append(targets, name)
		states, reasons = append(states, string(r.State)), append(reasons, r.Reason)
		complete, verified = append(complete, micros(r.CompleteTo)), append(verified, micros(r.VerifiedThrough))
		source, broker = append(source, seconds(r.Lag.Source)), append(broker, seconds(r.Lag.Broker))
		target = append(target, seconds(r.Lag.Current))
	}
	if len(tables) == 0 {
		return nil
	}
	if err := s.renewStatus(ctx); err != nil {
		return fmt.Errorf("make the view of %s, or take it to this version (that needs ALTER ADD COLUMN and DROP VIEW once): %w",
			s.control(ddl.StatusTable), err)
	}
	const at = "nullIf(fromUnixTimestamp64Micro(toInt64(r.%d), 'UTC'), toDateTime64(0, 6, 'UTC'))"
	const lag = "nullIf(toFloat64(r.%d), -1)"
	err := s.conn.Exec(ctx, comment("status"), "INSERT INTO "+s.control(ddl.StatusTable)+
		" (pipeline, place, source, target, state, reason, complete_to, verified_through, lag_source, lag_broker, lag_target, at)"+
		" SELECT ?, ?, r.1, r.2, r.3, r.4, "+fmt.Sprintf(at+", "+at+", "+lag+", "+lag+", "+lag, 5, 6, 7, 8, 9)+", at"+
		" FROM (SELECT arrayJoin(arrayZip(?, ?, ?, ?, ?, ?, ?, ?, ?)) AS r, now64(6, 'UTC') AS at)",
		pipelineName, s.place(), tables, targets, states, reasons, complete, verified, source, broker, target)
	if err != nil {
		return fmt.Errorf("write %s: %w", s.control(ddl.StatusTable), err)
	}
	return nil
}

// renewStatus makes the status view, and takes what an earlier version made to this one, once.
func (s *Sink) renewStatus(ctx context.Context) error {
	s.mu.Lock()
	done := s.known != nil && s.known.status
	s.mu.Unlock()
	if done {
		return nil
	}
	var wide, view, now uint64
	const columns = "SELECT countIf(table = ? AND name = 'reason'), countIf(table = ?), countIf(table = ? AND name = 'updated_at') " +
		"FROM system.columns WHERE database = ?"
	err := s.conn.Query(ctx, comment("status"), columns, func(scan func(...any) error) error { return scan(&wide, &view, &now) },
		ddl.StatusTable, ddl.StatusView, ddl.StatusView, s.cfg.ControlDatabase)
	if err == nil && wide == 0 {
		err = s.conn.Exec(ctx, comment("status"), ddl.WidenStatus(s.cfg.ControlDatabase))
	}
	if err == nil && now == 0 {
		err = s.conn.Exec(ctx, comment("status"), ddl.CreateStatusView(s.cfg.ControlDatabase, view > 0))
	}
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known != nil {
		s.known.status = true
	}
	return nil
}

// place tells the targets of one sink from those of another in the same bookkeeping.
func (s *Sink) place() string { return s.cfg.Database + "." + s.cfg.Table }

// micros is a time for the target, 0 for none.
func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// seconds is a lag for the target, -1 where it is not known.
func seconds(s pipeline.Seconds) float64 {
	if n, known := s.Value(); known {
		return n
	}
	return -1
}

var _ pipeline.StatusKeeper = (*Sink)(nil)
