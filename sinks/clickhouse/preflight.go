package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/sinks/clickhouse/column"
	"github.com/millrace/millrace/sinks/clickhouse/ddl"
	"github.com/millrace/millrace/sinks/clickhouse/server"
)

// oldest is the first version that can do what the sink needs.
var oldest = [2]uint64{24, 8}

// Preflight checks that the server can be reached, that its version and the user's
// privileges suffice, and that it refuses what a closed generation writes.
func (s *Sink) Preflight(ctx context.Context) ([]pipeline.Problem, error) {
	version, err := s.version(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return []pipeline.Problem{{Fatal: true, Thing: "address " + strings.Join(s.cfg.Address, ", "), Found: err.Error(),
			Wanted: "a ClickHouse server that answers the native protocol and lets this user in",
			Remedy: "see address, user, password and tls of the sink; the native protocol is on port 9000, or 9440 with TLS"}}, nil
	}
	var major, minor uint64
	if _, err := fmt.Sscanf(version, "%d.%d", &major, &minor); err != nil || major < oldest[0] || major == oldest[0] && minor < oldest[1] {
		return []pipeline.Problem{{Fatal: true, Thing: "version of the server", Found: version,
			Wanted: fmt.Sprintf("%d.%d or newer", oldest[0], oldest[1]), Remedy: "upgrade the server"}}, nil
	}
	problems := s.missingPrivileges(ctx)
	if slices.ContainsFunc(problems, func(p pipeline.Problem) bool { return p.Fatal }) {
		return problems, nil
	}
	if _, err := s.prepare(ctx); err != nil {
		return []pipeline.Problem{{Fatal: true, Thing: "database " + s.cfg.ControlDatabase, Found: err.Error(),
			Wanted: "a database in which the user may make tables",
			Remedy: fmt.Sprintf("GRANT CREATE DATABASE, CREATE TABLE, SELECT, INSERT ON %s.* TO %s", ddl.Ident(s.cfg.ControlDatabase),
				ddl.Ident(s.cfg.User))}}, nil
	}
	problems = append(problems, s.unknownTypes(ctx)...)
	more, err := s.proveFence(ctx)
	return append(problems, more...), err
}

func (s *Sink) version(ctx context.Context) (version string, err error) {
	err = s.conn.Query(ctx, comment("preflight"), "SELECT version()", func(scan func(...any) error) error { return scan(&version) })
	return version, err
}

// dropTable is what only the removal of tables needs that were read anew or purged.
const dropTable = "DROP TABLE"

// privileges are what the user needs, and where.
func (s *Sink) privileges() []string {
	own := "*.*"
	if !strings.Contains(s.cfg.Database, "{") {
		own = ddl.Ident(s.cfg.Database) + ".*"
	}
	control := ddl.Ident(s.cfg.ControlDatabase) + ".*"
	var out []string
	for _, p := range []string{"CREATE DATABASE", "CREATE TABLE", "CREATE VIEW", "SELECT", "INSERT"} {
		out = append(out, p+" ON "+control)
	}
	for _, p := range []string{"CREATE DATABASE", "CREATE TABLE", "CREATE VIEW", "DROP VIEW", "ALTER ADD COLUMN",
		"ALTER DELETE", "SELECT", "INSERT"} {
		out = append(out, p+" ON "+own)
	}
	return append(out, "SELECT ON system.processes", "KILL QUERY ON *.*", dropTable+" ON "+own)
}

// missingPrivileges asks the server for each one. A server that does not know the question
// says so when the privilege is needed.
func (s *Sink) missingPrivileges(ctx context.Context) (problems []pipeline.Problem) {
	for _, p := range s.privileges() {
		granted := uint8(1)
		err := s.conn.Query(ctx, comment("preflight"), "CHECK GRANT "+p, func(scan func(...any) error) error { return scan(&granted) })
		if err != nil {
			return problems
		}
		if granted == 0 {
			problems = append(problems, pipeline.Problem{Fatal: !strings.HasPrefix(p, dropTable), Thing: "privilege " + p,
				Found:  "not granted to " + s.cfg.User,
				Wanted: "granted", Remedy: "GRANT " + p + " TO " + ddl.Ident(s.cfg.User)})
		}
	}
	return problems
}

// unknownTypes asks the server for each type that was chosen for a column.
func (s *Sink) unknownTypes(ctx context.Context) (problems []pipeline.Problem) {
	for _, table := range slices.Sorted(maps.Keys(s.cfg.Tables)) {
		for name, shape := range s.cfg.Tables[table].Columns {
			a, err := column.ParseAs(shape.Type)
			if err == nil {
				err = s.conn.Exec(ctx, comment("preflight"), "SELECT defaultValueOfTypeName("+ddl.String(a.Text())+")")
			}
			if err != nil {
				problems = append(problems, pipeline.Problem{Fatal: true, Thing: "tables." + table + ".columns." + name + ".type", Found: err.Error(),
					Wanted: "a type that the server has", Remedy: "correct it in the pipeline file"})
			}
		}
	}
	return problems
}

// probe is a target that no table has, with the same few generations always: however often it
// is asked, one row in the fence and one in the ledger say so.
const (
	probe       = "!probe"
	probeClosed = 1
	probeNever  = 2
	probeOpen   = 3
)

// proveFence writes as an owner of a target that is none: under a generation that nobody
// opened, under one that is open, and under one that was opened and is closed.
func (s *Sink) proveFence(ctx context.Context) ([]pipeline.Problem, error) {
	write := func(generation uint64) error {
		return s.conn.Exec(ctx, comment("preflight"), "INSERT INTO "+s.control(ddl.LedgerTable)+
			" (target, slot, ver, _gen, state) SELECT ?, 0, 0, ?, ''", probe, generation)
	}
	into := func(table string, generation uint64) error {
		return s.conn.Exec(ctx, comment("preflight"), "INSERT INTO "+s.control(table)+" SELECT ?, ?, 1", probe, generation)
	}
	problem := func(found string) []pipeline.Problem {
		return []pipeline.Problem{{Fatal: true, Thing: "the fence in database " + s.cfg.ControlDatabase, Found: found,
			Wanted: "the server refuses the blocks of an owner that was replaced",
			Remedy: "have the server check constraints, and let no other program change the tables of this database"}}
	}
	if err := write(probeNever); !errors.Is(err, server.ErrRestarted) {
		return problem(fmt.Sprintf("a block of a generation that nobody opened: %v", err)), ctx.Err()
	}
	if err := errors.Join(into(ddl.LifeTable, probeOpen), into(ddl.LifeTable, probeClosed)); err != nil {
		return problem("open a generation: " + err.Error()), ctx.Err()
	}
	if err := write(probeOpen); err != nil {
		return problem("a block of an open generation: " + err.Error()), ctx.Err()
	}
	if err := into(ddl.FenceTable, probeClosed); err != nil {
		return problem("close a generation: " + err.Error()), ctx.Err()
	}
	if err := write(probeClosed); !errors.Is(err, pipeline.ErrSuperseded) {
		return problem(fmt.Sprintf("a block of a closed generation: %v", err)), ctx.Err()
	}
	return nil, ctx.Err()
}
