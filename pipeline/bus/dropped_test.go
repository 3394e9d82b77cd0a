package bus

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/message"
	"github.com/millrace/millrace/pipeline/checkpoint"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/pipeline/life"
)

// TestADroppedTableIsRemembered: the records say where and when the source lost a table, over
// openings too, until it has one of that name again; nothing of it counts as paused.
func TestADroppedTableIsRemembered(t *testing.T) {
	tw := newTwin()
	table, beside := benchTable("t", 2), benchTable("u", 1)
	b := openFiled(t, tw, "", table, beside)
	b.add(b.tx("g1", table, "a", beside, "a")...)
	tx := &event.Tx{ID: "g2", CommitTime: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Start: *b.at()}
	seq := b.seq()
	b.add(event.Item{Kind: event.KindDDL, Seq: seq, Table: table, Tx: tx, DDL: &event.DDL{SQL: "DROP TABLE\n  shop.t", Old: table.Schema}},
		event.Item{Kind: event.KindCommit, Seq: b.seq(), Tx: tx, Commit: b.at()})
	b.flush()
	b.close()
	b = openFiled(t, tw, "", beside)
	why := b.p.Life().Of(table.Name).Gone()
	if why.Code != event.PauseDropped || !strings.Contains(why.Text, "since 2026-01-02 03:04:05 UTC") || !strings.HasSuffix(why.Text, ": DROP TABLE shop.t") {
		t.Errorf("after the table was dropped: %+v", why)
	}
	if len(b.resume.Paused) > 0 || b.p.Life().Of(table.Name).Held().Code != "" {
		t.Errorf("paused %+v, held %+v", b.resume.Paused, b.p.Life().Of(table.Name).Held())
	}
	b.close()
	b = openFiled(t, tw, "", table, beside)
	defer b.close()
	if gone := b.p.Life().Of(table.Name).Gone(); gone.Code != "" {
		t.Errorf("it is there again: %+v", gone)
	}
}

// drop drops a table.
func (b *bench) drop(t *event.Table) {
	b.t.Helper()
	tx := &event.Tx{ID: "drop " + t.Name.Table, CommitTime: time.Unix(1700000000, 0), Start: *b.at()}
	b.add(event.Item{Kind: event.KindDDL, Seq: b.seq(), Table: t, Tx: tx, DDL: &event.DDL{SQL: "DROP TABLE", Old: t.Schema}},
		event.Item{Kind: event.KindCommit, Seq: b.seq(), Tx: tx, Commit: b.at()})
}

// forget looks for tables to forget, and has what was found recorded.
func (b *bench) forget() {
	b.t.Helper()
	b.p.forget(b.t.Context())
	if err := b.p.baseIfDue(b.t.Context()); err != nil {
		b.t.Fatal(err)
	}
}

// state is a copy of what the records say.
func (b *bench) state() *checkpoint.State {
	b.p.ck.mu.Lock()
	defer b.p.ck.mu.Unlock()
	return b.p.ck.state.Clone()
}

// age takes all messages of a table's queues away, as retention does; their ends stay known.
func (tw *twin) age(t *event.Table, queues ...int) {
	tw.mu.Lock()
	defer tw.mu.Unlock()
	for _, id := range queues {
		q := tw.queueLocked(message.Queue{Topic: event.TopicName("p", t.Name), BrokerName: "b", QueueID: int32(id)})
		q.least = int64(len(q.messages))
	}
}

