package mysql

import (
	"context"
	"database/sql"
	"log/slog"
	"slices"

	"github.com/millrace/millrace/connectors/mysql/schema"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
)

// tables are the captured tables at the reader's place. They are the one owner of a
// table's definition, of whether its rows flow, and of why they do not. Only the
// goroutine that calls Next touches them.
type tables struct {
	cfg      *Config
	log      *slog.Logger
	ctx      context.Context // of the opening
	db       *sql.DB
	server   *server
	filter   schema.Filter
	ground   ground
	attempts snapshots
	audits   auditor
	ask      questions
	metrics  *metrics

	all map[event.TableName]*table
	// cascades are the tables that a foreign key of the server changes by itself.
	cascades map[event.TableName]bool
	maps     map[uint64]*mapped
	bare     []*mapped // TABLE_MAPs since the last rows event
	// temporary are the temporary tables of the sessions in the log.
	temporary schema.Temporary
	// statements counts those that were looked at. Marks of one number are gathered.
	statements uint64
	gathering  bool
	gathered   []event.Item

	plain plain
	// vanished may be forgotten.
	vanished []*table

	// text is what positions say of tables, up to the place until at least, unless something
	// changed.
	text    string
	until   place
	changed bool
}

// ground is what tables need of the reader's place.
type ground interface {
	// here is the boundary: the place behind the last transaction that was read.
	here() event.Position
	// number is that of the byte that is read; reserve takes n numbers of their own.
	number() event.Seq
	reserve(n uint64) event.Seq
	// transaction is the one that is being read; its id is "" between two.
	transaction() (id string, tx func() *event.Tx)
	// emit hands an item over.
	emit(event.Item)
}

// snapshots is what tables need of the attempts that read them as a whole.
type snapshots interface {
	// discard throws away what was read of a table and not handed over.
	discard(*table)
	// request begins an attempt, anew if one is in progress; restart only in that case. owe
	// is request for one that no definition and nobody else makes due.
	request(t *table, cause string)
	restart(t *table, cause string)
	owe(t *table, cause string)
	// abandon ends a table's attempt.
	abandon(t *table, why string)
	// owed is what positions say of attempts.
	owed() map[event.TableName]*owed
}

// auditor has a table's definition compared with the server's.
type auditor interface {
	inquire(name event.TableName, cause string)
}

// table is a captured table at the reader's place.
type table struct {
	name event.TableName
	ev   *event.Table // nil before CREATE and after DROP
	// keyUnion holds the columns whose change splits an update: the primary key and the
	// routing columns, ascending.
	keyUnion []int
	// charset and collation are those of new columns that name none.
	charset, collation string
	keyName            string         // of the index that is the key, "" when not known
	indexes            []schema.Index // nil when not known
	versioned          bool           // keeps its former rows, as the server says
	unsure                            // tables.changed says that it changed

	paused *event.PauseReason // by the source itself, or by SetPaused
	// unread says why the definition cannot be compared with the server's; rows flow.
	unread string
	// changed is the last statement that concerned the table, by the count of all.
	changed uint64
	tx      uint64 // serial of the transaction that index counts in
	index   uint64 // rows of the table in that transaction so far
	rows    uint64 // handed over since Open
}

func newTables(o *opening, at ground, attempts snapshots) *tables {
	return &tables{cfg: &o.s.cfg, log: o.s.log, ctx: o.ctx, db: o.db, server: &o.server, filter: o.filter, ground: at, attempts: attempts,
		ask: questions{o.db}, metrics: o.s.metrics,
		all: map[event.TableName]*table{}, maps: map[uint64]*mapped{}}
}

// flowing reports whether the table's rows are handed over.
func (t *table) flowing() bool { return t.paused == nil && t.skipTo.file == "" && t.blind == "" }

// defined reports whether the table is there, under a definition that is known.
func (t *table) defined() bool { return t.ev != nil && t.ev.Schema != nil }

// newer reports whether the table's definition was read from the server behind here:
// statements between the two may be in it.
func (t *table) newer(here place) bool { return t.loadedAt.file != "" && here.less(t.loadedAt) }

// named is the table's event form, or its mere name where there is none.
func (t *table) named() *event.Table {
	if t.ev == nil {
		t.ev = &event.Table{Name: t.name, Queues: 1}
	}
	return t.ev
}

