package mysql

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/millrace/millrace/pipeline/event"
)

// unsure is what is not certain of a table at the reader's place, and up to where. It is a
// part of the position: after a restart rows would be read under a definition that they need
// not have, and statements applied that are in it already.
type unsure struct {
	// loadedAt is the server's end when the definition was read from it: statements up to
	// there may be in it already.
	loadedAt place
	// skipTo is up to where rows are left out: a snapshot after it has them.
	skipTo place
	// blind says why rows are left out until the definition is known, and misfit in what
	// they did not fit the present one; an attempt follows.
	blind, misfit string
	// excused says that rows did not fit once though the server has the same definition: those
	// were from before its answer, and prove nothing.
	excused bool
	// assumed is a place behind that of a statement after which the server had the same
	// definition as before: up to it that is assumed of rows, which assumedRows says came.
	assumed     place
	assumedRows bool
}

// passed drops what the reader has passed.
func (u *unsure) passed(here place) {
	for _, p := range []*place{&u.loadedAt, &u.skipTo, &u.assumed} {
		if p.file != "" && here.file != "" && !here.less(*p) {
			*p = place{}
		}
	}
	u.assumedRows = u.assumedRows && u.assumed.file != ""
}

// elsewhere is what remains of it on another server, where places of this one's log mean
// nothing: what had one is not known.
func (u unsure) elsewhere() unsure {
	if u.blind == "" && (u.skipTo.file != "" || u.loadedAt.file != "" || u.assumedRows) {
		u.blind = "what it was where the reader stood is known by a place in another server's log alone"
	}
	return unsure{blind: u.blind, misfit: u.misfit, excused: u.excused}
}

// owed is an attempt that the source itself asks for and that has not begun. Behind says
// that one in progress is to end first.
type owed struct {
	Cause  string `json:"cause"`
	Behind bool   `json:"behind,omitempty"`
}

// tableJSON is a table of which something is unsure, or that has an attempt coming, as
// positions keep it.
type tableJSON struct {
	DB      string     `json:"db"`
	Table   string     `json:"table"`
	Loaded  *placeJSON `json:"loaded,omitempty"`
	Skip    *placeJSON `json:"skip,omitempty"`
	Blind   string     `json:"blind,omitempty"`
	Misfit  string     `json:"misfit,omitempty"`
	Excused bool       `json:"excused,omitempty"`
	Assumed *placeJSON `json:"assumed,omitempty"`
	Rows    bool       `json:"rows,omitempty"`
	Owed    *owed      `json:"owed,omitempty"`
}

type placeJSON struct {
	File string `json:"file"`
	Pos  uint64 `json:"pos"`
}

func writtenPlace(p place) *placeJSON {
	if p.file == "" {
		return nil
	}
	return &placeJSON{File: p.file, Pos: p.pos}
}

// place is what was written; one without a file is none.
func (p *placeJSON) place() place {
	if p == nil || p.File == "" {
		return place{}
	}
	return place{file: p.File, pos: p.Pos}
}

// parseUnsure reads what a position says of tables; "" is nothing.
func parseUnsure(text string) (map[event.TableName]unsure, map[event.TableName]owed, error) {
	all, due := map[event.TableName]unsure{}, map[event.TableName]owed{}
	if text == "" {
		return all, due, nil
	}
	var list []tableJSON
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		return nil, nil, fmt.Errorf("position: what it says of tables: %w", err)
	}
	for _, j := range list {
		name := event.TableName{DB: j.DB, Table: j.Table}
		u := unsure{loadedAt: j.Loaded.place(), skipTo: j.Skip.place(), blind: j.Blind, misfit: j.Misfit, excused: j.Excused,
			assumed: j.Assumed.place(), assumedRows: j.Rows && j.Assumed.place().file != ""}
		if u != (unsure{}) {
			all[name] = u
		}
		if j.Owed != nil {
			due[name] = *j.Owed
		}
	}
	return all, due, nil
}

// inPosition is what a position at here says of tables.
func (ts *tables) inPosition(here place) string {
	if !ts.changed && (ts.until.file == "" || here.less(ts.until)) {
		return ts.text
	}
	ts.changed, ts.until = false, place{}
	var list []tableJSON
	owed := ts.attempts.owed()
	for name, t := range ts.all {
		due, u := owed[name], t.unsure
		u.passed(here)
		for _, p := range []place{u.loadedAt, u.skipTo, u.assumed} {
			if p.file != "" && (ts.until.file == "" || p.less(ts.until)) {
				ts.until = p
			}
		}
		if u == (unsure{}) && due == nil {
			continue
		}
		list = append(list, tableJSON{DB: name.DB, Table: name.Table, Loaded: writtenPlace(u.loadedAt), Skip: writtenPlace(u.skipTo),
			Blind: u.blind, Misfit: u.misfit, Excused: u.excused, Assumed: writtenPlace(u.assumed), Rows: u.assumedRows, Owed: due})
	}
	slices.SortFunc(list, func(a, b tableJSON) int {
		return cmp.Or(strings.Compare(a.DB, b.DB), strings.Compare(a.Table, b.Table))
	})
	ts.text = ""
	if len(list) > 0 {
		b, err := json.Marshal(list)
		if err != nil {
			panic("BUG: tables that JSON cannot hold: " + err.Error())
		}
		ts.text = string(b)
	}
	return ts.text
}

// takeUp puts tables where the position says they are, on the same server or another.
func (ts *tables) takeUp(all map[event.TableName]unsure, other bool) {
	for name, u := range all {
		t := ts.all[name]
		if t == nil || t.paused != nil {
			continue // resuming a paused table reads everything anew
		}
		if other {
			u = u.elsewhere()
		}
		t.unsure = u
		if t.blind == "" {
			continue
		}
		if t.defined() { // the records do not know of one that is unsure only here
			ts.tellDue(t, t.blind)
		}
		ts.audits.inquire(name, t.blind)
	}
	ts.changed = true
}

// tellDue tells that an attempt of the table is owed: until it has ended the table is not
// whole.
func (ts *tables) tellDue(t *table, cause string) {
	ts.ground.emit(event.Item{Kind: event.KindDue, Seq: ts.ground.number(), Table: t.named(),
		Attempt: &event.Attempt{Table: t.name, Cause: cause}})
}
