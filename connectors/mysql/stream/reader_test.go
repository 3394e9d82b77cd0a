package stream

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-mysql-org/go-mysql/mysql"

	"github.com/millrace/millrace/connectors/mysql/account"
	"github.com/millrace/millrace/internal/testenv"
)

func onServers(t *testing.T, fn func(t *testing.T, srv *testenv.Server, db *sql.DB, opts Options)) {
	for kind, start := range servers {
		t.Run(kind, func(t *testing.T) {
			srv := start(t)
			db, err := srv.Open("")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { db.Close() })
			fn(t, srv, db, Options{
				Account: account.Account{Address: srv.Addr, User: "root", TLS: account.TLS{Mode: account.Disabled}}, ServerID: 4711,
				MariaDB:   kind == "mariadb",
				Heartbeat: time.Second,
			})
		})
	}
}

// readUntil reads until an event for which stop is true; the error is the reader's.
func readUntil(t *testing.T, r *Reader, stop func(*Event) bool) (events []Event, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for {
		select {
		case b := <-r.Batches():
			for i := range b.Events {
				events = append(events, b.Events[i])
				if stop(&b.Events[i]) {
					return events, nil
				}
			}
			if b.Err != nil {
				return events, b.Err
			}
			r.Recycle(b)
		case <-ctx.Done():
			t.Fatal("nothing came any more")
		}
	}
}

// TestTheWireHasWhatTheFileHas reads a log over a connection, from a place and from a set
// of GTIDs on, and compares it with the file.
func TestTheWireHasWhatTheFileHas(t *testing.T) {
	onServers(t, func(t *testing.T, srv *testenv.Server, db *sql.DB, opts Options) {
		raw := recordLog(t, srv)
		names := logs(t, db)
		file := names[len(names)-2]
		want, err := ParseFile(file, raw)
		if err != nil {
			t.Fatal(err)
		}
		last := want[len(want)-2].Place // in front of the rotation
		r, err := Open(t.Context(), opts, Start{File: file, Pos: 4})
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		got, err := readUntil(t, r, func(e *Event) bool {
			return e.Place.File == file && e.Place.Start >= last.Start && !e.Packed && e.Type != FormatEvent
		})
		if err != nil {
			t.Fatal(err)
		}
		kept := got[:0]
		for _, e := range got {
			if !e.Artificial() && e.Type != HeartbeatEvent && e.Type != HeartbeatV2Event {
				kept = append(kept, e)
			}
		}
		known := map[string]int{}
		for i := range want {
			known[eventText(t, &want[i])]++
		}
		for i := range kept {
			if text := eventText(t, &kept[i]); known[text] == 0 && kept[i].Type != FormatEvent && kept[i].Type != AnnotateRowsEvent {
				t.Errorf("the file has no %s", text)
			}
		}
		if n := len(want) - len(kept); n < 0 || n > len(want)/2 {
			t.Errorf("%d events came of %d", len(kept), len(want))
		}
		bySet(t, opts, want)
	})
}

// bySet reads from behind the first transaction on, named by its GTID.
func bySet(t *testing.T, opts Options, want []Event) {
	t.Helper()
	var gtids []GTID
	set, err := ParseSet(opts.MariaDB, "")
	if err != nil {
		t.Fatal(err)
	}
	for i := range want {
		if typ := want[i].Type; typ == GTIDEvent || typ == GTIDTaggedEvent || typ == MariaGTIDEvent {
			g, err := ParseGTID(&want[i])
			if err != nil {
				t.Fatal(err)
			}
			gtids = append(gtids, g)
		}
	}
	for i := range gtids[:2] {
		set.Add(&gtids[i])
	}
	opts.ServerID++
	for _, c := range []struct {
		name  string
		set   func() (*Set, error)
		first GTID
	}{
		{"behind two", func() (*Set, error) { return set, nil }, gtids[2]},
		{"before the second", func() (*Set, error) { return set.Before(string(gtids[1].AppendText(nil))) }, gtids[1]},
	} {
		from, err := c.set()
		if err != nil {
			t.Fatal(err)
		}
		r, err := Open(t.Context(), opts, Start{Set: from})
		if err != nil {
			t.Fatal(c.name, err)
		}
		found := ""
		_, err = readUntil(t, r, func(e *Event) bool {
			if e.Type != GTIDEvent && e.Type != GTIDTaggedEvent && e.Type != MariaGTIDEvent {
				return false
			}
			g, err := ParseGTID(e)
			found = string(g.AppendText(nil))
			return err == nil
		})
		r.Close()
		if want := string(c.first.AppendText(nil)); err != nil || found != want {
			t.Errorf("%s: the first transaction is %s, %v; want %s", c.name, found, err, want)
		}
	}
}

