package serve

import (
	"context"
	"errors"
	"strings"

	"github.com/millrace/millrace/internal/testenv/chserver"
	"github.com/millrace/millrace/internal/testenv/chserver/engine"
	"github.com/millrace/millrace/internal/testenv/chserver/native"
	"github.com/millrace/millrace/internal/testenv/chserver/wire"
)

// insert answers with the head of the table, takes blocks up to an empty one, and commits.
func (x *session) insert(ctx context.Context, q wire.Query, st statement, params []engine.Param, hit []*armed) error {
	if st.foreign {
		return failure(codeNotImplemented, "INSERT with blocks of a format other than Native is not served here")
	}
	if st.table.table == "" {
		return failure(codeNotImplemented, "INSERT of blocks into what is not a table by name is not served here")
	}
	table, err := x.describe("DESCRIBE TABLE "+st.table.String(), nil)
	if err != nil {
		return err
	}
	head, err := insertHead(st, table)
	if err != nil {
		return err
	}
	// Begun before the head is sent: what the engine refuses by name, the client hears at once.
	insert, err := x.conn.Insert(st.text, "Native", params)
	if err != nil {
		return err
	}
	p := wire.Packet(nil).TableColumns(columnsDescription(table))
	if err := errors.Join(x.send(p), x.sendBlock(native.Empty(head), q.Compressed)); err != nil {
		insert.Cancel()
		return err
	}
	if err := x.receive(insert, q.Compressed); err != nil {
		insert.Cancel()
		return x.broken(err)
	}
	if err := x.server.faults.at(ctx, chserver.Received, hit); err != nil {
		insert.Cancel()
		return err
	}
	if _, err := insert.Done(); err != nil {
		return err
	}
	if err := x.server.faults.at(ctx, chserver.Landed, hit); err != nil {
		return err
	}
	return x.send(wire.Packet(nil).EndOfStream()) // without progress, as a server
}

// broken is how a connection ends whose data could not be read to the end: the client is told,
// and no further packet can be found.
func (x *session) broken(err error) error {
	var e *engine.Error
	if errors.As(err, &e) {
		return errors.Join(errors.New(e.Error()), x.send(x.exception(e)))
	}
	return err
}

// receive hands blocks to the engine. One that takes no more has an error, which the commit
// will say; the client's blocks are read to the end all the same.
func (x *session) receive(insert *engine.Insert, compressed bool) error {
	takes := true
	for {
		b, err := x.packet(compressed)
		if err != nil {
			return err
		}
		if len(b.Columns) == 0 {
			return nil
		}
		if takes {
			takes = insert.Append(b.Data)
		}
	}
}

// insertHead is the columns that the client has to send: those that it named, in its order,
// or all that can be written.
func insertHead(st statement, table []described) ([]native.Column, error) {
	var head []native.Column
	if len(st.columns) == 0 {
		for _, c := range table {
			if c.fallback == "" || c.fallback == "DEFAULT" {
				head = append(head, c.Column)
			}
		}
		return head, nil
	}
	byName := map[string]described{}
	for _, c := range table {
		byName[c.Name] = c
	}
	for _, name := range st.columns {
		c, ok := byName[name]
		if !ok {
			return nil, failure(codeNoSuchColumn, "No such column %s in table %s (%s)", name, st.table.database+"."+st.table.table,
				strings.Join(names(table), ", "))
		}
		head = append(head, c.Column)
	}
	return head, nil
}

func names(columns []described) []string {
	var list []string
	for _, c := range columns {
		list = append(list, c.Name)
	}
	return list
}

// columnsDescription is the text that a server sends with a table's head.
func columnsDescription(columns []described) string {
	var b strings.Builder
	b.WriteString("columns format version: 1\n")
	for _, c := range columns {
		b.WriteString(backtick(c.Name) + " " + c.Type + "\n")
	}
	return b.String()
}
