package mysql

import (
	"context"
	"errors"
	"log/slog"
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
	st := schema.Statement{
		SQL: text, DB: q.DB, Number: uint64(seq), Mode: schema.Mode(q.SQLMode),
		MariaDB: ts.server.maria, Version: schema.VersionID(ts.server.version), LowerCase: ts.server.lowerCase, Timestamps: ts.timestamps(q),
		Thread: q.Thread, ThreadSpecific: e.Flags&threadSpecific != 0, Temporary: &ts.temporary,
		Table: ts.current, Captures: ts.filter.Match, Tables: ts.names,
	}
	changes := schema.Apply(st)
	if err := ts.called(startOf(e), st); err != nil {
		return err
	}
	if err := ts.newCascades(q.SQL, changes); err != nil {
		return err
	}
	here := startOf(e)
	for i := range changes {
		c := &changes[i]
		if !whole && (c.Kind == schema.Created || c.Kind == schema.Altered) {
			c.Kind = schema.Unclear
		}
		from := ts.all[c.From]
		if c.Kind == schema.Created && from != nil && (from.newer(here) || from.versioned || from.blind != "" || from.misfit != "") {
			c.Kind, c.New = schema.Unclear, nil // what that table was here is not known, or not all of it
		}
	}
	ts.statements++
	ts.gather(func() {
		for i := range changes {
			ts.applyChange(&statement{e: e, sql: text, seq: seq}, &changes[i])
		}
	})
	return nil
}

// gather hands over the marks that fn makes, of one number, when it is through. They share a
// transaction, whose position is behind all of them: what it says of tables must be so for
// each, or a crash before the commit treats one as changed and believes another. Pauses that
// come with them are handed over before.
func (ts *tables) gather(fn func()) {
	ts.gathering = true
	fn()
	ts.gathering, ts.changed = false, true // what is unsure may be
	if len(ts.gathered) == 0 {
		return
	}
	tx := ts.tx()
	for i := range ts.gathered {
		ts.gathered[i].Tx = tx
		ts.ground.emit(ts.gathered[i])
	}
	clear(ts.gathered)
	ts.gathered = ts.gathered[:0]
}

// statement is one that concerns tables.
type statement struct {
	e   *stream.Event
	sql string
	seq event.Seq
}

// end is the place behind the statement.
func (s *statement) end() place { return place{file: s.e.Place.File, pos: s.e.Place.End} }

// timestamps is the session's explicit_defaults_for_timestamp. MariaDB's events have it
// when it is on; its sessions had it off until 10.10.
func (ts *tables) timestamps(q *stream.Query) schema.Setting {
	switch {
	case q.ExplicitTimestamps == 2:
		return schema.On
	case q.ExplicitTimestamps == 1 || ts.server.maria:
		return schema.Off
	}
	return schema.NotKnown
}

// statementText is the statement in UTF-8. whole is false when bytes of it are no text in
// the charset that its session spoke: U+FFFD stands for them.
func statementText(q *stream.Query) (text string, whole bool) {
	collation := uint16(utf8General)
	if q.HasCharset {
		collation = q.ClientSet
	}
	text, err := charset.Statement(collation, q.SQL)
	if seeded.On(seeded.LogTakenAtItsWord) {
		return string(q.SQL), true
	}
	return text, err == nil
}

// utf8General is the collation that statements of old servers are in.
const utf8General = 33

// applyChange takes one table through a statement and tells of it.
func (ts *tables) applyChange(s *statement, c *schema.Change) {
	t, here := ts.at(c.Table), startOf(s.e)
	defer ts.mayForget(t)
	switch c.Kind {
	case schema.Truncated:
		ts.attempts.discard(t)
		ts.tell(event.Item{Kind: event.KindTruncate, Seq: s.seq, Table: t.ev}, t)
		return
	case schema.Written:
		if seeded.On(seeded.LogTakenAtItsWord) {
			return
		}
		ts.pauseAt(t, pauseStatement, here, "")
		return
	case schema.Noted:
		if !t.newer(here) {
			t.charset, t.collation, t.keyName, t.indexes = c.Charset, c.Collation, c.Key, c.Indexes
		}
		return
	}
	t.changed = ts.statements
	if doubt := t.doubted(here); doubt != "" && c.Due == "" {
		c.Due = doubt
		if c.Kind == schema.Audit {
			c.Kind = schema.Unclear
		}
	}
	if c.Kind == schema.Unclear || c.Kind == schema.Audit || c.Kind == schema.Altered && t.newer(here) {
		ts.askFor(t, s, c)
		return
	}
	ts.follow(t, s, c)
	ts.audits.inquire(t.name, "a statement changed the table")
}

