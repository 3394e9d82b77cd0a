package mysql

import (
	"context"
	"fmt"
	"log/slog"
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
	ts.plain.clear() // an answer says which captured tables are reached
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
	return ts.metrics.unmappable.WithLabelValues(t.name.String())
}

// schema is the table's definition, nil when it has none.
func (t *table) schema() *event.Schema {
	if t.ev == nil {
		return nil
	}
	return t.ev.Schema
}

// load takes over what the server says of a table, nil when it is not there. Columns
// that stay keep their identity; new ones get theirs from number.
func (t *table) load(l *schema.Loaded, number uint64) *event.Schema {
	if l == nil {
		return nil
	}
	t.charset, t.collation, t.keyName, t.indexes, t.versioned = l.Charset, l.Collation, l.Key, l.Indexes, l.Versioned
	return schema.KeepIDs(t.schema(), l.Schema, number)
}

// agrees takes over, from a definition that is the table's own, what it does not know.
func (t *table) agrees(l *schema.Loaded) {
	if l != nil && t.indexes == nil {
		t.keyName, t.indexes = l.Key, l.Indexes
	}
}

// assume notes that rows at here are read under the present definition.
func (ts *tables) assume(t *table, here place) {
	switch {
	case t.assumed.file == "":
	case here.less(t.assumed):
		t.assumedRows, ts.changed = true, true
	default:
		t.assumed, t.assumedRows, ts.changed = place{}, false, true
	}
}

// doubted says, at a statement, why rows behind an earlier one may have been read under a
// definition that they did not have: the server was asked behind both.
func (t *table) doubted(here place) string {
	doubt := t.assumedRows && here.less(t.assumed)
	t.assumed, t.assumedRows = place{}, false
	if !doubt {
		return ""
	}
	return "rows came between two statements, and which definition they had is not known"
}

// reload takes a table's definition from the server as it is now. What the log has
// between the reader and the server's end is left out; a snapshot must follow.
func (ts *tables) reload(ctx context.Context, t *table) (old, now *event.Schema, err error) {
	found, err := ts.ask.definition(ctx, ts.server, t.name, ts.ground.here())
	if err != nil {
		return nil, nil, err
	}
	old = t.schema()
	now = t.load(found.loaded, ts.ground.number().Counter())
	t.unsure, t.unread = unsure{loadedAt: found.at, skipTo: found.at}, ""
	ts.changed = true
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

// leaveOut leaves a table's rows out until its definition is known; an attempt then has
// them. seq is a number that no row has.
func (ts *tables) leaveOut(t *table, why string, seq event.Seq) {
	if t.blind != "" || t.paused != nil {
		return
	}
	t.blind, ts.changed = why, true
	ts.log.Warn("rows are left out until the table's definition is known; a snapshot follows", slog.String("table", t.name.String()),
		slog.String("reason", why))
	if s := t.schema(); s != nil { // the attempt is recorded as due together with the place
		ts.tell(event.Item{Kind: event.KindDDL, Seq: seq, Table: t.ev, DDL: &event.DDL{Old: s, New: s, Due: why}}, t)
	}
	ts.attempts.abandon(t, why)
	ts.audits.inquire(t.name, why)
}

// settle compares a table with the server's definition, nil when it has none, which is
// valid at the reader's place, between two transactions. What differs is said and makes
// an attempt due under the server's definition.
func (ts *tables) settle(name event.TableName, l *schema.Loaded, cause string) {
	t := ts.all[name]
	if t == nil {
		if l == nil || !ts.filter.Match(name) {
			return
		}
		t = ts.at(name)
	}
	defer ts.mayForget(t)
	why, blind, misfit := differs(t, l), t.blind, t.misfit
	t.blind, t.misfit, t.unread, ts.changed = "", "", "", true
	switch {
	case why == "" && misfit != "" && t.excused: // rows behind an answer of the server's
		ts.pause(t, pauseShape, misfit)
		return
	case why == "" && misfit != "":
		t.excused = true
		t.agrees(l)
		ts.attempts.owe(t, misfit)
		return
	case why == "" && blind == "":
		t.agrees(l)
		return
	case why == "" && l == nil:
		ts.log.Warn("rows of a table came that is gone again", slog.String("table", name.String()))
		return
	case why == "":
		t.agrees(l)
		ts.attempts.owe(t, blind)
		return
	}
	ts.metrics.differences.WithLabelValues(name.String()).Inc()
	ts.log.Warn("a table's definition differs from the server's; a snapshot follows", slog.String("table", name.String()),
		slog.String("difference", why), slog.String("cause", cause))
	old, last := t.schema(), t.ev
	now := t.load(l, ts.ground.number().Counter())
	t.loadedAt, t.skipTo, t.excused = place{}, place{}, false
	ts.define(t, now)
	if t.ev != nil {
		last = t.ev
	} else {
		ts.attempts.abandon(t, "the server does not have the table any more")
	}
	due := ""
	if now != nil {
		due = "its definition was compared with the server's: " + why
	}
	if old != nil || now != nil {
		ts.replaced(last, old, now, due)
	}
	if now != nil {
		ts.attempts.request(t, due)
	}
}

// replaced tells, between two transactions, of a definition that no statement of the log
// made.
func (ts *tables) replaced(t *event.Table, old, now *event.Schema, due string) {
	seq, at := ts.ground.reserve(1), ts.ground.here()
	tx := &event.Tx{ID: fmt.Sprintf("reload/%d", uint64(seq)), CommitTime: time.Now().UTC().Truncate(time.Microsecond), Start: at}
	ts.ground.emit(event.Item{Kind: event.KindDDL, Seq: seq, Table: t, Tx: tx, DDL: &event.DDL{Old: old, New: now, Due: due}})
}
