package bus

import (
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
	b := openBench(t, tw, PublisherConfig{Life: lives})
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
	b = openBench(t, tw, PublisherConfig{Life: lives})
	if tables, queues, paused := known(b); tables != 2 || queues != 3 || paused != 1 {
		t.Errorf("while a queue holds messages: %d tables, %d queues, %d pauses", tables, queues, paused)
	}
	tw.age(table, 1)
	b.p.ck.mu.Lock()
	b.p.ck.forgetLocked(t.Context())
	b.p.ck.unlock()
	for range 2 { // at work, and opened again
		if tables, queues, paused := known(b); tables != 1 || queues != 1 || paused != 0 {
			t.Errorf("behind the last message: %d tables, %d queues, %d pauses", tables, queues, paused)
		}
		if lives.Of(table.Name).Gone().Code != event.PauseDropped {
			t.Error("who saw it dropped shows it as if it were there")
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
		b.close()
		b = openBench(t, tw, PublisherConfig{})
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