// at is the table of a name; it is made where there is none.
func (ts *tables) at(name event.TableName) *table {
	t := ts.all[name]
	if t == nil {
		t = &table{name: name}
		ts.all[name] = t
	}
	return t
}

// names of the captured tables, in order.
func (ts *tables) names() []event.TableName {
	out := make([]event.TableName, 0, len(ts.all))
	for n := range ts.all {
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

// captured are all tables, in the order of their names.
func (ts *tables) captured() []*table {
	out := make([]*table, 0, len(ts.all))
	for _, name := range ts.names() {
		out = append(out, ts.all[name])
	}
	return out
}

// current is a table's definition before a statement.
func (ts *tables) current(n event.TableName) *schema.Current {
	t := ts.all[n]
	if t == nil || !t.defined() {
		return nil
	}
	return &schema.Current{Schema: t.ev.Schema, Charset: t.charset, Collation: t.collation, Key: t.keyName, Indexes: t.indexes}
}

// load takes the schemas of the position, or, for tables that it does not know and where
// there is no position, the server's.
func (ts *tables) load(ctx context.Context, r pipeline.Resume, fresh bool) error {
	loaded, err := schema.LoadAll(ctx, ts.db, ts.filter, ts.server.maria)
	if err != nil {
		return err
	}
	end, _, err := ts.server.logEnd(ctx, ts.db)
	if err != nil {
		return err
	}
	for name, s := range r.Schemas {
		if s == nil || !ts.filter.Match(name) {
			continue
		}
		t, l := &table{name: name}, loaded[name]
		if l != nil {
			t.charset, t.collation, t.versioned = l.Charset, l.Collation, l.Versioned
			if sameKey(s, l.Schema) {
				t.keyName, t.indexes = l.Key, l.Indexes // else it may be another index's, and is asked for when one goes
			}
		}
		switch {
		case fresh && l == nil:
			continue // dropped while nobody read
		case fresh: // what changed since the position that was given up is in no log
			s, t.loadedAt = schema.KeepIDs(s, l.Schema, uint64(ts.ground.number())), end
			t.keyName, t.indexes = l.Key, l.Indexes
		}
		ts.all[name] = t
		ts.define(t, s)
	}
	for name, l := range loaded {
		if ts.all[name] != nil {
			continue
		}
		t := &table{name: name, charset: l.Charset, collation: l.Collation, keyName: l.Key, indexes: l.Indexes, versioned: l.Versioned,
			unsure: unsure{loadedAt: end}}
		if !fresh && ts.cfg.Snapshot.Mode != pipeline.SnapshotNever {
			// What it was at the position is not known. Its rows come with the attempt that is
			// due, or from its CREATE TABLE on.
			t.skipTo = end
		}
		ts.all[name] = t
		ts.define(t, l.Schema)
	}
	ts.changed = true
	ts.keepPaused(r.Paused)
	return nil
}

// keepPaused takes over what the position says is paused. A table that has no definition
// there, and that the server does not show, is paused all the same.
func (ts *tables) keepPaused(all map[event.TableName]event.PauseReason) {
	for name, why := range all {
		if ts.filter.Match(name) {
			ts.at(name).paused = &why
		}
	}
}

// mayForget notes a table that has no definition: it is forgotten at the end of a transaction,
// once nothing of it is unsure.
func (ts *tables) mayForget(t *table) {
	if !t.defined() && !slices.Contains(ts.vanished, t) {
		ts.vanished = append(ts.vanished, t)
	}
}

// forget drops what is kept of tables that are gone, at here, between two transactions. A
// statement or rows make one of their names known again, and so does a comparison. One that
// is paused stays until it is resumed.
func (ts *tables) forget(here place) {
	if len(ts.vanished) == 0 {
		return
	}
	ts.vanished = slices.DeleteFunc(ts.vanished, func(t *table) bool {
		if t.defined() || t.paused != nil || ts.all[t.name] != t {
			return true
		}
		if t.passed(here); t.unsure != (unsure{}) {
			return false
		}
		delete(ts.all, t.name)
		delete(ts.cascades, t.name)
		ts.metrics.forget(t.name.String())
		return true
	})
}

// sameKey reports whether the keys of two definitions have the same columns.
func sameKey(a, b *event.Schema) bool {
	return slices.EqualFunc(a.PrimaryKey, b.PrimaryKey, func(i, k int) bool { return a.Columns[i].Name == b.Columns[k].Name })
}
