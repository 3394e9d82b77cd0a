package faults

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/e2e/inprocess"
	"github.com/millrace/millrace/pipeline"
)

// TestADroppedTablesRowsArriveAfterARestart drops a table whose rows are in the broker and
// nowhere in the lake, and kills the process: they arrive all the same, and stay.
func TestADroppedTablesRowsArriveAfterARestart(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	s := newStage(ctx, t)
	flush := func(interval string) {
		t.Helper()
		text := strings.Replace(fmt.Sprintf(pipelineFile, s.server.Addr, s.lake), "flush: {rows: 20000, bytes: 8MiB, interval: 500ms}",
			"flush: {rows: 10000000, bytes: 1GiB, interval: "+interval+"}", 1)
		if err := os.WriteFile(s.file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	flush("1h")
	s.start()
	cart := func(what string, ok func(pipeline.TableStatus) bool) {
		t.Helper()
		inprocess.Until(ctx, t, what, 100*time.Millisecond, func() (bool, string) {
			now, err := s.status(ctx)
			if err != nil {
				return false, err.Error()
			}
			for _, one := range now.Tables {
				if one.Name == "shop.cart" && ok(one) {
					return true, ""
				}
			}
			return false, describe(now)
		})
	}
	cart("be read", func(one pipeline.TableStatus) bool { return one.State == pipeline.StateRunning && one.Rows >= 500 })
	s.run(ctx, "INSERT INTO shop.cart SELECT 1000 + seq, 'late' FROM shop.seq_1_to_7", "DROP TABLE shop.cart")
	cart("be dropped", func(one pipeline.TableStatus) bool { return one.State == pipeline.StateDropped })
	s.kill()
	changes := filepath.Join(s.lake, "shop", "shop.cart", "changes")
	if rows, _, err := duplicates(ctx, changes); err != nil || rows != 0 {
		t.Fatalf("the lake has %d rows before the restart, %v", rows, err)
	}
	flush("200ms")
	s.start()
	arrived := func(why string) {
		t.Helper()
		cart(why, func(one pipeline.TableStatus) bool {
			return one.State == pipeline.StateDropped && len(one.Sinks) == 1 && one.Sinks[0].Total != nil && *one.Sinks[0].Total == 507 &&
				one.Sinks[0].Behind == 0
		})
		if _, twice, err := duplicates(ctx, changes); err != nil || len(twice) > 0 {
			t.Errorf("%s: %v twice, %v", why, twice, err)
		}
	}
	arrived("arrive")
	there, _, err := duplicates(ctx, changes) // with the deletion that the snapshot's end is
	if err != nil || there < 507 {
		t.Fatalf("%d rows arrived, %v", there, err)
	}
	// What is there once stays, and what somebody removes then is not made again.
	s.terminate()
	s.start()
	cart("be known after another restart", func(one pipeline.TableStatus) bool { return one.State == pipeline.StateDropped })
	if rows, _, err := duplicates(ctx, changes); err != nil || rows != there {
		t.Errorf("%d rows after another restart, %v", rows, err)
	}
	s.terminate()
	if err := os.RemoveAll(filepath.Dir(changes)); err != nil {
		t.Fatal(err)
	}
	s.start()
	s.run(ctx, "INSERT INTO shop.blue VALUES (100001, 1)")
	inprocess.Until(ctx, t, "have what was written behind the restart", 100*time.Millisecond, func() (bool, string) {
		now, err := s.status(ctx)
		if err != nil {
			return false, err.Error()
		}
		for _, one := range now.Tables {
			if one.Name == "shop.blue" && one.Rows > 0 && len(one.Sinks) == 1 && one.Sinks[0].Rows > 0 {
				return true, ""
			}
		}
		return false, describe(now)
	})
	if _, err := os.Stat(filepath.Dir(changes)); !os.IsNotExist(err) {
		t.Errorf("the removed target of the dropped table is there again: %v", err)
	}
	// A table of that name is another one, with a snapshot of its own.
	s.run(ctx, "CREATE TABLE shop.cart (id INT NOT NULL PRIMARY KEY, content VARBINARY(40) NULL)", "INSERT INTO shop.cart VALUES (1, 'new')")
	s.settled(ctx)
	s.equal(ctx)
}
