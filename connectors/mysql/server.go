package mysql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	driver "github.com/go-sql-driver/mysql"

	"github.com/millrace/millrace/connectors/mysql/account"
	"github.com/millrace/millrace/connectors/mysql/stream"
)

// server is what one connection for questions found out about the other side.
type server struct {
	maria     bool
	version   string
	number    int // major*100+minor
	identity  string
	gtid      bool
	strict    bool // MariaDB: numbers of a domain only rise
	lowerCase bool
	format    string // binlog_format of new sessions
	// ahead is the server's clock minus ours.
	ahead time.Duration
}

// openDB makes the pool for questions; what it is asked, one server answers.
func (c *Config) openDB(who account.Account) (*sql.DB, error) {
	db, err := who.DB(func(cfg *driver.Config) {
		cfg.ReadTimeout, cfg.WriteTimeout = 30*time.Minute, time.Minute
		cfg.InterpolateParams = true
	})
	if err != nil {
		return nil, err
	}
	db.SetMaxIdleConns(idleConns)
	db.SetConnMaxIdleTime(time.Minute)
	return db, nil
}

const idleConns = 2

// reconnect has the next question asked over a new connection: a privilege that was
// granted for the whole server holds for new connections only.
func reconnect(db *sql.DB) {
	db.SetMaxIdleConns(-1)
	db.SetMaxIdleConns(idleConns)
}

// ask finds out who the server is.
func ask(ctx context.Context, db *sql.DB, who account.Account) (server, error) {
	var s server
	var now string
	var lower int
	sent := time.Now()
	if err := db.QueryRowContext(ctx, "SELECT VERSION(), @@lower_case_table_names, UTC_TIMESTAMP(6)").Scan(&s.version,
		&lower, &now); err != nil {
		return s, fmt.Errorf("ask the server who it is: %w", err)
	}
	if t, err := time.Parse("2006-01-02 15:04:05.999999", now); err == nil {
		s.ahead = t.Sub(sent.Add(time.Since(sent) / 2))
	}
	s.identity = who.Server.Identity()
	s.maria = strings.Contains(s.version, "MariaDB")
	s.lowerCase = lower != 0
	s.number = versionNumber(s.version)
	vars, err := variables(ctx, db, "gtid_mode", "gtid_strict_mode", "binlog_format")
	if err != nil {
		return s, err
	}
	s.gtid = s.maria || vars["gtid_mode"] == "ON"
	s.format = vars["binlog_format"]
	s.strict = vars["gtid_strict_mode"] == "ON"
	return s, nil
}

// variables reads global variables; those the server does not have are missing.
func variables(ctx context.Context, db *sql.DB, names ...string) (map[string]string, error) {
	rows, err := db.QueryContext(ctx, "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('"+strings.Join(names, "','")+"')")
	if err != nil {
		return nil, fmt.Errorf("read the server's settings: %w", err)
	}
	defer rows.Close()
	out := map[string]string{}
	for rows.Next() {
		var k, v string
		if err := rows.Scan(&k, &v); err != nil {
			return nil, fmt.Errorf("read the server's settings: %w", err)
		}
		out[strings.ToLower(k)] = v
	}
	return out, rows.Err()
}

func versionNumber(v string) int {
	f := strings.SplitN(v, ".", 3)
	if len(f) < 2 {
		return 0
	}
	major, _ := strconv.Atoi(f[0])
	minor, _ := strconv.Atoi(f[1])
	return major*100 + minor
}

// querier runs one-row questions; *sql.DB, *sql.Conn and *sql.Tx do.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// logPlace asks for the end of the server's log; row is all that the server says of it.
func (s *server) logPlace(ctx context.Context, q querier) (at place, row []string, err error) {
	statement := "SHOW MASTER STATUS"
	if !s.maria && s.number >= 802 {
		statement = "SHOW BINARY LOG STATUS"
	}
	if row, err = oneRow(ctx, q, statement); err != nil {
		return place{}, nil, fmt.Errorf("%s: %w", statement, err)
	}
	if len(row) < 2 {
		return place{}, nil, errors.New("the server writes no binary log; start it with log_bin")
	}
	pos, err := strconv.ParseUint(row[1], 10, 64)
	if err != nil {
		return place{}, nil, fmt.Errorf("%s: position %q", statement, row[1])
	}
	return place{file: row[0], pos: pos}, row, nil
}

