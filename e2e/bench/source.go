package main

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-mysql-org/go-mysql/mysql"
	"github.com/go-mysql-org/go-mysql/replication"

	"github.com/millrace/millrace/internal/testenv"
)

// source is the private database that the pipelines read.
type source struct {
	server *testenv.Server
	db     *sql.DB
}

func (b *bench) startSource(ctx context.Context) (*source, func(), error) {
	dir, drop, err := b.scratch("mariadb")
	if err != nil {
		return nil, nil, err
	}
	b.say("looking for a MariaDB server (the first time one may be unpacked into the cache)")
	server, err := testenv.StartMariaDB(ctx, dir, testenv.ServerOptions{Args: []string{
		"--max-connections=100", "--innodb-flush-log-at-trx-commit=2", "--sync-binlog=0", "--innodb-buffer-pool-size=1G",
		"--innodb-log-file-size=1G", "--max-binlog-size=1G", "--tmpdir=" + dir,
	}})
	if err != nil {
		drop()
		return nil, nil, err
	}
	s := &source{server: server}
	stop := func() { server.Kill(); drop() }
	if s.db, err = server.Open(""); err != nil {
		stop()
		return nil, nil, err
	}
	_, err = s.db.ExecContext(ctx, `CREATE DATABASE shop; CREATE DATABASE large; SET GLOBAL max_allowed_packet = 64*1024*1024;
		CREATE USER 'millrace'@'%' IDENTIFIED BY 'millrace-bench';
		GRANT SELECT, REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO 'millrace'@'%'`)
	if err != nil {
		stop()
		return nil, nil, fmt.Errorf("prepare MariaDB: %w", err)
	}
	b.say("%s answers on %s", server.Version, server.Addr)
	return s, stop, nil
}

// createOrders makes a table whose rows take about 160 bytes in the binary log.
func (s *source) createOrders(ctx context.Context, table string) error {
	_, err := s.db.ExecContext(ctx, `CREATE TABLE `+table+` (
		id BIGINT NOT NULL PRIMARY KEY,
		customer_id BIGINT UNSIGNED NOT NULL,
		status ENUM('new','paid','shipped','returned','cancelled') NOT NULL,
		total DECIMAL(12,2) NOT NULL,
		currency CHAR(3) CHARACTER SET ascii NOT NULL,
		address VARCHAR(120) CHARACTER SET utf8mb4 NOT NULL,
		note VARCHAR(120) CHARACTER SET utf8mb4 NULL,
		placed_at DATETIME(6) NOT NULL,
		updated_at TIMESTAMP(6) NULL)`)
	if err != nil {
		return fmt.Errorf("create %s: %w", table, err)
	}
	return nil
}

// orderRow is a row made out of a number of MariaDB's sequences.
const orderRow = `seq, 1+(seq*7919)%100000, 1+seq%5, (seq%100000)/100, 'EUR',
	CONCAT(LPAD(seq, 7, '0'), ' Große Bleichen, 20354 Hamburg, Germany'), CONCAT('please ring the bell twice, order ', seq, REPEAT('.', 20)),
	DATE_ADD('2024-01-01 00:00:00.5', INTERVAL seq SECOND), DATE_ADD('2024-06-01 00:00:00.5', INTERVAL seq SECOND)`

// insertMany inserts rows 1 to n in statements of size rows, each a transaction.
func (s *source) insertMany(ctx context.Context, table string, n, size int) error {
	for from := 1; from <= n; from += size {
		query := "INSERT INTO " + table + " SELECT " + orderRow + fmt.Sprintf(" FROM shop.seq_%d_to_%d", from, min(n, from+size-1))
		if _, err := s.db.ExecContext(ctx, query); err != nil {
			return fmt.Errorf("fill %s: %w", table, err)
		}
	}
	return nil
}

