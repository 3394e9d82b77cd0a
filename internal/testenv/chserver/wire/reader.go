package wire

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Revision is the protocol's revision that a server announces.
const Revision = 54460

// oldest is the first revision with everything that is read here.
const oldest = 54459

// Limits on what a client may send.
const (
	maxText  = 64 << 20 // a statement, a value
	maxName  = 1 << 16  // a user, a database, a setting's name
	maxPairs = 1 << 12  // settings, parameters
)

// Packets of a client.
const (
	ClientHello  = 0
	ClientQuery  = 1
	ClientData   = 2
	ClientCancel = 3
	ClientPing   = 4
)

// Reader reads from a connection. Blocks are read from the same bufio.Reader between its calls.
type Reader struct{ *bufio.Reader }

func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// Packet reads the number of the next packet; io.EOF is the client's end.
func (r Reader) Packet() (uint64, error) { return binary.ReadUvarint(r) }

func (r Reader) number() (uint64, error) {
	n, err := binary.ReadUvarint(r)
	return n, unexpected(err)
}

// text reads a string of a limited length.
func (r Reader) text(limit uint64) (string, error) {
	n, err := r.number()
	if err != nil {
		return "", err
	}
	if n > limit {
		return "", fmt.Errorf("a text of %d bytes: %d are the limit", n, limit)
	}
	var b []byte
	for n > 0 {
		at := len(b)
		b = append(b, make([]byte, min(n, 64<<10))...)
		if _, err := io.ReadFull(r, b[at:]); err != nil {
			return "", unexpected(err)
		}
		n -= uint64(len(b) - at)
	}
	return string(b), nil
}

// Name reads a short text.
func (r Reader) Name() (string, error) { return r.text(maxName) }

// Hello is how a client introduces itself.
type Hello struct {
	Client                   string
	Major, Minor, Revision   uint64
	Database, User, Password string
}

// Hello reads what follows the packet's number.
func (r Reader) Hello() (h Hello, err error) {
	if err := r.all(text(&h.Client), number(&h.Major), number(&h.Minor), number(&h.Revision),
		text(&h.Database), text(&h.User), text(&h.Password)); err != nil {
		return h, fmt.Errorf("hello: %w", err)
	}
	if h.Revision < oldest {
		return h, fmt.Errorf("the client speaks revision %d: %d is the oldest that is served", h.Revision, oldest)
	}
	return h, nil
}

// Pair is a setting or a parameter.
type Pair struct {
	Key, Value string
	Custom     bool // Value is a dump of a field, in quotes
}

// Query is a statement as a client sends it.
type Query struct {
	ID         string
	Client     string
	Settings   []Pair
	Compressed bool
	Body       string
	Parameters []Pair
}

// Query reads what follows the packet's number.
func (r Reader) Query() (q Query, err error) {
	var skip string
	var stage, compressed uint64
	if err := r.all(text(&q.ID), r.clientInfo(&q)); err != nil {
		return q, fmt.Errorf("query: %w", err)
	}
	if q.Settings, err = r.pairs(); err != nil {
		return q, fmt.Errorf("settings: %w", err)
	}
	if err := r.all(text(&skip), number(&stage), number(&compressed)); err != nil {
		return q, fmt.Errorf("query: %w", err)
	}
	q.Compressed = compressed != 0
	if q.Body, err = r.text(maxText); err != nil {
		return q, fmt.Errorf("statement: %w", err)
	}
	if q.Parameters, err = r.pairs(); err != nil {
		return q, fmt.Errorf("parameters: %w", err)
	}
	return q, nil
}

// pairs reads up to the one without name.
func (r Reader) pairs() ([]Pair, error) {
	var pairs []Pair
	for {
		key, err := r.Name()
		if err != nil || key == "" {
			return pairs, err
		}
		if len(pairs) == maxPairs {
			return nil, fmt.Errorf("more than %d", maxPairs)
		}
		flags, err := r.number()
		if err != nil {
			return nil, err
		}
		value, err := r.text(maxText)
		if err != nil {
			return nil, err
		}
		const custom = 2
		pairs = append(pairs, Pair{Key: key, Value: value, Custom: flags&custom != 0})
	}
}

// field reads one value.
type field func(Reader) error

func (r Reader) all(fields ...field) error {
	for _, f := range fields {
		if err := f(r); err != nil {
			return err
		}
	}
	return nil
}

func text(to *string) field {
	return func(r Reader) (err error) { *to, err = r.Name(); return err }
}

func number(to *uint64) field {
	return func(r Reader) (err error) { *to, err = r.number(); return err }
}

func bytes(n int) field {
	return func(r Reader) error { _, err := r.Discard(n); return unexpected(err) }
}

const (
	kindNone     = 0
	interfaceTCP = 1
)

// clientInfo reads who asks: kind, first user, first query, address, time, interface, names,
// versions, quota, depth, trace, replicas.
func (r Reader) clientInfo(q *Query) field {
	var skip string
	var n uint64
	return func(Reader) error {
		kind, err := r.ReadByte()
		if err != nil || kind == kindNone {
			return unexpected(err)
		}
		if err := r.all(text(&skip), text(&skip), text(&skip), bytes(8)); err != nil {
			return err
		}
		by, err := r.ReadByte()
		if err != nil {
			return unexpected(err)
		}
		if by != interfaceTCP {
			return fmt.Errorf("interface %d: only TCP's is known", by)
		}
		if err := r.all(text(&skip), text(&skip), text(&q.Client), number(&n), number(&n), number(&n),
			text(&skip), number(&n), number(&n)); err != nil {
			return err
		}
		traced, err := r.ReadByte()
		if err != nil {
			return unexpected(err)
		}
		if traced != 0 {
			if err := r.all(bytes(16+8), text(&skip), bytes(1)); err != nil {
				return err
			}
		}
		return r.all(number(&n), number(&n), number(&n))
	}
}
