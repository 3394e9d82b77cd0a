package mysql

import (
	"context"
	"encoding/binary"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/connectors/mysql/held"
	"github.com/millrace/millrace/connectors/mysql/schema"
	"github.com/millrace/millrace/connectors/mysql/stream"
	"github.com/millrace/millrace/pipeline/event"
)

var record = flag.Bool("record", false, "record new logs and what is read from them in testdata")

// goldenScript is what the recorded logs hold.
var goldenScript = []string{
	"CREATE DATABASE g", "CREATE TABLE g.t (id INT PRIMARY KEY, v VARCHAR(20), n BIGINT UNSIGNED, d DECIMAL(10,3)) DEFAULT CHARSET=utf8mb4",
	"CREATE TABLE g.foreign_one (id INT PRIMARY KEY) DEFAULT CHARSET=utf8mb4", "CREATE TABLE g.k (v INT)",
	"INSERT INTO g.t VALUES (1,'one',18446744073709551615,-1.5),(2,'two',NULL,0)",
	"INSERT INTO g.foreign_one VALUES (1),(2),(3)", "UPDATE g.t SET v='zwei' WHERE id=2", "UPDATE g.t SET id=3 WHERE id=2",
	"ALTER TABLE g.t ADD COLUMN w INT NOT NULL DEFAULT 7", "DELETE FROM g.t WHERE id=1", "INSERT INTO g.k VALUES (1),(1)", "UPDATE g.k SET v=2",
	"TRUNCATE TABLE g.t", "INSERT INTO g.t VALUES (9,'nine',1,2.25,3)", "DROP TABLE g.k",
}

// endsScript is what the recorded logs of transactions hold that end in other ways than
// by a commit; what a server refuses is not in its log.
var endsScript = []string{
	"CREATE DATABASE g", "CREATE TABLE g.t (id INT PRIMARY KEY)", "CREATE TABLE g.foreign_one (id INT PRIMARY KEY)", "CREATE TABLE g.k (v INT)", "CREATE TABLE g.m (id INT PRIMARY KEY) ENGINE=MyISAM",
	"BEGIN", "INSERT INTO g.t VALUES (10)", "CREATE TEMPORARY TABLE g.tt (a INT)", "INSERT INTO g.t VALUES (11)", "ROLLBACK", "INSERT INTO g.t VALUES (12)",
	"BEGIN", "INSERT INTO g.t VALUES (20)", "SAVEPOINT s", "DROP TEMPORARY TABLE IF EXISTS g.none", "INSERT INTO g.t VALUES (21)", "INSERT INTO g.foreign_one VALUES (21)",
	"INSERT INTO g.m VALUES (21)", "INSERT INTO g.k VALUES (21)", "ROLLBACK TO s", "INSERT INTO g.k VALUES (22)", "INSERT INTO g.t VALUES (23)", "COMMIT",
	"DROP TEMPORARY TABLE IF EXISTS g.tt",
	"XA START 'one'", "INSERT INTO g.t VALUES (30),(31)", "SAVEPOINT s", "INSERT INTO g.k VALUES (31)", "INSERT INTO g.m VALUES (31)", "ROLLBACK TO s", "UPDATE g.t SET id=32 WHERE id=31", "XA END 'one'", "XA PREPARE 'one'",
	"XA COMMIT 'one'", "INSERT INTO g.t VALUES (33)",
	"XA START 'two'", "INSERT INTO g.t VALUES (40)", "XA END 'two'", "XA PREPARE 'two'", "XA ROLLBACK 'two'", "INSERT INTO g.t VALUES (41)",
	"XA START 'three'", "INSERT INTO g.k VALUES (50)", "XA END 'three'", "XA COMMIT 'three' ONE PHASE", "INSERT INTO g.k VALUES (51)",
}

