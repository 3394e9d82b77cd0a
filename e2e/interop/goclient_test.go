package interop

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	rocketmq "github.com/apache/rocketmq-client-go/v2"
	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"
	"github.com/apache/rocketmq-client-go/v2/producer"

	"github.com/millrace/millrace/broker"
)

func startProducer(t *testing.T, c *cluster) rocketmq.Producer {
	t.Helper()
	p, err := rocketmq.NewProducer(
		producer.WithNsResolver(c.resolver()), producer.WithGroupName("interop-p"),
		producer.WithInstanceName("p-"+t.Name()), producer.WithRetry(2))
	if err == nil {
		err = p.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Shutdown() })
	return p
}

func startConsumer(t *testing.T, c *cluster, name, topic, tags string, into *tally) rocketmq.PushConsumer {
	t.Helper()
	pc, err := rocketmq.NewPushConsumer(
		consumer.WithNsResolver(c.resolver()), consumer.WithGroupName("interop-c"), consumer.WithInstance(name+"-"+t.Name()),
		consumer.WithConsumeFromWhere(consumer.ConsumeFromFirstOffset))
	if err == nil {
		err = pc.Subscribe(topic, consumer.MessageSelector{Type: consumer.TAG, Expression: tags},
			func(_ context.Context, msgs ...*primitive.MessageExt) (consumer.ConsumeResult, error) {
				for _, m := range msgs {
					into.add(name, string(m.Body))
				}
				return consumer.ConsumeSuccess, nil
			})
	}
	if err == nil {
		err = pc.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	return pc
}

func TestGoClientConsumesInACluster(t *testing.T) {
	c := startCluster(t, nil)
	c.createTopic(t, "orders", 4)
	p := startProducer(t, c)
	ctx := context.Background()
	send := func(prefix string, n int) {
		t.Helper()
		for i := range n {
			m := primitive.NewMessage("orders", []byte(text(prefix, i))).WithTag("red").WithKeys([]string{text("key", i)})
			r, err := p.SendSync(ctx, m)
			if err != nil || r.Status != primitive.SendOK || r.MsgID == "" {
				t.Fatalf("send %s %d: %v, %v", prefix, i, r, err)
			}
		}
	}
	got := newTally()
	first := startConsumer(t, c, "first", "orders", "red || green", got)
	stopped := false
	t.Cleanup(func() {
		if !stopped {
			_ = first.Shutdown()
		}
	})
	send("alone", 40)
	waitFor(t, "what one consumer gets", func() bool { return got.len() == 40 })

	// What nobody asked for is not delivered.
	for i := range 4 {
		if _, err := p.SendSync(ctx, primitive.NewMessage("orders", []byte(text("blue", i))).WithTag("blue")); err != nil {
			t.Fatal(err)
		}
	}

	second := startConsumer(t, c, "second", "orders", "red || green", got)
	t.Cleanup(func() { _ = second.Shutdown() })
	sent := 0
	waitFor(t, "a share for both consumers", func() bool {
		send("both"+text("", sent), 8)
		sent++
		return got.consumers("both") == 2
	})
	waitFor(t, "everything sent to both", func() bool { return got.len() == 40+8*sent })

	// Who goes leaves its queues to the other, at once.
	stopped = true
	if err := first.Shutdown(); err != nil {
		t.Fatal(err)
	}
	send("left", 40)
	waitFor(t, "what the other takes over", func() bool { return got.len() == 80+8*sent })
	got.mu.Lock()
	defer got.mu.Unlock()
	for text := range got.got {
		if strings.HasPrefix(text, "blue") {
			t.Errorf("%s was delivered against its tag", text)
		}
	}
}

func TestGoClientSendsInEveryWay(t *testing.T) {
	c := startCluster(t, nil)
	c.createTopic(t, "another", 1) // so that the broker is registered
	p := startProducer(t, c)       // its topic does not exist: the first send creates it
	ctx := context.Background()
	long := strings.Repeat("compressed ", 2000)
	var acks atomic.Int64

	if _, err := p.SendSync(ctx, primitive.NewMessage("ways", []byte("sync"))); err != nil {
		t.Fatal(err)
	}
	if _, err := p.SendSync(ctx, primitive.NewMessage("ways", []byte("batch-1")), primitive.NewMessage("ways", []byte("batch-2")), primitive.NewMessage("ways", []byte("batch-3"))); err != nil {
		t.Fatal(err)
	}
	if _, err := p.SendSync(ctx, primitive.NewMessage("ways", []byte(long))); err != nil {
		t.Fatal(err)
	}
	if err := p.SendOneWay(ctx, primitive.NewMessage("ways", []byte("oneway"))); err != nil {
		t.Fatal(err)
	}
	err := p.SendAsync(ctx, func(_ context.Context, r *primitive.SendResult, err error) {
		if err == nil && r.Status == primitive.SendOK {
			acks.Add(1)
		}
	}, primitive.NewMessage("ways", []byte("async")))
	if err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the answer to the asynchronous send", func() bool { return acks.Load() == 1 })
	if _, err := p.SendSync(ctx, primitive.NewMessage("ways", []byte("late")).WithDelayTimeLevel(3)); err == nil ||
		!strings.Contains(err.Error(), "not supported yet") {
		t.Fatalf("a delayed message: %v", err)
	}

	got := newTally()
	pc := startConsumer(t, c, "reader", "ways", "*", got)
	t.Cleanup(func() { _ = pc.Shutdown() })
	want := []string{"sync", "batch-1", "batch-2", "batch-3", long, "oneway", "async"}
	waitFor(t, "all of them", func() bool { return got.len() == len(want) })
	got.mu.Lock()
	defer got.mu.Unlock()
	for _, w := range want {
		if got.got[w] == nil {
			t.Errorf("%.20s did not arrive", w)
		}
	}
}

// decisions is a producer's memory of its local transactions, by message text: what it
// says at once, and what it says when it is asked back.
type decisions struct {
	asked atomic.Int64
}

func (d *decisions) ExecuteLocalTransaction(m *primitive.Message) primitive.LocalTransactionState {
	switch {
	case strings.HasPrefix(string(m.Body), "commit"):
		return primitive.CommitMessageState
	case strings.HasPrefix(string(m.Body), "rollback"):
		return primitive.RollbackMessageState
	}
	return primitive.UnknowState
}

func (d *decisions) CheckLocalTransaction(m *primitive.MessageExt) primitive.LocalTransactionState {
	d.asked.Add(1)
	if strings.Contains(string(m.Body), "commit") {
		return primitive.CommitMessageState
	}
	return primitive.RollbackMessageState
}

func TestGoClientRunsTransactions(t *testing.T) {
	c := startCluster(t, func(cfg *broker.Config) {
		cfg.TransactionTimeOut, cfg.TransactionCheckInterval = 100, 100
	})
	c.createTopic(t, "payments", 2)
	d := &decisions{}
	p, err := rocketmq.NewTransactionProducer(d,
		producer.WithNsResolver(c.resolver()), producer.WithGroupName("interop-t"),
		producer.WithInstanceName("t-"+t.Name()), producer.WithRetry(1))
	if err == nil {
		err = p.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Shutdown() })
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	for i := range 5 {
		for _, prefix := range []string{"commit", "rollback", "later-commit", "later-rollback"} {
			r, err := p.SendMessageInTransaction(ctx, primitive.NewMessage("payments", []byte(text(prefix, i))))
			if err != nil || r.Status != primitive.SendOK {
				t.Fatalf("%s %d: %v, %v", prefix, i, r, err)
			}
		}
	}
	got := newTally()
	pc := startConsumer(t, c, "reader", "payments", "*", got)
	t.Cleanup(func() { _ = pc.Shutdown() })
	waitFor(t, "the committed ones, and those that are when asked back", func() bool { return got.len() >= 10 && d.asked.Load() >= 10 })
	got.mu.Lock()
	defer got.mu.Unlock()
	for text, by := range got.got {
		times := 0
		for _, n := range by {
			times += n
		}
		if !strings.Contains(text, "commit") || times != 1 {
			t.Errorf("%s arrived %d times", text, times)
		}
	}
}

