package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
)

// load is what a backlog is made of.
type load struct {
	name   string
	tables []string // with their database
	rows   int      // changes that it makes
	fill   func(context.Context) error
	// before puts in there rows that fill changes; nil when it needs none.
	before func(context.Context) error
	there  int
}

const (
	manyName   = "statements of 1,000 rows"
	singleName = "transactions of one row"
	mixedName  = "mixed, ten tables"
)

func (s *source) manyRows(round, rows int) load {
	return s.manyRowsOf(fmt.Sprintf("shop.many%d", round), rows)
}

func (s *source) manyRowsOf(table string, rows int) load {
	return load{name: manyName, tables: []string{table}, rows: rows,
		fill: func(ctx context.Context) error { return s.insertMany(ctx, table, rows, 1000) }}
}

func (s *source) singleRows(round, rows int) load {
	return s.singleRowsOf(fmt.Sprintf("shop.single%d", round), rows)
}

func (s *source) singleRowsOf(table string, rows int) load {
	return load{name: singleName, tables: []string{table}, rows: rows,
		fill: func(ctx context.Context) error { return s.insertSingle(ctx, table, rows) }}
}

// mixedTables is how many tables the mixed load changes.
const mixedTables = 10

// mixedRows is what an order system does: single-row transactions over ten tables, of ten
// statements two inserts, six updates and two deletes.
func (s *source) mixedRows(round, rows int) load {
	l := load{name: mixedName, rows: rows, there: rows}
	for i := range mixedTables {
		l.tables = append(l.tables, fmt.Sprintf("shop.mixed%d_%d", round, i))
	}
	each := rows / mixedTables
	l.before = func(ctx context.Context) error {
		for _, t := range l.tables {
			if err := s.insertMany(ctx, t, each, 1000); err != nil {
				return err
			}
		}
		return nil
	}
	l.fill = func(ctx context.Context) error { return s.change(ctx, l.tables, each) }
	return l
}

// change makes n changes in each table, whose rows are 1 to n.
func (s *source) change(ctx context.Context, tables []string, n int) error {
	const workers = 4
	var wg sync.WaitGroup
	errs := make([]error, workers)
	for w := range workers {
		wg.Go(func() { errs[w] = s.changeAs(ctx, tables, n, w, workers) })
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// changeAs does the part of one of several workers: of every ten numbers in a row one
// worker's own.
func (s *source) changeAs(ctx context.Context, tables []string, n, worker, workers int) error {
	const chunk = 20
	for from := 1 + worker*chunk; from <= n; from += workers * chunk {
		var text strings.Builder
		for id := from; id < min(n+1, from+chunk); id++ {
			for _, t := range tables {
				text.WriteString(changeOf(t, id, n))
			}
		}
		if _, err := s.db.ExecContext(ctx, text.String()); err != nil {
			return fmt.Errorf("change the tables of the mixed load: %w", err)
		}
	}
	return nil
}

// changeOf is the statement that a number stands for.
func changeOf(table string, id, n int) string {
	switch id % 10 {
	case 0, 5:
		return fmt.Sprintf("INSERT INTO %s VALUES (%d, %d, 'new', %d.25, 'EUR', '%07d Große Bleichen, 20354 Hamburg, Germany', 'please ring "+
			"the bell twice, order %d....................', '2024-01-01 00:00:00.5', NULL);",
			table, n+id, 1+id%100000, id%1000, id, id)
	case 3, 8:
		return fmt.Sprintf("DELETE FROM %s WHERE id = %d;", table, id)
	}
	return fmt.Sprintf("UPDATE %s SET status = 'paid', total = total + 1 WHERE id = %d;", table, id)
}
