package chserver_test

import (
	"testing"

	"github.com/millrace/millrace/internal/testenv"
)

func TestABatchIsReadBack(t *testing.T) {
	d := testenv.ClickHouse(t)
	conn, err := d.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx := t.Context()
	if err := conn.Ping(ctx); err != nil {
		t.Fatal(err)
	}
	if err := conn.Exec(ctx, "CREATE TABLE t (a UInt64, s String) ENGINE = MergeTree ORDER BY a"); err != nil {
		t.Fatal(err)
	}
	b, err := conn.PrepareBatch(ctx, "INSERT INTO t (a, s)")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 1000 {
		if err := b.Append(uint64(i), "x"); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Send(); err != nil {
		t.Fatal(err)
	}
	var n, sum uint64
	if err := conn.QueryRow(ctx, "SELECT count(), sum(a) FROM t WHERE a < {m:UInt64}", map[string]any{}).Scan(&n, &sum); err == nil {
		t.Error("a query without its parameter")
	}
	if err := conn.QueryRow(ctx, "SELECT count(), sum(a) FROM t").Scan(&n, &sum); err != nil {
		t.Fatal(err)
	}
	t.Log(n, sum)
}
