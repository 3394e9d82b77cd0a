package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/testenv"
	"github.com/millrace/millrace/internal/testenv/chserver"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/sinks/clickhouse/server"
)

// Our own connections are all busy: who waits for longer than the driver would goes on waiting,
// and is not told that the server is away.
func TestAFullPoolWaits(t *testing.T) {
	ch := testenv.ClickHouseWithFaults(t, chserver.Options{})
	c := targetOn(t, ch.ClickHouseDatabase)
	o, err := c.options()
	if err != nil {
		t.Fatal(err)
	}
	o.Conns, o.DialTimeout = 2, 3*time.Second
	conn, err := server.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fault := ch.Inject(t, chserver.Fault{Match: "'held'", Times: -1, Hold: true})
	var all sync.WaitGroup
	errs := make(chan error, o.Conns)
	for range o.Conns {
		all.Go(func() { errs <- conn.Exec(t.Context(), "test", "SELECT 'held'") })
	}
	fault.WaitHeld(o.Conns)
	ctx, cancel := context.WithTimeout(t.Context(), 2*o.DialTimeout)
	defer cancel()
	if err := conn.Exec(ctx, "test", "SELECT 1"); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, pipeline.ErrUnwritable) {
		t.Errorf("who waits is told: %v", err)
	}
	waited := make(chan error, 1)
	go func() { waited <- conn.Exec(t.Context(), "test", "SELECT 1") }()
	fault.Release()
	all.Wait()
	for range o.Conns {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if err := <-waited; err != nil {
		t.Error(err)
	}
}

// A table whose name begins as another one's ends does not end the other's statements.
func TestAClaimEndsItsOwnTargetsStatementsAlone(t *testing.T) {
	ch := testenv.ClickHouseWithFaults(t, chserver.Options{})
	c, m := targetOn(t, ch.ClickHouseDatabase), schemas{}
	s := simple(m)
	other := c
	other.Table = "orders/7"
	two := own(t, other, m, 1, false).write(0, rows(s, 0, create(10, image(t, s, 1, "a"))))
	fault := ch.Inject(t, chserver.Fault{On: chserver.Insert, Match: "orders/7" + suffix, At: chserver.Received, Hold: true})
	flushed := make(chan error, 1)
	go func() {
		_, err := two.Flush(context.WithoutCancel(t.Context()))
		flushed <- err
	}()
	fault.WaitHeld(1)
	own(t, c, m, 9, false)
	fault.Release()
	if err := <-flushed; err != nil {
		t.Errorf("the statement of orders/7 was ended by a claim of orders: %v", err)
	}
}

// Preflight may be asked every day: it leaves no more than it left the first time.
func TestPreflightLeavesNothingMore(t *testing.T) {
	ch := testenv.ClickHouseWithFaults(t, chserver.Options{})
	s, err := New(targetOn(t, ch.ClickHouseDatabase), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for n := range 3 {
		if problems, err := s.Preflight(t.Context()); err != nil || len(problems) > 0 {
			t.Fatal(problems, err)
		}
		for _, table := range []string{"fence", "life"} {
			rows, err := ch.Admin(t.Context(), fmt.Sprintf("SELECT total_rows FROM system.tables WHERE database = '%s' AND name = '%s'", ch.Name, table))
			if want := map[string]string{"fence": "1", "life": "2"}[table]; err != nil || strings.TrimSpace(rows) != want {
				t.Errorf("behind %d: %s has %s rows, %v", n+1, table, rows, err)
			}
		}
	}
}
