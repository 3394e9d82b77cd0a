package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/internal/pause"
	"github.com/millrace/millrace/message"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/pipeline/link"
)

var subTable = event.TableName{DB: "d", Table: "t"}

// put appends a slice to a queue of the twin.
func put(t testing.TB, tw *twin, q message.Queue, s *event.Slice) {
	t.Helper()
	s.Table = subTable
	body, err := event.AppendSlice(nil, s)
	if err != nil {
		t.Fatal(err)
	}
	tw.mu.Lock()
	defer tw.mu.Unlock()
	x := tw.queueLocked(q)
	x.messages = append(x.messages, twinMessage{m: message.Message{Topic: q.Topic, Body: body}, link: client.Link{Lo: uint64(s.Lo), Hi: uint64(s.Hi), Prev: uint64(s.Prev)}})
}

// rowSlice is a slice of one row per number, each of a transaction named for it.
func rowSlice(prev event.Seq, numbers ...event.Seq) *event.Slice {
	s := &event.Slice{Kind: event.KindRow, Lo: numbers[0], Hi: numbers[len(numbers)-1], Prev: prev}
	for i, n := range numbers {
		s.Txs = append(s.Txs, event.SliceTx{ID: fmt.Sprint("g", n), CommitTime: time.Unix(0, 0)})
		s.Rows = append(s.Rows, event.Row{Op: event.OpCreate, Tx: i, Seq: n, After: event.Image{}})
	}
	s.From, s.To = rowID(s.Lo), rowID(s.Hi)
	return s
}

func rowID(n event.Seq) event.Identity { return event.Identity{Tx: fmt.Sprint("g", n)} }

func beginSlice(prev, n event.Seq) *event.Slice {
	id := event.MarkIdentity("begin", n)
	return &event.Slice{Kind: event.KindBegin, Lo: n, Hi: n, Prev: prev, From: id, To: id, Mark: &event.Mark{Seq: n, ID: id, Attempt: n, Time: time.Unix(0, 0)}}
}

func TestLinkRule(t *testing.T) {
	for name, c := range map[string]struct {
		l    link.Position
		s    *event.Slice
		want link.Verdict
		rows int
		mark event.Seq
	}{
		"next":                          {link.Position{Mark: 10}, rowSlice(10, 12, 14), link.Steady, 2, 14},
		"first":                         {link.Position{}, rowSlice(0, 12), link.Steady, 1, 12},
		"again":                         {link.Position{Mark: 14}, rowSlice(10, 12, 14), link.Drop, 2, 14},
		"half of it":                    {link.Position{Mark: 12}, rowSlice(10, 12, 14, 16), link.Partly, 2, 16},
		"its predecessor is not there":  {link.Position{Mark: 10}, rowSlice(12, 14), link.SeekBack, 1, 10},
		"rows while waiting":            {link.Position{Mark: 10, Wait: WaitGap}, rowSlice(10, 12), link.Drop, 1, 10},
		"BEGIN while waiting":           {link.Position{Mark: 10, Wait: WaitGap}, beginSlice(30, 40), link.Adopt, 0, 40},
		"an old BEGIN while waiting":    {link.Position{Mark: 50, Wait: WaitLostTail}, beginSlice(30, 40), link.Drop, 0, 50},
		"BEGIN without waiting":         {link.Position{Mark: 30}, beginSlice(30, 40), link.Steady, 0, 40},
		"a first one that is not first": {link.Position{}, rowSlice(8, 12), link.SeekBack, 1, 0},
	} {
		got := c.l.Take(c.s)
		if got != c.want || len(c.s.Rows) != c.rows || c.l.Mark != c.mark {
			t.Errorf("%s: verdict %d, %d rows, mark %d; want %d, %d, %d", name, got, len(c.s.Rows), c.l.Mark, c.want, c.rows, c.mark)
		}
		if got == link.Adopt && c.l.Wait != WaitNone {
			t.Errorf("%s: it still waits", name)
		}
	}
}

