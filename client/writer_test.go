package client

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"testing"
	"time"

	"github.com/millrace/millrace/client/internal/session"
	"github.com/millrace/millrace/message"
	"github.com/millrace/millrace/remoting"
	"github.com/millrace/millrace/remoting/protocol"
	"github.com/millrace/millrace/remoting/rpc"
)

var ownedQueue = message.Queue{Topic: "owned", BrokerName: "a", QueueID: 1}

func newTestWriter(t testing.TB, c *fakeCluster, opts ...WriterOption) *Writer {
	t.Helper()
	return started[*Writer](t)(NewWriter("pipe", append([]WriterOption{c.options()}, opts...)...))
}

// openAnswer answers any opening with an empty state.
func openAnswer(req *remoting.Command) *remoting.Command {
	var h protocol.OpenWriterHeader
	if err := h.Decode(req); err != nil {
		return remoting.NewResponse(protocol.InvalidParameter, err.Error())
	}
	ans := withBody(&protocol.OpenWriterState{Base: -1})
	(&protocol.OpenWriterResponseHeader{Term: h.Term}).Encode(ans)
	return ans
}

func openedWriter(t testing.TB, term uint64, opts ...WriterOption) (*fakeCluster, *Writer) {
	t.Helper()
	c := newFakeCluster(t, "a")
	c.broker["a"].on(protocol.OpenWriter, openAnswer)
	w := newTestWriter(t, c, opts...)
	if _, err := w.Open(within(t), "a", term, "opener"); err != nil {
		t.Fatal(err)
	}
	return c, w
}

func TestOpenReadsTheState(t *testing.T) {
	c := newFakeCluster(t, "a")
	const big = 1<<63 + 12345 // no float64 holds it
	c.broker["a"].on(protocol.OpenWriter, func(*remoting.Command) *remoting.Command {
		ans := withBody(&protocol.OpenWriterState{
			Queues:    []protocol.WriterQueue{{Topic: "owned", QueueID: 1, Hi: big, To: "g:1", Offset: 41, Max: 42}},
			Halves:    []protocol.WriterHalf{{ID: "K@9", TransactionID: "K", Topic: "owned", QueueID: 1, Lo: big + 1, Hi: big + 2, Prev: big, Term: 3, Size: 100}},
			Base:      12,
			BaseTopic: "checkpoint",
		})
		(&protocol.OpenWriterResponseHeader{Term: 4}).Encode(ans)
		return ans
	})
	w := newTestWriter(t, c)
	st, err := w.Open(within(t), "a", 4, "opener")
	if err != nil {
		t.Fatal(err)
	}
	want := WriterState{
		Term:       4,
		Queues:     []WriterQueue{{Queue: ownedQueue, Hi: big, To: "g:1", Offset: 41, Max: 42}},
		Halves:     []Half{{ID: "K@9", TransactionID: "K", Queue: ownedQueue, Lo: big + 1, Hi: big + 2, Prev: big, Term: 3, Size: 100}},
		BaseOffset: 12, BaseTopic: "checkpoint",
	}
	if fmt.Sprint(st) != fmt.Sprint(want) {
		t.Fatalf("state %+v\nwant  %+v", st, want)
	}
	var h protocol.OpenWriterHeader
	if err := h.Decode(c.broker["a"].requests(protocol.OpenWriter)[0]); err != nil ||
		h != (protocol.OpenWriterHeader{Writer: "pipe", Term: 4, Opener: "opener"}) {
		t.Fatalf("request %+v, %v", h, err)
	}
}

func refuseWith(code int, h protocol.RefusalHeader) func(*remoting.Command) *remoting.Command {
	return func(*remoting.Command) *remoting.Command {
		ans := remoting.NewResponse(code, "refused")
		h.Encode(ans)
		return ans
	}
}

func TestStaleOpeningKeepsTheOldTerm(t *testing.T) {
	c, w := openedWriter(t, 5)
	c.broker["a"].on(protocol.OpenWriter, refuseWith(protocol.Stale, protocol.RefusalHeader{Known: 9}))
	var stale *StaleError
	if _, err := w.Open(within(t), "a", 6, "other"); !errors.As(err, &stale) || stale.Known != 9 {
		t.Fatalf("open: %v", err)
	}
	if term, err := w.term("a"); term != 5 || err != nil {
		t.Fatalf("term %d, %v", term, err)
	}
}

