package bus

import (
	"context"
	"errors"
	"testing"

	"github.com/millrace/millrace/pipeline/event"
)

// attempt is a step of the attempt that begins with a number: BEGIN, an empty chunk, END.
func (b *bench) attempt(kind event.Kind, t *event.Table, begin event.Seq) event.Item {
	seq := b.seq()
	if kind == event.KindBegin {
		begin = seq
	}
	return event.Item{Kind: kind, Seq: seq, Table: t, Attempt: &event.Attempt{Table: t.Name, Begin: begin}, Commit: b.at()}
}

// owed is the attempt of a table that is due or under way.
func (b *bench) owed(t *event.Table) event.Attempt {
	a, _ := b.p.Life().Of(t.Name).Attempt()
	return a
}

func (b *bench) reopen(tw *twin) {
	b.t.Helper()
	b.close()
	*b = *openBench(b.t, tw, PublisherConfig{})
}

// TestWhatWasMadeDueStaysSo asks for an attempt while another is in progress, whose chunks
// and END are still on their way then. Only a BEGIN takes the place of what was asked for.
func TestWhatWasMadeDueStaysSo(t *testing.T) {
	tw := newTwin()
	table := benchTable("orders", 2)
	told := make(chan string, 1)
	b := openBench(t, tw, PublisherConfig{OnDue: func(t event.TableName, cause string) { told <- t.String() + ": " + cause }})
	if err := b.p.Declare(t.Context(), []*event.Table{table}); err != nil {
		t.Fatal(err)
	}
	first := b.attempt(event.KindBegin, table, 0)
	b.add(first, b.attempt(event.KindChunkEnd, table, first.Seq))
	b.flush()
	if err := b.p.MakeDue(t.Context(), []event.TableName{table.Name}, "asked"); err != nil {
		t.Fatal(err)
	}
	if got := <-told; got != "shop.orders: asked" {
		t.Errorf("the source was told %q", got)
	}
	due := func(when string) {
		t.Helper()
		b.reopen(tw)
		if a := b.resume.Attempts; len(a) != 1 || a[0].Begin != 0 || a[0].Cause != "asked" {
			t.Errorf("%s a restart finds %+v", when, a)
		}
	}
	if a := b.owed(table); a.Begin != 0 || a.Cause != "asked" {
		t.Errorf("recorded at once: %+v", a)
	}
	b.add(b.attempt(event.KindChunkEnd, table, first.Seq))
	b.flush()
	if a := b.owed(table); a.Begin != 0 {
		t.Errorf("behind a chunk of the one before: %+v", a)
	}
	b.add(b.attempt(event.KindEnd, table, first.Seq))
	b.flush()
	due("behind the END of the one before")

	if err := b.p.Declare(t.Context(), []*event.Table{table}); err != nil {
		t.Fatal(err)
	}
	second := b.attempt(event.KindBegin, table, 0)
	b.add(second, b.attempt(event.KindEnd, table, second.Seq))
	b.flush()
	b.reopen(tw)
	if a := b.resume.Attempts; len(a) != 0 {
		t.Errorf("behind the new one's END a restart finds %+v", a)
	}
	b.close()
}

// TestAwaitPausedMeansTheRecord waits for a pause that is added, not recorded: the group
// that has it is not closed.
func TestAwaitPausedMeansTheRecord(t *testing.T) {
	tw := newTwin()
	table := benchTable("orders", 1)
	b := openBench(t, tw, PublisherConfig{})
	if err := b.p.Declare(t.Context(), []*event.Table{table}); err != nil {
		t.Fatal(err)
	}
	names := []event.TableName{table.Name}
	if err := b.p.AwaitPaused(t.Context(), names, false); err != nil {
		t.Errorf("a table that is not paused: %v", err)
	}
	b.add(event.Item{Kind: event.KindPaused, Table: table, Reason: &event.PauseReason{Text: "by request"}})
	gone, leave := context.WithCancel(t.Context())
	leave()
	if err := b.p.AwaitPaused(gone, names, true); !errors.Is(err, context.Canceled) {
		t.Errorf("before the record: %v", err)
	}
	answer := make(chan error, 1)
	go func() { answer <- b.p.AwaitPaused(t.Context(), names, true) }()
	b.flush()
	if err := <-answer; err != nil {
		t.Errorf("with the record: %v", err)
	}
	go func() { answer <- b.p.AwaitPaused(t.Context(), names, false) }()
	b.close()
	if err := <-answer; !errors.Is(err, errStopped) {
		t.Errorf("a publisher that stops: %v", err)
	}
}

// TestWhoLooksNeverWaits: while the broker does not answer the records are locked, and that
// is what somebody wants to see who looks at the pipeline.
func TestWhoLooksNeverWaits(t *testing.T) {
	tw := newTwin()
	table := benchTable("orders", 2)
	b := openBench(t, tw, PublisherConfig{})
	if err := b.p.Declare(t.Context(), []*event.Table{table}); err != nil {
		t.Fatal(err)
	}
	asked, answer := make(chan struct{}, 1), make(chan struct{})
	b.conn.mu.Lock()
	b.conn.hook = func(string, bool) error {
		select {
		case asked <- struct{}{}:
		default:
		}
		<-answer
		return nil
	}
	b.conn.mu.Unlock()
	done := make(chan error, 1)
	go func() { done <- b.p.MakeDue(t.Context(), []event.TableName{table.Name}, "asked") }()
	<-asked
	before, progress, held := b.p.Status(), b.owed(table), b.p.Life().Of(table.Name).Held()
	close(answer)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if before.Epoch == 0 || progress.Cause == "asked" || held.Code != "" {
		t.Errorf("while the broker is asked: %+v, %+v, held %q", before, progress, held)
	}
	if got := b.owed(table).Cause; got != "asked" {
		t.Errorf("when it has answered: due for %q", got)
	}
	b.close()
}
