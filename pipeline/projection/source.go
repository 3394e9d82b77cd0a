package projection

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
)

// Look says which columns a table of the source has now; it wraps pipeline.ErrNoTable where
// there is none.
type Look func(ctx context.Context, table event.TableName) ([]pipeline.ReadColumn, error)

// Source is a pipeline.Source whose tables leave as the rules say.
type Source struct {
	pipeline.Source
	rules Rules
	look  Look
	log   *slog.Logger

	// Hidden, where set before Open, gives what counts the rows of a table that are kept back.
	Hidden func(event.TableName) func()

	// Of the goroutine that calls Open, Next and Close.
	tables map[event.TableName]*table
	early  []event.Item
	out    []event.Item
	buf    []byte
}

// table is a captured one at the reader's place.
type table struct {
	rule  *rule
	last  *event.Schema // at the source, the newest that was seen
	plans map[event.SchemaID]*plan
	views map[*event.Table]*event.Table
	// blocked: nothing of it leaves until its source resumes it.
	blocked bool
	hidden  func()
}

// actions are what is made of its columns.
func (t *table) actions() []named {
	if t.rule == nil {
		return nil
	}
	return t.rule.actions
}

// New puts rules around a source. It starts nothing.
func New(in pipeline.Source, rules Rules, look Look, log *slog.Logger) *Source {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Source{Source: in, rules: rules, look: look, log: log}
}

// Preflight adds to the source's own findings what the rules ask for and its tables have not.
func (s *Source) Preflight(ctx context.Context) ([]pipeline.Problem, error) {
	problems, err := s.Source.Preflight(ctx)
	if err != nil {
		return problems, err
	}
	for _, name := range s.rules.names() {
		r := s.rules.of(name)
		if !r.protects() {
			continue
		}
		found, err := s.look(ctx, name)
		switch {
		case errors.Is(err, pipeline.ErrNoTable):
			problems = append(problems, pipeline.Problem{Thing: "table " + name.String(),
				Found:  "the server does not have it, or shows it to nobody like this user",
				Wanted: "tables." + r.table + " says what of it may leave", Remedy: "correct the name in the pipeline file, unless the " +
					"table is still to come"})
			continue
		case err != nil:
			return problems, fmt.Errorf("columns of %s: %w", name, err)
		}
		defined, err := s.definition(ctx, name)
		if err != nil {
			return problems, fmt.Errorf("definition of %s: %w", name, err)
		}
		columns := make([]column, len(found))
		for i, c := range found {
			columns[i] = column{name: c.Name, native: c.Type, key: c.Key, charset: c.Charset}
			if defined != nil {
				columns[i].definition = columnNamed(defined, c.Name)
			}
		}
		if why := r.faults(columns, never); why != "" {
			problems = append(problems, pipeline.Problem{Fatal: true, Thing: "table " + name.String(), Found: why,
				Wanted: "columns that can be kept back, and a condition that can be answered",
				Remedy: "correct what tables." + r.table + " says in the pipeline file"})
		}
	}
	return problems, nil
}

// definer is what a source may be besides: it says how a table is defined now, nil where it has
// none. That has what its columns alone do not: members, and that a text is JSON.
type definer interface {
	Definition(ctx context.Context, table event.TableName) (*event.Schema, error)
}

func (s *Source) definition(ctx context.Context, table event.TableName) (*event.Schema, error) {
	d, ok := s.Source.(definer)
	if !ok {
		return nil, nil
	}
	return d.Definition(ctx, table)
}

func never(string) bool { return false }

// Open implements pipeline.Source. The source goes on under its own definitions.
func (s *Source) Open(ctx context.Context, r pipeline.Resume) (pipeline.Opened, error) {
	s.tables, s.early = map[event.TableName]*table{}, nil
	stored, inner := r.Schemas, map[event.TableName]*event.Schema{}
	for name, schema := range stored {
		if inner[name] = schema; schema != nil && schema.Source != nil {
			inner[name] = schema.Source
		}
	}
	r.Schemas, r.Attempts = inner, s.anew(r.Attempts, stored)
	opened, err := s.Source.Open(ctx, r)
	if err != nil {
		return opened, err
	}
	for _, t := range opened.Tables {
		if s.at(t.Name); t.Schema != nil {
			s.at(t.Name).last = t.Schema
		}
	}
	opened.Tables = slices.Clone(opened.Tables)
	for i, t := range opened.Tables {
		if t.Schema == nil {
			continue
		}
		why, err := s.fits(ctx, t, stored[t.Name])
		if err != nil {
			return opened, errors.Join(err, s.Source.Close())
		}
		if why == "" {
			opened.Tables[i] = s.view(t)
			continue
		}
		opened.Tables[i] = nameOnly(t)
		if _, paused := r.Paused[t.Name]; paused {
			s.at(t.Name).blocked = true
		} else {
			s.early = append(s.early, s.block(t, why, opened.Position))
		}
	}
	s.warnOfNobody()
	return opened, nil
}

