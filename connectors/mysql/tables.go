package mysql

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/millrace/millrace/connectors/mysql/decode"
	"github.com/millrace/millrace/connectors/mysql/schema"
	"github.com/millrace/millrace/connectors/mysql/stream"
	"github.com/millrace/millrace/pipeline/event"
)

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
	// loadedAt is the server's end when the definition was read from it: statements up
	// to there may be in it already.
	loadedAt place

	paused *event.PauseReason // by the source itself, or by SetPaused
	skipTo place              // rows up to here are left out: a snapshot after it has them

	tx    uint64 // serial of the transaction that index counts in
	index uint64 // rows of the table in that transaction so far
	rows  uint64 // handed over since Open
}

// mapped is a TABLE_MAP in force.
type mapped struct {
	raw     []byte
	tm      *decode.TableMap
	table   *table // nil: not captured
	decoder *decode.Decoder
	schema  *event.Schema // that the decoder was made for
	rows    bool          // rows followed
}

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

// setSchema puts a table under a schema; what cannot be captured pauses it.
func (o *opening) setSchema(t *table, s *event.Schema) {
	if s == nil {
		t.ev, t.keyUnion = nil, nil
		return
	}
	ev, union, err := o.s.cfg.newTable(s)
	if err != nil {
		// Its rows cannot be routed; the schema alone is kept.
		t.ev = &event.Table{Name: s.Name, Schema: s, Queues: o.s.cfg.queuesOf(s.Name), Keyless: len(s.PrimaryKey) == 0}
		t.keyUnion = nil
		o.pause(t, event.PauseKey, err.Error()+"; correct tables."+s.Name.String()+".key in the pipeline file")
		return
	}
	t.ev, t.keyUnion = ev, union
	if t.versioned {
		o.pause(t, event.PauseVersioned, fmt.Sprintf("table %s: %s; take the table out with \"!%s\", or ALTER TABLE %s DROP SYSTEM VERSIONING and resume it with a new snapshot",
			s.Name, versionedText, s.Name, schema.QuoteTable(s.Name)))
		return
	}
	for i := range s.Columns {
		if err := decode.Supported(&s.Columns[i]); err != nil {
			code := event.PauseType
			if s.Columns[i].Type != event.TypeUnsupported {
				code = event.PauseCharset
			}
			o.pause(t, code, fmt.Sprintf("table %s: %v; convert the column, or take the table out with \"!%s\"", s.Name, err, s.Name))
			return
		}
	}
}

// versionedText is why a table that keeps its former rows is not captured: its log has
// them as rows of their own, under keys and in columns that a SELECT does not show.
const versionedText = "system-versioned tables (WITH SYSTEM VERSIONING) are not supported"

// pause stops a table's rows, with the reason, until SetPaused(false).
func (o *opening) pause(t *table, code event.PauseCode, text string) {
	if t.paused != nil {
		return
	}
	p := event.PauseReason{Code: code, Text: text, Where: o.boundary}
	if o.tx.open {
		p.Serial = o.tx.id()
	}
	t.paused = &p
	o.abandon(t, "the table was paused")
	o.s.log.Warn("table paused", "table", t.name.String(), "code", string(code), "reason", text)
	if t.ev == nil {
		t.ev = &event.Table{Name: t.name, Queues: 1}
	}
	o.out = append(o.out, event.Item{Kind: event.KindPaused, Table: t.ev, Reason: &p, Seq: event.MakeSeq(o.epoch, o.counter)})
}

// newer reports whether the table's definition was read from the server behind here:
// statements between the two may be in it.
func (t *table) newer(here place) bool { return t.loadedAt.file != "" && here.less(t.loadedAt) }

// flowing reports whether the table's rows are handed over.
func (t *table) flowing() bool { return t.paused == nil && t.skipTo.file == "" }

// hold stops a table's rows or lets them flow again. Both are items, so that what is left
// out and the position behind it are recorded together.
func (o *opening) hold(ctx context.Context, t *table, hold bool) error {
	if hold {
		o.pause(t, event.PauseRequest, "paused by request")
		return nil
	}
	if t.paused == nil {
		return nil
	}
	why := t.paused
	t.paused = nil
	if err := o.reloaded(ctx, t); errors.Is(err, schema.ErrHidden) {
		o.pauseHidden(t, err)
		return nil
	} else if err != nil {
		t.paused = why // the wish is carried out when the server answers
		return err
	}
	if t.paused != nil {
		return nil // for a reason that is still there, which was said
	}
	if t.ev == nil {
		t.ev = &event.Table{Name: t.name, Queues: 1}
	}
	o.out = append(o.out, event.Item{Kind: event.KindResumed, Table: t.ev, Seq: event.MakeSeq(o.epoch, o.counter)})
	o.snap.request(t, "rows were left out while the table was paused")
	return nil
}

