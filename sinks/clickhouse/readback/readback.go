package readback

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	clickhouse "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
)

// Options say where the views are.
type Options struct {
	Addr           []string
	User, Password string
	TLS            *tls.Config
	Control        string // the database of the sink's bookkeeping
	Pipeline       string
	// Target is the view of a source table.
	Target func(event.TableName) (database, view string)
}

// Reader reads the views of one sink of a pipeline.
type Reader struct {
	conn driver.Conn
	o    Options
}

// New makes a reader. It connects to nothing.
func New(o Options) (*Reader, error) {
	conn, err := clickhouse.Open(&clickhouse.Options{
		Addr: o.Addr, Auth: clickhouse.Auth{Username: o.User, Password: o.Password}, TLS: o.TLS,
		Compression: &clickhouse.Compression{Method: clickhouse.CompressionLZ4}, DialTimeout: 10 * time.Second,
	})
	if err != nil {
		return nil, err
	}
	return &Reader{conn: conn, o: o}, nil
}

// Close closes the connections.
func (r *Reader) Close() error { return r.conn.Close() }

// place is where a source table's view is, and up to when it is complete.
type place struct {
	database, view string
	complete       int64
	log            *changelog
	kept           string
	sums           *sums
	letters        uint64 // the number below which there are none
}

// changelog is what the ledger says of the view of a changelog: its columns' names.
type changelog struct {
	Key   []string `json:"key"`
	Op    string   `json:"op"`
	Seq   string   `json:"seq"`
	Below string   `json:"below"`
	Extra []string `json:"extra"` // those that the source does not have
}

// found is the part of the ledger's state that names a table, and how far it is.
type found struct {
	Pipeline string `json:"pipeline"`
	DB       string `json:"db"`
	Table    string `json:"table"`
	Database string `json:"database"`
	View     string `json:"view"`
	Mode     string `json:"mode"`
	Queues   []struct {
		Done int64 `json:"done"`
	} `json:"queues"`
	Floor uint64     `json:"floor"`
	Route int        `json:"route"`
	Open  []uint64   `json:"open"`
	Due   uint64     `json:"due"`
	Born  uint64     `json:"born"`
	Held  int64      `json:"held"`
	Log   *changelog `json:"log"`
	// Kept is the column that is NULL in the source's rows, and in no other.
	Kept  string `json:"kept"`
	Signs *struct {
		Store   struct{ Number int } `json:"store"`
		Columns [][2]string          `json:"columns"`
	} `json:"signs"`
}

// sums is the table of halves, nil where there is none that can be compared.
func (f *found) sums() *sums {
	if f.Signs == nil || len(f.Signs.Columns) == 0 {
		return nil
	}
	s := &sums{f.Database, f.View + "__signed", map[string]string{}}
	if n := f.Signs.Store.Number; n > 1 {
		s.table += fmt.Sprintf("_%d", n)
	}
	for _, c := range f.Signs.Columns {
		s.columns[c[0]] = c[1]
	}
	return s
}

// complete is the least of the queues' times, or, under an attempt, what held before it.
func (f *found) complete() int64 {
	if f.Due != 0 || len(f.Open) > 0 || f.Floor == 0 && f.Born == 0 {
		return f.Held
	}
	if len(f.Queues) == 0 || len(f.Queues) < f.Route {
		return 0
	}
	least := f.Queues[0].Done
	for _, q := range f.Queues {
		least = min(least, q.Done)
	}
	return least
}

func (r *Reader) places(ctx context.Context) (map[event.TableName]place, error) {
	rows, err := r.conn.Query(ctx, "SELECT target, argMax(state, ver) FROM "+name(r.o.Control, "ledger")+" WHERE slot > 0 GROUP BY target")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	out := map[event.TableName]place{}
	for rows.Next() {
		var target, state string
		if err := rows.Scan(&target, &state); err != nil {
			return nil, err
		}
		var f found
		if err := json.Unmarshal([]byte(state), &f); err != nil {
			return nil, fmt.Errorf("ledger of %s: %w", target, err)
		}
		name := event.TableName{DB: f.DB, Table: f.Table}
		if database, view := r.o.Target(name); f.Pipeline == r.o.Pipeline && f.Database == database && f.View == view {
			p := place{database: database, view: view, complete: f.complete(), log: f.Log, kept: f.Kept, sums: f.sums(), letters: f.Floor}
			if f.Mode == "changelog" { // what is gone has been there
				p.letters = 0
			}
			out[name] = p
		}
	}
	return out, rows.Err()
}

// Tables implements pipeline.Reader.
func (r *Reader) Tables(ctx context.Context) ([]event.TableName, error) {
	places, err := r.places(ctx)
	var names []event.TableName
	for t := range places {
		names = append(names, t)
	}
	return names, err
}

// placeOf is where a table is; pipeline.ErrNoTable where the ledger does not have it.
func (r *Reader) placeOf(ctx context.Context, table event.TableName) (place, error) {
	places, err := r.places(ctx)
	if err != nil {
		return place{}, err
	}
	p, ok := places[table]
	if !ok {
		return place{}, fmt.Errorf("find %s in the ledger %s.ledger: %w", table, r.o.Control, pipeline.ErrNoTable)
	}
	return p, nil
}

