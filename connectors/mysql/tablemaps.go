package mysql

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/millrace/millrace/connectors/mysql/decode"
	"github.com/millrace/millrace/connectors/mysql/stream"
	"github.com/millrace/millrace/internal/seeded"
	"github.com/millrace/millrace/pipeline/event"
)

// mapped is a TABLE_MAP in force.
type mapped struct {
	raw     []byte
	tm      *decode.TableMap
	table   *table // nil: not captured, or not known
	wanted  bool   // the patterns take it in
	decoder *decode.Decoder
	schema  *event.Schema // that the decoder was made for
	rows    bool          // rows followed
}

// maxMaps is how many TABLE_MAPs are kept from one statement to the next.
const maxMaps = 4096

// announce takes a TABLE_MAP into force.
func (ts *tables) announce(e *stream.Event) error {
	if len(e.Body) < 6 {
		return fmt.Errorf("TABLE_MAP at %s:%d: %w", e.Place.File, e.Place.Start, decode.ErrMalformed)
	}
	id := tableID(e.Body)
	m := ts.maps[id]
	if m == nil || !slices.Equal(m.raw, e.Body) {
		tm, err := decode.ParseTableMap(e.Body)
		if err != nil {
			return fmt.Errorf("TABLE_MAP at %s:%d: %w", e.Place.File, e.Place.Start, err)
		}
		if len(ts.maps) > maxMaps { // ids of tables long closed; rows of those of the open statement are to come
			maps.DeleteFunc(ts.maps, func(_ uint64, m *mapped) bool { return !slices.Contains(ts.bare, m) })
		}
		m = &mapped{raw: slices.Clone(e.Body), tm: tm, wanted: ts.filter.Match(event.TableName{DB: tm.DB, Table: tm.Table})}
		ts.maps[id] = m
	}
	m.rows = false
	m.table = ts.all[event.TableName{DB: m.tm.DB, Table: m.tm.Table}]
	ts.bare = append(ts.bare, m)
	return nil
}

// owner is the table whose rows follow m, nil when it is not captured. One that the
// patterns take in and that is not known becomes known by its rows.
func (ts *tables) owner(m *mapped) *table {
	if m.table == nil && m.wanted && !seeded.On(seeded.LogTakenAtItsWord) {
		m.table = ts.at(event.TableName{DB: m.tm.DB, Table: m.tm.Table})
	}
	return m.table
}

// plan makes sure that m's decoder is for the table's present schema; seq is a number of
// the event that no row has.
func (ts *tables) plan(m *mapped, here place, seq event.Seq) bool {
	t := m.table
	if !t.defined() {
		ts.leaveOut(t, "rows of it came, which no statement of the log made known", seq)
		return false
	}
	if m.decoder != nil && m.schema == t.ev.Schema {
		return true
	}
	d, err := decode.NewDecoder(t.ev.Schema, m.tm, ts.server.maria, ts.lossy(t))
	switch {
	case err == nil:
		m.decoder, m.schema = d, t.ev.Schema
		return true
	case t.newer(here):
		// The definition was read from the server, and a statement ahead has made it what it
		// is: a snapshot behind that statement has these rows.
		t.skipTo, ts.changed = t.loadedAt, true
		ts.attempts.owe(t, "the table's definition is newer than its first rows")
	case errors.Is(err, decode.ErrMismatch):
		t.misfit = err.Error()
		ts.leaveOut(t, t.misfit, seq)
	default:
		ts.pause(t, pauseShape, err.Error())
	}
	return false
}

// cascaded gives fn the tables that were announced since the last call and had no rows: the
// trace that MariaDB leaves of changes made by a foreign key.
func (ts *tables) cascaded(fn func(*table)) {
	for _, m := range ts.bare {
		if !m.rows && m.table != nil && ts.cascades[m.table.name] && m.table.flowing() {
			fn(m.table)
		}
	}
	ts.bare = ts.bare[:0]
}

// forgetMaps is for a new connection, whose log announces tables anew.
func (ts *tables) forgetMaps() {
	clear(ts.maps)
	ts.bare = ts.bare[:0]
}

func tableID(b []byte) (id uint64) {
	for i := 5; i >= 0; i-- {
		id = id<<8 | uint64(b[i])
	}
	return id
}
