package processor_test

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/millrace/millrace/broker"
	"github.com/millrace/millrace/message"
	"github.com/millrace/millrace/remoting"
	"github.com/millrace/millrace/remoting/protocol"
	"github.com/millrace/millrace/remoting/rpc"
)

// server is a broker on loopback, asked with bare commands.
type server struct {
	t      testing.TB
	cfg    broker.Config
	broker *broker.Broker
	client *rpc.Client
	checks chan *remoting.Command
	stop   func()
}

func startServer(t testing.TB, change func(*broker.Config)) *server {
	t.Helper()
	cfg := broker.DefaultConfig()
	cfg.BrokerName, cfg.ListenPort, cfg.NamesrvAddr = "b", 0, ""
	cfg.StorePathRootDir = filepath.ToSlash(t.TempDir())
	cfg.MappedFileSizeCommitLog = 64 << 20
	cfg.MaxHashSlotNum, cfg.MaxIndexNum = 1000, 4000
	if change != nil {
		change(&cfg)
	}
	s := &server{t: t, cfg: cfg, checks: make(chan *remoting.Command, 100)}
	s.client = rpc.NewClient(rpc.ClientConfig{Handler: rpc.HandlerFunc(func(x *rpc.Exchange) {
		c := *x.Request()
		c.Body = append([]byte(nil), c.Body...)
		select {
		case s.checks <- &c:
		default: // nobody looks at them: the reader goes on
		}
	})}, slog.New(slog.DiscardHandler))
	t.Cleanup(s.client.Close)
	s.up()
	return s
}

func (s *server) up() {
	s.t.Helper()
	b, err := broker.New(s.cfg, broker.Deps{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		s.t.Fatal(err)
	}
	s.broker = b
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- b.Run(ctx) }()
	s.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			s.t.Errorf("broker: %v", err)
		}
	})
	s.t.Cleanup(s.stop)
}

func (s *server) restart() { s.stop(); s.up() }

type header interface{ Encode(*remoting.Command) }

func (s *server) ask(code int, h header, body []byte) *remoting.Command {
	s.t.Helper()
	req := remoting.NewRequest(code)
	h.Encode(req)
	req.Body = body
	ctx, cancel := context.WithTimeout(context.Background(), 25*time.Second)
	defer cancel()
	ans, err := s.client.Invoke(ctx, s.broker.Addr(), req)
	if err != nil {
		s.t.Fatalf("%s: %v", protocol.RequestName(code), err)
	}
	return ans
}

func (s *server) createTopic(name string, queues int32, attributes string) {
	s.t.Helper()
	ans := s.ask(protocol.UpdateAndCreateTopic, &protocol.CreateTopicHeader{
		Topic: name, DefaultTopic: message.TopicAutoCreate, ReadQueueNums: queues, WriteQueueNums: queues, Perm: 6,
		TopicFilterType: protocol.FilterSingleTag, Attributes: attributes,
	}, nil)
	if ans.Code != protocol.Success {
		s.t.Fatal(protocol.AsError(ans))
	}
}

func halfHeader(topic, key string, more map[string]string) *protocol.SendHeader {
	props := map[string]string{message.PropertyTransactionPrepared: "true", message.PropertyProducerGroup: "g", message.PropertyUniqueKey: key}
	for k, v := range more {
		props[k] = v
	}
	return &protocol.SendHeader{
		ProducerGroup: "g", Topic: topic, DefaultTopic: message.TopicAutoCreate, DefaultTopicQueueNums: 1,
		SysFlag: message.TransactionPrepared, BornTimestamp: time.Now().UnixMilli(), Properties: string(message.AppendProperties(nil, props)),
	}
}

// half stores a half and returns the END that decides it.
func (s *server) half(topic, key string) protocol.EndTransactionHeader {
	s.t.Helper()
	end, err := endOf(s.ask(protocol.SendMessageV2, halfHeader(topic, key, nil), []byte(key)), topic)
	if err != nil {
		s.t.Fatal(err)
	}
	return end
}

