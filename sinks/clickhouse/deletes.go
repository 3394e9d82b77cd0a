package clickhouse

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/millrace/millrace/internal/config"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/pipeline/projection/where"
	"github.com/millrace/millrace/sinks/clickhouse/column"
	"github.com/millrace/millrace/sinks/clickhouse/ddl"
)

// Deletes says what becomes of a row that goes. Mode is "" where nothing is said.
type Deletes struct {
	Mode DeleteMode
	// When is the condition that a row must meet, as it was before it went, for Mode to hold;
	// of others the deletion is applied. nil is none.
	When *where.Expr
}

// DeleteMode is what becomes of a row that goes.
type DeleteMode string

// The modes.
const (
	ApplyDeletes  DeleteMode = "apply"  // it goes
	SoftDeletes   DeleteMode = "soft"   // it stays, with the time when it went in a column
	IgnoreDeletes DeleteMode = "ignore" // it stays as it was
)

// UnmarshalYAML reads a mode, or a mode and its condition.
func (d *Deletes) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.ScalarNode {
		d.Mode = DeleteMode(n.Value)
		return nil
	}
	m := map[string]string{}
	if err := n.Decode(&m); err != nil {
		return fmt.Errorf("must be apply, soft or ignore, or a mode and when: {mode: ignore, when: \"region = 7\"}: %w", err)
	}
	for key := range m {
		if key != "mode" && key != "when" {
			return fmt.Errorf("has mode and when, not %s", key)
		}
	}
	d.Mode = DeleteMode(m["mode"])
	if text, ok := m["when"]; ok {
		d.When = new(where.Expr)
		return d.When.UnmarshalText([]byte(text))
	}
	return nil
}

// MarshalYAML writes what UnmarshalYAML reads.
func (d Deletes) MarshalYAML() (any, error) {
	if d.When == nil {
		return string(d.Mode), nil
	}
	return map[string]string{"mode": string(d.Mode), "when": d.When.String()}, nil
}

// over is the choice of a table that says what d does, and where it says nothing, the sink's.
func (d Deletes) over(sink Deletes) Deletes {
	if d.Mode == "" && d.When == nil {
		d = sink
	}
	if d.Mode == "" && d.When == nil {
		d.Mode = ApplyDeletes
	}
	return d
}

// keeps says that rows that go may stay.
func (d Deletes) keeps() bool { return d.Mode == SoftDeletes || d.Mode == IgnoreDeletes }

func (d Deletes) validate(at string, mode Mode) error {
	bad := func(key, format string, a ...any) error {
		return &config.KeyError{Key: at + key, Text: fmt.Sprintf(format, a...)}
	}
	switch {
	case d.Mode != ApplyDeletes && !d.keeps():
		return bad("", "%q must be apply, soft or ignore", d.Mode)
	case d.Mode == ApplyDeletes && d.When != nil:
		return bad(".when", "says which deletions are soft or ignored: say mode: soft or mode: ignore, or leave it out")
	case d.keeps() && mode != Mirror:
		return bad("", "%q is for mode: mirror; in mode %s a deletion is a row, and nothing goes: say apply", d.Mode, mode)
	}
	return nil
}

// checkKey refuses to keep rows where it is not told by the key whether one has come again.
func (d Deletes) checkKey(schema *event.Schema, key []uint32) error {
	switch {
	case !d.keeps():
		return nil
	case len(schema.PrimaryKey) == 0:
		return fmt.Errorf("deletes: %s is for tables with a primary key, which this one has not: "+
			"say deletes: apply for it, or mode: changelog", d.Mode)
	case len(key) > len(schema.PrimaryKey):
		return fmt.Errorf("deletes: %s and an order_by with columns beside the primary key's don't go together: "+
			"a row that comes again could have another sorting key, "+
			"and would be seen beside the one that was kept; say one of the two, or mode: changelog", d.Mode)
	}
	return nil
}

// bind is the condition on rows of a definition, nil where there is none. It may name columns as
// they are in that definition, or as stores know them.
func (d Deletes) bind(schema *event.Schema, stores []store) (*where.Filter, error) {
	if !d.keeps() || d.When == nil {
		return nil, nil
	}
	columns := make([]where.Column, len(schema.Columns))
	for i := range schema.Columns {
		c := &schema.Columns[i]
		columns[i] = where.Column{Name: c.Name, Native: c.Native, Charset: c.Charset, Definition: c}
	}
	for _, name := range d.When.Columns() {
		if slices.ContainsFunc(columns, func(c where.Column) bool { return strings.EqualFold(c.Name, name) }) {
			continue
		}
		if id, ok := sortColumn(schema, stores, name); ok {
			columns[slices.IndexFunc(schema.Columns, func(c event.Column) bool { return c.ID == id })].Name = name
		}
	}
	f, faults := d.When.Bind(columns)
	if len(faults) > 0 {
		return nil, fmt.Errorf("%s (deletes.when)", strings.Join(faults, "; "))
	}
	return f, nil
}

