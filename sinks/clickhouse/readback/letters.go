package readback

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	clickhouse "github.com/ClickHouse/clickhouse-go/v2"

	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
)

// unknownTable is the server's code of a table that is not there.
const unknownTable = 60

// Letters implements pipeline.LetterReader.
func (r *Reader) Letters(ctx context.Context, table event.TableName, letter func(pipeline.Letter) error) error {
	p, err := r.placeOf(ctx, table)
	if err != nil {
		return err
	}
	rows, err := r.conn.Query(ctx, "SELECT letter FROM "+name(r.o.Control, "letters")+
		" FINAL WHERE target = ? AND gone = 0 AND seq >= ? ORDER BY seq",
		p.database+"."+p.view, p.letters)
	var ex *clickhouse.Exception
	if errors.As(err, &ex) && ex.Code == unknownTable { // an earlier version's bookkeeping, which puts nothing aside
		return nil
	}
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			return err
		}
		var l pipeline.Letter
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			return fmt.Errorf("what is put aside of %s: %w", table, err)
		}
		if err := letter(l); err != nil {
			return err
		}
	}
	return rows.Err()
}
