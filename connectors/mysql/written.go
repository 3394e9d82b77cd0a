package mysql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/millrace/millrace/connectors/mysql/account"
	"github.com/millrace/millrace/connectors/mysql/schema"
	"github.com/millrace/millrace/internal/seeded"
	"github.com/millrace/millrace/pipeline/event"
)

// called pauses the tables that a statement without row events may have changed without
// naming them: through stored routines that it calls, views that it writes to, and
// triggers of tables that it writes. Where a body cannot be read, or the statement is one
// that changes rows through what it calls alone and nothing is found, every table is one.
func (ts *tables) called(at place, st schema.Statement) error {
	if seeded.On(seeded.LogTakenAtItsWord) || !ts.some(func(t *table) bool { return t.paused == nil }) {
		return nil
	}
	names := schema.Called(st)
	if len(names) == 0 {
		ts.plain.clear() // it may define what others call
		return nil
	}
	key, asked := ts.plain.key(names), time.Now()
	if ts.plain.has(key, asked) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ts.ctx, 30*time.Second)
	defer cancel()
	r := reach{ask: ts.ask, st: st, seen: map[string]bool{}}
	switch err := r.follow(ctx, names); {
	case err == nil:
	case unanswerable(ctx, err): // asked again, it would be no other
		r.unread = "what it calls could not be read: " + err.Error()
	default:
		return fmt.Errorf("%w: what a statement calls: %w", errAskAgain, err)
	}
	if r.unread == "" {
		switch hidden, err := ts.ask.hiddenTriggers(ctx, r.names); {
		case err == nil && len(hidden) > 0:
			r.unread = "the triggers of " + hidden[0].String() + " are not shown to the user, if it has any; " +
				triggerRemedy(hidden[0], ts.cfg.User)
		case err != nil && unanswerable(ctx, err):
			r.unread = "what the user may see could not be read: " + err.Error()
		case err != nil:
			return fmt.Errorf("%w: what a statement calls: %w", errAskAgain, err)
		}
	}
	if r.unread == "" && r.found == 0 && schema.Queries(st) && !r.sequences(names) {
		r.unread = "what it calls is not shown to the user"
	}
	if r.unread == "" && len(r.tables) == 0 {
		ts.plain.add(key, asked)
		return nil
	}
	tables, why := r.tables, "it calls "+strings.Join(r.path, ", ")
	if r.unread != "" {
		tables, why = ts.names(), r.unread
	}
	for _, n := range tables {
		if t := ts.all[n]; t != nil && t.defined() {
			ts.pauseAt(t, pauseCalled, at, why)
		}
	}
	return nil
}

// some reports whether fn holds for one of the tables.
func (ts *tables) some(fn func(*table) bool) bool {
	for _, t := range ts.all {
		if fn(t) {
			return true
		}
	}
	return false
}

// unanswerable reports whether a question failed because the server refused it, or did not
// answer it within the time that ctx gave: it is not asked again, lest one statement of the
// log keeps all others waiting.
func unanswerable(ctx context.Context, err error) bool {
	if ctx.Err() != nil {
		return errors.Is(ctx.Err(), context.DeadlineExceeded)
	}
	return !temporary(err) || account.Refused(err) == lockWaitTimeout
}

const lockWaitTimeout = 1205

// reach is what a statement leads to.
type reach struct {
	ask    questions
	st     schema.Statement
	seen   map[string]bool
	found  int
	names  []event.TableName // that may be tables with triggers
	path   []string          // the routines, views and triggers on the way
	tables []event.TableName // captured ones that they name
	unread string            // why it is not known what more
}

// maxReach bounds the bodies that are followed; beyond it everything is taken to be
// reached.
const maxReach = 1000