func TestSeek(t *testing.T) {
	q := message.Queue{Topic: "t", BrokerName: "b"}
	full := func() *twin {
		tw := newTwin()
		put(t, tw, q, rowSlice(0, 10, 12))
		put(t, tw, q, rowSlice(12, 14))
		put(t, tw, q, rowSlice(14, 20, 22, 24))
		put(t, tw, q, rowSlice(24, 30))
		return tw
	}
	for name, c := range map[string]struct {
		mark   event.Seq
		id     event.Identity
		change func(*twin)
		want   place
	}{
		"never seen":                    {0, event.Identity{}, nil, place{offset: 0}},
		"at a message's end":            {14, rowID(14), nil, place{offset: 2}},
		"at the queue's end":            {30, rowID(30), nil, place{offset: 4}},
		"inside a message":              {22, rowID(22), nil, place{offset: 2}},
		"inside, another row":           {22, rowID(99), nil, place{wait: WaitLostTail}},
		"another identity at the mark":  {14, rowID(99), nil, place{wait: WaitLostTail}},
		"beyond the end":                {40, rowID(40), nil, place{wait: WaitLostTail}},
		"a number that nothing has":     {28, rowID(28), nil, place{wait: WaitLostTail}},
		"never seen, the first is gone": {0, event.Identity{}, func(tw *twin) { tw.queues[q].least = 1 }, place{offset: 1, wait: WaitNew}},
		"never seen, all are gone":      {0, event.Identity{}, func(tw *twin) { tw.queues[q].least = 4 }, place{offset: 4, wait: WaitNew}},
		"the next one is gone":          {12, rowID(12), func(tw *twin) { tw.queues[q].least = 2 }, place{offset: 2, wait: WaitGap}},
		"only the mark's own is gone":   {14, rowID(14), func(tw *twin) { tw.queues[q].least = 2 }, place{offset: 2}},
		"with a hint":                   {24, rowID(24), func(tw *twin) { tw.offsets[queueText(q)] = 3 }, place{offset: 3}},
		"with a wrong hint":             {24, rowID(24), func(tw *twin) { tw.offsets[queueText(q)] = 1 }, place{offset: 3}},
		"with a hint beyond the end":    {24, rowID(24), func(tw *twin) { tw.offsets[queueText(q)] = 99 }, place{offset: 3}},
	} {
		tw := full()
		if c.change != nil {
			c.change(tw)
		}
		if got, err := seek(t.Context(), tw, q, c.mark, c.id, c.mark != 0); err != nil || got != c.want {
			t.Errorf("%s: %+v, %v; want %+v", name, got, err, c.want)
		}
	}
}

// TestWhatRetentionTookIsNoticed reads a queue of which a message behind the mark has aged
// out, before the reader came and while it read: nothing behind the hole is delivered.
func TestWhatRetentionTookIsNoticed(t *testing.T) {
	q := message.Queue{Topic: "t", BrokerName: "b"}
	id := pipeline.QueueID{Broker: "b", Topic: "t"}
	for _, while := range []bool{false, true} {
		tw := newTwin()
		put(t, tw, q, rowSlice(0, 10))
		put(t, tw, q, rowSlice(10, 12))
		put(t, tw, q, rowSlice(12, 14))
		cfg := SubscriptionConfig{Table: subTable, Queues: []pipeline.QueueID{id}, Marks: []pipeline.QueueMark{{Queue: id, Seq: 10, ID: rowID(10), Known: true}}}
		sub := NewSubscription(cfg, patient{tw}, slog.New(slog.DiscardHandler))
		reading := sub.queues[id]
		want := WaitGap
		if while {
			if err := sub.seek(t.Context(), reading); err != nil {
				t.Fatal(err)
			}
			want = WaitNeedsSnapshot
		}
		tw.queues[q].least = 2
		if while {
			_, err := tw.Pull(t.Context(), q, reading.offset, client.PullOptions{})
			if err := sub.pullFailed(t.Context(), reading, err); err != nil {
				t.Fatal(err)
			}
		} else if err := sub.seek(t.Context(), reading); err != nil {
			t.Fatal(err)
		}
		if s := sub.States()[0]; s.Wait != want {
			t.Errorf("while reading %v: it waits for %q, not for %q", while, s.Wait, want)
		}
		if v := reading.link.Take(rowSlice(12, 14)); v != link.Drop {
			t.Errorf("while reading %v: the row behind the hole has verdict %d", while, v)
		}
	}
}

// patient is a reader whose pulls wait for a message, as a broker holds them.
type patient struct{ *twin }

func (p patient) Pull(ctx context.Context, q message.Queue, offset int64, o client.PullOptions) (client.PullResult, error) {
	for {
		r, err := p.twin.Pull(ctx, q, offset, o)
		if err != nil || len(r.Messages) > 0 || o.Wait == 0 {
			return r, err
		}
		if err := pause.For(ctx, time.Millisecond); err != nil {
			return client.PullResult{}, err
		}
	}
}