func endOf(ans *remoting.Command, topic string) (protocol.EndTransactionHeader, error) {
	if err := protocol.AsError(ans); err != nil {
		return protocol.EndTransactionHeader{}, err
	}
	var h protocol.SendResponseHeader
	if err := h.Decode(ans); err != nil {
		return protocol.EndTransactionHeader{}, err
	}
	_, phys, err := message.ParseOffsetMsgID(h.MsgID)
	return protocol.EndTransactionHeader{
		Topic: topic, ProducerGroup: "g", TranStateTableOffset: h.QueueOffset, CommitLogOffset: phys,
		CommitOrRollback: message.TransactionCommit, MsgID: h.TransactionID, TransactionID: h.TransactionID,
	}, err
}

func (s *server) max(topic string) int64 {
	s.t.Helper()
	ans := s.ask(protocol.GetMaxOffset, queueHeader(topic), nil)
	v, _ := ans.Ext.Get("offset")
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil {
		s.t.Fatal(err)
	}
	return n
}

func (s *server) end(h protocol.EndTransactionHeader) int {
	s.t.Helper()
	return s.ask(protocol.EndTransaction, &h, nil).Code
}

func TestAnEndIsFinal(t *testing.T) {
	s := startServer(t, nil)
	s.createTopic("t", 1, "")
	a, b := s.half("t", "KA"), s.half("t", "KB")
	if n := s.max("t"); n != 0 {
		t.Fatalf("a half is visible: max offset %d", n)
	}
	rollback := b
	rollback.CommitOrRollback = message.TransactionRollback
	unknown := b
	unknown.CommitOrRollback = message.TransactionNone
	stranger := b
	stranger.MsgID, stranger.TransactionID = "KC", "KC"
	check := func(when string) {
		t.Helper()
		for _, step := range []struct {
			what string
			end  protocol.EndTransactionHeader
			code int
		}{
			{"commit a", a, protocol.Success},
			{"commit a again", a, protocol.Success},
			{"decide nothing", unknown, protocol.Success},
			{"another's name", stranger, protocol.Gone},
			{"roll b back", rollback, protocol.Success},
			{"commit b then", b, protocol.TransactionShouldRollback},
		} {
			if code := s.end(step.end); code != step.code {
				t.Errorf("%s, %s: code %d, want %d", when, step.what, code, step.code)
			}
		}
		if n := s.max("t"); n != 1 {
			t.Errorf("%s: %d messages are visible, want 1", when, n)
		}
	}
	check("at first")
	s.restart()
	check("after a restart")
}

// Deleting a topic decides no half: it can be rolled back, or committed once its queue is
// there again, and a commit before that is refused, not lost.
func TestADeletedTopicDecidesNoHalf(t *testing.T) {
	s := startServer(t, nil)
	s.createTopic("t", 2, "")
	a, b := s.half("t", "KA"), s.half("t", "KB")
	rollback := b
	rollback.CommitOrRollback = message.TransactionRollback
	for _, again := range []bool{false, true} {
		if again {
			s.restart()
		}
		if ans := s.ask(protocol.DeleteTopicInBroker, &protocol.DeleteTopicHeader{Topic: "t"}, nil); ans.Code != protocol.Success {
			t.Fatal(protocol.AsError(ans))
		}
		if code := s.end(a); code != protocol.TopicNotExist {
			t.Fatalf("commit for a topic that is deleted: code %d, want %d", code, protocol.TopicNotExist)
		}
	}
	if code := s.end(rollback); code != protocol.Success {
		t.Errorf("roll back for a topic that is deleted: code %d", code)
	}
	s.restart()
	s.createTopic("t", 1, "")
	for _, step := range []struct {
		what string
		end  protocol.EndTransactionHeader
		code int
	}{
		{"commit what was rolled back", b, protocol.TransactionShouldRollback},
		{"commit what stayed pending", a, protocol.Success},
		{"commit it again", a, protocol.Success},
	} {
		if code := s.end(step.end); code != step.code {
			t.Errorf("the topic is there again, %s: code %d, want %d", step.what, code, step.code)
		}
	}
	if n := s.max("t"); n != 1 {
		t.Errorf("%d messages are visible, want 1", n)
	}
}