// Read implements pipeline.Reader.
func (r *Reader) Read(ctx context.Context, table event.TableName,
	columns func([]pipeline.ReadColumn) error, row func([]pipeline.Cell) error) error {
	p, err := r.placeOf(ctx, table)
	if err != nil {
		return err
	}
	// The view that has the texts of what columns can't hold, if there is one.
	more := place{database: p.database, view: p.view + "__raw", log: p.log, kept: p.kept, sums: p.sums}
	cols, err := r.columns(ctx, more)
	if err == nil && len(cols) > 0 {
		p = more
	} else if err == nil {
		cols, err = r.columns(ctx, p)
	}
	if err != nil {
		return err
	}
	if len(cols) == 0 {
		return fmt.Errorf("find the view %s.%s: %w", p.database, p.view, pipeline.ErrNoTable)
	}
	if p.log != nil {
		cols = slices.DeleteFunc(cols, func(c viewColumn) bool { return slices.Contains(p.log.Extra, c.name) })
	}
	if p.kept != "" {
		n := len(cols)
		if cols = slices.DeleteFunc(cols, func(c viewColumn) bool { return c.name == p.kept }); len(cols) == n {
			return fmt.Errorf("the view %s.%s does not tell rows that were kept though they were deleted: it has no column %s yet", p.database, p.view, p.kept)
		}
	}
	shown, list := make([]pipeline.ReadColumn, len(cols)), make([]string, len(cols))
	for i, c := range cols {
		shown[i].Name, shown[i].Own, list[i] = c.name, c.native == "", c.expression()
		if of, ok := strings.CutPrefix(c.native, "text of "); ok {
			shown[i].RawOf = of
			if at := slices.IndexFunc(cols, func(c viewColumn) bool { return c.name == of }); at >= 0 {
				cols[i].raw = &cols[at]
			}
		}
	}
	if err := columns(shown); err != nil {
		return err
	}
	from, err := p.from(cols)
	if err != nil {
		return err
	}
	rows, err := r.conn.Query(ctx, "SELECT "+strings.Join(list, ", ")+" FROM "+from)
	if err != nil {
		return err
	}
	return errors.Join(each(rows, cols, row), rows.Close())
}

// from is where the present rows are: the view, or its replay if it is one of a changelog.
// Without a key, rows are there as often as they came and did not go.
func (p *place) from(cols []viewColumn) (string, error) {
	view := name(p.database, p.view)
	if p.kept != "" {
		view += " WHERE " + quoted(p.kept) + " IS NULL"
	}
	switch {
	case p.sums != nil:
		return p.sums.compared("(SELECT * FROM "+view+")", cols)
	case p.kept != "":
		return view, nil
	case p.log == nil:
		return view, nil
	}
	op, seq := quoted(p.log.Op), quoted(p.log.Seq)
	changes := fmt.Sprintf("%s WHERE %s != 'x' AND %s >= (SELECT max(%s) FROM %[1]s)", view, op, seq, quoted(p.log.Below))
	if len(p.log.Key) > 0 {
		return fmt.Sprintf("(SELECT * FROM %s ORDER BY %s DESC LIMIT 1 BY %s) WHERE %s != 'd'", changes, seq, names(p.log.Key), op), nil
	}
	list := make([]string, len(cols))
	for i := range cols {
		list[i] = cols[i].name
	}
	return fmt.Sprintf("(SELECT %s, toInt64(sum(if(%s = 'd', -1, 1))) AS _n FROM %s GROUP BY %[1]s HAVING _n > 0) ARRAY JOIN range(_n) AS _i", names(list), op, changes), nil
}

func names(list []string) string {
	out := make([]string, len(list))
	for i := range list {
		out[i] = quoted(list[i])
	}
	return strings.Join(out, ", ")
}

// CompleteTo implements pipeline.DatedReader: the source's commit time up to which the ledger
// says that everything is there.
func (r *Reader) CompleteTo(ctx context.Context, table event.TableName) (time.Time, error) {
	places, err := r.places(ctx)
	if err != nil {
		return time.Time{}, err
	}
	p, ok := places[table]
	if !ok || p.complete == 0 {
		return time.Time{}, nil
	}
	return time.UnixMicro(p.complete).UTC(), nil
}

func each(rows driver.Rows, cols []viewColumn, row func([]pipeline.Cell) error) error {
	dest, cells := make([]any, len(cols)), make([]pipeline.Cell, len(cols))
	for i := range cols {
		dest[i] = cols[i].destination()
	}
	for rows.Next() {
		if err := rows.Scan(dest...); err != nil {
			return err
		}
		for i := range cols {
			cells[i] = cols[i].cell(dest[i])
		}
		if err := row(cells); err != nil {
			return err
		}
	}
	return rows.Err()
}

func (r *Reader) columns(ctx context.Context, p place) ([]viewColumn, error) {
	rows, err := r.conn.Query(ctx, "SELECT name, type, comment FROM system.columns WHERE database = ? AND table = ? ORDER BY position", p.database, p.view)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []viewColumn
	for rows.Next() {
		var c viewColumn
		if err := rows.Scan(&c.name, &c.typ, &c.native); err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	return out, rows.Err()
}

func name(database, table string) string { return quoted(database) + "." + quoted(table) }

func quoted(s string) string {
	return "`" + strings.NewReplacer("\\", "\\\\", "`", "\\`").Replace(s) + "`"
}
