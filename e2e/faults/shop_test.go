package faults

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
)

const (
	orders = 60_000
	lines  = 120_000
)

// shop makes a database with every kind of table that a pipeline treats differently: a
// key, a composite key, no key at all, one that is truncated and two that are renamed.
func makeShop(ctx context.Context, t *testing.T, db *sql.DB) {
	t.Helper()
	for _, s := range []string{
		"CREATE DATABASE shop",
		"CREATE TABLE shop.orders (id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY, customer INT NOT NULL, total DECIMAL(12,2) NOT NULL, note VARCHAR(60) CHARACTER SET utf8mb4 NULL, at DATETIME(6) NOT NULL)",
		"CREATE TABLE shop.items (order_id BIGINT NOT NULL, line SMALLINT UNSIGNED NOT NULL, sku CHAR(12) CHARACTER SET latin1 NOT NULL, quantity INT NOT NULL, PRIMARY KEY (order_id, line))",
		"CREATE TABLE shop.audit (who VARCHAR(20) NOT NULL, what VARCHAR(20) NULL, n INT NULL)",
		"CREATE TABLE shop.cart (id INT NOT NULL PRIMARY KEY, content VARBINARY(40) NULL)",
		"CREATE TABLE shop.blue (id INT NOT NULL PRIMARY KEY, v INT NOT NULL)",
		"CREATE TABLE shop.green (id INT NOT NULL PRIMARY KEY, v INT NOT NULL)",
		fmt.Sprintf("INSERT INTO shop.orders SELECT seq, seq%%1000, seq/7, CONCAT('naïve ', seq), DATE_ADD('2024-01-01', INTERVAL seq SECOND) FROM shop.seq_1_to_%d", orders),
		fmt.Sprintf("INSERT INTO shop.items SELECT 1+seq DIV 2, seq%%2, CONCAT('SKU', seq%%5000), seq%%9 FROM shop.seq_1_to_%d", lines),
		"INSERT INTO shop.audit SELECT CONCAT('clerk', seq%7), NULLIF(CONCAT('step', seq%3), 'step0'), seq%5 FROM shop.seq_1_to_3000",
		"INSERT INTO shop.cart SELECT seq, UNHEX(MD5(seq)) FROM shop.seq_1_to_500",
		"INSERT INTO shop.blue SELECT seq, 1 FROM shop.seq_1_to_400",
		"INSERT INTO shop.green SELECT seq, 2 FROM shop.seq_1_to_700",
		"CREATE USER 'millrace'@'%' IDENTIFIED BY 'millrace-test'",
		"GRANT SELECT, REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO 'millrace'@'%'",
	} {
		if _, err := db.ExecContext(ctx, s); err != nil {
			t.Fatalf("%.70s…: %v", s, err)
		}
	}
}

// load changes the shop without pause until it is ended.
type load struct {
	db        *sql.DB
	stop      context.CancelFunc
	wg        sync.WaitGroup
	committed atomic.Int64
	schemas   atomic.Int64 // statements that changed a schema, truncated or renamed
	away      atomic.Bool  // the server is away on purpose: errors are expected

	mu   sync.Mutex
	errs []error
}

func startLoad(ctx context.Context, db *sql.DB, seed uint64, ddl bool) *load {
	ctx, stop := context.WithCancel(ctx)
	l := &load{db: db, stop: stop}
	for i := range 3 {
		l.wg.Go(func() { l.work(ctx, rand.New(rand.NewPCG(seed, uint64(i))), l.transaction, 3*time.Millisecond) })
	}
	if ddl {
		l.wg.Go(func() { l.work(ctx, rand.New(rand.NewPCG(seed, 77)), l.schema, 1500*time.Millisecond) })
	}
	return l
}

// end stops the load and fails the test with what went wrong in it.
func (l *load) end(t *testing.T) {
	t.Helper()
	l.stop()
	l.wg.Wait()
	if err := errors.Join(l.errs...); err != nil {
		t.Fatalf("load: %v", err)
	}
	t.Logf("%d transactions, %d statements that change schemas", l.committed.Load(), l.schemas.Load())
}

func (l *load) work(ctx context.Context, r *rand.Rand, one func(context.Context, *rand.Rand) error, pause time.Duration) {
	for ctx.Err() == nil {
		if err := one(context.WithoutCancel(ctx), r); err != nil && !l.expected(err) {
			l.mu.Lock()
			l.errs = append(l.errs, err)
			l.mu.Unlock()
			return
		}
		select {
		case <-time.After(time.Duration(r.Int64N(int64(2*pause) + 1))):
		case <-ctx.Done():
		}
	}
}

// expected reports contention, a schema that another worker changed meanwhile, and a
// server that is away.
func (l *load) expected(err error) bool {
	var e *mysql.MySQLError
	if errors.As(err, &e) {
		switch e.Number {
		case 1213, 1205, 1062, 1020, 1412, 1053, 1927:
			return true
		}
		return false
	}
	return l.away.Load() // anything that is not an answer
}