// TestADroppedTableIsForgotten once no message of it is left, and not before: with it goes
// everything that the records have of it, and one that is made again under its name goes on
// behind its queues' ends, with an attempt.
func TestADroppedTableIsForgotten(t *testing.T) {
	tw := newTwin()
	table, beside := benchTable("t", 2), benchTable("u", 1)
	lives := life.New(nil)
	var told []event.TableName
	cfg := PublisherConfig{Life: lives, OnForgotten: func(name event.TableName) { told = append(told, name) }}
	b := openBench(t, tw, cfg)
	b.add(b.tx("g1", table, "a", table, "b", beside, "a")...)
	b.flush()
	b.drop(table)
	b.flush()
	b.close()
	known := func(b *bench) (tables, queues, paused int) {
		b.p.ck.mu.Lock()
		defer b.p.ck.unlock()
		st := b.p.ck.state
		return len(st.Tables), len(st.Queues), len(st.Paused)
	}

	tw.age(table, 0) // a sink may lag in the other queue
	b = openBench(t, tw, cfg)
	b.forget()
	if tables, queues, paused := known(b); tables != 2 || queues != 3 || paused != 1 {
		t.Errorf("while a queue holds messages: %d tables, %d queues, %d pauses", tables, queues, paused)
	}
	tw.age(table, 1)
	b.p.ck.mu.Lock()
	b.p.ck.state.SetDue(checkpoint.TableName(table.Name), "of an earlier version") // which made some due that were gone
	b.p.ck.unlock()
	b.forget()
	for range 2 { // at work, and opened again
		due := dueFor(b.state(), table.Name, "of an earlier version")
		if tables, queues, paused := known(b); tables != 1 || queues != 1 || paused != 0 || due {
			t.Errorf("behind the last message: %d tables, %d queues, %d pauses, due %+v", tables, queues, paused, b.state().Due)
		}
		if names := lives.Names(); !slices.Equal(names, []event.TableName{beside.Name}) || !slices.Equal(told, []event.TableName{table.Name}) {
			t.Errorf("shown are %v, told to be forgotten %v", names, told)
		}
		b.close()
		b = openBench(t, tw, PublisherConfig{Life: lives})
	}
	if b.resume.Epoch != 1 {
		t.Errorf("the epoch is %d: an end that was forgotten was taken for one that nobody knows", b.resume.Epoch)
	}

	next := *table
	next.Schema = scriptSchema(table.Name, 1)
	tx := &event.Tx{ID: "make", CommitTime: time.Unix(1700000000, 0), Start: *b.at()}
	b.add(event.Item{Kind: event.KindDDL, Seq: b.seq(), Table: &next, Tx: tx, DDL: &event.DDL{SQL: "CREATE TABLE", New: next.Schema}},
		event.Item{Kind: event.KindCommit, Seq: b.seq(), Tx: tx, Commit: b.at()})
	b.add(b.tx("g3", &next, "c", &next, "d")...)
	b.flush()
	if b.owed(&next).Cause != causeSameName || lives.Of(table.Name).Gone().Code != "" {
		t.Errorf("made again it owes %+v, gone %+v", b.owed(&next), lives.Of(table.Name).Gone())
	}
	b.close()
}

// TestATableThatComesBackIsThere: a table renamed away and back has the definition that it had,
// and the records have it again.
func TestATableThatComesBackIsThere(t *testing.T) {
	b := openBench(t, newTwin(), PublisherConfig{})
	defer b.close()
	table := benchTable("t", 1)
	b.add(b.tx("g1", table, "a")...)
	b.drop(table)
	tx := &event.Tx{ID: "back", CommitTime: time.Unix(1700000000, 0), Start: *b.at()}
	b.add(event.Item{Kind: event.KindDDL, Seq: b.seq(), Table: table, Tx: tx, DDL: &event.DDL{SQL: "RENAME TABLE", New: table.Schema}},
		event.Item{Kind: event.KindCommit, Seq: b.seq(), Tx: tx, Commit: b.at()})
	b.flush()
	b.p.ck.mu.Lock()
	defer b.p.ck.unlock()
	if _, there := b.p.ck.state.Table(checkpoint.TableName(table.Name)); !there {
		t.Errorf("the records have %+v", b.p.ck.state.Tables)
	}
}

// TestATableSwappedWithinAStatementIsThere: a statement that swaps names takes a table away and
// makes one under its name.
func TestATableSwappedWithinAStatementIsThere(t *testing.T) {
	tw := newTwin()
	b := openBench(t, tw, PublisherConfig{})
	table := benchTable("t", 1)
	b.add(b.tx("g1", table, "a")...)
	next := *table
	next.Schema = scriptSchema(table.Name, 1)
	tx := &event.Tx{ID: "swap", CommitTime: time.Unix(1700000000, 0), Start: *b.at()}
	seq := b.seq()
	b.add(event.Item{Kind: event.KindDDL, Seq: seq, Table: table, Tx: tx, DDL: &event.DDL{SQL: "RENAME TABLE", Old: table.Schema}},
		event.Item{Kind: event.KindDDL, Seq: seq, Table: &next, Tx: tx, DDL: &event.DDL{SQL: "RENAME TABLE", New: next.Schema}},
		event.Item{Kind: event.KindCommit, Seq: b.seq(), Tx: tx, Commit: b.at()})
	b.flush()
	b.close()
	b = openBench(t, tw, PublisherConfig{})
	defer b.close()
	if s := b.resume.Schemas[table.Name]; s == nil || s.ID != next.Schema.ID || b.p.Life().Of(table.Name).Gone().Code != "" {
		t.Errorf("behind a restart it is %v, gone %+v", s, b.p.Life().Of(table.Name).Gone())
	}
}

