package bus

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/message"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/checkpoint"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/pipeline/life"
)

// bench is one opened publisher over a twin, fed by hand.
type bench struct {
	t      *testing.T
	twin   *twin
	conn   *twinConn
	p      *Publisher
	resume pipeline.Resume
	cancel func()
	ran    chan error
	n      uint64 // counter
}

func openBench(t *testing.T, tw *twin, cfg PublisherConfig) *bench {
	t.Helper()
	if cfg.GroupInterval == 0 {
		cfg.GroupInterval = time.Hour
	}
	cfg.Pipeline, cfg.Broker = "p", "b"
	conn := &twinConn{t: tw, name: "p", terms: map[string]uint64{}}
	p, err := newPublisher(cfg, slog.New(slog.DiscardHandler), func(context.Context) (publisherDeps, error) {
		return publisherDeps{writer: conn, reader: tw, topics: tw}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, twin: tw, conn: conn, p: p, ran: make(chan error, 1), n: 2}
	if b.resume, err = p.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.n = max(b.n, b.resume.Position.Counter)
	ctx, cancel := context.WithCancel(t.Context())
	b.cancel = cancel
	go func() { b.ran <- p.Run(ctx) }()
	return b
}

func (b *bench) close() {
	b.t.Helper()
	b.cancel()
	if err := <-b.ran; err != nil && !errors.Is(err, context.Canceled) {
		b.t.Errorf("run: %v", err)
	}
}

func benchTable(name string, queues int) *event.Table {
	n := event.TableName{DB: "shop", Table: name}
	return &event.Table{Name: n, Schema: scriptSchema(n, 0), KeyColumns: []int{0}, Queues: queues}
}

func (b *bench) seq() event.Seq {
	b.n += 2
	return event.MakeSeq(1, b.n-2)
}

func (b *bench) at() *event.Position {
	return &event.Position{File: "log", Pos: b.n, Epoch: 1, Counter: b.n}
}

// tx is a transaction of one row per table and text.
func (b *bench) tx(id string, rows ...any) []event.Item {
	tx := &event.Tx{ID: id, CommitTime: time.Unix(1700000000, 0), Start: *b.at()}
	var items []event.Item
	for i := 0; i < len(rows); i += 2 {
		t := rows[i].(*event.Table)
		items = append(items, event.Item{Kind: event.KindRow, Op: event.OpCreate, Index: uint64(i / 2), Seq: b.seq(), Table: t, Tx: tx,
			After: scriptImage(t.Schema, int64(i), rows[i+1].(string))})
	}
	end := b.seq()
	return append(items, event.Item{Kind: event.KindCommit, Seq: end, Tx: tx, Commit: b.at()})
}

func (b *bench) add(items ...event.Item) {
	b.t.Helper()
	if err := b.p.Add(b.t.Context(), items); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) flush() {
	b.t.Helper()
	if err := b.p.Flush(b.t.Context()); err != nil {
		b.t.Fatal(err)
	}
	if err := agree(b.p); err != nil {
		b.t.Fatal(err)
	}
}

// slices are the messages of a queue, with their properties.
func (b *bench) slices(t *event.Table, queue int) (out []*event.Slice, props []map[string]string) {
	b.t.Helper()
	b.twin.mu.Lock()
	defer b.twin.mu.Unlock()
	for _, m := range b.twin.queueLocked(message.Queue{Topic: event.TopicName("p", t.Name), BrokerName: "b", QueueID: int32(queue)}).messages {
		s := new(event.Slice)
		if err := event.ParseSlice(m.m.Body, s); err != nil {
			b.t.Fatal(err)
		}
		out, props = append(out, s), append(props, m.m.Properties)
	}
	return out, props
}

func TestARowAboveTheLimitPausesItsTable(t *testing.T) {
	paused := map[event.TableName]event.PauseReason{}
	b := openBench(t, newTwin(), PublisherConfig{MaxMessage: 20_000, Life: life.New(func(n event.TableName, e life.Event, _, after life.Table) {
		if e.Kind == life.Paused {
			paused[n] = after.Why()
		}
	})})
	small, large := benchTable("small", 1), benchTable("large", 1)
	if err := b.p.Declare(t.Context(), []*event.Table{small, large}); err != nil {
		t.Fatal(err)
	}
	b.add(b.tx("g1", large, "fits", small, "a")...)
	b.add(b.tx("g2", small, "b", large, strings.Repeat("x", 20_000), small, "c")...)
	b.add(b.tx("g3", large, "after", small, "d")...)
	b.flush()
	why := paused[large.Name]
	if len(paused) != 1 || why.Code != "oversize" || why.Serial != "2" || !strings.Contains(why.Text, "shop.large") {
		t.Errorf("paused: %+v", paused)
	}
	if s, _ := b.slices(large, 0); len(s) != 1 || s[0].To != event.TxEndIdentity("g1") {
		t.Errorf("the paused table got more: %+v", s)
	}
	rows := 0
	s, _ := b.slices(small, 0)
	for _, x := range s {
		rows += len(x.Rows)
	}
	if rows != 4 {
		t.Errorf("%d rows of the other table", rows)
	}
	b.close()
	again := openBench(t, b.twin, PublisherConfig{})
	if got := again.resume.Paused[large.Name]; got.Code != "oversize" || got.Serial != "2" {
		t.Errorf("the next opening knows %+v", again.resume.Paused)
	}
	again.add(event.Item{Kind: event.KindResumed, Table: large})
	again.add(again.tx("g4", large, "on")...)
	again.flush()
	if s, _ := again.slices(large, 0); len(s) != 2 {
		t.Errorf("%d messages after it was resumed", len(s))
	}
	again.close()
	third := openBench(t, b.twin, PublisherConfig{})
	if len(third.resume.Paused) != 0 || !due(third.resume, large.Name, "resumed") {
		t.Errorf("after resuming: %+v", third.resume)
	}
	third.close()

}

func due(r pipeline.Resume, t event.TableName, cause string) bool {
	for _, a := range r.Attempts {
		if a.Table == t && a.Begin == 0 && a.Cause == cause {
			return true
		}
	}
	return false
}

func TestALargeRowIsASliceOfItsOwn(t *testing.T) {
	b := openBench(t, newTwin(), PublisherConfig{SliceBytes: 1000})
	defer b.close()
	table := benchTable("t", 1)
	b.add(b.tx("g", table, "a", table, strings.Repeat("x", 5000), table, "b")...)
	b.flush()
	s, _ := b.slices(table, 0)
	var rows []int
	for _, x := range s {
		rows = append(rows, len(x.Rows))
	}
	if len(rows) != 3 || rows[0] != 1 || rows[1] != 1 || rows[2] != 1 {
		t.Errorf("rows per slice: %v", rows)
	}
}

func TestOneStatementIsOneGroup(t *testing.T) {
	b := openBench(t, newTwin(), PublisherConfig{})
	defer b.close()
	x, y := benchTable("x", 2), benchTable("y", 3)
	b.add(b.tx("g1", x, "a", y, "b")...)
	tx := &event.Tx{ID: "g2", CommitTime: time.Unix(1700000000, 0), Start: *b.at()}
	seq := b.seq()
	for _, table := range []*event.Table{x, y} {
		next := *table
		next.Schema = scriptSchema(table.Name, 1)
		b.add(event.Item{Kind: event.KindDDL, Seq: seq, Table: &next, Tx: tx, DDL: &event.DDL{SQL: "ALTER", Old: table.Schema, New: next.Schema, Due: "values changed"}})
	}
	b.add(event.Item{Kind: event.KindCommit, Seq: seq, Tx: tx, Commit: b.at()})
	b.flush()
	log := b.log()
	last := log.Groups[len(log.Groups)-1]
	if last.Kind != checkpoint.KindDDL || len(last.Halves) != 5 || len(last.Marks) != 2 || len(last.Due) != 2 || last.To.Done != 0 {
		t.Errorf("the statement's group: %+v", last)
	}
	for _, table := range []*event.Table{x, y} {
		s, props := b.slices(table, 1)
		if m := s[len(s)-1]; m.Kind != event.KindDDL || m.Mark.Old != table.Schema.ID || m.Schema != scriptSchema(table.Name, 1).ID ||
			props[len(s)-1][message.PropertyTags] != "ddl" {
			t.Errorf("mark of %s: %+v", table.Name, m)
		}
	}
}

// TestAStatementOverTablesIsWholeOrNot crashes at every request while a statement over several
// tables is published, one of which its source stops in between: whoever opens next finds all
// of what the statement did, or its position is before it.
func TestAStatementOverTablesIsWholeOrNot(t *testing.T) {
	x, y, z := benchTable("x", 1), benchTable("y", 2), benchTable("z", 1)
	whole := 0
	for step := 1; ; step++ {
		tw := newTwin()
		b := openBench(t, tw, PublisherConfig{})
		b.add(b.tx("g1", x, "a", y, "b", z, "c")...)
		b.flush()
		n := 0
		b.conn.hook = func(string, bool) error {
			if n++; n >= step {
				return errCrash
			}
			return nil
		}
		tx := &event.Tx{ID: "g2", CommitTime: time.Unix(1700000000, 0), Start: *b.at()}
		seq := b.seq()
		next := *y
		next.Schema = scriptSchema(y.Name, 1)
		err := b.p.Add(t.Context(), []event.Item{
			{Kind: event.KindDDL, Seq: seq, Table: x, Tx: tx, DDL: &event.DDL{SQL: "s", Old: x.Schema}},
			{Kind: event.KindPaused, Seq: seq, Table: z, Reason: &event.PauseReason{Code: event.PauseKey, Text: "no key"}},
			{Kind: event.KindDue, Seq: seq, Table: y, Attempt: &event.Attempt{Table: y.Name, Cause: "owed"}},
			{Kind: event.KindDDL, Seq: seq, Table: &next, Tx: tx, DDL: &event.DDL{SQL: "s", Old: y.Schema, New: next.Schema}},
			{Kind: event.KindCommit, Seq: b.seq(), Tx: tx, Commit: b.at()},
		})
		if err == nil {
			err = b.p.Flush(t.Context())
		}
		b.cancel()
		<-b.ran
		again := openBench(t, tw, PublisherConfig{})
		_, there := again.resume.Schemas[x.Name]
		altered := again.resume.Schemas[y.Name].ID == next.Schema.ID
		_, paused := again.resume.Paused[z.Name]
		passed := again.resume.Position.Done >= seq || again.resume.Position.Pos > tx.Start.Pos
		if there == altered || altered != passed || passed && !paused {
			t.Errorf("crash at request %d: the statement is passed %t, but x dropped %t, y altered %t, z paused %t", step, passed,
				!there, altered, paused)
		}
		if passed {
			whole++
		}
		again.close()
		if err == nil {
			break
		}
	}
	if whole < 2 {
		t.Errorf("the statement was whole in %d crashes", whole)
	}
}

// log reads the checkpoint queue.
func (b *bench) log() *checkpoint.Log {
	b.t.Helper()
	b.twin.mu.Lock()
	defer b.twin.mu.Unlock()
	var messages []checkpoint.Message
	for i, m := range b.twin.queueLocked(b.p.ck.q).messages {
		r, err := checkpoint.Decode(m.m.Body)
		if err != nil {
			b.t.Fatal(err)
		}
		messages = append(messages, checkpoint.Message{Offset: int64(i), Record: r})
	}
	log, err := checkpoint.ReadLog(messages, true)
	if err != nil {
		b.t.Fatal(err)
	}
	return log
}

// TestATableMadeWhereAnotherWasIsDue drops a table and makes one of the same name: its
// targets have rows of the first, which nothing in the log takes away.
func TestATableMadeWhereAnotherWasIsDue(t *testing.T) {
	var asked []string
	tw := newTwin()
	b := openBench(t, tw, PublisherConfig{OnDue: func(n event.TableName, cause string) { asked = append(asked, n.Table+": "+cause) }})
	orders := benchTable("orders", 2)
	ddl := func(old, now *event.Schema) []event.Item {
		tx := &event.Tx{ID: "ddl", CommitTime: time.Unix(1700000000, 0), Start: *b.at()}
		mark := event.Item{Kind: event.KindDDL, Seq: b.seq(), Table: orders, Tx: tx, DDL: &event.DDL{SQL: "ddl", Old: old, New: now}}
		return []event.Item{mark, {Kind: event.KindCommit, Seq: b.seq(), Tx: tx, Commit: b.at()}}
	}
	b.add(ddl(nil, orders.Schema)...)
	b.add(b.tx("one", orders, "first")...)
	b.flush()
	if len(asked) != 0 || b.owed(orders).Cause != "" {
		t.Errorf("a new table, whose rows are all in the log, is due: %q, %v", asked, b.owed(orders))
	}
	b.add(ddl(orders.Schema, nil)...)
	b.flush()
	b.close()

	b = openBench(t, tw, PublisherConfig{OnDue: b.p.cfg.OnDue}) // the queues remember
	b.add(ddl(nil, orders.Schema)...)
	b.flush()
	if want := "orders: " + causeSameName; len(asked) != 1 || asked[0] != want || b.owed(orders).Cause != causeSameName {
		t.Errorf("asked for %q, recorded %+v", asked, b.owed(orders))
	}
	b.close()
}

func TestHeartbeatsGoToIdleQueuesOnly(t *testing.T) {
	b := openBench(t, newTwin(), PublisherConfig{HeartbeatInterval: 1})
	defer b.close()
	x, y := benchTable("x", 1), benchTable("y", 1)
	b.add(b.tx("g1", x, "a")...)
	items := b.tx("g2", y, "b")
	b.add(items...)
	end := items[len(items)-1].Seq
	beat := event.Item{Kind: event.KindHeartbeat, Seq: end, Commit: b.at()}
	b.add(beat) // the first one starts the clock
	b.add(beat)
	b.flush()
	if s, props := b.slices(x, 0); s[len(s)-1].Kind != event.KindHeartbeat || s[len(s)-1].Hi != end ||
		props[len(s)-1][message.PropertyTags] != "beat" {
		t.Errorf("the idle queue ends with %+v", s[len(s)-1])
	}
	if s, _ := b.slices(y, 0); s[len(s)-1].Kind != event.KindRow {
		t.Errorf("a queue that is not idle got a heartbeat")
	}
}

func TestMessagesCanBeFound(t *testing.T) {
	b := openBench(t, newTwin(), PublisherConfig{GroupInterval: 1})
	defer b.close()
	table := benchTable("t", 1)
	b.add(b.tx("g1", table, "a")...)
	b.add(b.tx("g2", table, "a", table, "b")...)
	b.flush()
	_, props := b.slices(table, 0)
	if props[0][message.PropertyKeys] != "0" || props[0][message.PropertyTags] != "dml" || props[1][message.PropertyKeys] != "" {
		t.Errorf("properties %v", props)
	}
}

func TestTwoTablesDontShareATopic(t *testing.T) {
	b := openBench(t, newTwin(), PublisherConfig{})
	defer b.close()
	table := benchTable("t", 1)
	b.p.topics[event.TopicName("p", table.Name)] = event.TableName{DB: "other", Table: "t"}
	err := b.p.Declare(t.Context(), []*event.Table{table})
	if err == nil || !strings.Contains(err.Error(), "other.t") || !strings.Contains(err.Error(), "shop.t") {
		t.Errorf("collision: %v", err)
	}
}

func TestWhoeverWasReplacedIsFenced(t *testing.T) {
	tw := newTwin()
	old := openBench(t, tw, PublisherConfig{})
	table := benchTable("t", 1)
	old.add(old.tx("g1", table, "a")...)
	old.flush()
	now := openBench(t, tw, PublisherConfig{})
	defer now.close()
	err := old.p.Add(t.Context(), old.tx("g2", table, "b"))
	if err == nil {
		err = old.p.Flush(t.Context())
	}
	if !errors.Is(err, client.ErrFenced) {
		t.Errorf("the old publisher says %v", err)
	}
	if err := <-old.ran; !errors.Is(err, client.ErrFenced) {
		t.Errorf("its run says %v", err)
	}
	if s, _ := now.slices(table, 0); len(s) != 1 {
		t.Errorf("%d messages", len(s))
	}
}

func TestNumbersThatGoBackRaiseTheEpoch(t *testing.T) {
	tw := newTwin()
	b := openBench(t, tw, PublisherConfig{})
	table := benchTable("t", 1)
	if err := b.p.Declare(t.Context(), []*event.Table{table}); err != nil {
		t.Fatal(err)
	}
	b.add(b.tx("g1", table, "a")...)
	b.flush()
	b.n = 2 // the source lost its count
	if err := b.p.Add(t.Context(), b.tx("g2", table, "b")); !errors.Is(err, ErrInDoubt) {
		t.Fatalf("numbers that go back: %v", err)
	}
	b.close()
	again := openBench(t, tw, PublisherConfig{})
	defer again.close()
	if again.resume.Epoch != b.resume.Epoch+1 || !due(again.resume, table.Name, "numbers in doubt") {
		t.Errorf("then: %+v", again.resume)
	}
}

// A publisher that was given up while it waited for room says why to whoever comes next,
// and not what is wrong with a group that was left half way.
func TestWhatEndedAPublisherIsWhatItSays(t *testing.T) {
	tw := newTwin()
	b := openBench(t, tw, PublisherConfig{WindowBytes: 1 << 10})
	table := benchTable("t", 1)
	full := errors.New("the disk is full")
	if err := b.p.room.Acquire(t.Context(), 1<<10); err != nil { // nothing is resolved any more
		t.Fatal(err)
	}
	b.p.fail(full)
	for i, text := range []string{"a", "b"} {
		err := b.p.Add(t.Context(), b.tx("g", table, text))
		if err == nil {
			err = b.p.Flush(t.Context())
		}
		if !errors.Is(err, full) {
			t.Errorf("try %d: %v", i, err)
		}
	}
	if err := <-b.ran; !errors.Is(err, full) {
		t.Errorf("run: %v", err)
	}
}

// TestAMarkWithinATransaction: rows are uncertain, which a mark in their queue says, and then
// the transaction commits, in the mark's own group or behind it.
func TestAMarkWithinATransaction(t *testing.T) {
	for _, apart := range []bool{false, true} {
		tw := newTwin()
		table := benchTable("t", 1)
		b := openBench(t, tw, PublisherConfig{})
		tx := b.tx("doubt", table, "a")
		b.add(tx[0])
		due := event.Item{Kind: event.KindDDL, Seq: tx[1].Seq, Table: table, Tx: tx[0].Tx,
			DDL: &event.DDL{SQL: "ROLLBACK TO", Old: table.Schema, New: table.Schema, Due: "went back"}}
		commit := event.Item{Kind: event.KindCommit, Seq: b.seq(), Tx: tx[0].Tx, Commit: b.at()}
		b.add(due)
		if apart { // the mark's group is closed before the commit comes
			b.p.mu.Lock()
			err := b.p.closeGroup(t.Context())
			b.p.mu.Unlock()
			if err != nil {
				t.Fatal(err)
			}
		}
		b.add(commit)
		b.add(b.tx("next", table, "b")...)
		b.flush()
		list, _ := b.slices(table, 0)
		for i, s := range list[1:] {
			if s.Prev != list[i].Hi {
				t.Errorf("apart %t: message %d is linked to %d, the one before ends at %d", apart, i+1, s.Prev, list[i].Hi)
			}
		}
		b.close()
	}
}

// TestTheEndOfATransactionMayBeInDoubt: a commit speaks of no table of its own.
func TestTheEndOfATransactionMayBeInDoubt(t *testing.T) {
	b := openBench(t, newTwin(), PublisherConfig{})
	defer b.close()
	table := benchTable("t", 1)
	tx := b.tx("doubt", table, "a", table, "b")
	tx[2].Seq = tx[0].Seq
	if err := b.p.Add(t.Context(), tx); !errors.Is(err, ErrInDoubt) {
		t.Errorf("got %v", err)
	}
	if st, err := b.log().State(); err != nil || st.Epoch != 2 {
		t.Errorf("epoch %d, %v", st.Epoch, err)
	}
}
