package javainterop

import (
	"context"
	"crypto/sha256"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/millrace/millrace/broker"
	"github.com/millrace/millrace/broker/store/inspect"
	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/client/admin"
	"github.com/millrace/millrace/internal/testenv"
	"github.com/millrace/millrace/message"
	"github.com/millrace/millrace/remoting"
	"github.com/millrace/millrace/remoting/protocol"
	"github.com/millrace/millrace/remoting/rpc"
)

// longGroup is as long as a group's name can be. The name of its retry topic has 127
// bytes: no topic's can have more, whatever the record's format has room for.
var longGroup = strings.Repeat("group-name--", 10)

// topics and their queues.
var topics = map[string]int{"orders": 4, "payments": 2, "single": 1, "%RETRY%" + longGroup: 1}

// content is every record of every queue, in order, as text.
type content map[message.Queue][]string

func (c content) size() (n int) {
	for _, q := range c {
		n += len(q)
	}
	return n
}

// stage is a directory that brokers take over from each other, under one Java name server.
type stage struct {
	t     *testing.T
	java  *testenv.RocketMQ
	names string
	dir   string // of the Java broker; the store is in it
	sent  int
	round int
}

func newStage(t *testing.T) *stage {
	java := testenv.NeedRocketMQ(t)
	ns, err := java.StartNamesrv(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(ns.Kill)
	return &stage{t: t, java: java, names: ns.Addr, dir: t.TempDir()}
}

func (s *stage) store() string { return filepath.Join(s.dir, "store") }

func (s *stage) javaBroker(config map[string]string) *testenv.RocketMQServer {
	s.t.Helper()
	all := map[string]string{"maxHashSlotNum": "1000", "maxIndexNum": "4000", "transactionTimeOut": "600000"}
	maps.Copy(all, config)
	b, err := s.java.StartBroker(s.t.Context(), s.dir, s.names, testenv.RocketMQBroker{Name: brokerName, Config: all})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(b.Kill)
	return b
}

func (s *stage) stop(b *testenv.RocketMQServer) {
	s.t.Helper()
	if err := b.Stop(); err != nil {
		s.t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(s.store(), "abort")); err == nil {
		s.t.Fatal("Java's broker did not end in order: the file abort is there")
	}
}

func (s *stage) createTopics() {
	s.t.Helper()
	a := newAdmin(s.t, s.names)
	for name, queues := range topics {
		waitFor(s.t, "topic "+name, func() error {
			return a.CreateTopic(s.t.Context(), admin.TopicConfig{Name: name, Queues: queues}, brokerName)
		})
	}
	body, err := protocol.EncodeBody(protocol.DefaultSubscriptionGroup(longGroup))
	if err != nil {
		s.t.Fatal(err)
	}
	req := remoting.NewRequest(protocol.UpdateAndCreateSubscriptionGroup)
	req.Body = body
	asks := rpc.NewClient(rpc.ClientConfig{}, testLog())
	defer asks.Close()
	if ans, err := asks.Invoke(s.t.Context(), brokerAddr(s.t, a), req); err != nil || ans.Code != protocol.Success {
		s.t.Fatalf("create group %s: %+v, %v", longGroup, ans, err)
	}
}

// fill sends in every way to whoever owns the store.
func (s *stage) fill() {
	s.t.Helper()
	s.round++
	p, ctx := newProducer(s.t, s.names, nil), s.t.Context()
	defer p.Close(ctx) // it must not be asked about transactions
	text := func(topic, how string, n int) *message.Message {
		m := message.New(topic, fmt.Appendf(nil, "%s %d of round %d", how, n, s.round))
		m.SetTags([]string{"red", "green", "blue"}[n%3])
		m.SetKeys(fmt.Sprintf("key-%d", n), fmt.Sprintf("round-%d", s.round))
		m.SetProperty("shop", "Zürich 北京")
		m.Flag = int32(n)
		return m
	}
	sent := func(n int, r client.SendResult, err error) {
		s.t.Helper()
		if err != nil || r.Status != client.SendOK {
			s.t.Fatalf("send in round %d: %+v, %v", s.round, r, err)
		}
		s.sent += n
	}
	for topic, queues := range topics {
		for n := range 12 {
			q := message.Queue{Topic: topic, BrokerName: brokerName, QueueID: int32(n % queues)}
			r, err := p.SendTo(ctx, q, text(topic, "single", n))
			sent(1, r, err)
		}
	}
	for n := range 3 {
		batch := []*message.Message{text("orders", "batch", 3*n), text("orders", "batch", 3*n+1), text("orders", "batch", 3*n+2)}
		r, err := p.SendBatchTo(ctx, message.Queue{Topic: "orders", BrokerName: brokerName, QueueID: int32(n)}, batch)
		sent(len(batch), r, err)
	}
	large := message.New("orders", []byte(strings.Repeat(fmt.Sprintf("compressed %d ", s.round), 2000)))
	r, err := p.Send(ctx, large)
	sent(1, r, err)
	for _, decision := range []client.TransactionState{client.TransactionCommit, client.TransactionRollback, client.TransactionCommit} {
		m := text("payments", "transaction", int(decision))
		r, err := p.SendInTransaction(ctx, m, func(context.Context, *message.Message) client.TransactionState { return decision })
		n := 0
		if decision == client.TransactionCommit {
			n = 1
		}
		sent(n, r.SendResult, err)
	}
}

// undecided leaves a half message whose producer is gone.
func (s *stage) undecided(body string) {
	s.t.Helper()
	p := newProducer(s.t, s.names, nil)
	defer p.Close(s.t.Context())
	_, err := p.SendInTransaction(s.t.Context(), message.New("payments", []byte(body)),
		func(context.Context, *message.Message) client.TransactionState { return client.TransactionUnknown })
	if err != nil {
		s.t.Fatal(err)
	}
}

// checker is a producer that commits the half that was left. Millrace must not ask it about
// any other; Java's broker may: what it has decided is written down in batches, later, and
// it asks about what is not.
func (s *stage) checker(half string, byJava bool) *client.Producer {
	s.t.Helper()
	p := newProducer(s.t, s.names, func(_ context.Context, m *client.ReceivedMessage) client.TransactionState {
		if string(m.Body) == half {
			return client.TransactionCommit
		}
		if !byJava {
			s.t.Errorf("the broker asks about %q, which is decided", m.Body)
		}
		return client.TransactionUnknown
	})
	// A send is what tells the broker of a producer.
	if _, err := p.Send(s.t.Context(), message.New("single", []byte("the checker of "+half))); err != nil {
		s.t.Fatal(err)
	}
	s.sent += 2
	return p
}

// read reads everything through the present owner, once it shows all that was sent.
func (s *stage) read() content {
	s.t.Helper()
	r := newReader(s.t, s.names)
	var c content
	waitFor(s.t, fmt.Sprintf("all %d messages", s.sent), func() error {
		c = content{}
		for topic, queues := range topics {
			for id := range queues {
				q := message.Queue{Topic: topic, BrokerName: brokerName, QueueID: int32(id)}
				var err error
				if c[q], err = readQueue(s.t.Context(), r, q); err != nil {
					return err
				}
			}
		}
		if n := c.size(); n != s.sent {
			return fmt.Errorf("there are %d", n)
		}
		return nil
	})
	return c
}

func readQueue(ctx context.Context, r *client.Reader, q message.Queue) ([]string, error) {
	var out []string
	end, err := r.Max(ctx, q)
	if err != nil {
		return nil, err
	}
	for at := int64(0); at < end; {
		res, err := r.Pull(ctx, q, at, client.PullOptions{})
		if err != nil {
			return nil, err
		}
		for i := range res.Messages {
			m := &res.Messages[i]
			if m.QueueOffset != int64(len(out)) {
				return nil, fmt.Errorf("%v holds offset %d in the place of %d", q, m.QueueOffset, len(out))
			}
			if err := m.Record.CheckCRC(); err != nil && m.SysFlag&message.SysCompressed == 0 {
				return nil, err
			}
			out = append(out, recordText(m))
		}
		at = res.Next
	}
	return out, nil
}

func recordText(m *client.ReceivedMessage) string {
	body := string(m.Body)
	if len(body) > 100 {
		body = fmt.Sprintf("%d bytes, %x", len(body), sha256.Sum256(m.Body))
	}
	return fmt.Sprintf("%s/%d %d at %d: v%d flag %d sys %d born %d %s stored %d %s tx %d crc %x %q properties %q",
		m.Topic, m.QueueID, m.QueueOffset, m.PhysicalOffset, m.Version, m.Flag, m.SysFlag, m.BornTimestamp, m.BornHost,
		m.StoreTimestamp, m.StoreHost, m.PreparedTransactionOffset, m.BodyCRC, body, m.Properties)
}

// follows fails unless after begins with all of before, queue by queue.
func follows(t *testing.T, who string, before, after content) {
	t.Helper()
	for q, want := range before {
		got := after[q]
		for i, w := range want {
			switch {
			case i >= len(got):
				t.Fatalf("%s: queue %v ends at %d; it had %d", who, q, len(got), len(want))
			case got[i] != w:
				t.Fatalf("%s reads\n%s\nit was\n%s", who, got[i], w)
			}
		}
	}
}

// verify looks at the directory while nobody has it.
func (s *stage) verify() {
	s.t.Helper()
	report, err := inspect.Store{Dir: s.store()}.Verify()
	if err != nil {
		s.t.Fatal(err)
	}
	if len(report.Problems) > 0 || report.Records < int64(s.sent) {
		s.t.Fatalf("the store has %d records, and problems: %s", report.Records, strings.Join(report.Problems, "\n"))
	}
}

// offsets are consumer offsets of a group, by queue.
func (s *stage) offsets() map[int32]int64 {
	s.t.Helper()
	list, err := newAdmin(s.t, s.names).ConsumerOffsets(s.t.Context(), longGroup, "orders")
	if err != nil {
		s.t.Fatal(err)
	}
	out := map[int32]int64{}
	for _, o := range list {
		out[o.Queue.QueueID] = o.Committed
	}
	return out
}

func (s *stage) commit(offset int64) {
	s.t.Helper()
	r := newReader(s.t, s.names)
	for id := range int32(4) {
		if err := r.CommitOffset(s.t.Context(), message.Queue{Topic: "orders", BrokerName: brokerName, QueueID: id}, offset+int64(id)); err != nil {
			s.t.Fatal(err)
		}
	}
	want := map[int32]int64{0: offset, 1: offset + 1, 2: offset + 2, 3: offset + 3}
	waitFor(s.t, "the committed offsets", func() error {
		if got := s.offsets(); !maps.Equal(got, want) {
			return fmt.Errorf("they are %v", got)
		}
		return nil
	})
}

// checkTopics waits until the name server tells of every topic with its queues.
func (s *stage) checkTopics() {
	s.t.Helper()
	a := newAdmin(s.t, s.names)
	for topic, queues := range topics {
		waitFor(s.t, "the route of "+topic, func() error {
			r, err := a.Route(s.t.Context(), topic)
			if err == nil && (len(r.Read) != queues || len(r.Write) != queues) {
				err = fmt.Errorf("it has %d readable, %d writable queues, not %d", len(r.Read), len(r.Write), queues)
			}
			return err
		})
	}
}

func TestStoreGoesFromJavaToUsAndBack(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	java := s.javaBroker(nil)
	s.createTopics()
	s.fill()
	s.undecided("decided under Millrace")
	s.commit(1)
	byJava := s.read()
	s.stop(java)
	s.verify()

	ours := ourBroker(t, s.store(), s.names, func(c *broker.Config) {
		c.TransactionTimeOut, c.TransactionCheckInterval = 100, 100
	})
	s.checkTopics()
	follows(t, "Millrace", byJava, s.read())
	if got := s.offsets(); !maps.Equal(got, map[int32]int64{0: 1, 1: 2, 2: 3, 3: 4}) {
		t.Errorf("Java's consumer offsets became %v", got)
	}
	checker := s.checker("decided under Millrace", false)
	s.fill()
	s.commit(2)
	byUs := s.read()
	follows(t, "Millrace, after more", byJava, byUs)
	if err := checker.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := ours.stop(); err != nil {
		t.Fatal(err)
	}
	s.verify()

	java = s.javaBroker(map[string]string{"transactionTimeOut": "2000", "transactionCheckInterval": "500", "transactionOpBatchInterval": "50"})
	s.checkTopics()
	follows(t, "Java", byUs, s.read())
	if got := s.offsets(); !maps.Equal(got, map[int32]int64{0: 2, 1: 3, 2: 4, 3: 5}) {
		t.Errorf("our consumer offsets became %v", got)
	}
	s.undecided("decided under Java")
	s.checker("decided under Java", true)
	s.fill()
	follows(t, "Java, after more", byUs, s.read())
	s.stop(java)
	s.verify()
}

func TestStoreOfAKilledJavaBroker(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	java := s.javaBroker(nil)
	s.createTopics()
	s.fill()
	before := s.read()
	java.Kill()
	if _, err := os.Stat(filepath.Join(s.store(), "abort")); err != nil {
		t.Fatalf("the broker was killed: %v", err)
	}
	s.verify()

	ours := ourBroker(t, s.store(), s.names, nil)
	s.checkTopics()
	follows(t, "Millrace", before, s.read())
	s.fill()
	byUs := s.read()
	follows(t, "Millrace, after more", before, byUs)
	if err := ours.stop(); err != nil {
		t.Fatal(err)
	}
	s.verify()

	java = s.javaBroker(nil)
	follows(t, "Java", byUs, s.read())
	s.fill()
	byJava := s.read()
	java.Kill()

	// Java has written behind our checkpoints.
	ours = ourBroker(t, s.store(), s.names, nil)
	follows(t, "Millrace, again", byJava, s.read())
	s.fill()
	follows(t, "Millrace, after more again", byJava, s.read())
	if err := ours.stop(); err != nil {
		t.Fatal(err)
	}
	s.verify()
}
