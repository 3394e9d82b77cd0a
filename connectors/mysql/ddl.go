package mysql

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/millrace/millrace/connectors/mysql/decode"
	"github.com/millrace/millrace/connectors/mysql/schema"
	"github.com/millrace/millrace/connectors/mysql/stream"
	"github.com/millrace/millrace/internal/seeded"
	"github.com/millrace/millrace/pipeline/event"
)

// errAskAgain says that a question to the server failed while an event was processed:
// the event is read again over a new connection.
var errAskAgain = errors.New("the server did not answer a question about a table")

// threadSpecific is the flag of a statement that may have used a temporary table.
const threadSpecific = 4

// onStatement applies a statement that is no frame of a transaction. at is its number.
func (o *opening) onStatement(e *stream.Event, q *stream.Query, at uint64) error {
	seq := event.MakeSeq(o.epoch, at)
	if seq <= o.passed {
		return nil // the schemas of the position have it already
	}
	changes := schema.Apply(schema.Statement{
		SQL: statementText(q), DB: q.DB, Number: uint64(seq), Mode: schema.Mode(q.SQLMode),
		MariaDB: o.server.maria, Version: schema.VersionID(o.server.version), LowerCase: o.server.lowerCase,
		Thread: q.Thread, ThreadSpecific: e.Flags&threadSpecific != 0, Temporary: &o.temporary,
		Table: o.current, Captures: o.filter.Match, Tables: o.names,
	})
	if err := o.newCascades(q.SQL, changes); err != nil {
		return err
	}
	here := place{file: e.Place.File, pos: e.Place.Start}
	for i := range changes {
		c := &changes[i]
		if c.Kind == schema.Audit {
			c.Kind = schema.Unclear
		}
		if from := o.tables[c.From]; c.Kind == schema.Created && from != nil && (from.newer(here) || from.versioned) {
			c.Kind, c.New = schema.Unclear, nil // what that table was here is not known, or not all of it
		}
	}
	for i := range changes {
		if err := o.applyChange(e, q, seq, &changes[i]); err != nil {
			return err
		}
	}
	return nil
}

// newCascades asks for the foreign keys again when a statement may have made one. Those
// that were known stay known: rows from before their end may be ahead still.
func (o *opening) newCascades(sql []byte, changes []schema.Change) error {
	if !o.server.maria || !bytes.Contains(bytes.ToUpper(sql), []byte("REFERENCES")) {
		return nil
	}
	ctx, cancel := context.WithTimeout(o.ctx, 30*time.Second)
	defer cancel()
	tables := o.names()
	for i := range changes {
		tables = append(tables, changes[i].Table)
	}
	now, err := o.server.cascades(ctx, o.db, tables)
	if err != nil {
		return fmt.Errorf("%w: %w", errAskAgain, err)
	}
	maps.Copy(o.cascades, now)
	return nil
}

// statementText is the statement in UTF-8: sessions may speak latin1.
func statementText(q *stream.Query) string {
	if q.HasCharset && !utf8.Valid(q.SQL) {
		switch q.ClientSet {
		case 5, 8, 15, 31, 47, 48, 49, 94:
			return string(decode.AppendLatin1(nil, q.SQL))
		}
	}
	return string(q.SQL)
}

func (o *opening) current(n event.TableName) *schema.Current {
	t := o.tables[n]
	if t == nil || t.ev == nil || t.ev.Schema == nil {
		return nil
	}
	return &schema.Current{Schema: t.ev.Schema, Charset: t.charset, Collation: t.collation, Key: t.keyName, Indexes: t.indexes}
}

func (o *opening) names() []event.TableName {
	out := make([]event.TableName, 0, len(o.tables))
	for n := range o.tables {
		out = append(out, n)
	}
	slices.SortFunc(out, func(a, b event.TableName) int {
		if a.String() < b.String() {
			return -1
		}
		return 1
	})
	return out
}

// applyChange takes one table through a statement and tells of it.
func (o *opening) applyChange(e *stream.Event, q *stream.Query, seq event.Seq, c *schema.Change) error {
	t := o.tables[c.Table]
	if t == nil {
		t = &table{name: c.Table}
		o.tables[c.Table] = t
	}
	switch c.Kind {
	case schema.Truncated:
		o.snap.discard(t)
		o.tell(event.Item{Kind: event.KindTruncate, Seq: seq, Table: t.ev, Tx: o.txEvent()}, t)
		return nil
	case schema.Written:
		o.pause(t, event.PauseStatement, fmt.Sprintf("table %s was changed by a statement without row events at %s:%d; SET GLOBAL binlog_format='ROW', have sessions reconnect, and resume it with a new snapshot",
			t.name, e.Place.File, e.Place.Start))
		return nil
	}
	ddl := &event.DDL{SQL: string(q.SQL), New: c.New, Due: c.Due}
	last := t.ev
	if t.ev != nil {
		ddl.Old = t.ev.Schema
	}
	here := place{file: e.Place.File, pos: e.Place.Start}
	if c.Kind == schema.Unclear || c.Kind == schema.Altered && t.newer(here) {
		if err := o.unclear(t, c, ddl); errors.Is(err, schema.ErrHidden) {
			o.pauseHidden(t, err)
			return nil
		} else if err != nil {
			return err
		}
	} else if c.New != nil {
		t.charset, t.collation, t.keyName, t.indexes = c.Charset, c.Collation, c.Key, c.Indexes
		if c.Kind == schema.Created {
			// Nothing from before it counts, and nothing of what the server has now: a
			// definition that was read from there may have statements in it that are still ahead.
			if t.newer(here) && c.From == (event.TableName{}) {
				ddl.Due = "" // it is the table that the server has, not another in its place
			}
			t.skipTo, t.loadedAt, t.versioned = place{}, place{}, false
		}
	}
	if ddl.Old == nil && ddl.New == nil {
		return nil
	}
	o.setSchema(t, ddl.New)
	item := event.Item{Kind: event.KindDDL, Seq: seq, Table: t.ev, Tx: o.txEvent(), DDL: ddl}
	if t.ev == nil {
		item.Table = last
		o.abandon(t, "the table was dropped")
	}
	o.tell(item, t)
	switch {
	case t.ev == nil:
	case c.Kind == schema.Unclear:
		// Rows up to the server's end are left out: the source itself owes the attempt.
		o.snap.request(t, ddl.Due)
	case ddl.Due != "":
		o.snap.discard(t)
		if !seeded.On("attempt-outlives-ddl") {
			o.snap.restart(t, ddl.Due)
		}
	default:
		o.snap.discard(t)
	}
	return nil
}

// unclear asks the server what a table is now.
func (o *opening) unclear(t *table, c *schema.Change, ddl *event.DDL) error {
	ctx, cancel := context.WithTimeout(o.ctx, 30*time.Second)
	defer cancel()
	_, now, err := o.reload(ctx, t)
	if err != nil {
		return fmt.Errorf("%w: definition of %s: %w", errAskAgain, t.name, err)
	}
	c.Kind = schema.Unclear
	ddl.New = now
	ddl.Due = c.Due
	if ddl.Due == "" {
		ddl.Due = "the statement could not be followed; the definition was read from the server"
	}
	return nil
}

// tell hands a mark of a table over unless it is paused.
func (o *opening) tell(it event.Item, t *table) {
	if t.paused != nil && it.Kind != event.KindDDL {
		return
	}
	o.handed = it.Seq
	o.out = append(o.out, it)
}
