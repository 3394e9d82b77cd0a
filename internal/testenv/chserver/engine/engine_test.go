package engine_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/millrace/millrace/internal/testenv"
	"github.com/millrace/millrace/internal/testenv/chserver"
	"github.com/millrace/millrace/internal/testenv/chserver/engine"
	"github.com/millrace/millrace/internal/testenv/chserver/serve"
)

// One engine a process: what there is to test of it stands in one test.
func TestAnEngine(t *testing.T) {
	dir := t.TempDir()
	config, err := serve.WriteConfig(dir, chserver.Options{})
	if err != nil {
		t.Fatal(err)
	}
	library := testenv.Libchdb(t)
	e, err := engine.Open(library, filepath.Join(dir, "data"), config)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	connect := func(t *testing.T) *engine.Conn {
		t.Helper()
		conn, err := e.Connect()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(conn.Close)
		return conn
	}
	ask := func(t *testing.T, conn *engine.Conn, sql string, params ...engine.Param) string {
		t.Helper()
		var answer string
		if _, err := conn.Query(sql, "TSVRaw", params, func(data []byte) error { answer = string(data); return nil }); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
		return answer
	}
	t.Run("Go has its signals", func(t *testing.T) {
		defer func() {
			if recover() == nil {
				t.Error("nothing to recover from")
			}
		}()
		var p *int
		*p++
	})
	t.Run("statements are counted", func(t *testing.T) {
		conn := connect(t)
		for sql, want := range map[string]int{"SELECT 1": 1, "SELECT 1; SELECT ';'": 2, "": 0} {
			if n, err := conn.Statements(sql); n != want || err != nil {
				t.Errorf("%q holds %d statements, %v", sql, n, err)
			}
		}
	})
	t.Run("parameters", func(t *testing.T) {
		if got := ask(t, connect(t), "SELECT {a:UInt8} + {b:UInt8}, {c:String}", engine.Param{Name: "a", Value: "1"}, engine.Param{Name: "b", Value: "2"}, engine.Param{Name: "c", Value: ""}); got != "3\t\n" {
			t.Errorf("%q", got)
		}
	})
	t.Run("an insert lands when it is done, and not when it is cancelled", func(t *testing.T) {
		conn := connect(t)
		ask(t, conn, "CREATE TABLE default.t (a UInt64) ENGINE = MergeTree ORDER BY a")
		for _, done := range []bool{false, true} {
			i, err := conn.Insert("INSERT INTO default.t (a)", "TSV", nil)
			if err != nil {
				t.Fatal(err)
			}
			if !i.Append([]byte("1\n2\n")) {
				t.Error("it takes no data")
			}
			if !done {
				i.Cancel()
				continue
			}
			if s, err := i.Done(); err != nil || s.RowsWritten != 2 {
				t.Errorf("%+v, %v", s, err)
			}
		}
		if n := ask(t, conn, "SELECT count() FROM default.t"); n != "2\n" {
			t.Errorf("%q rows", n)
		}
		var e *engine.Error
		if _, err := conn.Insert("INSERT INTO default.nothing", "TSV", nil); !errors.As(err, &e) || e.Code != 60 {
			t.Errorf("a table that is not there: %v", err)
		}
	})
	t.Run("an answer is ended by who reads it", func(t *testing.T) {
		conn := connect(t)
		enough, blocks := errors.New("enough"), 0
		_, err := conn.Select("SELECT number FROM numbers(100000000)", "TSV", nil, func([]byte) error {
			if blocks++; blocks == 3 {
				return enough
			}
			return nil
		})
		if !errors.Is(err, enough) || blocks != 3 {
			t.Errorf("%d blocks, %v", blocks, err)
		}
		if got := ask(t, conn, "SELECT 1"); got != "1\n" {
			t.Errorf("afterwards: %q", got)
		}
	})
	t.Run("sessions side by side", func(t *testing.T) {
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				for range 20 {
					conn, err := e.Connect()
					if err != nil {
						t.Error(err)
						return
					}
					if _, err := conn.Query("SELECT sum(number) FROM numbers(1000)", "TSV", nil, nil); err != nil {
						t.Error(err)
					}
					conn.Close()
				}
			})
		}
		all.Wait()
	})
	t.Run("another directory", func(t *testing.T) {
		if _, err := engine.Open(library, t.TempDir(), config); err == nil || !strings.Contains(err.Error(), "did not start") {
			t.Errorf("%v", err)
		}
	})
	t.Run("another library", func(t *testing.T) {
		for path, says := range map[string]string{filepath.Join(dir, "nothing.so"): "load libchdb", "libc.so.6": "is not the libchdb"} {
			if _, err := engine.Open(path, t.TempDir(), config); err == nil || !strings.Contains(err.Error(), says) {
				t.Errorf("%s: %v", path, err)
			}
		}
	})
	if _, err := os.Stat(filepath.Join(dir, "data", "metadata")); err != nil {
		t.Error(err)
	}
}
