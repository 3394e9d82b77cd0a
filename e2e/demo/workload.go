package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-sql-driver/mysql"
)

// workload changes the database without pause: inserts, updates, deletes, changes and
// swaps of primary keys, transactions over many tables and many rows, rollbacks, and all
// of it in the table without a key.
type workload struct {
	db    *sql.DB
	seed  uint64
	pause time.Duration // between two transactions of one worker

	committed, rolledBack, retried atomic.Int64

	stop context.CancelFunc
	wg   sync.WaitGroup
	mu   sync.Mutex
	err  error
}

// startWorkload starts n workers.
func startWorkload(ctx context.Context, db *sql.DB, seed uint64, n int, pause time.Duration) *workload {
	ctx, stop := context.WithCancel(ctx)
	w := &workload{db: db, seed: seed, stop: stop, pause: pause}
	for i := range n {
		w.wg.Go(func() { w.work(ctx, rand.New(rand.NewPCG(seed, uint64(i)))) })
	}
	return w
}

// end stops the workers and returns the first thing that went wrong.
func (w *workload) end() error {
	w.stop()
	w.wg.Wait()
	return w.err
}

func (w *workload) work(ctx context.Context, r *rand.Rand) {
	for ctx.Err() == nil {
		err := w.transaction(ctx, r)
		switch {
		case err == nil, ctx.Err() != nil:
		case isContention(err):
			w.retried.Add(1)
		default:
			w.mu.Lock()
			w.err = errors.Join(w.err, err)
			w.mu.Unlock()
			return
		}
		select {
		case <-time.After(w.pause):
		case <-ctx.Done():
		}
	}
}

// isContention reports a deadlock, a lock that was waited for too long, or a key that
// another worker took meanwhile.
func isContention(err error) bool {
	var e *mysql.MySQLError
	return errors.As(err, &e) && (e.Number == 1213 || e.Number == 1205 || e.Number == 1062 || e.Number == 1020)
}

// step is one kind of transaction with its weight.
type step struct {
	weight int
	run    func(context.Context, *sql.Tx, *rand.Rand) error
}

var steps = []step{
	{30, newOrder}, {20, changeStatus}, {8, deleteOrder}, {8, changeKey}, {4, swapKeys},
	{6, manyRows}, {10, keylessInsert}, {6, keylessUpdate}, {4, keylessDelete}, {4, touchProduct},
}

func (w *workload) transaction(ctx context.Context, r *rand.Rand) error {
	total := 0
	for _, s := range steps {
		total += s.weight
	}
	pick := r.IntN(total)
	for _, s := range steps {
		if pick -= s.weight; pick >= 0 {
			continue
		}
		tx, err := w.db.BeginTx(context.WithoutCancel(ctx), nil)
		if err != nil {
			return err
		}
		if err := s.run(context.WithoutCancel(ctx), tx, r); err != nil {
			return errors.Join(err, tx.Rollback())
		}
		if r.IntN(20) == 0 {
			w.rolledBack.Add(1)
			return tx.Rollback()
		}
		w.committed.Add(1)
		return tx.Commit()
	}
	return nil
}

func now() string { return time.Now().UTC().Format("2006-01-02 15:04:05.000000") }

func run(ctx context.Context, tx *sql.Tx, query string, args ...any) error {
	if _, err := tx.ExecContext(ctx, query, args...); err != nil {
		return fmt.Errorf("%.50s…: %w", query, err)
	}
	return nil
}

func newOrder(ctx context.Context, tx *sql.Tx, r *rand.Rand) error {
	result, err := tx.ExecContext(ctx, "INSERT INTO shop.orders (customer_id, status, total, note, placed_at) VALUES (?, 'new', ?, ?, ?)",
		1+r.IntN(1000), float64(r.IntN(100000))/100, fmt.Sprintf("naïve №%d", r.IntN(1000)), now())
	if err != nil {
		return err
	}
	id, err := result.LastInsertId()
	if err != nil {
		return err
	}
	for line := range 1 + r.IntN(4) {
		if err := run(ctx, tx, "INSERT INTO shop.order_items VALUES (?, ?, ?, ?, ?)", id, line+1, fmt.Sprintf("SKU%08d", r.IntN(1000)),
			1+r.IntN(9), float64(r.IntN(9000))/100); err != nil {
			return err
		}
	}
	if err := run(ctx, tx, "UPDATE shop.customers SET balance = balance - 1.0001, updated = NOW(3) WHERE id = ?", 1+r.IntN(1000)); err != nil {
		return err
	}
	return run(ctx, tx, "INSERT INTO shop.payments (order_id, amount, method, token, place, paid_at) VALUES (?, ?, 'card', ?, POINT(1, ?), ?)",
		id, float64(r.IntN(100000))/100, []byte{byte(r.IntN(256)), 1, 2, 0, 0}, r.IntN(90), now())
}

