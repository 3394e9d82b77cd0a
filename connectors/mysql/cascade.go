package mysql

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"time"

	driver "github.com/go-sql-driver/mysql"

	"github.com/millrace/millrace/connectors/mysql/account"
	"github.com/millrace/millrace/connectors/mysql/schema"
	"github.com/millrace/millrace/pipeline/event"
)

// cascading is the line of a foreign key in SHOW CREATE TABLE that changes rows by itself.
var cascading = regexp.MustCompile(`(?m)^ *CONSTRAINT .* FOREIGN KEY .* ON (DELETE|UPDATE) (CASCADE|SET NULL|SET DEFAULT)`)

// cascades are those of the tables that foreign keys change by themselves. MariaDB writes
// such changes into no log; MySQL logs them. information_schema shows foreign keys to those
// only who may write, so the tables' own definitions are asked for.
func (s *server) cascades(ctx context.Context, db *sql.DB, tables []event.TableName) (map[event.TableName]bool, error) {
	out := map[event.TableName]bool{}
	if !s.maria {
		return out, nil
	}
	for _, n := range tables {
		row, err := oneRow(ctx, db, "SHOW CREATE TABLE "+schema.QuoteTable(n))
		var refused *driver.MySQLError
		switch {
		case account.Refused(err) == lockWaitTimeout || err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded):
			out[n] = true
		case errors.As(err, &refused) && !temporary(err): // it is gone, or not for us: that is said elsewhere
		case err != nil:
			return nil, fmt.Errorf("read the foreign keys of %s: %w", n, err)
		case len(row) > 1 && cascading.MatchString(row[1]):
			out[n] = true
		}
	}
	return out, nil
}

// newCascades asks for the foreign keys again when a statement may have made one, or have
// given a table with one another name. Those that were known stay known: rows from before
// their end may be ahead still.
func (ts *tables) newCascades(sql []byte, changes []schema.Change) error {
	if !ts.server.maria {
		return nil
	}
	var tables []event.TableName
	for i := range changes {
		if c := &changes[i]; c.From != (event.TableName{}) || c.Kind == schema.Unclear {
			tables = append(tables, c.Table)
		}
	}
	if bytes.Contains(bytes.ToUpper(sql), []byte("REFERENCES")) {
		tables = ts.names()
		for i := range changes {
			tables = append(tables, changes[i].Table)
		}
	}
	if len(tables) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ts.ctx, 30*time.Second)
	defer cancel()
	now, err := ts.server.cascades(ctx, ts.db, tables)
	if err != nil {
		return fmt.Errorf("%w: %w", errAskAgain, err)
	}
	maps.Copy(ts.cascades, now)
	return nil
}
