package mysql

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/millrace/millrace/connectors/mysql/account"
	"github.com/millrace/millrace/connectors/mysql/decode"
	"github.com/millrace/millrace/connectors/mysql/schema"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
)

// preflight is one run of the checks.
type preflight struct {
	cfg    *Config
	db     *sql.DB
	server server
	vars   map[string]string
	found  []pipeline.Problem
}

// Preflight implements pipeline.Source.
func (s *Source) Preflight(ctx context.Context) ([]pipeline.Problem, error) {
	who := s.cfg.Account()
	who.Server = account.NewServer(nil)
	db, err := s.cfg.openDB(who)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	p := &preflight{cfg: &s.cfg, db: db}
	if p.server, err = ask(ctx, db, who); err != nil {
		return nil, s.cfg.unreached(err)
	}
	p.vars, err = variables(ctx, db, "log_bin", "binlog_format", "binlog_row_image", "binlog_row_value_options",
		"gtid_mode", "gtid_strict_mode",
		"sync_binlog", "binlog_expire_logs_seconds", "expire_logs_days", "server_id", "log_replica_updates", "log_slave_updates",
		"binlog_storage_engine", "vitess_version")
	if err != nil {
		return nil, err
	}
	p.logSettings()
	p.identity(ctx)
	p.privileges(ctx)
	p.triggers(ctx)
	if err := p.tables(ctx); err != nil {
		return nil, err
	}
	return p.found, nil
}

// Definition is a table's as the server has it now, nil where it has none. It asks over a
// connection of its own.
func (s *Source) Definition(ctx context.Context, name event.TableName) (*event.Schema, error) {
	who := s.cfg.Account()
	who.Server = account.NewServer(nil)
	db, err := s.cfg.openDB(who)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	srv, err := ask(ctx, db, who)
	if err != nil {
		return nil, s.cfg.unreached(err)
	}
	l, err := schema.Load(ctx, db, name, srv.maria)
	if err != nil || l == nil {
		return nil, err
	}
	return l.Schema, nil
}

func (p *preflight) fatal(thing, found, wanted, remedy string) {
	p.found = append(p.found, pipeline.Problem{Fatal: true, Thing: thing, Found: found, Wanted: wanted, Remedy: remedy})
}

func (p *preflight) warn(thing, found, wanted, remedy string) {
	p.found = append(p.found, pipeline.Problem{Thing: thing, Found: found, Wanted: wanted, Remedy: remedy})
}

// logSettings checks what is in the log and how long it is kept.
func (p *preflight) logSettings() {
	v := p.vars
	if v["log_bin"] != "ON" {
		p.fatal("log_bin", v["log_bin"], "ON", "start the server with log_bin=binlog in its [mysqld] section")
	}
	if e := v["binlog_storage_engine"]; e != "" {
		p.fatal("binlog_storage_engine", e, "empty", "start the server without binlog_storage_engine: a log inside of InnoDB is not read yet")
	}
	if f := v["binlog_format"]; f != "" && f != "ROW" && !p.cfg.AllowStatementFormat {
		p.fatal("binlog_format", f, "ROW", "SET GLOBAL binlog_format='ROW'; and binlog_format=ROW in the server's configuration; sessions that "+
			"are open keep the old value")
	}
	if i := v["binlog_row_image"]; i != "" && i != "FULL" {
		p.fatal("binlog_row_image", i, "FULL", "SET GLOBAL binlog_row_image='FULL'; and binlog_row_image=FULL in the server's configuration; "+
			"sessions that are open keep the old value")
	}
	if o := v["binlog_row_value_options"]; o != "" {
		p.fatal("binlog_row_value_options", o, "empty", "SET GLOBAL binlog_row_value_options=''; and take it out of the server's configuration")
	}
	if n := v["sync_binlog"]; n != "1" {
		p.warn("sync_binlog", n, "1", "SET GLOBAL sync_binlog=1; otherwise a crash of the machine can take back changes that were read, which "+
			"pauses the pipeline until a new snapshot")
	}
	if p.server.maria && v["gtid_strict_mode"] != "ON" {
		p.warn("gtid_strict_mode", v["gtid_strict_mode"], "ON",
			"SET GLOBAL gtid_strict_mode=ON; otherwise two servers may write different transactions under one GTID")
	}
	if !p.server.maria && v["gtid_mode"] != "ON" {
		p.warn("gtid_mode", v["gtid_mode"], "ON", "turn GTIDs on (gtid_mode=ON, enforce_gtid_consistency=ON); without them another server "+
			"cannot take this one's place, and snapshots lock the rows they read")
	}
	if v["log_replica_updates"] == "OFF" || v["log_slave_updates"] == "OFF" {
		p.warn("log_replica_updates", "OFF", "ON", "if this server is a replica, start it with log_replica_updates=ON (log_slave_updates); "+
			"otherwise it does not log what it replicates")
	}
	p.retention()
}

