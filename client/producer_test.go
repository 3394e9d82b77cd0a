package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/millrace/millrace/message"
	"github.com/millrace/millrace/remoting"
	"github.com/millrace/millrace/remoting/protocol"
	"github.com/millrace/millrace/remoting/rpc"
)

func newTestProducer(t testing.TB, c *fakeCluster, opts ...ProducerOption) *Producer {
	t.Helper()
	return started[*Producer](t)(NewProducer(append([]ProducerOption{c.options()}, opts...)...))
}

func TestProducerTakesQueuesInTurn(t *testing.T) {
	c := newFakeCluster(t, "a", "b")
	c.topic("T", 2)
	p := newTestProducer(t, c)
	used := make(map[message.Queue]int)
	for range 8 {
		r, err := p.Send(within(t), message.New("T", []byte("x")))
		if err != nil {
			t.Fatal(err)
		}
		if r.MsgID == "" || r.OffsetMsgID == "" || r.QueueOffset != 7 || r.TransactionID != r.MsgID {
			t.Fatalf("result %+v", r)
		}
		used[r.Queue]++
	}
	if len(used) != 4 {
		t.Fatalf("queues used: %v", used)
	}
	for q, n := range used {
		if n != 2 {
			t.Errorf("%v was used %d times", q, n)
		}
	}
}

func TestProducerRetriesWhatMayPassAtAnotherBroker(t *testing.T) {
	for _, tc := range []struct {
		code  int
		again bool
	}{
		{protocol.SystemBusy, true}, {protocol.SystemError, true}, {protocol.ServiceNotAvailable, true},
		{protocol.TopicNotExist, true}, {protocol.NoPermission, true}, {protocol.GoAway, true},
		{protocol.MessageIllegal, false}, {protocol.InvalidParameter, false}, {protocol.FlowControl, false},
	} {
		t.Run(protocol.ResponseName(tc.code), func(t *testing.T) {
			c := newFakeCluster(t, "a", "b")
			c.topic("T", 1)
			c.broker["a"].on(protocol.SendMessageV2, refuse(tc.code))
			p := newTestProducer(t, c)
			failed := 0
			for range 4 { // two begin at each broker
				r, err := p.Send(within(t), message.New("T", []byte("x")))
				var ans *AnswerError
				switch {
				case err == nil && r.Queue.BrokerName != "b":
					t.Fatalf("stored at %s", r.Queue.BrokerName)
				case err != nil && (tc.again || !errors.As(err, &ans) || ans.Code != tc.code):
					t.Fatalf("send: %v", err)
				case err != nil:
					failed++
				}
			}
			if !tc.again && failed != 2 {
				t.Fatalf("%d of 4 sends failed, want 2", failed)
			}
		})
	}
}

func TestProducerGivesUpAfterItsRetries(t *testing.T) {
	c := newFakeCluster(t, "a")
	c.topic("T", 1)
	c.broker["a"].on(protocol.SendMessageV2, refuse(protocol.SystemBusy))
	p := newTestProducer(t, c, WithRetries(3))
	_, err := p.Send(within(t), message.New("T", []byte("x")))
	if n := len(c.broker["a"].requests(protocol.SendMessageV2)); err == nil || n != 4 {
		t.Fatalf("%d attempts, error %v", n, err)
	}
	if errors.Is(err, ErrUncertain) {
		t.Fatalf("every broker refused, yet: %v", err)
	}
}

func TestSendWithoutAnswerIsUncertain(t *testing.T) {
	c := newFakeCluster(t, "a", "b")
	c.topic("T", 1)
	c.broker["a"].on(protocol.SendMessageV2, never)
	c.broker["b"].on(protocol.SendMessageV2, refuse(protocol.SystemBusy))
	p := newTestProducer(t, c, WithSendTimeout(500*time.Millisecond), WithRetries(1))
	for range 2 {
		if _, err := p.Send(within(t), message.New("T", []byte("x"))); !errors.Is(err, ErrUncertain) {
			t.Fatalf("send: %v", err)
		}
	}
}

