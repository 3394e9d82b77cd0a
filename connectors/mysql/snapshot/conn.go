package snapshot

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/go-mysql-org/go-mysql/client"
	"github.com/go-mysql-org/go-mysql/mysql"
	perrors "github.com/pingcap/errors"

	"github.com/millrace/millrace/connectors/mysql/account"
	"github.com/millrace/millrace/internal/seeded"
)

// Options say whom to ask.
type Options struct{ Account account.Account }

// Conn is a connection that reads rows as the server sends them. One goroutine uses it,
// except for Close.
type Conn struct{ c *client.Conn }

// Dial connects and sets what the texts of values depend on.
func Dial(ctx context.Context, o Options) (*Conn, error) {
	c, err := o.Account.Conn(ctx, func(c *client.Conn) error {
		c.BufferSize = 64 << 10
		c.UnsetCapability(mysql.CLIENT_DEPRECATE_EOF)
		c.UnsetCapability(mysql.CLIENT_QUERY_ATTRIBUTES)
		return nil
	})
	if err != nil {
		return nil, err
	}
	conn := &Conn{c: c}
	session := slices.Clone(account.Session)
	if seeded.On(seeded.ChunkCutShort) {
		session = session[:2] // all else is as the server has it
	}
	// Texts come in the charset of their column, and are converted here as those of the log.
	for _, s := range append(session, "SET SESSION character_set_results=NULL") {
		if err := conn.Exec(ctx, s); err != nil {
			conn.Close()
			return nil, err
		}
	}
	return conn, nil
}

// Close ends the connection, and with it what it has open. Any goroutine may call it.
func (c *Conn) Close() { c.c.Conn.Conn.Close() }

// guard ends the connection with ctx.
func (c *Conn) guard(ctx context.Context) func() bool {
	return context.AfterFunc(ctx, func() { c.c.Conn.Conn.Close() })
}

// Exec runs a statement.
func (c *Conn) Exec(ctx context.Context, statement string) error {
	_, err := c.Row(ctx, statement)
	return err
}

// Row runs a statement and returns the first row's texts, NULL as "".
func (c *Conn) Row(ctx context.Context, statement string) ([]string, error) {
	var out []string
	err := c.Rows(ctx, statement, func(vals [][]byte) error {
		if out == nil {
			for _, v := range vals {
				out = append(out, string(v))
			}
		}
		return nil
	})
	return out, err
}

// ErrStop ends Rows early; the connection must be closed then.
var ErrStop = errors.New("enough rows")

// Rows runs a statement and gives fn each row: a text a column, nil for NULL, valid
// until fn returns.
func (c *Conn) Rows(ctx context.Context, statement string, fn func(vals [][]byte) error) error {
	defer c.guard(ctx)()
	err := c.rows(statement, fn)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil && !errors.Is(err, ErrStop) {
		return fmt.Errorf("%s: %w", clip(statement), perrors.Cause(err))
	}
	return err
}

func clip(s string) string {
	if len(s) > 200 {
		return s[:200] + "…"
	}
	return s
}

// rows speaks the text protocol.
func (c *Conn) rows(statement string, fn func([][]byte) error) error {
	c.c.ResetSequence()
	packet := append(make([]byte, 4, 5+len(statement)), mysql.COM_QUERY)
	if err := c.c.WritePacket(append(packet, statement...)); err != nil {
		return err
	}
	head, err := c.c.ReadPacket()
	switch {
	case err != nil:
		return err
	case len(head) == 0:
		return mysql.ErrMalformPacket
	case head[0] == mysql.ERR_HEADER:
		return c.c.HandleErrorPacket(head)
	case head[0] == mysql.OK_HEADER:
		return nil
	}
	columns, _, n := mysql.LengthEncodedInt(head)
	if n != len(head) || columns == 0 || columns > 4096 {
		return mysql.ErrMalformPacket
	}
	for range columns + 1 { // the definitions and an EOF
		p, err := c.c.ReadPacket()
		if err != nil {
			return err
		}
		if len(p) > 0 && p[0] == mysql.ERR_HEADER {
			return c.c.HandleErrorPacket(p)
		}
	}
	vals := make([][]byte, columns)
	buf := make([]byte, 0, 64<<10)
	for {
		p, err := c.c.ReadPacketReuseMem(buf[:0])
		switch {
		case err != nil:
			return err
		case len(p) == 0:
			return mysql.ErrMalformPacket
		case p[0] == mysql.EOF_HEADER && len(p) <= 5:
			return nil
		case p[0] == mysql.ERR_HEADER:
			return c.c.HandleErrorPacket(p)
		}
		if err := split(p, vals); err != nil {
			return err
		}
		if err := fn(vals); err != nil {
			return err
		}
	}
}

// split finds the texts in a row's packet.
func split(p []byte, vals [][]byte) error {
	for i := range vals {
		if len(p) == 0 {
			return mysql.ErrMalformPacket
		}
		if p[0] == 0xfb {
			vals[i], p = nil, p[1:]
			continue
		}
		size, head := uint64(p[0]), 1
		switch p[0] {
		case 0xfc:
			head = 3
		case 0xfd:
			head = 4
		case 0xfe:
			head = 9
		case 0xff:
			return mysql.ErrMalformPacket
		}
		if len(p) < head {
			return mysql.ErrMalformPacket
		}
		if head > 1 {
			size = 0
			for k := head - 1; k > 0; k-- {
				size = size<<8 | uint64(p[k])
			}
		}
		if size > uint64(len(p)-head) {
			return mysql.ErrMalformPacket
		}
		end := head + int(size)
		vals[i], p = p[head:end:end], p[end:]
	}
	if len(p) != 0 {
		return mysql.ErrMalformPacket
	}
	return nil
}
