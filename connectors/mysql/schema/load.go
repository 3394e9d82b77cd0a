package schema

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	driver "github.com/go-sql-driver/mysql"

	"github.com/millrace/millrace/pipeline/event"
)

// Querier runs statements; *sql.DB, *sql.Conn and *sql.Tx do.
type Querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// Loaded is a table as the server describes it now.
type Loaded struct {
	Schema *event.Schema
	// Charset and Collation are those of new columns that name none.
	Charset, Collation string
	Engine             string
	// Key is the name of the index that gives the schema its key.
	Key string
	// Indexes are all indexes.
	Indexes []Index
	// Estimate is the server's guess of the number of rows.
	Estimate uint64
	// Versioned says that the table keeps its former rows (MariaDB's WITH SYSTEM
	// VERSIONING): the log has columns and rows that a SELECT does not show.
	Versioned bool
}

// LoadAll reads every table that the filter takes in.
func LoadAll(ctx context.Context, q Querier, f Filter, maria bool) (map[event.TableName]*Loaded, error) {
	return load(ctx, q, maria, "", f.Match)
}

// ErrHidden says that the server does not show a table because of a missing privilege.
var ErrHidden = errors.New("the user may not read the table")

// Load reads one table; nil when the server does not have it. One that the user may not
// read is ErrHidden: the server leaves it out of its lists as if it were not there.
func Load(ctx context.Context, q Querier, name event.TableName, maria bool) (*Loaded, error) {
	all, err := load(ctx, q, maria, " AND %[1]s.TABLE_SCHEMA="+textLiteral(name.DB)+" AND %[1]s.TABLE_NAME="+textLiteral(name.Table),
		func(n event.TableName) bool {
			return strings.EqualFold(n.DB, name.DB) && strings.EqualFold(n.Table, name.Table)
		})
	if err != nil {
		return nil, err
	}
	for n, l := range all {
		if n == name || len(all) == 1 {
			return l, nil
		}
	}
	return nil, hidden(ctx, q, name)
}

// hidden tells a table that the user may not see from one that is not there: asked for
// its rows, the server says which.
func hidden(ctx context.Context, q Querier, name event.TableName) error {
	rows, err := q.QueryContext(ctx, "SELECT 1 FROM "+Quote(name.DB)+"."+Quote(name.Table)+" LIMIT 0")
	if err == nil {
		return rows.Close() // a view has that name now
	}
	var answer *driver.MySQLError
	if !errors.As(err, &answer) {
		return fmt.Errorf("ask for %s: %w", name, err)
	}
	switch answer.Number {
	case 1044, 1142, 1143:
		return fmt.Errorf("%w %s: %w", ErrHidden, name, err)
	}
	return nil
}

// textLiteral quotes a text for a statement, whatever the session's SQL mode.
func textLiteral(s string) string {
	return fmt.Sprintf("CONVERT(0x%x USING utf8mb4)", s)
}

type builder struct {
	loaded  *Loaded
	columns []event.Column
	indexes []Index // by name
}

func load(ctx context.Context, q Querier, maria bool, where string, match func(event.TableName) bool) (map[event.TableName]*Loaded, error) {
	restrict := func(alias string) string {
		base := alias + ".TABLE_SCHEMA NOT IN ('mysql','information_schema','performance_schema','sys')"
		if where == "" {
			return base
		}
		return base + fmt.Sprintf(where, alias)
	}
	tables := map[event.TableName]*builder{}
	if err := loadTables(ctx, q, restrict("t"), match, tables); err != nil {
		return nil, fmt.Errorf("read the list of tables: %w", err)
	}
	if len(tables) == 0 {
		return nil, nil
	}
	if err := loadColumns(ctx, q, restrict("c"), tables); err != nil {
		return nil, fmt.Errorf("read the columns of tables: %w", err)
	}
	if maria {
		if err := loadJSON(ctx, q, tables); err != nil {
			return nil, fmt.Errorf("read the JSON columns of tables: %w", err)
		}
	}
	if err := loadKeys(ctx, q, restrict("s"), tables); err != nil {
		return nil, fmt.Errorf("read the keys of tables: %w", err)
	}
	out := make(map[event.TableName]*Loaded, len(tables))
	for name, b := range tables {
		for i := range b.columns {
			b.columns[i].ID = uint32(i + 1)
		}
		var key []int
		b.loaded.Indexes = b.indexes
		key, b.loaded.Key = chooseKey(b.columns, b.indexes)
		b.loaded.Schema = event.NewSchema(name, b.columns, key)
		out[name] = b.loaded
	}
	return out, nil
}

// each runs a query and gives every row's texts to fn; NULL is invalid.
func each(ctx context.Context, q Querier, query string, fn func(v []sql.NullString) error) error {
	rows, err := q.QueryContext(ctx, query)
	if err != nil {
		return err
	}
	defer rows.Close()
	cols, err := rows.Columns()
	if err != nil {
		return err
	}
	vals := make([]sql.NullString, len(cols))
	dest := make([]any, len(cols))
	for i := range vals {
		dest[i] = &vals[i]
	}
	for rows.Next() {
		if err := rows.Scan(dest...); err != nil {
			return err
		}
		if err := fn(vals); err != nil {
			return err
		}
	}
	return rows.Err()
}