func TestSendIsNotMovedFromTheQueueThatItNames(t *testing.T) {
	c := newFakeCluster(t, "a", "b")
	c.topic("T", 1)
	c.broker["a"].on(protocol.SendMessageV2, refuse(protocol.SystemBusy))
	p := newTestProducer(t, c)
	_, err := p.SendTo(within(t), message.Queue{Topic: "T", BrokerName: "a"}, message.New("T", []byte("x")))
	if n := len(c.broker["b"].requests(protocol.SendMessageV2)); err == nil || n != 0 {
		t.Fatalf("%d sends at the other broker, error %v", n, err)
	}
}

func TestEqualKeysGoToOneQueue(t *testing.T) {
	c := newFakeCluster(t, "a", "b")
	c.topic("T", 4)
	p := newTestProducer(t, c)
	for i := range 16 {
		key := fmt.Appendf(nil, "key %d", i)
		first, err := p.SendByKey(within(t), message.New("T", []byte("x")), key)
		if err != nil {
			t.Fatal(err)
		}
		again, err := p.SendByKey(within(t), message.New("T", []byte("y")), key)
		if err != nil || again.Queue != first.Queue {
			t.Fatalf("key %d: %v, then %v (%v)", i, first.Queue, again.Queue, err)
		}
		n := KeyHash(key) % 8
		if want := (message.Queue{Topic: "T", BrokerName: []string{"a", "b"}[n/4], QueueID: int32(n % 4)}); first.Queue != want {
			t.Errorf("key %d: %v, want %v", i, first.Queue, want)
		}
	}
}

func TestKeyHashIsForEver(t *testing.T) {
	// Other clients compute the same; these values must never change.
	for _, tc := range []struct {
		parts [][]byte
		want  uint64
	}{
		{nil, 0xef46db3751d8e999},
		{[][]byte{[]byte("a")}, 0x429252db8b152fe0},
		{[][]byte{[]byte("ab"), []byte("c")}, 0xc3da8bcd0991d987},
	} {
		if got := KeyHash(tc.parts...); got != tc.want {
			t.Errorf("KeyHash(%q) = %#x, want %#x", tc.parts, got, tc.want)
		}
	}
	if KeyHash([]byte("ab"), []byte("c")) == KeyHash([]byte("a"), []byte("bc")) {
		t.Error("parts run into each other")
	}
}

func TestBatchIsOneRequest(t *testing.T) {
	c := newFakeCluster(t, "a")
	c.topic("T", 1)
	p := newTestProducer(t, c)
	var msgs []*message.Message
	for i := range 3 {
		m := message.New("T", fmt.Appendf(nil, "body %d", i))
		m.SetTags("tag")
		msgs = append(msgs, m)
	}
	r, err := p.SendBatch(within(t), msgs)
	if err != nil {
		t.Fatal(err)
	}
	ids := strings.Split(r.MsgID, ",")
	req := c.broker["a"].requests(protocol.SendBatchMessage)[0]
	n := 0
	it := message.IterateBatch(req.Body)
	for ; it.Next(); n++ {
		if want := fmt.Sprintf("body %d", n); string(it.Item.Body) != want {
			t.Errorf("item %d has body %q", n, it.Item.Body)
		}
		if id, _ := message.Property(it.Item.Properties, message.PropertyUniqueKey); id != ids[n] {
			t.Errorf("item %d has id %q, the result says %q", n, id, ids[n])
		}
	}
	if it.Err() != nil || n != 3 {
		t.Fatalf("%d items, error %v", n, it.Err())
	}
}

