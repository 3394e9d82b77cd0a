package clickhouse

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/sinks/clickhouse/column"
	"github.com/millrace/millrace/sinks/clickhouse/ddl"
	"github.com/millrace/millrace/sinks/clickhouse/server"
)

// Sink writes the tables of a pipeline into one server. OpenTable may be called from any
// goroutine.
type Sink struct {
	cfg     Config
	conn    *server.Conn
	log     *slog.Logger
	metrics *metrics
	now     func() time.Time
	// windowRows is how many numbers are asked for at a time.
	windowRows int
	// patience is how long a claim waits for inserts of earlier owners before it ends them.
	patience time.Duration

	// mu guards what was found out about the server and about who else is at work there.
	mu    sync.Mutex
	known *abilities
	// owners are the source tables that have targets here, by the target's name.
	owners map[ddl.Name]event.TableName
	// origin is that of the newest claim; seen are rivals' signs, by target.
	origin string
	seen   map[string]sighting
}

// abilities are what a server can do, and that the bookkeeping is there.
type abilities struct {
	types  column.Options
	status bool // the status table is this version's
}

// patience is Sink's where nothing else is said.
const patience = 30 * time.Second

// New checks the configuration and makes the sink. It connects to nothing. reg may be nil.
func New(cfg Config, log *slog.Logger, reg prometheus.Registerer) (*Sink, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	o, err := cfg.options()
	if err != nil {
		return nil, err
	}
	conn, err := server.Open(o)
	if err != nil {
		return nil, err
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Sink{
		cfg: cfg, conn: conn, log: log, metrics: newMetrics(reg), now: time.Now,
		windowRows: windowRows, patience: patience, seen: map[string]sighting{},
	}, nil
}

// Close closes the connections; its tables are closed by their owners.
func (s *Sink) Close() error { return s.conn.Close() }

// OpenTable claims a table (K2): it closes lower generations, then reads the marks back.
func (s *Sink) OpenTable(ctx context.Context, claim pipeline.Claim) (pipeline.SinkTable, error) {
	t, err := s.openTable(ctx, claim)
	if err != nil {
		return nil, err
	}
	return t, nil
}

// prepare makes the bookkeeping, once, and finds out what the server can do.
func (s *Sink) prepare(ctx context.Context) (*abilities, error) {
	s.mu.Lock()
	known := s.known
	s.mu.Unlock()
	if known != nil {
		return known, nil
	}
	if err := s.conn.Learn(ctx, comment("control")); err != nil {
		return nil, err
	}
	if err := s.makeDatabase(ctx, comment("control"), s.cfg.ControlDatabase); err != nil {
		return nil, fmt.Errorf("make the database of the bookkeeping: %w", err)
	}
	for _, statement := range ddl.Control(s.cfg.ControlDatabase) {
		if err := s.conn.Exec(ctx, comment("control"), statement); err != nil {
			return nil, fmt.Errorf("make the bookkeeping in database %s: %w", s.cfg.ControlDatabase, err)
		}
	}
	known = &abilities{}
	err := s.conn.Query(ctx, comment("control"), "SELECT count() FROM system.data_type_families WHERE name = 'Time64'",
		func(scan func(...any) error) error {
			var n uint64
			err := scan(&n)
			known.types.Time64 = n > 0
			return err
		})
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known = known
	return known, nil
}

// makeDatabase makes a database that is not there. One that is there needs no privilege for it.
func (s *Sink) makeDatabase(ctx context.Context, comment, name string) error {
	there := uint64(0)
	err := s.conn.Query(ctx, comment, "SELECT count() FROM system.databases WHERE name = ?",
		func(scan func(...any) error) error { return scan(&there) }, name)
	if err != nil || there > 0 {
		return err
	}
	return s.conn.Exec(ctx, comment, "CREATE DATABASE IF NOT EXISTS "+ddl.Ident(name))
}

// own gives a target to a source table. Another table of this sink may have it already: until the
// ledger says whose it is, nothing else would tell.
func (s *Sink) own(target ddl.Name, table event.TableName) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if owner, ok := s.owners[target]; ok && owner != table {
		return fmt.Errorf("%w: %s is the target of %s already; have database and table of this sink name each source table's own target",
			pipeline.ErrUnwritable, target.Plain(), owner)
	}
	if s.owners == nil {
		s.owners = map[ddl.Name]event.TableName{}
	}
	s.owners[target] = table
	return nil
}

// forget has the bookkeeping looked for again.
func (s *Sink) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known = nil
}

// comment is what a statement says of itself in system.processes.
func comment(what string) string { return "millrace/" + what }

func (s *Sink) control(table string) string {
	return ddl.Name{Database: s.cfg.ControlDatabase, Table: table}.String()
}

var _ pipeline.Sink = (*Sink)(nil)