// pauseHidden stops a table that may still be there but is not shown to the user.
func (o *opening) pauseHidden(t *table, err error) {
	o.pause(t, event.PausePrivilege, fmt.Sprintf("%v; GRANT SELECT ON %s.* TO the user %s, and resume the table with a new snapshot", err, schema.Quote(t.name.DB), o.s.cfg.User))
}

// reload takes a table's definition from the server as it is now. What the log has
// between the reader and the server's end is left out; a snapshot must follow.
func (o *opening) reload(ctx context.Context, t *table) (old, now *event.Schema, err error) {
	l, err := schema.Load(ctx, o.db, t.name, o.server.maria)
	if errors.Is(err, schema.ErrHidden) {
		reconnect(o.db)
		l, err = schema.Load(ctx, o.db, t.name, o.server.maria)
	}
	if err != nil {
		return nil, nil, err
	}
	end, _, err := o.server.logEnd(ctx, o.db)
	if err != nil {
		return nil, nil, err
	}
	if t.ev != nil {
		old = t.ev.Schema
	}
	if l != nil {
		now = schema.KeepIDs(old, l.Schema, o.counter)
		t.charset, t.collation, t.keyName, t.indexes, t.versioned = l.Charset, l.Collation, l.Key, l.Indexes, l.Versioned
	}
	t.loadedAt, t.skipTo = end, end
	return old, now, nil
}

// reloaded reads the definition of a resumed table and tells of it.
func (o *opening) reloaded(ctx context.Context, t *table) error {
	old, now, err := o.reload(ctx, t)
	if err != nil {
		return err
	}
	last := t.ev
	o.setSchema(t, now)
	if old != nil && now != nil && old.ID == now.ID || old == nil && now == nil {
		return nil
	}
	if t.ev != nil {
		last = t.ev
	}
	seq := o.reserve(1)
	tx := &event.Tx{ID: fmt.Sprintf("reload/%d", uint64(seq)), CommitTime: time.Now().UTC().Truncate(time.Microsecond), Start: *o.position()}
	o.out = append(o.out, event.Item{Kind: event.KindDDL, Seq: seq, Table: last, Tx: tx,
		DDL: &event.DDL{Old: old, New: now, Due: "the table was resumed and its definition read anew"}})
	return nil
}

// onTableMap takes a TABLE_MAP into force.
func (o *opening) onTableMap(e *stream.Event) error {
	if len(e.Body) < 6 {
		return fmt.Errorf("TABLE_MAP at %s:%d: %w", e.Place.File, e.Place.Start, decode.ErrMalformed)
	}
	id := tableID(e.Body)
	m := o.maps[id]
	if m == nil || !slices.Equal(m.raw, e.Body) {
		tm, err := decode.ParseTableMap(e.Body)
		if err != nil {
			return fmt.Errorf("TABLE_MAP at %s:%d: %w", e.Place.File, e.Place.Start, err)
		}
		if len(o.maps) > 4096 {
			clear(o.maps) // ids of tables long closed
		}
		m = &mapped{raw: slices.Clone(e.Body), tm: tm}
		o.maps[id] = m
	}
	m.rows = false
	m.table = o.tables[o.name(m.tm.DB, m.tm.Table)]
	o.bare = append(o.bare, m)
	return nil
}

func (o *opening) name(db, table string) event.TableName {
	return event.TableName{DB: db, Table: table}
}

// plan makes sure that m's decoder is for the table's present schema.
func (o *opening) plan(m *mapped, here place) bool {
	t := m.table
	if t.ev == nil || t.ev.Schema == nil {
		o.pause(t, event.PauseSchema, fmt.Sprintf("rows of %s came, which the log never created; its definition is unknown. Resume it with a new snapshot", t.name))
		return false
	}
	if m.decoder != nil && m.schema == t.ev.Schema {
		return true
	}
	d, err := decode.NewDecoder(t.ev.Schema, m.tm, o.server.maria)
	if err != nil && t.newer(here) {
		// The definition was read from the server, and a statement ahead has made it what it
		// is: a snapshot behind that statement has these rows.
		t.skipTo = t.loadedAt
		o.snap.request(t, "the table's definition is newer than its first rows")
		return false
	}
	if err != nil {
		o.pause(t, event.PauseSchema, fmt.Sprintf("table %s: %v. Resume it with a new snapshot, which reads the definition anew", t.name, err))
		return false
	}
	m.decoder, m.schema = d, t.ev.Schema
	return true
}

func tableID(b []byte) (id uint64) {
	for i := 5; i >= 0; i-- {
		id = id<<8 | uint64(b[i])
	}
	return id
}