func loadTables(ctx context.Context, q Querier, where string, match func(event.TableName) bool, out map[event.TableName]*builder) error {
	return each(ctx, q, "SELECT t.TABLE_SCHEMA, t.TABLE_NAME, t.TABLE_COLLATION, t.ENGINE, t.TABLE_ROWS, t.TABLE_TYPE FROM "+
		"information_schema.TABLES t "+
		"WHERE t.TABLE_TYPE IN ('BASE TABLE','SYSTEM VERSIONED') AND "+where, func(v []sql.NullString) error {
		name := event.TableName{DB: v[0].String, Table: v[1].String}
		if !match(name) {
			return nil
		}
		l := &Loaded{Collation: v[2].String, Charset: CharsetOf(v[2].String), Engine: v[3].String, Versioned: v[5].String == "SYSTEM VERSIONED"}
		_, _ = fmt.Sscan(v[4].String, &l.Estimate)
		out[name] = &builder{loaded: l, indexes: []Index{}}
		return nil
	})
}

// CharsetOf is the charset of a collation, which its name begins with.
func CharsetOf(collation string) string {
	cs, _, _ := strings.Cut(strings.ToLower(collation), "_")
	return charsetName(cs)
}

func loadColumns(ctx context.Context, q Querier, where string, tables map[event.TableName]*builder) error {
	return each(ctx, q, "SELECT c.TABLE_SCHEMA, c.TABLE_NAME, c.COLUMN_NAME, c.COLUMN_TYPE, c.CHARACTER_SET_NAME, c.COLLATION_NAME, "+
		"c.IS_NULLABLE, c.EXTRA "+
		"FROM information_schema.COLUMNS c WHERE "+where+
		" ORDER BY c.TABLE_SCHEMA, c.TABLE_NAME, c.ORDINAL_POSITION", func(v []sql.NullString) error {
		b := tables[event.TableName{DB: v[0].String, Table: v[1].String}]
		if b == nil {
			return nil
		}
		c, err := Column(v[2].String, v[3].String, v[4].String, v[5].String, v[6].String == "YES")
		if err != nil {
			return fmt.Errorf("%s.%s: %w", v[0].String, v[1].String, err)
		}
		extra := strings.ToUpper(v[7].String)
		c.Generated = strings.Contains(extra, "GENERATED") && !strings.Contains(extra, "DEFAULT_GENERATED") ||
			strings.Contains(extra, "PERSISTENT")
		b.columns = append(b.columns, c)
		return nil
	})
}

// loadJSON finds MariaDB's JSON columns: LONGTEXT that must be valid JSON.
func loadJSON(ctx context.Context, q Querier, tables map[event.TableName]*builder) error {
	return each(ctx, q, "SELECT CONSTRAINT_SCHEMA, TABLE_NAME, CONSTRAINT_NAME, CHECK_CLAUSE FROM information_schema.CHECK_CONSTRAINTS",
		func(v []sql.NullString) error {
			b := tables[event.TableName{DB: v[0].String, Table: v[1].String}]
			if b == nil {
				return nil
			}
			for i := range b.columns {
				c := &b.columns[i]
				if c.Type == event.TypeText && strings.EqualFold(c.Native, "longtext") && isJSONCheck(v[3].String, c.Name) {
					c.Type = event.TypeJSON
				}
			}
			return nil
		})
}

func isJSONCheck(clause, column string) bool {
	clause = strings.ToLower(strings.Trim(strings.TrimSpace(clause), "()"))
	return clause == "json_valid("+strings.ToLower(Quote(column)) || clause == "json_valid("+strings.ToLower(column)
}

func loadKeys(ctx context.Context, q Querier, where string, tables map[event.TableName]*builder) error {
	return each(ctx, q, "SELECT s.TABLE_SCHEMA, s.TABLE_NAME, s.INDEX_NAME, s.NON_UNIQUE, s.COLUMN_NAME, s.SUB_PART "+
		"FROM information_schema.STATISTICS s WHERE "+where+
		" ORDER BY s.TABLE_SCHEMA, s.TABLE_NAME, s.INDEX_NAME, s.SEQ_IN_INDEX", func(v []sql.NullString) error {
		b := tables[event.TableName{DB: v[0].String, Table: v[1].String}]
		if b == nil {
			return nil
		}
		at := slices.IndexFunc(b.indexes, func(x Index) bool { return x.Name == v[2].String })
		if at < 0 {
			at = len(b.indexes)
			b.indexes = append(b.indexes, Index{Name: v[2].String, Unique: v[3].String == "0"})
		}
		x := &b.indexes[at]
		x.Partial = x.Partial || !v[4].Valid || v[5].Valid // a part that is an expression has no column
		x.Columns = append(x.Columns, v[4].String)
		return nil
	})
}
