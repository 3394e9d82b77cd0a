package chserver_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/millrace/millrace/internal/testenv"
	"github.com/millrace/millrace/internal/testenv/chserver"
)

// faulty starts a server with a table t of one number.
func faulty(t *testing.T, options chserver.Options) (*testenv.ClickHouseServer, driver.Conn) {
	t.Helper()
	s := testenv.ClickHouseWithFaults(t, options)
	conn := open(t, s.ClickHouseDatabase)
	execute(t, conn, "CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a")
	return s, conn
}

// What an insert ends with, and whether its row is there afterwards.
func TestFaultsOfInserts(t *testing.T) {
	s, conn := faulty(t, chserver.Options{})
	for i, c := range []struct {
		name  string
		fault chserver.Fault
		code  int32 // 0 is a connection that broke
		lands bool
	}{
		{"refused at once", chserver.Refusal(241), 241, false},
		{"refused in other words", chserver.Refusal(9999), 9999, false},
		{"refused with all rows", chserver.Fault{At: chserver.Received, Code: 252, Message: "Too many parts"}, 252, false},
		{"refused although it landed", chserver.Fault{At: chserver.Landed, Code: 159, Message: "Timeout exceeded"}, 159, true},
		{"dropped at once", chserver.Fault{Drop: true}, 0, false},
		{"dropped with all rows", chserver.Fault{At: chserver.Received, Drop: true}, 0, false},
		{"answer lost", chserver.Fault{At: chserver.Landed, Drop: true}, 0, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.fault.On, c.fault.Table = chserver.Insert, s.Name+".t"
			f := s.Inject(t, c.fault)
			err := numbers(t.Context(), conn, "t", uint64(i), 1)
			var e *clickhouse.Exception
			switch {
			case err == nil:
				t.Error("the insert was acknowledged")
			case c.code != 0:
				wantCode(t, err, c.code)
				if errors.As(err, &e) && e.Message != c.fault.Message {
					t.Errorf("the error says %q, not %q", e.Message, c.fault.Message)
				}
			case errors.As(err, &e):
				t.Errorf("the connection did not break: %v", err)
			}
			if got := count(t, conn, fmt.Sprintf("t WHERE a = %d", i)) == 1; got != c.lands {
				t.Errorf("the row is there: %v, expected %v", got, c.lands)
			}
			if hits := f.State().Hits; hits != 1 {
				t.Errorf("the fault struck %d times", hits)
			}
			must(t, numbers(t.Context(), conn, "t", uint64(100+i), 1)) // it struck once
		})
	}
}

func TestAFaultPicksItsRequests(t *testing.T) {
	s, conn := faulty(t, chserver.Options{})
	execute(t, conn, "CREATE TABLE u (a UInt64) ENGINE = MergeTree ORDER BY a")
	s.Inject(t, chserver.Fault{On: chserver.Insert, Table: "*.t", Skip: 1, Times: 2, Code: 1000, Message: "now"})
	s.Inject(t, chserver.Fault{On: chserver.Select, Match: `FROM\s+u\b`, Times: -1, Code: 1001, Message: "always"})
	s.Inject(t, chserver.Fault{On: chserver.Other, Match: "^DROP", At: chserver.Landed, Code: 1002, Message: "late"})
	s.Inject(t, chserver.Fault{Times: -1, Delay: time.Millisecond}) // and then they go on
	var codes []int32
	for range 5 {
		var e *clickhouse.Exception
		if err := numbers(t.Context(), conn, "t", 0, 1); errors.As(err, &e) {
			codes = append(codes, e.Code)
		} else {
			must(t, err)
			codes = append(codes, 0)
		}
		must(t, numbers(t.Context(), conn, "u", 0, 1))
	}
	if want := []int32{0, 1000, 1000, 0, 0}; !slices.Equal(codes, want) {
		t.Errorf("inserts ended with %v, not %v", codes, want)
	}
	for range 3 {
		wantCode(t, conn.Exec(t.Context(), "SELECT * FROM u"), 1001)
	}
	execute(t, conn, "SELECT * FROM t")
	wantCode(t, conn.Exec(t.Context(), "DROP TABLE u"), 1002)
	wantCode(t, conn.Exec(t.Context(), "DROP TABLE u"), 60) // it was gone already
	for _, f := range []chserver.Fault{{On: "update", Code: 1}, {Table: "[", On: chserver.Insert, Code: 1}, {Match: "(", Code: 1}, {On: chserver.Insert}, {Table: "t", Code: 1}, {At: "never", Code: 1}} {
		if f.Check() == nil {
			t.Errorf("%+v was taken", f)
		}
	}
}

