package server

import (
	"testing"
	"time"

	driver "github.com/ClickHouse/clickhouse-go/v2/lib/column"

	"github.com/millrace/millrace/internal/testenv"
)

func open(t *testing.T) (*Conn, string) {
	t.Helper()
	d := testenv.ClickHouse(t)
	o, err := d.Options()
	if err != nil {
		t.Fatal(err)
	}
	c, err := Open(Options{Addr: o.Addr, User: o.Auth.Username, Password: o.Auth.Password, Compression: "lz4", DialTimeout: time.Minute, Answer: 5 * time.Minute, Conns: 2})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.Learn(t.Context(), "test"); err != nil {
		t.Fatal(err)
	}
	return c, d.Name
}

// The same block twice is there twice, also in a table that has a window of deduplication: a
// block that was lost and is sent again is not to be swallowed.
func TestNoBlockIsTakenForAnother(t *testing.T) {
	c, db := open(t)
	if err := c.Exec(t.Context(), "test", "CREATE TABLE "+db+".t (a Int64) ENGINE = MergeTree ORDER BY a SETTINGS non_replicated_deduplication_window = 100"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		err := c.Insert(t.Context(), "test", "INSERT INTO "+db+".t (a)", func(_ int, col driver.Interface) error {
			_, err := col.Append([]int64{1, 2})
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	rows := uint64(0)
	err := c.Query(t.Context(), "test", "SELECT count() FROM "+db+".t", func(scan func(...any) error) error { return scan(&rows) })
	if err != nil || rows != 4 {
		t.Errorf("%d rows, %v", rows, err)
	}
}