// keeping says which rows of a block stay though they go.
type keeping struct {
	on     bool
	filter *where.Filter
	rawTexts
}

// keeps reports whether a row stays though it goes; values are those of all its columns.
func (k *keeping) keeps(values []event.Value) bool {
	return k.on && (k.filter == nil || k.filter.Row(values))
}

// gone notes when the row went that is being written.
func (k *keeping) gone(rows int, at int64) {
	k.pad(rows, goneSize)
	k.nulls, k.raw, k.rows = append(k.nulls, 0), binary.LittleEndian.AppendUint64(k.raw, uint64(at)), k.rows+1
}

// goneSize is what the time when a row went takes in a block.
const goneSize = 8

// goneType is that of the column which has when a row went.
const goneType = "Nullable(DateTime64(6, 'UTC'))"

// gone is the store's column of when a row went, -1 for none.
func (s *store) gone() int {
	return slices.IndexFunc(s.Columns, func(c targetColumn) bool { return c.Gone })
}

// ensureGone has a store get the column of when a row went.
func (t *Table) ensureGone(st *step, i int) {
	s := st.at(i)
	if !t.shape.Deletes.keeps() || s.Layout != ddl.Versions || s.gone() >= 0 {
		return
	}
	s.Columns = append(slices.Clip(s.Columns), targetColumn{Name: ddl.DeletedAt, Type: goneType, Gone: true})
	if list, ok := st.added[i]; !ok || list != nil {
		st.added[i] = append(list, len(s.Columns)-1)
	}
}

// showGone has the view show rows that went as it is asked for.
func (d Deletes) showGone(s *store, v *ddl.View) {
	switch {
	case s.gone() < 0:
	case d.Mode == ApplyDeletes:
		v.Alive = true // what was kept while it was asked for
	case d.Mode == SoftDeletes:
		v.Columns = append(v.Columns, goneColumn(v))
	}
}

func goneColumn(v *ddl.View) ddl.ViewColumn {
	return ddl.ViewColumn{Name: freeIn(v.Columns, ddl.DeletedAt), Type: goneType, From: ddl.DeletedAt}
}

// rawView is the view that verification reads: it tells rows that were kept though they went.
func (t *Table) rawView(s *store, v *ddl.View) (*ddl.View, error) {
	more, err := s.rawView(v)
	if err != nil || s.gone() < 0 {
		return more, err
	}
	c := goneColumn(more)
	more.Columns, more.Kept = append(more.Columns, c), c.Name
	return more, nil
}

// carrying is what is copied from the store that the view showed into the one that it will show:
// their places in the step, and the numbers of the floor before and behind the END.
type carrying struct {
	from, to int
	of       keptRecord
}

// switches notes that an END has the view show a store that a snapshot has filled, which has not
// found the rows that were kept though they went.
func (t *Table) switches(st *step, was int, floor event.Seq) {
	if now := st.shown(); t.shape.Deletes.keeps() && was >= 0 && now != was && st.stores[was].gone() >= 0 {
		st.carries = append(st.carries, carrying{from: was, to: now, of: keptRecord{From: floor, As: st.led.Next().Floor}})
	}
}

// needKept adds the columns that rows need which are copied.
func (t *Table) needKept(st *step) {
	for _, c := range st.carries {
		old, to := &st.stores[c.from], &st.stores[c.to]
		t.ensureGone(st, c.to)
		for i := range old.Columns {
			if x := &old.Columns[i]; x.Raw && to.newest(x.Of.ID, false) != nil {
				at, added := to.ensureRaw(&x.Of)
				if list, ok := st.added[c.to]; added && (!ok || list != nil) {
					st.added[c.to] = append(list, at)
				}
			}
		}
	}
}

// carryAll copies what the step's ENDs leave behind.
func (t *Table) carryAll(ctx context.Context, st *step) error {
	for _, c := range st.carries {
		from, to := &st.stores[c.from], &st.stores[c.to]
		c.of.Store = from.Number
		to.Kept = &c.of
		if err := t.carry(ctx, from, to); err != nil {
			return err
		}
	}
	return nil
}