// TestGoClientKeepsWhatItsHandlerRefused: a client that could not hand a message back must
// not commit behind it. It tries again by itself, and when it goes the next member gets it.
func TestGoClientKeepsWhatItsHandlerRefused(t *testing.T) {
	c := startCluster(t, nil)
	c.createTopic(t, "refused", 1)
	p := startProducer(t, c)
	bodies := []string{"good 1", "bad", "good 2", "good 3"}
	for _, body := range bodies {
		if _, err := p.SendSync(context.Background(), primitive.NewMessage("refused", []byte(body))); err != nil {
			t.Fatal(err)
		}
	}
	got := newTally()
	var tries atomic.Int64
	failing, err := rocketmq.NewPushConsumer(
		consumer.WithNsResolver(c.resolver()), consumer.WithGroupName("interop-c"), consumer.WithInstance("failing-"+t.Name()),
		consumer.WithConsumeFromWhere(consumer.ConsumeFromFirstOffset))
	if err == nil {
		err = failing.Subscribe("refused", consumer.MessageSelector{},
			func(_ context.Context, msgs ...*primitive.MessageExt) (consumer.ConsumeResult, error) {
				for _, m := range msgs {
					if string(m.Body) == "bad" {
						tries.Add(1)
						return consumer.ConsumeRetryLater, nil
					}
					got.add("failing", string(m.Body))
				}
				return consumer.ConsumeSuccess, nil
			})
	}
	if err == nil {
		err = failing.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the good messages, and the bad one again", func() bool { return got.len() == 3 && tries.Load() >= 2 })
	if err := failing.Shutdown(); err != nil { // it commits what it may
		t.Fatal(err)
	}
	if offset := c.committed(t, "interop-c", "refused"); offset > 1 {
		t.Fatalf("the group committed %d, behind the message at 1 that nobody consumed", offset)
	}
	next := startConsumer(t, c, "next", "refused", "*", got)
	t.Cleanup(func() { _ = next.Shutdown() })
	waitFor(t, "the next member's delivery of it", func() bool { return got.consumers("bad") == 1 })
}