// An answer that is late is not lost: the insert that waits for it goes on.
func TestALateAnswer(t *testing.T) {
	for _, point := range []chserver.Point{chserver.Received, chserver.Landed} {
		t.Run(string(point), func(t *testing.T) {
			s, conn := faulty(t, chserver.Options{})
			f := s.Inject(t, chserver.Fault{On: chserver.Insert, Table: "*.t", At: point, Hold: true})
			ended := make(chan error, 1)
			go func() { ended <- numbers(context.Background(), conn, "t", 0, 1) }()
			f.WaitHeld(1)
			want := uint64(0)
			if point == chserver.Landed {
				want = 1
			}
			if n := count(t, conn, "t"); n != want {
				t.Errorf("%d rows while the answer is held, not %d", n, want)
			}
			f.Release()
			must(t, <-ended)
			if n := count(t, conn, "t"); n != 1 {
				t.Errorf("%d rows after it, not 1", n)
			}
		})
	}
}

// A block that hangs in front of the server's commit is what a fence is for: it lands late and
// is refused, or it is killed first.
func TestABlockHeldInFrontOfItsCommit(t *testing.T) {
	for _, kill := range []bool{false, true} {
		t.Run(fmt.Sprint("killed ", kill), func(t *testing.T) {
			s := testenv.ClickHouseWithFaults(t, chserver.Options{})
			conn := open(t, s.ClickHouseDatabase)
			execute(t, conn, "CREATE TABLE fence (gen UInt64, closed UInt8) ENGINE = Join(ANY, LEFT, gen)",
				"CREATE TABLE t (a UInt64, CONSTRAINT open CHECK joinGet('"+s.Name+".fence', 'closed', a) = 0) ENGINE = MergeTree ORDER BY a")
			f := s.Inject(t, chserver.Fault{On: chserver.Insert, Table: "*.t", At: chserver.Begin, Hold: true})
			if kill {
				f.Remove()
				f = s.Inject(t, chserver.Fault{On: chserver.Insert, Table: "*.t", At: chserver.Received, Hold: true})
			}
			ended := make(chan error, 1)
			ctx := clickhouse.Context(context.Background(), clickhouse.WithQueryID("orders/7/1"))
			go func() { ended <- numbers(ctx, conn, "t", 7, 1) }()
			f.WaitHeld(1)
			if kill {
				execute(t, conn, "KILL QUERY WHERE query_id LIKE 'orders/7/%' ASYNC")
			} else {
				execute(t, conn, "INSERT INTO fence VALUES (7, 1)")
			}
			f.Release()
			if kill {
				wantCode(t, <-ended, 394)
			} else {
				wantCode(t, <-ended, 469)
			}
			if n := count(t, conn, "t"); n != 0 {
				t.Errorf("%d rows of a closed generation", n)
			}
		})
	}
}

// A server that dies has what had landed, and nothing of what had not, in front of the client
// that knows neither.
func TestACrashAtEachPoint(t *testing.T) {
	s, conn := faulty(t, chserver.Options{})
	rows := uint64(0)
	for _, c := range []struct {
		at    chserver.Point
		lands bool
	}{{chserver.Begin, false}, {chserver.Received, false}, {chserver.Landed, true}} {
		s.Inject(t, chserver.Fault{On: chserver.Insert, Table: "*.t", At: c.at, Crash: true})
		if err := numbers(t.Context(), conn, "t", 0, 1000); err == nil {
			t.Errorf("an insert was acknowledged by a server that died at %q", c.at)
		}
		<-s.Done()
		must(t, s.Start(t.Context()))
		if c.lands {
			rows += 1000
		}
		if n := count(t, conn, "t"); n != rows {
			t.Errorf("%d rows after a crash at %q, not %d", n, c.at, rows)
		}
	}
}

