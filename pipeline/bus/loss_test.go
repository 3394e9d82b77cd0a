package bus

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/millrace/millrace/message"
	"github.com/millrace/millrace/pipeline/checkpoint"
	"github.com/millrace/millrace/pipeline/event"
)

// lossy crashes now and then; between openings something is lost.
func lossy(rng *rand.Rand, between func(r *rig, opening int)) *rig {
	r := newRig(newScript(rng, 30), tight(rng))
	chance := 20 + rng.IntN(60)
	r.hook = func(opening int, _ string, _ bool) error {
		if opening < 6 && rand.IntN(chance) == 0 {
			return errCrash
		}
		return nil
	}
	r.between = func(opening int) {
		if opening < 8 {
			between(r, opening)
		}
	}
	return r
}

func (r *rig) dataQueue(rng *rand.Rand) message.Queue {
	t := r.s.tables[rng.IntN(len(r.s.tables))]
	return message.Queue{Topic: event.TopicName("p", t), BrokerName: "b", QueueID: int32(rng.IntN(r.s.queues[t]))}
}

// TestBrokerLosesTheEndOfQueues: what was decided behind the newest group that every
// queue reaches is read again; each queue gets what it lacks and nothing twice.
func TestBrokerLosesTheEndOfQueues(t *testing.T) {
	s := seed(t)
	for i := range 150 {
		rng := rand.New(rand.NewPCG(s, uint64(i)))
		r := lossy(rng, func(r *rig, _ int) {
			for range 1 + rng.IntN(2) {
				r.twin.lose(r.dataQueue(rng), rng.IntN(6), rng.IntN(2) == 0)
			}
		})
		if err := r.run(t.Context()); err != nil {
			t.Fatalf("run %d: %v", i, err)
		}
	}
}

// TestCheckpointLosesItsEnd: queues hold what no record lists. The epoch rises, and the
// identities in the queues keep what is read again from being published twice.
func TestCheckpointLosesItsEnd(t *testing.T) {
	s := seed(t)
	for i := range 150 {
		r := forgetful(rand.New(rand.NewPCG(s, uint64(i))))
		if err := r.run(t.Context()); err != nil {
			t.Fatalf("run %d: %v", i, err)
		}
	}
}

// TestARecordIsLost: the broker lost the record of the last group and has its messages.
func TestARecordIsLost(t *testing.T) {
	tw := newTwin()
	b := openBench(t, tw, PublisherConfig{})
	table := benchTable("t", 1)
	if err := b.p.Declare(t.Context(), []*event.Table{table}); err != nil {
		t.Fatal(err)
	}
	b.add(b.tx("g1", table, "recorded")...)
	b.flush()
	b.add(b.tx("g2", table, "its record is lost")...)
	b.flush()
	epoch := b.p.Status().Epoch
	b.close()
	tw.lose(message.Queue{Topic: event.CheckpointTopic("p"), BrokerName: "b"}, 1, false)

	again := openBench(t, tw, PublisherConfig{})
	defer again.close()
	if again.resume.Epoch <= epoch || !due(again.resume, table.Name, "numbers in doubt") {
		t.Errorf("epoch %d, %d before; attempts %+v", again.resume.Epoch, epoch, again.resume.Attempts)
	}
}

// forgetful is a rig whose broker loses the last records of the checkpoint.
func forgetful(rng *rand.Rand) *rig {
	r := lossy(rng, func(r *rig, _ int) {
		r.twin.lose(message.Queue{Topic: event.CheckpointTopic("p"), BrokerName: "b"}, rng.IntN(5), false)
	})
	r.lost = recordsLost
	return r
}

// TestCheckpointIsLostWhole: reading begins at the source's present end under a higher
// epoch, and every table gets an attempt.
func TestCheckpointIsLostWhole(t *testing.T) {
	s := seed(t)
	for i := range 60 {
		rng := rand.New(rand.NewPCG(s, uint64(i)))
		r := lossy(rng, func(r *rig, opening int) {
			if opening == 2 {
				r.twin.lose(message.Queue{Topic: event.CheckpointTopic("p"), BrokerName: "b"}, 1<<30, false)
			}
		})
		r.lost = positionLost
		if err := r.run(t.Context()); err != nil {
			t.Fatalf("run %d: %v", i, err)
		}
	}
}

// chunk is BEGIN of an attempt and its first chunk, of one row.
func (b *bench) chunk(t *event.Table) []event.Item {
	a := event.Attempt{Table: t.Name, Cause: "test"}
	a.Begin = b.seq()
	begun := a
	items := []event.Item{{Kind: event.KindBegin, Seq: a.Begin, Table: t, Attempt: &begun, Commit: b.at()}}
	tx := &event.Tx{ID: "snap/1", CommitTime: time.Unix(1700000000, 0)}
	n := b.seq()
	items = append(items, event.Item{Kind: event.KindRow, Op: event.OpRead, Seq: n, Table: t, Tx: tx, Attempt: &begun, After: scriptImage(t.Schema, 77, "of the chunk")})
	a.Chunk, a.Rows, a.Cursor = 1, 1, []byte{77}
	return append(items, event.Item{Kind: event.KindChunkEnd, Seq: n, Table: t, Attempt: &a, Commit: b.at()})
}

// TestAChunkIsThereByItsIdentitiesOnly: the broker has discarded a decided chunk, the rows
// behind it were linked anew and sent, and the worker died before it recorded that. The
// queue's last number is past the chunk's, which proves nothing: its attempt is due again.
func TestAChunkIsThereByItsIdentitiesOnly(t *testing.T) {
	tw := newTwin()
	b := openBench(t, tw, PublisherConfig{})
	table := benchTable("t", 1)
	if err := b.p.Declare(t.Context(), []*event.Table{table}); err != nil {
		t.Fatal(err)
	}
	b.add(b.chunk(table)...)
	b.flush()
	b.add(b.tx("g1", table, "behind it")...)
	b.flush()
	b.close()

	q := tw.queues[message.Queue{Topic: event.TopicName("p", table.Name), BrokerName: "b"}]
	if len(q.messages) != 3 {
		t.Fatalf("%d messages", len(q.messages))
	}
	chunk := q.messages[1].link
	for id, h := range tw.halves {
		switch {
		case h.m.link == chunk:
			delete(tw.halves, id)
		case h.q.Topic == event.TopicName("p", table.Name) && h.offset == 2:
			h.offset = 1
		}
	}
	q.messages[2].link.Prev = chunk.Prev
	q.messages = append(q.messages[:1], q.messages[2])
	records := tw.queues[message.Queue{Topic: event.CheckpointTopic("p"), BrokerName: "b"}]
	n := uint64(0)
	for i := range records.messages {
		m := &records.messages[i].m
		r, err := checkpoint.Decode(m.Body)
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case r.Type != checkpoint.TypeGroup:
			continue
		case n == 0 && r.Group.Kind == checkpoint.KindChunk:
			n = r.Group.N
		case n > 0 && r.Group.Resolved >= n:
			r.Group.Resolved = n - 1
		}
		if m.Body, err = checkpoint.Encode(r); err != nil {
			t.Fatal(err)
		}
	}

	again := openBench(t, tw, PublisherConfig{})
	defer again.close()
	if !due(again.resume, table.Name, "the broker lost messages") {
		t.Errorf("attempts: %+v", again.resume.Attempts)
	}
}
