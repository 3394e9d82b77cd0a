package mysql

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/millrace/millrace/connectors/mysql/schema"
	"github.com/millrace/millrace/pipeline/event"
)

// called pauses the tables that a statement without row events may have changed without
// naming them: through stored routines that it calls, views that it writes to, and
// triggers of tables that it writes. Where a body cannot be read, or the statement is one
// that changes rows through what it calls alone and nothing is found, every table is one.
func (ts *tables) called(at place, st schema.Statement) error {
	if len(ts.all) == 0 {
		return nil
	}
	names := schema.Called(st)
	if len(names) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ts.ctx, 30*time.Second)
	defer cancel()
	r := reach{ask: ts.ask, st: st, seen: map[string]bool{}}
	if err := r.follow(ctx, names); err != nil {
		return fmt.Errorf("%w: what a statement calls: %w", errAskAgain, err)
	}
	if r.found == 0 && schema.Queries(st) && !r.sequences(names) {
		r.unread = "what it calls is not shown to the user"
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

// reach is what a statement leads to.
type reach struct {
	ask    questions
	st     schema.Statement
	seen   map[string]bool
	found  int
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

// bodies reads the routines and views of the names, and the triggers of tables that go
// by them.
func (q questions) bodies(ctx context.Context, names []event.TableName) (out []body, err error) {
	var pairs []string
	var args []any
	seen := map[event.TableName]bool{}
	for _, n := range names {
		n.DB, n.Table = strings.ToLower(n.DB), strings.ToLower(n.Table)
		if !seen[n] {
			seen[n] = true
			pairs, args = append(pairs, "(?,?)"), append(args, n.DB, n.Table)
		}
	}
	list := strings.Join(pairs, ",")
	for _, s := range []struct{ what, sql string }{
		{"routine", "SELECT ROUTINE_SCHEMA, ROUTINE_NAME, ROUTINE_DEFINITION FROM information_schema.ROUTINES WHERE (LOWER(ROUTINE_SCHEMA), LOWER(ROUTINE_NAME)) IN (" + list + ")"},
		{"view", "SELECT TABLE_SCHEMA, TABLE_NAME, VIEW_DEFINITION FROM information_schema.VIEWS WHERE (LOWER(TABLE_SCHEMA), LOWER(TABLE_NAME)) IN (" + list + ")"},
		{"trigger", "SELECT TRIGGER_SCHEMA, TRIGGER_NAME, ACTION_STATEMENT FROM information_schema.TRIGGERS WHERE (LOWER(EVENT_OBJECT_SCHEMA), LOWER(EVENT_OBJECT_TABLE)) IN (" + list + ")"},
	} {
		rows, err := q.db.QueryContext(ctx, s.sql, args...)
		if err != nil {
			return nil, err
		}
		for rows.Next() {
			b := body{what: s.what}
			var text sql.NullString
			if err := rows.Scan(&b.name.DB, &b.name.Table, &text); err != nil {
				rows.Close()
				return nil, err
			}
			b.text, b.shown = text.String, text.String != ""
			out = append(out, b)
		}
		if err := rows.Close(); err != nil {
			return nil, err
		}
		if err := rows.Err(); err != nil {
			return nil, err
		}
	}
	return out, nil
}
