package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/millrace/millrace/internal/testenv"
	"github.com/millrace/millrace/internal/testenv/chserver"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
)

// olapSink is the name of the pipeline's sink that writes ClickHouse.
const olapSink = "olap"

// olap is a private ClickHouse. It reads the tables as a user does: a SELECT of the view that
// has the table's name, in the driver's own types. It implements pipeline.Reader.
type olap struct {
	*testenv.ClickHouseServer
	conn driver.Conn
}

func startOLAP(ctx context.Context, dir string) (*olap, error) {
	dir = filepath.Join(dir, "clickhouse")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	s, err := testenv.StartClickHouse(ctx, dir, chserver.Options{})
	if err != nil {
		return nil, err
	}
	conn, err := clickhouse.Open(&clickhouse.Options{Addr: []string{s.Addr}, ReadTimeout: patience})
	if err != nil {
		s.Kill()
		return nil, err
	}
	return &olap{s, conn}, nil
}

// end closes the connections and ends the server.
func (o *olap) end() error {
	err := o.conn.Close()
	o.Kill()
	return err
}

// Close implements pipeline.Reader; the connections are for the whole scene.
func (o *olap) Close() error { return nil }

// Tables are the views.
func (o *olap) Tables(ctx context.Context) (names []event.TableName, err error) {
	rows, err := o.conn.Query(ctx, "SELECT name FROM system.tables WHERE database = 'shop' AND engine = 'View' ORDER BY name")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		name := event.TableName{DB: "shop"}
		if err := rows.Scan(&name.Table); err != nil {
			return nil, err
		}
		names = append(names, name)
	}
	return names, rows.Err()
}

// binaries are the columns of the order database whose values are bytes: ClickHouse has one
// type for them and for text.
var binaries = map[string]bool{"thumbnail": true, "token": true, "place": true}

// Read implements pipeline.Reader.
func (o *olap) Read(ctx context.Context, name event.TableName, columns func([]pipeline.ReadColumn) error,
	row func([]pipeline.Cell) error) error {
	rows, err := o.conn.Query(ctx, fmt.Sprintf("SELECT * FROM `%s`.`%s`", name.DB, name.Table))
	if err != nil {
		return err
	}
	defer rows.Close()
	types := rows.ColumnTypes()
	shown, dest, cells := make([]pipeline.ReadColumn, len(types)), make([]any, len(types)), make([]pipeline.Cell, len(types))
	for i, t := range types {
		shown[i].Name, dest[i] = t.Name(), reflect.New(t.ScanType()).Interface()
	}
	if err := columns(shown); err != nil {
		return err
	}
	for rows.Next() {
		if err := rows.Scan(dest...); err != nil {
			return err
		}
		for i, d := range dest {
			if cells[i], err = olapCell(types[i], reflect.ValueOf(d).Elem()); err != nil {
				return fmt.Errorf("%s.%s: %w", name, types[i].Name(), err)
			}
		}
		if err := row(cells); err != nil {
			return err
		}
	}
	return rows.Err()
}

// olapCell writes a value as pipeline.Cell has it.
func olapCell(t driver.ColumnType, v reflect.Value) (pipeline.Cell, error) {
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return pipeline.Cell{Null: true}, nil
		}
		v = v.Elem()
	}
	var s string
	switch value := v.Interface().(type) {
	case string:
		if s = value; binaries[t.Name()] {
			s = hex.EncodeToString([]byte(value))
		}
	case time.Time:
		s = value.UTC().Format(civil)
		if strings.Contains(t.DatabaseTypeName(), "Date32") {
			s = value.Format(time.DateOnly)
		}
	case time.Duration:
		s = strconv.FormatInt(value.Microseconds(), 10)
	case float32:
		s = strconv.FormatFloat(float64(value), 'g', -1, 32)
	case float64:
		s = strconv.FormatFloat(value, 'g', -1, 64)
	case interface{ StringFixed(int32) string }:
		_, after, _ := strings.Cut(t.DatabaseTypeName(), ", ")
		scale, err := strconv.ParseInt(strings.TrimRight(after, ")"), 10, 32)
		if err != nil {
			return pipeline.Cell{}, fmt.Errorf("no scale in %s: %w", t.DatabaseTypeName(), err)
		}
		s = value.StringFixed(int32(scale))
	default:
		if !v.CanInt() && !v.CanUint() {
			return pipeline.Cell{}, fmt.Errorf("no rendering for %T", value)
		}
		s = fmt.Sprint(value)
	}
	return pipeline.Cell{Text: []byte(s)}, nil
}

// alter changes one customer behind the sink's back.
func (o *olap) alter(ctx context.Context) error {
	const one = "(SELECT min(id) FROM shop.customers)"
	return o.conn.Exec(ctx, "ALTER TABLE shop.customers__cdc UPDATE email = 'altered@example.com' WHERE id = "+one+
		" SETTINGS mutations_sync = 1")
}