func TestBatchRefusesWhatCannotBeInOne(t *testing.T) {
	c := newFakeCluster(t, "a")
	c.topic("T", 1)
	p := newTestProducer(t, c, WithMaxMessageSize(100))
	delayed := message.New("T", []byte("x"))
	delayed.SetProperty(message.PropertyDelay, "3")
	half := message.New("T", []byte("x"))
	half.SysFlag = message.TransactionPrepared
	for name, msgs := range map[string][]*message.Message{
		"empty":       nil,
		"two topics":  {message.New("T", []byte("x")), message.New("U", []byte("x"))},
		"delayed":     {delayed},
		"transaction": {half},
		"retry topic": {message.New("%RETRY%g", []byte("x"))},
		"too large":   {message.New("T", make([]byte, 60)), message.New("T", make([]byte, 60))},
		"no body":     {message.New("T", nil)},
	} {
		if _, err := p.SendBatch(within(t), msgs); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func TestLargeBodiesAreCompressed(t *testing.T) {
	body := bytes.Repeat([]byte("compress me "), 1000)
	for _, kind := range []message.Compression{message.CompressionZLIB, message.CompressionLZ4, message.CompressionZSTD} {
		c := newFakeCluster(t, "a")
		c.topic("T", 1)
		p := newTestProducer(t, c, WithCompression(kind, 1000))
		for _, b := range [][]byte{body, []byte("small")} {
			if _, err := p.Send(within(t), message.New("T", b)); err != nil {
				t.Fatal(err)
			}
		}
		reqs := c.broker["a"].requests(protocol.SendMessageV2)
		h, err := protocol.DecodeSend(reqs[0])
		if err != nil {
			t.Fatal(err)
		}
		got, err := message.Decompress(reqs[0].Body, h.SysFlag)
		if err != nil || !bytes.Equal(got, body) || len(reqs[0].Body) >= len(body) || message.CompressionOf(h.SysFlag) != kind {
			t.Errorf("kind %d: %d bytes on the wire, sysFlag %#x, error %v", kind, len(reqs[0].Body), h.SysFlag, err)
		}
		if h, _ := protocol.DecodeSend(reqs[1]); h.SysFlag != 0 {
			t.Errorf("kind %d: a small body has sysFlag %#x", kind, h.SysFlag)
		}
	}
}

func TestUnknownTopicIsCreatedByASend(t *testing.T) {
	c := newFakeCluster(t, "a")
	c.topic(message.TopicAutoCreate, 8)
	p := newTestProducer(t, c)
	r, err := p.Send(within(t), message.New("new", []byte("x")))
	if err != nil || r.Queue.QueueID >= defaultTopicQueues {
		t.Fatalf("%+v, %v", r, err)
	}
	strict := newTestProducer(t, c, WithTopicCreation(false))
	if _, err := strict.Send(within(t), message.New("newer", []byte("x"))); !errors.Is(err, ErrTopicNotFound) {
		t.Fatalf("send: %v", err)
	}
}

func TestProducerRefusesBadMessages(t *testing.T) {
	c := newFakeCluster(t, "a")
	c.topic("T", 1)
	p := newTestProducer(t, c, WithMaxMessageSize(10))
	separator := message.New("T", []byte("x"))
	separator.SetProperty("k", "a\x01b")
	huge := message.New("T", []byte("x"))
	huge.SetProperty("k", strings.Repeat("v", message.MaxPropertiesLen))
	for name, m := range map[string]*message.Message{
		"no topic": message.New("", []byte("x")), "topic": message.New("a/b", []byte("x")),
		"no body": message.New("T", nil), "large": message.New("T", make([]byte, 11)),
		"separator": separator, "properties": huge,
	} {
		if _, err := p.Send(within(t), m); !errors.Is(err, ErrNotSent) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := c.count(protocol.SendMessageV2); n != 0 {
		t.Errorf("%d requests were sent", n)
	}
}

func TestInFlightLimitHoldsSendsBack(t *testing.T) {
	c := newFakeCluster(t, "a")
	c.topic("T", 1)
	release := make(chan struct{})
	var once sync.Once
	c.broker["a"].on(protocol.SendMessageV2, never)
	p := newTestProducer(t, c, WithMaxInFlight(2, 1<<20), WithSendTimeout(2*time.Minute), WithRetries(0))
	t.Cleanup(func() { once.Do(func() { close(release) }) })
	for range 2 {
		p.SendAsync(within(t), message.New("T", []byte("x")), func(SendResult, error) {})
	}
	c.broker["a"].wait(protocol.SendMessageV2, 2)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	var got error
	p.SendAsync(ctx, message.New("T", []byte("x")), func(_ SendResult, err error) { got = err })
	if !errors.Is(got, ErrTooMuchInFlight) || !errors.Is(got, ErrNotSent) {
		t.Fatalf("third send: %v", got)
	}
	c.broker["a"].stop() // ends the two, so that Close need not wait
}

func TestCloseDrainsAndThenRefuses(t *testing.T) {
	c := newFakeCluster(t, "a")
	c.topic("T", 1)
	gate := make(chan struct{})
	c.broker["a"].on(protocol.SendMessageV2, func(req *remoting.Command) *remoting.Command {
		<-gate
		return c.stored(req)
	})
	p, err := NewProducer(c.options())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Send(within(t), message.New("T", []byte("x"))); !errors.Is(err, ErrClosed) {
		t.Fatalf("send before Start: %v", err)
	}
	if err := p.Start(within(t)); err != nil {
		t.Fatal(err)
	}
	outcome := make(chan error, 1)
	p.SendAsync(within(t), message.New("T", []byte("x")), func(_ SendResult, err error) { outcome <- err })
	c.broker["a"].wait(protocol.SendMessageV2, 1)
	closed := make(chan error, 1)
	go func() { closed <- p.Close(within(t)) }()
	close(gate)
	if err := <-closed; err != nil {
		t.Fatal(err)
	}
	if err := <-outcome; err != nil {
		t.Fatalf("the send in flight: %v", err)
	}
	if _, err := p.Send(within(t), message.New("T", []byte("x"))); !errors.Is(err, ErrClosed) {
		t.Fatalf("send after Close: %v", err)
	}
}

func TestHookFailsAndDropsRequests(t *testing.T) {
	c := newFakeCluster(t, "a")
	c.topic("T", 1)
	var mu sync.Mutex
	mode := "fail"
	set := func(m string) { mu.Lock(); mode = m; mu.Unlock() }
	is := func(m string) bool { mu.Lock(); defer mu.Unlock(); return mode == m }
	p := newTestProducer(t, c, WithRetries(0), WithSendTimeout(time.Second), WithHook(Hook{
		Request: func(_ string, req *remoting.Command) error {
			if req.Code == protocol.SendMessageV2 && is("fail") {
				return errors.New("cut")
			}
			return nil
		},
		Answer: func(_ string, req, _ *remoting.Command) rpc.Verdict {
			return rpc.Verdict{Drop: req.Code == protocol.SendMessageV2 && is("drop")}
		},
	}))
	send := func() error { _, err := p.Send(within(t), message.New("T", []byte("x"))); return err }
	if err := send(); !errors.Is(err, ErrNotSent) || errors.Is(err, ErrUncertain) {
		t.Fatalf("failed request: %v", err)
	}
	set("drop")
	if err := send(); !errors.Is(err, ErrUncertain) {
		t.Fatalf("dropped answer: %v", err)
	}
	set("")
	if err := send(); err != nil {
		t.Fatal(err)
	}
}

func TestProducerFollowsABrokerThatMoves(t *testing.T) {
	c := newFakeCluster(t, "a")
	c.topic("T", 1)
	p := newTestProducer(t, c)
	if _, err := p.Send(within(t), message.New("T", []byte("x"))); err != nil {
		t.Fatal(err)
	}
	old := c.broker["a"]
	moved := newFakeServer(t)
	moved.on(protocol.SendMessageV2, c.stored)
	c.move("a", moved.addr)
	old.stop()
	if _, err := p.Send(within(t), message.New("T", []byte("x"))); err != nil {
		t.Fatal(err)
	}
	if n := len(moved.requests(protocol.SendMessageV2)); n != 1 {
		t.Fatalf("%d sends at the new address", n)
	}
}
