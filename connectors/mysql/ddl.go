package mysql

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/millrace/millrace/connectors/mysql/charset"
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

// statement applies one that is no frame of a transaction. seq is its number.
func (ts *tables) statement(e *stream.Event, q *stream.Query, seq event.Seq) error {
	text, whole := statementText(q)
	changes := schema.Apply(schema.Statement{
		SQL: text, DB: q.DB, Number: uint64(seq), Mode: schema.Mode(q.SQLMode),
		MariaDB: ts.server.maria, Version: schema.VersionID(ts.server.version), LowerCase: ts.server.lowerCase,
		Thread: q.Thread, ThreadSpecific: e.Flags&threadSpecific != 0, Temporary: &ts.temporary,
		Table: ts.current, Captures: ts.filter.Match, Tables: ts.names,
	})
	if err := ts.newCascades(q.SQL, changes); err != nil {
		return err
	}
	here := startOf(e)
	for i := range changes {
		c := &changes[i]
		if c.Kind == schema.Audit || !whole && (c.Kind == schema.Created || c.Kind == schema.Altered) {
			c.Kind = schema.Unclear
		}
		if from := ts.all[c.From]; c.Kind == schema.Created && from != nil && (from.newer(here) || from.versioned) {
			c.Kind, c.New = schema.Unclear, nil // what that table was here is not known, or not all of it
		}
	}
	for i := range changes {
		if err := ts.applyChange(e, seq, text, &changes[i]); err != nil {
			return err
		}
	}
	return nil
}

// statementText is the statement in UTF-8. whole is false when bytes of it are no text in
// the charset that its session spoke: U+FFFD stands for them.
func statementText(q *stream.Query) (text string, whole bool) {
	collation := uint16(utf8General)
	if q.HasCharset {
		collation = q.ClientSet
	}
	text, err := charset.Statement(collation, q.SQL)
	return text, err == nil
}

// utf8General is the collation that statements of old servers are in.
const utf8General = 33

// applyChange takes one table through a statement and tells of it.
func (ts *tables) applyChange(e *stream.Event, seq event.Seq, sql string, c *schema.Change) error {
	t := ts.at(c.Table)
	switch c.Kind {
	case schema.Truncated:
		ts.attempts.discard(t)
		ts.tell(event.Item{Kind: event.KindTruncate, Seq: seq, Table: t.ev, Tx: ts.tx()}, t)
		return nil
	case schema.Written:
		ts.pauseAt(t, pauseStatement, startOf(e), "")
		return nil
	case schema.Noted:
		if !t.newer(startOf(e)) {
			t.charset, t.collation, t.keyName, t.indexes = c.Charset, c.Collation, c.Key, c.Indexes
		}
		return nil
	}
	ddl := &event.DDL{SQL: sql, New: c.New, Due: c.Due}
	last := t.ev
	if t.ev != nil {
		ddl.Old = t.ev.Schema
	}
	here := startOf(e)
	if c.Kind == schema.Unclear || c.Kind == schema.Altered && t.newer(here) {
		if err := ts.unclear(t, c, ddl); errors.Is(err, schema.ErrHidden) {
			ts.pause(t, pausePrivilege, err.Error())
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
	ts.define(t, ddl.New)
	item := event.Item{Kind: event.KindDDL, Seq: seq, Table: t.ev, Tx: ts.tx(), DDL: ddl}
	if t.ev == nil {
		item.Table = last
		ts.attempts.abandon(t, "the table was dropped")
	}
	ts.tell(item, t)
	switch {
	case t.ev == nil:
	case c.Kind == schema.Unclear:
		// Rows up to the server's end are left out: the source itself owes the attempt.
		ts.attempts.request(t, ddl.Due)
	case ddl.Due != "":
		ts.attempts.discard(t)
		if !seeded.On("attempt-outlives-ddl") {
			ts.attempts.restart(t, ddl.Due)
		}
	default:
		ts.attempts.discard(t)
	}
	return nil
}

// unclear asks the server what a table is now.
func (ts *tables) unclear(t *table, c *schema.Change, ddl *event.DDL) error {
	ctx, cancel := context.WithTimeout(ts.ctx, 30*time.Second)
	defer cancel()
	_, now, err := ts.reload(ctx, t)
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
func (ts *tables) tell(it event.Item, t *table) {
	if t.paused != nil && it.Kind != event.KindDDL {
		return
	}
	ts.ground.emit(it)
}

// tx is the transaction that is being read.
func (ts *tables) tx() *event.Tx {
	_, tx := ts.ground.transaction()
	return tx()
}
