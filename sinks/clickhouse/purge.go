package clickhouse

import (
	"context"
	"errors"
	"fmt"

	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/sinks/clickhouse/ddl"
)

// Purge drops the views and tables of a pipeline, then forgets them. What the fence closed
// stays closed.
func (s *Sink) Purge(ctx context.Context, pipelineName string) (removed []string, err error) {
	if _, err := s.prepare(ctx); err != nil {
		return nil, err
	}
	var found []*record
	err = s.conn.Query(ctx, comment("purge"), "SELECT argMax(state, ver) FROM "+s.control(ddl.LedgerTable)+" WHERE slot != ? GROUP BY target", func(scan func(...any) error) error {
		var state string
		if err := scan(&state); err != nil {
			return err
		}
		r, err := parseRecord(state)
		if err != nil {
			return err
		}
		name := s.cfg.target(event.TableName{DB: r.DB, Table: r.Table})
		if r.Pipeline == pipelineName && r.Database == name.Database && r.View == name.Table {
			found = append(found, r)
		}
		return nil
	}, uint16(slotClaim))
	if err != nil {
		return nil, err
	}
	for _, r := range found {
		if err := s.purgeTable(ctx, r); err != nil {
			return removed, errors.Join(err, ctx.Err())
		}
		removed = append(removed, r.Database+"."+r.View)
	}
	for _, table := range []string{ddl.StatusTable, ddl.BeatTable} {
		if err := s.conn.Exec(ctx, comment("purge"), "DELETE FROM "+s.control(table)+" WHERE pipeline = ? AND place = ?", pipelineName, s.place()); err != nil {
			return removed, err
		}
	}
	return removed, nil
}

func (s *Sink) purgeTable(ctx context.Context, r *record) error {
	target := ddl.Name{Database: r.Database, Table: r.View}
	drops := []string{fmt.Sprintf("DROP VIEW IF EXISTS %s", target)}
	if r.raws() {
		drops = append(drops, fmt.Sprintf("DROP VIEW IF EXISTS %s", ddl.Name{Database: r.Database, Table: r.View + rawSuffix}))
	}
	if s := r.signs(); s != nil {
		drops = append(drops, fmt.Sprintf("DROP TABLE IF EXISTS %s", s.name(target)))
	}
	for i := range r.Stores {
		drops = append(drops, fmt.Sprintf("DROP TABLE IF EXISTS %s", r.Stores[i].name(target)))
	}
	for _, statement := range drops {
		if err := s.conn.Exec(ctx, comment("purge"), statement); err != nil && !isMissing(err) {
			return err
		}
	}
	for _, table := range []string{ddl.LettersTable, ddl.LedgerTable} {
		if err := s.conn.Exec(ctx, comment("purge"), "DELETE FROM "+s.control(table)+" WHERE target = ?", target.Plain()); err != nil {
			return err
		}
	}
	return nil
}

var _ pipeline.Purger = (*Sink)(nil)
