package store

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/message"
)

func TestGet(t *testing.T) {
	s := start(t, vfs.NewMem(), testConfig("/store"))
	for i := range 20 {
		tag := []string{"red", "blue"}[i%2]
		s.mustPut(testRecord("colours", 1, fmt.Sprint(i), message.PropertyTags, tag))
		s.mustPut(testRecord("noise", 0, strings.Repeat("n", 300)))
	}
	s.settle()
	red := func(code int64) bool { return code == message.TagsCode("red") }
	none := func(int64) bool { return false }
	for _, tc := range []struct {
		name   string
		topic  string
		queue  int32
		offset int64
		o      GetOptions
		want   string
	}{
		{"from the start", "colours", 1, 0, GetOptions{MaxMsgs: 3}, "status 0, [0 1 2], next 3"},
		{"zero options take one", "colours", 1, 7, GetOptions{}, "status 0, [7], next 8"},
		{"up to the end", "colours", 1, 17, GetOptions{MaxMsgs: 32}, "status 0, [17 18 19], next 20"},
		{"bytes are limited", "colours", 1, 0, GetOptions{MaxMsgs: 32, MaxBytes: 300}, "status 0, [0 1], next 2"},
		{"one message whatever its size", "colours", 1, 0, GetOptions{MaxMsgs: 32, MaxBytes: 1}, "status 0, [0], next 1"},
		{"by tag", "colours", 1, 0, GetOptions{MaxMsgs: 3, Filter: red}, "status 0, [0 2 4], next 6"},
		{"by tag to the end", "colours", 1, 15, GetOptions{MaxMsgs: 9, Filter: red}, "status 0, [16 18], next 20"},
		{"by tag without any", "colours", 1, 3, GetOptions{MaxMsgs: 9, Filter: none}, "status 1, [], next 20"},
		{"by content", "colours", 1, 0, GetOptions{MaxMsgs: 3, MessageFilter: func(r *message.Record) bool { return len(r.Body) == 2 }}, "status 0, [10 11 12], next 13"},
		{"by content without any", "colours", 1, 0, GetOptions{MaxMsgs: 3, MessageFilter: func(*message.Record) bool { return false }}, "status 1, [], next 20"},
		{"at the end", "colours", 1, 20, GetOptions{}, "status 5, [], next 20"},
		{"above the end", "colours", 1, 25, GetOptions{}, "status 4, [], next 20"},
		{"below the start", "colours", 1, -1, GetOptions{}, "status 6, [], next 0"},
		{"no such queue", "colours", 9, 0, GetOptions{}, "status 7, [], next 0"},
	} {
		res, err := s.Get(tc.topic, tc.queue, tc.offset, tc.o)
		if err != nil {
			t.Fatalf("%s: %v", tc.name, err)
		}
		var got []string
		for _, b := range res.Messages() {
			rec, _, _ := message.ParseRecord(b)
			got = append(got, string(rec.Body))
		}
		if text := fmt.Sprintf("status %d, %v, next %d", res.Status, got, res.NextOffset); text != tc.want || res.Count != len(got) {
			t.Errorf("%s: %s (count %d), want %s", tc.name, text, res.Count, tc.want)
		}
	}
	if _, err := s.ensureQueue("empty", 0); err != nil {
		t.Fatal(err)
	}
	if res, _ := s.Get("empty", 0, 3, GetOptions{}); res.Status != NoMessageInQueue {
		t.Errorf("a queue that never had a message: status %d", res.Status)
	}
}

func TestFilterScanIsBounded(t *testing.T) {
	cfg := testConfig("/store")
	cfg.MaxFilterScan = 64
	s := start(t, vfs.NewMem(), cfg)
	for i := range 200 {
		s.mustPut(testRecord("t", 0, fmt.Sprint(i)))
	}
	s.settle()
	res, err := s.Get("t", 0, 0, GetOptions{MaxMsgs: 1, Filter: func(int64) bool { return false }})
	if err != nil || res.Status != NoMatchedMessage || res.NextOffset != 64 {
		t.Fatalf("status %d, next %d, %v; want to go on at 64", res.Status, res.NextOffset, err)
	}
}