// TestARewindGoesBehindWhatWasForgotten: a broker lost messages of another table, and the
// newest records that it reaches still have a table that was dropped and forgotten since.
func TestARewindGoesBehindWhatWasForgotten(t *testing.T) {
	for _, vanished := range []bool{false, true} {
		tw := newTwin()
		table, beside := benchTable("t", 2), benchTable("u", 1)
		b := openBench(t, tw, PublisherConfig{})
		b.add(b.tx("g1", table, "a", table, "b", beside, "a")...)
		b.flush()
		before := b.n
		lost := b.tx("g2", beside, "b")
		b.add(lost...)
		b.flush()
		b.drop(table)
		b.flush()
		tw.age(table, 0, 1)
		b.forget()
		b.close()
		tw.lose(message.Queue{Topic: event.TopicName("p", beside.Name), BrokerName: "b", QueueID: 0}, 1, false)
		if vanished { // somebody deleted the topic
			tw.mu.Lock()
			for id := range 2 {
				delete(tw.queues, message.Queue{Topic: event.TopicName("p", table.Name), BrokerName: "b", QueueID: int32(id)})
			}
			delete(tw.topics, event.TopicName("p", table.Name))
			tw.mu.Unlock()
		}
		b = openBench(t, tw, PublisherConfig{})
		if b.resume.Position.Counter != before || b.resume.Epoch != 1 {
			t.Errorf("vanished %t: it goes on at %d of epoch %d, the lost message is behind %d", vanished, b.resume.Position.Counter, b.resume.Epoch, before)
		}
		b.add(lost...)
		b.flush()
		if s, _ := b.slices(beside, 0); len(s) != 2 {
			t.Errorf("vanished %t: %d messages", vanished, len(s))
		}
		b.close()
	}
}

// TestATableThatIsLeftOutIsForgotten once no message of it is left, and is a new one when the
// file names it again: with an attempt, also where the file asks for none. One that a person
// paused stays known, and so does that.
func TestATableThatIsLeftOutIsForgotten(t *testing.T) {
	tw := newTwin()
	table, asked, beside := benchTable("t", 2), benchTable("v", 1), benchTable("u", 1)
	b := openFiled(t, tw, "", table, asked, beside)
	b.add(b.tx("g1", table, "a", table, "b", asked, "a", beside, "a")...)
	b.add(event.Item{Kind: event.KindPaused, Table: asked, Reason: &event.PauseReason{Code: event.PauseRequest, Text: "paused by request"}})
	b.flush()
	b.close()
	b = openFiled(t, tw, "", beside)
	tw.age(asked, 0)
	tw.age(table, 0)
	b.forget()
	if st := b.state(); len(st.Tables) != 3 || len(st.Paused) != 2 {
		t.Errorf("while a queue holds messages: %+v, paused %+v", st.Tables, st.Paused)
	}
	tw.age(table, 1)
	b.forget()
	if st := b.state(); len(st.Tables) != 2 || len(st.Queues) != 2 || len(st.Paused) != 1 || len(st.Due) != 2 || b.p.Life().Has(table.Name) {
		t.Errorf("behind the last message: %+v, %+v, paused %+v, due %+v", st.Tables, st.Queues, st.Paused, st.Due)
	}
	b.close()

	cfg := PublisherConfig{NoSnapshot: true}
	again := openBench(t, tw, cfg)
	defer again.close()
	if again.resume.Epoch != 1 {
		t.Errorf("the epoch is %d: an end that was forgotten was taken for one that nobody knows", again.resume.Epoch)
	}
	if err := again.p.Declare(t.Context(), []*event.Table{table, asked, beside, benchTable("w", 1)}); err != nil {
		t.Fatal(err)
	}
	st := again.state()
	if !dueFor(st, table.Name, "new table") || len(st.Due) != 3 || len(st.Paused) != 1 || st.Paused[0].Code != event.PauseRequest {
		t.Errorf("named again: due %+v, paused %+v", st.Due, st.Paused)
	}
	again.add(again.tx("g2", table, "c", table, "d", beside, "b")...)
	again.flush()
	went := 0
	for q := range 2 {
		s, _ := again.slices(table, q)
		for i := 1; i < len(s); i++ {
			if went++; s[i].Prev != s[i-1].Hi {
				t.Errorf("queue %d: %d is behind %d", q, s[i].Prev, s[i-1].Hi)
			}
		}
	}
	if went == 0 {
		t.Error("no queue goes on")
	}
}

