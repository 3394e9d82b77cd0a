package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/parquet-go/parquet-go"

	"github.com/millrace/millrace/pipeline/event"
)

// check compares source and target twice: with `millrace pipeline verify`, and with the
// demo's own reader.
func (s *scene) check(ctx context.Context) (bool, error) {
	out, equal, err := s.verifyWhenMerged(ctx)
	if err != nil {
		return false, err
	}
	if s.alter {
		if !equal {
			return false, errors.New("source and target differed before a row was altered")
		}
		if err := s.alterTarget(ctx); err != nil {
			return false, fmt.Errorf("alter a row of the target: %w", err)
		}
		if out, equal, err = s.millrace.verify(ctx, s.file); err != nil {
			return false, err
		}
	}
	s.progress.say("millrace pipeline verify says:")
	fmt.Print(out)
	s.progress.say("the demo's own reader (arrow-go) says:")
	right, found, err := compare(ctx, s.server.Addr, s.lake, s.lake.duplicates)
	s.found = found
	if s.olap != nil && err == nil {
		var rightToo bool
		s.progress.say("the demo's own SELECT of ClickHouse says:")
		rightToo, _, err = compare(ctx, s.server.Addr, s.olap, nil)
		right = right && rightToo
	}
	if err == nil && right != equal {
		return false, fmt.Errorf("the two readers differ: by `millrace pipeline verify` equal is %t, by the demo's own %t", equal, right)
	}
	return right && equal, err
}

// alterTarget changes one row of the target that the scene is of.
func (s *scene) alterTarget(ctx context.Context) error {
	if s.olap != nil {
		return s.olap.alter(ctx)
	}
	return alterOneRow(s.lake.table(event.TableName{DB: "shop", Table: "customers"}, "current"))
}

// verifyWhenMerged runs verify until both sides are equal: current/ follows changes/, on
// a busy machine at some distance. It is over when they differ and no table's current/
// has moved for patience.
func (s *scene) verifyWhenMerged(ctx context.Context) (out string, equal bool, err error) {
	for still := newStillness(); ; {
		if out, equal, err = s.millrace.verify(ctx, s.file); equal || err != nil || still.seen(s.merges()) {
			return out, equal, err
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return out, false, ctx.Err()
		}
	}
}

// merges is how far current/ of each table is, as text.
func (s *scene) merges() string {
	var b strings.Builder
	for _, f := range fills {
		_, _, version, err := live(s.lake.table(event.TableName{DB: "shop", Table: f.table}, "current"), -1)
		fmt.Fprintf(&b, "%s %d %v ", f.table, version, err)
	}
	return b.String()
}

// alterOneRow changes one value in one live file, in place, as a sink with a bug would.
func alterOneRow(table string) error {
	files, _, _, err := live(table, -1)
	if err != nil {
		return err
	}
	if len(files) == 0 {
		return fmt.Errorf("%s has no files", table)
	}
	path := files[0]
	in, err := os.Open(path)
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	opened, err := parquet.OpenFile(in, info.Size())
	if err != nil {
		return err
	}
	column, ok := opened.Schema().Lookup("email")
	if !ok {
		return fmt.Errorf("%s has no column email", path)
	}
	var rows []parquet.Row
	for _, group := range opened.RowGroups() {
		reader := group.Rows()
		for {
			batch := make([]parquet.Row, 256)
			n, err := reader.ReadRows(batch)
			for _, r := range batch[:n] {
				rows = append(rows, r.Clone())
			}
			if err != nil {
				break // io.EOF, or an error that the row count below shows
			}
		}
		if err := reader.Close(); err != nil {
			return err
		}
	}
	if int64(len(rows)) != opened.NumRows() || len(rows) == 0 {
		return fmt.Errorf("%s: read %d of %d rows", path, len(rows), opened.NumRows())
	}
	old := rows[0][column.ColumnIndex]
	rows[0][column.ColumnIndex] = parquet.ByteArrayValue([]byte("altered@example.com")).Level(old.RepetitionLevel(),
		old.DefinitionLevel(), old.Column())
	out, err := os.Create(filepath.Join(filepath.Dir(path), ".altered"))
	if err != nil {
		return err
	}
	writer := parquet.NewWriter(out, opened.Schema())
	if _, err := writer.WriteRows(rows); err != nil {
		return errors.Join(err, out.Close())
	}
	if err := errors.Join(writer.Close(), out.Close()); err != nil {
		return err
	}
	return os.Rename(out.Name(), path)
}

