package mysql

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/millrace/millrace/connectors/mysql/decode"
	"github.com/millrace/millrace/connectors/mysql/schema"
	"github.com/millrace/millrace/pipeline/event"
)

// newTable makes the event form of a schema under the configuration.
func (c *Config) newTable(s *event.Schema) (*event.Table, []int, error) {
	t := &event.Table{Name: s.Name, Schema: s, Queues: c.queuesOf(s.Name), Keyless: len(s.PrimaryKey) == 0}
	switch names, ok := c.Keys[s.Name.String()]; {
	case ok:
		for _, n := range names {
			i := s.ColumnByName(n)
			if i < 0 {
				return nil, nil, fmt.Errorf("table %s has no column %s, which its configured key names", s.Name, n)
			}
			t.KeyColumns = append(t.KeyColumns, i)
		}
	case t.Keyless:
		for i := range s.Columns {
			t.KeyColumns = append(t.KeyColumns, i)
		}
	default:
		t.KeyColumns = s.PrimaryKey
	}
	union := append(slices.Clone(s.PrimaryKey), t.KeyColumns...)
	slices.Sort(union)
	return t, slices.Compact(union), nil
}

func (c *Config) queuesOf(t event.TableName) int {
	if n, ok := c.TableQueues[t.String()]; ok {
		return n
	}
	return c.Queues
}

// define puts a table under a schema, nil when it is gone; what cannot be captured
// pauses it.
func (ts *tables) define(t *table, s *event.Schema) {
	if s == nil {
		t.ev, t.keyUnion = nil, nil
		return
	}
	ev, union, err := ts.cfg.newTable(s)
	if err != nil {
		// Its rows cannot be routed; the schema alone is kept.
		t.ev = &event.Table{Name: s.Name, Schema: s, Queues: ts.cfg.queuesOf(s.Name), Keyless: len(s.PrimaryKey) == 0}
		t.keyUnion = nil
		ts.pause(t, pauseKey, err.Error())
		return
	}
	t.ev, t.keyUnion = ev, union
	if t.versioned {
		ts.pause(t, pauseVersioned, "")
		return
	}
	for i := range s.Columns {
		if err := decode.Supported(&s.Columns[i]); err != nil {
			why := pauseType
			if s.Columns[i].Type != event.TypeUnsupported {
				why = pauseCharset
			}
			ts.pause(t, why, err.Error())
			return
		}
	}
}

// lossy counts the characters of a table that are not what the server holds.
func (ts *tables) lossy(t *table) decode.Counter {
	return ts.unmappable.WithLabelValues(t.name.String())
}

// reload takes a table's definition from the server as it is now. What the log has
// between the reader and the server's end is left out; a snapshot must follow.
func (ts *tables) reload(ctx context.Context, t *table) (old, now *event.Schema, err error) {
	l, err := schema.Load(ctx, ts.db, t.name, ts.server.maria)
	if errors.Is(err, schema.ErrHidden) {
		reconnect(ts.db)
		l, err = schema.Load(ctx, ts.db, t.name, ts.server.maria)
	}
	if err != nil {
		return nil, nil, err
	}
	end, _, err := ts.server.logEnd(ctx, ts.db)
	if err != nil {
		return nil, nil, err
	}
	if t.ev != nil {
		old = t.ev.Schema
	}
	if l != nil {
		now = schema.KeepIDs(old, l.Schema, ts.ground.number().Counter())
		t.charset, t.collation, t.keyName, t.indexes, t.versioned = l.Charset, l.Collation, l.Key, l.Indexes, l.Versioned
	}
	t.loadedAt, t.skipTo = end, end
	return old, now, nil
}

// reloaded reads the definition of a resumed table and tells of it.
func (ts *tables) reloaded(ctx context.Context, t *table) error {
	old, now, err := ts.reload(ctx, t)
	if err != nil {
		return err
	}
	last := t.ev
	ts.define(t, now)
	if old != nil && now != nil && old.ID == now.ID || old == nil && now == nil {
		return nil
	}
	if t.ev != nil {
		last = t.ev
	}
	ts.replaced(last, old, now, "the table was resumed and its definition read anew")
	return nil
}

// replaced tells, between two transactions, of a definition that no statement of the log
// made.
func (ts *tables) replaced(t *event.Table, old, now *event.Schema, due string) {
	seq, at := ts.ground.reserve(1), ts.ground.here()
	tx := &event.Tx{ID: fmt.Sprintf("reload/%d", uint64(seq)), CommitTime: time.Now().UTC().Truncate(time.Microsecond), Start: at}
	ts.ground.emit(event.Item{Kind: event.KindDDL, Seq: seq, Table: t, Tx: tx, DDL: &event.DDL{Old: old, New: now, Due: due}})
}