// TestATableThatIsGoneGetsNoHeartbeats: they would keep its queues from becoming empty.
func TestATableThatIsGoneGetsNoHeartbeats(t *testing.T) {
	b := openBench(t, newTwin(), PublisherConfig{HeartbeatInterval: 1})
	defer b.close()
	table, beside := benchTable("t", 1), benchTable("u", 1)
	b.add(b.tx("g1", table, "a", beside, "a")...)
	b.drop(table)
	b.flush()
	ends := func() (n int) { s, _ := b.slices(table, 0); return len(s) }
	before := ends()
	b.n += 2
	it := event.Item{Kind: event.KindHeartbeat, Seq: event.MakeSeq(1, b.n), Commit: b.at()}
	b.add(it, it) // the first one starts the clock
	b.flush()
	if s, _ := b.slices(beside, 0); s[len(s)-1].Kind != event.KindHeartbeat {
		t.Fatal("no heartbeat was sent")
	}
	if ends() != before {
		t.Errorf("%d messages after the DROP", ends()-before)
	}
}

// TestALookForWhatToForgetKeepsNobody: the broker is asked beside the stream, and a table that
// is made again meanwhile stays.
func TestALookForWhatToForgetKeepsNobody(t *testing.T) {
	tw := newTwin()
	table, beside := benchTable("t", 1), benchTable("u", 1)
	b := openBench(t, tw, PublisherConfig{})
	defer b.close()
	b.add(b.tx("g1", table, "a", beside, "a")...)
	b.drop(table)
	b.flush()
	tw.age(table, 0)
	asked, answer := make(chan struct{}), make(chan struct{})
	b.p.d.reader = slowReader{tw, func() {
		close(asked)
		<-answer
	}}
	looked := make(chan struct{})
	go func() { defer close(looked); b.p.forget(t.Context()) }()
	<-asked
	next := *table
	next.Schema = scriptSchema(table.Name, 1)
	tx := &event.Tx{ID: "make", CommitTime: time.Unix(1700000000, 0), Start: *b.at()}
	b.add(event.Item{Kind: event.KindDDL, Seq: b.seq(), Table: &next, Tx: tx, DDL: &event.DDL{SQL: "CREATE TABLE", New: next.Schema}},
		event.Item{Kind: event.KindCommit, Seq: b.seq(), Tx: tx, Commit: b.at()})
	b.add(b.tx("g2", &next, "b", beside, "b")...)
	b.flush() // whoever held up the records would hold this up
	close(answer)
	<-looked
	if _, there := b.state().Table(checkpoint.TableName(table.Name)); !there || !b.p.Life().Has(table.Name) {
		t.Errorf("made again it is forgotten: %+v", b.state().Tables)
	}
}

// slowReader has an answer, and gives it when a test likes.
type slowReader struct {
	*twin
	wait func()
}

func (r slowReader) Max(ctx context.Context, q message.Queue) (int64, error) {
	end, err := r.twin.Max(ctx, q)
	r.wait()
	return end, err
}

// TestADropThatIsReadAgainIsNotInDoubt: a rewind reads it once more, and nothing but its own
// number and name are left of the queue that it is the end of.
func TestADropThatIsReadAgainIsNotInDoubt(t *testing.T) {
	tw := newTwin()
	table, beside := benchTable("t", 2), benchTable("u", 1)
	b := openBench(t, tw, PublisherConfig{})
	b.add(b.tx("g1", table, "a", table, "b", beside, "a")...)
	b.flush()
	from := b.n
	lost := b.tx("g2", beside, "b")
	b.add(lost...)
	b.flush()
	dropAt := b.n
	b.drop(table)
	b.flush()
	tw.age(table, 0, 1)
	b.forget()
	b.close()
	tw.lose(message.Queue{Topic: event.TopicName("p", beside.Name), BrokerName: "b", QueueID: 0}, 1, false)
	b = openBench(t, tw, PublisherConfig{})
	defer b.close()
	if b.resume.Position.Counter != from {
		t.Fatalf("it goes on at %d, not at %d", b.resume.Position.Counter, from)
	}
	b.add(lost...)
	b.n = dropAt
	b.drop(table)
	b.flush()
	if st := b.state(); st.Epoch != 1 || dueFor(st, table.Name, "numbers in doubt") || len(st.Live()) != 1 {
		t.Errorf("epoch %d, due %+v, tables %+v", st.Epoch, st.Due, st.Tables)
	}
}
