package mysql

import (
	"context"
	"database/sql"
	"errors"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/millrace/millrace/connectors/mysql/account"
	"github.com/millrace/millrace/internal/testenv"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
)

// road carries bytes to a server as it is told: not at all, or without what comes back, of
// every connection or of those alone that the log comes over.
type road struct {
	l     net.Listener
	mu    sync.Mutex
	to    string
	conns map[net.Conn]*atomic.Bool // whether the log comes over it
	shut  atomic.Bool               // nobody gets through
	mute  atomic.Bool               // nothing comes back
	dumb  atomic.Bool               // nothing of the log comes
}

func newRoad(t *testing.T, to string) *road {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &road{l: l, to: to, conns: map[net.Conn]*atomic.Bool{}}
	t.Cleanup(func() { l.Close(); r.cut() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go r.carry(c)
		}
	}()
	return r
}

func (r *road) carry(c net.Conn) {
	defer c.Close()
	if r.shut.Load() {
		return
	}
	isLog := &atomic.Bool{}
	r.mu.Lock()
	to := r.to
	r.conns[c] = isLog // from here on it can be cut
	r.mu.Unlock()
	s, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer s.Close()
	go func() {
		defer c.Close()
		defer s.Close()
		pass(c, s, func(b []byte) bool {
			if len(b) > 4 && (b[4] == 0x12 || b[4] == 0x1e) { // COM_BINLOG_DUMP, COM_BINLOG_DUMP_GTID
				isLog.Store(true)
			}
			return true
		})
	}()
	pass(s, c, func([]byte) bool { return !r.mute.Load() && !(isLog.Load() && r.dumb.Load()) })
}

// pass copies what ok lets through and swallows the rest.
func pass(from, to net.Conn, ok func([]byte) bool) {
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 && ok(buf[:n]) {
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// turn has new connections lead to another server.
func (r *road) turn(to string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.to = to
}

// cut ends every connection.
func (r *road) cut() { r.cutThose(true, true) }

// cutThose ends the connections that the log comes over, the others, or both.
func (r *road) cutThose(log, others bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for c, isLog := range r.conns {
		if isLog.Load() && log || !isLog.Load() && others {
			c.Close()
			delete(r.conns, c)
		}
	}
}

// keepReading drives a source until the test ends.
func keepReading(t *testing.T, s *Source) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			if _, err := s.Next(ctx); err != nil && ctx.Err() == nil {
				t.Errorf("Next: %v", err)
				return
			}
		}
	}()
	t.Cleanup(func() { cancel(); <-done })
}

func awaitStatus(t *testing.T, s *Source, what string, ok func(pipeline.SourceStatus) bool) pipeline.SourceStatus {
	t.Helper()
	deadline := time.Now().Add(patience(t))
	for {
		st := s.Status()
		if ok(st) {
			return st
		}
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s: %+v", what, st)
		}
		if pauseFor(t.Context(), t.Context(), 10*time.Millisecond) != nil {
			t.Fatal("the test ended")
		}
	}
}

// TestASourceThatIsAwaySaysSo takes the server away in every way: it is not connected, with
// the cause, and what is known of it does not grow younger until it is back.
func TestASourceThatIsAwaySaysSo(t *testing.T) {
	for _, c := range []struct {
		name       string
		take, give func(*road, *testenv.Server)
	}{
		{"cut off", func(r *road, _ *testenv.Server) { r.shut.Store(true); r.cut() }, func(r *road, _ *testenv.Server) { r.shut.Store(false) }},
		{"silent", func(r *road, _ *testenv.Server) { r.mute.Store(true) }, func(r *road, _ *testenv.Server) { r.cut(); r.mute.Store(false) }},
		{"frozen", func(_ *road, s *testenv.Server) { signal(t, s, syscall.SIGSTOP) }, func(_ *road, s *testenv.Server) { signal(t, s, syscall.SIGCONT) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			onServers(t, func(t *testing.T, srv *testenv.Server, db *sql.DB) {
				exec(t, db, "CREATE DATABASE shop", "CREATE TABLE shop.a (id INT PRIMARY KEY)")
				r := newRoad(t, srv.Addr)
				cfg := testConfig(srv, "shop.*")
				cfg.Address = r.l.Addr().String()
				s := newSource(t, cfg)
				openSource(t, s, pipeline.Resume{})
				keepReading(t, s)
				first := awaitStatus(t, s, "a time", func(st pipeline.SourceStatus) bool { return st.Connected && st.Read.Time > 0 })
				awaitStatus(t, s, "a later time of a server that nobody writes to",
					func(st pipeline.SourceStatus) bool { return st.Read.Time > first.Read.Time })
				c.take(r, srv)
				t.Cleanup(func() { c.give(r, srv) })
				away := awaitStatus(t, s, "its absence", func(st pipeline.SourceStatus) bool { return !st.Connected && st.LastError != "" })
				again := awaitStatus(t, s, "a while", func(pipeline.SourceStatus) bool {
					return time.Now().UnixMicro() > away.Read.Time+3*time.Second.Microseconds()
				})
				if again.Read.Time != away.Read.Time || again.Connected {
					t.Errorf("while it was away: %+v, then %+v", away, again)
				}
				c.give(r, srv)
				awaitStatus(t, s, "its return", func(st pipeline.SourceStatus) bool { return st.Connected && st.Read.Time > again.Read.Time })
			})
		})
	}
}