func TestMessagesCarryTheirLink(t *testing.T) {
	c, w := openedWriter(t, 5)
	link := Link{Lo: 10, Hi: 20, Prev: 8, From: "g:1", To: "g:2"}
	m := message.New("", []byte("rows"))
	m.SetProperty("mine", "kept")
	m.SetProperty(message.PropertyHi, "forged")
	if _, err := w.Send(within(t), ownedQueue, m, link); err != nil {
		t.Fatal(err)
	}
	ref, err := w.SendHalf(within(t), ownedQueue, m, link)
	if err != nil {
		t.Fatal(err)
	}
	for i, req := range c.broker["a"].requests(protocol.SendMessageV2) {
		h, err := protocol.DecodeSend(req)
		if err != nil {
			t.Fatal(err)
		}
		props, err := message.ParseProperties([]byte(h.Properties))
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]string{"mr_p": "pipe", "mr_term": "5", "mr_lo": "10", "mr_hi": "20", "mr_prev": "8", "mr_from": "g:1",
			"mr_to": "g:2", "mine": "kept"}
		state := message.TransactionNone
		if i == 1 {
			want["TRAN_MSG"], want["PGROUP"], state = "true", "pipe", message.TransactionPrepared
			if key := props[message.PropertyUniqueKey]; ref.ID != key+"@4096" || ref.TransactionID != key {
				t.Errorf("half %+v of message %s", ref, key)
			}
		}
		want[message.PropertyUniqueKey] = props[message.PropertyUniqueKey]
		if fmt.Sprint(props) != fmt.Sprint(want) || message.TransactionState(h.SysFlag) != state || h.Topic != "owned" || h.QueueID != 1 ||
			h.ProducerGroup != "pipe" {
			t.Errorf("send %d: %+v\nproperties %v\nwant       %v", i, h, props, want)
		}
	}
}

func TestRefusalsAreTyped(t *testing.T) {
	c, w := openedWriter(t, 5)
	var (
		dup *DuplicateError
		gap *GapError
	)
	for _, tc := range []struct {
		code  int
		h     protocol.RefusalHeader
		check func(error) bool
	}{
		{protocol.Fenced, protocol.RefusalHeader{}, func(err error) bool { return errors.Is(err, ErrFenced) }},
		{protocol.Duplicate, protocol.RefusalHeader{Last: 1 << 62}, func(err error) bool { return errors.As(err, &dup) && dup.Last == 1<<62 }},
		{protocol.Gap, protocol.RefusalHeader{Last: 7}, func(err error) bool { return errors.As(err, &gap) && gap.Last == 7 }},
		{protocol.FlowControl, protocol.RefusalHeader{}, func(err error) bool { return errors.Is(err, ErrPendingFull) }},
		{protocol.FlushDiskTimeout, protocol.RefusalHeader{}, func(err error) bool { return errors.Is(err, ErrUncertain) }},
		{protocol.FlushSlaveTimeout, protocol.RefusalHeader{}, func(err error) bool { return errors.Is(err, ErrUncertain) }},
		{protocol.ServiceNotAvailable, protocol.RefusalHeader{}, func(err error) bool {
			var ans *AnswerError
			return errors.As(err, &ans) && !errors.Is(err, ErrUncertain)
		}},
	} {
		c.broker["a"].on(protocol.SendMessageV2, refuseWith(tc.code, tc.h))
		before := len(c.broker["a"].requests(protocol.SendMessageV2))
		if _, err := w.Send(within(t), ownedQueue, message.New("", []byte("x")), Link{Lo: 1, Hi: 2}); !tc.check(err) {
			t.Errorf("code %d: %v", tc.code, err)
		}
		if n := len(c.broker["a"].requests(protocol.SendMessageV2)) - before; n != 1 {
			t.Errorf("code %d: sent %d times", tc.code, n)
		}
	}
}

func TestUnansweredSendIsUncertain(t *testing.T) {
	c, w := openedWriter(t, 5, WithSendTimeout(500*time.Millisecond))
	c.broker["a"].on(protocol.SendMessageV2, never)
	if _, err := w.SendHalf(within(t), ownedQueue, message.New("", []byte("x")), Link{Lo: 1, Hi: 2}); !errors.Is(err, ErrUncertain) {
		t.Fatalf("send: %v", err)
	}
}