// TestWhatAServerRefusesIsTold asks for what a server cannot give.
func TestWhatAServerRefusesIsTold(t *testing.T) {
	onServers(t, func(t *testing.T, srv *testenv.Server, db *sql.DB, opts Options) {
		for _, q := range []string{"CREATE DATABASE s", "FLUSH BINARY LOGS", "CREATE TABLE s.t (a INT)", "CREATE USER 'poor'@'%'", "CREATE USER 'poor'@'localhost'"} {
			if _, err := db.Exec(q); err != nil {
				t.Fatal(q, err)
			}
		}
		names := logs(t, db)
		ask := func(opts Options, start Start) error {
			r, err := Open(t.Context(), opts, start)
			if err != nil {
				return err
			}
			defer r.Close()
			_, err = readUntil(t, r, func(e *Event) bool { return e.Type == QueryEvent || e.Type == XIDEvent })
			return err
		}
		poor, gone := opts, opts
		poor.Account.User = "poor"
		gone.Account.Address = "127.0.0.1:1"
		for _, c := range []struct {
			name  string
			opts  Options
			start Start
			want  error
		}{
			{"a file that is not there", opts, Start{File: "other.000001", Pos: 4}, ErrPurged},
			{"a place behind the end", opts, Start{File: names[0], Pos: 1 << 30}, ErrBeyond},
			{"an account without rights", poor, Start{File: names[0], Pos: 4}, ErrDenied},
			{"nobody there", gone, Start{File: names[0], Pos: 4}, nil},
			{"a place that cannot be said", opts, Start{File: names[0], Pos: 1 << 33}, nil},
		} {
			err := ask(c.opts, c.start)
			if err == nil || c.want != nil && !errors.Is(err, c.want) {
				t.Errorf("%s: %v, want %v", c.name, err, c.want)
			}
		}
		r, err := Open(t.Context(), opts, Start{File: names[0], Pos: 4})
		if err != nil {
			t.Fatal(err)
		}
		r.Drop()
		if _, err := readUntil(t, r, func(*Event) bool { return false }); err == nil {
			t.Error("a dropped connection has no error")
		}
		r.Close()
		r.Close()
	})
}

// TestASecondReplicaOfTheSameNumber is told from a lost connection.
func TestASecondReplicaOfTheSameNumber(t *testing.T) {
	onServers(t, func(t *testing.T, srv *testenv.Server, db *sql.DB, opts Options) {
		names := logs(t, db)
		first, err := Open(t.Context(), opts, Start{File: names[0], Pos: 4})
		if err != nil {
			t.Fatal(err)
		}
		defer first.Close()
		// The server has the first replica once it sends: until then either can come later.
		if _, err := db.ExecContext(t.Context(), "CREATE DATABASE replicas"); err != nil {
			t.Fatal(err)
		}
		if _, err := readUntil(t, first, func(e *Event) bool { return e.Type == QueryEvent }); err != nil {
			t.Fatal(err)
		}
		second, err := Open(t.Context(), opts, Start{File: names[0], Pos: 4})
		if err != nil {
			t.Fatal(err)
		}
		defer second.Close()
		if !opts.MariaDB {
			return // MySQL tells replicas apart by their UUID
		}
		_, err = readUntil(t, first, func(*Event) bool { return false })
		if err == nil {
			t.Error("the first goes on beside the second")
		}
	})
}

