package serve

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/millrace/millrace/internal/testenv/chserver"
	"github.com/millrace/millrace/internal/testenv/chserver/engine"
	"github.com/millrace/millrace/internal/testenv/chserver/native"
	"github.com/millrace/millrace/internal/testenv/chserver/wire"
)

// errGone ends a connection whose client has cancelled or left.
var errGone = errors.New("the client cancelled, or closed the connection")

// answer runs a statement that takes no data and sends what it answers.
func (x *session) answer(ctx context.Context, q wire.Query, st statement, params []engine.Param, hit []*armed) error {
	start := time.Now()
	a := &answering{session: x, compressed: q.Compressed}
	stop := x.watch(q.ID)
	stats, err := a.run(st, params)
	gone := stop()
	if gone {
		return errGone
	}
	if err == nil {
		err = x.server.faults.at(ctx, chserver.Landed, hit)
	}
	if err != nil {
		return err
	}
	p := wire.Packet(nil)
	if a.rows > 0 || a.begun {
		p = p.Profile(a.rows, a.blocks, stats.BytesRead)
	}
	return x.send(p.Progress(stats.RowsRead, stats.BytesRead, stats.RowsWritten, stats.BytesWritten,
		uint64(time.Since(start))).EndOfStream())
}

// answering sends the blocks of an answer.
type answering struct {
	session      *session
	compressed   bool
	begun        bool // the head is sent
	rows, blocks uint64
}

func (a *answering) run(st statement, params []engine.Param) (stats engine.Stats, err error) {
	if st.verb == "KILL" {
		return a.kill(st, params)
	}
	run := a.session.conn.Query
	if st.kind == chserver.Select {
		run = a.session.conn.Select
	}
	stats, err = run(st.text, "Native", params, func(data []byte) error { return native.ToWire(data, a.block) })
	if err != nil || a.begun {
		return stats, err
	}
	columns, err := a.session.head(st, params)
	if err != nil || len(columns) == 0 {
		return stats, err
	}
	return stats, a.begin(columns)
}

// kill runs a KILL and answers with the client's ids and users where the engine has its own.
func (a *answering) kill(st statement, params []engine.Param) (engine.Stats, error) {
	conn, owners := a.session.conn, a.session.server.owners()
	ids := map[string]string{} // the clients', by the engine's
	if _, err := conn.Query("SELECT query_id, "+clientID+" FROM system.processes", "JSONCompactEachRow", nil, func(data []byte) error {
		rows, err := lines(data)
		for _, row := range rows {
			ids[row[0]] = row[1]
		}
		return err
	}); err != nil {
		return engine.Stats{}, err
	}
	var rows [][]string
	stats, err := conn.Query(st.text, "JSONCompactEachRowWithNames", params, func(data []byte) (err error) {
		rows, err = lines(data)
		return err
	})
	if err != nil {
		return stats, err
	}
	names := []string{"kill_status", "query_id", "user", "query"} // nothing is answered where nothing was found
	if len(rows) > 0 {
		names, rows = rows[0], rows[1:]
	}
	id, user := slices.Index(names, "query_id"), slices.Index(names, "user")
	for _, row := range rows {
		if id < 0 || user < 0 {
			break // another KILL
		}
		row[id] = cmp.Or(ids[row[id]], row[id])
		row[user] = cmp.Or(owners[row[id]], row[user])
	}
	a.begun, a.rows, a.blocks = true, uint64(len(rows)), 1
	return stats, a.session.sendBlock(native.Texts(names, rows), a.compressed)
}

func (a *answering) begin(columns []native.Column) error {
	a.begun = true
	return a.session.sendBlock(native.Empty(columns), a.compressed)
}

func (a *answering) block(b native.Block) error {
	if !a.begun {
		if err := a.begin(b.Columns); err != nil {
			return err
		}
	}
	if b.Rows == 0 {
		return nil
	}
	a.rows, a.blocks = a.rows+b.Rows, a.blocks+1
	return a.session.sendBlock(b.Data, a.compressed)
}

// head is the columns of an answer without rows; none for a statement that answers nothing.
func (x *session) head(st statement, params []engine.Param) ([]native.Column, error) {
	switch st.verb {
	case "SHOW", "DESCRIBE", "DESC", "EXPLAIN", "EXISTS", "CHECK":
		return x.namesAndTypes(st.text, params)
	}
	if st.kind != chserver.Select {
		return nil, nil
	}
	described, err := x.describe("DESCRIBE TABLE ("+st.text+"\n)", params)
	var columns []native.Column
	for _, d := range described {
		columns = append(columns, d.Column)
	}
	return columns, err
}

// namesAndTypes asks the statement again, in a format that has a head without rows.
func (x *session) namesAndTypes(sql string, params []engine.Param) (columns []native.Column, err error) {
	_, err = x.conn.Query(sql, "JSONCompactEachRowWithNamesAndTypes", params, func(data []byte) error {
		decoder := json.NewDecoder(bytes.NewReader(data)) // rows of other types than text may follow
		var names, types []string
		if err := errors.Join(decoder.Decode(&names), decoder.Decode(&types)); err != nil {
			return err
		}
		for i := range min(len(names), len(types)) {
			columns = append(columns, native.Column{Name: names[i], Type: types[i]})
		}
		return nil
	})
	return columns, err
}

// lines reads rows of texts.
func lines(data []byte) (rows [][]string, err error) {
	decoder := json.NewDecoder(bytes.NewReader(data))
	for decoder.More() {
		var row []string
		if err := decoder.Decode(&row); err != nil {
			return nil, err
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// described is a column as DESCRIBE TABLE says it.
type described struct {
	native.Column
	fallback string // DEFAULT, MATERIALIZED, ALIAS, EPHEMERAL or ""
}

func (x *session) describe(sql string, params []engine.Param) (columns []described, err error) {
	_, err = x.conn.Query(sql, "JSONCompactEachRow", params, func(data []byte) error {
		rows, err := lines(data)
		for _, row := range rows {
			if len(row) < 3 {
				return errors.New("DESCRIBE TABLE answers with fewer than three columns")
			}
			columns = append(columns, described{Column: native.Column{Name: row[0], Type: row[1]}, fallback: row[2]})
		}
		return err
	})
	return columns, err
}

// watch looks at the socket while a statement runs: a cancel, or the client's end, kills it.
// stop ends the watching and reports whether there was one.
func (x *session) watch(id string) (stop func() (gone bool)) {
	finished, settled := make(chan struct{}), make(chan struct{})
	gone := false
	go func() {
		defer close(settled)
		next, err := x.in.Peek(1)
		select {
		case <-finished: // the deadline that stop sets has woken this up
			gone = err == nil && next[0] == wire.ClientCancel
			return
		default:
		}
		if err == nil && next[0] != wire.ClientCancel {
			return
		}
		gone = true
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			x.server.kill(id)
			select {
			case <-finished:
				return
			case <-tick.C: // the engine may not have had it yet
			}
		}
	}()
	return func() bool {
		close(finished)
		_ = x.socket.SetReadDeadline(time.Unix(1, 0))
		<-settled
		_ = x.socket.SetReadDeadline(time.Time{})
		return gone
	}
}
