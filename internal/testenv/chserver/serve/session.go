package serve

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"

	"github.com/ClickHouse/ch-go/compress"

	"github.com/millrace/millrace/internal/testenv/chserver"
	"github.com/millrace/millrace/internal/testenv/chserver/engine"
	"github.com/millrace/millrace/internal/testenv/chserver/native"
	"github.com/millrace/millrace/internal/testenv/chserver/wire"
)

// Codes of errors that are raised here.
const (
	codeNoSuchColumn    = 16
	codeCannotReadBlock = 33
	codeNotImplemented  = 48
	codeSyntax          = 62
	codeUnknownPacket   = 99
	codeReadOnly        = 164
	codeQueryRuns       = 216
	codeAuthentication  = 516
)

// readBuffer is the size of the buffers that blocks are read from.
const readBuffer = 256 << 10

func failure(code int32, format string, args ...any) *engine.Error {
	return &engine.Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// session is one connection.
type session struct {
	server *Server
	socket net.Conn
	in     wire.Reader
	frames *bufio.Reader // decompressed
	out    *compress.Writer
	conn   *engine.Conn
	user   chserver.User
	// applied are the settings of the last query, which the next one begins by taking back.
	applied map[string]string
	block   []byte // reused
}

// session serves a connection to its end.
func (s *Server) session(ctx context.Context, socket net.Conn) error {
	in := bufio.NewReaderSize(socket, readBuffer)
	x := &session{server: s, socket: socket, in: wire.Reader{Reader: in},
		frames: bufio.NewReaderSize(compress.NewReader(in), readBuffer),
		out:    compress.NewWriter(compress.LevelZero, compress.LZ4), applied: map[string]string{}}
	defer func() {
		if x.conn != nil {
			x.conn.Close()
		}
	}()
	if err := x.greet(ctx); err != nil {
		return x.refuse(err)
	}
	for {
		packet, err := x.in.Packet()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case packet == wire.ClientPing:
			err = x.send(wire.Packet(nil).Pong())
		case packet == wire.ClientQuery:
			err = x.query(ctx)
		case packet == wire.ClientCancel: // of a query that has ended meanwhile
		default:
			err = x.refuse(failure(codeUnknownPacket, "Unknown packet %d from client", packet))
		}
		if err != nil {
			return err
		}
	}
}

func (x *session) send(p wire.Packet) error {
	_, err := x.socket.Write(p)
	return err
}

// refuse sends an error of the engine's form and returns it: the connection ends with it.
func (x *session) refuse(err error) error {
	var e *engine.Error
	if errors.As(err, &e) {
		return errors.Join(err, x.send(x.exception(e)))
	}
	return err
}

func (x *session) exception(e *engine.Error) wire.Packet {
	message := e.Message
	if rest, ok := strings.CutPrefix(message, engineUser+": "); ok && x.user.Name != "" {
		message = x.user.Name + ": " + rest
	}
	return wire.Packet(nil).Exception(e.Code, message)
}

// greet answers a hello. The database is chosen behind it, so that one that does not exist
// is the answer to the client's first question, as it is on a server.
func (x *session) greet(ctx context.Context) error {
	packet, err := x.in.Packet()
	if err != nil {
		return err
	}
	if packet != wire.ClientHello {
		return failure(codeUnknownPacket, "Unexpected packet %d from client: a hello is wanted", packet)
	}
	hello, err := x.in.Hello()
	if err != nil {
		return failure(codeUnknownPacket, "%s", err)
	}
	if hello.User == "" {
		hello.User = engineUser
	}
	hit := x.server.faults.strikes(request{kind: chserver.Connect, text: hello.Client})
	for _, point := range []chserver.Point{chserver.Begin, chserver.Received} {
		if err := x.server.faults.at(ctx, point, hit); err != nil {
			return err
		}
	}
	if x.user, err = x.server.authenticate(hello); err != nil {
		return err
	}
	if x.conn, err = x.server.engine.Connect(); err != nil {
		return err
	}
	if err := x.send(wire.Packet(nil).Hello(x.server.greeting)); err != nil {
		return err
	}
	if _, err := x.in.Name(); err != nil { // the quota's key
		return err
	}
	if err := x.become(); err != nil {
		return err
	}
	if hello.Database != "" {
		if _, err := x.conn.Query("USE "+backtick(hello.Database), "Null", nil, nil); err != nil {
			return err
		}
	}
	return x.server.faults.at(ctx, chserver.Landed, hit)
}

// authenticate finds the user of a hello.
func (s *Server) authenticate(hello wire.Hello) (chserver.User, error) {
	if len(s.users) == 0 {
		return chserver.User{Name: hello.User}, nil
	}
	for _, u := range s.users {
		if u.Name == hello.User && u.Password == hello.Password {
			return u, nil
		}
	}
	return chserver.User{}, failure(codeAuthentication,
		"%s: Authentication failed: password is incorrect, or there is no user with such name", hello.User)
}

// become gives the engine's session the privileges of its user.
func (x *session) become() error {
	var statements []string
	if len(x.user.Grants) > 0 {
		statements = append(statements, "SET ROLE "+backtick(roleOf(x.user.Name)))
	}
	if x.user.ReadOnly > 0 {
		// 2, since 1 would forbid what the server itself has to set; see settings.
		statements = append(statements, "SET readonly = 2")
	}
	for _, sql := range statements {
		if _, err := x.conn.Query(sql, "Null", nil, nil); err != nil {
			return err
		}
	}
	return nil
}

