package client

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/millrace/millrace/message"
	"github.com/millrace/millrace/remoting"
	"github.com/millrace/millrace/remoting/protocol"
)

var readQueue = message.Queue{Topic: "T", BrokerName: "a", QueueID: 2}

// pullAnswer makes an answer with messages at the given offsets.
func pullAnswer(code int, next, lo, hi int64, offsets ...int64) *remoting.Command {
	ans := remoting.NewResponse(code, "")
	(&protocol.PullResponseHeader{NextBeginOffset: next, MinOffset: lo, MaxOffset: hi}).Encode(ans)
	for _, o := range offsets {
		var err error
		ans.Body, err = message.AppendRecord(ans.Body, &message.Record{Topic: "T", QueueID: 2, QueueOffset: o,
			Body: fmt.Appendf(nil, "body %d", o), BornHost: storeHost, StoreHost: storeHost})
		if err != nil {
			panic(err)
		}
	}
	return ans
}

func TestPullNeverJumps(t *testing.T) {
	const at = 10
	var below *OffsetBelowError
	var above *OffsetAboveError
	isBelow := func(lo int64) func(error) bool {
		return func(err error) bool { return errors.As(err, &below) && below.Min == lo && below.Queue == readQueue }
	}
	fine := func(err error) bool { return err == nil }
	for name, tc := range map[string]struct {
		ans      *remoting.Command
		err      func(error) bool
		messages int
		next     int64
	}{
		"found":                     {pullAnswer(protocol.Success, 13, 0, 20, 10, 11, 12), fine, 3, 13},
		"found, proposal too far":   {pullAnswer(protocol.Success, 19, 0, 20, 10, 11), fine, 2, 12},
		"found up to a hole":        {pullAnswer(protocol.Success, 15, 0, 20, 10, 14), fine, 1, 11},
		"found behind a hole":       {pullAnswer(protocol.Success, 15, 0, 20, 14), isBelow(14), 0, 0},
		"at the end":                {pullAnswer(protocol.PullNotFound, 10, 0, 10), fine, 0, 10},
		"nothing, proposal ahead":   {pullAnswer(protocol.PullRetryImmediately, 16, 0, 20), fine, 0, 10},
		"retention passed":          {pullAnswer(protocol.PullOffsetMoved, 15, 15, 20), isBelow(15), 0, 0},
		"retention, as retry":       {pullAnswer(protocol.PullRetryImmediately, 15, 15, 20), isBelow(15), 0, 0},
		"lost tail":                 {pullAnswer(protocol.PullOffsetMoved, 5, 0, 5), func(err error) bool { return errors.As(err, &above) && above.Max == 5 }, 0, 0},
		"lost all":                  {pullAnswer(protocol.PullOffsetMoved, 0, 0, 0), func(err error) bool { return errors.As(err, &above) && above.Max == 0 }, 0, 0},
		"moved, though it is there": {pullAnswer(protocol.PullOffsetMoved, 15, 0, 20), fine, 0, 10},
		"refused":                   {remoting.NewResponse(protocol.NoPermission, "no"), func(err error) bool { var e *AnswerError; return errors.As(err, &e) }, 0, 0},
		"no header":                 {remoting.NewResponse(protocol.Success, ""), func(err error) bool { return err != nil }, 0, 0},
		"backwards":                 {pullAnswer(protocol.Success, 13, 0, 20, 9, 10), func(err error) bool { return err != nil }, 0, 0},
		"torn": {func() *remoting.Command {
			a := pullAnswer(protocol.Success, 11, 0, 20, 10)
			a.Body = a.Body[:len(a.Body)-1]
			return a
		}(), func(err error) bool { return err != nil }, 0, 0},
	} {
		res, err := parsePullAnswer(tc.ans, readQueue, at, true, false, nil)
		if !tc.err(err) || len(res.Messages) != tc.messages || res.Next != tc.next {
			t.Errorf("%s: %d messages, next %d, error %v", name, len(res.Messages), res.Next, err)
		}
	}
}