// TestNumbersOfRecordedLogs is the golden test of the numbering: the same bytes must
// mint the same numbers for ever, whatever tables are captured.
func TestNumbersOfRecordedLogs(t *testing.T) {
	for name, script := range map[string][]string{"mariadb": goldenScript, "mysql": goldenScript, "mariadb-ends": endsScript, "mysql-ends": endsScript} {
		t.Run(name, func(t *testing.T) {
			kind, _, _ := strings.Cut(name, "-")
			log, want := filepath.Join("testdata", name+".binlog"), filepath.Join("testdata", name+".txt")
			if *record {
				recordLog(t, kind, log, script)
			}
			raw, err := os.ReadFile(log)
			if err != nil {
				t.Fatal(err)
			}
			all := replay(t, raw, kind == "mariadb", "g.*", "!g.foreign_one")
			var b strings.Builder
			seqs := map[string]event.Seq{}
			for _, it := range all {
				fmt.Fprintf(&b, "%d %s | %s\n", it.Seq.Counter(), it.text, it.Item.Identity())
				seqs[it.text+it.Item.Identity().String()] = it.Seq
			}
			if *record {
				if err := os.WriteFile(want, []byte(b.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			text, err := os.ReadFile(want)
			if err != nil {
				t.Fatal(err)
			}
			if b.String() != string(text) {
				t.Errorf("got\n%s\nwant\n%s", b.String(), text)
			}
			for _, it := range replay(t, raw, kind == "mariadb", "g.k") {
				if it.Kind == event.KindRow && seqs[it.text+it.Item.Identity().String()] != it.Seq {
					t.Errorf("%s has number %d with fewer tables, %d with more", it.text, it.Seq, seqs[it.text+it.Item.Identity().String()])
				}
			}
		})
	}
}

// replay reads a log's file without a server.
func replay(t testing.TB, raw []byte, maria bool, tables ...string) []seen {
	t.Helper()
	o := offline(t, maria, tables...)
	events, err := stream.ParseFile("binlog.000001", raw)
	if err != nil {
		t.Fatal(err)
	}
	for i := range events {
		if err := feed(o, &events[i]); err != nil {
			t.Fatalf("event %d: %v", i, err)
		}
	}
	var out []seen
	for _, it := range o.out {
		out = append(out, keep(it))
	}
	return out
}

// offline is an opening that has no server to ask.
func offline(t testing.TB, maria bool, tables ...string) *opening {
	t.Helper()
	cfg := DefaultConfig()
	cfg.User, cfg.Tables, cfg.Address = "nobody", tables, "127.0.0.1:1"
	s, err := New(cfg, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		t.Fatal(err)
	}
	filter, err := schema.ParseFilter(tables)
	if err != nil {
		t.Fatal(err)
	}
	r, err := newReader(s) // where nobody answers
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.db.Close() })
	o := &opening{reader: r, filter: filter, lastBeat: time.Now()}
	o.server = server{maria: maria, gtid: true}
	o.held, o.epoch, o.counter = held.New(maria, o.store, o.torn), 1, 2
	o.boundary = event.Position{File: "binlog.000001", Pos: 4, Epoch: 1, Counter: 2}
	o.ctx, o.cancel = context.WithCancel(t.Context())
	o.compose()
	if o.set, err = stream.ParseSet(maria, ""); err != nil {
		t.Fatal(err)
	}
	return o
}

// feed gives an event to an opening as the server would.
func feed(o *opening, e *stream.Event) error {
	if err := o.accept(e); err != nil {
		return err
	}
	for {
		st, ok, err := o.held.Next()
		if !ok || err != nil {
			return err
		}
		if err := o.process(&st); err != nil {
			return err
		}
	}
}

func recordLog(t *testing.T, kind, name string, script []string) {
	t.Helper()
	srv := servers[kind](t)
	db, err := srv.Open("")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	_, first := lastLog(t, db)
	exec(t, db, "FLUSH BINARY LOGS")
	newSession(t, db).run(script...)
	_, file := lastLog(t, db)
	if file == first {
		t.Fatal("the log was not rotated")
	}
	raw, err := os.ReadFile(filepath.Join(srv.Data, file))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll("testdata", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, raw, 0o644); err != nil {
		t.Fatal(err)
	}
}

// FuzzProcess feeds damaged events behind good ones: nothing may panic, and what is
// handed over must be well formed.
func FuzzProcess(f *testing.F) {
	for _, kind := range []string{"mariadb", "mysql"} {
		raw, err := os.ReadFile(filepath.Join("testdata", kind+".binlog"))
		if err != nil {
			f.Fatal(err)
		}
		for at := 4; at+19 <= len(raw); {
			n := int(binary.LittleEndian.Uint32(raw[at+9:]))
			if n < 19 || at+n > len(raw) {
				break
			}
			f.Add(kind == "mariadb", raw[at+4], raw[at+19:at+n])
			at += n
		}
	}
	f.Fuzz(func(t *testing.T, maria bool, typ byte, body []byte) {
		kind := "mysql"
		if maria {
			kind = "mariadb"
		}
		raw, err := os.ReadFile(filepath.Join("testdata", kind+".binlog"))
		if err != nil {
			t.Fatal(err)
		}
		events, err := stream.ParseFile("binlog.000001", raw)
		if err != nil {
			t.Fatal(err)
		}
		o := offline(t, maria, "g.*")
		for i := range events {
			if events[i].Type == stream.TableMapEvent && i > len(events)/2 {
				if err := feed(o, &events[i]); err != nil {
					t.Fatal(err)
				}
				break
			}
			if err := feed(o, &events[i]); err != nil {
				t.Fatal(err)
			}
		}
		o.out = o.out[:0]
		_ = feed(o, &stream.Event{Type: typ, Body: body})
		_ = feed(o, &stream.Event{Type: stream.XIDEvent, Body: make([]byte, 8)}) // only behind its end is a transaction looked at
		for _, it := range o.out {
			for _, img := range []event.Image{it.Before, it.After} {
				if img != nil {
					if err := event.CheckImage(img, it.Table.Schema); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
	})
}