// follow reads the bodies that go by the names, and those that these name.
func (r *reach) follow(ctx context.Context, names []event.TableName) error {
	for len(names) > 0 && r.unread == "" {
		r.names = append(r.names, names...)
		bodies, err := r.ask.bodies(ctx, names)
		if err != nil {
			return err
		}
		names = nil
		for _, b := range bodies {
			key := b.what + " " + b.name.String() + " " + b.text
			if r.seen[key] {
				continue
			}
			r.seen[key] = true
			r.found++
			r.path = append(r.path, b.what+" "+b.name.String())
			if !b.shown {
				r.unread = "the text of " + b.what + " " + b.name.String() + " is not shown to the user"
				return nil
			}
			if r.found > maxReach {
				r.unread = "it leads to too many routines"
				return nil
			}
			st := r.st
			st.SQL, st.DB, st.ThreadSpecific = b.text, b.name.DB, false
			for _, n := range schema.Names(st) {
				if st.Table(n) != nil && !slices.Contains(r.tables, n) {
					r.tables = append(r.tables, n)
				}
				names = append(names, n)
			}
		}
	}
	return nil
}

// sequences reports whether the statement is about MariaDB's sequences, which are no
// tables of anybody's rows.
func (r *reach) sequences(names []event.TableName) bool {
	return r.st.MariaDB && slices.ContainsFunc(names, func(n event.TableName) bool {
		return strings.EqualFold(n.Table, "nextval") || strings.EqualFold(n.Table, "setval") || strings.EqualFold(n.Table, "value")
	})
}

// body is the text of a routine, a view or a trigger.
type body struct {
	what  string
	name  event.TableName
	text  string
	shown bool
}

// bodyQuestions are where the texts of routines, views and triggers are.
var bodyQuestions = []struct{ what, sql string }{
	{"routine", "SELECT ROUTINE_SCHEMA, ROUTINE_NAME, ROUTINE_DEFINITION FROM information_schema.ROUTINES WHERE (LOWER(ROUTINE_SCHEMA), " +
		"LOWER(ROUTINE_NAME)) IN "},
	{"view", "SELECT TABLE_SCHEMA, TABLE_NAME, VIEW_DEFINITION FROM information_schema.VIEWS WHERE (LOWER(TABLE_SCHEMA), " +
		"LOWER(TABLE_NAME)) IN "},
	{"trigger", "SELECT TRIGGER_SCHEMA, TRIGGER_NAME, ACTION_STATEMENT FROM information_schema.TRIGGERS WHERE (LOWER(EVENT_OBJECT_SCHEMA), " +
		"LOWER(EVENT_OBJECT_TABLE)) IN "},
}

// maxNames is how many names one question has.
const maxNames = 500

// bodies reads the routines and views of the names, and the triggers of tables that go
// by them.
func (q questions) bodies(ctx context.Context, names []event.TableName) (out []body, err error) {
	var distinct []event.TableName
	seen := map[event.TableName]bool{}
	for _, n := range names {
		n.DB, n.Table = strings.ToLower(n.DB), strings.ToLower(n.Table)
		if !seen[n] {
			seen[n] = true
			distinct = append(distinct, n)
		}
	}
	for part := range slices.Chunk(distinct, maxNames) {
		args := make([]any, 0, 2*len(part))
		for _, n := range part {
			args = append(args, n.DB, n.Table)
		}
		list := "(" + strings.TrimSuffix(strings.Repeat("(?,?),", len(part)), ",") + ")"
		for _, s := range bodyQuestions {
			if out, err = q.appendBodies(ctx, out, s.what, s.sql+list, args); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

func (q questions) appendBodies(ctx context.Context, out []body, what, question string, args []any) ([]body, error) {
	rows, err := q.db.QueryContext(ctx, question, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		b := body{what: what}
		var text sql.NullString
		if err := rows.Scan(&b.name.DB, &b.name.Table, &text); err != nil {
			return nil, err
		}
		b.text, b.shown = text.String, text.String != ""
		out = append(out, b)
	}
	return out, rows.Err()
}
