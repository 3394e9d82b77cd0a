package mysql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	driver "github.com/go-sql-driver/mysql"

	"github.com/millrace/millrace/connectors/mysql/schema"
	"github.com/millrace/millrace/pipeline/event"
)

// questions are what rooms ask the server about its log and tables. Any goroutine may
// ask.
type questions struct{ db *sql.DB }

// endAndSize is the log's end, and a guess of the number of rows of a table.
func (q questions) endAndSize(ctx context.Context, srv *server, name event.TableName) (end place, rows uint64, err error) {
	if end, _, err = srv.logPlace(ctx, q.db); err != nil {
		return end, 0, err
	}
	l, err := schema.Load(ctx, q.db, name, srv.maria)
	if err != nil || l == nil {
		return end, 0, err
	}
	return end, l.Estimate, nil
}

// anew has the next question asked over a new connection.
func (q questions) anew() { reconnect(q.db) }

// answer is a table's definition, nil where the server has no such table, and a place of
// the log at which it is this one: statements about the table that end before it are in
// it, others are not.
type answer struct {
	loaded *schema.Loaded
	at     place
}

// definition reads a table's definition with its place. Everything up to low is executed
// before. The table's metadata lock is held meanwhile: a statement that changes the table
// is through, in the log and in the dictionary, or has not begun.
func (q questions) definition(ctx context.Context, srv *server, name event.TableName, low event.Position) (answer, error) {
	a, err := q.lockedDefinition(ctx, srv, name, low)
	if errors.Is(err, schema.ErrHidden) {
		q.anew()
		a, err = q.lockedDefinition(ctx, srv, name, low)
	}
	if err != nil {
		return a, fmt.Errorf("read the definition of %s: %w", name, err)
	}
	return a, nil
}

func (q questions) lockedDefinition(ctx context.Context, srv *server, name event.TableName, low event.Position) (a answer, err error) {
	conn, err := q.db.Conn(ctx)
	if err != nil {
		return a, err
	}
	defer conn.Close()
	if err := executed(ctx, conn, srv, low); err != nil {
		return a, err
	}
	tx, err := conn.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
	if err != nil {
		return a, err
	}
	defer func() { err = errors.Join(err, tx.Rollback()) }()
	rows, err := tx.QueryContext(ctx, "SELECT 1 FROM "+schema.QuoteTable(name)+" LIMIT 0")
	var refused *driver.MySQLError
	switch {
	case err == nil:
		if err := rows.Close(); err != nil {
			return a, err
		}
	case !errors.As(err, &refused) || temporary(err):
		return a, err
	} // else the load below tells what a refusal means
	if a.loaded, err = schema.Load(ctx, tx, name, srv.maria); err != nil {
		return a, err
	}
	a.at, _, err = srv.logEnd(ctx, tx)
	return a, err
}

// everything is the definition of all tables that the filter takes in, read after low was
// executed, and the log's end behind it. A table that is being changed may be shown as it
// will be: what differs is to be asked for by itself.
func (q questions) everything(ctx context.Context, srv *server, f schema.Filter,
	low event.Position) (map[event.TableName]*schema.Loaded, place, error) {
	conn, err := q.db.Conn(ctx)
	if err != nil {
		return nil, place{}, err
	}
	defer conn.Close()
	if err := executed(ctx, conn, srv, low); err != nil {
		return nil, place{}, err
	}
	all, err := schema.LoadAll(ctx, conn, f, srv.maria)
	if err != nil {
		return nil, place{}, err
	}
	end, _, err := srv.logEnd(ctx, conn)
	return all, end, err
}

// executed waits until the server has executed what was read from its log. Without GTIDs,
// and on MariaDB, the metadata lock alone orders the question behind a statement.
func executed(ctx context.Context, conn *sql.Conn, srv *server, low event.Position) error {
	if srv.maria || !srv.gtid || low.GTIDSet == "" {
		return nil
	}
	for {
		row, err := oneRow(ctx, conn, "SELECT WAIT_FOR_EXECUTED_GTID_SET('"+strings.ReplaceAll(low.GTIDSet, "'", "")+"', 1)")
		if err != nil {
			return fmt.Errorf("wait until the server has executed what was read: %w", err)
		}
		if len(row) == 1 && row[0] == "0" {
			return nil
		}
	}
}