// follow takes a table through a statement that was understood.
func (ts *tables) follow(t *table, s *statement, c *schema.Change) {
	ddl := &event.DDL{SQL: s.sql, Old: t.schema(), New: c.New, Due: c.Due}
	if c.New != nil {
		t.charset, t.collation, t.keyName, t.indexes = c.Charset, c.Collation, c.Key, c.Indexes
		if c.Kind == schema.Created {
			// Nothing from before it counts, and nothing of what the server has now: a
			// definition that was read from there may have statements in it that are still ahead.
			if t.newer(startOf(s.e)) && c.From == (event.TableName{}) {
				ddl.Due = "" // it is the table that the server has, not another in its place
			}
			t.skipTo, t.loadedAt, t.versioned, t.blind, t.misfit = place{}, place{}, false, "", ""
		}
	} else {
		t.unsure = unsure{} // nothing of it comes any more
	}
	if !ts.change(t, s, ddl) || t.ev == nil {
		return
	}
	ts.attempts.discard(t)
	if ddl.Due != "" && !seeded.On(seeded.AttemptOutlivesDDL) {
		ts.attempts.restart(t, ddl.Due)
	}
}

// askFor takes a table through a statement that could not be followed, or of which it is
// not known whether it concerns the table: the server is asked what the table is now.
func (ts *tables) askFor(t *table, s *statement, c *schema.Change) {
	ctx, cancel := context.WithTimeout(ts.ctx, askTimeout)
	defer cancel()
	found, err := ts.ask.definition(ctx, ts.server, t.name, ts.ground.here())
	switch {
	case errors.Is(err, schema.ErrHidden):
		ts.pause(t, pausePrivilege, err.Error())
	case err != nil:
		ts.log.Warn("the server did not answer a question about a table", slog.String("table", t.name.String()), slog.Any("error", err))
		ts.leaveOut(t, because(c), s.seq)
	case c.Kind == schema.Audit && differs(t, found.loaded) == "":
		t.agrees(found.loaded)
		if s.end().less(found.at) {
			t.assumed, t.assumedRows = found.at, false
		}
	default:
		ts.replace(t, s, c, found)
	}
}

// askTimeout bounds the question whose answer the reader waits for.
const askTimeout = 10 * time.Second

func because(c *schema.Change) string {
	if c.Due != "" {
		return c.Due
	}
	return "the statement could not be followed; the definition was read from the server"
}

// replace puts a table under the server's definition behind a statement. What the log has
// between the two is left out; an attempt follows.
func (ts *tables) replace(t *table, s *statement, c *schema.Change, found answer) {
	ddl := &event.DDL{SQL: s.sql, Old: t.schema(), Due: because(c)}
	if why := differs(t, found.loaded); ddl.Old != nil && why != "" {
		ts.log.Info("definition read from the server", slog.String("table", t.name.String()), slog.String("difference", why))
	}
	ddl.New = t.load(found.loaded, uint64(s.seq))
	t.loadedAt, t.skipTo = found.at, found.at
	if ddl.Old == nil && c.Due == "" && found.at == s.end() { // a new table: everything of it is still ahead
		ddl.Due, t.loadedAt, t.skipTo = "", place{}, place{}
	}
	t.blind, t.misfit = "", ""
	if ts.change(t, s, ddl) && t.ev != nil && ddl.Due != "" {
		// Rows are left out: the source itself owes the attempt.
		ts.attempts.request(t, ddl.Due)
	}
}

// change puts a table under another definition and tells of it, if there is any.
func (ts *tables) change(t *table, s *statement, ddl *event.DDL) bool {
	if ddl.Old == nil && ddl.New == nil {
		return false
	}
	last := t.ev
	t.excused = false
	ts.define(t, ddl.New)
	item := event.Item{Kind: event.KindDDL, Seq: s.seq, Table: t.ev, DDL: ddl}
	if t.ev == nil {
		item.Table = last
		ts.attempts.abandon(t, "the table was dropped")
	}
	ts.tell(item, t)
	return true
}

// tell hands a mark of a table over, in the transaction that is being read, unless the table
// is paused. Those that are gathered are handed over together.
func (ts *tables) tell(it event.Item, t *table) {
	if t.paused != nil && it.Kind != event.KindDDL {
		return
	}
	if ts.gathering {
		ts.gathered = append(ts.gathered, it)
		return
	}
	it.Tx = ts.tx()
	ts.ground.emit(it)
}

// tx is the transaction that is being read.
func (ts *tables) tx() *event.Tx {
	_, tx := ts.ground.transaction()
	return tx()
}