// severalRules is the rule of a store that has rows of before another rule for columns or rows.
const severalRules = "several"

// ruled notes under which rule a store takes rows.
func (s *store) ruled(rule string) {
	if s.Rule != nil && *s.Rule != rule {
		rule = severalRules
	}
	s.Rule = &rule
}

// keptRecord says where a store's rows come from that were kept though they went before its
// snapshot began: from which store, from which number on, and which number they have now.
type keptRecord struct {
	Store int       `json:"store"`
	From  event.Seq `json:"from"`
	As    event.Seq `json:"as"`
}

// keptQueue is the queue of rows that were carried over: none.
const keptQueue = math.MaxUint16

// carry copies rows that were kept though they went. They get the number of the floor: every
// row that the snapshot or a queue has brought there is above it, and takes their place. So it
// may be done again, and late.
func (t *Table) carry(ctx context.Context, old, to *store) error {
	into, from, why := old.carriedTo(to)
	if why != "" {
		t.log.Warn("rows that were kept though they were deleted are not in the table that was read anew", slog.String("cause", why))
		return nil
	}
	into = append(into, ddl.Seq, ddl.Del, ddl.Q, ddl.Gen, ddl.Ts, ddl.DeletedAt)
	from = append(from, fmt.Sprint(uint64(to.Kept.As)), "0", fmt.Sprint(keptQueue), fmt.Sprint(t.claim.Generation),
		"_t."+ddl.Ts, "_t."+ddl.DeletedAt)
	text := fmt.Sprintf("INSERT INTO %s (%s) SELECT %s FROM %s AS _t FINAL WHERE _t.%s IS NOT NULL AND _t.%s >= %d AND _t.%[6]s < %[8]d",
		to.name(t.target), ddl.Idents(into), strings.Join(from, ", "), old.name(t.target), ddl.DeletedAt, ddl.Seq,
		uint64(to.Kept.From), uint64(to.Kept.As))
	if !slices.Equal(old.Key, to.Key) { // of several under one new key the newest
		var keys []string
		for _, id := range to.Key {
			keys = append(keys, old.castTo(to, id))
		}
		text += fmt.Sprintf(" ORDER BY _t.%s DESC LIMIT 1 BY %s", ddl.Seq, strings.Join(keys, ", "))
	}
	if err := t.exec(ctx, text); err != nil {
		return fmt.Errorf("copy the rows that were kept though they were deleted: %w", err)
	}
	return nil
}

// castTo is the expression for a source column's value of another store, "" where there is none.
func (s *store) castTo(to *store, id uint32) string {
	if of, old := to.newest(id, false), s.newest(id, false); of != nil && old != nil {
		return column.Cast(old.typ, of.typ, "_t."+ddl.Ident(old.Name))
	}
	return ""
}

// carriedTo are the columns of a newer store that rows are copied into, and what is copied, or why
// nothing can be.
func (s *store) carriedTo(to *store) (into, from []string, why string) {
	now, err := event.ParseSchema(to.Schema)
	if err != nil {
		panic("BUG: a store that is shown has no definition: " + err.Error())
	}
	if s.Rule == nil || *s.Rule == severalRules || *s.Rule != now.Projection {
		return nil, nil, "other columns or rows of the table are kept back since"
	}
	for i := range now.Columns {
		id := now.Columns[i].ID
		text := s.castTo(to, id)
		if text == "" {
			if slices.Contains(to.Key, id) {
				return nil, nil, "its key has the column " + now.Columns[i].Name + ", which they do not have"
			}
			continue
		}
		into, from = append(into, to.newest(id, false).Name), append(from, text)
		if a, b := to.raw(id), s.raw(id); a >= 0 && b >= 0 {
			into, from = append(into, to.Columns[a].Name), append(from, "_t."+ddl.Ident(s.Columns[b].Name))
		}
	}
	return into, from, ""
}

// carryAgain copies them again where the server may have lost what was copied: the store that
// they come from is there for as long as it may, by its own clock, from now on.
func (t *Table) carryAgain(ctx context.Context) error {
	to := shown(t.rec.Stores, t.whole())
	if to == nil || to.Kept == nil || t.rec.Again == nil || !t.shape.Deletes.keeps() || slices.Contains(t.absent, to.Number) {
		return nil
	}
	for i := range t.rec.Stores {
		s := &t.rec.Stores[i]
		if s.Number != to.Kept.Store {
			continue
		}
		s.Left = 0
		if err := t.carry(ctx, s, to); err != nil && !isMissing(err) {
			return err
		}
	}
	return nil
}
