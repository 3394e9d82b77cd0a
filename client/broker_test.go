package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/millrace/millrace/broker"
	"github.com/millrace/millrace/message"
)

// readAll pulls a queue from its minimum until n messages are there.
func readAll(t testing.TB, r *Reader, q message.Queue, n int) []ReceivedMessage {
	t.Helper()
	ctx := within(t)
	offset, err := r.Min(ctx, q)
	if err != nil {
		t.Fatal(err)
	}
	var out []ReceivedMessage
	for len(out) < n {
		res, err := r.Pull(ctx, q, offset, PullOptions{MaxMsgs: 100, Wait: 5 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, res.Messages...)
		offset = res.Next
	}
	return out
}

func bodies(msgs []ReceivedMessage) []string {
	out := make([]string, len(msgs))
	for i := range msgs {
		out[i] = string(msgs[i].Body)
	}
	return out
}

func TestSendAndPull(t *testing.T) {
	c := newCluster(t, 1, nil)
	q := c.topic("T", 1, "")[0]
	p, r := c.producer(WithCompression(message.CompressionZSTD, 1000)), c.reader()
	large := bytes.Repeat([]byte("large "), 1000)
	m := message.New("T", []byte("one"))
	m.SetTags("tag")
	m.SetKeys("k1", "k2")
	sent, err := p.Send(within(t), m)
	if err != nil {
		t.Fatal(err)
	}
	for _, body := range [][]byte{[]byte("two"), large} {
		if _, err := p.SendTo(within(t), q, message.New("T", body)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := p.SendBatch(within(t), []*message.Message{message.New("T", []byte("four")), message.New("T", []byte("five"))}); err != nil {
		t.Fatal(err)
	}
	got := readAll(t, r, q, 5)
	if want := []string{"one", "two", string(large), "four", "five"}; !slices.Equal(bodies(got), want) {
		t.Fatalf("bodies %q", bodies(got))
	}
	if got[0].ID() != sent.MsgID || got[0].Tags() != "tag" || got[0].Queue() != sent.Queue || got[0].QueueOffset != sent.QueueOffset {
		t.Errorf("message %+v\nsent %+v", got[0], sent)
	}
}

func TestPullWaitsForAMessage(t *testing.T) {
	c := newCluster(t, 1, nil)
	q := c.topic("T", 1, "")[0]
	p, r := c.producer(), c.reader()
	type outcome struct {
		res PullResult
		err error
	}
	pulled := make(chan outcome, 1)
	go func() {
		res, err := r.Pull(within(t), q, 0, PullOptions{Wait: 20 * time.Second})
		pulled <- outcome{res, err}
	}()
	if _, err := p.Send(within(t), message.New("T", []byte("x"))); err != nil {
		t.Fatal(err)
	}
	if o := <-pulled; o.err != nil || len(o.res.Messages) != 1 {
		t.Fatalf("%+v", o)
	}
	// At the end of the queue, without waiting.
	if res, err := r.Pull(within(t), q, 1, PullOptions{}); err != nil || len(res.Messages) != 0 || res.Next != 1 {
		t.Fatalf("%+v, %v", res, err)
	}
	var above *OffsetAboveError
	if _, err := r.Pull(within(t), q, 5, PullOptions{}); !errors.As(err, &above) || above.Max != 1 {
		t.Fatalf("pull above the end: %v", err)
	}
}

func TestOffsetsOfAGroup(t *testing.T) {
	c := newCluster(t, 1, nil)
	q := c.topic("T", 1, "")[0]
	p, r := c.producer(), c.reader(WithGroup("g"))
	for range 3 {
		if _, err := p.Send(within(t), message.New("T", []byte("x"))); err != nil {
			t.Fatal(err)
		}
	}
	ctx := within(t)
	readAll(t, r, q, 3) // what is acknowledged is readable a moment later
	if err := r.CommitOffset(ctx, q, 2); err != nil {
		t.Fatal(err)
	}
	committed, err := r.CommittedOffset(ctx, q)
	lo, err1 := r.Min(ctx, q)
	hi, err2 := r.Max(ctx, q)
	at, err3 := r.SearchOffset(ctx, q, time.Unix(0, 0))
	if err := errors.Join(err, err1, err2, err3); err != nil || committed != 2 || lo != 0 || hi != 3 || at != 0 {
		t.Fatalf("committed %d, min %d, max %d, at the beginning of time %d, %v", committed, lo, hi, at, err)
	}
}

func TestTransactionsCommitRollBackAndAreAskedFor(t *testing.T) {
	c := newCluster(t, 1, func(cfg *broker.Config) {
		cfg.TransactionTimeOut, cfg.TransactionCheckInterval = 20, 50
	})
	q := c.topic("T", 1, "")[0]
	asked := make(chan string, 100)
	p := c.producer(WithGroup("tx"), WithTransactionChecker(func(_ context.Context, m *ReceivedMessage) TransactionState {
		asked <- string(m.Body)
		return TransactionCommit
	}))
	for body, state := range map[string]TransactionState{"rolled back": TransactionRollback, "unknown": TransactionUnknown} {
		r, err := p.SendInTransaction(within(t), message.New("T", []byte(body)),
			func(context.Context, *message.Message) TransactionState { return state })
		if err != nil || r.State != state {
			t.Fatalf("%s: %+v, %v", body, r, err)
		}
	}
	select {
	case body := <-asked:
		if body != "unknown" {
			t.Fatalf("asked for %q", body)
		}
	case <-within(t).Done():
		t.Fatal("nobody asked")
	}
	r := c.reader()
	if got := bodies(readAll(t, r, q, 1)); !slices.Equal(got, []string{"unknown"}) {
		t.Fatalf("visible: %q", got)
	}
	if _, err := p.SendInTransaction(within(t), message.New("T", []byte("committed")), func(context.Context, *message.Message) TransactionState { return TransactionCommit }); err != nil {
		t.Fatal(err)
	}
	if got := bodies(readAll(t, r, q, 2)); !slices.Equal(got, []string{"unknown", "committed"}) {
		t.Fatalf("visible: %q", got)
	}
}

func TestOwnedQueue(t *testing.T) {
	c := newCluster(t, 1, nil)
	q := c.topic("owned", 1, "pipe")[0]
	ctx := within(t)
	w := c.writer()
	st, err := w.Open(ctx, "a", 1, "first")
	if err != nil || len(st.Queues) != 1 || st.Queues[0].Hi != 0 || len(st.Halves) != 0 || st.BaseOffset != -1 {
		t.Fatalf("%+v, %v", st, err)
	}
	again, err := w.Open(ctx, "a", 1, "first")
	if err != nil || again.Term != 1 {
		t.Fatalf("the same opener again: %+v, %v", again, err)
	}
	link := func(prev, hi uint64) Link {
		return Link{Lo: prev + 1, Hi: hi, Prev: prev, From: fmt.Sprint("g:", prev+1), To: fmt.Sprint("g:", hi)}
	}
	m := message.New("", []byte("x"))
	var (
		dup   *DuplicateError
		gap   *GapError
		stale *StaleError
	)
	if _, err := w.Send(ctx, q, m, link(0, 10)); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Send(ctx, q, m, link(0, 10)); !errors.As(err, &dup) || dup.Last != 10 {
		t.Fatalf("again: %v", err)
	}
	if _, err := w.Send(ctx, q, m, link(20, 30)); !errors.As(err, &gap) || gap.Last != 10 {
		t.Fatalf("with a hole: %v", err)
	}
	h1, err1 := w.SendHalf(ctx, q, m, link(10, 20))
	h2, err2 := w.SendHalf(ctx, q, m, link(20, 30))
	h3, err3 := w.SendHalf(ctx, q, m, link(30, 40))
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatal(err)
	}
	res, err := w.Resolve(ctx, "a", []HalfRef{h2, h1, {ID: "nobody@1", TransactionID: "nobody"}}, []HalfRef{h3})
	if err != nil {
		t.Fatal(err)
	}
	want := []ResolveCode{ResolveGap, ResolveCommitted, ResolveGone, ResolveRolledBack}
	for i, r := range res {
		if r.Code != want[i] {
			t.Errorf("result %d: %+v, want %d", i, r, want[i])
		}
	}
	if res[0].Last != 10 || res[1].Offset != 1 {
		t.Errorf("results %+v", res)
	}
	// END is final and idempotent.
	res, err = w.Resolve(ctx, "a", []HalfRef{h1, h3}, []HalfRef{h1})
	if err != nil || res[0].Code != ResolveCommitted || res[0].Err != nil || res[1].Code != ResolveRolledBack || res[1].Err == nil ||
		res[2].Code != ResolveCommitted || res[2].Err == nil {
		t.Fatalf("again: %+v, %v", res, err)
	}

	second := c.writer()
	if _, err := second.Open(ctx, "a", 1, "second"); !errors.As(err, &stale) || stale.Known != 1 {
		t.Fatalf("another opener under the same term: %v", err)
	}
	st, err = second.Open(ctx, "a", 2, "second")
	if err != nil || st.Queues[0].Hi != 20 || st.Queues[0].To != "g:20" || st.Queues[0].Max != 2 || len(st.Halves) != 1 ||
		st.Halves[0].Ref() != h2 || st.Halves[0].Term != 1 {
		t.Fatalf("%+v, %v", st, err)
	}
	for what, err := range map[string]error{
		"send":    second1(w.Send(ctx, q, m, link(20, 30))),
		"half":    second1(w.SendHalf(ctx, q, m, link(20, 30))),
		"resolve": second1(w.Resolve(ctx, "a", []HalfRef{h2}, nil)),
	} {
		if !errors.Is(err, ErrFenced) {
			t.Errorf("%s under a closed term: %v", what, err)
		}
	}
	// A half of the older term may be committed by the new writer.
	res, err = second.Resolve(ctx, "a", []HalfRef{h2}, nil)
	if err != nil || res[0].Code != ResolveCommitted || res[0].Offset != 2 {
		t.Fatalf("%+v, %v", res, err)
	}
	got := readAll(t, c.reader(), q, 3)
	prev := "0"
	for i := range got {
		if p, _ := got[i].Property(message.PropertyPrev); p != prev {
			t.Errorf("message %d names %s, the one before it is %s", i, p, prev)
		}
		prev, _ = got[i].Property(message.PropertyHi)
	}
	if _, err := c.producer(WithRetries(0)).Send(ctx, message.New("owned", []byte("x"))); err == nil {
		t.Error("a plain send to an owned queue was taken")
	}
}

func second1[T any](_ T, err error) error { return err }

func TestWriterGoesOnAfterABrokerRestart(t *testing.T) {
	c := newCluster(t, 1, nil)
	q := c.topic("owned", 1, "pipe")[0]
	ctx := within(t)
	w := c.writer()
	if _, err := w.Open(ctx, "a", 1, "o"); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Send(ctx, q, message.New("", []byte("x")), Link{Lo: 1, Hi: 1}); err != nil {
		t.Fatal(err)
	}
	half, err := w.SendHalf(ctx, q, message.New("", []byte("y")), Link{Lo: 2, Hi: 2, Prev: 1})
	if err != nil {
		t.Fatal(err)
	}
	c.b.stop()
	if _, err := w.Send(ctx, q, message.New("", []byte("z")), Link{Lo: 9, Hi: 9, Prev: 8}); err == nil {
		t.Fatal("a send to a stopped broker succeeded")
	}
	c.startBroker("127.0.0.1:0") // at another address
	eventually(t, "the half is committed", func() bool {
		res, err := w.Resolve(ctx, "a", []HalfRef{half}, nil)
		return err == nil && res[0].Code == ResolveCommitted && res[0].Offset == 1
	})
	if got := bodies(readAll(t, c.reader(), q, 2)); !slices.Equal(got, []string{"x", "y"}) {
		t.Fatalf("visible: %q", got)
	}
	st, err := w.Open(ctx, "a", 2, "o2")
	if err != nil || st.Queues[0].Hi != 2 || len(st.Halves) != 0 {
		t.Fatalf("%+v, %v", st, err)
	}
}

func TestNameServerFailOver(t *testing.T) {
	c := newCluster(t, 2, nil)
	c.topic("T", 1, "")
	p := c.producer()
	if _, err := p.Send(within(t), message.New("T", []byte("x"))); err != nil {
		t.Fatal(err)
	}
	c.names[0].stop()
	c.topic("U", 1, "")
	if _, err := p.Send(within(t), message.New("U", []byte("x"))); err != nil {
		t.Fatal(err)
	}
}

// received collects what handlers get.
type received struct {
	mu     sync.Mutex
	bodies []string
	by     map[string]int
}

func (r *received) handler(name string) Handler {
	return func(_ context.Context, msgs []*ReceivedMessage) error {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.by == nil {
			r.by = make(map[string]int)
		}
		for _, m := range msgs {
			r.bodies = append(r.bodies, string(m.Body))
			r.by[name]++
		}
		return nil
	}
}

func (r *received) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.bodies)
}