func TestABatchIsStoredWithConsecutiveOffsets(t *testing.T) {
	s := start(t, vfs.NewMem(), testConfig("/store"))
	s.mustPut(testRecord("t", 0, "single"))
	var recs []message.Record
	for i := range 5 {
		recs = append(recs, *testRecord("t", 0, fmt.Sprint(i)))
	}
	done := make(chan PutResult, 1)
	put := func(b []message.Record) PutResult {
		s.Put(&PutRequest{Batch: b, Done: func(r PutResult) { done <- r }})
		return <-done
	}
	r := put(recs)
	if r.Err != nil || r.QueueOffset != 1 || len(r.Physicals) != 5 || strings.Count(r.MsgID(), ",") != 4 {
		t.Fatalf("%+v, ids %s", r, r.MsgID())
	}
	for i, phys := range r.Physicals {
		rec, _, err := s.waitRecord(phys)
		if err != nil || rec.QueueOffset != int64(1+i) {
			t.Errorf("message %d at %d: offset %d, %v", i, phys, rec.QueueOffset, err)
		}
	}
	mixed := slices.Clone(recs)
	mixed[3].Topic = "other"
	if r := put(mixed); !errors.Is(r.Err, ErrBadRecord) {
		t.Errorf("a batch of two topics: %v, want ErrBadRecord", r.Err)
	}
	large := []message.Record{*testRecord("t", 0, strings.Repeat("x", 1500)), *testRecord("t", 0, strings.Repeat("x", 1500))}
	if r := put(large); !errors.Is(r.Err, ErrMessageTooLarge) {
		t.Errorf("a batch above the limit: %v, want ErrMessageTooLarge", r.Err)
	}
	if next := s.NextOffset("t", 0); next != 6 {
		t.Errorf("after refusals the next offset is %d, want 6", next)
	}
}

func (r *running) waitRecord(phys int64) (message.Record, []byte, error) {
	r.settle()
	return r.ReadRecord(phys)
}

func TestWhatCannotBeStoredIsRefused(t *testing.T) {
	s := start(t, vfs.NewMem(), testConfig("/store"))
	for name, tc := range map[string]struct {
		rec  *message.Record
		want error
	}{
		"a path":           {testRecord("../../etc", 0, "x"), ErrBadRecord},
		"no topic":         {testRecord("", 0, "x"), ErrBadRecord},
		"a negative queue": {testRecord("t", -1, "x"), ErrBadRecord},
		"a large body":     {testRecord("t", 0, strings.Repeat("x", 2049)), ErrMessageTooLarge},
		"large properties": {testRecord("t", 0, "x", "k", strings.Repeat("v", 40_000)), ErrMessageTooLarge},
	} {
		if r := s.put(tc.rec); !errors.Is(r.Err, tc.want) {
			t.Errorf("%s: %v, want %v", name, r.Err, tc.want)
		}
	}
	s.SetWritable(false)
	if r := s.put(testRecord("t", 0, "x")); !errors.Is(r.Err, ErrNotWritable) {
		t.Errorf("not writable: %v", r.Err)
	}
	s.SetWritable(true)
	s.mustPut(testRecord("t", 0, "x"))
}

type testGate struct {
	refuse   error
	admitted []int64
	appended []int64
}

func (g *testGate) Admit(o int64) error { g.admitted = append(g.admitted, o); return g.refuse }
func (g *testGate) Appended(o, _ int64) { g.appended = append(g.appended, o) }

