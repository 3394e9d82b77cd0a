package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/parquet-go/parquet-go"

	"github.com/millrace/millrace/pipeline/event"
)

// mergeTime bounds how long current/ may trail behind what the sink has flushed.
const mergeTime = 60 * time.Second

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
		if err := alterOneRow(s.lake.table(event.TableName{DB: "shop", Table: "customers"}, "current")); err != nil {
			return false, fmt.Errorf("alter a row of the target: %w", err)
		}
		if out, equal, err = s.millrace.verify(ctx, s.file); err != nil {
			return false, err
		}
	}
	s.progress.say("millrace pipeline verify says:")
	fmt.Print(out)
	s.progress.say("the demo's own reader (arrow-go) says:")
	right, err := compare(ctx, s.server.Addr, s.lake)
	return right && equal, err
}

// verifyWhenMerged runs verify until both sides are equal: current/ follows changes/
// within its interval.
func (s *scene) verifyWhenMerged(ctx context.Context) (out string, equal bool, err error) {
	for deadline := time.Now().Add(mergeTime); ; {
		if out, equal, err = s.millrace.verify(ctx, s.file); equal || err != nil || time.Now().After(deadline) {
			return out, equal, err
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return out, false, ctx.Err()
		}
	}
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
	rows[0][column.ColumnIndex] = parquet.ByteArrayValue([]byte("altered@example.com")).Level(old.RepetitionLevel(), old.DefinitionLevel(), old.Column())
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

// lookAround says what --keep left running.
func (s *scene) lookAround() {
	m := s.millrace
	fmt.Printf(`
Everything is still running. Look around:
  status    %[1]s pipeline status --daemon 127.0.0.1:%[2]d
  metrics   curl -s http://127.0.0.1:%[2]d/metrics
  topics    %[1]s admin topic list --namesrv 127.0.0.1:%[3]d
  source    mariadb --protocol=tcp -h 127.0.0.1 -P %[4]d -u root shop
  lake      %[5]s (each table: changes/ and current/, Delta tables; views/*.sql)
  log       %[6]s/millrace-%[7]d.log
Stop everything with Ctrl-C.
`, m.binary, m.http, m.namesrv, s.server.Port, s.lake.dir, m.dir, m.starts)
}

// tearDown stops what the demo started.
func (s *scene) tearDown() error {
	var errs []error
	if s.work != nil {
		s.work.stop()
		s.work.wg.Wait()
	}
	if s.millrace.process != nil {
		if err := s.millrace.process.Signal(syscall.SIGTERM); err == nil {
			select {
			case <-s.millrace.process.Done():
			case <-time.After(20 * time.Second):
				errs = append(errs, errors.New("millrace did not stop within 20 s of SIGTERM"))
				s.millrace.kill()
			}
		}
	}
	if s.db != nil {
		errs = append(errs, s.db.Close())
	}
	return errors.Join(append(errs, s.server.Stop())...)
}