// anew has attempts begin again that read their tables under another rule until now.
func (s *Source) anew(attempts []event.Attempt, stored map[event.TableName]*event.Schema) []event.Attempt {
	attempts = slices.Clone(attempts)
	for i, a := range attempts {
		was, now := "", ""
		if schema := stored[a.Table]; schema != nil {
			was = schema.Projection
		}
		if r := s.rules.of(a.Table); r != nil {
			now = r.text
		}
		if was != now && a.Begin != 0 {
			attempts[i] = event.Attempt{Table: a.Table, Cause: "other columns or rows are kept back than when it began"}
		}
	}
	return attempts
}

// fits says why a table can't leave as it is when the source is opened. What it was before
// the opening is stored.
func (s *Source) fits(ctx context.Context, t *event.Table, stored *event.Schema) (string, error) {
	r := s.at(t.Name).rule
	if why := s.copied(t); why != "" || !r.protects() {
		return why, nil
	}
	why := r.faults(columnsOf(t), never)
	if why == "" || r.faults(columnsOf(t), func(string) bool { return true }) != "" {
		return why, nil
	}
	// A column that is named is not there at this place of the log. Statements that are still
	// ahead may make it: by adding it, or by renaming one that was protected until now.
	if stored != nil && stored.Source != nil && uncovers(stored, t.Schema, r) {
		return why + "; a column that was kept back before may have been renamed to it", nil
	}
	found, err := s.look(ctx, t.Name)
	if errors.Is(err, pipeline.ErrNoTable) {
		return why, nil
	}
	if err != nil {
		return "", fmt.Errorf("columns of %s: %w", t.Name, err)
	}
	ahead := func(name string) bool {
		return slices.ContainsFunc(found, func(c pipeline.ReadColumn) bool { return fold(c.Name, name) })
	}
	return r.faults(columnsOf(t), ahead), nil
}

// uncovers reports whether a column that was protected under the stored definition leaves
// under the rule.
func uncovers(stored, now *event.Schema, r *rule) bool {
	for i := range now.Columns {
		c := &now.Columns[i]
		same := slices.IndexFunc(stored.Columns, func(x event.Column) bool { return x.ID == c.ID })
		if r.actionOf(c.Name) == keep && same < 0 {
			return true
		}
	}
	return false
}

// Next implements pipeline.Source.
func (s *Source) Next(ctx context.Context) ([]event.Item, error) {
	if len(s.early) > 0 {
		early := s.early
		s.early = nil
		return early, nil
	}
	for {
		items, err := s.Source.Next(ctx)
		if err != nil {
			return nil, err
		}
		clear(s.out)
		s.out, s.buf = s.out[:0], s.buf[:0]
		if cap(s.buf) > mostBuffer {
			s.buf = nil
		}
		for i := range items {
			if err := s.take(&items[i]); err != nil {
				return nil, err
			}
		}
		if len(s.out) > 0 {
			return s.out, nil
		}
	}
}

// mostBuffer bounds what is kept for the next call.
const mostBuffer = 8 << 20

// take hands an item over as it leaves.
func (s *Source) take(it *event.Item) error {
	if it.Table == nil {
		s.out = append(s.out, *it)
		return nil
	}
	t := s.at(it.Table.Name)
	switch it.Kind {
	case event.KindDDL:
		s.define(t, it)
		return nil
	case event.KindPaused:
		if !t.blocked { // else it is the answer to what was asked of the source
			s.out = append(s.out, paused(t, it))
		}
		return nil
	case event.KindResumed:
		s.resumed(t, it)
		return nil
	}
	if !t.blocked && it.Table.Schema != nil && (t.last == nil || t.last.ID != it.Table.Schema.ID) {
		if why := s.faults(t, it.Table); why != "" {
			s.out = append(s.out, s.block(it.Table, why, placeOf(it)))
		}
		t.last = it.Table.Schema
	}
	if t.blocked {
		s.pass(it)
		return nil
	}
	return s.leave(t, it)
}