// insertSingle inserts rows 1 to n, each in a transaction of its own.
func (s *source) insertSingle(ctx context.Context, table string, n int) error {
	const chunk, workers = 200, 4
	var (
		wg   sync.WaitGroup
		next atomic.Int64
		errs = make([]error, workers)
	)
	for w := range workers {
		wg.Go(func() {
			for {
				from := int(next.Add(chunk)) - chunk + 1
				if from > n || ctx.Err() != nil {
					return
				}
				var text strings.Builder
				for id := from; id < min(n+1, from+chunk); id++ {
					fmt.Fprintf(&text, "INSERT INTO %s VALUES (%d, %d, 'new', %d.25, 'EUR', '%07d Große Bleichen, 20354 Hamburg, Germany', 'please ring "+
						"the bell twice, order %d....................', '2024-01-01 00:00:00.5', NULL);",
						table, id, 1+id%100000, id%1000, id, id)
				}
				if _, err := s.db.ExecContext(ctx, text.String()); err != nil {
					errs[w] = fmt.Errorf("fill %s: %w", table, err)
					return
				}
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return ctx.Err()
}

// insertPaced inserts perSecond rows a second for a while, five in a transaction, each
// with the time just before its statement; it returns how many.
func (s *source) insertPaced(ctx context.Context, table string, perSecond int, d time.Duration) (int64, error) {
	const perTransaction, workers = 5, 8
	var (
		wg   sync.WaitGroup
		next atomic.Int64
		errs = make([]error, workers)
	)
	pause := time.Second * perTransaction * workers / time.Duration(perSecond)
	for w := range workers {
		wg.Go(func() {
			began := time.Now()
			for i := 0; time.Since(began) < d && ctx.Err() == nil; i++ {
				if !waitUntil(ctx, began.Add(time.Duration(i)*pause)) {
					return
				}
				var text strings.Builder
				fmt.Fprintf(&text, "INSERT INTO %s VALUES ", table)
				now := time.Now().UTC().Format(civil)
				for row := range perTransaction {
					if row > 0 {
						text.WriteByte(',')
					}
					id := next.Add(1)
					fmt.Fprintf(&text, "(%d, %d, 'new', 1.25, 'EUR', '%07d Große Bleichen, 20354 Hamburg, Germany', 'please ring the bell twice', "+
						"'%s', NULL)", id, id, id, now)
				}
				if _, err := s.db.ExecContext(ctx, text.String()); err != nil {
					errs[w] = fmt.Errorf("fill %s: %w", table, err)
					return
				}
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return 0, err
		}
	}
	return next.Load(), ctx.Err()
}

// waitUntil returns false when ctx ends first.
func waitUntil(ctx context.Context, at time.Time) bool {
	wait := time.Until(at)
	if wait <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// pid is the server's process.
func (s *source) pid() int { return s.server.Pid() }

// position is the end of the binary log.
func (s *source) position(ctx context.Context) (mysql.Position, error) {
	rows, err := s.db.QueryContext(ctx, "SHOW MASTER STATUS")
	if err != nil {
		return mysql.Position{}, fmt.Errorf("ask for the log's end: %w", err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return mysql.Position{}, err
	}
	values := make([]sql.NullString, len(columns))
	dest := make([]any, len(columns))
	for i := range values {
		dest[i] = &values[i]
	}
	if !rows.Next() {
		return mysql.Position{}, fmt.Errorf("the server writes no binary log: %w", rows.Err())
	}
	if err := rows.Scan(dest...); err != nil {
		return mysql.Position{}, err
	}
	p := mysql.Position{Name: values[0].String}
	_, err = fmt.Sscan(values[1].String, &p.Pos)
	return p, err
}

// logBytes is how many bytes the log grew between two positions, when both are in one
// file; else 0.
func logBytes(from, to mysql.Position) int64 {
	if from.Name != to.Name {
		return 0
	}
	return int64(to.Pos) - int64(from.Pos)
}

// decodeBare reads the log from a position with go-mysql alone, until it has seen rows
// rows of the tables, and returns how long that took: the ceiling of what a pipeline in Go
// with this decoder could do.
func (s *source) decodeBare(ctx context.Context, from mysql.Position, tables []string, rows int) (time.Duration, error) {
	wanted := map[string]bool{}
	for _, t := range tables {
		wanted[t] = true
	}
	syncer := replication.NewBinlogSyncer(replication.BinlogSyncerConfig{
		ServerID: 4_000_001, Flavor: "mariadb", Host: "127.0.0.1", Port: uint16(s.server.Port), User: "root",
		Logger: slog.New(slog.DiscardHandler),
	})
	defer syncer.Close()
	began := time.Now()
	stream, err := syncer.StartSync(from)
	if err != nil {
		return 0, fmt.Errorf("decode with go-mysql: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	for seen := 0; seen < rows; {
		e, err := stream.GetEvent(ctx)
		if err != nil {
			return 0, fmt.Errorf("decode with go-mysql, at row %d of %d: %w", seen, rows, err)
		}
		if r, ok := e.Event.(*replication.RowsEvent); ok && wanted[string(r.Table.Schema)+"."+string(r.Table.Table)] {
			n := len(r.Rows)
			switch e.Header.EventType {
			case replication.UPDATE_ROWS_EVENTv1, replication.UPDATE_ROWS_EVENTv2, replication.MARIADB_UPDATE_ROWS_COMPRESSED_EVENT_V1:
				n /= 2 // before and after
			}
			seen += n
		}
	}
	return time.Since(began), nil
}