// TestSubscriptionDeliversEachRowOnce reads what crashing publishers write, with owners
// that come and go: each begins behind the marks that the one before it left.
func TestSubscriptionDeliversEachRowOnce(t *testing.T) {
	s := seed(t)
	for i := range 8 {
		rng := rand.New(rand.NewPCG(s, uint64(i)))
		r := faulty(rng)
		table := r.s.tables[0]
		marks := map[pipeline.QueueID]pipeline.QueueMark{}
		delivered := map[event.Identity]int{}
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		done := make(chan error, 1)
		go func() { done <- r.run(ctx) }()
		var published error
		for finished := false; !finished; {
			select {
			case published = <-done:
				finished = true
			default:
			}
			upto := 1 + rng.IntN(10)
			if finished {
				upto = 1 << 30
			}
			if err := own(ctx, r, table, marks, delivered, upto); err != nil {
				t.Fatalf("run %d: %v", i, err)
			}
		}
		cancel()
		if published != nil {
			t.Fatalf("run %d: %v", i, published)
		}
		for _, tx := range r.s.txs {
			for _, row := range tx.rows {
				if id := (event.Identity{Tx: tx.id, Index: row.index}); row.table == table && delivered[id] != 1 {
					t.Errorf("run %d: row %s was delivered %d times", i, id, delivered[id])
				}
			}
		}
	}
}

// own is one owner: it takes up to n slices, or all that are there when n is huge, and
// leaves marks.
func own(ctx context.Context, r *rig, table event.TableName, marks map[pipeline.QueueID]pipeline.QueueMark, delivered map[event.Identity]int, n int) error {
	cfg := SubscriptionConfig{Table: table, PrefetchBytes: 2000}
	for i := range r.s.queues[table] {
		id := pipeline.QueueID{Broker: "b", Topic: event.TopicName("p", table), Queue: i}
		cfg.Queues = append(cfg.Queues, id)
		if m, ok := marks[id]; ok {
			cfg.Marks = append(cfg.Marks, m)
		}
	}
	sub := NewSubscription(cfg, patient{r.twin}, slog.New(slog.DiscardHandler))
	runCtx, cancel := context.WithCancel(ctx)
	ran := make(chan error, 1)
	go func() { ran <- sub.Run(runCtx) }()
	defer func() { cancel(); <-ran }()
	for range n {
		next, stop := context.WithTimeout(ctx, 50*time.Millisecond)
		d, err := sub.Next(next)
		stop()
		if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
			if n < 1<<30 || caughtUp(sub) {
				return nil
			}
			continue
		}
		if err != nil {
			return err
		}
		if d.Adopted {
			return fmt.Errorf("queue %d waited: nothing was lost", d.Queue.Queue)
		}
		was := marks[d.Queue]
		for _, row := range d.Slice.Rows {
			if row.Seq <= was.Seq {
				return fmt.Errorf("row %d of queue %d is not above the mark %d", row.Seq, d.Queue.Queue, was.Seq)
			}
			delivered[event.Identity{Tx: d.Slice.Txs[row.Tx].ID, Index: row.Index, Part: row.Part}]++
		}
		marks[d.Queue] = pipeline.QueueMark{Queue: d.Queue, Seq: d.Slice.Hi, ID: d.Slice.To, Known: true}
		sub.Done(d)
		sub.Committed(ctx, []pipeline.QueueMark{marks[d.Queue]})
	}
	return nil
}

func caughtUp(s *Subscription) bool {
	for _, q := range s.States() {
		if q.Behind > 0 || q.Wait != WaitNone {
			return false
		}
	}
	return true
}

func TestControlGivesEachGenerationOnce(t *testing.T) {
	tw := newTwin()
	q := message.Queue{Topic: event.ControlTopic("p"), BrokerName: "b"}
	if err := tw.CreateTopic(t.Context(), ownedTopic(q.Topic, q.Topic), "b"); err != nil {
		t.Fatal(err)
	}
	var workers []*Control
	for i := range 3 {
		conn := &twinConn{t: tw, name: q.Topic, terms: map[string]uint64{}}
		workers = append(workers, NewControl(conn, tw, "p", "b", fmt.Sprint("w", i)))
	}
	seen := map[uint64]bool{}
	results := make(chan uint64)
	for _, w := range workers {
		go func() {
			for range 5 {
				n, err := w.Claim(t.Context(), "lake", subTable, 0)
				if err != nil {
					t.Error(err)
				}
				results <- n.Generation
			}
		}()
	}
	for range 15 {
		n := <-results
		if seen[n] {
			t.Errorf("generation %d was given twice", n)
		}
		seen[n] = true
	}
	if n, err := workers[0].Claim(t.Context(), "lake", subTable, 100); err != nil || n.Generation != 101 {
		t.Errorf("above 100: %d, %v", n.Generation, err)
	}
	if n, err := workers[1].Claim(t.Context(), "lake", event.TableName{DB: "d", Table: "other"}, 0); err != nil || n.Generation != 1 {
		t.Errorf("another table: %d, %v", n.Generation, err)
	}
}