// leave hands over what is not a matter of definitions.
func (s *Source) leave(t *table, it *event.Item) (err error) {
	p := t.planOf(it.Table.Schema)
	if p != nil && it.Kind == event.KindRow {
		kept, err := p.filtered(it)
		if err != nil {
			return err
		}
		if kept == nil {
			s.hidden(t)
			return nil
		}
		it = kept
	}
	out := *it
	out.Table = s.view(it.Table)
	if p != nil {
		if s.buf, out.Before, err = p.image(s.buf, it.Before); err != nil {
			return err
		}
		if s.buf, out.After, err = p.image(s.buf, it.After); err != nil {
			return err
		}
	}
	s.out = append(s.out, out)
	return nil
}

// hidden counts a row's change that is kept back.
func (s *Source) hidden(t *table) {
	if t.hidden != nil {
		t.hidden()
	}
}

// pass keeps of an item that does not leave how far the reader is: numbers that it took of
// its own are behind that place.
func (s *Source) pass(it *event.Item) {
	at := it.Commit
	if at == nil && it.Kind == event.KindDDL && it.Tx != nil && it.Seq.Counter() < it.Tx.Start.Counter {
		at = &it.Tx.Start
	}
	if at != nil {
		s.out = append(s.out, event.Item{Kind: event.KindHeartbeat, Commit: at})
	}
}

// resumed lets a table leave again if it may.
func (s *Source) resumed(t *table, it *event.Item) {
	if it.Table.Schema != nil {
		if why := s.faults(t, it.Table); why != "" {
			t.last = it.Table.Schema
			s.out = append(s.out, s.block(it.Table, why, placeOf(it)))
			return
		}
		t.last = it.Table.Schema
	}
	t.blocked = false
	out := *it
	out.Table = s.view(it.Table)
	s.out = append(s.out, out)
}

// block stops a table: nothing of it leaves until its source says that it was resumed.
func (s *Source) block(t *event.Table, why string, at event.Position) event.Item {
	s.at(t.Name).blocked = true
	s.Source.SetPaused(t.Name, true)
	text := fmt.Sprintf("table %s: %s; correct what tables.%s says in the pipeline file, and resume the table, which reads it anew", t.Name,
		why, t.Name)
	s.log.Warn("table paused", slog.String("table", t.Name.String()), slog.String("code", string(event.PauseColumns)),
		slog.String("reason", text))
	return event.Item{Kind: event.KindPaused, Table: nameOnly(t), Reason: &event.PauseReason{Code: event.PauseColumns, Text: text, Where: at}}
}

// Status implements pipeline.Source. What troubles a protected table may quote a value of it.
func (s *Source) Status() pipeline.SourceStatus {
	out := s.Source.Status()
	for i, t := range out.Tables {
		if t.Quotes && s.rules.of(t.Name).protects() {
			out.Tables[i].Trouble = "its rows can't be read; what was found is not told, because columns or rows of the table are kept back"
		}
	}
	return out
}

// paused is a pause of the source's own. What it says of a protected table's rows may hold
// values of them.
func paused(t *table, it *event.Item) event.Item {
	out := *it
	if !t.rule.protects() {
		return out
	}
	out.Table = nameOnly(it.Table)
	code := it.Reason.Code
	if code == event.PauseUndecodable || code == event.PauseSnapshot || code == event.PauseCharset && t.rule.where != nil {
		reason := *it.Reason
		reason.Serial = ""
		reason.Text = fmt.Sprintf("table %s: its rows can't be read (%s); what was found is not told, because columns or rows of the table are "+
			"kept back: resume it with a new snapshot",
			it.Table.Name, reason.Code)
		out.Reason = &reason
	}
	return out
}

// placeOf is the place of an item, for people.
func placeOf(it *event.Item) event.Position {
	switch {
	case it.Commit != nil:
		return *it.Commit
	case it.Tx != nil:
		return it.Tx.Start
	}
	return event.Position{}
}

// nameOnly is a table of which nothing but the name leaves.
func nameOnly(t *event.Table) *event.Table {
	return &event.Table{Name: t.Name, Queues: max(t.Queues, 1)}
}
