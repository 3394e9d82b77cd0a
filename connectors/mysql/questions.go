package mysql

import (
	"context"
	"database/sql"

	"github.com/millrace/millrace/connectors/mysql/schema"
	"github.com/millrace/millrace/pipeline/event"
)

// questions are what rooms ask the server about its log and tables. Any goroutine may
// ask.
type questions struct{ db *sql.DB }

// endAndSize is the log's end, with what is executed there, and a guess of the number of
// rows of a table.
func (q questions) endAndSize(ctx context.Context, srv *server, name event.TableName) (end place, set string, rows uint64, err error) {
	if end, set, err = srv.logEnd(ctx, q.db); err != nil {
		return end, set, 0, err
	}
	l, err := schema.Load(ctx, q.db, name, srv.maria)
	if err != nil || l == nil {
		return end, set, 0, err
	}
	return end, set, l.Estimate, nil
}

// anew has the next question asked over a new connection.
func (q questions) anew() { reconnect(q.db) }