func (p *preflight) retention() {
	seconds, _ := strconv.ParseFloat(p.vars["binlog_expire_logs_seconds"], 64)
	name := "binlog_expire_logs_seconds"
	if _, ok := p.vars[name]; !ok {
		days, _ := strconv.ParseFloat(p.vars["expire_logs_days"], 64)
		seconds, name = days*86400, "expire_logs_days"
	}
	if seconds > 0 && seconds < 86400 {
		p.warn(name, p.vars[name], "a day or more", "SET GLOBAL "+name+
			" to what the pipeline may be stopped for; logs purged before they are read force a new snapshot")
	}
}

// identity checks that nobody else is who we say we are.
func (p *preflight) identity(ctx context.Context) {
	if p.vars["server_id"] == "0" {
		p.fatal("server_id of the server", "0", "not 0", "start the server with a server_id of its own")
	}
	if p.cfg.ServerID != 0 && p.vars["server_id"] == strconv.FormatUint(uint64(p.cfg.ServerID), 10) {
		p.fatal("source.server_id", p.vars["server_id"], "a number that no server uses", "change source.server_id, or leave it out")
	}
	statement := "SHOW REPLICAS"
	if p.server.maria && p.server.number < 1005 || !p.server.maria && p.server.number < 801 {
		statement = "SHOW SLAVE HOSTS"
	}
	rows, err := p.db.QueryContext(ctx, statement)
	if err != nil {
		return // privileges tells
	}
	defer rows.Close()
	cols, _ := rows.Columns()
	for rows.Next() {
		dest := make([]any, len(cols))
		var id sql.NullString
		for i := range dest {
			dest[i] = new(sql.RawBytes)
		}
		dest[0] = &id
		if rows.Scan(dest...) == nil && p.cfg.ServerID != 0 && id.String == strconv.FormatUint(uint64(p.cfg.ServerID), 10) {
			p.fatal("source.server_id", id.String, "a number that no other replica uses",
				"stop the other reader, or change source.server_id, or leave it out")
		}
	}
	if d := p.server.ahead.Abs(); d > 30*time.Second {
		p.warn("clock", fmt.Sprintf("the server's is %s off", p.server.ahead.Round(time.Second)), "in step",
			"synchronise the clocks of both machines; lag is corrected for it, times in logs are not")
	}
}

// privileges tries what will be needed.
func (p *preflight) privileges(ctx context.Context) {
	grant := func(what string) string { return "GRANT " + what + " ON *.* TO " + p.cfg.User }
	if p.vars["log_bin"] == "ON" {
		if _, _, err := p.server.logEnd(ctx, p.db); err != nil {
			what := "REPLICATION CLIENT"
			if p.server.maria {
				what = "BINLOG MONITOR"
			}
			p.fatal("privilege "+what, err.Error(), "the log's position can be asked for", grant(what))
		}
	}
	rows, err := p.db.QueryContext(ctx, "SHOW GRANTS")
	if err != nil {
		return
	}
	defer rows.Close()
	var all []string
	for rows.Next() {
		var g string
		if rows.Scan(&g) == nil {
			all = append(all, strings.ToUpper(g))
		}
	}
	text := strings.Join(all, "\n")
	if strings.Contains(text, "ALL PRIVILEGES ON *.*") {
		return
	}
	if !strings.Contains(text, "REPLICATION SLAVE") && !strings.Contains(text, "REPLICATION REPLICA") {
		p.fatal("privilege REPLICATION SLAVE", "not granted", "the log can be read", grant("REPLICATION SLAVE"))
	}
}

