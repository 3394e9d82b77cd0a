package main

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/millrace/millrace/pipeline"
)

// TestStatementsThatChangeStoredRowsArrive runs statements whose effect on stored rows no
// row event tells, against a pipeline that is up, and wants the lake equal afterwards.
func TestStatementsThatChangeStoredRowsArrive(t *testing.T) {
	o := small(t)
	o.rows, o.steady = 60_000, time.Second
	o.inspect = func(ctx context.Context, s *scene) error {
		for _, statement := range []string{
			"ALTER TABLE shop.customers MODIFY balance DECIMAL(14,2) NOT NULL",
			"ALTER TABLE shop.order_items ADD COLUMN id BIGINT NOT NULL AUTO_INCREMENT UNIQUE",
			"ALTER TABLE shop.payments MODIFY method VARCHAR(20) CHARACTER SET utf8mb4 NOT NULL",
			"ALTER TABLE shop.orders RENAME COLUMN note TO remark",
			"TRUNCATE TABLE shop.audit",
			"INSERT INTO shop.audit VALUES (NOW(3), 'after', 'truncate', 1)",
			"CREATE TABLE shop.late (id INT PRIMARY KEY, v VARCHAR(10))",
			"INSERT INTO shop.late VALUES (1, 'one'), (2, NULL)",
		} {
			if _, err := s.db.ExecContext(ctx, statement); err != nil {
				return fmt.Errorf("%s: %w", statement, err)
			}
		}
		file, pos, err := s.serverEnd(ctx)
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		err = s.millrace.until(ctx, 100*time.Millisecond, "statements", func(pipeline.Status) {}, func(now pipeline.Status) bool {
			if !passed(now, file, pos) || len(now.Tables) != len(tables)+1 {
				return false
			}
			for _, one := range now.Tables {
				if one.Snapshot < 100 {
					return false
				}
			}
			return true
		})
		if err != nil {
			return err
		}
		out, equal, err := s.verifyWhenMerged(ctx)
		if err == nil && !equal {
			err = fmt.Errorf("the lake differs after the statements:\n%s", out)
		}
		return err
	}
	right, err := demo(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if !right {
		t.Error("source and target differ")
	}
}
