package account

import (
	"context"
	"crypto/tls"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/go-mysql-org/go-mysql/client"
	perrors "github.com/pingcap/errors"

	mysqldriver "github.com/go-sql-driver/mysql"
)

// Account is a server and a user of it. The zero TLS is disabled.
type Account struct {
	Address  string // host:port, or the path of a unix socket
	User     string
	Password string
	TLS      TLS
	// Server is the one that every connection must lead to; nil is any.
	Server *Server
	// Dial opens the connection below everything; nil is a net.Dialer.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// DB is a pool of connections for questions. setup may change what the driver is
// configured with. Nothing is connected yet.
func (a *Account) DB(setup func(*mysqldriver.Config)) (*sql.DB, error) {
	cfg := mysqldriver.NewConfig()
	cfg.Net, cfg.Addr, cfg.User, cfg.Passwd = a.network(), a.Address, a.User, a.Password
	cfg.Logger = &mysqldriver.NopLogger{}
	if setup != nil {
		setup(cfg)
	}
	if _, err := mysqldriver.NewConnector(cfg); err != nil {
		return nil, fmt.Errorf("connect to %s: %w", a.Address, err)
	}
	return sql.OpenDB(&connector{account: *a, cfg: cfg, patience: connectTimeout}), nil
}

// connector makes each connection with the files as they are then.
type connector struct {
	account  Account
	cfg      *mysqldriver.Config
	patience time.Duration // with a server that takes the connection
}

// Driver implements driver.Connector.
func (c *connector) Driver() driver.Driver { return mysqldriver.MySQLDriver{} }

// Connect implements driver.Connector.
func (c *connector) Connect(ctx context.Context) (driver.Conn, error) {
	conf, err := c.account.TLS.config(c.account.Address)
	if err != nil {
		return nil, err
	}
	seen := &greeting{}
	cfg := c.cfg.Clone()
	cfg.TLS, cfg.AllowFallbackToPlaintext = conf, c.account.TLS.Mode == Preferred
	cfg.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		return c.account.dial(ctx, network, address, seen)
	}
	made, err := mysqldriver.NewConnector(cfg)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", c.account.Address, err)
	}
	bounded, cancel := context.WithTimeout(ctx, c.patience)
	defer cancel()
	conn, err := c.made(bounded, made, seen)
	if err != nil && bounded.Err() != nil && ctx.Err() == nil {
		return nil, fmt.Errorf("the server at %s said nothing for %s while a connection was made; see whether it is frozen: %w",
			c.account.Address, c.patience, err)
	}
	return conn, err
}

// handshakes is how many are made where the driver does not understand one.
const handshakes = 4

// made is a connection that has proven where it leads, with its session set up.
func (c *connector) made(ctx context.Context, with driver.Connector, seen *greeting) (driver.Conn, error) {
	conn, err := with.Connect(ctx)
	// Of what the server wants signed the driver takes a last byte 0 for the text's end: with
	// ed25519 it refuses one handshake in 256, and the next has other bytes.
	for range handshakes - 1 {
		if errors.Is(err, mysqldriver.ErrMalformPkt) {
			conn, err = with.Connect(ctx)
		}
	}
	if err != nil {
		return nil, c.account.explain(err, seen)
	}
	if err := c.account.Server.prove(c.account.Address, ofDriver(ctx, conn)); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	if err := settle(ctx, conn); err != nil {
		return nil, err
	}
	return conn, nil
}

// Conn is one connection of the library that speaks the protocol's commands. setup runs
// before the handshake.
func (a *Account) Conn(ctx context.Context, setup func(*client.Conn) error) (*client.Conn, error) {
	conf, err := a.TLS.config(a.Address)
	if err != nil {
		return nil, err
	}
	seen := &greeting{}
	conn, err := a.conn(ctx, setup, conf, seen)
	if err != nil && conf != nil && a.TLS.Mode == Preferred && seen.offer == offersNone {
		conn, err = a.conn(ctx, setup, nil, seen)
	}
	if err != nil {
		return nil, fmt.Errorf("connect to %s as %s: %w", a.Address, a.User, a.explain(perrors.Cause(err), seen))
	}
	if err := a.proven(ctx, conn); err != nil {
		conn.Conn.Conn.Close()
		return nil, errors.Join(context.Cause(ctx), err)
	}
	return conn, nil
}

// proven has the connection's server prove who it is.
func (a *Account) proven(ctx context.Context, conn *client.Conn) error {
	if a.Server == nil {
		return nil
	}
	defer context.AfterFunc(ctx, func() { conn.Conn.Conn.Close() })()
	if err := conn.SetDeadline(time.Now().Add(proofTimeout)); err != nil {
		return err
	}
	if err := a.Server.prove(a.Address, ofConn(conn)); err != nil {
		return err
	}
	return conn.SetDeadline(time.Time{})
}

// connectTimeout bounds the wait for a pool's connection, its handshake, proof and session.
const connectTimeout = time.Minute

// proofTimeout bounds the wait for a server that took a connection and is silent.
const proofTimeout = 30 * time.Second

func (a *Account) conn(ctx context.Context, setup func(*client.Conn) error, conf *tls.Config, seen *greeting) (*client.Conn, error) {
	options := []client.Option{func(c *client.Conn) error {
		if conf != nil {
			c.SetTLSConfig(conf)
		}
		return nil
	}}
	if setup != nil {
		options = append(options, setup)
	}
	return client.ConnectWithDialer(ctx, a.network(), a.Address, a.User, a.Password, "",
		func(ctx context.Context, network, address string) (net.Conn, error) {
			return a.dial(ctx, network, address, seen)
		}, options...)
}

func (a *Account) network() string {
	if strings.HasPrefix(a.Address, "/") {
		return "unix"
	}
	return "tcp"
}

// dialTimeout bounds the wait for a server that does not answer.
const dialTimeout = 10 * time.Second

func (a *Account) dial(ctx context.Context, network, address string, seen *greeting) (net.Conn, error) {
	dial := a.Dial
	if dial == nil {
		dial = (&net.Dialer{Timeout: dialTimeout}).DialContext
	}
	conn, err := dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	*seen = greeting{}
	if t, ok := conn.(*net.TCPConn); ok {
		return &watched{TCPConn: t, seen: seen}, nil
	}
	return conn, nil
}

// Refused returns the server's own number of a refusal, 0 when err is none.
func Refused(err error) int {
	var fromDriver *mysqldriver.MySQLError
	if errors.As(err, &fromDriver) {
		return int(fromDriver.Number)
	}
	return refusedByCommand(err)
}