// query answers one query. The error is one that the connection ends with.
func (x *session) query(ctx context.Context) error {
	q, err := x.in.Query()
	if err != nil {
		return x.refuse(failure(codeUnknownPacket, "%s", err))
	}
	// Tables that come with the query would stand here; the last one is empty.
	if b, err := x.packet(q.Compressed); err != nil {
		return x.refuse(err)
	} else if len(b.Columns) > 0 {
		return x.refuse(failure(codeNotImplemented, "External tables are not served here"))
	}
	if q.ID == "" {
		q.ID = newUUID()
	}
	if !x.server.enter(q.ID, x.user.Name) {
		return x.send(x.exception(failure(codeQueryRuns, "Query with id = %s is already running", q.ID)))
	}
	defer x.server.leave(q.ID)
	err = x.run(ctx, q)
	var e *engine.Error
	if errors.As(err, &e) {
		return x.send(x.exception(e))
	}
	return err
}

// run runs a query that was read. An engine.Error is the client's, any other ends the connection.
func (x *session) run(ctx context.Context, q wire.Query) error {
	st := understand(q.Body, identity{user: x.user.Name, uuid: x.server.uuid, version: x.server.version, owners: x.server.owners()})
	var hit []*armed
	if x.server.faults.any() {
		r := request{kind: st.kind, text: q.Body}
		if st.kind == chserver.Insert {
			if st.table.database == "" {
				database, err := scalar(x.conn, "SELECT currentDatabase()")
				if err != nil {
					return err
				}
				st.table.database = database
			}
			r.table = st.table.database + "." + st.table.table
		}
		hit = x.server.faults.strikes(r)
	}
	if err := x.server.faults.at(ctx, chserver.Begin, hit); err != nil {
		return err
	}
	if n, err := x.conn.Statements(st.text); err != nil {
		return err
	} else if n > 1 {
		return failure(codeSyntax, "Syntax error (Multi-statements are not allowed): %s", st.text)
	}
	if err := x.settings(q); err != nil {
		return err
	}
	params, err := parameters(q.Parameters)
	if err != nil {
		return err
	}
	if st.data {
		return x.insert(ctx, q, st, params, hit)
	}
	if err := x.server.faults.at(ctx, chserver.Received, hit); err != nil {
		return err
	}
	return x.answer(ctx, q, st, params, hit)
}

// settings makes the session's settings those of the query.
func (x *session) settings(q wire.Query) error {
	wanted := map[string]string{}
	for _, s := range q.Settings {
		value := literal(s.Value)
		if s.Custom {
			value = literal(unquote(s.Value))
		}
		wanted[s.Key] = value
	}
	if x.user.ReadOnly == 1 {
		for key := range wanted {
			return failure(codeReadOnly, "Cannot modify '%s' setting in readonly mode", key)
		}
	}
	wanted["log_comment"] = literal(q.ID)
	var changes []string
	for key, value := range wanted {
		if x.applied[key] != value {
			changes = append(changes, backtick(key)+" = "+value)
		}
	}
	for key := range x.applied {
		if _, ok := wanted[key]; !ok {
			changes = append(changes, backtick(key)+" = DEFAULT")
		}
	}
	if len(changes) == 0 {
		return nil
	}
	if _, err := x.conn.Query("SET "+strings.Join(changes, ", "), "Null", nil, nil); err != nil {
		// Some may be in force, some not: all go back, as far as they exist.
		for key := range wanted {
			_, _ = x.conn.Query("SET "+backtick(key)+" = DEFAULT", "Null", nil, nil)
		}
		x.applied = map[string]string{}
		return err
	}
	x.applied = wanted
	return nil
}

// parameters takes the dumps of the values apart.
func parameters(pairs []wire.Pair) ([]engine.Param, error) {
	var params []engine.Param
	for _, p := range pairs {
		if len(p.Value) < 2 || p.Value[0] != '\'' {
			return nil, failure(codeUnknownPacket, "Parameter %s is not a text in quotes", p.Key)
		}
		params = append(params, engine.Param{Name: p.Key, Value: unquote(p.Value)})
	}
	return params, nil
}

// packet reads a packet of data.
func (x *session) packet(compressed bool) (native.Block, error) {
	packet, err := x.in.Packet()
	if err != nil {
		return native.Block{}, err
	}
	if packet != wire.ClientData {
		return native.Block{}, failure(codeUnknownPacket, "Unexpected packet %d from client: data is wanted", packet)
	}
	if _, err := x.in.Name(); err != nil {
		return native.Block{}, err
	}
	r := x.in.Reader
	if compressed {
		r = x.frames
	}
	b, err := native.FromWire(r, x.block[:0])
	if err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) || errors.Is(err, os.ErrDeadlineExceeded) {
			return b, err
		}
		return b, failure(codeCannotReadBlock, "Cannot read a block: %s", err)
	}
	x.block = b.Data
	return b, nil
}

// sendBlock sends a packet of data.
func (x *session) sendBlock(block []byte, compressed bool) error {
	if !compressed {
		return x.send(append(wire.Packet(nil).Data(), block...))
	}
	if err := x.out.Compress(block); err != nil {
		return err
	}
	return x.send(append(wire.Packet(nil).Data(), x.out.Data...))
}