func (c *realCluster) consumer(group string, h Handler, opts ...ConsumerOption) *PushConsumer {
	c.t.Helper()
	opts = append([]ConsumerOption{c.options(), WithStart(StartFirst()),
		WithIntervals(500*time.Millisecond, time.Second, 20*time.Millisecond), WithPullWait(200 * time.Millisecond)}, opts...)
	return started[*PushConsumer](c.t)(NewPushConsumer(group, h, opts...))
}

func sendNumbers(t testing.TB, p *Producer, topic string, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		m := message.New(topic, fmt.Append(nil, i))
		m.SetTags([]string{"even", "odd"}[i%2])
		if _, err := p.Send(within(t), m); err != nil {
			t.Fatal(err)
		}
	}
}

func TestGroupSharesATopic(t *testing.T) {
	c := newCluster(t, 1, nil)
	c.topic("T", 4, "")
	p := c.producer()
	sendNumbers(t, p, "T", 0, 40)
	var got received
	one := c.consumer("g", got.handler("one"), WithSubscription("T", "*"))
	eventually(t, "one member gets everything", func() bool { return got.count() == 40 })
	two := c.consumer("g", got.handler("two"), WithSubscription("T", "*"))
	eventually(t, "the queues are shared", func() bool {
		return countTopic(one.Queues(), "T") == 2 && countTopic(two.Queues(), "T") == 2
	})
	sendNumbers(t, p, "T", 40, 80)
	eventually(t, "both get their part", func() bool {
		got.mu.Lock()
		defer got.mu.Unlock()
		return got.by["two"] >= 20 && len(distinct(got.bodies)) == 80
	})
	if err := two.Close(within(t)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the one that stays takes over", func() bool { return countTopic(one.Queues(), "T") == 4 })
}

func countTopic(queues []message.Queue, topic string) int {
	n := 0
	for _, q := range queues {
		if q.Topic == topic {
			n++
		}
	}
	return n
}

func distinct(s []string) map[string]bool {
	set := make(map[string]bool)
	for _, x := range s {
		set[x] = true
	}
	return set
}

func TestTagsFilter(t *testing.T) {
	c := newCluster(t, 1, nil)
	q := c.topic("T", 1, "")[0]
	sendNumbers(t, c.producer(), "T", 0, 20)
	var got received
	c.consumer("g", got.handler("one"), WithSubscription("T", "even || none"))
	r := c.reader(WithGroup("g"))
	eventually(t, "the offset passes what is not wanted", func() bool {
		n, err := r.CommittedOffset(within(t), q)
		return err == nil && n == 20
	})
	if len(got.bodies) != 10 {
		t.Fatalf("handled %q", got.bodies)
	}
}

func TestFailedHandlersGetTheirMessagesAgain(t *testing.T) {
	c := newCluster(t, 1, nil)
	q := c.topic("T", 1, "")[0]
	sendNumbers(t, c.producer(), "T", 0, 5)
	var mu sync.Mutex
	tries := make(map[string]int)
	c.consumer("g", func(_ context.Context, msgs []*ReceivedMessage) error {
		mu.Lock()
		defer mu.Unlock()
		body := string(msgs[0].Body)
		if tries[body]++; body == "1" && tries[body] == 1 {
			return errors.New("not now")
		}
		if body == "2" && tries[body] < 3 {
			panic("never mind")
		}
		return nil
	}, WithSubscription("T", "*"), WithHandlerRetry(time.Millisecond, 5*time.Millisecond))
	r := c.reader(WithGroup("g"))
	eventually(t, "everything is handled", func() bool {
		n, err := r.CommittedOffset(within(t), q)
		return err == nil && n == 5
	})
	mu.Lock()
	defer mu.Unlock()
	if tries["1"] != 2 || tries["2"] != 3 || tries["4"] != 1 {
		t.Fatalf("tries %v", tries)
	}
}

func TestOrderlyConsumersKeepEachQueuesOrder(t *testing.T) {
	c := newCluster(t, 1, nil)
	c.topic("T", 2, "")
	p := c.producer()
	var mu sync.Mutex
	last := make(map[message.Queue]int64)
	n := 0
	failed := false
	handler := func(_ context.Context, msgs []*ReceivedMessage) error {
		mu.Lock()
		defer mu.Unlock()
		for _, m := range msgs {
			if prev, seen := last[m.Queue()]; seen && m.QueueOffset > prev+1 {
				t.Errorf("%v: offset %d after %d", m.Queue(), m.QueueOffset, prev)
			}
			if !failed && m.QueueOffset == 3 {
				failed = true
				return errors.New("once")
			}
			last[m.Queue()] = m.QueueOffset
			n++
		}
		return nil
	}
	opts := []ConsumerOption{WithSubscription("T", "*"), WithOrderly(), WithHandlerRetry(time.Millisecond, time.Millisecond)}
	one := c.consumer("g", handler, opts...)
	sendNumbers(t, p, "T", 0, 20)
	eventually(t, "everything is handled", func() bool { mu.Lock(); defer mu.Unlock(); return n == 20 })
	two := c.consumer("g", handler, opts...)
	eventually(t, "each has one queue", func() bool {
		return countTopic(one.Queues(), "T") == 1 && countTopic(two.Queues(), "T") == 1
	})
	sendNumbers(t, p, "T", 20, 40)
	eventually(t, "the rest is handled", func() bool { mu.Lock(); defer mu.Unlock(); return n >= 40 })
}

func TestAssignedQueuesAndManualOffsets(t *testing.T) {
	c := newCluster(t, 1, nil)
	qs := c.topic("T", 2, "")
	p := c.producer()
	for i := range 10 {
		if _, err := p.SendTo(within(t), qs[i%2], message.New("T", fmt.Append(nil, i))); err != nil {
			t.Fatal(err)
		}
	}
	var got received
	cons := c.consumer("g", got.handler("one"), WithAssignment(map[message.Queue]int64{qs[1]: 2}), WithManualCommit())
	eventually(t, "the rest of the queue is handled", func() bool { return got.count() == 3 })
	if err := cons.Commit(qs[1], 4); err != nil {
		t.Fatal(err)
	}
	if err := cons.Close(within(t)); err != nil {
		t.Fatal(err)
	}
	if n, err := c.reader(WithGroup("g")).CommittedOffset(within(t), qs[1]); n != 4 || err != nil {
		t.Fatalf("committed %d, %v", n, err)
	}
	if err := cons.Commit(qs[1], 5); err == nil {
		t.Error("a commit after Close was taken")
	}
}

func TestConsumerSurvivesABrokerRestart(t *testing.T) {
	c := newCluster(t, 1, nil)
	c.topic("T", 1, "")
	p := c.producer(WithRetries(20))
	var got received
	c.consumer("g", got.handler("one"), WithSubscription("T", "*"))
	sendNumbers(t, p, "T", 0, 5)
	eventually(t, "the first are handled", func() bool { return got.count() == 5 })
	c.b.stop()
	c.startBroker("127.0.0.1:0")
	sendNumbers(t, p, "T", 5, 10)
	eventually(t, "the others are handled", func() bool {
		got.mu.Lock()
		defer got.mu.Unlock()
		return len(distinct(got.bodies)) == 10
	})
}