// triggers warns, where sessions may log statements, of triggers that would not be seen.
func (p *preflight) triggers(ctx context.Context) {
	grants, err := (questions{p.db}).grants(ctx)
	if err != nil || !p.server.logsStatements(p.cfg) || showsTriggers(grants, event.TableName{}) {
		return
	}
	p.warn("privilege TRIGGER", "not granted on *.*", "triggers can be seen", "GRANT TRIGGER ON *.* TO "+p.cfg.User+
		"; otherwise a statement without row events that writes to a table whose triggers are not shown pauses every table")
}

// tables looks at what the patterns take in.
func (p *preflight) tables(ctx context.Context) error {
	filter, err := schema.ParseFilter(p.cfg.Tables)
	if err != nil {
		return err
	}
	loaded, err := schema.LoadAll(ctx, p.db, filter, p.server.maria)
	if err != nil {
		return err
	}
	if len(loaded) == 0 {
		p.warn("tables", "none", "at least one", "the patterns take in no table that the account can see; GRANT SELECT on them, "+
			"or correct source.tables")
	}
	names := slices.SortedFunc(maps.Keys(loaded), func(a, b event.TableName) int { return strings.Compare(a.String(), b.String()) })
	cascades, err := p.server.cascades(ctx, p.db, names)
	if err != nil {
		return err
	}
	for _, n := range names {
		p.table(ctx, n, loaded[n])
		if cascades[n] {
			p.warn("table "+n.String(), "a foreign key with CASCADE or SET NULL changes it", "no such key",
				"MariaDB logs such changes nowhere; do them in the application. A snapshot of the table follows each one that is noticed")
		}
	}
	for name := range p.cfg.Keys {
		t, err := event.ParseTableName(name)
		if err != nil || loaded[t] == nil {
			continue
		}
		if _, _, err := p.cfg.newTable(loaded[t].Schema); err != nil {
			p.fatal("tables."+name+".key", err.Error(), "columns of the table", "correct the key in the pipeline file")
		}
	}
	return nil
}

func (p *preflight) table(ctx context.Context, n event.TableName, l *schema.Loaded) {
	thing := "table " + n.String()
	if l.Versioned {
		p.warn(thing, versionedText, "a table without former rows", "take the table out with \"!"+n.String()+"\", or ALTER TABLE "+
			schema.QuoteTable(n)+" DROP SYSTEM VERSIONING; until then it is paused")
		return
	}
	for i := range l.Schema.Columns {
		if err := decode.Supported(&l.Schema.Columns[i]); err != nil {
			p.warn(thing, err.Error(), "columns that can be captured", "convert the column, or take the table out with \"!"+n.String()+
				"\"; until then it is paused")
			return
		}
	}
	if _, err := oneRow(ctx, p.db, "SELECT 1 FROM "+schema.QuoteTable(n)+" LIMIT 1"); err != nil {
		p.fatal(thing, err.Error(), "readable", "GRANT SELECT ON "+schema.QuoteTable(n)+" TO "+p.cfg.User)
	}
	if large := largeColumns(l.Schema); large != "" {
		p.warn(thing, large+" can hold more than a row may have", "rows of at most 4 MiB, the broker's maxMessageSize (up to 15 MiB)",
			"nothing, if no row is larger; one that is pauses the table and is named by its key")
	}
	if len(l.Schema.PrimaryKey) == 0 {
		p.warn(thing, "neither a primary key nor a unique key over NOT NULL columns", "a key",
			"add one; without it the table becomes a changelog with signs, and its snapshot stops the reader while it is read")
	}
	if e := strings.ToUpper(l.Engine); e != "INNODB" && e != "ROCKSDB" {
		p.warn(thing, "engine "+l.Engine, "InnoDB", "ALTER TABLE "+schema.QuoteTable(n)+
			" ENGINE=InnoDB; a snapshot of a table without transactions can miss writes made while it is read")
	}
}

// largeColumns names the columns of which one value can be more than a message holds.
func largeColumns(s *event.Schema) string {
	var out []string
	for i := range s.Columns {
		switch c := &s.Columns[i]; decode.BaseType(c.Native) {
		case "longblob", "longtext", "mediumblob", "mediumtext":
			if c.Type != event.TypeJSON {
				out = append(out, c.Name+" "+c.Native)
			}
		}
	}
	return strings.Join(out, ", ")
}