func TestTheDirectoryOutlivesTheProcess(t *testing.T) {
	s, conn := faulty(t, chserver.Options{})
	execute(t, conn, "CREATE TABLE fence (gen UInt64, closed UInt8) ENGINE = Join(ANY, LEFT, gen)", "INSERT INTO fence VALUES (7, 1)",
		"CREATE TABLE memory (a UInt64) ENGINE = Memory", "INSERT INTO memory VALUES (1)",
		"CREATE TABLE once (a UInt64) ENGINE = MergeTree ORDER BY a SETTINGS non_replicated_deduplication_window = 100",
		"INSERT INTO once SETTINGS insert_deduplication_token = 'x' VALUES (1)")
	identity := func() (id string) {
		must(t, conn.QueryRow(t.Context(), "SELECT toString(serverUUID())").Scan(&id))
		return id
	}
	id, pid := identity(), s.Pid()
	for i, stop := range []func() error{s.Stop, func() error { s.Kill(); return nil }} {
		must(t, numbers(t.Context(), conn, "t", uint64(i), 1))
		must(t, stop())
		if err := conn.Exec(t.Context(), "SELECT 1"); err == nil {
			t.Error("a server answered that is not there")
		}
		must(t, s.Start(t.Context()))
		if n := count(t, conn, "t"); n != uint64(i+1) {
			t.Errorf("%d rows after start %d, not %d", n, i+1, i+1)
		}
		if n := count(t, conn, "fence WHERE joinGet('"+s.Name+".fence', 'closed', gen) = 1"); n != 1 {
			t.Errorf("the fence holds %d closed generations after start %d", n, i+1)
		}
		execute(t, conn, "INSERT INTO once SETTINGS insert_deduplication_token = 'x' VALUES (2)")
		if n := count(t, conn, "once"); n != 1 {
			t.Errorf("%d rows under one token after start %d", n, i+1)
		}
		// A table in memory is empty after a start: who finds his row there knows that the server
		// has not started again.
		if n := count(t, conn, "memory"); n != 0 {
			t.Errorf("%d rows in memory after start %d", n, i+1)
		}
		if now := identity(); now != id {
			t.Errorf("serverUUID() was %s and is %s", id, now)
		}
	}
	if s.Pid() == pid {
		t.Error("it is the same process")
	}
}

func TestOnlyOneServerUsesADirectory(t *testing.T) {
	s, _ := faulty(t, chserver.Options{})
	if second, err := testenv.StartClickHouse(t.Context(), s.Dir, chserver.Options{}); err == nil {
		second.Kill()
		t.Error("a second server started on the directory of a first")
	}
}

// A test that dies leaves no server behind. It is this program, started again.
func TestAServerEndsWithItsStarter(t *testing.T) {
	const starter = "MILLRACE_TEST_STARTER"
	if dir := os.Getenv(starter); dir != "" {
		s, err := testenv.StartClickHouse(t.Context(), dir, chserver.Options{})
		must(t, err)
		fmt.Println("pid", s.Pid())
		os.Exit(1)
	}
	_, _ = faulty(t, chserver.Options{}) // or skipped
	cmd := exec.Command(os.Args[0], "-test.run", "^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), starter+"="+t.TempDir())
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		t.Fatalf("%v: %s", err, out)
	}
	_, rest, _ := strings.Cut(string(out), "pid ")
	pid, err := strconv.Atoi(strings.Fields(rest + " none")[0])
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	eventually(t, "the server has ended", func() bool {
		_, err := os.Stat(fmt.Sprintf("/proc/%d", pid))
		return errors.Is(err, os.ErrNotExist)
	})
}