// What nobody decides for a topic that is deleted ends as everything that nobody decides.
func TestAHalfOfADeletedTopicIsGivenUp(t *testing.T) {
	s := startServer(t, func(c *broker.Config) {
		c.TransactionTimeOut, c.TransactionCheckInterval, c.TransactionCheckMax = 1, 1, 1
	})
	s.createTopic("t", 1, "")
	a := s.half("t", "KA")
	if ans := s.ask(protocol.DeleteTopicInBroker, &protocol.DeleteTopicHeader{Topic: "t"}, nil); ans.Code != protocol.Success {
		t.Fatal(protocol.AsError(ans))
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(25 * time.Second)
	for s.max(message.TopicTransactionCheckMax) == 0 {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatal("it was never put aside")
		}
	}
	for code := 0; code != protocol.TransactionShouldRollback; code = s.end(a) {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("a commit then: code %d, want %d", code, protocol.TransactionShouldRollback)
		}
	}
}

func TestAProducerIsAskedForItsHalf(t *testing.T) {
	s := startServer(t, func(c *broker.Config) {
		c.TransactionTimeOut, c.TransactionCheckInterval = 1, 1
	})
	s.createTopic("t", 1, "")
	beat, err := protocol.EncodeBody(&protocol.HeartbeatData{ClientID: "me", ProducerDataSet: []protocol.ProducerData{{GroupName: "g"}}})
	if err != nil {
		t.Fatal(err)
	}
	s.ask(protocol.HeartBeat, none{}, beat) // first: a half that nobody can be asked about is put aside soon
	s.half("t", "KA")
	var c *remoting.Command
	select {
	case c = <-s.checks:
	case <-time.After(25 * time.Second):
		t.Fatal("the producer is not asked")
	}
	var h protocol.CheckTransactionStateHeader
	if err := h.Decode(c); err != nil {
		t.Fatal(err)
	}
	rec, _, err := message.ParseRecord(c.Body)
	if err != nil || rec.Topic != "t" || rec.QueueID != 0 || string(rec.Body) != "KA" || h.MsgID != "KA" || h.TransactionID != "KA" {
		t.Fatalf("asked for %+v, %s/%d %q: %v", h, rec.Topic, rec.QueueID, rec.Body, err)
	}
	code := s.end(protocol.EndTransactionHeader{
		Topic: "t", ProducerGroup: "g", TranStateTableOffset: h.TranStateTableOffset, CommitLogOffset: h.CommitLogOffset,
		CommitOrRollback: message.TransactionCommit, FromTransactionCheck: true, MsgID: h.MsgID, TransactionID: h.TransactionID,
	})
	if code != protocol.Success || s.max("t") != 1 {
		t.Fatalf("the answer to a check-back is answered %d", code)
	}
}

// queueHeader names queue 0 of a topic.
type queueHeader string

func (q queueHeader) Encode(c *remoting.Command) {
	c.Ext.Add("topic", string(q))
	c.Ext.Add("queueId", "0")
}

type none struct{}

func (none) Encode(*remoting.Command) {}

func linkOf(term, hi, prev int) map[string]string {
	return map[string]string{
		message.PropertyWriter: "p", message.PropertyWriterTerm: strconv.Itoa(term), message.PropertyLo: strconv.Itoa(hi),
		message.PropertyHi: strconv.Itoa(hi), message.PropertyPrev: strconv.Itoa(prev), message.PropertyTo: fmt.Sprint("id", hi),
	}
}