// A body that cannot be decompressed keeps back nothing that is before it, and is named by
// the pull that begins with it.
func TestABodyThatCannotBeDecompressedIsMetAlone(t *testing.T) {
	answer := func(offsets ...int64) *remoting.Command {
		ans := pullAnswer(protocol.Success, 30, 0, 40, offsets...)
		for b := ans.Body; len(b) > 0; {
			rec, n, err := message.ParseRecord(b)
			if err != nil {
				t.Fatal(err)
			}
			if rec.QueueOffset == 12 {
				binary.BigEndian.PutUint32(b[message.SysFlagAt:], uint32(message.WithCompression(0, message.CompressionZLIB)))
			}
			b = b[n:]
		}
		return ans
	}
	for _, skip := range []bool{false, true} {
		res, err := parsePullAnswer(answer(10, 11, 12, 13), readQueue, 10, true, skip, nil)
		if err != nil || len(res.Messages) != 2 || res.Next != 12 {
			t.Errorf("skip %v: %d messages, next %d, %v", skip, len(res.Messages), res.Next, err)
		}
		if _, err := parsePullAnswer(answer(12, 13), readQueue, 12, true, skip, nil); err == nil || !strings.Contains(err.Error(), "offset 12") {
			t.Errorf("skip %v: the pull that begins with it: %v", skip, err)
		}
		res, err = parsePullAnswer(answer(12, 13), readQueue, 12, false, skip, nil)
		if err != nil || len(res.Messages) != 2 {
			t.Errorf("skip %v: without decompression: %d messages, %v", skip, len(res.Messages), err)
		}
	}
}

func TestPullWithAFilterSkips(t *testing.T) {
	res, err := parsePullAnswer(pullAnswer(protocol.Success, 19, 0, 20, 12, 15), readQueue, 10, true, true, nil)
	if err != nil || len(res.Messages) != 2 || res.Next != 19 {
		t.Fatalf("%+v, %v", res, err)
	}
	res, err = parsePullAnswer(pullAnswer(protocol.PullRetryImmediately, 16, 0, 20), readQueue, 10, true, true, nil)
	if err != nil || res.Next != 16 {
		t.Fatalf("%+v, %v", res, err)
	}
}

func newTestReader(t testing.TB, c *fakeCluster, opts ...ReaderOption) *Reader {
	t.Helper()
	return started[*Reader](t)(NewReader(append([]ReaderOption{c.options()}, opts...)...))
}

func TestAnEndThatLagsIsNotALostTail(t *testing.T) {
	c := newFakeCluster(t, "a")
	answers := []*remoting.Command{pullAnswer(protocol.PullOffsetMoved, 3, 0, 3), pullAnswer(protocol.PullNotFound, 4, 0, 5),
		pullAnswer(protocol.Success, 6, 0, 6, 5)}
	c.broker["a"].on(protocol.LitePullMessage, func(*remoting.Command) *remoting.Command {
		a := answers[0]
		answers = answers[1:]
		return a
	})
	res, err := newTestReader(t, c).Pull(within(t), readQueue, 5, PullOptions{})
	if err != nil || res.Next != 5 || len(answers) != 1 {
		t.Fatalf("%+v, %v", res, err)
	}
	c.broker["a"].on(protocol.LitePullMessage, func(*remoting.Command) *remoting.Command {
		return pullAnswer(protocol.PullOffsetMoved, 3, 0, 3)
	})
	var above *OffsetAboveError
	if _, err := newTestReader(t, c).Pull(within(t), readQueue, 5, PullOptions{}); !errors.As(err, &above) || above.Max != 3 {
		t.Fatalf("an end that stays: %v", err)
	}
}

func TestPullAsksForWhatItWasTold(t *testing.T) {
	c := newFakeCluster(t, "a")
	c.broker["a"].on(protocol.LitePullMessage, func(*remoting.Command) *remoting.Command {
		return pullAnswer(protocol.Success, 6, 0, 9, 5)
	})
	r := newTestReader(t, c, WithGroup("g"))
	res, err := r.Pull(within(t), readQueue, 5, PullOptions{MaxMsgs: 7, MaxBytes: 1000, Wait: 2 * time.Second})
	if err != nil || len(res.Messages) != 1 || string(res.Messages[0].Body) != "body 5" ||
		res.Messages[0].Queue() != readQueue || res.Max != 9 {
		t.Fatalf("%+v, %v", res, err)
	}
	var h protocol.PullHeader
	if err := h.Decode(c.broker["a"].requests(protocol.LitePullMessage)[0]); err != nil {
		t.Fatal(err)
	}
	want := protocol.PullHeader{ConsumerGroup: "g", Topic: "T", QueueID: 2, QueueOffset: 5, MaxMsgNums: 7, MaxMsgBytes: 1000,
		SysFlag:              protocol.PullFlagSuspend | protocol.PullFlagSubscription | protocol.PullFlagLitePull,
		SuspendTimeoutMillis: 2000, Subscription: "*", ExpressionType: "TAG"}
	if h != want {
		t.Fatalf("header %+v\nwant   %+v", h, want)
	}
}