func TestAServerThatStandsStill(t *testing.T) {
	s, conn := faulty(t, chserver.Options{})
	must(t, s.Pause(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- numbers(context.Background(), conn, "t", 0, 1) }()
	// The system takes the connection for the server. The driver waits this long for a hello,
	// whatever its context says.
	options, err := s.Options()
	must(t, err)
	options.DialTimeout = 100 * time.Millisecond
	impatient, err := clickhouse.Open(options)
	must(t, err)
	defer impatient.Close()
	if err := impatient.Ping(t.Context()); err == nil {
		t.Error("a server that stands still answered")
	}
	must(t, s.Resume())
	must(t, <-ended)
	if n := count(t, conn, "t"); n != 1 {
		t.Errorf("%d rows, not 1", n)
	}
}

func TestPartsAreLostWithThePower(t *testing.T) {
	s, conn := faulty(t, chserver.Options{})
	execute(t, conn, "CREATE TABLE u (a UInt64) ENGINE = MergeTree ORDER BY a", "SYSTEM STOP MERGES t", "SYSTEM STOP MERGES u")
	for i := range uint64(5) {
		must(t, numbers(t.Context(), conn, "t", i*10, 10))
		must(t, numbers(t.Context(), conn, "u", i*10, 10))
	}
	left := func(table, want string) {
		t.Helper()
		var got string
		must(t, conn.QueryRow(t.Context(), "SELECT arrayStringConcat(arraySort(groupUniqArray(intDiv(a, 10))), ' ') FROM "+table).Scan(&got))
		if got != want {
			t.Errorf("table %s has %q left, not %q", table, got, want)
		}
	}
	// Two tables at once: the end of the one, a hole in the other.
	lost, err := s.LosePower(t.Context(), testenv.ClickHouseLoss{Table: "t", Blocks: 2},
		testenv.ClickHouseLoss{Table: "u", Newest: 1, Blocks: 1})
	must(t, err)
	if len(lost) != 3 {
		t.Errorf("lost %q", lost)
	}
	must(t, s.Start(t.Context()))
	left("t", "0 1 2")
	left("u", "0 1 2 4")
	// A part that was merged from old and new ones loses the new: what it came from is there.
	execute(t, conn, "OPTIMIZE TABLE t FINAL")
	must(t, numbers(t.Context(), conn, "t", 90, 10))
	execute(t, conn, "OPTIMIZE TABLE t FINAL")
	left("t", "0 1 2 9")
	_, err = s.LosePower(t.Context(), testenv.ClickHouseLoss{Table: "t", Blocks: 1})
	must(t, err)
	must(t, s.Start(t.Context()))
	left("t", "0 1 2")
	if _, err := s.LosePower(t.Context(), testenv.ClickHouseLoss{Table: "t", Blocks: 99}); err == nil {
		t.Error("more blocks were lost than there were")
	}
	must(t, conn.Ping(t.Context())) // and nothing was done
}

func TestUsers(t *testing.T) {
	s := testenv.ClickHouseWithFaults(t, chserver.Options{Users: []chserver.User{
		{Name: "owner", Password: "s3cret"},
		{Name: "reader", ReadOnly: 1},
		{Name: "visitor", ReadOnly: 2},
		{Name: "sink", Password: "x", Grants: []string{"SELECT ON *.*", "INSERT ON millrace_test.t"}},
	}})
	as := func(user, password string) driver.Conn {
		options, err := s.Options()
		must(t, err)
		options.Auth.Username, options.Auth.Password = user, password
		conn, err := clickhouse.Open(options)
		must(t, err)
		t.Cleanup(func() { conn.Close() })
		return conn
	}
	owner := as("owner", "s3cret")
	execute(t, owner, "CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a", "CREATE TABLE u (a UInt64) ENGINE = MergeTree ORDER BY a")
	max1 := clickhouse.Context(t.Context(), clickhouse.WithSettings(clickhouse.Settings{"max_threads": 1}))
	for _, c := range []struct {
		user, password string
		do             func(conn driver.Conn) error
		code           int32
		says           string
	}{
		{"owner", "wrong", func(c driver.Conn) error { return c.Ping(t.Context()) }, 516, "owner: Authentication failed"},
		{"nobody", "", func(c driver.Conn) error { return c.Ping(t.Context()) }, 516, "nobody: "},
		{"reader", "", func(c driver.Conn) error { return numbers(t.Context(), c, "t", 0, 1) }, 164, "reader: Cannot execute query in readonly mode"},
		{"reader", "", func(c driver.Conn) error { return c.Exec(t.Context(), "CREATE TABLE v (a UInt8) ENGINE = Memory") }, 164, "reader: "},
		{"reader", "", func(c driver.Conn) error { return c.Exec(max1, "SELECT 1") }, 164, "Cannot modify 'max_threads' setting in readonly mode"},
		{"reader", "", func(c driver.Conn) error { return c.Exec(t.Context(), "SELECT count() FROM t") }, 0, ""},
		{"visitor", "", func(c driver.Conn) error { return c.Exec(max1, "SELECT 1") }, 0, ""},
		{"visitor", "", func(c driver.Conn) error { return numbers(t.Context(), c, "t", 0, 1) }, 164, "visitor: "},
		{"sink", "x", func(c driver.Conn) error { return numbers(max1, c, "t", 0, 1) }, 0, ""},
		{"sink", "x", func(c driver.Conn) error { return numbers(t.Context(), c, "u", 0, 1) }, 497, "sink: Not enough privileges"},
		{"sink", "x", func(c driver.Conn) error { return c.Exec(t.Context(), "ALTER TABLE t ADD COLUMN b UInt8") }, 497, "ALTER ADD COLUMN"},
		{"sink", "x", func(c driver.Conn) error { return c.Exec(t.Context(), "KILL QUERY WHERE query_id = 'x'") }, 0, ""},
		{"sink", "x", func(c driver.Conn) error { return c.Exec(t.Context(), "SELECT throwIf(currentUser() != 'sink')") }, 0, ""},
	} {
		err := c.do(as(c.user, c.password))
		if c.code == 0 {
			if err != nil {
				t.Errorf("%s was refused: %v", c.user, err)
			}
			continue
		}
		wantCode(t, err, c.code)
		if err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s was told %q; %q was expected in it", c.user, err, c.says)
		}
	}
	// A user's queries are his in system.processes too.
	ended := make(chan error, 1)
	sink := as("sink", "x")
	go func() {
		ended <- sink.Exec(context.Background(), "SELECT sum(sleepEachRow(0.05)) FROM numbers(1000000) SETTINGS max_block_size = 1")
	}()
	eventually(t, "the query runs", func() bool {
		return count(t, owner, "system.processes WHERE user = 'sink' AND query LIKE '%sleepEachRow%'") == 1
	})
	execute(t, owner, "KILL QUERY WHERE user = currentUser() AND query LIKE '%sleepEachRow%' SYNC") // not his
	execute(t, sink, "KILL QUERY WHERE user = currentUser() AND query LIKE 'SELECT sum(sleepEachRow%' SYNC")
	wantCode(t, <-ended, 394)
	// Another password, another right: the server starts again.
	must(t, s.Stop())
	must(t, s.StartWith(t.Context(), chserver.Options{Users: []chserver.User{{Name: "owner", Password: "new"}}}))
	wantCode(t, as("owner", "s3cret").Ping(t.Context()), 516)
	must(t, as("owner", "new").Ping(t.Context()))
}