// killOLAP kills ClickHouse while rows come, looks that the lake goes on meanwhile, has
// definitions changed behind its back, and starts it again.
func (s *scene) killOLAP(ctx context.Context) error {
	if s.olap == nil {
		return nil
	}
	before, err := s.awaitWritten(ctx, "wait for rows in ClickHouse", olapSink, 0)
	if err != nil {
		return err
	}
	s.olap.Kill()
	s.progress.say("killed ClickHouse (SIGKILL) when it had been sent %d rows; the lake goes on", before)
	for _, statement := range []string{
		"ALTER TABLE shop.payments ADD COLUMN currency CHAR(3) NOT NULL DEFAULT 'EUR' AFTER amount, MODIFY method VARCHAR(40) " +
			"CHARACTER SET utf8mb4 NULL",
		"ALTER TABLE shop.products ADD COLUMN origin VARCHAR(8) NULL",
		"ALTER TABLE shop.products CHANGE origin country VARCHAR(16) NULL",
		"TRUNCATE TABLE shop.audit",
	} {
		if _, err := s.db.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("%s: %w", statement, err)
		}
	}
	s.progress.say("meanwhile columns are added, renamed and given other types, and shop.audit is truncated")
	lake, err := s.awaitWritten(ctx, "wait for the lake to go on", "lake", 1000)
	if err != nil {
		return err
	}
	if err := s.olap.Start(ctx); err != nil {
		return fmt.Errorf("start ClickHouse again: %w", err)
	}
	s.progress.say("the lake got %d more rows without it; ClickHouse is started again", lake)
	if _, err = s.awaitWritten(ctx, "wait for ClickHouse to go on", olapSink, 1); err == nil {
		s.progress.say("ClickHouse goes on")
	}
	return err
}

// awaitWritten waits until a sink has written more than so many rows since the call, and
// returns how many.
func (s *scene) awaitWritten(ctx context.Context, what, sink string, more uint64) (written uint64, err error) {
	var base *uint64
	err = s.millrace.until(ctx, 50*time.Millisecond, what, s.progress.show, func(now pipeline.Status) bool {
		written = 0
		for _, t := range now.Tables {
			for _, one := range t.Sinks {
				if one.Sink == sink {
					written += one.Rows
				}
			}
		}
		if base == nil {
			base = new(uint64)
			if *base = written; more == 0 {
				*base = 0
			}
		}
		written -= min(written, *base)
		return written > more
	})
	return written, err
}

// ages takes how old payments are when a SELECT shows them first.
func (o *olap) ages(ctx context.Context, newest time.Time) (samples []time.Duration, err error) {
	for {
		select {
		case <-time.After(freshnessPoll):
		case <-ctx.Done():
			return samples, nil
		}
		rows, err := o.conn.Query(ctx, "SELECT paid_at FROM shop.payments WHERE paid_at > @newest",
			clickhouse.DateNamed("newest", newest, clickhouse.MicroSeconds))
		if err == nil {
			newest, samples, err = takeAges(rows, newest, samples)
		}
		if err != nil && ctx.Err() == nil {
			return samples, err
		}
	}
}

// takeAges takes the ages of an answer and the newest time in it.
func takeAges(rows driver.Rows, newest time.Time, samples []time.Duration) (time.Time, []time.Duration, error) {
	var paid time.Time
	for rows.Next() {
		if err := rows.Scan(&paid); err != nil {
			return newest, samples, errors.Join(err, rows.Close())
		}
		samples = append(samples, time.Since(paid))
		if paid.After(newest) {
			newest = paid
		}
	}
	return newest, samples, errors.Join(rows.Err(), rows.Close())
}

// show prints a query of ClickHouse and its answer.
func (o *olap) show(ctx context.Context) error {
	const query = "SELECT status, count(), sum(total) FROM shop.orders GROUP BY status ORDER BY status"
	answer, err := o.Admin(ctx, query)
	if err != nil {
		return err
	}
	fmt.Printf("\nClickHouse, asked %q:\n", query)
	for line := range strings.Lines(answer) {
		fmt.Print("  ", strings.ReplaceAll(line, "\t", "  "))
	}
	return nil
}

// lookAround says how what --keep left running is asked.
func (o *olap) lookAround() {
	host, port, _ := strings.Cut(o.Addr, ":")
	fmt.Printf(`ClickHouse %[1]s (the engine, behind a native protocol of the tests' own) answers on %[2]s; shop.orders there is a view with MySQL's rows:
  client    clickhouse client --host %[3]s --port %[4]s -q "SELECT status, count(), sum(total) FROM shop.orders GROUP BY status"
  Python    python3 -c "from clickhouse_driver import Client; print(Client('%[3]s', port=%[4]s).execute('SELECT count() FROM shop.orders'))"
  versions  clickhouse client --host %[3]s --port %[4]s -q "SELECT _seq, _del, * FROM shop.orders__cdc WHERE id = 1"
`, o.Version, o.Addr, host, port)
}
