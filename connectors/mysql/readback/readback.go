package readback

import (
	"context"
	"database/sql"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	driver "github.com/go-sql-driver/mysql"

	"github.com/millrace/millrace/connectors/mysql/account"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
)

// Reader implements pipeline.Reader. One goroutine uses it.
type Reader struct {
	db     *sql.DB
	server *account.Server
	silent *silence
	tables func(event.TableName) bool
}

// Config says where to read.
type Config struct {
	Account account.Account
	// Captured says which tables count; nil = all that are no system tables.
	Captured func(event.TableName) bool
}

// New makes a reader; it connects on first use. All that it reads is of one server.
func New(cfg Config) (*Reader, error) {
	if cfg.Account.Server == nil {
		cfg.Account.Server = account.NewServer(nil)
	}
	silent := &silence{address: cfg.Account.Address}
	db, err := cfg.Account.DB(func(c *driver.Config) { c.ReadTimeout, c.WriteTimeout, c.Logger = patience, patience, silent })
	if err != nil {
		return nil, fmt.Errorf("reader of %s: %w", cfg.Account.Address, err)
	}
	captured := cfg.Captured
	if captured == nil {
		captured = func(event.TableName) bool { return true }
	}
	return &Reader{db: db, server: cfg.Account.Server, silent: silent, tables: captured}, nil
}

// Of implements pipeline.OneServer.
func (r *Reader) Of(server string) { r.server.To(server) }

// Close ends the connections.
func (r *Reader) Close() error { return r.db.Close() }

// Tables lists the captured base tables.
func (r *Reader) Tables(ctx context.Context) (names []event.TableName, err error) {
	defer r.silent.explain(&err)
	rows, err := r.db.QueryContext(ctx, `SELECT table_schema, table_name FROM information_schema.tables
		WHERE table_type IN ('BASE TABLE', 'SYSTEM VERSIONED') AND table_schema NOT IN ('mysql','sys','information_schema','performance_schema')
		ORDER BY 1, 2`)
	if err != nil {
		return nil, fmt.Errorf("list tables: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var n event.TableName
		if err := rows.Scan(&n.DB, &n.Table); err != nil {
			return nil, fmt.Errorf("list tables: %w", err)
		}
		if r.tables(n) {
			names = append(names, n)
		}
	}
	return names, rows.Err()
}

// Read streams every row of a table, in one statement.
func (r *Reader) Read(ctx context.Context, table event.TableName, columns func([]pipeline.ReadColumn) error,
	row func([]pipeline.Cell) error) (err error) {
	defer r.silent.explain(&err)
	p, err := r.plan(ctx, table)
	if err != nil {
		return err
	}
	return r.read(ctx, p, "", columns, row)
}

func quote(name string) string { return "`" + strings.ReplaceAll(name, "`", "``") + "`" }

func render(c column, v any) (pipeline.Cell, error) {
	switch v := v.(type) {
	case nil:
		return pipeline.Cell{Null: true}, nil
	case int64:
		return text(strconv.FormatInt(v, 10)), nil
	case uint64:
		return text(strconv.FormatUint(v, 10)), nil
	case float32:
		return text(strconv.FormatFloat(float64(v), 'g', -1, 32)), nil
	case float64:
		return text(strconv.FormatFloat(v, 'g', -1, 64)), nil
	case []byte:
		return renderBytes(c, v)
	default:
		return pipeline.Cell{}, fmt.Errorf("the driver returned a %T", v)
	}
}

func renderBytes(c column, v []byte) (pipeline.Cell, error) {
	switch c.dataType {
	case "datetime", "timestamp":
		return text(padFraction(string(v))), nil
	case "time":
		us, err := microseconds(string(v))
		return text(strconv.FormatInt(us, 10)), err
	case "bit":
		var n uint64
		for _, b := range v {
			n = n<<8 | uint64(b)
		}
		return text(strconv.FormatUint(n, 10)), nil
	case "uuid":
		return text(strings.ReplaceAll(string(v), "-", "")), nil
	case "inet4", "inet6":
		address, err := netip.ParseAddr(string(v))
		return text(hex.EncodeToString(address.AsSlice())), err
	case "binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob", "vector",
		"geometry", "point", "linestring", "polygon", "multipoint", "multilinestring", "multipolygon", "geometrycollection", "geomcollection":
		return text(hex.EncodeToString(v)), nil
	default:
		return pipeline.Cell{Text: v}, nil
	}
}

func text(s string) pipeline.Cell { return pipeline.Cell{Text: []byte(s)} }

// padFraction writes a date-time with six digits after the point.
func padFraction(s string) string {
	whole, fraction, _ := strings.Cut(s, ".")
	return whole + "." + fraction + strings.Repeat("0", 6-min(6, len(fraction)))
}

// microseconds reads [-]HHH:MM:SS[.ffffff].
func microseconds(s string) (int64, error) {
	body, negative := strings.CutPrefix(s, "-")
	whole, fraction, _ := strings.Cut(body, ".")
	var h, m, sec int64
	if _, err := fmt.Sscanf(whole, "%d:%d:%d", &h, &m, &sec); err != nil {
		return 0, fmt.Errorf("%q is not a TIME: %w", s, err)
	}
	us, err := strconv.ParseInt((fraction + "000000")[:6], 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is not a TIME: %w", s, err)
	}
	us += (h*3600 + m*60 + sec) * 1_000_000
	if negative {
		us = -us
	}
	return us, nil
}
