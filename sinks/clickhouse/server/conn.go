package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	clickhouse "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/column"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// Options say where a server is and how to be let in.
type Options struct {
	Addr           []string
	User, Password string
	TLS            *tls.Config
	Compression    string // lz4 | zstd | none
	DialTimeout    time.Duration
	// Answer is how long a statement may be without an answer.
	Answer   time.Duration
	Conns    int
	Settings map[string]any
}

// Conn is a pool of connections. Its methods may be called concurrently.
type Conn struct {
	conn     driver.Conn
	slots    slots
	settings clickhouse.Settings
	name     string // of this pool, in query ids
	sent     atomic.Uint64
	// newer are settings that not every version has.
	newer atomic.Pointer[clickhouse.Settings]
}

var compressions = map[string]clickhouse.CompressionMethod{
	"lz4": clickhouse.CompressionLZ4, "zstd": clickhouse.CompressionZSTD, "none": clickhouse.CompressionNone,
}

// Open makes a pool. It connects to nothing.
func Open(o Options) (*Conn, error) {
	conn, err := clickhouse.Open(&clickhouse.Options{
		Addr: o.Addr, Auth: clickhouse.Auth{Username: o.User, Password: o.Password}, TLS: o.TLS,
		Compression: &clickhouse.Compression{Method: compressions[o.Compression]},
		// Each connection keeps what its largest frame took.
		MaxCompressionBuffer: 1 << 20,
		DialTimeout:          o.DialTimeout, ReadTimeout: o.Answer,
		MaxOpenConns: o.Conns, MaxIdleConns: o.Conns, ConnMaxLifetime: time.Hour,
		ConnOpenStrategy: clickhouse.ConnOpenInOrder,
		ClientInfo:       clickhouse.ClientInfo{Products: []struct{ Name, Version string }{{Name: "millrace", Version: "1"}}},
	})
	if err != nil {
		return nil, err
	}
	// A block has as many partitions as its rows have: it would be refused for ever.
	settings := clickhouse.Settings{"async_insert": 0, "insert_deduplicate": 0, "alter_sync": 1, "max_partitions_per_insert_block": 0}
	for k, v := range o.Settings {
		settings[k] = v
	}
	return &Conn{conn: conn, slots: newSlots(o.Conns, o.Answer), settings: settings, name: strconv.FormatUint(rand.Uint64(), 36)}, nil
}

// Close closes the connections.
func (c *Conn) Close() error { return c.conn.Close() }

func (c *Conn) context(ctx context.Context, comment string) context.Context {
	settings := make(clickhouse.Settings, len(c.settings)+1)
	for k, v := range c.settings {
		settings[k] = v
	}
	if newer := c.newer.Load(); newer != nil {
		maps.Copy(settings, *newer)
	}
	settings["log_comment"] = comment
	id := fmt.Sprintf("%s/%s-%d", comment, c.name, c.sent.Add(1))
	return clickhouse.Context(ctx, clickhouse.WithSettings(settings), clickhouse.WithQueryID(id))
}

// Learn finds out which of the settings that newer versions have the server has. From 26.2 on
// deduplicate_insert stands above insert_deduplicate.
func (c *Conn) Learn(ctx context.Context, comment string) error {
	wanted, newer := map[string]any{"deduplicate_insert": "disable"}, clickhouse.Settings{}
	err := c.Query(ctx, comment, "SELECT name FROM system.settings WHERE name IN ?", func(scan func(...any) error) error {
		var name string
		err := scan(&name)
		newer[name] = wanted[name]
		return err
	}, slices.Collect(maps.Keys(wanted)))
	if err == nil {
		c.newer.Store(&newer)
	}
	return err
}

// Exec sends a statement and waits for its end.
func (c *Conn) Exec(ctx context.Context, comment, statement string, args ...any) error {
	if err := c.slots.take(ctx); err != nil {
		return err
	}
	defer c.slots.give()
	return explain(c.conn.Exec(c.context(ctx, comment), statement, args...))
}

// Query calls row for each row of a SELECT. row sends nothing to the server.
func (c *Conn) Query(ctx context.Context, comment, statement string, row func(scan func(dest ...any) error) error, args ...any) error {
	if err := c.slots.take(ctx); err != nil {
		return err
	}
	defer c.slots.give()
	rows, err := c.conn.Query(c.context(ctx, comment), statement, args...)
	if err != nil {
		return explain(err)
	}
	for rows.Next() {
		if err := row(rows.Scan); err != nil {
			return errors.Join(err, rows.Close())
		}
	}
	return explain(errors.Join(rows.Err(), rows.Close()))
}

// Insert sends one block. into (INSERT INTO … (…)) names the columns; each, in that order, is
// given to fill. An error that is not ErrUnknown has written nothing.
func (c *Conn) Insert(ctx context.Context, comment, into string, fill func(i int, col column.Interface) error) error {
	if err := c.slots.take(ctx); err != nil {
		return err
	}
	defer c.slots.give()
	batch, err := c.conn.PrepareBatch(c.context(ctx, comment), into)
	if err != nil {
		return explain(err)
	}
	for i, col := range batch.Columns() {
		if err := fill(i, col); err != nil {
			return errors.Join(err, batch.Abort())
		}
	}
	if err := batch.Send(); err != nil {
		var refused *clickhouse.Exception
		if errors.As(err, &refused) {
			return explain(err)
		}
		return fmt.Errorf("%w: %w", ErrUnknown, err)
	}
	return nil
}