// summary says what was shown.
func (s *scene) summary(t totals, took time.Duration) {
	fmt.Printf(`
Shown: %d rows of %d tables in %s and in the lake are the same, row by row, by two readers that share no code;
  %d changes arrived in changes/, none of them twice; millrace was killed (SIGKILL) %d times meanwhile; %.0f s in all.
`, t.rows, t.tables, map[string]string{"mariadb": "MariaDB", "mysql": "MySQL"}[s.server.Kind], t.changes, s.kills, took.Seconds())
	if s.olap != nil {
		fmt.Print(`  ClickHouse has the same rows, by pipeline verify and by a SELECT of the demo's own; it was killed as well.
  Query it: clickhouse client -q "SELECT status, count(), sum(total) FROM shop.orders GROUP BY status"
`)
	}
	if !s.keep {
		fmt.Printf(`  Everything is stopped and removed. %s leaves it running and prints these with its paths:
  DuckDB    duckdb -c "SELECT status, count(*), sum(total) FROM delta_scan('LAKE/shop.orders/current') GROUP BY ALL"
  Python    python3 -c "from deltalake import DeltaTable; print(DeltaTable('LAKE/shop.orders/current').to_pandas().head())"
`, "`make demo ARGS=\""+s.again()+"--keep\"`")
	}
}

// again are the options of this scene.
func (s *scene) again() string {
	switch {
	case s.s3:
		return "--s3 "
	case s.options.clickhouse:
		return "--clickhouse "
	}
	return ""
}

// lookAround says what --keep left running.
func (s *scene) lookAround() {
	m, lakePath := s.millrace, filepath.Dir(s.lake.dir)
	if s.store != nil {
		lakePath = strings.TrimPrefix(strings.Join(s.store.env(), " "), "DEMO_LAKE=")
	}
	fmt.Printf(`
Everything is still running. Look around:
  status    %[1]s pipeline status --daemon 127.0.0.1:%[2]d
  pause     %[1]s pipeline pause orders shop.audit --daemon 127.0.0.1:%[2]d     (and resume)
  verify    DEMO_MYSQL=%[8]s DEMO_PASSWORD=%[9]s DEMO_LAKE=%[10]s %[1]s pipeline verify --daemon 127.0.0.1:%[2]d %[11]s
  metrics   curl -s http://127.0.0.1:%[2]d/metrics
  topics    %[1]s admin topic list --namesrv 127.0.0.1:%[3]d
  source    %[4]s shop
  lake      %[5]s (each table: changes/ and current/, Delta tables)
  DuckDB    duckdb -c "SELECT status, count(*), sum(total) FROM delta_scan('%[5]s/shop.orders/current') GROUP BY ALL"
  Python    python3 -c "from deltalake import DeltaTable; print(DeltaTable('%[5]s/shop.orders/current').to_pandas().head())"
  log       %[6]s/millrace-%[7]d.log
Stop everything with Ctrl-C.
`, m.binary, m.http, m.namesrv, s.server.Client(), s.lake.dir, m.dir, m.starts, s.server.Addr, password, lakePath, s.file)
	if s.store != nil {
		s.lookIntoStore()
	}
	if s.olap != nil {
		s.olap.lookAround()
	}
}

// lookIntoStore says how the lake is reached through the store.
func (s *scene) lookIntoStore() {
	fmt.Printf(`The lake above is what the object store keeps; through it, with AWS_ACCESS_KEY_ID=%s AWS_SECRET_ACCESS_KEY=%s:
  store     s3://%s/demo/orders at %s
  Python    python3 -c "from deltalake import DeltaTable; print(DeltaTable('s3://%[3]s/demo/orders/shop.orders/current', storage_options={'AWS_ENDPOINT_URL': '%[4]s', 'AWS_ALLOW_HTTP': 'true'}).to_pandas().head())"
`, s.store.Access, s.store.Secret, bucket, s.store.Endpoint)
}

// tearDown stops what the demo started.
func (s *scene) tearDown() error {
	var errs []error
	if s.work != nil {
		s.work.stop()
		s.work.wg.Wait()
	}
	if s.millrace.process != nil {
		errs = append(errs, s.millrace.process.Stop(patience)) // as long as a busy machine may take
	}
	if s.db != nil {
		errs = append(errs, s.db.Close())
	}
	return errors.Join(append(errs, s.stopServers())...)
}

// stopServers stops what stands at either end.
func (s *scene) stopServers() error {
	if s.store != nil {
		s.store.Kill()
	}
	var err error
	if s.olap != nil {
		err = s.olap.end()
	}
	return errors.Join(err, s.server.Stop())
}