func TestErrorsOfServersAreSorted(t *testing.T) {
	if classify(nil) != nil {
		t.Error("no error becomes one")
	}
	plain := errors.New("x")
	if got := classify(plain); !errors.Is(got, plain) {
		t.Error(got)
	}
	for text, want := range map[string]error{
		"Could not find first log file name in binary log index": ErrPurged, "a replica with the same server_uuid": ErrDuplicateID,
		"Client requested master to start replication from impossible position": ErrBeyond, "something else": ErrUnreadable,
	} {
		if got := classify(serverError(1236, text)); !errors.Is(got, want) {
			t.Errorf("%s: %v", text, got)
		}
	}
	for code, want := range map[uint16]error{1789: ErrPurged, 4052: ErrDuplicateID, 1227: ErrDenied} {
		if got := classify(serverError(code, "")); !errors.Is(got, want) {
			t.Errorf("%d: %v", code, got)
		}
	}
	if got := classify(serverError(1064, "syntax")); got == nil || !strings.Contains(got.Error(), "syntax") {
		t.Error(got)
	}
}

// TestSetsBeforeATransaction takes one transaction out of a set.
func TestSetsBeforeATransaction(t *testing.T) {
	const u = "3e11fa47-71ca-11e1-9e33-c80aa9429562"
	for _, c := range []struct {
		maria           bool
		set, gtid, want string
	}{
		{false, u + ":1-9", u + ":5", u + ":1-4:6-9"}, {false, u + ":1-9", u + ":1", u + ":2-9"}, {false, u + ":1-9", u + ":9", u + ":1-8"},
		{false, u + ":7", u + ":7", ""}, {false, u + ":1-3:7", u + ":5", u + ":1-3:7"}, {false, u + ":1-3:app:1-3", u + ":app:2", u + ":1-3:app:1:3"},
		{false, u + ":1", "other:1", u + ":1"}, {false, u + ":1", u, "error"}, {false, u + ":1", "x", "error"},
		{true, "0-1-9,1-1-4", "0-2-7", "0-2-6,1-1-4"}, {true, "0-1-9", "0-1-1", ""}, {true, "0-1-9", "0-1", "error"}, {true, "0-1-9", "", "error"},
	} {
		s, err := ParseSet(c.maria, c.set)
		if err != nil {
			t.Fatal(err)
		}
		got := "error"
		if before, err := s.Before(c.gtid); err == nil {
			got = before.String()
			if (got == "") != before.Empty() {
				t.Errorf("%q is empty: %v", got, before.Empty())
			}
		}
		if got != c.want {
			t.Errorf("%s before %s: %s, want %s", c.set, c.gtid, got, c.want)
		}
		if s.String() != c.set {
			t.Errorf("%s became %s", c.set, s)
		}
	}
}

// TestSetsHold compares sets.
func TestSetsHold(t *testing.T) {
	const u = "3e11fa47-71ca-11e1-9e33-c80aa9429562"
	for _, c := range []struct {
		maria  bool
		a, b   string
		within bool
	}{
		{false, u + ":1-9", u + ":2-3:5", true}, {false, u + ":1-4:6-9", u + ":4-6", false}, {false, u + ":1-4", u + ":app:1", false},
		{true, "0-1-5,1-1-1", "0-2-5", true}, {true, "0-1-5", "0-1-6", false}, {true, "0-1-5", "1-1-1", false},
	} {
		a, err1 := ParseSet(c.maria, c.a)
		b, err2 := ParseSet(c.maria, c.b)
		if err := errors.Join(err1, err2); err != nil {
			t.Fatal(err)
		}
		if a.Contains(b) != c.within {
			t.Errorf("%s in %s: %v", c.b, c.a, !c.within)
		}
	}
	m, err := ParseSet(true, "0-1-5")
	if err != nil || !m.Has(&GTID{Number: 5}) || m.Has(&GTID{Number: 6}) || m.Has(&GTID{Domain: 1, Number: 1}) {
		t.Error("the set of MariaDB's domains is wrong", err)
	}
	if s, err := ParseSet(false, ""); err != nil || s.Has(&GTID{Source: "x", Number: 1}) {
		t.Error("the empty set has something", err)
	}
}

func serverError(code uint16, text string) error {
	return fmt.Errorf("asked: %w", &mysql.MyError{Code: code, Message: text})
}