func TestAGateDecidesWhereOffsetsAreGivenOut(t *testing.T) {
	s := start(t, vfs.NewMem(), testConfig("/store"))
	s.mustPut(testRecord("t", 0, "first"))
	closed := &testGate{refuse: errors.New("closed")}
	done := make(chan PutResult, 1)
	s.Put(&PutRequest{Record: testRecord("t", 0, "refused"), Gate: closed, Done: func(r PutResult) { done <- r }})
	if r := <-done; !errors.Is(r.Err, closed.refuse) || len(closed.appended) > 0 {
		t.Fatalf("a closed gate: %v, appended %v", r.Err, closed.appended)
	}
	open := &testGate{}
	s.Put(&PutRequest{Record: testRecord("t", 0, "second"), Gate: open, Done: func(r PutResult) { done <- r }})
	if r := <-done; r.Err != nil || r.QueueOffset != 1 || fmt.Sprint(open.admitted, open.appended) != "[1] [1]" {
		t.Fatalf("an open gate: %+v, %v %v", r, open.admitted, open.appended)
	}
	s.settle()
	if got := s.bodies("t", 0); fmt.Sprint(got) != "[first second]" {
		t.Fatalf("the queue holds %q", got)
	}
}

func TestPreparedAndRolledBackMessagesTakeNoOffset(t *testing.T) {
	s := start(t, vfs.NewMem(), testConfig("/store"))
	for _, st := range []int32{message.TransactionPrepared, message.TransactionRollback, message.TransactionCommit, message.TransactionNone} {
		rec := testRecord("t", 0, fmt.Sprint(st))
		rec.SysFlag = message.WithTransactionState(0, st)
		s.mustPut(rec)
	}
	s.settle()
	if got := s.bodies("t", 0); fmt.Sprint(got) != "[8 0]" {
		t.Fatalf("the queue holds %q", got)
	}
}

func TestOffsetByTime(t *testing.T) {
	s := start(t, vfs.NewMem(), testConfig("/store"))
	var times []int64
	for i := range 30 {
		r := s.mustPut(testRecord("t", 0, fmt.Sprint(i)))
		times = append(times, r.StoreTimestamp)
	}
	s.settle()
	for _, at := range append([]int64{0, times[0] - 1, times[29] + 1}, times...) {
		lower, upper := int64(0), int64(0)
		for i, ts := range times {
			if ts < at {
				lower = int64(i + 1)
			}
			if ts <= at {
				upper = int64(i)
			}
		}
		if got, err := s.OffsetByTime("t", 0, at, Lower); err != nil || got != lower {
			t.Errorf("lower at %d: %d, %v; want %d", at-times[0], got, err, lower)
		}
		if got, err := s.OffsetByTime("t", 0, at, Upper); err != nil || got != upper {
			t.Errorf("upper at %d: %d, %v; want %d", at-times[0], got, err, upper)
		}
	}
	if got, err := s.EarliestMessageTime("t", 0); err != nil || got != times[0] || s.EarliestTime() != times[0] {
		t.Errorf("earliest is %d and %d, %v; want %d", got, s.EarliestTime(), err, times[0])
	}
	for _, b := range []Boundary{Lower, Upper} {
		if got, err := s.OffsetByTime("none", 0, times[0], b); err != nil || got != 0 {
			t.Errorf("a queue that never had a message: %d, %v", got, err)
		}
	}
}

func TestAScheduledMessageIsFiledUnderItsDueTime(t *testing.T) {
	s := start(t, vfs.NewMem(), testConfig("/store"))
	r := s.mustPut(testRecord(message.TopicSchedule, 2, "x", message.PropertyDelay, "3"))
	s.settle()
	var due int64
	if _, err := s.Get(message.TopicSchedule, 2, 0, GetOptions{Filter: func(c int64) bool { due = c; return true }}); err != nil {
		t.Fatal(err)
	}
	if want := r.StoreTimestamp + 10_000; due != want {
		t.Fatalf("due at %d, want %d", due, want)
	}
}

func TestASecondBrokerIsKeptOut(t *testing.T) {
	for name, fsys := range map[string]vfs.FS{"memory": vfs.NewMem(), "disk": vfs.OS()} {
		t.Run(name, func(t *testing.T) {
			cfg := testConfig(t.TempDir())
			s, err := Open(cfg, fsys, nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := Open(cfg, fsys, nil, nil); !errors.Is(err, vfs.ErrLocked) {
				t.Fatalf("the second Open: %v, want ErrLocked", err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s2, err := Open(cfg, fsys, nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			s2.Close()
		})
	}
}