func (l *load) transaction(ctx context.Context, r *rand.Rand) error {
	tx, err := l.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	for range 1 + r.IntN(5) {
		query, args := change(r)
		if _, err := tx.ExecContext(ctx, query, args...); err != nil {
			return errors.Join(fmt.Errorf("%.40s…: %w", query, err), tx.Rollback())
		}
	}
	if r.IntN(15) == 0 {
		return tx.Rollback()
	}
	l.committed.Add(1)
	return tx.Commit()
}

func change(r *rand.Rand) (string, []any) {
	id := 1 + r.IntN(orders/10)
	switch r.IntN(14) {
	case 0, 1, 2:
		return "INSERT INTO shop.orders (customer, total, note, at) VALUES (?, ?, 'new', NOW(6)), (?, ?, NULL, NOW(6))",
			[]any{r.IntN(1000), r.IntN(9000), r.IntN(1000), r.IntN(9000)}
	case 3, 4:
		return "UPDATE shop.orders SET total = total + 1 WHERE id BETWEEN ? AND ?", []any{id, id + r.IntN(40)}
	case 5:
		return "DELETE FROM shop.orders WHERE id = ?", []any{id}
	case 6:
		return "UPDATE shop.items SET line = line + 10 WHERE order_id = ? AND line < 2", []any{id}
	case 7:
		return "UPDATE shop.orders SET id = id + 10000000 WHERE id = ?", []any{id}
	case 8:
		return "UPDATE shop.items SET quantity = quantity + 1 WHERE order_id BETWEEN ? AND ?", []any{id, id + 20}
	case 9:
		return "INSERT INTO shop.audit (who, what, n) VALUES (?, 'same', 1), (?, 'same', 1)",
			[]any{fmt.Sprintf("clerk%d", r.IntN(7)), fmt.Sprintf("clerk%d", r.IntN(7))}
	case 10:
		return "UPDATE shop.audit SET n = COALESCE(n, 0) + 1 WHERE who = ? LIMIT 3", []any{fmt.Sprintf("clerk%d", r.IntN(7))}
	case 11:
		return "DELETE FROM shop.audit WHERE who = ? LIMIT 1", []any{fmt.Sprintf("clerk%d", r.IntN(7))}
	case 12:
		return "REPLACE INTO shop.cart (id, content) VALUES (?, ?)", []any{r.IntN(900), []byte{byte(r.IntN(256)), 0}}
	default:
		return fmt.Sprintf("INSERT INTO shop.%s VALUES (?, ?) ON DUPLICATE KEY UPDATE v = v + 1", []string{"blue", "green"}[r.IntN(2)]),
			[]any{r.IntN(1000), r.IntN(5)}
	}
}

// schema runs one statement that is more than a change of rows, or one very large one.
func (l *load) schema(ctx context.Context, r *rand.Rand) error {
	var statements []string
	switch n := l.schemas.Add(1); r.IntN(9) {
	case 0:
		statements = []string{fmt.Sprintf("ALTER TABLE shop.orders ADD COLUMN c%d VARCHAR(16) NOT NULL DEFAULT 'web%d'", n, n)}
	case 1:
		statements = []string{fmt.Sprintf("ALTER TABLE shop.items ADD COLUMN c%d INT NULL AFTER line", n),
			fmt.Sprintf("ALTER TABLE shop.items DROP COLUMN c%d", n)}
	case 2:
		statements = []string{"TRUNCATE TABLE shop.cart",
			"INSERT INTO shop.cart (id, content) SELECT seq, UNHEX(MD5(seq)) FROM shop.seq_1_to_200"}
	case 3:
		statements = []string{"RENAME TABLE shop.blue TO shop.grey, shop.green TO shop.blue, shop.grey TO shop.green"}
	case 4, 5:
		statements = []string{"UPDATE shop.items SET quantity = quantity + 1"}
	case 6:
		statements = []string{[]string{"ALTER TABLE shop.cart MODIFY id BIGINT NOT NULL", "ALTER TABLE shop.cart MODIFY id INT NOT NULL"}[r.IntN(2)]}
	case 7:
		statements = []string{fmt.Sprintf("ALTER TABLE shop.audit ADD COLUMN c%d INT NULL DEFAULT %d", n, n),
			fmt.Sprintf("ALTER TABLE shop.audit DROP COLUMN c%d", n)}
	default:
		statements = []string{fmt.Sprintf("CREATE TABLE shop.made%d (id INT PRIMARY KEY, v INT)", n),
			fmt.Sprintf("INSERT INTO shop.made%d SELECT seq, seq FROM shop.seq_1_to_20", n)}
	}
	for _, s := range statements {
		if _, err := l.db.ExecContext(ctx, s); err != nil {
			return fmt.Errorf("%s: %w", s, err)
		}
	}
	return nil
}