// logEnd asks for the end of the server's log, and the transactions executed there.
func (s *server) logEnd(ctx context.Context, q querier) (place, string, error) {
	at, row, err := s.logPlace(ctx, q)
	if err != nil {
		return place{}, "", err
	}
	if s.maria {
		set, err := oneRow(ctx, q, fmt.Sprintf("SELECT BINLOG_GTID_POS('%s', %d)", at.file, at.pos))
		if err != nil || len(set) == 0 {
			return at, "", errors.Join(errors.New("BINLOG_GTID_POS gave nothing"), err)
		}
		return at, set[0], nil
	}
	if !s.gtid || len(row) < 5 {
		return at, "", nil
	}
	return at, strings.ReplaceAll(row[4], "\n", ""), nil
}

// oneRow runs a query and returns the first row's texts; nil when there is none.
func oneRow(ctx context.Context, q querier, query string) ([]string, error) {
	rows, err := q.QueryContext(ctx, query)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	cols, err := rows.Columns()
	if err != nil || !rows.Next() {
		return nil, errors.Join(err, rows.Err())
	}
	vals := make([]sql.NullString, len(cols))
	dest := make([]any, len(cols))
	for i := range vals {
		dest[i] = &vals[i]
	}
	if err := rows.Scan(dest...); err != nil {
		return nil, err
	}
	out := make([]string, len(vals))
	for i := range vals {
		out[i] = vals[i].String
	}
	return out, rows.Close()
}

// logFile looks for a file of the log; size is its length.
func (s *server) logFile(ctx context.Context, db *sql.DB, name string) (size uint64, ok bool, err error) {
	rows, err := db.QueryContext(ctx, "SHOW BINARY LOGS")
	if err != nil {
		return 0, false, fmt.Errorf("SHOW BINARY LOGS: %w", err)
	}
	defer rows.Close()
	cols, err := rows.Columns()
	if err != nil {
		return 0, false, err
	}
	for rows.Next() {
		dest := make([]any, len(cols))
		var file string
		var n uint64
		dest[0], dest[1] = &file, &n
		for i := 2; i < len(dest); i++ {
			dest[i] = new(sql.NullString)
		}
		if err := rows.Scan(dest...); err != nil {
			return 0, false, fmt.Errorf("SHOW BINARY LOGS: %w", err)
		}
		if file == name {
			return n, true, nil
		}
	}
	return 0, false, rows.Err()
}

// place is a point in the log. Files are ordered by the number at their end.
type place struct {
	file string
	pos  uint64
}

// startOf is where the event that holds e begins.
func startOf(e *stream.Event) place { return place{file: e.Place.File, pos: e.Place.Start} }

func (p place) String() string { return fmt.Sprintf("%s:%d", p.file, p.pos) }

// less orders two places of one server's log.
func (p place) less(q place) bool {
	if p.file == q.file {
		return p.pos < q.pos
	}
	return fileNumber(p.file) < fileNumber(q.file)
}

func fileNumber(name string) uint64 {
	n, _ := strconv.ParseUint(name[strings.LastIndexByte(name, '.')+1:], 10, 64)
	return n
}

// temporary reports whether trying again can help.
func temporary(err error) bool {
	var my *driver.MySQLError
	if errors.As(err, &my) {
		switch my.Number {
		case 1040, 1053, 1077, 1079, 1152, 1158, 1159, 1160, 1161, 1184, 1203, 1205, 1213, 1317, 1927, 3032:
			return true
		}
		return false
	}
	for _, e := range []error{stream.ErrPurged, stream.ErrBeyond, stream.ErrDenied} {
		if errors.Is(err, e) {
			return false
		}
	}
	var ne net.Error
	return errors.As(err, &ne) || !errors.Is(err, context.Canceled)
}
