package mysql

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"

	"github.com/millrace/millrace/connectors/mysql/schema"
	"github.com/millrace/millrace/pipeline/event"
)

// pause is a reason for which the source stops a table. In its texts {table}, {name} (of
// the table, quoted), {db} (quoted), {user}, {at} and {detail} stand for the case's own.
type pause struct {
	code         event.PauseCode
	text, remedy string
}

// The pauses of the source.
var (
	pauseRequest = pause{event.PauseRequest, "paused by request", ""}
	pausePartial = pause{event.PauseRowValueOptions, "table {table}: the log holds partial JSON updates",
		"SET GLOBAL binlog_row_value_options='' and resume it with a new snapshot"}
	pauseImage = pause{event.PauseRowImage, "table {table}: the log holds partial rows",
		"SET GLOBAL binlog_row_image='FULL', have sessions reconnect, and resume it with a new snapshot"}
	pauseDecode = pause{event.PauseUndecodable, "table {table}, rows at {at}: {detail}",
		"resume it with a new snapshot, or report the value"}
	pauseShape     = pause{event.PauseSchema, "table {table}: {detail}", "Resume it with a new snapshot, which reads the definition anew"}
	pauseKey       = pause{event.PauseKey, "{detail}", "correct tables.{table}.key in the pipeline file"}
	pauseVersioned = pause{event.PauseVersioned, "table {table}: " + versionedText,
		"take the table out with \"!{table}\", or ALTER TABLE {name} DROP SYSTEM VERSIONING and resume it with a new snapshot"}
	pauseType    = pause{event.PauseType, "table {table}: {detail}", "convert the column, or take the table out with \"!{table}\""}
	pauseCharset = pause{event.PauseCharset, "table {table}: {detail}", "convert the column, or take the table out with \"!{table}\""}
	pauseKeyText = pause{event.PauseCharset, "table {table}: {detail}",
		"convert the column to utf8mb4, correct the row's key at the source, or take the table out with \"!{table}\"; then resume " +
			"it with a new snapshot"}
	pauseSnapshot = pause{event.PauseSnapshot, "the snapshot of {table} cannot be read: {detail}",
		"mend the cause, then resume the table: a new snapshot follows"}
	pauseStatement = pause{event.PauseStatement, "table {table} was changed by a statement without row events at {at}",
		"SET GLOBAL binlog_format='ROW', have sessions reconnect, and resume it with a new snapshot"}
	pauseCalled = pause{event.PauseStatement, "table {table} may have been changed by a statement without row events at {at}: {detail}",
		"SET GLOBAL binlog_format='ROW', have sessions reconnect, and resume it with a new snapshot"}
	pausePrivilege = pause{event.PausePrivilege, "{detail}",
		"GRANT SELECT ON {db}.* TO the user {user}, and resume the table with a new snapshot"}
)

// versionedText is why a table that keeps its former rows is not captured: its log has
// them as rows of their own, under keys and in columns that a SELECT does not show.
const versionedText = "system-versioned tables (WITH SYSTEM VERSIONING) are not supported"

// say is the pause's text for a table.
func (p pause) say(t event.TableName, user, at, detail string) string {
	text := p.text
	if p.remedy != "" {
		text += "; " + p.remedy
	}
	return strings.NewReplacer("{table}", t.String(), "{name}", schema.QuoteTable(t), "{db}", schema.Quote(t.DB),
		"{user}", user, "{at}", at, "{detail}", detail).Replace(text)
}

// pause stops a table's rows, with the reason, until SetPaused(false).
func (ts *tables) pause(t *table, why pause, detail string) { ts.pauseAt(t, why, place{}, detail) }

// pauseAt names the place in the log as well.
func (ts *tables) pauseAt(t *table, why pause, at place, detail string) {
	if t.paused != nil {
		return
	}
	text := why.say(t.name, ts.cfg.User, at.String(), detail)
	serial, _ := ts.ground.transaction()
	t.paused = &event.PauseReason{Code: why.code, Text: text, Where: ts.ground.here(), Serial: serial}
	ts.attempts.abandon(t, "the table was paused")
	if why.code == event.PauseRequest { // whoever asks knows why, and says it
		ts.log.Info("the table's rows are left out until it is resumed", slog.String("table", t.name.String()))
	} else { // whoever takes the item says the reason, without what must not leave
		ts.log.Warn("the table's rows are left out", slog.String("table", t.name.String()), slog.String("code", string(why.code)))
	}
	ts.ground.emit(event.Item{Kind: event.KindPaused, Table: t.named(), Reason: t.paused, Seq: ts.ground.number()})
}

// hold stops a table's rows or lets them flow again. Both are items, so that what is left
// out and the position behind it are recorded together. The server is asked until ctx
// ends; behind its deadline the table goes on without
// its definition, a cancellation leaves it as it is.
func (ts *tables) hold(ctx context.Context, t *table, hold bool) error {
	if hold {
		ts.pause(t, pauseRequest, "")
		return nil
	}
	if t.paused == nil {
		return nil
	}
	defer ts.mayForget(t)
	why := t.paused
	t.paused = nil
	switch err := ts.reloaded(ctx, t); {
	case errors.Is(err, schema.ErrHidden):
		ts.pause(t, pausePrivilege, err.Error())
		return nil
	case err != nil && errors.Is(ctx.Err(), context.Canceled):
		t.paused = why // nobody waits for it any more; the wish stays
		return err
	case err != nil:
		ts.log.Warn("table resumed; its rows are left out until its definition can be read",
			slog.String("table", t.name.String()), slog.Any("error", err))
		ts.resumeUnread(t)
		return nil
	}
	if t.paused != nil {
		return nil // for a reason that is still there, which was said
	}
	ts.ground.emit(event.Item{Kind: event.KindResumed, Table: t.named(), Seq: ts.ground.number()})
	ts.attempts.request(t, causeResumed)
	return nil
}

const causeResumed = "rows were left out while the table was paused"

// resumeTimeout bounds the questions about all tables that are resumed at once: the other
// tables wait for as long.
const resumeTimeout = 5 * time.Second

// resumeUnread resumes a table whose definition cannot be read now, because somebody has
// locked it or the server does not answer: its rows are left out until an audit has it, and
// nobody waits.
func (ts *tables) resumeUnread(t *table) {
	ts.ground.emit(event.Item{Kind: event.KindResumed, Table: t.named(), Seq: ts.ground.number()})
	t.blind, t.misfit, ts.changed = causeResumed, "", true
	if s := t.schema(); s != nil {
		ts.replaced(t.ev, s, s, causeResumed) // due, together with the place
	}
	ts.audits.inquire(t.name, causeResumed)
}