func signal(t *testing.T, srv *testenv.Server, sig syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(srv.Pid(), sig); err != nil && !errors.Is(err, syscall.ESRCH) {
		t.Error(err)
	}
}

// TestALogThatGoesOnWhileNothingComes: the server answers and its log grows, and the
// connection that brings it is dumb.
func TestALogThatGoesOnWhileNothingComes(t *testing.T) {
	onServers(t, func(t *testing.T, srv *testenv.Server, db *sql.DB) {
		exec(t, db, "CREATE DATABASE shop", "CREATE TABLE shop.a (id INT PRIMARY KEY)")
		r := newRoad(t, srv.Addr)
		cfg := testConfig(srv, "shop.*")
		cfg.Address, cfg.TLS.Mode, cfg.Heartbeat = r.l.Addr().String(), account.Disabled, 2*time.Second
		s := newSource(t, cfg)
		openSource(t, s, pipeline.Resume{})
		keepReading(t, s)
		awaitStatus(t, s, "a time", func(st pipeline.SourceStatus) bool { return st.Connected && st.Read.Time > 0 })
		r.dumb.Store(true)
		exec(t, db, "INSERT INTO shop.a VALUES (1)")
		written := time.Now()
		st := awaitStatus(t, s, "the word", func(st pipeline.SourceStatus) bool { return st.Stalled != "" })
		if ahead := s.Status().Ahead; st.Read.Time > written.Add(ahead+time.Second).UnixMicro() {
			t.Errorf("a row that was not read was written at %s; the source says that it has everything up to %s", written,
				time.UnixMicro(st.Read.Time))
		}
		r.dumb.Store(false)
		awaitStatus(t, s, "the row", func(st pipeline.SourceStatus) bool {
			return st.Stalled == "" && st.Connected && st.Read.Time > written.Add(time.Second).UnixMicro()
		})
	})
}

// TestAHeartbeatProves: when one carries a time, every row that was committed before has
// been handed over.
func TestAHeartbeatProves(t *testing.T) {
	onServers(t, func(t *testing.T, srv *testenv.Server, db *sql.DB) {
		exec(t, db, "CREATE DATABASE shop", "CREATE TABLE shop.a (id INT PRIMARY KEY)", "CREATE TABLE shop.b (id INT PRIMARY KEY)")
		s := newSource(t, testConfig(srv, "shop.a"))
		openSource(t, s, pipeline.Resume{})
		const rows = 300
		var mu sync.Mutex
		committed := make([]int64, 0, rows) // by when, on the server's clock, a row was there
		failed := make(chan error, 1)
		go func() {
			for i := range rows {
				at, err := insertAt(t.Context(), db, i)
				if err != nil {
					failed <- err
					return
				}
				mu.Lock()
				committed = append(committed, at)
				mu.Unlock()
			}
			failed <- nil
		}()
		read, beats := 0, []int64{}
		collect(t, s, func(it seen) bool {
			switch it.Kind {
			case event.KindRow:
				read++
			case event.KindHeartbeat:
				beats = append(beats, it.Commit.Time)
				mu.Lock()
				there, _ := slices.BinarySearch(committed, it.Commit.Time)
				mu.Unlock()
				if read < there {
					t.Errorf("a heartbeat of %s: %d rows were there by then, %d were read", time.UnixMicro(it.Commit.Time), there, read)
				}
			}
			return read == rows && it.Kind == event.KindHeartbeat
		})
		if err := <-failed; err != nil {
			t.Fatal(err)
		}
		if len(beats) == 0 || !slices.IsSorted(beats) || beats[len(beats)-1] < committed[0] {
			t.Errorf("heartbeats of %v", beats)
		}
	})
}

func insertAt(ctx context.Context, db *sql.DB, i int) (at int64, err error) {
	table := "a"
	if _, err = db.ExecContext(ctx, "INSERT INTO shop."+table+" VALUES (?)", i); err != nil {
		return 0, err
	}
	if _, err = db.ExecContext(ctx, "INSERT INTO shop.b VALUES (?)", i); err != nil { // heartbeats come between
		return 0, err
	}
	now, err := serverTime(ctx, db)
	return now.UnixMicro(), err
}

// TestATimeThatHasNotComeIsNotBelieved: a session may give its changes any time.
func TestATimeThatHasNotComeIsNotBelieved(t *testing.T) {
	onServers(t, func(t *testing.T, srv *testenv.Server, db *sql.DB) {
		exec(t, db, "CREATE DATABASE shop", "CREATE TABLE shop.a (id INT PRIMARY KEY)")
		s := newSource(t, testConfig(srv, "shop.*"))
		openSource(t, s, pipeline.Resume{})
		conn, err := db.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		for _, q := range []string{"SET TIMESTAMP=UNIX_TIMESTAMP('2037-01-01')", "INSERT INTO shop.a VALUES (1)"} {
			if _, err := conn.ExecContext(t.Context(), q); err != nil {
				t.Fatal(err)
			}
		}
		all := collect(t, s, func(it seen) bool { return it.Kind == event.KindCommit })
		now, err := serverTime(t.Context(), db)
		if err != nil {
			t.Fatal(err)
		}
		if at := all[len(all)-1].Commit.Time; at > now.UnixMicro() {
			t.Errorf("complete up to %s, and it is %s", time.UnixMicro(at), now)
		}
	})
}
