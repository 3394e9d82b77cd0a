package account

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/go-mysql-org/go-mysql/client"

	"github.com/millrace/millrace/pipeline"
)

// Server is the one server that the connections of an Account lead to. An address may
// stand for several (a virtual address, a proxy, a service), and may stand for another one
// after a switchover while connections of before go on: answers of two servers do not
// belong together. The first connection says which server it is, unless To said it; each
// later one proves it before it is used, and is closed if it can't.
//
// What stands between must keep a connection with one server: a proxy that sends the
// statements of one connection to several is not seen through.
type Server struct {
	strayed func(error)

	mu       sync.Mutex
	identity string
	question int // that was answered last
}

// NewServer makes a Server that is not known yet. strayed, which may be nil, is told of
// each connection that was closed for the sake of it, on the goroutine that asked for one.
func NewServer(strayed func(error)) *Server { return &Server{strayed: strayed} }

// To says which server it is, by its Identity as another one told it.
func (s *Server) To(identity string) {
	s.mu.Lock()
	s.identity = identity
	s.mu.Unlock()
}

// Identity is server_uuid, or MariaDB's server_uid and server_id; servers older than 10.11
// or so have no uid and are known by their GTID domain. It is "" before the first
// connection.
func (s *Server) Identity() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.identity
}

// identityQuestions are those that some kind of server answers.
var identityQuestions = []string{
	"SELECT @@GLOBAL.server_uuid",
	"SELECT CONCAT(IF(@@GLOBAL.server_uid<>'', @@GLOBAL.server_uid, @@GLOBAL.gtid_domain_id),'/',@@GLOBAL.server_id)",
	"SELECT CONCAT(@@GLOBAL.gtid_domain_id,'/',@@GLOBAL.server_id)",
}

// unknownVariable is the refusal of a question that is for another kind of server.
const unknownVariable = 1193

// prove asks the server at the end of a connection who it is; ask runs a question of one
// text. A nil Server takes any.
func (s *Server) prove(address string, ask func(question string) (string, error)) error {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	first := s.question
	s.mu.Unlock()
	var got string
	var err error
	at := first
	for i := range identityQuestions {
		at = (first + i) % len(identityQuestions)
		if got, err = ask(identityQuestions[at]); Refused(err) != unknownVariable {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("ask %s which server it is: %w", address, err)
	}
	s.mu.Lock()
	if s.identity == "" {
		s.identity, s.question = got, at
	}
	want := s.identity
	s.mu.Unlock()
	if got == want {
		return nil
	}
	err = fmt.Errorf("%w: it is %s at %s, and was %s", pipeline.ErrStrayed, got, address, want)
	if s.strayed != nil {
		s.strayed(err)
	}
	return err
}

// ofDriver asks over a connection of the driver.
func ofDriver(ctx context.Context, conn driver.Conn) func(string) (string, error) {
	return func(question string) (text string, err error) {
		rows, err := conn.(driver.QueryerContext).QueryContext(ctx, question, nil)
		if err != nil {
			return "", err
		}
		defer func() { err = errors.Join(err, rows.Close()) }()
		row := make([]driver.Value, len(rows.Columns()))
		if err := rows.Next(row); err != nil {
			return "", err
		}
		if b, ok := row[0].([]byte); ok {
			text = strings.Clone(string(b))
		}
		if err := rows.Next(row); err != io.EOF {
			return "", errors.Join(errors.New("more than one row"), err)
		}
		return text, nil
	}
}

// ofConn asks over a connection of the library that speaks the protocol's commands.
func ofConn(conn *client.Conn) func(string) (string, error) {
	return func(question string) (string, error) {
		r, err := conn.Execute(question)
		if err != nil {
			return "", err
		}
		defer r.Close()
		return r.GetString(0, 0)
	}
}