func TestAnOwnedQueueRefusesWithWhatItKnows(t *testing.T) {
	s := startServer(t, nil)
	s.createTopic("o", 1, "+millrace.writer=p")
	plain := &protocol.SendHeader{ProducerGroup: "g", Topic: "o", DefaultTopic: message.TopicAutoCreate, DefaultTopicQueueNums: 1,
		BornTimestamp: time.Now().UnixMilli()}
	send := func(props map[string]string) *remoting.Command {
		h := *plain
		h.Properties = string(message.AppendProperties(nil, props))
		return s.ask(protocol.SendMessageV2, &h, []byte("m"))
	}
	expect := func(what string, ans *remoting.Command, code int, known, last uint64) {
		t.Helper()
		var h protocol.RefusalHeader
		if err := h.Decode(ans); err != nil {
			t.Fatal(err)
		}
		if ans.Code != code || h.Known != known || h.Last != last {
			t.Errorf("%s: code %d known %d last %d (%s), want %d, %d, %d", what, ans.Code, h.Known, h.Last, ans.Remark, code, known, last)
		}
	}
	open := func(term uint64, opener string) *remoting.Command {
		return s.ask(protocol.OpenWriter, &protocol.OpenWriterHeader{Writer: "p", Term: term, Opener: opener}, nil)
	}
	expect("no link", send(nil), protocol.MessageIllegal, 0, 0)
	expect("not open", send(linkOf(1, 10, 0)), protocol.Fenced, 0, 0)
	expect("open", open(5, "x"), protocol.Success, 0, 0)
	expect("stale", open(5, "y"), protocol.Stale, 5, 0)
	expect("first", send(linkOf(5, 10, 0)), protocol.Success, 0, 0)
	expect("again", send(linkOf(5, 10, 0)), protocol.Duplicate, 0, 10)
	expect("gap", send(linkOf(5, 30, 20)), protocol.Gap, 0, 10)
	s.restart()
	expect("stale after a restart", open(4, "z"), protocol.Stale, 5, 0)
	expect("the term goes on", send(linkOf(5, 20, 10)), protocol.Success, 0, 0)

	ans := open(6, "z")
	var st protocol.OpenWriterState
	if err := protocol.DecodeBody(ans.Body, &st); err != nil {
		t.Fatal(err)
	}
	want := protocol.WriterQueue{Topic: "o", Hi: 20, To: "id20", Offset: 1, Max: 2}
	if len(st.Queues) != 1 || st.Queues[0] != want || st.Base != -1 {
		t.Fatalf("opening is told %+v, want %+v", st, want)
	}
}

// BenchmarkTransactions keeps 256 transactions of 1 KiB in flight on one connection: half,
// then two-way END. Client and broker share the process.
func BenchmarkTransactions(b *testing.B) {
	for _, flush := range []string{"ASYNC_FLUSH", "SYNC_FLUSH"} {
		b.Run(flush, func(b *testing.B) {
			s := startServer(b, func(c *broker.Config) {
				c.FlushDiskType, c.MappedFileSizeCommitLog = flush, 1<<30
			})
			s.createTopic("bench", 4, "")
			conn, err := s.client.Conn(context.Background(), s.broker.Addr())
			if err != nil {
				b.Fatal(err)
			}
			text := make([]byte, 1024)
			var next, failed atomic.Int64
			var wg sync.WaitGroup
			invoke := func(code int, h header, body []byte, done func(*remoting.Command, error)) {
				req := remoting.NewRequest(code)
				h.Encode(req)
				req.Body = body
				if err := conn.InvokeAsync(req, 25*time.Second, done); err != nil {
					done(nil, err)
				}
			}
			var fire func()
			fire = func() {
				n := next.Add(1)
				if n > int64(b.N) {
					wg.Done()
					return
				}
				h := halfHeader("bench", fmt.Sprintf("7F00000100001B69A7C6%012X", n), nil)
				h.QueueID = int32(n % 4)
				invoke(protocol.SendMessageV2, h, text, func(ans *remoting.Command, err error) {
					var end protocol.EndTransactionHeader
					if err == nil {
						end, err = endOf(ans, "bench")
					}
					if err != nil {
						failed.Add(1)
						wg.Done()
						return
					}
					invoke(protocol.EndTransaction, &end, nil, func(ans *remoting.Command, err error) {
						if err != nil || ans.Code != protocol.Success {
							failed.Add(1)
						}
						fire()
					})
				})
			}
			b.ReportAllocs()
			b.ResetTimer()
			for range 256 {
				wg.Add(1)
				go fire()
			}
			wg.Wait()
			b.StopTimer()
			if n := failed.Load(); n > 0 {
				b.Fatalf("%d transactions failed", n)
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "tx/s")
		})
	}
}