func TestWriterMustBeOpen(t *testing.T) {
	c := newFakeCluster(t, "a")
	w := newTestWriter(t, c)
	if _, err := w.Send(within(t), ownedQueue, message.New("", []byte("x")), Link{Lo: 1, Hi: 2}); !errors.Is(err, ErrNotOpen) ||
		!errors.Is(err, ErrNotSent) {
		t.Fatalf("send: %v", err)
	}
	if _, err := w.Resolve(within(t), "a", nil, nil); !errors.Is(err, ErrNotOpen) {
		t.Fatalf("resolve: %v", err)
	}
}

func TestBackwardLinksAreNotSent(t *testing.T) {
	_, w := openedWriter(t, 5)
	for _, l := range []Link{{Lo: 2, Hi: 1}, {Lo: 1, Hi: 2, Prev: 2}, {Lo: 5, Hi: 9, Prev: 9}} {
		if _, err := w.Send(within(t), ownedQueue, message.New("", []byte("x")), l); !errors.Is(err, ErrNotSent) {
			t.Errorf("%+v: %v", l, err)
		}
	}
}

func TestSendsInFlightKeepTheirOrder(t *testing.T) {
	c, w := openedWriter(t, 5)
	const n = 500
	outcomes := make(chan error, n)
	for i := uint64(1); i <= n; i++ {
		w.SendHalfAsync(ownedQueue, message.New("", []byte("x")), Link{Lo: i, Hi: i, Prev: i - 1},
			func(_ HalfRef, err error) { outcomes <- err })
	}
	for range n {
		if err := <-outcomes; err != nil {
			t.Fatal(err)
		}
	}
	for i, req := range c.broker["a"].requests(protocol.SendMessageV2) {
		h, _ := protocol.DecodeSend(req)
		if hi, _ := message.Property([]byte(h.Properties), message.PropertyHi); hi != strconv.Itoa(i+1) {
			t.Fatalf("send %d has mr_hi %s", i, hi)
		}
	}
}

func TestResolveTellsEachOutcome(t *testing.T) {
	c, w := openedWriter(t, 5)
	var sent protocol.ResolveRequest
	c.broker["a"].on(protocol.Resolve, func(req *remoting.Command) *remoting.Command {
		if err := protocol.DecodeBody(req.Body, &sent); err != nil {
			t.Error(err)
		}
		return withBody(&protocol.ResolveResponse{Results: []protocol.ResolveResult{
			{ID: "a@1", Code: protocol.Success, Offset: 11},
			{ID: "b@2", Code: protocol.Gap, Last: 1 << 60},
			{ID: "c@3", Code: protocol.Duplicate, Last: 6},
			{ID: "d@4", Code: protocol.Gone},
			{ID: "e@5", Code: protocol.SystemError},
			{ID: "f@6", Code: protocol.Success},
			{ID: "g@7", Code: protocol.Fenced},
		}})
	})
	ref := func(id string) HalfRef { return HalfRef{ID: id, TransactionID: id[:1]} }
	got, err := w.Resolve(within(t), "a", []HalfRef{ref("a@1"), ref("b@2"), ref("c@3"), ref("d@4"), ref("e@5")},
		[]HalfRef{ref("f@6"), ref("g@7")})
	if err != nil {
		t.Fatal(err)
	}
	want := []ResolveCode{ResolveCommitted, ResolveGap, ResolveDuplicate, ResolveGone, ResolveFailed, ResolveRolledBack, ResolveFenced}
	for i, r := range got {
		if r.Code != want[i] || (r.Err == nil) != (i == 0 || i == 5) {
			t.Errorf("result %d: %+v, want code %d", i, r, want[i])
		}
	}
	if got[0].Offset != 11 || got[1].Last != 1<<60 {
		t.Errorf("results %+v", got)
	}
	if len(sent.Commit) != 5 || len(sent.Rollback) != 2 || sent.Commit[1] != (protocol.HalfRef{ID: "b@2", TransactionID: "b"}) {
		t.Errorf("request %+v", sent)
	}
}

