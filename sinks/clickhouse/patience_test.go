package clickhouse

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/millrace/millrace/internal/testenv"
	"github.com/millrace/millrace/internal/testenv/chserver"
	"github.com/millrace/millrace/pipeline"
)

// The server has too many parts: rows wait and the table says why, nothing fails and nothing is
// lost. Once some are merged the block is read again: its values were given up when it was sent.
func TestTooManyPartsHoldBack(t *testing.T) {
	ch := testenv.ClickHouseWithFaults(t, chserver.Options{})
	c, m := targetOn(t, ch.ClickHouseDatabase), schemas{}
	c.Settings = map[string]string{"parts_to_throw_insert": "2", "parts_to_delay_insert": "2"}
	s := simple(m)
	admin := func(statement string) {
		t.Helper()
		if _, err := ch.Admin(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	table := c.Database + ".orders" + suffix
	o := own(t, c, m, 1, false).write(0, rows(s, 0, create(10, image(t, s, 1, "v")))).flush()
	said := make(chan string, 1000)
	o.claim.Held = func(reason string) { said <- reason }
	admin("SYSTEM STOP MERGES " + table)
	o.write(0, rows(s, 10, create(12, image(t, s, 2, "v")))).flush()
	o.write(0, rows(s, 12, create(14, image(t, s, 3, "v"))))
	flushed := make(chan error, 1)
	go func() {
		_, err := o.Flush(context.WithoutCancel(t.Context()))
		flushed <- err
	}()
	for _, word := range []string{"too many parts", "orders__cdc", "flush.interval"} {
		select {
		case reason := <-said:
			if !strings.Contains(reason, word) {
				t.Errorf("it says %q, and not %q", reason, word)
			}
		case err := <-flushed:
			t.Fatalf("it does not wait: %v", err)
		}
	}
	select {
	case err := <-flushed:
		t.Fatalf("it does not wait: %v", err)
	default:
	}
	if got := shows(t, c); len(got) != 2 {
		t.Errorf("meanwhile a reader sees %q", got)
	}
	admin("SYSTEM START MERGES " + table)
	admin("OPTIMIZE TABLE " + table + " FINAL")
	if err := <-flushed; !errors.Is(err, pipeline.ErrUnwritable) {
		t.Fatalf("the block is sent again, or is lost: %v", err)
	}
	last := "?"
	for len(said) > 0 {
		last = <-said
	}
	if last != "" {
		t.Errorf("merged, it says %q", last)
	}
	again := own(t, c, m, 2, false).stands("merged", rows(s, 10, create(12, image(t, s, 2, "v"))))
	again.write(0, rows(s, 12, create(14, image(t, s, 3, "v")))).flush()
	same(t, "merged", shows(t, c), []string{"id=1 v=v", "id=2 v=v", "id=3 v=v"})
	if waited := testutil.ToFloat64(o.sink.metrics.heldBack.WithLabelValues(o.labels()...)); waited < firstWait.Seconds() {
		t.Errorf("it waited for %v s", waited)
	}

	c.Settings, c.Table, table = nil, "others", c.Database+".others"+suffix
	t.Run("the ledger", func(t *testing.T) {
		o := own(t, c, m, 1, false)
		fault := ch.Inject(t, chserver.Fault{On: chserver.Insert, Table: c.ControlDatabase + ".ledger", Code: tooManyParts, Message: "Too many parts"})
		o.write(0, rows(s, 0, create(16, image(t, s, 4, "v")))).flush()
		if fault.State().Hits != 1 {
			t.Error("the fault did not strike")
		}
		own(t, c, m, 2, false).stands("the ledger's", rows(s, 0, create(16, image(t, s, 4, "v"))))
	})
	t.Run("it is stopped meanwhile", func(t *testing.T) {
		o := own(t, c, m, 3, false).write(0, rows(s, 16, create(18, image(t, s, 5, "v"))))
		ch.Inject(t, chserver.Fault{On: chserver.Insert, Table: table, Times: -1, Code: tooManyParts, Message: "Too many parts"})
		ctx, cancel := context.WithCancel(t.Context())
		o.claim.Held = func(string) { cancel() }
		if _, err := o.Flush(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("stopped: %v", err)
		}
	})
	// A view that reads it may be what has too many: whether the rows landed is looked up.
	t.Run("a changelog", func(t *testing.T) {
		c := c
		c.Mode, c.Table = Changelog, "log"
		o := own(t, c, m, 1, false).write(0, rows(s, 0, create(10, image(t, s, 1, "v"))))
		ch.Inject(t, chserver.Fault{On: chserver.Insert, Table: c.Database + ".log" + suffix, At: chserver.Landed, Code: tooManyParts, Message: "Too many parts"})
		if _, err := o.Flush(t.Context()); !errors.Is(err, pipeline.ErrUnwritable) {
			t.Errorf("%v", err)
		}
		own(t, c, m, 2, false).write(0, rows(s, 0, create(10, image(t, s, 1, "v")))).flush()
		n, err := ch.Admin(t.Context(), "SELECT count() FROM "+c.Database+".log"+suffix)
		if err != nil || strings.TrimSpace(n) != "1" {
			t.Errorf("the change is there %s times, %v", strings.TrimSpace(n), err)
		}
	})
}