func TestAVersionIsPretended(t *testing.T) {
	s := testenv.ClickHouseWithFaults(t, chserver.Options{Version: "24.3.1.2672"})
	conn := open(t, s.ClickHouseDatabase)
	v, err := conn.ServerVersion()
	must(t, err)
	var asked string
	must(t, conn.QueryRow(t.Context(), "SELECT version()").Scan(&asked))
	if v.Version.String() != "24.3.1" || asked != "24.3.1.2672" || s.Version != "24.3.1" {
		t.Errorf("the server says that it is %s, %s and %s", v.Version, asked, s.Version)
	}
}

func TestSettingsOfTheServer(t *testing.T) {
	s, conn := faulty(t, chserver.Options{Settings: map[string]string{"max_threads": "3"}, MergeTree: map[string]string{"parts_to_throw_insert": "1", "parts_to_delay_insert": "0"}})
	var threads uint64
	must(t, conn.QueryRow(t.Context(), "SELECT toUInt64(getSetting('max_threads'))").Scan(&threads))
	if threads != 3 {
		t.Errorf("max_threads is %d", threads)
	}
	execute(t, conn, "SYSTEM STOP MERGES t")
	must(t, numbers(t.Context(), conn, "t", 0, 1))
	wantCode(t, numbers(t.Context(), conn, "t", 1, 1), 252)
	_ = s
}

func TestAConnectionIsRefused(t *testing.T) {
	s, conn := faulty(t, chserver.Options{})
	s.Inject(t, chserver.Fault{On: chserver.Connect, Code: 202, Message: "Too many simultaneous queries"})
	fresh := open(t, s.ClickHouseDatabase)
	wantCode(t, fresh.Ping(t.Context()), 202)
	must(t, fresh.Ping(t.Context()))
	must(t, conn.Ping(t.Context()))
}
