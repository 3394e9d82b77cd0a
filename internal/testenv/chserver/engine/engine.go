package engine

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"unsafe"
)

// Engine is a running ClickHouse.
type Engine struct {
	lib  *library
	args []string

	mu    sync.Mutex
	spare uintptr // an open connection: the last one that closes stops the engine
}

// Open loads the library at path and starts ClickHouse on dir with a configuration file.
// Only one is open in a process.
func Open(path, dir, config string) (*Engine, error) {
	// A directory without this one made DROP … SYNC wait forever in releases before 26.7.
	if err := os.MkdirAll(filepath.Join(dir, "metadata"), 0o755); err != nil {
		return nil, err
	}
	kept, err := keepHandlers()
	if err != nil {
		return nil, err
	}
	lib, err := load(path)
	if err != nil {
		return nil, err
	}
	e := &Engine{lib: lib, args: []string{"clickhouse", "--path=" + dir, "--config-file=" + config}}
	spare, err := e.connect()
	if err != nil {
		return nil, err
	}
	e.spare = spare
	return e, kept.restore()
}

func (e *Engine) connect(more ...string) (uintptr, error) {
	var pin runtime.Pinner
	defer pin.Unpin()
	conn := e.lib.connect(arguments(&pin, append(e.args[:len(e.args):len(e.args)], more...)))
	if conn == 0 {
		return 0, fmt.Errorf("ClickHouse did not start with %q: the reason is in its log; another process may use the directory", e.args[1:])
	}
	return conn, nil
}

// Version is the library's own version.
func (e *Engine) Version() string { return text(e.lib.version()) }

// Connect opens a session.
func (e *Engine) Connect(more ...string) (*Conn, error) {
	conn, err := e.connect(more...)
	if err != nil {
		return nil, err
	}
	return &Conn{lib: e.lib, outer: conn, conn: *(*uintptr)(foreign(conn))}, nil
}

// Close stops ClickHouse, when every other connection is closed.
func (e *Engine) Close() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.spare != 0 {
		e.lib.closeConn(e.spare)
		e.spare = 0
	}
}

// Conn is a session.
type Conn struct {
	lib   *library
	outer uintptr // what closes it
	conn  uintptr // what statements take
}

// Close ends the session. No statement may be running.
func (c *Conn) Close() {
	if c.outer != 0 {
		c.lib.closeConn(c.outer)
		c.outer, c.conn = 0, 0
	}
}

// Stats are what a statement has read and written.
type Stats struct{ RowsRead, BytesRead, RowsWritten, BytesWritten uint64 }

// take copies a result's numbers and hands its bytes to use, then frees it.
func (c *Conn) take(result uintptr, use func(data []byte) error) (Stats, error) {
	if result == 0 {
		return Stats{}, errors.New("the library returned nothing")
	}
	defer c.lib.destroyResult(result)
	if e := text(c.lib.resultError(result)); e != "" {
		return Stats{}, parseError(e)
	}
	s := Stats{c.lib.rowsRead(result), c.lib.bytesRead(result), c.lib.rowsWritten(result), c.lib.bytesWritten(result)}
	n := c.lib.length(result)
	if n == 0 || use == nil {
		return s, nil
	}
	return s, use(unsafe.Slice((*byte)(foreign(c.lib.buffer(result))), n))
}

// Query runs one statement to its end and hands what it answers to use, in the format of
// that name; use gets no call for an empty answer, and may not keep the bytes.
func (c *Conn) Query(sql, format string, params []Param, use func(data []byte) error) (Stats, error) {
	call := newCall(sql, format, params)
	defer call.unpin()
	return c.take(c.lib.query(c.conn, call.sql, call.sqlLen, call.format, call.formatLen,
		call.names, call.nameLens, call.values, call.valueLens, call.count), use)
}

// Select runs a SELECT and hands each block of the answer to use as it comes. An error of
// use ends the statement.
func (c *Conn) Select(sql, format string, params []Param, use func(data []byte) error) (Stats, error) {
	call := newCall(sql, format, params)
	defer call.unpin()
	stream := c.lib.stream(c.conn, call.sql, call.sqlLen, call.format, call.formatLen,
		call.names, call.nameLens, call.values, call.valueLens, call.count)
	if stream == 0 {
		return Stats{}, errors.New("the library returned nothing")
	}
	defer c.lib.destroyResult(stream)
	if e := text(c.lib.resultError(stream)); e != "" {
		return Stats{}, parseError(e)
	}
	var total Stats
	for {
		more := false
		s, err := c.take(c.lib.fetch(c.conn, stream), func(data []byte) error {
			more = true
			return use(data)
		})
		total.RowsRead, total.BytesRead = total.RowsRead+s.RowsRead, total.BytesRead+s.BytesRead
		if err != nil {
			c.lib.cancelStream(c.conn, stream)
			return total, err
		}
		if !more {
			return total, nil
		}
	}
}

// Insert is an INSERT that takes its data piece by piece. Nothing else runs on its
// connection meanwhile. Done or Cancel ends it.
type Insert struct {
	conn   *Conn
	handle uintptr
}

// Insert begins an INSERT, named without FORMAT and data.
func (c *Conn) Insert(sql, format string, params []Param) (*Insert, error) {
	call := newCall(sql, format, params)
	defer call.unpin()
	i := &Insert{conn: c, handle: c.lib.insert(c.conn, call.sql, call.sqlLen, call.format, call.formatLen,
		call.names, call.nameLens, call.values, call.valueLens, call.count)}
	if e := text(c.lib.insertError(i.handle)); e != "" {
		c.lib.destroyInsert(i.handle)
		return nil, parseError(e)
	}
	return i, nil
}

// Append hands over data, and reports whether the engine still takes any: why not, says Done.
func (i *Insert) Append(data []byte) bool {
	if len(data) == 0 {
		return true
	}
	var pin runtime.Pinner
	defer pin.Unpin()
	pin.Pin(&data[0])
	return i.conn.lib.appendData(i.handle, unsafe.Pointer(&data[0]), uintptr(len(data))) == 0
}

// Done commits.
func (i *Insert) Done() (Stats, error) {
	defer i.conn.lib.destroyInsert(i.handle)
	return i.conn.take(i.conn.lib.insertDone(i.handle), nil)
}

// Cancel gives up what is not committed yet.
func (i *Insert) Cancel() {
	i.conn.lib.cancelInsert(i.handle)
	i.conn.lib.destroyInsert(i.handle)
}

// Statements is how many statements a text holds. A text that does not parse may count as one.
func (c *Conn) Statements(sql string) (int, error) {
	call := newCall(sql, "", nil)
	defer call.unpin()
	analysis := [4]uint32{16}
	var pin runtime.Pinner
	defer pin.Unpin()
	pin.Pin(&analysis)
	if c.lib.classify(c.conn, call.sql, call.sqlLen, nil, 0, unsafe.Pointer(&analysis)) != 0 {
		return 0, errors.New("the library could not classify a statement")
	}
	return int(analysis[1]), nil
}
