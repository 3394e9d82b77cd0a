package clickhouse

import (
	"context"
	"fmt"
	"time"

	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/sinks/clickhouse/ddl"
)

// KeepStatus writes how fresh the tables are into the control database, where the view
// millrace_status shows what was written last.
func (s *Sink) KeepStatus(ctx context.Context, pipelineName string, rows []pipeline.TableFreshness) error {
	if _, err := s.prepare(ctx); err != nil {
		return err
	}
	var tables, targets, states []string
	var complete, verified []int64
	for _, r := range rows {
		tables, targets, states = append(tables, r.Table.String()), append(targets, s.cfg.target(r.Table).Plain()), append(states, string(r.State))
		complete, verified = append(complete, micros(r.CompleteTo)), append(verified, micros(r.VerifiedThrough))
	}
	if len(rows) == 0 {
		return nil
	}
	err := s.conn.Exec(ctx, comment("status"), "INSERT INTO "+s.control(ddl.StatusTable)+
		" SELECT ?, ?, r.1, r.2, nullIf(fromUnixTimestamp64Micro(toInt64(r.3), 'UTC'), toDateTime64(0, 6, 'UTC')), nullIf(fromUnixTimestamp64Micro(toInt64(r.4), 'UTC'), toDateTime64(0, 6, 'UTC')), r.5, at"+
		" FROM (SELECT arrayJoin(arrayZip(?, ?, ?, ?, ?)) AS r, now64(6, 'UTC') AS at)",
		pipelineName, s.place(), tables, targets, complete, verified, states)
	if err != nil {
		return fmt.Errorf("write %s: %w", s.control(ddl.StatusTable), err)
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

var _ pipeline.StatusKeeper = (*Sink)(nil)
