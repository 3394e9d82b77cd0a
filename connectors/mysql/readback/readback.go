package readback

import (
	"context"
	"database/sql"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/go-sql-driver/mysql"

	"github.com/millrace/millrace/connectors/mysql/account"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
)

// Reader implements pipeline.Reader. One goroutine uses it.
type Reader struct {
	db     *sql.DB
	tables func(event.TableName) bool
}

// Config says where to read.
type Config struct {
	Account account.Account
	// Captured says which tables count; nil = all that are no system tables.
	Captured func(event.TableName) bool
}

// New makes a reader; it connects on first use.
func New(cfg Config) (*Reader, error) {
	db, err := cfg.Account.DB(func(dsn *mysql.Config) {
		dsn.Params = map[string]string{"time_zone": "'+00:00'"} // the driver's character set is utf8mb4
	})
	if err != nil {
		return nil, fmt.Errorf("reader of %s: %w", cfg.Account.Address, err)
	}
	captured := cfg.Captured
	if captured == nil {
		captured = func(event.TableName) bool { return true }
	}
	return &Reader{db: db, tables: captured}, nil
}

// Close ends the connections.
func (r *Reader) Close() error { return r.db.Close() }

// Tables lists the captured base tables.
func (r *Reader) Tables(ctx context.Context) ([]event.TableName, error) {
	rows, err := r.db.QueryContext(ctx, `SELECT table_schema, table_name FROM information_schema.tables
		WHERE table_type IN ('BASE TABLE', 'SYSTEM VERSIONED') AND table_schema NOT IN ('mysql','sys','information_schema','performance_schema')
		ORDER BY 1, 2`)
	if err != nil {
		return nil, fmt.Errorf("list tables: %w", err)
	}
	defer rows.Close()
	var names []event.TableName
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

// column is what rendering needs to know of a column.
type column struct {
	name, dataType string
	scale          int
}

func (r *Reader) columns(ctx context.Context, table event.TableName) ([]column, error) {
	rows, err := r.db.QueryContext(ctx, `SELECT column_name, data_type, COALESCE(datetime_precision, 0)
		FROM information_schema.columns WHERE table_schema = ? AND table_name = ? ORDER BY ordinal_position`, table.DB, table.Table)
	if err != nil {
		return nil, fmt.Errorf("columns of %s: %w", table, err)
	}
	defer rows.Close()
	var columns []column
	for rows.Next() {
		var c column
		if err := rows.Scan(&c.name, &c.dataType, &c.scale); err != nil {
			return nil, fmt.Errorf("columns of %s: %w", table, err)
		}
		c.dataType = strings.ToLower(c.dataType)
		columns = append(columns, c)
	}
	if len(columns) == 0 && rows.Err() == nil {
		return nil, fmt.Errorf("columns of %s: there is no such table", table)
	}
	return columns, rows.Err()
}

// keyColumns are those of the primary key, else of the first unique key over NOT NULL
// columns, else none.
func (r *Reader) keyColumns(ctx context.Context, table event.TableName) (map[string]bool, error) {
	rows, err := r.db.QueryContext(ctx, `SELECT index_name, column_name, nullable FROM information_schema.statistics
		WHERE table_schema = ? AND table_name = ? AND non_unique = 0
		ORDER BY index_name <> 'PRIMARY', index_name, seq_in_index`, table.DB, table.Table)
	if err != nil {
		return nil, fmt.Errorf("keys of %s: %w", table, err)
	}
	defer rows.Close()
	keys, order, broken := map[string]map[string]bool{}, []string{}, map[string]bool{}
	for rows.Next() {
		var index, name, nullable string
		if err := rows.Scan(&index, &name, &nullable); err != nil {
			return nil, fmt.Errorf("keys of %s: %w", table, err)
		}
		if keys[index] == nil {
			keys[index], order = map[string]bool{}, append(order, index)
		}
		keys[index][name] = true
		broken[index] = broken[index] || nullable == "YES"
	}
	for _, index := range order {
		if !broken[index] {
			return keys[index], rows.Err()
		}
	}
	return nil, rows.Err()
}

// Read streams every row of a table.
func (r *Reader) Read(ctx context.Context, table event.TableName, columns func([]pipeline.ReadColumn) error, row func([]pipeline.Cell) error) error {
	cols, err := r.columns(ctx, table)
	if err != nil {
		return err
	}
	keys, err := r.keyColumns(ctx, table)
	if err != nil {
		return err
	}
	names, selected := make([]pipeline.ReadColumn, len(cols)), make([]string, len(cols))
	for i, c := range cols {
		names[i] = pipeline.ReadColumn{Name: c.name, Key: keys[c.name]}
		selected[i] = quote(c.name)
	}
	if err := columns(names); err != nil {
		return err
	}
	// A prepared statement answers in the binary protocol, in which floats are exact.
	rows, err := r.db.QueryContext(ctx, "SELECT "+strings.Join(selected, ", ")+" FROM "+quote(table.DB)+"."+quote(table.Table)+" WHERE 1 = ?", 1)
	if err != nil {
		return fmt.Errorf("select %s: %w", table, err)
	}
	defer rows.Close()
	values, targets, cells := make([]any, len(cols)), make([]any, len(cols)), make([]pipeline.Cell, len(cols))
	for i := range values {
		targets[i] = &values[i]
	}
	for rows.Next() {
		if err := rows.Scan(targets...); err != nil {
			return fmt.Errorf("read a row of %s: %w", table, err)
		}
		for i, v := range values {
			if cells[i], err = render(cols[i], v); err != nil {
				return fmt.Errorf("read %s.%s: %w", table, cols[i].name, err)
			}
		}
		if err := row(cells); err != nil {
			return err
		}
	}
	return rows.Err()
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
	case "binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob",
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