func changeStatus(ctx context.Context, tx *sql.Tx, r *rand.Rand) error {
	return run(ctx, tx, "UPDATE shop.orders SET status = 1 + ?, updated_at = NOW(6) WHERE id = ?", r.IntN(5), 1+r.IntN(2000))
}

func deleteOrder(ctx context.Context, tx *sql.Tx, r *rand.Rand) error {
	id := 1 + r.IntN(2000)
	if err := run(ctx, tx, "DELETE FROM shop.order_items WHERE order_id = ?", id); err != nil {
		return err
	}
	return run(ctx, tx, "DELETE FROM shop.orders WHERE id = ?", id)
}

// changeKey moves a row to another primary key.
func changeKey(ctx context.Context, tx *sql.Tx, r *rand.Rand) error {
	if r.IntN(2) == 0 {
		return run(ctx, tx, "UPDATE shop.order_items SET line = line + 100 WHERE order_id = ? AND line = 1", 1+r.IntN(2000))
	}
	return run(ctx, tx, "UPDATE shop.customers SET id = id + 10000000 WHERE id = ?", 1+r.IntN(1000))
}

// swapKeys exchanges the keys of two products in one transaction.
func swapKeys(ctx context.Context, tx *sql.Tx, r *rand.Rand) error {
	a, b := fmt.Sprintf("SKU%08d", r.IntN(500)), fmt.Sprintf("SKU%08d", 500+r.IntN(500))
	for _, pair := range [][2]string{{a, "SWAP"}, {b, a}, {"SWAP", b}} {
		if err := run(ctx, tx, "UPDATE shop.products SET sku = ? WHERE sku = ?", pair[1], pair[0]); err != nil {
			return err
		}
	}
	return nil
}

func manyRows(ctx context.Context, tx *sql.Tx, r *rand.Rand) error {
	from := r.IntN(1500)
	if err := run(ctx, tx, "UPDATE shop.orders SET total = total + 1 WHERE id BETWEEN ? AND ?", from, from+50); err != nil {
		return err
	}
	return run(ctx, tx, "UPDATE shop.order_items SET quantity = 1 + (quantity % 9) WHERE order_id BETWEEN ? AND ?", from, from+50)
}

func touchProduct(ctx context.Context, tx *sql.Tx, r *rand.Rand) error {
	return run(ctx, tx, "UPDATE shop.products SET stock = ?, attributes = JSON_OBJECT('v', ?, 't', 'ß'), weight = ? WHERE sku = ?",
		r.IntN(1<<24), r.IntN(1000), r.Float32(), fmt.Sprintf("SKU%08d", r.IntN(1000)))
}

func keylessInsert(ctx context.Context, tx *sql.Tx, r *rand.Rand) error {
	return run(ctx, tx, "INSERT INTO shop.audit VALUES (NOW(3), ?, ?, ?), ('2024-01-01 00:00:00', 'twice', 'same', 1), ('2024-01-01 "+
		"00:00:00', 'twice', 'same', 1)",
		fmt.Sprintf("clerk%d", r.IntN(10)), fmt.Sprintf("step %d", r.IntN(3)), r.IntN(4))
}

func keylessUpdate(ctx context.Context, tx *sql.Tx, r *rand.Rand) error {
	return run(ctx, tx, "UPDATE shop.audit SET amount = COALESCE(amount, 0) + 1 WHERE who = ? LIMIT 3", fmt.Sprintf("clerk%d", r.IntN(10)))
}

func keylessDelete(ctx context.Context, tx *sql.Tx, _ *rand.Rand) error {
	return run(ctx, tx, "DELETE FROM shop.audit WHERE who = 'twice' LIMIT 1")
}
