package chserver_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/millrace/millrace/internal/testenv"
)

func open(t testing.TB, d testenv.ClickHouseDatabase) driver.Conn {
	t.Helper()
	conn, err := d.Open()
	must(t, err)
	t.Cleanup(func() { conn.Close() })
	return conn
}

func execute(t testing.TB, conn driver.Conn, statements ...string) {
	t.Helper()
	for _, s := range statements {
		if err := conn.Exec(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

// numbers inserts rows into a table of one column, a UInt64.
func numbers(ctx context.Context, conn driver.Conn, table string, from, n uint64) error {
	b, err := conn.PrepareBatch(ctx, "INSERT INTO "+table+" (a)")
	if err != nil {
		return err
	}
	column := make([]uint64, n)
	for i := range column {
		column[i] = from + uint64(i)
	}
	if err := b.Column(0).Append(column); err != nil {
		return errors.Join(err, b.Abort())
	}
	return b.Send()
}

func count(t testing.TB, conn driver.Conn, from string) (n uint64) {
	t.Helper()
	if err := conn.QueryRow(t.Context(), "SELECT count() FROM "+from).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func wantCode(t testing.TB, err error, code int32) {
	t.Helper()
	if e := (*clickhouse.Exception)(nil); !errors.As(err, &e) || e.Code != code {
		t.Errorf("error %d was expected: %v", code, err)
	}
}

// Behaviour of one server, each in turn.
func TestAnswers(t *testing.T) {
	conn := open(t, testenv.ClickHouse(t))
	for _, c := range []struct {
		name string
		test func(*testing.T, driver.Conn)
	}{
		{"parameters are bound by the server", parametersAreBoundByTheServer},
		{"settings of a query do not outlive it", settingsOfAQueryDoNotOutliveIt},
		{"large answers come in blocks", largeAnswersComeInBlocks},
		{"an error amid an answer is heard", anErrorAmidAnAnswerIsHeard},
		{"batches are written", batchesAreWritten},
		{"a batch whose client dies is not there", aBatchWhoseClientDiesIsNotThere},
		{"queries run beside each other and are killed by their id", queriesRunBesideEachOtherAndAreKilledByTheirID},
		{"a cancelled query ends in the engine", aCancelledQueryEndsInTheEngine},
		{"connections insert beside each other", connectionsInsertBesideEachOther},
		{"nested columns and async inserts", nestedColumnsAndAsyncInserts},
		{"json as objects", jsonAsObjects},
		{"a wide batch of tens of megabytes", aWideBatchOfTensOfMegabytes},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, conn) })
	}
}

func parametersAreBoundByTheServer(t *testing.T, conn driver.Conn) {
	for _, c := range []struct{ typ, value, want string }{ // a value is text in ClickHouse's escaped form
		{"UInt64", "18446744073709551615", "18446744073709551615"},
		{"String", `a'b"c\\d\te\nf\0g`, "a'b\"c\\d\te\nf\x00g"},
		{"Array(Int8)", "[1,-2]", "[1,-2]"},
		{"Nullable(String)", `\N`, "NULL"},
	} {
		ctx := clickhouse.Context(t.Context(), clickhouse.WithParameters(clickhouse.Parameters{"p": c.value}))
		var got string
		must(t, conn.QueryRow(ctx, "SELECT ifNull(toString({p:"+c.typ+"}), 'NULL')").Scan(&got))
		if got != c.want {
			t.Errorf("%s: %q came back as %q, not %q", c.typ, c.value, got, c.want)
		}
	}
	var n uint64
	must(t, conn.QueryRow(t.Context(), "SELECT count() FROM numbers(10) WHERE number < ?", 3).Scan(&n))
	if n != 3 {
		t.Errorf("%d rows below a bound argument of 3", n)
	}
}

func TestAConnectionIsASession(t *testing.T) {
	d := testenv.ClickHouse(t)
	options, err := d.Options()
	must(t, err)
	db := clickhouse.OpenDB(options)
	defer db.Close()
	conn, err := db.Conn(t.Context())
	must(t, err)
	defer conn.Close()
	for _, s := range []string{"CREATE TEMPORARY TABLE tmp (a UInt64)", "INSERT INTO tmp VALUES (5)", "SET max_block_size = 77", "USE system"} {
		if _, err := conn.ExecContext(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
	var got string
	must(t, conn.QueryRowContext(t.Context(),
		"SELECT concat(toString(a), ' ', toString(getSetting('max_block_size')), ' ', currentDatabase()) FROM tmp").Scan(&got))
	if got != "5 77 system" {
		t.Errorf("the session holds %q", got)
	}
	var other *sql.Conn
	if other, err = db.Conn(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	_, err = other.ExecContext(t.Context(), "SELECT * FROM tmp")
	wantCode(t, err, 60)
}

func settingsOfAQueryDoNotOutliveIt(t *testing.T, conn driver.Conn) {
	ask := func(ctx context.Context) (n uint64) {
		must(t, conn.QueryRow(ctx, "SELECT toUInt64(getSetting('max_block_size'))").Scan(&n))
		return n
	}
	before := ask(t.Context())
	with := clickhouse.Context(t.Context(), clickhouse.WithSettings(clickhouse.Settings{"max_block_size": before + 1}))
	if n := ask(with); n != before+1 {
		t.Errorf("the query's setting is %d, not %d", n, before+1)
	}
	if n := ask(t.Context()); n != before {
		t.Errorf("the next query's setting is %d, not %d", n, before)
	}
	unknown := clickhouse.Context(t.Context(), clickhouse.WithSettings(clickhouse.Settings{"max_block_size": 5, "no_such_setting": 1}))
	wantCode(t, conn.Exec(unknown, "SELECT 1"), 115)
	if n := ask(t.Context()); n != before {
		t.Errorf("after a refused query the setting is %d, not %d", n, before)
	}
}

func largeAnswersComeInBlocks(t *testing.T, conn driver.Conn) {
	var progress, profiled uint64
	ctx := clickhouse.Context(t.Context(), clickhouse.WithProgress(func(p *clickhouse.Progress) { progress += p.Rows }),
		clickhouse.WithProfileInfo(func(p *clickhouse.ProfileInfo) { profiled += p.Rows }))
	rows, err := conn.Query(ctx, "SELECT number, toLowCardinality(toString(number % 100000)) FROM numbers(300000)")
	must(t, err)
	var n, sum uint64
	var s string
	for rows.Next() {
		var v uint64
		must(t, rows.Scan(&v, &s))
		n, sum = n+1, sum+v
	}
	must(t, rows.Err())
	if n != 300000 || sum != 300000*299999/2 || profiled != n || progress != n {
		t.Errorf("%d rows with the sum %d; %d by the profile, %d by progress", n, sum, profiled, progress)
	}
}

func anErrorAmidAnAnswerIsHeard(t *testing.T, conn driver.Conn) {
	rows, err := conn.Query(t.Context(), "SELECT throwIf(number = 150000) FROM numbers(200000) SETTINGS max_block_size = 10000, max_threads = 1")
	n := 0
	if err == nil {
		for rows.Next() {
			n++
		}
		err = rows.Err()
	}
	wantCode(t, err, 395)
	if n == 0 {
		t.Error("no row came before the error")
	}
}

func batchesAreWritten(t *testing.T, conn driver.Conn) {
	execute(t, conn, "CREATE OR REPLACE TABLE t (a UInt64, s LowCardinality(String)) ENGINE = MergeTree ORDER BY a")
	ctx := t.Context()
	b, err := conn.PrepareBatch(ctx, "INSERT INTO t (a, s)")
	must(t, err)
	const n = 100_000 // as many different texts
	for i := range uint64(n) {
		must(t, b.Append(i, fmt.Sprint("text ", i)))
		if i == n/2 {
			must(t, b.Flush()) // two blocks, one insert
		}
	}
	must(t, b.Send())
	if got := count(t, conn, "t"); got != n {
		t.Errorf("%d rows, not %d", got, n)
	}
	if got := count(t, conn, "t WHERE s = concat('text ', toString(a))"); got != n {
		t.Errorf("%d rows are whole, not %d", got, n)
	}
	b, err = conn.PrepareBatch(ctx, "INSERT INTO t (a, s)")
	must(t, err)
	must(t, b.Append(uint64(n), "aborted"))
	must(t, b.Flush())
	must(t, b.Abort())
	if got := count(t, conn, "t"); got != n {
		t.Errorf("%d rows after an aborted batch, not %d", got, n)
	}
	var wrote uint64
	counted := clickhouse.Context(ctx, clickhouse.WithProgress(func(p *clickhouse.Progress) { wrote += p.WroteRows }))
	must(t, conn.Exec(counted, "INSERT INTO t SELECT number, 'more' FROM numbers(10)"))
	if wrote != 10 {
		t.Errorf("%d rows were written by the progress, not 10", wrote)
	}
}

// What a client has sent of a batch before it dies is not there, and its query is gone.
func aBatchWhoseClientDiesIsNotThere(t *testing.T, conn driver.Conn) {
	execute(t, conn, "CREATE OR REPLACE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a")
	ctx, cancel := context.WithCancel(clickhouse.Context(t.Context(), clickhouse.WithQueryID("dies")))
	b, err := conn.PrepareBatch(ctx, "INSERT INTO t (a)")
	must(t, err)
	must(t, b.Append(uint64(1)))
	must(t, b.Flush())
	eventually(t, "the insert runs", func() bool { return count(t, conn, "system.processes WHERE query_id = 'dies'") == 1 })
	cancel()
	_ = b.Abort()
	eventually(t, "the insert is gone", func() bool { return count(t, conn, "system.processes WHERE query_id = 'dies'") == 0 })
	if n := count(t, conn, "t"); n != 0 {
		t.Errorf("%d rows of a batch that was not sent", n)
	}
}

// eventually waits for a condition, for as long as the slowest machine takes.
func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(5 * time.Minute); !is(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("five minutes went by before %s", what)
		}
	}
}

func queriesRunBesideEachOtherAndAreKilledByTheirID(t *testing.T, conn driver.Conn) {
	const endless = "SELECT sum(sleepEachRow(0.05)) FROM numbers(1000000) SETTINGS max_block_size = 1"
	failed := make([]error, 3)
	var all sync.WaitGroup
	for i := range failed {
		ctx := clickhouse.Context(t.Context(), clickhouse.WithQueryID(fmt.Sprintf("pipeline/orders/%d", i)))
		all.Go(func() { failed[i] = conn.Exec(ctx, endless) })
	}
	const mine = "system.processes WHERE query_id LIKE 'pipeline/orders/%'"
	eventually(t, "three queries run", func() bool { return count(t, conn, mine) == 3 })
	again := clickhouse.Context(t.Context(), clickhouse.WithQueryID("pipeline/orders/1"))
	wantCode(t, conn.Exec(again, "SELECT 1"), 216)
	execute(t, conn, "KILL QUERY WHERE query_id = 'pipeline/orders/1' SYNC")
	if n := count(t, conn, mine); n != 2 {
		t.Errorf("%d queries run after one of three was killed", n)
	}
	answer, err := ask(t, conn, "KILL QUERY WHERE query_id = 'pipeline/orders/0' SYNC")
	must(t, err)
	if want := "finished pipeline/orders/0 default " + endless + "\n"; answer != want {
		t.Errorf("KILL answered %q, not %q", answer, want)
	}
	execute(t, conn, "KILL QUERY WHERE query_id LIKE 'pipeline/orders/%' SYNC")
	all.Wait()
	for _, err := range failed {
		wantCode(t, err, 394)
	}
}

func aCancelledQueryEndsInTheEngine(t *testing.T, conn driver.Conn) {
	execute(t, conn, "CREATE TABLE slow (a UInt64) ENGINE = MergeTree ORDER BY a")
	for i, sql := range []string{
		"SELECT sum(sleepEachRow(0.05)) FROM numbers(1000000) SETTINGS max_block_size = 1",
		"INSERT INTO slow SELECT sleepEachRow(0.05) FROM numbers(1000000) SETTINGS max_block_size = 1",
	} {
		id := fmt.Sprintf("slow/%d", i)
		ctx, cancel := context.WithCancel(clickhouse.Context(t.Context(), clickhouse.WithQueryID(id)))
		ended := make(chan error, 1)
		ask := func() { ended <- conn.Exec(ctx, sql) }
		go ask()
		eventually(t, "the query runs", func() bool {
			select {
			case err := <-ended: // the pool's connection was one that the server had ended
				t.Logf("asked again: %v", err)
				go ask()
			default:
			}
			return count(t, conn, "system.processes WHERE query_id = '"+id+"'") == 1
		})
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("a cancelled query ended with %v", err)
		}
		eventually(t, "the query has ended", func() bool { return count(t, conn, "system.processes WHERE query_id = '"+id+"'") == 0 })
	}
}

func connectionsInsertBesideEachOther(t *testing.T, conn driver.Conn) {
	execute(t, conn, "CREATE OR REPLACE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a")
	const workers, batches, size = 5, 10, 1000
	var all sync.WaitGroup
	errs := make([]error, workers)
	for w := range workers {
		all.Go(func() {
			for b := range batches {
				errs[w] = errors.Join(errs[w], numbers(t.Context(), conn, "t", uint64(w*batches+b)*size, size))
			}
		})
	}
	all.Wait()
	must(t, errors.Join(errs...))
	var n, different uint64
	must(t, conn.QueryRow(t.Context(), "SELECT count(), uniqExact(a) FROM t").Scan(&n, &different))
	if n != workers*batches*size || different != n {
		t.Errorf("%d rows, %d different, of %d", n, different, workers*batches*size)
	}
}

func aWideBatchOfTensOfMegabytes(t *testing.T, conn driver.Conn) {
	const columns, rows = 30, 1000
	var definitions, names []string
	for i := range columns {
		names = append(names, fmt.Sprintf("c%d", i))
		definitions = append(definitions, names[i]+" String")
	}
	execute(t, conn, "CREATE TABLE wide ("+strings.Join(definitions, ", ")+") ENGINE = MergeTree ORDER BY tuple()")
	b, err := conn.PrepareBatch(t.Context(), "INSERT INTO wide ("+strings.Join(names, ", ")+")")
	must(t, err)
	values := make([]string, rows)
	for i := range values {
		values[i] = strings.Repeat(string(rune('a'+i%26)), 1000)
	}
	for i := range columns {
		must(t, b.Column(i).Append(values))
	}
	must(t, b.Send())
	if n := count(t, conn, "wide WHERE length(c0) = 1000 AND c0 = c29"); n != rows {
		t.Errorf("%d rows are whole, not %d", n, rows)
	}
}

func nestedColumnsAndAsyncInserts(t *testing.T, conn driver.Conn) {
	execute(t, conn, "CREATE OR REPLACE TABLE t (a UInt64, v Nested(x UInt8, y LowCardinality(String))) ENGINE = MergeTree ORDER BY a")
	b, err := conn.PrepareBatch(t.Context(), "INSERT INTO t (a, v.x, v.y)")
	must(t, err)
	must(t, b.Append(uint64(1), []uint8{1, 2}, []string{"one", "two"}))
	must(t, b.Append(uint64(2), []uint8{}, []string{}))
	must(t, b.Send())
	must(t, conn.AsyncInsert(t.Context(), "INSERT INTO t VALUES (3, [3], ['three'])", true))
	got, err := ask(t, conn, "SELECT a, v.x, v.y FROM t ORDER BY a")
	must(t, err)
	if want := "1 [1 2] [one two]\n2 [] []\n3 [3] [three]\n"; got != want {
		t.Errorf("%q, not %q", got, want)
	}
}

func jsonAsObjects(t *testing.T, conn driver.Conn) {
	execute(t, conn, "CREATE OR REPLACE TABLE t (a UInt64, j JSON(typed UInt32), d Dynamic) ENGINE = MergeTree ORDER BY a")
	b, err := conn.PrepareBatch(t.Context(), "INSERT INTO t (a, j, d)")
	must(t, err)
	for i := range uint64(3) {
		j := clickhouse.NewJSON()
		j.SetValueAtPath("typed", uint32(i))
		j.SetValueAtPath(fmt.Sprint("own.", i), clickhouse.NewDynamicWithType([]string{"x"}, "Array(String)"))
		must(t, b.Append(i, j, clickhouse.NewDynamicWithType(int64(i), "Int64")))
	}
	must(t, b.Send())
	got, err := ask(t, conn, "SELECT toString(j), toString(d), dynamicType(d) FROM t ORDER BY a")
	must(t, err)
	want := `{"own":{"0":["x"]},"typed":0} 0 Int64` + "\n" + `{"own":{"1":["x"]},"typed":1} 1 Int64` + "\n" +
		`{"own":{"2":["x"]},"typed":2} 2 Int64` + "\n"
	if got != want {
		t.Errorf("%s, not %s", got, want)
	}
}

func TestAnUnknownDatabaseIsTheFirstAnswer(t *testing.T) {
	d := testenv.ClickHouse(t)
	options, err := d.Options()
	must(t, err)
	options.Auth.Database = "no_such_database"
	conn, err := clickhouse.Open(options)
	must(t, err)
	defer conn.Close()
	wantCode(t, conn.Ping(t.Context()), 81)
}