func TestResolveRefusesAnswersThatDoNotFit(t *testing.T) {
	for name, results := range map[string][]protocol.ResolveResult{
		"too few": {},
		"other":   {{ID: "z@9", Code: protocol.Success}},
	} {
		c, w := openedWriter(t, 5)
		c.broker["a"].on(protocol.Resolve, func(*remoting.Command) *remoting.Command {
			return withBody(&protocol.ResolveResponse{Results: results})
		})
		if _, err := w.Resolve(within(t), "a", []HalfRef{{ID: "a@1"}}, nil); !errors.Is(err, ErrUncertain) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCheckBackOnlyWakes(t *testing.T) {
	c := newFakeCluster(t, "a")
	c.broker["a"].on(protocol.OpenWriter, openAnswer)
	w, err := NewWriter("pipe", c.options())
	if err != nil {
		t.Fatal(err)
	}
	woken := make(chan Half, 1)
	w.OnCheck(func(h Half) { woken <- h })
	started[*Writer](t)(w, nil)
	if _, err := w.Open(within(t), "a", 5, "opener"); err != nil {
		t.Fatal(err)
	}
	c.broker["a"].wait(protocol.HeartBeat, 1)
	c.broker["a"].push(func() *remoting.Command { return checkBack(t, "pipe", Link{Lo: 1, Hi: 2, Prev: 0}) })
	select {
	case h := <-woken:
		want := Half{ID: "KEY@4096", TransactionID: "KEY", Queue: ownedQueue, Lo: 1, Hi: 2, Term: 5, Size: h.Size}
		if h != want {
			t.Fatalf("half %+v, want %+v", h, want)
		}
	case <-within(t).Done():
		t.Fatal("nobody was woken")
	}
	if n := len(c.broker["a"].requests(protocol.EndTransaction)); n != 0 {
		t.Fatalf("%d answers to a check-back", n)
	}
}

// checkBack is a broker's question about a half of ownedQueue.
func checkBack(t testing.TB, group string, l Link) *remoting.Command {
	t.Helper()
	props := message.AppendProperties(nil, map[string]string{
		"UNIQ_KEY": "KEY", "PGROUP": group, "TRAN_MSG": "true", "mr_term": "5",
		"mr_lo": strconv.FormatUint(l.Lo, 10), "mr_hi": strconv.FormatUint(l.Hi, 10), "mr_prev": strconv.FormatUint(l.Prev, 10),
	})
	host := netip.MustParseAddrPort("127.0.0.1:1")
	body, err := message.AppendRecord(nil, &message.Record{Topic: "owned", QueueID: 1, Body: []byte("rows"), Properties: props, BornHost: host, StoreHost: host})
	if err != nil {
		t.Fatal(err)
	}
	req := session.Request(protocol.CheckTransactionState, &protocol.CheckTransactionStateHeader{
		Topic: "owned", TranStateTableOffset: 3, CommitLogOffset: 4096, MsgID: "KEY", TransactionID: "KEY", BrokerName: "a"})
	req.Body = body
	return req
}

func TestCallbacksComeBeforeCloseReturns(t *testing.T) {
	c, w := openedWriter(t, 5)
	c.broker["a"].on(protocol.SendMessageV2, never)
	var got error
	w.SendAsync(ownedQueue, message.New("", []byte("x")), Link{Lo: 1, Hi: 2}, func(_ SendResult, err error) { got = err })
	c.broker["a"].wait(protocol.SendMessageV2, 1)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := w.Close(ctx); err == nil {
		t.Error("Close does not say that a send was in flight")
	}
	if !errors.Is(got, ErrUncertain) {
		t.Fatalf("outcome of the send: %v", got)
	}
}

func TestWriterSurvivesALostConnection(t *testing.T) {
	c, w := openedWriter(t, 5)
	b := c.broker["a"]
	b.mu.Lock()
	conns := append([]*rpc.Conn(nil), b.conns...)
	b.mu.Unlock()
	for _, conn := range conns {
		conn.Close()
	}
	// The first requests may still meet the dead connection; the term outlives it.
	eventually(t, "a send passes again", func() bool {
		_, err := w.Send(within(t), ownedQueue, message.New("", []byte("x")), Link{Lo: 1, Hi: 2})
		return err == nil
	})
	if n := len(b.requests(protocol.OpenWriter)); n != 1 {
		t.Fatalf("the writer was opened %d times", n)
	}
}

func TestUnansweredOpeningIsUncertain(t *testing.T) {
	c := newFakeCluster(t, "a")
	c.broker["a"].on(protocol.OpenWriter, never)
	w := newTestWriter(t, c, WithSendTimeout(500*time.Millisecond))
	if _, err := w.Open(context.WithoutCancel(t.Context()), "a", 1, "opener"); !errors.Is(err, ErrUncertain) {
		t.Fatalf("open: %v", err)
	}
}