func TestReaderOffsets(t *testing.T) {
	c := newFakeCluster(t, "a")
	offset := func(n int64) func(*remoting.Command) *remoting.Command {
		return func(*remoting.Command) *remoting.Command {
			ans := remoting.NewResponse(protocol.Success, "")
			(&protocol.OffsetResponseHeader{Offset: n}).Encode(ans)
			return ans
		}
	}
	b := c.broker["a"]
	b.on(protocol.GetMinOffset, offset(3))
	b.on(protocol.GetMaxOffset, offset(9))
	b.on(protocol.SearchOffsetByTimestamp, offset(5))
	b.on(protocol.QueryConsumerOffset, refuse(protocol.QueryNotFound))
	b.on(protocol.UpdateConsumerOffset, ok)
	r := newTestReader(t, c)
	ctx := within(t)
	for what, got := range map[string]func() (int64, error){
		"3": func() (int64, error) { return r.Min(ctx, readQueue) },
		"9": func() (int64, error) { return r.Max(ctx, readQueue) },
		"5": func() (int64, error) { return r.SearchOffset(ctx, readQueue, time.UnixMilli(77)) },
	} {
		if n, err := got(); err != nil || fmt.Sprint(n) != what {
			t.Errorf("offset %d, want %s (%v)", n, what, err)
		}
	}
	if _, err := r.CommittedOffset(ctx, readQueue); !errors.Is(err, ErrNoOffset) {
		t.Errorf("committed offset: %v", err)
	}
	if err := r.CommitOffset(ctx, readQueue, 8); err != nil {
		t.Error(err)
	}
	var h protocol.UpdateConsumerOffsetHeader
	if err := h.Decode(b.requests(protocol.UpdateConsumerOffset)[0]); err != nil || h.CommitOffset != 8 ||
		h.ConsumerGroup != DefaultReaderGroup {
		t.Errorf("%+v, %v", h, err)
	}
}

func FuzzPullAnswer(f *testing.F) {
	f.Add(pullAnswer(protocol.Success, 13, 0, 20, 10, 11, 12).Body)
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, skip := range []bool{false, true} {
			ans := pullAnswer(protocol.Success, 13, 0, 20)
			ans.Body = body
			res, err := parsePullAnswer(ans, readQueue, 10, true, skip, nil)
			if err != nil {
				continue
			}
			next := int64(10)
			for _, m := range res.Messages {
				if m.QueueOffset < next || !skip && m.QueueOffset != next {
					t.Fatalf("offset %d where %d was due", m.QueueOffset, next)
				}
				next = m.QueueOffset + 1
			}
			if res.Next < next {
				t.Fatalf("next %d behind %d", res.Next, next)
			}
		}
	})
}

// A result that was given back is overwritten by later pulls, and no other one is.
func TestReleasedMemoryIsUsedByNobodyElse(t *testing.T) {
	c := newFakeCluster(t, "a")
	c.broker["a"].on(protocol.LitePullMessage, func(req *remoting.Command) *remoting.Command {
		var h protocol.PullHeader
		if err := h.Decode(req); err != nil {
			panic(err)
		}
		at := h.QueueOffset
		offsets := make([]int64, 3000) // an answer far beyond what a connection's buffer holds
		for i := range offsets {
			offsets[i] = at + int64(i)
		}
		return pullAnswer(protocol.Success, at+int64(len(offsets)), 0, 1<<40, offsets...)
	})
	r := newTestReader(t, c)
	ctx := within(t)
	var wg sync.WaitGroup
	for reader := range int64(4) {
		wg.Go(func() {
			kept := PullResult{}
			for round := range int64(12) {
				res, err := r.Pull(ctx, readQueue, (reader*100+round)*10_000, PullOptions{MaxMsgs: 3000})
				if err != nil {
					t.Error(err)
					return
				}
				for _, got := range []PullResult{res, kept} {
					for i := range got.Messages {
						m := &got.Messages[i]
						if string(m.Body) != fmt.Sprintf("body %d", m.QueueOffset) || m.QueueOffset != got.Next-int64(len(got.Messages)-i) {
							t.Errorf("message %d of the result before %d: offset %d, %q", i, got.Next, m.QueueOffset, m.Body)
							return
						}
					}
				}
				if round%3 == 0 {
					kept = res
					continue
				}
				res.Release()
				res.Release() // is nothing
			}
		})
	}
	wg.Wait()
}
